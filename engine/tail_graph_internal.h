/* What the files of a tail's graph share: tail_graph.c (growing), tail_graph_search.c. */
#ifndef CRN_ENGINE_TAIL_GRAPH_INTERNAL_H
#define CRN_ENGINE_TAIL_GRAPH_INTERNAL_H

#include "engine/graph_insert.h"
#include "engine/tail_graph.h"

/* A squared distance from the mean, in units of the first rows' spread, that codes are not for. */
#define CRN_TAIL_GRAPH_FAR2 1e12f

#define CRN_TAIL_GRAPH_TWIN 0x80000000u /* the row is in another's chain */

/* Where searches begin. A new list is made whenever the graph has doubled; old ones stay, searches may be at them. */
struct crn_tail_entries {
    struct crn_tail_entries *older;
    uint8_t *rows;
    uint32_t blocks;
};

struct crn_tail_graph {
    /* Constant: what searches take, but for the entries and the count. */
    struct crn_graph graph;
    enum crn_op op;
    uint32_t rows_most;
    char *memory; /* reserved */
    size_t memory_bytes;
    void *frame_memory;

    /* Release by the inserting thread: what it wrote before is seen by who reads them with acquire. */
    _Atomic uint32_t inserted;
    _Atomic uint32_t outside_count;
    _Atomic(struct crn_tail_entries *) entries;
    uint32_t outside[CRN_TAIL_GRAPH_OUTSIDE_MOST]; /* ascending rows that are no nodes */
    /* [growing.graph.count] the newest row that equals a node, plus one, or 0; of such a row, the one before, with the bit TWIN. A node's is
     * released after its newest equal's is set, which does not change any more. */
    _Atomic uint32_t *twins;

    /* The inserting thread's, under the tail's graph_mutex. */
    struct crn_graph_growing growing; /* graph.count is what is memory by now */
    struct crn_graph_worker worker;
    uint32_t entries_at; /* rows at which the entries are chosen anew */
    _Atomic size_t bytes;
};

#endif
