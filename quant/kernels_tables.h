/* The tables of kernels, one an instruction set, for kernels.c alone: running one on a processor without its
 * instructions ends the process. */
#ifndef CRN_QUANT_KERNELS_TABLES_H
#define CRN_QUANT_KERNELS_TABLES_H

#include "quant/kernels.h"

extern const struct crn_kernels crn_kernels_scalar;
extern const struct crn_kernels crn_kernels_avx2;
extern const struct crn_kernels crn_kernels_avx512;
extern const struct crn_kernels crn_kernels_neon;

#endif
