/* Rows: written, replaced, deleted, found by all kinds of ids, counted, read back as they were; kept over
 * reopening. */
#include "tests/storage/store_fixture.h"

#include "base/mem.h"

#include <math.h>

static void expect_text(const char *actual, const char *wanted)
{
    if (wanted == NULL) {
        assert_null(actual);
    } else {
        assert_non_null(actual);
        assert_string_equal(actual, wanted);
    }
}

static void expect_same(const struct crn_record *actual, const struct crn_record *wanted)
{
    assert_int_equal(actual->local, wanted->local);
    assert_int_equal(actual->id_type, wanted->id_type);
    assert_int_equal(actual->id_len, strlen(actual->id));
    if (wanted->id_type == CAIRN_ID_U64) {
        assert_true(actual->id_u64 == wanted->id_u64);
    } else {
        assert_string_equal(actual->id, wanted->id);
    }
    assert_string_equal(actual->domain, wanted->domain);
    assert_string_equal(actual->agent, wanted->agent);
    assert_string_equal(actual->type, wanted->type);
    expect_text(actual->text, wanted->text);
    expect_text(actual->payload, wanted->payload);
    assert_memory_equal(&actual->confidence, &wanted->confidence, sizeof(double));
    assert_int_equal(actual->usage_count, wanted->usage_count);
    assert_int_equal(actual->success_count, wanted->success_count);
    assert_int_equal(actual->last_used_ms, wanted->last_used_ms);
    assert_int_equal(actual->created_at_ms, wanted->created_at_ms);
    assert_int_equal(actual->expires_at_ms, wanted->expires_at_ms);
    assert_true(actual->version == wanted->version);
    assert_true(actual->digest == wanted->digest);
}

static const struct crn_vector_data *vector_of(const struct crn_record *record, uint32_t space)
{
    for (uint32_t i = 0; i < record->vector_count; i++) {
        if (record->vectors[i].space == space) return &record->vectors[i];
    }
    return NULL;
}

static void expect_vectors(const struct crn_record *actual, const struct crn_record *wanted)
{
    assert_int_equal(actual->vector_count, wanted->vector_count);
    for (uint32_t i = 0; i < wanted->vector_count; i++) {
        const struct crn_vector_data *vector = vector_of(actual, wanted->vectors[i].space);
        assert_non_null(vector);
        assert_int_equal(vector->size, wanted->vectors[i].size);
        assert_int_equal((uintptr_t)vector->data % sizeof(float), 0);
        assert_memory_equal(vector->data, wanted->vectors[i].data, vector->size);
    }
}

/* Reads the row both ways and compares. */
static void expect_stored(struct fixture *f, const struct crn_record *wanted)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct crn_record actual;
    struct crn_buf memory;

    crn_buf_init(&memory, 1u << 20);
    OK(crn_read_record(reader, &f->catalog, wanted->local, true, &memory, &actual, ERR));
    expect_same(&actual, wanted);
    expect_vectors(&actual, wanted);
    crn_buf_clear(&memory);
    OK(crn_read_record(reader, &f->catalog, wanted->local, false, &memory, &actual, ERR));
    expect_same(&actual, wanted);
    assert_int_equal(actual.vector_count, 0);
    crn_buf_release(&memory);
    crn_store_read_end(reader);
}

static void schema_survives_reopening(void **state)
{
    struct fixture *f = *state;
    unsigned char before[16], after[16];
    struct crn_catalog catalog;

    crn_store_uuid(f->store, before);
    fixture_reopen(f);
    crn_store_uuid(f->store, after);
    assert_memory_equal(before, after, 16);
    assert_false(crn_store_read_only(f->store));
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_collection(reader, "notes", &catalog, ERR));
    assert_string_equal(catalog.name, "notes");
    assert_true(catalog.lexical);
    assert_string_equal(catalog.metadata, "{\"a\":1}");
    assert_int_equal(catalog.space_count, 2);
    assert_string_equal(catalog.spaces[0].name, "");
    assert_null(catalog.spaces[0].model);
    assert_string_equal(catalog.spaces[1].name, "small");
    assert_string_equal(catalog.spaces[1].index, "flat");
    assert_string_equal(catalog.spaces[1].model, "m1");
    assert_int_equal(catalog.spaces[1].dim, SMALL_DIM);
    assert_int_equal(catalog.spaces[1].metric, CAIRN_METRIC_L2);
    assert_int_equal(catalog.spaces[1].quantization, CAIRN_QUANTIZATION_SCALAR);
    crn_catalog_release(&catalog);
    OK(crn_read_collection_by_id(reader, f->catalog.id, &catalog, ERR));
    crn_catalog_release(&catalog);
    assert_status(crn_read_collection(reader, "nothing", &catalog, ERR), CAIRN_NO_COLLECTION);
    assert_status(crn_read_collection_by_id(reader, 77, &catalog, ERR), CAIRN_NO_COLLECTION);
    crn_store_read_end(reader);
    fixture_verify_clean(f->store);
    fixture_close(f);
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA page_size"), 8192);
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA application_id"), 0x4361726e);
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA user_version"), CRN_SCHEMA_VERSION);
    fixture_open(f);
}

static void a_full_row_comes_back(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");
    const struct crn_vector_data vectors[] = {
        {.space = 2, .data = fixture_floats + 4, .size = SMALL_DIM * sizeof(float)},
        {.space = 1, .data = fixture_floats, .size = NOTES_DIM * sizeof(float)},
    };

    record.domain = "build";
    record.agent = "anna";
    record.type = "experience";
    record.text = "Use ccache \xc3\x9c berall.";
    record.payload = "{\"a\":[1,2,{\"b\":null}]}";
    record.confidence = 0.1;
    record.usage_count = 3;
    record.success_count = 2;
    record.last_used_ms = 12345;
    record.created_at_ms = -5;
    record.expires_at_ms = 99999;
    record.version = 7;
    record.vectors = vectors;
    record.vector_count = 2;
    OK(fixture_put(f, &record, false, ERR));
    assert_int_equal(record.local, 1);
    assert_int_equal(fixture_find(f, "a"), 1);
    expect_stored(f, &record);
    fixture_reopen(f);
    expect_stored(f, &record);
    fixture_verify_clean(f->store);
    record.confidence = 0.25; /* the same words and payload in a new version stay in their indexes */
    record.version = 8;
    OK(fixture_put(f, &record, false, ERR));
    expect_stored(f, &record);
    fixture_verify_clean(f->store);
}

static void ids_of_all_kinds(void **state)
{
    struct fixture *f = *state;
    char longest[CAIRN_ID_MAX + 2];
    const uint64_t numbers[] = {0, 1, 42, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    const char *uuids[] = {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
                           "0190163d-8694-739b-aea5-966c26f8ad91"};
    const char *strings[] = {
        "42", "0", "ffffffff-ffff-ffff-ffff-ffffffffffff", "x", " ", "\xf0\x9f\xaa\xa8", longest};
    struct crn_reader *reader;
    uint32_t local, rows = 0;

    memset(longest, 'y', CAIRN_ID_MAX);
    longest[CAIRN_ID_MAX] = '\0';
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct crn_record record = fixture_record("");
        record.id_type = CAIRN_ID_U64;
        record.id_u64 = numbers[i];
        OK(fixture_put(f, &record, false, ERR));
        assert_int_equal(record.local, ++rows);
        expect_stored(f, &record);
    }
    for (size_t i = 0; i < COUNT_OF(uuids); i++) {
        struct crn_record record = fixture_record(uuids[i]);
        record.id_type = CAIRN_ID_UUID;
        OK(fixture_put(f, &record, false, ERR));
        assert_int_equal(record.local, ++rows);
        expect_stored(f, &record);
    }
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        struct crn_record record = fixture_record(strings[i]);
        OK(fixture_put(f, &record, false, ERR));
        assert_int_equal(record.local, ++rows);
        expect_stored(f, &record);
    }

    reader = fixture_reader(f->store);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        OK(crn_read_find(reader, &f->catalog, CAIRN_ID_U64, NULL, 0, numbers[i], &local, ERR));
        assert_int_equal(local, 1 + i);
    }
    for (size_t i = 0; i < COUNT_OF(uuids); i++) {
        OK(crn_read_find(reader, &f->catalog, CAIRN_ID_UUID, uuids[i], 36, 0, &local, ERR));
        assert_int_equal(local, 1 + COUNT_OF(numbers) + i);
    }
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        OK(crn_read_find(reader, &f->catalog, CAIRN_ID_STRING, strings[i], strlen(strings[i]), 0, &local,
                         ERR));
        assert_int_equal(local, 1 + COUNT_OF(numbers) + COUNT_OF(uuids) + i);
    }
    OK(crn_read_find(reader, &f->catalog, CAIRN_ID_U64, NULL, 0, 43, &local, ERR));
    assert_int_equal(local, 0);
    assert_status(crn_read_find(reader, &f->catalog, CAIRN_ID_STRING, "", 0, 0, &local, ERR),
                  CAIRN_INVALID_ID);
    memset(longest, 'y', CAIRN_ID_MAX + 1);
    assert_status(
        crn_read_find(reader, &f->catalog, CAIRN_ID_STRING, longest, CAIRN_ID_MAX + 1, 0, &local, ERR),
        CAIRN_INVALID_ID);
    assert_status(crn_read_find(reader, &f->catalog, CAIRN_ID_UUID, "not-a-uuid", 10, 0, &local, ERR),
                  CAIRN_INVALID_ID);
    crn_store_read_end(reader);

    /* The same id twice is refused, whatever its kind. */
    struct crn_record again = fixture_record("42");
    assert_status(fixture_put(f, &again, false, ERR), CAIRN_EXISTS);
    assert_int_equal(fixture_count(f), rows);
    fixture_verify_clean(f->store);
}

static void a_replaced_row_keeps_its_number(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");
    const struct crn_vector_data small = {
        .space = 2, .data = fixture_floats + 6, .size = SMALL_DIM * sizeof(float)};

    record.text = "first";
    record.payload = "{\"n\":1}";
    record.usage_count = 4;
    OK(fixture_put(f, &record, false, ERR));
    const uint64_t digest = record.digest;

    record.vectors = &small; /* the vector of the default space is gone with it */
    record.text = NULL;
    record.payload = NULL;
    record.usage_count = 0;
    record.version = 2;
    OK(fixture_put(f, &record, false, ERR));
    assert_int_equal(record.local, 1);
    assert_true(record.digest != digest);
    expect_stored(f, &record);

    /* Fields alone: the vectors stay. */
    struct crn_record fields = record;
    fields.vectors = NULL;
    fields.vector_count = 0;
    fields.confidence = 1;
    fields.version = 3;
    OK(fixture_put(f, &fields, true, ERR));
    record.confidence = 1;
    record.version = 3;
    record.digest = fields.digest;
    expect_stored(f, &record);
    assert_int_equal(fixture_count(f), 1);

    /* Under another id the row is not found. */
    struct crn_record other = fixture_record("b");
    other.local = 1;
    assert_status(fixture_put(f, &other, false, ERR), CAIRN_NOT_FOUND);
    expect_stored(f, &record);
    fixture_verify_clean(f->store);
}

static void numbers_are_never_given_twice(void **state)
{
    struct fixture *f = *state;
    struct crn_reader *reader;
    struct crn_record record, read;
    struct crn_buf memory;
    size_t offset, size;

    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        record = fixture_record(id);
        OK(fixture_put(f, &record, false, ERR));
    }
    OK(fixture_delete(f, 3, ERR));
    assert_status(fixture_delete(f, 3, ERR), CAIRN_NOT_FOUND);
    assert_int_equal(fixture_find(f, "2"), 0);
    assert_int_equal(fixture_count(f), 2);
    fixture_reopen(f);
    record = fixture_record("2");
    OK(fixture_put(f, &record, false, ERR));
    assert_int_equal(record.local, 4);

    reader = fixture_reader(f->store);
    crn_buf_init(&memory, 4096);
    assert_status(crn_read_record(reader, &f->catalog, 3, true, &memory, &read, ERR), CAIRN_NOT_FOUND);
    OK(crn_read_vector(reader, 1, 3, &memory, &offset, &size, ERR));
    assert_int_equal(size, 0);
    crn_buf_release(&memory);
    crn_store_read_end(reader);
    fixture_verify_clean(f->store);
}

struct use {
    uint32_t collection, local;
    int64_t uses, last_used_ms;
};

static cairn_status run_use(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct use *use = ctx;

    return crn_txn_use(txn, use->collection, use->local, use->uses, use->last_used_ms, err);
}

static void use_is_counted_outside_version_and_log(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");
    struct use use = {f->catalog.id, 1, 2, 500};

    OK(fixture_put(f, &record, false, ERR));
    const uint64_t log = fixture_log_last(f);
    OK(fixture_write(f->store, run_use, &use, ERR));
    use.last_used_ms = 400; /* an older one does not turn the time back */
    OK(fixture_write(f->store, run_use, &use, ERR));
    use.local = 99;
    OK(fixture_write(f->store, run_use, &use, ERR));
    record.usage_count = 4;
    record.last_used_ms = 500;
    expect_stored(f, &record);
    assert_int_equal(fixture_log_last(f), log);
    fixture_verify_clean(f->store);
}

static void refused_rows_leave_nothing(void **state)
{
    struct fixture *f = *state;
    const struct crn_vector_data unknown = {.space = 77, .data = fixture_floats, .size = 16};
    const struct crn_vector_data twice[] = {{.space = 1, .data = fixture_floats, .size = 16},
                                            {.space = 1, .data = fixture_floats, .size = 16}};
    struct crn_record record = fixture_record("a");
    const uint64_t log = fixture_log_last(f);

    record.vectors = &unknown;
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_INVALID_ARGUMENT);
    record = fixture_record("a");
    record.vectors = twice;
    record.vector_count = 2;
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_INVALID_ARGUMENT);
    record = fixture_record("a");
    record.confidence = NAN;
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_INVALID_ARGUMENT);
    record = fixture_record("");
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_INVALID_ID);
    assert_int_equal(fixture_count(f), 0);
    assert_int_equal(fixture_log_last(f), log);
    fixture_verify_clean(f->store);
}

/* ---- scanning ---- */

struct scan {
    uint32_t locals[16];
    size_t count, stop_after;
    unsigned want;
};

static cairn_status note_row(void *ctx, const struct crn_record *record)
{
    struct scan *scan = ctx;

    assert_string_equal(record->domain, record->local % 2 ? "odd" : "even");
    assert_int_equal(record->text != NULL, (scan->want & CRN_WANT_TEXT) != 0);
    assert_int_equal(record->payload != NULL, (scan->want & CRN_WANT_PAYLOAD) != 0);
    scan->locals[scan->count++] = record->local;
    return scan->count == scan->stop_after ? CAIRN_TIMEOUT : CAIRN_OK;
}

static cairn_status note_vector(void *ctx, uint32_t local, const void *data, size_t size)
{
    struct scan *scan = ctx;

    assert_int_equal(size, 16);
    assert_memory_equal(data, fixture_floats, 16);
    scan->locals[scan->count++] = local;
    return CAIRN_OK;
}

static void scans_go_upward_and_stop(void **state)
{
    struct fixture *f = *state;
    struct scan scan;

    for (int i = 1; i <= 8; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        struct crn_record record = fixture_record(id);
        record.domain = i % 2 ? "odd" : "even";
        record.text = "t";
        record.payload = "{}";
        OK(fixture_put(f, &record, false, ERR));
    }
    OK(fixture_delete(f, 4, ERR));
    struct crn_reader *reader = fixture_reader(f->store);
    for (unsigned want = 0; want < 8; want++) {
        scan = (struct scan){.want = want};
        OK(crn_read_scan(reader, &f->catalog, 3, want, note_row, &scan, ERR));
        assert_int_equal(scan.count, 5);
        assert_memory_equal(scan.locals, ((uint32_t[]){3, 5, 6, 7, 8}), 20);
    }
    scan = (struct scan){.stop_after = 2};
    assert_status(crn_read_scan(reader, &f->catalog, 1, 0, note_row, &scan, ERR), CAIRN_TIMEOUT);
    assert_int_equal(scan.count, 2);
    scan = (struct scan){0};
    OK(crn_read_vectors(reader, 1, 2, note_vector, &scan, ERR));
    assert_memory_equal(scan.locals, ((uint32_t[]){2, 3, 5, 6, 7, 8}), 24);
    scan = (struct scan){0};
    OK(crn_read_vectors(reader, 2, 0, note_vector, &scan, ERR));
    assert_int_equal(scan.count, 0);
    crn_store_read_end(reader);
}

/* A callback may read other rows, with other names, but not begin the same read again. */
static cairn_status read_inside(void *ctx, const struct crn_record *record)
{
    struct fixture *f = ctx;
    struct crn_reader *reader = f->reader;
    struct crn_record other;
    struct crn_buf memory;
    char wanted[32];

    crn_buf_init(&memory, 1u << 16);
    for (uint32_t local = 1; local <= 600; local += 97) {
        crn_buf_clear(&memory);
        OK(crn_read_record(reader, &f->catalog, local, true, &memory, &other, ERR));
        snprintf(wanted, sizeof wanted, "domain %u", local);
        assert_string_equal(other.domain, wanted);
    }
    crn_buf_release(&memory);
    snprintf(wanted, sizeof wanted, "domain %u", record->local);
    assert_string_equal(record->domain, wanted);
    assert_status(crn_read_scan(reader, &f->catalog, 1, 0, read_inside, f, ERR), CAIRN_INTERNAL);
    return record->local == 10 ? CAIRN_TIMEOUT : CAIRN_OK;
}

static cairn_status run_many(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;
    char name[32];

    for (int i = 1; i <= 600; i++) {
        snprintf(name, sizeof name, "domain %d", i);
        struct crn_record record = fixture_record(name);
        record.domain = name;
        CRN_TRY(crn_txn_put(txn, &f->catalog, &record, false, err));
    }
    return CAIRN_OK;
}

static void reads_nest(void **state)
{
    struct fixture *f = *state;
    char long_name[CAIRN_NAME_MAX + 2];

    OK(fixture_write(f->store, run_many, f, ERR));
    f->reader = fixture_reader(f->store);
    assert_status(crn_read_scan(f->reader, &f->catalog, 1, 0, read_inside, f, ERR), CAIRN_TIMEOUT);
    crn_store_read_end(f->reader);

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    struct crn_record record = fixture_record("long");
    record.domain = long_name;
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_LIMIT);
    long_name[CAIRN_NAME_MAX] = '\0';
    record.local = 0;
    OK(fixture_put(f, &record, false, ERR));
    expect_stored(f, &record);
    fixture_verify_clean(f->store);
}

static void a_reader_keeps_its_snapshot(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");
    uint64_t before, after;

    OK(fixture_put(f, &record, false, ERR));
    struct crn_reader *old = fixture_reader(f->store);
    OK(crn_read_count(old, f->catalog.id, &before, ERR));
    record = fixture_record("b");
    OK(fixture_put(f, &record, false, ERR));
    OK(crn_read_count(old, f->catalog.id, &after, ERR));
    assert_int_equal(before, 1);
    assert_int_equal(after, 1);
    assert_int_equal(fixture_count(f), 2);
    OK(crn_read_sequence(old, &before, ERR));
    assert_int_equal(before + 1, crn_store_sequence(f->store));
    crn_store_read_end(old);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(schema_survives_reopening),
        TEST(a_full_row_comes_back),
        TEST(ids_of_all_kinds),
        TEST(a_replaced_row_keeps_its_number),
        TEST(numbers_are_never_given_twice),
        TEST(use_is_counted_outside_version_and_log),
        TEST(refused_rows_leave_nothing),
        TEST(scans_go_upward_and_stop),
        TEST(reads_nest),
        TEST(a_reader_keeps_its_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
