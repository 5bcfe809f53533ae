/* Writing from many threads: groups, their order, failures inside them, and the lock between stores. */
#include "storage/store_internal.h"
#include "tests/storage/store_fixture.h"

#include <pthread.h>
#include <unistd.h>

/* ---- many threads ---- */

#define THREADS 16
#define WRITES 40

struct writer {
    struct fixture *fixture;
    pthread_t thread;
    int number, done;
    uint64_t last_sequence;
    char id[32];
};

static _Atomic uint64_t last_committed;

static cairn_status run_insert(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct writer *writer = ctx;
    struct crn_record record = fixture_record(writer->id);

    return crn_txn_put(txn, &writer->fixture->catalog, &record, false, err);
}

static void note_committed(void *ctx, uint64_t sequence)
{
    struct writer *writer = ctx;

    assert_true(sequence >= atomic_load(&last_committed)); /* one after the other, in their order */
    atomic_store(&last_committed, sequence);
    assert_true(sequence > writer->last_sequence);
    assert_true(sequence > crn_store_sequence(writer->fixture->store)); /* nobody has been told yet */
    writer->last_sequence = sequence;
    writer->done++;
}

static void *insert_rows(void *ctx)
{
    struct writer *writer = ctx;
    const struct crn_write_job job = {.run = run_insert, .committed = note_committed, .ctx = writer};

    for (int i = 0; i < WRITES; i++) {
        snprintf(writer->id, sizeof writer->id, "t%d-%d", writer->number, i);
        OK(crn_store_write(writer->fixture->store, &job, ERR));
        assert_int_equal(writer->done, i + 1); /* called, once, before the answer */
        assert_true(crn_store_sequence(writer->fixture->store) >= writer->last_sequence);
        assert_true(fixture_find(writer->fixture, writer->id) > 0);
    }
    return NULL;
}

static void threads_write_in_groups(void **state)
{
    struct fixture *f = *state;
    struct writer writers[THREADS];
    struct crn_store_stats stats;

    atomic_store(&last_committed, 0);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.fixture = f, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, insert_rows, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(writers[i].thread, NULL);
    assert_int_equal(fixture_count(f), THREADS * WRITES);
    OK(crn_store_get_stats(f->store, &stats, ERR));
    assert_int_equal(stats.commits, THREADS * WRITES + 1);
    assert_true(stats.groups <= stats.commits);
    assert_int_equal(stats.log_last, THREADS * WRITES + 1);
    print_message("%d writes in %d commits\n", (int)stats.commits, (int)stats.groups);
    fixture_verify_clean(f->store);
}

/* ---- one group, made on purpose: a job holds the lead until the others stand in the queue ---- */

struct gate {
    struct crn_store *store;
    size_t wait_for;
    _Atomic bool inside;
};

static void await_queue(struct crn_store *store, size_t count)
{
    size_t waiting = 0;

    while (waiting < count) {
        usleep(1000);
        pthread_mutex_lock(&store->queue.mutex);
        waiting = store->queue.count;
        pthread_mutex_unlock(&store->queue.mutex);
    }
}

static cairn_status run_gate(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct gate *gate = ctx;

    (void)txn;
    (void)err;
    atomic_store(&gate->inside, true);
    await_queue(gate->store, gate->wait_for);
    return CAIRN_OK;
}

struct member {
    struct fixture *fixture;
    pthread_t thread;
    char id[32];
    enum { GOOD, FAILS_LATE, TAKES_AN_ID, BREAKS_THE_TRANSACTION, BIG } kind;
    cairn_status status;
    cairn_error error;
    int runs, committed;
};

static cairn_status run_member(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    static char big_text[6000001];
    struct member *member = ctx;
    struct crn_record record = fixture_record(member->id);

    member->runs++;
    if (member->kind == TAKES_AN_ID) record.id = "g0", record.id_len = 2;
    if (member->kind == BIG) {
        memset(big_text, 'x', sizeof big_text - 1);
        record.text = big_text;
    }
    CRN_TRY(crn_txn_put(txn, &member->fixture->catalog, &record, false, err));
    if (member->kind == FAILS_LATE) return crn_error_set(err, CAIRN_CONFLICT, "on purpose");
    if (member->kind == BREAKS_THE_TRANSACTION) {
        sqlite3_exec(member->fixture->store->writer.db, "ROLLBACK", NULL, NULL,
                     NULL); /* as SQLite does when a disk is full */
        return crn_error_set(err, CAIRN_NO_SPACE, "as if");
    }
    return CAIRN_OK;
}

static void member_committed(void *ctx, uint64_t sequence)
{
    struct member *member = ctx;

    (void)sequence;
    member->committed++;
}

static void *write_member(void *ctx)
{
    struct member *member = ctx;
    const struct crn_write_job job = {.run = run_member, .committed = member_committed, .ctx = member};

    member->status = crn_store_write(member->fixture->store, &job, &member->error);
    return NULL;
}

static void *open_gate(void *ctx)
{
    struct gate *gate = ctx;
    const struct crn_write_job job = {.run = run_gate, .ctx = gate};

    OK(crn_store_write(gate->store, &job, ERR));
    return NULL;
}

/* Writes all members as one group, in their order. */
static void write_group(struct fixture *f, struct member *members, size_t count)
{
    struct gate gate = {.store = f->store, .wait_for = count};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, open_gate, &gate), 0);
    while (!atomic_load(&gate.inside)) usleep(1000);
    for (size_t i = 0; i < count; i++) {
        members[i].fixture = f;
        snprintf(members[i].id, sizeof members[i].id, "g%zu", i);
        assert_int_equal(pthread_create(&members[i].thread, NULL, write_member, &members[i]), 0);
        if (i + 1 < count) await_queue(f->store, i + 1);
    }
    pthread_join(thread, NULL);
    for (size_t i = 0; i < count; i++) pthread_join(members[i].thread, NULL);
}

static void expect_members(struct fixture *f, const struct member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const bool good = members[i].kind == GOOD || members[i].kind == BIG;
        assert_int_equal(members[i].status == CAIRN_OK, good);
        assert_int_equal(members[i].committed, good);
        assert_int_equal(fixture_find(f, members[i].id) != 0, good);
        if (members[i].kind == FAILS_LATE) assert_string_equal(members[i].error.message, "on purpose");
        if (members[i].kind == TAKES_AN_ID) assert_int_equal(members[i].status, CAIRN_EXISTS);
        if (members[i].kind == BREAKS_THE_TRANSACTION) assert_int_equal(members[i].status, CAIRN_NO_SPACE);
    }
    fixture_verify_clean(f->store);
}

static void a_failing_job_takes_nobody_with_it(void **state)
{
    struct fixture *f = *state;
    struct member members[] = {{.kind = GOOD},        {.kind = FAILS_LATE}, {.kind = GOOD},
                               {.kind = TAKES_AN_ID}, {.kind = GOOD},       {.kind = FAILS_LATE}};
    const uint64_t log = fixture_log_last(f);
    struct crn_store_stats before, after;

    OK(crn_store_get_stats(f->store, &before, ERR));
    write_group(f, members, COUNT_OF(members));
    OK(crn_store_get_stats(f->store, &after, ERR));
    expect_members(f, members, COUNT_OF(members));
    assert_int_equal(after.commits - before.commits, 4); /* with the gate's */
    assert_int_equal(after.groups - before.groups, 2);
    assert_int_equal(fixture_log_last(f), log + 3); /* without gaps */
    assert_int_equal(fixture_count(f), 3);
}

static void a_lost_transaction_is_run_again_without_the_culprit(void **state)
{
    struct fixture *f = *state;
    struct member members[] = {{.kind = GOOD},
                               {.kind = BREAKS_THE_TRANSACTION},
                               {.kind = GOOD},
                               {.kind = BREAKS_THE_TRANSACTION},
                               {.kind = GOOD}};

    write_group(f, members, COUNT_OF(members));
    expect_members(f, members, COUNT_OF(members));
    assert_int_equal(members[0].runs, 3);
    assert_int_equal(members[4].runs, 1);
}

static void a_group_has_a_size(void **state)
{
    struct fixture *f = *state;
    struct member members[7] = {{.kind = GOOD}};
    struct crn_store_stats before, after;

    for (size_t i = 1; i < 7; i++) members[i].kind = BIG;
    OK(crn_store_get_stats(f->store, &before, ERR));
    write_group(f, members, COUNT_OF(members));
    OK(crn_store_get_stats(f->store, &after, ERR));
    expect_members(f, members, COUNT_OF(members));
    assert_true(after.groups - before.groups >= 4); /* the gate's, and 36 MB in pieces of 16 and a bit */
    for (size_t i = 0; i < 7; i++) assert_int_equal(members[i].runs, 1);
}

static void a_lone_job_that_fails_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct member member = {.fixture = f, .id = "alone", .kind = FAILS_LATE};
    const uint64_t log = fixture_log_last(f);

    write_member(&member);
    assert_int_equal(member.status, CAIRN_CONFLICT);
    member.kind = BREAKS_THE_TRANSACTION;
    write_member(&member);
    assert_int_equal(member.status, CAIRN_NO_SPACE);
    assert_int_equal(fixture_log_last(f), log);
    member.kind = GOOD;
    write_member(&member);
    assert_int_equal(member.status, CAIRN_OK);
    assert_int_equal(fixture_log_last(f), log + 1);
    assert_int_equal(fixture_count(f), 1);
    fixture_verify_clean(f->store);
}

/* ---- two stores of one file exclude each other ---- */

static cairn_status run_and_try_other(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *other = ctx;
    struct crn_record record = fixture_record("other");
    cairn_error refused;

    (void)txn;
    (void)err;
    assert_int_equal(fixture_put(other, &record, false, &refused), CAIRN_BUSY);
    assert_int_equal(crn_store_checkpoint(other->store, &refused), CAIRN_BUSY);
    assert_int_equal(fixture_count(other), 0); /* readers do not wait */
    return CAIRN_OK;
}

static void stores_of_one_file_exclude_each_other(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    const struct crn_store_options options = {.lazy = true, .busy_timeout_ms = 50};
    struct crn_record record = fixture_record("later");

    OK(crn_store_open(f->path, &options, &other.store, ERR));
    OK(fixture_write(f->store, run_and_try_other, &other, ERR));
    OK(fixture_put(&other, &record, false, ERR));
    assert_int_equal(fixture_count(f), 1);
    fixture_close(&other);
}

static void maintenance_has_locks_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    const struct crn_store_options options = {.lazy = true, .busy_timeout_ms = 30};
    bool got;

    OK(crn_store_open(f->path, &options, &other.store, ERR));
    OK(crn_store_lock(f->store, CRN_LOCK_BUILDER, false, &got, ERR));
    assert_true(got);
    OK(crn_store_lock(other.store, CRN_LOCK_BUILDER, false, &got, ERR));
    assert_false(got);
    assert_status(crn_store_lock(other.store, CRN_LOCK_BUILDER, true, NULL, ERR), CAIRN_BUSY);
    OK(crn_store_lock(other.store, CRN_LOCK_SEGMENTS, true, NULL, ERR)); /* another matter */
    crn_store_unlock(other.store, CRN_LOCK_SEGMENTS);
    struct crn_record record = fixture_record("a");
    OK(fixture_put(&other, &record, false, ERR)); /* as is writing */
    crn_store_unlock(f->store, CRN_LOCK_BUILDER);
    OK(crn_store_lock(other.store, CRN_LOCK_BUILDER, false, &got, ERR));
    assert_true(got);
    crn_store_unlock(other.store, CRN_LOCK_BUILDER);
    fixture_close(&other);
}

/* ---- checkpoints ---- */

static void the_wal_stays_short(void **state)
{
    struct fixture *f = *state;
    struct crn_store_stats stats;
    char *text = malloc(1000001);
    char id[16];

    memset(text, 'x', 1000000);
    text[1000000] = '\0';
    struct crn_reader *reader = NULL;
    for (int i = 0; i < 120; i++) {
        struct crn_record record = fixture_record(id);
        snprintf(id, sizeof id, "%d", i);
        record.id_len = strlen(id);
        record.payload = text;
        OK(fixture_put(f, &record, false, ERR));
        if (i == 60) { /* one that reads on and on keeps it from starting anew, and nothing else */
            uint64_t rows;
            reader = fixture_reader(f->store);
            OK(crn_read_count(reader, f->catalog.id, &rows, ERR));
            OK(crn_store_get_stats(f->store, &stats, ERR));
            assert_true(stats.checkpoints >= 2);
            assert_true(stats.wal_bytes < 32000000);
        }
    }
    OK(crn_store_get_stats(f->store, &stats, ERR));
    assert_true(stats.wal_bytes > 50000000);
    crn_store_read_end(reader);
    OK(crn_store_checkpoint(f->store, ERR));
    OK(crn_store_get_stats(f->store, &stats, ERR));
    assert_int_equal(stats.wal_bytes, 0);
    assert_true(stats.file_bytes > 110000000);
    assert_int_equal(fixture_count(f), 120);
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(threads_write_in_groups),
        TEST(a_failing_job_takes_nobody_with_it),
        TEST(a_lost_transaction_is_run_again_without_the_culprit),
        TEST(a_group_has_a_size),
        TEST(a_lone_job_that_fails_leaves_nothing),
        TEST(stores_of_one_file_exclude_each_other),
        TEST(maintenance_has_locks_of_its_own),
        TEST(the_wal_stays_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
