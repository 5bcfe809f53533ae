/*
 * The k smallest distances seen, with their labels, in no order: for k too large for a heap (topk.h) to be
 * cheap. Distances gather in arrays of the caller's, and whenever these are full all but the k smallest are
 * dropped. Ties go to the smaller label, so that results do not depend on the order of visits.
 */
#ifndef CRN_BASE_SIEVE_H
#define CRN_BASE_SIEVE_H

#include <stddef.h>
#include <stdint.h>

struct crn_sieve {
    float *distances; /* [capacity], the caller's */
    uint32_t *labels; /* [capacity], the caller's */
    size_t k;         /* > 0 */
    size_t capacity;  /* > k; some times as much is good */
    size_t count;
    float limit; /* distances above it cannot enter */
};

static inline void crn_sieve_init(struct crn_sieve *sieve, float *distances, uint32_t *labels, size_t k,
                                  size_t capacity)
{
    *sieve = (struct crn_sieve){
        .distances = distances, .labels = labels, .k = k, .capacity = capacity, .limit = __builtin_inff()};
}

/* Drops all but the k smallest. */
void crn_sieve_shrink(struct crn_sieve *sieve);

/* NaN is ignored. */
static inline void crn_sieve_push(struct crn_sieve *sieve, float distance, uint32_t label)
{
    if (!(distance <= sieve->limit)) return;
    sieve->distances[sieve->count] = distance;
    sieve->labels[sieve->count++] = label;
    if (sieve->count == sieve->capacity) crn_sieve_shrink(sieve);
}

/* Of n distances, none of them NaN, and their labels, the k smallest (0 < k <= n) come to the front, in the order
 * they had; what is behind them is not used any more. Gives a number that none of them is above, and that no
 * other is below. */
float crn_sieve_choose(float *distances, uint32_t *labels, size_t n, size_t k);
/* The same, but the others stay, behind them, in any order. */
float crn_sieve_split(float *distances, uint32_t *labels, size_t n, size_t k);

#endif
