/* Rows, ids and hits in few words, for tests of the public API. */
#ifndef CRN_TESTS_ENGINE_ROWS_H
#define CRN_TESTS_ENGINE_ROWS_H

#include "tests/engine/database.h"

static inline cairn_id string_id(const char *text)
{
    return (cairn_id){CAIRN_ID_STRING, text, 0};
}

static inline uint64_t count_of(cairn_collection *collection, const cairn_scope *scope)
{
    uint64_t count = UINT64_MAX;

    ok(cairn_count(collection, scope, &count, err));
    return count;
}

/* One row, or NULL when it is not there. *out_patterns is released by cairn_patterns_free either way. */
static inline const cairn_pattern *read_row(cairn_collection *collection, cairn_id id,
                                            cairn_patterns **out_patterns)
{
    ok(cairn_get(collection, &id, 1, true, out_patterns, err));
    assert_int_equal(cairn_patterns_count(*out_patterns), 1);
    const cairn_pattern *row = cairn_patterns_at(*out_patterns, 0);
    return row->id == NULL ? NULL : row;
}

static inline bool has_row(cairn_collection *collection, const char *id)
{
    cairn_patterns *patterns;
    const bool has = read_row(collection, string_id(id), &patterns) != NULL;

    cairn_patterns_free(patterns);
    return has;
}

static inline void delete_row(cairn_collection *collection, const char *id)
{
    uint64_t deleted;

    ok(cairn_delete(collection, (cairn_id[]){string_id(id)}, 1, &deleted, err));
    assert_int_equal(deleted, 1);
}

/* The hits' ids, best first, separated by spaces. */
static inline void expect_hits(const cairn_results *results, const char *expected)
{
    char found[4096] = "";
    size_t used = 0;

    for (size_t i = 0; i < cairn_results_count(results); i++) {
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%s", i == 0 ? "" : " ",
                                 cairn_results_at(results, i)->id.text);
        assert_true(used < sizeof found);
    }
    assert_string_equal(found, expected);
}

static inline void expect_search(cairn_collection *collection, const cairn_query *query, const char *expected)
{
    cairn_results *results;

    ok(cairn_search(collection, query, &results, err));
    expect_hits(results, expected);
    cairn_results_free(results);
}

/* A database without background work, so that a test decides what happens when, and without waiting for the disk. */
static inline void quiet_database_create(struct database *database)
{
    database_create(database,
                    CAIRN_OPTIONS(cairn_open_options, .no_background = true, .durability = CAIRN_LAZY));
}

#endif
