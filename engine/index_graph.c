/*
 * The graph backend: our own graph over quantized rows (graph.h), the default of larger segments.
 *
 * The graph chooses candidates by their codes; they are then compared with the segment's rows at full precision, in the order of
 * their code distances, until those are farther than the k-th best by more than codes err: the distances returned are
 * those of an exact scan.
 *
 * How much is visited follows from the recall that is asked for, by what was measured when the graph was built (graph_build.h).
 *
 * Searches with a filter: graph_filter.h.
 */
#include "engine/graph_filter.h"
#include "engine/graph_scan.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/idle.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define RECALL_DEFAULT 0.98
#define EFFORT_UNMEASURED 64u /* where the segment was too small to measure */
#define EFFORT_MOST 65536u
#define ERROR_UNMEASURED 0.005f
#define ERRORS_ALLOWED 4.0f /* standard deviations by which codes may be off */
#define BATCH 4u            /* rows compared between two looks at the limit */
#define SETTLED_LIMITED \
    4u /* nearest nodes that settle a walk when k others are known: few here are nearer than those */
#define SPARE_ROWS 4u /* rows fetched ahead beyond k: about as many as are compared */

/* Allowed rows that are worth comparing. */
#define CELL_ROWS 2500.0
#define CELL_ROWS_EACH 50.0 /* and for each neighbour that is asked for */
#define CELL_ROWS_EF 16.0   /* at least, for each of `ef` */
/* In graphs of more nodes, more of whose nodes are allowed, by this power of how many times more both are: */
#define CELL_ROWS_OF 200000.0
#define CELL_ROWS_ALLOWED 20000.0
#define CELL_ROWS_POWER 0.75

#define VISIT_NODES 50.0 /* nodes that a scan of all compares, first and last, in the time of a visit */
#define KEEP_EACH \
    4u /* nearest nodes kept for each of k, of which most are farther than those that are compared at full precision */
#define KEEP 64u /* and beyond those */

struct crn_index {
    struct crn_graph_opened opened;
    struct crn_index_rows rows;
    struct crn_idle scratches; /* of searches that have ended */
    _Atomic(uint32_t *)
        nodes; /* [count] the node of each position; made by the first search that compares allowed rows */
};

static cairn_status check(const char *spec, uint32_t dim, enum crn_op op, cairn_error *err)
{
    if (*spec != '\0')
        return crn_error_set(err, CAIRN_INVALID_OPTION, "index graph:%.80s: graph takes no parameters", spec);
    if (op == CRN_OP_L1)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "index graph has no manhattan metric: use flat");
    if (dim > CRN_GRAPH_DIMS_MAX) {
        return crn_error_set(err, CAIRN_INVALID_OPTION,
                             "index graph takes up to %u dimensions, not %u: use faiss:HNSW32",
                             CRN_GRAPH_DIMS_MAX, dim);
    }
    return CAIRN_OK;
}

static cairn_status build(const char *spec, const struct crn_index_rows *rows, unsigned threads,
                          bool (*cancelled)(void *ctx), void *ctx, struct crn_derived_writer *writer,
                          cairn_error *err)
{
    struct crn_graph_build graph;

    CRN_TRY(check(spec, rows->dim, rows->op, err));
    if (rows->count == 0 || rows->count > CRN_GRAPH_NODES_MAX) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "index graph over %zu rows: 1 to %u are possible",
                             rows->count, CRN_GRAPH_NODES_MAX);
    }
    cairn_status status = crn_graph_build(rows, threads, cancelled, ctx, &graph, err);
    if (status == CAIRN_OK) status = crn_graph_write(&graph, writer, err);
    crn_graph_build_release(&graph);
    return status;
}

static void free_scratch(struct crn_graph_scratch *scratch)
{
    crn_graph_scratch_release(scratch);
    crn_mem_free(scratch);
}

static void close_index(struct crn_index *index)
{
    if (index == NULL) return;
    for (struct crn_graph_scratch *scratch; (scratch = crn_idle_take(&index->scratches)) != NULL;)
        free_scratch(scratch);
    crn_mem_free(atomic_load_explicit(&index->nodes, memory_order_relaxed));
    crn_graph_close(&index->opened);
    crn_mem_free(index);
}

static cairn_status open_index(const char *spec, const struct crn_index_rows *rows, struct crn_derived *file,
                               struct crn_index **out_index, cairn_error *err)
{
    struct crn_index *index = crn_mem_calloc(1, sizeof *index);

    (void)spec;
    if (index == NULL) return crn_error_no_memory(err, sizeof *index);
    index->rows = *rows;
    const cairn_status status = crn_graph_open(rows, file, &index->opened, err);
    if (status != CAIRN_OK) {
        close_index(index);
        return status;
    }
    *out_index = index;
    return CAIRN_OK;
}

/* ---- searching ---- */

/* The effort that gave the recall for k = 10, between the measured ones by the line through them. */
static double effort_for(const struct crn_graph_calibration *calibration, double recall)
{
    if (calibration->queries == 0) return EFFORT_UNMEASURED;
    if (calibration->recalls[0] >= recall) return calibration->efforts[0];
    for (uint32_t e = 1; e < CRN_GRAPH_EFFORTS; e++) {
        const double low = calibration->recalls[e - 1], high = calibration->recalls[e];
        if (high < recall || high <= low) continue;
        return calibration->efforts[e - 1] +
               (recall - low) / (high - low) * (calibration->efforts[e] - calibration->efforts[e - 1]);
    }
    return calibration->efforts[CRN_GRAPH_EFFORTS - 1];
}

static uint32_t effort_of(const struct crn_index *index, const struct crn_index_query *query)
{
    double effort = query->ef;

    if (query->ef == 0) {
        effort = effort_for(&index->opened.calibration, query->recall > 0 ? query->recall : RECALL_DEFAULT);
        if (query->k > 10) effort += 1.5 * (double)(query->k - 10);
    }
    if (effort < (double)query->k) effort = (double)query->k;
    if (effort > EFFORT_MOST) effort = EFFORT_MOST;
    return effort < (double)index->rows.count ? (uint32_t)effort : (uint32_t)index->rows.count;
}

static cairn_status prove_vector(const struct crn_index_rows *rows, uint32_t position, cairn_error *err)
{
    const float *vector = rows->vectors + (size_t)position * rows->dim;

    return rows->file == NULL ? CAIRN_OK
                              : crn_derived_verify(rows->file, vector, rows->dim * sizeof *vector, err);
}

/* The first `most` nodes that are nearer than a code distance. */
static void fetch_vectors(const struct crn_index *index, const struct crn_graph_scratch *scratch,
                          uint32_t most, float limit)
{
    const size_t bytes = index->rows.dim * sizeof(float);

    for (uint32_t i = 0;
         i < most && i < scratch->near_count && crn_graph_key_distance(scratch->near[i]) <= limit; i++) {
        const uint32_t position = index->opened.positions[(uint32_t)scratch->near[i] & CRN_GRAPH_KEY_NODE];
        const char *vector = (const char *)(index->rows.vectors + (size_t)position * index->rows.dim);
        for (size_t j = 0; j < bytes; j += 64) __builtin_prefetch(vector + j);
    }
}

/* Compares what the walk found at full precision, nearest codes first. */
static cairn_status rescore(const struct crn_index *index, const struct crn_graph_scratch *scratch,
                            const struct crn_index_query *query, float margin, struct crn_topk *top,
                            cairn_error *err)
{
    const struct crn_graph_frame *frame = &index->opened.graph.frame;
    const struct crn_index_rows *rows = &index->rows;
    const float norm2 = rows->op == CRN_OP_DOT ? (float)crn_vector_norm2(query->vector, rows->dim) : 0;
    uint32_t positions[BATCH];
    float distances[BATCH];

    float limit = query->limited ? crn_graph_distance_of(frame, norm2, query->limit) + margin : INFINITY;
    fetch_vectors(index, scratch, (uint32_t)top->k + SPARE_ROWS, limit);
    for (uint32_t begin = 0; begin < scratch->near_count; begin += BATCH) {
        const uint32_t left = scratch->near_count - begin, count = left < BATCH ? left : BATCH;
        if (top->count == top->k)
            limit = fminf(limit, crn_graph_distance_of(frame, norm2, crn_topk_limit(top)) + margin);
        if (crn_graph_key_distance(scratch->near[begin]) > limit) break;
        for (uint32_t i = 0; i < count; i++) {
            positions[i] = index->opened.positions[(uint32_t)scratch->near[begin + i] & CRN_GRAPH_KEY_NODE];
            CRN_TRY(prove_vector(rows, positions[i], err));
        }
        crn_kernels_get()->f32_gather[rows->op](query->vector, rows->vectors, rows->dim, positions, count,
                                                distances);
        for (uint32_t i = 0; i < count; i++) crn_topk_push(top, distances[i], positions[i]);
    }
    return CAIRN_OK;
}

/* ---- filters ---- */

/* The node of each position. NULL: no memory. */
static const uint32_t *nodes_of(struct crn_index *index)
{
    const uint32_t count = index->opened.graph.count;
    /* Acquire: what the thread that made it wrote is seen. */
    uint32_t *nodes = atomic_load_explicit(&index->nodes, memory_order_acquire), *none = NULL;

    if (nodes != NULL) return nodes;
    nodes = crn_mem_array(count, sizeof *nodes);
    if (nodes == NULL) return NULL;
    memset(nodes, 0xff, count * sizeof *nodes);
    for (uint32_t i = 0; i < count; i++) nodes[index->opened.positions[i]] = i;
    if (atomic_compare_exchange_strong_explicit(&index->nodes, &none, nodes, memory_order_acq_rel,
                                                memory_order_acquire))
        return nodes;
    crn_mem_free(nodes); /* another search was faster */
    return none;
}

static struct crn_index_filter *prepare_filter(const struct crn_index *constant, const uint64_t *allow)
{
    struct crn_index *index = (struct crn_index *)(uintptr_t)constant; /* for its nodes, which are atomic */
    const uint32_t *nodes = nodes_of(index);

    return nodes == NULL ? NULL : crn_graph_filter_create(&index->opened, nodes, allow);
}

/* How many allowed rows are worth comparing: for k = 10 and the usual recall 3,000; for more neighbours, a higher recall, or in a larger
 * graph, more. */
static uint32_t rows_worth(const struct crn_index_query *query, size_t count)
{
    const double times = fmin((double)count / CELL_ROWS_OF, (double)query->allowed / CELL_ROWS_ALLOWED);
    const double larger = times > 1 ? pow(times, CELL_ROWS_POWER) : 1;
    const double recall = query->recall > 0 ? query->recall : RECALL_DEFAULT;
    const double missed = recall < RECALL_DEFAULT ? 1 - RECALL_DEFAULT : 1 - recall;
    const double rows = (CELL_ROWS + CELL_ROWS_EACH * (double)query->k) *
                        (missed > 0.0025 ? (1 - RECALL_DEFAULT) / missed : 8);
    const double least = CELL_ROWS_EF * (double)query->ef;

    return (uint32_t)(larger * (rows > least ? rows : least));
}

static cairn_status search_filtered(struct crn_index *index, struct crn_graph_scratch *scratch,
                                    const struct crn_index_query *query, float length, cairn_error *err)
{
    const struct crn_graph_filtered asked = {.allow = query->allow,
                                             .allowed = (uint32_t)query->allowed,
                                             .filter = query->filter,
                                             .nodes = query->filter == NULL ? nodes_of(index) : NULL,
                                             .k = (uint32_t)query->k,
                                             .base = effort_of(index, query),
                                             .rows = rows_worth(query, index->rows.count),
                                             .query_length = length};

    if (asked.filter == NULL && asked.nodes == NULL)
        return crn_error_no_memory(err, index->rows.count * sizeof *asked.nodes);
    return crn_graph_search_filtered(&index->opened, scratch, &asked, err);
}

/* ---- without a filter ---- */

static cairn_status walk(const struct crn_index *index, struct crn_graph_scratch *scratch,
                         const struct crn_index_query *query, uint32_t effort, cairn_error *err)
{
    const uint32_t k = (uint32_t)query->k;
    const uint32_t settled = query->limited && k > SETTLED_LIMITED ? SETTLED_LIMITED : k;
    const uint32_t keep = KEEP_EACH * k + KEEP < effort ? KEEP_EACH * k + KEEP : effort;
    const struct crn_graph_ask ask = {.effort = effort,
                                      .keep = keep,
                                      .settled = settled < effort ? settled : effort,
                                      .patience = crn_graph_patience(effort),
                                      .positions = index->opened.positions,
                                      .records = query->limited ? NULL : (const char *)index->rows.vectors,
                                      .record_bytes = index->rows.dim * sizeof(float)};

    CRN_TRY(crn_graph_scratch_reserve(scratch, index->opened.graph.layout.dims, index->opened.graph.count,
                                      effort, keep, err));
    crn_graph_walk(&index->opened.graph, scratch, &ask);
    return CAIRN_OK;
}

static cairn_status scan_all(const struct crn_index *index, struct crn_graph_scratch *scratch,
                             const struct crn_index_query *query, float length, cairn_error *err)
{
    const uint32_t k = (uint32_t)query->k;
    const struct crn_graph_scan scan = {
        .wanted = k, .keep = KEEP_EACH * k + KEEP, .query_length = length, .cells = &index->opened.cells};

    return crn_graph_scan_all(&index->opened.graph, scratch, &scan, err);
}

/* A walk, unless it would take longer than comparing all nodes, which finds more. */
static cairn_status search_whole(const struct crn_index *index, struct crn_graph_scratch *scratch,
                                 const struct crn_index_query *query, float length, cairn_error *err)
{
    const uint32_t effort = effort_of(index, query);

    CRN_TRY((double)effort * VISIT_NODES >= (double)index->rows.count
                ? scan_all(index, scratch, query, length, err)
                : walk(index, scratch, query, effort, err));
    if (scratch->damaged)
        return crn_error_set(err, CAIRN_CORRUPT, "a row of the graph does not match its checksum");
    return CAIRN_OK;
}

/* ---- the whole ---- */

static cairn_status find(struct crn_index *index, struct crn_graph_scratch *scratch,
                         const struct crn_index_query *query, struct crn_topk *top, cairn_error *err)
{
    const struct crn_graph *graph = &index->opened.graph;
    const float error =
        index->opened.calibration.queries == 0 ? ERROR_UNMEASURED : index->opened.calibration.error;
    struct crn_graph_point point;

    CRN_TRY(crn_graph_scratch_reserve(scratch, graph->layout.dims, graph->count, 1, 1, err));
    crn_graph_frame_point(&graph->frame, query->vector, scratch->query.rotated, &point);
    crn_graph_kernels_get()->query_prepare(&scratch->query);
    scratch->query.constant = point.constant;
    CRN_TRY(query->allow == NULL ? search_whole(index, scratch, query, sqrtf(point.norm2), err)
                                 : search_filtered(index, scratch, query, sqrtf(point.norm2), err));
    return rescore(index, scratch, query, ERRORS_ALLOWED * error * sqrtf(point.norm2), top, err);
}

static cairn_status search(const struct crn_index *constant, const struct crn_index_query *query,
                           struct crn_topk *top, cairn_error *err)
{
    struct crn_index *index =
        (struct crn_index *)(uintptr_t)constant; /* for its scratches, which are atomic */
    struct crn_graph_scratch *scratch = crn_idle_take(&index->scratches);

    if (scratch == NULL) scratch = crn_mem_calloc(1, sizeof *scratch);
    if (scratch == NULL) return crn_error_no_memory(err, sizeof *scratch);
    const cairn_status status = find(index, scratch, query, top, err);
    if (!crn_idle_give(&index->scratches, scratch)) free_scratch(scratch);
    return status;
}

static size_t memory_bytes(const struct crn_index *index)
{
    return sizeof *index + crn_graph_frame_bytes(index->rows.dim) + index->opened.copy_bytes;
}

_Static_assert(CRN_GRAPH_EFFORTS <= CRN_INDEX_EFFORTS_MAX, "recalls fit");

static void recalls(const struct crn_index *index, struct crn_index_recalls *out)
{
    const struct crn_graph_calibration *measured = &index->opened.calibration;

    if (measured->queries == 0) return;
    out->count = CRN_GRAPH_EFFORTS;
    memcpy(out->efforts, measured->efforts, sizeof measured->efforts);
    memcpy(out->recalls, measured->recalls, sizeof measured->recalls);
}

const struct crn_index_ops crn_index_graph = {
    .name = "graph",
    .opens_at_once = true,
    .filters = true,
    .check = check,
    .build = build,
    .open = open_index,
    .search = search,
    .filter_create = prepare_filter,
    .filter_free = crn_graph_filter_free,
    .close = close_index,
    .memory_bytes = memory_bytes,
    .recalls = recalls,
};
