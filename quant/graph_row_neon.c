/* Kernels of graph rows, compiled for 64-bit ARM. */
#include "quant/graph_row_neon.h"
#include "quant/graph_row_isa.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_neon
#define CRN_GRAPH_NAME "neon"
#include "quant/graph_row_body.h"
