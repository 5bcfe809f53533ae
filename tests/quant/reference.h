/* What the kernels must compute, in double and in the plainest way; and how far from it they may be. */
#ifndef CRN_TESTS_QUANT_REFERENCE_H
#define CRN_TESTS_QUANT_REFERENCE_H

#include "quant/kernels.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* A distance, and T: the sum of the absolute values of its terms, which the error bounds are relative to. */
struct reference {
    double distance;
    double magnitude;
};

static inline struct reference reference_f32(enum crn_op op, const float *query, const float *row, size_t dim)
{
    struct reference sum = {0, 0};

    for (size_t i = 0; i < dim; i++) {
        const double q = query[i], x = row[i];
        const double term = op == CRN_OP_DOT ? -q * x : op == CRN_OP_L2 ? (q - x) * (q - x) : fabs(q - x);

        sum.distance += term;
        sum.magnitude += fabs(term);
    }
    return sum;
}

static inline struct reference reference_i8_l1(const float *query, const int8_t *row, float scale, size_t dim)
{
    struct reference sum = {0, 0};

    for (size_t i = 0; i < dim; i++) {
        const double q = query[i], x = (double)scale * row[i];

        sum.distance += fabs(q - x);
        sum.magnitude += fabs(q) + fabs(x);
    }
    return sum;
}

static inline int64_t reference_i8(const int8_t *plane, const int8_t *row, size_t dim)
{
    int64_t sum = 0;

    for (size_t i = 0; i < dim; i++) sum += plane[i] * row[i];
    return sum;
}

/* The bound stated in quant/kernels.h. */
static inline double reference_bound(size_t dim, double magnitude)
{
    return ((double)dim / 16 + 16) * 0x1p-24 * magnitude + (double)dim * 0x1p-148;
}

#endif
