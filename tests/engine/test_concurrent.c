/*
 * Many threads on one database write, search and tidy up. What one thread does is checked by that thread as it goes; the
 * whole is verified at the end. Made to run under the thread sanitizer.
 */
#include "engine/collection.h"
#include "tests/engine/stage.h"

#define ROWS_EACH 40 /* ids of one writer */

/* ---- one who writes ---- */

struct writer {
    struct stage *stage;
    struct crn_rng rng;
    uint64_t first_id;
    uint64_t versions[ROWS_EACH]; /* 0: not there */
    float vectors[ROWS_EACH][DIM];
};

/* The row is the nearest to its own vector, at once, by each way of searching; or is not there at all. */
static void check_own_row(struct writer *writer, cairn_collection *collection, uint64_t i)
{
    struct stage *stage = writer->stage;
    const uint64_t id = writer->first_id + i, version = writer->versions[i];
    const bool exact = crn_rng_below(&writer->rng, 2);
    cairn_results *results;

    must(cairn_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = writer->vectors[i], .k = 5, .exact = exact,
                                    .oversampling = 100, .with_pattern = true,
                                    .domain = crn_rng_below(&writer->rng, 2) ? "written" : NULL),
                      &results, err));
    uint64_t found_version = 0;
    for (size_t h = 0; h < cairn_results_count(results); h++) {
        const cairn_hit *hit = cairn_results_at(results, h);
        if (hit->id.u64 == id) found_version = h == 0 ? hit->pattern->version : UINT64_MAX;
    }
    cairn_results_free(results);
    must_be(found_version == version);
}

static void upsert_some(struct writer *writer, cairn_collection *collection)
{
    struct stage *stage = writer->stage;
    cairn_pattern patterns[4] = {0};
    cairn_written written[4];
    const size_t count = 1 + crn_rng_below(&writer->rng, 4),
                 begin = crn_rng_below(&writer->rng, ROWS_EACH - 3);

    for (size_t i = 0; i < count; i++) {
        random_vector(&writer->rng, writer->vectors[begin + i]);
        writer->versions[begin + i]++;
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .id_type = CAIRN_ID_U64,
                                      .id_u64 = writer->first_id + begin + i,
                                      .vector = writer->vectors[begin + i],
                                      .domain = "written"};
    }
    must(cairn_write(collection, CAIRN_UPSERT, patterns, count, written, err));
    for (size_t i = 0; i < count; i++) must_be(written[i].version == writer->versions[begin + i]);
}

static void delete_one(struct writer *writer, cairn_collection *collection, uint64_t i)
{
    struct stage *stage = writer->stage;
    const cairn_id id = {CAIRN_ID_U64, NULL, writer->first_id + i};
    uint64_t deleted;

    must(cairn_delete(collection, &id, 1, &deleted, err));
    must_be(deleted == (writer->versions[i] != 0));
    writer->versions[i] = 0;
}

static void *write_rows(void *arg)
{
    struct stage *stage = arg;
    struct writer *writer = calloc(1, sizeof *writer);

    writer->stage = stage;
    writer->rng = rng_of_thread(stage);
    writer->first_id = 1000 + 1000 * (uint64_t)atomic_fetch_add(&stage->writing, 1);
    for (int i = 0; i < ROWS_EACH; i++) random_vector(&writer->rng, writer->vectors[i]);
    for (int step = 0; step < 120 && !atomic_load(&stage->stop); step++) {
        const uint64_t i = crn_rng_below(&writer->rng, ROWS_EACH);
        cairn_collection *collection = crn_rng_below(&writer->rng, 2) ? stage->collection : stage->second;
        if (crn_rng_below(&writer->rng, 4) == 0) {
            delete_one(writer, collection, i);
        } else {
            upsert_some(writer, collection);
        }
        /* Written by one handle, found by the other. */
        check_own_row(writer, crn_rng_below(&writer->rng, 2) ? stage->collection : stage->second, i);
    }
    for (uint64_t i = 0; i < ROWS_EACH && !atomic_load(&stage->stop); i++)
        check_own_row(writer, stage->collection, i);
    free(writer);
    return NULL;
}

/* ---- those who look and those who tidy ---- */

static void search_once(struct stage *stage, struct crn_rng *rng, uint32_t k, const char *domain)
{
    cairn_collection *collection = crn_rng_below(rng, 2) ? stage->collection : stage->second;
    float vector[DIM];
    cairn_results *results;

    random_vector(rng, vector);
    must(cairn_search(collection,
                      CAIRN_OPTIONS(cairn_query, .vector = vector, .k = k, .domain = domain,
                                    .with_pattern = crn_rng_below(rng, 2)),
                      &results, err));
    must_be(cairn_results_count(results) == k); /* the fixed rows alone are enough */
    for (size_t i = 0; i < k; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        must_be(i == 0 || hit->distance >= cairn_results_at(results, i - 1)->distance);
        must_be(domain == NULL || (hit->id.u64 < FIXED && hit->id.u64 % 2 == 0));
        for (size_t j = 0; j < i; j++) must_be(cairn_results_at(results, j)->id.u64 != hit->id.u64);
    }
    cairn_results_free(results);
}

static void *search_rows(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);

    for (int i = 0; i < 250 && !atomic_load(&stage->stop); i++) {
        search_once(stage, &rng, 1 + (uint32_t)crn_rng_below(&rng, 20), NULL);
        search_once(stage, &rng, FIXED / 2, "even");
    }
    return NULL;
}

static void tidy_once(struct stage *stage, int i)
{
    uint64_t findings = 1, count = 0;
    char *json;

    /* As after a damaged segment: all is loaded from the rows, and the next optimization makes the files anew. */
    if (i % 5 == 4) crn_live_space_distrust(crn_collection_now(stage->collection)->live[0]);
    must(cairn_optimize(i % 2 == 0 ? stage->collection : stage->second, NULL, NULL, err));
    must(cairn_count(stage->collection, CAIRN_OPTIONS(cairn_scope, .domain = "odd"), &count, err));
    must_be(count == FIXED / 2);
    must(cairn_stats(stage->database.db, &json, err));
    cairn_free(json);
    if (i % 4 != 3) return;
    must(cairn_verify(stage->database.db, database_print_finding, NULL, NULL, &findings, err));
    must_be(findings == 0);
}

static void *tidy_rows(void *arg)
{
    struct stage *stage = arg;

    for (int i = 0; i < 12 && !atomic_load(&stage->stop); i++) tidy_once(stage, i);
    return NULL;
}

static void run_all(bool second)
{
    static void *(*const functions[])(void *) = {write_rows,  write_rows,  write_rows, search_rows,
                                                 search_rows, search_rows, tidy_rows,  tidy_rows};
    struct stage *stage = malloc(sizeof *stage);

    stage_open(stage, second);
    run_threads(stage, functions, COUNT_OF(functions));
    stage_close(stage);
    free(stage);
}

static void eight_threads_see_what_they_wrote(void **state)
{
    (void)state;
    run_all(false);
}

static void two_handles_of_one_file_see_each_other(void **state)
{
    (void)state;
    run_all(true);
}

/* ---- compare and set ---- */

#define INCREMENTS 25

static bool increment(struct stage *stage, cairn_collection *collection)
{
    const cairn_id id = {CAIRN_ID_U64, NULL, 0};
    cairn_patterns *patterns;
    cairn_error err = {0};

    if (cairn_get(collection, &id, 1, false, &patterns, &err) != CAIRN_OK) {
        note_failure(stage, __LINE__, "cairn_get", err.message);
        return true;
    }
    const cairn_pattern *row = cairn_patterns_at(patterns, 0);
    const cairn_pattern next = {.size = sizeof next,
                                .id_type = CAIRN_ID_U64,
                                .success_count = row->success_count + 1,
                                .if_version = row->version};
    const cairn_status status = cairn_update(collection, &next, 1, &err);
    if (status != CAIRN_OK && status != CAIRN_CONFLICT)
        note_failure(stage, __LINE__, "cairn_update", err.message);
    cairn_patterns_free(patterns);
    return status != CAIRN_CONFLICT;
}

static void *increment_many(void *arg)
{
    struct stage *stage = arg;
    cairn_collection *collection =
        atomic_fetch_add(&stage->writing, 1) % 2 == 0 ? stage->collection : stage->second;

    for (int i = 0; i < INCREMENTS && !atomic_load(&stage->stop); i++) {
        while (!increment(stage, collection)) continue;
    }
    return NULL;
}

static void compare_and_set_loses_no_increment(void **state)
{
    static void *(*const functions[])(void *) = {increment_many, increment_many, increment_many,
                                                 increment_many};
    struct stage *stage = malloc(sizeof *stage);
    cairn_patterns *patterns;

    (void)state;
    stage_open(stage, true);
    run_threads(stage, functions, COUNT_OF(functions));
    const cairn_pattern *row = read_row(stage->collection, (cairn_id){CAIRN_ID_U64, NULL, 0}, &patterns);
    assert_int_equal(row->success_count, COUNT_OF(functions) * INCREMENTS);
    assert_int_equal(row->version, COUNT_OF(functions) * INCREMENTS + 1);
    cairn_patterns_free(patterns);
    stage_close(stage);
    free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads_see_what_they_wrote),
        cmocka_unit_test(two_handles_of_one_file_see_each_other),
        cmocka_unit_test(compare_and_set_loses_no_increment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
