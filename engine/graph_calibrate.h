/* Measuring a graph with rows that are not in it yet: what recall each effort gives, and how far code distances are off. */
#ifndef CRN_ENGINE_GRAPH_CALIBRATE_H
#define CRN_ENGINE_GRAPH_CALIBRATE_H

#include "engine/graph_insert.h"
#include "engine/index.h"

#define CRN_GRAPH_EFFORTS 12u
#define CRN_GRAPH_MEASURED_MOST 128u

/* k = 10, distances compared, ties counting as found. */
struct crn_graph_calibration {
    uint32_t queries; /* 0: too few rows, nothing measured */
    float error;      /* standard deviation of code distance minus distance, for a query with |z| = 1 */
    uint32_t efforts[CRN_GRAPH_EFFORTS];
    float recalls[CRN_GRAPH_EFFORTS];
};

/* Searches for rows held_out[count], at most CRN_GRAPH_MEASURED_MOST, whose true neighbours among the rows of the bitmap `present` are found by
 * scanning. Nobody inserts meanwhile. NO_MEMORY. */
cairn_status crn_graph_calibrate(const struct crn_graph_growing *growing, const struct crn_index_rows *rows,
                                 const uint64_t *present, const uint32_t *held_out, uint32_t count,
                                 unsigned threads, struct crn_graph_calibration *out, cairn_error *err);

/* The distance of graph_row.h that a raw distance (kernels.h) of a vector stands for. */
float crn_graph_distance_of(const struct crn_graph_frame *frame, float query_norm2, float raw);

#endif
