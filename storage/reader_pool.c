/*
 * Readers: connections that look at a snapshot, kept for the next one when they are done.
 */
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <sys/stat.h>

#define IDLE_MAX 64u
#define READER_CACHE_KIB 2048u

static void free_reader(struct crn_reader *reader)
{
    crn_kept_release(&reader->kept);
    crn_conn_close(&reader->conn);
    crn_mem_free(reader);
}

void crn_pool_drain(struct crn_reader_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    struct crn_reader *idle = pool->idle;
    pool->idle = NULL;
    pool->idle_count = 0;
    pthread_mutex_unlock(&pool->mutex);
    while (idle != NULL) {
        struct crn_reader *reader = idle;
        idle = reader->next;
        free_reader(reader);
    }
}

static struct crn_reader *take_idle(struct crn_reader_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    struct crn_reader *reader = pool->idle;
    if (reader != NULL) {
        pool->idle = reader->next;
        pool->idle_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return reader;
}

static bool give_idle(struct crn_reader_pool *pool, struct crn_reader *reader)
{
    pthread_mutex_lock(&pool->mutex);
    const bool room = pool->idle_count < IDLE_MAX;
    if (room) {
        reader->next = pool->idle;
        pool->idle = reader;
        pool->idle_count++;
    }
    pthread_mutex_unlock(&pool->mutex);
    return room;
}

static bool has_wal(const struct crn_store *store)
{
    struct stat info;

    return stat(store->wal_path, &info) == 0 && info.st_size > 0;
}

static cairn_status open_conn(struct crn_store *store, struct crn_reader *reader, cairn_error *err)
{
    const struct crn_conn_options options = {
        .path = store->path,
        .vfs = store->vfs,
        .read_only = store->read_only,
        .immutable = atomic_load(&store->immutable),
        .query = true,
        .busy_timeout_ms = store->busy_timeout_ms,
        .cache_kib = READER_CACHE_KIB,
    };

    return crn_conn_open(&reader->conn, &options, err);
}

static bool is_refused(const struct crn_conn *conn)
{
    const int code = conn->db != NULL ? sqlite3_errcode(conn->db) & 0xff : SQLITE_OK;

    return code == SQLITE_CANTOPEN || code == SQLITE_READONLY;
}

/*
 * Where neither WAL nor its index are there and none can be made (a folder that may not be written), SQLite
 * cannot open a WAL database. Then nobody is writing it either, and it is read as it is, for as long as no
 * WAL appears.
 */
static cairn_status open_reader(struct crn_store *store, struct crn_reader **out_reader, cairn_error *err)
{
    struct crn_reader *reader = crn_mem_calloc(1, sizeof *reader);

    *out_reader = NULL;
    if (reader == NULL) return crn_error_no_memory(err, sizeof *reader);
    reader->store = store;
    cairn_status status = open_conn(store, reader, err);
    if (status != CAIRN_OK && is_refused(&reader->conn) && store->read_only && !has_wal(store)) {
        crn_conn_close(&reader->conn);
        atomic_store(&store->immutable, true);
        status = open_conn(store, reader, err);
    }
    if (status != CAIRN_OK) {
        free_reader(reader);
        return status;
    }
    *out_reader = reader;
    return CAIRN_OK;
}

cairn_status crn_store_read_begin(struct crn_store *store, struct crn_reader **out_reader, cairn_error *err)
{
    struct crn_reader *reader;
    sqlite3_stmt *stmt;

    *out_reader = NULL;
    if (atomic_load(&store->immutable) && has_wal(store)) {
        atomic_store(&store->immutable, false); /* somebody writes by now */
        crn_pool_drain(&store->pool);
    }
    reader = take_idle(&store->pool);
    if (reader == NULL) CRN_TRY(open_reader(store, &reader, err));
    cairn_status status = crn_conn_statement(&reader->conn, "BEGIN", &stmt, err);
    if (status == CAIRN_OK) status = crn_conn_run(&reader->conn, stmt, err);
    if (status != CAIRN_OK) {
        free_reader(reader);
        return status;
    }
    *out_reader = reader;
    return CAIRN_OK;
}

/* A connection that cannot end its transaction, or was read as immutable while a writer came, is not used
 * again. */
void crn_store_read_end(struct crn_reader *reader)
{
    struct crn_store *store;
    sqlite3_stmt *stmt;

    if (reader == NULL) return;
    store = reader->store;
    crn_kept_clear(&reader->kept);
    const bool ended = crn_conn_statement(&reader->conn, "COMMIT", &stmt, NULL) == CAIRN_OK &&
                       crn_conn_run(&reader->conn, stmt, NULL) == CAIRN_OK;
    const bool current = reader->conn.immutable == atomic_load(&store->immutable);
    if (!ended || !current || !give_idle(&store->pool, reader)) free_reader(reader);
}

cairn_status crn_reader_keep(struct crn_reader *reader, void *object, void (*release)(void *object),
                             cairn_error *err)
{
    return crn_kept_add(&reader->kept, object, release, err);
}

struct locals {
    crn_local_fn fn;
    void *ctx;
};

static cairn_status give_local(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct locals *locals = ctx;

    (void)err;
    return locals->fn(locals->ctx, (uint32_t)sqlite3_column_int64(stmt, 0));
}

cairn_status crn_reader_locals(struct crn_reader *reader, sqlite3_stmt *stmt, crn_local_fn fn, void *ctx,
                               cairn_error *err)
{
    struct locals locals = {fn, ctx};

    return crn_conn_each(&reader->conn, stmt, give_local, &locals, err);
}
