/*
 * Comparing whole cells of a graph instead of walking through it. Part of graph_walk.h, which includes it.
 *
 * A block's 32 nodes are compared by their codes from the cell's centroid, as a row's neighbours are in a walk, but less some standard
 * deviations of the estimate's error: a bound that few distances are below. That deviation is 0.6 |b| |z_q - z_c| for a factor b, in
 * the terms of quant/graph_row.h, so the tables' offset is all that changes. Nodes whose bound is below the distance of the wanted ones are
 * compared by their own codes, some together, since each is fetched from elsewhere.
 */

#define DEVIATION 0.6f     /* of an estimate's error, in units of |b| |z_q - z_c| */
#define NODES_TOGETHER 64u /* compared by codes together, once it is known how near the wanted ones are */

/* |z_q - z_c| of a row. */
static inline float length_from(const struct walk *walk, const uint8_t *row, float distance)
{
    const struct crn_graph_layout *layout = &walk->graph->layout;
    const float query_length = walk->ask->query_length;
    struct crn_graph_head head;

    memcpy(&head, row + layout->head, offsetof(struct crn_graph_head, factor_scale));
    const float twice_dot = walk->scratch->query.constant + head.weight - distance;
    const float norm2 = head.scale * head.scale * (float)crn_row_codes_dot(row, row, layout->dims);
    const float length2 = query_length * query_length + norm2 - twice_dot;
    return length2 > 0 ? __builtin_sqrtf(length2) : 0;
}

/* Compares the codes of the nodes that are held. Each is one that no other is, so none is twice in the list. */
static void compare_held(struct walk *walk, uint32_t *count)
{
    const struct crn_graph_ask *ask = walk->ask;
    struct crn_graph_scratch *scratch = walk->scratch;
    const uint32_t least = crn_graph_scan_least(ask->wanted, ask->keep);
    uint32_t first = 0;

    if (scratch->near_count < ask->wanted) {
        first = least < *count ? least : *count;
        crn_graph_put_first(scratch, *count, scratch->listed, first);
    }
    compare_bounded(walk, scratch->nodes, scratch->bounds, first, *count);
    *count = 0;
}

/* Whether some of the nodes from..to-1 are allowed, of which there are at most 64. */
static inline bool some_allowed(const uint64_t *allow, uint32_t from, uint32_t to)
{
    uint64_t bits = allow[from / 64] >> (from % 64);

    if (from % 64 != 0 && (to - 1) / 64 != from / 64) bits |= allow[from / 64 + 1] << (64 - from % 64);
    return (bits & (UINT64_MAX >> (64 - (to - from)))) != 0;
}

/* Fetches the block behind block b of cell ask->order[i]: a block is about a page, and the processor's own fetching ends with it. */
static inline void fetch_next(const struct walk *walk, uint32_t i, uint32_t b)
{
    const struct crn_graph_ask *ask = walk->ask;
    const struct crn_graph_layout *layout = &walk->graph->layout;

    if (b + 1 == ask->cells->cells[ask->order[i] + 1].block) {
        if (i + 1 == ask->order_count) return;
        b = ask->cells->cells[ask->order[i + 1]].block - 1;
    }
    crn_row_prefetch(layout, ask->cells->blocks + (size_t)(b + 1) * layout->row_bytes);
}

/* Cell ask->order[i]. */
static void compare_cell(struct walk *walk, struct crn_graph_query *query, uint32_t i, uint32_t *held)
{
    const struct crn_graph_ask *ask = walk->ask;
    const struct crn_graph *graph = walk->graph;
    struct crn_graph_scratch *scratch = walk->scratch;
    const struct crn_graph_cell *this = ask->cells->cells + ask->order[i], *next = this + 1;
    const uint32_t first = crn_graph_scan_held(ask->wanted) - 2 * CRN_GRAPH_DEGREE;
    float distance = 0;
    bool entered = false;

    for (uint32_t b = this->block; b < next->block; b++) {
        const uint8_t *block = ask->cells->blocks + (size_t)b * graph->layout.row_bytes;
        const uint32_t from = this->node + (b - this->block) * CRN_GRAPH_DEGREE;
        const uint32_t to = next->node - from < CRN_GRAPH_DEGREE ? next->node : from + CRN_GRAPH_DEGREE;

        fetch_next(walk, i, b);
        if (ask->allow != NULL && !some_allowed(ask->allow, from, to)) continue;
        if (graph->prove != NULL && !graph->prove(graph->prove_ctx, block)) {
            scratch->damaged = true;
            return;
        }
        if (!entered) {
            distance = crn_row_distance(&graph->layout, query, block);
            query->table_offset = scratch->query.table_offset +
                                  CRN_GRAPH_SCAN_ERRORS * DEVIATION * length_from(walk, block, distance);
            entered = true;
        }
        uint32_t *nodes = scratch->nodes + *held;
        float *bounds = scratch->bounds + *held;
        const uint32_t count =
            crn_row_neighbours(&graph->layout, query, block, distance, walk->limit, bounds, nodes);
        uint32_t kept = 0;
        for (uint32_t n = 0; n < count; n++) {
            const uint32_t node = nodes[n];
            nodes[kept] = node;
            bounds[kept] = bounds[n];
            kept += node < graph->count && (ask->allow == NULL || is_allowed(walk, node));
        }
        *held += kept;
        if (*held >= (scratch->near_count < ask->wanted ? first : NODES_TOGETHER)) compare_held(walk, held);
        if (scratch->damaged) return;
    }
}

static void compare_cells(struct walk *walk)
{
    const struct crn_graph_ask *ask = walk->ask;
    struct crn_graph_query query = walk->scratch->query; /* its tables are shared */
    uint32_t held = 0;

    for (uint32_t i = 0; i < ask->order_count && !walk->scratch->damaged; i++)
        compare_cell(walk, &query, i, &held);
    if (!walk->scratch->damaged) compare_held(walk, &held);
}
