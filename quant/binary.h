/*
 * The binary codec: a vector as the signs of its dimensions after a random rotation, with three floats that
 * make unbiased estimates of distances from them; or as 2 to 8 bits a dimension. RaBitQ: Gao and Long, SIGMOD
 * 2024; more bits: Gao et al., "Practical and asymptotically optimal quantization of high-dimensional
 * vectors", SIGMOD 2025.
 *
 * With the centroid c, the rotation P and B bits, a row x becomes u[padded] in 0..2^B-1 by
 *
 *   r = x - c,  v = P r
 *   y[i] = u[i] - (2^B - 1)/2, of the sign of v[i]; the step is that of the largest cosine of v and y
 *   scale = |r|^2 / <v, y>      <r, z> ~ scale * <y, P z>, unbiased over the rotations (SIGMOD 2024, sec. 3)
 *   error = |r| tan(v, y) / sqrt(padded - 1)
 *                               |estimate - <r, z>| <= CRN_BINARY_SURE * error * |z| for nearly all rows
 *
 * With z = q - c a distance is add + query's add + scale * <y, P z>, the factor of <r, z> being inside scale
 * and error:
 *
 *   DOT  add = -<r, c>, query's add = -<c, q>, factor -1
 *   L2   add = |r|^2,   query's add = |z|^2,   factor -2; not cut off at 0: order means something below it
 *   L1   is not a function of products: there is none
 *
 * B = 1 lies in blocks for lookup scans (lookup.h): 4 dimensions a table, whose entries are rounded to 8 bits
 * of the widest table's range. B = 1..8 lies row-major as bit planes, highest first, so that plane 0 is the
 * code of B = 1; the query is rounded to `planes` bits of its largest element. Rounding moves <y, P z> by at
 * most `delta` * padded / 8 in blocks, and by at most delta / 2 * sum |y| on planes. All sums are exact
 * integers: distances are the same bit for bit on every processor.
 *
 * Paper and code differ: steps are chosen among CRN_BINARY_STEPS, not all that matter; queries are rounded to
 * nearest, not at random, for 8 bits leave no bias to speak of. Rows and queries must be finite; one whose
 * rotation overflows is coded as zeros of infinite length. Nothing allocates; any thread may call.
 */
#ifndef CRN_QUANT_BINARY_H
#define CRN_QUANT_BINARY_H

#include "quant/kernels.h"
#include "quant/lookup.h"
#include "quant/rotation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_BINARY_SURE 1.9f /* deviations of the bound: epsilon_0 of the paper, section 3.2.2 */
/* One deviation of <y, P z> for B = 1, by |z|: half the sine between a row and its signs (error / scale), which
 * is close to sqrt(1 - 2 / pi) for all rows, these being rotated at random. */
#define CRN_BINARY_DEVIATION (0.5f * 0.603f)
#define CRN_BINARY_STEPS 24u
#define CRN_BINARY_BITS_MAX CRN_PLANES_MAX

/* What all codes of a set have in common. Borrows the centroid and the memory given to crn_binary_init. */
struct crn_binary {
    enum crn_op op; /* DOT or L2 */
    size_t dim;
    size_t padded;
    const float *centroid; /* [dim] */
    struct crn_rotation rotation;
};

struct crn_binary_factors {
    float add;
    float scale;
    float error;
    float sum; /* of u */
};

/* Rows in blocks, borrowed. All are of whole blocks; behind the last row may be anything. */
struct crn_binary_rows {
    const uint8_t *blocks; /* as in lookup.h, padded / 32 words a row */
    const float *add;
    const float *scale;
};

/* A query ready for scanning; borrows the memory given to crn_binary_query_prepare. */
struct crn_binary_query {
    const struct crn_binary *binary;
    float add;
    float length;                  /* |z| */
    float table_delta, table_base; /* <y, P z> ~ table_delta * sum + table_base */
    const uint8_t *tables;
    float plane_delta; /* P z ~ plane_delta * (plane value - plane_middle) */
    float plane_middle;
    float plane_sum; /* of the plane values */
    size_t planes;
    const uint64_t *bits; /* [planes][padded / 64] */
};

/* Bytes of rows in blocks a vector, the two factors that a scan reads included. */
static inline size_t crn_binary_bytes(size_t dim)
{
    return crn_rotation_padded(dim) / 8 + 2 * sizeof(float);
}

/* `memory` is crn_rotation_floats(crn_rotation_padded(dim)) floats, aligned to 64 bytes. */
void crn_binary_init(struct crn_binary *binary, enum crn_op op, size_t dim, const float *centroid,
                     uint64_t seed, float *memory);

/* out[padded] = the rotated difference of a row or a query from the centroid, aligned to 64 bytes; its
 * squared length or length, and its add. What the codecs of 1 and of 4 bits have in common. */
void crn_binary_turn_row(const struct crn_binary *binary, const float *row, float *out, double *out_norm2,
                         float *out_add);
void crn_binary_turn_query(const struct crn_binary *binary, const float *query, float *out, float *out_length,
                           float *out_add);

/* Encodes a row [dim] as planes [bits][padded / 64]. `scratch` is [padded] floats, aligned to 64 bytes. */
void crn_binary_encode(const struct crn_binary *binary, const float *row, size_t bits, float *scratch,
                       uint64_t *planes, struct crn_binary_factors *out);

/* Floats of memory that a query of `planes` (1..8) bits wants, or of 0 for blocks alone. */
size_t crn_binary_query_floats(size_t padded, size_t planes);

/* Prepares a query [dim]. `memory` is crn_binary_query_floats, aligned to 64 bytes. */
void crn_binary_query_prepare(const struct crn_binary *binary, const float *query, size_t planes,
                              float *memory, struct crn_binary_query *out);

/* out[i] = estimated distance of row begin + i, for i in 0..n-1; begin is a multiple of CRN_LOOKUP_ROWS. Bit
 * i % 32 of masks[i / 32]: it is not above the limit (NaN is not). `out` and `masks` have room for whole blocks.
 * Codes are asked for `ahead` bytes before they are read. Gives whether there is such a row. */
bool crn_binary_within(const struct crn_binary_query *query, const struct crn_binary_rows *rows, size_t begin,
                       size_t n, float limit, size_t ahead, float *out, uint32_t *masks);

/* out[i] = estimated distance of the row as planes [][bits][padded / 64] with factors [] at pos[i], or at i when
 * pos is NULL. */
void crn_binary_planes(const struct crn_binary_query *query, const uint64_t *planes, size_t bits,
                       const struct crn_binary_factors *factors, const uint32_t *pos, size_t n, float *out);

#endif
