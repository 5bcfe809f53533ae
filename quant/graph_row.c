/* Kernels of graph rows in plain C, and the choice among the tables. */
#include "quant/graph_row_plain.h"
#include "quant/graph_row_isa.h"

#include "base/cpu.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_plain
#define CRN_GRAPH_NAME "plain"
#include "quant/graph_row_body.h"

const struct crn_graph_kernels *crn_graph_kernels_get(void)
{
    switch (crn_cpu_level()) {
#if defined(__x86_64__)
    case CRN_CPU_AVX512: return &crn_graph_kernels_avx512;
    case CRN_CPU_AVX2: return &crn_graph_kernels_avx2;
#elif defined(__aarch64__)
    case CRN_CPU_NEON: return &crn_graph_kernels_neon;
#endif
    default: return &crn_graph_kernels_plain;
    }
}
