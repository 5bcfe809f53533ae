/*
 * Copies of a whole database: made aside, synced, and renamed to where nothing may stand yet.
 *
 * SQLite's backup reads one snapshot, page by page, while writers go on: in WAL mode the reader's transaction
 * keeps what it sees, and the copy never begins anew.
 */
#include "storage/path.h"
#include "storage/schema.h"
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEP_PAGES 64 /* half a MiB between two tellings of progress */
#define BUSY_TIMEOUT_MS 30000u

struct copy {
    struct crn_reader *source;
    struct crn_conn target;
    char *path;  /* where it is to appear, resolved */
    char *aside; /* its name meanwhile */
    const char *vfs;
    cairn_progress_fn progress;
    void *ctx;
};

static void release_copy(struct copy *copy)
{
    crn_conn_close(&copy->target);
    if (copy->aside != NULL) crn_path_remove_database(copy->aside); /* there only if something failed */
    crn_mem_free(copy->aside);
    crn_mem_free(copy->path);
}

/* A name of its own, so that two copies to one path do not disturb each other; the later one fails at the
 * end. */
static cairn_status name_copy(struct copy *copy, const char *path, cairn_error *err)
{
    unsigned char random[16];
    char suffix[32];

    CRN_TRY(crn_path_resolve(path, &copy->path, err));
    if (access(copy->path, F_OK) == 0)
        return crn_error_set(err, CAIRN_EXISTS, "%s exists already", copy->path);
    crn_rng_entropy(random);
    snprintf(suffix, sizeof suffix, ".part-%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    copy->aside = crn_mem_alloc(strlen(copy->path) + sizeof suffix);
    if (copy->aside == NULL) return crn_error_no_memory(err, strlen(copy->path) + sizeof suffix);
    snprintf(copy->aside, strlen(copy->path) + sizeof suffix, "%s%s", copy->path, suffix);
    return CAIRN_OK;
}

static cairn_status tell(const struct copy *copy, sqlite3_backup *backup, cairn_error *err)
{
    const int total = sqlite3_backup_pagecount(backup), left = sqlite3_backup_remaining(backup);

    if (copy->progress == NULL ||
        copy->progress(copy->ctx, "copy", (uint64_t)(total - left), (uint64_t)total))
        return CAIRN_OK;
    return crn_error_set(err, CAIRN_CANCELLED, "the copy was cancelled");
}

static cairn_status copy_pages(struct copy *copy, cairn_error *err)
{
    uint64_t sequence;
    int code;

    CRN_TRY(crn_read_sequence(copy->source, &sequence, err)); /* the first read fixes the snapshot */
    sqlite3_backup *backup = sqlite3_backup_init(copy->target.db, "main", copy->source->conn.db, "main");
    if (backup == NULL) return crn_conn_error(&copy->target, sqlite3_extended_errcode(copy->target.db), err);
    cairn_status status = CAIRN_OK;
    do {
        code = sqlite3_backup_step(backup, STEP_PAGES);
        if (code == SQLITE_OK || code == SQLITE_DONE) status = tell(copy, backup, err);
    } while (code == SQLITE_OK && status == CAIRN_OK);
    const int finish = sqlite3_backup_finish(backup);
    if (status != CAIRN_OK || code == SQLITE_DONE) return status;
    return crn_conn_error(&copy->target, finish != SQLITE_OK ? finish : code, err);
}

static cairn_status copy_all(struct copy *copy, cairn_error *err)
{
    const struct crn_conn_options options = {.path = copy->aside,
                                             .vfs = copy->vfs,
                                             .aside = true,
                                             .busy_timeout_ms = BUSY_TIMEOUT_MS,
                                             .cache_kib = 2048};

    CRN_TRY(crn_conn_open(&copy->target, &options, err));
    return copy_pages(copy, err);
}

/* The copy is a database of its own: with another identity no index file of the original passes for one of
 * it. */
static cairn_status make_own(struct copy *copy, cairn_error *err)
{
    CRN_TRY(crn_conn_exec(&copy->target, "BEGIN IMMEDIATE; DELETE FROM segments", err));
    CRN_TRY(crn_schema_new_uuid(&copy->target, err));
    return crn_conn_exec(&copy->target, "COMMIT", err);
}

/* Closed first: what SQLite still held back is written then. */
static cairn_status make_appear(struct copy *copy, cairn_error *err)
{
    cairn_status status = make_own(copy, err);

    if (status == CAIRN_OK) status = crn_conn_exec(&copy->target, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    crn_conn_close(&copy->target);
    if (status == CAIRN_OK) status = crn_path_sync(copy->aside, err);
    return status == CAIRN_OK ? crn_path_appear(copy->aside, copy->path, false, err) : status;
}

cairn_status crn_store_backup(struct crn_store *store, const char *path, cairn_progress_fn progress,
                              void *ctx, cairn_error *err)
{
    struct copy copy = {.vfs = store->vfs, .progress = progress, .ctx = ctx};
    cairn_status status = name_copy(&copy, path, err);

    if (status == CAIRN_OK) status = crn_store_read_begin(store, &copy.source, err);
    if (status == CAIRN_OK) status = copy_all(&copy, err);
    crn_store_read_end(copy.source);
    if (status == CAIRN_OK) status = make_appear(&copy, err);
    release_copy(&copy);
    return status;
}

/* ---- restoring ---- */

/* The first finding, for the message. */
struct first_finding {
    char message[300];
    cairn_progress_fn progress;
    void *ctx;
};

static void keep_first(void *ctx, const char *message)
{
    struct first_finding *first = ctx;

    if (first->message[0] == '\0') snprintf(first->message, sizeof first->message, "%s", message);
}

static bool pass_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    const struct first_finding *first = ctx;

    return first->progress == NULL || first->progress(first->ctx, phase, done, total);
}

static cairn_status check_backup(struct crn_store *backup, cairn_progress_fn progress, void *ctx,
                                 cairn_error *err)
{
    struct first_finding first = {.progress = progress, .ctx = ctx};
    uint64_t findings;

    CRN_TRY(crn_store_verify(backup, keep_first, pass_progress, &first, &findings, err));
    if (findings == 0) return CAIRN_OK;
    return crn_error_set(err, CAIRN_CORRUPT,
                         "%s is damaged (%llu findings) and is not restored; the first: %s", backup->path,
                         (unsigned long long)findings, first.message);
}

cairn_status crn_store_restore(const char *backup_path, const char *path, cairn_progress_fn progress,
                               void *ctx, cairn_error *err)
{
    const struct crn_log silent = {0};
    struct copy copy = {.progress = progress, .ctx = ctx};
    struct crn_store *backup = NULL;
    cairn_status status = name_copy(&copy, path, err);

    if (status == CAIRN_OK) status = crn_path_check_filesystem(copy.path, &silent, err);
    if (status == CAIRN_OK) status = crn_store_open_private(backup_path, NULL, &backup, err);
    if (status == CAIRN_OK) status = check_backup(backup, progress, ctx, err);
    if (status == CAIRN_OK) status = crn_store_read_begin(backup, &copy.source, err);
    if (status == CAIRN_OK) status = copy_all(&copy, err);
    crn_store_read_end(copy.source);
    if (status == CAIRN_OK) status = make_appear(&copy, err);
    release_copy(&copy);
    crn_store_close(backup);
    return status;
}
