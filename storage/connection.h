/*
 * One SQLite connection as Cairn sets it up: prepared statements kept by their SQL, and the interned names it
 * has met. It is confined to whoever holds it: the writer's is guarded by the write lock, a reader's by its
 * reader.
 *
 * Every connection has automatic checkpoints switched off, those of closing included (see docs/STORAGE.md on
 * the WAL-reset race), and memory-mapped reading too.
 */
#ifndef CRN_STORAGE_CONNECTION_H
#define CRN_STORAGE_CONNECTION_H

#include <cairn/db.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_CONN_STATEMENTS 128u
#define CRN_NAMES_SLOTS 256u

struct crn_conn_statement {
    const char *sql; /* the literal's address is the key, with `number` */
    uint32_t number;
    sqlite3_stmt *stmt;
};

struct crn_name {
    int64_t id;
    char *text;
};

/* Names are never changed or deleted, so what is cached stays true, but for those of a transaction rolled
 * back. */
struct crn_names {
    struct crn_name by_id[CRN_NAMES_SLOTS];
    struct crn_name by_text[CRN_NAMES_SLOTS];
};

struct crn_conn {
    sqlite3 *db; /* NULL while closed */
    bool immutable;
    size_t statement_count;
    struct crn_conn_statement statements[CRN_CONN_STATEMENTS];
    struct crn_names names;
};

struct crn_conn_options {
    const char *path; /* absolute */
    const char *vfs;
    bool read_only; /* the file is opened for reading alone */
    bool immutable; /* nobody can be writing: neither locks nor WAL; with read_only */
    bool query;     /* the file may be written, but not by this connection */
    bool lazy;      /* commits are not synced */
    bool
        aside; /* a file nobody else knows yet: it is made, closing merges its WAL, and the caller syncs it */
    uint32_t busy_timeout_ms;
    uint32_t cache_kib;
};

/* Opens and sets up. `conn` is closed by crn_conn_close, after a failure too. */
cairn_status crn_conn_open(struct crn_conn *conn, const struct crn_conn_options *options, cairn_error *err);
void crn_conn_close(struct crn_conn *conn); /* closing one that is not open does nothing */

/*
 * The prepared statement of a literal, ready to be bound; kept for the next time. In crn_conn_statement_n
 * each "%u" of the literal stands for `number`. INTERNAL when it is still running: reads do not nest in
 * themselves.
 */
cairn_status crn_conn_statement(struct crn_conn *conn, const char *sql, sqlite3_stmt **out_stmt,
                                cairn_error *err);
cairn_status crn_conn_statement_n(struct crn_conn *conn, const char *sql, uint32_t number,
                                  sqlite3_stmt **out_stmt, cairn_error *err);
void crn_conn_forget(struct crn_conn *conn); /* finalizes all statements that are not running */

/* Runs SQL without results. */
cairn_status crn_conn_exec(struct crn_conn *conn, const char *sql, cairn_error *err);
cairn_status crn_conn_exec_n(struct crn_conn *conn, const char *sql, uint32_t number, cairn_error *err);

/* Steps a statement that gives no rows, and resets it. */
cairn_status crn_conn_run(struct crn_conn *conn, sqlite3_stmt *stmt, cairn_error *err);
/* Steps; *out_row tells whether there is a row. Resets at the end and on failure. */
cairn_status crn_conn_step(struct crn_conn *conn, sqlite3_stmt *stmt, bool *out_row, cairn_error *err);
/* Calls fn at each row until it answers something else than OK, which is then the answer. Resets. */
typedef cairn_status (*crn_conn_row_fn)(void *ctx, sqlite3_stmt *stmt, cairn_error *err);
cairn_status crn_conn_each(struct crn_conn *conn, sqlite3_stmt *stmt, crn_conn_row_fn fn, void *ctx,
                           cairn_error *err);
/* The first column of the first row as a number; `none` when there is no row or a NULL. Resets. */
cairn_status crn_conn_value(struct crn_conn *conn, sqlite3_stmt *stmt, int64_t none, int64_t *out_value,
                            cairn_error *err);

/* Translates what SQLite answered, with its own message and extended code. OK, ROW and DONE are OK. */
cairn_status crn_conn_error(struct crn_conn *conn, int code, cairn_error *err);
cairn_status crn_sqlite_status(int extended_code);

/* ---- interned names (names.c): domains, agents and types. "" is 0 and has no row ---- */

/* Copied out, so that a read inside a read cannot take it away. */
cairn_status crn_names_text(struct crn_conn *conn, int64_t id, char out_text[CAIRN_NAME_MAX + 1],
                            cairn_error *err);
cairn_status crn_names_find(struct crn_conn *conn, const char *text, int64_t *out_id,
                            cairn_error *err); /* -1: none */
cairn_status crn_names_intern(struct crn_conn *conn, const char *text, int64_t *out_id, cairn_error *err);
void crn_names_clear(struct crn_conn *conn); /* after a rollback, and at the end */

#endif
