#include "engine/space_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "engine/collection.h"
#include "quant/graph_row.h"
#include "quant/rotation.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define TAIL_GRAPH_ROWS_MOST (1u << 20)

/* ---- life ---- */

static enum crn_op op_of(cairn_metric metric)
{
    switch (metric) {
    case CAIRN_METRIC_L2:
        return CRN_OP_L2;
    case CAIRN_METRIC_MANHATTAN:
        return CRN_OP_L1;
    case CAIRN_METRIC_DEFAULT:
    case CAIRN_METRIC_COSINE:
    case CAIRN_METRIC_DOT:
        break;
    }
    return CRN_OP_DOT;
}

/* Which spaces have graphs over their tails: those that have approximate indexes over segments, as far as graphs can. A tail is
 * written out when it has grown to tail_rows_max; while that takes long it may become a few times as long. */
static struct crn_tail_graph_plan plan_tail_graphs(const struct crn_live_space *space)
{
    const struct crn_space *info = space->info;
    const uint64_t rows_most = (uint64_t)space->collection->db->options.tail_rows_max * 4;
    struct crn_tail_graph_plan plan = {.op = space->op, .normalised = space->normalise};

    if (space->collection->db->options.bulk_load) return plan;
    if (info->kind != CAIRN_SPACE_DENSE ||
        (strcmp(info->index, "auto") != 0 && strcmp(info->index, "graph") != 0))
        return plan;
    if (rows_most < CRN_TAIL_GRAPH_ROWS || space->op == CRN_OP_L1 ||
        crn_rotation_padded(info->dim) > CRN_GRAPH_DIMS_MAX)
        return plan;
    plan.rows_most = rows_most < TAIL_GRAPH_ROWS_MOST ? (uint32_t)rows_most : TAIL_GRAPH_ROWS_MOST;
    return plan;
}

void crn_live_space_init(struct crn_live_space *space, struct cairn_collection *collection,
                         const struct crn_space *info)
{
    memset(space, 0, sizeof *space);
    space->collection = collection;
    space->info = info;
    space->op = op_of(space->info->metric);
    space->normalise =
        space->info->metric == CAIRN_METRIC_COSINE || space->info->metric == CAIRN_METRIC_DEFAULT;
    space->context.folder = crn_store_folder(collection->db->store);
    crn_store_uuid(collection->db->store, space->context.uuid);
    space->context.space = space->info;
    space->context.op = space->op;
    space->context.log = &collection->db->log;
    const bool background = !collection->db->options.no_background && !collection->db->options.read_only;
    space->context.copy = collection->db->options.index_memory == CAIRN_INDEX_COPIED;
    space->context.patient = background;
    space->tail_graphs = plan_tail_graphs(space);
    pthread_mutex_init(&space->view_mutex, NULL);
    pthread_mutex_init(&space->apply_mutex, NULL);
    pthread_mutex_init(&space->regroup_mutex, NULL);
}

void crn_live_space_release(struct crn_live_space *space)
{
    crn_view_release(space->view);
    crn_live_space_drop_retired(space, true);
    pthread_mutex_destroy(&space->regroup_mutex);
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

void crn_space_publish(struct crn_live_space *space, struct crn_view *view)
{
    if (view != NULL) crn_store_announce(space->collection->db->store, view->sequence);
    pthread_mutex_lock(&space->view_mutex);
    struct crn_view *old = space->view;
    space->view = view;
    pthread_mutex_unlock(&space->view_mutex);
    crn_view_release(old);
}

void crn_live_space_distrust(struct crn_live_space *space)
{
    pthread_mutex_lock(&space->apply_mutex);
    space->distrust_segments = true;
    crn_space_publish(space, NULL);
    pthread_mutex_unlock(&space->apply_mutex);
}

void crn_live_space_forget(struct crn_live_space *space)
{
    pthread_mutex_lock(&space->apply_mutex);
    crn_space_publish(space, NULL);
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

/* ---- bringing up to date; apply_mutex held ---- */

struct expiry_walk {
    struct crn_live_space *space;
    struct crn_view *view;
    cairn_error *err;
};

static cairn_status expire_row(void *ctx, uint32_t local)
{
    struct expiry_walk *walk = ctx;
    const struct crn_change gone = {.local = local};
    return crn_space_change(walk->space, walk->view, &gone, NULL, walk->err);
}

cairn_status crn_space_expire(struct crn_live_space *space, struct crn_view *view, struct crn_reader *reader,
                              int64_t now_ms, cairn_error *err)
{
    struct expiry_walk walk = {.space = space, .view = view, .err = err};
    return crn_read_expired(reader, space->collection->id, now_ms, expire_row, &walk, &view->next_expiry_ms,
                            err);
}

/* INVALID_ARGUMENT when the settings have the space no more. */
static cairn_status check_present(struct crn_live_space *space, const struct crn_catalog *catalog,
                                  cairn_error *err)
{
    for (uint32_t i = 0; i < catalog->space_count; i++) {
        if (catalog->spaces[i].id == space->info->id) return CAIRN_OK;
    }
    crn_space_publish(space, NULL);
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection '%s' has no space '%.60s' any more",
                         catalog->name, space->info->name);
}

/* One step with one snapshot. */
static cairn_status follow_once(struct crn_live_space *space, struct crn_reader *reader, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_view *view = NULL;
    const int64_t now_ms = crn_clock_ms();
    uint64_t sequence;
    cairn_status status = CAIRN_CONFLICT;

    CRN_TRY(crn_read_sequence(reader, &sequence, err));
    CRN_TRY(crn_collection_follow_reader(space->collection, reader, &catalog, err));
    CRN_TRY(check_present(space, catalog, err));
    if (space->view != NULL) {
        if (sequence < space->view->sequence) return CAIRN_OK; /* a direct hand-over was faster */
        view = crn_view_copy(space->view);
        if (view == NULL) return crn_error_no_memory(err, sizeof *view);
        view->sequence = sequence;
        status = crn_space_follow_log(space, view, reader, catalog, space->view->sequence, err);
        if (status == CAIRN_CONFLICT) {
            crn_view_release(view);
            view = NULL;
        }
    }
    if (status == CAIRN_CONFLICT) {
        status = crn_space_load(space, space->view, reader, catalog, &view, err);
    }
    if (status != CAIRN_OK) goto failed;
    status = crn_space_expire(space, view, reader, now_ms, err);
    if (status != CAIRN_OK) goto failed;
    crn_space_publish(space, view);
    return CAIRN_OK;

failed:
    /* The tail may hold rows of a view that never came: start over next time. */
    crn_view_release(view);
    crn_space_publish(space, NULL);
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

/* ---- views ---- */

cairn_status crn_space_follow_until(struct crn_live_space *space, uint64_t sequence,
                                    struct crn_view **out_view, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    *out_view = crn_live_space_peek(space);
    if (is_current(*out_view, sequence)) return CAIRN_OK;
    crn_view_release(*out_view);
    *out_view = NULL;
    /* A switch of segments may overtake the snapshot that named them; a second look is then enough. The
     * view may also be forgotten between following and taking it, when a hand-over runs out of memory. */
    for (int attempt = 0; attempt < 3; attempt++) {
        status = follow(space, sequence, err);
        if (status == CAIRN_OK && (*out_view = crn_live_space_peek(space)) != NULL) return CAIRN_OK;
        if (status != CAIRN_OK && !crn_space_blames_files(status)) return status;
    }
    return status != CAIRN_OK ? status
                              : crn_error_set(err, CAIRN_NO_MEMORY,
                                              "the rows newer than the segments do not fit into memory");
}

cairn_status crn_live_space_follow(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    return crn_space_follow_until(space, crn_store_sequence(space->collection->db->store), out_view, err);
}

/* The view at hand has all rows, whether or not it has heard of a switch. Where nobody else follows that,
 * a search has to. */
static cairn_status view_to_search(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    CRN_TRY(crn_live_space_follow(space, out_view, err));
    if (!crn_view_is_behind(*out_view) || space->collection->db->maintenance != NULL) return CAIRN_OK;
    return crn_space_regroup_alone(space, out_view, err);
}

cairn_status crn_live_space_view(struct crn_live_space *space, struct crn_view **out_view, cairn_error *err)
{
    cairn_error cause;

    /* Relaxed: a hint to maintenance. Read first, so that searches do not fight for the line. */
    if (!atomic_load_explicit(&space->searched, memory_order_relaxed)) {
        atomic_store_explicit(&space->searched, true, memory_order_relaxed);
    }
    cairn_status status = view_to_search(space, out_view, &cause);
    if (status == CAIRN_OK) return CAIRN_OK;
    if (crn_space_blames_files(status)) {
        crn_log(&space->collection->db->log, CAIRN_LOG_WARN, "rebuilding from the rows: %s", cause.message);
        /* What cannot be rebuilt (a read-only folder, a full disk) is done without; damaged rows are told
         * of by the next try. */
        if (crn_space_rebuild(space, NULL, NULL, &cause) != CAIRN_OK) crn_live_space_distrust(space);
        status = crn_live_space_follow(space, out_view, &cause);
    }
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "%s", cause.message);
}

/* ---- the tails' graphs ---- */

uint32_t crn_live_space_grow_graphs(struct crn_live_space *space, uint32_t most)
{
    struct crn_view *view = space->tail_graphs.rows_most == 0 ? NULL : crn_live_space_peek(space);
    uint32_t done = 0;

    for (uint32_t t = 0; view != NULL && t < view->tail_count && done < most; t++) {
        struct crn_tail *tail = view->tails[t].tail;
        const uint32_t before = crn_tail_graph_inserted(tail);
        (void)crn_tail_graph_grow(tail, &space->tail_graphs, view->tails[t].count, most - done, NULL);
        done += crn_tail_graph_inserted(tail) - before;
    }
    crn_view_release(view);
    return done;
}

uint32_t crn_live_space_waiting(struct crn_live_space *space)
{
    struct crn_view *view = space->tail_graphs.rows_most == 0 ? NULL : crn_live_space_peek(space);
    uint32_t waiting = 0;

    for (uint32_t t = 0; view != NULL && t < view->tail_count; t++) {
        const uint32_t count = view->tails[t].count, inserted = crn_tail_graph_inserted(view->tails[t].tail);
        if (count >= CRN_TAIL_GRAPH_ROWS && count > inserted) waiting += count - inserted;
    }
    crn_view_release(view);
    return waiting;
}

/* ---- the direct way ---- */

void crn_live_space_catch_up(struct crn_live_space *space, uint64_t sequence)
{
    struct crn_view *view = crn_live_space_peek(space);
    const bool is_used = view != NULL;

    crn_view_release(view);
    /* A failure is met again, and told, by the next search. */
    if (is_used && crn_space_follow_until(space, sequence, &view, NULL) == CAIRN_OK) crn_view_release(view);
}

void crn_live_space_apply(struct crn_live_space *space, const struct crn_change *changes, size_t count,
                          uint64_t first, uint64_t last)
{
    struct crn_view *view = NULL;
    cairn_error err;

    pthread_mutex_lock(&space->apply_mutex);
    float *scratch = NULL;
    if (space->view == NULL || space->view->sequence + 1 != first) goto done;
    view = crn_view_copy(space->view);
    scratch = crn_mem_aligned(space->info->dim * sizeof *scratch);
    if (scratch == NULL || view == NULL) goto done;
    view->sequence = last;
    for (size_t i = 0; i < count; i++) {
        if (crn_space_change(space, view, &changes[i], scratch, &err) != CAIRN_OK) {
            crn_space_publish(space, NULL); /* as in follow_once */
            goto done;
        }
        if (changes[i].expires_at_ms != 0 && changes[i].expires_at_ms < view->next_expiry_ms) {
            view->next_expiry_ms = changes[i].expires_at_ms;
        }
    }
    crn_space_publish(space, view);
    view = NULL;
done:
    crn_view_release(view);
    crn_mem_free(scratch);
    pthread_mutex_unlock(&space->apply_mutex);
}

void crn_live_space_note_switch(struct crn_live_space *space, uint64_t first, uint64_t last)
{
    pthread_mutex_lock(&space->apply_mutex);
    if (space->view != NULL && space->view->sequence + 1 == first) {
        struct crn_view *view = crn_view_copy(space->view);
        if (view != NULL) {
            view->sequence = view->switched = last;
            crn_space_publish(space, view);
        }
    }
    pthread_mutex_unlock(&space->apply_mutex);
}
