/* Kernels of graph rows, compiled for AVX2. */
#include "quant/graph_row_avx2.h"
#include "quant/graph_row_isa.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_avx2
#define CRN_GRAPH_NAME "avx2"
#include "quant/graph_row_body.h"
