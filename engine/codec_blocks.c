/* Codecs whose rows lie in blocks of 32 for lookup scans: binary, scalar4 and product. */
#include "engine/codec.h"

#include "base/error.h"
#include "base/mem.h"
#include "quant/binary.h"
#include "quant/turned.h"
#include "quant/vector.h"

#include <string.h>

/* ---- binary: the model is the centroid ---- */

#define ROTATION_SEED UINT64_C(0x434149524e424954) /* part of the format: codes are made of it */

/* Deviations by which a lower bound is below the estimate. Measured on 60,000 texts of 256 dims, 16 candidates
 * for each of k = 10: 1.0 rescores 71 of them (recall 0.986), 1.5 89 (0.9915), 1.9 106 (0.993), 3 135 (0.994). */
#define SURE 1.5f

/* The codec and its rotation's memory behind it. */
static size_t binary_state_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct crn_binary)) +
           crn_rotation_floats(crn_rotation_padded(dim)) * sizeof(float);
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

static void binary_encode(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit,
                          float *factors)
{
    const struct crn_binary *binary = state;
    uint64_t *bits = (void *)((float *)scratch + binary->padded);
    struct crn_binary_factors made;

    crn_binary_encode(binary, row, 1, scratch, bits, &made);
    crn_lookup_put((const uint8_t *)bits, binary->padded / 32, at, unit);
    factors[0] = made.add;
    factors[1] = made.scale;
}

static void binary_prepare(const void *state, const float *query, void *memory)
{
    void *behind = (char *)memory + crn_codec_padded(sizeof(struct crn_binary_query));
    struct crn_binary_query *prepared = memory;

    crn_binary_query_prepare(state, query, 0, behind, prepared);
    prepared->table_base += SURE * CRN_BINARY_DEVIATION * prepared->length;
}

static bool binary_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct crn_codec_scan *scan = ctx;
    const struct crn_binary_rows rows = {
        .blocks = scan->codes, .add = scan->factors[0], .scale = scan->factors[1]};

    return crn_binary_within(scan->query, &rows, begin, n, limit, scan->ahead, out, masks);
}

const struct crn_codec crn_codec_binary = {
    .quantization = CAIRN_QUANTIZATION_BINARY,
    .name = "binary",
    .mark = 4,
    .oversampling = 16,
    .gives_bounds = true,
    .unit_rows = CRN_LOOKUP_ROWS,
    .factor_count = 2,
    .factor_tags = {"ADDS", "SCAL"},
    .unit_bytes = binary_unit_bytes,
    .model_bytes = binary_model_bytes,
    .state_bytes = binary_state_bytes,
    .scratch_bytes = binary_scratch_bytes,
    .query_bytes = binary_query_bytes,
    .train = binary_train,
    .begin = binary_begin,
    .encode = binary_encode,
    .prepare = binary_prepare,
    .within = binary_within,
};

/* ---- scalar4 and product: the model is the centroid and the codebooks ---- */

#define SAMPLE_ROWS 4096u         /* that codebooks are made of: 256 a center */
#define SAMPLE_FLOATS (16u << 20) /* and at most so much of them */
#define SAMPLE_ROWS_LEAST 64u
#define SCALAR4_WIDTH 1u /* dimensions of a part */
#define PRODUCT_WIDTH 2u
#define CENTERS 16u

/* Manhattan distances are compared over plain codes, others over turned ones. */
struct parts_state {
    bool plain;
    uint32_t dim;
    struct crn_product product; /* plain */
    struct crn_turned turned;
};

struct parts_query {
    struct crn_product_query plain;
    struct crn_turned_query turned;
};

/* Plain vectors are filled up with zeros to the dimensions of turned ones, so that codes of both have the
 * same size. */
static void fill_up(const float *vector, uint32_t dim, float *out)
{
    memcpy(out, vector, dim * sizeof *out);
    memset(out + dim, 0, (crn_rotation_padded(dim) - dim) * sizeof *out);
}

static size_t parts_state_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct parts_state)) +
           crn_rotation_floats(crn_rotation_padded(dim)) * sizeof(float);
}

static size_t parts_model_bytes(uint32_t dim)
{
    return (dim + crn_rotation_padded(dim) * CENTERS) * sizeof(float);
}

static size_t parts_scratch_bytes(uint32_t dim)
{
    const size_t padded = crn_rotation_padded(dim);

    return (padded + padded) * sizeof(float); /* a rotated row and its code */
}

/* The queries, and the turned one's vector, entries and tables. */
static size_t parts_query_bytes(uint32_t dim)
{
    const size_t padded = crn_rotation_padded(dim);

    return crn_codec_padded(sizeof(struct parts_query)) + (padded + padded * CENTERS) * sizeof(float) +
           padded / 8 * CRN_LOOKUP_WORD_BYTES;
}

static size_t scalar4_unit_bytes(uint32_t dim)
{
    return crn_rotation_padded(dim) / 2 * CRN_LOOKUP_ROWS;
}

static size_t product_unit_bytes(uint32_t dim)
{
    return crn_rotation_padded(dim) / 4 * CRN_LOOKUP_ROWS;
}

static bool parts_begin(enum crn_op op, uint32_t dim, uint32_t width, const float *model,
                        struct parts_state *state)
{
    const float *codebooks = model + dim;
    struct crn_binary frame;

    if (!crn_vector_finite(model, dim + crn_rotation_padded(dim) * CENTERS)) return false;
    *state = (struct parts_state){.plain = op == CRN_OP_L1, .dim = dim};
    if (state->plain) {
        const size_t padded = crn_rotation_padded(dim);

        state->product = (struct crn_product){
            .op = CRN_OP_L1, .dim = padded, .parts = padded / width, .bits = 4, .codebooks = codebooks};
        return true;
    }
    crn_binary_init(&frame, op, dim, model, ROTATION_SEED,
                    (float *)(void *)((char *)state + crn_codec_padded(sizeof *state)));
    crn_turned_init(&state->turned, &frame, width, codebooks);
    return true;
}

static const struct crn_product *product_of(const struct parts_state *state)
{
    return state->plain ? &state->product : &state->turned.product;
}

/* A sample of the rows, as the codes see them. */
static cairn_status take_sample(const struct crn_codec_rows *rows, const struct parts_state *state,
                                uint32_t step, float *scratch, float *sample, cairn_error *err)
{
    const size_t width = product_of(state)->dim;

    for (uint32_t i = 0; i < rows->count; i += step, sample += width) {
        const float *vector;
        double norm2;
        float add;

        CRN_TRY(rows->vector(rows->ctx, i, &vector, err));
        if (state->plain) {
            fill_up(vector, rows->dim, sample);
        } else {
            crn_binary_turn_row(&state->turned.frame, vector, scratch, &norm2, &add);
            memcpy(sample, scratch, width * sizeof *sample);
        }
    }
    return CAIRN_OK;
}

static cairn_status train_books(const struct crn_codec_rows *rows, const struct parts_state *state,
                                float *codebooks, cairn_error *err)
{
    const size_t width = product_of(state)->dim, fitting = SAMPLE_FLOATS / width;
    const size_t least = fitting > SAMPLE_ROWS_LEAST ? fitting : SAMPLE_ROWS_LEAST;
    const uint32_t most = least < SAMPLE_ROWS ? (uint32_t)least : SAMPLE_ROWS, step = rows->count / most + 1;
    const size_t count = (rows->count + step - 1) / step;
    float *sample = crn_mem_array(count * width, sizeof *sample),
          *scratch = crn_mem_aligned(width * sizeof *scratch);
    cairn_status status;

    if (sample == NULL || scratch == NULL) {
        status = crn_error_no_memory(err, count * width * sizeof *sample);
    } else {
        status = take_sample(rows, state, step, scratch, sample, err);
        if (status == CAIRN_OK)
            status = crn_product_train(product_of(state), sample, count, ROTATION_SEED, codebooks, err);
    }
    crn_mem_free(scratch);
    crn_mem_free(sample);
    return status;
}

static cairn_status parts_train(const struct crn_codec_rows *rows, uint32_t width, float *model,
                                cairn_error *err)
{
    struct parts_state *state;
    cairn_status status;

    memset(model, 0, parts_model_bytes(rows->dim));
    if (rows->count == 0) return CAIRN_OK;
    CRN_TRY(crn_codec_mean(rows, model, err));
    state = crn_mem_aligned(parts_state_bytes(rows->dim));
    if (state == NULL) return crn_error_no_memory(err, parts_state_bytes(rows->dim));
    status = parts_begin(rows->op, rows->dim, width, model, state)
                 ? train_books(rows, state, model + rows->dim, err)
                 : crn_error_set(err, CAIRN_INTERNAL, "the mean of the rows is not finite");
    crn_mem_free(state);
    return status;
}

static cairn_status scalar4_train(const struct crn_codec_rows *rows, void *model, cairn_error *err)
{
    return parts_train(rows, SCALAR4_WIDTH, model, err);
}

static cairn_status product_train(const struct crn_codec_rows *rows, void *model, cairn_error *err)
{
    return parts_train(rows, PRODUCT_WIDTH, model, err);
}

static bool scalar4_begin(enum crn_op op, uint32_t dim, const void *model, void *state)
{
    return parts_begin(op, dim, SCALAR4_WIDTH, model, state);
}

static bool product_begin(enum crn_op op, uint32_t dim, const void *model, void *state)
{
    return parts_begin(op, dim, PRODUCT_WIDTH, model, state);
}

static void parts_encode(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit,
                         float *factors)
{
    const struct parts_state *parts = state;
    const struct crn_product *product = product_of(parts);
    uint8_t *codes = (uint8_t *)scratch + product->dim * sizeof(float);

    if (parts->plain) {
        fill_up(row, parts->dim, scratch);
        crn_product_encode(product, scratch, codes);
    } else {
        crn_turned_encode(&parts->turned, row, scratch, codes, &factors[0], &factors[1]);
    }
    crn_lookup_put(codes, crn_product_bytes(product) / 4, at, unit);
}

static void parts_prepare(const void *state, const float *query, void *memory)
{
    const struct parts_state *parts = state;
    struct parts_query *out = memory;
    float *behind = (float *)(void *)((char *)memory + crn_codec_padded(sizeof *out));

    if (parts->plain) {
        fill_up(query, parts->dim, behind);
        crn_product_query_prepare(&parts->product, behind, behind + parts->product.dim, &out->plain);
    } else {
        crn_turned_query_prepare(&parts->turned, query, behind, &out->turned);
    }
}

static bool parts_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct crn_codec_scan *scan = ctx;
    const struct parts_query *query = scan->query;

    if (((const struct parts_state *)scan->state)->plain) {
        crn_product_block(&query->plain, scan->codes, begin, n, out);
        return crn_scan_mark(out, n, limit, masks);
    }
    return crn_turned_within(&query->turned, scan->codes, scan->factors[0], scan->factors[1], begin, n, limit,
                             scan->ahead, out, masks);
}

#define PARTS_CODEC(codec_name, codec_quantization, codec_mark, codec_oversampling)                          \
    {                                                                                                        \
        .quantization = codec_quantization, .name = #codec_name, .mark = codec_mark,                         \
        .oversampling = codec_oversampling, .compares_l1 = true, .unit_rows = CRN_LOOKUP_ROWS,               \
        .factor_count = 2, .factor_tags = {"ADDS", "SCAL"}, .unit_bytes = codec_name##_unit_bytes,           \
        .model_bytes = parts_model_bytes, .state_bytes = parts_state_bytes,                                  \
        .scratch_bytes = parts_scratch_bytes, .query_bytes = parts_query_bytes, .train = codec_name##_train, \
        .begin = codec_name##_begin, .encode = parts_encode, .prepare = parts_prepare,                       \
        .within = parts_within,                                                                              \
    }

const struct crn_codec crn_codec_product = PARTS_CODEC(product, CAIRN_QUANTIZATION_PRODUCT, 5, 8);
const struct crn_codec crn_codec_scalar4 = PARTS_CODEC(scalar4, CAIRN_QUANTIZATION_SCALAR4, 6, 4);
