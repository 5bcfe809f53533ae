/*
 * Following a switch of the list of segments. The rows of a space are the same before and after one, they only stand elsewhere. The
 * next view is loaded aside, while searches go on with the one at hand:
 *
 * 1. A view is made of a snapshot: segments that the view at hand has open are shared, the others opened and verified; which rows of
 *    them live follows from the segments and the log alone. (Not from what the view at hand knows: who follows the log in larger
 *    steps than another process writes segments holds rows in a tail that those have too, and has them dead there.)
 * 2. Where the view at hand has a tail that begins just where the segments end, it is kept, with its graph: before writing a tail to a
 *    segment, the process that does it begins a new one (crn_live_space_seal). Else the tail is what the log holds behind them, and,
 *    aside still, the log is followed as long as much has been written meanwhile.
 * 3. Under apply_mutex, it follows what little is left and takes the place of the view at hand.
 *
 * What the old view drops (mappings, tails) is kept until no search uses it and freed by maintenance: unmapping gigabytes takes long.
 */
#include "engine/space_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "engine/collection.h"

#include <string.h>

#define TRIES 5
#define CLOSE_BY 64u /* commits that may be left to follow under apply_mutex */

struct crn_retired {
    struct crn_segment *segment; /* or NULL */
    struct crn_tail *tail;       /* or NULL */
    struct crn_retired *next;
};

/* ---- what was dropped; regroup_mutex held ---- */

static void retire(struct crn_live_space *space, struct crn_segment *segment, struct crn_tail *tail)
{
    struct crn_retired *retired = crn_mem_alloc(sizeof *retired);

    if (retired == NULL) return; /* then the last search that uses it frees it */
    if (segment != NULL) crn_segment_retain(segment);
    if (tail != NULL) crn_tail_retain(tail);
    *retired = (struct crn_retired){.segment = segment, .tail = tail, .next = space->retired};
    space->retired = retired;
}

static void retire_dropped(struct crn_live_space *space, const struct crn_view *before,
                           const struct crn_view *after)
{
    for (uint32_t i = 0; i < before->part_count; i++) {
        uint32_t kept = 0;
        while (kept < after->part_count && after->parts[kept].segment != before->parts[i].segment) kept++;
        if (kept == after->part_count) retire(space, before->parts[i].segment, NULL);
    }
    for (uint32_t t = 0; t < before->tail_count; t++) {
        uint32_t kept = 0;
        while (kept < after->tail_count && after->tails[kept].tail != before->tails[t].tail) kept++;
        if (kept == after->tail_count) retire(space, NULL, before->tails[t].tail);
    }
}

void crn_live_space_drop_retired(struct crn_live_space *space, bool all)
{
    struct crn_retired **link = &space->retired;

    while (*link != NULL) {
        struct crn_retired *retired = *link;
        _Atomic uint32_t *references =
            retired->segment != NULL ? &retired->segment->references : &retired->tail->references;
        /* Acquire: what the last user did comes before. Nobody can take it up again, no view has it. */
        if (!all && atomic_load_explicit(references, memory_order_acquire) != 1) {
            link = &retired->next;
            continue;
        }
        *link = retired->next;
        crn_segment_release(retired->segment);
        crn_tail_release(retired->tail);
        crn_mem_free(retired);
    }
}

/* ---- aside; regroup_mutex held ---- */

/* Where maintenance works beside searches, it opens and verifies for them. */
static cairn_status warm(const struct crn_live_space *space, const struct crn_view *at_hand,
                         const struct crn_view *view, cairn_error *err)
{
    if (space->collection->db->maintenance == NULL ||
        !atomic_load_explicit(&space->searched, memory_order_relaxed))
        return CAIRN_OK;
    for (uint32_t i = 0; i < view->part_count; i++) {
        bool shared = false;
        for (uint32_t p = 0; !shared && p < at_hand->part_count; p++)
            shared = at_hand->parts[p].segment == view->parts[i].segment;
        if (shared) continue;
        CRN_TRY(crn_segment_warm(view->parts[i].segment, err));
        crn_segment_open_index(view->parts[i].segment);
    }
    return CAIRN_OK;
}

/* Brings a view that nobody else has to the newest snapshot, expiry included. CONFLICT: the log was trimmed. */
static cairn_status follow_aside(struct crn_live_space *space, struct crn_view *view, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    const uint64_t after = view->sequence;

    CRN_TRY(crn_store_read_begin(space->collection->db->store, &reader, err));
    cairn_status status = crn_read_sequence(reader, &view->sequence, err);
    if (status == CAIRN_OK) status = crn_collection_follow_reader(space->collection, reader, &catalog, err);
    if (status == CAIRN_OK) status = crn_space_follow_log(space, view, reader, catalog, after, err);
    if (status == CAIRN_OK) status = crn_space_expire(space, view, reader, crn_clock_ms(), err);
    crn_store_read_end(reader);
    return status;
}

/* The first of the tails that hold just the writes after a sequence, or tail_count. */
static uint32_t tails_since(const struct crn_view *view, uint64_t sequence)
{
    uint32_t t = 0;

    while (t < view->tail_count && view->tails[t].since != sequence) t++;
    return t;
}

/* A view of the list of segments. It has no tail where the one at hand has one that holds what they do not. */
static cairn_status load_list(struct crn_live_space *space, struct crn_view *at_hand,
                              struct crn_view **out_view, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    CRN_TRY(crn_store_read_begin(space->collection->db->store, &reader, err));
    cairn_status status = crn_collection_follow_reader(space->collection, reader, &catalog, err);
    if (status == CAIRN_OK) status = crn_space_load_parts(space, at_hand, reader, out_view, err);
    if (status == CAIRN_OK) {
        status = tails_since(at_hand, (*out_view)->covered) != at_hand->tail_count
                     ? crn_space_kill_logged(space, *out_view, reader, at_hand->sequence, err)
                     : crn_space_load_tail(space, *out_view, reader, catalog, err);
    }
    crn_store_read_end(reader);
    return status;
}

static cairn_status load_aside(struct crn_live_space *space, struct crn_view *at_hand,
                               struct crn_view **out_view, cairn_error *err)
{
    cairn_status status = load_list(space, at_hand, out_view, err);
    if (status == CAIRN_OK) status = warm(space, at_hand, *out_view, err);
    /* What is written while following it gets less each time. */
    for (int i = 0; status == CAIRN_OK && (*out_view)->tail_count != 0 && i < TRIES; i++) {
        if (crn_store_sequence(space->collection->db->store) <= (*out_view)->sequence + CLOSE_BY) break;
        status = follow_aside(space, *out_view, err);
    }
    return status;
}

/* ---- putting it in place; apply_mutex held ---- */

/* Gives a view the tails of the one at hand, and brings its segments to the sequence of that one. CONFLICT: it has other tails by now. */
static cairn_status take_tails(struct crn_live_space *space, const struct crn_view *at_hand,
                               struct crn_view *view, cairn_error *err)
{
    const uint32_t first = tails_since(at_hand, view->covered);
    struct crn_reader *reader;

    if (first == at_hand->tail_count || at_hand->sequence < view->sequence)
        return crn_error_set(err, CAIRN_CONFLICT, "the tail is another one");
    CRN_TRY(crn_store_read_begin(space->collection->db->store, &reader, err));
    cairn_status status = crn_space_kill_logged(space, view, reader, at_hand->sequence, err);
    if (status == CAIRN_OK) {
        for (uint32_t t = first; t < at_hand->tail_count; t++) {
            view->tails[view->tail_count++] = at_hand->tails[t];
            crn_tail_retain(at_hand->tails[t].tail);
            crn_bits_retain(at_hand->tails[t].dead);
        }
        if (at_hand->switched > view->switched) view->switched = at_hand->switched;
        status = crn_space_expire(space, view, reader, crn_clock_ms(), err);
    }
    crn_store_read_end(reader);
    return status;
}

/* CONFLICT: the view at hand was given up meanwhile, or the log trimmed. */
static cairn_status catch_up(struct crn_live_space *space, const struct crn_view *at_hand,
                             struct crn_view *view, cairn_error *err)
{
    if (at_hand == NULL || space->distrust_segments)
        return crn_error_set(err, CAIRN_CONFLICT, "the view was given up meanwhile");
    if (view->tail_count == 0) return take_tails(space, at_hand, view, err);
    CRN_TRY(follow_aside(space, view, err));
    /* A direct hand-over may have been faster than the snapshot: then what it brought is not in yet. */
    return view->sequence >= at_hand->sequence ? CAIRN_OK : crn_error_set(err, CAIRN_CONFLICT, "it is older");
}

static cairn_status put_in_place(struct crn_live_space *space, struct crn_view *view, cairn_error *err)
{
    pthread_mutex_lock(&space->apply_mutex);
    struct crn_view *old = space->view;
    if (old != NULL) crn_view_retain(old);
    const cairn_status status = catch_up(space, old, view, err);
    if (status == CAIRN_OK) {
        crn_view_retain(view);
        crn_space_publish(space, view);
    }
    pthread_mutex_unlock(&space->apply_mutex);
    if (status == CAIRN_OK && space->collection->db->maintenance != NULL) retire_dropped(space, old, view);
    crn_view_release(old);
    return status;
}

/* The view is loaded anew by whoever needs it next. */
static void give_up(struct crn_live_space *space)
{
    pthread_mutex_lock(&space->apply_mutex);
    crn_space_publish(space, NULL);
    pthread_mutex_unlock(&space->apply_mutex);
}

static cairn_status regroup(struct crn_live_space *space, cairn_error *err)
{
    struct crn_view *at_hand = crn_live_space_peek(space), *view = NULL;
    cairn_status status = CAIRN_OK;

    if (at_hand != NULL && crn_view_is_behind(at_hand)) {
        status = load_aside(space, at_hand, &view, err);
        if (status == CAIRN_OK) status = put_in_place(space, view, err);
        if (status == CAIRN_CONFLICT) {
            give_up(space);
            status = CAIRN_OK;
        }
    }
    crn_view_release(view);
    crn_view_release(at_hand);
    return status;
}

cairn_status crn_space_regroup_alone(struct crn_live_space *space, struct crn_view **out_view,
                                     cairn_error *err)
{
    if (pthread_mutex_trylock(&space->regroup_mutex) != 0) return CAIRN_OK;
    const cairn_status status = regroup(space, err);
    pthread_mutex_unlock(&space->regroup_mutex);
    /* For want of memory, say: the view at hand has all rows. */
    if (status != CAIRN_OK && !crn_space_blames_files(status)) return CAIRN_OK;
    crn_view_release(*out_view);
    *out_view = NULL;
    return status == CAIRN_OK ? crn_live_space_follow(space, out_view, err) : status;
}

cairn_status crn_live_space_settle(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    for (int attempt = 0; attempt < TRIES; attempt++) {
        CRN_TRY(crn_live_space_follow(space, out_view, err));
        if (!crn_view_is_behind(*out_view)) return CAIRN_OK;
        crn_view_release(*out_view);
        *out_view = NULL;
        pthread_mutex_lock(&space->regroup_mutex);
        status = regroup(space, err);
        pthread_mutex_unlock(&space->regroup_mutex);
        /* Files may be gone because the list was switched once more. */
        if (status != CAIRN_OK && !crn_space_blames_files(status)) return status;
    }
    return status != CAIRN_OK
               ? status
               : crn_error_set(err, CAIRN_BUSY, "the list of segments is switched all the time");
}

void crn_live_space_seal(struct crn_live_space *space, struct crn_view **view)
{
    pthread_mutex_lock(&space->apply_mutex);
    struct crn_view *sealed =
        space->view == NULL || crn_view_is_behind(space->view) ? NULL : crn_view_copy(space->view);
    struct crn_view_tail *last = sealed == NULL ? NULL : &sealed->tails[sealed->tail_count - 1];
    cairn_status status = CAIRN_OK;

    if (last != NULL && last->count == 0) last->since = sealed->sequence;
    if (last != NULL && last->count != 0) status = crn_view_add_tail(sealed, space->info->dim, NULL);
    if (last != NULL && status == CAIRN_OK) {
        crn_view_retain(sealed);
        crn_space_publish(space, sealed);
        crn_view_release(*view);
        *view = sealed;
        sealed = NULL;
    }
    crn_view_release(sealed);
    pthread_mutex_unlock(&space->apply_mutex);
}

cairn_status crn_live_space_load(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    struct crn_view *at_hand = crn_live_space_peek(space);
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    cairn_status status = crn_store_read_begin(space->collection->db->store, &reader, err);
    if (status == CAIRN_OK) {
        status = crn_collection_follow_reader(space->collection, reader, &catalog, err);
        if (status == CAIRN_OK) status = crn_space_load(space, at_hand, reader, catalog, out_view, err);
        crn_store_read_end(reader);
    }
    crn_view_release(at_hand);
    return status;
}

cairn_status crn_live_space_tend(struct crn_live_space *space, cairn_error *err)
{
    struct crn_view *view = crn_live_space_peek(space);

    pthread_mutex_lock(&space->regroup_mutex);
    crn_live_space_drop_retired(space, false);
    pthread_mutex_unlock(&space->regroup_mutex);
    if (view == NULL) return CAIRN_OK;
    crn_view_release(view);
    CRN_TRY(crn_live_space_settle(space, &view, err));
    for (uint32_t i = 0; i < view->part_count; i++) {
        struct crn_segment *segment = view->parts[i].segment;
        /* Relaxed: a hint, as it is for searches. */
        if (atomic_load_explicit(&segment->scanned_bytes, memory_order_relaxed) != 0)
            crn_segment_open_index(segment);
    }
    crn_view_release(view);
    return CAIRN_OK;
}
