/*
 * Building a whole graph over the rows of a segment.
 *
 * Phases: fit the frame; find equal rows; insert all others but a few held out, in random order, by several threads; refine all lists
 * (graph_refine.h); measure on the rows held out, whose exact neighbours are found by scanning, what recall each effort gives and how far
 * code distances are off; insert those too, and put equal rows beside theirs (graph_twins.h); number the nodes by cells (graph_cells.h).
 *
 * Memory: a row, and 152 bytes (156 with heights), for each node, besides the vectors; while refining 256 more.
 */
#ifndef CRN_ENGINE_GRAPH_BUILD_H
#define CRN_ENGINE_GRAPH_BUILD_H

#include "engine/graph_calibrate.h"

struct crn_graph_build {
    struct crn_graph_growing growing;
    struct crn_graph_calibration calibration;
    uint32_t *positions; /* [count] the row of the i-th node in the order of cells: graph_cells.h */
    uint32_t *numbers;   /* [count] the inverse */
    uint32_t cells;
    uint32_t *cell_starts; /* [cells + 1] the first node of each */
    uint8_t *centroids;    /* [cells] rows of the centroids */
    void *frame_memory;
    uint64_t seed;
};

/* CANCELLED, NO_MEMORY. Released by crn_graph_build_release, also after failing. */
cairn_status crn_graph_build(const struct crn_index_rows *rows, unsigned threads,
                             bool (*cancelled)(void *ctx), void *ctx, struct crn_graph_build *out,
                             cairn_error *err);
void crn_graph_build_release(struct crn_graph_build *build);

#endif
