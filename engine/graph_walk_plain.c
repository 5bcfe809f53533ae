/* The graph's search loop in plain C. */
#include "quant/graph_row_plain.h"

#include "engine/graph_walk_isa.h"

#define CRN_GRAPH_WALK crn_graph_walk_plain
#include "engine/graph_walk.h"
