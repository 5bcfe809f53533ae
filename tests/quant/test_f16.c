/* The half-float codec: its bound, its edges, and its distances against those of the rows that were encoded.
 * */
#include "quant/f16.h"

#include "quant/vector.h"
#include "tests/quant/reference.h"
#include "tests/quant/support.h"

#define DIM 300
#define ROWS 50

static double half_value(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

    return half >> 15 != 0 ? -magnitude : magnitude;
}

/* Encoding what a half stands for gives that half, for all of them but the infinite. */
static void every_half_encodes_to_itself(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        const float x = (float)half_value((uint16_t)half);
        uint16_t again;

        if ((half & 0x7c00) == 0x7c00) continue;
        crn_f16_encode(&x, 1, 1, &again);
        assert_int_equal(again, half);
    }
}

/* Between two halves the nearer one is taken, and in the middle the even one. */
static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half + 1 < 0x7c00; half++) {
        const float low = (float)half_value((uint16_t)half), high = (float)half_value((uint16_t)(half + 1));
        const float middle = (low + high) / 2;
        const float points[3] = {nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};
        uint16_t codes[3];

        crn_f16_encode(points, 3, 1, codes);
        assert_int_equal(codes[0], half);
        assert_int_equal(codes[1], half + (half & 1));
        assert_int_equal(codes[2], half + 1);
    }
}

static void units_keep_the_largest_in_range(void **state)
{
    static const float largest[] = {0, 0x1p-149f, 1e-38f, 1e-10f, 0.999f, 1, 1.001f, 65504, 3.4e38f};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(largest); i++) {
        const float unit = crn_f16_unit(largest[i]), row[2] = {largest[i], -largest[i]};
        uint16_t halves[2];
        int exponent;

        assert_true(unit > 0 && frexpf(unit, &exponent) == 0.5f && isfinite(1 / unit));
        crn_f16_encode(row, 2, unit, halves);
        assert_true((halves[0] & 0x7c00) < 0x7c00 && (halves[1] & 0x7c00) < 0x7c00);
        assert_true(fabs(half_value(halves[0]) * unit - (double)largest[i]) <=
                    largest[i] * 0x1p-11 + unit * 0x1p-25);
        assert_true(half_value(halves[1]) == -half_value(halves[0]));
    }
    const float beyond = 1e30f;
    uint16_t half;
    crn_f16_encode(&beyond, 1, 1, &half); /* a row larger than the set's largest */
    assert_int_equal(half, 0x7bff);
}

/* The header's bound of an op's distance. */
static double bound_of(enum crn_op op, const float *query, const float *row, size_t dim, float unit)
{
    double dot = 0, l1 = 0, norm2 = 0, sum = 0, distance = 0;

    for (size_t i = 0; i < dim; i++) {
        dot += fabs((double)query[i] * row[i]);
        l1 += fabs(row[i]);
        sum += fabs(query[i]);
        norm2 += (double)row[i] * row[i];
        distance += ((double)query[i] - row[i]) * ((double)query[i] - row[i]);
    }
    const double small = unit * 0x1p-25, e = 0x1p-11 * sqrt(norm2) + small * sqrt((double)dim);
    const double rounding = reference_bound(dim, op == CRN_OP_DOT  ? dot
                                                 : op == CRN_OP_L1 ? l1 + sum
                                                                   : distance + e);
    if (op == CRN_OP_DOT) return 0x1p-11 * dot + small * sum + rounding;
    if (op == CRN_OP_L1) return 0x1p-11 * l1 + small * (double)dim + rounding;
    return 2 * sqrt(distance) * e + e * e + 2 * rounding;
}

static void distances_keep_the_bound(void **state)
{
    static const float magnitudes[] = {1, 1e-18f, 1e15f};
    static float rows[ROWS * DIM], query[DIM], memory[DIM];
    static uint16_t halves[ROWS * DIM];
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t trial = 0; trial < 90; trial++) {
        const size_t dim = 1 + crn_rng_below(&rng, DIM);
        const enum crn_op op = (enum crn_op)(trial % CRN_OP_COUNT);
        const float magnitude = magnitudes[trial / 3 % COUNT_OF(magnitudes)];
        float block[ROWS], gather[ROWS];
        struct crn_f16_query prepared;
        uint32_t pos[ROWS];

        for (size_t i = 0; i < ROWS * dim; i++) rows[i] = magnitude * (float)crn_rng_normal(&rng);
        for (size_t i = 0; i < dim; i++) query[i] = magnitude * (float)crn_rng_normal(&rng);
        const float unit = crn_f16_unit(crn_vector_max_abs(rows, ROWS * dim));
        for (size_t i = 0; i < ROWS; i++) {
            crn_f16_encode(rows + i * dim, dim, unit, halves + i * dim);
            pos[i] = (uint32_t)crn_rng_below(&rng, ROWS);
        }
        crn_f16_query_prepare(op, query, dim, unit, memory, &prepared);
        crn_f16_block(&prepared, halves, ROWS, block);
        crn_f16_gather(&prepared, halves, pos, ROWS, gather);
        for (size_t i = 0; i < ROWS; i++) {
            const double want = reference_f32(op, query, rows + i * dim, dim).distance;

            assert_true(fabs(block[i] - want) <= bound_of(op, query, rows + i * dim, dim, unit));
            assert_memory_equal(&gather[i], &block[pos[i]], sizeof(float));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_encodes_to_itself),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(units_keep_the_largest_in_range),
        cmocka_unit_test(distances_keep_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
