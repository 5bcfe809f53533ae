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

/* Writes the tail to a segment of its own, if it has `least` rows or changes or more. `with_index`: the tail's graph becomes its index,
 * where it is to have one; else it is built by crn_compact_index. */
cairn_status crn_compact_flush(struct crn_live_space *space, uint32_t least, bool with_index,
                               cairn_error *err);

enum crn_compact_how {
    CRN_COMPACT_IDLE, /* once some of those that make more work for searches than merging them costs */
    CRN_COMPACT_BUSY, /* the same while rows are being written without a pause: more are left for later (compact_policy.h) */
    CRN_COMPACT_ALL
};

/* Merges segments; while rows are loaded in bulk only such as have no index. Their indexes are built as `control` (may be NULL: not at
 * all) says. No segment gets more rows than its index takes. `builder` held. *out_merged (may be NULL), which the caller clears, is set
 * when some were: there may be more. */
cairn_status crn_compact_merge(struct crn_live_space *space, enum crn_compact_how how,
                               const struct crn_build_control *control, bool *out_merged, cairn_error *err);

/* Builds the space's index over each segment that is large enough and has none. `builder` held. */
cairn_status crn_compact_index(struct crn_live_space *space, const struct crn_build_control *control,
                               cairn_error *err);

/* Writes all of the space anew from its rows. */
cairn_status crn_compact_from_rows(struct crn_live_space *space, cairn_progress_fn progress, void *ctx,
                                   cairn_error *err);

/* Removes derived files that no space's list names. Both locks held. */
cairn_status crn_compact_sweep(cairn_db *db, cairn_error *err);

#endif
