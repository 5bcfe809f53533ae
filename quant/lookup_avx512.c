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
CRN_INLINE void add_word(const uint8_t *codes, __m512i low_table, __m512i high_table, __m512i *low_sum,
                         __m512i *high_sum)
{
    const __m512i nibble = _mm512_set1_epi8(15), table_of_byte = _mm512_set1_epi32(0x30201000),
                  ones = _mm512_set1_epi8(1);
    const __m512i bytes = by_rows(_mm512_loadu_si512(codes));
    /* 0xea: (a & b) | c */
    const __m512i low = _mm512_ternarylogic_epi32(bytes, nibble, table_of_byte, 0xea);
    const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi32(bytes, 4), nibble, table_of_byte, 0xea);

    *low_sum = _mm512_dpbusd_epi32(*low_sum, _mm512_permutexvar_epi8(low, low_table), ones);
    *high_sum = _mm512_dpbusd_epi32(*high_sum, _mm512_permutexvar_epi8(high, high_table), ones);
}

static void sums(const uint8_t *codes, const uint8_t *tables, size_t words, size_t blocks, uint32_t *out)
{
    for (size_t block = 0; block < blocks; block++, out += CRN_LOOKUP_ROWS) {
        __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

        for (size_t w = 0; w < words; w++, codes += CRN_LOOKUP_WORD_BYTES) {
            const __m512i low = _mm512_loadu_si512(tables + w * CRN_LOOKUP_WORD_BYTES);
            const __m512i high = _mm512_loadu_si512(tables + w * CRN_LOOKUP_WORD_BYTES + 64);

            crn_prefetch_stream(codes);
            crn_prefetch_stream(codes + 64);
            add_word(codes, low, high, &a, &b);
            add_word(codes + 64, low, high, &c, &d);
        }
        _mm512_storeu_si512(out, _mm512_add_epi32(a, b));
        _mm512_storeu_si512(out + 16, _mm512_add_epi32(c, d));
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
    .name = "avx512", .sums = sums, .planes = planes_of_rows};
