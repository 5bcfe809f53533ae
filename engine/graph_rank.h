/* A graph's cells in the order of their centroids' distance from a query, the nearest taken first (graph_cells.h). */
#ifndef CRN_ENGINE_GRAPH_RANK_H
#define CRN_ENGINE_GRAPH_RANK_H

#include "engine/graph.h"

/* A heap of keys by crn_graph_key, the nearest on top; in scratch->pool, which is reserved for an effort of cells->count and not used by others
 * meanwhile. */
struct crn_graph_ranked {
    uint64_t *heap;
    uint32_t count;
};

/* By the estimates that scratch->query, which is prepared, gives. */
struct crn_graph_ranked crn_graph_rank_cells(const struct crn_graph *graph,
                                             const struct crn_graph_cells *cells,
                                             struct crn_graph_scratch *scratch);
/* Leaves out those of which counts[cell] is 0. */
void crn_graph_rank_keep(struct crn_graph_ranked *ranked, const uint32_t *counts);
/* The nearest, of one or more. */
uint32_t crn_graph_rank_take(struct crn_graph_ranked *ranked);

#endif
