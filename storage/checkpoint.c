/*
 * Checkpoints, and keeping the writing connection fit. All of it runs under the write lock: see
 * docs/STORAGE.md on why a checkpoint never overlaps a commit.
 */
#include "storage/store_internal.h"

#include "base/error.h"

#define FRAME_BYTES (8192u + 24u)            /* a page and its header in the WAL */
#define DUE_FRAMES (16777216u / FRAME_BYTES) /* copy when so many came since the last time */
#define LONG_FRAMES \
    (268435456u / FRAME_BYTES) /* readers keep the WAL from starting anew: wait for them a moment */
#define LONG_WAIT_MS 100u

/* A WAL that readers keep busy is copied as far as they allow, which is no failure. */
cairn_status crn_checkpoint_run(struct crn_store *store, int mode, uint32_t timeout_ms, cairn_error *err)
{
    sqlite3 *db = store->writer.db;
    int frames = 0, copied = 0;

    sqlite3_busy_timeout(db, (int)timeout_ms);
    const int code = sqlite3_wal_checkpoint_v2(db, "main", mode, &frames, &copied);
    cairn_status status = code == SQLITE_BUSY ? CAIRN_OK : crn_conn_error(&store->writer, code, err);
    sqlite3_busy_timeout(db, (int)store->busy_timeout_ms);
    if (status != CAIRN_OK) return status;
    store->checkpoint.done_frames = frames > 0 ? (uint32_t)frames : 0;
    atomic_fetch_add(&store->checkpoints, 1);
    return CAIRN_OK;
}

void crn_checkpoint_if_due(struct crn_store *store)
{
    const uint32_t frames = atomic_load(&store->checkpoint.wal_frames);
    cairn_error error;

    if (store->writer.db == NULL || store->writer_distrusted) return;
    if (frames < store->checkpoint.done_frames)
        store->checkpoint.done_frames = 0; /* the WAL has started anew */
    if (frames - store->checkpoint.done_frames < DUE_FRAMES) return;
    const bool is_long = frames >= LONG_FRAMES;
    cairn_status status =
        crn_checkpoint_run(store, is_long ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
                           is_long ? LONG_WAIT_MS : 0, &error);
    if (status == CAIRN_OK) return;
    /* The writes were answered and stand in the WAL; the next group tries again, and a disk that fails shows
     * in it. */
    crn_log(&store->log, CAIRN_LOG_WARN, "copying the WAL into %s failed: %s", store->path, error.message);
    if (status == CAIRN_IO) store->writer_distrusted = true;
}

cairn_status crn_store_checkpoint(struct crn_store *store, cairn_error *err)
{
    if (store->read_only) return crn_error_set(err, CAIRN_READ_ONLY, "%s was opened read-only", store->path);
    CRN_TRY(crn_write_lock_acquire(&store->lock, store->busy_timeout_ms, err));
    cairn_status status = crn_writer_ready(store, err);
    if (status == CAIRN_OK) status = crn_checkpoint_run(store, SQLITE_CHECKPOINT_TRUNCATE, LONG_WAIT_MS, err);
    crn_write_lock_drop(&store->lock);
    return status;
}

/*
 * After a failed sync the kernel may drop the pages it could not write and call the rest clean, so that
 * syncing again succeeds without having written (Rebello et al., "Can Applications Recover from fsync
 * Failures?", USENIX ATC 2020). So the connection is opened anew, and what the WAL holds is copied into the
 * file and synced there before anything is written behind it.
 */
static cairn_status reopen(struct crn_store *store, cairn_error *err)
{
    crn_txn_forget(&store->txn);
    crn_conn_close(&store->writer);
    CRN_TRY(crn_writer_open(store, err));
    CRN_TRY(crn_checkpoint_run(store, SQLITE_CHECKPOINT_PASSIVE, 0, err));
    store->writer_distrusted = false;
    crn_log(&store->log, CAIRN_LOG_WARN, "%s was opened anew after a write had failed", store->path);
    return CAIRN_OK;
}

cairn_status crn_writer_ready(struct crn_store *store, cairn_error *err)
{
    int moved = 0;

    if (store->writer_distrusted || store->writer.db == NULL) {
        cairn_status status = reopen(store, err);
        if (status != CAIRN_OK) {
            store->writer_distrusted = true;
            return crn_error_context(err, status, "opening %s anew after a failed write", store->path);
        }
    }
    if (sqlite3_file_control(store->writer.db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
        moved) {
        return crn_error_set(
            err, CAIRN_IO, "%s was moved, deleted or replaced while open: what is written now would be lost",
            store->path);
    }
    return CAIRN_OK;
}
