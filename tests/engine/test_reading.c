/* Reading patterns: get, scroll, count and scopes; what is told of their use; statistics. */
#include "tests/engine/notes.h"

#include "base/json.h"

#include <math.h>

static const float right[2] = {1, 0}, up[2] = {0, 1};

static void get_answers_in_the_order_asked(void **state)
{
    struct fixture *fixture = *state;
    const cairn_id ids[] = {
        string_id("c"), string_id("none"), string_id("a"), string_id("c"), {CAIRN_ID_U64, NULL, 1}};
    cairn_patterns *patterns;

    put(CAIRN_INSERT, .id = "a", .vector = right);
    put(CAIRN_INSERT, .id = "c", .vector = up);
    ok(cairn_get(fixture->notes, ids, COUNT_OF(ids), false, &patterns, err));
    assert_int_equal(cairn_patterns_count(patterns), COUNT_OF(ids));
    assert_string_equal(cairn_patterns_at(patterns, 0)->id, "c");
    assert_null(cairn_patterns_at(patterns, 1)->id);
    assert_string_equal(cairn_patterns_at(patterns, 2)->id, "a");
    assert_string_equal(cairn_patterns_at(patterns, 3)->id, "c");
    assert_null(cairn_patterns_at(patterns, 4)->id);
    assert_null(cairn_patterns_at(patterns, 5));
    assert_null(cairn_patterns_at(patterns, 0)->vector); /* not asked for */
    cairn_patterns_free(patterns);
    ok(cairn_get(fixture->notes, NULL, 0, true, &patterns, err));
    assert_int_equal(cairn_patterns_count(patterns), 0);
    cairn_patterns_free(patterns);
}

/* Every row that was there at the beginning comes once, in the order of insertion, whatever is written meanwhile. */
static void scroll_while_writing(struct fixture *fixture, const cairn_scope *scope, int step, size_t limit)
{
    uint64_t cursor = 0;
    int expected = 0, added = 1000;

    do {
        cairn_patterns *patterns;
        ok(cairn_scroll(fixture->notes, scope, &cursor, limit, true, &patterns, err));
        assert_true(cairn_patterns_count(patterns) <= limit);
        for (size_t i = 0; i < cairn_patterns_count(patterns); i++) {
            const cairn_pattern *row = cairn_patterns_at(patterns, i);
            if (row->id_u64 >= 1000) continue; /* written meanwhile: may come, may not */
            assert_int_equal(row->id_u64, expected);
            assert_non_null(row->vector);
            expected += step;
        }
        cairn_patterns_free(patterns);
        put(CAIRN_UPSERT, .id_type = CAIRN_ID_U64, .id_u64 = 0, .vector = up, .domain = "even");
        if (added == 1050) continue; /* pages of one row must come to an end, too */
        put(CAIRN_UPSERT, .id_type = CAIRN_ID_U64, .id_u64 = (uint64_t)added++, .vector = up,
            .domain = "even");
    } while (cursor != 0);
    assert_int_equal(expected, 100);
}

static void scrolling_gives_each_row_once(void **state)
{
    struct fixture *fixture = *state;
    static const size_t limits[] = {1, 7, 50, 99, 100, 101, CAIRN_K_MAX};

    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        for (uint64_t i = 0; i < 100; i++) {
            put(CAIRN_INSERT, .id_type = CAIRN_ID_U64, .id_u64 = i, .vector = right,
                .domain = i % 2 == 0 ? "even" : "odd");
        }
        scroll_while_writing(fixture, NULL, 1, limits[l]);
        scroll_while_writing(fixture, CAIRN_OPTIONS(cairn_scope, .domain = "even"), 2, limits[l]);
        ok(cairn_delete_where(fixture->notes, CAIRN_OPTIONS(cairn_scope, .type = "pattern"), NULL, err));
    }
}

static void scopes_join_their_conditions(void **state)
{
    struct fixture *fixture = *state;

    put(CAIRN_INSERT, .id = "a", .vector = right, .domain = "d", .agent = "x", .type = "t",
        .confidence = 0.9);
    put(CAIRN_INSERT, .id = "b", .vector = right, .domain = "d", .agent = "y", .payload = "{\"n\":1}",
        .confidence = 0.4);
    put(CAIRN_INSERT, .id = "c", .vector = right, .domain = "e", .agent = "x", .payload = "{\"n\":2}");
#define counts(expected, ...) \
    assert_int_equal(count_of(fixture->notes, CAIRN_OPTIONS(cairn_scope, __VA_ARGS__)), expected)
    counts(3, .domain = NULL);
    counts(2, .domain = "d");
    counts(0, .domain = "");
    counts(0, .domain = "unheard of");
    counts(1, .domain = "d", .agent = "x");
    counts(2, .type = "pattern");
    counts(2, .min_confidence = 0.5);
    counts(1, .min_confidence = 0.51);
    counts(2, .filter = "{\"n\": {\"$exists\": true}}");
    counts(1, .agent = "x", .filter = "{\"n\": {\"$gt\": 1}}");
    counts(3, .filter = "{}");
#undef counts
    assert_int_equal(count_of(fixture->notes, NULL), 3);
}

/* ---- use and statistics ---- */

static void retrieve(struct fixture *fixture, bool no_touch)
{
    cairn_reasoning *reasoning;

    ok(cairn_retrieve(fixture->notes,
                      CAIRN_OPTIONS(cairn_retrieve_options, .vector = right, .k = 1, .no_touch = no_touch),
                      &reasoning, err));
    assert_string_equal(cairn_reasoning_at(reasoning, 0)->pattern->id, "a");
    cairn_reasoning_free(reasoning);
}

static void expect_use(struct fixture *fixture, int64_t uses)
{
    cairn_patterns *patterns;
    const cairn_pattern *row = read_row(fixture->notes, string_id("a"), &patterns);

    assert_int_equal(row->usage_count, uses);
    assert_int_equal(row->last_used_ms != 0, uses != 0);
    assert_int_equal(row->version, 1); /* use is no change */
    cairn_patterns_free(patterns);
}

static void uses_are_counted_by_the_next_write_or_at_closing(void **state)
{
    struct fixture *fixture = *state;

    put(CAIRN_INSERT, .id = "a", .vector = right);
    put(CAIRN_INSERT, .id = "b", .vector = up);
    retrieve(fixture, true);
    put(CAIRN_UPDATE, .id = "b");
    expect_use(fixture, 0);
    retrieve(fixture, false);
    retrieve(fixture, false);
    put(CAIRN_UPDATE, .id = "b");
    expect_use(fixture, 2);
    retrieve(fixture, false);
    cairn_collection_close(fixture->notes);
    ok(cairn_collection_open(fixture->database.db, "notes", NULL, &fixture->notes, err));
    expect_use(fixture, 3);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 1), "a");
    expect_use(fixture, 3);
}

static int64_t number_at(struct crn_json object, const char *key)
{
    struct crn_json value;

    if (!crn_json_get(object, key, &value)) fail_msg("the statistics have no %s", key);
    assert_true(crn_json_is_number(value));
    return crn_json_i64(value);
}

static struct crn_json first_of(struct crn_json object, const char *key)
{
    struct crn_json_iter it;
    struct crn_json list, element;
    const char *name;
    size_t len;

    if (!crn_json_get(object, key, &list)) fail_msg("the statistics have no %s", key);
    crn_json_iter_init(&it, list);
    assert_true(crn_json_iter_next(&it, &element, &name, &len));
    return element;
}

static void check_collection_stats(struct crn_json collection, int64_t tail, int64_t segments)
{
    struct crn_json domains, confidence;

    assert_int_equal(number_at(collection, "totalPatterns"), 3);
    assert_true(crn_json_get(collection, "avgConfidence", &confidence));
    assert_true(fabs(crn_json_double(confidence) - 0.5) < 1e-12);
    assert_true(crn_json_get(collection, "domains", &domains));
    assert_int_equal(number_at(domains, "build"), 2);
    assert_int_equal(number_at(domains, ""), 1);
    const struct crn_json space = first_of(collection, "spaces");
    assert_int_equal(number_at(space, "dim"), 2);
    assert_int_equal(number_at(space, "rows"), 3);
    assert_int_equal(number_at(space, "tail_rows"), tail);
    assert_int_equal(number_at(space, "segments"), segments);
    assert_int_equal(number_at(space, "scanned_bytes_per_vector"), 8);
}

static void check_stats(struct fixture *fixture, int64_t tail, int64_t segments)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root;
    char *json;

    ok(cairn_collection_stats(fixture->notes, &json, err));
    ok(crn_json_parse(parser, json, strlen(json), &root, err));
    check_collection_stats(root, tail, segments);
    cairn_free(json);
    ok(cairn_stats(fixture->database.db, &json, err));
    ok(crn_json_parse(parser, json, strlen(json), &root, err));
    assert_true(number_at(root, "dbSize") > 0);
    assert_true(number_at(root, "sequence") >= 4);
    check_collection_stats(first_of(root, "collections"), tail, segments);
    cairn_free(json);
    crn_json_parser_free(parser);
}

static void statistics_agree_with_the_rows(void **state)
{
    struct fixture *fixture = *state;

    put(CAIRN_INSERT, .id = "a", .vector = right, .domain = "build", .confidence = 0.25);
    put(CAIRN_INSERT, .id = "b", .vector = right, .domain = "build", .confidence = 0.75);
    put(CAIRN_INSERT, .id = "c", .vector = up);
    check_stats(fixture, 3, 0);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    check_stats(fixture, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_answers_in_the_order_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scrolling_gives_each_row_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scopes_join_their_conditions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(uses_are_counted_by_the_next_write_or_at_closing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(statistics_agree_with_the_rows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
