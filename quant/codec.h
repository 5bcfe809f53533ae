/*
 * The scalar codec: a vector as one int8 a dimension and two floats.
 *
 * A row x becomes codes c[dim] in -127..127 with x[i] ~ scale * c[i], scale = max|x| / 127, and norm2, the
 * sum of squares of the decoded row. Rows lie as a struct of arrays: dim + 8 bytes a vector. The query is not
 * rounded to 8 bits but to two planes of 8 bits, q[i] ~ hi_scale * (hi[i] + lo[i]/254), so that what error
 * there is comes from the rows:
 *
 *   |x[i] - scale * c[i]|  <= max|x| * (1/254 + 2^-22)      (rows)
 *   |q[i] - decoded q[i]|  <= max|q| * (1/64516 + 2^-22)    (query)
 *
 * Measured on normal random vectors of dim 96 to 1536: the root mean square error of a dot product is 0.006
 * to 0.008 of |q||x|/sqrt(dim), the largest of 50,000 is 0.04 of it, and the query's share of the squared
 * error is below 1/60,000.
 *
 * Distances are raw ones as in kernels.h (smaller is nearer):
 *   DOT  between decoded query and row, rounded by at most 2^-21 |q||x|
 *   L2   between decoded query and row, as |q|^2 + |x|^2 - 2 q.x, at least 0, rounded by at most
 *        2^-21 (|q|^2 + |x|^2); so rows very near the query are told apart only on full precision
 *   L1   the sum of |q[i] - scale * c[i]| with the query as it came; rounding as in kernels.h
 * DOT and L2 are made from exact integer sums and are equal bit for bit on every processor.
 *
 * Rows and queries must be finite (crn_vector_finite). One whose largest element is below 1e-36, so that its
 * scale would be denormal, is encoded as zeros. Squares beyond the range of float give norm2 = +inf, and then
 * L2 = +inf. No function allocates or fails; any thread may call them at once.
 */
#ifndef CRN_QUANT_CODEC_H
#define CRN_QUANT_CODEC_H

#include "quant/kernels.h"

#include <stddef.h>
#include <stdint.h>

/* Encoded rows, borrowed. */
struct crn_scalar_rows {
    const int8_t *codes; /* [n][dim] */
    const float *scale;  /* [n] */
    const float *norm2;  /* [n] */
};

/* A query ready for scanning. Borrows the query and the planes given to crn_scalar_query_prepare. */
struct crn_scalar_query {
    enum crn_op op;
    size_t dim;
    const float *vector; /* [dim], as it came */
    struct crn_i8_query planes;
    float hi_scale;
    float lo_scale; /* hi_scale / 254 */
    float norm2;    /* of the decoded query */
};

/* Bytes of encoded rows a vector. */
static inline size_t crn_scalar_bytes(size_t dim)
{
    return dim + 2 * sizeof(float);
}

/* Encodes a row [dim] into codes [dim], *out_scale and *out_norm2. */
void crn_scalar_encode(const float *row, size_t dim, int8_t *codes, float *out_scale, float *out_norm2);

/* Prepares a query [dim]. `planes` is [2][dim] of the caller's memory; it and `query` must outlive *out. */
void crn_scalar_query_prepare(enum crn_op op, const float *query, size_t dim, int8_t *planes,
                              struct crn_scalar_query *out);

/* out[i] = distance of row begin + i, for i in 0..n-1. */
void crn_scalar_block(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows, size_t begin,
                      size_t n, float *out);

/* out[i] = distance of row pos[i], the same bit for bit as in a block. */
void crn_scalar_gather(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows,
                       const uint32_t *pos, size_t n, float *out);

#endif
