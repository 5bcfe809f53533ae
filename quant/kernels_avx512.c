/* Kernels for AVX-512 F, BW, DQ, VL and VNNI. Tails are masked loads, which read nothing outside the row. */
#include "quant/kernels_tables.h"

#include "quant/kernels_prefetch.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#define KERNELS crn_kernels_avx512
#define KERNELS_NAME "avx512"
#define GROUP 16

typedef __m512 f32_sums;
typedef __m512i i32_sums;

CRN_INLINE __m512 f32_step(enum crn_op op, __m512 sum, __m512 q, __m512 x)
{
    __m512 difference;

    if (op == CRN_OP_DOT) return _mm512_fnmadd_ps(q, x, sum);
    difference = _mm512_sub_ps(q, x);
    if (op == CRN_OP_L2) return _mm512_fmadd_ps(difference, difference, sum);
    return _mm512_add_ps(sum, _mm512_abs_ps(difference));
}

CRN_INLINE __m512 f32_row(enum crn_op op, const float *query, const float *row, size_t dim, bool stream)
{
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;

    for (; i + 64 <= dim; i += 64) {
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const float *at = row + i + 16 * j;

            if (stream) crn_prefetch_stream(at);
            sums[j] = f32_step(op, sums[j], _mm512_loadu_ps(query + i + 16 * j), _mm512_loadu_ps(at));
        }
    }
    for (; i + 16 <= dim; i += 16) {
        if (stream) crn_prefetch_stream(row + i);
        sums[0] = f32_step(op, sums[0], _mm512_loadu_ps(query + i), _mm512_loadu_ps(row + i));
    }
    if (i < dim) {
        const __mmask16 tail = (__mmask16)((1u << (dim - i)) - 1);

        if (stream) crn_prefetch_stream(row + i);
        sums[1] = f32_step(op, sums[1], _mm512_maskz_loadu_ps(tail, query + i),
                           _mm512_maskz_loadu_ps(tail, row + i));
    }
    return _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
}

CRN_INLINE __m512 f16_row(enum crn_op op, const float *query, const uint16_t *row, size_t dim, bool stream)
{
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;

    for (; i + 64 <= dim; i += 64) {
        if (stream) {
            crn_prefetch_stream(row + i);
            crn_prefetch_stream(row + i + 32);
        }
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const __m256i halves = _mm256_loadu_si256((const void *)(row + i + 16 * j));

            sums[j] = f32_step(op, sums[j], _mm512_loadu_ps(query + i + 16 * j), _mm512_cvtph_ps(halves));
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i + 16 <= dim; i += 16) {
        const __m256i halves = _mm256_loadu_si256((const void *)(row + i));

        sums[0] = f32_step(op, sums[0], _mm512_loadu_ps(query + i), _mm512_cvtph_ps(halves));
    }
    if (i < dim) {
        const __mmask16 tail = (__mmask16)((1u << (dim - i)) - 1);

        sums[1] = f32_step(op, sums[1], _mm512_maskz_loadu_ps(tail, query + i),
                           _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(tail, row + i)));
    }
    return _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
}

/* vpdpbusd multiplies unsigned by signed bytes, so the row's codes are moved up by 128 (their top bit
 * flipped); 128 times the sum of the query's components is taken off in i8_row. Sums wrap around without
 * saturating, so the difference is exact. */
CRN_INLINE void i8_step(__m512i *hi, __m512i *lo, __m512i query_hi, __m512i query_lo, __m512i codes)
{
    const __m512i unsigned_codes = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));

    *hi = _mm512_dpbusd_epi32(*hi, unsigned_codes, query_hi);
    *lo = _mm512_dpbusd_epi32(*lo, unsigned_codes, query_lo);
}

CRN_INLINE void i8_row(const struct crn_i8_query *query, const int8_t *row, size_t dim, bool stream,
                       __m512i *out_hi, __m512i *out_lo)
{
    /* The correction enters one lane as the sum starts. */
    __m512i hi = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)(0u - 128u * (unsigned)query->hi_sum)));
    __m512i lo = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)(0u - 128u * (unsigned)query->lo_sum)));
    __m512i hi_odd = _mm512_setzero_si512(), lo_odd = _mm512_setzero_si512();
    size_t i = 0;

    for (; i + 128 <= dim; i += 128) {
        if (stream) crn_prefetch_stream(row + i);
        i8_step(&hi, &lo, _mm512_loadu_si512(query->hi + i), _mm512_loadu_si512(query->lo + i),
                _mm512_loadu_si512(row + i));
        if (stream) crn_prefetch_stream(row + i + 64);
        i8_step(&hi_odd, &lo_odd, _mm512_loadu_si512(query->hi + i + 64),
                _mm512_loadu_si512(query->lo + i + 64), _mm512_loadu_si512(row + i + 64));
    }
    if (i + 64 <= dim) {
        if (stream) crn_prefetch_stream(row + i);
        i8_step(&hi, &lo, _mm512_loadu_si512(query->hi + i), _mm512_loadu_si512(query->lo + i),
                _mm512_loadu_si512(row + i));
        i += 64;
    }
    if (dim % 64 != 0) {
        const __mmask64 tail = ((__mmask64)1 << dim % 64) - 1;

        if (stream) crn_prefetch_stream(row + i);
        i8_step(&hi_odd, &lo_odd, _mm512_maskz_loadu_epi8(tail, query->hi + i),
                _mm512_maskz_loadu_epi8(tail, query->lo + i), _mm512_maskz_loadu_epi8(tail, row + i));
    }
    *out_hi = _mm512_add_epi32(hi, hi_odd);
    *out_lo = _mm512_add_epi32(lo, lo_odd);
}

CRN_INLINE __m512 i8_l1_step(__m512 sum, __m512 q, __m128i codes, __m512 scale)
{
    const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));

    return _mm512_add_ps(sum, _mm512_abs_ps(_mm512_fnmadd_ps(scale, x, q)));
}

CRN_INLINE __m512 i8_l1_row(const float *query, const int8_t *row, float scale, size_t dim, bool stream)
{
    const __m512 scales = _mm512_set1_ps(scale);
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;

    for (; i + 64 <= dim; i += 64) {
        if (stream) crn_prefetch_stream(row + i);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 16 * j;

            sums[j] = i8_l1_step(sums[j], _mm512_loadu_ps(query + at),
                                 _mm_loadu_si128((const void *)(row + at)), scales);
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i + 16 <= dim; i += 16) {
        sums[0] =
            i8_l1_step(sums[0], _mm512_loadu_ps(query + i), _mm_loadu_si128((const void *)(row + i)), scales);
    }
    if (i < dim) {
        const __mmask16 tail = (__mmask16)((1u << (dim - i)) - 1);

        sums[1] = i8_l1_step(sums[1], _mm512_maskz_loadu_ps(tail, query + i),
                             _mm_maskz_loadu_epi8(tail, row + i), scales);
    }
    return _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
}

/* Both reductions are a transposition with additions on the way: pairs of rows, then fours within each
 * 128-bit lane, then the lanes. The additions of every row are the same ones. */
CRN_INLINE void f32_reduce(const __m512 sums[GROUP], float *out)
{
    __m512 pairs[8], fours[4], low, high;

#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        const __m512 a = sums[2 * i], b = sums[2 * i + 1];

        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m512d a = _mm512_castps_pd(pairs[2 * i]), b = _mm512_castps_pd(pairs[2 * i + 1]);

        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                                 _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    low = _mm512_add_ps(_mm512_shuffle_f32x4(fours[0], fours[1], 0x88),
                        _mm512_shuffle_f32x4(fours[0], fours[1], 0xdd));
    high = _mm512_add_ps(_mm512_shuffle_f32x4(fours[2], fours[3], 0x88),
                         _mm512_shuffle_f32x4(fours[2], fours[3], 0xdd));
    _mm512_storeu_ps(
        out, _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd)));
}

CRN_INLINE void i32_reduce(const __m512i sums[GROUP], int32_t *out)
{
    __m512i pairs[8], fours[4], low, high;

#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        const __m512i a = sums[2 * i], b = sums[2 * i + 1];

        pairs[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m512i a = pairs[2 * i], b = pairs[2 * i + 1];

        fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    low = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[0], fours[1], 0x88),
                           _mm512_shuffle_i32x4(fours[0], fours[1], 0xdd));
    high = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[2], fours[3], 0x88),
                            _mm512_shuffle_i32x4(fours[2], fours[3], 0xdd));
    _mm512_storeu_si512(
        out, _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd)));
}

static uint32_t within(const float *x, float limit)
{
    const __m512 limits = _mm512_set1_ps(limit);
    const __mmask16 low = _mm512_cmp_ps_mask(_mm512_loadu_ps(x), limits, _CMP_LE_OQ);
    const __mmask16 high = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16), limits, _CMP_LE_OQ);

    return (uint32_t)low | (uint32_t)high << 16;
}

#include "quant/kernels_loops.h"
