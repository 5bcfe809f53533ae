/* Kernels of graph rows in plain C, and the choice among the tables. */
#include "quant/graph_row_plain.h"
#include "quant/graph_row_isa.h"

#include "base/cpu.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_plain
#define CRN_GRAPH_NAME "plain"
#include "quant/graph_row_body.h"

const struct crn_graph_kernels *crn_graph_kernels_get(void)
{
#if defined(__x86_64__)
    if (crn_cpu_level() == CRN_CPU_AVX512) return &crn_graph_kernels_avx512;
#endif
    return &crn_graph_kernels_plain;
}
