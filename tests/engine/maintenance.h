/* One collection under maintenance: how it stands, what it answers, and the files it is kept in. */
#ifndef CRN_TESTS_ENGINE_MAINTENANCE_H
#define CRN_TESTS_ENGINE_MAINTENANCE_H

#include "engine/collection.h"
#include "tests/engine/rows.h"

#include "base/json.h"

#include <dirent.h>

#define DIM 6

struct fixture {
    struct database database;
    cairn_open_options options;
    cairn_collection *notes;
    struct crn_rng rng;
    uint64_t next_id;
};

static inline void open_notes(struct fixture *fixture)
{
    ok(cairn_collection_open(fixture->database.db, "notes",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2,
                                           .quantization = CAIRN_QUANTIZATION_SCALAR),
                             &fixture->notes, err));
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->rng = test_rng();
    fixture->options = (cairn_open_options){.size = sizeof fixture->options,
                                            .no_background = true,
                                            .tail_rows_max = 10,
                                            .durability = CAIRN_LAZY};
    database_create(&fixture->database, &fixture->options);
    open_notes(fixture);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    cairn_collection_close(fixture->notes);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

static inline void reopen(struct fixture *fixture)
{
    cairn_collection_close(fixture->notes);
    database_reopen(&fixture->database, &fixture->options);
    open_notes(fixture);
}

static inline void insert_rows(struct fixture *fixture, size_t count, int64_t expires_at_ms)
{
    float vector[DIM];

    for (size_t i = 0; i < count; i++) {
        for (int c = 0; c < DIM; c++) vector[c] = (float)crn_rng_normal(&fixture->rng);
        ok(cairn_insert(fixture->notes,
                        CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = fixture->next_id++,
                                      .vector = vector, .domain = i % 3 == 0 ? "third" : "",
                                      .expires_at_ms = expires_at_ms),
                        1, err));
    }
}

/* A number of the collection's space, as the statistics tell it. */
static inline int64_t space_number(struct fixture *fixture, const char *key)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root, spaces, space, value;
    struct crn_json_iter it;
    const char *name;
    size_t len;
    char *json;

    ok(cairn_collection_stats(fixture->notes, &json, err));
    ok(crn_json_parse(parser, json, strlen(json), &root, err));
    assert_true(crn_json_get(root, "spaces", &spaces));
    crn_json_iter_init(&it, spaces);
    assert_true(crn_json_iter_next(&it, &space, &name, &len));
    assert_true(crn_json_get(space, key, &value));
    const int64_t number = crn_json_type(value) == CRN_JSON_BOOL ? crn_json_bool(value) : crn_json_i64(value);
    cairn_free(json);
    crn_json_parser_free(parser);
    return number;
}

/* ---- answers, to compare ---- */

#define QUERIES 12

struct answers {
    size_t counts[QUERIES];
    struct {
        uint64_t id;
        float distance;
    } hits[QUERIES][50];
};

/* The same queries each time; with and without exactness and a scope. */
static inline void ask(struct fixture *fixture, struct answers *out)
{
    struct crn_rng rng;
    float vector[DIM];
    cairn_results *results;

    memset(out, 0, sizeof *out);
    crn_rng_init(&rng, 4711);
    for (size_t q = 0; q < QUERIES; q++) {
        for (int c = 0; c < DIM; c++) vector[c] = (float)crn_rng_normal(&rng);
        ok(cairn_search(fixture->notes,
                        CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 50, .exact = q % 2 != 0,
                                      .oversampling = 1000, .domain = q % 3 == 0 ? "third" : NULL),
                        &results, err));
        out->counts[q] = cairn_results_count(results);
        for (size_t i = 0; i < out->counts[q]; i++) {
            out->hits[q][i].id = cairn_results_at(results, i)->id.u64;
            out->hits[q][i].distance = cairn_results_at(results, i)->distance;
        }
        cairn_results_free(results);
    }
}

static inline void expect_same(struct fixture *fixture, const struct answers *before)
{
    struct answers *after = malloc(sizeof *after);

    ask(fixture, after);
    assert_memory_equal(after, before, sizeof *after);
    free(after);
}

/* ---- files ---- */

struct files {
    size_t count;
    char paths[64][700];
};

static inline void list_files(struct fixture *fixture, struct files *out)
{
    char folder[400];
    struct dirent *entry;

    snprintf(folder, sizeof folder, "%s.d", fixture->database.path);
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    out->count = 0;
    while ((entry = readdir(stream)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".derived") != 0) continue;
        assert_true(out->count < COUNT_OF(out->paths));
        snprintf(out->paths[out->count++], sizeof out->paths[0], "%s/%.255s", folder, entry->d_name);
    }
    closedir(stream);
}

static inline size_t count_files(struct fixture *fixture)
{
    struct files *files = malloc(sizeof *files);

    list_files(fixture, files);
    const size_t count = files->count;
    free(files);
    return count;
}

#endif
