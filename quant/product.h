/*
 * The product codec: the dimensions are cut into parts, and of each part the nearest of 16 or 256 centers is
 * kept (Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", TPAMI 2011). With one
 * dimension a part it is a scalar codec of 4 bits, whose levels lie where k-means puts them (Lloyd 1982).
 *
 * A distance is the sum over the parts of the query part's distance to the row's center: exact for the
 * decoded row. With 4 bits the entries are rounded to 8 bits of the widest part's range and summed by lookup
 * scans (lookup.h), which adds an error of at most parts * delta / 2; such distances are the same bit for bit
 * on every processor for the same codebooks. With 8 bits the entries are floats. Dot products, l2 and l1; a
 * row's nearest center is the one by l2 for them all.
 *
 * Parts of dim dimensions are as even as can be: part p is dimensions p*dim/parts .. (p+1)*dim/parts - 1.
 * Rows and queries must be finite. But for training nothing allocates or fails; any thread may call.
 */
#ifndef CRN_QUANT_PRODUCT_H
#define CRN_QUANT_PRODUCT_H

#include <cairn/status.h>

#include "quant/kernels.h"
#include "quant/lookup.h"

#include <stddef.h>
#include <stdint.h>

struct crn_product {
    enum crn_op op;
    size_t dim;
    size_t parts;           /* 1..dim */
    size_t bits;            /* 4 or 8 */
    const float *codebooks; /* crn_product_floats: part by part [width][centers]; borrowed */
};

struct crn_product_query {
    const struct crn_product *product;
    const float *entries;  /* [parts][centers] */
    const uint8_t *tables; /* of 4 bits, as in lookup.h */
    float delta, base;     /* distance ~ delta * sum + base */
};

static inline size_t crn_product_centers(const struct crn_product *product)
{
    return (size_t)1 << product->bits;
}

static inline size_t crn_product_floats(const struct crn_product *product)
{
    return product->dim * crn_product_centers(product);
}

/* Words of a row's code of 4 bits (lookup.h): 8 parts each. */
static inline size_t crn_product_words(const struct crn_product *product)
{
    return (product->parts + 7) / 8;
}

/* Bytes of a row's code. */
static inline size_t crn_product_bytes(const struct crn_product *product)
{
    return product->bits == 8 ? product->parts : crn_product_words(product) * 4;
}

/* Makes codebooks of n >= 1 rows [n][dim]; some hundreds a center are enough. NO_MEMORY. */
cairn_status crn_product_train(const struct crn_product *product, const float *rows, size_t n, uint64_t seed,
                               float *codebooks, cairn_error *err);

/* Encodes a row [dim] into crn_product_bytes. */
void crn_product_encode(const struct crn_product *product, const float *row, uint8_t *codes);

/* The dot product of a vector [dim] with a row decoded from its code. */
double crn_product_decoded_dot(const struct crn_product *product, const uint8_t *codes, const float *vector);

/* Floats of memory, aligned to 64 bytes, that a query wants. */
size_t crn_product_query_floats(const struct crn_product *product);
void crn_product_query_prepare(const struct crn_product *product, const float *query, float *memory,
                               struct crn_product_query *out);

/* 4 bits in blocks of 32 rows: out[i] = distance of row begin + i; begin is a multiple of 32. */
void crn_product_block(const struct crn_product_query *query, const uint8_t *blocks, size_t begin, size_t n,
                       float *out);

/* 8 bits, rows [][parts]: out[i] = distance of row pos[i], or of row i when pos is NULL. */
void crn_product_rows(const struct crn_product_query *query, const uint8_t *codes, const uint32_t *pos,
                      size_t n, float *out);

#endif
