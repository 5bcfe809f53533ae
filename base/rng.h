/* Seeded random numbers (xoshiro256**, Blackman and Vigna 2018), the same on every machine. No secrets. */
#ifndef CRN_BASE_RNG_H
#define CRN_BASE_RNG_H

#include <stdint.h>

struct crn_rng {
    uint64_t state[4];
};

void crn_rng_init(struct crn_rng *rng, uint64_t seed);
uint64_t crn_rng_u64(struct crn_rng *rng);
uint64_t crn_rng_below(struct crn_rng *rng, uint64_t bound); /* 0..bound-1, unbiased; bound > 0 */
double crn_rng_unit(struct crn_rng *rng);                    /* [0,1) */
double crn_rng_normal(struct crn_rng *rng);                  /* mean 0, deviation 1 */

/* 16 bytes of the system's randomness, for generated ids. Falls back on time and address only if the system
 * has none. */
void crn_rng_entropy(unsigned char out[16]);

#endif
