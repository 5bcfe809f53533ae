/* Payload indexes against a naive scan: every kind of value, arrays, paths, changes and deletes. */
#include "tests/storage/store_fixture.h"

#include "base/error.h"
#include "base/json.h"

#include <math.h>

/* ---- the naive truth: values by their meaning, compared the slow way ---- */

static int order_long_double(long double a, long double b)
{
    return (a > b) - (a < b);
}

static bool is_number(const struct crn_value *value)
{
    return value->type == CRN_VALUE_I64 || value->type == CRN_VALUE_U64 || value->type == CRN_VALUE_DOUBLE;
}

/* Exact: a long double of x86 holds every 64-bit integer and every double. */
static long double number_of(const struct crn_value *value)
{
    if (value->type == CRN_VALUE_I64) return (long double)value->i64;
    if (value->type == CRN_VALUE_U64) return (long double)value->u64;
    return (long double)value->number;
}

static bool same_class(const struct crn_value *a, const struct crn_value *b)
{
    return is_number(a) ? is_number(b) : a->type == b->type;
}

static int order(const struct crn_value *a, const struct crn_value *b)
{
    if (is_number(a)) return order_long_double(number_of(a), number_of(b));
    if (a->type == CRN_VALUE_BOOL) return (int)a->boolean - (int)b->boolean;
    if (a->type == CRN_VALUE_NULL) return 0;
    const size_t shorter = a->string_len < b->string_len ? a->string_len : b->string_len;
    const int bytes = memcmp(a->string, b->string, shorter);
    return bytes != 0 ? bytes : (a->string_len > b->string_len) - (a->string_len < b->string_len);
}

static bool compares(const struct crn_value *value, enum crn_compare compare, const struct crn_value *with)
{
    if (compare == CRN_ANY) return true;
    if (!same_class(value, with)) return false;
    const int sign = order(value, with);
    switch (compare) {
    case CRN_EQ:
        return sign == 0;
    case CRN_GT:
        return sign > 0;
    case CRN_GTE:
        return sign >= 0;
    case CRN_LT:
        return sign < 0;
    default:
        return sign <= 0;
    }
}

/* ---- values as text and as structs ---- */

#define VALUES_MAX 6
#define ROWS 60

struct row {
    bool exists, has_path;
    struct crn_value values[VALUES_MAX];
    size_t count;
};

static const char *const strings[] = {"", "a", "aa", "b", "B", "\xc3\xa4", "a\\u0000b", "0", "null"};
static const char *const string_values[] = {"", "a", "aa", "b", "B", "\xc3\xa4", "a\0b", "0", "null"};
static const size_t string_lens[] = {0, 1, 2, 1, 1, 2, 3, 1, 4};

static const int64_t integers[] = {
    0, 1, -1, 42, INT64_MAX, INT64_MIN, INT64_MAX - 1, 9007199254740993, 9007199254740992};
static const uint64_t large[] = {9223372036854775808u, 9223372036854775809u, 9223372036854777855u,
                                 9223372036854777856u, 9223372036854777857u, UINT64_MAX,
                                 UINT64_MAX - 1024};
static const double doubles[] = {0.0,
                                 -0.0,
                                 1.0,
                                 0.5,
                                 -1.5,
                                 42.000000000000007,
                                 9007199254740992.0,
                                 0x1p63,
                                 0x1.0000000000001p63,
                                 0x1p64,
                                 -0x1p63,
                                 1e300,
                                 -1e300,
                                 5e-324,
                                 0x1.fffffffffffffp62,
                                 0x1.fffffffffffffp63};

static struct crn_value random_value(struct crn_rng *rng)
{
    struct crn_value value = {0};
    size_t at;

    switch (crn_rng_below(rng, 7)) {
    case 0:
        value.type = CRN_VALUE_NULL;
        break;
    case 1:
        value.type = CRN_VALUE_BOOL;
        value.boolean = crn_rng_below(rng, 2) != 0;
        break;
    case 2:
        at = crn_rng_below(rng, COUNT_OF(strings));
        value = (struct crn_value){
            .type = CRN_VALUE_STRING, .string = string_values[at], .string_len = string_lens[at]};
        break;
    case 3:
        value = (struct crn_value){.type = CRN_VALUE_U64, .u64 = large[crn_rng_below(rng, COUNT_OF(large))]};
        break;
    case 4:
        value = (struct crn_value){.type = CRN_VALUE_DOUBLE,
                                   .number = doubles[crn_rng_below(rng, COUNT_OF(doubles))]};
        break;
    default:
        value = (struct crn_value){.type = CRN_VALUE_I64,
                                   .i64 = integers[crn_rng_below(rng, COUNT_OF(integers))]};
    }
    return value;
}

static void print_value(struct crn_buf *json, const struct crn_value *value)
{
    switch (value->type) {
    case CRN_VALUE_NULL:
        crn_buf_puts(json, "null");
        break;
    case CRN_VALUE_BOOL:
        crn_buf_puts(json, value->boolean ? "true" : "false");
        break;
    case CRN_VALUE_I64:
        crn_buf_printf(json, "%lld", (long long)value->i64);
        break;
    case CRN_VALUE_U64:
        crn_buf_printf(json, "%llu", (unsigned long long)value->u64);
        break;
    case CRN_VALUE_DOUBLE:
        crn_buf_json_double(json, value->number);
        break;
    case CRN_VALUE_STRING:
        crn_buf_json_string(json, value->string, value->string_len);
        break;
    }
}

/* Writes a random payload {"a":{"k":...}} and says what an index on "a.k" finds in it. */
static void random_payload(struct crn_rng *rng, struct crn_buf *json, struct row *row)
{
    const uint64_t shape = crn_rng_below(rng, 8);

    *row = (struct row){.exists = true, .has_path = true};
    crn_buf_clear(json);
    if (shape == 0) { /* nothing there */
        crn_buf_puts(json, "{\"a\":{\"other\":1},\"k\":2}");
        row->has_path = false;
        return;
    }
    if (shape == 1) { /* something without values */
        static const char *const empty[] = {"[]", "{}", "[[1],[]]", "{\"x\":1}"};
        crn_buf_printf(json, "{\"a\":{\"k\":%s}}", empty[crn_rng_below(rng, COUNT_OF(empty))]);
        return;
    }
    row->count = shape < 5 ? 1 : 1 + crn_rng_below(rng, VALUES_MAX);
    for (size_t i = 0; i < row->count; i++) row->values[i] = random_value(rng);
    if (shape < 5) { /* one value */
        crn_buf_puts(json, "{\"a\":{\"k\":");
        print_value(json, &row->values[0]);
        crn_buf_puts(json, "}}");
    } else if (shape < 7) { /* an array of values */
        crn_buf_puts(json, "{\"a\":{\"k\":[");
        for (size_t i = 0; i < row->count; i++) {
            if (i > 0) crn_buf_putc(json, ',');
            print_value(json, &row->values[i]);
        }
        crn_buf_puts(json, ",[7],{}]}}");
    } else { /* an array on the way; what is no object in it counts for nothing */
        crn_buf_puts(json, "{\"a\":[5,[{\"k\":99}]");
        for (size_t i = 0; i < row->count; i++) {
            crn_buf_puts(json, ",{\"k\":");
            print_value(json, &row->values[i]);
            crn_buf_putc(json, '}');
        }
        crn_buf_puts(json, "]}");
    }
}

/* ---- comparing ---- */

struct answer {
    bool hit[ROWS + 1];
};

static cairn_status note(void *ctx, uint32_t local)
{
    struct answer *answer = ctx;

    assert_true(local >= 1 && local <= ROWS);
    answer->hit[local] = true;
    return CAIRN_OK;
}

static uint32_t index_id(struct fixture *f, const char *path)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct crn_catalog catalog;
    uint32_t id = 0;

    OK(crn_read_collection(reader, "notes", &catalog, ERR));
    for (uint32_t i = 0; i < catalog.index_count; i++) {
        if (strcmp(catalog.indexes[i].path, path) == 0) id = catalog.indexes[i].id;
    }
    crn_catalog_release(&catalog);
    crn_store_read_end(reader);
    assert_true(id != 0);
    return id;
}

static void compare_all(struct fixture *f, uint32_t index, const struct row rows[ROWS + 1],
                        enum crn_compare compare, const struct crn_value *value)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct answer answer = {{false}};

    OK(crn_read_index(reader, index, compare, value, note, &answer, ERR));
    crn_store_read_end(reader);
    for (uint32_t local = 1; local <= ROWS; local++) {
        const struct row *row = &rows[local];
        bool wanted = compare == CRN_ANY && row->exists && row->has_path;
        for (size_t i = 0; row->exists && i < row->count; i++)
            wanted = wanted || compares(&row->values[i], compare, value);
        if (answer.hit[local] == wanted) continue;
        struct crn_buf text;
        crn_buf_init(&text, 4096);
        print_value(&text, value);
        fail_msg("row %u: compare %d with %s says %d", local, compare, text.data, answer.hit[local]);
    }
}

static cairn_status run_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_payload_index_create(txn, ctx, "a.k", err);
}

static void change_row(struct fixture *f, struct crn_rng *rng, struct row rows[ROWS + 1], uint32_t local,
                       struct crn_buf *json)
{
    char id[16];

    snprintf(id, sizeof id, "row%u", local);
    if (rows[local].exists && crn_rng_below(rng, 20) == 0) {
        struct crn_record record = fixture_record(id);
        record.local = local;
        record.version = 5;
        OK(fixture_put(f, &record, false, ERR)); /* no payload */
        rows[local] = (struct row){.exists = true};
        return;
    }
    struct crn_record record = fixture_record(id);
    record.local = rows[local].exists ? local : 0;
    random_payload(rng, json, &rows[local]);
    record.payload = json->data;
    OK(fixture_put(f, &record, crn_rng_below(rng, 2) != 0 && record.local != 0, ERR));
    assert_int_equal(record.local, local);
}

static void agrees_with_a_scan(void **state)
{
    struct fixture *f = *state;
    struct crn_rng rng = test_rng();
    struct row rows[ROWS + 1] = {{0}};
    struct crn_buf json;
    uint32_t index = 0;

    crn_buf_init(&json, 1u << 16);
    for (int round = 0; round < 4; round++) {
        if (round == 1) { /* half before, half after the index is made */
            OK(fixture_write(f->store, run_index, &f->catalog, ERR));
            OK(fixture_write(f->store, run_index, &f->catalog, ERR)); /* twice is no error */
            index = index_id(f, "a.k");
        }
        for (uint32_t local = 1; local <= ROWS; local++) change_row(f, &rng, rows, local, &json);
        if (round == 3) {
            for (uint32_t local = 1; local <= ROWS; local += 3) {
                OK(fixture_delete(f, local, ERR));
                rows[local].exists = false;
            }
        }
        if (round == 0) continue;
        fixture_verify_clean(f->store);
        for (int i = 0; i < 120; i++) {
            const struct crn_value value = random_value(&rng);
            for (int compare = CRN_EQ; compare <= CRN_ANY; compare++)
                compare_all(f, index, rows, (enum crn_compare)compare, &value);
        }
    }
    crn_buf_release(&json);
}

/* Every value against every value, so that the borders do not depend on the seed. */
static void borders_of_numbers(void **state)
{
    struct fixture *f = *state;
    struct row rows[ROWS + 1] = {{0}};
    struct crn_value all[ROWS];
    struct crn_buf json;
    uint32_t count = 0;

    for (size_t i = 0; i < COUNT_OF(integers); i++)
        all[count++] = (struct crn_value){.type = CRN_VALUE_I64, .i64 = integers[i]};
    for (size_t i = 0; i < COUNT_OF(large); i++)
        all[count++] = (struct crn_value){.type = CRN_VALUE_U64, .u64 = large[i]};
    for (size_t i = 0; i < COUNT_OF(doubles); i++) {
        all[count++] = (struct crn_value){.type = CRN_VALUE_DOUBLE, .number = doubles[i]};
    }
    crn_buf_init(&json, 4096);
    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    const uint32_t index = index_id(f, "a.k");
    for (uint32_t local = 1; local <= count; local++) {
        char id[16];
        snprintf(id, sizeof id, "row%u", local);
        struct crn_record record = fixture_record(id);
        crn_buf_clear(&json);
        crn_buf_puts(&json, "{\"a\":{\"k\":");
        print_value(&json, &all[local - 1]);
        crn_buf_puts(&json, "}}");
        record.payload = json.data;
        OK(fixture_put(f, &record, false, ERR));
        rows[local] = (struct row){.exists = true, .has_path = true, .count = 1, .values = {all[local - 1]}};
    }
    for (uint32_t i = 0; i < count; i++) {
        for (int compare = CRN_EQ; compare <= CRN_LTE; compare++)
            compare_all(f, index, rows, (enum crn_compare)compare, &all[i]);
    }
    const struct crn_value extremes[] = {{.type = CRN_VALUE_DOUBLE, .number = INFINITY},
                                         {.type = CRN_VALUE_DOUBLE, .number = -INFINITY}};
    for (size_t i = 0; i < COUNT_OF(extremes); i++) {
        for (int compare = CRN_EQ; compare <= CRN_LTE; compare++)
            compare_all(f, index, rows, (enum crn_compare)compare, &extremes[i]);
    }
    crn_buf_release(&json);
    fixture_verify_clean(f->store);
}

/* ---- paths ---- */

struct path_case {
    struct fixture *fixture;
    const char *path;
};

static cairn_status run_path(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct path_case *path = ctx;

    return crn_txn_payload_index_create(txn, &path->fixture->catalog, path->path, err);
}

static cairn_status run_drop_path(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct path_case *path = ctx;

    return crn_txn_payload_index_drop(txn, &path->fixture->catalog, path->path, err);
}

static void paths_are_checked_and_followed(void **state)
{
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a\\", "a\\x"};
    static const struct {
        const char *path, *payload;
    } good[] = {
        {"tags", "{\"tags\":[0,42]}"},
        {"a.b.c", "{\"a\":{\"b\":{\"c\":42}}}"},
        {"a\\.b", "{\"a.b\":42,\"a\":{\"b\":1}}"},
        {"a\\\\b", "{\"a\\\\b\":42}"},
        {"\\$x", "{\"$x\":42}"},
        {"\xc3\xa4.\xc3\xb6", "{\"\xc3\xa4\":{\"\xc3\xb6\":42}}"},
    };
    const struct crn_value wanted = {.type = CRN_VALUE_I64, .i64 = 42};
    struct fixture *f = *state;
    struct path_case path = {f, NULL};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        path.path = bad[i];
        assert_status(fixture_write(f->store, run_path, &path, ERR), CAIRN_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char id[8];
        struct answer answer = {{false}};
        snprintf(id, sizeof id, "%zu", i);
        struct crn_record record = fixture_record(id);
        record.payload = good[i].payload;
        OK(fixture_put(f, &record, false, ERR));
        path.path = good[i].path;
        OK(fixture_write(f->store, run_path, &path, ERR));
        const uint32_t index = index_id(f, good[i].path);
        struct crn_reader *reader = fixture_reader(f->store);
        OK(crn_read_index(reader, index, CRN_EQ, &wanted, note, &answer, ERR));
        crn_store_read_end(reader);
        assert_true(answer.hit[record.local]);
    }
    fixture_verify_clean(f->store);
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        path.path = good[i].path;
        OK(fixture_write(f->store, run_drop_path, &path, ERR));
        OK(fixture_write(f->store, run_drop_path, &path, ERR));
    }
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM payload_values"), 0);
}

static void an_unreadable_payload_is_refused(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");

    OK(fixture_write(f->store, run_index, &f->catalog, ERR));
    record.payload = "{\"a\":";
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_INVALID_JSON);
    assert_int_equal(fixture_count(f), 0);
    fixture_verify_clean(f->store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_a_scan),
        TEST(borders_of_numbers),
        TEST(paths_are_checked_and_followed),
        TEST(an_unreadable_payload_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
