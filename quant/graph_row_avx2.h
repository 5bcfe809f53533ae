/* Arithmetic of graph rows in AVX2, FMA and F16C, for inlining into the search loop. Formulas:
 * graph_row.h. */
#ifndef CRN_QUANT_GRAPH_ROW_AVX2_H
#define CRN_QUANT_GRAPH_ROW_AVX2_H

#include "quant/graph_row_common.h"

#include <immintrin.h>

static inline __m256i crn_row_load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

static inline int32_t crn_row_add_up(__m256i v)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

static inline float crn_row_add_up_ps(__m256 v)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

static inline float crn_row_greatest(__m256 v)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

static inline __m256 crn_row_absolute(__m256 v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

/* Sums of products of signed bytes, four to a lane: |a| times b with a's sign. Two products fit 16 bits,
 * because b has no -128. */
static inline __m256i crn_row_products(__m256i sum, __m256i a, __m256i a_size, __m256i b)
{
    const __m256i pairs = _mm256_maddubs_epi16(a_size, _mm256_sign_epi8(b, a));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* The sum of hi over the dimensions whose sign is set: 32 signs become bytes that are all ones or zeros. Pairs of bytes fit 16 bits, and
 * so do those of 1,024 dimensions. */
static inline int32_t crn_row_signs_sum(const uint8_t *signs, const int8_t *hi, uint32_t dims)
{
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i sum = _mm256_setzero_si256();

    for (uint32_t j = 0; j < dims; j += 32) {
        int32_t set;
        memcpy(&set, signs + j / 8, sizeof set);
        const __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(set), spread), bits);
        const __m256i mine = _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bits), crn_row_load(hi + j));
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_set1_epi8(1), mine));
    }
    return crn_row_add_up(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

/* d(c) of a row's own node. The sums are integers below 2^24: exact as floats. */
static inline float crn_row_distance(const struct crn_graph_layout *layout,
                                     const struct crn_graph_query *query, const uint8_t *row)
{
    const __m256i top = _mm256_set1_epi8((char)128);
    __m256i hi = _mm256_setzero_si256(), lo = hi;
    float scale, weight;

    memcpy(&scale, row + layout->head + offsetof(struct crn_graph_head, scale), sizeof scale);
    memcpy(&weight, row + layout->head + offsetof(struct crn_graph_head, weight), sizeof weight);
    for (uint32_t j = 0; j < layout->dims; j += 32) {
        const __m256i code = _mm256_xor_si256(crn_row_load(row + j), top), size = _mm256_abs_epi8(code);
        hi = crn_row_products(hi, code, size, crn_row_load(query->hi + j));
        lo = crn_row_products(lo, code, size, crn_row_load(query->lo + j));
    }
    const float sum =
        query->hi_scale * (float)crn_row_add_up(hi) + query->lo_scale * (float)crn_row_add_up(lo);
    return query->constant + weight - 2 * scale * sum;
}

/* Sums of 16 slots, of which those with even and odd numbers were kept apart. The carries are in `all`. */
static inline __m256i crn_row_join(__m256i all, __m256i odd)
{
    const __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
    const __m128i evens = _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
    const __m128i odds = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));

    return _mm256_set_m128i(_mm_unpackhi_epi16(evens, odds), _mm_unpacklo_epi16(evens, odds));
}

/*
 * Table sums of 32 codes, as 16-bit numbers: slots 0..15, then 16..31. Sums of even bytes (with what odd ones
 * carry into them) and of odd bytes are kept apart; the carry is taken off at the end, so that no widening is
 * needed inside.
 */
static inline void crn_row_table_sums(const uint8_t *signs, const uint8_t *table, uint32_t dims,
                                      __m256i sums[2])
{
    const __m256i low_half = _mm256_set1_epi8(15);
    __m256i first = _mm256_setzero_si256(), first_odd = first, second = first, second_odd = first;

#pragma GCC unroll 4
    for (uint32_t j = 0; j < dims * 4; j += 32) {
        const __m256i codes = crn_row_load(signs + j), entries = crn_row_load(table + j);
        const __m256i a = _mm256_shuffle_epi8(entries, _mm256_and_si256(codes, low_half));
        const __m256i b =
            _mm256_shuffle_epi8(entries, _mm256_and_si256(_mm256_srli_epi16(codes, 4), low_half));
        first = _mm256_add_epi16(first, a);
        first_odd = _mm256_add_epi16(first_odd, _mm256_srli_epi16(a, 8));
        second = _mm256_add_epi16(second, b);
        second_odd = _mm256_add_epi16(second_odd, _mm256_srli_epi16(b, 8));
    }
    sums[0] = crn_row_join(first, first_odd);
    sums[1] = crn_row_join(second, second_odd);
}

/* The estimates of slots 8 part .. 8 part + 7. */
static inline __m256 crn_row_part(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                                  const uint8_t *row, __m128i sums, uint32_t part, float distance,
                                  float factor_scale)
{
    const __m256 signs =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(sums)), _mm256_set1_ps(query->table_scale),
                        _mm256_set1_ps(query->table_offset));
    const __m256 a =
        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + layout->a + 16 * part)));
    const __m256 b =
        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + layout->b + 16 * part)));
    return _mm256_fmadd_ps(_mm256_fmadd_ps(signs, b, a), _mm256_set1_ps(factor_scale),
                           _mm256_set1_ps(distance));
}

/* The neighbours whose estimate is below `limit`: how many, their distances and numbers ([32] each). */
static inline unsigned crn_row_neighbours(const struct crn_graph_layout *layout,
                                          const struct crn_graph_query *query, const uint8_t *row,
                                          float distance, float limit, float *distances, uint32_t *ids)
{
    float estimates[CRN_GRAPH_DEGREE], factor_scale;
    uint32_t near = 0;
    unsigned count = 0;
    __m256i sums[2];

    memcpy(&factor_scale, row + layout->head + offsetof(struct crn_graph_head, factor_scale),
           sizeof factor_scale);
    crn_row_table_sums(row + layout->signs, query->table, layout->dims, sums);
    for (uint32_t part = 0; part < 4; part++) {
        const __m128i mine =
            part % 2 ? _mm256_extracti128_si256(sums[part / 2], 1) : _mm256_castsi256_si128(sums[part / 2]);
        const __m256 found = crn_row_part(layout, query, row, mine, part, distance, factor_scale);
        _mm256_storeu_ps(estimates + 8 * part, found);
        near |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(found, _mm256_set1_ps(limit), _CMP_LT_OQ))
                << (8 * part);
    }
    for (; near != 0; near &= near - 1) {
        const uint32_t slot = (uint32_t)__builtin_ctz(near);
        distances[count] = estimates[slot];
        ids[count++] = crn_graph_id(layout, row, slot);
    }
    return count;
}

/* ---- making queries and rows ---- */

/* Four times eight numbers of 32 bits, as signed bytes in the order of the dimensions. */
static inline __m256i crn_row_narrow(const __m256i v[4])
{
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline void crn_row_planes(struct crn_graph_query *query)
{
    __m256 most = _mm256_set1_ps(CRN_ROW_TINY);
    __m256i hi_sums = _mm256_setzero_si256(), lo_sums = hi_sums, hi[4], lo[4];

    for (uint32_t j = 0; j < query->dims; j += 8) {
        most = _mm256_max_ps(most, crn_row_absolute(_mm256_load_ps(query->rotated + j)));
    }
    const float widest = crn_row_greatest(most);
    query->hi_scale = widest / 127;
    query->lo_scale = query->hi_scale / 254;
    const __m256 hi_scale = _mm256_set1_ps(query->hi_scale);
    const __m256 hi_inverse = _mm256_set1_ps(127 / widest), lo_inverse = _mm256_set1_ps(254 * (127 / widest));
    for (uint32_t j = 0; j < query->dims; j += 32) {
        for (uint32_t i = 0; i < 4; i++) {
            const __m256 z = _mm256_load_ps(query->rotated + j + 8 * i);
            hi[i] = _mm256_cvtps_epi32(_mm256_mul_ps(z, hi_inverse));
            const __m256 rest = _mm256_sub_ps(z, _mm256_mul_ps(_mm256_cvtepi32_ps(hi[i]), hi_scale));
            lo[i] = _mm256_cvtps_epi32(_mm256_mul_ps(rest, lo_inverse));
            hi_sums = _mm256_add_epi32(hi_sums, hi[i]);
            lo_sums = _mm256_add_epi32(lo_sums, lo[i]);
        }
        _mm256_store_si256((__m256i *)(void *)(query->hi + j), crn_row_narrow(hi));
        _mm256_store_si256((__m256i *)(void *)(query->lo + j), crn_row_narrow(lo));
    }
    query->hi_offset = 128 * crn_row_add_up(hi_sums);
    query->lo_offset = 128 * crn_row_add_up(lo_sums);
}

/* The sums of eight groups of four dimensions, in no order. */
static inline __m256 crn_row_groups(const __m256 v[4])
{
    return _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
}

/* Entry e of a group is the sum of those of its four dimensions that are bits of e, less the group's least
 * sum. */
static inline void crn_row_table_group(const float *z, __m256 inverse, uint8_t *entries)
{
    const __m256 odd = _mm256_castsi256_ps(_mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1));
    __m128 least = _mm_min_ps(_mm_load_ps(z), _mm_setzero_ps());

    least = _mm_hadd_ps(least, least);
    least = _mm_hadd_ps(least, least);
    const __m256 low = _mm256_broadcastss_ps(least);
    const __m256 z0 = _mm256_and_ps(_mm256_set1_ps(z[0]), odd);
    const __m256 z1 = _mm256_blend_ps(_mm256_setzero_ps(), _mm256_set1_ps(z[1]), 0xcc);
    const __m256 z2 = _mm256_blend_ps(_mm256_setzero_ps(), _mm256_set1_ps(z[2]), 0xf0);
    const __m256 two = _mm256_add_ps(z0, z1), four = _mm256_add_ps(z2, _mm256_set1_ps(z[3]));
    const __m256 a = _mm256_sub_ps(_mm256_add_ps(two, z2), low),
                 b = _mm256_sub_ps(_mm256_add_ps(two, four), low);
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(a, inverse)),
                                             _mm256_cvtps_epi32(_mm256_mul_ps(b, inverse)));
    const __m256i order = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_store_si128((__m128i *)(void *)entries,
                    _mm_packus_epi16(_mm256_castsi256_si128(order), _mm256_extracti128_si256(order, 1)));
}

static inline void crn_row_table(struct crn_graph_query *query)
{
    __m256 widest = _mm256_set1_ps(CRN_ROW_TINY), sums = _mm256_setzero_ps(), least_sums = sums;

    for (uint32_t j = 0; j < query->dims; j += 32) {
        __m256 sizes[4], lows[4];
        for (uint32_t i = 0; i < 4; i++) {
            const __m256 z = _mm256_load_ps(query->rotated + j + 8 * i);
            sizes[i] = crn_row_absolute(z);
            lows[i] = _mm256_min_ps(z, _mm256_setzero_ps());
            sums = _mm256_add_ps(sums, z);
        }
        widest = _mm256_max_ps(widest, crn_row_groups(sizes));
        least_sums = _mm256_add_ps(least_sums, crn_row_groups(lows));
    }
    const float range = crn_row_greatest(widest);
    for (uint32_t s = 0; s < query->dims / 4; s++) {
        crn_row_table_group(query->rotated + s * 4, _mm256_set1_ps(255 / range), query->table + s * 16);
    }
    query->table_scale = 2 * range / 255;
    query->table_offset = 2 * crn_row_add_up_ps(least_sums) - crn_row_add_up_ps(sums);
}

static inline __m256 crn_row_decode(const uint8_t *codes, __m256 scale)
{
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)codes));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(wide, _mm256_set1_epi32(128))), scale);
}

/* Writes the residual's signs into a slot. */
static inline struct crn_row_residual crn_row_encode(const struct crn_graph_layout *layout, uint8_t *c,
                                                     uint32_t slot, const uint8_t *x, float c_scale,
                                                     float x_scale)
{
    const __m256 cs = _mm256_set1_ps(c_scale), xs = _mm256_set1_ps(x_scale), zero = _mm256_setzero_ps();
    __m256 squares = zero, absolutes = zero, along = zero, signs = zero;

    for (uint32_t j = 0; j < layout->dims; j += 16) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < 16; i += 8) {
            const __m256 zc = crn_row_decode(c + j + i, cs),
                         r = _mm256_sub_ps(crn_row_decode(x + j + i, xs), zc);
            const __m256 positive = _mm256_cmp_ps(r, zero, _CMP_GT_OQ);
            squares = _mm256_fmadd_ps(r, r, squares);
            absolutes = _mm256_add_ps(absolutes, crn_row_absolute(r));
            along = _mm256_fmadd_ps(zc, r, along);
            signs =
                _mm256_add_ps(signs, _mm256_xor_ps(zc, _mm256_andnot_ps(positive, _mm256_set1_ps(-0.0f))));
            bits |= (uint32_t)_mm256_movemask_ps(positive) << i;
        }
        crn_row_put_signs(c + layout->signs + j * 4, slot, bits);
    }
    return (struct crn_row_residual){crn_row_add_up_ps(squares), crn_row_add_up_ps(absolutes),
                                     crn_row_add_up_ps(along), crn_row_add_up_ps(signs)};
}

/* The sum of (a - 128) * (b - 128), of codes that are not 0. */
static inline int32_t crn_row_codes_dot(const uint8_t *a, const uint8_t *b, uint32_t dims)
{
    const __m256i top = _mm256_set1_epi8((char)128);
    __m256i sum = _mm256_setzero_si256();

    for (uint32_t j = 0; j < dims; j += 32) {
        const __m256i less = _mm256_xor_si256(crn_row_load(a + j), top);
        sum = crn_row_products(sum, less, _mm256_abs_epi8(less), _mm256_xor_si256(crn_row_load(b + j), top));
    }
    return crn_row_add_up(sum);
}

/* ---- sorted pools of 64-bit keys: the rest is graph_row_common.h's ---- */

/* Moves keys[at..end) up by one. */
static inline void crn_pool_shift(uint64_t *keys, uint32_t at, uint32_t end)
{
    for (; end - at >= 4; end -= 4) {
        _mm256_storeu_si256((__m256i *)(void *)(keys + end - 3), crn_row_load(keys + end - 4));
    }
    for (; end > at; end--) keys[end] = keys[end - 1];
}

#endif
