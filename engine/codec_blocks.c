/* Codecs whose rows lie in blocks of 32 for lookup scans: binary. */
#include "engine/codec.h"

#include "quant/binary.h"
#include "quant/vector.h"

#include <string.h>

/* ---- binary: the model is the centroid ---- */

#define ROTATION_SEED UINT64_C(0x434149524e424954) /* part of the format: codes are made of it */

/* The codec and its rotation's memory behind it. */
static size_t binary_state_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct crn_binary)) + crn_rotation_floats(crn_rotation_padded(dim)) * sizeof(float);
}

static size_t binary_unit_bytes(uint32_t dim)
{
    return crn_rotation_padded(dim) / 32 * CRN_LOOKUP_WORD_BYTES;
}

static size_t binary_model_bytes(uint32_t dim)
{
    return dim * sizeof(float);
}

/* A rotated row and its bits. */
static size_t binary_scratch_bytes(uint32_t dim)
{
    const size_t padded = crn_rotation_padded(dim);

    return padded * sizeof(float) + padded / 8;
}

static size_t binary_query_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct crn_binary_query)) +
           crn_binary_query_floats(crn_rotation_padded(dim), 0) * sizeof(float);
}

static cairn_status binary_train(const struct crn_codec_rows *rows, void *model, cairn_error *err)
{
    return crn_codec_mean(rows, model, err);
}

static bool binary_begin(enum crn_op op, uint32_t dim, const void *model, void *state)
{
    void *memory = (char *)state + crn_codec_padded(sizeof(struct crn_binary));

    if (!crn_vector_finite(model, dim)) return false;
    crn_binary_init(state, op, dim, model, ROTATION_SEED, memory);
    return true;
}

static void binary_encode(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit, float *factors)
{
    const struct crn_binary *binary = state;
    uint64_t *bits = (void *)((float *)scratch + binary->padded);
    struct crn_binary_factors made;

    crn_binary_encode(binary, row, 1, scratch, bits, &made);
    crn_lookup_put((const uint8_t *)bits, binary->padded / 32, at, unit);
    factors[0] = made.add;
    factors[1] = made.scale;
    factors[2] = made.error;
}

static void binary_prepare(const void *state, const float *query, void *memory)
{
    void *behind = (char *)memory + crn_codec_padded(sizeof(struct crn_binary_query));

    crn_binary_query_prepare(state, query, 0, behind, memory);
}

static void binary_block(const void *ctx, size_t begin, size_t n, float *out)
{
    const struct crn_codec_scan *scan = ctx;
    const struct crn_binary_rows rows = {.blocks = scan->codes, .add = scan->factors[0], .scale = scan->factors[1]};

    crn_binary_block(scan->query, &rows, begin, n, out);
}

const struct crn_codec crn_codec_binary = {
    .quantization = CAIRN_QUANTIZATION_BINARY,
    .name = "binary",
    .mark = 4,
    .oversampling = 16,
    .unit_rows = CRN_LOOKUP_ROWS,
    .factor_count = 3,
    .factor_tags = {"ADDS", "SCAL", "ERRS"},
    .unit_bytes = binary_unit_bytes,
    .model_bytes = binary_model_bytes,
    .state_bytes = binary_state_bytes,
    .scratch_bytes = binary_scratch_bytes,
    .query_bytes = binary_query_bytes,
    .train = binary_train,
    .begin = binary_begin,
    .encode = binary_encode,
    .prepare = binary_prepare,
    .block = binary_block,
};
