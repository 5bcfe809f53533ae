/* Random rotations. */
#include "quant/rotation_isa.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "tests/quant/rotation_digest.h"
#include "tests/quant/support.h"

#include <math.h>
#include <string.h>

static const size_t dims[] = {1,   2,   63,  64,  65,  96,   128,  200,  256,
                              300, 384, 448, 512, 768, 1000, 1024, 1536, 3072};

struct fixture {
    struct crn_rotation rotation;
    float *signs, *a, *b;
};

static struct fixture fixture_make(size_t dim, uint64_t seed)
{
    const size_t padded = crn_rotation_padded(dim);
    struct fixture f = {.signs = crn_mem_aligned(crn_rotation_floats(padded) * sizeof(float)),
                        .a = crn_mem_aligned(padded * sizeof(float)),
                        .b = crn_mem_aligned(padded * sizeof(float))};

    assert_true(padded >= dim && padded < dim + CRN_ROTATION_ALIGN && padded % CRN_ROTATION_ALIGN == 0);
    crn_rotation_init(&f.rotation, padded, seed, f.signs);
    memset(f.a, 0, padded * sizeof(float));
    memset(f.b, 0, padded * sizeof(float));
    return f;
}

static void fixture_release(struct fixture *f)
{
    crn_mem_free(f->signs);
    crn_mem_free(f->a);
    crn_mem_free(f->b);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

static void lengths_and_products_are_kept(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        struct fixture f = fixture_make(dims[d], crn_rng_u64(&rng));
        for (size_t i = 0; i < dims[d]; i++) {
            f.a[i] = (float)crn_rng_normal(&rng);
            f.b[i] = (float)crn_rng_normal(&rng);
        }
        const size_t n = f.rotation.padded;
        const double aa = dot(f.a, f.a, n), bb = dot(f.b, f.b, n), ab = dot(f.a, f.b, n);
        crn_rotate(&f.rotation, f.a);
        crn_rotate(&f.rotation, f.b);
        assert_true(fabs(dot(f.a, f.a, n) - aa) <= aa * 0x1p-20);
        assert_true(fabs(dot(f.a, f.b, n) - ab) <= sqrt(aa * bb) * 0x1p-20);
        fixture_release(&f);
    }
}

/* Whatever single dimension it came from, no dimension keeps much of a vector's length. */
static void a_single_dimension_is_spread_over_all(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (size_t at = 0; at < dims[d]; at += 1 + dims[d] / 7) {
            struct fixture f = fixture_make(dims[d], crn_rng_u64(&rng));
            f.a[at] = 1;
            crn_rotate(&f.rotation, f.a);
            for (size_t i = 0; i < f.rotation.padded; i++) {
                assert_true(fabs(f.a[i]) < 8 / sqrt((double)f.rotation.padded));
            }
            fixture_release(&f);
        }
    }
}

static void every_processor_gives_the_same_bits(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        struct fixture f = fixture_make(dims[d], crn_rng_u64(&rng));
        for (size_t i = 0; i < dims[d]; i++) f.a[i] = f.b[i] = (float)crn_rng_normal(&rng);
        crn_rotate_plain(&f.rotation, f.a);
        crn_rotate(&f.rotation, f.b);
        assert_memory_equal(f.a, f.b, f.rotation.padded * sizeof(float));
        fixture_release(&f);
    }
}

/* The emulated ARM's digest is compared with the same number (neon_main.c). */
static void every_architecture_gives_the_same_bits(void **state)
{
    (void)state;
    print_message("digest %016" PRIx64 "\n", rotation_digest(crn_rotate));
    assert_true(rotation_digest(crn_rotate) == ROTATION_DIGEST);
    assert_true(rotation_digest(crn_rotate_plain) == ROTATION_DIGEST);
}

static void seeds_tell_rotations_apart(void **state)
{
    struct fixture f = fixture_make(96, 1), g = fixture_make(96, 2), h = fixture_make(96, 1);

    (void)state;
    f.a[5] = g.a[5] = h.a[5] = 1;
    crn_rotate(&f.rotation, f.a);
    crn_rotate(&g.rotation, g.a);
    crn_rotate(&h.rotation, h.a);
    assert_memory_not_equal(f.a, g.a, 128 * sizeof(float));
    assert_memory_equal(f.a, h.a, 128 * sizeof(float));
    fixture_release(&f);
    fixture_release(&g);
    fixture_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_products_are_kept),
        cmocka_unit_test(a_single_dimension_is_spread_over_all),
        cmocka_unit_test(every_processor_gives_the_same_bits),
        cmocka_unit_test(every_architecture_gives_the_same_bits),
        cmocka_unit_test(seeds_tell_rotations_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
