/* Every table of kernels this processor can run, against the double reference (kernel_checks.c). */
#include "quant/kernels.h"

#include "tests/quant/kernel_checks.h"
#include "tests/quant/support.h"

static const enum crn_cpu_level levels[] = {CRN_CPU_SCALAR, CRN_CPU_AVX2, CRN_CPU_AVX512, CRN_CPU_NEON};

static void every_table_agrees_with_the_reference(void **state)
{
    const uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        const struct crn_kernels *kernels = crn_kernels_for(levels[i]);

        if (kernels == NULL) {
            print_message("skipped: %s: not on this processor\n", crn_cpu_level_name(levels[i]));
        } else {
            assert_int_equal(check_kernels(kernels, seed, false), 0);
        }
    }
}

static void the_table_is_the_level_of_the_processor(void **state)
{
    (void)state;
    assert_ptr_equal(crn_kernels_get(), crn_kernels_for(crn_cpu_level()));
    assert_string_equal(crn_kernels_get()->name, crn_cpu_level_name(crn_cpu_level()));
    assert_non_null(crn_kernels_for(CRN_CPU_SCALAR));
    assert_null(crn_kernels_for((enum crn_cpu_level)99));
}

static void no_table_is_above_the_level(void **state)
{
    (void)state;
    if (crn_cpu_level() != CRN_CPU_AVX512) assert_null(crn_kernels_for(CRN_CPU_AVX512));
    if (crn_cpu_level() != CRN_CPU_NEON) assert_null(crn_kernels_for(CRN_CPU_NEON));
    if (crn_cpu_level() == CRN_CPU_SCALAR) assert_null(crn_kernels_for(CRN_CPU_AVX2));
}

/* The checks themselves: faults like those a kernel may have are found. */

static void drop_last_element(const float *query, const float *rows, size_t dim, size_t n, float *out)
{
    const struct crn_kernels *good = crn_kernels_for(CRN_CPU_SCALAR);

    for (size_t i = 0; i < n; i++)
        good->f32_block[CRN_OP_L2](query, rows + i * dim, dim - (dim == 65536), 1, out + i);
}

static void ignore_positions(const float *query, const float *rows, size_t dim, const uint32_t *pos, size_t n,
                             float *out)
{
    (void)pos;
    crn_kernels_for(CRN_CPU_SCALAR)->f32_block[CRN_OP_DOT](query, rows, dim, n, out);
}

static void saturate(const struct crn_i8_query *query, const int8_t *rows, size_t dim, size_t n,
                     int32_t *out_hi, int32_t *out_lo)
{
    const int32_t limit = 1000000000;

    crn_kernels_for(CRN_CPU_SCALAR)->i8_block(query, rows, dim, n, out_hi, out_lo);
    for (size_t i = 0; i < n; i++) out_hi[i] = out_hi[i] > limit ? limit : out_hi[i];
}

static void the_checks_find_faults(void **state)
{
    struct crn_kernels broken = *crn_kernels_for(CRN_CPU_SCALAR);

    (void)state;
    broken.f32_block[CRN_OP_L2] = drop_last_element;
    assert_int_not_equal(check_kernels(&broken, 1, true), 0);
    broken = *crn_kernels_for(CRN_CPU_SCALAR);
    broken.f32_gather[CRN_OP_DOT] = ignore_positions;
    assert_int_not_equal(check_kernels(&broken, 1, true), 0);
    broken = *crn_kernels_for(CRN_CPU_SCALAR);
    broken.i8_block = saturate;
    assert_int_not_equal(check_kernels(&broken, 1, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_agrees_with_the_reference),
        cmocka_unit_test(the_table_is_the_level_of_the_processor),
        cmocka_unit_test(no_table_is_above_the_level),
        cmocka_unit_test(the_checks_find_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
