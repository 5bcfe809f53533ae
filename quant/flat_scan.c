/* Exact scans. Rows are worked in blocks small enough that their distances stay in the first cache. */
#include "quant/flat_scan.h"

#include <math.h>

#define BLOCK CRN_SCAN_ROWS /* distances at a time */
#define GROUP CRN_WITHIN    /* rows of a mask; divides BLOCK and WORD_ROWS */
#define WORD_ROWS 64        /* rows of a bitmap's word */
#define SAMPLED_LEAST 512   /* rows, of which a sample tells where the limit will be */
#define SAMPLED_FEW 4       /* one word of rows in so many is looked at */
#define SAMPLED_WELL 16384  /* rows, of which fewer are enough */
#define SAMPLED_MANY 16
#define DENSE_ROWS 40 /* of them allowed: from there on a stream of all is faster than a gather (measured) */

/* What is scanned: codes when `codes` or `coded` is not NULL, else float rows. */
struct scan {
    enum crn_op op;
    const float *query;
    const float *rows;
    size_t dim;
    const struct crn_scalar_query *coded_query;
    const struct crn_scalar_rows *coded;
    const struct crn_scan_codes *codes;
    uint64_t first_label;
    struct crn_topk *top;
    struct crn_sieve *sieve; /* of `codes`, instead of `top` */
};

/* The distances of some rows, and bit i % GROUP of masks[i / GROUP] where one may be among the nearest. */
struct near {
    float distances[BLOCK];
    uint32_t masks[BLOCK / GROUP];
};

static bool mark(float *distances, size_t n, float limit, uint32_t *masks)
{
    const struct crn_kernels *kernels = crn_kernels_get();
    uint32_t any = 0;

    for (size_t i = n; i % GROUP != 0; i++) distances[i] = NAN;
    for (size_t i = 0; i < n; i += GROUP) any |= masks[i / GROUP] = kernels->within(distances + i, limit);
    return any != 0;
}

bool crn_scan_mark(float *distances, size_t n, float limit, uint32_t *masks)
{
    for (size_t i = 0; i < n; i++) distances[i] = distances[i] == distances[i] ? distances[i] : INFINITY;
    return mark(distances, n, limit, masks);
}

/* Rows begin..begin + n - 1; false: none is near. */
static bool look_at_block(const struct scan *scan, size_t begin, size_t n, struct near *near)
{
    if (scan->codes != NULL)
        return scan->codes->within(scan->codes->ctx, begin, n, scan->sieve->limit, near->distances,
                                   near->masks);
    if (scan->coded != NULL) {
        crn_scalar_block(scan->coded_query, scan->coded, begin, n, near->distances);
    } else {
        crn_kernels_get()->f32_block[scan->op](scan->query, scan->rows + begin * scan->dim, scan->dim, n,
                                               near->distances);
    }
    return mark(near->distances, n, crn_topk_limit(scan->top), near->masks);
}

static bool look_at_list(const struct scan *scan, const uint32_t *pos, size_t n, struct near *near)
{
    if (scan->codes != NULL) {
        scan->codes->gather(scan->codes->ctx, pos, n, near->distances);
        return crn_scan_mark(near->distances, n, scan->sieve->limit, near->masks);
    }
    if (scan->coded != NULL) {
        crn_scalar_gather(scan->coded_query, scan->coded, pos, n, near->distances);
    } else {
        crn_kernels_get()->f32_gather[scan->op](scan->query, scan->rows, scan->dim, pos, n, near->distances);
    }
    return mark(near->distances, n, crn_topk_limit(scan->top), near->masks);
}

/* Offers the near ones of rows begin + i or, with `pos`, pos[i]. A tie may enter by its label. */
static void push_near(const struct scan *scan, size_t begin, const uint32_t *pos, size_t n,
                      const struct near *near)
{
    for (size_t i = 0; i < n; i += GROUP) {
        for (uint32_t mask = near->masks[i / GROUP]; mask != 0; mask &= mask - 1) {
            const size_t j = i + (size_t)__builtin_ctz(mask);
            const uint64_t label = scan->first_label + (pos != NULL ? pos[j] : begin + j);
            const float distance = near->distances[j];

            if (scan->sieve != NULL) {
                /* A row must not vanish from a search because its estimate overflowed both ways and makes no
                 * sense: it is as far as can be. */
                crn_sieve_push(scan->sieve, distance == distance ? distance : INFINITY, (uint32_t)label);
            } else if (distance <= crn_topk_limit(scan->top)) {
                crn_topk_push(scan->top, distance, label);
            }
        }
    }
}

static void scan_range(const struct scan *scan, size_t begin, size_t end)
{
    struct near near;

    for (size_t i = begin; i < end; i += BLOCK) {
        const size_t count = end - i < BLOCK ? end - i : BLOCK;

        if (look_at_block(scan, i, count, &near)) push_near(scan, i, NULL, count, &near);
    }
}

static void scan_list(const struct scan *scan, const uint32_t *pos, size_t npos)
{
    struct near near;

    for (size_t i = 0; i < npos; i += BLOCK) {
        const size_t count = npos - i < BLOCK ? npos - i : BLOCK;

        if (look_at_list(scan, pos + i, count, &near)) push_near(scan, 0, pos + i, count, &near);
    }
}

/* Reads all rows of a word and forgets those it does not allow. */
static void scan_dense_word(const struct scan *scan, size_t begin, size_t n, uint64_t word)
{
    struct near near;

    if (!look_at_block(scan, begin, n, &near)) return;
    for (size_t i = 0; i < n; i += GROUP) near.masks[i / GROUP] &= (uint32_t)(word >> i);
    push_near(scan, begin, NULL, n, &near);
}

static void scan_allowed(const struct scan *scan, size_t n, const uint64_t *allow)
{
    const int dense_rows = scan->codes != NULL && scan->codes->gather == NULL ? 1 : DENSE_ROWS;
    uint32_t pos[BLOCK];
    size_t count = 0;

    for (size_t begin = 0; begin < n; begin += WORD_ROWS) {
        const size_t rows = n - begin < WORD_ROWS ? n - begin : WORD_ROWS;
        uint64_t word = allow[begin / WORD_ROWS];

        if (rows < WORD_ROWS) word &= ((uint64_t)1 << rows) - 1;
        if (__builtin_popcountll(word) >= dense_rows) {
            scan_dense_word(scan, begin, rows, word);
            continue;
        }
        for (; word != 0; word &= word - 1) pos[count++] = (uint32_t)(begin + (size_t)__builtin_ctzll(word));
        if (count > BLOCK - WORD_ROWS) {
            scan_list(scan, pos, count);
            count = 0;
        }
    }
    scan_list(scan, pos, count);
}

static void scan_bitmap(const struct scan *scan, size_t n, const uint64_t *allow)
{
    if (scan->top != NULL && scan->top->k == 0) return;
    if (allow == NULL) {
        scan_range(scan, 0, n);
    } else {
        scan_allowed(scan, n, allow);
    }
}

static void scan_positions(const struct scan *scan, const uint32_t *pos, size_t npos)
{
    if (scan->top->k == 0) return;
    scan_list(scan, pos, npos);
}

static struct scan f32_scan(enum crn_op op, const float *query, const float *rows, size_t dim,
                            uint64_t first_label, struct crn_topk *top)
{
    return (struct scan){
        .op = op, .query = query, .rows = rows, .dim = dim, .first_label = first_label, .top = top};
}

void crn_flat_scan_f32(enum crn_op op, const float *query, const float *rows, size_t dim, size_t n,
                       uint64_t first_label, const uint64_t *allow, struct crn_topk *top)
{
    const struct scan scan = f32_scan(op, query, rows, dim, first_label, top);

    scan_bitmap(&scan, n, allow);
}

void crn_flat_scan_f32_at(enum crn_op op, const float *query, const float *rows, size_t dim,
                          const uint32_t *pos, size_t npos, uint64_t first_label, struct crn_topk *top)
{
    const struct scan scan = f32_scan(op, query, rows, dim, first_label, top);

    scan_positions(&scan, pos, npos);
}

void crn_flat_scan_scalar(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows, size_t n,
                          uint64_t first_label, const uint64_t *allow, struct crn_topk *top)
{
    const struct scan scan = {.coded_query = query, .coded = rows, .first_label = first_label, .top = top};

    scan_bitmap(&scan, n, allow);
}

void crn_flat_scan_scalar_at(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows,
                             const uint32_t *pos, size_t npos, uint64_t first_label, struct crn_topk *top)
{
    const struct scan scan = {.coded_query = query, .coded = rows, .first_label = first_label, .top = top};

    scan_positions(&scan, pos, npos);
}

/* A limit that somewhat more than the sieve's k rows are within, as one word of rows in `share` tells; +inf where
 * it cannot tell. */
static float guess_limit(const struct scan *scan, size_t n)
{
    const size_t share = n < SAMPLED_WELL ? SAMPLED_FEW : SAMPLED_MANY, expected = scan->sieve->k / share;
    /* So many that hardly ever fewer than k come. */
    const size_t k = expected + 3 * (size_t)sqrt((double)expected) + 4;
    struct crn_sieve sample;
    struct scan part = *scan;

    if (n < SAMPLED_LEAST || n / scan->sieve->k <= 2 * share || scan->sieve->capacity <= k) return INFINITY;
    crn_sieve_init(&sample, scan->sieve->distances, scan->sieve->labels, k, scan->sieve->capacity);
    part.sieve = &sample;
    for (size_t begin = 0; begin + WORD_ROWS <= n; begin += share * WORD_ROWS)
        scan_range(&part, begin, begin + WORD_ROWS);
    crn_sieve_shrink(&sample);
    return sample.limit;
}

void crn_flat_scan_codes(const struct crn_scan_codes *codes, size_t n, uint32_t first_label,
                         const uint64_t *allow, struct crn_sieve *sieve)
{
    const struct scan scan = {.codes = codes, .first_label = first_label, .sieve = sieve};

    if (allow == NULL && sieve->count == 0) {
        /* Without a limit from the start, all of the first rows and many of the next would be pushed. */
        sieve->limit = guess_limit(&scan, n);
        scan_range(&scan, 0, n);
        if (sieve->count >= sieve->k || sieve->limit == INFINITY) return;
        sieve->count = 0;
        sieve->limit = INFINITY;
    }
    scan_bitmap(&scan, n, allow);
}
