/* The graph's search loop in AVX-512. */
#include "quant/graph_row_avx512.h"

#include "engine/graph_walk_isa.h"

#define CRN_GRAPH_WALK crn_graph_walk_avx512
#include "engine/graph_walk.h"
