/* What a graph finds, measured (graph_calibrate.h). */
#include "engine/graph_calibrate.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include "quant/flat_scan.h"
#include "quant/vector.h"

#include <math.h>

#define K 10u
#define GRAIN 8u                          /* rows that a thread searches for at a time */
#define ERRORS_AT (CRN_GRAPH_EFFORTS / 2) /* of the efforts: its walks tell how far code distances are off */
#define SCAN_BYTES \
    (128u << 10) /* compared with all of them before the next: what stays in the second-level cache */

static const uint32_t efforts[CRN_GRAPH_EFFORTS] = {16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768};

/* Of one row: how many of its neighbours each effort finds, and how far code distances are off. */
struct found {
    uint32_t hits[CRN_GRAPH_EFFORTS];
    double errors2;
    uint32_t error_count;
};

struct measure {
    const struct crn_graph_growing *growing;
    const struct crn_index_rows *rows;
    const uint64_t *present;
    const uint32_t *held_out;
    struct crn_graph_scratch *scratches; /* [threads] */
    struct found found[CRN_GRAPH_MEASURED_MOST];
};

float crn_graph_distance_of(const struct crn_graph_frame *frame, float query_norm2, float raw)
{
    const float gain2 = frame->gain * frame->gain;

    return frame->op == CRN_OP_L2 ? raw * gain2 : query_norm2 * gain2 + frame->radius2 + 2 * gain2 * raw;
}

/* How many of the visited nodes are as near as the k-th. */
static void count_found(const struct measure *measure, const struct crn_graph_scratch *scratch,
                        const float *query, float kth, uint32_t e, struct found *found)
{
    const struct crn_index_rows *rows = measure->rows;
    uint32_t hits = 0;

    for (uint32_t n = 0; n < scratch->near_count; n++) {
        const uint32_t row = (uint32_t)scratch->near[n] & CRN_GRAPH_KEY_NODE;
        float raw;
        crn_kernels_get()->f32_gather[rows->op](query, rows->vectors, rows->dim, &row, 1, &raw);
        hits += raw <= kth;
    }
    found->hits[e] = hits < K ? hits : K;
}

static void sum_errors(const struct measure *measure, const struct crn_graph_scratch *scratch,
                       const float *query, float norm2, struct found *found)
{
    const struct crn_graph_frame *frame = &measure->growing->graph.frame;
    const struct crn_index_rows *rows = measure->rows;
    const float query_norm2 = (float)crn_vector_norm2(query, rows->dim);

    for (uint32_t n = 0; n < scratch->near_count && n < 2 * K; n++) {
        const uint32_t row = (uint32_t)scratch->near[n] & CRN_GRAPH_KEY_NODE;
        float raw;
        crn_kernels_get()->f32_gather[rows->op](query, rows->vectors, rows->dim, &row, 1, &raw);
        const double error =
            crn_graph_distance_of(frame, query_norm2, raw) - crn_graph_key_distance(scratch->near[n]);
        found->errors2 += error * error / fmax(norm2, 1e-30);
        found->error_count++;
    }
}

static const float *query_of(const struct measure *measure, size_t i)
{
    return measure->rows->vectors + (size_t)measure->held_out[i] * measure->rows->dim;
}

/* The distances of the K-th nearest rows. Memory would be the limit if each scanned all rows alone. */
static void scan_some(const struct measure *measure, size_t begin, size_t end, float kth[GRAIN])
{
    const struct crn_index_rows *rows = measure->rows;
    const size_t step =
        SCAN_BYTES / (rows->dim * sizeof(float)) / 64 * 64 + 64; /* a piece's bits begin a word */
    struct crn_hit hits[GRAIN][K];
    struct crn_topk top[GRAIN];

    for (size_t i = begin; i < end; i++) crn_topk_init(&top[i - begin], hits[i - begin], K);
    for (size_t at = 0; at < rows->count; at += step) {
        const size_t count = rows->count - at < step ? rows->count - at : step;
        for (size_t i = begin; i < end; i++) {
            crn_flat_scan_f32(rows->op, query_of(measure, i), rows->vectors + at * rows->dim, rows->dim,
                              count, at, measure->present + at / 64, &top[i - begin]);
        }
    }
    for (size_t i = begin; i < end; i++) kth[i - begin] = crn_topk_limit(&top[i - begin]);
}

static void measure_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct measure *measure = ctx;
    const struct crn_graph *graph = &measure->growing->graph;
    struct crn_graph_scratch *scratch = &measure->scratches[worker];
    float kth[GRAIN];

    scan_some(measure, begin, end, kth);
    for (size_t i = begin; i < end; i++) {
        const float *query = query_of(measure, i);
        struct crn_graph_point point;
        crn_graph_frame_point(&graph->frame, query, scratch->query.rotated, &point);
        measure->growing->kernels->query_prepare(&scratch->query);
        scratch->query.constant = point.constant;
        for (uint32_t e = 0; e < CRN_GRAPH_EFFORTS; e++) {
            /* More effort finds no less. */
            const bool all = e != 0 && measure->found[i].hits[e - 1] == K;
            measure->found[i].hits[e] = K;
            if (all && e != ERRORS_AT) continue;
            const struct crn_graph_ask ask = {.effort = efforts[e],
                                              .keep = efforts[e],
                                              .settled = K,
                                              .patience = crn_graph_patience(efforts[e])};
            crn_graph_walk(graph, scratch, &ask);
            if (!all) count_found(measure, scratch, query, kth[i - begin], e, &measure->found[i]);
            if (e == ERRORS_AT) sum_errors(measure, scratch, query, point.norm2, &measure->found[i]);
        }
    }
}

static void sum_up(const struct measure *measure, uint32_t count, struct crn_graph_calibration *out)
{
    double errors2 = 0, error_count = 0;

    for (uint32_t e = 0; e < CRN_GRAPH_EFFORTS; e++) {
        uint32_t hits = 0;
        for (uint32_t i = 0; i < count; i++) hits += measure->found[i].hits[e];
        out->efforts[e] = efforts[e];
        out->recalls[e] = (float)hits / (float)(count * K);
    }
    for (uint32_t i = 0; i < count; i++) {
        errors2 += measure->found[i].errors2;
        error_count += measure->found[i].error_count;
    }
    out->error = (float)sqrt(errors2 / fmax(error_count, 1));
    out->queries = count;
}

cairn_status crn_graph_calibrate(const struct crn_graph_growing *growing, const struct crn_index_rows *rows,
                                 const uint64_t *present, const uint32_t *held_out, uint32_t count,
                                 unsigned threads, struct crn_graph_calibration *out, cairn_error *err)
{
    const uint32_t most = efforts[CRN_GRAPH_EFFORTS - 1];
    struct measure *measure = crn_mem_calloc(1, sizeof *measure);
    cairn_status status = CAIRN_OK;

    if (measure == NULL) return crn_error_no_memory(err, sizeof *measure);
    measure->growing = growing;
    measure->rows = rows;
    measure->present = present;
    measure->held_out = held_out;
    measure->scratches = crn_mem_calloc(threads, sizeof *measure->scratches);
    if (measure->scratches == NULL) status = crn_error_no_memory(err, threads * sizeof *measure->scratches);
    for (unsigned t = 0; status == CAIRN_OK && t < threads; t++) {
        status = crn_graph_scratch_reserve(&measure->scratches[t], growing->graph.layout.dims,
                                           growing->graph.count, most, most, err);
    }
    if (status == CAIRN_OK) {
        crn_parallel_for(threads, count, GRAIN, measure_some, measure);
        sum_up(measure, count, out);
    }
    for (unsigned t = 0; measure->scratches != NULL && t < threads; t++)
        crn_graph_scratch_release(&measure->scratches[t]);
    crn_mem_free(measure->scratches);
    crn_mem_free(measure);
    return status;
}
