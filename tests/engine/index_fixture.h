/* Rows for tests of indexes, which lie as embeddings do: in clusters, and in few of their dimensions; and the steps from
 * rows to an open index. */
#ifndef CRN_TESTS_ENGINE_INDEX_FIXTURE_H
#define CRN_TESTS_ENGINE_INDEX_FIXTURE_H

#include "engine/bits.h"
#include "engine/index.h"
#include "quant/flat_scan.h"
#include "tests/storage/derived_fixture.h"

#include <math.h>

#ifndef INDEX_OPS
#define INDEX_OPS crn_index_faiss
#define INDEX_KIND "faiss"
#endif

#define CLUSTERS 40
#define INTRINSIC 8 /* dimensions in which a cluster extends */
#define DIM_MAX 64
#define QUERIES 100
#define K 10

/* FAISS's factory and reader lose what they had made when they fail: not ours to mend. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAKS_BEGIN __lsan_disable()
#define LEAKS_END __lsan_enable()
#else
#define LEAKS_BEGIN (void)0
#define LEAKS_END (void)0
#endif

static const struct crn_derived_header index_header = {
    .kind = INDEX_KIND, .uuid = {7}, .space = 3, .sequence = 9};

/* count rows of unit length, and QUERIES more of the same kind behind them. */
static inline float *rows_create(struct crn_rng *rng, size_t count, uint32_t dim)
{
    float centers[CLUSTERS * DIM_MAX], directions[INTRINSIC * DIM_MAX];
    float *rows = malloc((count + QUERIES) * dim * sizeof *rows);

    for (size_t i = 0; i < CLUSTERS * DIM_MAX; i++) centers[i] = (float)crn_rng_normal(rng);
    for (size_t i = 0; i < INTRINSIC * DIM_MAX; i++) directions[i] = (float)crn_rng_normal(rng);
    for (size_t r = 0; r < count + QUERIES; r++) {
        const size_t cluster = crn_rng_below(rng, CLUSTERS);
        float *row = rows + r * dim, along[INTRINSIC], norm2 = 0;
        for (size_t i = 0; i < INTRINSIC; i++) along[i] = 0.5f * (float)crn_rng_normal(rng);
        for (size_t d = 0; d < dim; d++) {
            row[d] = centers[cluster * dim + d] + 0.05f * (float)crn_rng_normal(rng);
            for (size_t i = 0; i < INTRINSIC; i++) row[d] += along[i] * directions[i * dim + d];
            norm2 += row[d] * row[d];
        }
        for (size_t d = 0; d < dim; d++) row[d] /= sqrtf(norm2);
    }
    return rows;
}

/* Builds under NAME; on failure nothing is there. */
static inline cairn_status index_build(const char *folder, const char *spec,
                                       const struct crn_index_rows *rows, unsigned threads,
                                       bool (*cancelled)(void *), void *ctx, cairn_error *err)
{
    struct crn_derived_writer *writer;
    cairn_status status = crn_derived_create(folder, "index", &index_header, &writer, err);

    if (status != CAIRN_OK) return status;
    status = INDEX_OPS.build(spec, rows, threads, cancelled, ctx, writer, err);
    if (status == CAIRN_OK) return crn_derived_commit(writer, err);
    crn_derived_abort(writer);
    return status;
}

struct opened {
    struct crn_derived *file;
    struct crn_index *index;
};

static inline cairn_status index_open(const char *folder, const struct crn_index_rows *rows,
                                      struct opened *out, cairn_error *err)
{
    cairn_status status = crn_derived_open(folder, "index", &index_header, &out->file, err);

    if (status != CAIRN_OK) return status;
    status = INDEX_OPS.open("", rows, out->file, &out->index, err);
    if (status != CAIRN_OK) crn_derived_close(out->file);
    return status;
}

static inline void index_close(struct opened *opened)
{
    INDEX_OPS.close(opened->index);
    crn_derived_close(opened->file);
}

/* A filter that allows about one in `of` rows, at least one, and the number it allows. */
static inline uint64_t *filter_create(struct crn_rng *rng, size_t count, uint64_t of, size_t *out_allowed)
{
    uint64_t *words = calloc(crn_bits_words(count), sizeof *words);

    crn_bits_set(words, crn_rng_below(rng, count));
    for (size_t p = 0; p < count; p++) {
        if (crn_rng_below(rng, of) == 0) crn_bits_set(words, p);
    }
    *out_allowed = crn_bits_count(words, crn_bits_words(count));
    return words;
}

/* What the index finds, sorted; each hit must be allowed and have the distance of an exact scan. */
static inline struct crn_topk index_search(const struct crn_index *index, const struct crn_index_rows *rows,
                                           const struct crn_index_query *query, struct crn_hit *hits)
{
    struct crn_topk top;
    cairn_error err;

    crn_topk_init(&top, hits, query->k);
    assert_status(INDEX_OPS.search(index, query, &top, &err), CAIRN_OK, &err);
    crn_topk_sort(&top);
    for (size_t i = 0; i < top.count; i++) {
        const uint32_t position = (uint32_t)hits[i].label;
        float distance;
        assert_true(hits[i].label < rows->count);
        assert_true(query->allow == NULL || crn_bits_get(query->allow, position));
        assert_true(i == 0 || hits[i - 1].label != hits[i].label);
        crn_kernels_get()->f32_gather[rows->op](query->vector, rows->vectors, rows->dim, &position, 1,
                                                &distance);
        assert_memory_equal(&distance, &hits[i].distance, sizeof distance);
    }
    return top;
}

/* The share of the true k nearest that the index finds for the queries behind the rows; *out_short counts the queries
 * that got fewer than they could. */
static inline double measure_recall(const struct crn_index *index, const struct crn_index_rows *rows,
                                    struct crn_index_query query, size_t *out_short)
{
    struct crn_hit found[K], true_hits[K];
    size_t agreed = 0, possible = 0;

    *out_short = 0;
    for (size_t q = 0; q < QUERIES; q++) {
        struct crn_topk truth;
        query.vector = rows->vectors + (rows->count + q) * rows->dim;
        const struct crn_topk top = index_search(index, rows, &query, found);
        crn_topk_init(&truth, true_hits, query.k);
        crn_flat_scan_f32(rows->op, query.vector, rows->vectors, rows->dim, rows->count, 0, query.allow,
                          &truth);
        *out_short += top.count < truth.count;
        possible += truth.count;
        for (size_t i = 0; i < top.count; i++) {
            for (size_t j = 0; j < truth.count; j++) agreed += found[i].label == true_hits[j].label;
        }
    }
    return (double)agreed / (double)possible;
}

#endif
