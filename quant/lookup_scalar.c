/* Lookup kernels in plain C: the reference of the others. */
#include "quant/lookup.h"

#include <string.h>

static void sums(const uint8_t *codes, const uint8_t *tables, size_t words, size_t blocks, uint32_t *out)
{
    memset(out, 0, blocks * CRN_LOOKUP_ROWS * sizeof *out);
    for (size_t block = 0; block < blocks; block++, out += CRN_LOOKUP_ROWS) {
        for (size_t lane = 0; lane < words * 8; lane++, codes += 16) {
            const uint8_t *low = tables + lane / 8 * CRN_LOOKUP_WORD_BYTES + lane % 4 * 16;
            uint32_t *half = out + lane / 4 % 2 * 16;

            for (size_t row = 0; row < 16; row++)
                half[row] += (uint32_t)low[codes[row] & 15] + low[64 + (codes[row] >> 4)];
        }
    }
}

static void within(const struct crn_lookup_rows *rows, size_t blocks, float limit, float *out,
                   uint32_t *masks)
{
    const size_t block_bytes = rows->words * CRN_LOOKUP_WORD_BYTES;

    for (size_t block = 0; block < blocks; block++) {
        uint32_t of_block[CRN_LOOKUP_ROWS];

        sums(rows->codes + block * block_bytes, rows->tables, rows->words, 1, of_block);
        masks[block] = 0;
        for (size_t i = 0; i < CRN_LOOKUP_ROWS; i++) {
            const size_t row = block * CRN_LOOKUP_ROWS + i;
            const float product = rows->delta * (float)(int32_t)of_block[i] + rows->base;

            out[row] = (rows->add + rows->adds[row]) + rows->scales[row] * product;
            masks[block] |= (uint32_t) !(out[row] > limit) << i;
        }
    }
}

static uint32_t plane_sum(const uint64_t *row, const struct crn_planes *planes)
{
    uint32_t sum = 0;

    for (size_t p = planes->planes; p-- > 0;) {
        const uint64_t *query = planes->query + p * planes->words;
        uint32_t count = 0;

        for (size_t w = 0; w < planes->words; w++) count += (uint32_t)__builtin_popcountll(row[w] & query[w]);
        sum = 2 * sum + count;
    }
    return sum;
}

static void planes_of_rows(const struct crn_planes *planes, const uint32_t *pos, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t *row = planes->rows + (pos != NULL ? pos[i] : i) * planes->bits * planes->words;
        uint32_t sum = 0;

        for (size_t b = 0; b < planes->bits; b++) sum = 2 * sum + plane_sum(row + b * planes->words, planes);
        out[i] = sum;
    }
}

const struct crn_lookup_kernels crn_lookup_scalar = {
    .name = "scalar", .sums = sums, .within = within, .planes = planes_of_rows};
