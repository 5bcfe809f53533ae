/* Lookup kernels for AVX-512 with VBMI, VNNI and VPOPCNTDQ: a table lookup of 64 entries is one permutation
 * of bytes, and the sum of a row's four bytes one dot product with ones. */
#include "quant/kernels_prefetch.h"
#include "quant/lookup.h"

#include <immintrin.h>

/* Byte k of rows 0..15, lane by lane, becomes dword r with a row's four bytes. */
CRN_INLINE __m512i by_rows(__m512i lanes)
{
    const __m512i first = _mm512_set1_epi32(0x30201000); /* bytes 0, 16, 32, 48 */
    const __m512i row =
        _mm512_mullo_epi32(_mm512_set1_epi32(0x01010101),
                           _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));

    return _mm512_permutexvar_epi8(_mm512_add_epi8(first, row), lanes);
}

/* Both nibbles of 64 bytes through their tables, added to 16 rows' sums. */
CRN_INLINE __m512i add_word(__m512i sum, const uint8_t *codes, __m512i low_table, __m512i high_table)
{
    const __m512i nibble = _mm512_set1_epi8(15), table_of_byte = _mm512_set1_epi32(0x30201000),
                  ones = _mm512_set1_epi8(1);
    const __m512i bytes = by_rows(_mm512_loadu_si512(codes));
    /* 0xea: (a & b) | c */
    const __m512i low = _mm512_ternarylogic_epi32(bytes, nibble, table_of_byte, 0xea);
    const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi32(bytes, 4), nibble, table_of_byte, 0xea);

    sum = _mm512_dpbusd_epi32(sum, _mm512_permutexvar_epi8(low, low_table), ones);
    return _mm512_dpbusd_epi32(sum, _mm512_permutexvar_epi8(high, high_table), ones);
}

/* The sums of a block's rows 0..15 and 16..31. Even and odd words are added up apart, so that fewer additions wait
 * for each other. */
CRN_INLINE void sum_block(const uint8_t *codes, const uint8_t *tables, size_t words, size_t ahead,
                          __m512i *first, __m512i *last)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    size_t w = 0;

    for (; w + 2 <= words; w += 2, codes += 2 * CRN_LOOKUP_WORD_BYTES, tables += 2 * CRN_LOOKUP_WORD_BYTES) {
        const __m512i low = _mm512_loadu_si512(tables), high = _mm512_loadu_si512(tables + 64);
        const __m512i low_odd = _mm512_loadu_si512(tables + 128), high_odd = _mm512_loadu_si512(tables + 192);

        for (size_t at = 0; at < 2 * CRN_LOOKUP_WORD_BYTES; at += 64) CRN_PREFETCH(codes, ahead + at, 3);
        a = add_word(a, codes, low, high);
        b = add_word(b, codes + 64, low, high);
        c = add_word(c, codes + 128, low_odd, high_odd);
        d = add_word(d, codes + 192, low_odd, high_odd);
    }
    if (w < words) {
        const __m512i low = _mm512_loadu_si512(tables), high = _mm512_loadu_si512(tables + 64);

        a = add_word(a, codes, low, high);
        b = add_word(b, codes + 64, low, high);
    }
    *first = _mm512_add_epi32(a, c);
    *last = _mm512_add_epi32(b, d);
}

static void sums(const uint8_t *codes, const uint8_t *tables, size_t words, size_t blocks, uint32_t *out)
{
    for (size_t block = 0; block < blocks; block++, out += CRN_LOOKUP_ROWS) {
        __m512i first, last;

        sum_block(codes + block * words * CRN_LOOKUP_WORD_BYTES, tables, words, CRN_PREFETCH_FAR, &first,
                  &last);
        _mm512_storeu_si512(out, first);
        _mm512_storeu_si512(out + 16, last);
    }
}

/* The values of 16 rows, to out; which of them are not above the limit. Not fused (quant/CMakeLists.txt). */
CRN_INLINE __mmask16 values_of(const struct crn_lookup_rows *rows, size_t row, __m512i sums, float limit,
                               float *out)
{
    const __m512 add = _mm512_add_ps(_mm512_set1_ps(rows->add), _mm512_loadu_ps(rows->adds + row));
    const __m512 product = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(rows->delta), _mm512_cvtepi32_ps(sums)),
                                         _mm512_set1_ps(rows->base));
    const __m512 values = _mm512_add_ps(add, _mm512_mul_ps(_mm512_loadu_ps(rows->scales + row), product));

    _mm512_storeu_ps(out + row, values);
    return _mm512_cmp_ps_mask(values, _mm512_set1_ps(limit), _CMP_NGT_UQ);
}

static void within(const struct crn_lookup_rows *all, size_t blocks, float limit, float *out, uint32_t *masks)
{
    const struct crn_lookup_rows rows = *all; /* which out may not change */
    const size_t block_bytes = rows.words * CRN_LOOKUP_WORD_BYTES;

    for (size_t block = 0; block < blocks; block++) {
        const size_t row = block * CRN_LOOKUP_ROWS;
        __m512i first, last;

        sum_block(rows.codes + block * block_bytes, rows.tables, rows.words, rows.ahead, &first, &last);
        masks[block] = values_of(&rows, row, first, limit, out) |
                       (uint32_t)values_of(&rows, row + 16, last, limit, out) << 16;
    }
}

/* One row plane against all of the query's. */
CRN_INLINE uint64_t plane_sum(const uint64_t *row, const struct crn_planes *planes)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t w = 0; w < planes->words; w += 8) {
        const size_t left = planes->words - w;
        const __mmask8 mask = left >= 8 ? 0xff : (__mmask8)((1u << left) - 1);
        const __m512i bits = _mm512_maskz_loadu_epi64(mask, row + w);
        __m512i counts = _mm512_setzero_si512();

        for (size_t p = planes->planes; p-- > 0;) {
            const __m512i query = _mm512_maskz_loadu_epi64(mask, planes->query + p * planes->words + w);

            counts = _mm512_add_epi64(_mm512_add_epi64(counts, counts),
                                      _mm512_popcnt_epi64(_mm512_and_si512(bits, query)));
        }
        sum = _mm512_add_epi64(sum, counts);
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

static void planes_of_rows(const struct crn_planes *planes, const uint32_t *pos, size_t n, uint32_t *out)
{
    const size_t row_words = planes->bits * planes->words;
    const size_t ahead = crn_prefetch_rows(row_words * sizeof *planes->rows);

    for (size_t i = 0; i < n; i++) {
        const uint64_t *row = planes->rows + (pos != NULL ? pos[i] : i) * row_words;
        uint64_t sum = 0;

        if (pos != NULL && i + ahead < n)
            crn_prefetch_row(planes->rows + pos[i + ahead] * row_words, row_words * sizeof *row);
        for (size_t b = 0; b < planes->bits; b++) sum = 2 * sum + plane_sum(row + b * planes->words, planes);
        out[i] = (uint32_t)sum;
    }
}

const struct crn_lookup_kernels crn_lookup_avx512 = {
    .name = "avx512", .sums = sums, .within = within, .planes = planes_of_rows};
