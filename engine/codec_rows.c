/* Codecs whose rows lie one behind the other: scalar and f16. */
#include "engine/codec.h"

#include "quant/codec.h"
#include "quant/f16.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

static size_t no_bytes(uint32_t dim)
{
    (void)dim;
    return 0;
}

/* ---- scalar ---- */

struct scalar_state {
    enum crn_op op;
    uint32_t dim;
};

static size_t scalar_unit_bytes(uint32_t dim)
{
    return dim;
}

static size_t scalar_state_bytes(uint32_t dim)
{
    (void)dim;
    return sizeof(struct scalar_state);
}

/* The prepared query, the planes and a copy of the vector behind it. */
static size_t scalar_query_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct crn_scalar_query)) + crn_codec_padded((size_t)dim * 2);
}

static bool scalar_begin(enum crn_op op, uint32_t dim, const void *model, void *state)
{
    (void)model;
    *(struct scalar_state *)state = (struct scalar_state){.op = op, .dim = dim};
    return true;
}

static void scalar_encode(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit,
                          float *factors)
{
    const struct scalar_state *scalar = state;

    (void)at;
    (void)scratch;
    crn_scalar_encode(row, scalar->dim, (int8_t *)unit, &factors[0], &factors[1]);
}

static void scalar_prepare(const void *state, const float *query, void *memory)
{
    const struct scalar_state *scalar = state;
    int8_t *planes = (int8_t *)memory + crn_codec_padded(sizeof(struct crn_scalar_query));

    crn_scalar_query_prepare(scalar->op, query, scalar->dim, planes, memory);
}

static struct crn_scalar_rows scalar_rows(const struct crn_codec_scan *scan)
{
    return (struct crn_scalar_rows){
        .codes = (const int8_t *)scan->codes, .scale = scan->factors[0], .norm2 = scan->factors[1]};
}

static bool scalar_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct crn_codec_scan *scan = ctx;
    const struct crn_scalar_rows rows = scalar_rows(scan);

    crn_scalar_block(scan->query, &rows, begin, n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void scalar_gather(const void *ctx, const uint32_t *pos, size_t n, float *out)
{
    const struct crn_codec_scan *scan = ctx;
    const struct crn_scalar_rows rows = scalar_rows(scan);

    crn_scalar_gather(scan->query, &rows, pos, n, out);
}

const struct crn_codec crn_codec_scalar = {
    .quantization = CAIRN_QUANTIZATION_SCALAR,
    .name = "scalar",
    .mark = 1,
    .oversampling = 4,
    .compares_l1 = true,
    .unit_rows = 1,
    .factor_count = 2,
    .factor_tags = {"SCAL", "NRM2"},
    .unit_bytes = scalar_unit_bytes,
    .model_bytes = no_bytes,
    .state_bytes = scalar_state_bytes,
    .scratch_bytes = no_bytes,
    .query_bytes = scalar_query_bytes,
    .begin = scalar_begin,
    .encode = scalar_encode,
    .prepare = scalar_prepare,
    .within = scalar_within,
    .gather = scalar_gather,
};

/* ---- f16: the model is the unit ---- */

struct f16_state {
    enum crn_op op;
    uint32_t dim;
    float unit;
};

static size_t f16_unit_bytes(uint32_t dim)
{
    return (size_t)dim * sizeof(uint16_t);
}

static size_t f16_model_bytes(uint32_t dim)
{
    (void)dim;
    return sizeof(float);
}

static size_t f16_state_bytes(uint32_t dim)
{
    (void)dim;
    return sizeof(struct f16_state);
}

static size_t f16_query_bytes(uint32_t dim)
{
    return crn_codec_padded(sizeof(struct crn_f16_query)) + crn_codec_padded(dim * sizeof(float));
}

static cairn_status f16_train(const struct crn_codec_rows *rows, void *model, cairn_error *err)
{
    float largest = 0;

    for (uint32_t i = 0; i < rows->count; i++) {
        const float *vector;

        const cairn_status status = rows->vector(rows->ctx, i, &vector, err);
        if (status != CAIRN_OK) return status;
        largest = fmaxf(largest, crn_vector_max_abs(vector, rows->dim));
    }
    const float unit = crn_f16_unit(largest);
    memcpy(model, &unit, sizeof unit);
    return CAIRN_OK;
}

static bool f16_begin(enum crn_op op, uint32_t dim, const void *model, void *state)
{
    struct f16_state *f16 = state;
    int exponent;

    *f16 = (struct f16_state){.op = op, .dim = dim};
    memcpy(&f16->unit, model, sizeof f16->unit);
    return f16->unit > 0 && isfinite(f16->unit) && isfinite(1 / f16->unit) &&
           frexpf(f16->unit, &exponent) == 0.5f;
}

static void f16_encode(const void *state, const float *row, uint32_t at, void *scratch, uint8_t *unit,
                       float *factors)
{
    const struct f16_state *f16 = state;

    (void)at;
    (void)scratch;
    (void)factors;
    crn_f16_encode(row, f16->dim, f16->unit, (uint16_t *)(void *)unit);
}

static void f16_prepare(const void *state, const float *query, void *memory)
{
    const struct f16_state *f16 = state;
    void *vector = (char *)memory + crn_codec_padded(sizeof(struct crn_f16_query));

    crn_f16_query_prepare(f16->op, query, f16->dim, f16->unit, vector, memory);
}

static const uint16_t *f16_rows(const struct crn_codec_scan *scan, size_t begin)
{
    const struct f16_state *f16 = scan->state;

    return (const uint16_t *)(const void *)scan->codes + begin * f16->dim;
}

static bool f16_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct crn_codec_scan *scan = ctx;

    crn_f16_block(scan->query, f16_rows(scan, begin), n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void f16_gather(const void *ctx, const uint32_t *pos, size_t n, float *out)
{
    const struct crn_codec_scan *scan = ctx;

    crn_f16_gather(scan->query, f16_rows(scan, 0), pos, n, out);
}

const struct crn_codec crn_codec_f16 = {
    .quantization = CAIRN_QUANTIZATION_F16,
    .name = "f16",
    .mark = 3,
    .oversampling = 4,
    .compares_l1 = true,
    .unit_rows = 1,
    .unit_bytes = f16_unit_bytes,
    .model_bytes = f16_model_bytes,
    .state_bytes = f16_state_bytes,
    .scratch_bytes = no_bytes,
    .query_bytes = f16_query_bytes,
    .train = f16_train,
    .begin = f16_begin,
    .encode = f16_encode,
    .prepare = f16_prepare,
    .within = f16_within,
    .gather = f16_gather,
};
