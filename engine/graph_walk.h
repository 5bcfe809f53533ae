/*
 * The search loop, included once for each instruction set behind its inline kernels (quant/graph_row_*.h).
 *
 * The pool holds the nodes seen, ascending by estimate; the nearest that was not visited yet is next. A node enters the pool once, with
 * its first estimate below the pool's end (entering it again with each better one was measured: the pool fills with doubles, and
 * for equal recall no visit is saved). The node to visit after the present one is chosen and fetched before the present one is
 * worked on: a visit is mostly waiting for memory.
 */
#include "engine/graph.h"

#define VISITED 0x80000000u /* in a pool key: taken out for a visit */

struct walk {
    const struct crn_graph *graph;
    struct crn_graph_scratch *scratch;
    const struct crn_graph_ask *ask;
    uint64_t *pool;
    uint32_t count, next; /* places used; the first that may not be visited */
    float limit;          /* estimates at or above it cannot enter the pool */
    /* With a filter (graph_walk_filter.h): */
    uint64_t *listed; /* allowed nodes seen, ascending by estimate */
    uint32_t listed_count, listed_most;
    float listed_limit;
    uint32_t met, met_allowed; /* nodes that entered the pool */
    bool elsewhere;            /* the allowed ones do not lie near the query */
    bool too_few;              /* finding enough of them would take too many visits */
};

static inline bool is_seen(const struct walk *walk, uint32_t node)
{
    return walk->scratch->seen[node / 64] >> (node % 64) & 1;
}

static inline void mark_seen(struct walk *walk, uint32_t node)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    scratch->seen[node / 64] |= UINT64_C(1) << (node % 64);
    if (scratch->log_count < scratch->log_max) scratch->log[scratch->log_count] = node;
    scratch->log_count++;
}

static inline void mark_all_seen(struct walk *walk, const uint32_t *nodes, unsigned count)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    if (scratch->log_count + count <= scratch->log_max) memcpy(scratch->log + scratch->log_count, nodes, count * sizeof *nodes);
    scratch->log_count += count;
    for (unsigned i = 0; i < count; i++) scratch->seen[nodes[i] / 64] |= UINT64_C(1) << (nodes[i] % 64);
}

static inline void pool_insert(struct walk *walk, float estimate, uint32_t node)
{
    const uint32_t at = crn_pool_insert(walk->pool, &walk->count, walk->ask->effort, crn_graph_key(estimate, node));

    if (at < walk->next) walk->next = at;
    if (walk->count == walk->ask->effort) walk->limit = crn_graph_key_distance(walk->pool[walk->count - 1]);
}

/* Takes the nearest node that was not visited yet out of the pool, or CRN_GRAPH_NO_NODE. */
static inline uint32_t take_next(struct walk *walk)
{
    while (walk->next < walk->count && (walk->pool[walk->next] & VISITED) != 0) walk->next++;
    if (walk->next == walk->count) return CRN_GRAPH_NO_NODE;
    const uint32_t node = (uint32_t)walk->pool[walk->next] & CRN_GRAPH_KEY_NODE;
    walk->pool[walk->next++] |= VISITED;
    return node;
}

static void enter(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_query *query = &walk->scratch->query;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];
    const uint32_t wanted = walk->ask->effort < 2 ? walk->ask->effort : 2;
    uint64_t best[2 + CRN_GRAPH_KEY_PAD];
    uint32_t found = 0;
    float limit = __builtin_inff();

    memset(best, 0xff, sizeof best);
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        const uint8_t *block = graph->entries + (size_t)b * graph->layout.row_bytes;
        const unsigned count = crn_row_neighbours(&graph->layout, query, block, query->constant,
                                                  walk->ask->height != 0 ? __builtin_inff() : limit, distances, ids);
        for (unsigned i = 0; i < count; i++) {
            if (ids[i] >= graph->count) continue;
            if (walk->ask->height != 0) distances[i] -= 2 * walk->ask->height * graph->heights[ids[i]];
            crn_pool_insert(best, &found, wanted, crn_graph_key(distances[i], ids[i]));
            if (found == wanted) limit = crn_graph_key_distance(best[found - 1]);
        }
    }
    for (uint32_t i = 0; i < found; i++) {
        const uint32_t node = (uint32_t)best[i] & CRN_GRAPH_KEY_NODE;
        if (is_seen(walk, node)) continue; /* an entry twice */
        crn_row_prefetch(&graph->layout, crn_graph_row(graph, node));
        mark_seen(walk, node);
        pool_insert(walk, crn_graph_key_distance(best[i]), node);
    }
}

/* Estimates of neighbours in a graph with heights, from a query that has one. */
static unsigned raise_neighbours(const struct walk *walk, uint32_t node, unsigned count, float *distances, uint32_t *ids)
{
    const float *heights = walk->graph->heights;
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        if (ids[i] >= walk->graph->count) continue;
        const float raised = distances[i] - 2 * walk->ask->height * (heights[ids[i]] - heights[node]);
        if (!(raised < walk->limit)) continue;
        distances[kept] = raised;
        ids[kept++] = ids[i];
    }
    return kept;
}

static inline void visit(struct walk *walk, uint32_t node)
{
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint8_t *row = crn_graph_row(graph, node);
    const bool raise = walk->ask->height != 0;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    if (graph->live) crn_graph_lock_read(crn_graph_lock_of(graph, node));
    float distance = crn_row_distance(&graph->layout, &scratch->query, row);
    if (raise) distance -= 2 * walk->ask->height * graph->heights[node];
    unsigned count = crn_row_neighbours(&graph->layout, &scratch->query, row, distance, raise ? __builtin_inff() : walk->limit,
                                        distances, ids);
    if (graph->live) crn_graph_unlock_read(crn_graph_lock_of(graph, node));
    if (raise) count = raise_neighbours(walk, node, count, distances, ids);
    crn_pool_insert(scratch->near, &scratch->near_count, walk->ask->keep, crn_graph_key(distance, node));
    count = crn_row_unseen(scratch->seen, graph->count, distances, ids, count);
    mark_all_seen(walk, ids, count);
    for (unsigned i = 0; i < count; i++) pool_insert(walk, distances[i], ids[i]);
}

static inline void fetch_record(const struct walk *walk, uint64_t key)
{
    const struct crn_graph_ask *ask = walk->ask;
    const uint32_t node = (uint32_t)key & CRN_GRAPH_KEY_NODE;
    const char *record = ask->records + (ask->positions == NULL ? node : ask->positions[node]) * ask->record_bytes;

    for (size_t j = 0; j < ask->record_bytes; j += 64) __builtin_prefetch(record + j, 0, 2);
}

/* Visits until the `effort` nearest seen are visited, or the nearest are settled ("patience": Teofili and Lin, ECIR 2025). */
static inline void walk_all(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint32_t settled = walk->ask->settled, patience = walk->ask->patience;
    uint32_t held = CRN_GRAPH_NO_NODE, changed = 0; /* the visit that changed the nearest last */

    for (;;) {
        const uint32_t node = held != CRN_GRAPH_NO_NODE ? held : take_next(walk);
        if (node == CRN_GRAPH_NO_NODE) break;
        held = take_next(walk);
        if (held != CRN_GRAPH_NO_NODE) crn_row_prefetch(&graph->layout, crn_graph_row(graph, held));
        if (graph->prove != NULL && !graph->prove(graph->prove_ctx, crn_graph_row(graph, node))) {
            scratch->damaged = true;
            break;
        }
        scratch->hops++;
        if (patience == 0) {
            visit(walk, node);
        } else {
            const uint64_t last = scratch->near[settled - 1];
            visit(walk, node);
            if (scratch->near[settled - 1] != last || last == UINT64_MAX) changed = scratch->hops;
            const uint32_t waited = scratch->hops - changed;
            if (waited >= patience) break;
            if (waited != 0 && walk->ask->records != NULL && waited <= scratch->near_count) fetch_record(walk, scratch->near[waited - 1]);
        }
        /* What has become nearest will be next but one. */
        while (walk->next < walk->count && (walk->pool[walk->next] & VISITED) != 0) walk->next++;
        if (walk->next < walk->count) {
            crn_row_prefetch(&graph->layout, crn_graph_row(graph, (uint32_t)walk->pool[walk->next] & CRN_GRAPH_KEY_NODE));
        }
    }
}

#include "engine/graph_walk_filter.h"

void CRN_GRAPH_WALK(const struct crn_graph *graph, struct crn_graph_scratch *scratch, const struct crn_graph_ask *ask)
{
    struct walk walk = {.graph = graph, .scratch = scratch, .ask = ask, .pool = scratch->pool, .limit = __builtin_inff()};

    memset(scratch->near, 0xff, (ask->keep + CRN_GRAPH_KEY_PAD) * sizeof *scratch->near);
    scratch->near_count = scratch->log_count = scratch->hops = 0;
    scratch->damaged = false;
    if (ask->nodes != NULL) {
        compare_nodes(&walk);
        return;
    }
    memset(scratch->pool, 0xff, (ask->effort + CRN_GRAPH_KEY_PAD) * sizeof *scratch->pool);
    enter(&walk);
    if (ask->allow == NULL) {
        walk_all(&walk);
    } else {
        walk_filtered(&walk);
    }
    if (scratch->log_count > scratch->log_max) {
        memset(scratch->seen, 0, ((size_t)graph->count + 63) / 64 * sizeof *scratch->seen);
    } else {
        for (uint32_t i = 0; i < scratch->log_count; i++) scratch->seen[scratch->log[i] / 64] = 0;
    }
}
