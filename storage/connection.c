/*
 * Opening a SQLite connection, and its prepared statements. The file system and what the file holds are
 * judged elsewhere (path.c, schema.c).
 */
#include "storage/connection.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES_MAX 16384u
#define SQL_BYTES_MAX 4096u
#define WAL_BYTES_KEPT 67108864 /* a WAL file that grew beyond is cut back to this when it starts anew */

/* "file:" names are how SQLite is told that a file is immutable. Bytes that mean something in one are
 * escaped. */
static cairn_status immutable_name(const char *path, struct crn_buf *name, cairn_error *err)
{
    crn_buf_puts(name, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '%' || *c == '?' || *c == '#') {
            crn_buf_printf(name, "%%%02X", (unsigned)(unsigned char)*c);
        } else {
            crn_buf_putc(name, *c);
        }
    }
    crn_buf_puts(name, "?immutable=1");
    if (name->failed != CAIRN_OK) return crn_error_set(err, name->failed, "the path %s is too long", path);
    return CAIRN_OK;
}

static int open_flags(const struct crn_conn_options *options)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;

    flags |= options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (options->immutable) flags |= SQLITE_OPEN_URI;
    if (options->aside) flags |= SQLITE_OPEN_CREATE;
    return flags;
}

static const char *synchronous(const struct crn_conn_options *options)
{
    if (options->aside) return "OFF";
    return options->lazy ? "NORMAL" : "FULL";
}

static cairn_status configure(struct crn_conn *conn, const struct crn_conn_options *options, cairn_error *err)
{
    char sql[512];

    sqlite3_busy_timeout(conn->db,
                         (int)(options->busy_timeout_ms < INT32_MAX ? options->busy_timeout_ms : INT32_MAX));
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, options->aside ? 0 : 1, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_wal_autocheckpoint(conn->db, 0);
    snprintf(sql, sizeof sql,
             "PRAGMA mmap_size=0; PRAGMA secure_delete=OFF; PRAGMA cell_size_check=ON;"
             "PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=%d; PRAGMA synchronous=%s;"
             "PRAGMA cache_size=-%u; PRAGMA query_only=%s",
             WAL_BYTES_KEPT, synchronous(options), options->cache_kib,
             options->query || options->read_only ? "ON" : "OFF");
    return crn_conn_exec(conn, sql, err);
}

cairn_status crn_conn_open(struct crn_conn *conn, const struct crn_conn_options *options, cairn_error *err)
{
    struct crn_buf name;

    memset(conn, 0, sizeof *conn);
    crn_buf_init(&name, PATH_BYTES_MAX);
    if (options->immutable) {
        cairn_status status = immutable_name(options->path, &name, err);
        if (status != CAIRN_OK) {
            crn_buf_release(&name);
            return status;
        }
    }
    const int code = sqlite3_open_v2(options->immutable ? name.data : options->path, &conn->db,
                                     open_flags(options), options->vfs);
    crn_buf_release(&name);
    if (code != SQLITE_OK) {
        crn_conn_error(conn, code, err);
        return crn_error_context(err, crn_sqlite_status(code), "opening %s", options->path);
    }
    conn->immutable = options->immutable;
    return configure(conn, options, err);
}

void crn_conn_close(struct crn_conn *conn)
{
    if (conn->db == NULL) return;
    for (size_t i = 0; i < conn->statement_count; i++) sqlite3_finalize(conn->statements[i].stmt);
    conn->statement_count = 0;
    crn_names_clear(conn);
    sqlite3_close_v2(conn->db);
    conn->db = NULL;
}

void crn_conn_forget(struct crn_conn *conn)
{
    size_t kept = 0;

    for (size_t i = 0; i < conn->statement_count; i++) {
        struct crn_conn_statement *entry = &conn->statements[i];
        if (sqlite3_stmt_busy(entry->stmt)) {
            conn->statements[kept++] = *entry;
        } else {
            sqlite3_finalize(entry->stmt);
        }
    }
    conn->statement_count = kept;
}

/* Replaces each "%u"; at most SQL_BYTES_MAX, which all literals keep to. */
static cairn_status expand(const char *sql, uint32_t number, char out[SQL_BYTES_MAX], cairn_error *err)
{
    size_t len = 0;

    for (const char *c = sql; *c != '\0';) {
        int added = 1;
        if (c[0] == '%' && c[1] == 'u') {
            added = snprintf(out + len, SQL_BYTES_MAX - len, "%u", number);
            c += 2;
        } else {
            out[len] = *c++;
        }
        len += (size_t)added;
        if (len + 16 > SQL_BYTES_MAX)
            return crn_error_set(err, CAIRN_INTERNAL, "a statement is too long: %s", sql);
    }
    out[len] = '\0';
    return CAIRN_OK;
}

static cairn_status prepare(struct crn_conn *conn, const char *sql, uint32_t number, sqlite3_stmt **out_stmt,
                            cairn_error *err)
{
    char text[SQL_BYTES_MAX];

    CRN_TRY(expand(sql, number, text, err));
    const int code = sqlite3_prepare_v3(conn->db, text, -1, SQLITE_PREPARE_PERSISTENT, out_stmt, NULL);
    return crn_conn_error(conn, code, err);
}

cairn_status crn_conn_statement_n(struct crn_conn *conn, const char *sql, uint32_t number,
                                  sqlite3_stmt **out_stmt, cairn_error *err)
{
    sqlite3_stmt *stmt;

    for (size_t i = 0; i < conn->statement_count; i++) {
        if (conn->statements[i].sql != sql || conn->statements[i].number != number) continue;
        stmt = conn->statements[i].stmt;
        if (sqlite3_stmt_busy(stmt)) {
            return crn_error_set(err, CAIRN_INTERNAL, "a read was begun inside itself: %s", sql);
        }
        *out_stmt = stmt;
        return CAIRN_OK;
    }
    if (conn->statement_count == CRN_CONN_STATEMENTS) crn_conn_forget(conn);
    if (conn->statement_count == CRN_CONN_STATEMENTS) {
        return crn_error_set(err, CAIRN_INTERNAL, "too many statements are running at once");
    }
    CRN_TRY(prepare(conn, sql, number, &stmt, err));
    conn->statements[conn->statement_count++] =
        (struct crn_conn_statement){.sql = sql, .number = number, .stmt = stmt};
    *out_stmt = stmt;
    return CAIRN_OK;
}

cairn_status crn_conn_statement(struct crn_conn *conn, const char *sql, sqlite3_stmt **out_stmt,
                                cairn_error *err)
{
    return crn_conn_statement_n(conn, sql, 0, out_stmt, err);
}

cairn_status crn_conn_exec(struct crn_conn *conn, const char *sql, cairn_error *err)
{
    return crn_conn_error(conn, sqlite3_exec(conn->db, sql, NULL, NULL, NULL), err);
}

cairn_status crn_conn_exec_n(struct crn_conn *conn, const char *sql, uint32_t number, cairn_error *err)
{
    char text[SQL_BYTES_MAX];

    CRN_TRY(expand(sql, number, text, err));
    return crn_conn_exec(conn, text, err);
}

cairn_status crn_conn_step(struct crn_conn *conn, sqlite3_stmt *stmt, bool *out_row, cairn_error *err)
{
    const int code = sqlite3_step(stmt);

    *out_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) return CAIRN_OK;
    /* The message is taken before the reset, which repeats the code but may replace the words. */
    cairn_status status = code == SQLITE_DONE ? CAIRN_OK : crn_conn_error(conn, code, err);
    sqlite3_reset(stmt);
    return status;
}

cairn_status crn_conn_each(struct crn_conn *conn, sqlite3_stmt *stmt, crn_conn_row_fn fn, void *ctx,
                           cairn_error *err)
{
    bool row;

    for (;;) {
        CRN_TRY(crn_conn_step(conn, stmt, &row, err));
        if (!row) return CAIRN_OK;
        cairn_status status = fn(ctx, stmt, err);
        if (status != CAIRN_OK) {
            sqlite3_reset(stmt);
            return status;
        }
    }
}

cairn_status crn_conn_run(struct crn_conn *conn, sqlite3_stmt *stmt, cairn_error *err)
{
    bool row;
    cairn_status status = crn_conn_step(conn, stmt, &row, err);

    sqlite3_reset(stmt);
    return status;
}

cairn_status crn_conn_value(struct crn_conn *conn, sqlite3_stmt *stmt, int64_t none, int64_t *out_value,
                            cairn_error *err)
{
    bool row;
    cairn_status status = crn_conn_step(conn, stmt, &row, err);

    *out_value = none;
    if (row && sqlite3_column_type(stmt, 0) != SQLITE_NULL) *out_value = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return status;
}
