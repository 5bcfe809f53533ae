/* The inline functions of graph rows in NEON. */
#include "quant/graph_row_isa.h"
#include "quant/graph_row_neon.h"

#define GRAPH_ROW_FORM graph_row_form_neon
#define GRAPH_ROW_KERNELS crn_graph_kernels_neon
#include "tests/quant/graph_row_form.h"
