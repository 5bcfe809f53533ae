/*
 * Opening and closing a store: which file, is it ours, is it new, who else is there.
 */
#include "storage/path.h"
#include "storage/schema.h"
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_TIMEOUT_DEFAULT_MS 30000u
#define WRITER_CACHE_KIB 65536u

static struct crn_conn_options conn_options(const struct crn_store *store)
{
    return (struct crn_conn_options){
        .path = store->path,
        .vfs = store->vfs,
        .read_only = store->read_only,
        .lazy = store->lazy,
        .busy_timeout_ms = store->busy_timeout_ms,
        .cache_kib = WRITER_CACHE_KIB,
    };
}

/* ---- the file ---- */

enum file_state { FILE_MISSING, FILE_EMPTY, FILE_THERE };

static cairn_status look_at_file(const struct crn_store *store, enum file_state *out_state, cairn_error *err)
{
    struct stat info;

    *out_state = FILE_MISSING;
    if (stat(store->path, &info) != 0) {
        return errno == ENOENT ? CAIRN_OK : crn_error_errno(err, errno, "looking at", store->path);
    }
    if (!S_ISREG(info.st_mode))
        return crn_error_set(err, CAIRN_NOT_CAIRN, "%s is not a regular file", store->path);
    *out_state = info.st_size > 0 ? FILE_THERE : FILE_EMPTY;
    if (info.st_nlink > 1) {
        crn_log(&store->log, CAIRN_LOG_WARN,
                "%s has several hard links: opening it by another of its names would damage it", store->path);
    }
    return CAIRN_OK;
}

static cairn_status probe(const struct crn_store *store, cairn_error *err)
{
    const struct crn_conn_options options = conn_options(store);

    return crn_schema_probe(&options, err);
}

/* Makes the database aside and renames it to its place. Under the write lock, so the aside name is ours
 * alone. */
static cairn_status create_locked(struct crn_store *store, cairn_error *err)
{
    enum file_state state;
    char aside[4096];

    CRN_TRY(look_at_file(store, &state, err));
    if (state == FILE_THERE) return CAIRN_OK; /* another process was first */
    snprintf(aside, sizeof aside, "%s/new", store->folder);
    CRN_TRY(crn_schema_create(aside, store->vfs, err));
    cairn_status status = crn_path_appear(aside, store->path, state == FILE_EMPTY, err);
    if (status != CAIRN_OK) crn_path_remove_database(aside);
    return status;
}

static cairn_status create(struct crn_store *store, cairn_error *err)
{
    CRN_TRY(crn_write_lock_acquire(&store->lock, store->busy_timeout_ms, err));
    cairn_status status = create_locked(store, err);
    crn_write_lock_drop(&store->lock);
    return status;
}

/* What may be found at the path, before anything is made or opened there. */
static cairn_status admit_file(const struct crn_store *store, const struct crn_store_options *options,
                               enum file_state *out_state, cairn_error *err)
{
    CRN_TRY(look_at_file(store, out_state, err));
    if (*out_state == FILE_THERE) return probe(store, err);
    if (*out_state == FILE_MISSING && (options->must_exist || options->read_only)) {
        return crn_error_set(err, CAIRN_NO_FILE, "%s does not exist", store->path);
    }
    if (*out_state == FILE_EMPTY && options->read_only) {
        return crn_error_set(err, CAIRN_NOT_CAIRN, "%s is empty", store->path);
    }
    return CAIRN_OK;
}

/* ---- the writing connection ---- */

static int count_frames(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct crn_store *store = ctx;

    (void)db;
    (void)name;
    atomic_store(&store->checkpoint.wal_frames, (uint32_t)frames);
    return SQLITE_OK;
}

cairn_status crn_writer_open(struct crn_store *store, cairn_error *err)
{
    const struct crn_conn_options options = conn_options(store);

    CRN_TRY(crn_conn_open(&store->writer, &options, err));
    if (sqlite3_db_readonly(store->writer.db, "main") == 1) {
        return crn_error_set(err, CAIRN_READ_ONLY, "%s cannot be written", store->path);
    }
    sqlite3_wal_hook(store->writer.db, count_frames, store);
    return CAIRN_OK;
}

static cairn_status journal_is_wal(struct crn_conn *conn, const char *sql, bool *out_wal, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(conn, sql, &stmt, err));
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    const char *mode = row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    *out_wal = mode != NULL && strcmp(mode, "wal") == 0;
    sqlite3_reset(stmt);
    return CAIRN_OK;
}

/* Under the write lock: the newest schema, and the WAL again if a foreign program has switched it off. */
static cairn_status renew_locked(struct crn_store *store, cairn_error *err)
{
    bool wal;

    CRN_TRY(journal_is_wal(&store->writer, "PRAGMA journal_mode=WAL", &wal, err));
    if (!wal) return crn_error_set(err, CAIRN_IO, "SQLite cannot keep a WAL for this file");
    return crn_schema_migrate(&store->writer, err);
}

static cairn_status renew(struct crn_store *store, cairn_error *err)
{
    int version;
    bool wal;

    CRN_TRY(crn_writer_open(store, err));
    CRN_TRY(crn_schema_version(&store->writer, &version, err));
    CRN_TRY(journal_is_wal(&store->writer, "PRAGMA journal_mode", &wal, err));
    if (version == CRN_SCHEMA_VERSION && wal) return CAIRN_OK;
    CRN_TRY(crn_write_lock_acquire(&store->lock, store->busy_timeout_ms, err));
    cairn_status status = renew_locked(store, err);
    crn_write_lock_drop(&store->lock);
    return status;
}

static cairn_status announce_locked(struct crn_store *store, cairn_error *err)
{
    uint64_t sequence;

    CRN_TRY(crn_log_last(&store->writer, &sequence, err));
    return crn_shared_create(&store->shared, sequence, err);
}

/* Tells all where the log stands, in case the last one to write died before he could. Whoever holds the write
 * lock will tell it himself, so there is no waiting for him, unless there is no shared page yet. */
static cairn_status announce(struct crn_store *store, cairn_error *err)
{
    uint64_t sequence;

    CRN_TRY(crn_log_last(&store->writer, &sequence, err));
    CRN_TRY(crn_shared_init(&store->shared, store->folder, store->uuid, true, err));
    atomic_store(&store->shared.floor, sequence);
    const bool attached = crn_shared_attach(&store->shared);
    cairn_status status = crn_write_lock_acquire(&store->lock, attached ? 0 : store->busy_timeout_ms, err);
    if (status == CAIRN_BUSY && attached) return CAIRN_OK;
    if (status != CAIRN_OK) return status;
    status = announce_locked(store, err);
    crn_write_lock_drop(&store->lock);
    return status;
}

static cairn_status open_writing(struct crn_store *store, enum file_state state, cairn_error *err)
{
    CRN_TRY(crn_write_lock_init(&store->lock, store->folder, "lock", err));
    CRN_TRY(crn_write_lock_init(&store->maintenance[CRN_LOCK_BUILDER], store->folder, "builder", err));
    CRN_TRY(crn_write_lock_init(&store->maintenance[CRN_LOCK_SEGMENTS], store->folder, "segments", err));
    if (state != FILE_THERE) {
        CRN_TRY(create(store, err));
        CRN_TRY(probe(store, err));
    }
    CRN_TRY(renew(store, err));
    CRN_TRY(crn_schema_uuid(&store->writer, store->uuid, err));
    return announce(store, err);
}

/* ---- reading alone ---- */

static cairn_status read_identity(struct crn_store *store, struct crn_reader *reader, cairn_error *err)
{
    uint64_t sequence;
    int version;

    CRN_TRY(crn_schema_version(&reader->conn, &version, err));
    if (version < CRN_SCHEMA_VERSION) {
        return crn_error_set(err, CAIRN_READ_ONLY,
                             "%s has schema version %d: open it for writing once, to bring it to %d",
                             store->path, version, CRN_SCHEMA_VERSION);
    }
    CRN_TRY(crn_schema_uuid(&reader->conn, store->uuid, err));
    CRN_TRY(crn_log_last(&reader->conn, &sequence, err));
    CRN_TRY(crn_shared_init(&store->shared, store->folder, store->uuid, false, err));
    crn_shared_attach(&store->shared);
    atomic_store(&store->shared.floor, sequence);
    return CAIRN_OK;
}

static cairn_status open_reading(struct crn_store *store, cairn_error *err)
{
    struct crn_reader *reader;

    CRN_TRY(crn_store_read_begin(store, &reader, err));
    cairn_status status = read_identity(store, reader, err);
    crn_store_read_end(reader);
    return status;
}

/* ---- the whole ---- */

static char *with_suffix(const char *path, const char *suffix)
{
    const size_t size = strlen(path) + strlen(suffix) + 1;
    char *text = crn_mem_alloc(size);

    if (text != NULL) snprintf(text, size, "%s%s", path, suffix);
    return text;
}

static cairn_status new_store(const char *path, const struct crn_store_options *options,
                              struct crn_store **out_store, cairn_error *err)
{
    struct crn_store *store = crn_mem_calloc(1, sizeof *store);

    *out_store = store;
    if (store == NULL) return crn_error_no_memory(err, sizeof *store);
    store->lock.fd = -1;
    store->log = options->log;
    store->read_only = options->read_only;
    store->lazy = options->lazy;
    store->busy_timeout_ms =
        options->busy_timeout_ms != 0 ? options->busy_timeout_ms : BUSY_TIMEOUT_DEFAULT_MS;
    crn_queue_init(&store->queue);
    pthread_mutex_init(&store->pool.mutex, NULL);
    store->txn.store = store;
    store->txn.conn = &store->writer;
    CRN_TRY(crn_path_resolve(path, &store->path, err));
    store->folder = with_suffix(store->path, ".d");
    store->wal_path = with_suffix(store->path, "-wal");
    store->vfs = crn_mem_strdup(options->vfs);
    if (store->folder == NULL || store->wal_path == NULL || (options->vfs != NULL && store->vfs == NULL)) {
        return crn_error_no_memory(err, strlen(store->path));
    }
    return CAIRN_OK;
}

cairn_status crn_store_open(const char *path, const struct crn_store_options *options,
                            struct crn_store **out_store, cairn_error *err)
{
    const struct crn_store_options defaults = {0};
    enum file_state state;

    if (options == NULL) options = &defaults;
    cairn_status status = new_store(path, options, out_store, err);
    struct crn_store *store = *out_store;
    if (status == CAIRN_OK) status = crn_path_check_filesystem(store->path, &store->log, err);
    if (status == CAIRN_OK) status = admit_file(store, options, &state, err);
    if (status == CAIRN_OK)
        status = options->read_only ? open_reading(store, err) : open_writing(store, state, err);
    if (status != CAIRN_OK) {
        if (err != NULL && store != NULL && store->path != NULL &&
            strstr(err->message, store->path) == NULL) {
            crn_error_context(err, status, "opening %s", store->path);
        }
        crn_store_close(store);
        *out_store = NULL;
    }
    return status;
}

cairn_status crn_store_open_private(const char *path, const char *vfs, struct crn_store **out_store,
                                    cairn_error *err)
{
    const struct crn_store_options options = {.must_exist = true, .read_only = true, .vfs = vfs};
    enum file_state state;
    cairn_status status = new_store(path, &options, out_store, err);
    struct crn_store *store = *out_store;

    if (status == CAIRN_OK) status = admit_file(store, &options, &state, err);
    if (status == CAIRN_OK) {
        atomic_store(&store->immutable, access(store->wal_path, F_OK) != 0);
        status = open_reading(store, err);
    }
    if (status != CAIRN_OK) {
        crn_store_close(store);
        *out_store = NULL;
    }
    return status;
}

/* What this process wrote is merged into the file, if nobody is in the way: then the file alone is the
 * database. */
static void merge_wal(struct crn_store *store)
{
    if (store->writer.db == NULL || atomic_load(&store->commits) == 0) return;
    if (crn_write_lock_acquire(&store->lock, 0, NULL) != CAIRN_OK) return;
    if (crn_writer_ready(store, NULL) == CAIRN_OK)
        crn_checkpoint_run(store, SQLITE_CHECKPOINT_TRUNCATE, 0, NULL);
    crn_write_lock_drop(&store->lock);
}

void crn_store_close(struct crn_store *store)
{
    if (store == NULL) return;
    crn_pool_drain(&store->pool);
    merge_wal(store);
    crn_txn_release(&store->txn);
    crn_conn_close(&store->writer);
    crn_shared_release(&store->shared);
    crn_write_lock_release(&store->lock);
    for (size_t i = 0; i < sizeof store->maintenance / sizeof *store->maintenance; i++) {
        crn_write_lock_release(&store->maintenance[i]);
    }
    crn_queue_release(&store->queue);
    pthread_mutex_destroy(&store->pool.mutex);
    crn_mem_free(store->path);
    crn_mem_free(store->folder);
    crn_mem_free(store->wal_path);
    crn_mem_free(store->vfs);
    crn_mem_free(store);
}

const char *crn_store_path(const struct crn_store *store)
{
    return store->path;
}

const char *crn_store_folder(const struct crn_store *store)
{
    return store->folder;
}

bool crn_store_read_only(const struct crn_store *store)
{
    return store->read_only;
}

void crn_store_uuid(const struct crn_store *store, unsigned char out_uuid[16])
{
    memcpy(out_uuid, store->uuid, 16);
}

void crn_store_announce(struct crn_store *store, uint64_t sequence)
{
    crn_shared_announce(&store->shared, sequence);
}

uint64_t crn_store_sequence(struct crn_store *store)
{
    struct crn_reader *reader;
    uint64_t sequence = 0;

    if (crn_shared_sequence(&store->shared, &sequence)) return sequence;
    if (crn_store_read_begin(store, &reader, NULL) != CAIRN_OK) return atomic_load(&store->shared.floor);
    if (crn_read_sequence(reader, &sequence, NULL) != CAIRN_OK) sequence = atomic_load(&store->shared.floor);
    crn_store_read_end(reader);
    return sequence;
}

/* ---- the locks of maintenance ---- */

cairn_status crn_store_lock(struct crn_store *store, enum crn_lock lock, bool wait, bool *out_got,
                            cairn_error *err)
{
    const cairn_status status =
        crn_write_lock_acquire(&store->maintenance[lock], wait ? store->busy_timeout_ms : 0, err);

    if (out_got != NULL) *out_got = status == CAIRN_OK;
    return status == CAIRN_BUSY && !wait ? CAIRN_OK : status;
}

void crn_store_unlock(struct crn_store *store, enum crn_lock lock)
{
    crn_write_lock_drop(&store->maintenance[lock]);
}
