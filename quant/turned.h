/*
 * Product codes of centred and rotated vectors, with the correction that makes RaBitQ's estimates unbiased
 * (binary.h): what the 4-bit codecs of dot products and l2 are. With v = P (x - c) and its decoded code w, a
 * row keeps
 *
 *   scale = factor * |v|^2 / <v, w>      <x - c, z> ~ scale * <w, P z>, exact for x - c itself
 *
 * and add as in binary.h. A rotation spreads what is in few dimensions over all, so that equal parts suit
 * them; the correction makes up for codes being shorter than what they stand for. Distances are those of
 * binary.h, the products being sums of table entries (product.h). Measured on 60,000 texts of 256 dims,
 * recall@10 of codes of 4 bits a dimension: see docs/QUANTIZATION.md. l1 is changed by rotations: there
 * product codes are used as they are.
 */
#ifndef CRN_QUANT_TURNED_H
#define CRN_QUANT_TURNED_H

#include "quant/binary.h"
#include "quant/product.h"

struct crn_turned {
    struct crn_binary frame;    /* centroid and rotation; DOT or L2 */
    struct crn_product product; /* of 4 bits over frame.padded dimensions, op DOT */
};

struct crn_turned_query {
    struct crn_product_query query;
    float add;
};

/* The product codec over a frame; the codebooks are set by the caller. */
void crn_turned_init(struct crn_turned *turned, const struct crn_binary *frame, size_t width,
                     const float *codebooks);

/* Encodes a row [dim]; `scratch` is [padded] floats, aligned to 64 bytes. */
void crn_turned_encode(const struct crn_turned *turned, const float *row, float *scratch, uint8_t *codes,
                       float *out_add, float *out_scale);

/* Floats of memory, aligned to 64 bytes, that a query wants. */
size_t crn_turned_query_floats(const struct crn_turned *turned);
void crn_turned_query_prepare(const struct crn_turned *turned, const float *query, float *memory,
                              struct crn_turned_query *out);

/* out[i] = estimated distance of row begin + i, and which are not above the limit: as crn_binary_within. */
bool crn_turned_within(const struct crn_turned_query *query, const uint8_t *blocks, const float *add,
                       const float *scale, size_t begin, size_t n, float limit, size_t ahead, float *out,
                       uint32_t *masks);

#endif
