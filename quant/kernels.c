/* Chooses the table of kernels for this processor. The tables are in kernels_<instruction set>.c. */
#include "quant/kernels.h"

#include "quant/kernels_tables.h"

const struct crn_kernels *crn_kernels_for(enum crn_cpu_level level)
{
    enum crn_cpu_level highest = crn_cpu_level();

    switch (level) {
    case CRN_CPU_SCALAR:
        return &crn_kernels_scalar;
#if defined(__x86_64__)
    case CRN_CPU_AVX2:
        return highest == CRN_CPU_AVX2 || highest == CRN_CPU_AVX512 ? &crn_kernels_avx2 : NULL;
    case CRN_CPU_AVX512:
        return highest == CRN_CPU_AVX512 ? &crn_kernels_avx512 : NULL;
#elif defined(__aarch64__)
    case CRN_CPU_NEON:
        return highest == CRN_CPU_NEON ? &crn_kernels_neon : NULL;
#endif
    default:
        (void)highest;
        return NULL;
    }
}

const struct crn_kernels *crn_kernels_get(void)
{
    const struct crn_kernels *kernels = crn_kernels_for(crn_cpu_level());

    return kernels != NULL ? kernels : &crn_kernels_scalar;
}
