/*
 * The gpu backend: a segment's rows on the card (gpu/gpu.h), all of them compared for each search. "gpu" and "gpu:f16" keep halves,
 * "gpu:f32", "gpu:int8" and "gpu:bit" other codes, and "gpu:IVF<n>" FAISS's inverted lists (index_gpu_faiss.h). The card chooses candidates and Cairn's kernels compare them with the
 * rows at full precision, so the distances are those of an exact scan.
 *
 * A segment is uploaded when its index is opened and never changes; rows that were deleted or do not match a filter are
 * left out by the bitmap of each search, and newer rows are in other segments or the tail. The file holds only what the
 * segment was listed with, which any machine can make; with IVF<n> also what FAISS writes.
 *
 * Where there is no GPU, or too little memory on it, or it fails, the index finds nothing, and the caller scans; with IVF<n> FAISS
 * searches instead. The reason is logged
 * once for each segment, and counted. A device that failed once is not used again by this process.
 */
#include "engine/index_gpu.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/index_gpu_faiss.h"
#include "quant/flat_scan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "GPUX"
#define STREAMS_MOST 8u    /* kept for the next searches */
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

/* ---- the device: one for the process ---- */

static struct {
    pthread_mutex_t mutex;               /* guards all of it */
    const struct crn_gpu_driver *driver; /* NULL: the machine's */
    struct crn_gpu *gpu;
    bool tried, broken;
    char why[200];
    struct crn_gpu_stream *streams[STREAMS_MOST];
    uint32_t stream_count, indexes;
    uint64_t device_bytes;
} device = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static atomic_uint_fast64_t searches, fallbacks;

static const struct crn_gpu_driver *driver_in_use(void)
{
    return device.driver != NULL ? device.driver : crn_gpu_driver_cuda();
}

/* mutex held. */
static void close_device(void)
{
    for (uint32_t i = 0; i < device.stream_count; i++) crn_gpu_stream_free(device.streams[i]);
    device.stream_count = 0;
    crn_gpu_close(device.gpu);
    device.gpu = NULL;
    device.tried = device.broken = false;
    device.why[0] = '\0';
}

void crn_index_gpu_use(const struct crn_gpu_driver *driver)
{
    pthread_mutex_lock(&device.mutex);
    close_device();
    device.driver = driver;
    pthread_mutex_unlock(&device.mutex);
    atomic_store_explicit(&searches, 0, memory_order_relaxed);
    atomic_store_explicit(&fallbacks, 0, memory_order_relaxed);
}

void crn_index_gpu_get_state(struct crn_index_gpu_state *out_state)
{
    pthread_mutex_lock(&device.mutex);
    *out_state = (struct crn_index_gpu_state){.driver = driver_in_use()->name,
                                              .why_none = "",
                                              .indexes = device.indexes,
                                              .device_bytes = device.device_bytes};
    out_state->devices = driver_in_use()->device_count(&out_state->why_none);
    if (device.gpu != NULL) out_state->info = *crn_gpu_info(device.gpu);
    if (device.gpu == NULL && device.tried) out_state->why_none = device.why;
    if (device.broken) out_state->why_none = device.why;
    pthread_mutex_unlock(&device.mutex);
    /* Relaxed: counters alone. */
    out_state->searches = atomic_load_explicit(&searches, memory_order_relaxed);
    out_state->fallbacks = atomic_load_explicit(&fallbacks, memory_order_relaxed);
}

/* The device, opened by the first that asks. UNSUPPORTED, or why it could not be opened, also later. */
static cairn_status take_device(struct crn_gpu **out_gpu, cairn_error *err)
{
    cairn_error cause;
    cairn_status status = CAIRN_OK;

    pthread_mutex_lock(&device.mutex);
    if (!device.tried) {
        device.tried = true;
        if (crn_gpu_open(driver_in_use(), 0, &device.gpu, &cause) != CAIRN_OK) {
            device.gpu = NULL;
            crn_error_set(&cause, cause.status, "%.180s", cause.message);
            memcpy(device.why, cause.message, strlen(cause.message) + 1);
        }
    }
    if (device.gpu == NULL || device.broken) status = crn_error_set(err, CAIRN_UNSUPPORTED, "%s", device.why);
    *out_gpu = device.gpu;
    pthread_mutex_unlock(&device.mutex);
    return status;
}

/* After an error of the device nothing on it can be relied on. */
static void give_up_device(const char *why)
{
    pthread_mutex_lock(&device.mutex);
    if (!device.broken) {
        cairn_error cause;
        crn_error_set(&cause, CAIRN_IO, "%.180s", why);
        memcpy(device.why, cause.message, strlen(cause.message) + 1);
    }
    device.broken = true;
    pthread_mutex_unlock(&device.mutex);
}

static bool device_broken(void)
{
    pthread_mutex_lock(&device.mutex);
    const bool broken = device.broken;
    pthread_mutex_unlock(&device.mutex);
    return broken;
}

static cairn_status take_stream(struct crn_gpu_stream **out_stream, cairn_error *err)
{
    *out_stream = NULL;
    pthread_mutex_lock(&device.mutex);
    struct crn_gpu *const gpu = device.gpu; /* open as long as an index is */
    if (device.stream_count > 0) *out_stream = device.streams[--device.stream_count];
    pthread_mutex_unlock(&device.mutex);
    return *out_stream != NULL ? CAIRN_OK : crn_gpu_stream_create(gpu, out_stream, err);
}

static void give_stream(struct crn_gpu_stream *stream)
{
    pthread_mutex_lock(&device.mutex);
    if (device.stream_count < STREAMS_MOST) {
        device.streams[device.stream_count++] = stream;
        stream = NULL;
    }
    pthread_mutex_unlock(&device.mutex);
    crn_gpu_stream_free(stream);
}

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
        "index gpu:%.80s: rows on the card are f16, f32, int8, bit or IVF<lists>, as in gpu:f16", spec);
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

    CRN_TRY(take_device(&gpu, err));
    CRN_TRY(index->faiss != NULL ? crn_gpu_faiss_open(gpu, index->faiss, &index->rows, &index->lists, err)
                                 : upload_rows(index, gpu, err));
    pthread_mutex_lock(&device.mutex);
    device.indexes++;
    device.device_bytes += device_bytes_of(index);
    pthread_mutex_unlock(&device.mutex);
    return CAIRN_OK;
}

static void fall_back(const struct crn_index *index, const char *why)
{
    atomic_fetch_add_explicit(&fallbacks, 1, memory_order_relaxed);
    crn_log(index->rows.log, CAIRN_LOG_WARN, "index gpu: %zu rows are searched by the processor: %s",
            index->rows.count, why);
}

static void close_index(struct crn_index *index)
{
    if (index == NULL) return;
    if (index->set != NULL || index->lists != NULL) {
        pthread_mutex_lock(&device.mutex);
        device.indexes--;
        device.device_bytes -= device_bytes_of(index);
        pthread_mutex_unlock(&device.mutex);
    }
    crn_gpu_set_free(index->set);
    crn_gpu_faiss_free(index->lists);
    if (index->faiss != NULL) crn_index_faiss.close(index->faiss);
    crn_mem_free(index);
}

/* The spec is not needed: the file says what it holds. */
static cairn_status open_index(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                               struct crn_index **out_index, cairn_error *err)
{
    size_t size;
    const unsigned char *code = crn_derived_get(file, SECTION, &size);
    cairn_error cause;

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
    const cairn_status status = upload(index, &cause);
    if (status != CAIRN_OK) {
        if (status == CAIRN_IO) give_up_device(cause.message);
        fall_back(index, cause.message);
    }
    *out_index = index;
    return CAIRN_OK;
}

/* ---- search ---- */

/* Candidates that are compared anew: codes lose rank. */
static size_t candidates_of(const struct crn_index *index, size_t k)
{
    switch (index->codec) {
    case CRN_GPU_F32:
        return k;
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

    if (device_broken()) return crn_error_set(err, CAIRN_UNSUPPORTED, "the device failed before");
    float *distances = crn_mem_array(candidates, sizeof *distances);
    if (distances == NULL) return crn_error_no_memory(err, candidates * sizeof *distances);
    cairn_status status = take_stream(&stream, err);
    if (status == CAIRN_OK) {
        status = index->lists != NULL
                     ? crn_gpu_faiss_search(index->lists, stream, query, positions, out_count, err)
                     : crn_gpu_search(index->set, stream, &asked, distances, positions, err);
        give_stream(stream);
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
    if (status == CAIRN_IO) give_up_device(cause.message);
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
    const size_t wanted = index->faiss != NULL ? query->k : candidates_of(index, query->k);
    const size_t candidates = wanted > CRN_GPU_K_MAX ? CRN_GPU_K_MAX : wanted;
    const size_t least = query->k < query->allowed ? query->k : query->allowed;
    const bool on_card = (index->set != NULL || index->lists != NULL) && query->k <= CRN_GPU_K_MAX &&
                         !atomic_load_explicit(&index->failed, memory_order_relaxed);
    size_t count = 0;

    uint32_t *positions = crn_mem_array(candidates, sizeof *positions);
    if (positions == NULL) return crn_error_no_memory(err, candidates * sizeof *positions);
    const bool found = on_card && search_card(index, query, candidates, positions, &count) && count >= least;
    if (found) {
        qsort(positions, count, sizeof *positions, ascending); /* rows are read fastest so */
        crn_flat_scan_f32_at(rows->op, query->vector, rows->vectors, rows->dim, positions, count, 0, top);
        atomic_fetch_add_explicit(&searches, 1, memory_order_relaxed);
    }
    crn_mem_free(positions);
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
