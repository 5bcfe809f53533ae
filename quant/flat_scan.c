/* Exact scans. Rows are worked in blocks small enough that their distances stay in the first cache. */
#include "quant/flat_scan.h"

#include <math.h>

#define BLOCK 128         /* distances at a time */
#define GLANCE CRN_WITHIN /* distances looked at together; divides BLOCK and WORD_ROWS */
#define WORD_ROWS 64      /* rows of a bitmap's word */
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

/* A row must not vanish from a search because its estimate overflowed both ways and makes no sense: it is as
 * far as can be. */
static void place_unknown(float *distances, size_t n)
{
    for (size_t i = 0; i < n; i++) distances[i] = distances[i] == distances[i] ? distances[i] : INFINITY;
}

static void block_distances(const struct scan *scan, size_t begin, size_t n, float *out)
{
    if (scan->codes != NULL) {
        scan->codes->block(scan->codes->ctx, begin, n, out);
        place_unknown(out, n);
    } else if (scan->coded != NULL) {
        crn_scalar_block(scan->coded_query, scan->coded, begin, n, out);
    } else {
        crn_kernels_get()->f32_block[scan->op](scan->query, scan->rows + begin * scan->dim, scan->dim, n,
                                               out);
    }
}

static void gather_distances(const struct scan *scan, const uint32_t *pos, size_t n, float *out)
{
    if (scan->codes != NULL) {
        scan->codes->gather(scan->codes->ctx, pos, n, out);
        place_unknown(out, n);
    } else if (scan->coded != NULL) {
        crn_scalar_gather(scan->coded_query, scan->coded, pos, n, out);
    } else {
        crn_kernels_get()->f32_gather[scan->op](scan->query, scan->rows, scan->dim, pos, n, out);
    }
}

/* Offers n distances, of rows begin + i or, with `pos`, pos[i]; fills up the last GLANCE. Nearly all are
 * beyond the limit once the heap is full, so GLANCE are looked at together. A tie may enter by its label. */
static void push_near(const struct scan *scan, size_t begin, const uint32_t *pos, size_t n,
                      float distances[BLOCK])
{
    const struct crn_kernels *kernels = crn_kernels_get();

    for (size_t i = n; i % GLANCE != 0; i++) distances[i] = NAN;
    for (size_t i = 0; i < n; i += GLANCE) {
        const float limit = scan->sieve != NULL ? scan->sieve->limit : crn_topk_limit(scan->top);

        for (uint32_t within = kernels->within(distances + i, limit); within != 0; within &= within - 1) {
            const size_t j = i + (size_t)__builtin_ctz(within);
            const uint64_t label = scan->first_label + (pos != NULL ? pos[j] : begin + j);

            if (scan->sieve != NULL) {
                crn_sieve_push(scan->sieve, distances[j], label);
            } else if (distances[j] <= crn_topk_limit(scan->top)) {
                crn_topk_push(scan->top, distances[j], label);
            }
        }
    }
}

static void scan_all(const struct scan *scan, size_t n)
{
    float distances[BLOCK];

    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t count = n - i < BLOCK ? n - i : BLOCK;

        block_distances(scan, i, count, distances);
        push_near(scan, i, NULL, count, distances);
    }
}

static void scan_list(const struct scan *scan, const uint32_t *pos, size_t npos)
{
    float distances[BLOCK];

    for (size_t i = 0; i < npos; i += BLOCK) {
        const size_t count = npos - i < BLOCK ? npos - i : BLOCK;

        gather_distances(scan, pos + i, count, distances);
        push_near(scan, 0, pos + i, count, distances);
    }
}

/* Reads all rows of a word and forgets those it does not allow. */
static void scan_dense_word(const struct scan *scan, size_t begin, size_t n, uint64_t word)
{
    float distances[BLOCK];

    block_distances(scan, begin, n, distances);
    for (size_t i = 0; i < n; i++) {
        if ((word >> i & 1) == 0) distances[i] = NAN;
    }
    push_near(scan, begin, NULL, n, distances);
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
        scan_all(scan, n);
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

void crn_flat_scan_codes(const struct crn_scan_codes *codes, size_t n, uint64_t first_label,
                         const uint64_t *allow, struct crn_sieve *sieve)
{
    const struct scan scan = {.codes = codes, .first_label = first_label, .sieve = sieve};

    scan_bitmap(&scan, n, allow);
}
