#include "engine/compact_internal.h"

#include "engine/collection.h"
#include "engine/compact_policy.h"
#include "engine/id.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"

#include <stdlib.h>
#include <string.h>

#define REBUILD_CHUNK_BYTES (64u << 20)

/* ---- switching a list ---- */

struct switching {
    struct crn_live_space *space;
    const struct crn_segment_entry *entries;
    uint32_t count;
    uint64_t first, last; /* sequence numbers of the job */
};

static cairn_status run_switch(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct switching *change = ctx;

    change->first = crn_txn_sequence(txn) + 1;
    CRN_TRY(crn_txn_collection_check(txn, change->space->collection->id, err));
    CRN_TRY(crn_txn_segments_set(txn, change->space->info->id, change->entries, change->count, err));
    CRN_TRY(crn_txn_log_trim(txn, err));
    change->last = crn_txn_sequence(txn);
    return CAIRN_OK;
}

static void switch_committed(void *ctx, uint64_t sequence)
{
    const struct switching *change = ctx;

    (void)sequence;
    crn_live_space_note_switch(change->space, change->first, change->last);
}

cairn_status crn_compact_switch(struct crn_live_space *space, const struct crn_segment_entry *entries,
                                uint32_t count, cairn_error *err)
{
    struct switching change = {.space = space, .entries = entries, .count = count};
    const struct crn_write_job job = {.run = run_switch, .committed = switch_committed, .ctx = &change};
    struct crn_view *view;

    CRN_TRY(crn_store_write(space->collection->db->store, &job, err));
    /* At once, so that nobody else has to. What fails is met again by who needs it. */
    if (crn_live_space_settle(space, &view, NULL) == CAIRN_OK) crn_view_release(view);
    return CAIRN_OK;
}

/* ---- what a new segment is made of ---- */

struct plan {
    const struct crn_view *view;
    struct crn_segment_row *rows; /* source: the part's number, from part_count on the tail's */
    uint32_t row_count;
    uint32_t *kills;
    uint32_t kill_count;
};

static void plan_release(struct plan *plan)
{
    crn_mem_free(plan->rows);
    crn_mem_free(plan->kills);
}

static cairn_status row_vector(const void *ctx, const struct crn_segment_row *row, const float **out_vector,
                               cairn_error *err)
{
    const struct crn_view *view = ctx;

    if (row->source >= view->part_count) {
        *out_vector = crn_tail_vector(view->tails[row->source - view->part_count].tail, row->position);
        return CAIRN_OK;
    }
    const struct crn_segment *segment = view->parts[row->source].segment;
    *out_vector = segment->vectors + (size_t)row->position * segment->dim;
    return crn_derived_verify(segment->file, *out_vector, segment->dim * sizeof(float), err);
}

static cairn_status row_id(const void *ctx, const struct crn_segment_row *row, const char **out_id,
                           cairn_error *err)
{
    const struct crn_view *view = ctx;

    if (row->source < view->part_count)
        return crn_segment_id(view->parts[row->source].segment, row->position, out_id, err);
    *out_id = crn_tail_id(view->tails[row->source - view->part_count].tail, row->position);
    return CAIRN_OK;
}

static int by_row_local(const void *a, const void *b)
{
    const struct crn_segment_row *x = a, *y = b;
    return x->local < y->local ? -1 : x->local > y->local;
}

/* Mostly they are in order as they come, and sorting takes as much memory again. */
static void sort_rows(struct crn_segment_row *rows, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (rows[i - 1].local < rows[i].local) continue;
        qsort(rows, count, sizeof *rows, by_row_local);
        return;
    }
}

static int by_u32(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void take_part(struct plan *plan, uint32_t number)
{
    const struct crn_view_part *part = &plan->view->parts[number];

    for (uint32_t p = 0; p < part->segment->count; p++) {
        if (part->live != NULL && !crn_bits_get(part->live->words, p)) continue;
        plan->rows[plan->row_count++] = (struct crn_segment_row){part->segment->locals[p], number, p};
    }
}

static void take_tail(struct plan *plan, uint32_t number)
{
    const struct crn_view_tail *tail = &plan->view->tails[number];

    for (uint32_t i = 0; i < tail->count; i++) {
        if (!crn_view_tail_alive(tail, i)) continue;
        plan->rows[plan->row_count++] =
            (struct crn_segment_row){crn_tail_local(tail->tail, i), plan->view->part_count + number, i};
    }
}

/* The dead rows of parts 0..part_end-1 that those parts alone would let live: the new segment has to kill them. */
static cairn_status take_kills(struct plan *plan, uint32_t part_end, cairn_error *err)
{
    struct crn_view *bare = crn_view_create(part_end);
    size_t most = 0;

    if (bare == NULL) return crn_error_no_memory(err, sizeof *bare);
    for (uint32_t i = 0; i < part_end; i++) {
        bare->parts[i].segment = plan->view->parts[i].segment;
        crn_segment_retain(bare->parts[i].segment);
        bare->parts[i].live_count = bare->parts[i].segment->count;
        most += bare->parts[i].segment->count - plan->view->parts[i].live_count;
    }
    cairn_status status = crn_view_mask_parts(bare, err);
    plan->kills = crn_mem_array(most, sizeof *plan->kills);
    if (status == CAIRN_OK && plan->kills == NULL)
        status = crn_error_no_memory(err, most * sizeof *plan->kills);
    for (uint32_t i = 0; status == CAIRN_OK && i < part_end; i++) {
        const struct crn_bits *now = plan->view->parts[i].live, *then = bare->parts[i].live;
        for (uint32_t p = 0; now != NULL && p < bare->parts[i].segment->count; p++) {
            const bool was = then == NULL || crn_bits_get(then->words, p);
            if (was && !crn_bits_get(now->words, p))
                plan->kills[plan->kill_count++] = bare->parts[i].segment->locals[p];
        }
    }
    crn_view_release(bare);
    if (status == CAIRN_OK) qsort(plan->kills, plan->kill_count, sizeof *plan->kills, by_u32);
    return status;
}

/* The live rows of parts begin..end-1 (and the tail), and the kills for the parts before. */
static cairn_status make_plan(const struct crn_view *view, uint32_t begin, uint32_t end, bool with_tail,
                              struct plan *out_plan, cairn_error *err)
{
    size_t most = with_tail ? crn_view_tail_rows(view) : 0;

    *out_plan = (struct plan){.view = view};
    for (uint32_t i = begin; i < end; i++) most += view->parts[i].live_count;
    out_plan->rows = crn_mem_array(most, sizeof *out_plan->rows);
    if (out_plan->rows == NULL) return crn_error_no_memory(err, most * sizeof *out_plan->rows);
    for (uint32_t i = begin; i < end; i++) take_part(out_plan, i);
    for (uint32_t t = 0; with_tail && t < view->tail_count; t++) take_tail(out_plan, t);
    sort_rows(out_plan->rows, out_plan->row_count);
    return take_kills(out_plan, begin, err);
}

static cairn_status write_plan(struct crn_live_space *space, const struct plan *plan, uint64_t sequence,
                               struct crn_segment_entry *out_entry, cairn_error *err)
{
    const struct crn_segment_source source = {.ctx = plan->view, .vector = row_vector, .id = row_id};

    return crn_segment_write(&space->context, &source, plan->rows, plan->row_count, plan->kills,
                             plan->kill_count, sequence, out_entry, err);
}

struct crn_segment_entry *crn_compact_list(const struct crn_view *view)
{
    struct crn_segment_entry *entries = crn_mem_calloc((size_t)view->part_count + 1, sizeof *entries);

    for (uint32_t i = 0; entries != NULL && i < view->part_count; i++)
        entries[i] = view->parts[i].segment->entry;
    return entries;
}

/* ---- writing the tail out ---- */

static cairn_status flush_view(struct crn_live_space *space, const struct crn_view *view, bool with_index,
                               cairn_error *err)
{
    struct crn_segment_entry *entries = crn_compact_list(view);
    struct plan plan = {0};

    if (entries == NULL) return crn_error_no_memory(err, view->part_count * sizeof *entries);
    /* The rows are the tail's alone: parts from part_count on are none. */
    cairn_status status = make_plan(view, view->part_count, view->part_count, true, &plan, err);
    if (status == CAIRN_OK)
        status = write_plan(space, &plan, view->sequence, &entries[view->part_count], err);
    if (status == CAIRN_OK && with_index)
        crn_compact_index_tail(space, view, plan.rows, &entries[view->part_count]);
    if (status == CAIRN_OK) status = crn_compact_switch(space, entries, view->part_count + 1, err);
    plan_release(&plan);
    crn_mem_free(entries);
    return status;
}

cairn_status crn_compact_flush(struct crn_live_space *space, uint32_t least, bool with_index,
                               cairn_error *err)
{
    struct crn_store *store = space->collection->db->store;
    struct crn_view *view;

    if (space->distrust_segments) return CAIRN_OK;
    CRN_TRY(crn_store_lock(store, CRN_LOCK_SEGMENTS, true, NULL, err));
    cairn_status status = crn_live_space_settle(space, &view, err);
    if (status == CAIRN_OK) {
        const uint32_t rows = crn_view_tail_rows(view);
        if (rows >= least && rows != 0) {
            crn_live_space_seal(space, &view);
            status = flush_view(space, view, with_index, err);
        }
        crn_view_release(view);
    }
    crn_store_unlock(store, CRN_LOCK_SEGMENTS);
    return status;
}

/* ---- merging ---- */

struct merging {
    struct crn_live_space *space;
    const struct crn_build_control *control;
    struct crn_compact_choice choice;
};

/* The run to be merged next. */
static cairn_status choose_run(const struct merging *merging, const struct crn_view *view,
                               struct crn_compact_run *out_run, cairn_error *err)
{
    struct crn_compact_choice choice = merging->choice;
    struct crn_compact_part *parts = crn_mem_array(view->part_count, sizeof *parts);

    if (parts == NULL) return crn_error_no_memory(err, view->part_count * sizeof *parts);
    for (uint32_t i = 0; i < view->part_count; i++) {
        const struct crn_view_part *part = &view->parts[i];
        parts[i] = (struct crn_compact_part){part->segment->count, part->live_count,
                                             part->segment->index_ops != NULL};
    }
    choice.parts = parts;
    choice.count = view->part_count;
    if (choice.begin > choice.count) choice.begin = choice.count; /* others have rewritten them meanwhile */
    *out_run = crn_compact_choose(&choice);
    crn_mem_free(parts);
    return CAIRN_OK;
}

/* Replaces the merged parts in whatever the list is now: new segments may have joined it behind them. Should the parts
 * themselves be gone, rewritten from the rows after one was found damaged, the list stays as it is and *out_replaced false. */
static cairn_status replace_run(struct crn_live_space *space, const struct crn_view *old,
                                struct crn_compact_run run, const struct crn_segment_entry *merged,
                                bool *out_replaced, cairn_error *err)
{
    struct crn_store *store = space->collection->db->store;
    struct crn_view *now;
    uint32_t count = run.begin;

    CRN_TRY(crn_store_lock(store, CRN_LOCK_SEGMENTS, true, NULL, err));
    cairn_status status = crn_live_space_settle(space, &now, err);
    if (status == CAIRN_OK) {
        struct crn_segment_entry *entries = crn_compact_list(now);
        bool same = entries != NULL && now->part_count >= old->part_count;
        for (uint32_t i = run.begin; same && i < run.end; i++) {
            same = strcmp(entries[i].file, old->parts[i].segment->entry.file) == 0;
        }
        if (entries == NULL) {
            status = crn_error_no_memory(err, now->part_count * sizeof *entries);
        } else if (same) {
            /* A segment without rows and kills says nothing. */
            if (merged->rows != 0 || run.begin != 0) entries[count++] = *merged;
            for (uint32_t i = run.end; i < now->part_count; i++)
                entries[count++] = now->parts[i].segment->entry;
            if (count == 0) entries[count++] = *merged; /* but it marks how far the log is covered */
            status = crn_compact_switch(space, entries, count, err);
            *out_replaced = status == CAIRN_OK;
        }
        crn_mem_free(entries);
        crn_view_release(now);
    }
    crn_store_unlock(store, CRN_LOCK_SEGMENTS);
    return status;
}

/* The new segment gets its index before it is listed: until then searches ask those of the old ones. */
static cairn_status merge_run(const struct merging *merging, const struct crn_view *view,
                              struct crn_compact_run run, bool *out_replaced, cairn_error *err)
{
    struct crn_live_space *space = merging->space;
    struct crn_segment_entry merged;
    struct plan plan = {0};

    cairn_status status = make_plan(view, run.begin, run.end, false, &plan, err);
    if (status == CAIRN_OK)
        status = write_plan(space, &plan, view->parts[run.end - 1].segment->entry.sequence, &merged, err);
    for (uint32_t i = run.begin; i < run.end; i++) crn_derived_not_needed(view->parts[i].segment->file);
    if (status == CAIRN_OK && merging->control != NULL) {
        status = crn_compact_index_merged(space, merging->choice.all ? NULL : view, plan.rows, &merged,
                                          merging->control, err);
    }
    if (status == CAIRN_OK) status = replace_run(space, view, run, &merged, out_replaced, err);
    plan_release(&plan);
    return status;
}

/* *out_done: nothing is left to merge. *out_replaced: something was merged. */
static cairn_status merge_once(struct merging *merging, bool *out_done, bool *out_replaced, cairn_error *err)
{
    struct crn_compact_run run = {0, 0};
    struct crn_view *view;

    CRN_TRY(crn_live_space_settle(merging->space, &view, err));
    cairn_status status = choose_run(merging, view, &run, err);
    crn_view_release(view);
    *out_done = run.begin == run.end;
    if (status != CAIRN_OK || *out_done) return status;
    CRN_TRY(crn_live_space_load(merging->space, &view, err));
    status = choose_run(merging, view, &run, err);
    *out_done = run.begin == run.end;
    if (status == CAIRN_OK && !*out_done) status = merge_run(merging, view, run, out_replaced, err);
    if (*out_replaced && merging->choice.all) merging->choice.begin = run.begin + 1;
    crn_view_release(view);
    return status;
}

cairn_status crn_compact_merge(struct crn_live_space *space, enum crn_compact_how how,
                               const struct crn_build_control *control, bool *out_merged, cairn_error *err)
{
    struct merging merging = {
        .space = space,
        .control = control,
        .choice = {.rows_most = crn_compact_rows_most(space),
                   .all = how == CRN_COMPACT_ALL,
                   .bulk = space->collection->db->options.bulk_load,
                   .busy = how == CRN_COMPACT_BUSY},
    };
    bool done = space->distrust_segments;

    /* Whoever keeps rewriting the segments from the rows leaves nothing to merge either. */
    for (int failed = 0; !done && failed < 5;) {
        bool replaced = false;
        CRN_TRY(merge_once(&merging, &done, &replaced, err));
        failed += !replaced;
        if (replaced && out_merged != NULL) *out_merged = true;
        if (replaced && how != CRN_COMPACT_ALL) break; /* other collections come in turn */
    }
    return CAIRN_OK;
}

/* ---- from the rows ---- */

struct rewriting {
    struct crn_live_space *space;
    struct crn_reader *reader;
    uint64_t sequence;
    uint64_t rows_done, rows_total;
    uint32_t chunk_rows;
    struct crn_view *chunk; /* a view whose tail gathers rows for the next segment */
    struct crn_buf memory;
    float *raw, *prepared; /* [dim] */
    struct crn_segment_entry *entries;
    uint32_t entry_count;
    cairn_progress_fn progress;
    void *ctx;
    cairn_error *err;
};

static cairn_status begin_chunk(struct rewriting *work)
{
    crn_view_release(work->chunk);
    work->chunk = crn_view_create(0);
    if (work->chunk == NULL) return crn_error_no_memory(work->err, sizeof *work->chunk);
    return crn_view_add_tail(work->chunk, work->space->info->dim, work->err);
}

static cairn_status end_chunk(struct rewriting *work)
{
    struct crn_segment_entry *more =
        crn_mem_realloc_array(work->entries, (size_t)work->entry_count + 1, sizeof *more);
    struct plan plan = {0};

    if (more == NULL) return crn_error_no_memory(work->err, work->entry_count * sizeof *more);
    work->entries = more;
    work->chunk->tails[0].count = work->chunk->tails[0].tail->count;
    cairn_status status = make_plan(work->chunk, 0, 0, true, &plan, work->err);
    if (status == CAIRN_OK)
        status = write_plan(work->space, &plan, work->sequence, &work->entries[work->entry_count], work->err);
    if (status == CAIRN_OK) work->entry_count++;
    plan_release(&plan);
    return status == CAIRN_OK ? begin_chunk(work) : status;
}

static cairn_status rewrite_row(void *ctx, const struct crn_record *record)
{
    struct rewriting *work = ctx;
    const size_t bytes = work->space->info->dim * sizeof(float);
    char id[CRN_ID_BYTES_MAX];
    size_t offset = 0, size = 0;

    crn_buf_clear(&work->memory);
    CRN_TRY(crn_read_vector(work->reader, work->space->info->id, record->local, &work->memory, &offset, &size,
                            work->err));
    if (work->progress != NULL && work->rows_done++ % 4096 == 0 &&
        !work->progress(work->ctx, "rebuild", work->rows_done, work->rows_total)) {
        return crn_error_set(work->err, CAIRN_CANCELLED, "stopped after %llu rows",
                             (unsigned long long)work->rows_done);
    }
    if (size == 0) return CAIRN_OK;
    if (size != bytes)
        return crn_error_set(work->err, CAIRN_CORRUPT, "row %u holds a vector of %zu bytes", record->local,
                             size);
    memcpy(work->raw, work->memory.data + offset, bytes);
    if (!crn_live_space_prepare(work->space, work->raw, work->prepared)) {
        return crn_error_set(work->err, CAIRN_CORRUPT, "row %u holds a vector that cannot be searched",
                             record->local);
    }
    const size_t id_size = crn_id_encode(record->id_type, record->id, record->id_len, record->id_u64, id);
    struct crn_tail *tail = work->chunk->tails[0].tail;
    CRN_TRY(
        crn_tail_append(tail, &(struct crn_tail_row){record->local, work->prepared, id, id_size}, work->err));
    return tail->count < work->chunk_rows ? CAIRN_OK : end_chunk(work);
}

static cairn_status rewrite_rows(struct rewriting *work)
{
    const struct crn_catalog *catalog;
    const size_t bytes = work->space->info->dim * sizeof(float);

    work->chunk_rows = (uint32_t)(REBUILD_CHUNK_BYTES / bytes) + 1;
    work->raw = crn_mem_aligned(bytes);
    work->prepared = crn_mem_aligned(bytes);
    if (work->raw == NULL || work->prepared == NULL) return crn_error_no_memory(work->err, bytes);
    CRN_TRY(crn_collection_follow_reader(work->space->collection, work->reader, &catalog, work->err));
    CRN_TRY(crn_read_sequence(work->reader, &work->sequence, work->err));
    CRN_TRY(crn_read_count(work->reader, catalog->id, &work->rows_total, work->err));
    CRN_TRY(begin_chunk(work));
    CRN_TRY(crn_read_scan(work->reader, catalog, 1, CRN_WANT_ID, rewrite_row, work, work->err));
    /* At least one segment, even an empty one: it says up to where the log is covered. */
    return work->chunk->tails[0].tail->count != 0 || work->entry_count == 0 ? end_chunk(work) : CAIRN_OK;
}

static cairn_status replace_all(struct crn_live_space *space, const struct rewriting *work, cairn_error *err)
{
    pthread_mutex_lock(&space->apply_mutex);
    space->distrust_segments = false;
    pthread_mutex_unlock(&space->apply_mutex);
    return crn_compact_switch(space, work->entries, work->entry_count, err);
}

cairn_status crn_compact_from_rows(struct crn_live_space *space, cairn_progress_fn progress, void *ctx,
                                   cairn_error *err)
{
    struct crn_store *store = space->collection->db->store;
    struct rewriting work = {.space = space, .progress = progress, .ctx = ctx, .err = err};

    crn_buf_init(&work.memory, SIZE_MAX / 2);
    CRN_TRY(crn_store_lock(store, CRN_LOCK_SEGMENTS, true, NULL, err));
    cairn_status status = crn_store_read_begin(store, &work.reader, err);
    if (status == CAIRN_OK) {
        status = rewrite_rows(&work);
        crn_store_read_end(work.reader);
    }
    if (status == CAIRN_OK) status = replace_all(space, &work, err);
    crn_store_unlock(store, CRN_LOCK_SEGMENTS);
    crn_view_release(work.chunk);
    crn_mem_free(work.entries);
    crn_mem_free(work.raw);
    crn_mem_free(work.prepared);
    crn_buf_release(&work.memory);
    return status;
}

/* ---- sweeping ---- */

static bool is_named(void *ctx, const char *name)
{
    const struct switching *all = ctx;

    for (uint32_t i = 0; i < all->count; i++) {
        if (strcmp(all->entries[i].file, name) == 0 || strcmp(all->entries[i].index_file, name) == 0)
            return true;
    }
    return false;
}

static cairn_status add_space_files(struct crn_reader *reader, uint32_t space,
                                    struct crn_segment_entry **entries, uint32_t *count, cairn_error *err)
{
    struct crn_segment_entry *found = NULL;
    uint32_t n = 0;

    CRN_TRY(crn_read_segments(reader, space, &found, &n, err));
    struct crn_segment_entry *more =
        n == 0 ? *entries : crn_mem_realloc_array(*entries, (size_t)*count + n, sizeof *more);
    if (n != 0 && more != NULL) {
        memcpy(more + *count, found, n * sizeof *found);
        *entries = more;
        *count += n;
    }
    crn_mem_free(found);
    return n != 0 && more == NULL ? crn_error_no_memory(err, n * sizeof *more) : CAIRN_OK;
}

static cairn_status all_files(struct crn_reader *reader, struct crn_segment_entry **entries, uint32_t *count,
                              cairn_error *err)
{
    struct crn_catalog catalog;
    char **names;
    size_t name_count;

    CRN_TRY(crn_read_collection_names(reader, &names, &name_count, err));
    cairn_status status = CAIRN_OK;
    for (size_t i = 0; status == CAIRN_OK && i < name_count; i++) {
        status = crn_read_collection(reader, names[i], &catalog, err);
        if (status != CAIRN_OK) break;
        for (uint32_t s = 0; status == CAIRN_OK && s < catalog.space_count; s++) {
            status = add_space_files(reader, catalog.spaces[s].id, entries, count, err);
        }
        crn_catalog_release(&catalog);
    }
    crn_mem_free(names);
    return status;
}

cairn_status crn_compact_sweep(cairn_db *db, cairn_error *err)
{
    struct crn_segment_entry *entries = NULL;
    struct crn_reader *reader;
    uint32_t count = 0;

    CRN_TRY(crn_store_read_begin(db->store, &reader, err));
    cairn_status status = all_files(reader, &entries, &count, err);
    crn_store_read_end(reader);
    struct switching all = {.entries = entries, .count = count};
    if (status == CAIRN_OK) status = crn_derived_sweep(crn_store_folder(db->store), is_named, &all, err);
    crn_mem_free(entries);
    return status;
}
