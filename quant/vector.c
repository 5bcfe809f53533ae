/* A single vector's arithmetic, written as loops without branches over independent lanes, so that a compiler
 * vectorises them without being allowed to reorder floating-point sums. */
#include "quant/vector.h"

#include <stdint.h>
#include <string.h>

#define LANES 8
#define ABS_MASK 0x7fffffffu
#define EXPONENT_ONE 0x00800000u /* added to an exponent of all ones it carries into the sign bit */

static uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

bool crn_vector_finite(const float *vector, size_t n)
{
    uint32_t carried = 0;

    for (size_t i = 0; i < n; i++) carried |= (float_bits(vector[i]) & ABS_MASK) + EXPONENT_ONE;
    return carried >> 31 == 0;
}

double crn_vector_norm2(const float *vector, size_t n)
{
    double lanes[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) lanes[j] += (double)vector[i + j] * vector[i + j];
    }
    for (size_t j = 0; i + j < n; j++) lanes[j] += (double)vector[i + j] * vector[i + j];
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

float crn_vector_max_abs(const float *vector, size_t n)
{
    /* Floats without sign order like their bits, and NaN above all. */
    int32_t largest = 0;
    float max;

    for (size_t i = 0; i < n; i++) {
        const int32_t bits = (int32_t)(float_bits(vector[i]) & ABS_MASK);

        largest = bits > largest ? bits : largest;
    }
    memcpy(&max, &largest, sizeof max);
    return max;
}

void crn_vector_scale(const float *vector, size_t n, double factor, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)(vector[i] * factor);
}
