/* Lookup kernels for NEON: a table instruction looks 16 entries up, and sums of 16 bits hold 32 words of
 * them. */
#include "quant/kernels_prefetch.h"
#include "quant/lookup.h"

#include <arm_neon.h>
#include <string.h>

#define WORDS_OF_16_BITS 32u /* 8 entries of at most 255 a word: 32 of them stay below 2^16 */

struct sums16 { /* of 16 rows */
    uint16x8_t first;
    uint16x8_t last;
};

CRN_INLINE void add_entries(struct sums16 *sums, uint8x16_t entries)
{
    sums->first = vaddw_u8(sums->first, vget_low_u8(entries));
    sums->last = vaddw_high_u8(sums->last, entries);
}

CRN_INLINE void add_word(struct sums16 *sums, const uint8_t *codes, const uint8_t *tables)
{
    for (size_t lane = 0; lane < 64; lane += 16) {
        const uint8x16_t bytes = vld1q_u8(codes + lane);

        add_entries(sums, vqtbl1q_u8(vld1q_u8(tables + lane), vandq_u8(bytes, vdupq_n_u8(15))));
        add_entries(sums, vqtbl1q_u8(vld1q_u8(tables + 64 + lane), vshrq_n_u8(bytes, 4)));
    }
}

/* Adds 8 rows' sums to out[8]. */
CRN_INLINE void spill_half(uint16x8_t sums, uint32_t *out)
{
    vst1q_u32(out, vaddw_u16(vld1q_u32(out), vget_low_u16(sums)));
    vst1q_u32(out + 4, vaddw_high_u16(vld1q_u32(out + 4), sums));
}

CRN_INLINE void spill(struct sums16 *sums, uint32_t *out)
{
    spill_half(sums->first, out);
    spill_half(sums->last, out + 8);
    sums->first = sums->last = vdupq_n_u16(0);
}

/* The sums of a block's 32 rows, added to out. */
CRN_INLINE void sum_block(const uint8_t *codes, const uint8_t *tables, size_t words, size_t ahead,
                          uint32_t *out)
{
    struct sums16 first = {vdupq_n_u16(0), vdupq_n_u16(0)}, last = first;

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

/* The values of 4 rows, to out; which of them are not above the limit. Not fused (-ffp-contract=off). */
CRN_INLINE uint32_t values_of(const struct crn_lookup_rows *rows, size_t row, const uint32_t *sums,
                              float limit, float *out)
{
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const float32x4_t counts = vcvtq_f32_u32(vld1q_u32(sums));
    const float32x4_t add = vaddq_f32(vdupq_n_f32(rows->add), vld1q_f32(rows->adds + row));
    const float32x4_t product = vaddq_f32(vmulq_n_f32(counts, rows->delta), vdupq_n_f32(rows->base));
    const float32x4_t values = vaddq_f32(add, vmulq_f32(vld1q_f32(rows->scales + row), product));

    vst1q_f32(out + row, values);
    return vaddvq_u32(vbicq_u32(vld1q_u32(bits), vcgtq_f32(values, vdupq_n_f32(limit))));
}

static void within(const struct crn_lookup_rows *rows, size_t blocks, float limit, float *out,
                   uint32_t *masks)
{
    const size_t block_bytes = rows->words * CRN_LOOKUP_WORD_BYTES;

    for (size_t block = 0; block < blocks; block++) {
        uint32_t of_block[CRN_LOOKUP_ROWS] = {0}, mask = 0;

        sum_block(rows->codes + block * block_bytes, rows->tables, rows->words, rows->ahead, of_block);
        for (size_t i = 0; i < CRN_LOOKUP_ROWS; i += 4)
            mask |= values_of(rows, block * CRN_LOOKUP_ROWS + i, of_block + i, limit, out) << i;
        masks[block] = mask;
    }
}

/* The set bits of two words that a row's plane and a query's have in common. */
CRN_INLINE uint64x2_t common_bits(const uint64_t *row, const uint64_t *query)
{
    const uint8x16_t both = vreinterpretq_u8_u64(vandq_u64(vld1q_u64(row), vld1q_u64(query)));

    return vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(both))));
}

static uint64_t plane_sum(const uint64_t *row, const struct crn_planes *planes)
{
    const size_t words = planes->words;
    uint64_t sum = 0;

    for (size_t p = planes->planes; p-- > 0;) {
        const uint64_t *query = planes->query + p * words;
        uint64x2_t counts = vdupq_n_u64(0);
        size_t w = 0;

        for (; w + 2 <= words; w += 2) counts = vaddq_u64(counts, common_bits(row + w, query + w));
        sum = 2 * sum + vaddvq_u64(counts);
        if (w < words) sum += (uint64_t)__builtin_popcountll(row[w] & query[w]);
    }
    return sum;
}

static void planes_of_rows(const struct crn_planes *planes, const uint32_t *pos, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t *row = planes->rows + (pos != NULL ? pos[i] : i) * planes->bits * planes->words;
        uint64_t sum = 0;

        for (size_t b = 0; b < planes->bits; b++) sum = 2 * sum + plane_sum(row + b * planes->words, planes);
        out[i] = (uint32_t)sum;
    }
}

const struct crn_lookup_kernels crn_lookup_neon = {
    .name = "neon", .sums = sums, .within = within, .planes = planes_of_rows};
