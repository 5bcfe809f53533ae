/*
 * The faiss backend: any index of FAISS's factory whose parts are known here, and HNSW graphs over the segment's own
 * rows ("HNSW<m>" and "HNSW<m>,Flat"), which FAISS builds and hnsw_search.c searches.
 *
 * FAISS chooses candidates and Cairn's kernels compare them with the rows at full precision, so the distances of every
 * index are those of an exact scan, and codes lose rank only where the true neighbours are no candidates.
 *
 * Manhattan distances: HNSW<m> and Flat only; FAISS's other indexes accept the metric and do not honour it.
 */
#include "engine/hnsw.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/faiss_ext.h"
#include "quant/flat_scan.h"

#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <omp.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPEC_MAX 60u    /* characters */
#define ADD_ROWS 16384u /* between two questions whether to stop */
#define STREAM_SECTION "FAIS"

struct crn_index {
    struct crn_index_rows rows;
    struct crn_hnsw graph; /* where faiss is NULL */
    FaissIndex *faiss;
    struct crn_faiss_traits traits;
    size_t faiss_bytes;
};

/* ---- specs ---- */

static bool parse_number(const char **at, unsigned long *out_number)
{
    char *end;

    if (!isdigit((unsigned char)**at)) return false;
    *out_number = strtoul(*at, &end, 10); /* ULONG_MAX when it is larger */
    *at = end;
    return true;
}

/* "HNSW", "HNSW32" and "HNSW32,Flat": *out_m = 32. */
static bool is_own_graph(const char *spec, unsigned long *out_m)
{
    *out_m = 32;
    if (strncmp(spec, "HNSW", 4) != 0) return false;
    spec += 4;
    parse_number(&spec, out_m);
    return *spec == '\0' || strcmp(spec, ",Flat") == 0;
}

/* The words of FAISS's factory strings that are passed on, and the largest number that may follow one. Others build what
 * cannot be searched by position, or take their numbers on trust: some values of them crash FAISS or fill the memory. */
static const struct part {
    const char *word;
    unsigned long most;
} parts[] = {
    {"Flat", 0},        {"HNSW", CRN_HNSW_M_MAX},
    {"IVF", 1ul << 20}, {"PQ", 4096},
    {"x", 10},          {"SQ", 8},
    {"SQfp", 16},       {"np", 0},
    {"fs", 0},          {"fsr", 0},
    {"RR", 4096},       {"PCA", 4096},
    {"PCAR", 4096},     {"PCAW", 4096},
    {"PCAWR", 4096},    {"OPQ", 4096},
};

static const struct part *find_part(const char *word, size_t len)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strlen(parts[i].word) == len && memcmp(parts[i].word, word, len) == 0) return &parts[i];
    }
    return NULL;
}

static cairn_status check_parts(const char *spec, cairn_error *err)
{
    static const struct part dims = {"_", 4096};
    const struct part *part = NULL;
    unsigned long number;

    for (const char *at = spec; *at != '\0';) {
        const size_t letters = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        if (letters > 0) {
            part = find_part(at, letters);
            if (part == NULL) {
                return crn_error_set(err, CAIRN_INVALID_OPTION,
                                     "index faiss:%s: '%.*s' is no part that Cairn passes on to FAISS", spec,
                                     (int)letters, at);
            }
            at += letters;
        } else if (*at == '_') {
            part = &dims;
            at++;
        } else if (*at == ',') {
            part = NULL;
            at++;
        } else if (!parse_number(&at, &number) || part == NULL) {
            return crn_error_set(err, CAIRN_INVALID_OPTION, "index faiss:%s: '%s' is not understood", spec,
                                 at);
        } else if (number == 0 || number > part->most) {
            return crn_error_set(err, CAIRN_INVALID_OPTION,
                                 "index faiss:%s: the number behind %s must be 1 to %lu", spec, part->word,
                                 part->most);
        }
    }
    return CAIRN_OK;
}

/* ---- FAISS's C API ---- */

static FaissMetricType metric_of(enum crn_op op)
{
    return op == CRN_OP_DOT ? METRIC_INNER_PRODUCT : op == CRN_OP_L2 ? METRIC_L2 : METRIC_L1;
}

/* Translates what a function of FAISS's C API returned; `status` is what its failures mean here. */
static cairn_status translate(int code, cairn_status status, const char *spec, cairn_error *err)
{
    if (code == OK) return CAIRN_OK;
    const char *message = code == UNKNOWN_EXCEPT ? NULL : faiss_get_last_error();
    if (message == NULL) message = "FAISS failed and did not say why";
    /* FAISS wraps what was thrown in its threads into exceptions of its own. */
    if (strstr(message, "bad_alloc") != NULL) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "index faiss:%s needs more memory", spec);
    }
    return crn_error_set(err, status, "index faiss:%s: %s", spec, crn_faiss_words(message));
}

static cairn_status make_faiss(const char *spec, uint32_t dim, enum crn_op op, FaissIndex **out_index,
                               struct crn_faiss_traits *out_traits, cairn_error *err)
{
    FaissIndex *index = NULL;

    CRN_TRY(check_parts(spec, err));
    if (op == CRN_OP_L1 && strcmp(spec, "Flat") != 0) {
        return crn_error_set(err, CAIRN_INVALID_OPTION,
                             "index faiss:%s has no manhattan metric: only HNSW<m> and Flat have", spec);
    }
    CRN_TRY(translate(faiss_index_factory(&index, (int)dim, spec, metric_of(op)), CAIRN_INVALID_OPTION, spec,
                      err));
    cairn_status status = crn_faiss_prepare(index, out_traits, err);
    if (status == CAIRN_OK && !out_traits->searchable) {
        status = crn_error_set(err, CAIRN_INVALID_OPTION,
                               "index faiss:%s is of a kind that Cairn cannot search", spec);
    } else if (status == CAIRN_OK && faiss_Index_metric_type(index) != metric_of(op)) {
        status =
            crn_error_set(err, CAIRN_INVALID_OPTION, "index faiss:%s has the euclidean metric only", spec);
    }
    if (status != CAIRN_OK) {
        faiss_Index_free(index);
        return status;
    }
    *out_index = index;
    return CAIRN_OK;
}

/* ---- check ---- */

static cairn_status check(const char *spec, uint32_t dim, enum crn_op op, cairn_error *err)
{
    struct crn_faiss_traits traits;
    FaissIndex *index;
    unsigned long m;

    if (*spec == '\0' || strlen(spec) > SPEC_MAX) {
        return crn_error_set(
            err, CAIRN_INVALID_OPTION,
            "index faiss:%.80s: a factory string of 1 to %u characters is needed, as in faiss:HNSW32", spec,
            SPEC_MAX);
    }
    if (!is_own_graph(spec, &m)) {
        CRN_TRY(make_faiss(spec, dim, op, &index, &traits, err));
        faiss_Index_free(index);
    } else if (m < CRN_HNSW_M_LEAST || m > CRN_HNSW_M_MAX) {
        return crn_error_set(err, CAIRN_INVALID_OPTION,
                             "index faiss:%s: the number behind HNSW must be %u to %u", spec,
                             CRN_HNSW_M_LEAST, CRN_HNSW_M_MAX);
    }
    return CAIRN_OK;
}

/* ---- build ---- */

struct build {
    const char *spec;
    const struct crn_index_rows *rows;
    bool (*cancelled)(void *ctx);
    void *ctx;
    FaissIndex *index;
    struct crn_faiss_traits traits;
};

static cairn_status check_cancelled(const struct build *build, cairn_error *err)
{
    if (build->cancelled == NULL || !build->cancelled(build->ctx)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_CANCELLED, "index faiss:%s was not finished", build->spec);
}

/* `count` of the rows at random, in their order: selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2). */
static void sample_rows(const struct crn_index_rows *rows, size_t count, float *out)
{
    struct crn_rng rng;
    size_t taken = 0;

    crn_rng_init(&rng, rows->count);
    for (size_t p = 0; taken < count; p++) {
        if (crn_rng_below(&rng, rows->count - p) >= count - taken) continue;
        memcpy(out + taken * rows->dim, rows->vectors + p * rows->dim, rows->dim * sizeof *out);
        taken++;
    }
}

static cairn_status train(const struct build *build, cairn_error *err)
{
    const struct crn_index_rows *rows = build->rows;

    if (faiss_Index_is_trained(build->index)) return CAIRN_OK;
    if (rows->count < build->traits.train_least) {
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "index faiss:%s needs %zu rows to train on, there are %zu", build->spec,
                             build->traits.train_least, rows->count);
    }
    if (rows->count <= build->traits.train_most) {
        return translate(faiss_Index_train(build->index, (int64_t)rows->count, rows->vectors),
                         CAIRN_UNSUPPORTED, build->spec, err);
    }
    const size_t count = build->traits.train_most;
    float *sample = crn_mem_array(count, rows->dim * sizeof *sample);
    if (sample == NULL) return crn_error_no_memory(err, count * rows->dim * sizeof *sample);
    sample_rows(rows, count, sample);
    const int code = faiss_Index_train(build->index, (int64_t)count, sample);
    crn_mem_free(sample);
    return translate(code, CAIRN_UNSUPPORTED, build->spec, err);
}

/* FAISS adds in parallel regions, where a failed allocation ends the process: what it will need is asked for here. */
static cairn_status ask_for_memory(const struct build *build, cairn_error *err)
{
    size_t size;

    if (!crn_mem_mul(build->rows->count, build->traits.bytes_per_row * 2, &size)) size = SIZE_MAX;
    void *memory = crn_mem_alloc(size);
    crn_mem_free(memory);
    return memory != NULL ? CAIRN_OK : crn_error_no_memory(err, size);
}

static cairn_status add(const struct build *build, cairn_error *err)
{
    const struct crn_index_rows *rows = build->rows;

    CRN_TRY(ask_for_memory(build, err));
    for (size_t begin = 0; begin < rows->count; begin += ADD_ROWS) {
        const size_t count = rows->count - begin < ADD_ROWS ? rows->count - begin : ADD_ROWS;
        CRN_TRY(check_cancelled(build, err));
        CRN_TRY(translate(faiss_Index_add(build->index, (int64_t)count, rows->vectors + begin * rows->dim),
                          CAIRN_UNSUPPORTED, build->spec, err));
    }
    return check_cancelled(build, err);
}

/* A stream onto the writer. */
struct sink {
    struct crn_derived_writer *writer;
    cairn_error *err;
    cairn_status status;
};

static ssize_t sink_write(void *cookie, const char *data, size_t size)
{
    struct sink *sink = cookie;

    if (sink->status == CAIRN_OK) sink->status = crn_derived_write(sink->writer, data, size, sink->err);
    return sink->status == CAIRN_OK ? (ssize_t)size : 0;
}

static cairn_status write_faiss(const struct build *build, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    struct sink sink = {.writer = writer, .err = err, .status = CAIRN_OK};

    CRN_TRY(crn_derived_section(writer, STREAM_SECTION, err));
    FILE *stream = fopencookie(&sink, "w", (cookie_io_functions_t){.write = sink_write});
    if (stream == NULL) return crn_error_no_memory(err, sizeof *stream);
    const int code = faiss_write_index(build->index, stream);
    const int closed = fclose(stream);
    if (sink.status != CAIRN_OK) return sink.status;
    CRN_TRY(translate(code, CAIRN_UNSUPPORTED, build->spec, err));
    return closed == 0 ? CAIRN_OK
                       : crn_error_set(err, CAIRN_IO, "index faiss:%s was not written whole", build->spec);
}

static cairn_status build_faiss(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                                bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    struct build build = {.spec = spec, .rows = rows, .cancelled = cancelled, .ctx = ctx};
    const int threads_before = omp_get_max_threads();

    CRN_TRY(make_faiss(spec, rows->dim, rows->op, &build.index, &build.traits, err));
    omp_set_num_threads(threads > 0 ? (int)threads : 1);
    crn_faiss_ask(cancelled, ctx);
    cairn_status status = train(&build, err);
    if (status == CAIRN_OK || status == CAIRN_UNSUPPORTED) {
        const cairn_status asked = check_cancelled(&build, err); /* why training failed, it may be */
        if (asked != CAIRN_OK) status = asked;
    }
    if (status == CAIRN_OK) status = add(&build, err);
    crn_faiss_ask(NULL, NULL);
    omp_set_num_threads(threads_before);
    if (status == CAIRN_OK) status = write_faiss(&build, writer, err);
    faiss_Index_free(build.index);
    return status;
}

static cairn_status build_graph(uint32_t m, const struct crn_index_rows *rows, unsigned threads,
                                bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    struct crn_faiss_hnsw *graph;
    struct crn_hnsw_source source;

    CRN_TRY(crn_faiss_hnsw_build(rows, m, threads, cancelled, ctx, &graph, err));
    crn_faiss_hnsw_get(graph, &source);
    const cairn_status status = crn_hnsw_write(&source, rows, writer, err);
    crn_faiss_hnsw_free(graph);
    return status;
}

static cairn_status build(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                          bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                          cairn_error *err)
{
    unsigned long m;

    CRN_TRY(check(spec, rows->dim, rows->op, err));
    if (rows->count == 0 || rows->count > INT32_MAX) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "index faiss:%s over %zu rows", spec, rows->count);
    }
    if (is_own_graph(spec, &m)) return build_graph((uint32_t)m, rows, threads, cancelled, ctx, writer, err);
    return build_faiss(spec, rows, threads, cancelled, ctx, writer, err);
}

/* ---- open ---- */

static cairn_status open_faiss(struct crn_index *index, struct crn_derived *file, cairn_error *err)
{
    const struct crn_index_rows *rows = &index->rows;
    const void *data = crn_derived_get(file, STREAM_SECTION, &index->faiss_bytes);

    if (index->faiss_bytes == 0) return crn_error_set(err, CAIRN_CORRUPT, "an index file without an index");
    CRN_TRY(crn_derived_verify(file, data, index->faiss_bytes, err));
    FILE *stream = fmemopen((void *)(uintptr_t)data, index->faiss_bytes, "r");
    if (stream == NULL) return crn_error_no_memory(err, sizeof *stream);
    const int code = faiss_read_index(stream, 0, &index->faiss);
    fclose(stream);
    CRN_TRY(translate(code, CAIRN_CORRUPT, "", err));
    if (faiss_Index_d(index->faiss) != (int)rows->dim ||
        faiss_Index_ntotal(index->faiss) != (int64_t)rows->count ||
        faiss_Index_metric_type(index->faiss) != metric_of(rows->op)) {
        return crn_error_set(err, CAIRN_CORRUPT, "an index over other rows: %lld of dim %d",
                             (long long)faiss_Index_ntotal(index->faiss), faiss_Index_d(index->faiss));
    }
    CRN_TRY(crn_faiss_prepare(index->faiss, &index->traits, err));
    if (!index->traits.searchable)
        return crn_error_set(err, CAIRN_CORRUPT, "an index of a kind that is never written");
    return CAIRN_OK;
}

static void close_index(struct crn_index *index)
{
    if (index == NULL) return;
    if (index->faiss != NULL) faiss_Index_free(index->faiss);
    crn_mem_free(index);
}

/* The spec is not needed: the file says what it holds. */
static cairn_status open_index(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                               struct crn_index **out_index, cairn_error *err)
{
    struct crn_index *index = crn_mem_calloc(1, sizeof *index);

    (void)spec;
    if (index == NULL) return crn_error_no_memory(err, sizeof *index);
    index->rows = *rows;
    const cairn_status status =
        crn_hnsw_in(file) ? crn_hnsw_open(rows, file, &index->graph, err) : open_faiss(index, file, err);
    if (status != CAIRN_OK) {
        close_index(index);
        return status;
    }
    *out_index = index;
    return CAIRN_OK;
}

/* ---- search ---- */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Sorted, because rows are read fastest so, and each once, whatever a damaged index says. */
static size_t sort_positions(uint32_t *positions, size_t count)
{
    size_t kept = 0;

    qsort(positions, count, sizeof *positions, ascending);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || positions[kept - 1] != positions[i]) positions[kept++] = positions[i];
    }
    return kept;
}

static cairn_status search_faiss(const struct crn_index *index, const struct crn_index_query *query,
                                 struct crn_topk *top, cairn_error *err)
{
    const struct crn_index_rows *rows = &index->rows;
    const size_t candidates = index->traits.exact ? query->k : query->k * 4 + 32;
    const size_t wanted = candidates < query->allowed ? candidates : query->allowed;
    const int threads_before = omp_get_max_threads();
    uint32_t *positions = crn_mem_array(wanted, sizeof *positions);
    size_t count = 0;

    if (positions == NULL) return crn_error_no_memory(err, wanted * sizeof *positions);
    omp_set_num_threads(1);
    const cairn_status status = crn_faiss_search(index->faiss, query, wanted, positions, &count, err);
    omp_set_num_threads(threads_before);
    if (status == CAIRN_OK) {
        count = sort_positions(positions, count);
        crn_flat_scan_f32_at(rows->op, query->vector, rows->vectors, rows->dim, positions, count, 0, top);
    }
    crn_mem_free(positions);
    return status;
}

static cairn_status search(const struct crn_index *index, const struct crn_index_query *query,
                           struct crn_topk *top, cairn_error *err)
{
    if (index->faiss == NULL) return crn_hnsw_search(&index->graph, &index->rows, query, top, err);
    return search_faiss(index, query, top, err);
}

const FaissIndex *crn_index_faiss_of(const struct crn_index *index)
{
    return index->faiss;
}

static size_t memory_bytes(const struct crn_index *index)
{
    return sizeof *index + index->faiss_bytes; /* what FAISS writes is about what it holds */
}

const struct crn_index_ops crn_index_faiss = {
    .name = "faiss",
    .check = check,
    .build = build,
    .open = open_index,
    .search = search,
    .close = close_index,
    .memory_bytes = memory_bytes,
};
