/* Arithmetic of graph rows in AVX-512 (F, BW, DQ, VL, VNNI), for inlining into the search loop. Formulas: graph_row.h. */
#ifndef CRN_QUANT_GRAPH_ROW_AVX512_H
#define CRN_QUANT_GRAPH_ROW_AVX512_H

#include "quant/graph_row.h"

#include <immintrin.h>

/* Fetches a row into the second-level cache: a whole row does not fit beside the one being worked on in the first. */
static inline void crn_row_prefetch(const struct crn_graph_layout *layout, const uint8_t *row)
{
    for (uint32_t j = 0; j < layout->row_bytes; j += 64) _mm_prefetch((const char *)row + j, _MM_HINT_T1);
}

/* Fetches what crn_row_distance reads. */
static inline void crn_row_prefetch_code(const struct crn_graph_layout *layout, const uint8_t *row)
{
    for (uint32_t j = 0; j < layout->dims; j += 64) _mm_prefetch((const char *)row + j, _MM_HINT_T0);
    _mm_prefetch((const char *)row + layout->head, _MM_HINT_T0);
}

/* d(c) of a row's own node. Integer sums of a lane stay below 2^24: exact as floats. */
static inline float crn_row_distance(const struct crn_graph_layout *layout,
                                     const struct crn_graph_query *query, const uint8_t *row)
{
    __m512i hi = _mm512_setzero_si512(), lo = _mm512_setzero_si512();
    struct crn_graph_head head;

    memcpy(&head, row + layout->head,
           offsetof(struct crn_graph_head, factor_scale)); /* the lock is others' */
    for (uint32_t j = 0; j < layout->dims; j += 64) {
        const __m512i code = _mm512_loadu_si512(row + j);
        hi = _mm512_dpbusd_epi32(hi, code, _mm512_load_si512(query->hi + j));
        lo = _mm512_dpbusd_epi32(lo, code, _mm512_load_si512(query->lo + j));
    }
    const __m512 sum =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(lo), _mm512_set1_ps(query->lo_scale),
                        _mm512_mul_ps(_mm512_cvtepi32_ps(hi), _mm512_set1_ps(query->hi_scale)));
    const float offset =
        query->hi_scale * (float)query->hi_offset + query->lo_scale * (float)query->lo_offset;
    return query->constant + head.weight - 2 * head.scale * (_mm512_reduce_add_ps(sum) - offset);
}

#define CRN_ROW_SIGNS_TOGETHER

/* The sums of hi over the dimensions whose sign is set, of four records: one alone waits for its own sum most of the time. */
static inline void crn_row_signs_sums(const uint8_t *const records[4], const int8_t *hi, uint32_t dims,
                                      int32_t sums[4])
{
    const __m512i one = _mm512_set1_epi8(1);
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

    for (uint32_t j = 0; j < dims; j += 64) {
        const __m512i part = _mm512_load_si512(hi + j);
        uint64_t set[4];
        for (int i = 0; i < 4; i++) memcpy(set + i, records[i] + j / 8, sizeof *set);
        a = _mm512_dpbusd_epi32(a, _mm512_maskz_mov_epi8(set[0], one), part);
        b = _mm512_dpbusd_epi32(b, _mm512_maskz_mov_epi8(set[1], one), part);
        c = _mm512_dpbusd_epi32(c, _mm512_maskz_mov_epi8(set[2], one), part);
        d = _mm512_dpbusd_epi32(d, _mm512_maskz_mov_epi8(set[3], one), part);
    }
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    _mm_storeu_si128((__m128i *)(void *)sums,
                     _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}

static inline __m128i crn_row_fold(__m512i v)
{
    const __m256i half = _mm256_add_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/*
 * Table sums of 32 codes, as 16-bit numbers. Sums of even bytes (with what odd ones carry into them) and of odd
 * bytes are kept apart; the carry is taken off at the end, so that no widening is needed inside.
 */
static inline __m512i crn_row_table_sums(const uint8_t *signs, const uint8_t *table, uint32_t dims)
{
    const __m512i low_half = _mm512_set1_epi8(15);
    __m512i first = _mm512_setzero_si512(), first_odd = first, second = first, second_odd = first;

#pragma GCC unroll 4
    for (uint32_t j = 0; j < dims * 4; j += 64) {
        const __m512i codes = _mm512_loadu_si512(signs + j), entries = _mm512_load_si512(table + j);
        const __m512i a = _mm512_shuffle_epi8(entries, _mm512_and_si512(codes, low_half));
        const __m512i b =
            _mm512_shuffle_epi8(entries, _mm512_and_si512(_mm512_srli_epi16(codes, 4), low_half));
        first = _mm512_add_epi16(first, a);
        first_odd = _mm512_add_epi16(first_odd, _mm512_srli_epi16(a, 8));
        second = _mm512_add_epi16(second, b);
        second_odd = _mm512_add_epi16(second_odd, _mm512_srli_epi16(b, 8));
    }
    first = _mm512_sub_epi16(first, _mm512_slli_epi16(first_odd, 8));
    second = _mm512_sub_epi16(second, _mm512_slli_epi16(second_odd, 8));
    const __m128i even_0 = crn_row_fold(first), odd_0 = crn_row_fold(first_odd);
    const __m128i even_1 = crn_row_fold(second), odd_1 = crn_row_fold(second_odd);
    const __m256i sums_0 =
        _mm256_set_m128i(_mm_unpackhi_epi16(even_0, odd_0), _mm_unpacklo_epi16(even_0, odd_0));
    const __m256i sums_1 =
        _mm256_set_m128i(_mm_unpackhi_epi16(even_1, odd_1), _mm_unpacklo_epi16(even_1, odd_1));
    return _mm512_inserti64x4(_mm512_castsi256_si512(sums_0), sums_1, 1);
}

/* The estimates of neighbours 16 h .. 16 h + 15. */
static inline __m512 crn_row_half(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                                  const uint8_t *row, __m512i sums, int h, float distance, float factor_scale)
{
    const __m256i mine = h ? _mm512_extracti64x4_epi64(sums, 1) : _mm512_castsi512_si256(sums);
    const __m512 signs =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(mine)), _mm512_set1_ps(query->table_scale),
                        _mm512_set1_ps(query->table_offset));
    const __m512 a =
        _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(row + layout->a + 32 * h)));
    const __m512 b =
        _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(row + layout->b + 32 * h)));
    return _mm512_fmadd_ps(_mm512_fmadd_ps(signs, b, a), _mm512_set1_ps(factor_scale),
                           _mm512_set1_ps(distance));
}

/* 16 numbers of 24 bits: three dwords go to each lane of 128 bits, where bytes are spread. */
static inline __m512i crn_row_ids(const uint8_t *at)
{
    const __m512i lanes =
        _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0),
                                 _mm512_maskz_loadu_epi32(0xfff, at));
    const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    return _mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(spread));
}

/* The neighbours whose estimate is below `limit`: how many, their distances and numbers ([32 + 16] each: whole vectors are written). */
static inline unsigned crn_row_neighbours(const struct crn_graph_layout *layout,
                                          const struct crn_graph_query *query, const uint8_t *row,
                                          float distance, float limit, float *distances, uint32_t *ids)
{
    const __m512i sums = crn_row_table_sums(row + layout->signs, query->table, layout->dims);
    float factor_scale;
    unsigned count = 0;

    memcpy(&factor_scale, row + layout->head + offsetof(struct crn_graph_head, factor_scale),
           sizeof factor_scale);
    for (int h = 0; h < 2; h++) {
        const __m512 estimates = crn_row_half(layout, query, row, sums, h, distance, factor_scale);
        const __mmask16 near = _mm512_cmp_ps_mask(estimates, _mm512_set1_ps(limit), _CMP_LT_OQ);
        if (near == 0) continue;
        _mm512_storeu_ps(distances + count, _mm512_maskz_compress_ps(near, estimates));
        _mm512_storeu_si512(ids + count,
                            _mm512_maskz_compress_epi32(near, crn_row_ids(row + layout->ids + 48 * h)));
        count += (unsigned)__builtin_popcount(near);
    }
    return count;
}

/* ---- making queries and rows ---- */

static inline void crn_row_planes(struct crn_graph_query *query)
{
    __m512 most = _mm512_set1_ps(CRN_ROW_TINY);
    __m512i hi_sums = _mm512_setzero_si512(), lo_sums = hi_sums;

    for (uint32_t j = 0; j < query->dims; j += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_load_ps(query->rotated + j)));
    const float widest = _mm512_reduce_max_ps(most);
    query->hi_scale = widest / 127;
    query->lo_scale = query->hi_scale / 254;
    const __m512 hi_scale = _mm512_set1_ps(query->hi_scale);
    const __m512 hi_inverse = _mm512_set1_ps(127 / widest), lo_inverse = _mm512_set1_ps(254 * (127 / widest));
    for (uint32_t j = 0; j < query->dims; j += 16) {
        const __m512 z = _mm512_load_ps(query->rotated + j);
        const __m512i hi = _mm512_cvtps_epi32(_mm512_mul_ps(z, hi_inverse));
        const __m512 rest = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(hi), hi_scale, z);
        const __m512i lo = _mm512_cvtps_epi32(_mm512_mul_ps(rest, lo_inverse));
        hi_sums = _mm512_add_epi32(hi_sums, hi);
        lo_sums = _mm512_add_epi32(lo_sums, lo);
        _mm_store_si128((__m128i *)(void *)(query->hi + j), _mm512_cvtsepi32_epi8(hi));
        _mm_store_si128((__m128i *)(void *)(query->lo + j), _mm512_cvtsepi32_epi8(lo));
    }
    query->hi_offset = 128 * _mm512_reduce_add_epi32(hi_sums);
    query->lo_offset = 128 * _mm512_reduce_add_epi32(lo_sums);
}

/* Entry e of a group is the sum of those of its four dimensions that are bits of e, less the group's least sum. */
static inline void crn_row_table(struct crn_graph_query *query)
{
    const __m512i fourth = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60);
    __m512 widest = _mm512_set1_ps(CRN_ROW_TINY), sums = _mm512_setzero_ps(), least_sums = sums;
    float least[CRN_GRAPH_DIMS_MAX / 4];

    for (uint32_t s = 0; s < query->dims / 4; s += 16) {
        __m512 absolutes = _mm512_setzero_ps(), low = absolutes;
        for (int i = 0; i < 4; i++) {
            const __m512 z = _mm512_i32gather_ps(fourth, query->rotated + s * 4 + i, 4);
            absolutes = _mm512_add_ps(absolutes, _mm512_abs_ps(z));
            low = _mm512_add_ps(low, _mm512_min_ps(z, _mm512_setzero_ps()));
            sums = _mm512_add_ps(sums, z);
        }
        _mm512_storeu_ps(least + s, low);
        widest = _mm512_max_ps(widest, absolutes);
        least_sums = _mm512_add_ps(least_sums, low);
    }
    const float range = _mm512_reduce_max_ps(widest);
    const __m512 inverse = _mm512_set1_ps(255 / range);
    for (uint32_t s = 0; s < query->dims / 4; s++) {
        const float *z = query->rotated + s * 4;
        __m512 entries = _mm512_set1_ps(-least[s]);
        entries = _mm512_mask_add_ps(entries, 0xaaaa, entries, _mm512_set1_ps(z[0]));
        entries = _mm512_mask_add_ps(entries, 0xcccc, entries, _mm512_set1_ps(z[1]));
        entries = _mm512_mask_add_ps(entries, 0xf0f0, entries, _mm512_set1_ps(z[2]));
        entries = _mm512_mask_add_ps(entries, 0xff00, entries, _mm512_set1_ps(z[3]));
        const __m512i steps =
            _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(entries, inverse)), _mm512_setzero_si512());
        _mm_store_si128((__m128i *)(void *)(query->table + s * 16), _mm512_cvtusepi32_epi8(steps));
    }
    query->table_scale = 2 * range / 255;
    query->table_offset = 2 * _mm512_reduce_add_ps(least_sums) - _mm512_reduce_add_ps(sums);
}

static inline __m512 crn_row_decode(const uint8_t *codes, __m512 scale)
{
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)codes));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(wide, _mm512_set1_epi32(128))), scale);
}

/* Writes the residual's signs into a slot: 16 dimensions are four groups, whose halves of bytes lie in the four lanes of a line. */
static inline struct crn_row_residual crn_row_encode(const struct crn_graph_layout *layout, uint8_t *c,
                                                     uint32_t slot, const uint8_t *x, float c_scale,
                                                     float x_scale)
{
    const __m512i spread = _mm512_set_epi64(0x0303030303030303, 0x0303030303030303, 0x0202020202020202,
                                            0x0202020202020202, 0x0101010101010101, 0x0101010101010101, 0, 0);
    const __m512i mine = _mm512_set1_epi8(slot < 16 ? 15 : (char)240);
    const __mmask64 byte = UINT64_C(0x0001000100010001) << (slot % 16);
    const __m512 cs = _mm512_set1_ps(c_scale), xs = _mm512_set1_ps(x_scale), zero = _mm512_setzero_ps();
    __m512 squares = zero, absolutes = zero, along = zero, signs = zero;

    for (uint32_t j = 0; j < layout->dims; j += 16) {
        const __m512 zc = crn_row_decode(c + j, cs), r = _mm512_sub_ps(crn_row_decode(x + j, xs), zc);
        const __mmask16 positive = _mm512_cmp_ps_mask(r, zero, _CMP_GT_OQ);
        squares = _mm512_fmadd_ps(r, r, squares);
        absolutes = _mm512_add_ps(absolutes, _mm512_abs_ps(r));
        along = _mm512_fmadd_ps(zc, r, along);
        signs = _mm512_add_ps(signs, _mm512_mask_sub_ps(zc, (__mmask16)~positive, zero, zc));
        uint8_t *line = c + layout->signs + j * 4;
        const __m512i old = _mm512_loadu_si512(line);
        const uint32_t groups = (positive & 15u) | (positive & 0xf0u) << 4 | (positive & 0xf00u) << 8 |
                                (positive & 0xf000u) << 12;
        const __m512i bits = _mm512_shuffle_epi8(_mm512_set1_epi32((int)(groups | groups << 4)), spread);
        /* Where `mine` says so from `bits`, else from `old`. */
        _mm512_mask_storeu_epi8(line, byte, _mm512_ternarylogic_epi32(mine, bits, old, 0xca));
    }
    return (struct crn_row_residual){_mm512_reduce_add_ps(squares), _mm512_reduce_add_ps(absolutes),
                                     _mm512_reduce_add_ps(along), _mm512_reduce_add_ps(signs)};
}

/* The sum of (a - 128) * (b - 128). */
static inline int32_t crn_row_codes_dot(const uint8_t *a, const uint8_t *b, uint32_t dims)
{
    const __m512i top = _mm512_set1_epi8((char)128);
    __m512i sum = _mm512_setzero_si512(), excess = sum;

    for (uint32_t j = 0; j < dims; j += 64) {
        const __m512i less = _mm512_xor_si512(_mm512_loadu_si512(b + j), top);
        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(a + j), less);
        excess = _mm512_dpbusd_epi32(excess, top, less);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess));
}

/* ---- sorted pools of 64-bit keys, padded with 8 of UINT64_MAX ---- */

/* Inserts into keys[0..*count), of at most `most`; the place, or `most` when the key is too large. Where it belongs cannot be foreseen, so
 * short lists are moved as a whole: no branch depends on a key. */
static inline uint32_t crn_pool_insert(uint64_t *keys, uint32_t *count, uint32_t most, uint64_t key)
{
    const __m512i wanted = _mm512_set1_epi64((long long)key);
    const uint32_t blocks = *count / 8 + 1;
    uint32_t at = 0;

    for (uint32_t i = blocks; i-- > 0;) {
        const __m512i now = _mm512_loadu_si512(keys + i * 8);
        const __m512i before =
            i == 0 ? _mm512_maskz_permutexvar_epi64(0xfe, _mm512_setr_epi64(0, 0, 1, 2, 3, 4, 5, 6), now)
                   : _mm512_loadu_si512(keys + i * 8 - 1);
        const __mmask8 below = _mm512_cmple_epu64_mask(now, wanted),
                       below_before = _mm512_cmple_epu64_mask(before, wanted);
        if (below == 0xff && blocks > 16) {
            at += i * 8 + 8;
            break;
        }
        const __m512i moved = _mm512_mask_mov_epi64(before, below, now);
        _mm512_storeu_si512(keys + i * 8,
                            _mm512_mask_mov_epi64(moved, (__mmask8)(below_before & ~below), wanted));
        at += (uint32_t)__builtin_popcount(below);
    }
    keys[most] = UINT64_MAX; /* what fell off the end */
    *count += *count < most;
    return at;
}

/* How many keys of the pool are at most `key`, given as `wanted` in all lanes. */
static inline uint32_t crn_pool_place(const uint64_t *keys, const uint64_t *tops, uint32_t blocks,
                                      __m512i wanted)
{
    uint32_t full = 0; /* blocks of eight whose last key is at most `wanted` */

    for (uint32_t i = 0; i < blocks; i += 8)
        full += (uint32_t)__builtin_popcount(_mm512_cmple_epu64_mask(_mm512_loadu_si512(tops + i), wanted));
    return full * 8 +
           (uint32_t)__builtin_popcount(_mm512_cmple_epu64_mask(_mm512_loadu_si512(keys + full * 8), wanted));
}

/* Merges 1 to 8 keys. Their places are found first; then the pool's blocks are written from the end, each by one load that is spread to leave gaps. */
static inline uint32_t crn_pool_merge_8(struct crn_pool *pool, __m512i fresh, uint32_t n)
{
    uint64_t *const keys = pool->keys, *const tops = crn_pool_tops(pool), values[8];
    const uint32_t most = pool->most, before_blocks = pool->count / 8 + 1;
    const uint32_t count = pool->count + n < most ? pool->count + n : most;
    uint32_t places[8], lowest = most, before = 0;
    uint8_t *const gaps = crn_pool_gaps(pool); /* a bit for each place that a new key takes */

    for (uint32_t j = 0; j <= most / 8; j += 64) _mm512_storeu_si512(gaps + j, _mm512_setzero_si512());
    _mm512_storeu_si512(values, fresh);
    for (uint32_t i = 0; i < n; i++) {
        const __m512i wanted = _mm512_permutexvar_epi64(_mm512_set1_epi64(i), fresh);
        const __mmask8 earlier =
            (__mmask8)((1u << i) - 1); /* equal ones keep their order, so that no two get one place */
        const __mmask8 less = _mm512_cmplt_epu64_mask(fresh, wanted) & (__mmask8)((1u << n) - 1);
        const __mmask8 equal = _mm512_mask_cmpeq_epu64_mask(earlier, fresh, wanted);
        const uint32_t place =
            crn_pool_place(keys, tops, before_blocks, wanted) + (uint32_t)__builtin_popcount(less | equal);
        const bool fits = place < most;
        places[i] = fits ? place : most;
        gaps[places[i] / 8] |= (uint8_t)(fits << (places[i] % 8));
        before += fits;
        lowest = places[i] < lowest ? places[i] : lowest;
    }
    for (uint32_t block = (count + 7) / 8; block-- > lowest / 8;) {
        const __mmask8 old = (__mmask8)~gaps[block];
        before -= 8 - (uint32_t)__builtin_popcount(old);
        const __m512i moved = _mm512_maskz_expand_epi64(old, _mm512_loadu_si512(keys + block * 8 - before));
        _mm512_storeu_si512(keys + block * 8, moved);
    }
    for (uint32_t i = 0; i < n; i++) keys[places[i]] = values[i];
    _mm512_storeu_si512(keys + most, _mm512_set1_epi64(-1)); /* what fell off the end */
    for (uint32_t block = lowest / 8; block < (count + 7) / 8; block++) tops[block] = keys[block * 8 + 7];
    pool->count = count;
    return lowest;
}

/* Enters ids[n] (up to CRN_GRAPH_DEGREE) with their distances; the lowest place that changed. */
static inline uint32_t crn_pool_merge(struct crn_pool *pool, const float *distances, const uint32_t *ids,
                                      uint32_t n)
{
    uint32_t lowest = pool->most;

    for (uint32_t i = 0; i < n; i += 8) {
        const uint32_t some = n - i < 8 ? n - i : 8;
        const __mmask8 lanes = (__mmask8)((1u << some) - 1);
        const __m256 distance =
            _mm256_max_ps(_mm256_maskz_loadu_ps(lanes, distances + i), _mm256_setzero_ps());
        const __m512i fresh =
            _mm512_or_si512(_mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm256_castps_si256(distance)), 32),
                            _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(lanes, ids + i)));
        const uint32_t at = crn_pool_merge_8(pool, fresh, some);
        lowest = at < lowest ? at : lowest;
    }
    return lowest;
}

/* ---- nodes seen: a bit for each ---- */

/* Keeps of ids[count] and their distances those below `nodes` that were not seen. */
static inline unsigned crn_row_unseen(const uint64_t *seen, uint32_t nodes, float *distances, uint32_t *ids,
                                      unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i += 16) {
        const __mmask16 lanes = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
        const __m512i id = _mm512_loadu_si512(ids + i);
        const __mmask16 valid = _mm512_mask_cmplt_epu32_mask(lanes, id, _mm512_set1_epi32((int)nodes));
        const __m512i words =
            _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), valid, _mm512_srli_epi32(id, 5), seen, 4);
        const __m512i bit =
            _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_and_si512(id, _mm512_set1_epi32(31)));
        const __mmask16 keep = _mm512_mask_testn_epi32_mask(valid, words, bit);
        _mm512_storeu_ps(distances + kept, _mm512_maskz_compress_ps(keep, _mm512_loadu_ps(distances + i)));
        _mm512_storeu_si512(ids + kept, _mm512_maskz_compress_epi32(keep, id));
        kept += (unsigned)__builtin_popcount(keep);
    }
    return kept;
}

#endif
