/* The parts of a search. Internal to engine/. */
#ifndef CRN_ENGINE_SEARCH_H
#define CRN_ENGINE_SEARCH_H

#include "engine/results.h"

/* A search under way: what the query asks for, checked. */
struct crn_search {
    cairn_collection *collection;
    const cairn_query *query;
    cairn_scope scope;
    bool limited; /* the scope asks for anything */
    size_t k;
    uint64_t deadline_ns; /* 0: none */
    cairn_search_info info;
    struct crn_view *view; /* what candidates' ids point into; NULL: none was needed */
};

struct crn_candidate {
    uint32_t local;
    float score, distance;
    const char *id; /* encoded, in the search's view; NULL: to be read from the row */
};

struct crn_candidates { /* best first */
    struct crn_candidate *list;
    size_t count;
};

/* The k best by vector (dense or sparse), or by the words of the text. `list` is freed by crn_mem_free. */
cairn_status crn_search_dense(struct crn_search *search, struct crn_live_space *space, const float *vector,
                              size_t k, struct crn_candidates *out, cairn_error *err);
cairn_status crn_search_sparse(struct crn_search *search, struct crn_live_space *space, size_t k,
                               struct crn_candidates *out, cairn_error *err);
cairn_status crn_search_lexical(struct crn_search *search, size_t k, struct crn_candidates *out,
                                cairn_error *err);

/* Fuses two lists into the k best of both. */
cairn_status crn_search_fuse(const struct crn_search *search, const struct crn_candidates *by_vector,
                             const struct crn_candidates *by_text, size_t k, struct crn_candidates *out,
                             cairn_error *err);

/* score and distance of a metric from quant's raw distance (negative dot product, squared L2, L1). */
void crn_score_from_raw(cairn_metric metric, float raw, float *out_score, float *out_distance);

#endif
