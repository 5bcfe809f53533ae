/*
 * The faiss backend by its table of functions: each kind of index is built, opened and searched, its recall measured
 * against an exact scan, with and without filters; and what it must refuse.
 */
#include "tests/engine/index_fixture.h"

#define COUNT 4000
#define COUNT_FOR_PQ 10000 /* FAISS wants 39 rows for each of 256 centroids */
#define DIM 32

/* Floors below what 20 seeds gave at least. */
static const struct kind {
    const char *spec;
    double floors[CRN_OP_COUNT]; /* 0: refuses the operation */
    double filtered;             /* half of the rows allowed */
} kinds[] = {
    {"HNSW32", {0.99, 0.99, 0.99}, 0.98},
    {"HNSW8,Flat", {0.97, 0.97, 0.97}, 0.95},
    {"HNSW16,SQ8", {0.97, 0.97, 0}, 0.95},
    {"IVF64,Flat", {0.9, 0.9, 0}, 0.9},
    {"IVF64,SQ8", {0.9, 0.9, 0}, 0.9},
    {"IVF64,PQ16x6", {0.9, 0.9, 0}, 0.9},
    {"IVF64,PQ16x4fs", {0.85, 0.85, 0}, 0.85},
    {"IVF64_HNSW16,Flat", {0.85, 0.85, 0}, 0.85},
    {"PCA16,IVF16,Flat", {0.9, 0.9, 0}, 0.9},
    {"PCA16,HNSW16", {0.9, 0.9, 0}, 0.9},
    {"SQ8", {0.99, 0.99, 0}, 0.99},
    {"PQ16x6", {0.95, 0.95, 0}, 0.95},
    {"Flat", {1, 1, 1}, 1},
};

static const struct kind kinds_for_pq[] = {
    {"IVF64,PQ16", {0.9, 0.9, 0}, 0.9},
    {"HNSW16,PQ8", {0, 0.95, 0}, 0.95},
};

/* On one thread: OpenMP's threads wait actively for each other, which is slow beside other tests. */
static void check_kind(const char *folder, const struct kind *kind, const struct crn_index_rows *rows)
{
    struct crn_rng rng;
    struct crn_index_query query = {.k = K, .allowed = rows->count};
    const double floor = kind->floors[rows->op];
    size_t short_count, filtered_short_count;
    struct opened opened;
    cairn_error err;

    if (floor == 0) {
        assert_int_equal(crn_index_faiss.check(kind->spec, rows->dim, rows->op, &err), CAIRN_INVALID_OPTION);
        return;
    }
    assert_status(crn_index_faiss.check(kind->spec, rows->dim, rows->op, &err), CAIRN_OK, &err);
    assert_status(index_build(folder, kind->spec, rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(folder, rows, &opened, &err), CAIRN_OK, &err);
    assert_true(crn_index_faiss.memory_bytes(opened.index) > 0);
    const double recall = measure_recall(opened.index, rows, query, &short_count);
    crn_rng_init(&rng, 1);
    uint64_t *half = filter_create(&rng, rows->count, 2, &query.allowed);
    query.allow = half;
    const double filtered = measure_recall(opened.index, rows, query, &filtered_short_count);
    print_message("%-18s operation %d: recall %.3f, filtered %.3f\n", kind->spec, (int)rows->op, recall,
                  filtered);
    assert_int_equal(short_count + filtered_short_count, 0);
    assert_true(recall >= floor);
    assert_true(filtered >= kind->filtered);
    free(half);
    index_close(&opened);
}

static void check_kinds(const struct kind *some, size_t kind_count, size_t count)
{
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, count, DIM);

    for (int op = 0; op < CRN_OP_COUNT; op++) {
        const struct crn_index_rows rows = {
            .vectors = vectors, .count = count, .dim = DIM, .op = (enum crn_op)op};
        for (size_t i = 0; i < kind_count; i++) check_kind(folder, &some[i], &rows);
    }
    free(vectors);
    folder_remove(folder);
}

static void each_kind_finds_the_nearest(void **state)
{
    (void)state;
    check_kinds(kinds, COUNT_OF(kinds), COUNT);
}

static void product_codes_find_the_nearest(void **state)
{
    (void)state;
    check_kinds(kinds_for_pq, COUNT_OF(kinds_for_pq), COUNT_FOR_PQ);
}

/* Rows of any length, where the nearest by dot product are the long ones: few rows are the neighbours of many. */
static void unequal_lengths_are_found(void **state)
{
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    const struct crn_index_rows rows = {.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_DOT};
    const struct crn_index_query query = {.k = K, .allowed = COUNT};
    struct opened opened;
    cairn_error err;
    size_t short_count;

    (void)state;
    for (size_t r = 0; r < COUNT; r++) {
        const float length = expf(0.5f * (float)crn_rng_normal(&rng));
        for (size_t d = 0; d < DIM; d++) vectors[r * DIM + d] *= length;
    }
    assert_status(index_build(folder, "HNSW32", &rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
    const double recall = measure_recall(opened.index, &rows, query, &short_count);
    print_message("recall %.3f\n", recall);
    assert_true(recall >= 0.9);
    index_close(&opened);
    free(vectors);
    folder_remove(folder);
}

/* 5 % and 0.1 % allowed: a graph may leave these to the caller's scan; the others find all there are. */
static void strict_filters_return_allowed_rows_only(void **state)
{
    static const char *const specs[] = {"HNSW16", "HNSW16,SQ8", "IVF64,Flat", "PCA16,IVF16,Flat",
                                        "SQ8",    "PQ16x4fs",   "Flat"};
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    const struct crn_index_rows rows = {.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    struct opened opened;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        assert_status(index_build(folder, specs[i], &rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
        assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
        for (uint64_t of = 20; of <= 1000; of *= 50) {
            struct crn_index_query query = {.k = K};
            size_t short_count;
            uint64_t *allow = filter_create(&rng, COUNT, of, &query.allowed);
            query.allow = allow;
            const double recall = measure_recall(opened.index, &rows, query, &short_count);
            print_message("%-18s 1 in %d: recall %.3f, short %zu\n", specs[i], (int)of, recall, short_count);
            if (strncmp(specs[i], "HNSW", 4) != 0) {
                assert_int_equal(short_count, 0);
                assert_true(recall >= 0.8);
            }
            free(allow);
        }
        index_close(&opened);
    }
    free(vectors);
    folder_remove(folder);
}

static void parameters_widen_the_search(void **state)
{
    static const char *const specs[] = {"HNSW4", "IVF64,Flat"};
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    const struct crn_index_rows rows = {.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_DOT};
    struct opened opened;
    cairn_error err;
    size_t short_count;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        assert_status(index_build(folder, specs[i], &rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
        assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
        const struct crn_index_query narrow = {.k = K, .allowed = COUNT, .ef = 10, .nprobe = 1};
        const struct crn_index_query wide = {.k = K, .allowed = COUNT, .ef = 200, .nprobe = 64};
        const double least = measure_recall(opened.index, &rows, narrow, &short_count);
        const double most = measure_recall(opened.index, &rows, wide, &short_count);
        print_message("%-10s recall %.3f to %.3f\n", specs[i], least, most);
        assert_true(most > least + 0.005);
        assert_true(most > 0.97);
        index_close(&opened);
    }
    free(vectors);
    folder_remove(folder);
}

static void bad_specs_are_refused(void **state)
{
    static const struct {
        const char *spec, *words; /* that the message holds */
    } bad[] = {
        {"", "factory string"},
        {"Frobnicate32", "'Frobnicate'"},
        {"Flat,Flat", "could not parse"},
        {"IVF64", "could not parse"},
        {"PQ7", "multiple"},
        {"HNSW2", "4 to 128"},
        {"HNSW99999999999999999999", "4 to 128"},
        {"HNSW1000,SQ8", "1 to 128"},
        {"IVF0,Flat", "1 to 1048576"},
        {"IVF99999999999999999999,Flat", "1 to 1048576"},
        {"PQ0", "1 to 4096"},
        {"PQ16x24", "1 to 10"},
        {"IDMap,Flat", "'IDMap'"},
        {"ZnLattice3x10_6", "'ZnLattice'"},
        {"IVF16(HNSW32),Flat", "not understood"},
        {"64", "not understood"},
        {"IVF16,Flat,IVF16,Flat,IVF16,Flat,IVF16,Flat,IVF16,Flat,IVF16,Flat", "60 characters"},
    };
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_status(crn_index_faiss.check(bad[i].spec, DIM, CRN_OP_L2, &err), CAIRN_INVALID_OPTION, &err);
        if (strstr(err.message, bad[i].words) == NULL) fail_msg("faiss:%s: %s", bad[i].spec, err.message);
    }
    assert_status(crn_index_faiss.check("IVF16,Flat", DIM, CRN_OP_L1, &err), CAIRN_INVALID_OPTION, &err);
    assert_non_null(strstr(err.message, "manhattan"));
}

static void too_few_rows_are_unsupported(void **state)
{
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, 500, DIM);
    const struct crn_index_rows rows = {.vectors = vectors, .count = 500, .dim = DIM, .op = CRN_OP_L2};
    cairn_error err;

    (void)state;
    assert_status(index_build(folder, "IVF64,Flat", &rows, 1, NULL, NULL, &err), CAIRN_UNSUPPORTED, &err);
    assert_non_null(strstr(err.message, "needs 2496 rows to train on, there are 500"));
    assert_status(index_build(folder, "PQ8", &rows, 1, NULL, NULL, &err), CAIRN_UNSUPPORTED, &err);
    assert_status(index_build(folder, "Foo", &rows, 1, NULL, NULL, &err), CAIRN_INVALID_OPTION, &err);
    free(vectors);
    folder_remove(folder);
}

static void small_and_equal_rows_work(void **state)
{
    static const size_t counts[] = {1, 2, 3, 65, 300};
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, 300, DIM);
    struct crn_hit hits[K];
    struct opened opened;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const struct crn_index_rows rows = {
            .vectors = vectors, .count = counts[i], .dim = DIM, .op = CRN_OP_DOT};
        const struct crn_index_query query = {.vector = vectors, .k = K, .allowed = counts[i]};
        assert_status(index_build(folder, "HNSW4", &rows, 1, NULL, NULL, &err), CAIRN_OK, &err);
        assert_status(index_open(folder, &rows, &opened, &err), CAIRN_OK, &err);
        index_search(opened.index, &rows, &query, hits);
        index_close(&opened);
    }
    for (size_t r = 1; r < 300; r++) memcpy(vectors + r * DIM, vectors, DIM * sizeof *vectors);
    const struct crn_index_rows equal = {.vectors = vectors, .count = 300, .dim = DIM, .op = CRN_OP_L2};
    const struct crn_index_query query = {.vector = vectors, .k = K, .allowed = 300, .ef = 16};
    assert_status(index_build(folder, "HNSW16", &equal, 2, NULL, NULL, &err), CAIRN_OK, &err);
    assert_status(index_open(folder, &equal, &opened, &err), CAIRN_OK, &err);
    assert_int_equal(index_search(opened.index, &equal, &query, hits).count, K);
    index_close(&opened);
    free(vectors);
    folder_remove(folder);
}

static bool count_down(void *ctx)
{
    int *left = ctx;

    return (*left)-- <= 0;
}

static void builds_can_be_cancelled(void **state)
{
    static const char *const specs[] = {"HNSW16", "IVF64,Flat", "PQ16x6", "HNSW16,SQ8"};
    struct crn_rng rng = test_rng();
    char *folder = folder_create();
    float *vectors = rows_create(&rng, COUNT, DIM);
    const struct crn_index_rows rows = {.vectors = vectors, .count = COUNT, .dim = DIM, .op = CRN_OP_L2};
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        for (int after = 0; after < 2; after++) {
            int left = after;
            assert_status(index_build(folder, specs[i], &rows, 2, count_down, &left, &err), CAIRN_CANCELLED,
                          &err);
        }
    }
    assert_int_equal(folder_each(folder, NULL), 0);
    int never = INT32_MAX;
    assert_status(index_build(folder, "IVF16,Flat", &rows, 2, count_down, &never, &err), CAIRN_OK, &err);
    assert_true(never < INT32_MAX - 10); /* k-means asked as well */
    free(vectors);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_finds_the_nearest),
        cmocka_unit_test(product_codes_find_the_nearest),
        cmocka_unit_test(unequal_lengths_are_found),
        cmocka_unit_test(strict_filters_return_allowed_rows_only),
        cmocka_unit_test(parameters_widen_the_search),
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(too_few_rows_are_unsupported),
        cmocka_unit_test(small_and_equal_rows_work),
        cmocka_unit_test(builds_can_be_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
