/* Chooses the lookup kernels for this processor, and lays rows out for them. */
#include "quant/lookup.h"

#include <string.h>

const struct crn_lookup_kernels *crn_lookup_for(enum crn_cpu_level level)
{
    const enum crn_cpu_level highest = crn_cpu_level();

    switch (level) {
    case CRN_CPU_SCALAR:
        return &crn_lookup_scalar;
#if defined(__x86_64__)
    case CRN_CPU_AVX2:
        return highest == CRN_CPU_AVX2 || highest == CRN_CPU_AVX512 ? &crn_lookup_avx2 : NULL;
    case CRN_CPU_AVX512:
        return crn_cpu_has_avx512_bits() ? &crn_lookup_avx512 : NULL;
#elif defined(__aarch64__)
    case CRN_CPU_NEON:
        return highest == CRN_CPU_NEON ? &crn_lookup_neon : NULL;
#endif
    default:
        (void)highest;
        return NULL;
    }
}

const struct crn_lookup_kernels *crn_lookup_get(void)
{
    const enum crn_cpu_level level = crn_cpu_level();
    const struct crn_lookup_kernels *kernels = crn_lookup_for(level);

    /* The first processors with AVX-512 lack the permutations of bytes. */
    if (kernels == NULL && level == CRN_CPU_AVX512) kernels = crn_lookup_for(CRN_CPU_AVX2);
    return kernels != NULL ? kernels : &crn_lookup_scalar;
}

bool crn_lookup_within(const struct crn_lookup_rows *rows, size_t n, float limit, float *out, uint32_t *masks)
{
    const size_t blocks = (n + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS, left = n % CRN_LOOKUP_ROWS;
    uint32_t any = 0;

    crn_lookup_get()->within(rows, blocks, limit, out, masks);
    if (left > 0) masks[blocks - 1] &= (UINT32_C(1) << left) - 1;
    for (size_t b = 0; b < blocks; b++) any |= masks[b];
    return any != 0;
}

void crn_lookup_put(const uint8_t *codes, size_t words, size_t row, uint8_t *block)
{
    uint8_t *at = block + row / 16 * 64 + row % 16;

    for (size_t byte = 0; byte < 4 * words; byte++)
        at[byte / 4 * CRN_LOOKUP_WORD_BYTES + byte % 4 * 16] = codes[byte];
}

void crn_lookup_pack(const uint8_t *rows, size_t count, size_t words, uint8_t *block)
{
    memset(block, 0, words * CRN_LOOKUP_WORD_BYTES);
    for (size_t row = 0; row < count && row < CRN_LOOKUP_ROWS; row++) {
        crn_lookup_put(rows + row * 4 * words, words, row, block);
    }
}
