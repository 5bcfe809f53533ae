/* The graph over a tail: what it finds, beside exact search, whatever is deleted, filtered, of unusual length or short of memory. */
#include "base/mem.h"
#include "engine/collection.h"
#include "tests/engine/rows.h"

#include <math.h>

#define DIM 64
#define CLUSTERS 40
#define INTRINSIC 8
#define ROWS 12000
#define QUERIES 100
#define K 10

/* ---- rows like embeddings: clusters that extend in few dimensions ---- */

struct maker {
    struct crn_rng rng;
    float centres[CLUSTERS][DIM], directions[INTRINSIC][DIM];
};

static void maker_init(struct maker *maker)
{
    maker->rng = test_rng();
    for (size_t i = 0; i < CLUSTERS * DIM; i++)
        maker->centres[i / DIM][i % DIM] = (float)crn_rng_normal(&maker->rng);
    for (size_t i = 0; i < INTRINSIC * DIM; i++)
        maker->directions[i / DIM][i % DIM] = (float)crn_rng_normal(&maker->rng);
}

static void make_row(struct maker *maker, float *row)
{
    const float *centre = maker->centres[crn_rng_below(&maker->rng, CLUSTERS)];
    const float length = 0.5F + (float)crn_rng_unit(&maker->rng);

    for (size_t d = 0; d < DIM; d++) row[d] = centre[d] + 0.05F * (float)crn_rng_normal(&maker->rng);
    for (size_t i = 0; i < INTRINSIC; i++) {
        const float along = 0.5F * (float)crn_rng_normal(&maker->rng);
        for (size_t d = 0; d < DIM; d++) row[d] += along * maker->directions[i][d];
    }
    for (size_t d = 0; d < DIM; d++) row[d] *= length;
}

/* ---- a collection that is all tail ---- */

struct stage {
    struct database database;
    cairn_collection *collection;
    struct maker maker;
    float (*rows)[DIM]; /* [ROWS], by id */
};

static void stage_open(struct stage *stage, const cairn_collection_options *options)
{
    maker_init(&stage->maker);
    database_create(&stage->database, CAIRN_OPTIONS(cairn_open_options, .no_background = true,
                                                    .durability = CAIRN_LAZY, .tail_rows_max = 1U << 20));
    ok(cairn_collection_open(stage->database.db, "rows", options, &stage->collection, err));
    stage->rows = calloc(ROWS, sizeof *stage->rows);
    for (size_t i = 0; i < ROWS; i++) make_row(&stage->maker, stage->rows[i]);
}

static void stage_close(struct stage *stage)
{
    cairn_collection_close(stage->collection);
    database_remove(&stage->database);
    free(stage->rows);
}

static cairn_status insert_rows(struct stage *stage, size_t begin, size_t end, cairn_error *err)
{
    cairn_pattern patterns[500];
    cairn_status status = CAIRN_OK;

    for (size_t at = begin; status == CAIRN_OK && at < end;) {
        const size_t count = end - at < COUNT_OF(patterns) ? end - at : COUNT_OF(patterns);
        for (size_t i = 0; i < count; i++) {
            patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = at + i,
                                          .vector = stage->rows[at + i],
                                          .domain = (at + i) % 2 == 0 ? "even" : "odd",
                                          .type = (at + i) % 100 == 0 ? "rare" : "common"};
        }
        status = cairn_insert(stage->collection, patterns, count, err);
        at += count;
    }
    return status;
}

static uint64_t number_of(cairn_collection *collection, const char *key)
{
    char pattern[40], *json;

    ok(cairn_collection_stats(collection, &json, err));
    snprintf(pattern, sizeof pattern, "\"%s\":", key);
    const char *at = strstr(json, pattern);
    assert_non_null(at);
    const uint64_t number = strtoull(at + strlen(pattern), NULL, 10);
    cairn_free(json);
    return number;
}

/* The first search brings the space into memory: from then on, writes are handed over. */
static void fill(struct stage *stage)
{
    assert_int_equal(number_of(stage->collection, "tail_rows"), 0);
    ok(insert_rows(stage, 0, ROWS, err));
    assert_int_equal(number_of(stage->collection, "tail_rows"), ROWS);
    assert_int_equal(number_of(stage->collection, "tail_indexed_rows"), ROWS);
}

/* ---- what is found ---- */

static cairn_results *search(struct stage *stage, const float *vector, const cairn_query *like, bool exact)
{
    cairn_query query = *like;
    cairn_results *results;

    query.size = sizeof query;
    query.vector = vector;
    query.exact = exact;
    ok(cairn_search(stage->collection, &query, &results, err));
    return results;
}

static bool has_id(const cairn_results *results, uint64_t id)
{
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        if (cairn_results_at(results, i)->id.u64 == id) return true;
    }
    return false;
}

/* The share of the k nearest that are found, over QUERIES new vectors. All answers have as many hits, in the same order. */
static double recall(struct stage *stage, const cairn_query *like)
{
    float vector[DIM];
    size_t found = 0, wanted = 0;

    for (int q = 0; q < QUERIES; q++) {
        make_row(&stage->maker, vector);
        cairn_results *near = search(stage, vector, like, false), *exact = search(stage, vector, like, true);
        assert_int_equal(cairn_results_count(near), cairn_results_count(exact));
        wanted += cairn_results_count(exact);
        for (size_t i = 0; i < cairn_results_count(near); i++) {
            const cairn_hit *hit = cairn_results_at(near, i);
            found += has_id(exact, hit->id.u64);
            assert_true(i == 0 || hit->distance >= cairn_results_at(near, i - 1)->distance);
            for (size_t j = 0; j < i; j++)
                assert_int_not_equal(cairn_results_at(near, j)->id.u64, hit->id.u64);
        }
        cairn_results_free(near);
        cairn_results_free(exact);
    }
    return wanted == 0 ? 1 : (double)found / (double)wanted;
}

static void expect_recall(struct stage *stage, const char *what, const cairn_query *like, double least)
{
    const double share = recall(stage, like);

    print_message("%s: recall@%u %.4f\n", what, like->k, share);
    assert_true(share >= least);
}

static void expect_plan(struct stage *stage, const cairn_query *like, const char *plan)
{
    cairn_results *results = search(stage, stage->rows[0], like, like->exact);
    cairn_search_info info = {.size = sizeof info};

    cairn_results_info(results, &info);
    assert_string_equal(info.plan, plan);
    cairn_results_free(results);
}

static void finds_the_nearest(cairn_metric metric, const char *name)
{
    struct stage stage;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = metric));
    fill(&stage);
    expect_recall(&stage, name, &(cairn_query){.k = K}, 0.95);
    expect_recall(&stage, name, &(cairn_query){.k = 100}, 0.95);
    expect_recall(&stage, name, &(cairn_query){.k = K, .ef = 200}, 0.98);
    expect_plan(&stage, &(cairn_query){.k = K}, "index");
    expect_plan(&stage, &(cairn_query){.k = K, .exact = true}, "flat");
    expect_plan(&stage, &(cairn_query){.k = ROWS}, "flat"); /* all of them */
    stage_close(&stage);
}

static void test_cosine(void **state)
{
    (void)state;
    finds_the_nearest(CAIRN_METRIC_COSINE, "cosine");
}

static void test_l2(void **state)
{
    (void)state;
    finds_the_nearest(CAIRN_METRIC_L2, "l2");
}

static void test_dot(void **state)
{
    (void)state;
    finds_the_nearest(CAIRN_METRIC_DOT, "dot");
}

/* Each row is its own nearest as soon as its write is answered, and afterwards. */
static void test_own_nearest(void **state)
{
    struct stage stage;
    size_t missed = 0;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2));
    assert_int_equal(number_of(stage.collection, "tail_rows"), 0);
    for (size_t i = 0; i < 3000; i++) {
        ok(insert_rows(&stage, i, i + 1, err));
        cairn_results *results = search(&stage, stage.rows[i], &(cairn_query){.k = 1}, false);
        assert_int_equal(cairn_results_at(results, 0)->id.u64, i);
        cairn_results_free(results);
    }
    for (size_t i = 0; i < 3000; i++) {
        cairn_results *results = search(&stage, stage.rows[i], &(cairn_query){.k = 1}, false);
        missed += cairn_results_at(results, 0)->id.u64 != i;
        cairn_results_free(results);
    }
    print_message("%zu of 3000 rows were not found by their own vector\n", missed);
    assert_true(missed <= 15);
    stage_close(&stage);
}

/* ---- rows that may not be found ---- */

static void test_deleted_and_filtered(void **state)
{
    struct stage stage;
    cairn_id ids[ROWS / 3];
    uint64_t deleted;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM));
    fill(&stage);
    expect_recall(&stage, "half of the rows", &(cairn_query){.k = K, .domain = "even"}, 0.95);
    expect_plan(&stage, &(cairn_query){.k = K, .domain = "even"}, "index");
    expect_recall(&stage, "one of a hundred", &(cairn_query){.k = K, .type = "rare"}, 1);
    expect_plan(&stage, &(cairn_query){.k = K, .type = "rare"}, "filter-scan");
    for (size_t i = 0; i < COUNT_OF(ids); i++) ids[i] = (cairn_id){CAIRN_ID_U64, NULL, i * 3};
    ok(cairn_delete(stage.collection, ids, COUNT_OF(ids), &deleted, err));
    assert_int_equal(deleted, COUNT_OF(ids));
    for (size_t i = 0; i < COUNT_OF(ids); i += 50) {
        cairn_results *results = search(&stage, stage.rows[i * 3], &(cairn_query){.k = K}, false);
        for (size_t h = 0; h < K; h++) assert_int_not_equal(cairn_results_at(results, h)->id.u64 % 3, 0);
        cairn_results_free(results);
    }
    expect_recall(&stage, "a third deleted", &(cairn_query){.k = K}, 0.95);
    expect_plan(&stage, &(cairn_query){.k = K}, "index");
    expect_recall(&stage, "a third deleted, half of the rows", &(cairn_query){.k = K, .domain = "odd"}, 0.95);
    stage_close(&stage);
}

/* ---- vectors unlike the first ones ---- */

static void scale_row(struct stage *stage, size_t row, float factor)
{
    for (size_t d = 0; d < DIM; d++) stage->rows[row][d] *= factor;
}

/* Dot products: a few much longer vectors are compared one by one; with too many of them the graph stops, and the rest is scanned. */
static void test_longer_vectors(void **state)
{
    struct stage stage;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_DOT));
    for (size_t i = 2000; i < 8000; i += 20) scale_row(&stage, i, 20);
    for (size_t i = 8000; i < ROWS; i++) scale_row(&stage, i, 40);
    assert_int_equal(number_of(stage.collection, "tail_rows"), 0);
    ok(insert_rows(&stage, 0, 8000, err));
    assert_int_equal(number_of(stage.collection, "tail_indexed_rows"), 8000);
    expect_recall(&stage, "some longer", &(cairn_query){.k = K}, 0.95);
    expect_recall(&stage, "some longer", &(cairn_query){.k = 400}, 0.95);
    ok(insert_rows(&stage, 8000, ROWS, err));
    const uint64_t indexed = number_of(stage.collection, "tail_indexed_rows");
    assert_true(indexed >= 8000 && indexed < 9000);
    expect_recall(&stage, "many longer", &(cairn_query){.k = K}, 0.95);
    stage_close(&stage);
}

/* All first rows are one and the same; lengths end up at the limits of floats. */
static void test_extreme_values(void **state)
{
    struct stage stage;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2));
    for (size_t i = 1; i < 1500; i++) memcpy(stage.rows[i], stage.rows[0], sizeof stage.rows[0]);
    scale_row(&stage, 3000, 1e18F);
    scale_row(&stage, 3001, 1e-30F);
    memset(stage.rows[3002], 0, sizeof stage.rows[3002]);
    fill(&stage);
    for (size_t i = 2999; i < 3003; i++) {
        cairn_results *results = search(&stage, stage.rows[i], &(cairn_query){.k = 2}, false);
        assert_int_equal(cairn_results_count(results), 2);
        assert_true(has_id(results, i));
        cairn_results_free(results);
    }
    expect_recall(&stage, "beside 1,500 equal rows", &(cairn_query){.k = K}, 0.95);
    /* Equal rows are found whichever of them may be. */
    cairn_results *results = search(&stage, stage.rows[0], &(cairn_query){.k = 300, .domain = "odd"}, false);
    for (size_t h = 0; h < 300; h++) {
        assert_true(cairn_results_at(results, h)->id.u64 < 1500);
        assert_int_equal(cairn_results_at(results, h)->id.u64 % 2, 1);
    }
    cairn_results_free(results);
    stage_close(&stage);
}

/* ---- spaces without ---- */

static void test_not_wanted(void **state)
{
    const cairn_collection_options options[] = {
        {.size = sizeof *options, .dim = DIM, .index = "flat"},
        {.size = sizeof *options, .dim = DIM, .metric = CAIRN_METRIC_MANHATTAN},
    };
    struct stage stage;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(options); i++) {
        stage_open(&stage, &options[i]);
        assert_int_equal(number_of(stage.collection, "tail_rows"), 0);
        ok(insert_rows(&stage, 0, 3000, err));
        assert_int_equal(number_of(stage.collection, "tail_indexed_rows"), 0);
        expect_recall(&stage, "scanned", &(cairn_query){.k = K}, 1);
        stage_close(&stage);
    }
}

/* ---- memory ---- */

/* With the rows written to a segment, the graph's memory is given back. */
static void test_memory_returned(void **state)
{
    struct stage stage;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM));
    fill(&stage);
    assert_true(number_of(stage.collection, "index_memory_bytes") > ROWS * sizeof stage.rows[0]);
    ok(cairn_optimize(stage.collection, NULL, NULL, err));
    assert_int_equal(number_of(stage.collection, "tail_rows"), 0);
    assert_int_equal(number_of(stage.collection, "tail_indexed_rows"), 0);
    assert_int_equal(number_of(stage.collection, "index_memory_bytes"), 0);
    expect_recall(&stage, "in a segment", &(cairn_query){.k = K}, 0.93); /* by the segment's graph */
    stage_close(&stage);
}

/* Each allocation of a batch that makes the graph, or makes it larger, fails once; no answered row is lost, and later the graph comes. */
static void check_growing_fails(struct stage *stage, size_t begin, size_t end)
{
    struct crn_live_space *space = crn_collection_now(stage->collection)->live[0];
    struct crn_view *view;

    ok(insert_rows(stage, begin, end, err));
    ok(crn_live_space_view(space, &view, err));
    struct crn_tail *tail = view->tails[0].tail;
    const uint32_t count = view->tails[0].count, before = crn_tail_graph_inserted(tail);
    for (uint64_t nth = 1;; nth++) {
        crn_mem_fail_at(nth, false);
        const cairn_status status = crn_tail_graph_grow(tail, &space->tail_graphs, count, UINT32_MAX, NULL);
        crn_mem_fail_at(0, false);
        if (status == CAIRN_OK) break;
        assert_int_equal(status, CAIRN_NO_MEMORY);
        assert_true(nth < 100);
        tail->graph_at = 0; /* no matter how many rows have come */
        expect_recall(stage, "short of memory", &(cairn_query){.k = K}, before == 0 ? 1 : 0.95);
    }
    assert_int_equal(crn_tail_graph_inserted(tail), count);
    crn_view_release(view);
    expect_recall(stage, "afterwards", &(cairn_query){.k = K}, 0.95);
}

static void test_short_of_memory(void **state)
{
    struct stage stage;
    (void)state;

    stage_open(&stage, CAIRN_OPTIONS(cairn_collection_options, .dim = DIM));
    const uint32_t rows_most = crn_collection_now(stage.collection)->live[0]->tail_graphs.rows_most;
    assert_int_equal(number_of(stage.collection, "tail_rows"), 0);
    crn_collection_now(stage.collection)->live[0]->tail_graphs.rows_most =
        0; /* writers leave it to the test */
    ok(insert_rows(&stage, 0, 1000, err));
    crn_collection_now(stage.collection)->live[0]->tail_graphs.rows_most = rows_most;
    check_growing_fails(&stage, 1000, 1500);
    crn_collection_now(stage.collection)->live[0]->tail_graphs.rows_most = 0;
    ok(insert_rows(&stage, 1500, 6000, err));
    crn_collection_now(stage.collection)->live[0]->tail_graphs.rows_most = rows_most;
    check_growing_fails(&stage, 6000, 6001);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_l2),
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_own_nearest),
        cmocka_unit_test(test_deleted_and_filtered),
        cmocka_unit_test(test_longer_vectors),
        cmocka_unit_test(test_extreme_values),
        cmocka_unit_test(test_not_wanted),
        cmocka_unit_test(test_memory_returned),
        cmocka_unit_test(test_short_of_memory),
    };
    return cmocka_run_group_tests_name("tail graph", tests, NULL, NULL);
}
