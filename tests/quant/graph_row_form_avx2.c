/* The inline functions of graph rows in AVX2. */
#include "quant/graph_row_avx2.h"
#include "quant/graph_row_isa.h"

#define GRAPH_ROW_FORM graph_row_form_avx2
#define GRAPH_ROW_KERNELS crn_graph_kernels_avx2
#include "tests/quant/graph_row_form.h"
