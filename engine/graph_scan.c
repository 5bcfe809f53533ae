/* Comparing many nodes without a walk (graph_scan.h). */
#include "engine/graph_scan.h"

#include "base/error.h"
#include "engine/graph_rank.h"

#include <math.h>
#include <stdlib.h>

#define ERROR 1.2f /* standard deviation of an estimate, in units of scale |z_q|: quant/graph_row.h */

/* A bound's key: ascending like the numbers, negative ones too. */
static uint64_t key_of(float bound, uint32_t at)
{
    uint32_t bits;

    memcpy(&bits, &bound, sizeof bits);
    bits ^= (bits >> 31) != 0 ? UINT32_MAX : 0x80000000u;
    return (uint64_t)bits << 32 | at;
}

static void sift_down(uint64_t *heap, uint32_t count, uint64_t key)
{
    uint32_t at = 0, child;

    for (; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[child] <= key) break;
        heap[at] = heap[child];
    }
    heap[at] = key;
}

static int by_place(const void *a, const void *b)
{
    const uint32_t x = (uint32_t) * (const uint64_t *)a, y = (uint32_t) * (const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void crn_graph_put_first(struct crn_graph_scratch *scratch, uint32_t count, uint64_t *heap, uint32_t first)
{
    float *bounds = scratch->bounds;
    float limit = INFINITY;

    memset(heap, 0xff, first * sizeof *heap);
    for (uint32_t i = 0; i < count; i++) {
        if (i >= first && !(bounds[i] < limit)) continue;
        sift_down(heap, first, key_of(bounds[i], i));
        if (i + 1 >= first) limit = bounds[(uint32_t)heap[0]];
    }
    qsort(heap, first, sizeof *heap, by_place);
    for (uint32_t j = 0; j < first; j++) {
        /* Ascending places: the j-th is none of those before j. */
        const uint32_t at = (uint32_t)heap[j], node = scratch->nodes[j];
        const float bound = bounds[j];
        scratch->nodes[j] = scratch->nodes[at];
        bounds[j] = bounds[at];
        scratch->nodes[at] = node;
        bounds[at] = bound;
    }
}

void crn_graph_scan_nodes(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                          const struct crn_graph_scan *scan)
{
    const float slack = CRN_GRAPH_SCAN_ERRORS * ERROR * scan->query_length;
    const bool known = scan->more && scratch->near_count >= scan->wanted; /* how near the wanted ones are */
    const uint32_t least = known ? 0 : crn_graph_scan_least(scan->wanted, scan->keep);
    const struct crn_graph_ask ask = {.keep = scan->keep,
                                      .wanted = scan->wanted,
                                      .nodes = scratch->nodes,
                                      .bounds = scratch->bounds,
                                      .node_count = scan->count,
                                      .first = least < scan->count ? least : scan->count,
                                      .more = scan->more};

    crn_graph_kernels_get()->signs_estimate(&scratch->query, slack, scan->records, scratch->nodes,
                                            scan->count, scratch->bounds);
    if (ask.first > 0) crn_graph_put_first(scratch, scan->count, scratch->listed, ask.first);
    crn_graph_walk(graph, scratch, &ask);
}

void crn_graph_scan_cells(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                          const struct crn_graph_scan *scan)
{
    const struct crn_graph_ask ask = {.keep = scan->keep,
                                      .wanted = scan->wanted,
                                      .cells = scan->cells,
                                      .order = scratch->order,
                                      .order_count = scan->count,
                                      .allow = scan->allow,
                                      .more = scan->more,
                                      .query_length = scan->query_length};

    crn_graph_walk(graph, scratch, &ask);
}

cairn_status crn_graph_scan_all(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                                const struct crn_graph_scan *scan, cairn_error *err)
{
    const struct crn_graph_cells *cells = scan->cells;
    struct crn_graph_scan all = *scan;
    uint32_t nodes = 0;

    CRN_TRY(
        crn_graph_scratch_reserve(scratch, graph->layout.dims, graph->count, cells->count, scan->keep, err));
    CRN_TRY(crn_graph_scratch_reserve_nodes(scratch, crn_graph_scan_held(scan->wanted), cells->count, err));
    struct crn_graph_ranked ranked = crn_graph_rank_cells(graph, cells, scratch);
    all.count = 0;
    /* Those of the first nodes, which tell how near the wanted ones are; the others in any order. */
    while (ranked.count > 0 && nodes < crn_graph_scan_held(scan->wanted)) {
        const uint32_t cell = crn_graph_rank_take(&ranked);
        nodes += cells->cells[cell + 1].node - cells->cells[cell].node;
        scratch->order[all.count++] = cell;
    }
    for (uint32_t i = 0; i < ranked.count; i++) scratch->order[all.count++] = (uint32_t)ranked.heap[i];
    crn_graph_scan_cells(graph, scratch, &all);
    return CAIRN_OK;
}
