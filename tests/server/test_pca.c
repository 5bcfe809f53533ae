/* The plane of two principal components, against eigenvalues by Jacobi's method. */
#include "server/pca.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define DIM_MAX 12
#define ROWS_MAX 60

static float rows[ROWS_MAX * DIM_MAX], plane[2 * ROWS_MAX];

/* The scatter matrix of the rows about their mean. */
static void scatter(size_t count, uint32_t dim, double out[DIM_MAX][DIM_MAX])
{
    double mean[DIM_MAX] = {0};

    memset(out, 0, sizeof(double[DIM_MAX][DIM_MAX]));
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < dim; j++) mean[j] += rows[i * dim + j] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < dim; j++) {
            for (uint32_t k = 0; k < dim; k++)
                out[j][k] += (rows[i * dim + j] - mean[j]) * (rows[i * dim + k] - mean[k]);
        }
    }
}

static void rotate(double a[DIM_MAX][DIM_MAX], uint32_t dim, uint32_t p, uint32_t q)
{
    if (fabs(a[p][q]) < 1e-300) return;
    const double theta = 0.5 * atan2(2 * a[p][q], a[q][q] - a[p][p]), c = cos(theta), s = sin(theta);
    for (uint32_t k = 0; k < dim; k++) {
        const double x = a[k][p], y = a[k][q];
        a[k][p] = c * x - s * y;
        a[k][q] = s * x + c * y;
    }
    for (uint32_t k = 0; k < dim; k++) {
        const double x = a[p][k], y = a[q][k];
        a[p][k] = c * x - s * y;
        a[q][k] = s * x + c * y;
    }
}

/* The two largest eigenvalues, and the sum of all. */
static void eigenvalues(double a[DIM_MAX][DIM_MAX], uint32_t dim, double out[2], double *out_sum)
{
    for (int sweep = 0; sweep < 60; sweep++) {
        for (uint32_t p = 0; p < dim; p++) {
            for (uint32_t q = p + 1; q < dim; q++) rotate(a, dim, p, q);
        }
    }
    out[0] = out[1] = *out_sum = 0;
    for (uint32_t j = 0; j < dim; j++) {
        *out_sum += a[j][j];
        if (a[j][j] > out[0]) {
            out[1] = out[0];
            out[0] = a[j][j];
        } else if (a[j][j] > out[1]) {
            out[1] = a[j][j];
        }
    }
}

static bool make_plane(size_t count, uint32_t dim, double shares[2])
{
    bool no_memory;

    return crn_pca_plane(rows, count, dim, NULL, NULL, plane, shares, &no_memory) && !no_memory;
}

static void variances_are_the_largest_eigenvalues(void **state)
{
    const char *given = getenv("CAIRN_TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    struct crn_rng rng;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    crn_rng_init(&rng, seed);
    for (int round = 0; round < 300; round++) {
        const uint32_t dim = 1 + (uint32_t)crn_rng_below(&rng, DIM_MAX);
        const size_t count = 1 + crn_rng_below(&rng, ROWS_MAX);
        double matrix[DIM_MAX][DIM_MAX], largest[2], sum, shares[2], scales[DIM_MAX];
        for (uint32_t j = 0; j < dim; j++) scales[j] = exp(2 * crn_rng_normal(&rng));
        for (size_t i = 0; i < count * dim; i++)
            rows[i] = (float)(100 + scales[i % dim] * crn_rng_normal(&rng));
        scatter(count, dim, matrix);
        eigenvalues(matrix, dim, largest, &sum);
        assert_true(make_plane(count, dim, shares));
        double squares[2] = {0}, across = 0;
        for (size_t i = 0; i < count; i++) {
            squares[0] += (double)plane[2 * i] * plane[2 * i];
            squares[1] += (double)plane[2 * i + 1] * plane[2 * i + 1];
            across += (double)plane[2 * i] * plane[2 * i + 1];
        }
        /* floats near 100 are exact to 1e-5: that much of a scatter is noise */
        const double noise = 1e-4 * (double)count * dim + 1e-3 * sum;
        if (fabs(squares[0] + squares[1] - largest[0] - largest[1]) > noise || fabs(across) > noise) {
            fail_msg("round %d, %zu rows of %u: %g %g, not %g %g; %g across", round, count, dim, squares[0],
                     squares[1], largest[0], largest[1], across);
        }
        assert_true(shares[0] >= 0 && shares[1] >= 0 && shares[0] + shares[1] <= 1.001);
    }
}

static void rows_without_any_variance(void **state)
{
    double shares[2];

    (void)state;
    assert_true(make_plane(0, 3, shares));
    for (size_t i = 0; i < 30; i++) rows[i] = 5;
    assert_true(make_plane(10, 3, shares));
    for (size_t i = 0; i < 20; i++) assert_true(plane[i] == 0);
    assert_true(shares[0] == 0 && shares[1] == 0);
    for (size_t i = 0; i < 10; i++) rows[i] = (float)i; /* one dimension: the second axis shows nothing */
    assert_true(make_plane(10, 1, shares));
    assert_true(fabs(shares[0] - 1) < 1e-6 && shares[1] == 0);
    assert_true(fabsf(plane[2 * 9] - 4.5f) < 1e-4f && plane[2 * 9 + 1] == 0);
}

static void equal_rows_give_an_equal_plane(void **state)
{
    float first[2 * ROWS_MAX];
    struct crn_rng rng;
    double shares[2];

    (void)state;
    for (int round = 0; round < 2; round++) {
        crn_rng_init(&rng, 8);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) rows[i] = (float)crn_rng_normal(&rng);
        assert_true(make_plane(ROWS_MAX, DIM_MAX, shares));
        if (round == 0) memcpy(first, plane, sizeof first);
    }
    assert_memory_equal(first, plane, sizeof first);
}

static bool refuse(void *ctx)
{
    return --*(int *)ctx > 0;
}

static void it_ends_when_nobody_waits_and_without_memory(void **state)
{
    double shares[2];
    bool no_memory;
    int left = 2;

    (void)state;
    for (size_t i = 0; i < 120; i++) rows[i] = (float)((i * 7919) % 101);
    assert_false(crn_pca_plane(rows, 10, DIM_MAX, refuse, &left, plane, shares, &no_memory));
    assert_false(no_memory);
    assert_int_equal(left, 0);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        crn_mem_fail_at(nth, false);
        assert_false(crn_pca_plane(rows, 10, DIM_MAX, NULL, NULL, plane, shares, &no_memory));
        crn_mem_fail_at(0, false);
        assert_true(no_memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variances_are_the_largest_eigenvalues),
        cmocka_unit_test(rows_without_any_variance),
        cmocka_unit_test(equal_rows_give_an_equal_plane),
        cmocka_unit_test(it_ends_when_nobody_waits_and_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
