/*
 * A view: what one vector space holds at one log sequence. Immutable and reference-counted: a search takes
 * the current one and needs no lock afterwards, whatever writers do meanwhile. Building one from another
 * shares all that did not change.
 */
#ifndef CRN_ENGINE_VIEW_H
#define CRN_ENGINE_VIEW_H

#include "engine/bits.h"
#include "engine/segment.h"
#include "engine/tail.h"

/* A shared bitmap. */
struct crn_bits {
    _Atomic uint32_t references;
    size_t word_count;
    uint64_t words[];
};

struct crn_view_part {
    struct crn_segment *segment;
    struct crn_bits *live; /* bit p: position p counts; NULL: all do */
    uint32_t live_count;
};

/* What a view sees of a tail: its first `count` rows. */
struct crn_view_tail {
    struct crn_tail *tail;
    uint64_t since; /* it holds every write after this sequence, up to the next tail's or the view's own */
    uint32_t count;
    struct crn_bits *dead; /* bit i: row i does not count; NULL: all do. It may be shorter than the tail */
    uint32_t dead_count;
};

#define CRN_VIEW_TAILS_MAX 2u /* one that is being written to a segment, and the one that grows */

struct crn_view {
    _Atomic uint32_t references;
    uint64_t sequence;      /* every write up to here is in */
    uint64_t covered;       /* the segments hold every write up to here */
    uint64_t listed;        /* the parts are the list of segments as of here */
    uint64_t switched;      /* the newest switch of the list heard of; above `listed`: still to be followed */
    int64_t next_expiry_ms; /* when a row of it expires next; INT64_MAX: never */
    uint32_t tail_count;    /* at least one once published */
    struct crn_view_tail tails[CRN_VIEW_TAILS_MAX]; /* oldest first; rows are appended to the last */
    uint32_t part_count;
    struct crn_view_part parts[]; /* oldest first */
};

struct crn_bits *crn_bits_create(size_t word_count);     /* cleared; NULL: no memory */
struct crn_bits *crn_bits_retain(struct crn_bits *bits); /* NULL accepted */
void crn_bits_release(struct crn_bits *bits);            /* NULL accepted */

/* A view of `part_count` empty parts and no tails: the caller fills it. NULL: no memory. */
struct crn_view *crn_view_create(uint32_t part_count);
/* A copy that shares everything, to be changed before it is published. NULL: no memory. */
struct crn_view *crn_view_copy(const struct crn_view *view);
void crn_view_retain(struct crn_view *view);
void crn_view_release(struct crn_view *view); /* NULL accepted */

/* Has it heard of a switch of the list of segments that its parts do not follow? It holds the right rows
 * all the same. */
static inline bool crn_view_is_behind(const struct crn_view *view)
{
    return view->switched > view->listed;
}

/* Adds an empty tail behind the others, in a view not yet published: for the writes after view->sequence. NO_MEMORY; LIMIT: there are
 * as many as may be. */
cairn_status crn_view_add_tail(struct crn_view *view, uint32_t dim, cairn_error *err);

uint64_t crn_view_rows(const struct crn_view *view);      /* live ones */
uint32_t crn_view_tail_rows(const struct crn_view *view); /* of all tails, dead ones included */

static inline bool crn_view_tail_alive(const struct crn_view_tail *tail, uint32_t i)
{
    return tail->dead == NULL || i / 64 >= tail->dead->word_count || !crn_bits_get(tail->dead->words, i);
}

/* Marks position p of a part, or row i of a tail, as dead, in a view not yet published. The bitmap is
 * copied when another view shares it. No change when it is dead already. NO_MEMORY. */
cairn_status crn_view_kill(struct crn_view *view, uint32_t part, uint32_t position, cairn_error *err);
cairn_status crn_view_kill_tail(struct crn_view *view, uint32_t tail, uint32_t i, cairn_error *err);

/* Kills a local in all of the view's segments (not in its tails). */
cairn_status crn_view_kill_local(struct crn_view *view, uint32_t local, cairn_error *err);

/* Kills a local in all tails. Only for who may append to them. */
cairn_status crn_view_kill_in_tails(struct crn_view *view, uint32_t local, cairn_error *err);

/* For each part, kills the locals that newer parts hold or kill. To be called once, after a view's parts are set. */
cairn_status crn_view_mask_parts(struct crn_view *view, cairn_error *err);

#endif
