/* Bitmaps over positions, in 64-bit words. */
#ifndef CRN_ENGINE_BITS_H
#define CRN_ENGINE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t crn_bits_words(size_t count)
{
    return (count + 63) / 64;
}

static inline bool crn_bits_get(const uint64_t *words, size_t i)
{
    return (words[i / 64] >> (i % 64)) & 1;
}

static inline void crn_bits_set(uint64_t *words, size_t i)
{
    words[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void crn_bits_clear(uint64_t *words, size_t i)
{
    words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* Sets bits 0..count-1 and clears the rest of the last word. */
static inline void crn_bits_fill(uint64_t *words, size_t count)
{
    for (size_t w = 0; w < count / 64; w++) words[w] = UINT64_MAX;
    if (count % 64 != 0) words[count / 64] = (UINT64_C(1) << (count % 64)) - 1;
}

static inline size_t crn_bits_count(const uint64_t *words, size_t word_count)
{
    size_t count = 0;
    for (size_t w = 0; w < word_count; w++) count += (size_t)__builtin_popcountll(words[w]);
    return count;
}

/* Word w of the bits from..to-1, the others cleared. */
static inline uint64_t crn_bits_between(const uint64_t *words, size_t w, size_t from, size_t to)
{
    uint64_t word = words[w];

    if (w == from / 64) word &= UINT64_MAX << (from % 64);
    if (w == to / 64) word &= ~(UINT64_MAX << (to % 64));
    return word;
}

static inline size_t crn_bits_count_between(const uint64_t *words, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t w = from / 64; w * 64 < to; w++)
        count += (size_t)__builtin_popcountll(crn_bits_between(words, w, from, to));
    return count;
}

#endif
