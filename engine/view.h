/*
 * A view: what one vector space holds at one log sequence. Immutable and reference-counted: a search takes the
 * current one and needs no lock afterwards, whatever writers do meanwhile. Building one from another shares all that
 * did not change.
 */
#ifndef CRN_ENGINE_VIEW_H
#define CRN_ENGINE_VIEW_H

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

struct crn_view {
    _Atomic uint32_t references;
    uint64_t sequence;      /* every write up to here is in */
    uint64_t covered;       /* the segments hold every write up to here */
    int64_t next_expiry_ms; /* when a row of it expires next; INT64_MAX: never */
    struct crn_tail *tail;
    uint32_t tail_count;
    struct crn_bits *tail_dead; /* bit i: row i of the tail does not count; NULL: all do */
    uint32_t tail_dead_count;
    uint32_t part_count;
    struct crn_view_part parts[];
};

struct crn_bits *crn_bits_create(size_t word_count); /* cleared; NULL: no memory */
void crn_bits_release(struct crn_bits *bits);        /* NULL accepted */

/* A view of `part_count` empty parts and no tail: the caller fills it. NULL: no memory. */
struct crn_view *crn_view_create(uint32_t part_count);
/* A copy that shares everything, to be changed before it is published. NULL: no memory. */
struct crn_view *crn_view_copy(const struct crn_view *view);
void crn_view_retain(struct crn_view *view);
void crn_view_release(struct crn_view *view); /* NULL accepted */

uint64_t crn_view_rows(const struct crn_view *view); /* live ones */

/* Marks position p of a part, or row i of the tail, as dead, in a view not yet published. The bitmap is copied when
 * another view shares it. No change when it is dead already. NO_MEMORY. */
cairn_status crn_view_kill(struct crn_view *view, uint32_t part, uint32_t position, cairn_error *err);
cairn_status crn_view_kill_tail(struct crn_view *view, uint32_t i, cairn_error *err);

/* Kills a local in all of the view's segments (not in the tail). */
cairn_status crn_view_kill_local(struct crn_view *view, uint32_t local, cairn_error *err);

/* For each part, kills the locals that newer parts hold or kill. To be called once, after a view's parts are set. */
cairn_status crn_view_mask_parts(struct crn_view *view, cairn_error *err);

#endif
