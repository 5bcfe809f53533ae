/*
 * The database that the tests of bad input try to harm: three collections of different kinds, and a look at all
 * of it after each refusal.
 */
#ifndef CRN_TESTS_ENGINE_BAD_INPUT_H
#define CRN_TESTS_ENGINE_BAD_INPUT_H

#include "tests/engine/rows.h"

#include <math.h>

#define NOT_UTF8 "ab\xff"
#define NOT_UTF8_AT "byte 2 (0xff)"

struct fixture {
    struct database database;
    cairn_collection *notes;  /* 4 components, cosine, model "m1", lexical */
    cairn_collection *plain;  /* 2 components, l2 */
    cairn_collection *spaces; /* "" dense 2 l2, "words" sparse, "parts" multi 3 */
    uint64_t sequence;        /* of the last write that was meant */
};

static inline uint64_t sequence_of(cairn_collection *collection)
{
    const float anything[2] = {1, 1};
    cairn_search_info info;
    cairn_results *results;

    ok(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = anything, .k = 1), &results, err));
    cairn_results_info(results, &info);
    cairn_results_free(results);
    return info.sequence;
}

/* Nothing was written, nothing is lost, and searches answer as before. */
static inline void check_unchanged(struct fixture *fixture)
{
    const float right[] = {1, 0, 0, 0};
    cairn_patterns *patterns;
    char **names;
    size_t count;

    ok(cairn_collection_list(fixture->database.db, &names, &count, err));
    assert_int_equal(count, 3);
    cairn_free(names);
    assert_int_equal(count_of(fixture->notes, NULL), 2);
    assert_int_equal(count_of(fixture->plain, NULL), 1);
    assert_int_equal(count_of(fixture->spaces, NULL), 1);
    const cairn_pattern *row = read_row(fixture->notes, string_id("a"), &patterns);
    assert_non_null(row);
    assert_int_equal(row->version, 1);
    assert_string_equal(row->payload, "{\"size\":1}");
    assert_memory_equal(row->vector, right, sizeof right);
    cairn_patterns_free(patterns);
    expect_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = right, .k = 5), "a b");
    assert_int_equal(sequence_of(fixture->plain), fixture->sequence);
}

#define rejected(expected, text, call) \
    do {                               \
        refused(expected, text, call); \
        check_unchanged(fixture);      \
    } while (0)

static inline void create_collections(struct fixture *fixture)
{
    const cairn_space_options spaces[] = {
        {.size = sizeof *spaces, .dim = 2, .metric = CAIRN_METRIC_L2},
        {.size = sizeof *spaces, .name = "words", .kind = CAIRN_SPACE_SPARSE},
        {.size = sizeof *spaces, .name = "parts", .kind = CAIRN_SPACE_MULTI, .dim = 3},
    };
    cairn_db *db = fixture->database.db;

    ok(cairn_collection_open(db, "notes",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = 4, .model = "m1", .lexical = true,
                                           .metadata = "{\"owner\":\"tests\"}"),
                             &fixture->notes, err));
    ok(cairn_collection_open(db, "plain",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .metric = CAIRN_METRIC_L2),
                             &fixture->plain, err));
    ok(cairn_collection_open(db, "spaces",
                             CAIRN_OPTIONS(cairn_collection_options, .spaces = spaces, .space_count = 3),
                             &fixture->spaces, err));
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const float right[] = {1, 0, 0, 0}, up[] = {0, 1, 0, 0}, two[] = {1, 1};

    quiet_database_create(&fixture->database);
    create_collections(fixture);
    const cairn_pattern notes[] = {
        {.size = sizeof *notes, .id = "a", .vector = right, .text = "one stone", .payload = "{\"size\": 1}"},
        {.size = sizeof *notes, .id = "b", .vector = up, .text = "two stones"},
    };
    ok(cairn_insert(fixture->notes, notes, 2, err));
    ok(cairn_insert(fixture->plain, CAIRN_OPTIONS(cairn_pattern, .id = "p", .vector = two), 1, err));
    ok(cairn_insert(fixture->spaces, CAIRN_OPTIONS(cairn_pattern, .id = "s", .vector = two), 1, err));
    fixture->sequence = sequence_of(fixture->plain);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    database_verify_clean(&fixture->database);
    cairn_collection_close(fixture->notes);
    cairn_collection_close(fixture->plain);
    cairn_collection_close(fixture->spaces);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

/* `count` times the letter x. Freed by free. */
static inline char *long_text(size_t count)
{
    char *text = malloc(count + 1);

    assert_non_null(text);
    memset(text, 'x', count);
    text[count] = '\0';
    return text;
}

#endif
