/*
 * Reading rows and vectors in a snapshot, each checked against its digest.
 */
#include "storage/store_internal.h"

#include "base/error.h"

cairn_status crn_read_find(struct crn_reader *reader, const struct crn_catalog *catalog, cairn_id_type type,
                           const char *id, size_t id_len, uint64_t id_u64, uint32_t *out_local,
                           cairn_error *err)
{
    struct crn_row_id row_id;

    CRN_TRY(crn_row_id_set(&row_id, type, id, id_len, id_u64, err));
    return crn_row_find(&reader->conn, catalog->id, &row_id, out_local, NULL, NULL, err);
}

cairn_status crn_read_record(struct crn_reader *reader, const struct crn_catalog *catalog, uint32_t local,
                             bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                             cairn_error *err)
{
    return crn_row_read(&reader->conn, catalog, local, with_vectors, memory, out_record, err);
}

/* ---- in the order of ids ---- */

/* SQLite's order of ids is that of their bits as signed numbers, then texts, then blobs: numbers from 2^63 on, which are
 * negative there, are read behind the others. */
static const char *const by_id_sql[] = {
    "SELECT key FROM points WHERE collection=?1 AND id>=?2 AND id<=9223372036854775807 ORDER BY id",
    "SELECT key FROM points WHERE collection=?1 AND id>=?2 AND id<0 ORDER BY id",
    "SELECT key FROM points WHERE collection=?1 AND id>=?2 ORDER BY id",
};

struct by_id {
    crn_local_fn fn;
    void *ctx;
};

static cairn_status tell_local(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct by_id *by_id = ctx;

    (void)err;
    return by_id->fn(by_id->ctx, (uint32_t)sqlite3_column_int64(stmt, 0));
}

/* Which of the three ranges above the id is in. */
static size_t range_of(const struct crn_row_id *id)
{
    if (id->type != CAIRN_ID_U64) return 2;
    return id->u64 <= INT64_MAX ? 0 : 1;
}

cairn_status crn_read_by_id(struct crn_reader *reader, const struct crn_catalog *catalog,
                            const struct crn_record *from, crn_local_fn fn, void *ctx, cairn_error *err)
{
    struct by_id by_id = {fn, ctx};
    struct crn_row_id first = {.type = CAIRN_ID_U64};
    sqlite3_stmt *stmt;

    if (from != NULL)
        CRN_TRY(crn_row_id_set(&first, from->id_type, from->id, from->id_len, from->id_u64, err));
    const size_t begin = range_of(&first);
    for (size_t range = begin; range < 3; range++) {
        CRN_TRY(crn_conn_statement(&reader->conn, by_id_sql[range], &stmt, err));
        sqlite3_bind_int64(stmt, 1, catalog->id);
        if (range == begin) {
            crn_row_id_bind(stmt, 2, &first);
        } else if (range == 1) {
            sqlite3_bind_int64(stmt, 2, INT64_MIN);
        } else {
            sqlite3_bind_text(stmt, 2, "", 0, SQLITE_STATIC);
        }
        CRN_TRY(crn_conn_each(&reader->conn, stmt, tell_local, &by_id, err));
    }
    return CAIRN_OK;
}

/* ---- scanning rows ---- */

#define SCAN_WHERE "WHERE p.key BETWEEN ?1 AND ?2 ORDER BY p.key"

struct scan {
    struct crn_reader *reader;
    const struct crn_catalog *catalog;
    unsigned want;
    crn_record_fn fn;
    void *ctx;
};

static bool wants_body(unsigned want)
{
    return (want & (CRN_WANT_TEXT | CRN_WANT_PAYLOAD)) != 0;
}

static cairn_status scan_row(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct scan *scan = ctx;
    struct crn_conn *conn = &scan->reader->conn;
    struct crn_row row;

    CRN_TRY(crn_row_decode(conn, stmt, wants_body(scan->want), &row, err));
    if (row.damage != NULL)
        return crn_row_corrupt(conn, scan->catalog->id, row.record.local, row.damage, err);
    if (!(scan->want & CRN_WANT_TEXT)) row.record.text = NULL;
    if (!(scan->want & CRN_WANT_PAYLOAD)) row.record.payload = NULL;
    return scan->fn(scan->ctx, &row.record);
}

cairn_status crn_read_scan(struct crn_reader *reader, const struct crn_catalog *catalog, uint32_t from,
                           unsigned want, crn_record_fn fn, void *ctx, cairn_error *err)
{
    static const char whole[] = "SELECT " CRN_ROW_COLUMNS CRN_ROW_BODY CRN_ROW_FROM SCAN_WHERE;
    static const char heads[] = "SELECT " CRN_ROW_COLUMNS CRN_ROW_FROM SCAN_WHERE;
    struct scan scan = {reader, catalog, want, fn, ctx};
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, wants_body(want) ? whole : heads, &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(catalog->id, from));
    sqlite3_bind_int64(stmt, 2, crn_key(catalog->id, UINT32_MAX));
    return crn_conn_each(&reader->conn, stmt, scan_row, &scan, err);
}

/* ---- vectors ---- */

static cairn_status check_vector(struct crn_reader *reader, sqlite3_stmt *stmt, const void **out_data,
                                 size_t *out_size, cairn_error *err)
{
    const uint64_t key = (uint64_t)sqlite3_column_int64(stmt, 0),
                   digest = (uint64_t)sqlite3_column_int64(stmt, 1);
    const uint32_t space = (uint32_t)(key >> 32), local = (uint32_t)key;

    *out_data = sqlite3_column_blob(stmt, 2);
    *out_size = (size_t)sqlite3_column_bytes(stmt, 2);
    if (sqlite3_errcode(reader->conn.db) == SQLITE_NOMEM) return crn_error_no_memory(err, *out_size);
    if (crn_row_vector_digest(space, local, *out_data, *out_size) == digest) return CAIRN_OK;
    return crn_row_vector_corrupt(&reader->conn, space, local, err);
}

struct vector_scan {
    struct crn_reader *reader;
    crn_vector_fn fn;
    void *ctx;
};

static cairn_status scan_vector(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct vector_scan *scan = ctx;
    const void *data;
    size_t size;

    CRN_TRY(check_vector(scan->reader, stmt, &data, &size, err));
    return scan->fn(scan->ctx, (uint32_t)sqlite3_column_int64(stmt, 0), data, size);
}

cairn_status crn_read_vectors(struct crn_reader *reader, uint32_t space, uint32_t from, crn_vector_fn fn,
                              void *ctx, cairn_error *err)
{
    struct vector_scan scan = {reader, fn, ctx};
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn,
                               "SELECT key, digest, data FROM vecs WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(space, from));
    sqlite3_bind_int64(stmt, 2, crn_key(space, UINT32_MAX));
    return crn_conn_each(&reader->conn, stmt, scan_vector, &scan, err);
}

cairn_status crn_read_vector(struct crn_reader *reader, uint32_t space, uint32_t local,
                             struct crn_buf *memory, size_t *out_offset, size_t *out_size, cairn_error *err)
{
    const void *data;
    sqlite3_stmt *stmt;
    bool found;

    *out_offset = memory->len;
    *out_size = 0;
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT key, digest, data FROM vecs WHERE key=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(space, local));
    CRN_TRY(crn_conn_step(&reader->conn, stmt, &found, err));
    if (!found) return CAIRN_OK;
    cairn_status status = check_vector(reader, stmt, &data, out_size, err);
    if (status == CAIRN_OK) {
        status = crn_buf_append(memory, data, *out_size);
        if (status != CAIRN_OK)
            crn_error_set(err, status, "no room to read a vector of %zu bytes", *out_size);
    }
    sqlite3_reset(stmt);
    return status;
}
