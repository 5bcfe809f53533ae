/*
 * Searching a graph with a filter: whether to walk, to compare the allowed nodes of the cells nearest to the query, or all of them.
 *
 *   walk    where the allowed nodes lie near the query, and not too few of them (graph_walk_filter.h)
 *   cells   else: cells in the order of their centroids' distance, until they hold as many allowed nodes as are worth comparing; a cell
 *           without any costs nothing. Those nodes are compared by their signs, the best by their codes (graph_scan.h)
 *   all     where the allowed nodes are no more than that
 */
#ifndef CRN_ENGINE_GRAPH_FILTER_H
#define CRN_ENGINE_GRAPH_FILTER_H

#include "engine/graph_file.h"
#include "engine/index.h"

/* A filter by nodes instead of positions. Immutable; kept as long as the same filter is asked with. */
struct crn_index_filter {
    uint64_t *words;  /* bit n: node n may be listed */
    uint32_t *counts; /* [cells] how many of each may */
    uint32_t count;   /* of all */
};

/* nodes: [graph.count] the node of each position. NULL: no memory. Freed by crn_graph_filter_free (NULL accepted). */
struct crn_index_filter *crn_graph_filter_create(const struct crn_graph_opened *opened, const uint32_t *nodes,
                                                 const uint64_t *allow);
void crn_graph_filter_free(struct crn_index_filter *filter);

struct crn_graph_filtered {
    const uint64_t *allow; /* by position */
    uint32_t allowed;
    const struct crn_index_filter *filter; /* the same by node; NULL: only what needs it makes one */
    const uint32_t *nodes; /* [graph.count] the node of each position; NULL where there is a filter */
    uint32_t k, base;      /* base: visits that would be enough without a filter */
    uint32_t rows;         /* allowed nodes that are worth comparing */
    float query_length;    /* |z| of the query */
};

/* Leaves what it finds in scratch->near, ascending by code distance; scratch->query is prepared. CORRUPT, NO_MEMORY. */
cairn_status crn_graph_search_filtered(const struct crn_graph_opened *opened,
                                       struct crn_graph_scratch *scratch,
                                       const struct crn_graph_filtered *asked, cairn_error *err);

#endif
