/* Cells by distance (graph_rank.h). */
#include "engine/graph_rank.h"

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

static void order(struct crn_graph_ranked *ranked)
{
    for (uint32_t at = ranked->count / 2; at-- > 0;) sift(ranked->heap, ranked->count, at);
}

struct crn_graph_ranked crn_graph_rank_cells(const struct crn_graph *graph,
                                             const struct crn_graph_cells *cells,
                                             struct crn_graph_scratch *scratch)
{
    const size_t row_bytes = graph->layout.row_bytes;
    struct crn_graph_ranked ranked = {scratch->pool, cells->count};
    float estimates[CRN_GRAPH_DEGREE];

    for (uint32_t c = 0; c < cells->count; c++) {
        const uint32_t slot = c % CRN_GRAPH_DEGREE;
        if (slot == 0)
            (void)crn_graph_kernels_get()->row_estimate(&graph->layout, &scratch->query,
                                                        cells->centroids + c / CRN_GRAPH_DEGREE * row_bytes,
                                                        estimates);
        ranked.heap[c] = crn_graph_key(estimates[slot], c);
    }
    order(&ranked);
    return ranked;
}

void crn_graph_rank_keep(struct crn_graph_ranked *ranked, const uint32_t *counts)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ranked->count; i++) {
        ranked->heap[kept] = ranked->heap[i];
        kept += counts[(uint32_t)ranked->heap[i]] > 0;
    }
    if (kept == ranked->count) return;
    ranked->count = kept;
    order(ranked);
}

uint32_t crn_graph_rank_take(struct crn_graph_ranked *ranked)
{
    const uint32_t cell = (uint32_t)ranked->heap[0];

    ranked->heap[0] = ranked->heap[--ranked->count];
    if (ranked->count > 0) sift(ranked->heap, ranked->count, 0);
    return cell;
}
