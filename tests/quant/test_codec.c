/* The scalar codec: the bounds its header states, and what quantising does to the nearest neighbours. */
#include "quant/codec.h"

#include "quant/flat_scan.h"
#include "quant/vector.h"
#include "tests/quant/reference.h"
#include "tests/quant/support.h"

#include <math.h>

#define DIM_MAX 1536
#define ROWS_MAX 300

static const size_t dims[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 100, 128, 257, 768, 1536};

static void fill(struct crn_rng *rng, float magnitude, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = magnitude * (float)crn_rng_normal(rng);
}

static void codes_are_within_half_a_step(void **state)
{
    static const float magnitudes[] = {1, 1e-30f, 1e17f};
    struct crn_rng rng = test_rng();
    float row[DIM_MAX], scale, norm2;
    int8_t codes[DIM_MAX];

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (size_t m = 0; m < COUNT_OF(magnitudes); m++) {
            double want = 0;
            float max;

            fill(&rng, magnitudes[m], row, dims[d]);
            crn_scalar_encode(row, dims[d], codes, &scale, &norm2);
            max = crn_vector_max_abs(row, dims[d]);
            for (size_t i = 0; i < dims[d]; i++) {
                const double decoded = (double)scale * codes[i];

                assert_in_range(codes[i] + 127, 0, 254);
                assert_true(fabs(row[i] - decoded) <= max * (1.0 / 254 + 0x1p-22));
                if (fabsf(row[i]) == max) assert_int_equal(abs(codes[i]), 127);
                want += decoded * decoded;
            }
            assert_true(fabs(norm2 - want) <= 0x1p-23 * want + 0x1p-149);
        }
    }
    assert_int_equal(crn_scalar_bytes(768), 776);
}

static void the_edges_of_float_encode(void **state)
{
    static const float tiny[] = {0x1p-149f, 5e-37f, -9e-37f};
    float row[3] = {0, -0.0f, 0}, scale, norm2;
    int8_t codes[3], planes[6];
    struct crn_scalar_query query;

    (void)state;
    crn_scalar_encode(row, 3, codes, &scale, &norm2);
    assert_true(scale == 0 && norm2 == 0 && codes[0] == 0 && codes[1] == 0);
    crn_scalar_query_prepare(CRN_OP_L2, row, 3, planes, &query);
    assert_true(query.norm2 == 0 && query.hi_scale == 0 && planes[0] == 0 && planes[3] == 0);

    for (size_t i = 0; i < COUNT_OF(tiny); i++) {
        row[0] = tiny[i];
        crn_scalar_encode(row, 3, codes, &scale, &norm2);
        assert_true(scale == 0 && norm2 == 0 && codes[0] == 0);
    }

    row[0] = -3.4e38f;
    row[2] = 1.7e38f;
    crn_scalar_encode(row, 3, codes, &scale, &norm2);
    assert_int_equal(codes[0], -127);
    assert_in_range(codes[2], 63, 64);
    assert_true(isfinite(scale) && isinf(norm2));
}

static void query_planes_are_within_their_bound(void **state)
{
    struct crn_rng rng = test_rng();
    float vector[DIM_MAX];
    int8_t planes[2 * DIM_MAX];
    struct crn_scalar_query query;

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        int32_t hi_sum = 0, lo_sum = 0;
        double norm2 = 0;
        float max;

        fill(&rng, 3, vector, dims[d]);
        max = crn_vector_max_abs(vector, dims[d]);
        crn_scalar_query_prepare(CRN_OP_DOT, vector, dims[d], planes, &query);
        for (size_t i = 0; i < dims[d]; i++) {
            const double decoded =
                (double)query.hi_scale * query.planes.hi[i] + (double)query.lo_scale * query.planes.lo[i];

            assert_in_range(query.planes.hi[i] + 127, 0, 254);
            assert_in_range(query.planes.lo[i] + 127, 0, 254);
            assert_true(fabs(vector[i] - decoded) <= max * (1.0 / 64516 + 0x1p-22));
            hi_sum += query.planes.hi[i];
            lo_sum += query.planes.lo[i];
            norm2 += decoded * decoded;
        }
        assert_int_equal(query.planes.hi_sum, hi_sum);
        assert_int_equal(query.planes.lo_sum, lo_sum);
        assert_true(fabs(query.norm2 - norm2) <= 0x1p-22 * norm2);
    }
}

/* A small coded collection. */
struct coded {
    float vectors[ROWS_MAX * DIM_MAX];
    int8_t codes[ROWS_MAX * DIM_MAX];
    float scale[ROWS_MAX], norm2[ROWS_MAX];
    struct crn_scalar_rows rows;
};

static void encode_all(struct coded *coded, size_t dim)
{
    for (size_t i = 0; i < ROWS_MAX; i++) {
        crn_scalar_encode(coded->vectors + i * dim, dim, coded->codes + i * dim, &coded->scale[i],
                          &coded->norm2[i]);
    }
    coded->rows =
        (struct crn_scalar_rows){.codes = coded->codes, .scale = coded->scale, .norm2 = coded->norm2};
}

/* The distance of the decoded query to decoded row i, and a bound of its rounding. */
static double decoded_distance(const struct crn_scalar_query *query, const struct coded *coded, size_t i,
                               double *bound)
{
    const int8_t *codes = coded->codes + i * query->dim;
    double dot = 0, q2 = 0, x2 = 0, l1 = 0, magnitude = 0;

    for (size_t j = 0; j < query->dim; j++) {
        const double x = (double)coded->scale[i] * codes[j];
        const double q =
            (double)query->hi_scale * query->planes.hi[j] + (double)query->lo_scale * query->planes.lo[j];

        dot += q * x;
        q2 += q * q;
        x2 += x * x;
        l1 += fabs(query->vector[j] - x);
        magnitude += fabs(query->vector[j]) + fabs(x);
    }
    if (query->op == CRN_OP_L1) {
        *bound = reference_bound(query->dim, magnitude);
        return l1;
    }
    *bound = 0x1p-21 * (query->op == CRN_OP_DOT ? sqrt(q2 * x2) : q2 + x2);
    return query->op == CRN_OP_DOT ? -dot : q2 + x2 - 2 * dot;
}

static void distances_are_those_of_the_decoded_vectors(void **state)
{
    static struct coded coded;
    static int8_t planes[2 * DIM_MAX];
    struct crn_rng rng = test_rng();
    float query_vector[DIM_MAX], block[ROWS_MAX], gather[ROWS_MAX];
    uint32_t pos[ROWS_MAX];

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        fill(&rng, 1, coded.vectors, ROWS_MAX * dims[d]);
        fill(&rng, 1, query_vector, dims[d]);
        encode_all(&coded, dims[d]);
        for (size_t i = 0; i < ROWS_MAX; i++) pos[i] = (uint32_t)crn_rng_below(&rng, ROWS_MAX);
        for (int op = 0; op < CRN_OP_COUNT; op++) {
            const size_t begin = crn_rng_below(&rng, 5);
            struct crn_scalar_query query;

            crn_scalar_query_prepare(op, query_vector, dims[d], planes, &query);
            crn_scalar_block(&query, &coded.rows, begin, ROWS_MAX - begin, block + begin);
            for (size_t i = begin; i < ROWS_MAX; i++) {
                double bound;
                const double want = decoded_distance(&query, &coded, i, &bound);

                assert_true(fabs(block[i] - want) <= bound);
                assert_true(op == CRN_OP_DOT || block[i] >= 0);
            }
            crn_scalar_block(&query, &coded.rows, 0, ROWS_MAX, block);
            crn_scalar_gather(&query, &coded.rows, pos, ROWS_MAX, gather);
            for (size_t i = 0; i < ROWS_MAX; i++)
                assert_memory_equal(&gather[i], &block[pos[i]], sizeof(float));
        }
    }
}

static void a_row_is_as_far_from_itself_as_its_rounding(void **state)
{
    static struct coded coded;
    static int8_t planes[2 * DIM_MAX];
    struct crn_rng rng = test_rng();
    const size_t dim = 128;
    struct crn_scalar_query query;
    float out[ROWS_MAX];
    double step;

    (void)state;
    fill(&rng, 1, coded.vectors, ROWS_MAX * dim);
    encode_all(&coded, dim);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        crn_scalar_query_prepare(CRN_OP_L2, coded.vectors + i * dim, dim, planes, &query);
        crn_scalar_block(&query, &coded.rows, 0, ROWS_MAX, out);
        for (size_t j = 0; j < ROWS_MAX; j++) assert_true(j == i || out[j] > out[i]);
        step = crn_vector_max_abs(coded.vectors + i * dim, dim) / 127;
        assert_true(out[i] >= 0 && out[i] <= 1.01 * (double)dim * step * step / 4);
    }
}

/* The distance of a decoded row from itself is a difference of nearly equal sums, yet not negative. */
static void no_distance_is_negative(void **state)
{
    static struct coded coded;
    static int8_t planes[2 * DIM_MAX];
    struct crn_rng rng = test_rng();
    const size_t dim = 128;
    struct crn_scalar_query query;
    float decoded[DIM_MAX], out;

    (void)state;
    fill(&rng, 1, coded.vectors, ROWS_MAX * dim);
    encode_all(&coded, dim);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        for (size_t j = 0; j < dim; j++) decoded[j] = coded.scale[i] * coded.codes[i * dim + j];
        crn_scalar_query_prepare(CRN_OP_L2, decoded, dim, planes, &query);
        crn_scalar_block(&query, &coded.rows, i, 1, &out);
        assert_true(out >= 0 && out <= 0x1p-20f * query.norm2);
    }
}

/* Of the true 10 nearest of 2,000 random vectors (the hardest case: no structure), codes alone find 9. */
static void recall_stays_high(void **state)
{
    enum { N = 2000, DIM = 96, K = 10, QUERIES = 50 };
    static float vectors[N * DIM];
    static int8_t codes[N * DIM];
    static float scale[N], norm2[N];
    const struct crn_scalar_rows rows = {.codes = codes, .scale = scale, .norm2 = norm2};
    struct crn_rng rng;
    size_t found = 0;

    (void)state;
    crn_rng_init(&rng, 7);
    fill(&rng, 1, vectors, N * DIM);
    for (size_t i = 0; i < N; i++)
        crn_scalar_encode(vectors + i * DIM, DIM, codes + i * DIM, &scale[i], &norm2[i]);
    for (size_t q = 0; q < QUERIES * CRN_OP_COUNT; q++) {
        const enum crn_op op = (enum crn_op)(q % CRN_OP_COUNT);
        struct crn_hit exact[K], coded[K];
        struct crn_topk exact_top, coded_top;
        struct crn_scalar_query query;
        int8_t planes[2 * DIM];
        float vector[DIM];

        fill(&rng, 1, vector, DIM);
        crn_topk_init(&exact_top, exact, K);
        crn_topk_init(&coded_top, coded, K);
        crn_scalar_query_prepare(op, vector, DIM, planes, &query);
        crn_flat_scan_f32(op, vector, vectors, DIM, N, 0, NULL, &exact_top);
        crn_flat_scan_scalar(&query, &rows, N, 0, NULL, &coded_top);
        for (size_t i = 0; i < K * K; i++) found += exact[i / K].label == coded[i % K].label;
    }
    assert_true(found >= QUERIES * CRN_OP_COUNT * K * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_within_half_a_step),
        cmocka_unit_test(the_edges_of_float_encode),
        cmocka_unit_test(query_planes_are_within_their_bound),
        cmocka_unit_test(distances_are_those_of_the_decoded_vectors),
        cmocka_unit_test(a_row_is_as_far_from_itself_as_its_rounding),
        cmocka_unit_test(no_distance_is_negative),
        cmocka_unit_test(recall_stays_high),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
