/* The inline functions of graph rows in plain C. */
#include "quant/graph_row_isa.h"
#include "quant/graph_row_plain.h"

#define GRAPH_ROW_FORM graph_row_form_plain
#define GRAPH_ROW_KERNELS crn_graph_kernels_plain
#include "tests/quant/graph_row_form.h"
