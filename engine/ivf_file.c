/*
 * The ivf index's derived file. Sections: IHED (below), IMEA f32 [dim] mean, ICEN f32 [lists][dim]
 * centroids, ISTA u32 [lists + 1] the number of the first row of each list, ILST the lists (ivf.h) one
 * behind the other. All but the lists is verified when the file is opened; a list when it is first read.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define FORMAT 2u
#define BATCH_BYTES (16u << 20) /* of lists encoded between two writes, unless one is larger */

/* IHED, word by word; floats by their bits. */
enum {
    HEAD_FORMAT,
    HEAD_COUNT,
    HEAD_DIM,
    HEAD_OP,
    HEAD_LISTS,
    HEAD_SEED_LOW,
    HEAD_SEED_HIGH,
    HEAD_QUERIES,
    HEAD_ERROR,
    HEAD_PROBES,
    HEAD_RECALLS = HEAD_PROBES + CRN_IVF_PROBES,
    HEAD_WORDS = HEAD_RECALLS + CRN_IVF_PROBES
};

/* ---- writing ---- */

struct encode {
    const struct crn_ivf_build *build;
    uint32_t begin;  /* the first list of the batch */
    uint8_t *batch;  /* its bytes */
    size_t *offsets; /* [lists + 1] of each list */
    float *memory;   /* [threads][crn_ivf_encode_floats] */
};

static void encode_lists(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct encode *encode = ctx;
    const struct crn_ivf_build *build = encode->build;

    for (size_t i = begin; i < end; i++) {
        const size_t l = encode->begin + i, first = build->starts[l];
        crn_ivf_encode_list(&build->frame, build->rows->vectors, build->centroids + l * build->rows->dim,
                            build->order + first, build->starts[l + 1] - first,
                            encode->memory + worker * crn_ivf_encode_floats(&build->frame),
                            encode->batch + (encode->offsets[l] - encode->offsets[encode->begin]));
    }
}

/* The end of the batch that begins with a list: as many as BATCH_BYTES hold, at least one. */
static uint32_t batch_end(const struct encode *encode, uint32_t begin)
{
    uint32_t end = begin + 1;

    while (end < encode->build->lists && encode->offsets[end + 1] - encode->offsets[begin] <= BATCH_BYTES)
        end++;
    return end;
}

static cairn_status write_batches(struct encode *encode, struct crn_derived_writer *writer, cairn_error *err)
{
    const struct crn_ivf_build *build = encode->build;
    size_t most = 0;

    for (uint32_t l = 0; l < build->lists; l = batch_end(encode, l)) {
        const size_t bytes = encode->offsets[batch_end(encode, l)] - encode->offsets[l];
        if (bytes > most) most = bytes;
    }
    encode->batch = crn_mem_aligned(most);
    encode->memory =
        crn_mem_aligned(build->threads * crn_ivf_encode_floats(&build->frame) * sizeof *encode->memory);
    if (encode->batch == NULL || encode->memory == NULL) return crn_error_no_memory(err, most);
    for (encode->begin = 0; encode->begin < build->lists;) {
        const uint32_t end = batch_end(encode, encode->begin);
        CRN_TRY(crn_ivf_check_cancelled(build, err));
        crn_parallel_for(build->threads, end - encode->begin, 1, encode_lists, encode);
        CRN_TRY(crn_derived_write(writer, encode->batch,
                                  encode->offsets[end] - encode->offsets[encode->begin], err));
        encode->begin = end;
    }
    return CAIRN_OK;
}

static cairn_status write_lists(const struct crn_ivf_build *build, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    struct encode encode = {.build = build,
                            .offsets = crn_mem_array((size_t)build->lists + 1, sizeof *encode.offsets)};

    if (encode.offsets == NULL) return crn_error_no_memory(err, build->lists * sizeof *encode.offsets);
    encode.offsets[0] = 0;
    for (uint32_t l = 0; l < build->lists; l++) {
        encode.offsets[l + 1] =
            encode.offsets[l] + crn_ivf_list_bytes(&build->frame, build->starts[l + 1] - build->starts[l]);
    }
    cairn_status status = crn_derived_section(writer, "ILST", err);
    if (status == CAIRN_OK) status = write_batches(&encode, writer, err);
    crn_mem_free(encode.offsets);
    crn_mem_free(encode.batch);
    crn_mem_free(encode.memory);
    return status;
}

cairn_status crn_ivf_write(const struct crn_ivf_build *build, struct crn_derived_writer *writer,
                           cairn_error *err)
{
    const struct crn_ivf_calibration *calibration = &build->calibration;
    const uint32_t dim = build->rows->dim;
    uint32_t head[HEAD_WORDS] = {
        [HEAD_FORMAT] = FORMAT,
        [HEAD_COUNT] = (uint32_t)build->rows->count,
        [HEAD_DIM] = dim,
        [HEAD_OP] = build->rows->op,
        [HEAD_LISTS] = build->lists,
        [HEAD_SEED_LOW] = (uint32_t)build->frame.seed,
        [HEAD_SEED_HIGH] = (uint32_t)(build->frame.seed >> 32),
        [HEAD_QUERIES] = calibration->queries,
        [HEAD_ERROR] = crn_derived_word(calibration->error),
    };

    for (uint32_t p = 0; p < CRN_IVF_PROBES; p++) {
        head[HEAD_PROBES + p] = calibration->probes[p];
        head[HEAD_RECALLS + p] = crn_derived_word(calibration->recalls[p]);
    }
    CRN_TRY(crn_derived_put(writer, "IHED", head, sizeof head, err));
    CRN_TRY(crn_derived_put(writer, "IMEA", build->frame.binary.centroid, dim * sizeof(float), err));
    CRN_TRY(
        crn_derived_put(writer, "ICEN", build->centroids, (size_t)build->lists * dim * sizeof(float), err));
    CRN_TRY(crn_derived_put(writer, "ISTA", build->starts, (build->lists + (size_t)1) * sizeof *build->starts,
                            err));
    return write_lists(build, writer, err);
}

/* ---- opening ---- */

static cairn_status damaged(const char *what, cairn_error *err)
{
    return crn_error_set(err, CAIRN_CORRUPT, "the ivf index is damaged: %s", what);
}

static cairn_status read_head(const struct crn_index_rows *rows, struct crn_ivf_opened *out,
                              uint64_t *out_seed, cairn_error *err)
{
    struct crn_ivf_calibration *calibration = &out->calibration;
    uint32_t head[HEAD_WORDS];
    const void *data;

    CRN_TRY(crn_derived_need(out->file, "the ivf index", "IHED", sizeof head, true, &data, err));
    memcpy(head, data, sizeof head);
    if (head[HEAD_FORMAT] != FORMAT) return damaged("a format that is not known", err);
    if (head[HEAD_COUNT] != rows->count || head[HEAD_DIM] != rows->dim || head[HEAD_OP] != rows->op ||
        rows->op == CRN_OP_L1) {
        return damaged("it is one over other rows", err);
    }
    if (head[HEAD_LISTS] == 0 || head[HEAD_LISTS] > CRN_IVF_LISTS_MAX)
        return damaged("its head is not one", err);
    out->lists = head[HEAD_LISTS];
    *out_seed = head[HEAD_SEED_LOW] | (uint64_t)head[HEAD_SEED_HIGH] << 32;
    calibration->queries = head[HEAD_QUERIES];
    calibration->error = crn_derived_float(head[HEAD_ERROR]);
    for (uint32_t p = 0; p < CRN_IVF_PROBES; p++) {
        calibration->probes[p] = head[HEAD_PROBES + p];
        calibration->recalls[p] = crn_derived_float(head[HEAD_RECALLS + p]);
        if (calibration->queries == 0) continue;
        if (!isfinite(calibration->recalls[p]) ||
            (p > 0 && calibration->probes[p] <= calibration->probes[p - 1])) {
            return damaged("its measurements are none", err);
        }
    }
    if (calibration->queries != 0 && !(calibration->error >= 0 && isfinite(calibration->error))) {
        return damaged("its measurements are none", err);
    }
    return CAIRN_OK;
}

/* Codes of the centroids, by which lists are chosen. */
static cairn_status encode_centroids(struct crn_ivf_opened *out, const float *centroids, cairn_error *err)
{
    const struct crn_binary *binary = &out->frame.binary;
    float *floats = crn_mem_aligned(2 * binary->padded * sizeof *floats);

    out->centroid_norms2 = crn_mem_array(out->lists, sizeof *out->centroid_norms2);
    cairn_status status = crn_ivf_coarse_init(&out->coarse, binary, out->lists, err);
    if (status == CAIRN_OK && (floats == NULL || out->centroid_norms2 == NULL))
        status = crn_error_no_memory(err, out->lists * sizeof *out->centroid_norms2);
    if (status == CAIRN_OK) {
        crn_ivf_coarse_encode(&out->coarse, centroids, floats);
        for (uint32_t l = 0; l < out->lists; l++)
            out->centroid_norms2[l] =
                (float)crn_vector_norm2(centroids + (size_t)l * binary->dim, binary->dim);
    }
    crn_mem_free(floats);
    return status;
}

static cairn_status open_lists(const struct crn_index_rows *rows, struct crn_ivf_opened *out,
                               cairn_error *err)
{
    const void *data;

    CRN_TRY(crn_derived_need(out->file, "the ivf index", "ISTA",
                             (out->lists + (size_t)1) * sizeof *out->starts, true, &data, err));
    out->starts = data;
    if (out->starts[0] != 0 || out->starts[out->lists] != rows->count)
        return damaged("its lists hold other rows", err);
    for (uint32_t l = 0; l < out->lists; l++) {
        if (out->starts[l] > out->starts[l + 1]) return damaged("its lists are not in order", err);
    }
    out->offsets = crn_mem_array(out->lists + (size_t)1, sizeof *out->offsets);
    if (out->offsets == NULL) return crn_error_no_memory(err, out->lists * sizeof *out->offsets);
    out->offsets[0] = 0;
    for (uint32_t l = 0; l < out->lists; l++) {
        out->offsets[l + 1] =
            out->offsets[l] + crn_ivf_list_bytes(&out->frame, out->starts[l + 1] - out->starts[l]);
    }
    CRN_TRY(
        crn_derived_need(out->file, "the ivf index", "ILST", out->offsets[out->lists], false, &data, err));
    out->bytes = data;
    return CAIRN_OK;
}

cairn_status crn_ivf_open(const struct crn_index_rows *rows, struct crn_derived *file,
                          struct crn_ivf_opened *out, cairn_error *err)
{
    const void *mean, *centroids;
    uint64_t seed = 0;

    *out = (struct crn_ivf_opened){.file = file};
    CRN_TRY(read_head(rows, out, &seed, err));
    CRN_TRY(crn_derived_need(file, "the ivf index", "IMEA", rows->dim * sizeof(float), true, &mean, err));
    CRN_TRY(crn_derived_need(file, "the ivf index", "ICEN", (size_t)out->lists * rows->dim * sizeof(float),
                             true, &centroids, err));
    if (!crn_vector_finite(mean, rows->dim) ||
        !crn_vector_finite(centroids, (size_t)out->lists * rows->dim)) {
        return damaged("its centroids are not finite", err);
    }
    CRN_TRY(crn_ivf_frame_init(&out->frame, rows->op, rows->dim, seed, mean, err));
    CRN_TRY(encode_centroids(out, centroids, err));
    out->heap_bytes = out->coarse.memory_bytes + out->lists * (sizeof(float) + sizeof(uint64_t)) +
                      crn_rotation_floats(out->frame.binary.padded) * sizeof(float);
    return open_lists(rows, out, err);
}

void crn_ivf_close(struct crn_ivf_opened *opened)
{
    crn_ivf_frame_release(&opened->frame);
    crn_mem_free(opened->centroid_norms2);
    crn_mem_free(opened->offsets);
    crn_ivf_coarse_release(&opened->coarse);
    *opened = (struct crn_ivf_opened){0};
}
