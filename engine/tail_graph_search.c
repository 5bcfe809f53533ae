/* Searching the graph over a tail (tail_graph.h). */
#include "engine/tail_graph_internal.h"

#include "quant/flat_scan.h"
#include "quant/vector.h"

#include <math.h>

#define EFFORT 64u /* places of the pool, beyond some for each row wanted */
#define EFFORT_FOR_EACH 3u
#define WALK_COST 4u /* a visit costs about as much as comparing so many rows */
#define SETTLED_LEAST \
    10u /* nearest nodes that shall have been the same for long when a walk ends before its pool is visited */
#define RESCORE_LEAST 16u /* rows beyond k that are compared in any case */

struct search {
    const struct crn_tail *tail;
    const struct crn_tail_graph *graph;
    const struct crn_tail_graph_ask *ask;
    struct crn_graph_scratch scratch;
    float factor; /* of the query's length */
    float norm2;  /* of the query, in the frame's units, when dot products are asked for */
    float slack;  /* by how much a code's distance may be wrong */
    uint32_t effort;
};

/* How many places the walk's pool needs so that enough allowed rows are met. False: comparing them costs less. */
static bool plan_effort(struct search *search)
{
    const struct crn_tail_graph_ask *ask = search->ask;
    const uint64_t usual = EFFORT + EFFORT_FOR_EACH * (uint64_t)ask->k,
                   asked = ask->ef > ask->k ? ask->ef : ask->k;
    const uint64_t wanted = ask->ef != 0 ? asked : usual;

    if (wanted * ask->nodes >= (uint64_t)ask->allowed * ask->allowed / WALK_COST) return false;
    search->effort = (uint32_t)(wanted * ask->nodes / ask->allowed);
    return true;
}

/* Rotates the query and makes its tables. For dot products its length says nothing: it is made that of the frame's radius, where
 * differences are largest beside the constants. False: it lies where nothing can be told apart. */
static bool prepare_query(struct search *search)
{
    const struct crn_graph_frame *frame = &search->graph->graph.frame;
    struct crn_graph_query *query = &search->scratch.query;
    const float *vector = search->ask->vector;
    float scaled[CRN_GRAPH_DIMS_MAX];
    struct crn_graph_point point;

    search->factor = 1;
    if (search->graph->op == CRN_OP_DOT) {
        const double norm2 = crn_vector_norm2(vector, frame->dim) * frame->gain * frame->gain;
        if (frame->heights && norm2 > 0) search->factor = (float)sqrt(frame->radius2 / norm2);
        search->norm2 = (float)(norm2 * search->factor * search->factor);
        crn_vector_scale(vector, frame->dim, search->factor, scaled);
        vector = scaled;
    }
    crn_graph_frame_point(frame, vector, query->rotated, &point);
    if (!(point.norm2 <= CRN_TAIL_GRAPH_FAR2) || !isfinite(search->factor)) return false;
    crn_graph_kernels_get()->query_prepare(query);
    query->constant = point.constant;
    search->slack = 0.004f * sqrtf(point.norm2);
    return true;
}

/* What a code's distance would be if it were exact: of a raw one (kernels.h). */
static float code_distance(const struct search *search, float raw)
{
    const struct crn_graph_frame *frame = &search->graph->graph.frame;
    const float gained = raw * frame->gain * frame->gain;

    return search->graph->op == CRN_OP_L2 ? gained
                                          : search->norm2 + frame->radius2 + 2 * gained * search->factor;
}

static bool is_allowed(const struct search *search, uint32_t row)
{
    const struct crn_tail_graph_ask *ask = search->ask;

    if (row >= ask->count) return false;
    return ask->allow == NULL || (ask->allow[row / 64] >> (row % 64) & 1) != 0;
}

/* The next row that equals a node, after the node itself or one of them; CRN_GRAPH_NO_NODE after the last. */
static uint32_t next_twin(const struct search *search, uint32_t row)
{
    const uint32_t next =
        atomic_load_explicit(&search->graph->twins[row], memory_order_acquire) & ~CRN_TAIL_GRAPH_TWIN;
    return next == 0 ? CRN_GRAPH_NO_NODE : next - 1;
}

/* Are enough rows found? */
static bool is_enough(const struct search *search)
{
    const struct crn_tail_graph_ask *ask = search->ask;
    const size_t wanted = ask->allowed < ask->k ? ask->allowed : ask->k;
    size_t found = 0;

    for (uint32_t i = 0; found < wanted && i < search->scratch.near_count; i++) {
        uint32_t row = (uint32_t)search->scratch.near[i] & CRN_GRAPH_KEY_NODE;
        for (; found < wanted && row != CRN_GRAPH_NO_NODE; row = next_twin(search, row))
            found += is_allowed(search, row);
    }
    return found >= wanted;
}

static float exact_distance(const struct search *search, uint32_t row)
{
    const struct crn_tail *tail = search->tail;
    const uint32_t at = row % tail->chunk_rows;
    struct crn_hit hit = {.distance = NAN};
    struct crn_topk one;

    crn_topk_init(&one, &hit, 1);
    crn_flat_scan_f32_at(search->graph->op, search->ask->vector, crn_tail_chunk_of(tail, row)->vectors,
                         tail->dim, &at, 1, 0, &one);
    return hit.distance;
}

/* Compares a node and lists it and the rows that equal it. Returns how many are listed. */
static uint32_t score(const struct search *search, uint32_t node, struct crn_topk *top)
{
    float distance = NAN;
    uint32_t listed = 0;

    for (uint32_t row = node; row != CRN_GRAPH_NO_NODE; row = next_twin(search, row)) {
        if (!is_allowed(search, row)) continue;
        if (listed++ == 0) distance = exact_distance(search, node);
        crn_topk_push(top, distance, search->ask->label + row);
    }
    return listed;
}

/* Compares what the walk found, nearest first, until the rest cannot be near enough. */
static void rescore(const struct search *search, struct crn_topk *top)
{
    const uint64_t *near = search->scratch.near;
    size_t listed = 0;

    for (uint32_t i = 0; i < search->scratch.near_count; i++) {
        if (listed >= search->ask->k + RESCORE_LEAST) {
            const float limit = code_distance(search, crn_topk_limit(top));
            if (crn_graph_key_distance(near[i]) > limit + 0.02f * fabsf(limit) + search->slack) break;
        }
        if (i + 2 < search->scratch.near_count) {
            const float *next = crn_tail_vector(search->tail, (uint32_t)near[i + 2] & CRN_GRAPH_KEY_NODE);
            for (uint32_t j = 0; j < search->tail->dim; j += 16) __builtin_prefetch(next + j);
        }
        listed += score(search, (uint32_t)near[i] & CRN_GRAPH_KEY_NODE, top);
    }
    /* Rows that are no nodes. */
    const uint32_t outside = atomic_load_explicit(&search->graph->outside_count, memory_order_acquire);
    for (uint32_t i = 0; i < outside && search->graph->outside[i] < search->ask->count; i++) {
        (void)score(search, search->graph->outside[i], top);
    }
}

/* Rows that may not be found are met as well: nodes whose equals may. */
static bool walk(struct search *search)
{
    const struct crn_tail_graph_ask *ask = search->ask;
    const struct crn_tail_entries *entries =
        atomic_load_explicit(&search->graph->entries, memory_order_acquire);
    struct crn_graph graph = search->graph->graph;
    struct crn_graph_ask how = {.effort = search->effort, .keep = search->effort};

    if (entries == NULL) return false;
    if (crn_graph_scratch_reserve(&search->scratch, graph.layout.dims, ask->nodes, search->effort,
                                  search->effort, NULL) != CAIRN_OK)
        return false;
    if (!prepare_query(search)) return false;
    graph.entries = entries->rows;
    graph.entry_blocks = entries->blocks;
    if (ask->allow == NULL) {
        const size_t nearest = ask->k > SETTLED_LEAST ? ask->k : SETTLED_LEAST;
        how.settled = nearest < search->effort ? (uint32_t)nearest : search->effort;
        how.patience = crn_graph_patience(search->effort);
    }
    graph.count = ask->nodes; /* what was inserted later is not walked through */
    crn_graph_walk(&graph, &search->scratch, &how);
    return is_enough(search);
}

bool crn_tail_graph_search(const struct crn_tail *tail, const struct crn_tail_graph_ask *ask,
                           struct crn_topk *top)
{
    struct search search = {
        .tail = tail, .graph = atomic_load_explicit(&tail->graph, memory_order_acquire), .ask = ask};

    if (search.graph == NULL || !plan_effort(&search)) return false;
    const bool found = walk(&search);
    if (found) rescore(&search, top);
    crn_graph_scratch_release(&search.scratch);
    return found;
}
