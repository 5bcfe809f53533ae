/* A sieve keeps what sorting would keep. */
#include "base/sieve.h"

#include "base/rng.h"
#include "tests/base/support.h"

#include <math.h>

#define N 3000

static int by_distance(const void *a, const void *b)
{
    const struct crn_hit *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* `kinds` of distances: few make ties. */
static void check(struct crn_rng *rng, size_t n, size_t k, size_t capacity, uint64_t kinds, int order)
{
    static struct crn_hit all[N], hits[N];
    struct crn_sieve sieve;

    crn_sieve_init(&sieve, hits, k, capacity);
    for (size_t i = 0; i < n; i++) {
        all[i] = (struct crn_hit){(float)crn_rng_below(rng, kinds), i};
        if (order > 0) all[i].distance = (float)i;
        if (order < 0) all[i].distance = (float)(n - i);
        crn_sieve_push(&sieve, NAN, i);
        crn_sieve_push(&sieve, all[i].distance, i);
    }
    crn_sieve_shrink(&sieve);
    qsort(all, n, sizeof *all, by_distance);
    qsort(hits, sieve.count, sizeof *hits, by_distance);
    assert_int_equal(sieve.count, n < k ? n : k);
    for (size_t i = 0; i < sieve.count; i++) {
        assert_true(hits[i].distance == all[i].distance);
        assert_int_equal(hits[i].label, all[i].label);
    }
}

static void the_smallest_stay(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t trial = 0; trial < 2000; trial++) {
        const size_t n = crn_rng_below(&rng, trial < 1900 ? 200 : N),
                     k = 1 + crn_rng_below(&rng, trial < 1900 ? 60 : 700);

        check(&rng, n, k, k + 1 + crn_rng_below(&rng, 2 * k), trial % 3 == 0 ? 3 : 1000,
              (int)(trial % 5) - 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_smallest_stay)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
