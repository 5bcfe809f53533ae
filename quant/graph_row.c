/* Kernels of graph rows in plain C, and the choice among the tables. */
#include "quant/graph_row_isa.h"
#include "quant/graph_row_plain.h"

#include "base/cpu.h"

#define CRN_GRAPH_KERNELS crn_graph_kernels_plain
#define CRN_GRAPH_NAME "plain"
#include "quant/graph_row_body.h"

void crn_graph_signs_write(const struct crn_graph_layout *layout, const uint8_t *row, uint8_t *record)
{
    struct crn_graph_head head;
    uint32_t squares = 0, absolutes = 0;

    memcpy(&head, row + layout->head, CRN_GRAPH_HEAD_BYTES);
    memset(record, 0, layout->dims / 8);
    for (uint32_t j = 0; j < layout->dims; j++) {
        const int32_t z = (int32_t)row[j] - 128;
        squares += (uint32_t)(z * z);
        absolutes += (uint32_t)(z < 0 ? -z : z);
        record[j / 8] |= (uint8_t)((uint32_t)(z >= 0) << j % 8);
    }
    const float factors[2] = {head.weight,
                              absolutes == 0 ? 0 : head.scale * (float)squares / (float)absolutes};
    memcpy(record + layout->dims / 8, factors, sizeof factors);
}

const struct crn_graph_kernels *crn_graph_kernels_get(void)
{
    switch (crn_cpu_level()) {
#if defined(__x86_64__)
    case CRN_CPU_AVX512:
        return &crn_graph_kernels_avx512;
    case CRN_CPU_AVX2:
        return &crn_graph_kernels_avx2;
#elif defined(__aarch64__)
    case CRN_CPU_NEON:
        return &crn_graph_kernels_neon;
#endif
    default:
        return &crn_graph_kernels_plain;
    }
}
