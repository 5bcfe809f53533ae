/* Opening and closing databases, and what concerns a whole one. */
#include "engine/collection.h"
#include "engine/prepare.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"

#include <string.h>

static void take_options(cairn_db *db, const cairn_open_options *options)
{
    if (options != NULL) db->options = *options;
    if (db->options.tail_rows_max == 0) db->options.tail_rows_max = 16384;
    if (db->options.threads == 0) db->options.threads = crn_cpu_count();
    if (db->options.busy_timeout_ms == 0) db->options.busy_timeout_ms = 30000;
    db->log.fn = db->options.log;
    db->log.ctx = db->options.log_ctx;
}

static cairn_status open_store(cairn_db *db, const char *path, cairn_error *err)
{
    const struct crn_store_options options = {
        .must_exist = db->options.must_exist,
        .read_only = db->options.read_only,
        .lazy = db->options.durability == CAIRN_LAZY,
        .busy_timeout_ms = db->options.busy_timeout_ms,
        .vfs = db->options.vfs,
        .log = db->log,
    };
    return crn_store_open(path, &options, &db->store, err);
}

cairn_status cairn_open(const char *path, const cairn_open_options *options, cairn_db **out_db,
                        cairn_error *err)
{
    if (out_db == NULL || path == NULL || path[0] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s",
                             out_db == NULL ? "out_db is NULL" : "the path is empty");
    }
    *out_db = NULL;
    if (options != NULL) {
        CRN_TRY(crn_check_size("cairn_open_options", options->size, sizeof *options, err));
        if (options->durability != CAIRN_DURABLE && options->durability != CAIRN_LAZY) {
            return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a durability",
                                 (int)options->durability);
        }
    }
    cairn_db *db = crn_mem_calloc(1, sizeof *db);
    if (db == NULL) return crn_error_no_memory(err, sizeof *db);
    pthread_mutex_init(&db->mutex, NULL);
    take_options(db, options);
    cairn_status status = open_store(db, path, err);
    const bool background = !db->options.no_background && !db->options.read_only;
    if (status == CAIRN_OK && background) status = crn_maintenance_start(db, err);
    if (status != CAIRN_OK) {
        cairn_close(db);
        return status;
    }
    *out_db = db;
    return CAIRN_OK;
}

void cairn_close(cairn_db *db)
{
    if (db == NULL) return;
    crn_maintenance_stop(db);
    crn_store_close(db->store);
    pthread_mutex_destroy(&db->mutex);
    crn_mem_free(db);
}

cairn_status cairn_backup(cairn_db *db, const char *path, cairn_progress_fn progress, void *ctx,
                          cairn_error *err)
{
    if (db == NULL || path == NULL || path[0] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s",
                             db == NULL ? "db is NULL" : "the path is empty");
    }
    return crn_store_backup(db->store, path, progress, ctx, err);
}

cairn_status cairn_restore(const char *backup_path, const char *path, cairn_progress_fn progress, void *ctx,
                           cairn_error *err)
{
    if (backup_path == NULL || path == NULL || backup_path[0] == '\0' || path[0] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a path is empty");
    }
    return crn_store_restore(backup_path, path, progress, ctx, err);
}
