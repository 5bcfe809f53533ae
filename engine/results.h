/* Building a cairn_results. Internal to engine/. */
#ifndef CRN_ENGINE_RESULTS_H
#define CRN_ENGINE_RESULTS_H

#include "engine/patterns.h"

struct crn_results_hit {
    uint32_t local;
    float score;
    float distance;
    const char *id;               /* encoded, or NULL: */
    const cairn_pattern *pattern; /* then this one's */
};

struct cairn_results {
    cairn_hit *hits;
    uint32_t *locals;
    size_t count;
    cairn_search_info info;
    struct cairn_patterns *patterns; /* NULL unless asked for; hit i's is at i */
};

/* Copies hits and ids into one block. NULL: no memory. */
cairn_results *crn_results_create(const struct crn_results_hit *hits, size_t count, cairn_error *err);

#endif
