/*
 * A graph's candidates from a GPU: while lists are refined (graph_refine.h), the nearest rows of each node, found on the card by comparing
 * all, stand in for those that a search of the graph would visit. They are chosen from as those are.
 *
 * Used where a GPU is in use by this process (card.h), and no heights are: nearest by product is not nearest in the graph's space then. Slices of
 * nodes are asked for together. The first is done with the card and the second without; the others as the quicker of the two was.
 */
#ifndef CRN_ENGINE_GRAPH_SEED_H
#define CRN_ENGINE_GRAPH_SEED_H

#include "engine/graph_insert.h"
#include "engine/index.h"
#include "gpu/gpu.h"

#define CRN_GRAPH_SEEDS 96u /* a node */

struct crn_graph_seed;

/* nodes: [count] those in the graph; borrowed, as rows are. NULL: there are no seeds; what went wrong was logged. */
struct crn_graph_seed *crn_graph_seed_open(const struct crn_index_rows *rows,
                                           const struct crn_graph_growing *growing, const uint32_t *nodes,
                                           size_t count);
void crn_graph_seed_close(struct crn_graph_seed *seed); /* NULL accepted */

/* Before and after the slice nodes[begin..end). NULL accepted. */
void crn_graph_seed_begin(struct crn_graph_seed *seed, size_t begin, size_t end);
void crn_graph_seed_end(struct crn_graph_seed *seed);

/* [CRN_GRAPH_SEEDS] neighbours of nodes[i], which is in the slice, CRN_GPU_NONE behind the last. NULL: it has none. */
const uint32_t *crn_graph_seed_of(const struct crn_graph_seed *seed, size_t i);

#endif
