/* Searching with a filter (graph_filter.h). */
#include "engine/graph_filter.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/graph_rank.h"
#include "engine/graph_scan.h"

#define VISIT_SIGNS 50.0  /* records of signs compared in the time of one visit */
#define VISIT_NODES 100.0 /* nodes of blocks, likewise */
#define DENSE_CELLS \
    0.2 /* of whose nodes this part is allowed: blocks of all of them are sooner compared than records of these */
#define VISITS_EACH 0.5 /* visits for each node met for each of the wanted ones: one visit sees many */
#define POOL_VISITS 1.5 /* places of the pool for each visit expected: more may turn out to be needed */
#define SPARE 32u       /* nodes kept beyond twice the wanted ones */
#define WALK_SHARE \
    0.3 /* filters of a larger share are walked with, unless the nearest nodes, sampled and soon seen, lie elsewhere: */
#define ENTRY_SHARE 0.65 /* fewer than this part of the share of them is allowed */
#define DENSE_ROWS \
    0.7 /* of the rows worth comparing, of such filters: fewer of the nearest cells hold them */
#define NEAR_NODES \
    1000u /* with others, so many nodes of the nearest cells tell whether the allowed ones lie near: */
#define NEAR_SHARE 0.5 /* at least this part of the share of them is allowed */

/* ---- filters by nodes ---- */

struct crn_index_filter *crn_graph_filter_create(const struct crn_graph_opened *opened, const uint32_t *nodes,
                                                 const uint64_t *allow)
{
    const size_t words = crn_bits_words(opened->graph.count);
    struct crn_index_filter *filter = crn_mem_calloc(1, sizeof *filter);

    if (filter == NULL) return NULL;
    filter->words = crn_mem_calloc(words, sizeof *filter->words);
    filter->counts = crn_mem_calloc(opened->cells.count, sizeof *filter->counts);
    if (filter->words == NULL || filter->counts == NULL) {
        crn_graph_filter_free(filter);
        return NULL;
    }
    for (size_t w = 0; w < words; w++) {
        for (uint64_t bits = allow[w]; bits != 0; bits &= bits - 1) {
            const uint32_t node = nodes[w * 64 + (unsigned)__builtin_ctzll(bits)];
            if (node < opened->graph.count) crn_bits_set(filter->words, node);
        }
    }
    for (uint32_t c = 0; c < opened->cells.count; c++) {
        const struct crn_graph_cell *cell = opened->cells.cells + c;
        filter->counts[c] = (uint32_t)crn_bits_count_between(filter->words, cell[0].node, cell[1].node);
        filter->count += filter->counts[c];
    }
    return filter;
}

void crn_graph_filter_free(struct crn_index_filter *filter)
{
    if (filter == NULL) return;
    crn_mem_free(filter->words);
    crn_mem_free(filter->counts);
    crn_mem_free(filter);
}

/* ---- cells ---- */

/* Cells that are to be compared: scratch->order[count]. */
struct chosen {
    uint32_t count;
    uint32_t allowed; /* nodes of them all */
};

static void choose(struct crn_graph_scratch *scratch, const struct crn_index_filter *filter, uint32_t cell,
                   struct chosen *chosen)
{
    if (filter->counts[cell] == 0) return;
    scratch->order[chosen->count++] = cell;
    chosen->allowed += filter->counts[cell];
}

/* Puts the allowed nodes of a cell behind the `count` in the scratch. */
static uint32_t take_nodes(const struct crn_graph_opened *opened, const struct crn_index_filter *filter,
                           uint32_t cell, uint32_t *nodes, uint32_t count)
{
    const uint32_t begin = opened->cells.cells[cell].node, end = opened->cells.cells[cell + 1].node;

    for (uint32_t w = begin / 64; w <= (end - 1) / 64; w++) {
        for (uint64_t bits = crn_bits_between(filter->words, w, begin, end); bits != 0; bits &= bits - 1) {
            nodes[count++] = w * 64 + (uint32_t)__builtin_ctzll(bits);
        }
    }
    return count;
}

/* ---- ways to search ---- */

/* In visits. */
struct cost {
    double walk, cells;
};

static double share_of(const struct crn_graph_opened *opened, const struct crn_graph_filtered *asked)
{
    return (double)asked->allowed / opened->graph.count;
}

/* Where a share of all nodes is allowed, and another of those near the query. */
static struct cost cost_of(const struct crn_graph_filtered *asked, double share, double nearby)
{
    const double cells = share < DENSE_CELLS ? asked->rows / VISIT_SIGNS : asked->rows / share / VISIT_NODES;
    const double most = asked->base + cells;

    return (struct cost){.walk =
                             nearby > 0 ? asked->base + VISITS_EACH * asked->k * (1 / nearby - 1) : 2 * most,
                         .cells = most};
}

static cairn_status check_rows(const struct crn_graph_scratch *scratch, cairn_error *err)
{
    if (scratch->damaged)
        return crn_error_set(err, CAIRN_CORRUPT, "a row of the graph does not match its checksum");
    return CAIRN_OK;
}

/* Puts the dense ones of the chosen cells first, whose nodes are sooner compared by blocks. Returns how many they are. */
static uint32_t put_dense_first(const struct crn_graph_opened *opened, const struct crn_index_filter *filter,
                                uint32_t *order, const struct chosen *chosen, uint32_t *out_sparse_nodes)
{
    uint32_t dense = 0;

    *out_sparse_nodes = chosen->allowed;
    for (uint32_t i = 0; i < chosen->count; i++) {
        const uint32_t cell = order[i];
        const uint32_t nodes = opened->cells.cells[cell + 1].node - opened->cells.cells[cell].node;
        if (filter->counts[cell] < DENSE_CELLS * nodes) continue;
        order[i] = order[dense];
        order[dense++] = cell;
        *out_sparse_nodes -= filter->counts[cell];
    }
    return dense;
}

/* Compares the allowed nodes of the chosen cells. */
static cairn_status compare(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                            const struct crn_graph_filtered *asked, const struct chosen *chosen,
                            uint32_t keep, cairn_error *err)
{
    const uint32_t held = crn_graph_scan_held(asked->k);
    struct crn_graph_scan scan = {.wanted = asked->k,
                                  .keep = keep,
                                  .query_length = asked->query_length,
                                  .records = opened->signs,
                                  .cells = &opened->cells,
                                  .allow = asked->filter->words};
    uint32_t sparse_nodes;

    const uint32_t dense = put_dense_first(opened, asked->filter, scratch->order, chosen, &sparse_nodes);
    CRN_TRY(crn_graph_scratch_reserve_nodes(scratch, sparse_nodes > held ? sparse_nodes : held,
                                            opened->cells.count, err));
    scan.count = dense;
    crn_graph_scan_cells(&opened->graph, scratch, &scan);
    CRN_TRY(check_rows(scratch, err));
    if (sparse_nodes == 0) return CAIRN_OK;
    CRN_TRY(crn_graph_verify_signs(opened, err));
    scan.more = true;
    scan.count = 0;
    for (uint32_t i = dense; i < chosen->count; i++)
        scan.count = take_nodes(opened, asked->filter, scratch->order[i], scratch->nodes, scan.count);
    crn_graph_scan_nodes(&opened->graph, scratch, &scan);
    return check_rows(scratch, err);
}

static cairn_status compare_all(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                                const struct crn_graph_filtered *asked, uint32_t keep, cairn_error *err)
{
    struct chosen chosen = {0};

    for (uint32_t c = 0; c < opened->cells.count; c++) choose(scratch, asked->filter, c, &chosen);
    return compare(opened, scratch, asked, &chosen, keep, err);
}

/* Takes cells, the nearest first, until they hold as many allowed nodes as are worth comparing, and compares those. */
static cairn_status compare_cells(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                                  const struct crn_graph_filtered *asked, struct crn_graph_ranked *ranked,
                                  struct chosen *chosen, uint32_t keep, cairn_error *err)
{
    const double part = share_of(opened, asked) < WALK_SHARE ? 1 : DENSE_ROWS;

    crn_graph_rank_keep(ranked, asked->filter->counts);
    while (ranked->count > 0 && chosen->allowed < part * asked->rows)
        choose(scratch, asked->filter, crn_graph_rank_take(ranked), chosen);
    return compare(opened, scratch, asked, chosen, keep, err);
}

/* Takes the cells nearest to the query, and tells the share of their nodes that is allowed. */
static double take_nearby(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                          const struct crn_index_filter *filter, struct crn_graph_ranked *ranked,
                          struct chosen *chosen)
{
    uint32_t nodes = 0;

    while (ranked->count > 0 && nodes < NEAR_NODES) {
        const uint32_t cell = crn_graph_rank_take(ranked);
        nodes += opened->cells.cells[cell + 1].node - opened->cells.cells[cell].node;
        choose(scratch, filter, cell, chosen);
    }
    return nodes == 0 ? 0 : (double)chosen->allowed / nodes;
}

/* Walks; *out_enough: that was not given up. */
static cairn_status walk(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                         const struct crn_graph_filtered *asked, const struct cost *cost, uint32_t keep,
                         bool *out_enough, cairn_error *err)
{
    const double share = share_of(opened, asked);
    const double near = share < WALK_SHARE ? 0 : ENTRY_SHARE * share;
    const struct crn_graph_ask ask = {.effort = (uint32_t)(POOL_VISITS * cost->walk) + 1,
                                      .keep = keep,
                                      .allow = asked->filter == NULL ? asked->allow : asked->filter->words,
                                      .positions = asked->filter == NULL ? opened->positions : NULL,
                                      .base = asked->base,
                                      .wanted = asked->k,
                                      .visits_each = (float)VISITS_EACH,
                                      .patience = crn_graph_patience(asked->base),
                                      .near_share = (float)near,
                                      .entries = (uint32_t)(near * CRN_GRAPH_ENTRIES_ASKED),
                                      .most = (uint32_t)(2 * cost->cells)};

    CRN_TRY(crn_graph_scratch_reserve(scratch, opened->graph.layout.dims, opened->graph.count, ask.effort,
                                      keep, err));
    crn_graph_walk(&opened->graph, scratch, &ask);
    *out_enough = !scratch->sparse && scratch->near_count >= asked->k;
    return check_rows(scratch, err);
}

static cairn_status search(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                           const struct crn_graph_filtered *asked, uint32_t keep, cairn_error *err)
{
    const uint32_t dims = opened->graph.layout.dims, count = opened->graph.count, cells = opened->cells.count;
    const struct crn_index_filter *filter = asked->filter;
    struct crn_graph_ranked ranked = {0};
    struct chosen chosen = {0};
    bool enough = false;

    CRN_TRY(crn_graph_scratch_reserve(scratch, dims, count, cells, keep, err));
    CRN_TRY(crn_graph_scratch_reserve_nodes(scratch, 1, cells, err));
    if (filter->count <= asked->rows) return compare_all(opened, scratch, asked, keep, err);
    double nearby = share_of(opened, asked);
    if (nearby < WALK_SHARE) {
        ranked = crn_graph_rank_cells(&opened->graph, &opened->cells, scratch);
        nearby = take_nearby(opened, scratch, filter, &ranked, &chosen);
    }
    const struct cost cost = cost_of(asked, share_of(opened, asked), nearby);
    if (nearby >= NEAR_SHARE * share_of(opened, asked) && cost.walk <= cost.cells) {
        CRN_TRY(walk(opened, scratch, asked, &cost, keep, &enough, err));
        if (enough) return CAIRN_OK;
        ranked.heap = NULL; /* the walk has overwritten it */
    }
    if (ranked.heap == NULL) {
        CRN_TRY(crn_graph_scratch_reserve(scratch, dims, count, cells, keep, err));
        ranked = crn_graph_rank_cells(&opened->graph, &opened->cells, scratch);
        chosen = (struct chosen){0};
    }
    return compare_cells(opened, scratch, asked, &ranked, &chosen, keep, err);
}

cairn_status crn_graph_search_filtered(const struct crn_graph_opened *opened,
                                       struct crn_graph_scratch *scratch,
                                       const struct crn_graph_filtered *asked, cairn_error *err)
{
    const uint32_t keep = asked->k + (asked->base < asked->k + SPARE ? asked->base : asked->k + SPARE);
    struct crn_graph_filtered with = *asked;

    if (asked->filter != NULL) return search(opened, scratch, asked, keep, err);
    if (share_of(opened, asked) >= WALK_SHARE) {
        const struct cost cost = cost_of(asked, share_of(opened, asked), share_of(opened, asked));
        bool enough;
        CRN_TRY(
            crn_graph_scratch_reserve(scratch, opened->graph.layout.dims, opened->graph.count, 1, keep, err));
        CRN_TRY(walk(opened, scratch, asked, &cost, keep, &enough, err));
        if (enough) return CAIRN_OK;
    }
    struct crn_index_filter *filter = crn_graph_filter_create(opened, asked->nodes, asked->allow);
    if (filter == NULL) return crn_error_no_memory(err, opened->graph.count / 8);
    with.filter = filter;
    const cairn_status status = search(opened, scratch, &with, keep, err);
    crn_graph_filter_free(filter);
    return status;
}
