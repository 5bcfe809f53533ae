/* What the files that work on a space's segments share: compact.c (writing, merging), compact_index.c (indexes). */
#ifndef CRN_ENGINE_COMPACT_INTERNAL_H
#define CRN_ENGINE_COMPACT_INTERNAL_H

#include "engine/compact.h"

/* ---- compact.c ---- */

/* The list of a view, with room for one more. Freed by crn_mem_free; NULL: no memory. */
struct crn_segment_entry *crn_compact_list(const struct crn_view *view);

/* Makes that the space's list. Lock `segments` held. */
cairn_status crn_compact_switch(struct crn_live_space *space, const struct crn_segment_entry *entries,
                                uint32_t count, cairn_error *err);

/* ---- compact_index.c: indexes of segments that are written, but not listed yet ---- */

/* Rows that a segment may have for the sake of its index. */
uint32_t crn_compact_rows_most(const struct crn_live_space *space);

/* Makes the graph of the view's tail, of whose rows `rows` (source: the tail) are the segment's, its index. Where that cannot be, it stays
 * without one, which crn_compact_index builds. */
void crn_compact_index_tail(struct crn_live_space *space, const struct crn_view *view,
                            const struct crn_segment_row *rows, struct crn_segment_entry *entry);

/* Builds the index of a segment merged of parts of the view (rows' source), from the graph of the largest of them; without a view,
 * from nothing. CANCELLED. */
cairn_status crn_compact_index_merged(struct crn_live_space *space, const struct crn_view *view,
                                      const struct crn_segment_row *rows, struct crn_segment_entry *entry,
                                      const struct crn_build_control *control, cairn_error *err);

#endif
