/*
 * Making a graph of one that holds many of its rows already: those keep their codes and neighbours, and only the others are
 * inserted. It costs a part of building it, and finds a little less for the same effort. So a tail's graph becomes that of the
 * segment it is written to, and merged segments get one soon.
 *
 * Phases: copy the rows that are nodes there, under their locks, since it may be growing; name their neighbours by the new numbers,
 * and drop those that are not carried over; insert the other rows, at first without some that are held out, with which is measured
 * what recall each effort gives; rows of other graphs in the order of those, so that neighbours follow each other, each beginning its search at
 * the neighbours it had there (as Apache Lucene merges HNSW graphs), which half the effort is enough for; insert those; put equal rows beside theirs (graph_twins.h); number the nodes by cells.
 */
#ifndef CRN_ENGINE_GRAPH_CARRY_H
#define CRN_ENGINE_GRAPH_CARRY_H

#include "engine/graph_build.h"

/* A graph that holds some of the rows. */
struct crn_graph_carry_part {
    const struct crn_graph *graph;
    const uint32_t *numbers; /* [graph->count] the row of each node, or CRN_GRAPH_NO_NODE. None twice */
};

struct crn_graph_carry {
    const struct crn_graph *from; /* whose nodes are carried over */
    uint64_t seed;                /* of its frame */
    const uint32_t *numbers;      /* as above */
    const float *lengths,
        *norms2; /* what is known of a growing graph's nodes (crn_graph_growing), or NULL: it is measured */
    const struct crn_graph_carry_part *
        others; /* [other_count] of rows to be inserted, or NULL: a row's neighbours there tell where it belongs */
    uint32_t other_count;
};

/* *out_fits: the rows to be inserted are few enough, and such that the frame suits them; else nothing is built. CANCELLED, NO_MEMORY.
 * Released by crn_graph_build_release, also after failing. */
cairn_status crn_graph_carry_over(const struct crn_graph_carry *carry, const struct crn_index_rows *rows,
                                  unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                                  struct crn_graph_build *out, bool *out_fits, cairn_error *err);

#endif
