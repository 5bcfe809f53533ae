/* The search loop by instruction set. Internal to the graph. */
#ifndef CRN_ENGINE_GRAPH_WALK_ISA_H
#define CRN_ENGINE_GRAPH_WALK_ISA_H

#include "engine/graph.h"

void crn_graph_walk_plain(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                          const struct crn_graph_ask *ask);
void crn_graph_walk_avx2(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                         const struct crn_graph_ask *ask);
void crn_graph_walk_neon(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                         const struct crn_graph_ask *ask);
void crn_graph_walk_avx512(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                           const struct crn_graph_ask *ask);

#endif
