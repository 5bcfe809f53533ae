/* A number that tells whether rotations are the same bit for bit on this processor as on every other. */
#ifndef CRN_TESTS_QUANT_ROTATION_DIGEST_H
#define CRN_TESTS_QUANT_ROTATION_DIGEST_H

#include "base/rng.h"
#include "quant/rotation.h"

#include <string.h>

#define ROTATION_DIGEST UINT64_C(0xdd32cfd54353f5eb) /* of every dim that is a multiple of 64, up to 1024 */

static inline uint64_t rotation_digest(void (*rotate)(const struct crn_rotation *rotation, float *vector))
{
    static _Alignas(64) float signs[4 * 1024], vector[1024];
    uint64_t digest = UINT64_C(14695981039346656037); /* FNV-1a */
    struct crn_rotation rotation;
    struct crn_rng rng;

    crn_rng_init(&rng, 20250101);
    for (size_t dims = 64; dims <= 1024; dims += 64) {
        crn_rotation_init(&rotation, dims, crn_rng_u64(&rng), signs);
        for (size_t j = 0; j < dims; j++) vector[j] = (float)crn_rng_unit(&rng) - 0.5f;
        rotate(&rotation, vector);
        for (size_t j = 0; j < dims; j++) {
            uint32_t bits;
            memcpy(&bits, &vector[j], sizeof bits);
            digest = (digest ^ bits) * UINT64_C(1099511628211);
        }
    }
    return digest;
}

#endif
