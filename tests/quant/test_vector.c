/* Arithmetic of single vectors. */
#include "quant/vector.h"

#include "tests/quant/guarded.h"
#include "tests/quant/support.h"

#include <float.h>
#include <math.h>

#define DIM_MAX 300

static void finite_finds_one_bad_element_anywhere(void **state)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    struct guarded region = guarded_map(DIM_MAX * sizeof(float));

    (void)state;
    for (size_t n = 0; n <= DIM_MAX; n += n < 70 ? 1 : 23) {
        float *vector = (float *)region.end - n; /* ends where reading is forbidden */

        for (size_t i = 0; i < n; i++) vector[i] = i % 3 == 0 ? FLT_MAX : i % 3 == 1 ? -FLT_MAX : 0x1p-149f;
        assert_true(crn_vector_finite(vector, n));
        for (size_t i = 0; i < n; i++) {
            const float good = vector[i];

            vector[i] = bad[i % COUNT_OF(bad)];
            assert_false(crn_vector_finite(vector, n));
            vector[i] = good;
        }
    }
    guarded_unmap(&region);
}

static void norm2_is_accurate_at_any_magnitude(void **state)
{
    static const float factors[] = {1, 1e30f, 1e-30f, 0x1p-149f};
    struct crn_rng rng = test_rng();
    float vector[DIM_MAX];

    (void)state;
    for (size_t n = 0; n <= DIM_MAX; n += n < 70 ? 1 : 23) {
        for (size_t f = 0; f < COUNT_OF(factors); f++) {
            long double want = 0;

            for (size_t i = 0; i < n; i++) {
                vector[i] = (float)(100 * crn_rng_normal(&rng)) * factors[f];
                want += (long double)vector[i] * vector[i];
            }
            assert_true(fabsl(crn_vector_norm2(vector, n) - want) <= ((double)n / 8 + 8) * 0x1p-53 * want);
        }
    }
    vector[0] = NAN;
    assert_true(isnan(crn_vector_norm2(vector, 1)));
}

static void max_abs_is_the_largest(void **state)
{
    struct crn_rng rng = test_rng();
    float vector[DIM_MAX];

    (void)state;
    assert_true(crn_vector_max_abs(vector, 0) == 0);
    for (size_t n = 1; n <= DIM_MAX; n += n < 70 ? 1 : 23) {
        float want = 0;

        for (size_t i = 0; i < n; i++) {
            vector[i] = (float)crn_rng_normal(&rng);
            want = fmaxf(want, fabsf(vector[i]));
        }
        assert_true(crn_vector_max_abs(vector, n) == want);
        vector[crn_rng_below(&rng, n)] = -INFINITY;
        assert_true(isinf(crn_vector_max_abs(vector, n)));
        vector[crn_rng_below(&rng, n)] = NAN;
        assert_true(isnan(crn_vector_max_abs(vector, n)));
    }
}

static void scaling_gives_unit_length_even_at_the_edges_of_float(void **state)
{
    static const float magnitudes[] = {1, 1e-38f, 3e37f, 0x1p-149f};
    float vector[DIM_MAX];

    (void)state;
    for (size_t m = 0; m < COUNT_OF(magnitudes); m++) {
        for (size_t i = 0; i < DIM_MAX; i++) vector[i] = magnitudes[m] * (float)(1 + i % 7);
        crn_vector_scale(vector, DIM_MAX, 1 / sqrt(crn_vector_norm2(vector, DIM_MAX)), vector);
        assert_true(fabs(crn_vector_norm2(vector, DIM_MAX) - 1) < 1e-6);
        assert_true(fabsf(vector[6] / vector[0] - 7) < 1e-5f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_finds_one_bad_element_anywhere),
        cmocka_unit_test(norm2_is_accurate_at_any_magnitude),
        cmocka_unit_test(max_abs_is_the_largest),
        cmocka_unit_test(scaling_gives_unit_length_even_at_the_edges_of_float),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
