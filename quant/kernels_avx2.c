/* Kernels for AVX2 with FMA. Nothing outside a row is read: tails of floats are masked loads, tails of codes
 * reach back into the row. */
#include "quant/kernels_tables.h"

#include "quant/kernels_prefetch.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#define KERNELS crn_kernels_avx2
#define KERNELS_NAME "avx2"
#define GROUP 8

typedef __m256 f32_sums;
typedef __m256i i32_sums;

CRN_INLINE __m256 absolute(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

CRN_INLINE __m256 f32_step(enum crn_op op, __m256 sum, __m256 q, __m256 x)
{
    __m256 difference;

    if (op == CRN_OP_DOT) return _mm256_fnmadd_ps(q, x, sum);
    difference = _mm256_sub_ps(q, x);
    if (op == CRN_OP_L2) return _mm256_fmadd_ps(difference, difference, sum);
    return _mm256_add_ps(sum, absolute(difference));
}

/* Selects the first `count` of 8 floats, count being 0..8. */
CRN_INLINE __m256i first_floats(size_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

CRN_INLINE __m256 f32_row(enum crn_op op, const float *query, const float *row, size_t dim, bool stream)
{
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        if (stream) {
            crn_prefetch_stream(row + i);
            crn_prefetch_stream(row + i + 16);
        }
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 8 * j;

            sums[j] = f32_step(op, sums[j], _mm256_loadu_ps(query + at), _mm256_loadu_ps(row + at));
        }
    }
    for (; i + 8 <= dim; i += 8) {
        if (stream) crn_prefetch_stream(row + i);
        sums[0] = f32_step(op, sums[0], _mm256_loadu_ps(query + i), _mm256_loadu_ps(row + i));
    }
    if (i < dim) {
        const __m256i tail = first_floats(dim - i);

        if (stream) crn_prefetch_stream(row + i);
        sums[1] =
            f32_step(op, sums[1], _mm256_maskload_ps(query + i, tail), _mm256_maskload_ps(row + i, tail));
    }
    return _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
}

/* The first `count` (0..8) halves, followed by zeros. */
CRN_INLINE __m256 some_halves(const uint16_t *row, size_t count)
{
    uint16_t eight[8] = {0};

    memcpy(eight, row, count * sizeof *row);
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)eight));
}

CRN_INLINE __m256 f16_row(enum crn_op op, const float *query, const uint16_t *row, size_t dim, bool stream)
{
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        if (stream) crn_prefetch_stream(row + i);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 8 * j;

            sums[j] = f32_step(op, sums[j], _mm256_loadu_ps(query + at),
                               _mm256_cvtph_ps(_mm_loadu_si128((const void *)(row + at))));
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i + 8 <= dim; i += 8) {
        sums[0] = f32_step(op, sums[0], _mm256_loadu_ps(query + i),
                           _mm256_cvtph_ps(_mm_loadu_si128((const void *)(row + i))));
    }
    if (i < dim) {
        sums[1] = f32_step(op, sums[1], _mm256_maskload_ps(query + i, first_floats(dim - i)),
                           some_halves(row + i, dim - i));
    }
    return _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
}

/* vpmaddubsw multiplies unsigned by signed bytes and adds pairs with saturation at 32767. The row's sign is
 * moved to the query, whose components are -127..127, so a pair is at most 2 * 128 * 127 = 32512: exact. */
CRN_INLINE __m256i i8_step(__m256i sum, __m256i query, __m256i codes, __m256i magnitudes)
{
    const __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(query, codes));

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* A row's last `count` (1..31) codes, and the query's beside them: the last 32, the codes that are done
 * already being blanked out, or a copy when there are no 32. */
CRN_INLINE __m256i tail_codes(const int8_t *row, size_t dim, size_t count)
{
    const __m256i index = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                                           19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    const __m256i wanted = _mm256_cmpgt_epi8(index, _mm256_set1_epi8((char)(31 - count)));
    int8_t copy[32] = {0};

    if (dim >= 32) return _mm256_and_si256(wanted, _mm256_loadu_si256((const void *)(row + dim - 32)));
    memcpy(copy, row, dim);
    return _mm256_loadu_si256((const void *)copy);
}

CRN_INLINE __m256i tail_query(const int8_t *query, size_t dim)
{
    int8_t copy[32] = {0};

    if (dim >= 32) return _mm256_loadu_si256((const void *)(query + dim - 32));
    memcpy(copy, query, dim);
    return _mm256_loadu_si256((const void *)copy);
}

CRN_INLINE void i8_row(const struct crn_i8_query *query, const int8_t *row, size_t dim, bool stream,
                       __m256i *out_hi, __m256i *out_lo)
{
    __m256i hi = _mm256_setzero_si256(), lo = _mm256_setzero_si256();
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        const __m256i codes = _mm256_loadu_si256((const void *)(row + i));
        const __m256i magnitudes = _mm256_abs_epi8(codes);

        if (stream && i % CRN_CACHE_LINE == 0) crn_prefetch_stream(row + i);
        hi = i8_step(hi, _mm256_loadu_si256((const void *)(query->hi + i)), codes, magnitudes);
        lo = i8_step(lo, _mm256_loadu_si256((const void *)(query->lo + i)), codes, magnitudes);
    }
    if (i < dim) {
        const __m256i codes = tail_codes(row, dim, dim - i);
        const __m256i magnitudes = _mm256_abs_epi8(codes);

        if (stream) crn_prefetch_stream(row + i);
        hi = i8_step(hi, tail_query(query->hi, dim), codes, magnitudes);
        lo = i8_step(lo, tail_query(query->lo, dim), codes, magnitudes);
    }
    *out_hi = hi;
    *out_lo = lo;
}

CRN_INLINE __m256 i8_l1_step(__m256 sum, __m256 q, uint64_t codes, __m256 scales)
{
    const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128((int64_t)codes)));

    return _mm256_add_ps(sum, absolute(_mm256_fnmadd_ps(scales, x, q)));
}

CRN_INLINE uint64_t eight_codes(const int8_t *codes)
{
    uint64_t eight;

    memcpy(&eight, codes, sizeof eight);
    return eight;
}

/* A row's last `count` (1..7) codes, followed by zeros. */
CRN_INLINE uint64_t tail_eight(const int8_t *row, size_t dim, size_t count)
{
    uint64_t eight = 0;

    if (dim >= 8) return eight_codes(row + dim - 8) >> (8 * (8 - count));
    memcpy(&eight, row, dim);
    return eight;
}

CRN_INLINE __m256 i8_l1_row(const float *query, const int8_t *row, float scale, size_t dim, bool stream)
{
    const __m256 scales = _mm256_set1_ps(scale);
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        if (stream && i % CRN_CACHE_LINE == 0) crn_prefetch_stream(row + i);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 8 * j;

            sums[j] = i8_l1_step(sums[j], _mm256_loadu_ps(query + at), eight_codes(row + at), scales);
        }
    }
    if (stream && i < dim) crn_prefetch_stream(row + i);
    for (; i + 8 <= dim; i += 8) {
        sums[0] = i8_l1_step(sums[0], _mm256_loadu_ps(query + i), eight_codes(row + i), scales);
    }
    if (i < dim) {
        const __m256 q = _mm256_maskload_ps(query + i, first_floats(dim - i));

        sums[1] = i8_l1_step(sums[1], q, tail_eight(row, dim, dim - i), scales);
    }
    return _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
}

/* Both reductions are a transposition with additions on the way: pairs of rows, then fours within each
 * 128-bit lane, then the lanes. The additions of every row are the same ones. */
CRN_INLINE void f32_reduce(const __m256 sums[GROUP], float *out)
{
    __m256 pairs[4], fours[2];

#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m256 a = sums[2 * i], b = sums[2 * i + 1];

        pairs[i] = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        const __m256d a = _mm256_castps_pd(pairs[2 * i]), b = _mm256_castps_pd(pairs[2 * i + 1]);

        fours[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                                 _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(fours[0], fours[1], 0x20),
                                        _mm256_permute2f128_ps(fours[0], fours[1], 0x31)));
}

CRN_INLINE void i32_reduce(const __m256i sums[GROUP], int32_t *out)
{
    __m256i pairs[4], fours[2];

#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m256i a = sums[2 * i], b = sums[2 * i + 1];

        pairs[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        const __m256i a = pairs[2 * i], b = pairs[2 * i + 1];

        fours[i] = _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    }
    _mm256_storeu_si256((void *)out, _mm256_add_epi32(_mm256_permute2x128_si256(fours[0], fours[1], 0x20),
                                                      _mm256_permute2x128_si256(fours[0], fours[1], 0x31)));
}

static uint32_t within(const float *x, float limit)
{
    uint32_t bits = 0;

#pragma GCC unroll 4
    for (size_t i = 0; i < CRN_WITHIN; i += 8) {
        const __m256 yes = _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(limit), _CMP_LE_OQ);

        bits |= (uint32_t)_mm256_movemask_ps(yes) << i;
    }
    return bits;
}

#include "quant/kernels_loops.h"
