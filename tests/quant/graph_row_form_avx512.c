/* The inline functions of graph rows in AVX-512. */
#include "quant/graph_row_avx512.h"
#include "quant/graph_row_isa.h"

#define GRAPH_ROW_FORM graph_row_form_avx512
#define GRAPH_ROW_KERNELS crn_graph_kernels_avx512
#include "tests/quant/graph_row_form.h"
