#include "engine/space.h"

#include "base/clock.h"
#include "base/error.h"
#include "engine/collection.h"
#include "engine/id.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

/* ---- life ---- */

static enum crn_op op_of(cairn_metric metric)
{
    switch (metric) {
    case CAIRN_METRIC_L2: return CRN_OP_L2;
    case CAIRN_METRIC_MANHATTAN: return CRN_OP_L1;
    case CAIRN_METRIC_DEFAULT:
    case CAIRN_METRIC_COSINE:
    case CAIRN_METRIC_DOT: break;
    }
    return CRN_OP_DOT;
}

cairn_status crn_live_space_init(struct crn_live_space *space, struct cairn_collection *collection, uint32_t number,
                                 cairn_error *err)
{
    memset(space, 0, sizeof *space);
    space->collection = collection;
    space->number = number;
    space->info = &collection->first_catalog->catalog.spaces[number];
    space->op = op_of(space->info->metric);
    space->normalise = space->info->metric == CAIRN_METRIC_COSINE || space->info->metric == CAIRN_METRIC_DEFAULT;
    space->context.folder = crn_store_folder(collection->db->store);
    crn_store_uuid(collection->db->store, space->context.uuid);
    space->context.space = space->info;
    space->context.op = space->op;
    space->context.log = &collection->db->log;
    if (pthread_mutex_init(&space->view_mutex, NULL) != 0) return crn_error_set(err, CAIRN_NO_MEMORY, "no mutex");
    if (pthread_mutex_init(&space->apply_mutex, NULL) != 0) {
        pthread_mutex_destroy(&space->view_mutex);
        return crn_error_set(err, CAIRN_NO_MEMORY, "no mutex");
    }
    return CAIRN_OK;
}

void crn_live_space_release(struct crn_live_space *space)
{
    crn_view_release(space->view);
    crn_local_map_clear(&space->tail_map);
    pthread_mutex_destroy(&space->apply_mutex);
    pthread_mutex_destroy(&space->view_mutex);
}

struct crn_view *crn_live_space_peek(struct crn_live_space *space)
{
    pthread_mutex_lock(&space->view_mutex);
    struct crn_view *view = space->view;
    if (view != NULL) crn_view_retain(view);
    pthread_mutex_unlock(&space->view_mutex);
    return view;
}

/* Takes the reference. NULL forgets the view: the next search loads anew. apply_mutex held. */
static void publish(struct crn_live_space *space, struct crn_view *view)
{
    pthread_mutex_lock(&space->view_mutex);
    struct crn_view *old = space->view;
    space->view = view;
    pthread_mutex_unlock(&space->view_mutex);
    if (view == NULL) crn_local_map_clear(&space->tail_map);
    crn_view_release(old);
}

void crn_live_space_distrust(struct crn_live_space *space)
{
    pthread_mutex_lock(&space->apply_mutex);
    space->distrust_segments = true;
    publish(space, NULL);
    pthread_mutex_unlock(&space->apply_mutex);
}

bool crn_live_space_prepare(const struct crn_live_space *space, const float *vector, float *out)
{
    const uint32_t dim = space->info->dim;

    if (!crn_vector_finite(vector, dim)) return false;
    if (!space->normalise) {
        memcpy(out, vector, dim * sizeof *out);
        return true;
    }
    const double norm2 = crn_vector_norm2(vector, dim);
    if (norm2 == 0) return false;
    crn_vector_scale(vector, dim, 1 / sqrt(norm2), out);
    return true;
}

/* ---- changing a view that is not published yet ---- */

static cairn_status apply_change(struct crn_live_space *space, struct crn_view *view, const struct crn_change *change,
                                 float *scratch, cairn_error *err)
{
    uint32_t position;

    CRN_TRY(crn_view_kill_local(view, change->local, err));
    if (crn_local_map_get(&space->tail_map, change->local, &position) && position < view->tail_count) {
        CRN_TRY(crn_view_kill_tail(view, position, err));
    }
    if (change->vector == NULL) return CAIRN_OK;
    if (!crn_live_space_prepare(space, change->vector, scratch)) {
        return crn_error_set(err, CAIRN_CORRUPT, "row %u holds a vector that cannot be searched", change->local);
    }
    CRN_TRY(crn_tail_append(view->tail, change->local, scratch, change->id, change->id_size, err));
    view->tail_count = view->tail->count;
    if (!crn_local_map_set(&space->tail_map, change->local, view->tail_count - 1)) {
        return crn_error_no_memory(err, space->tail_map.capacity * 2 * sizeof *space->tail_map.slots);
    }
    return CAIRN_OK;
}

static cairn_status kill_everywhere(struct crn_live_space *space, struct crn_view *view, uint32_t local, cairn_error *err)
{
    const struct crn_change gone = {.local = local};
    return apply_change(space, view, &gone, NULL, err);
}

struct expiry_walk {
    struct crn_live_space *space;
    struct crn_view *view;
    cairn_error *err;
};

static cairn_status expire_row(void *ctx, uint32_t local)
{
    struct expiry_walk *walk = ctx;
    return kill_everywhere(walk->space, walk->view, local, walk->err);
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
                                  struct crn_reader *reader, const struct crn_catalog *catalog, cairn_error *err)
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
    cairn_status status = crn_read_record(walk->reader, walk->catalog, local, true, &walk->memory, &record, walk->err);
    if (status == CAIRN_NOT_FOUND) return apply_change(walk->space, walk->view, &change, walk->scratch, walk->err);
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
    return apply_change(walk->space, walk->view, &change, walk->scratch, walk->err);
}

static cairn_status load_row(void *ctx, const struct crn_record *record)
{
    struct row_walk *walk = ctx;
    char id[CRN_ID_BYTES_MAX];
    size_t offset = 0, size = 0;

    crn_buf_clear(&walk->memory);
    CRN_TRY(crn_read_vector(walk->reader, walk->space->info->id, record->local, &walk->memory, &offset, &size, walk->err));
    if (size == 0) return CAIRN_OK;
    if (size != walk->space->info->dim * sizeof(float)) {
        return crn_error_set(walk->err, CAIRN_CORRUPT, "row %u holds a vector of %zu bytes", record->local, size);
    }
    memcpy(walk->aligned, walk->memory.data + offset, size);
    const struct crn_change change = {
        .local = record->local,
        .vector = walk->aligned,
        .id = id,
        .id_size = crn_id_encode(record->id_type, record->id, record->id_len, record->id_u64, id),
    };
    return apply_change(walk->space, walk->view, &change, walk->scratch, walk->err);
}

static cairn_status load_all_rows(struct crn_live_space *space, struct crn_view *view, struct crn_reader *reader,
                                  const struct crn_catalog *catalog, cairn_error *err)
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
    bool segments_changed;
};

static cairn_status note_entry(void *ctx, const struct crn_log_entry *entry)
{
    struct log_walk *walk = ctx;
    const uint32_t owner = (uint32_t)(entry->key >> 32);

    if (entry->op == CRN_LOG_SEGMENTS && owner == walk->space->info->id) walk->segments_changed = true;
    if ((entry->op == CRN_LOG_PUT || entry->op == CRN_LOG_DELETE) && owner == walk->space->collection->id) {
        roaring_bitmap_add(walk->changed, (uint32_t)entry->key);
    }
    return CAIRN_OK;
}

/* Applies what the log holds after `after`. When the segments were switched meanwhile it sets *out_reload and applies
 * nothing; a NULL out_reload says that the segments at hand are the snapshot's own. */
static cairn_status follow_log(struct crn_live_space *space, struct crn_view *view, struct crn_reader *reader,
                               const struct crn_catalog *catalog, uint64_t after, bool *out_reload, cairn_error *err)
{
    struct log_walk log = {.space = space, .changed = roaring_bitmap_create()};
    roaring_uint32_iterator_t rows;
    struct row_walk walk;

    if (log.changed == NULL) return crn_error_no_memory(err, sizeof *log.changed);
    cairn_status status = crn_read_log(reader, after, note_entry, &log, err);
    const bool reload = out_reload != NULL && log.segments_changed;
    if (out_reload != NULL) *out_reload = reload;
    if (status == CAIRN_OK && !reload) {
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

/* ---- loading ---- */

static struct crn_segment *find_open_segment(const struct crn_view *view, const struct crn_segment_entry *entry)
{
    for (uint32_t i = 0; view != NULL && i < view->part_count; i++) {
        struct crn_segment *segment = view->parts[i].segment;
        if (strcmp(segment->entry.file, entry->file) == 0 && strcmp(segment->entry.index_file, entry->index_file) == 0) {
            crn_segment_retain(segment);
            return segment;
        }
    }
    return NULL;
}

static cairn_status open_parts(struct crn_live_space *space, struct crn_view *view, const struct crn_segment_entry *entries,
                               cairn_error *err)
{
    for (uint32_t i = 0; i < view->part_count; i++) {
        struct crn_segment *segment = find_open_segment(space->view, &entries[i]);
        if (segment == NULL) CRN_TRY(crn_segment_open(&space->context, &entries[i], &segment, err));
        view->parts[i].segment = segment;
        view->parts[i].live_count = segment->count;
        view->covered = entries[i].sequence;
    }
    return crn_view_mask_parts(view, err);
}

/* Parts that could not be opened have no segment: cut them off, so that the view can be released. */
static void forget_unopened(struct crn_view *view)
{
    uint32_t opened = 0;
    while (opened < view->part_count && view->parts[opened].segment != NULL) opened++;
    view->part_count = opened;
}

static cairn_status load(struct crn_live_space *space, struct crn_reader *reader, const struct crn_catalog *catalog,
                         struct crn_view **out_view, cairn_error *err)
{
    struct crn_segment_entry *entries = NULL;
    uint32_t count = 0;

    if (!space->distrust_segments) CRN_TRY(crn_read_segments(reader, space->info->id, &entries, &count, err));
    struct crn_view *view = crn_view_create(count);
    struct crn_tail *tail = crn_tail_create(space->info->dim);
    cairn_status status = CAIRN_OK;
    if (view == NULL || tail == NULL) {
        crn_tail_release(tail);
        status = crn_error_no_memory(err, sizeof *view + sizeof *tail);
    } else {
        view->tail = tail;
        status = open_parts(space, view, entries, err);
        forget_unopened(view);
    }
    crn_mem_free(entries);
    if (status == CAIRN_OK) {
        crn_local_map_clear(&space->tail_map);
        status = count == 0 ? load_all_rows(space, view, reader, catalog, err)
                            : follow_log(space, view, reader, catalog, view->covered, NULL, err);
    }
    if (status != CAIRN_OK) {
        crn_view_release(view);
        return status;
    }
    *out_view = view;
    return CAIRN_OK;
}

/* ---- bringing up to date ---- */

/* One step under apply_mutex with one snapshot. */
static cairn_status follow_once(struct crn_live_space *space, struct crn_reader *reader, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_view *view = NULL;
    const int64_t now_ms = crn_clock_ms();
    uint64_t sequence;
    bool reload = space->view == NULL;
    cairn_status status;

    CRN_TRY(crn_read_sequence(reader, &sequence, err));
    CRN_TRY(crn_collection_follow_reader(space->collection, reader, &catalog, err));
    if (!reload) {
        if (sequence < space->view->sequence) return CAIRN_OK; /* a direct hand-over was faster */
        view = crn_view_copy(space->view);
        if (view == NULL) return crn_error_no_memory(err, sizeof *view);
        status = follow_log(space, view, reader, catalog, view->sequence, &reload, err);
        if (status == CAIRN_CONFLICT) reload = true;
        if (reload) {
            crn_view_release(view);
        } else if (status != CAIRN_OK) {
            goto failed;
        }
    }
    if (reload) {
        view = NULL;
        status = load(space, reader, catalog, &view, err);
        if (status != CAIRN_OK) goto failed;
    }
    struct expiry_walk expiry = {.space = space, .view = view, .err = err};
    status = crn_read_expired(reader, space->collection->id, now_ms, expire_row, &expiry, &view->next_expiry_ms, err);
    if (status != CAIRN_OK) goto failed;
    view->sequence = sequence;
    publish(space, view);
    return CAIRN_OK;

failed:
    /* The tail may hold rows of a view that never came: start over next time. */
    crn_view_release(view);
    publish(space, NULL);
    return status;
}

static bool is_current(const struct crn_view *view, uint64_t sequence)
{
    return view != NULL && view->sequence >= sequence && crn_clock_ms() < view->next_expiry_ms;
}

static cairn_status follow(struct crn_live_space *space, uint64_t sequence, cairn_error *err)
{
    struct crn_reader *reader;
    cairn_status status = CAIRN_OK;

    pthread_mutex_lock(&space->apply_mutex);
    if (!is_current(space->view, sequence)) {
        status = crn_store_read_begin(space->collection->db->store, &reader, err);
        if (status == CAIRN_OK) {
            status = follow_once(space, reader, err);
            crn_store_read_end(reader);
        }
    }
    pthread_mutex_unlock(&space->apply_mutex);
    return status;
}

static bool blames_files(cairn_status status)
{
    return status == CAIRN_CORRUPT || status == CAIRN_NO_FILE;
}

cairn_status crn_live_space_follow(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    const uint64_t sequence = crn_store_sequence(space->collection->db->store);
    cairn_status status = CAIRN_OK;

    *out_view = crn_live_space_peek(space);
    if (is_current(*out_view, sequence)) return CAIRN_OK;
    crn_view_release(*out_view);
    *out_view = NULL;
    /* A switch of segments may overtake the snapshot that named them; a second look is then enough. The view may also be
     * forgotten between following and taking it, when a hand-over runs out of memory. */
    for (int attempt = 0; attempt < 3; attempt++) {
        status = follow(space, sequence, err);
        if (status == CAIRN_OK && (*out_view = crn_live_space_peek(space)) != NULL) return CAIRN_OK;
        if (status != CAIRN_OK && !blames_files(status)) return status;
    }
    return status != CAIRN_OK ? status : crn_error_set(err, CAIRN_NO_MEMORY, "the rows newer than the segments do not fit into memory");
}

cairn_status crn_live_space_view(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    cairn_error cause;
    cairn_status status = crn_live_space_follow(space, out_view, &cause);

    if (status == CAIRN_OK) return CAIRN_OK;
    if (blames_files(status)) {
        crn_log(&space->collection->db->log, CAIRN_LOG_WARN, "rebuilding from the rows: %s", cause.message);
        /* What cannot be rebuilt (a read-only folder, a full disk) is done without; damaged rows are told of by the next try. */
        if (crn_space_rebuild(space, NULL, NULL, &cause) != CAIRN_OK) crn_live_space_distrust(space);
        status = crn_live_space_follow(space, out_view, &cause);
    }
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "%s", cause.message);
}

/* ---- the direct way ---- */

void crn_live_space_apply(struct crn_live_space *space, const struct crn_change *changes, size_t count, uint64_t first,
                          uint64_t last)
{
    struct crn_view *view = NULL;
    cairn_error err;

    pthread_mutex_lock(&space->apply_mutex);
    float *scratch = NULL;
    if (space->view == NULL || space->view->sequence + 1 != first) goto done;
    scratch = crn_mem_aligned(space->info->dim * sizeof *scratch);
    view = crn_view_copy(space->view);
    if (scratch == NULL || view == NULL) goto done;
    for (size_t i = 0; i < count; i++) {
        if (apply_change(space, view, &changes[i], scratch, &err) != CAIRN_OK) {
            publish(space, NULL); /* as in follow_once */
            goto done;
        }
        if (changes[i].expires_at_ms != 0 && changes[i].expires_at_ms < view->next_expiry_ms) {
            view->next_expiry_ms = changes[i].expires_at_ms;
        }
    }
    view->sequence = last;
    publish(space, view);
    view = NULL;
done:
    crn_view_release(view);
    crn_mem_free(scratch);
    pthread_mutex_unlock(&space->apply_mutex);
}
