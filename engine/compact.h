/*
 * What maintenance does to one space's segments. Internal to engine/.
 *
 * Two locks between processes (files in the database's folder): `segments` is held while a space's list of segments is read,
 * extended and switched, which takes milliseconds; `builder` while segments are merged or indexes built, which may take minutes.
 * Order: builder before segments. So a tail can always be written out, whatever else goes on.
 */
#ifndef CRN_ENGINE_COMPACT_H
#define CRN_ENGINE_COMPACT_H

#include "engine/space.h"

struct crn_build_control {
    unsigned threads;
    bool (*cancelled)(void *ctx); /* may be NULL */
    void *ctx;
};

/* Writes the tail to a segment of its own, if it has `least` rows or changes or more. */
cairn_status crn_compact_flush(struct crn_live_space *space, uint32_t least, cairn_error *err);

/* Merges segments: all of them, or only those that make more work for searches than merging them costs. `builder` held. */
cairn_status crn_compact_merge(struct crn_live_space *space, bool all, cairn_error *err);

/* Builds the space's index over each segment that is large enough and has none. `builder` held. */
cairn_status crn_compact_index(struct crn_live_space *space, const struct crn_build_control *control, cairn_error *err);

/* Writes all of the space anew from its rows. */
cairn_status crn_compact_from_rows(struct crn_live_space *space, cairn_progress_fn progress, void *ctx, cairn_error *err);

/* Removes derived files that no space's list names. Both locks held. */
cairn_status crn_compact_sweep(cairn_db *db, cairn_error *err);

#endif
