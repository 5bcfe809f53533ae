/* Flat scans against sorting all distances. */
#include "quant/flat_scan.h"

#include "tests/quant/guarded.h"
#include "tests/quant/support.h"

#include <math.h>

#define N_MAX 1500
#define DIM_MAX 24
#define WORDS_MAX (N_MAX / 64 + 1)
#define FIRST_LABEL 1000000000000u

/* A collection whose components are few small integers, so that many distances are equal. */
struct collection {
    size_t n, dim;
    float query[DIM_MAX];
    float vectors[N_MAX * DIM_MAX];
    int8_t codes[N_MAX * DIM_MAX];
    float scale[N_MAX], norm2[N_MAX];
    struct crn_scalar_rows rows;
    uint64_t allow[WORDS_MAX];
    int8_t planes[2 * DIM_MAX];
    struct crn_scalar_query coded_query;
};

static void fill(struct crn_rng *rng, struct collection *c, enum crn_op op, size_t n, size_t dim)
{
    c->n = n;
    c->dim = dim;
    for (size_t i = 0; i < dim; i++) c->query[i] = (float)crn_rng_below(rng, 4) - 1;
    for (size_t i = 0; i < n * dim; i++) c->vectors[i] = (float)crn_rng_below(rng, 4) - 1;
    for (size_t i = 0; i < n; i++) {
        crn_scalar_encode(c->vectors + i * dim, dim, c->codes + i * dim, &c->scale[i], &c->norm2[i]);
    }
    /* A row that does not compare, which must not be a hit of anything. */
    if (n > 0) {
        const size_t bad = crn_rng_below(rng, n);

        c->vectors[bad * dim] = NAN;
        c->scale[bad] = NAN;
    }
    c->rows = (struct crn_scalar_rows){.codes = c->codes, .scale = c->scale, .norm2 = c->norm2};
    crn_scalar_query_prepare(op, c->query, dim, c->planes, &c->coded_query);
}

/* Each word with a density of its own, so that some are empty, sparse, dense or full; bits lie beyond n. */
static void fill_allow(struct crn_rng *rng, struct collection *c)
{
    static const uint64_t per_mille[] = {0, 1, 20, 300, 500, 800, 990, 1000};

    for (size_t w = 0; w < WORDS_MAX; w++) {
        const uint64_t density = per_mille[crn_rng_below(rng, COUNT_OF(per_mille))];

        c->allow[w] = 0;
        for (size_t b = 0; b < 64; b++) c->allow[w] |= (uint64_t)(crn_rng_below(rng, 1000) < density) << b;
    }
}

static bool allowed(const uint64_t *allow, size_t i)
{
    return allow == NULL || (allow[i / 64] >> i % 64 & 1) != 0;
}

static int by_distance_and_label(const void *left, const void *right)
{
    const struct crn_hit *a = left, *b = right;

    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    return (a->label > b->label) - (a->label < b->label);
}

/* All hits there are, in order; returns their number. */
static size_t sorted_hits(const struct collection *c, enum crn_op op, bool coded, const uint64_t *allow,
                          struct crn_hit *out)
{
    size_t count = 0;

    for (size_t i = 0; i < c->n; i++) {
        float distance;

        if (coded) {
            crn_scalar_block(&c->coded_query, &c->rows, i, 1, &distance);
        } else {
            crn_kernels_get()->f32_block[op](c->query, c->vectors + i * c->dim, c->dim, 1, &distance);
        }
        if (allowed(allow, i) && !isnan(distance)) out[count++] = (struct crn_hit){distance, FIRST_LABEL + i};
    }
    qsort(out, count, sizeof *out, by_distance_and_label);
    return count;
}

static void expect_hits(struct crn_topk *top, const struct crn_hit *want, size_t want_count)
{
    crn_topk_sort(top);
    assert_int_equal(top->count, want_count < top->k ? want_count : top->k);
    for (size_t i = 0; i < top->count; i++) {
        assert_true(top->hits[i].distance == want[i].distance);
        assert_int_equal(top->hits[i].label, want[i].label);
    }
}

static void scan(const struct collection *c, enum crn_op op, bool coded, const uint64_t *allow,
                 struct crn_topk *top)
{
    if (coded) {
        crn_flat_scan_scalar(&c->coded_query, &c->rows, c->n, FIRST_LABEL, allow, top);
    } else {
        crn_flat_scan_f32(op, c->query, c->vectors, c->dim, c->n, FIRST_LABEL, allow, top);
    }
}

/* The allowed positions as a list, shuffled, because order must not matter. */
static void scan_at(struct crn_rng *rng, const struct collection *c, enum crn_op op, bool coded,
                    const uint64_t *allow, struct crn_topk *top)
{
    static uint32_t pos[N_MAX];
    size_t npos = 0;

    for (size_t i = 0; i < c->n; i++) {
        if (allowed(allow, i)) pos[npos++] = (uint32_t)i;
    }
    for (size_t i = npos; i > 1; i--) {
        const size_t j = crn_rng_below(rng, i);
        const uint32_t swap = pos[i - 1];

        pos[i - 1] = pos[j];
        pos[j] = swap;
    }
    if (coded) {
        crn_flat_scan_scalar_at(&c->coded_query, &c->rows, pos, npos, FIRST_LABEL, top);
    } else {
        crn_flat_scan_f32_at(op, c->query, c->vectors, c->dim, pos, npos, FIRST_LABEL, top);
    }
}

/* The collection as segments of random sizes, last one first, into one top-k. */
static void scan_in_pieces(struct crn_rng *rng, const struct collection *c, enum crn_op op, bool coded,
                           struct crn_topk *top)
{
    for (size_t end = c->n; end > 0;) {
        const size_t begin = end - (1 + crn_rng_below(rng, end));
        const struct crn_scalar_rows rows = {
            .codes = c->codes + begin * c->dim, .scale = c->scale + begin, .norm2 = c->norm2 + begin};

        if (coded) {
            crn_flat_scan_scalar(&c->coded_query, &rows, end - begin, FIRST_LABEL + begin, NULL, top);
        } else {
            crn_flat_scan_f32(op, c->query, c->vectors + begin * c->dim, c->dim, end - begin,
                              FIRST_LABEL + begin, NULL, top);
        }
        end = begin;
    }
}

static void scans_equal_a_full_sort(void **state)
{
    static const size_t counts[] = {0, 1, 2, 31, 33, 63, 64, 65, 127, 129, 255, 257, 700, N_MAX};
    static struct collection c;
    static struct crn_hit want[N_MAX], hits[N_MAX + 10];
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t round = 0; round < 40 * COUNT_OF(counts); round++) {
        const enum crn_op op = (enum crn_op)(round % CRN_OP_COUNT);
        const bool coded = crn_rng_below(&rng, 2) == 0;
        const size_t ks[] = {1, 10, 1 + crn_rng_below(&rng, N_MAX), N_MAX + 10};
        const size_t k = ks[crn_rng_below(&rng, COUNT_OF(ks))];
        const uint64_t *const allows[] = {NULL, c.allow};
        struct crn_topk top;

        fill(&rng, &c, op, counts[round % COUNT_OF(counts)], 1 + crn_rng_below(&rng, DIM_MAX));
        fill_allow(&rng, &c);
        for (size_t a = 0; a < COUNT_OF(allows); a++) {
            const size_t want_count = sorted_hits(&c, op, coded, allows[a], want);

            crn_topk_init(&top, hits, k);
            scan(&c, op, coded, allows[a], &top);
            expect_hits(&top, want, want_count);
            crn_topk_init(&top, hits, k);
            scan_at(&rng, &c, op, coded, allows[a], &top);
            expect_hits(&top, want, want_count);
        }
        crn_topk_init(&top, hits, k);
        scan_in_pieces(&rng, &c, op, coded, &top);
        expect_hits(&top, want, sorted_hits(&c, op, coded, NULL, want));
    }
}

/* ---- codes: numbers that are their own distances ---- */

#define CODES_MAX 40000
#define CANARY 12345.5f

static bool numbers_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    assert_true(begin % 64 == 0 && n > 0 && n <= CRN_SCAN_ROWS);
    memcpy(out, (const float *)ctx + begin, n * sizeof *out);
    return crn_scan_mark(out, n, limit, masks);
}

static void numbers_gather(const void *ctx, const uint32_t *pos, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = ((const float *)ctx)[pos[i]];
}

/* Random; ascending and descending, so that a sample of the first rows would mislead; few kinds; and all that
 * is near in rows that the sample for the limit leaves out, or looks at alone. */
static void fill_numbers(struct crn_rng *rng, float *numbers, size_t n, size_t form)
{
    for (size_t i = 0; i < n; i++) {
        numbers[i] = (float)crn_rng_normal(rng);
        if (form == 1) numbers[i] = (float)i;
        if (form == 2) numbers[i] = -(float)i;
        if (form == 3) numbers[i] = (float)crn_rng_below(rng, 5);
        if (form == 4 && i / 64 % 4 != 0) numbers[i] -= 100;
        if (form == 5 && i / 64 % 16 == 0) numbers[i] -= 100;
        if (crn_rng_below(rng, 1000) == 0) numbers[i] = NAN;
    }
}

static void scans_of_codes_equal_a_full_sort(void **state)
{
    static const size_t counts[] = {1, 63, 500, 513, 1000, 3000, 16000, 17000, CODES_MAX};
    static struct crn_hit want[CODES_MAX];
    static float numbers[CODES_MAX], distances[4 * CODES_MAX + 2];
    static uint64_t allow[CODES_MAX / 64 + 1];
    static uint32_t labels[4 * CODES_MAX + 2];
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t round = 0; round < 12 * COUNT_OF(counts); round++) {
        const size_t n = counts[round % COUNT_OF(counts)], form = round / COUNT_OF(counts) % 6;
        const size_t k = 1 + crn_rng_below(&rng, round % 2 == 0 ? 30 : n);
        const struct crn_scan_codes codes = {
            .ctx = numbers, .within = numbers_within, .gather = round % 3 == 0 ? NULL : numbers_gather};
        struct crn_sieve sieve;
        size_t count = 0;

        fill_numbers(&rng, numbers, n, form);
        for (size_t w = 0; w <= n / 64; w++) allow[w] = crn_rng_u64(&rng) & crn_rng_u64(&rng);
        const uint64_t *some = round % 5 == 0 ? allow : NULL;
        for (size_t i = 0; i < n; i++) {
            if (!allowed(some, i)) continue;
            want[count++] = (struct crn_hit){isnan(numbers[i]) ? INFINITY : numbers[i], 7 + i};
        }
        qsort(want, count, sizeof *want, by_distance_and_label);
        const size_t capacity = k + 1 + crn_rng_below(&rng, 3 * k);
        distances[capacity] = CANARY;
        crn_sieve_init(&sieve, distances, labels, k, capacity);
        crn_flat_scan_codes(&codes, n, 7, some, &sieve);
        crn_sieve_shrink(&sieve);
        assert_true(distances[capacity] == CANARY);
        assert_int_equal(sieve.count, count < k ? count : k);
        if (sieve.count == 0) continue;
        const struct crn_hit last = want[sieve.count - 1];
        for (size_t i = 0; i < sieve.count; i++) {
            const float number = numbers[labels[i] - 7];
            assert_true(distances[i] == (isnan(number) ? INFINITY : number) && allowed(some, labels[i] - 7));
            assert_true(distances[i] < last.distance ||
                        (distances[i] == last.distance && labels[i] <= last.label));
        }
    }
}

static void bitmaps_all_and_none(void **state)
{
    static struct collection c;
    static struct crn_hit want[N_MAX], hits[10];
    struct crn_rng rng = test_rng();
    struct crn_topk top;

    (void)state;
    fill(&rng, &c, CRN_OP_L2, 1000, 7);
    memset(c.allow, 0, sizeof c.allow);
    c.allow[1000 / 64] = ~(uint64_t)0 << 1000 % 64; /* beyond n: ignored */
    crn_topk_init(&top, hits, 10);
    scan(&c, CRN_OP_L2, false, c.allow, &top);
    assert_int_equal(top.count, 0);
    memset(c.allow, 0xff, sizeof c.allow);
    scan(&c, CRN_OP_L2, false, c.allow, &top);
    expect_hits(&top, want, sorted_hits(&c, CRN_OP_L2, false, NULL, want));
}

static void equal_distances_go_by_label(void **state)
{
    static float rows[N_MAX];
    struct crn_hit hits[5];
    const float query = 1;
    struct crn_topk top;

    (void)state;
    crn_topk_init(&top, hits, 5);
    crn_flat_scan_f32(CRN_OP_L2, &query, rows + 700, 1, 800, 700, NULL, &top);
    crn_flat_scan_f32(CRN_OP_L2, &query, rows, 1, 700, 0, NULL, &top);
    crn_topk_sort(&top);
    for (uint64_t i = 0; i < 5; i++) assert_int_equal(hits[i].label, i);
}

/* Distances that overflow are still distances: they fill a top-k that nothing nearer fills. */
static void infinite_distances_are_hits(void **state)
{
    static float rows[100];
    struct crn_hit hits[3];
    const float query = -3e38f;
    struct crn_topk top;

    (void)state;
    for (size_t i = 0; i < 100; i++) rows[i] = 3e38f;
    rows[50] = query;
    crn_topk_init(&top, hits, 3);
    crn_flat_scan_f32(CRN_OP_L2, &query, rows, 1, 100, 0, NULL, &top);
    crn_topk_sort(&top);
    assert_int_equal(top.count, 3);
    assert_true(hits[0].label == 50 && hits[1].label == 0 && hits[2].label == 1);
}

static void none_are_wanted(void **state)
{
    const float query = 1, rows[2] = {1, 2};
    const uint32_t pos[1] = {0};
    struct crn_topk top;

    (void)state;
    crn_topk_init(&top, NULL, 0);
    crn_flat_scan_f32(CRN_OP_DOT, &query, rows, 1, 2, 0, NULL, &top);
    crn_flat_scan_f32_at(CRN_OP_DOT, &query, rows, 1, pos, 1, 0, &top);
    assert_int_equal(top.count, 0);
}

/* Rows of one page each, those not allowed forbidden to read: touching one ends the test. */
static void a_sparse_bitmap_reads_only_what_it_allows(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t dim = page / sizeof(float), n = 200;
    struct guarded region = guarded_map(n * page), query = guarded_map(page);
    uint64_t allow[4] = {0};
    struct crn_hit hits[200];
    struct crn_topk top;
    size_t wanted = 0;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        if (i % 3 == 0) {
            allow[i / 64] |= (uint64_t)1 << i % 64;
            wanted++;
        } else {
            assert_int_equal(mprotect(region.begin + i * page, page, PROT_NONE), 0);
        }
    }
    crn_topk_init(&top, hits, n);
    crn_flat_scan_f32(CRN_OP_L1, (const float *)query.begin, (const float *)region.begin, dim, n, 0, allow,
                      &top);
    assert_int_equal(top.count, wanted);
    guarded_unmap(&region);
    guarded_unmap(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_equal_a_full_sort),
        cmocka_unit_test(scans_of_codes_equal_a_full_sort),
        cmocka_unit_test(bitmaps_all_and_none),
        cmocka_unit_test(equal_distances_go_by_label),
        cmocka_unit_test(infinite_distances_are_hits),
        cmocka_unit_test(none_are_wanted),
        cmocka_unit_test(a_sparse_bitmap_reads_only_what_it_allows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
