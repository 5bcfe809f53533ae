/*
 * Maximal marginal relevance: choosing results that are relevant and unlike each other.
 * J. Carbonell, J. Goldstein: The Use of MMR, Diversity-Based Reranking (SIGIR 1998).
 */
#ifndef CRN_ENGINE_MMR_H
#define CRN_ENGINE_MMR_H

#include <cairn/status.h>
#include <stddef.h>
#include <stdint.h>

struct crn_mmr {
    const double *relevance; /* [count], descending */
    const float *vectors;    /* [count][dim], normalised; a zero vector is like nothing */
    size_t count;
    uint32_t dim;
    double lambda; /* 1: relevance alone; 0: unlikeness alone */
};

/*
 * Picks `k` of `count` (k <= count), one after the other: first the most relevant, then whichever has the
 * greatest lambda * relevance - (1 - lambda) * (greatest cosine with one picked before); the more relevant
 * where equal. out_picked: [k] positions, in the order of picking.
 */
cairn_status crn_mmr_pick(const struct crn_mmr *mmr, size_t k, size_t *out_picked, cairn_error *err);

#endif
