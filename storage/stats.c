/*
 * Numbers about a store and a collection.
 */
#include "storage/store_internal.h"

#include "base/error.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t file_bytes(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static uint64_t folder_bytes(const char *path)
{
    DIR *folder = opendir(path);
    struct stat info;
    uint64_t bytes = 0;

    if (folder == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISREG(info.st_mode)) bytes += (uint64_t)info.st_size;
    }
    closedir(folder);
    return bytes;
}

static cairn_status read_log_ends(struct crn_reader *reader, struct crn_store_stats *stats, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t first;

    CRN_TRY(crn_log_last(&reader->conn, &stats->log_last, err));
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT min(seq) FROM oplog", &stmt, err));
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &first, err));
    stats->log_first = (uint64_t)first;
    stats->log_entries = stats->log_last == 0 ? 0 : stats->log_last - stats->log_first + 1; /* without gaps */
    return CAIRN_OK;
}

cairn_status crn_store_get_stats(struct crn_store *store, struct crn_store_stats *out_stats, cairn_error *err)
{
    struct crn_reader *reader;

    *out_stats = (struct crn_store_stats){
        .file_bytes = file_bytes(store->path),
        .wal_bytes = file_bytes(store->wal_path),
        .folder_bytes = folder_bytes(store->folder),
        .commits = atomic_load(&store->commits),
        .groups = atomic_load(&store->groups),
        .checkpoints = atomic_load(&store->checkpoints),
    };
    CRN_TRY(crn_store_read_begin(store, &reader, err));
    cairn_status status = read_log_ends(reader, out_stats, err);
    crn_store_read_end(reader);
    return status;
}

struct totals {
    uint64_t collections, rows;
};

static cairn_status add_rows(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct totals *totals = ctx;

    (void)err;
    totals->collections++;
    totals->rows += (uint64_t)sqlite3_column_int64(stmt, 0);
    return CAIRN_OK;
}

cairn_status crn_read_totals(struct crn_reader *reader, uint64_t *out_collections, uint64_t *out_rows,
                             cairn_error *err)
{
    struct totals totals = {0};
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT rows FROM collections", &stmt, err));
    CRN_TRY(crn_conn_each(&reader->conn, stmt, add_rows, &totals, err));
    *out_collections = totals.collections;
    *out_rows = totals.rows;
    return CAIRN_OK;
}

/* ---- a collection ---- */

struct sums {
    struct crn_reader *reader;
    struct crn_buf *json;
    uint64_t rows;
    double confidence;
};

static cairn_status add_domain(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct sums *sums = ctx;
    const int64_t rows = sqlite3_column_int64(stmt, 1);
    char domain[CAIRN_NAME_MAX + 1];

    CRN_TRY(crn_names_text(&sums->reader->conn, sqlite3_column_int64(stmt, 0), domain, err));
    if (sums->rows > 0) crn_buf_putc(sums->json, ',');
    crn_buf_json_string(sums->json, domain, strlen(domain));
    crn_buf_printf(sums->json, ":%lld", (long long)rows);
    sums->rows += (uint64_t)rows;
    sums->confidence += sqlite3_column_double(stmt, 2);
    return CAIRN_OK;
}

static cairn_status sum_domains(struct sums *sums, uint32_t collection, cairn_error *err)
{
    struct crn_conn *conn = &sums->reader->conn;
    sqlite3_stmt *stmt;

    CRN_TRY(
        crn_conn_statement(conn,
                           "SELECT domain, count(*), sum(confidence) FROM points WHERE key BETWEEN ?1 AND ?2"
                           " GROUP BY domain",
                           &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(collection, 0));
    sqlite3_bind_int64(stmt, 2, crn_key(collection, UINT32_MAX));
    return crn_conn_each(conn, stmt, add_domain, sums, err);
}

cairn_status crn_read_collection_stats(struct crn_reader *reader, uint32_t collection, uint64_t *out_rows,
                                       uint64_t *out_trajectories, double *out_avg_confidence,
                                       struct crn_buf *domains_json, cairn_error *err)
{
    struct sums sums = {.reader = reader, .json = domains_json};
    sqlite3_stmt *stmt;
    int64_t trajectories;

    crn_buf_putc(domains_json, '{');
    CRN_TRY(sum_domains(&sums, collection, err));
    crn_buf_putc(domains_json, '}');
    if (domains_json->failed != CAIRN_OK)
        return crn_error_set(err, domains_json->failed, "no room for statistics");
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT count(*) FROM trajectories WHERE collection=?1", &stmt,
                               err));
    sqlite3_bind_int64(stmt, 1, collection);
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &trajectories, err));
    *out_rows = sums.rows;
    *out_trajectories = (uint64_t)trajectories;
    *out_avg_confidence = sums.rows > 0 ? sums.confidence / (double)sums.rows : 0;
    return CAIRN_OK;
}
