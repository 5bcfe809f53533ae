/* Drawing a rotation, and choosing the transform for this processor. */
#include "quant/rotation_isa.h"

#include "base/cpu.h"
#include "base/rng.h"

#include <math.h>

#define CRN_ROTATE crn_rotate_plain
#include "quant/rotation_body.h"

#define ROUNDS_WHOLE 3u    /* the block is all dimensions */
#define ROUNDS_OVERLAID 4u /* each end twice */

size_t crn_rotation_padded(size_t dim)
{
    return (dim + CRN_ROTATION_ALIGN - 1) / CRN_ROTATION_ALIGN * CRN_ROTATION_ALIGN;
}

static size_t block_of(size_t padded)
{
    size_t block = CRN_ROTATION_ALIGN;

    while (block * 2 <= padded) block *= 2;
    return block;
}

static size_t rounds_of(size_t padded)
{
    return block_of(padded) == padded ? ROUNDS_WHOLE : ROUNDS_OVERLAID;
}

size_t crn_rotation_floats(size_t padded)
{
    return rounds_of(padded) * block_of(padded);
}

void crn_rotation_init(struct crn_rotation *rotation, size_t padded, uint64_t seed, float *memory)
{
    struct crn_rng rng;

    rotation->padded = padded;
    rotation->block = block_of(padded);
    rotation->rounds = rounds_of(padded);
    rotation->signs = memory;
    const float length = 1 / sqrtf((float)rotation->block);
    crn_rng_init(&rng, seed);
    for (size_t i = 0; i < rotation->rounds * rotation->block; i++)
        memory[i] = crn_rng_u64(&rng) >> 63 ? length : -length;
}

void crn_rotate(const struct crn_rotation *rotation, float *vector)
{
#if defined(__x86_64__)
    switch (crn_cpu_level()) {
    case CRN_CPU_AVX512:
        crn_rotate_avx512(rotation, vector);
        return;
    case CRN_CPU_AVX2:
        crn_rotate_avx2(rotation, vector);
        return;
    default:
        break;
    }
#endif
    crn_rotate_plain(rotation, vector);
}
