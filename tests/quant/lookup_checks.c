/* Sums are compared with the definition in quant/lookup.h, row by row, on arrays that end or begin at
 * forbidden pages. */
#include "tests/quant/lookup_checks.h"

#include "base/rng.h"
#include "tests/quant/guarded.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 300u
#define BLOCKS_MAX 3u
#define ROWS_MAX 20u
#define CANARY 0x5ca1ab1eu

struct checks {
    const struct crn_lookup_kernels *kernels;
    struct crn_rng rng;
    struct guarded codes, tables;
    unsigned failures;
};

static void fill(struct checks *checks, void *out, size_t bytes, bool extreme)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = extreme ? 255 : (uint8_t)crn_rng_u64(&checks->rng);
}

static uint32_t want_sum(const uint8_t *codes, const uint8_t *tables, size_t words, size_t row)
{
    uint32_t sum = 0;

    for (size_t w = 0; w < words; w++) {
        const uint8_t *block = codes + row / 32 * words * 128 + w * 128 + row % 32 / 16 * 64;

        for (size_t k = 0; k < 4; k++) {
            const uint8_t byte = block[k * 16 + row % 16];

            sum += tables[w * 128 + k * 16 + byte % 16];
            sum += tables[w * 128 + 64 + k * 16 + byte / 16];
        }
    }
    return sum;
}

static void check_sums(struct checks *checks, size_t words, size_t blocks, bool at_end, bool extreme)
{
    const size_t code_bytes = words * blocks * CRN_LOOKUP_WORD_BYTES,
                 table_bytes = words * CRN_LOOKUP_WORD_BYTES;
    uint8_t *codes = (uint8_t *)(at_end ? checks->codes.end - code_bytes : checks->codes.begin);
    uint8_t *tables = (uint8_t *)(at_end ? checks->tables.end - table_bytes : checks->tables.begin);
    uint32_t out[BLOCKS_MAX * CRN_LOOKUP_ROWS + 1];

    fill(checks, codes, code_bytes, extreme);
    fill(checks, tables, table_bytes, extreme);
    out[blocks * CRN_LOOKUP_ROWS] = CANARY;
    checks->kernels->sums(codes, tables, words, blocks, out);
    for (size_t row = 0; row < blocks * CRN_LOOKUP_ROWS; row++) {
        const uint32_t want = want_sum(codes, tables, words, row);

        if (out[row] == want) continue;
        if (checks->failures++ < 5) {
            fprintf(stderr, "%s: words %zu row %zu: %u, not %u\n", checks->kernels->name, words, row,
                    out[row], want);
        }
    }
    checks->failures += out[blocks * CRN_LOOKUP_ROWS] != CANARY;
}

/* Values and masks against the scalar table's, which the sums above vouch for, and against the formula. */
static void check_within(struct checks *checks, size_t words, size_t blocks, bool at_end)
{
    const size_t code_bytes = words * blocks * CRN_LOOKUP_WORD_BYTES,
                 table_bytes = words * CRN_LOOKUP_WORD_BYTES, rows = blocks * CRN_LOOKUP_ROWS;
    float adds[BLOCKS_MAX * CRN_LOOKUP_ROWS], scales[BLOCKS_MAX * CRN_LOOKUP_ROWS];
    float out[BLOCKS_MAX * CRN_LOOKUP_ROWS], want[BLOCKS_MAX * CRN_LOOKUP_ROWS];
    uint32_t masks[BLOCKS_MAX + 1] = {0}, want_masks[BLOCKS_MAX];
    struct crn_lookup_rows at = {
        .codes = (uint8_t *)(at_end ? checks->codes.end - code_bytes : checks->codes.begin),
        .tables = (uint8_t *)(at_end ? checks->tables.end - table_bytes : checks->tables.begin),
        .words = words,
        .adds = adds,
        .scales = scales,
        .add = 0.25f,
        .delta = 0.01f,
        .base = -1.5f,
        .ahead = crn_rng_below(&checks->rng, 2) * 4096};

    fill(checks, (uint8_t *)(uintptr_t)at.codes, code_bytes, false);
    fill(checks, (uint8_t *)(uintptr_t)at.tables, table_bytes, false);
    for (size_t i = 0; i < rows; i++) {
        adds[i] = (float)crn_rng_normal(&checks->rng);
        scales[i] = (float)crn_rng_normal(&checks->rng);
    }
    adds[crn_rng_below(&checks->rng, rows)] = NAN;
    masks[blocks] = CANARY;
    /* The limit is a value that there is, which is not above itself. */
    crn_lookup_scalar.within(&at, blocks, INFINITY, want, want_masks);
    const float limit = want[crn_rng_below(&checks->rng, rows)];
    crn_lookup_scalar.within(&at, blocks, limit, want, want_masks);
    checks->kernels->within(&at, blocks, limit, out, masks);
    for (size_t i = 0; i < rows; i++) {
        const double sum = want_sum(at.codes, at.tables, words, i);
        const double value = 0.25 + (double)adds[i] + (double)scales[i] * ((double)0.01f * sum - 1.5);
        const bool near = !(want[i] > limit), bit = (masks[i / 32] >> i % 32 & 1) != 0;
        const bool right = isnan(adds[i]) ? isnan(out[i]) : fabs(out[i] - value) <= 1e-5 * (8 + sum);

        if (memcmp(&out[i], &want[i], sizeof *out) == 0 && bit == near && right) continue;
        if (isnan(out[i]) && isnan(want[i]) && bit == near) continue; /* which NaN is the processor's */
        if (checks->failures++ < 5) {
            fprintf(stderr, "%s: words %zu row %zu: %.9g, not %.9g; within %g: %d\n", checks->kernels->name,
                    words, i, (double)out[i], (double)want[i], (double)limit, bit);
        }
    }
    checks->failures += masks[blocks] != CANARY;
}

static uint32_t want_planes(const struct crn_planes *planes, size_t row)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < planes->words * 64; i++) {
        uint32_t u = 0, q = 0;

        for (size_t b = 0; b < planes->bits; b++) {
            u = 2 * u + (planes->rows[(row * planes->bits + b) * planes->words + i / 64] >> i % 64 & 1);
        }
        for (size_t p = planes->planes; p-- > 0;)
            q = 2 * q + (planes->query[p * planes->words + i / 64] >> i % 64 & 1);
        sum += u * q;
    }
    return sum;
}

static void check_planes(struct checks *checks, size_t words, size_t bits, size_t count, bool at_end,
                         bool extreme)
{
    const size_t n = crn_rng_below(&checks->rng, ROWS_MAX);
    const size_t row_bytes = n * bits * words * 8, query_bytes = count * words * 8;
    struct crn_planes planes = {.words = words, .bits = bits, .planes = count};
    uint32_t block[ROWS_MAX + 1], gather[ROWS_MAX + 1], pos[ROWS_MAX + 1];
    void *rows = at_end ? checks->codes.end - row_bytes : checks->codes.begin;
    void *query = at_end ? checks->tables.end - query_bytes : checks->tables.begin;

    fill(checks, rows, row_bytes, extreme);
    fill(checks, query, query_bytes, extreme);
    planes.rows = rows;
    planes.query = query;
    for (size_t i = 0; i < n; i++) pos[i] = (uint32_t)crn_rng_below(&checks->rng, n);
    block[n] = gather[n] = CANARY;
    checks->kernels->planes(&planes, NULL, n, block);
    checks->kernels->planes(&planes, pos, n, gather);
    for (size_t i = 0; i < n; i++) {
        const uint32_t want = want_planes(&planes, i);

        if (block[i] == want && gather[i] == block[pos[i]]) continue;
        if (checks->failures++ < 5) {
            fprintf(stderr, "%s: words %zu bits %zu planes %zu row %zu: %u, not %u\n", checks->kernels->name,
                    words, bits, count, i, block[i], want);
        }
    }
    checks->failures += block[n] != CANARY || gather[n] != CANARY;
}

unsigned check_lookup(const struct crn_lookup_kernels *kernels, uint64_t seed)
{
    static const size_t many[] = {24, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300};
    struct checks checks = {.kernels = kernels};

    crn_rng_init(&checks.rng, seed);
    checks.codes = guarded_map(WORDS_MAX * BLOCKS_MAX * CRN_LOOKUP_WORD_BYTES);
    checks.tables = guarded_map(WORDS_MAX * CRN_LOOKUP_WORD_BYTES);
    for (size_t words = 1; words < 20; words++) {
        for (size_t i = 0; i < 8; i++) check_sums(&checks, words, i / 2, i % 2 == 0, false);
        for (size_t i = 0; i < 6; i++) check_within(&checks, words, 1 + i / 2, i % 2 == 0);
        for (size_t i = 0; i < 64; i++) check_planes(&checks, words, 1 + i % 8, 1 + i / 8, i % 2 == 0, false);
    }
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) {
        check_sums(&checks, many[i], 2, true, false);
        check_within(&checks, many[i], 2, true);
        check_sums(&checks, many[i], 1, false, true); /* the largest sums */
    }
    check_planes(&checks, 40, 8, 8, true, true);
    check_planes(&checks, 40, 1, 4, true, true);
    guarded_unmap(&checks.codes);
    guarded_unmap(&checks.tables);
    return checks.failures;
}
