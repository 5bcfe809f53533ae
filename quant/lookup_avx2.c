/* Lookup kernels for AVX2: shuffles look 16 entries up, and sums of 16 bits hold 64 words of them. */
#include "quant/kernels_prefetch.h"
#include "quant/lookup.h"

#include <immintrin.h>
#include <string.h>

#define WORDS_OF_16_BITS 64u /* 4 entries of at most 255 a word: 64 of them stay below 2^16 */

/* Sums of 16 rows, whose bytes k lie in two lanes: `all` counts even rows, and odd ones 256-fold; `odd` the
 * odd ones. */
struct sums16 {
    __m256i all;
    __m256i odd;
};

CRN_INLINE void add_entries(struct sums16 *sums, __m256i entries)
{
    sums->all = _mm256_add_epi16(sums->all, entries);
    sums->odd = _mm256_add_epi16(sums->odd, _mm256_srli_epi16(entries, 8));
}

CRN_INLINE void add_word(struct sums16 *sums, const uint8_t *codes, const uint8_t *tables)
{
    const __m256i nibble = _mm256_set1_epi8(15);

    for (size_t lane = 0; lane < 64; lane += 32) {
        const __m256i bytes = _mm256_loadu_si256((const void *)(codes + lane));
        const __m256i low = _mm256_and_si256(bytes, nibble),
                      high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);

        add_entries(sums, _mm256_shuffle_epi8(_mm256_loadu_si256((const void *)(tables + lane)), low));
        add_entries(sums, _mm256_shuffle_epi8(_mm256_loadu_si256((const void *)(tables + 64 + lane)), high));
    }
}

/* Adds 16 rows' sums to out[16], and clears them. */
CRN_INLINE void spill(struct sums16 *sums, uint32_t *out)
{
    const __m256i even = _mm256_sub_epi16(sums->all, _mm256_slli_epi16(sums->odd, 8));
    /* Each of the two lanes holds 8 rows of one kind; the pairs below are rows in order. */
    const __m256i first = _mm256_unpacklo_epi16(even, sums->odd),
                  last = _mm256_unpackhi_epi16(even, sums->odd);
    const __m128i parts[4] = {_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1),
                              _mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1)};

    for (size_t i = 0; i < 4; i++) {
        __m256i *at = (__m256i *)(out + i / 2 * 8);

        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_cvtepu16_epi32(parts[i])));
    }
    sums->all = sums->odd = _mm256_setzero_si256();
}

/* The sums of a block's 32 rows, added to out. */
CRN_INLINE void sum_block(const uint8_t *codes, const uint8_t *tables, size_t words, size_t ahead,
                          uint32_t *out)
{
    struct sums16 first = {_mm256_setzero_si256(), _mm256_setzero_si256()}, last = first;

    for (size_t w = 0; w < words; w++, codes += CRN_LOOKUP_WORD_BYTES) {
        CRN_PREFETCH(codes, ahead, 3);
        CRN_PREFETCH(codes, ahead + 64, 3);
        add_word(&first, codes, tables + w * CRN_LOOKUP_WORD_BYTES);
        add_word(&last, codes + 64, tables + w * CRN_LOOKUP_WORD_BYTES);
        if (w % WORDS_OF_16_BITS == WORDS_OF_16_BITS - 1) {
            spill(&first, out);
            spill(&last, out + 16);
        }
    }
    spill(&first, out);
    spill(&last, out + 16);
}

static void sums(const uint8_t *codes, const uint8_t *tables, size_t words, size_t blocks, uint32_t *out)
{
    memset(out, 0, blocks * CRN_LOOKUP_ROWS * sizeof *out);
    for (size_t block = 0; block < blocks; block++)
        sum_block(codes + block * words * CRN_LOOKUP_WORD_BYTES, tables, words, CRN_PREFETCH_FAR,
                  out + block * CRN_LOOKUP_ROWS);
}

/* The values of 8 rows, to out; which of them are not above the limit. Not fused: without FMA. */
CRN_INLINE uint32_t values_of(const struct crn_lookup_rows *rows, size_t row, const uint32_t *sums,
                              float limit, float *out)
{
    const __m256 counts = _mm256_cvtepi32_ps(_mm256_loadu_si256((const void *)sums));
    const __m256 add = _mm256_add_ps(_mm256_set1_ps(rows->add), _mm256_loadu_ps(rows->adds + row));
    const __m256 product =
        _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(rows->delta), counts), _mm256_set1_ps(rows->base));
    const __m256 values = _mm256_add_ps(add, _mm256_mul_ps(_mm256_loadu_ps(rows->scales + row), product));

    _mm256_storeu_ps(out + row, values);
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(values, _mm256_set1_ps(limit), _CMP_NGT_UQ));
}

static void within(const struct crn_lookup_rows *rows, size_t blocks, float limit, float *out,
                   uint32_t *masks)
{
    const size_t block_bytes = rows->words * CRN_LOOKUP_WORD_BYTES;

    for (size_t block = 0; block < blocks; block++) {
        uint32_t of_block[CRN_LOOKUP_ROWS] = {0}, mask = 0;

        sum_block(rows->codes + block * block_bytes, rows->tables, rows->words, rows->ahead, of_block);
        for (size_t i = 0; i < CRN_LOOKUP_ROWS; i += 8)
            mask |= values_of(rows, block * CRN_LOOKUP_ROWS + i, of_block + i, limit, out) << i;
        masks[block] = mask;
    }
}

static void planes_of_rows(const struct crn_planes *planes, const uint32_t *pos, size_t n, uint32_t *out)
{
    const size_t words = planes->words;

    for (size_t i = 0; i < n; i++) {
        const uint64_t *row = planes->rows + (pos != NULL ? pos[i] : i) * planes->bits * words;
        uint64_t sum = 0;

        for (size_t b = 0; b < planes->bits; b++, row += words) {
            uint64_t of_plane = 0;

            for (size_t p = planes->planes; p-- > 0;) {
                const uint64_t *query = planes->query + p * words;
                uint64_t count = 0;

                for (size_t w = 0; w < words; w++) count += (uint64_t)_mm_popcnt_u64(row[w] & query[w]);
                of_plane = 2 * of_plane + count;
            }
            sum = 2 * sum + of_plane;
        }
        out[i] = (uint32_t)sum;
    }
}

const struct crn_lookup_kernels crn_lookup_avx2 = {
    .name = "avx2", .sums = sums, .within = within, .planes = planes_of_rows};
