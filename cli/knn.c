/* Brute force: a block of queries stays near the processor while tiles of rows pass by. */
#include "cli/knn.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/topk.h"
#include "cli/bench_kernel.h"
#include "cli/signals.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 64 /* queries of a worker's piece, and rows of a tile */
#define SLACK 32 /* candidates above k that are measured again: single precision may have swapped them */

struct work {
    const struct crn_cli_knn *knn;
    crn_cli_tile_fn distances;
    enum crn_cli_tile_op op;
    size_t padded_dim, candidates, tiles_total;
    uint32_t *ids;
    double *out_distances;
    _Atomic size_t tiles_done;
    atomic_bool cancelled, no_memory;
};

/* A worker's memory. */
struct scratch {
    float *rows, *queries, *distances; /* [BLOCK][padded_dim] twice, [BLOCK][BLOCK] */
    struct crn_hit *hits;              /* [BLOCK][candidates] */
    struct crn_topk tops[BLOCK];
};

double crn_cli_knn_distance(cairn_metric metric, const float *a, const float *b, uint32_t dim)
{
    double dot = 0, aa = 0, bb = 0, sum = 0;

    switch (metric) {
    case CAIRN_METRIC_L2:
        for (uint32_t i = 0; i < dim; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        return sqrt(sum);
    case CAIRN_METRIC_MANHATTAN:
        for (uint32_t i = 0; i < dim; i++) sum += fabs((double)a[i] - b[i]);
        return sum;
    case CAIRN_METRIC_DOT:
        for (uint32_t i = 0; i < dim; i++) dot += (double)a[i] * b[i];
        return -dot;
    case CAIRN_METRIC_DEFAULT:
    case CAIRN_METRIC_COSINE:
        break;
    }
    for (uint32_t i = 0; i < dim; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa * bb) : 1;
}

static bool is_cosine(cairn_metric metric)
{
    return metric == CAIRN_METRIC_COSINE || metric == CAIRN_METRIC_DEFAULT;
}

/* Copies vectors to aligned places with padding; for cosine at length 1, where L2 has the same order. */
static void gather(const struct work *w, const float *from, const uint32_t *ids, uint64_t first, size_t count,
                   float *out)
{
    const uint32_t dim = w->knn->dim;

    memset(out, 0, BLOCK * w->padded_dim * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const float *vector = from + (ids != NULL ? ids[first + i] : first + i) * dim;
        float *to = out + i * w->padded_dim;
        double square = 0;
        memcpy(to, vector, dim * sizeof *to);
        if (!is_cosine(w->knn->metric)) continue;
        for (uint32_t d = 0; d < dim; d++) square += (double)vector[d] * vector[d];
        float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (uint32_t d = 0; d < dim; d++) to[d] *= scale;
    }
}

static void push_tile(const struct work *w, struct scratch *s, uint64_t query, size_t queries, uint64_t row,
                      size_t rows)
{
    const struct crn_cli_knn *knn = w->knn;

    for (size_t q = 0; q < queries; q++) {
        const float *distances = s->distances + q * BLOCK;
        uint64_t same =
            knn->skip_same ? (knn->query_ids != NULL ? knn->query_ids[query + q] : query + q) : UINT64_MAX;
        float limit = crn_topk_limit(&s->tops[q]);
        for (size_t r = 0; r < rows; r++) {
            if (distances[r] > limit) continue;
            uint64_t id = knn->row_ids != NULL ? knn->row_ids[row + r] : row + r;
            if (id == same) continue;
            crn_topk_push(&s->tops[q], distances[r], id);
            limit = crn_topk_limit(&s->tops[q]);
        }
    }
}

struct exact {
    double distance;
    uint32_t id;
};

static int compare_exact(const void *a, const void *b)
{
    const struct exact *x = a;
    const struct exact *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Measures one query's candidates again and keeps the k nearest. */
static void settle(const struct work *w, const struct crn_topk *top, uint64_t query)
{
    const struct crn_cli_knn *knn = w->knn;
    const float *vector =
        knn->queries + (knn->query_ids != NULL ? knn->query_ids[query] : query) * (uint64_t)knn->dim;
    struct exact *exact = crn_mem_array(top->count + 1, sizeof *exact);

    if (exact == NULL) {
        atomic_store(&((struct work *)w)->no_memory, true);
        return;
    }
    for (size_t i = 0; i < top->count; i++) {
        exact[i].id = (uint32_t)top->hits[i].label;
        exact[i].distance =
            crn_cli_knn_distance(knn->metric, knn->rows + (uint64_t)exact[i].id * knn->dim, vector, knn->dim);
    }
    qsort(exact, top->count, sizeof *exact, compare_exact);
    for (size_t i = 0; i < knn->k; i++) {
        bool there = i < top->count;
        w->ids[query * knn->k + i] = there ? exact[i].id : CRN_CLI_KNN_NONE;
        w->out_distances[query * knn->k + i] = there ? exact[i].distance : INFINITY;
    }
    crn_mem_free(exact);
}

static void tell_progress(struct work *w, unsigned worker)
{
    size_t done = atomic_fetch_add_explicit(&w->tiles_done, 1, memory_order_relaxed) + 1; /* a mere count */

    if (worker != 0 || w->knn->progress == NULL) return;
    uint64_t queries = w->knn->query_count * done / w->tiles_total;
    crn_cli_progress_show(w->knn->progress, w->knn->phase, queries, done, w->tiles_total);
}

static void run_block(struct work *w, struct scratch *s, uint64_t begin, size_t count, unsigned worker)
{
    const struct crn_cli_knn *knn = w->knn;

    gather(w, knn->queries, knn->query_ids, begin, count, s->queries);
    for (size_t q = 0; q < count; q++) {
        crn_topk_init(&s->tops[q], s->hits + q * w->candidates, w->candidates);
    }
    size_t padded = (count + CRN_CLI_TILE_GROUP - 1) / CRN_CLI_TILE_GROUP * CRN_CLI_TILE_GROUP;
    for (uint64_t row = 0; row < knn->row_count; row += BLOCK) {
        size_t rows = knn->row_count - row < BLOCK ? (size_t)(knn->row_count - row) : BLOCK;
        gather(w, knn->rows, knn->row_ids, row, rows, s->rows);
        w->distances(w->op, s->rows, BLOCK, s->queries, padded, w->padded_dim, s->distances);
        push_tile(w, s, begin, count, row, rows);
        tell_progress(w, worker);
        if (crn_cli_interrupted()) {
            atomic_store(&w->cancelled, true);
            return;
        }
    }
    for (size_t q = 0; q < count; q++) settle(w, &s->tops[q], begin + q);
}

static void run_piece(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct work *w = ctx;

    if (atomic_load(&w->cancelled) || atomic_load(&w->no_memory)) return;
    struct scratch *s = crn_mem_alloc(sizeof *s);
    float *floats = crn_mem_aligned((2 * BLOCK * w->padded_dim + (size_t)BLOCK * BLOCK) * sizeof *floats);
    struct crn_hit *hits = crn_mem_array(BLOCK * w->candidates, sizeof *hits);
    if (s == NULL || floats == NULL || hits == NULL) {
        atomic_store(&w->no_memory, true);
    } else {
        s->rows = floats;
        s->queries = s->rows + BLOCK * w->padded_dim;
        s->distances = s->queries + BLOCK * w->padded_dim;
        s->hits = hits;
        run_block(w, s, begin, end - begin, worker);
    }
    crn_mem_free(s);
    crn_mem_free(floats);
    crn_mem_free(hits);
}

/* Queries of a piece: a full block, or fewer so that each thread gets two. */
static size_t piece_of(uint64_t query_count, unsigned threads)
{
    uint64_t piece = query_count / (2u * threads);

    if (piece > BLOCK) return BLOCK;
    return piece < CRN_CLI_TILE_GROUP ? CRN_CLI_TILE_GROUP : (size_t)piece / 4 * 4;
}

cairn_status crn_cli_knn_search(const struct crn_cli_knn *knn, uint32_t *ids, double *distances,
                                cairn_error *err)
{
    struct work w = {
        .knn = knn, .distances = crn_cli_tile_distances(), .ids = ids, .out_distances = distances};
    unsigned threads = knn->threads > 0 ? knn->threads : crn_cpu_count();

    w.op = CRN_CLI_TILE_L2;
    if (knn->metric == CAIRN_METRIC_DOT) w.op = CRN_CLI_TILE_DOT;
    if (knn->metric == CAIRN_METRIC_MANHATTAN) w.op = CRN_CLI_TILE_L1;
    w.padded_dim = ((size_t)knn->dim + CRN_CLI_TILE_LANES - 1) / CRN_CLI_TILE_LANES * CRN_CLI_TILE_LANES;
    w.candidates = (size_t)knn->k + SLACK;
    if (w.candidates > knn->row_count) w.candidates = (size_t)knn->row_count + 1;
    size_t piece = piece_of(knn->query_count, threads);
    w.tiles_total = (size_t)((knn->query_count + piece - 1) / piece * ((knn->row_count + BLOCK - 1) / BLOCK));
    crn_parallel_for(threads, (size_t)knn->query_count, piece, run_piece, &w);
    if (atomic_load(&w.cancelled)) return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    if (atomic_load(&w.no_memory)) {
        return crn_error_no_memory(err, BLOCK * (2 * w.padded_dim + BLOCK) * sizeof(float));
    }
    return CAIRN_OK;
}
