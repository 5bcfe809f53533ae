/* Random numbers: the published sequence, the same values everywhere, and rough shapes. */
#include "base/rng.h"

#include "tests/base/support.h"

#include <math.h>
#include <stdbool.h>

static void the_sequence_is_the_published_one(void **state)
{
    /* xoshiro256** from the state {1, 2, 3, 4}, as other implementations test it. */
    static const uint64_t wanted[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
        10595114339597558777u,
        2904607092377533576u,
    };
    struct crn_rng rng = {{1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) assert_true(crn_rng_u64(&rng) == wanted[i]);
}

static void seeds_give_known_sequences(void **state)
{
    static const struct {
        uint64_t seed, first[3];
    } rows[] = {
        {0, {0x99EC5F36CB75F2B4, 0xBF6E1F784956452A, 0x1A5F849D4933E6E0}},
        {42, {0x15780B2E0C2EC716, 0x6104D9866D113A7E, 0xAE17533239E499A1}},
        {UINT64_MAX, {0x8F5520D52A7EAD08, 0xC476A018CAA1802D, 0x81DE31C0D260469E}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_rng rng;
        crn_rng_init(&rng, rows[i].seed);
        for (int n = 0; n < 3; n++) assert_true(crn_rng_u64(&rng) == rows[i].first[n]);
    }
}

/* Computed with 40 decimal digits, apart from this code. The bits are asked to repeat on every machine. */
static void normals_are_the_known_ones(void **state)
{
    static const double wanted[] = {-0.7262191382447857, 0.22162270150359334, 0.46417731016247366,
                                    1.476249461018415,   1.0078198992420604,  1.0272109607595328};
    struct crn_rng rng;
    double sum = 0;

    (void)state;
    crn_rng_init(&rng, 42);
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(fabs(crn_rng_normal(&rng) - wanted[i]) <= 4e-16 * (1 + fabs(wanted[i])));
    }
    crn_rng_init(&rng, 7);
    for (int i = 0; i < 100000; i++) sum += crn_rng_normal(&rng);
    assert_true(sum == -0x1.3236ead7e4558p+7);
}

static void below_is_below_and_fair(void **state)
{
    struct crn_rng rng = test_rng();
    static const uint64_t bounds[] = {1, 2, 3, 7, 1000, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    unsigned counts[7] = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        for (int n = 0; n < 1000; n++) assert_true(crn_rng_below(&rng, bounds[i]) < bounds[i]);
    }
    for (int n = 0; n < 70000; n++) counts[crn_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9300, 10700); /* 7 deviations */

    /* With a bound of 3/4 of the range and no rejection every third result would come twice as often. */
    const uint64_t bound = 3 * ((uint64_t)1 << 62);
    unsigned rests[3] = {0};
    for (int n = 0; n < 30000; n++) rests[crn_rng_below(&rng, bound) % 3]++;
    for (int i = 0; i < 3; i++) assert_in_range(rests[i], 9400, 10600);
}

static void unit_is_in_its_interval(void **state)
{
    struct crn_rng rng = test_rng();
    double sum = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        double unit = crn_rng_unit(&rng);
        assert_true(unit >= 0 && unit < 1);
        sum += unit;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.007);
}

static void normals_have_their_moments(void **state)
{
    struct crn_rng rng = test_rng();
    double sum[5] = {0};
    const int count = 200000;

    (void)state;
    for (int i = 0; i < count; i++) {
        double value = crn_rng_normal(&rng);
        assert_true(isfinite(value) && fabs(value) < 10);
        for (int power = 1; power <= 4; power++) sum[power] += pow(value, power);
    }
    assert_true(fabs(sum[1] / count) < 0.02);
    assert_true(fabs(sum[2] / count - 1) < 0.03);
    assert_true(fabs(sum[3] / count) < 0.07);
    assert_true(fabs(sum[4] / count - 3) < 0.2);
}

/* Linked with --wrap=getentropy: a system without randomness. */
static bool no_entropy;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names */
int __real_getentropy(void *buffer, size_t size);
int __wrap_getentropy(void *buffer, size_t size);

int __wrap_getentropy(void *buffer, size_t size)
{
    return no_entropy ? -1 : __real_getentropy(buffer, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void assert_entropy_differs(void)
{
    unsigned char draws[100][16];

    for (int i = 0; i < 100; i++) {
        crn_rng_entropy(draws[i]);
        for (int j = 0; j < i; j++) assert_memory_not_equal(draws[i], draws[j], 16);
    }
}

static void entropy_differs(void **state)
{
    (void)state;
    assert_entropy_differs();
    no_entropy = true;
    assert_entropy_differs();
    no_entropy = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_the_published_one),
        cmocka_unit_test(seeds_give_known_sequences),
        cmocka_unit_test(normals_are_the_known_ones),
        cmocka_unit_test(below_is_below_and_fair),
        cmocka_unit_test(unit_is_in_its_interval),
        cmocka_unit_test(normals_have_their_moments),
        cmocka_unit_test(entropy_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
