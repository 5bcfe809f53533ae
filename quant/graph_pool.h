/* Sorted pools of 64-bit keys: what all forms of graph rows share. */
#ifndef CRN_QUANT_GRAPH_POOL_H
#define CRN_QUANT_GRAPH_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRN_POOL_PAD 8u /* words behind what is used: whole vectors are read and written */

/*
 * The `most` least keys seen, ascending, padded with UINT64_MAX. Behind them lies what AVX-512 finds places with: the last key of each eight, and a
 * bit for each place.
 */
struct crn_pool {
    uint64_t *keys; /* [crn_pool_words(most)] */
    uint32_t count, most;
};

static inline uint64_t *crn_pool_tops(const struct crn_pool *pool)
{
    return pool->keys + pool->most + CRN_POOL_PAD;
}

static inline uint8_t *crn_pool_gaps(const struct crn_pool *pool)
{
    return (uint8_t *)(crn_pool_tops(pool) + pool->most / 8 + 1 + CRN_POOL_PAD);
}

static inline size_t crn_pool_words(uint32_t most)
{
    return (size_t)most + most / 8 + 1 + most / 64 + 1 + 3 * (size_t)CRN_POOL_PAD;
}

static inline void crn_pool_reset(struct crn_pool *pool, uint64_t *keys, uint32_t most)
{
    *pool = (struct crn_pool){.keys = keys, .most = most};
    memset(keys, 0xff, crn_pool_words(most) * sizeof *keys);
}

/* A key: the bits of a distance that is not negative, above a number. Ascending like distances. */
static inline uint64_t crn_pool_key(float distance, uint32_t id)
{
    uint32_t bits;

    distance = distance > 0 ? distance : 0;
    memcpy(&bits, &distance, sizeof bits);
    return (uint64_t)bits << 32 | id;
}

/* How many of the ascending keys[0..count) are at most `key`. No branch depends on a key: all would be
 * guesses. */
static inline uint32_t crn_pool_rank(const uint64_t *keys, uint32_t count, uint64_t key)
{
    uint32_t low = 0;

    if (count == 0) return 0;
    while (count > 1) {
        const uint32_t half = count / 2;
        low += half & (0 - (uint32_t)(keys[low + half - 1] <= key));
        count -= half;
    }
    return low + (keys[low] <= key);
}

#endif
