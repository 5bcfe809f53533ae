/*
 * Comparing many nodes without a walk: all of them by short codes, then by their own codes those that may be among the nearest. For filters
 * that leave few nodes, or nodes far from the query, and for searches that would visit so many nodes that comparing all is faster.
 *
 *   nodes   one by one, by their records of signs (quant/graph_row.h): where few nodes of a cell are allowed
 *   cells   by blocks of 32 (graph_walk_cells.h): a fourth to a sixth of the time for each node, allowed or not
 */
#ifndef CRN_ENGINE_GRAPH_SCAN_H
#define CRN_ENGINE_GRAPH_SCAN_H

#include "engine/graph.h"

#define CRN_GRAPH_SCAN_ERRORS 2.5f /* standard deviations by which an estimate may be too large */
#define CRN_GRAPH_SCAN_SPARE 16u   /* nodes compared before the others, beyond those wanted */

struct crn_graph_scan {
    uint32_t wanted;    /* nodes that are asked for */
    uint32_t keep;      /* places of the list of the nearest, at least `wanted` */
    float query_length; /* |z| of the query */
    /* Nodes: the first `count` in scratch->nodes, which are put into another order. */
    const uint8_t *records; /* [graph.count] of signs */
    uint32_t count;
    /* Cells: the first `count` in scratch->order, of which the nodes with their bit in `allow` (NULL: all). */
    const struct crn_graph_cells *cells;
    const uint64_t *allow;
    bool more; /* beside what is in scratch->near already, with the same places and the same number wanted */
};

/* Nodes that are held at once while cells are compared: scratch->nodes takes so many. */
static inline uint32_t crn_graph_scan_held(uint32_t wanted)
{
    return (wanted < 512 ? 1024 : 2 * wanted) + 2 * CRN_GRAPH_DEGREE;
}

/* Nodes that are compared by codes before the others, to know how near the wanted ones are. */
static inline uint32_t crn_graph_scan_least(uint32_t wanted, uint32_t keep)
{
    return wanted + CRN_GRAPH_SCAN_SPARE < keep ? wanted + CRN_GRAPH_SCAN_SPARE : keep;
}

/* Both leave the nearest by their codes in scratch->near, ascending; scratch->query is prepared, and the scratch reserved for `keep` places
 * and for the nodes. scratch->damaged: a row did not match its checksum. */
void crn_graph_scan_nodes(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                          const struct crn_graph_scan *scan);
void crn_graph_scan_cells(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                          const struct crn_graph_scan *scan);

/* The same with all nodes, the nearest cells first, whose order is made; `cells` is given. NO_MEMORY. */
cairn_status crn_graph_scan_all(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                                const struct crn_graph_scan *scan, cairn_error *err);

/* For graph_walk_cells.h: puts the `first` of the scratch's `count` nodes whose bounds are the least before the others. heap: [first]. */
void crn_graph_put_first(struct crn_graph_scratch *scratch, uint32_t count, uint64_t *heap, uint32_t first);

#endif
