/*
 * Comparing many nodes without a walk: all of them by their records of signs (quant/graph_row.h), then by their codes those that may be
 * among the nearest. For filters that leave few nodes, or nodes far from the query.
 */
#ifndef CRN_ENGINE_GRAPH_SCAN_H
#define CRN_ENGINE_GRAPH_SCAN_H

#include "engine/graph.h"

struct crn_graph_scan {
    const uint8_t *records; /* [graph.count] of signs */
    uint32_t count;     /* nodes to compare: the first in scratch->nodes, which are put into another order */
    uint32_t wanted;    /* that are asked for */
    uint32_t keep;      /* places of the list of the nearest, at least `wanted` */
    float query_length; /* |z| of the query */
};

/* Leaves the nearest by their codes in scratch->near, ascending; scratch->query is prepared, and the scratch reserved for `keep` places
 * and for `count` nodes. scratch->damaged: a row did not match its checksum. */
void crn_graph_scan(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                    const struct crn_graph_scan *scan);

#endif
