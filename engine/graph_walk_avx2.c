/* The graph's search loop in AVX2. */
#include "quant/graph_row_avx2.h"

#include "engine/graph_walk_isa.h"

#define CRN_GRAPH_WALK crn_graph_walk_avx2
#include "engine/graph_walk.h"
