/*
 * Building a whole graph over the rows of a segment.
 *
 * Phases: fit the frame; find equal rows; insert all others but a few held out, in random order, by several threads; refine all lists
 * (graph_refine.h); measure on the rows held out, whose exact neighbours are found by scanning, what recall each effort gives and how far
 * code distances are off; insert those too, and put equal rows beside theirs (graph_twins.h); number the nodes breadth-first, so that
 * neighbours share pages.
 *
 * Memory: a row, and 152 bytes (156 with heights), for each node, besides the vectors; while refining 256 more.
 */
#ifndef CRN_ENGINE_GRAPH_BUILD_H
#define CRN_ENGINE_GRAPH_BUILD_H

#include "engine/graph_insert.h"
#include "engine/index.h"

#define CRN_GRAPH_EFFORTS 12u

/* What was measured on rows that were not in the graph yet: k = 10, distances compared, ties counting as found. */
struct crn_graph_calibration {
    uint32_t queries; /* 0: too few rows, nothing measured */
    float error;      /* standard deviation of code distance minus distance, for a query with |z| = 1 */
    uint32_t efforts[CRN_GRAPH_EFFORTS];
    float recalls[CRN_GRAPH_EFFORTS];
};

struct crn_graph_build {
    struct crn_graph_growing growing;
    struct crn_graph_calibration calibration;
    uint32_t *positions; /* [count] the row of the i-th node in breadth-first order */
    uint32_t *numbers;   /* [count] the inverse */
    void *frame_memory;
    uint64_t seed;
};

/* CANCELLED, NO_MEMORY. Released by crn_graph_build_release, also after failing. */
cairn_status crn_graph_build(const struct crn_index_rows *rows, unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                             struct crn_graph_build *out, cairn_error *err);
void crn_graph_build_release(struct crn_graph_build *build);

/* The distance of graph_row.h that a raw distance (kernels.h) of a vector stands for. */
float crn_graph_distance_of(const struct crn_graph_frame *frame, float query_norm2, float raw);

#endif
