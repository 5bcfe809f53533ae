/*
 * The k smallest distances seen, with their labels. A binary max-heap over the caller's arrays.
 * Ties go to the smaller label, so that results do not depend on the order of visits.
 */
#ifndef CRN_BASE_TOPK_H
#define CRN_BASE_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crn_hit {
    float distance;
    uint64_t label;
};

struct crn_topk {
    struct crn_hit *hits; /* [k], the caller's */
    size_t k;             /* > 0 */
    size_t count;
};

static inline void crn_topk_init(struct crn_topk *top, struct crn_hit *hits, size_t k)
{
    top->hits = hits;
    top->k = k;
    top->count = 0;
}

/* Distances at or above this cannot enter (but for a tie with a smaller label): +inf until full. */
static inline float crn_topk_limit(const struct crn_topk *top)
{
    return top->count < top->k ? __builtin_inff() : top->hits[0].distance;
}

void crn_topk_push(struct crn_topk *top, float distance, uint64_t label); /* NaN is ignored */
void crn_topk_sort(struct crn_topk *top); /* ascending by (distance, label); ends the heap */

#endif
