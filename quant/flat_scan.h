/*
 * Exact scans: the distances of one query to all rows, to those a bitmap allows or to a list of them, fused
 * with the choice of the k nearest. Distances are raw ones (kernels.h). Labels are first_label + position.
 *
 * The hits go into a crn_topk of the caller, which may hold hits of earlier calls: a collection of several
 * segments is one top-k carried from scan to scan. The result depends neither on the order of the scans nor
 * on how rows are divided among them. Rows whose distance is NaN never enter. Nothing is allocated, nothing
 * fails; any thread may scan, with a top-k of its own. A caller with a deadline scans in pieces.
 *
 * n is at most 2^32 - 1. `allow` is a bitmap over the positions 0..n-1, bit i % 64 of word i / 64, or NULL
 * for all; bits beyond n are ignored. Where it is sparse only the allowed rows are read.
 */
#ifndef CRN_QUANT_FLAT_SCAN_H
#define CRN_QUANT_FLAT_SCAN_H

#include "base/sieve.h"
#include "base/topk.h"
#include "quant/codec.h"
#include "quant/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* rows: [n][dim]. */
void crn_flat_scan_f32(enum crn_op op, const float *query, const float *rows, size_t dim, size_t n,
                       uint64_t first_label, const uint64_t *allow, struct crn_topk *top);

/* Only the rows at pos[0..npos-1]; ascending positions are read fastest. */
void crn_flat_scan_f32_at(enum crn_op op, const float *query, const float *rows, size_t dim,
                          const uint32_t *pos, size_t npos, uint64_t first_label, struct crn_topk *top);

/* The same over scalar codes, with the query's own op. */
void crn_flat_scan_scalar(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows, size_t n,
                          uint64_t first_label, const uint64_t *allow, struct crn_topk *top);
void crn_flat_scan_scalar_at(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows,
                             const uint32_t *pos, size_t npos, uint64_t first_label, struct crn_topk *top);

/* Codes of any kind, by functions that know them. A distance that is NaN, as estimates of vectors beyond the
 * range of float may be, counts as +inf. */
#define CRN_SCAN_ROWS 512u /* of a call at most */
struct crn_scan_codes {
    const void *ctx;
    /* out[i] = distance of row begin + i, n of them; begin is a multiple of 64. Bit i % 32 of masks[i / 32]: it
     * is not above the limit, or NaN. `out` has room for a multiple of 32, `masks` for as many. Gives whether
     * there is such a row; crn_scan_mark does so where distances are all that is known. */
    bool (*within)(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks);
    /* out[i] = distance of row pos[i]; NULL where rows cannot be had singly: then whole words of 64 rows are
     * read. */
    void (*gather)(const void *ctx, const uint32_t *pos, size_t n, float *out);
};
bool crn_scan_mark(float *distances, size_t n, float limit, uint32_t *masks);
void crn_flat_scan_codes(const struct crn_scan_codes *codes, size_t n, uint32_t first_label,
                         const uint64_t *allow, struct crn_sieve *sieve);

#endif
