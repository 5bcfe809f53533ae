/*
 * The search loop where only some nodes may be listed. Part of graph_walk.h, which includes it.
 *
 * What is seen is a candidate, not only what is visited: nodes that may be listed enter a list of their own, `listed`, by estimate, and
 * their codes are compared at the end. So one visit tries 32 nodes, and a tenth of them allowed costs hardly more visits than all.
 *
 *   near    the nearest nodes seen are visited, whether allowed or not, as many as an unfiltered walk would visit and then more,
 *           in proportion to how few of those met are allowed. If that were as dear as comparing all allowed nodes, nothing is listed.
 *   region  where far fewer of those met are allowed than of the whole graph, the allowed ones lie elsewhere: the walk begins anew at the
 *           nearest allowed of the sampled nodes. In turn the nearest allowed node is visited, and the nearest of the others that are
 *           neighbours of visited allowed ones: what lies at the edge of a region is often named only by nodes outside.
 *
 * Related: two-list filtered search and predicate subgraphs (ACORN, Patel et al., SIGMOD 2024; Filtered-DiskANN, Gollapudi et al.,
 * WWW 2023), there with edges or builds of their own; here the graph knows of no filter.
 */

#define FILTER_ENTRIES 16u /* nearest allowed of the sampled nodes */
#define FILTER_LOOK 8u    /* visits between two looks at the local share */
#define NO_KEY UINT64_MAX
#define COMPARED_AHEAD 16u /* codes fetched before they are compared */
#define FILTER_EXPECTED 8 /* allowed nodes expected among those met, from which on their number tells something */
#define FILTER_FEW 2u     /* a local share so much smaller than the whole's: the allowed nodes lie elsewhere */

static inline bool is_allowed(const struct walk *walk, uint32_t node)
{
    const struct crn_graph_ask *ask = walk->ask;
    const uint32_t position = ask->positions == NULL ? node : ask->positions[node];

    return ask->allow[position / 64] >> (position % 64) & 1;
}

static inline void list_allowed(struct walk *walk, uint64_t key)
{
    crn_pool_insert(walk->listed, &walk->listed_count, walk->listed_most, key);
    if (walk->listed_count == walk->listed_most) walk->listed_limit = crn_graph_key_distance(walk->listed[walk->listed_count - 1]);
}

/* Lets more be listed. */
static inline void list_most(struct walk *walk, uint32_t most)
{
    const uint32_t from = walk->listed_most == 0 ? 0 : walk->listed_most + CRN_GRAPH_KEY_PAD;

    if (most <= walk->listed_most) return;
    memset(walk->listed + from, 0xff, (most + CRN_GRAPH_KEY_PAD - from) * sizeof *walk->listed);
    walk->listed_most = most;
    walk->listed_limit = __builtin_inff();
}

/* Lists the nearest allowed of the sampled nodes. */
static void enter_allowed(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_query *query = &walk->scratch->query;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];
    uint64_t best[FILTER_ENTRIES + CRN_GRAPH_KEY_PAD];
    uint32_t found = 0;
    float limit = __builtin_inff();

    memset(best, 0xff, sizeof best);
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        const uint8_t *block = graph->entries + (size_t)b * graph->layout.row_bytes;
        const unsigned count = crn_row_neighbours(&graph->layout, query, block, query->constant, limit, distances, ids);
        for (unsigned i = 0; i < count; i++) {
            if (ids[i] >= graph->count || is_seen(walk, ids[i]) || !is_allowed(walk, ids[i])) continue;
            crn_pool_insert(best, &found, FILTER_ENTRIES, crn_graph_key(distances[i], ids[i]));
            if (found == FILTER_ENTRIES) limit = crn_graph_key_distance(best[found - 1]);
        }
    }
    for (uint32_t i = 0; i < found; i++) {
        const uint32_t node = (uint32_t)best[i] & CRN_GRAPH_KEY_NODE;
        if (is_seen(walk, node)) continue; /* an entry twice */
        mark_seen(walk, node);
        list_allowed(walk, best[i]);
    }
}

static inline void list_near(struct walk *walk, float distance, uint32_t node)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    crn_pool_insert(scratch->near, &scratch->near_count, walk->ask->keep, crn_graph_key(distance, node));
}

/* Marks a key in `listed`. Keys of equal distance are in no order, once some of them are marked. */
static inline void mark_listed(struct walk *walk, uint64_t key)
{
    const uint64_t least = key >> 32 << 32;
    uint32_t at = least == 0 ? 0 : crn_pool_rank(walk->listed, walk->listed_count, least - 1);

    for (; at < walk->listed_count && walk->listed[at] >> 32 == key >> 32; at++) {
        if (walk->listed[at] == key) walk->listed[at] |= VISITED;
    }
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

/* Visits the node of a key, which was taken out of the pool or of `listed`; it is marked there when it stands in both. */
static inline void visit_filtered(struct walk *walk, uint64_t key, float pool_limit)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_query *query = &walk->scratch->query;
    const uint32_t node = (uint32_t)key & CRN_GRAPH_KEY_NODE;
    const uint8_t *row = crn_graph_row(graph, node);
    const float limit = pool_limit > walk->listed_limit ? pool_limit : walk->listed_limit;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    if (!prove_visit(walk, row)) return;
    const float distance = crn_row_distance(&graph->layout, query, row);
    const unsigned count = crn_row_neighbours(&graph->layout, query, row, distance, limit, distances, ids);
    if (is_allowed(walk, node)) {
        mark_listed(walk, key);
        list_near(walk, distance, node);
    }
    for (unsigned i = 0; i < count; i++) {
        if (ids[i] >= graph->count || is_seen(walk, ids[i])) continue;
        const bool allowed = is_allowed(walk, ids[i]), nearer = distances[i] < pool_limit;
        const bool listed = allowed && distances[i] < walk->listed_limit;
        walk->met += nearer;
        walk->met_allowed += nearer && allowed;
        if (nearer || listed) mark_seen(walk, ids[i]);
        if (listed) list_allowed(walk, crn_graph_key(distances[i], ids[i]));
        if (nearer) pool_insert(walk, distances[i], ids[i]);
        pool_limit = pool_limit > walk->limit ? walk->limit : pool_limit;
    }
}

/* How many visits the nearest nodes are worth, by how many of those met were allowed; 0: none more. */
static uint32_t worth_visiting(struct walk *walk)
{
    const struct crn_graph_ask *ask = walk->ask;
    const float expected = ask->share * (float)walk->met;

    walk->elsewhere = expected >= FILTER_EXPECTED && (float)walk->met_allowed * FILTER_FEW < expected;
    if (walk->elsewhere) return 0;
    const float each = (float)(walk->met + 1) / (float)(walk->met_allowed + 1);
    const float visits = (float)ask->base + ask->visits_each * (float)ask->wanted * (each - 1);
    walk->too_few = visits >= (float)ask->most;
    return walk->too_few ? 0 : (uint32_t)visits;
}

/* The nearest key of a list that was not visited yet, marked; NO_KEY: none among the first `most`. */
static inline uint64_t take_key(uint64_t *keys, uint32_t count, uint32_t *next)
{
    while (*next < count && (keys[*next] & VISITED) != 0) ++*next;
    if (*next == count) return NO_KEY;
    const uint64_t key = keys[*next];
    keys[(*next)++] |= VISITED;
    return key;
}

static inline void prefetch_key(const struct walk *walk, uint64_t key)
{
    crn_row_prefetch(&walk->graph->layout, crn_graph_row(walk->graph, (uint32_t)key & CRN_GRAPH_KEY_NODE));
}

static void visit_near(struct walk *walk)
{
    struct crn_graph_scratch *scratch = walk->scratch;
    uint32_t worth = walk->ask->base < walk->ask->most ? walk->ask->base : walk->ask->most;
    uint64_t held = take_key(walk->pool, walk->count, &walk->next);

    while (held != NO_KEY && !scratch->damaged) {
        const uint64_t key = held;
        if (scratch->hops >= worth) {
            worth = worth_visiting(walk);
            if (scratch->hops >= worth) return;
            if (worth > scratch->hops + FILTER_LOOK) worth = scratch->hops + FILTER_LOOK;
        }
        held = take_key(walk->pool, walk->count, &walk->next);
        if (held != NO_KEY) prefetch_key(walk, held);
        visit_filtered(walk, key, walk->limit);
        if (held == NO_KEY) held = take_key(walk->pool, walk->count, &walk->next);
        while (walk->next < walk->count && (walk->pool[walk->next] & VISITED) != 0) walk->next++;
        if (walk->next < walk->count) prefetch_key(walk, walk->pool[walk->next]);
    }
}

/* Visits a node of the region: from an allowed one, others are remembered as ways to more of them. */
static void visit_region(struct walk *walk, uint64_t key)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_query *query = &walk->scratch->query;
    const uint32_t node = (uint32_t)key & CRN_GRAPH_KEY_NODE;
    const uint8_t *row = crn_graph_row(graph, node);
    const bool mine = is_allowed(walk, node);
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    if (!prove_visit(walk, row)) return;
    const float distance = crn_row_distance(&graph->layout, query, row);
    const unsigned count = crn_row_neighbours(&graph->layout, query, row, distance,
                                              mine ? __builtin_inff() : walk->listed_limit, distances, ids);
    if (mine) list_near(walk, distance, node);
    for (unsigned i = 0; i < count; i++) {
        if (ids[i] >= graph->count || is_seen(walk, ids[i])) continue;
        if (is_allowed(walk, ids[i])) {
            if (!(distances[i] < walk->listed_limit)) continue;
            mark_seen(walk, ids[i]);
            list_allowed(walk, crn_graph_key(distances[i], ids[i]));
        } else if (mine && distances[i] < walk->limit) {
            mark_seen(walk, ids[i]);
            pool_insert(walk, distances[i], ids[i]);
        }
    }
}

static inline uint32_t first_unvisited(const struct walk *walk)
{
    uint32_t at = 0;

    while (at < walk->listed_count && (walk->listed[at] & VISITED) != 0) at++;
    return at;
}

/* Visits until the first `region` of the allowed seen are visited, and in turn with each the nearest of the others seen from them. */
static void walk_region(struct walk *walk)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    list_most(walk, walk->ask->region);
    memset(walk->pool, 0xff, (walk->ask->effort + CRN_GRAPH_KEY_PAD) * sizeof *walk->pool);
    walk->count = walk->next = 0;
    walk->limit = __builtin_inff();
    enter_allowed(walk);
    for (uint32_t next = 0; !scratch->damaged && scratch->hops < walk->ask->most;) {
        const uint64_t way = take_key(walk->pool, walk->count, &walk->next);
        next = first_unvisited(walk);
        if (next == walk->listed_count) return;
        if (way != NO_KEY) prefetch_key(walk, way);
        const uint64_t key = walk->listed[next];
        walk->listed[next] |= VISITED;
        visit_region(walk, key);
        next = first_unvisited(walk);
        if (next < walk->listed_count) prefetch_key(walk, walk->listed[next]);
        if (way != NO_KEY && !scratch->damaged && scratch->hops < walk->ask->most) visit_region(walk, way);
    }
}

/* Compares the codes of nodes that were listed, but not visited. */
static void compare_listed(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const uint64_t *listed = walk->listed;
    const uint32_t count = walk->listed_count < walk->ask->compared ? walk->listed_count : walk->ask->compared;

    for (uint32_t i = 0; i < count && i < COMPARED_AHEAD; i++) {
        crn_row_prefetch_code(&graph->layout, crn_graph_row(graph, (uint32_t)listed[i] & CRN_GRAPH_KEY_NODE));
    }
    for (uint32_t i = 0; i < count && !walk->scratch->damaged; i++) {
        const uint32_t node = (uint32_t)listed[i] & CRN_GRAPH_KEY_NODE;
        const uint8_t *row = crn_graph_row(graph, node);
        if (i + COMPARED_AHEAD < count) {
            const uint32_t later = (uint32_t)listed[i + COMPARED_AHEAD] & CRN_GRAPH_KEY_NODE;
            crn_row_prefetch_code(&graph->layout, crn_graph_row(graph, later));
        }
        if ((listed[i] & VISITED) != 0) continue;
        walk->scratch->damaged = graph->prove != NULL && !graph->prove(graph->prove_ctx, row);
        if (!walk->scratch->damaged) list_near(walk, crn_row_distance(&graph->layout, &walk->scratch->query, row), node);
    }
}

static void walk_filtered(struct walk *walk)
{
    walk->listed = walk->scratch->listed;
    list_most(walk, walk->ask->compared);
    for (uint32_t i = 0; i < walk->count; i++) { /* the entries */
        if (is_allowed(walk, (uint32_t)walk->pool[i] & CRN_GRAPH_KEY_NODE)) list_allowed(walk, walk->pool[i]);
    }
    visit_near(walk);
    if (walk->too_few || (walk->elsewhere && walk->ask->region == 0)) {
        walk->scratch->near_count = 0;
        return;
    }
    if (walk->elsewhere && !walk->scratch->damaged) walk_region(walk);
    if (!walk->scratch->damaged) compare_listed(walk);
}

/* Compares the codes of ask->nodes, and visits nothing. */
static void compare_nodes(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_ask *ask = walk->ask;
    struct crn_graph_scratch *scratch = walk->scratch;
    float limit = __builtin_inff();

    for (uint32_t i = 0; i < ask->node_count && !scratch->damaged; i++) {
        const uint8_t *row = crn_graph_row(graph, ask->nodes[i]);
        if (i + COMPARED_AHEAD < ask->node_count) {
            crn_row_prefetch_code(&graph->layout, crn_graph_row(graph, ask->nodes[i + COMPARED_AHEAD]));
        }
        scratch->damaged = graph->prove != NULL && !graph->prove(graph->prove_ctx, row);
        if (scratch->damaged) return;
        const float distance = crn_row_distance(&graph->layout, &scratch->query, row);
        if (!(distance < limit)) continue;
        list_near(walk, distance, ask->nodes[i]);
        if (scratch->near_count == ask->keep) limit = crn_graph_key_distance(scratch->near[scratch->near_count - 1]);
    }
}
