/* Metadata of collections and databases; reading in the order of ids. */
#include "tests/engine/database.h"

#include "base/rng.h"

static void test_collection_metadata_is_kept_and_replaced(void **state)
{
    struct database d;
    cairn_collection *c;
    char *json;

    (void)state;
    database_create(&d, NULL);
    ok(cairn_collection_open(
        d.db, "notes", CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .metadata = "{\"a\":1}"), &c, err));
    ok(cairn_collection_get_metadata(c, &json, err));
    assert_string_equal(json, "{\"a\":1}");
    cairn_free(json);
    ok(cairn_collection_set_metadata(c, "{\"b\":2}", err));
    refused(CAIRN_INVALID_JSON, "not an object", cairn_collection_set_metadata(c, "[1]", err));
    cairn_collection_close(c);
    database_reopen(&d, NULL);
    ok(cairn_collection_open(d.db, "notes", NULL, &c, err));
    ok(cairn_collection_get_metadata(c, &json, err));
    assert_string_equal(json, "{\"b\":2}");
    cairn_free(json);
    ok(cairn_collection_set_metadata(c, NULL, err));
    ok(cairn_collection_get_metadata(c, &json, err));
    assert_null(json);
    cairn_collection_close(c);
    database_verify_clean(&d);
    database_remove(&d);
}

static void test_database_metadata_is_kept_and_replaced(void **state)
{
    struct database d;
    char *json;

    (void)state;
    database_create(&d, NULL);
    ok(cairn_get_metadata(d.db, &json, err));
    assert_null(json);
    ok(cairn_set_metadata(d.db, "{\"aliases\":{}}", err));
    ok(cairn_set_metadata(d.db, "{\"aliases\":{\"x\":\"y\"}}", err));
    refused(CAIRN_INVALID_JSON, "", cairn_set_metadata(d.db, "{", err));
    database_reopen(&d, NULL);
    ok(cairn_get_metadata(d.db, &json, err));
    assert_string_equal(json, "{\"aliases\":{\"x\":\"y\"}}");
    cairn_free(json);
    ok(cairn_set_metadata(d.db, NULL, err));
    ok(cairn_get_metadata(d.db, &json, err));
    assert_null(json);
    database_verify_clean(&d);
    database_remove(&d);
}

/* In their order. */
static const cairn_id ids[] = {
    {.type = CAIRN_ID_U64, .u64 = 0},
    {.type = CAIRN_ID_U64, .u64 = 7},
    {.type = CAIRN_ID_U64, .u64 = INT64_MAX},
    {.type = CAIRN_ID_U64, .u64 = (uint64_t)INT64_MAX + 1},
    {.type = CAIRN_ID_U64, .u64 = UINT64_MAX},
    {.type = CAIRN_ID_STRING, .text = "7"},
    {.type = CAIRN_ID_STRING, .text = "a"},
    {.type = CAIRN_ID_UUID, .text = "00000000-0000-0000-0000-000000000001"},
    {.type = CAIRN_ID_UUID, .text = "ffffffff-0000-0000-0000-000000000000"},
};
#define IDS (sizeof ids / sizeof ids[0])

static void assert_same_id(const cairn_pattern *pattern, const cairn_id *id)
{
    assert_int_equal(pattern->id_type, id->type);
    if (id->type == CAIRN_ID_U64) {
        assert_true(pattern->id_u64 == id->u64);
    } else {
        assert_string_equal(pattern->id, id->text);
    }
}

static void test_ids_are_read_in_their_order(void **state)
{
    struct database d;
    cairn_collection *c;
    cairn_patterns *page;
    struct crn_rng rng;
    size_t order[IDS];
    const cairn_scope even = {.size = sizeof even, .filter = "{\"even\":true}"};

    (void)state;
    crn_rng_init(&rng, 11);
    database_create(&d, NULL);
    ok(cairn_collection_open(d.db, "notes", CAIRN_OPTIONS(cairn_collection_options, .dim = 2), &c, err));
    for (size_t i = 0; i < IDS; i++) order[i] = i;
    for (size_t i = IDS - 1; i > 0; i--) {
        const size_t j = crn_rng_below(&rng, i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (size_t i = 0; i < IDS; i++) {
        const cairn_id *id = &ids[order[i]];
        const cairn_pattern pattern = {.size = sizeof pattern,
                                       .id = id->text,
                                       .id_type = id->type,
                                       .id_u64 = id->u64,
                                       .payload = order[i] % 2 == 0 ? "{\"even\":true}" : NULL,
                                       .fields = CAIRN_FIELD_NO_VECTOR};
        ok(cairn_upsert(c, &pattern, 1, err));
    }
    for (size_t from = 0; from < IDS; from++) {
        ok(cairn_scroll_by_id(c, NULL, from == 0 ? NULL : &ids[from], 3, false, &page, err));
        assert_int_equal(cairn_patterns_count(page), IDS - from < 3 ? IDS - from : 3);
        for (size_t i = 0; i < cairn_patterns_count(page); i++)
            assert_same_id(cairn_patterns_at(page, i), &ids[from + i]);
        cairn_patterns_free(page);
    }
    ok(cairn_scroll_by_id(c, &even, &ids[1], 100, true, &page, err));
    assert_int_equal(cairn_patterns_count(page), IDS / 2);
    for (size_t i = 0; i < cairn_patterns_count(page); i++)
        assert_same_id(cairn_patterns_at(page, i), &ids[2 + 2 * i]);
    cairn_patterns_free(page);
    refused(CAIRN_INVALID_ARGUMENT, "limit 0", cairn_scroll_by_id(c, NULL, NULL, 0, false, &page, err));
    cairn_collection_close(c);
    database_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collection_metadata_is_kept_and_replaced),
        cmocka_unit_test(test_database_metadata_is_kept_and_replaced),
        cmocka_unit_test(test_ids_are_read_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
