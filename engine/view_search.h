/* Searching one view: segments by index or by scan, tails by graph and scan, merged into the k nearest. Internal to engine/. */
#ifndef CRN_ENGINE_VIEW_SEARCH_H
#define CRN_ENGINE_VIEW_SEARCH_H

#include "engine/filter_parts.h"
#include "engine/space.h"

#include <roaring/roaring.h>

struct crn_view_query {
    const float *vector; /* [dim], as crn_live_space_prepare leaves it */
    size_t k;
    const roaring_bitmap_t *filter; /* locals that may be returned; NULL: all */
    struct crn_filter_parts *parts; /* where what is made of them is kept, or NULL */
    bool exact;
    uint32_t ef, nprobe;
    double recall;       /* 0: the index's default */
    double oversampling; /* 0: the codec's default */
    cairn_device device;
    uint64_t deadline_ns; /* monotonic; 0: none */
};

struct crn_found {
    float distance; /* quant's raw one: smaller is nearer */
    uint32_t local;
    uint32_t part;     /* from the view's part_count on: its tails */
    uint32_t position; /* in the part or the tail */
};

struct crn_view_answer {
    struct crn_found *found; /* [k], the caller's; ascending by (distance, local) */
    size_t count;
    uint64_t rows_matched;
    uint64_t rows_scored; /* compared exactly by scanning */
    bool used_index;
    bool used_card; /* a GPU compared rows of a segment */
};

/* TIMEOUT; CORRUPT: a segment is damaged, and nothing of the answer counts; NO_MEMORY. */
cairn_status crn_view_search(const struct crn_live_space *space, const struct crn_view *view,
                             const struct crn_view_query *query, struct crn_view_answer *answer,
                             cairn_error *err);

/* The encoded id of a found row; lives as long as the view. CORRUPT. */
cairn_status crn_view_id(const struct crn_view *view, const struct crn_found *found, const char **out_id,
                         cairn_error *err);

#endif
