/*
 * What searches have made of one set of rows, kept beside it: for each segment the set as a bitmap over its positions, and what the
 * segment's index has made of that (crn_index_ops.filter_create). Made by the first search that asks, shared by all later ones. Shared.
 */
#ifndef CRN_ENGINE_FILTER_PARTS_H
#define CRN_ENGINE_FILTER_PARTS_H

#include "engine/segment.h"

#include <roaring/roaring.h>

#define CRN_FILTER_PARTS_MAX 40u           /* more segments, as after many merges, are answered without */
#define CRN_FILTER_PART_ROWS_MAX 16777216u /* and so are larger ones */

struct crn_filter_part {
    struct crn_filter_part *next;
    struct crn_segment_entry of;
    uint64_t *allow; /* a bit for each position of the segment */
    size_t allowed;
    _Atomic(struct crn_index_filter *) filter;            /* NULL: not made yet */
    void (*filter_free)(struct crn_index_filter *filter); /* of the segment's index */
};

struct crn_filter_parts {
    _Atomic(struct crn_filter_part *) first;
    _Atomic uint32_t count;
};

/* *out_part stays NULL where nothing is kept. NO_MEMORY. */
cairn_status crn_filter_parts_get(struct crn_filter_parts *parts, const roaring_bitmap_t *locals,
                                  const struct crn_segment *segment, struct crn_filter_part **out_part,
                                  cairn_error *err);

/* What the segment's index makes of the part, or NULL. */
const struct crn_index_filter *crn_filter_part_of_index(struct crn_filter_part *part,
                                                        const struct crn_segment *segment,
                                                        const struct crn_index *index);

/* About what a set over locals up to `most` takes when it is all made. */
size_t crn_filter_parts_bytes(uint32_t most);

void crn_filter_parts_release(struct crn_filter_parts *parts);

#endif
