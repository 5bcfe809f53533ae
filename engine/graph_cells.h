/*
 * Cells of a graph's nodes: clusters by k-means (ivf_cluster.c), about twice as many as the root of the number of nodes. Nodes are
 * numbered cell by cell, so that near ones share pages, and a filter's rows in one cell lie beside each other. Searches compare
 * whole cells where a walk would have to visit too many nodes (graph_scan.h).
 */
#ifndef CRN_ENGINE_GRAPH_CELLS_H
#define CRN_ENGINE_GRAPH_CELLS_H

#include "engine/graph_build.h"

/* Fills the build's positions, numbers and cells; rough: sooner, for graphs that are soon replaced. Rows that cannot be
 * clustered are one cell. CANCELLED, NO_MEMORY. */
cairn_status crn_graph_cells_make(struct crn_graph_build *build, const struct crn_index_rows *rows,
                                  bool rough, unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                                  cairn_error *err);

#endif
