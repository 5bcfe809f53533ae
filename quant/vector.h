/*
 * A single vector's arithmetic: what the engine does to each one that comes in. Plain C, which the compiler
 * vectorises; the same result bit for bit on every machine. Distances to many rows are in kernels.h.
 */
#ifndef CRN_QUANT_VECTOR_H
#define CRN_QUANT_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

/* Whether no element is a NaN or an infinity. */
bool crn_vector_finite(const float *vector, size_t n);

/* Sum of squares, in double: neither the largest nor the smallest floats overflow or vanish. Relative error
 * below (n/8 + 8) * 2^-53. */
double crn_vector_norm2(const float *vector, size_t n);

/* Largest absolute value: 0 for n = 0; NaN when there is a NaN. */
float crn_vector_max_abs(const float *vector, size_t n);

/* out[i] = vector[i] * factor, rounded once from the product in double. In place when out is vector. */
void crn_vector_scale(const float *vector, size_t n, double factor, float *out);

#endif
