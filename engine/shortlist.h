/*
 * What a retrieval ranks: more rows than it will return, the nearest ones, read with their patterns. Found by
 * a search in the space's own metric, or, when another one is asked for, by comparing with every row in
 * scope.
 */
#ifndef CRN_ENGINE_SHORTLIST_H
#define CRN_ENGINE_SHORTLIST_H

#include "engine/collection.h"

struct crn_shortlist_row {
    uint32_t local;
    const cairn_pattern *pattern;
    double similarity; /* the search's score, as cairn_metric defines it */
    double score;      /* what it is ranked by */
};

/* The best first. All that the patterns point to lives as long as the list. */
struct crn_shortlist {
    struct crn_shortlist_row *rows;
    size_t count;
    bool all; /* no other row is in scope */
    cairn_patterns *patterns;
};

struct crn_shortlist_query {
    cairn_collection *collection;
    const cairn_retrieve_options *options; /* checked */
    int64_t now_ms;
    bool with_vectors;
};

/* The `wanted` nearest that have not expired; those that are gone again when they are read are left out.
 * Released by crn_shortlist_release. Those of cairn_search. */
cairn_status crn_shortlist_fetch(const struct crn_shortlist_query *query, uint32_t wanted,
                                 struct crn_shortlist *out_shortlist, cairn_error *err);
void crn_shortlist_release(struct crn_shortlist *shortlist);

/* One row by its local and its distance. */
struct crn_near {
    uint32_t local;
    double similarity;
};

/* The nearest rows in scope by options->metric, the space's own vectors compared at full precision as they
 * were written. out_near: [wanted], best first. */
cairn_status crn_shortlist_compare_all(const struct crn_shortlist_query *query, uint32_t wanted,
                                       struct crn_near *out_near, uint32_t *out_count, cairn_error *err);

/* Puts the nearest first: by score, then similarity, then the order they had. */
void crn_shortlist_sort(struct crn_shortlist *shortlist);

#endif
