/*
 * The search loop where only some nodes may be listed. Part of graph_walk.h, which includes it.
 *
 * What is seen is a candidate, not only what is visited: nodes that may be listed enter a list of their own, `listed`, by estimate, and
 * their codes are compared at the end. So one visit tries 32 nodes, and a tenth of them allowed costs hardly more visits than all. The
 * nearest nodes seen are visited, whether allowed or not, as many as an unfiltered walk would visit and then more, in proportion to how few
 * of those met are allowed.
 *
 * Related: two-list filtered search and predicate subgraphs (ACORN, Patel et al., SIGMOD 2024; Filtered-DiskANN, Gollapudi et al.,
 * WWW 2023), there with edges or builds of their own; here the graph knows of no filter.
 */

#define FILTER_LOOK 8u  /* visits between two looks at the local share */
#define NEAR_VISITS 12u /* after so many it is known whether the nearest nodes are allowed: */
#define NEAR_SEEN 64u   /* so many of the nearest seen tell */
#define NO_KEY UINT64_MAX
#define COMPARED_AHEAD 16u /* codes fetched before they are compared */

static inline bool is_allowed(const struct walk *walk, uint32_t node)
{
    const uint32_t position = walk->ask->positions == NULL ? node : walk->ask->positions[node];

    return walk->ask->allow[position / 64] >> (position % 64) & 1;
}

static inline void list_allowed(struct walk *walk, uint64_t key)
{
    crn_pool_insert(walk->listed, &walk->listed_count, walk->listed_most, key);
    if (walk->listed_count == walk->listed_most)
        walk->listed_limit = crn_graph_key_distance(walk->listed[walk->listed_count - 1]);
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

/* Visits the node of a key, which was taken out of the pool or of `listed`; it is marked there when it stands in both. */
static inline void visit_filtered(struct walk *walk, uint64_t key)
{
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint32_t node = (uint32_t)key & CRN_GRAPH_KEY_NODE;
    const uint8_t *row = crn_graph_row(graph, node);
    const float pool_limit = walk->limit;
    const float limit = pool_limit > walk->listed_limit ? pool_limit : walk->listed_limit;
    float distances[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    if (!prove_visit(walk, row)) return;
    const float distance = crn_row_distance(&graph->layout, &scratch->query, row);
    unsigned count =
        crn_row_neighbours(&graph->layout, &scratch->query, row, distance, limit, distances, ids);
    if (is_allowed(walk, node)) {
        mark_listed(walk, key);
        list_near(walk, distance, node);
    }
    count = crn_row_unseen(scratch->seen, graph->count, distances, ids, count);
    mark_all_seen(walk, ids, count);
    for (unsigned i = 0; i < count; i++) {
        const bool allowed = is_allowed(walk, ids[i]), nearer = distances[i] < pool_limit;
        walk->met += nearer;
        walk->met_allowed += nearer && allowed;
        if (allowed && distances[i] < walk->listed_limit)
            list_allowed(walk, crn_graph_key(distances[i], ids[i]));
    }
    if (count != 0) pool_insert(walk, distances, ids, count);
}

/* How many visits the nearest nodes are worth, by how many of those met were allowed; 0: none more. */
static uint32_t worth_visiting(struct walk *walk)
{
    const struct crn_graph_ask *ask = walk->ask;
    const float each = (float)(walk->met + 1) / (float)(walk->met_allowed + 1);
    const float visits = (float)ask->base + ask->visits_each * (float)ask->wanted * (each - 1);

    walk->scratch->sparse = visits >= (float)ask->most;
    return walk->scratch->sparse ? 0 : (uint32_t)visits;
}

/* Whether enough of the nearest nodes seen are allowed. */
static bool is_near(const struct walk *walk)
{
    const uint32_t count = walk->pool.count < NEAR_SEEN ? walk->pool.count : NEAR_SEEN;
    uint32_t allowed = 0;

    for (uint32_t i = 0; i < count; i++)
        allowed += is_allowed(walk, (uint32_t)walk->pool.keys[i] & CRN_GRAPH_KEY_NODE);
    return (float)allowed >= walk->ask->near_share * (float)count;
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
    const uint32_t last = walk->ask->wanted - 1, patience = walk->ask->patience;
    uint32_t worth = walk->ask->base < walk->ask->most ? walk->ask->base : walk->ask->most;
    uint32_t changed = 0; /* the visit that changed the nearest last */
    uint64_t held = take_key(walk->pool.keys, walk->pool.count, &walk->next);

    while (held != NO_KEY && !scratch->damaged) {
        const uint64_t key = held;
        if (scratch->hops >= worth) {
            worth = worth_visiting(walk);
            if (scratch->hops >= worth) return;
            if (worth > scratch->hops + FILTER_LOOK) worth = scratch->hops + FILTER_LOOK;
        }
        if (scratch->hops == NEAR_VISITS && !is_near(walk)) {
            scratch->sparse = true;
            return;
        }
        held = take_key(walk->pool.keys, walk->pool.count, &walk->next);
        if (held != NO_KEY) prefetch_key(walk, held);
        const uint64_t kth = scratch->near[last];
        visit_filtered(walk, key);
        if (scratch->near[last] != kth || kth == UINT64_MAX) changed = scratch->hops;
        if (scratch->hops - changed >= patience) return;
        if (held == NO_KEY) held = take_key(walk->pool.keys, walk->pool.count, &walk->next);
        while (walk->next < walk->pool.count && (walk->pool.keys[walk->next] & VISITED) != 0) walk->next++;
        if (walk->next < walk->pool.count) prefetch_key(walk, walk->pool.keys[walk->next]);
    }
}

/* Compares the codes of nodes that were listed, but not visited. */
static void compare_listed(struct walk *walk)
{
    const struct crn_graph *graph = walk->graph;
    const uint64_t *listed = walk->listed;
    const uint32_t count = walk->listed_count;

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
        if (!walk->scratch->damaged)
            list_near(walk, crn_row_distance(&graph->layout, &walk->scratch->query, row), node);
    }
}

/* False: so few of the sampled nodes nearest to the query are allowed that the allowed ones lie elsewhere. */
static bool enter_allowed(struct walk *walk)
{
    uint64_t best[CRN_GRAPH_ENTRIES_ASKED + CRN_GRAPH_KEY_PAD];
    const uint32_t found = nearest_entries(walk, CRN_GRAPH_ENTRIES_ASKED, best);
    uint32_t allowed = 0;

    for (uint32_t i = 0; i < found; i++) allowed += is_allowed(walk, (uint32_t)best[i] & CRN_GRAPH_KEY_NODE);
    if (found == CRN_GRAPH_ENTRIES_ASKED && allowed < walk->ask->entries) return false;
    for (uint32_t i = 0; i < found && i < ENTRIES; i++) enter_at(walk, best[i]);
    return true;
}

static void walk_filtered(struct walk *walk)
{
    struct crn_graph_scratch *scratch = walk->scratch;

    scratch->sparse = !enter_allowed(walk);
    if (scratch->sparse) return;
    walk->listed = scratch->listed;
    walk->listed_most = walk->ask->keep;
    walk->listed_limit = __builtin_inff();
    memset(walk->listed, 0xff, (walk->listed_most + CRN_GRAPH_KEY_PAD) * sizeof *walk->listed);
    for (uint32_t i = 0; i < walk->pool.count; i++) { /* the entries */
        if (is_allowed(walk, (uint32_t)walk->pool.keys[i] & CRN_GRAPH_KEY_NODE))
            list_allowed(walk, walk->pool.keys[i]);
    }
    visit_near(walk);
    if (!scratch->sparse && !scratch->damaged) compare_listed(walk);
}

static void compare_codes(struct walk *walk, const uint32_t *nodes, const float *bounds, uint32_t count)
{
    const struct crn_graph *graph = walk->graph;
    const struct crn_graph_ask *ask = walk->ask;
    struct crn_graph_scratch *scratch = walk->scratch;

    for (uint32_t i = 0; i < count && i < COMPARED_AHEAD; i++)
        crn_row_prefetch_code(&graph->layout, crn_graph_row(graph, nodes[i]));
    for (uint32_t i = 0; i < count && !scratch->damaged; i++) {
        const uint8_t *row = crn_graph_row(graph, nodes[i]);
        if (i + COMPARED_AHEAD < count)
            crn_row_prefetch_code(&graph->layout, crn_graph_row(graph, nodes[i + COMPARED_AHEAD]));
        if (bounds != NULL && !(bounds[i] < walk->limit)) continue;
        scratch->damaged = graph->prove != NULL && !graph->prove(graph->prove_ctx, row);
        if (scratch->damaged) return;
        list_near(walk, crn_row_distance(&graph->layout, &scratch->query, row), nodes[i]);
        if (scratch->near_count >= ask->wanted)
            walk->limit = crn_graph_key_distance(scratch->near[ask->wanted - 1]);
    }
}

/* Compares the codes of nodes: of the first ones, then of those whose bound is below the limit that these have set. */
static void compare_bounded(struct walk *walk, uint32_t *nodes, float *bounds, uint32_t first, uint32_t count)
{
    uint32_t kept = first;

    compare_codes(walk, nodes, NULL, first);
    for (uint32_t i = first; i < count; i++) {
        nodes[kept] = nodes[i];
        bounds[kept] = bounds[i];
        kept += bounds[i] < walk->limit;
    }
    compare_codes(walk, nodes + first, bounds + first, kept - first);
}
