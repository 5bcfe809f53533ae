/*
 * The search loop, included once for each instruction set behind its inline kernels (quant/graph_row_*.h).
 *
 * The pool holds the nodes seen, ascending by estimate; the nearest that was not visited yet is next. A node enters the pool once, with
 * its first estimate below the pool's end (entering it again with each better one was measured: the pool fills with doubles, and
 * for equal recall no visit is saved). The two nodes to visit after the present one are chosen and fetched before the present one is
 * worked on: a row takes longer to come than a visit lasts.
 */
#include "engine/graph_scan.h"

#define HELD 3     /* nodes on the way to a visit */
#define RECORDS 16 /* fetched during the last visits of a search: most of what is compared at the end */
#define VISITED 0x80000000u /* in a pool key: taken out for a visit */
#define ENTRIES 2u          /* nodes that a walk begins at */

struct walk {
    const struct crn_graph *graph;
    struct crn_graph_scratch *scratch;
    const struct crn_graph_ask *ask;
    struct crn_pool pool;
    uint32_t next; /* the first place of the pool that may not be visited */
    float limit;   /* estimates at or above it cannot enter the pool */
    /* With a filter (graph_walk_filter.h): */
    uint64_t *listed; /* allowed nodes seen, ascending by estimate */
    uint32_t listed_count, listed_most;
    float listed_limit;
    uint32_t met, met_allowed; /* nodes that entered the pool */
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

    if (scratch->log_count + count <= scratch->log_max)
        memcpy(scratch->log + scratch->log_count, nodes, count * sizeof *nodes);
    scratch->log_count += count;
    for (unsigned i = 0; i < count; i++) scratch->seen[nodes[i] / 64] |= UINT64_C(1) << (nodes[i] % 64);
}

/* Enters nodes into the pool that were not in it. */
static inline void pool_insert(struct walk *walk, const float *estimates, const uint32_t *nodes,
                               unsigned count)
{
    const uint32_t at = crn_pool_merge(&walk->pool, estimates, nodes, count);

    if (at < walk->next) walk->next = at;
    if (walk->pool.count == walk->pool.most)
        walk->limit = crn_graph_key_distance(walk->pool.keys[walk->pool.count - 1]);
}

/* Takes the nearest node that was not visited yet out of the pool, or CRN_GRAPH_NO_NODE. */
static inline uint32_t take_next(struct walk *walk)
{
    while (walk->next < walk->pool.count && (walk->pool.keys[walk->next] & VISITED) != 0) walk->next++;
    if (walk->next == walk->pool.count) return CRN_GRAPH_NO_NODE;
    const uint32_t node = (uint32_t)walk->pool.keys[walk->next] & CRN_GRAPH_KEY_NODE;
    walk->pool.keys[walk->next++] |= VISITED;
    return node;
}

/* The nearest of the sampled nodes, as many as are wanted, into best[wanted + CRN_GRAPH_KEY_PAD]; returns how many there are. */
static inline uint32_t nearest_entries(const struct walk *walk, uint32_t wanted, uint64_t *best)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_query *query = &walk->scratch->query;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];
    uint32_t found = 0;
    float limit = __builtin_inff();

    memset(best, 0xff, (wanted + CRN_GRAPH_KEY_PAD) * sizeof *best);
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        const uint8_t *block = graph->entries + (size_t)b * graph->layout.row_bytes;
        const unsigned count =
            crn_row_neighbours(&graph->layout, query, block, query->constant, limit, distances, ids);
        for (unsigned i = 0; i < count; i++) {
            if (ids[i] >= graph->count) continue;
            crn_pool_insert(best, &found, wanted, crn_graph_key(distances[i], ids[i]));
            if (found == wanted) limit = crn_graph_key_distance(best[found - 1]);
        }
    }
    return found;
}

static inline void enter_at(struct walk *walk, uint64_t key)
{
    const uint32_t node = (uint32_t)key & CRN_GRAPH_KEY_NODE;

    if (is_seen(walk, node)) return; /* an entry twice */
    crn_row_prefetch(&walk->graph->layout, crn_graph_row(walk->graph, node));
    mark_seen(walk, node);
    const float estimate = crn_graph_key_distance(key);
    pool_insert(walk, &estimate, &node, 1);
}

static void enter(struct walk *walk)
{
    uint64_t best[ENTRIES + CRN_GRAPH_KEY_PAD];
    const uint32_t found =
        nearest_entries(walk, walk->ask->effort < ENTRIES ? walk->ask->effort : ENTRIES, best);

    for (uint32_t i = 0; i < found; i++) enter_at(walk, best[i]);
}

static void enter_starts(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_ask *ask = walk->ask;

    for (uint32_t i = 0; i < ask->start_count; i++)
        crn_row_prefetch(&graph->layout, crn_graph_row(graph, ask->starts[i]));
    for (uint32_t i = 0; i < ask->start_count; i++) {
        const uint32_t node = ask->starts[i];
        if (is_seen(walk, node)) continue;
        const float distance = crn_row_distance(&graph->layout, &walk->scratch->query,
                                                crn_graph_row(graph, node)); /* of what does not change */
        mark_seen(walk, node);
        pool_insert(walk, &distance, &node, 1);
    }
}

static inline void list_near(struct walk *walk, float distance, uint32_t node)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    crn_pool_insert(scratch->near, &scratch->near_count, walk->ask->keep, crn_graph_key(distance, node));
}

/* Counts a visit. False: the row is damaged. */
static inline bool prove_visit(struct walk *walk, const uint8_t *row)
{
    const struct crn_graph *graph = walk->graph;

    if (graph->prove != NULL && !graph->prove(graph->prove_ctx, row)) {
        walk->scratch->damaged = true;
        return false;
    }
    walk->scratch->hops++;
    return true;
}

static inline void visit(struct walk *walk, uint32_t node)
{
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint8_t *row = crn_graph_row(graph, node);
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    const float distance =
        crn_row_distance(&graph->layout, &scratch->query, row); /* the node's own code does not change */
    unsigned count = 0;
    /* A row that is locked for long has no neighbours this time. */
    if (!graph->live || crn_graph_try_read(crn_graph_lock_of(graph, node))) {
        count =
            crn_row_neighbours(&graph->layout, &scratch->query, row, distance, walk->limit, distances, ids);
        if (graph->live) crn_graph_unlock_read(crn_graph_lock_of(graph, node));
    }
    list_near(walk, distance, node);
    count = crn_row_unseen(scratch->seen, graph->count, distances, ids, count);
    mark_all_seen(walk, ids, count);
    if (count != 0) pool_insert(walk, distances, ids, count);
}

/* Fetches the record of the nearest number `at`, from 1 to RECORDS: they will be compared soon. */
static inline void fetch_record(const struct walk *walk, uint32_t at)
{
    const struct crn_graph_ask *ask = walk->ask;

    if (ask->records == NULL || at - 1 >= RECORDS || at > walk->scratch->near_count) return;
    const uint32_t node = (uint32_t)walk->scratch->near[at - 1] & CRN_GRAPH_KEY_NODE;
    const char *record =
        ask->records + (ask->positions == NULL ? node : ask->positions[node]) * ask->record_bytes;
    for (size_t j = 0; j < ask->record_bytes; j += 64) __builtin_prefetch(record + j, 0, 2);
}

/* Visits until the `effort` nearest seen are visited, or the nearest are settled ("patience": Teofili and Lin, ECIR 2025). */
static inline void walk_all(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint32_t settled = walk->ask->settled, patience = walk->ask->patience;
    uint32_t held[HELD], count = 0; /* taken out of the pool and asked for, the first is next */
    uint32_t changed = 0;           /* the visit that changed the nearest last */

    for (;;) {
        while (count < HELD && (held[count] = take_next(walk)) != CRN_GRAPH_NO_NODE)
            crn_row_prefetch(&graph->layout, crn_graph_row(graph, held[count++]));
        if (count == 0) break;
        const uint32_t node = held[0];
        memmove(held, held + 1, --count * sizeof *held);
        if (!prove_visit(walk, crn_graph_row(graph, node))) break;
        if (patience == 0) {
            visit(walk, node);
        } else {
            const uint64_t last = scratch->near[settled - 1];
            visit(walk, node);
            if (scratch->near[settled - 1] != last || last == UINT64_MAX) changed = scratch->hops;
            const uint32_t waited = scratch->hops - changed;
            if (waited >= patience) break;
            fetch_record(walk, patience > RECORDS ? waited + RECORDS - patience : waited);
        }
    }
}

#include "engine/graph_walk_filter.h"

#include "engine/graph_walk_cells.h"

void CRN_GRAPH_WALK(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                    const struct crn_graph_ask *ask)
{
    struct walk walk = {.graph = graph, .scratch = scratch, .ask = ask, .limit = __builtin_inff()};

    if (!ask->more) {
        memset(scratch->near, 0xff, (ask->keep + CRN_GRAPH_KEY_PAD) * sizeof *scratch->near);
        scratch->near_count = 0;
    } else if (scratch->near_count >= ask->wanted) {
        walk.limit = crn_graph_key_distance(scratch->near[ask->wanted - 1]);
    }
    scratch->log_count = scratch->hops = 0;
    scratch->damaged = false;
    if (ask->nodes != NULL) {
        compare_bounded(&walk, ask->nodes, ask->bounds, ask->first, ask->node_count);
        return;
    }
    if (ask->cells != NULL) {
        compare_cells(&walk);
        return;
    }
    crn_pool_reset(&walk.pool, scratch->pool, ask->effort);
    if (ask->allow == NULL) {
        if (ask->start_count != 0) {
            enter_starts(&walk);
        } else {
            enter(&walk);
        }
        walk_all(&walk);
    } else {
        walk_filtered(&walk);
    }
    const size_t words = ((size_t)graph->count + 63) / 64;
    if (scratch->log_count > scratch->log_max || scratch->log_count > words / 4) {
        memset(scratch->seen, 0, words * sizeof *scratch->seen);
    } else {
        for (uint32_t i = 0; i < scratch->log_count; i++) scratch->seen[scratch->log[i] / 64] = 0;
    }
}
