/*
 * From a Roaring bitmap over locals to a plain one over a segment's positions. An iterator is asked row by row, which for a filter of
 * many rows takes longer than the graph's search; so containers are copied as words.
 *
 * Those are reached by CRoaring's frozen format (described in its roaring.c): all bitsets, all runs, all arrays, then for each container
 * its key u16, its count u16 (less one; of runs: their number) and its type u8, then a header u32 with their number above 15 bits.
 */
#include "engine/filter_bits.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"

#include <string.h>

#define CONTAINER_WORDS 1024u /* 65536 locals */
#define SPARSE 16u            /* locals for each row, from which on the rows are asked for one by one */

enum { BITSET = 1, ARRAY = 2, RUN = 3 };

struct frozen {
    const uint64_t *bitsets;
    const uint16_t *runs; /* pairs: first, length less one */
    const uint16_t *arrays;
    const uint16_t *keys, *counts;
    const uint8_t *types;
    uint32_t count;
};

static uint32_t elements_of(const struct frozen *frozen, uint32_t i)
{
    return frozen->types[i] == RUN ? frozen->counts[i] : frozen->counts[i] + 1u;
}

static struct frozen frozen_of(const char *data, size_t size)
{
    uint32_t header, bitsets = 0;
    size_t runs = 0;
    struct frozen frozen;

    memcpy(&header, data + size - sizeof header, sizeof header);
    frozen.count = header >> 15;
    frozen.types = (const uint8_t *)data + size - sizeof header - frozen.count;
    frozen.counts = (const uint16_t *)(const void *)(frozen.types - 2 * (size_t)frozen.count);
    frozen.keys = frozen.counts - frozen.count;
    for (uint32_t i = 0; i < frozen.count; i++) {
        bitsets += frozen.types[i] == BITSET;
        runs += frozen.types[i] == RUN ? frozen.counts[i] : 0;
    }
    frozen.bitsets = (const uint64_t *)(const void *)data;
    frozen.runs = (const uint16_t *)(const void *)(frozen.bitsets + (size_t)bitsets * CONTAINER_WORDS);
    frozen.arrays = frozen.runs + runs * 2;
    return frozen;
}

/* Writes container i, and leads on to the next. words: [CONTAINER_WORDS], zero; NULL: only leads on. */
static void expand(struct frozen *frozen, uint32_t i, uint64_t *words)
{
    const uint32_t elements = elements_of(frozen, i);

    switch (frozen->types[i]) {
    case BITSET:
        if (words != NULL) memcpy(words, frozen->bitsets, CONTAINER_WORDS * sizeof *words);
        frozen->bitsets += CONTAINER_WORDS;
        return;
    case ARRAY:
        for (uint32_t j = 0; words != NULL && j < elements; j++) crn_bits_set(words, frozen->arrays[j]);
        frozen->arrays += elements;
        return;
    default:
        for (uint32_t j = 0; words != NULL && j < elements; j++) {
            const uint32_t first = frozen->runs[2 * j], last = first + frozen->runs[2 * j + 1];
            for (uint32_t w = first / 64; w <= last / 64; w++) {
                const uint64_t from = w == first / 64 ? UINT64_MAX << (first % 64) : UINT64_MAX;
                words[w] |= w == last / 64 ? from & UINT64_MAX >> (63 - last % 64) : from;
            }
        }
        frozen->runs += 2 * (size_t)elements;
    }
}

/* 64 bits from bit `at` on. One word behind them is read. */
static uint64_t bits_at(const uint64_t *words, size_t at)
{
    const unsigned shift = at % 64;
    const uint64_t *word = words + at / 64;

    return shift == 0 ? word[0] : word[0] >> shift | word[1] << (64 - shift);
}

static void gather(const uint64_t *words, uint32_t base, const uint32_t *locals, uint32_t count,
                   uint64_t *allow)
{
    for (uint32_t begin = 0; begin < count; begin += 64) {
        const uint32_t rows = count - begin < 64 ? count - begin : 64;
        uint64_t bits = 0;
        if (locals[begin + rows - 1] - locals[begin] == rows - 1) { /* no gap */
            bits = bits_at(words, locals[begin] - base) & UINT64_MAX >> (64 - rows);
        } else {
            for (uint32_t i = 0; i < rows; i++)
                bits |= (uint64_t)crn_bits_get(words, locals[begin + i] - base) << i;
        }
        allow[begin / 64] = bits;
    }
}

static void ask_one_by_one(const roaring_bitmap_t *filter, const uint32_t *locals, uint32_t count,
                           uint64_t *allow)
{
    memset(allow, 0, crn_bits_words(count) * sizeof *allow);
    for (uint32_t i = 0; i < count; i++) {
        if (roaring_bitmap_contains(filter, locals[i])) crn_bits_set(allow, i);
    }
}

cairn_status crn_filter_bits(const roaring_bitmap_t *filter, const uint32_t *locals, uint32_t count,
                             uint64_t *allow, cairn_error *err)
{
    const uint32_t first = locals[0] >> 16, last = locals[count - 1] >> 16;
    const size_t words = ((size_t)last - first + 1) * CONTAINER_WORDS + 1,
                 size = roaring_bitmap_frozen_size_in_bytes(filter);

    if ((locals[count - 1] - locals[0]) / SPARSE > count) {
        ask_one_by_one(filter, locals, count, allow);
        return CAIRN_OK;
    }
    const size_t data_words = (size + 7) / 8;
    uint64_t *memory = crn_mem_aligned((data_words + words + 8) * sizeof *memory);
    if (memory == NULL) return crn_error_no_memory(err, (data_words + words + 8) * sizeof *memory);
    uint64_t *flat = memory + (data_words + 7) / 8 * 8;
    roaring_bitmap_frozen_serialize(filter, (char *)memory);
    struct frozen frozen = frozen_of((const char *)memory, size);
    memset(flat, 0, words * sizeof *flat);
    for (uint32_t i = 0; i < frozen.count && frozen.keys[i] <= last; i++) {
        const uint32_t key = frozen.keys[i];
        expand(&frozen, i, key < first ? NULL : flat + (size_t)(key - first) * CONTAINER_WORDS);
    }
    gather(flat, first << 16, locals, count, allow);
    crn_mem_free(memory);
    return CAIRN_OK;
}
