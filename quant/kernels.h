/*
 * Distance kernels: one query against many rows, one table of functions an instruction set.
 *
 * They give raw distances, where SMALLER is nearer; cosine is CRN_OP_DOT over vectors that the engine has
 * normalised. They know nothing of top-k, labels or collections (flat_scan.h) nor of how codes are made
 * (codec.h). They allocate nothing, keep no state and never fail: any thread may call them at once.
 *
 * Shapes: rows are [n][dim], contiguous and unpadded; pointers need no more than their element's alignment
 * (64 bytes and a dim divisible by 16 are a little faster); dim is 1..CAIRN_DIM_MAX. Nothing outside the
 * arrays is read. A block is rows 0..n-1 from the pointer given; a gather is the rows at positions
 * pos[0..n-1], in that order. Kernels prefetch past the end of a block, so that scanning a large array in
 * blocks costs no more than scanning it at once.
 *
 * Invariants
 * - A row's distance depends on the query and the row alone, not on its neighbours: block and gather agree
 *   bit for bit, so a filtered search ranks like an unfiltered one.
 * - f32 error, T being the sum of the absolute values of the exact terms (q*x, (q-x)^2 or |q-x|):
 *       |computed - exact| <= (dim/16 + 16) * 2^-24 * T + dim * 2^-148
 *   for L2 and L1 T is the distance itself, so this is a relative error; for random vectors it is far
 *   smaller (it grows with the square root of the bound's first factor).
 * - int8 sums are exact, the same bit for bit in every table.
 * - A NaN in the query or the row gives NaN. Sums beyond the range of float give +inf for L2 and L1; for DOT
 *   +-inf, or NaN when parts of the sum overflow both ways.
 * - Denormals are computed with, not flushed (unless the host has set its thread to flush them).
 */
#ifndef CRN_QUANT_KERNELS_H
#define CRN_QUANT_KERNELS_H

#include "base/cpu.h"

#include <stddef.h>
#include <stdint.h>

enum crn_op {
    CRN_OP_DOT = 0, /* minus the dot product */
    CRN_OP_L2 = 1,  /* squared Euclidean distance */
    CRN_OP_L1 = 2,  /* sum of absolute differences */
};
#define CRN_OP_COUNT 3

/* A query as two int8 planes, each [dim] in -127..127 (never -128), with the sums of their components. */
struct crn_i8_query {
    const int8_t *hi;
    const int8_t *lo;
    int32_t hi_sum;
    int32_t lo_sum;
};

#define CRN_WITHIN 32 /* floats that are compared with a limit at a time */

struct crn_kernels {
    const char *name; /* of the instruction set, as in CAIRN_CPU */

    /* out[i] = distance of query [dim] to row i. Indexed by enum crn_op. */
    void (*f32_block[CRN_OP_COUNT])(const float *query, const float *rows, size_t dim, size_t n, float *out);
    void (*f32_gather[CRN_OP_COUNT])(const float *query, const float *rows, size_t dim, const uint32_t *pos,
                                     size_t n, float *out);

    /* The same of rows as IEEE half floats, which must be finite. The error is that of f32. */
    void (*f16_block[CRN_OP_COUNT])(const float *query, const uint16_t *rows, size_t dim, size_t n,
                                    float *out);
    void (*f16_gather[CRN_OP_COUNT])(const float *query, const uint16_t *rows, size_t dim,
                                     const uint32_t *pos, size_t n, float *out);

    /* out_hi[i] and out_lo[i] = dot products of both planes with row i, whose codes may be any int8. */
    void (*i8_block)(const struct crn_i8_query *query, const int8_t *rows, size_t dim, size_t n,
                     int32_t *out_hi, int32_t *out_lo);
    void (*i8_gather)(const struct crn_i8_query *query, const int8_t *rows, size_t dim, const uint32_t *pos,
                      size_t n, int32_t *out_hi, int32_t *out_lo);

    /* out[i] = sum over j of |query[j] - scale[i] * rows[i][j]|; in the gather scale[pos[i]]. The error is
     * that of f32 with T the sum of |query[j]| + |scale[i] * rows[i][j]|. */
    void (*i8_l1_block)(const float *query, const int8_t *rows, const float *scale, size_t dim, size_t n,
                        float *out);
    void (*i8_l1_gather)(const float *query, const int8_t *rows, const float *scale, size_t dim,
                         const uint32_t *pos, size_t n, float *out);

    /* Bit i: x[i] <= limit, of CRN_WITHIN floats; a NaN is not. */
    uint32_t (*within)(const float *x, float limit);
};

/* The table for crn_cpu_level(). Never NULL. */
const struct crn_kernels *crn_kernels_get(void);

/* The table for one level, or NULL when this build, this processor or CAIRN_CPU excludes it. */
const struct crn_kernels *crn_kernels_for(enum crn_cpu_level level);

#endif
