/* The tables of graph_row.h by instruction set. Internal to quant/. */
#ifndef CRN_QUANT_GRAPH_ROW_ISA_H
#define CRN_QUANT_GRAPH_ROW_ISA_H

#include "quant/graph_row.h"

extern const struct crn_graph_kernels crn_graph_kernels_plain;
extern const struct crn_graph_kernels crn_graph_kernels_avx2;
extern const struct crn_graph_kernels crn_graph_kernels_avx512;
extern const struct crn_graph_kernels crn_graph_kernels_neon;

#endif
