/* What this processor can do, found once. CAIRN_CPU=scalar|avx2|avx512|neon in the environment lowers it, for
 * tests. */
#ifndef CRN_BASE_CPU_H
#define CRN_BASE_CPU_H

#include <stdbool.h>

enum crn_cpu_level {
    CRN_CPU_SCALAR = 0,
    CRN_CPU_AVX2 = 1,   /* AVX2, FMA, F16C */
    CRN_CPU_AVX512 = 2, /* AVX-512 F, BW, DQ, VL, VNNI */
    CRN_CPU_NEON = 3,
};

enum crn_cpu_level crn_cpu_level(void);
const char *crn_cpu_level_name(enum crn_cpu_level level);
bool crn_cpu_has_avx512_bits(void); /* VBMI and VPOPCNTDQ, at level AVX512 */
unsigned crn_cpu_count(void);       /* processors this process may run on, at least 1 */

#endif
