/* What the files of a live space share: space.c (life, following), space_rows.c (reading), space_regroup.c
 * (switches). */
#ifndef CRN_ENGINE_SPACE_INTERNAL_H
#define CRN_ENGINE_SPACE_INTERNAL_H

#include "engine/space.h"

/* ---- space_rows.c; apply_mutex held, the view not published yet ---- */

/* Applies one change. `scratch`: [dim], 64-byte aligned; unused without a
 * vector. */
cairn_status crn_space_change(struct crn_live_space *space, struct crn_view *view,
                              const struct crn_change *change, float *scratch, cairn_error *err);

/* Applies what the log holds after `after`, and notes in the view that the segments were switched.
 * CONFLICT: the log was trimmed. */
cairn_status crn_space_follow_log(struct crn_live_space *space, struct crn_view *view,
                                  struct crn_reader *reader, const struct crn_catalog *catalog,
                                  uint64_t after, cairn_error *err);

/* The same where the view's tails are another's, which hold the rows: kills in its segments what the log holds after view->sequence, up to
 * `until`, which becomes its sequence. */
cairn_status crn_space_kill_logged(struct crn_live_space *space, struct crn_view *view,
                                   struct crn_reader *reader, uint64_t until, cairn_error *err);

/* A view of the snapshot, made of the list of segments and the log. Segments that `at_hand` (may be NULL) has open are shared.
 * Needs no lock. CORRUPT, NO_FILE: one cannot be opened. */
cairn_status crn_space_load(struct crn_live_space *space, const struct crn_view *at_hand,
                            struct crn_reader *reader, const struct crn_catalog *catalog,
                            struct crn_view **out_view, cairn_error *err);

/* Its halves: the segments, in a view that has no tail and the sequence up to which they hold all; and the tail. */
cairn_status crn_space_load_parts(struct crn_live_space *space, const struct crn_view *at_hand,
                                  struct crn_reader *reader, struct crn_view **out_view, cairn_error *err);
cairn_status crn_space_load_tail(struct crn_live_space *space, struct crn_view *view,
                                 struct crn_reader *reader, const struct crn_catalog *catalog,
                                 cairn_error *err);

/* Parts that could not be opened have no segment: cuts them off, so that the view can be released. */
void crn_space_forget_unopened(struct crn_view *view);

/* ---- space.c ---- */

/* Kills what has expired in a view that is not published yet, and notes in it when that will be so next. */
cairn_status crn_space_expire(struct crn_live_space *space, struct crn_view *view, struct crn_reader *reader,
                              int64_t now_ms, cairn_error *err);

/* Takes the reference. NULL forgets the view: the next search loads anew. apply_mutex held. */
void crn_space_publish(struct crn_live_space *space, struct crn_view *view);

/* A view of `sequence` or later. As crn_live_space_follow. */
cairn_status crn_space_follow_until(struct crn_live_space *space, uint64_t sequence,
                                    struct crn_view **out_view, cairn_error *err);

/* ---- space_regroup.c ---- */

/* Brings the view's parts to the list of segments, unless another thread is at it. *out_view, the view at
 * hand, is replaced by the new one. CORRUPT, NO_FILE: a segment cannot be opened. */
cairn_status crn_space_regroup_alone(struct crn_live_space *space, struct crn_view **out_view,
                                     cairn_error *err);

static inline bool crn_space_blames_files(cairn_status status)
{
    return status == CAIRN_CORRUPT || status == CAIRN_NO_FILE;
}

#endif
