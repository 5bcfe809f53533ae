/*
 * The half-float codec: a vector as one IEEE half a dimension, 2 * dim bytes, all rows of a set with one
 * power of two as their unit.
 *
 * With the largest magnitude of the set below 2^15 units nothing overflows, and
 *
 *   |x[i] - unit * h[i]| <= |x[i]| * 2^-11 + unit * 2^-25,    unit <= largest * 2^-14
 *
 * so that a distance is off, beside the rounding of kernels.h, by at most
 *   DOT  2^-11 * sum |q[i]| |x[i]|      L1  2^-11 * sum |x[i]|      L2  2 |q - x| e + e^2 with e = 2^-11 |x|
 * plus what elements below 2^-28 of the largest lose, which become multiples of unit * 2^-24.
 *
 * Distances are raw ones as in kernels.h, of the query as it came. Queries more than 2^49 times as long as
 * the largest row have infinite L2 distances. Rows must be finite and within the set's largest magnitude;
 * beyond it they are cut off there. Nothing allocates or fails; any thread may call.
 */
#ifndef CRN_QUANT_F16_H
#define CRN_QUANT_F16_H

#include "quant/kernels.h"

#include <stddef.h>
#include <stdint.h>

/* A query ready for scanning. Borrows the memory given to crn_f16_query_prepare. */
struct crn_f16_query {
    enum crn_op op;
    size_t dim;
    const float *vector; /* in units */
    float unit;
};

/* The unit for a set whose largest magnitude is given (0 and above, finite): a power of two. */
float crn_f16_unit(float largest);

/* Encodes a row [dim], rounding to nearest, ties to even. */
void crn_f16_encode(const float *row, size_t dim, float unit, uint16_t *halves);

/* Prepares a query [dim]; `memory` is [dim]. */
void crn_f16_query_prepare(enum crn_op op, const float *query, size_t dim, float unit, float *memory,
                           struct crn_f16_query *out);

/* out[i] = distance of row i of rows [n][dim], and of row pos[i]: the same bit for bit. */
void crn_f16_block(const struct crn_f16_query *query, const uint16_t *rows, size_t n, float *out);
void crn_f16_gather(const struct crn_f16_query *query, const uint16_t *rows, const uint32_t *pos, size_t n,
                    float *out);

#endif
