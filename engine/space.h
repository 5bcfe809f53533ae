/*
 * A live vector space: the current view of one dense space of an open collection, and the one way it moves
 * forward. A search asks for a view that holds everything announced so far; if the one at hand is older, the log is
 * followed (or, after a switch of segments or a trimmed log, the space is loaded anew). A commit of this process
 * hands its changes over directly, which saves reading them back.
 *
 * Locks: apply_mutex (who builds the next view) before view_mutex (the pointer). A search holds neither while it searches.
 */
#ifndef CRN_ENGINE_SPACE_H
#define CRN_ENGINE_SPACE_H

#include "engine/local_map.h"
#include "engine/view.h"

struct cairn_collection;

struct crn_live_space {
    struct cairn_collection *collection;
    uint32_t number; /* among the collection's spaces */
    const struct crn_space *info;
    enum crn_op op;
    bool normalise; /* cosine: vectors are kept at length 1 */
    struct crn_segment_context context;

    pthread_mutex_t view_mutex; /* guards view */
    struct crn_view *view;      /* NULL until first needed */

    pthread_mutex_t apply_mutex;  /* guards tail_map, appending to the tail, replacing the view */
    struct crn_local_map tail_map; /* where each local's newest row stands in the tail */
    /* A segment was found damaged and could not be rebuilt: all is kept in memory. Changed under apply_mutex; read without it by
     * maintenance, which may be a moment late. */
    _Atomic bool distrust_segments;
};

cairn_status crn_live_space_init(struct crn_live_space *space, struct cairn_collection *collection, uint32_t number,
                                 cairn_error *err);
void crn_live_space_release(struct crn_live_space *space);

/* A view that holds every write announced before the call, and nothing that had expired by then.
 * *out_view is released by crn_view_release. NO_COLLECTION when it was dropped. */
cairn_status crn_live_space_view(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err);

/* The same without repairing: CORRUPT or NO_FILE when a segment cannot be opened. For maintenance, which holds the locks that a
 * rebuild would need. */
cairn_status crn_live_space_follow(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err);

/* The view at hand, whatever its age, or NULL. */
struct crn_view *crn_live_space_peek(struct crn_live_space *space);

/* One row that changed. */
struct crn_change {
    uint32_t local;
    const float *vector; /* raw [dim]; NULL: the row has no vector here any more */
    const char *id;      /* encoded */
    size_t id_size;
    int64_t expires_at_ms;
};

/* Applies changes that committed as sequences first..last, if the view stands right before them; otherwise the log will tell. */
void crn_live_space_apply(struct crn_live_space *space, const struct crn_change *changes, size_t count, uint64_t first,
                          uint64_t last);

/* After a damaged segment: next time the space is loaded without segments, from the rows. */
void crn_live_space_distrust(struct crn_live_space *space);

/* Copies a vector as the space keeps it (normalised for cosine). False: it cannot be, being zero or not finite. */
bool crn_live_space_prepare(const struct crn_live_space *space, const float *vector, float *out);

#endif
