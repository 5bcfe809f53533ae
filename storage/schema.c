/*
 * What a Cairn file holds. A step, once released, is never changed: a new version is a new step.
 */
#include "storage/schema.h"
#include "storage/path.h"
#include "storage/store.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 100 /* of a SQLite file: https://www.sqlite.org/fileformat.html, 1.3 */

/*
 * Keys are collection << 32 | local and space << 32 | local. The partial indexes hold no entry for rows that
 * do not use them, so that they cost nothing then. Ids of collections, spaces and indexes are never used
 * again (AUTOINCREMENT).
 */
static const char version_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"

    "CREATE TABLE collections(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " lexical INTEGER NOT NULL, metadata TEXT, next_local INTEGER NOT NULL, rows INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL);"
    "CREATE TABLE spaces(id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,"
    " name TEXT NOT NULL, kind INTEGER NOT NULL, dim INTEGER NOT NULL, metric INTEGER NOT NULL,"
    " quantization INTEGER NOT NULL, index_spec TEXT NOT NULL, model TEXT, UNIQUE(collection, name));"

    "CREATE TABLE points(key INTEGER PRIMARY KEY, collection INTEGER NOT NULL, id BLOB NOT NULL,"
    " domain INTEGER NOT NULL, agent INTEGER NOT NULL, type INTEGER NOT NULL, confidence REAL NOT NULL,"
    " created_at INTEGER NOT NULL, expires_at INTEGER, version INTEGER NOT NULL, digest INTEGER NOT NULL,"
    " vectors INTEGER, body INTEGER, text TEXT, payload TEXT);"
    "CREATE UNIQUE INDEX points_id ON points(collection, id);"
    "CREATE INDEX points_domain ON points(domain) WHERE domain<>0;"
    "CREATE INDEX points_agent ON points(agent) WHERE agent<>0;"
    "CREATE INDEX points_expires ON points(expires_at) WHERE expires_at IS NOT NULL;"
    "CREATE TABLE usage(key INTEGER PRIMARY KEY, usage_count INTEGER NOT NULL,"
    " success_count INTEGER NOT NULL, last_used INTEGER NOT NULL);"
    "CREATE TABLE vecs(key INTEGER PRIMARY KEY, digest INTEGER NOT NULL, data BLOB NOT NULL);"

    "CREATE TABLE oplog(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, op INTEGER NOT NULL,"
    " key INTEGER NOT NULL, version INTEGER NOT NULL, digest INTEGER NOT NULL);"
    "CREATE TABLE segments(space INTEGER NOT NULL, ord INTEGER NOT NULL, file TEXT NOT NULL,"
    " index_file TEXT NOT NULL, seq INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY(space, ord))"
    " WITHOUT ROWID;"

    "CREATE TABLE payload_indexes(id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,"
    " path TEXT NOT NULL, UNIQUE(collection, path));"
    "CREATE TABLE payload_values(idx INTEGER NOT NULL, value NOT NULL, key INTEGER NOT NULL,"
    " PRIMARY KEY(idx, value, key)) WITHOUT ROWID;"

    "CREATE TABLE trajectories(key INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,"
    " id TEXT NOT NULL, domain INTEGER NOT NULL, agent INTEGER NOT NULL, steps INTEGER NOT NULL,"
    " state_dim INTEGER NOT NULL, states BLOB, actions TEXT, rewards BLOB, metadata TEXT,"
    " created_at INTEGER NOT NULL, digest INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX trajectories_id ON trajectories(collection, id);"
    "CREATE INDEX trajectories_new ON trajectories(collection, created_at);";

/* Which entry of the log last changed a collection's settings stands with the collection: one number for all
 * of them made whoever held any settings read them anew. */
static const char version_2[] =
    "ALTER TABLE collections ADD COLUMN settings_seq INTEGER NOT NULL DEFAULT 0;"
    "UPDATE collections SET settings_seq=(SELECT value FROM meta WHERE key='catalog_sequence');"
    "DELETE FROM meta WHERE key='catalog_sequence';";

static const struct crn_schema_step steps[] = {{1, version_1}, {2, version_2}};
_Static_assert(CRN_SCHEMA_VERSION == sizeof steps / sizeof steps[0], "one step for each version");

/* ---- telling what a file is ---- */

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static cairn_status newer(cairn_error *err, uint32_t version)
{
    return crn_error_set(err, CAIRN_NEWER_FORMAT,
                         "the database has schema version %u, and this Cairn knows up to %d: use a "
                         "newer Cairn",
                         version, CRN_SCHEMA_VERSION);
}

static cairn_status judge_header(const unsigned char header[HEADER_BYTES], const char *path, cairn_error *err)
{
    if (memcmp(header, "SQLite format 3", 16) != 0) {
        return crn_error_set(err, CAIRN_NOT_CAIRN,
                             "%s is no SQLite file, or its first page is damaged; it is left as it is", path);
    }
    if (big_endian(header + 68) != CRN_APPLICATION_ID) {
        return crn_error_set(err, CAIRN_NOT_CAIRN,
                             "%s is a SQLite file of another program (application id %#x)", path,
                             big_endian(header + 68));
    }
    if (big_endian(header + 60) > CRN_SCHEMA_VERSION) return newer(err, big_endian(header + 60));
    return CAIRN_OK;
}

cairn_status crn_schema_probe(const struct crn_conn_options *options, cairn_error *err)
{
    unsigned char header[HEADER_BYTES] = {0};
    sqlite3 *db = NULL;
    sqlite3_file *file = NULL;

    int code = sqlite3_open_v2(options->path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, options->vfs);
    if (code == SQLITE_OK) code = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (code == SQLITE_OK) code = file->pMethods->xRead(file, header, HEADER_BYTES, 0);
    if (code == SQLITE_IOERR_SHORT_READ) code = SQLITE_OK; /* the rest reads as zeros */
    const int error_number = db != NULL ? sqlite3_system_errno(db) : 0;
    sqlite3_close(db);
    if (code == SQLITE_OK) return judge_header(header, options->path, err);
    if (error_number != 0) return crn_error_errno(err, error_number, "opening", options->path);
    return crn_error_set(err, crn_sqlite_status(code), "reading %s: %s (code %d)", options->path,
                         sqlite3_errstr(code), code);
}

/* ---- versions ---- */

cairn_status crn_schema_version(struct crn_conn *conn, int *out_version, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t value;

    CRN_TRY(crn_conn_statement(conn, "PRAGMA user_version", &stmt, err));
    CRN_TRY(crn_conn_value(conn, stmt, 0, &value, err));
    *out_version = (int)value;
    return *out_version <= CRN_SCHEMA_VERSION ? CAIRN_OK : newer(err, (uint32_t)*out_version);
}

static cairn_status apply_steps(struct crn_conn *conn, int version, const struct crn_schema_step *list,
                                size_t count, cairn_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].version <= version) continue;
        CRN_TRY(crn_conn_exec(conn, list[i].sql, err));
        CRN_TRY(crn_conn_exec_n(conn, "PRAGMA user_version=%u", (uint32_t)list[i].version, err));
    }
    return CAIRN_OK;
}

cairn_status crn_schema_migrate_steps(struct crn_conn *conn, const struct crn_schema_step *list, size_t count,
                                      cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t version = 0;

    CRN_TRY(crn_conn_exec(conn, "BEGIN IMMEDIATE", err));
    cairn_status status = crn_conn_statement(conn, "PRAGMA user_version", &stmt, err);
    if (status == CAIRN_OK) status = crn_conn_value(conn, stmt, 0, &version, err);
    if (status == CAIRN_OK && version > list[count - 1].version) status = newer(err, (uint32_t)version);
    if (status == CAIRN_OK) status = apply_steps(conn, (int)version, list, count, err);
    if (status == CAIRN_OK) status = crn_conn_exec(conn, "COMMIT", err);
    if (status != CAIRN_OK) {
        if (!sqlite3_get_autocommit(conn->db)) sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
        return crn_error_context(err, status, "bringing the schema from version %d to %d", (int)version,
                                 list[count - 1].version);
    }
    return CAIRN_OK;
}

cairn_status crn_schema_migrate(struct crn_conn *conn, cairn_error *err)
{
    return crn_schema_migrate_steps(conn, steps, sizeof steps / sizeof steps[0], err);
}

/* ---- identity ---- */

cairn_status crn_schema_new_uuid(struct crn_conn *conn, cairn_error *err)
{
    unsigned char uuid[16];
    sqlite3_stmt *stmt;

    crn_rng_entropy(uuid);
    CRN_TRY(
        crn_conn_statement(conn, "INSERT OR REPLACE INTO meta(key, value) VALUES('uuid', ?1)", &stmt, err));
    sqlite3_bind_blob(stmt, 1, uuid, sizeof uuid, SQLITE_STATIC);
    return crn_conn_run(conn, stmt, err);
}

cairn_status crn_schema_uuid(struct crn_conn *conn, unsigned char out_uuid[16], cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(conn, "SELECT value FROM meta WHERE key='uuid'", &stmt, err));
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    const bool whole = row && sqlite3_column_bytes(stmt, 0) == 16;
    if (whole) memcpy(out_uuid, sqlite3_column_blob(stmt, 0), 16);
    sqlite3_reset(stmt);
    return whole ? CAIRN_OK
                 : crn_error_set(err, CAIRN_CORRUPT, "the database has lost its identity (meta uuid)");
}

/* ---- a new database ---- */

static cairn_status write_new(struct crn_conn *conn, cairn_error *err)
{
    char sql[512];

    /* Page size and vacuum mode are fixed before the first page is written; the journal mode is kept in the
     * file. */
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d; PRAGMA auto_vacuum=NONE; PRAGMA encoding='UTF-8';"
             "PRAGMA journal_mode=WAL; PRAGMA application_id=%d",
             CRN_PAGE_BYTES, CRN_APPLICATION_ID);
    CRN_TRY(crn_conn_exec(conn, sql, err));
    CRN_TRY(crn_schema_migrate(conn, err));
    CRN_TRY(crn_schema_new_uuid(conn, err));
    snprintf(sql, sizeof sql, "INSERT INTO meta(key, value) VALUES('epoch', 1), ('created_at', %lld)",
             (long long)crn_clock_ms());
    return crn_conn_exec(conn, sql, err);
}

cairn_status crn_schema_create(const char *path, const char *vfs, cairn_error *err)
{
    const struct crn_conn_options options = {.path = path, .vfs = vfs, .aside = true, .cache_kib = 2048};
    struct crn_conn conn;

    crn_path_remove_database(path); /* left behind by one who died */
    cairn_status status = crn_conn_open(&conn, &options, err);
    if (status == CAIRN_OK) status = write_new(&conn, err);
    /* Nobody else knows the file, so closing may merge its WAL; asked for by name so that failing is
     * noticed. */
    if (status == CAIRN_OK) status = crn_conn_exec(&conn, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    crn_conn_close(&conn);
    if (status == CAIRN_OK) status = crn_path_sync(path, err);
    if (status != CAIRN_OK) {
        crn_path_remove_database(path);
        return crn_error_context(err, status, "making a new database");
    }
    return CAIRN_OK;
}
