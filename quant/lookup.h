/*
 * Kernels over codes of a few bits: sums of table entries over blocks of rows, and popcounts of bit planes
 * over single rows. What the codes mean is the business of binary.h and product.h.
 *
 * A lookup scan reads codes of 4 bits, 8 of them a row in a "word" of 4 bytes, in blocks of 32 rows:
 *
 *   codes  [block][word][half][byte 0..3][row 0..15] u8     byte k of a row's word; half 1 holds rows 16..31
 *   tables [word][nibble][byte 0..3][16] u8                 nibble 0: of the low 4 bits, 1: of the high
 *
 *   out[row] = sum over words and bytes of tables[w][0][k][c & 15] + tables[w][1][k][c >> 4]
 *
 * so that 16 rows' equal bytes are one shuffle's indices (table lookups in registers: Andre, Kermarrec, Le
 * Scouarnec, "Cache locality is not enough: high-performance nearest neighbor search with product
 * quantization fast scan", VLDB 2015). All sums are exact integers, the same in every table of functions. Any
 * thread may call them at once.
 */
#ifndef CRN_QUANT_LOOKUP_H
#define CRN_QUANT_LOOKUP_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_LOOKUP_ROWS 32u        /* of a block */
#define CRN_LOOKUP_WORD_BYTES 128u /* of a block's word, and of its tables */
#define CRN_LOOKUP_WORDS_MAX 8192u
#define CRN_LOOKUP_AHEAD 4096u /* bytes that are asked for ahead of a scan of codes in memory (measured) */
#define CRN_PLANES_MAX 8u

/* Rows as bit planes, [n][bits][words] u64, against a query's, [planes][words]. Row plane b counts
 * 2^(bits-1-b), query plane p 2^p; bits and planes are 1..CRN_PLANES_MAX. */
struct crn_planes {
    const uint64_t *rows;
    const uint64_t *query;
    size_t words;
    size_t bits;
    size_t planes;
};

/* Rows in blocks, of which a sum becomes the value (add + adds[row]) + scales[row] * (delta * sum + base). */
struct crn_lookup_rows {
    const uint8_t *codes;
    const uint8_t *tables;
    size_t words;
    const float *adds, *scales; /* of whole blocks; behind the last row may be anything */
    float add, delta, base;
    size_t ahead; /* bytes: so far ahead codes are asked for, which need not be there */
};

struct crn_lookup_kernels {
    const char *name;

    /* out[i] for the rows of `blocks` whole blocks. words is 1..CRN_LOOKUP_WORDS_MAX. */
    void (*sums)(const uint8_t *codes, const uint8_t *tables, size_t words, size_t blocks, uint32_t *out);

    /* out[i] = the value of row i of `blocks` whole blocks, and bit i of masks[b]: that of row 32 b + i is not
     * above the limit; one that is NaN is not. Values are the same bit for bit in every table. */
    void (*within)(const struct crn_lookup_rows *rows, size_t blocks, float limit, float *out,
                   uint32_t *masks);

    /* out[i] = sum over b and p of 2^(bits-1-b+p) * popcount(row plane b & query plane p), of row pos[i], or
     * of row i when pos is NULL. */
    void (*planes)(const struct crn_planes *planes, const uint32_t *pos, size_t n, uint32_t *out);
};

/* The table for this processor. Never NULL. */
const struct crn_lookup_kernels *crn_lookup_get(void);

/* The table for one level, or NULL when this build, this processor or CAIRN_CPU excludes it. */
const struct crn_lookup_kernels *crn_lookup_for(enum crn_cpu_level level);

/* kernels->within of n rows, which need not be whole blocks, though all arrays are: bits of rows from the n-th on
 * are 0. Gives whether a row is not above the limit. */
bool crn_lookup_within(const struct crn_lookup_rows *rows, size_t n, float limit, float *out,
                       uint32_t *masks);

/* For lookup.c alone: running one on a processor without its instructions ends the process. */
extern const struct crn_lookup_kernels crn_lookup_scalar;
extern const struct crn_lookup_kernels crn_lookup_avx2;
extern const struct crn_lookup_kernels crn_lookup_avx512;
extern const struct crn_lookup_kernels crn_lookup_neon;

/* The table of a row's nibble: nibble 2i is the low half of its byte i. */
static inline uint8_t *crn_lookup_table(uint8_t *tables, size_t nibble)
{
    return tables + nibble / 8 * CRN_LOOKUP_WORD_BYTES + nibble % 2 * 64 + nibble % 8 / 2 * 16;
}

/* Writes a row's codes, [4 * words] bytes, as row `row` of a block. */
void crn_lookup_put(const uint8_t *codes, size_t words, size_t row, uint8_t *block);

/* Moves 32 rows' codes, [rows][4 * words] bytes, into a block of [4 * words * 32] bytes; rows that lack are
 * zeros. */
void crn_lookup_pack(const uint8_t *rows, size_t count, size_t words, uint8_t *block);

#endif
