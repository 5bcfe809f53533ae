/*
 * A live vector space: the current view of one dense space of an open collection, and the ways it moves
 * forward. A search asks for a view that holds everything announced so far; if the one at hand is older,
 * the log is followed (or, when that was trimmed, the space is loaded anew). A commit of this process
 * hands its changes over directly, before it is announced: then no search has to read them back.
 *
 * A switch of the list of segments changes where rows stand, not which rows there are, so a view from
 * before it answers as well as one from after it. Whoever switched (or maintenance, when another process
 * did) builds the next view from the one at hand, aside, and puts it in its place (space_regroup.c).
 * Searches never wait for that.
 *
 * Locks: regroup_mutex (who follows a switch), then apply_mutex (who appends and publishes), then
 * view_mutex (the pointer). A search holds none while it searches. Under a tail's graph_mutex no other is taken,
 * and it is taken under none: who holds one of the others does not wait for a graph to grow.
 */
#ifndef CRN_ENGINE_SPACE_H
#define CRN_ENGINE_SPACE_H

#include "engine/tail_graph.h"
#include "engine/view.h"

#include <roaring/roaring.h>

struct cairn_collection;
struct crn_retired;

struct crn_live_space {
    struct cairn_collection *collection;
    struct crn_live_space *next;  /* in the collection's list */
    const struct crn_space *info; /* as it was first seen: a model may have been recorded since */
    enum crn_op op;
    bool normalise; /* cosine: vectors are kept at length 1 */
    struct crn_segment_context context;
    struct crn_tail_graph_plan tail_graphs;
    uint32_t rows_most; /* of a segment with a graph; 0: what a graph takes. Tests make it less */

    pthread_mutex_t view_mutex; /* guards view */
    struct crn_view *view;      /* NULL until first needed */

    pthread_mutex_t apply_mutex; /* guards appending to tails, replacing the view */
    _Atomic bool searched;       /* a hint that the view is worth being kept ready */

    pthread_mutex_t regroup_mutex; /* guards retired */
    struct crn_retired *retired;   /* what the view has dropped and searches may still use */

    /* A segment was found damaged and could not be rebuilt: all is kept in memory. Changed under
     * apply_mutex; read without it by maintenance, which may be a moment late. */
    _Atomic bool distrust_segments;
};

/* `info` lives as long as the collection. */
void crn_live_space_init(struct crn_live_space *space, struct cairn_collection *collection,
                         const struct crn_space *info);
void crn_live_space_release(struct crn_live_space *space);

/* A view that holds every write announced before the call, and nothing that had expired by then.
 * *out_view is released by crn_view_release. NO_COLLECTION when it was dropped. */
cairn_status crn_live_space_view(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err);

/* The same without repairing: CORRUPT or NO_FILE when a segment cannot be opened. For maintenance, which
 * holds the locks that a rebuild would need. */
cairn_status crn_live_space_follow(struct crn_live_space *space, struct crn_view **out_view,
                                   cairn_error *err);

/* As crn_live_space_follow, and the view's parts are the list of segments as it is by now. What goes on
 * from there, the lock `segments` tells. BUSY: the list is switched all the time. */
cairn_status crn_live_space_settle(struct crn_live_space *space, struct crn_view **out_view,
                                   cairn_error *err);

/* Begins a new tail in the space's view, and replaces *view, a settled one, by that: what it holds can be written to a segment, and the
 * tail that grows meanwhile is kept when the segment takes the other's place. Where that cannot be, nothing changes, and the
 * tail is read from the log afterwards. Lock `segments` held. */
void crn_live_space_seal(struct crn_live_space *space, struct crn_view **view);

/*
 * A view made anew of the list of segments and the log behind them, which is not the space's. In it, a row of a segment is dead only if
 * newer segments say so or the log does. In the space's own view it may also be dead because the same row stands in a tail: who
 * follows the log in larger steps than another process writes segments, holds rows that those have too. So what is
 * merged is chosen by this one.
 */
cairn_status crn_live_space_load(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err);

/* What maintenance does for searches: follows a switch, opens the indexes of segments that are scanned,
 * frees what was dropped. */
cairn_status crn_live_space_tend(struct crn_live_space *space, cairn_error *err);

/* Frees what the view has dropped and nobody uses any more; or all of it. */
void crn_live_space_drop_retired(struct crn_live_space *space, bool all);

/* Puts up to `most` rows of the view's tails that are in no graph yet into theirs. For who has written, after the commit,
 * and for maintenance; no lock is held. Returns how many rows were put in. What fails is tried again with the next rows. */
uint32_t crn_live_space_grow_graphs(struct crn_live_space *space, uint32_t most);

/* How many rows of the view's tails are to be in a graph and are not. */
uint32_t crn_live_space_waiting(struct crn_live_space *space);

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

/* Applies changes that committed as sequences first..last, if the view stands right before them; otherwise
 * the log will tell. */
void crn_live_space_apply(struct crn_live_space *space, const struct crn_change *changes, size_t count,
                          uint64_t first, uint64_t last);

/* The same for a switch of this space's list of segments. */
void crn_live_space_note_switch(struct crn_live_space *space, uint64_t first, uint64_t last);

/* A commit of this process that cannot be handed over: if the view is in use, the log is followed up to
 * it. */
void crn_live_space_catch_up(struct crn_live_space *space, uint64_t sequence);

/* A dropped space's view is given up; searches that have begun keep theirs. */
void crn_live_space_forget(struct crn_live_space *space);

/* After a damaged segment: next time the space is loaded without segments, from the rows. */
void crn_live_space_distrust(struct crn_live_space *space);

/* Copies a vector as the space keeps it (normalised for cosine). False: it cannot be, being zero or not
 * finite. */
bool crn_live_space_prepare(const struct crn_live_space *space, const float *vector, float *out);

#endif
