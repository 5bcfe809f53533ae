/* The operation log, segments and settings: order, trimming, and what each change leaves in the log. */
#include "tests/storage/store_fixture.h"

#include "base/mem.h"

struct entries {
    struct crn_log_entry list[64];
    size_t count;
};

static cairn_status note_entry(void *ctx, const struct crn_log_entry *entry)
{
    struct entries *entries = ctx;

    assert_true(entries->count < COUNT_OF(entries->list));
    entries->list[entries->count++] = *entry;
    return CAIRN_OK;
}

static struct entries read_log(struct fixture *f, uint64_t after)
{
    struct entries entries = {.count = 0};
    struct crn_reader *reader = fixture_reader(f->store);

    OK(crn_read_log(reader, after, note_entry, &entries, ERR));
    crn_store_read_end(reader);
    return entries;
}

static void expect_log_conflict(struct fixture *f, uint64_t after)
{
    struct entries entries = {.count = 0};
    struct crn_reader *reader = fixture_reader(f->store);

    assert_status(crn_read_log(reader, after, note_entry, &entries, ERR), CAIRN_CONFLICT);
    assert_int_equal(entries.count, 0);
    crn_store_read_end(reader);
}

static void put(struct fixture *f, const char *id)
{
    struct crn_record record = fixture_record(id);

    OK(fixture_put(f, &record, false, ERR));
}

static void each_change_is_logged_in_order(void **state)
{
    struct fixture *f = *state;
    const uint64_t key = (uint64_t)f->catalog.id << 32 | 1;
    struct crn_record record = fixture_record("a");

    OK(fixture_put(f, &record, false, ERR)); /* 2; 1 is the collection's */
    record.version = 2;
    OK(fixture_put(f, &record, true, ERR)); /* 3 */
    const uint64_t digest = record.digest;
    OK(fixture_delete(f, 1, ERR)); /* 4 */
    const struct entries entries = read_log(f, 0);
    assert_int_equal(entries.count, 4);
    for (size_t i = 0; i < 4; i++) assert_int_equal(entries.list[i].sequence, i + 1);
    assert_int_equal(entries.list[0].op, CRN_LOG_CATALOG);
    assert_int_equal(entries.list[0].key, (uint64_t)f->catalog.id << 32);
    assert_int_equal(entries.list[1].op, CRN_LOG_PUT);
    assert_int_equal(entries.list[2].op, CRN_LOG_SET);
    assert_int_equal(entries.list[3].op, CRN_LOG_DELETE);
    for (size_t i = 1; i < 4; i++) assert_true(entries.list[i].key == key);
    assert_int_equal(entries.list[2].version, 2);
    assert_true(entries.list[2].digest == digest);
    assert_int_equal(read_log(f, 3).count, 1);
    assert_int_equal(read_log(f, 4).count, 0);
    expect_log_conflict(f, 5); /* nobody can have seen that */
    assert_int_equal(crn_store_sequence(f->store), 4);
}

/* ---- segments and trimming ---- */

struct segments {
    uint32_t space;
    struct crn_segment_entry entries[3];
    uint32_t count;
};

static cairn_status run_segments(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct segments *segments = ctx;

    return crn_txn_segments_set(txn, segments->space, segments->entries, segments->count, err);
}

static cairn_status run_trim(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    (void)ctx;
    return crn_txn_log_trim(txn, err);
}

static void set_covered(struct fixture *f, uint32_t space, uint64_t sequence)
{
    struct segments segments = {.space = space, .count = 1};

    snprintf(segments.entries[0].file, sizeof segments.entries[0].file, "s-%u", space);
    segments.entries[0].sequence = sequence;
    OK(fixture_write(f->store, run_segments, &segments, ERR));
}

static void segments_are_switched_as_a_list(void **state)
{
    struct fixture *f = *state;
    struct segments segments = {.space = 1, .count = 3};
    struct crn_segment_entry *read;
    uint32_t count;

    for (unsigned i = 0; i < 3; i++) {
        snprintf(segments.entries[i].file, sizeof segments.entries[i].file, "segment-%u", i);
        segments.entries[i].sequence = 10 * (i + 1);
        segments.entries[i].rows = i;
    }
    memset(segments.entries[1].index_file, 'x', 63);
    OK(fixture_write(f->store, run_segments, &segments, ERR));
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_segments(reader, 1, &read, &count, ERR));
    assert_int_equal(count, 3);
    assert_memory_equal(read, segments.entries, sizeof segments.entries);
    crn_mem_free(read);
    OK(crn_read_segments(reader, 2, &read, &count, ERR));
    assert_int_equal(count, 0);
    assert_null(read);
    crn_store_read_end(reader);

    segments.count = 1;
    OK(fixture_write(f->store, run_segments, &segments, ERR));
    reader = fixture_reader(f->store);
    OK(crn_read_segments(reader, 1, &read, &count, ERR));
    assert_int_equal(count, 1);
    crn_mem_free(read);
    crn_store_read_end(reader);
    const struct entries entries = read_log(f, 1);
    assert_int_equal(entries.count, 2);
    assert_int_equal(entries.list[1].op, CRN_LOG_SEGMENTS);
    assert_true(entries.list[1].key == (uint64_t)1 << 32);
}

static void the_log_is_trimmed_below_what_all_cover(void **state)
{
    struct fixture *f = *state;
    const struct crn_vector_data small = {
        .space = 2, .data = fixture_floats, .size = SMALL_DIM * sizeof(float)};

    for (int i = 0; i < 5; i++) { /* 2..6 */
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        put(f, id);
    }
    OK(fixture_write(f->store, run_trim, NULL, ERR)); /* nothing is covered */
    assert_int_equal(read_log(f, 0).count, 6);

    set_covered(f, 1, 4); /* 7; the other space has no rows */
    OK(fixture_write(f->store, run_trim, NULL, ERR));
    expect_log_conflict(f, 0);
    expect_log_conflict(f, 3);
    assert_int_equal(read_log(f, 4).count, 3);

    struct crn_record record = fixture_record("both"); /* 8 */
    record.vectors = &small;
    OK(fixture_put(f, &record, false, ERR));
    set_covered(f, 1, 8); /* 9 */
    OK(fixture_write(f->store, run_trim, NULL, ERR));
    assert_int_equal(read_log(f, 4).count, 5); /* the second space has a row and covers nothing */

    set_covered(f, 2, 10); /* 10 */
    set_covered(f, 1, 10); /* 11 */
    OK(fixture_write(f->store, run_trim, NULL, ERR));
    assert_int_equal(read_log(f, 10).count, 1);
    set_covered(f, 1, 12); /* 12 */
    set_covered(f, 2, 13); /* 13 */
    set_covered(f, 1, 99);
    set_covered(f, 2, 99); /* 15: the newest entry always stays */
    OK(fixture_write(f->store, run_trim, NULL, ERR));
    assert_int_equal(read_log(f, 14).count, 1);
    expect_log_conflict(f, 13);
    fixture_verify_clean(f->store);
    fixture_reopen(f);
    assert_int_equal(crn_store_sequence(f->store), 15);
    put(f, "later");
    assert_int_equal(crn_store_sequence(f->store), 16);
    fixture_verify_clean(f->store);
}

/* ---- settings ---- */

struct settings {
    struct fixture *fixture;
    uint64_t sequence;
    struct crn_catalog catalog;
};

static cairn_status run_read_settings(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct settings *settings = ctx;

    CRN_TRY(crn_txn_settings_sequence(txn, settings->fixture->catalog.id, &settings->sequence, err));
    CRN_TRY(crn_txn_collection_check(txn, settings->fixture->catalog.id, err));
    return crn_txn_collection(txn, settings->fixture->catalog.id, &settings->catalog, err);
}

static cairn_status run_model(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;

    return crn_txn_space_model(txn, &f->catalog, 1, "m2", err);
}

static cairn_status run_model_of_nothing(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;

    return crn_txn_space_model(txn, &f->catalog, 9, "m2", err);
}

static uint64_t settings_sequence(struct fixture *f)
{
    struct crn_reader *reader = fixture_reader(f->store);
    uint64_t sequence;

    OK(crn_read_settings_sequence(reader, f->catalog.id, &sequence, ERR));
    crn_store_read_end(reader);
    return sequence;
}

static void settings_tell_when_they_changed(void **state)
{
    struct fixture *f = *state;
    struct settings settings = {.fixture = f};

    assert_int_equal(settings_sequence(f), 1);
    put(f, "a");
    assert_int_equal(settings_sequence(f), 1);
    OK(fixture_write(f->store, run_model, f, ERR));
    assert_int_equal(settings_sequence(f), 3);
    assert_status(fixture_write(f->store, run_model_of_nothing, f, ERR), CAIRN_NO_COLLECTION);
    assert_int_equal(settings_sequence(f), 3);
    OK(fixture_write(f->store, run_read_settings, &settings, ERR));
    assert_int_equal(settings.sequence, 3);
    assert_string_equal(settings.catalog.spaces[0].model, "m2");
    crn_catalog_release(&settings.catalog);
    fixture_reopen(f);
    assert_int_equal(settings_sequence(f), 3);
    fixture_verify_clean(f->store);
}

static cairn_status run_create(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

/* Neither another collection's settings nor a row make a collection's own ones older. */
static void settings_change_alone(void **state)
{
    struct fixture *f = *state;
    struct crn_space space = {
        .name = "", .kind = CAIRN_SPACE_DENSE, .dim = 2, .metric = CAIRN_METRIC_L2, .index = "auto"};
    struct crn_catalog other = {.name = "other", .spaces = &space, .space_count = 1};
    struct crn_reader *reader;
    uint64_t sequence;

    OK(fixture_write(f->store, run_create, &other, ERR));
    assert_int_equal(settings_sequence(f), 1);
    reader = fixture_reader(f->store);
    OK(crn_read_settings_sequence(reader, other.id, &sequence, ERR));
    assert_int_equal(sequence, 2);
    assert_status(crn_read_settings_sequence(reader, 99, &sequence, ERR), CAIRN_NO_COLLECTION);
    crn_store_read_end(reader);
}

/* ---- what lives as long as a reader or a transaction ---- */

static void count_release(void *object)
{
    ++*(int *)object;
}

static cairn_status run_keep(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    int *released = ctx;

    CRN_TRY(crn_txn_keep(txn, &released[0], count_release, err));
    CRN_TRY(crn_txn_keep(txn, &released[1], count_release, err));
    assert_int_equal(released[0] + released[1], 0);
    return released[2] == 0 ? CAIRN_OK : crn_error_set(err, CAIRN_CONFLICT, "on order");
}

static void objects_are_kept_as_long_as_they_are_seen(void **state)
{
    struct fixture *f = *state;
    struct crn_reader *reader = fixture_reader(f->store);
    int released[20] = {0};

    for (size_t i = 0; i < COUNT_OF(released); i++)
        OK(crn_reader_keep(reader, &released[i], count_release, ERR));
    for (size_t i = 0; i < COUNT_OF(released); i++) assert_int_equal(released[i], 0);
    OK(crn_reader_keep(reader, &released[3], count_release, ERR));
    assert_int_equal(released[3], 1); /* the second reference is not needed */
    crn_store_read_end(reader);
    for (size_t i = 0; i < COUNT_OF(released); i++) assert_int_equal(released[i], i == 3 ? 2 : 1);

    int of_txn[3] = {0};
    OK(fixture_write(f->store, run_keep, of_txn, ERR));
    assert_int_equal(of_txn[0], 1);
    assert_int_equal(of_txn[1], 1);
    memset(of_txn, 0, sizeof of_txn);
    of_txn[2] = 1;
    assert_status(fixture_write(f->store, run_keep, of_txn, ERR), CAIRN_CONFLICT);
    assert_int_equal(of_txn[0], 1);
    assert_int_equal(of_txn[1], 1);
}

static cairn_status run_drop(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_drop(txn, ctx, err);
}

static cairn_status run_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_payload_index_create(txn, ctx, "a", err);
}

static void a_dropped_collection_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct crn_catalog again = {.name = "notes"};
    struct settings settings = {.fixture = f};
    struct crn_record record = fixture_record("a");
    char **names;
    size_t count;

    assert_status(fixture_write(f->store, run_create, &again, ERR), CAIRN_EXISTS);
    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    record.text = "words";
    record.payload = "{\"a\":1}";
    record.usage_count = 1;
    OK(fixture_put(f, &record, false, ERR));
    set_covered(f, 1, 1);
    OK(fixture_write(f->store, run_drop, &f->catalog, ERR));
    assert_status(fixture_write(f->store, run_drop, &f->catalog, ERR), CAIRN_NO_COLLECTION);
    assert_status(fixture_write(f->store, run_read_settings, &settings, ERR), CAIRN_NO_COLLECTION);
    record.local = 0;
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_NO_COLLECTION);
    static const char *const tables[] = {"points",      "vecs",     "usage",           "spaces",
                                         "collections", "segments", "payload_indexes", "payload_values"};
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        assert_int_equal(fixture_raw_number(f->path, sql), 0);
    }
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'fts%'"),
                     0);

    const uint32_t old = f->catalog.id;
    OK(fixture_write(f->store, run_create, &again, ERR));
    assert_true(again.id > old); /* numbers of collections are never given twice either */
    assert_true(again.created_at_ms > 0);
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_collection_names(reader, &names, &count, ERR));
    assert_int_equal(count, 1);
    assert_string_equal(names[0], "notes");
    crn_mem_free(names);
    crn_store_read_end(reader);
    fixture_verify_clean(f->store);
}

static void names_are_sorted_by_bytes(void **state)
{
    struct fixture *f = *state;
    const char *wanted[] = {"A", "Z", "a", "notes", "\xc3\xa4"};
    char **names;
    size_t count;

    for (size_t i = COUNT_OF(wanted); i-- > 0;) {
        char name[8];
        struct crn_catalog catalog = {.name = name};
        snprintf(name, sizeof name, "%s", wanted[i]);
        if (i != 3) OK(fixture_write(f->store, run_create, &catalog, ERR));
    }
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_collection_names(reader, &names, &count, ERR));
    assert_int_equal(count, COUNT_OF(wanted));
    for (size_t i = 0; i < count; i++) assert_string_equal(names[i], wanted[i]);
    crn_mem_free(names);
    crn_store_read_end(reader);
}

/* Another store of the same file has its own idea of the collection, and has to notice this one's changes. */
static void two_stores_see_each_others_changes(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    struct crn_record record = fixture_record("a");

    fixture_open(&other);
    OK(fixture_put(f, &record, false, ERR));
    record = fixture_record("b");
    OK(fixture_put(&other, &record, false, ERR));
    assert_int_equal(record.local, 2);
    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    record = fixture_record("c");
    record.payload = "{\"a\":1}";
    OK(fixture_put(&other, &record, false, ERR)); /* fills the index that the first has made */
    assert_int_equal(record.local, 3);
    assert_int_equal(crn_store_sequence(f->store), crn_store_sequence(other.store));
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM payload_values"), 1);
    fixture_verify_clean(other.store);
    fixture_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_change_is_logged_in_order),
        TEST(segments_are_switched_as_a_list),
        TEST(the_log_is_trimmed_below_what_all_cover),
        TEST(settings_tell_when_they_changed),
        TEST(settings_change_alone),
        TEST(objects_are_kept_as_long_as_they_are_seen),
        TEST(a_dropped_collection_leaves_nothing),
        TEST(names_are_sorted_by_bytes),
        TEST(two_stores_see_each_others_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
