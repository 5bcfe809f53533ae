/* Kernels of graph rows, compiled for AVX-512. */
#include "quant/graph_row_avx512.h"
#include "quant/graph_row_isa.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_avx512
#define CRN_GRAPH_NAME "avx512"
#include "quant/graph_row_body.h"
