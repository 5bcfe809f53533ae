/* Lists and their codes (ivf.h). */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define ALIGN 64u

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

float crn_ivf_error_unit(enum crn_op op, float query_norm2, float raw)
{
    return sqrtf(op == CRN_OP_DOT ? query_norm2 : raw > 0 ? raw : 0);
}

cairn_status crn_ivf_frame_init(struct crn_ivf_frame *frame, enum crn_op op, uint32_t dim, uint64_t seed,
                                const float *mean, cairn_error *err)
{
    const size_t rotation = aligned(crn_rotation_floats(crn_rotation_padded(dim)) * sizeof(float));
    const size_t bytes = rotation + dim * sizeof(float);

    *frame = (struct crn_ivf_frame){.seed = seed, .memory = crn_mem_aligned(bytes)};
    if (frame->memory == NULL) return crn_error_no_memory(err, bytes);
    float *copy = (float *)(void *)((char *)frame->memory + rotation);
    memcpy(copy, mean, dim * sizeof *copy);
    crn_binary_init(&frame->binary, op, dim, copy, seed, frame->memory);
    return CAIRN_OK;
}

void crn_ivf_frame_release(struct crn_ivf_frame *frame)
{
    crn_mem_free(frame->memory);
    frame->memory = NULL;
}

/* ---- lists ---- */

static size_t padded_count(size_t count)
{
    return (count + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS * CRN_LOOKUP_ROWS;
}

size_t crn_ivf_list_bytes(const struct crn_ivf_frame *frame, size_t count)
{
    return aligned(padded_count(count) * crn_binary_bytes(frame->binary.dim) +
                   count * (2 * sizeof(float) + sizeof(uint32_t))) +
           aligned(count * frame->binary.dim);
}

void crn_ivf_list_at(const struct crn_ivf_frame *frame, size_t count, void *bytes, struct crn_ivf_list *out)
{
    const size_t whole = padded_count(count);

    out->count = count;
    out->blocks = bytes;
    out->add = (float *)(void *)(out->blocks + whole * frame->binary.padded / 8);
    out->scale = out->add + whole;
    out->fine_scale = out->scale + whole;
    out->fine_norm2 = out->fine_scale + count;
    out->positions = (uint32_t *)(void *)(out->fine_norm2 + count);
    out->fine = (int8_t *)bytes + crn_ivf_list_bytes(frame, count) - aligned(count * frame->binary.dim);
}

/* ---- encoding ---- */

size_t crn_ivf_encode_floats(const struct crn_ivf_frame *frame)
{
    /* the turned centroid, a turned row, its signs, a row less the mean */
    return 4 * frame->binary.padded;
}

/* <y, turned> of the signs y of v, which are +-1/2. */
static float signs_dot(const float *v, const float *turned, size_t padded)
{
    float sums[16] = {0}, sum = 0;

    for (size_t i = 0; i < padded; i += 16) {
        for (size_t j = 0; j < 16; j++) sums[j] += v[i + j] >= 0 ? turned[i + j] : -turned[i + j];
    }
    for (size_t j = 0; j < 16; j++) sum += sums[j];
    return 0.5f * sum;
}

void crn_ivf_encode_list(const struct crn_ivf_frame *frame, const float *vectors, const float *centroid,
                         const uint32_t *positions, size_t count, float *memory, uint8_t *out)
{
    const size_t dim = frame->binary.dim, padded = frame->binary.padded, words = padded / 32;
    float *turned = memory, *row = memory + padded, *centred = memory + 3 * padded;
    uint64_t *signs = (uint64_t *)(void *)(memory + 2 * padded);
    struct crn_binary local = frame->binary;
    struct crn_ivf_list list;
    double ignored_norm2;
    float ignored_add;

    memset(out, 0, crn_ivf_list_bytes(frame, count));
    crn_ivf_list_at(frame, count, out, &list);
    crn_binary_turn_row(&frame->binary, centroid, turned, &ignored_norm2, &ignored_add);
    local.centroid = centroid;
    for (size_t i = 0; i < count; i++) {
        const float *vector = vectors + (size_t)positions[i] * dim;
        struct crn_binary_factors factors;

        crn_binary_encode(&local, vector, 1, row, signs, &factors);
        crn_lookup_put((const uint8_t *)signs, words, i % CRN_LOOKUP_ROWS,
                       list.blocks + i / CRN_LOOKUP_ROWS * words * CRN_LOOKUP_WORD_BYTES);
        list.add[i] = factors.add - factors.scale * signs_dot(row, turned, padded);
        list.scale[i] = factors.scale;
        for (size_t d = 0; d < dim; d++) centred[d] = vector[d] - frame->binary.centroid[d];
        crn_scalar_encode(centred, dim, list.fine + i * dim, &list.fine_scale[i], &list.fine_norm2[i]);
        list.positions[i] = positions[i];
    }
}
