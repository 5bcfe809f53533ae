/* Product codes of centred and rotated vectors. */
#include "quant/turned.h"

void crn_turned_init(struct crn_turned *turned, const struct crn_binary *frame, size_t width,
                     const float *codebooks)
{
    turned->frame = *frame;
    turned->product = (struct crn_product){.op = CRN_OP_DOT,
                                           .dim = frame->padded,
                                           .parts = frame->padded / width,
                                           .bits = 4,
                                           .codebooks = codebooks};
}

void crn_turned_encode(const struct crn_turned *turned, const float *row, float *scratch, uint8_t *codes,
                       float *out_add, float *out_scale)
{
    const double factor = turned->frame.op == CRN_OP_DOT ? 1 : 2;
    double norm2;

    crn_binary_turn_row(&turned->frame, row, scratch, &norm2, out_add);
    crn_product_encode(&turned->product, scratch, codes);
    const double product = crn_product_decoded_dot(&turned->product, codes, scratch);
    *out_scale = product > 0x1p-40 * norm2 ? (float)(factor * norm2 / product) : 0;
}

size_t crn_turned_query_floats(const struct crn_turned *turned)
{
    return turned->frame.padded + crn_product_query_floats(&turned->product);
}

void crn_turned_query_prepare(const struct crn_turned *turned, const float *query, float *memory,
                              struct crn_turned_query *out)
{
    float length;

    crn_binary_turn_query(&turned->frame, query, memory, &length, &out->add);
    crn_product_query_prepare(&turned->product, memory, memory + turned->frame.padded, &out->query);
}

bool crn_turned_within(const struct crn_turned_query *query, const uint8_t *blocks, const float *add,
                       const float *scale, size_t begin, size_t n, float limit, size_t ahead, float *out,
                       uint32_t *masks)
{
    const struct crn_product_query *product = &query->query; /* of minus products */
    const size_t words = crn_product_words(product->product);
    const struct crn_lookup_rows rows = {
        .codes = blocks + begin / CRN_LOOKUP_ROWS * words * CRN_LOOKUP_WORD_BYTES,
        .tables = product->tables,
        .words = words,
        .adds = add + begin,
        .scales = scale + begin,
        .add = query->add,
        .delta = product->delta,
        .base = product->base,
        .ahead = ahead,
    };

    return crn_lookup_within(&rows, n, limit, out, masks);
}
