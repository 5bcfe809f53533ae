/*
 * A tail's graph grows while others search it, delete from it and write it out, to segments that get indexes and are merged. Each row
 * is its own nearest as soon as its write is answered, and is gone as soon as its deletion is. Made to run under the thread
 * sanitizer.
 */
#include "engine/collection.h"
#include "tests/engine/stage.h"

#define BATCH 8

static _Atomic uint32_t walked; /* searches that a graph answered */

/* How a stage differs from others. */
struct kind {
    bool background;
    uint32_t tail_rows_max, rows_each; /* rows of one writer */
    const char *index;
    bool may_miss; /* a row in a segment need not be found */
};

static const struct kind *kind;

static void long_stage_open(struct stage *stage)
{
    const cairn_open_options options = {.size = sizeof options,
                                        .no_background = !kind->background,
                                        .tail_rows_max = kind->tail_rows_max,
                                        .durability = CAIRN_LAZY,
                                        .threads = 3};
    struct crn_rng rng = test_rng();

    memset(stage, 0, sizeof *stage);
    pthread_mutex_init(&stage->mutex, NULL);
    database_create(&stage->database, &options);
    ok(cairn_collection_open(
        stage->database.db, "rows",
        CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2, .index = kind->index),
        &stage->collection, err));
    stage->second = stage->collection;
    atomic_store(&stage->seed, crn_rng_u64(&rng));
}

static void nearest(struct stage *stage, const float *vector, uint64_t *out_id)
{
    cairn_results *results;

    *out_id = UINT64_MAX;
    must(
        cairn_search(stage->collection, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 1), &results, err));
    if (cairn_results_count(results) != 0) *out_id = cairn_results_at(results, 0)->id.u64;
    cairn_results_free(results);
}

static void write_batch(struct stage *stage, struct crn_rng *rng, uint64_t first)
{
    float vectors[BATCH][DIM];
    cairn_pattern patterns[BATCH];
    uint64_t found, deleted;

    for (uint64_t i = 0; i < BATCH; i++) {
        random_vector(rng, vectors[i]);
        patterns[i] = (cairn_pattern){
            .size = sizeof *patterns, .id_type = CAIRN_ID_U64, .id_u64 = first + i, .vector = vectors[i]};
    }
    must(cairn_insert(stage->collection, patterns, BATCH, err));
    const uint64_t one = crn_rng_below(rng, BATCH);
    nearest(stage, vectors[one], &found);
    must_be(found == first + one || (kind->may_miss && found != UINT64_MAX));
    if (crn_rng_below(rng, 3) != 0) return;
    const cairn_id id = {CAIRN_ID_U64, NULL, first + one};
    must(cairn_delete(stage->collection, &id, 1, &deleted, err));
    must_be(deleted == 1);
    nearest(stage, vectors[one], &found);
    must_be(found != first + one);
}

static void *write_rows(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);
    const uint64_t first = 10000 * (uint64_t)(1 + atomic_fetch_add(&stage->writing, 1));

    for (uint64_t i = 0; i < kind->rows_each && !atomic_load(&stage->stop); i += BATCH)
        write_batch(stage, &rng, first + i);
    return NULL;
}

static void search_once(struct stage *stage, struct crn_rng *rng, uint64_t *out_rows)
{
    float vector[DIM];
    cairn_results *results;
    cairn_search_info info = {.size = sizeof info};

    random_vector(rng, vector);
    must(cairn_search(stage->collection, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 10), &results,
                      err));
    cairn_results_info(results, &info);
    *out_rows = info.rows;
    if (strcmp(info.plan, "index") == 0)
        atomic_fetch_add(&walked, 1); /* of a tail: other segments are too small */
    must_be(cairn_results_count(results) == (info.rows < 10 ? info.rows : 10));
    for (size_t i = 1; i < cairn_results_count(results); i++) {
        must_be(cairn_results_at(results, i)->distance >= cairn_results_at(results, i - 1)->distance);
        for (size_t j = 0; j < i; j++)
            must_be(cairn_results_at(results, i)->id.u64 != cairn_results_at(results, j)->id.u64);
    }
    cairn_results_free(results);
}

static void *search_rows(void *arg)
{
    struct stage *stage = arg;
    struct crn_rng rng = rng_of_thread(stage);
    uint64_t rows = 0;

    /* Until nearly all is written: a writer deletes at most a third of a batch's rows. */
    for (int i = 0; i < 20000 && rows < 2 * kind->rows_each * 9 / 10 && !atomic_load(&stage->stop); i++)
        search_once(stage, &rng, &rows);
    return NULL;
}

static void grow_together(const struct kind *of)
{
    void *(*const functions[])(void *) = {write_rows, write_rows, search_rows, search_rows};
    struct stage stage;

    atomic_store(&walked, 0);
    kind = of;
    long_stage_open(&stage);
    run_threads(&stage, functions, COUNT_OF(functions));
    /* Maintenance may write the tail out before any search comes by its graph: that is up to the scheduler. */
    assert_true(kind->background || atomic_load(&walked) > 0);
    stage_close(&stage);
}

static void test_alone(void **state)
{
    (void)state;
    grow_together(&(struct kind){.background = false, .tail_rows_max = 2000, .rows_each = 1600});
}

static void test_beside_maintenance(void **state)
{
    (void)state;
    grow_together(&(struct kind){.background = true, .tail_rows_max = 2000, .rows_each = 1600});
}

/* Tails become segments with their graphs, which are merged, while new tails grow. */
static void test_graph_segments(void **state)
{
    (void)state;
    grow_together(
        &(struct kind){.background = true, .tail_rows_max = 1030, .rows_each = 2300, .index = "graph"});
}

static void test_ivf_segments(void **state)
{
    (void)state;
    grow_together(&(struct kind){
        .background = true, .tail_rows_max = 400, .rows_each = 1200, .index = "ivf", .may_miss = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_beside_maintenance),
        cmocka_unit_test(test_graph_segments),
        cmocka_unit_test(test_ivf_segments),
    };
    return cmocka_run_group_tests_name("tail graph, concurrent", tests, NULL, NULL);
}
