/* Searching with a filter (graph_filter.h). */
#include "engine/graph_filter.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/graph_scan.h"

#define VISIT_SIGNS 50.0 /* records of signs compared in the time of one visit */
#define VISITS_EACH 0.5  /* visits for each node met for each of the wanted ones: one visit sees many */
#define POOL_VISITS 1.5  /* places of the pool for each visit expected: more may turn out to be needed */
#define SPARE 32u        /* nodes kept beyond twice the wanted ones */
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
    filter->counts = crn_mem_calloc(opened->cells, sizeof *filter->counts);
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
    for (uint32_t c = 0; c < opened->cells; c++) {
        filter->counts[c] = (uint32_t)crn_bits_count_between(filter->words, opened->cell_starts[c],
                                                             opened->cell_starts[c + 1]);
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

/* Cells that hold allowed nodes, the nearest on top of a heap. */
struct ranked {
    uint64_t *heap; /* keys, by crn_graph_key */
    uint32_t count;
};

static void sift(uint64_t *heap, uint32_t count, uint32_t at)
{
    const uint64_t key = heap[at];
    uint32_t child;

    for (; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (heap[child] >= key) break;
        heap[at] = heap[child];
    }
    heap[at] = key;
}

static void order(struct ranked *ranked)
{
    for (uint32_t at = ranked->count / 2; at-- > 0;) sift(ranked->heap, ranked->count, at);
}

static struct ranked rank_cells(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch)
{
    struct ranked ranked = {scratch->pool, opened->cells};

    for (uint32_t c = 0; c < opened->cells; c++) scratch->nodes[c] = c;
    crn_graph_kernels_get()->signs_estimate(&scratch->query, 0, opened->cell_records, scratch->nodes,
                                            opened->cells, scratch->bounds);
    for (uint32_t c = 0; c < opened->cells; c++) ranked.heap[c] = crn_graph_key(scratch->bounds[c], c);
    order(&ranked);
    return ranked;
}

/* Leaves out the cells without allowed nodes. */
static void keep_allowed(struct ranked *ranked, const struct crn_index_filter *filter)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ranked->count; i++) {
        ranked->heap[kept] = ranked->heap[i];
        kept += filter->counts[(uint32_t)ranked->heap[i]] > 0;
    }
    if (kept == ranked->count) return;
    ranked->count = kept;
    order(ranked);
}

static uint32_t take_cell(struct ranked *ranked)
{
    const uint32_t cell = (uint32_t)ranked->heap[0];

    ranked->heap[0] = ranked->heap[--ranked->count];
    if (ranked->count > 0) sift(ranked->heap, ranked->count, 0);
    return cell;
}

/* Puts the allowed nodes of a cell behind the `count` in the scratch. */
static uint32_t take_nodes(const struct crn_graph_opened *opened, const struct crn_index_filter *filter,
                           uint32_t cell, uint32_t *nodes, uint32_t count)
{
    const uint32_t begin = opened->cell_starts[cell], end = opened->cell_starts[cell + 1];

    if (filter->counts[cell] == 0) return count;
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

/* Where a share of the nodes near the query is allowed. */
static struct cost cost_of(const struct crn_graph_filtered *asked, double share)
{
    const double most = asked->base + asked->rows / VISIT_SIGNS;

    return (struct cost){
        .walk = share > 0 ? asked->base + VISITS_EACH * asked->k * (1 / share - 1) : 2 * most, .cells = most};
}

static cairn_status check_rows(const struct crn_graph_scratch *scratch, cairn_error *err)
{
    if (scratch->damaged)
        return crn_error_set(err, CAIRN_CORRUPT, "a row of the graph does not match its checksum");
    return CAIRN_OK;
}

/* Compares the first `count` of the scratch's nodes. */
static cairn_status compare(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                            const struct crn_graph_filtered *asked, uint32_t count, uint32_t keep,
                            cairn_error *err)
{
    const struct crn_graph_scan scan = {.records = opened->signs,
                                        .count = count,
                                        .wanted = asked->k,
                                        .keep = keep,
                                        .query_length = asked->query_length};

    CRN_TRY(crn_graph_verify_signs(opened, err));
    crn_graph_scan(&opened->graph, scratch, &scan);
    return check_rows(scratch, err);
}

static cairn_status compare_all(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                                const struct crn_graph_filtered *asked, uint32_t keep, cairn_error *err)
{
    uint32_t count = 0;

    for (uint32_t c = 0; c < opened->cells; c++)
        count = take_nodes(opened, asked->filter, c, scratch->nodes, count);
    return compare(opened, scratch, asked, count, keep, err);
}

/* Takes nodes of the nearest cells into the scratch until there are as many as are worth comparing, and compares them. */
static cairn_status compare_cells(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                                  const struct crn_graph_filtered *asked, struct ranked *ranked,
                                  uint32_t count, uint32_t keep, cairn_error *err)
{
    const double part = share_of(opened, asked) < WALK_SHARE ? 1 : DENSE_ROWS;

    keep_allowed(ranked, asked->filter);
    while (ranked->count > 0 && count < part * asked->rows)
        count = take_nodes(opened, asked->filter, take_cell(ranked), scratch->nodes, count);
    return compare(opened, scratch, asked, count, keep, err);
}

/* Takes the nodes of the cells nearest to the query into the scratch, and tells the share of them that is allowed. */
static double take_nearby(const struct crn_graph_opened *opened, struct crn_graph_scratch *scratch,
                          const struct crn_index_filter *filter, struct ranked *ranked, uint32_t *out_count)
{
    uint32_t nodes = 0;

    *out_count = 0;
    while (ranked->count > 0 && nodes < NEAR_NODES) {
        const uint32_t cell = take_cell(ranked);
        nodes += opened->cell_starts[cell + 1] - opened->cell_starts[cell];
        *out_count = take_nodes(opened, filter, cell, scratch->nodes, *out_count);
    }
    return nodes == 0 ? 0 : (double)*out_count / nodes;
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
    const struct crn_index_filter *filter = asked->filter;
    const uint32_t most = filter->count > opened->cells ? filter->count : opened->cells;
    bool enough = false;

    CRN_TRY(crn_graph_scratch_reserve(scratch, opened->graph.layout.dims, opened->graph.count, opened->cells,
                                      keep, err));
    CRN_TRY(crn_graph_scratch_reserve_nodes(scratch, most, err));
    if (filter->count <= asked->rows) return compare_all(opened, scratch, asked, keep, err);
    struct ranked ranked = {0};
    double nearby = share_of(opened, asked);
    uint32_t count = 0;
    if (nearby < WALK_SHARE) {
        ranked = rank_cells(opened, scratch);
        nearby = take_nearby(opened, scratch, filter, &ranked, &count);
    }
    const struct cost cost = cost_of(asked, nearby);
    if (nearby >= NEAR_SHARE * share_of(opened, asked) && cost.walk <= cost.cells) {
        CRN_TRY(walk(opened, scratch, asked, &cost, keep, &enough, err));
        if (enough) return CAIRN_OK;
        ranked.heap = NULL; /* the walk has overwritten it */
    }
    if (ranked.heap == NULL) {
        CRN_TRY(crn_graph_scratch_reserve(scratch, opened->graph.layout.dims, opened->graph.count,
                                          opened->cells, keep, err));
        ranked = rank_cells(opened, scratch);
        count = 0;
    }
    return compare_cells(opened, scratch, asked, &ranked, count, keep, err);
}

cairn_status crn_graph_search_filtered(const struct crn_graph_opened *opened,
                                       struct crn_graph_scratch *scratch,
                                       const struct crn_graph_filtered *asked, cairn_error *err)
{
    const uint32_t keep = asked->k + (asked->base < asked->k + SPARE ? asked->base : asked->k + SPARE);
    struct crn_graph_filtered with = *asked;

    if (asked->filter != NULL) return search(opened, scratch, asked, keep, err);
    if (share_of(opened, asked) >= WALK_SHARE) {
        const struct cost cost = cost_of(asked, share_of(opened, asked));
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
