/*
 * Maintenance: what keeps searches fast and opening short. One thread a database writes tails out, merges segments, builds indexes
 * and folds use counts in; cairn_optimize and cairn_rebuild do the same on request. Everything here may be stopped at any
 * instant: files appear whole or not at all, and lists switch in one transaction.
 */
#include "engine/collection.h"
#include "engine/compact.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#define NICENESS 10 /* of the thread, above the process's: searches and writers come first */
#define GRAPH_ROWS_MORE 16u /* a writer puts into the graphs of tails, beyond twice its own */
#define GRAPH_ROWS_AT_ONCE 64u /* put in by maintenance between two looks at other things */

struct crn_maintenance {
    cairn_db *db;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards wanted */
    pthread_cond_t wake;
    bool wanted;
    _Atomic bool stop;
};

static uint64_t tail_limit(const cairn_collection *collection)
{
    return collection->db->options.tail_rows_max;
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
        } else if (status == CAIRN_OK && record.expires_at_ms != 0 && record.expires_at_ms <= expiry->now_ms) {
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
        cairn_status status = crn_read_expired(reader, collection->id, expiry.now_ms, note_expired, &expiry, &next_ms, err);
        crn_store_read_end(reader);
        if (status != CAIRN_OK && status != CAIRN_LIMIT) return status;
        if (expiry.count != 0) CRN_TRY(crn_store_write(collection->db->store, &job, err));
    } while (expiry.count == sizeof expiry.locals / sizeof *expiry.locals);
    return CAIRN_OK;
}

/* ---- one collection ---- */

static cairn_status flush_tails(cairn_collection *collection, uint32_t least, bool with_index, cairn_error *err)
{
    uint32_t longest = 0;

    for (uint32_t i = 0; i < collection->space_count; i++) {
        struct crn_live_space *space = &collection->spaces[i];
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

static cairn_status merge_and_index(cairn_collection *collection, bool all, const struct crn_build_control *control, cairn_error *err)
{
    for (uint32_t i = 0; i < collection->space_count; i++) {
        struct crn_live_space *space = &collection->spaces[i];
        if (space->info->kind != CAIRN_SPACE_DENSE) continue;
        CRN_TRY(crn_compact_merge(space, all, control, err));
        CRN_TRY(crn_compact_index(space, control, err));
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

/* ---- the thread ---- */

static bool asked_to_stop(void *ctx)
{
    const struct crn_maintenance *maintenance = ctx;
    return atomic_load_explicit(&maintenance->stop, memory_order_relaxed);
}

static bool has_long_tail(cairn_collection *collection)
{
    if (atomic_load_explicit(&collection->unflushed, memory_order_relaxed) >= tail_limit(collection)) return true;
    for (uint32_t i = 0; i < collection->space_count; i++) {
        struct crn_view *view = crn_live_space_peek(&collection->spaces[i]);
        const bool is_long = view != NULL && crn_view_tail_rows(view) >= tail_limit(collection);
        crn_view_release(view);
        if (is_long) return true;
    }
    return false;
}

static cairn_status build_in_background(struct crn_maintenance *maintenance, cairn_collection *collection, cairn_error *err)
{
    /* Searches and writers go on meanwhile, and shall not wait for a processor. */
    const unsigned threads = collection->db->options.threads;
    const struct crn_build_control control = {.threads = (threads + 1) / 2, .cancelled = asked_to_stop, .ctx = maintenance};
    struct crn_store *store = collection->db->store;
    bool got = false;

    CRN_TRY(crn_store_lock(store, CRN_LOCK_BUILDER, false, &got, err));
    if (!got) return CAIRN_OK; /* another process is at it */
    cairn_status status = merge_and_index(collection, false, &control, err);
    if (status == CAIRN_OK) status = sweep(collection->db, err);
    crn_store_unlock(store, CRN_LOCK_BUILDER);
    return status;
}

static cairn_status repair(cairn_collection *collection, cairn_error *err)
{
    for (uint32_t i = 0; i < collection->space_count; i++) {
        if (collection->spaces[i].info->kind == CAIRN_SPACE_DENSE) CRN_TRY(crn_space_rebuild(&collection->spaces[i], NULL, NULL, err));
    }
    return CAIRN_OK;
}

static cairn_status tend(struct crn_maintenance *maintenance, cairn_collection *collection, cairn_error *err)
{
    for (uint32_t i = 0; i < collection->space_count; i++) {
        struct crn_live_space *space = &collection->spaces[i];
        if (space->info->kind == CAIRN_SPACE_DENSE) CRN_TRY(crn_live_space_tend(space, err));
        /* Rows that were read when the collection was opened, or that another process wrote. */
        while (!asked_to_stop(maintenance) && crn_live_space_grow_graphs(space, GRAPH_ROWS_AT_ONCE) != 0) continue;
    }
    return CAIRN_OK;
}

static void look_after(struct crn_maintenance *maintenance, cairn_collection *collection)
{
    cairn_error err;
    cairn_status status = crn_collection_flush_uses(collection, &err);

    if (status == CAIRN_OK) status = tend(maintenance, collection, &err);
    if (status == CAIRN_OK && has_long_tail(collection)) {
        status = flush_tails(collection, (uint32_t)tail_limit(collection) / 2, true, &err);
        if (status == CAIRN_OK && !asked_to_stop(maintenance)) status = build_in_background(maintenance, collection, &err);
    }
    if (status == CAIRN_CORRUPT || status == CAIRN_NO_FILE) status = repair(collection, &err);
    if (status != CAIRN_OK && status != CAIRN_NO_COLLECTION && status != CAIRN_CANCELLED) {
        crn_log(&collection->db->log, CAIRN_LOG_WARN, "maintenance of '%s' will be tried again: %s", cairn_collection_name(collection),
                err.message);
    }
}

/* The n-th open collection, held. NULL past the end. Collections may come and go in between: then one is seen twice or later. */
static cairn_collection *hold_collection(cairn_db *db, size_t n)
{
    pthread_mutex_lock(&db->mutex);
    cairn_collection *collection = db->collections;
    while (collection != NULL && n-- != 0) collection = collection->next;
    if (collection != NULL) crn_collection_retain_locked(collection);
    pthread_mutex_unlock(&db->mutex);
    return collection;
}

/* True: woken or a second has passed. */
static void wait_for_work(struct crn_maintenance *maintenance)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&maintenance->mutex);
    while (!maintenance->wanted && !asked_to_stop(maintenance)) {
        if (pthread_cond_timedwait(&maintenance->wake, &maintenance->mutex, &until) == ETIMEDOUT) break;
    }
    maintenance->wanted = false;
    pthread_mutex_unlock(&maintenance->mutex);
}

/* On Linux a thread has a priority of its own, and those it starts to build an index inherit it. Elsewhere it would be the host's
 * whole process. A tail cannot grow because of it: a writer that gets far ahead writes the tail out itself. */
static void step_back(void)
{
#ifdef __linux__
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICENESS); /* at most 19 are given */
#endif
}

static void *run_maintenance(void *arg)
{
    struct crn_maintenance *maintenance = arg;
    cairn_collection *collection;

    step_back();
    while (!asked_to_stop(maintenance)) {
        wait_for_work(maintenance);
        for (size_t i = 0; !asked_to_stop(maintenance) && (collection = hold_collection(maintenance->db, i)) != NULL; i++) {
            look_after(maintenance, collection);
            cairn_collection_close(collection);
        }
    }
    return NULL;
}

cairn_status crn_maintenance_start(cairn_db *db, cairn_error *err)
{
    struct crn_maintenance *maintenance = crn_mem_calloc(1, sizeof *maintenance);
    pthread_condattr_t attributes;

    if (maintenance == NULL) return crn_error_no_memory(err, sizeof *maintenance);
    maintenance->db = db;
    pthread_mutex_init(&maintenance->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&maintenance->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&maintenance->thread, NULL, run_maintenance, maintenance) != 0) {
        pthread_cond_destroy(&maintenance->wake);
        pthread_mutex_destroy(&maintenance->mutex);
        crn_mem_free(maintenance);
        return crn_error_set(err, CAIRN_NO_MEMORY, "no thread for maintenance could be started");
    }
    db->maintenance = maintenance;
    return CAIRN_OK;
}

void crn_maintenance_stop(cairn_db *db)
{
    struct crn_maintenance *maintenance = db->maintenance;

    if (maintenance == NULL) return;
    pthread_mutex_lock(&maintenance->mutex);
    atomic_store_explicit(&maintenance->stop, true, memory_order_relaxed);
    pthread_cond_signal(&maintenance->wake);
    pthread_mutex_unlock(&maintenance->mutex);
    pthread_join(maintenance->thread, NULL);
    pthread_cond_destroy(&maintenance->wake);
    pthread_mutex_destroy(&maintenance->mutex);
    crn_mem_free(maintenance);
    db->maintenance = NULL;
}

/* Without a thread the writer keeps the number of segments bounded too; indexes are left to cairn_optimize. */
static cairn_status merge_alone(cairn_collection *collection, cairn_error *err)
{
    struct crn_store *store = collection->db->store;
    cairn_status status = CAIRN_OK;
    bool got = false;

    CRN_TRY(crn_store_lock(store, CRN_LOCK_BUILDER, false, &got, err));
    if (!got) return CAIRN_OK; /* another process is at it */
    for (uint32_t i = 0; status == CAIRN_OK && i < collection->space_count; i++) {
        struct crn_live_space *space = &collection->spaces[i];
        if (space->info->kind == CAIRN_SPACE_DENSE) status = crn_compact_merge(space, false, NULL, err);
    }
    if (status == CAIRN_OK) status = sweep(collection->db, err);
    crn_store_unlock(store, CRN_LOCK_BUILDER);
    return status;
}

/* Who writes keeps the graphs of tails up to what is written, and so writes no faster than they can grow. A little more than one's
 * own rows, so that what was left is caught up with soon, and nobody at once pays for many. */
static void grow_graphs(cairn_collection *collection, uint64_t changes)
{
    const uint32_t most = changes < UINT32_MAX / 4 ? (uint32_t)changes * 2 + GRAPH_ROWS_MORE : UINT32_MAX;

    for (uint32_t i = 0; i < collection->space_count; i++) (void)crn_live_space_grow_graphs(&collection->spaces[i], most);
}

void crn_maintenance_notice(cairn_collection *collection, uint64_t changes)
{
    struct crn_maintenance *maintenance = collection->db->maintenance;
    const uint64_t limit = tail_limit(collection);
    const uint64_t unflushed = atomic_fetch_add_explicit(&collection->unflushed, changes, memory_order_relaxed) + changes;
    cairn_error err;

    grow_graphs(collection, changes);
    if (unflushed < limit) return;
    if (maintenance != NULL) {
        pthread_mutex_lock(&maintenance->mutex);
        maintenance->wanted = true;
        pthread_cond_signal(&maintenance->wake);
        pthread_mutex_unlock(&maintenance->mutex);
        /* The thread may be busy for minutes with an index. Then the writer itself keeps the tail bounded. */
        if (unflushed < 3 * limit) return;
    }
    /* It waits for the thread, should that be at it, and goes on when what is left is no long tail any more. */
    cairn_status status = flush_tails(collection, (uint32_t)(maintenance != NULL ? limit * 2 : limit / 2), true, &err);
    if (status == CAIRN_OK && maintenance == NULL) status = merge_alone(collection, &err);
    if (status != CAIRN_OK) crn_log(&collection->db->log, CAIRN_LOG_WARN, "the tail was not written out: %s", err.message);
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

    if (request->progress != NULL && !request->progress(request->ctx, request->phase, 0, 0)) request->cancelled = true;
    return request->cancelled;
}

static cairn_status optimize_locked(cairn_collection *collection, struct request *request, cairn_error *err)
{
    struct crn_build_control control = {.threads = collection->db->options.threads, .cancelled = request_cancelled, .ctx = request};

    for (uint32_t i = 0; i < collection->space_count; i++) {
        if (collection->spaces[i].distrust_segments) CRN_TRY(crn_space_rebuild(&collection->spaces[i], NULL, NULL, err));
    }
    request->phase = "expire";
    CRN_TRY(delete_expired(collection, err));
    request->phase = "write tail";
    if (request_cancelled(request)) return crn_error_set(err, CAIRN_CANCELLED, "stopped before writing the tail");
    CRN_TRY(flush_tails(collection, 1, false, err));
    request->phase = "build index";
    if (request_cancelled(request)) return crn_error_set(err, CAIRN_CANCELLED, "stopped before merging");
    CRN_TRY(merge_and_index(collection, true, &control, err));
    return sweep(collection->db, err);
}

static cairn_status check_request(const cairn_db *db, cairn_error *err)
{
    if (!crn_store_read_only(db->store)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only", crn_store_path(db->store));
}

cairn_status cairn_optimize(cairn_collection *collection, cairn_progress_fn progress, void *ctx, cairn_error *err)
{
    struct request request = {.progress = progress, .ctx = ctx, .phase = "start"};

    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    CRN_TRY(check_request(collection->db, err));
    CRN_TRY(crn_collection_flush_uses(collection, err));
    CRN_TRY(crn_store_lock(collection->db->store, CRN_LOCK_BUILDER, true, NULL, err));
    cairn_status status = optimize_locked(collection, &request, err);
    crn_store_unlock(collection->db->store, CRN_LOCK_BUILDER);
    if (status == CAIRN_CORRUPT || status == CAIRN_NO_FILE) {
        CRN_TRY(repair(collection, err));
        CRN_TRY(crn_store_lock(collection->db->store, CRN_LOCK_BUILDER, true, NULL, err));
        status = optimize_locked(collection, &request, err);
        crn_store_unlock(collection->db->store, CRN_LOCK_BUILDER);
    }
    if (status == CAIRN_OK) status = crn_store_checkpoint(collection->db->store, err);
    return status;
}

cairn_status crn_space_rebuild(struct crn_live_space *space, cairn_progress_fn progress, void *ctx, cairn_error *err)
{
    CRN_TRY(check_request(space->collection->db, err));
    return crn_compact_from_rows(space, progress, ctx, err);
}

static cairn_status rebuild_collection(cairn_db *db, const char *name, cairn_progress_fn progress, void *ctx, cairn_error *err)
{
    cairn_collection *collection;
    cairn_status status = cairn_collection_open(db, name, NULL, &collection, err);

    /* Dropped since it was listed: nothing to rebuild. */
    if (status == CAIRN_NO_COLLECTION) return CAIRN_OK;
    if (status != CAIRN_OK) return status;
    for (uint32_t i = 0; status == CAIRN_OK && i < collection->space_count; i++) {
        struct crn_live_space *space = &collection->spaces[i];
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
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) status = rebuild_collection(db, names[i], progress, ctx, err);
    cairn_free(names);
    return status;
}
