/* The graph's search loop in NEON. */
#include "quant/graph_row_neon.h"

#include "engine/graph_walk_isa.h"

#define CRN_GRAPH_WALK crn_graph_walk_neon
#include "engine/graph_walk.h"
