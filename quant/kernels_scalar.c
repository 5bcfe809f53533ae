/* Kernels in plain C, for processors without the instruction sets of the other tables. */
#include "quant/kernels_tables.h"

#include "quant/kernels_prefetch.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define KERNELS crn_kernels_scalar
#define KERNELS_NAME "scalar"
#define GROUP 4
#define LANES 16 /* independent sums keep the error small and let the compiler use what vectors there are */

typedef float f32_sums;
typedef int32_t i32_sums;

CRN_INLINE float f32_step(enum crn_op op, float sum, float q, float x)
{
    switch (op) {
    case CRN_OP_DOT:
        return sum - q * x;
    case CRN_OP_L2:
        return sum + (q - x) * (q - x);
    case CRN_OP_L1:
        break;
    }
    return sum + fabsf(q - x);
}

CRN_INLINE float add_lanes(float lanes[LANES])
{
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t j = 0; j < width; j++) lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

CRN_INLINE float f32_row(enum crn_op op, const float *query, const float *row, size_t dim, bool stream)
{
    float lanes[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES) {
        if (stream) crn_prefetch_stream(row + i);
        for (size_t j = 0; j < LANES; j++) lanes[j] = f32_step(op, lanes[j], query[i + j], row[i + j]);
    }
    for (size_t j = 0; i + j < dim; j++) lanes[j] = f32_step(op, lanes[j], query[i + j], row[i + j]);
    return add_lanes(lanes);
}

/* A finite half as a float: its bits moved to a float's place are 2^-112 of it. */
CRN_INLINE float from_half(uint16_t half)
{
    const uint32_t bits = (uint32_t)(half & 0x7fffu) << 13, sign = (uint32_t)(half & 0x8000u) << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    x *= 0x1p112f;
    return sign != 0 ? -x : x;
}

CRN_INLINE float f16_row(enum crn_op op, const float *query, const uint16_t *row, size_t dim, bool stream)
{
    float lanes[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES) {
        if (stream) crn_prefetch_stream(row + i);
        for (size_t j = 0; j < LANES; j++)
            lanes[j] = f32_step(op, lanes[j], query[i + j], from_half(row[i + j]));
    }
    for (size_t j = 0; i + j < dim; j++)
        lanes[j] = f32_step(op, lanes[j], query[i + j], from_half(row[i + j]));
    return add_lanes(lanes);
}

CRN_INLINE void i8_row(const struct crn_i8_query *query, const int8_t *row, size_t dim, bool stream,
                       int32_t *out_hi, int32_t *out_lo)
{
    int32_t hi = 0, lo = 0;

    if (stream) {
        for (size_t i = 0; i < dim; i += CRN_CACHE_LINE) crn_prefetch_stream(row + i);
    }
    for (size_t i = 0; i < dim; i++) {
        hi += query->hi[i] * row[i];
        lo += query->lo[i] * row[i];
    }
    *out_hi = hi;
    *out_lo = lo;
}

CRN_INLINE float i8_l1_row(const float *query, const int8_t *row, float scale, size_t dim, bool stream)
{
    float lanes[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES) {
        if (stream && i % CRN_CACHE_LINE == 0) crn_prefetch_stream(row + i);
        for (size_t j = 0; j < LANES; j++) lanes[j] += fabsf(query[i + j] - scale * (float)row[i + j]);
    }
    for (size_t j = 0; i + j < dim; j++) lanes[j] += fabsf(query[i + j] - scale * (float)row[i + j]);
    return add_lanes(lanes);
}

CRN_INLINE void f32_reduce(const f32_sums sums[GROUP], float *out)
{
    memcpy(out, sums, GROUP * sizeof *out);
}

CRN_INLINE void i32_reduce(const i32_sums sums[GROUP], int32_t *out)
{
    memcpy(out, sums, GROUP * sizeof *out);
}

static uint32_t within(const float *x, float limit)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < CRN_WITHIN; i++) bits |= (uint32_t)(x[i] <= limit) << i;
    return bits;
}

#include "quant/kernels_loops.h"
