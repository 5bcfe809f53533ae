/* The half-float codec: rows scaled by a power of two, rounded and compared in its units. */
#include "quant/f16.h"

#include <math.h>
#include <string.h>

#define MAX_EXPONENT 15         /* of the set's largest magnitude in units: below 2^15 */
#define UNIT_MIN 0x1p-120f      /* smaller ones, of sets of almost nothing, would have no reciprocal */
#define HALF_MAX 0x1.ffcp15f    /* the largest half */
#define NORMAL_BITS 0x38800000u /* of 2^-14, the smallest normal half, as a float */
#define REBIAS (112u << 23)     /* between the exponents' biases */

float crn_f16_unit(float largest)
{
    int exponent;

    if (!(largest > 0)) return 1;
    frexpf(largest, &exponent); /* largest < 2^exponent */
    const float unit = ldexpf(1, exponent - MAX_EXPONENT);
    return unit < UNIT_MIN ? UNIT_MIN : unit;
}

/* Rounds |x| <= HALF_MAX to nearest, ties to even. Without branches, so that a compiler vectorises it. */
static inline uint16_t to_half(float x)
{
    const float magnitude = fabsf(x), shifted = magnitude + 0.5f;
    uint32_t bits, sign, small;

    memcpy(&bits, &magnitude, sizeof bits);
    memcpy(&sign, &x, sizeof sign);
    /* Below the smallest normal half the sum with 1/2 rounds to multiples of 2^-24, in its low bits. */
    memcpy(&small, &shifted, sizeof small);
    const uint32_t normal = (bits + 0xfff + (bits >> 13 & 1) - REBIAS) >> 13;
    const uint32_t half = bits < NORMAL_BITS ? small - 0x3f000000u : normal;
    return (uint16_t)(half | (sign >> 16 & 0x8000u));
}

void crn_f16_encode(const float *row, size_t dim, float unit, uint16_t *halves)
{
    const float inverse = 1 / unit;

    for (size_t i = 0; i < dim; i++) {
        const float x = row[i] * inverse;
        const float low = x > HALF_MAX ? HALF_MAX : x;

        halves[i] = to_half(low < -HALF_MAX ? -HALF_MAX : low);
    }
}

void crn_f16_query_prepare(enum crn_op op, const float *query, size_t dim, float unit, float *memory,
                           struct crn_f16_query *out)
{
    /* Products take the unit afterwards, differences need it before. */
    const float inverse = op == CRN_OP_DOT ? 1 : 1 / unit;

    for (size_t i = 0; i < dim; i++) memory[i] = query[i] * inverse;
    *out = (struct crn_f16_query){.op = op, .dim = dim, .vector = memory, .unit = unit};
}

/* In two steps for L2: a unit's square may be below the smallest float. */
static void to_distances(const struct crn_f16_query *query, size_t n, float *out)
{
    const float unit = query->unit, again = query->op == CRN_OP_L2 ? unit : 1;

    for (size_t i = 0; i < n; i++) out[i] = out[i] * unit * again;
}

void crn_f16_block(const struct crn_f16_query *query, const uint16_t *rows, size_t n, float *out)
{
    crn_kernels_get()->f16_block[query->op](query->vector, rows, query->dim, n, out);
    to_distances(query, n, out);
}

void crn_f16_gather(const struct crn_f16_query *query, const uint16_t *rows, const uint32_t *pos, size_t n,
                    float *out)
{
    crn_kernels_get()->f16_gather[query->op](query->vector, rows, query->dim, pos, n, out);
    to_distances(query, n, out);
}
