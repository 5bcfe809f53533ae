/*
 * Following a switch of the list of segments. The rows of a space are the same before and after one, they
 * only stand elsewhere: in a segment that was the tail, or in one made of several. So the next view is
 * made of the one at hand:
 *
 * 1. The list is read, and the view brought to the snapshot's sequence or beyond.
 * 2. Aside, without apply_mutex: segments that both have are shared, with their bitmaps; the others are
 *    opened, verified and given bitmaps. A row of a new segment lives if, in the view at hand, it lives in
 *    a place that goes: a segment that is not listed any more, or a row of a tail that the list covers.
 *    All rows that live in such a place must be found so, else the space is loaded anew. What is changed
 *    meanwhile is noted in `touched`.
 * 3. Under apply_mutex, briefly: what was touched is dead in the new segments (it stands in the tail, or
 *    nowhere); the bitmaps of the shared ones and the tails come from the view as it is now; rows of tails
 *    that the list covers are left out.
 *
 * What the view drops (mappings, tails) is kept until no search uses it and freed by maintenance:
 * unmapping gigabytes takes long.
 */
#include "engine/space_internal.h"

#include "base/error.h"
#include "engine/collection.h"

#include <string.h>

#define NO_ORIGIN UINT32_MAX
#define TRIES 5

struct crn_retired {
    struct crn_segment *segment; /* or NULL */
    struct crn_tail *tail;       /* or NULL */
    struct crn_retired *next;
};

struct regrouping {
    struct crn_live_space *space;
    struct crn_segment_entry *entries;
    uint64_t listed; /* the snapshot's sequence */
    uint64_t layout;
    struct crn_view *from;    /* the view at hand when it began */
    struct crn_view *to;      /* parts only, until the end */
    uint32_t *origins;        /* [to->part_count]: the part of `from` over the same file, or NO_ORIGIN */
    roaring_bitmap_t *moving; /* locals that live in places that go */
    cairn_error *err;
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

/* ---- aside ---- */

static uint32_t find_file(const struct crn_view *view, const char *file)
{
    for (uint32_t i = 0; i < view->part_count; i++) {
        if (strcmp(view->parts[i].segment->entry.file, file) == 0) return i;
    }
    return NO_ORIGIN;
}

/* Where maintenance works beside searches, it opens and verifies for them. */
static cairn_status warm_part(const struct regrouping *work, struct crn_segment *segment)
{
    const struct crn_live_space *space = work->space;

    if (space->collection->db->maintenance == NULL ||
        !atomic_load_explicit(&space->searched, memory_order_relaxed))
        return CAIRN_OK;
    CRN_TRY(crn_segment_warm(segment, work->err));
    crn_segment_open_index(segment);
    return CAIRN_OK;
}

static cairn_status open_part(struct regrouping *work, uint32_t i)
{
    const struct crn_segment_entry *entry = &work->entries[i];
    struct crn_view_part *part = &work->to->parts[i];
    struct crn_segment *old = NULL;

    work->origins[i] = find_file(work->from, entry->file);
    if (work->origins[i] != NO_ORIGIN) old = work->from->parts[work->origins[i]].segment;
    if (old != NULL && strcmp(old->entry.index_file, entry->index_file) == 0) {
        crn_segment_retain(old);
        part->segment = old;
        return CAIRN_OK;
    }
    if (old != NULL) {
        CRN_TRY(crn_segment_reopen(&work->space->context, old, entry, &part->segment, work->err));
    } else {
        CRN_TRY(crn_segment_open(&work->space->context, entry, &part->segment, work->err));
    }
    part->live_count = part->segment->count;
    return warm_part(work, part->segment);
}

static void gather_part(struct regrouping *work, const struct crn_view_part *part)
{
    for (uint32_t p = 0; p < part->segment->count; p++) {
        if (part->live == NULL || crn_bits_get(part->live->words, p))
            roaring_bitmap_add(work->moving, part->segment->locals[p]);
    }
}

static void gather_tail(struct regrouping *work, const struct crn_view_tail *tail)
{
    const uint32_t end = crn_tail_written_by(tail->tail, tail->count, work->to->covered);

    for (uint32_t i = tail->begin; i < end; i++) {
        if (crn_view_tail_alive(tail, i)) roaring_bitmap_add(work->moving, crn_tail_local(tail->tail, i));
    }
}

static cairn_status place_in_part(struct regrouping *work, uint32_t i)
{
    const struct crn_segment *segment = work->to->parts[i].segment;

    for (uint32_t p = 0; p < segment->count; p++) {
        if (!roaring_bitmap_remove_checked(work->moving, segment->locals[p]))
            CRN_TRY(crn_view_kill(work->to, i, p, work->err));
    }
    return CAIRN_OK;
}

/* Which rows of the new parts live. CONFLICT: rows have moved to nowhere. */
static cairn_status place_rows(struct regrouping *work)
{
    const struct crn_view *from = work->from, *to = work->to;

    for (uint32_t i = 0; i < from->part_count; i++) {
        uint32_t kept = 0;
        while (kept < to->part_count && work->origins[kept] != i) kept++;
        if (kept == to->part_count) gather_part(work, &from->parts[i]);
    }
    for (uint32_t t = 0; t < from->tail_count; t++) gather_tail(work, &from->tails[t]);
    for (uint32_t i = to->part_count; i-- > 0;) {
        if (work->origins[i] == NO_ORIGIN) CRN_TRY(place_in_part(work, i));
    }
    const uint64_t left = roaring_bitmap_get_cardinality(work->moving);
    if (left == 0) return CAIRN_OK;
    return crn_error_set(work->err, CAIRN_CONFLICT, "%llu rows are in none of the new segments",
                         (unsigned long long)left);
}

static cairn_status prepare(struct regrouping *work, uint32_t count)
{
    work->to = crn_view_create(count);
    work->origins = crn_mem_array(count, sizeof *work->origins);
    work->moving = roaring_bitmap_create();
    if (work->to == NULL || work->origins == NULL || work->moving == NULL)
        return crn_error_no_memory(work->err, sizeof *work->to);
    for (uint32_t i = 0; i < count; i++) {
        const cairn_status status = open_part(work, i);
        if (status != CAIRN_OK) {
            crn_space_forget_unopened(work->to);
            return status;
        }
    }
    if (count != 0) work->to->covered = work->entries[count - 1].sequence;
    return place_rows(work);
}

/* ---- putting it in place; apply_mutex held ---- */

static cairn_status take_tails(struct regrouping *work, const struct crn_view *now)
{
    struct crn_view *to = work->to;

    for (uint32_t t = 0; t < now->tail_count; t++) {
        struct crn_view_tail tail = now->tails[t];
        crn_view_cut_tail(&tail, crn_tail_written_by(tail.tail, tail.count, to->covered));
        if (tail.begin == tail.count && tail.count != 0) continue;
        crn_tail_retain(tail.tail);
        crn_bits_retain(tail.dead);
        to->tails[to->tail_count++] = tail;
    }
    /* Rows go to a new tail when the last one has begun to be covered: then it will soon be covered as a
     * whole. */
    if (to->tail_count != 0 && to->tails[to->tail_count - 1].tail == now->tails[now->tail_count - 1].tail &&
        (to->tails[to->tail_count - 1].begin == 0 || to->tail_count == CRN_VIEW_TAILS_MAX)) {
        return CAIRN_OK;
    }
    return crn_view_add_tail(to, work->space->info->dim, work->err);
}

static cairn_status finish(struct regrouping *work, const struct crn_view *now)
{
    struct crn_view *to = work->to;

    to->sequence = now->sequence;
    to->next_expiry_ms = now->next_expiry_ms;
    to->switched = now->switched;
    to->listed = work->listed;
    for (uint32_t i = 0; i < to->part_count; i++) {
        if (work->origins[i] == NO_ORIGIN) continue;
        to->parts[i].live = crn_bits_retain(now->parts[work->origins[i]].live);
        to->parts[i].live_count = now->parts[work->origins[i]].live_count;
    }
    roaring_uint32_iterator_t touched;
    roaring_init_iterator(work->space->touched, &touched);
    /* In shared parts it is dead by now as well. */
    for (; touched.has_value; roaring_advance_uint32_iterator(&touched)) {
        CRN_TRY(crn_view_kill_local(to, touched.current_value, work->err));
    }
    return take_tails(work, now);
}

static cairn_status put_in_place(struct regrouping *work)
{
    struct crn_live_space *space = work->space;
    struct crn_view *now = NULL;
    cairn_status status = CAIRN_CONFLICT;

    pthread_mutex_lock(&space->apply_mutex);
    if (space->view == NULL || space->layout != work->layout) {
        crn_error_set(work->err, status, "the space was loaded anew meanwhile");
    } else {
        now = space->view;
        crn_view_retain(now);
        status = finish(work, now);
    }
    if (status == CAIRN_OK) {
        crn_view_retain(work->to);
        crn_space_publish(space, work->to);
    }
    pthread_mutex_unlock(&space->apply_mutex);
    if (status == CAIRN_OK && space->collection->db->maintenance != NULL)
        retire_dropped(space, now, work->to);
    crn_view_release(now);
    return status;
}

/* ---- the whole; regroup_mutex held ---- */

static cairn_status read_list(struct regrouping *work, uint32_t *out_count)
{
    struct crn_reader *reader;

    CRN_TRY(crn_store_read_begin(work->space->collection->db->store, &reader, work->err));
    cairn_status status = crn_read_sequence(reader, &work->listed, work->err);
    if (status == CAIRN_OK)
        status = crn_read_segments(reader, work->space->info->id, &work->entries, out_count, work->err);
    crn_store_read_end(reader);
    return status;
}

/* From here on, what changes is noted. False: there is no view. */
static bool begin(struct regrouping *work)
{
    struct crn_live_space *space = work->space;

    pthread_mutex_lock(&space->apply_mutex);
    if (space->view != NULL) space->touched = roaring_bitmap_create();
    if (space->touched != NULL) {
        work->from = space->view;
        crn_view_retain(work->from);
        work->layout = space->layout;
    }
    pthread_mutex_unlock(&space->apply_mutex);
    return work->from != NULL;
}

static void end(struct regrouping *work)
{
    struct crn_live_space *space = work->space;

    pthread_mutex_lock(&space->apply_mutex);
    if (space->touched != NULL) roaring_bitmap_free(space->touched);
    space->touched = NULL;
    pthread_mutex_unlock(&space->apply_mutex);
    if (work->moving != NULL) roaring_bitmap_free(work->moving);
    crn_view_release(work->to);
    crn_view_release(work->from);
    crn_mem_free(work->origins);
    crn_mem_free(work->entries);
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
    struct regrouping work = {.space = space, .err = err};
    struct crn_view *view = NULL;
    uint32_t count = 0;

    cairn_status status = read_list(&work, &count);
    if (status == CAIRN_OK) status = crn_space_follow_until(space, work.listed, &view, err);
    crn_view_release(view);
    if (status == CAIRN_OK && begin(&work) && crn_view_is_behind(work.from)) {
        /* No list, or segments that are not trusted: a case for loading. */
        status = count == 0 || space->distrust_segments ? CAIRN_CONFLICT : prepare(&work, count);
        if (status == CAIRN_OK) status = put_in_place(&work);
        if (status == CAIRN_CONFLICT) {
            give_up(space);
            status = CAIRN_OK;
        }
    }
    end(&work);
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

struct crn_view *crn_live_space_seal(struct crn_live_space *space)
{
    struct crn_view *sealed = NULL;

    pthread_mutex_lock(&space->apply_mutex);
    if (space->view != NULL) {
        const struct crn_view_tail *last = &space->view->tails[space->view->tail_count - 1];
        const bool is_room = last->tail->count != 0 && space->view->tail_count < CRN_VIEW_TAILS_MAX;
        struct crn_view *view = is_room ? crn_view_copy(space->view) : NULL;
        /* Without memory the rows go on into the same tail, which is then cut. */
        if (view != NULL && crn_view_add_tail(view, space->info->dim, NULL) == CAIRN_OK) {
            crn_space_publish(space, view);
        } else {
            crn_view_release(view);
        }
        sealed = space->view;
        crn_view_retain(sealed);
    }
    pthread_mutex_unlock(&space->apply_mutex);
    return sealed;
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
