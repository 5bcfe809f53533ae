/*
 * Disks that fill up, fail to write or to sync, and memory that runs out: each call fails in turn. What was
 * acknowledged stays, what failed leaves nothing, the status names the cause, and the store goes on when the
 * fault is gone.
 */
#include "tests/faults/fault_vfs.h"
#include "tests/storage/store_fixture.h"

#include "base/mem.h"

#include <pthread.h>

static struct crn_rng rng;

static void put_text_row(struct crn_record *record)
{
    record->domain = "domain";
    record->agent = "agent";
    record->text = "words of a text";
    record->payload = "{\"a\":[1,\"x\",null]}";
    record->usage_count = 1;
}

static cairn_status put(struct fixture *f, const char *id)
{
    struct crn_record record = fixture_record(id);

    put_text_row(&record);
    fixture_error = (cairn_error){0};
    return fixture_put(f, &record, false, ERR);
}

static cairn_status run_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_payload_index_create(txn, ctx, "a", err);
}

/* A database with the collection, an index and the row "a", made once and then copied: making one takes many
 * syncs. */
static struct {
    char *bytes;
    size_t size;
} template;

static int make_template(void **state)
{
    struct fixture *f;

    if (fixture_setup(state) != 0) return -1;
    f = *state;
    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    assert_int_equal(put(f, "a"), CAIRN_OK);
    fixture_close(f);
    FILE *file = fopen(f->path, "rb");
    assert_non_null(file);
    template.bytes = malloc(1u << 20);
    template.size = fread(template.bytes, 1, 1u << 20, file);
    assert_in_range(template.size, 8192, 1u << 19);
    fclose(file);
    return fixture_teardown(state);
}

static int drop_template(void **state)
{
    (void)state;
    free(template.bytes);
    return 0;
}

static void copy_template(struct fixture *f)
{
    FILE *file = fopen(f->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(template.bytes, 1, template.size, file), template.size);
    fclose(file);
}

/* Opens a copy, with the fault VFS below it. */
static struct fixture *new_database(bool durable)
{
    struct fixture *f;

    assert_int_equal(fault_vfs_register(), SQLITE_OK);
    fault_vfs_reset();
    assert_int_equal(fixture_setup_bare((void **)&f), 0);
    f->vfs = FAULT_VFS_NAME;
    f->durable = durable;
    copy_template(f);
    fixture_open(f);
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_collection(reader, "notes", &f->catalog, ERR));
    crn_store_read_end(reader);
    return f;
}

static void drop_database(struct fixture *f)
{
    fault_vfs_fail(NULL);
    fixture_teardown((void **)&f);
}

/* ---- the disk ---- */

#define STEPS 12

static bool is_named_cause(cairn_status status)
{
    return status == CAIRN_OK || status == CAIRN_NO_SPACE || status == CAIRN_IO || status == CAIRN_BUSY ||
           status == CAIRN_READ_ONLY;
}

static void expect_rows(struct fixture *f, const cairn_status statuses[STEPS])
{
    for (int i = 0; i < STEPS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        const bool there = fixture_find(f, id) != 0;
        if (there != (statuses[i] == CAIRN_OK))
            fail_msg("write %d answered %s and is %d", i, cairn_status_name(statuses[i]), there);
    }
}

/* Writes, reads and checkpoints while the plan is on. False when the plan never came to pass. */
static bool survive(const struct fault_plan *plan)
{
    struct fixture *f = new_database(plan->op == FAULT_SYNC);
    cairn_status statuses[STEPS];

    fault_vfs_fail(plan);
    for (int i = 0; i < STEPS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        statuses[i] = put(f, id);
        if (!is_named_cause(statuses[i])) {
            fail_msg("%s %d: %s: %s", fault_op_name(plan->op), (int)plan->nth, cairn_status_name(statuses[i]),
                     fixture_error.message);
        }
        if (statuses[i] != CAIRN_OK) assert_true(fixture_error.message[0] != '\0');
        if (i % 5 == 4) assert_true(is_named_cause(crn_store_checkpoint(f->store, NULL)));
    }
    const bool came = fault_vfs_matched() >= plan->nth;
    fault_vfs_fail(NULL);
    assert_int_equal(put(f, "after"), CAIRN_OK);
    expect_rows(f, statuses);
    fixture_verify_clean(f->store);
    fixture_reopen(f);
    expect_rows(f, statuses);
    fixture_verify_clean(f->store);
    drop_database(f);
    return came;
}

static void sweep(enum fault_op op, enum fault_target target, int code, bool forever, bool short_write)
{
    uint64_t nth = 1, step = 1;

    while (survive(&(struct fault_plan){.op = op,
                                        .target = target,
                                        .nth = nth,
                                        .code = code,
                                        .forever = forever,
                                        .short_write = short_write})) {
        nth += step;
        if (nth > 8) step = 1 + nth / 3; /* the first ones one by one, the others sparser */
    }
}

static void the_disk_fills_up(void **state)
{
    (void)state;
    sweep(FAULT_WRITE, FAULT_WAL, SQLITE_FULL, false, true);
    sweep(FAULT_WRITE, FAULT_MAIN, SQLITE_FULL, false, false);
}

static void the_disk_stays_full(void **state)
{
    (void)state;
    sweep(FAULT_WRITE, FAULT_ALL_FILES, SQLITE_FULL, true, false);
}

static void writing_fails(void **state)
{
    (void)state;
    sweep(FAULT_WRITE, FAULT_ALL_FILES, 0, false, true);
    sweep(FAULT_TRUNCATE, FAULT_ALL_FILES, 0, false, false);
}

static void reading_fails(void **state)
{
    (void)state;
    sweep(FAULT_READ, FAULT_ALL_FILES, 0, false, false);
    sweep(FAULT_SIZE, FAULT_ALL_FILES, 0, false, false);
}

static void syncing_fails(void **state)
{
    (void)state;
    sweep(FAULT_SYNC, FAULT_ALL_FILES, 0, false, false);
    sweep(FAULT_SYNC, FAULT_ALL_FILES, 0, true, false);
}

/* After a failed sync nothing that the kernel says of the same pages is believed: the WAL is copied into the
 * file before the next write. */
static void a_failed_sync_is_not_retried(void **state)
{
    struct fixture *f = new_database(true);
    struct crn_store_stats before, after;
    const struct fault_plan plan = {.op = FAULT_SYNC, .target = FAULT_WAL, .nth = 1};

    (void)state;
    OK(crn_store_get_stats(f->store, &before, ERR));
    fault_vfs_fail(&plan);
    assert_int_equal(put(f, "b"), CAIRN_IO);
    assert_int_equal(fixture_find(f, "b"), 0);
    assert_int_equal(put(f, "c"), CAIRN_OK);
    OK(crn_store_get_stats(f->store, &after, ERR));
    assert_int_equal(after.checkpoints, before.checkpoints + 1);
    assert_int_equal(put(f, "d"), CAIRN_OK);
    OK(crn_store_get_stats(f->store, &after, ERR));
    assert_int_equal(after.checkpoints, before.checkpoints + 1);
    assert_int_equal(fixture_count(f), 3);
    fixture_verify_clean(f->store);

    /* A disk that goes on failing is told again with every write. */
    const struct fault_plan forever = {
        .op = FAULT_SYNC, .target = FAULT_ALL_FILES, .nth = 1, .forever = true};
    fault_vfs_fail(&forever);
    for (int i = 0; i < 4; i++) assert_int_equal(put(f, "e"), CAIRN_IO);
    fault_vfs_fail(NULL);
    assert_int_equal(put(f, "e"), CAIRN_OK);
    assert_int_equal(fixture_count(f), 4);
    drop_database(f);
}

struct thread_put {
    struct fixture *fixture;
    pthread_t thread;
    char id[16];
    cairn_status status;
};

static void *put_from_thread(void *ctx)
{
    struct thread_put *one = ctx;

    one->status = put(one->fixture, one->id);
    return NULL;
}

static void a_group_fails_together(void **state)
{
    struct fixture *f = new_database(true);
    struct thread_put puts[8];
    const struct fault_plan plan = {
        .op = FAULT_SYNC, .target = FAULT_WAL, .nth = 1, .code = SQLITE_FULL, .forever = true};

    (void)state;
    for (int round = 0; round < 2; round++) {
        fault_vfs_fail(round == 0 ? &plan : NULL);
        for (int i = 0; i < 8; i++) {
            puts[i].fixture = f;
            snprintf(puts[i].id, sizeof puts[i].id, "%d", i);
            assert_int_equal(pthread_create(&puts[i].thread, NULL, put_from_thread, &puts[i]), 0);
        }
        for (int i = 0; i < 8; i++) {
            pthread_join(puts[i].thread, NULL);
            assert_int_equal(puts[i].status, round == 0 ? CAIRN_NO_SPACE : CAIRN_OK);
        }
        assert_int_equal(fixture_count(f), round == 0 ? 1 : 9);
    }
    fixture_verify_clean(f->store);
    drop_database(f);
}

/* False when the fault never came. */
static bool open_with_fault(enum fault_op op, uint64_t nth, bool existing)
{
    struct fixture *f = new_database(false);
    const struct fault_plan plan = {.op = op, .target = FAULT_ALL_FILES, .nth = nth};
    const struct crn_store_options options = {.vfs = FAULT_VFS_NAME, .busy_timeout_ms = 40};

    fixture_close(f);
    if (!existing) assert_int_equal(remove(f->path), 0);
    fault_vfs_fail(&plan);
    cairn_status status = crn_store_open(f->path, &options, &f->store, ERR);
    const bool came = fault_vfs_matched() >= nth;
    fault_vfs_fail(NULL);
    if (!is_named_cause(status)) fail_msg("%s %d: %s", fault_op_name(op), (int)nth, fixture_error.message);
    fixture_close(f);
    fixture_open(f);
    if (existing) assert_int_equal(fixture_count(f), 1);
    fixture_verify_clean(f->store);
    drop_database(f);
    return came;
}

/* Opening, of a new file and of one that is there, with a fault at each place. */
static void opening_meets_faults(void **state)
{
    static const enum fault_op ops[] = {FAULT_OPEN, FAULT_READ, FAULT_WRITE,  FAULT_SYNC,
                                        FAULT_SHM,  FAULT_LOCK, FAULT_DELETE, FAULT_SIZE};

    (void)state;
    for (size_t o = 0; o < COUNT_OF(ops); o++) {
        for (int existing = 0; existing < 2; existing++) {
            uint64_t nth = 1;
            while (open_with_fault(ops[o], nth, existing)) nth += nth < 8 ? 1 : 1 + nth / 3;
        }
    }
}

/* ---- memory ---- */

static sqlite3_mem_methods real_memory;
static _Atomic uint64_t sqlite_nth, sqlite_asked; /* nth 0: off */

static bool sqlite_refuses(void)
{
    const uint64_t nth = sqlite_nth;

    return nth != 0 && ++sqlite_asked == nth;
}

static void *failing_malloc(int size)
{
    return sqlite_refuses() ? NULL : real_memory.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
    return sqlite_refuses() ? NULL : real_memory.xRealloc(memory, size);
}

static void replace_sqlite_memory(void)
{
    sqlite3_mem_methods methods;

    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    methods = real_memory;
    methods.xMalloc = failing_malloc;
    methods.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
}

/* The first ones one by one, the others sparser, and not the same in every run. */
static uint64_t next_nth(uint64_t nth)
{
    return nth + (nth < 24 ? 1 : 1 + crn_rng_below(&rng, nth / 4));
}

enum whose_memory { OURS, SQLITES };

static void fail_memory(enum whose_memory whose, uint64_t nth)
{
    if (whose == OURS) {
        crn_mem_fail_at(nth, false);
    } else {
        sqlite_asked = 0;
        sqlite_nth = nth;
    }
}

/* Switches the fault off; did it come? */
static bool memory_failed(enum whose_memory whose, uint64_t nth)
{
    const bool failed = (whose == OURS ? crn_mem_count() : sqlite_asked) >= nth;

    crn_mem_fail_at(0, false);
    sqlite_nth = 0;
    return failed;
}

static cairn_status note_record(void *ctx, const struct crn_record *record)
{
    (void)record;
    ++*(int *)ctx;
    return CAIRN_OK;
}

static cairn_status note_scored(void *ctx, uint32_t local, double score)
{
    (void)local;
    (void)score;
    ++*(int *)ctx;
    return CAIRN_OK;
}

static cairn_status note_local(void *ctx, uint32_t local)
{
    (void)local;
    ++*(int *)ctx;
    return CAIRN_OK;
}

static cairn_status read_all_ways(struct fixture *f, struct crn_reader *reader)
{
    const struct crn_value value = {.type = CRN_VALUE_STRING, .string = "x", .string_len = 1};
    struct crn_catalog catalog = {0};
    struct crn_record record;
    struct crn_buf memory;
    char **names;
    size_t name_count;
    int seen = 0;

    CRN_TRY(crn_read_collection(reader, "notes", &catalog, ERR));
    crn_catalog_release(&catalog);
    CRN_TRY(crn_read_collection_names(reader, &names, &name_count, ERR));
    crn_mem_free(names);
    crn_buf_init(&memory, 1u << 20);
    cairn_status status = crn_read_record(reader, &f->catalog, 1, true, &memory, &record, ERR);
    crn_buf_release(&memory);
    if (status != CAIRN_OK) return status;
    CRN_TRY(crn_read_scan(reader, &f->catalog, 1, CRN_WANT_ID | CRN_WANT_TEXT, note_record, &seen, ERR));
    CRN_TRY(crn_read_lexical(reader, &f->catalog, "words", 10, note_scored, &seen, ERR));
    CRN_TRY(crn_read_index(reader, 1, CRN_EQ, &value, note_local, &seen, ERR));
    CRN_TRY(crn_read_scope(reader, f->catalog.id, "domain", "agent", "pattern", 0.1, note_local, &seen, ERR));
    assert_int_equal(seen, 4);
    return CAIRN_OK;
}

static cairn_status open_and_read(struct fixture *f)
{
    struct crn_reader *reader;
    const struct crn_store_options options = {.lazy = true};

    cairn_status status = crn_store_open(f->path, &options, &f->store, ERR);
    if (status != CAIRN_OK) return status;
    status = crn_store_read_begin(f->store, &reader, ERR);
    if (status != CAIRN_OK) return status;
    status = read_all_ways(f, reader);
    crn_store_read_end(reader);
    return status;
}

static cairn_status open_and_write(struct fixture *f)
{
    const struct crn_store_options options = {.lazy = true};

    cairn_status status = crn_store_open(f->path, &options, &f->store, ERR);
    return status == CAIRN_OK ? put(f, "another") : status;
}

static void expect_no_memory(cairn_status status, bool failed, uint64_t nth)
{
    if (status == CAIRN_NO_MEMORY) {
        assert_true(failed);
    } else if (status != CAIRN_OK) {
        fail_msg("allocation %d: %s: %s", (int)nth, cairn_status_name(status), fixture_error.message);
    }
}

/* The catalog as the template has it, without reading it. */
static struct crn_space *spaces(void)
{
    struct crn_space *list = calloc(2, sizeof *list);

    list[0].id = 1;
    list[1].id = 2;
    return list;
}

static void sweep_memory(enum whose_memory whose, bool existing, cairn_status (*act)(struct fixture *f))
{
    bool failed = true;

    for (uint64_t nth = 1; failed; nth = next_nth(nth)) {
        struct fixture *f;
        assert_int_equal(fixture_setup_bare((void **)&f), 0);
        f->catalog = (struct crn_catalog){
            .id = 1, .name = strdup("notes"), .lexical = true, .spaces = spaces(), .space_count = 2};
        if (existing) copy_template(f);
        fail_memory(whose, nth);
        cairn_status status = act(f);
        failed = memory_failed(whose, nth);
        expect_no_memory(status, failed, nth);
        fixture_close(f);
        fixture_open(f); /* nothing was harmed */
        if (existing) {
            assert_int_equal(fixture_find(f, "a"), 1);
            if (act == open_and_write) assert_int_equal(fixture_find(f, "another") != 0, status == CAIRN_OK);
            assert_true(put(f, "last") == CAIRN_OK);
        }
        fixture_verify_clean(f->store);
        fixture_teardown((void **)&f);
    }
}

static cairn_status only_open(struct fixture *f)
{
    const struct crn_store_options options = {.lazy = true};

    return crn_store_open(f->path, &options, &f->store, ERR);
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (int whose = OURS; whose <= SQLITES; whose++) {
        sweep_memory((enum whose_memory)whose, false, only_open);
        sweep_memory((enum whose_memory)whose, true, open_and_read);
        sweep_memory((enum whose_memory)whose, true, open_and_write);
    }
}

static void tell_finding(void *ctx, const char *message)
{
    (void)ctx;
    print_error("%s\n", message);
}

/* The same handle goes on after each failure, over all kinds of calls. */
static void a_store_outlives_failures(void **state)
{
    struct fixture *f = *state;
    bool failed = true;
    char copy[600];
    uint64_t findings;
    int puts = 0;

    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    snprintf(copy, sizeof copy, "%s.copy", f->path);
    for (uint64_t nth = 1; failed; nth = next_nth(nth)) {
        failed = false;
        for (int whose = OURS; whose <= SQLITES; whose++) {
            char id[16];
            snprintf(id, sizeof id, "%d", puts++);
            fail_memory((enum whose_memory)whose, nth);
            cairn_status status = put(f, id);
            failed |= memory_failed((enum whose_memory)whose, nth);
            expect_no_memory(status, true, nth);
            assert_int_equal(fixture_find(f, id) != 0, status == CAIRN_OK);
            fail_memory((enum whose_memory)whose, nth);
            status = crn_store_verify(f->store, tell_finding, NULL, NULL, &findings, ERR);
            failed |= memory_failed((enum whose_memory)whose, nth);
            expect_no_memory(status, true, nth);
            assert_int_equal(findings, 0);
            fail_memory((enum whose_memory)whose, nth);
            status = crn_store_backup(f->store, copy, NULL, NULL, ERR);
            failed |= memory_failed((enum whose_memory)whose, nth);
            expect_no_memory(status, true, nth);
            assert_int_equal(remove(copy) == 0, status == CAIRN_OK);
        }
    }
    fixture_verify_clean(f->store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_disk_fills_up),
        cmocka_unit_test(the_disk_stays_full),
        cmocka_unit_test(writing_fails),
        cmocka_unit_test(reading_fails),
        cmocka_unit_test(syncing_fails),
        cmocka_unit_test(a_failed_sync_is_not_retried),
        cmocka_unit_test(a_group_fails_together),
        cmocka_unit_test(opening_meets_faults),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test_setup_teardown(a_store_outlives_failures, fixture_setup, fixture_teardown),
    };

    replace_sqlite_memory();
    rng = test_rng();
    return cmocka_run_group_tests(tests, make_template, drop_template);
}
