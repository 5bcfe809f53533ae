/*
 * The gpu backend: a segment's rows on the card (gpu/gpu.h), all of them compared for each search. "gpu" and "gpu:f16" keep halves,
 * "gpu:f32", "gpu:int8" and "gpu:bit" other codes, and "gpu:IVF<n>..." FAISS's inverted lists (index_gpu_faiss.h). The card chooses candidates and Cairn's kernels compare them with the
 * rows at full precision, so the distances are those of an exact scan.
 *
 * A segment is uploaded when its index is opened and never changes; rows that were deleted or do not match a filter are
 * left out by the bitmap of each search, and newer rows are in other segments or the tail. The file holds only what the
 * segment was listed with, which any machine can make; with IVF<n> also what FAISS writes.
 *
 * Where there is no GPU, or too little memory on it, or it fails, or the query wants the processor, the index finds nothing, and the
 * caller scans; with IVF<n> FAISS searches instead. The reason is logged once for each segment, and counted.
 */
#include "engine/index_gpu.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/card.h"
#include "engine/index_gpu_faiss.h"
#include "quant/flat_scan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "GPUX"
#define UPLOAD_ROWS 65536u /* at a time */
#define FAISS_LISTS 100    /* in the file, instead of a codec */

struct crn_index {
    struct crn_index_rows rows;
    enum crn_gpu_codec codec;
    struct crn_gpu_set *set;     /* NULL: the processor scans */
    struct crn_index *faiss;     /* of IVF<n>; NULL: all rows are compared */
    struct crn_gpu_faiss *lists; /* NULL: FAISS searches them */
    atomic_bool failed;          /* while it was searched */
};

/* ---- specs ---- */

static const struct {
    const char *name;
    enum crn_gpu_codec codec;
} codecs[] = {{"f16", CRN_GPU_F16}, {"f32", CRN_GPU_F32}, {"int8", CRN_GPU_I8}, {"bit", CRN_GPU_B1}};

static cairn_status parse(const char *spec, enum crn_gpu_codec *out_codec, cairn_error *err)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        if (strcmp(spec, codecs[i].name) != 0 && (i != 0 || *spec != '\0')) continue;
        *out_codec = codecs[i].codec;
        return CAIRN_OK;
    }
    return crn_error_set(
        err, CAIRN_INVALID_OPTION,
        "index gpu:%.80s: rows on the card are f16, f32, int8, bit, or IVF<lists> (also with ,SQ8 or ,PQ<m>), "
        "as in gpu:f16",
        spec);
}

static cairn_status check(const char *spec, uint32_t dim, enum crn_op op, cairn_error *err)
{
    enum crn_gpu_codec codec;
    char faiss_spec[32];

    if (crn_gpu_faiss_spec(spec, faiss_spec)) return crn_index_faiss.check(faiss_spec, dim, op, err);
    CRN_TRY(parse(spec, &codec, err));
    if (op == CRN_OP_L1)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "index gpu has no manhattan metric: use flat");
    return CAIRN_OK;
}

/* ---- build and open ---- */

static cairn_status write_section(unsigned char code, struct crn_derived_writer *writer, cairn_error *err)
{
    CRN_TRY(crn_derived_section(writer, SECTION, err));
    return crn_derived_write(writer, &code, sizeof code, err);
}

static cairn_status build(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                          bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                          cairn_error *err)
{
    enum crn_gpu_codec codec;
    char faiss_spec[32];

    CRN_TRY(check(spec, rows->dim, rows->op, err));
    if (crn_gpu_faiss_spec(spec, faiss_spec)) {
        CRN_TRY(write_section(FAISS_LISTS, writer, err));
        return crn_index_faiss.build(faiss_spec, rows, threads, cancelled, ctx, writer, err);
    }
    CRN_TRY(parse(spec, &codec, err));
    if (rows->count == 0 || rows->count > INT32_MAX)
        return crn_error_set(err, CAIRN_UNSUPPORTED, "index gpu over %zu rows: 1 to %d are possible",
                             rows->count, INT32_MAX);
    return write_section((unsigned char)codec, writer, err);
}

static size_t device_bytes_of(const struct crn_index *index)
{
    return index->lists != NULL ? crn_gpu_faiss_device_bytes(index->lists)
           : index->set != NULL ? crn_gpu_set_device_bytes(index->set)
                                : 0;
}

static cairn_status upload_rows(struct crn_index *index, struct crn_gpu *gpu, cairn_error *err)
{
    const struct crn_index_rows *rows = &index->rows;
    const struct crn_gpu_set_options options = {.codec = index->codec,
                                                .metric = rows->op == CRN_OP_L2 ? CRN_GPU_L2 : CRN_GPU_DOT,
                                                .dim = rows->dim,
                                                .reserve_rows = rows->count,
                                                .device_only = true};
    struct crn_gpu_set *set;

    CRN_TRY(crn_gpu_set_create(gpu, &options, &set, err));
    for (size_t begin = 0; begin < rows->count; begin += UPLOAD_ROWS) {
        const size_t count = rows->count - begin < UPLOAD_ROWS ? rows->count - begin : UPLOAD_ROWS;
        const cairn_status status = crn_gpu_set_append(set, rows->vectors + begin * rows->dim, count, err);
        if (status != CAIRN_OK) {
            crn_gpu_set_free(set);
            return status;
        }
    }
    index->set = set;
    return CAIRN_OK;
}

static cairn_status upload(struct crn_index *index, cairn_error *err)
{
    struct crn_gpu *gpu;

    CRN_TRY(crn_card_take(&gpu, err));
    if (index->rows.op == CRN_OP_L1)
        return crn_error_set(err, CAIRN_UNSUPPORTED, "the manhattan metric is not searched on a GPU");
    CRN_TRY(index->faiss != NULL ? crn_gpu_faiss_open(gpu, index->faiss, &index->rows, &index->lists, err)
                                 : upload_rows(index, gpu, err));
    crn_card_add_rows(device_bytes_of(index));
    return CAIRN_OK;
}

static void fall_back(const struct crn_index *index, const char *why)
{
    crn_card_count_fallback();
    crn_log(index->rows.log, CAIRN_LOG_WARN, "index gpu: %zu rows are searched by the processor: %s",
            index->rows.count, why);
}

static void close_index(struct crn_index *index)
{
    if (index == NULL) return;
    if (index->set != NULL || index->lists != NULL) crn_card_remove_rows(device_bytes_of(index));
    crn_gpu_set_free(index->set);
    crn_gpu_faiss_free(index->lists);
    if (index->faiss != NULL) crn_index_faiss.close(index->faiss);
    crn_mem_free(index);
}

/* Whatever becomes of it: where the card cannot have the rows, searches find nothing. */
static void put_on_card(struct crn_index *index)
{
    cairn_error cause;
    const cairn_status status = upload(index, &cause);

    if (status == CAIRN_OK) return;
    if (status == CAIRN_IO) crn_card_give_up(cause.message);
    fall_back(index, cause.message);
}

struct crn_index *crn_index_gpu_of_rows(const struct crn_index_rows *rows)
{
    struct crn_index *index = crn_mem_calloc(1, sizeof *index);

    if (index == NULL) return NULL;
    index->rows = *rows;
    index->codec = CRN_GPU_F32;
    put_on_card(index);
    return index;
}

/* The spec is not needed: the file says what it holds. */
static cairn_status open_index(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                               struct crn_index **out_index, cairn_error *err)
{
    size_t size;
    const unsigned char *code = crn_derived_get(file, SECTION, &size);

    (void)spec;
    if (size != 1) return crn_error_set(err, CAIRN_CORRUPT, "an index file without an index");
    CRN_TRY(crn_derived_verify(file, code, size, err));
    if (*code > CRN_GPU_B1 && *code != FAISS_LISTS)
        return crn_error_set(err, CAIRN_CORRUPT, "an index of unknown codes: %u", *code);
    struct crn_index *index = crn_mem_calloc(1, sizeof *index);
    if (index == NULL) return crn_error_no_memory(err, sizeof *index);
    index->rows = *rows;
    if (*code != FAISS_LISTS) {
        index->codec = (enum crn_gpu_codec) * code;
    } else {
        const cairn_status opened = crn_index_faiss.open("", rows, file, &index->faiss, err);
        if (opened != CAIRN_OK) {
            close_index(index);
            return opened;
        }
    }
    put_on_card(index);
    *out_index = index;
    return CAIRN_OK;
}

/* ---- search ---- */

/* Candidates that are compared anew: codes lose rank. */
static size_t candidates_of(const struct crn_index *index, size_t k)
{
    switch (index->codec) {
    case CRN_GPU_F32:
        return k + 16; /* sums are rounded in another order there */
    case CRN_GPU_F16:
        return k + k / 4 + 16;
    case CRN_GPU_I8:
        return k * 2 + 32;
    case CRN_GPU_B1:
        return k * 16 + 256;
    }
    return k;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* positions: [candidates]. */
static cairn_status ask_card(const struct crn_index *index, const struct crn_index_query *query,
                             size_t candidates, uint32_t *positions, size_t *out_count, cairn_error *err)
{
    const struct crn_gpu_query asked = {
        .vectors = query->vector, .batch = 1, .k = candidates, .allow = query->allow};
    struct crn_gpu_stream *stream;

    if (!crn_card_ready()) return crn_error_set(err, CAIRN_UNSUPPORTED, "the device failed before");
    float *distances = crn_mem_array(candidates, sizeof *distances);
    if (distances == NULL) return crn_error_no_memory(err, candidates * sizeof *distances);
    cairn_status status = crn_card_take_stream(&stream, err);
    if (status == CAIRN_OK) {
        status = index->lists != NULL ? crn_gpu_faiss_search(index->lists, stream, query, candidates,
                                                             positions, out_count, err)
                                      : crn_gpu_search(index->set, stream, &asked, distances, positions, err);
        crn_card_give_stream(stream);
    }
    if (status == CAIRN_OK && index->lists == NULL) {
        *out_count = 0;
        while (*out_count < candidates && positions[*out_count] != CRN_GPU_NONE) (*out_count)++;
    }
    crn_mem_free(distances);
    return status;
}

/* False: the card could not answer, which was logged. */
static bool search_card(struct crn_index *index, const struct crn_index_query *query, size_t candidates,
                        uint32_t *positions, size_t *out_count)
{
    cairn_error cause;
    const cairn_status status = ask_card(index, query, candidates, positions, out_count, &cause);

    if (status == CAIRN_OK) return true;
    if (status == CAIRN_IO) crn_card_give_up(cause.message);
    /* Memory may be there again for the next search, and a query may be beyond halves; all else stays as it is. */
    const bool once = status == CAIRN_NO_MEMORY || status == CAIRN_INVALID_VECTOR;
    if (once || !atomic_exchange_explicit(&index->failed, true, memory_order_relaxed))
        fall_back(index, cause.message);
    return false;
}

static cairn_status search(const struct crn_index *constant, const struct crn_index_query *query,
                           struct crn_topk *top, cairn_error *err)
{
    struct crn_index *index = (struct crn_index *)(uintptr_t)constant; /* for its flag, which is atomic */
    const struct crn_index_rows *rows = &index->rows;
    const size_t wanted = index->faiss != NULL ? crn_gpu_faiss_candidates(index->faiss, query->k)
                                               : candidates_of(index, query->k);
    const size_t candidates = wanted > CRN_GPU_K_MAX ? CRN_GPU_K_MAX : wanted;
    /* With fewer candidates than FAISS compares the card might find less. */
    const size_t least_candidates = index->faiss != NULL ? wanted : query->k;
    const size_t least = query->k < query->allowed ? query->k : query->allowed;
    const bool on_card = !query->processor_only &&
                         (index->lists == NULL || crn_gpu_faiss_answers(index->lists, query)) &&
                         (index->set != NULL || index->lists != NULL) && least_candidates <= CRN_GPU_K_MAX &&
                         !atomic_load_explicit(&index->failed, memory_order_relaxed);
    size_t count = 0;

    uint32_t *positions = crn_mem_array(candidates, sizeof *positions);
    if (positions == NULL) return crn_error_no_memory(err, candidates * sizeof *positions);
    const bool found = on_card && search_card(index, query, candidates, positions, &count) && count >= least;
    if (found) {
        qsort(positions, count, sizeof *positions, ascending); /* rows are read fastest so */
        crn_flat_scan_f32_at(rows->op, query->vector, rows->vectors, rows->dim, positions, count, 0, top);
        crn_card_count_search();
        if (query->on_card != NULL) *query->on_card = true;
    }
    crn_mem_free(positions);
    if (!found && index->faiss == NULL && query->declined != NULL) *query->declined = true;
    /* FAISS reads more lists where few of their rows match. */
    return found || index->faiss == NULL ? CAIRN_OK : crn_index_faiss.search(index->faiss, query, top, err);
}

static size_t memory_bytes(const struct crn_index *index)
{
    size_t bytes = sizeof *index; /* the rest is on the card */

    if (index->faiss != NULL) bytes += crn_index_faiss.memory_bytes(index->faiss);
    if (index->lists != NULL) bytes += crn_gpu_faiss_heap_bytes(index->lists);
    return bytes;
}

const struct crn_index_ops crn_index_gpu = {
    .name = "gpu",
    .filters = true,
    .check = check,
    .build = build,
    .open = open_index,
    .search = search,
    .close = close_index,
    .memory_bytes = memory_bytes,
};
