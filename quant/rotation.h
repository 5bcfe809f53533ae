/*
 * A seeded random rotation: what spreads a vector's length evenly over its dimensions, so that coarse codes of them
 * all are equally good. Randomized fast Hadamard transforms (Ailon and Chazelle, STOC 2006): random signs, then a
 * transform, several rounds. A dim that is no power of two is padded to a multiple of 64 and rotated by the largest power
 * of two that fits, laid in turn over the first and over the last dimensions, which overlap.
 *
 * Costs padded * log2(block) * rounds additions and keeps lengths and dot products to a relative error of about 2^-21.
 * Uses no fused arithmetic: the result is the same bit for bit on every processor. Shared: any threads at once.
 */
#ifndef CRN_QUANT_ROTATION_H
#define CRN_QUANT_ROTATION_H

#include <stddef.h>
#include <stdint.h>

#define CRN_ROTATION_ALIGN 64u /* a padded dim is a multiple of it */

struct crn_rotation {
    size_t padded; /* dimensions of the result */
    size_t block;  /* dimensions of one transform, a power of two, at most padded */
    size_t rounds;
    const float *signs; /* [rounds][block], +-1/sqrt(block) */
};

/* The smallest multiple of CRN_ROTATION_ALIGN that holds dim. */
size_t crn_rotation_padded(size_t dim);

/* How many floats of memory crn_rotation_init wants for a padded dim. */
size_t crn_rotation_floats(size_t padded);

/* Draws a rotation from the seed. `memory`, aligned to 64 bytes, must live as long as the rotation. */
void crn_rotation_init(struct crn_rotation *rotation, size_t padded, uint64_t seed, float *memory);

/* Rotates vector[padded] in place; aligned to 64 bytes. */
void crn_rotate(const struct crn_rotation *rotation, float *vector);

#endif
