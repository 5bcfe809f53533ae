/* What `cairn bench` counts and reads, against answers worked out by hand or by plain loops. */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/bench_data.h"
#include "cli/bench_kernel.h"
#include "cli/bench_layout.h"
#include "cli/bench_report.h"
#include "cli/bench_truth.h"
#include "cli/knn.h"
#include "cli/matrix.h"
#include "tests/cli/support.h"

#include <math.h>
#include <time.h>

static char folder[200];
static uint64_t seed;

static const char *file_of(const char *name, const void *data, size_t len)
{
    static char path[400];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_write_file(path, data, len);
    return path;
}

static void fill(struct crn_rng *rng, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)crn_rng_normal(rng);
}

/* ---- recall ---- */

/* Rows at 0, 1, 2, 3, 3, 10 on a line; the query is at 0. Its three nearest are rows 0, 1, 2; of the four
 * nearest the last may be row 3 or row 4. */
static float line_rows[] = {0, 1, 2, 3, 3, 10};
static float line_query[] = {0};

static uint32_t count(const struct crn_cli_bench_truth *truth, const struct crn_cli_bench_data *data,
                      const uint64_t *found, uint32_t found_count, uint32_t *of)
{
    return crn_cli_bench_truth_count(truth, data, 0, found, found_count, of);
}

static void recall_is_what_a_hand_computes(void **state)
{
    struct crn_cli_bench_data data = {.rows = {.rows = 6, .columns = 1, .floats = line_rows},
                                      .queries = {.rows = 1, .columns = 1, .floats = line_query},
                                      .metric = CAIRN_METRIC_L2};
    struct crn_cli_bench_truth truth;
    struct crn_cli_progress progress;
    uint32_t of;
    bool cached;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    assert_int_equal(crn_cli_bench_truth_make(&truth, &data, 4, NULL, &progress, &cached, NULL), CAIRN_OK);
    assert_false(cached);
    const uint32_t expected[] = {0, 1, 2, 3};
    assert_memory_equal(truth.ids, expected, sizeof expected);
    for (uint32_t i = 0; i < 4; i++) assert_true(truth.distances[i] == i);

    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 1, 2, 3}, 4, &of), 4);
    assert_int_equal(of, 4);
    assert_int_equal(count(&truth, &data, (uint64_t[]){4, 2, 1, 0}, 4, &of), 4); /* row 4 ties with row 3 */
    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 1, 3, 4}, 4, &of),
                     4); /* as many as there could be */
    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 1, 2, 5}, 4, &of), 3);
    assert_int_equal(count(&truth, &data, (uint64_t[]){5, 5, 5, 5}, 4, &of), 0);
    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 0, 0, 0}, 4, &of), 1); /* once each */
    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 77}, 2, &of), 1);      /* no such row */
    assert_int_equal(count(&truth, &data, NULL, 0, &of), 0);
    crn_cli_bench_truth_release(&truth);

    assert_int_equal(crn_cli_bench_truth_make(&truth, &data, 8, NULL, &progress, &cached, NULL), CAIRN_OK);
    assert_int_equal(count(&truth, &data, (uint64_t[]){0, 1, 2, 3, 4, 5}, 6, &of), 6);
    assert_int_equal(of, 6); /* there are no more rows */
    crn_cli_bench_truth_release(&truth);
}

static void a_truth_of_other_data_is_refused(void **state)
{
    uint32_t ids[] = {3, 1, 0, 2};
    struct crn_cli_bench_data data = {.rows = {.rows = 6, .columns = 1, .floats = line_rows},
                                      .queries = {.rows = 1, .columns = 1, .floats = line_query},
                                      .truth = {.rows = 1, .columns = 4, .ids = ids},
                                      .truth_path = "wrong.ivecs",
                                      .metric = CAIRN_METRIC_L2};
    struct crn_cli_bench_truth truth;
    struct crn_cli_progress progress;
    cairn_error err;
    bool cached;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    assert_int_equal(crn_cli_bench_truth_make(&truth, &data, 4, NULL, &progress, &cached, &err),
                     CAIRN_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "wrong.ivecs is no truth of these rows by l2: of query 0 neighbor 1, row 1, is "
                        "nearer (1) than the one before it (3)");
    crn_cli_bench_truth_release(&truth);
}

/* ---- nearest rows ---- */

struct pair {
    double distance;
    uint32_t id;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void check_knn(struct crn_rng *rng, cairn_metric metric, uint32_t dim, uint32_t rows, uint32_t queries,
                      uint32_t k, bool same)
{
    float *vectors = crn_mem_array((size_t)(rows + queries) * dim, sizeof *vectors);
    uint32_t *ids = crn_mem_array((size_t)queries * k, sizeof *ids);
    double *distances = crn_mem_array((size_t)queries * k, sizeof *distances);
    uint32_t *subset = crn_mem_array(rows, sizeof *subset);
    struct pair *pairs = crn_mem_array(rows, sizeof *pairs);

    fill(rng, vectors, (size_t)(rows + queries) * dim);
    for (uint32_t i = 0; i < rows; i++) subset[i] = rows - 1 - i;
    uint32_t used = same ? rows : rows - rows / 3;
    const float *asked = same ? vectors : vectors + (size_t)rows * dim;
    const struct crn_cli_knn knn = {.rows = vectors,
                                    .row_ids = same ? NULL : subset,
                                    .row_count = used,
                                    .queries = asked,
                                    .query_count = queries,
                                    .dim = dim,
                                    .k = k,
                                    .metric = metric,
                                    .skip_same = same,
                                    .threads = 3};
    assert_int_equal(crn_cli_knn_search(&knn, ids, distances, NULL), CAIRN_OK);
    for (uint32_t q = 0; q < queries; q++) {
        uint32_t count_of = 0;
        for (uint32_t i = 0; i < used; i++) {
            uint32_t id = same ? i : subset[i];
            if (same && id == q) continue;
            pairs[count_of++] = (struct pair){
                crn_cli_knn_distance(metric, vectors + (size_t)id * dim, asked + (size_t)q * dim, dim), id};
        }
        qsort(pairs, count_of, sizeof *pairs, compare_pairs);
        for (uint32_t i = 0; i < k; i++) {
            if (i >= count_of) {
                assert_int_equal(ids[q * k + i], CRN_CLI_KNN_NONE);
                assert_true(isinf(distances[q * k + i]));
            } else if (ids[q * k + i] != pairs[i].id || distances[q * k + i] != pairs[i].distance) {
                fail_msg("seed %llu metric %d dim %u: place %u is row %u at %.17g, not row %u at %.17g",
                         (unsigned long long)seed, (int)metric, dim, i, ids[q * k + i], distances[q * k + i],
                         pairs[i].id, pairs[i].distance);
            }
        }
    }
    crn_mem_free(vectors);
    crn_mem_free(ids);
    crn_mem_free(distances);
    crn_mem_free(subset);
    crn_mem_free(pairs);
}

static void nearest_rows_are_those_of_plain_loops(void **state)
{
    static const uint32_t dims[] = {1, 3, 16, 17, 100};
    struct crn_rng rng;

    (void)state;
    crn_rng_init(&rng, seed);
    for (int metric = CAIRN_METRIC_COSINE; metric <= CAIRN_METRIC_MANHATTAN; metric++) {
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            if (metric == CAIRN_METRIC_COSINE && dims[d] == 1) continue; /* all are equal */
            check_knn(&rng, (cairn_metric)metric, dims[d], 300, 70, 10, false);
            check_knn(&rng, (cairn_metric)metric, dims[d], 130, 5, 7, true);
        }
        check_knn(&rng, (cairn_metric)metric, 8, 5, 3, 9, false); /* fewer rows than k */
    }
}

static void every_instruction_set_measures_alike(void **state)
{
    enum { DIM = 48, COUNT = 8 };
    float *vectors = crn_mem_aligned(2 * COUNT * DIM * sizeof *vectors);
    float got[COUNT * COUNT], expected[COUNT * COUNT];
    struct crn_rng rng;

    (void)state;
    crn_rng_init(&rng, seed);
    fill(&rng, vectors, 2 * COUNT * DIM);
    for (int op = CRN_CLI_TILE_L2; op <= CRN_CLI_TILE_DOT; op++) {
        crn_cli_tile_distances_portable((enum crn_cli_tile_op)op, vectors, COUNT, vectors + COUNT * DIM,
                                        COUNT, DIM, expected);
        crn_cli_tile_distances()((enum crn_cli_tile_op)op, vectors, COUNT, vectors + COUNT * DIM, COUNT, DIM,
                                 got);
        for (size_t i = 0; i < COUNT * COUNT; i++) assert_true(fabsf(got[i] - expected[i]) < 1e-3f);
        double sum = 0; /* of row 3 and query 5 */
        for (size_t i = 0; i < DIM; i++) {
            double a = vectors[3 * DIM + i];
            double b = vectors[(COUNT + 5) * DIM + i];
            sum += op == CRN_CLI_TILE_L2 ? (a - b) * (a - b) : op == CRN_CLI_TILE_L1 ? fabs(a - b) : -a * b;
        }
        assert_true(fabs(got[5 * COUNT + 3] - sum) < 1e-3);
    }
    crn_mem_free(vectors);
}

/* ---- made-up data ---- */

static void made_up_data_come_from_the_seed(void **state)
{
    struct crn_cli_bench_generate what = {
        .kind = CRN_CLI_BENCH_CLUSTERED, .rows = 1000, .dim = 20, .lid = 6, .seed = 5};
    struct crn_cli_matrix a, b;
    struct crn_cli_progress progress;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    for (int kind = CRN_CLI_BENCH_CLUSTERED; kind <= CRN_CLI_BENCH_GAUSSIAN; kind++) {
        what.kind = (enum crn_cli_bench_kind)kind;
        assert_int_equal(crn_cli_bench_generate(&what, &progress, &a, NULL), CAIRN_OK);
        assert_int_equal(crn_cli_bench_generate(&what, &progress, &b, NULL), CAIRN_OK);
        assert_memory_equal(a.floats, b.floats, 1000 * 20 * sizeof(float));
        for (size_t i = 0; i < 1000 * 20; i++) assert_true(isfinite(a.floats[i]));
        assert_memory_not_equal(a.floats, a.floats + 256 * 20, 20 * sizeof(float)); /* blocks differ */
        crn_cli_matrix_release(&b);
        what.seed++;
        assert_int_equal(crn_cli_bench_generate(&what, &progress, &b, NULL), CAIRN_OK);
        assert_memory_not_equal(a.floats, b.floats, 20 * sizeof(float));
        crn_cli_matrix_release(&a);
        crn_cli_matrix_release(&b);
    }
}

/* Points of a plane, and of a cube, in 9 dimensions: the estimate must tell 2 from 3. Its deviation over 1000
 * samples of 100 is far below the bounds; the border of the plane lowers it a little. */
static void intrinsic_dimension_is_that_of_the_surface(void **state)
{
    enum { ROWS = 4000, DIM = 9 };
    struct crn_cli_bench_data data = {.rows = {.rows = ROWS, .columns = DIM}, .metric = CAIRN_METRIC_L2};
    struct crn_cli_progress progress;
    struct crn_rng rng;
    double lid;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    data.rows.floats = crn_mem_array(ROWS * DIM, sizeof(float));
    crn_rng_init(&rng, seed);
    for (unsigned latent = 2; latent <= 3; latent++) {
        float map[3 * DIM];
        fill(&rng, map, 3 * DIM);
        memset(data.rows.floats, 0, ROWS * DIM * sizeof(float));
        for (size_t r = 0; r < ROWS; r++) {
            for (unsigned l = 0; l < latent; l++) {
                float at = (float)crn_rng_unit(&rng);
                for (size_t i = 0; i < DIM; i++) data.rows.floats[r * DIM + i] += at * map[l * DIM + i];
            }
        }
        assert_int_equal(crn_cli_bench_data_lid(&data, &progress, &lid, NULL), CAIRN_OK);
        if (!(lid > latent * 0.8 && lid < latent * 1.15)) {
            fail_msg("seed %llu: dimension %u was measured as %g", (unsigned long long)seed, latent, lid);
        }
    }
    data.rows.rows = 100;
    assert_int_equal(crn_cli_bench_data_lid(&data, &progress, &lid, NULL), CAIRN_OK);
    assert_true(isnan(lid)); /* too few */
    crn_mem_free(data.rows.floats);
}

static void layouts_are_permutations_and_regions_are_near(void **state)
{
    enum { ROWS = 2000, DIM = 2 };
    struct crn_cli_matrix rows = {.rows = ROWS, .columns = DIM};
    struct crn_cli_bench_layout *layout;
    struct crn_cli_progress progress;
    struct crn_rng rng;
    double near = 0, far = 0;

    (void)state;
    crn_cli_progress_begin(&progress, "rows");
    rows.floats = crn_mem_array(ROWS * DIM, sizeof(float));
    crn_rng_init(&rng, seed);
    fill(&rng, rows.floats, ROWS * DIM);
    assert_int_equal(crn_cli_bench_layout_make(&rows, seed, &progress, &layout, NULL), CAIRN_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(layout->order[layout->place[i]], i);
        assert_int_equal(layout->shuffled[layout->shuffled_place[i]], i);
        const uint32_t *order = layout->order;
        const uint32_t *shuffled = layout->shuffled;
        uint32_t next = (i + 1) % ROWS;
        near += crn_cli_knn_distance(CAIRN_METRIC_L2, rows.floats + order[i] * DIM,
                                     rows.floats + order[next] * DIM, DIM);
        far += crn_cli_knn_distance(CAIRN_METRIC_L2, rows.floats + shuffled[i] * DIM,
                                    rows.floats + shuffled[next] * DIM, DIM);
    }
    if (near * 3 > far)
        fail_msg("seed %llu: neighbors by place are %g apart, any two %g", (unsigned long long)seed,
                 near / ROWS, far / ROWS);
    crn_cli_bench_layout_free(layout);
    crn_mem_free(rows.floats);
}

/* ---- files ---- */

static void ids_are_read(void **state)
{
    static const int32_t ivecs[] = {2, 7, 1, 2, 0, -1};
    static const int64_t wide[] = {5, 6};
    unsigned char npy[256];
    struct crn_cli_matrix m;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_matrix_read_ids(file_of("a.ivecs", ivecs, sizeof ivecs), "", 9, &m, &err),
                     CAIRN_OK);
    assert_int_equal(m.rows, 2);
    assert_int_equal(m.columns, 2);
    assert_int_equal(m.ids[0], 7);
    assert_int_equal((int32_t)m.ids[3], -1);
    crn_cli_matrix_release(&m);

    int len = snprintf((char *)npy, sizeof npy, "\x93NUMPY\x01%c%c%c%-60s", 0, 60, 0,
                       "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 2)}");
    memcpy(npy + len, wide, sizeof wide);
    size_t size = (size_t)len + sizeof wide;
    assert_int_equal(crn_cli_matrix_read_ids(file_of("a.npy", npy, size), "", 9, &m, &err), CAIRN_OK);
    assert_int_equal(m.ids[1], 6);
    crn_cli_matrix_release(&m);
    npy[size - 1] = 1; /* 2^56 and something */
    assert_int_equal(crn_cli_matrix_read_ids(file_of("a.npy", npy, size), "", 9, &m, &err), CAIRN_LIMIT);
    assert_non_null(strstr(err.message, "a.npy: row 0 names the neighbor 72057594037927942"));
    assert_int_equal(crn_cli_matrix_read_ids(file_of("a.npy", npy, size - 1), "", 9, &m, &err), CAIRN_IO);
    assert_int_equal(crn_cli_matrix_read_floats(file_of("a.npy", npy, size), "", 9, NULL, &m, &err),
                     CAIRN_UNSUPPORTED);
}

static void damaged_files_are_refused(void **state)
{
    static const struct {
        int32_t data[4];
        size_t len;
        cairn_status status;
        const char *message;
    } bad[] = {
        {{1, 0, 2, 0}, 16, CAIRN_IO, "inside row 1"},    {{1, 0, 1, 0}, 14, CAIRN_IO, "inside row 1"},
        {{0}, 4, CAIRN_IO, "row 0 claims 0 components"}, {{-1}, 4, CAIRN_IO, "row 0 claims -1 components"},
        {{0}, 0, CAIRN_INVALID_ARGUMENT, "no rows"},
    };
    static const int32_t ragged[] = {1, 0, 2, 0, 0};
    struct crn_cli_matrix m;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *path = file_of("bad.fvecs", bad[i].data, bad[i].len);
        assert_int_equal(crn_cli_matrix_read_floats(path, "", UINT64_MAX, NULL, &m, &err), bad[i].status);
        assert_non_null(strstr(err.message, bad[i].message));
        assert_non_null(strstr(err.message, "bad.fvecs: "));
        assert_null(m.floats);
    }
    assert_int_equal(
        crn_cli_matrix_read_floats(file_of("r.fvecs", ragged, sizeof ragged), "", 9, NULL, &m, &err),
        CAIRN_DIM_MISMATCH);
    assert_non_null(strstr(err.message, "row 1 has 2 components, the rows before it 1"));
    assert_int_equal(
        crn_cli_matrix_read_floats(file_of("r.fvecs", ragged, sizeof ragged), "", 1, NULL, &m, &err),
        CAIRN_OK); /* only the first is asked for */
    crn_cli_matrix_release(&m);
    assert_int_equal(crn_cli_matrix_read_floats("/none.fvecs", "", 9, NULL, &m, &err), CAIRN_NO_FILE);
    assert_int_equal(crn_cli_matrix_read_floats("x.txt", "", 9, NULL, &m, &err), CAIRN_INVALID_ARGUMENT);
}

/* ---- comparison ---- */

static void speed_at_a_recall_is_interpolated(void **state)
{
    struct crn_cli_bench_dot dots[] = {{.recall = 0.5, .qps = 50},
                                       {.recall = 0.8, .qps = 1000},
                                       {.recall = 0.9, .qps = 400},
                                       {.recall = 1, .qps = 100}};
    struct crn_cli_bench_series series = {.name = "a", .dots = dots, .dot_count = 4};
    bool beyond;

    (void)state;
    assert_true(fabs(crn_cli_bench_qps_at(&series, 0.95, &beyond) - 200) < 1e-6); /* sqrt(400 * 100) */
    assert_false(beyond);
    assert_true(fabs(crn_cli_bench_qps_at(&series, 0.9, &beyond) - 400) < 1e-6);
    assert_true(crn_cli_bench_qps_at(&series, 0.7, &beyond) ==
                1000); /* the slow point before it is no edge */
    assert_true(beyond);
    series.dot_count = 3;
    assert_true(crn_cli_bench_qps_at(&series, 0.95, &beyond) == 0); /* it does not get there */
    series.dots = dots + 1;
    series.dot_count = 2;
    assert_true(crn_cli_bench_qps_at(&series, 0.5, &beyond) == 1000);
    assert_true(beyond);
}

static void lines_of_others_are_read(void **state)
{
    static const char good[] =
        "{\"kind\":\"run\",\"rows\":3}\n"
        "{\"lib\":\"x\",\"cfg\":\"a\",\"ef\":null,\"recall\":0.9,\"qps\":10,\"build_s\":2}\n\n"
        "{\"lib\":\"x\",\"cfg\":\"a\",\"recall\":0.8,\"qps\":20}\n"
        "{\"lib\":\"y\",\"recall\":1,\"qps\":5}\n"
        "{\"lib\":\"z\",\"note\":\"neither\"}\n";
    static const char *const bad[][2] = {
        {"{\"lib\":\"x\",\"recall\":1.5,\"qps\":1}\n", "line 1: recall 1.5"},
        {"\n{\"lib\":\"x\",\"recall\":1,\"qps\":\"fast\"}\n", "line 2: \"qps\" is string"},
        {"{\"lib\":\n", "line 1: "},
        {"{}\n", "no line has"},
        {"", "no line has"},
    };
    struct crn_cli_bench_set set = {0};
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_bench_set_add_file(&set, file_of("c.jsonl", good, strlen(good)), &err),
                     CAIRN_OK);
    crn_cli_bench_set_sort(&set);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.series[0].name, "x a");
    assert_int_equal(set.series[0].dot_count, 2);
    assert_true(set.series[0].dots[0].recall == 0.8 && set.series[0].dots[0].qps == 20);
    assert_string_equal(set.series[1].name, "y");
    crn_cli_bench_set_release(&set);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *path = file_of("c.jsonl", bad[i][0], strlen(bad[i][0]));
        assert_int_not_equal(crn_cli_bench_set_add_file(&set, path, &err), CAIRN_OK);
        assert_non_null(strstr(err.message, bad[i][1]));
        crn_cli_bench_set_release(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_is_what_a_hand_computes),
        cmocka_unit_test(a_truth_of_other_data_is_refused),
        cmocka_unit_test(nearest_rows_are_those_of_plain_loops),
        cmocka_unit_test(every_instruction_set_measures_alike),
        cmocka_unit_test(made_up_data_come_from_the_seed),
        cmocka_unit_test(intrinsic_dimension_is_that_of_the_surface),
        cmocka_unit_test(layouts_are_permutations_and_regions_are_near),
        cmocka_unit_test(ids_are_read),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(speed_at_a_recall_is_interpolated),
        cmocka_unit_test(lines_of_others_are_read),
    };
    const char *given = getenv("CAIRN_TEST_SEED");

    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    test_folder(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command_path[400];
    static const char *const names[] = {"a.ivecs", "a.npy", "bad.fvecs", "r.fvecs", "c.jsonl"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(command_path, sizeof command_path, "%s/%s", folder, names[i]);
        unlink(command_path);
    }
    rmdir(folder);
    return failed;
}
