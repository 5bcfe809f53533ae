/* A space's views, made from the rows: changing one that is not published yet, following the log, loading
 * one whole. */
#include "engine/space_internal.h"

#include "base/error.h"
#include "engine/collection.h"
#include "engine/id.h"

#include <string.h>

/* ---- changing a view that is not published yet ---- */

cairn_status crn_space_change(struct crn_live_space *space, struct crn_view *view,
                              const struct crn_change *change, float *scratch, cairn_error *err)
{
    struct crn_view_tail *last = &view->tails[view->tail_count - 1];

    CRN_TRY(crn_view_kill_local(view, change->local, err));
    CRN_TRY(crn_view_kill_in_tails(view, change->local, err));
    if (change->vector == NULL) return CAIRN_OK;
    if (!crn_live_space_prepare(space, change->vector, scratch)) {
        return crn_error_set(err, CAIRN_CORRUPT, "row %u holds a vector that cannot be searched",
                             change->local);
    }
    const struct crn_tail_row row = {
        .local = change->local, .vector = scratch, .id = change->id, .id_size = change->id_size};
    CRN_TRY(crn_tail_append(last->tail, &row, err));
    last->count = last->tail->count;
    return CAIRN_OK;
}

/* ---- reading rows ---- */

struct row_walk {
    struct crn_live_space *space;
    struct crn_view *view;
    struct crn_reader *reader;
    const struct crn_catalog *catalog;
    struct crn_buf memory;
    float *scratch; /* [dim] */
    float *aligned; /* [dim] */
    cairn_error *err;
};

static cairn_status row_walk_init(struct row_walk *walk, struct crn_live_space *space, struct crn_view *view,
                                  struct crn_reader *reader, const struct crn_catalog *catalog,
                                  cairn_error *err)
{
    const size_t size = space->info->dim * sizeof(float);

    *walk = (struct row_walk){.space = space, .view = view, .reader = reader, .catalog = catalog, .err = err};
    crn_buf_init(&walk->memory, SIZE_MAX / 2);
    walk->scratch = crn_mem_aligned(size);
    walk->aligned = crn_mem_aligned(size);
    return walk->scratch == NULL || walk->aligned == NULL ? crn_error_no_memory(err, size) : CAIRN_OK;
}

static void row_walk_release(struct row_walk *walk)
{
    crn_buf_release(&walk->memory);
    crn_mem_free(walk->scratch);
    crn_mem_free(walk->aligned);
}

/* Brings one local of the view to what the snapshot holds. */
static cairn_status follow_row(struct row_walk *walk, uint32_t local)
{
    char id[CRN_ID_BYTES_MAX];
    struct crn_record record;
    struct crn_change change = {.local = local, .id = id};

    crn_buf_clear(&walk->memory);
    cairn_status status =
        crn_read_record(walk->reader, walk->catalog, local, true, &walk->memory, &record, walk->err);
    if (status == CAIRN_NOT_FOUND)
        return crn_space_change(walk->space, walk->view, &change, walk->scratch, walk->err);
    if (status != CAIRN_OK) return status;
    for (uint32_t i = 0; i < record.vector_count; i++) {
        if (record.vectors[i].space != walk->space->info->id) continue;
        if (record.vectors[i].size != walk->space->info->dim * sizeof(float)) {
            return crn_error_set(walk->err, CAIRN_CORRUPT, "row %u holds a vector of %zu bytes", local,
                                 record.vectors[i].size);
        }
        memcpy(walk->aligned, record.vectors[i].data, record.vectors[i].size);
        change.vector = walk->aligned;
    }
    change.id_size = crn_id_encode(record.id_type, record.id, record.id_len, record.id_u64, id);
    return crn_space_change(walk->space, walk->view, &change, walk->scratch, walk->err);
}

static cairn_status load_row(void *ctx, const struct crn_record *record)
{
    struct row_walk *walk = ctx;
    char id[CRN_ID_BYTES_MAX];
    size_t offset = 0, size = 0;

    crn_buf_clear(&walk->memory);
    CRN_TRY(crn_read_vector(walk->reader, walk->space->info->id, record->local, &walk->memory, &offset, &size,
                            walk->err));
    if (size == 0) return CAIRN_OK;
    if (size != walk->space->info->dim * sizeof(float)) {
        return crn_error_set(walk->err, CAIRN_CORRUPT, "row %u holds a vector of %zu bytes", record->local,
                             size);
    }
    memcpy(walk->aligned, walk->memory.data + offset, size);
    const struct crn_change change = {
        .local = record->local,
        .vector = walk->aligned,
        .id = id,
        .id_size = crn_id_encode(record->id_type, record->id, record->id_len, record->id_u64, id),
    };
    return crn_space_change(walk->space, walk->view, &change, walk->scratch, walk->err);
}

static cairn_status load_all_rows(struct crn_live_space *space, struct crn_view *view,
                                  struct crn_reader *reader, const struct crn_catalog *catalog,
                                  cairn_error *err)
{
    struct row_walk walk;
    cairn_status status = row_walk_init(&walk, space, view, reader, catalog, err);

    if (status == CAIRN_OK) status = crn_read_scan(reader, catalog, 1, CRN_WANT_ID, load_row, &walk, err);
    row_walk_release(&walk);
    return status;
}

/* ---- following the log ---- */

struct log_walk {
    const struct crn_live_space *space;
    roaring_bitmap_t *changed;
    uint64_t until;    /* later entries are left out */
    uint64_t switched; /* the newest switch of segments; 0: none */
};

static cairn_status note_entry(void *ctx, const struct crn_log_entry *entry)
{
    struct log_walk *walk = ctx;
    const uint32_t owner = (uint32_t)(entry->key >> 32);

    if (entry->sequence > walk->until) return CAIRN_OK;
    if (entry->op == CRN_LOG_SEGMENTS && owner == walk->space->info->id) walk->switched = entry->sequence;
    if ((entry->op == CRN_LOG_PUT || entry->op == CRN_LOG_DELETE) && owner == walk->space->collection->id) {
        roaring_bitmap_add(walk->changed, (uint32_t)entry->key);
    }
    return CAIRN_OK;
}

cairn_status crn_space_follow_log(struct crn_live_space *space, struct crn_view *view,
                                  struct crn_reader *reader, const struct crn_catalog *catalog,
                                  uint64_t after, cairn_error *err)
{
    struct log_walk log = {.space = space, .changed = roaring_bitmap_create(), .until = UINT64_MAX};
    roaring_uint32_iterator_t rows;
    struct row_walk walk;

    if (log.changed == NULL) return crn_error_no_memory(err, sizeof *log.changed);
    cairn_status status = crn_read_log(reader, after, note_entry, &log, err);
    if (status == CAIRN_OK && log.switched > view->switched) view->switched = log.switched;
    if (status == CAIRN_OK && !roaring_bitmap_is_empty(log.changed)) {
        status = row_walk_init(&walk, space, view, reader, catalog, err);
        roaring_init_iterator(log.changed, &rows);
        for (; status == CAIRN_OK && rows.has_value; roaring_advance_uint32_iterator(&rows)) {
            status = follow_row(&walk, rows.current_value);
        }
        row_walk_release(&walk);
    }
    roaring_bitmap_free(log.changed);
    return status;
}

cairn_status crn_space_kill_logged(struct crn_live_space *space, struct crn_view *view,
                                   struct crn_reader *reader, uint64_t until, cairn_error *err)
{
    struct log_walk log = {.space = space, .changed = roaring_bitmap_create(), .until = until};
    roaring_uint32_iterator_t rows;

    if (log.changed == NULL) return crn_error_no_memory(err, sizeof *log.changed);
    cairn_status status = crn_read_log(reader, view->sequence, note_entry, &log, err);
    if (status == CAIRN_OK && log.switched > view->switched) view->switched = log.switched;
    roaring_init_iterator(log.changed, &rows);
    for (; status == CAIRN_OK && rows.has_value; roaring_advance_uint32_iterator(&rows)) {
        status = crn_view_kill_local(view, rows.current_value, err);
    }
    if (status == CAIRN_OK) view->sequence = until;
    roaring_bitmap_free(log.changed);
    return status;
}

/* ---- loading ---- */

/* The segment of the entry, from the view at hand where it is open. Not what that view says of its rows: a row may be dead there
 * because it stands in a tail, which a new view has not. */
static cairn_status take_segment(struct crn_live_space *space, const struct crn_view *at_hand,
                                 const struct crn_segment_entry *entry, struct crn_segment **out_segment,
                                 cairn_error *err)
{
    for (uint32_t i = 0; at_hand != NULL && i < at_hand->part_count; i++) {
        struct crn_segment *old = at_hand->parts[i].segment;
        if (strcmp(old->entry.file, entry->file) != 0) continue;
        if (strcmp(old->entry.index_file, entry->index_file) != 0) {
            return crn_segment_reopen(&space->context, old, entry, out_segment, err);
        }
        crn_segment_retain(old);
        *out_segment = old;
        return CAIRN_OK;
    }
    return crn_segment_open(&space->context, entry, out_segment, err);
}

static cairn_status open_parts(struct crn_live_space *space, const struct crn_view *at_hand,
                               struct crn_view *view, const struct crn_segment_entry *entries,
                               cairn_error *err)
{
    for (uint32_t i = 0; i < view->part_count; i++) {
        struct crn_view_part *part = &view->parts[i];
        CRN_TRY(take_segment(space, at_hand, &entries[i], &part->segment, err));
        part->live_count = part->segment->count;
        view->covered = entries[i].sequence;
    }
    return crn_view_mask_parts(view, err);
}

void crn_space_forget_unopened(struct crn_view *view)
{
    uint32_t opened = 0;
    while (opened < view->part_count && view->parts[opened].segment != NULL) opened++;
    view->part_count = opened;
}

cairn_status crn_space_load_parts(struct crn_live_space *space, const struct crn_view *at_hand,
                                  struct crn_reader *reader, struct crn_view **out_view, cairn_error *err)
{
    struct crn_segment_entry *entries = NULL;
    uint32_t count = 0;
    uint64_t listed;

    CRN_TRY(crn_read_sequence(reader, &listed, err));
    if (!space->distrust_segments) CRN_TRY(crn_read_segments(reader, space->info->id, &entries, &count, err));
    struct crn_view *view = crn_view_create(count);
    cairn_status status = view == NULL ? crn_error_no_memory(err, sizeof *view) : CAIRN_OK;
    if (status == CAIRN_OK) {
        view->listed = listed;
        status = open_parts(space, at_hand, view, entries, err);
        view->sequence = view->covered;
    }
    crn_mem_free(entries);
    if (status != CAIRN_OK) {
        if (view != NULL) crn_space_forget_unopened(view);
        crn_view_release(view);
        return status;
    }
    *out_view = view;
    return CAIRN_OK;
}

cairn_status crn_space_load_tail(struct crn_live_space *space, struct crn_view *view,
                                 struct crn_reader *reader, const struct crn_catalog *catalog,
                                 cairn_error *err)
{
    CRN_TRY(crn_view_add_tail(view, space->info->dim, err));
    view->sequence = view->listed;
    return view->part_count == 0 ? load_all_rows(space, view, reader, catalog, err)
                                 : crn_space_follow_log(space, view, reader, catalog, view->covered, err);
}

cairn_status crn_space_load(struct crn_live_space *space, const struct crn_view *at_hand,
                            struct crn_reader *reader, const struct crn_catalog *catalog,
                            struct crn_view **out_view, cairn_error *err)
{
    CRN_TRY(crn_space_load_parts(space, at_hand, reader, out_view, err));
    const cairn_status status = crn_space_load_tail(space, *out_view, reader, catalog, err);
    if (status == CAIRN_OK) return CAIRN_OK;
    crn_view_release(*out_view);
    *out_view = NULL;
    return status;
}
