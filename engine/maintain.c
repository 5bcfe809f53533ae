/*
 * Maintenance: what keeps searches fast and opening short. A database has two threads for it: one puts new rows into the graphs of
 * tails and writes long tails out, the other merges segments, builds indexes and folds use counts in, which may take minutes and
 * holds the first one up no longer than a switch of a list takes. cairn_optimize and cairn_rebuild do the same on request.
 * Everything here may be stopped at any instant: files appear whole or not at all, and lists switch in one transaction.
 */
#include "engine/background.h"
#include "engine/compact.h"
#include "engine/compact_policy.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <time.h>

#define TAILS_NICENESS \
    4 /* the thread wakes often, and for moments: writers and searches come first, but merges after it */
#define SEGMENTS_NICENESS 10
#define GRAPH_ROWS_AT_ONCE 16u /* put into the graph of a tail by the thread before a writer may take turns */
#define GRAPH_ROWS_MORE 16u    /* put in by a writer, beyond twice its own */
#define WAITING_WAKE \
    128u /* rows outside of graphs at which the thread is woken: the newest are scanned in any case */
#define WAITING_MOST 256u /* and at which writers put in rows themselves */
#define BRAKE_NS_EACH \
    400000u /* a writer waits for each row at three times the tail's limit (crn_compact_brake) */
#define BRAKE_NS_MOST 50000000u
#define BUSY_NS 3000000000u /* rows are being written without a pause when a tail was written out so lately */
#define BUILDER_PAUSE_NS 10000000   /* between two tries to become the one who merges and builds */
#define BULK_TAILS 4u               /* tails are so many times as long while rows are loaded in bulk, */
#define BULK_TAIL_BYTES (64u << 20) /* but their vectors take no more than this */

struct crn_maintenance {
    struct crn_background tails, segments;
};

/* Rows from which a tail is written out. In bulk longer ones, so that rows are copied less often. */
static uint64_t tail_limit(const cairn_collection *collection)
{
    const cairn_open_options *options = &collection->db->options;
    const struct crn_space_list *now = crn_collection_now(collection);
    uint64_t row_bytes = sizeof(float), rows;

    if (!options->bulk_load) return options->tail_rows_max;
    for (uint32_t i = 0; i < now->count; i++) row_bytes += now->live[i]->info->dim * sizeof(float);
    rows = (uint64_t)options->tail_rows_max * BULK_TAILS;
    if (rows > BULK_TAIL_BYTES / row_bytes) rows = BULK_TAIL_BYTES / row_bytes;
    return rows > options->tail_rows_max ? rows : options->tail_rows_max;
}

/* ---- expired rows ---- */

struct expiry {
    cairn_collection *collection;
    uint32_t locals[1024];
    size_t count;
    int64_t now_ms;
};

/* LIMIT only ends the scan here: the rest is taken next time. */
static cairn_status note_expired(void *ctx, uint32_t local)
{
    struct expiry *expiry = ctx;

    if (expiry->count == sizeof expiry->locals / sizeof *expiry->locals) return CAIRN_LIMIT;
    expiry->locals[expiry->count++] = local;
    return CAIRN_OK;
}

static cairn_status run_expiry(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct expiry *expiry = ctx;
    const struct crn_catalog *catalog;
    struct crn_record record;
    struct crn_buf memory;
    cairn_status status = CAIRN_OK;

    CRN_TRY(crn_collection_follow_txn(expiry->collection, txn, &catalog, err));
    crn_buf_init(&memory, SIZE_MAX / 2);
    for (size_t i = 0; status == CAIRN_OK && i < expiry->count; i++) {
        crn_buf_clear(&memory);
        status = crn_txn_record(txn, catalog, expiry->locals[i], false, &memory, &record, err);
        if (status == CAIRN_NOT_FOUND) {
            status = CAIRN_OK;
        } else if (status == CAIRN_OK && record.expires_at_ms != 0 &&
                   record.expires_at_ms <= expiry->now_ms) {
            status = crn_txn_delete(txn, catalog, expiry->locals[i], err);
        }
    }
    crn_buf_release(&memory);
    return status;
}

static void expiry_committed(void *ctx, uint64_t sequence)
{
    const struct expiry *expiry = ctx;
    crn_collection_catch_up(expiry->collection, sequence);
}

static cairn_status delete_expired(cairn_collection *collection, cairn_error *err)
{
    struct expiry expiry = {.collection = collection};
    const struct crn_write_job job = {.run = run_expiry, .committed = expiry_committed, .ctx = &expiry};
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    int64_t next_ms;

    do {
        expiry.count = 0;
        expiry.now_ms = crn_clock_ms();
        CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
        cairn_status status =
            crn_read_expired(reader, collection->id, expiry.now_ms, note_expired, &expiry, &next_ms, err);
        crn_store_read_end(reader);
        if (status != CAIRN_OK && status != CAIRN_LIMIT) return status;
        if (expiry.count != 0) CRN_TRY(crn_store_write(collection->db->store, &job, err));
    } while (expiry.count == sizeof expiry.locals / sizeof *expiry.locals);
    return CAIRN_OK;
}

/* ---- one collection ---- */

static cairn_status flush_tails(cairn_collection *collection, uint32_t least, bool with_index,
                                cairn_error *err)
{
    uint32_t longest = 0;
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        if (space->info->kind != CAIRN_SPACE_DENSE) continue;
        CRN_TRY(crn_compact_flush(space, least, with_index, err));
        /* Rows have been written meanwhile. */
        struct crn_view *view = crn_live_space_peek(space);
        const uint32_t rows = view == NULL ? 0 : crn_view_tail_rows(view);
        if (rows > longest) longest = rows;
        crn_view_release(view);
    }
    atomic_store_explicit(&collection->unflushed, longest, memory_order_relaxed);
    return CAIRN_OK;
}

/* Without a control no index is built. */
static cairn_status merge_and_index(cairn_collection *collection, enum crn_compact_how how,
                                    const struct crn_build_control *control, bool *out_merged,
                                    cairn_error *err)
{
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        if (space->info->kind != CAIRN_SPACE_DENSE) continue;
        CRN_TRY(crn_compact_merge(space, how, control, out_merged, err));
        if (control != NULL) CRN_TRY(crn_compact_index(space, control, err));
    }
    return CAIRN_OK;
}

static cairn_status sweep(cairn_db *db, cairn_error *err)
{
    bool got = false;

    CRN_TRY(crn_store_lock(db->store, CRN_LOCK_SEGMENTS, false, &got, err));
    if (!got) return CAIRN_OK; /* next time */
    const cairn_status status = crn_compact_sweep(db, err);
    crn_store_unlock(db->store, CRN_LOCK_SEGMENTS);
    return status;
}

/* ---- what the threads do ---- */

static bool asked_to_yield(void *ctx)
{
    return crn_background_shall_yield(ctx);
}

static bool has_long_tail(cairn_collection *collection)
{
    if (atomic_load_explicit(&collection->unflushed, memory_order_relaxed) >= tail_limit(collection))
        return true;
    const struct crn_space_list *now = crn_collection_now(collection);
    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_view *view = crn_live_space_peek(now->live[i]);
        const bool is_long = view != NULL && crn_view_tail_rows(view) >= tail_limit(collection);
        crn_view_release(view);
        if (is_long) return true;
    }
    return false;
}

static cairn_status repair(cairn_collection *collection, cairn_error *err)
{
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        if (now->live[i]->info->kind == CAIRN_SPACE_DENSE)
            CRN_TRY(crn_space_rebuild(now->live[i], NULL, NULL, err));
    }
    return CAIRN_OK;
}

static void settle_failure(cairn_collection *collection, cairn_status status, cairn_error *err)
{
    if (status == CAIRN_CORRUPT || status == CAIRN_NO_FILE) status = repair(collection, err);
    if (status != CAIRN_OK && status != CAIRN_NO_COLLECTION && status != CAIRN_CANCELLED) {
        crn_log(&collection->db->log, CAIRN_LOG_WARN, "maintenance of '%s' will be tried again: %s",
                cairn_collection_name(collection), err->message);
    }
}

static cairn_status tend(struct crn_background *background, cairn_collection *collection, cairn_error *err)
{
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        /* What is left when the tail is long gets into its segment's graph. */
        while (!asked_to_yield(background) && !has_long_tail(collection) &&
               crn_live_space_grow_graphs(space, GRAPH_ROWS_AT_ONCE) != 0)
            continue;
        if (space->info->kind == CAIRN_SPACE_DENSE) CRN_TRY(crn_live_space_tend(space, err));
    }
    return CAIRN_OK;
}

/* A tail was written out. */
static void want_merges(cairn_collection *collection)
{
    /* Relaxed: a hint, and merges_wanted is of itself. */
    atomic_store_explicit(&collection->flushed_ns, crn_clock_ns(), memory_order_relaxed);
    atomic_store(&collection->merges_wanted, true);
}

static void look_after_tails(struct crn_background *background, cairn_collection *collection)
{
    cairn_error err;
    cairn_status status = tend(background, collection, &err);

    if (status == CAIRN_OK && has_long_tail(collection)) {
        status = flush_tails(collection, (uint32_t)tail_limit(collection) / 2, true, &err);
        want_merges(collection);
        crn_background_wake(&collection->db->maintenance->segments);
    }
    settle_failure(collection, status, &err);
}

/* In bulk there are no graphs to be merged, and copying rows is cheap. */
static enum crn_compact_how how_to_merge(const cairn_collection *collection)
{
    const uint64_t flushed_ns = atomic_load_explicit(&collection->flushed_ns, memory_order_relaxed);
    const bool busy = flushed_ns != 0 && crn_clock_ns() - flushed_ns < BUSY_NS;

    return busy && !collection->db->options.bulk_load ? CRN_COMPACT_BUSY : CRN_COMPACT_IDLE;
}

static uint32_t most_segments(cairn_collection *collection)
{
    uint32_t most = 0;
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_view *view = crn_live_space_peek(now->live[i]);
        if (view != NULL && view->part_count > most) most = view->part_count;
        crn_view_release(view);
    }
    return most;
}

struct merge_work {
    struct crn_background *background;
    cairn_collection *collection;
    enum crn_compact_how how;
};

/* A merge that was begun at rest may be one of minutes: should writers come back meanwhile and be slowed down for all the small segments
 * that pile up behind it, it is left off for those. */
static bool shall_leave_off(void *ctx)
{
    const struct merge_work *work = ctx;

    if (asked_to_yield(work->background)) return true;
    return work->how == CRN_COMPACT_IDLE && how_to_merge(work->collection) == CRN_COMPACT_BUSY &&
           most_segments(work->collection) > CRN_COMPACT_MANY;
}

/* Until nothing is left to merge. Not when another process is at it: then it is looked at again in a second, since that one may stop. */
static cairn_status merge_in_background(struct crn_background *background, cairn_collection *collection,
                                        cairn_error *err)
{
    /* Searches and writers go on meanwhile, and shall not wait for a processor. */
    const unsigned threads = collection->db->options.threads;
    struct merge_work work = {.background = background, .collection = collection};
    const struct crn_build_control control = {
        .threads = (threads + 1) / 2, .cancelled = shall_leave_off, .ctx = &work};
    struct crn_store *store = collection->db->store;
    cairn_status status = CAIRN_OK;
    bool merged = true;

    while (status == CAIRN_OK && merged && !asked_to_yield(background)) {
        bool got = false;
        merged = false;
        CRN_TRY(crn_store_lock(store, CRN_LOCK_BUILDER, false, &got, err));
        if (!got) {
            atomic_store(&collection->merges_wanted, true);
            return CAIRN_OK;
        }
        work.how = how_to_merge(collection);
        status = merge_and_index(collection, work.how, collection->db->options.bulk_load ? NULL : &control,
                                 &merged, err);
        if (status == CAIRN_OK) status = sweep(collection->db, err);
        crn_store_unlock(store, CRN_LOCK_BUILDER);
    }
    if (merged || status == CAIRN_CANCELLED || work.how == CRN_COMPACT_BUSY)
        atomic_store(&collection->merges_wanted, true); /* what was left off, or for later */
    return status;
}

static void look_after_segments(struct crn_background *background, cairn_collection *collection)
{
    cairn_error err;
    cairn_status status = crn_collection_flush_uses(collection, &err);

    /* Of what nobody has searched or written to since it was opened, nothing is loaded only to be merged. */
    if (status == CAIRN_OK && most_segments(collection) != 0 &&
        atomic_exchange(&collection->merges_wanted, false))
        status = merge_in_background(background, collection, &err);
    settle_failure(collection, status, &err);
}

/* ---- the threads ---- */

cairn_status crn_maintenance_start(cairn_db *db, cairn_error *err)
{
    struct crn_maintenance *maintenance = crn_mem_calloc(1, sizeof *maintenance);

    if (maintenance == NULL) return crn_error_no_memory(err, sizeof *maintenance);
    maintenance->tails =
        (struct crn_background){.db = db, .look_after = look_after_tails, .niceness = TAILS_NICENESS};
    maintenance->segments =
        (struct crn_background){.db = db, .look_after = look_after_segments, .niceness = SEGMENTS_NICENESS};
    cairn_status status = crn_background_start(&maintenance->segments, err);
    if (status == CAIRN_OK) {
        status = crn_background_start(&maintenance->tails, err);
        if (status != CAIRN_OK) crn_background_stop(&maintenance->segments);
    }
    if (status != CAIRN_OK) {
        crn_mem_free(maintenance);
        return status;
    }
    db->maintenance = maintenance;
    return CAIRN_OK;
}

void crn_maintenance_stop(cairn_db *db)
{
    if (db->maintenance == NULL) return;
    crn_background_stop(&db->maintenance->tails); /* it wakes the other one */
    crn_background_stop(&db->maintenance->segments);
    crn_mem_free(db->maintenance);
    db->maintenance = NULL;
}

/* ---- what writers do ---- */

/* Without a thread the writer keeps the number of segments bounded too; indexes are left to cairn_optimize. */
static cairn_status merge_alone(cairn_collection *collection, cairn_error *err)
{
    struct crn_store *store = collection->db->store;
    cairn_status status = CAIRN_OK;
    bool got = false;

    CRN_TRY(crn_store_lock(store, CRN_LOCK_BUILDER, false, &got, err));
    if (!got) return CAIRN_OK; /* another process is at it */
    const struct crn_space_list *now = crn_collection_now(collection);
    for (uint32_t i = 0; status == CAIRN_OK && i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        if (space->info->kind == CAIRN_SPACE_DENSE)
            status = crn_compact_merge(space, CRN_COMPACT_IDLE, NULL, NULL, err);
    }
    if (status == CAIRN_OK) status = sweep(collection->db, err);
    crn_store_unlock(store, CRN_LOCK_BUILDER);
    return status;
}

/* The thread puts rows into the graphs of tails, mostly while a writer waits for the disk. When it does not keep up, who writes does
 * it too, and so writes no faster than graphs can grow: a little more than one's own rows, so that what was left is caught up with
 * soon, and nobody at once pays for many. */
static void grow_graphs(cairn_collection *collection, uint64_t changes)
{
    struct crn_maintenance *maintenance = collection->db->maintenance;
    const uint32_t most = changes < UINT32_MAX / 4 ? (uint32_t)changes * 2 + GRAPH_ROWS_MORE : UINT32_MAX;
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        const uint32_t waiting = crn_live_space_waiting(space);
        if (waiting > (maintenance == NULL ? 0 : WAITING_MOST)) (void)crn_live_space_grow_graphs(space, most);
        if (maintenance != NULL && waiting >= WAITING_WAKE) crn_background_wake(&maintenance->tails);
    }
}

/* A writer that is faster than tails are written out and segments merged is slowed down, the more the longer tails are and the more
 * segments there are: so it need not stop, and searches have no end of segments to ask. */
static void brake(cairn_collection *collection, uint64_t changes, uint64_t unflushed)
{
    const double limit = (double)tail_limit(collection);
    const double tails = ((double)unflushed - 2 * limit) / limit;
    const double segments = crn_compact_brake(most_segments(collection));
    const double wanted = (tails > segments ? tails : segments) * (double)changes * BRAKE_NS_EACH;
    const struct timespec pause = {.tv_nsec = wanted < BRAKE_NS_MOST ? (long)wanted : (long)BRAKE_NS_MOST};

    if (wanted > 0) nanosleep(&pause, NULL);
}

void crn_maintenance_notice(cairn_collection *collection, uint64_t changes)
{
    struct crn_maintenance *maintenance = collection->db->maintenance;
    const uint64_t limit = tail_limit(collection);
    const uint64_t unflushed =
        atomic_fetch_add_explicit(&collection->unflushed, changes, memory_order_relaxed) + changes;
    cairn_error err;

    grow_graphs(collection, changes);
    if (maintenance != NULL && unflushed < 3 * limit) brake(collection, changes, unflushed);
    if (unflushed < limit) return;
    if (maintenance != NULL) {
        crn_background_wake(&maintenance->tails);
        if (unflushed < 3 * limit) return;
    }
    /* It waits for the thread, should that be at it, and goes on when what is left is no long tail any more. */
    cairn_status status =
        flush_tails(collection, (uint32_t)(maintenance != NULL ? limit * 2 : limit / 2), true, &err);
    if (maintenance != NULL) want_merges(collection);
    if (status == CAIRN_OK && maintenance == NULL) status = merge_alone(collection, &err);
    if (status != CAIRN_OK)
        crn_log(&collection->db->log, CAIRN_LOG_WARN, "the tail was not written out: %s", err.message);
}

void crn_maintenance_end_bulk(cairn_collection *collection)
{
    cairn_error err;

    if (atomic_load_explicit(&collection->unflushed, memory_order_relaxed) <
        collection->db->options.tail_rows_max)
        return;
    if (flush_tails(collection, collection->db->options.tail_rows_max, false, &err) == CAIRN_OK) return;
    crn_log(&collection->db->log, CAIRN_LOG_WARN, "the tail was not written out: %s", err.message);
}

/* ---- on request ---- */

struct request {
    cairn_progress_fn progress;
    void *ctx;
    const char *phase;
    bool cancelled;
};

static bool request_cancelled(void *ctx)
{
    struct request *request = ctx;

    if (request->progress != NULL && !request->progress(request->ctx, request->phase, 0, 0))
        request->cancelled = true;
    return request->cancelled;
}

/* Waits for whoever merges and builds, however long that takes: maintenance of this process is leaving off what the request
 * does itself; another process comes to an end, and the system frees its lock should it die. */
static cairn_status lock_builder(cairn_db *db, struct request *request, cairn_error *err)
{
    const struct timespec pause = {.tv_nsec = BUILDER_PAUSE_NS};
    bool got = false;

    request->phase = "wait";
    for (;;) {
        CRN_TRY(crn_store_lock(db->store, CRN_LOCK_BUILDER, false, &got, err));
        if (got) return CAIRN_OK;
        if (request_cancelled(request))
            return crn_error_set(err, CAIRN_CANCELLED, "stopped while others merged or built indexes");
        nanosleep(&pause, NULL);
    }
}

static cairn_status optimize_locked(cairn_collection *collection, struct request *request, cairn_error *err)
{
    struct crn_build_control control = {
        .threads = collection->db->options.threads, .cancelled = request_cancelled, .ctx = request};
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        if (now->live[i]->distrust_segments) CRN_TRY(crn_space_rebuild(now->live[i], NULL, NULL, err));
    }
    request->phase = "expire";
    CRN_TRY(delete_expired(collection, err));
    request->phase = "write tail";
    if (request_cancelled(request))
        return crn_error_set(err, CAIRN_CANCELLED, "stopped before writing the tail");
    CRN_TRY(flush_tails(collection, 1, false, err));
    request->phase = "build index";
    if (request_cancelled(request)) return crn_error_set(err, CAIRN_CANCELLED, "stopped before merging");
    CRN_TRY(merge_and_index(collection, CRN_COMPACT_ALL, &control, NULL, err));
    return sweep(collection->db, err);
}

static cairn_status optimize(cairn_collection *collection, struct request *request, cairn_error *err)
{
    CRN_TRY(lock_builder(collection->db, request, err));
    const cairn_status status = optimize_locked(collection, request, err);
    crn_store_unlock(collection->db->store, CRN_LOCK_BUILDER);
    return status;
}

static cairn_status optimize_or_repair(cairn_collection *collection, struct request *request,
                                       cairn_error *err)
{
    const cairn_status status = optimize(collection, request, err);

    if (status != CAIRN_CORRUPT && status != CAIRN_NO_FILE) return status;
    CRN_TRY(repair(collection, err));
    return optimize(collection, request, err);
}

static cairn_status check_request(const cairn_db *db, cairn_error *err)
{
    if (!crn_store_read_only(db->store)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only", crn_store_path(db->store));
}

cairn_status cairn_optimize(cairn_collection *collection, cairn_progress_fn progress, void *ctx,
                            cairn_error *err)
{
    struct request request = {.progress = progress, .ctx = ctx, .phase = "start"};

    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    CRN_TRY(check_request(collection->db, err));
    CRN_TRY(crn_collection_flush_uses(collection, err));
    struct crn_maintenance *maintenance = collection->db->maintenance;
    if (maintenance != NULL) atomic_fetch_add(&maintenance->segments.pauses, 1);
    cairn_status status = optimize_or_repair(collection, &request, err);
    if (maintenance != NULL) atomic_fetch_sub(&maintenance->segments.pauses, 1);
    if (status == CAIRN_OK) status = crn_store_checkpoint(collection->db->store, err);
    return status;
}

cairn_status crn_space_rebuild(struct crn_live_space *space, cairn_progress_fn progress, void *ctx,
                               cairn_error *err)
{
    CRN_TRY(check_request(space->collection->db, err));
    return crn_compact_from_rows(space, progress, ctx, err);
}

static cairn_status rebuild_collection(cairn_db *db, const char *name, cairn_progress_fn progress, void *ctx,
                                       cairn_error *err)
{
    cairn_collection *collection;
    cairn_status status = cairn_collection_open(db, name, NULL, &collection, err);

    /* Dropped since it was listed: nothing to rebuild. */
    if (status == CAIRN_NO_COLLECTION) return CAIRN_OK;
    if (status != CAIRN_OK) return status;
    const struct crn_space_list *now = crn_collection_now(collection);
    for (uint32_t i = 0; status == CAIRN_OK && i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        if (space->info->kind == CAIRN_SPACE_DENSE) status = crn_space_rebuild(space, progress, ctx, err);
    }
    if (status == CAIRN_OK) status = cairn_optimize(collection, progress, ctx, err);
    cairn_collection_close(collection);
    if (status == CAIRN_NO_COLLECTION) return CAIRN_OK; /* or dropped meanwhile */
    return status;
}

cairn_status cairn_rebuild(cairn_db *db, cairn_progress_fn progress, void *ctx, cairn_error *err)
{
    char **names;
    size_t count;

    if (db == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "db is NULL");
    CRN_TRY(check_request(db, err));
    CRN_TRY(cairn_collection_list(db, &names, &count, err));
    cairn_status status = CAIRN_OK;
    for (size_t i = 0; status == CAIRN_OK && i < count; i++)
        status = rebuild_collection(db, names[i], progress, ctx, err);
    cairn_free(names);
    return status;
}
