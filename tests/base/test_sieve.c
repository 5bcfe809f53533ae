/* A sieve keeps what sorting would keep. */
#include "base/sieve.h"

#include "base/rng.h"
#include "base/topk.h"
#include "tests/base/support.h"

#include <math.h>

#define N 3000

static int by_distance(const void *a, const void *b)
{
    const struct crn_hit *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

struct rows {
    struct crn_hit hits[N]; /* in the order they come */
    float distances[N];
    uint32_t labels[N];
};

/* `kinds` of distances: few make ties, half of them negative. */
static void fill(struct crn_rng *rng, struct rows *rows, size_t n, uint64_t kinds, int order)
{
    for (size_t i = 0; i < n; i++) {
        rows->hits[i] = (struct crn_hit){(float)crn_rng_below(rng, kinds) - (float)(kinds / 2), i};
        if (order > 0) rows->hits[i].distance = (float)i;
        if (order < 0) rows->hits[i].distance = (float)(n - i);
        if (crn_rng_below(rng, 50) == 0) rows->hits[i].distance = INFINITY;
        if (crn_rng_below(rng, 50) == 0) rows->hits[i].distance = -INFINITY;
    }
}

/* The first `count` of the arrays are those of sorted[0..count). */
static void expect(const struct rows *rows, const struct crn_hit *sorted, size_t count)
{
    static struct crn_hit got[N];

    for (size_t i = 0; i < count; i++) got[i] = (struct crn_hit){rows->distances[i], rows->labels[i]};
    qsort(got, count, sizeof *got, by_distance);
    for (size_t i = 0; i < count; i++) {
        assert_true(got[i].distance == sorted[i].distance);
        assert_int_equal(got[i].label, sorted[i].label);
    }
}

static void check(struct crn_rng *rng, size_t n, size_t k, size_t capacity, uint64_t kinds, int order)
{
    static struct rows rows;
    struct crn_sieve sieve;

    fill(rng, &rows, n, kinds, order);
    crn_sieve_init(&sieve, rows.distances, rows.labels, k, capacity);
    for (size_t i = 0; i < n; i++) {
        crn_sieve_push(&sieve, NAN, (uint32_t)i);
        crn_sieve_push(&sieve, rows.hits[i].distance, (uint32_t)i);
    }
    crn_sieve_shrink(&sieve);
    qsort(rows.hits, n, sizeof *rows.hits, by_distance);
    assert_int_equal(sieve.count, n < k ? n : k);
    expect(&rows, rows.hits, sieve.count);
}

/* Choosing and splitting arrays; a split loses nothing. */
static void check_arrays(struct crn_rng *rng, size_t n, size_t k, uint64_t kinds, int order)
{
    static struct rows rows;

    for (int split = 0; split < 2; split++) {
        fill(rng, &rows, n, kinds, order);
        for (size_t i = 0; i < n; i++) {
            rows.distances[i] = rows.hits[i].distance;
            rows.labels[i] = (uint32_t)i;
        }
        const float limit = split != 0 ? crn_sieve_split(rows.distances, rows.labels, n, k)
                                       : crn_sieve_choose(rows.distances, rows.labels, n, k);
        qsort(rows.hits, n, sizeof *rows.hits, by_distance);
        expect(&rows, rows.hits, k);
        assert_true(rows.hits[k - 1].distance <= limit && (k == n || limit <= rows.hits[k].distance));
        if (split != 0) expect(&rows, rows.hits, n);
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
        if (n > 0) {
            check_arrays(&rng, n, 1 + crn_rng_below(&rng, n), trial % 3 == 0 ? 3 : 1000,
                         (int)(trial % 5) - 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_smallest_stay)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
