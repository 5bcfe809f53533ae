/*
 * The k smallest distances seen, with their labels, in no order: for k too large for a heap (topk.h) to be
 * cheap. Hits gather in a buffer of the caller's, and whenever it is full all but the k smallest are dropped.
 * Ties go to the smaller label, so that results do not depend on the order of visits.
 */
#ifndef CRN_BASE_SIEVE_H
#define CRN_BASE_SIEVE_H

#include "base/topk.h"

struct crn_sieve {
    struct crn_hit *hits; /* [capacity], the caller's */
    size_t k;             /* > 0 */
    size_t capacity;      /* > k; twice as much is good */
    size_t count;
    float limit; /* distances above it cannot enter */
};

static inline void crn_sieve_init(struct crn_sieve *sieve, struct crn_hit *hits, size_t k, size_t capacity)
{
    *sieve = (struct crn_sieve){.hits = hits, .k = k, .capacity = capacity, .limit = __builtin_inff()};
}

/* Drops all but the k smallest. */
void crn_sieve_shrink(struct crn_sieve *sieve);

/* NaN is ignored. */
static inline void crn_sieve_push(struct crn_sieve *sieve, float distance, uint64_t label)
{
    if (!(distance <= sieve->limit)) return;
    sieve->hits[sieve->count++] = (struct crn_hit){distance, label};
    if (sieve->count == sieve->capacity) crn_sieve_shrink(sieve);
}

#endif
