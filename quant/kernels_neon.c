/* Kernels for NEON as every 64-bit ARM has it, with the dot product instruction where the build asks for it.
 * Tails are copied to a vector of zeros, so nothing outside a row is read. */
#include "quant/kernels_tables.h"

#include "quant/kernels_prefetch.h"

#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#define KERNELS crn_kernels_neon
#define KERNELS_NAME "neon"
#define GROUP 4

typedef float32x4_t f32_sums;
typedef int32x4_t i32_sums;

CRN_INLINE float32x4_t f32_step(enum crn_op op, float32x4_t sum, float32x4_t q, float32x4_t x)
{
    float32x4_t difference;

    if (op == CRN_OP_DOT) return vfmsq_f32(sum, q, x);
    if (op == CRN_OP_L1) return vaddq_f32(sum, vabdq_f32(q, x));
    difference = vsubq_f32(q, x);
    return vfmaq_f32(sum, difference, difference);
}

/* The first `count` (0..4) floats, followed by zeros. */
CRN_INLINE float32x4_t first_floats(const float *p, size_t count)
{
    float four[4] = {0};

    for (size_t i = 0; i < count; i++) four[i] = p[i];
    return vld1q_f32(four);
}

/* The first `count` (0..16) codes, followed by zeros. */
CRN_INLINE int8x16_t first_codes(const int8_t *p, size_t count)
{
    int8_t sixteen[16] = {0};

    memcpy(sixteen, p, count);
    return vld1q_s8(sixteen);
}

CRN_INLINE float32x4_t add_four(const float32x4_t sums[4])
{
    return vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3]));
}

CRN_INLINE float32x4_t f32_row(enum crn_op op, const float *query, const float *row, size_t dim, bool stream)
{
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;

    for (; i + 16 <= dim; i += 16) {
        if (stream) crn_prefetch_stream(row + i);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 4 * j;

            sums[j] = f32_step(op, sums[j], vld1q_f32(query + at), vld1q_f32(row + at));
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i + 4 <= dim; i += 4) sums[0] = f32_step(op, sums[0], vld1q_f32(query + i), vld1q_f32(row + i));
    if (i < dim)
        sums[1] = f32_step(op, sums[1], first_floats(query + i, dim - i), first_floats(row + i, dim - i));
    return add_four(sums);
}

/* Four halves, of which the first `count` are read. */
CRN_INLINE float32x4_t some_halves(const uint16_t *row, size_t count)
{
    uint16_t four[4] = {0};

    memcpy(four, row, count * sizeof *row);
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(four)));
}

CRN_INLINE float32x4_t f16_row(enum crn_op op, const float *query, const uint16_t *row, size_t dim,
                               bool stream)
{
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;

    for (; i + 16 <= dim; i += 16) {
        if (stream) crn_prefetch_stream(row + i);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 4 * j;
            const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(row + at)));

            sums[j] = f32_step(op, sums[j], vld1q_f32(query + at), x);
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i < dim; i += 4) {
        const size_t count = dim - i < 4 ? dim - i : 4;

        sums[0] = f32_step(op, sums[0], first_floats(query + i, count), some_halves(row + i, count));
    }
    return add_four(sums);
}

CRN_INLINE int32x4_t i8_step(int32x4_t sum, int8x16_t query, int8x16_t codes)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, query, codes);
#else
    /* Two products to an int16: at most 2 * 127 * 128 = 32512, because a query has no -128. */
    int16x8_t pairs = vmull_s8(vget_low_s8(query), vget_low_s8(codes));

    return vpadalq_s16(sum, vmlal_high_s8(pairs, query, codes));
#endif
}

CRN_INLINE void i8_row(const struct crn_i8_query *query, const int8_t *row, size_t dim, bool stream,
                       int32x4_t *out_hi, int32x4_t *out_lo)
{
    int32x4_t hi = vdupq_n_s32(0), lo = vdupq_n_s32(0);
    size_t i = 0;

    for (; i + 16 <= dim; i += 16) {
        const int8x16_t codes = vld1q_s8(row + i);

        if (stream && i % CRN_CACHE_LINE == 0) crn_prefetch_stream(row + i);
        hi = i8_step(hi, vld1q_s8(query->hi + i), codes);
        lo = i8_step(lo, vld1q_s8(query->lo + i), codes);
    }
    if (i < dim) {
        const int8x16_t codes = first_codes(row + i, dim - i);

        if (stream) crn_prefetch_stream(row + i);
        hi = i8_step(hi, first_codes(query->hi + i, dim - i), codes);
        lo = i8_step(lo, first_codes(query->lo + i, dim - i), codes);
    }
    *out_hi = hi;
    *out_lo = lo;
}

CRN_INLINE float32x4_t i8_l1_step(float32x4_t sum, float32x4_t q, int16x4_t codes, float scale)
{
    const float32x4_t x = vcvtq_f32_s32(vmovl_s16(codes));

    return vaddq_f32(sum, vabsq_f32(vfmsq_n_f32(q, x, scale)));
}

CRN_INLINE float32x4_t i8_l1_row(const float *query, const int8_t *row, float scale, size_t dim, bool stream)
{
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;

    for (; i + 16 <= dim; i += 16) {
        const int8x16_t codes = vld1q_s8(row + i);
        const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_high_s8(codes);

        if (stream && i % CRN_CACHE_LINE == 0) crn_prefetch_stream(row + i);
        sums[0] = i8_l1_step(sums[0], vld1q_f32(query + i), vget_low_s16(low), scale);
        sums[1] = i8_l1_step(sums[1], vld1q_f32(query + i + 4), vget_high_s16(low), scale);
        sums[2] = i8_l1_step(sums[2], vld1q_f32(query + i + 8), vget_low_s16(high), scale);
        sums[3] = i8_l1_step(sums[3], vld1q_f32(query + i + 12), vget_high_s16(high), scale);
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i < dim; i += 4) {
        const size_t count = dim - i < 4 ? dim - i : 4;
        const int16x8_t codes = vmovl_s8(vget_low_s8(first_codes(row + i, count)));

        sums[0] = i8_l1_step(sums[0], first_floats(query + i, count), vget_low_s16(codes), scale);
    }
    return add_four(sums);
}

CRN_INLINE void f32_reduce(const float32x4_t sums[GROUP], float *out)
{
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(sums[0], sums[1]), vpaddq_f32(sums[2], sums[3])));
}

CRN_INLINE void i32_reduce(const int32x4_t sums[GROUP], int32_t *out)
{
    vst1q_s32(out, vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])));
}

static uint32_t within(const float *x, float limit)
{
    const uint32_t weights[4] = {1, 2, 4, 8};
    uint32_t bits = 0;

    for (size_t i = 0; i < CRN_WITHIN; i += 4) {
        const uint32x4_t yes = vcleq_f32(vld1q_f32(x + i), vdupq_n_f32(limit));

        bits |= vaddvq_u32(vandq_u32(yes, vld1q_u32(weights))) << i;
    }
    return bits;
}

#include "quant/kernels_loops.h"
