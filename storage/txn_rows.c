/*
 * Writing rows: a point, its vectors, its use counts, the indexes over it and its log entry, in step.
 */
#include "storage/store_internal.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

/* SQLite refuses a value or row above 10^9 bytes. Checked here, so that binding memory of the caller cannot
 * fail. */
#define ROW_BYTES_MAX 900000000u

cairn_status crn_txn_find(struct crn_txn *txn, const struct crn_catalog *catalog, cairn_id_type type,
                          const char *id, size_t id_len, uint64_t id_u64, uint32_t *out_local,
                          uint64_t *out_version, int64_t *out_expires_at_ms, cairn_error *err)
{
    struct crn_row_id row_id;

    CRN_TRY(crn_row_id_set(&row_id, type, id, id_len, id_u64, err));
    return crn_row_find(txn->conn, catalog->id, &row_id, out_local, out_version, out_expires_at_ms, err);
}

cairn_status crn_txn_record(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t local,
                            bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                            cairn_error *err)
{
    return crn_row_read(txn->conn, catalog, local, with_vectors, memory, out_record, err);
}

/* ---- what a put has to know ---- */

struct put {
    struct crn_txn *txn;
    struct crn_txn_collection *collection;
    struct crn_record *record;
    struct crn_row_id id;
    bool vectors_unchanged;
    bool inserts;
    bool text_kept, payload_kept; /* as the indexes have them */
    int64_t key;
    int64_t domain, agent, type; /* interned */
    size_t text_len, payload_len;
    uint64_t vectors, body; /* digests */
    uint64_t vector_digests[CAIRN_SPACES_MAX];
};

static bool has_space(const struct crn_txn_collection *collection, uint32_t space)
{
    for (uint32_t i = 0; i < collection->space_count; i++) {
        if (collection->spaces[i] == space) return true;
    }
    return false;
}

static cairn_status check_vectors(const struct crn_txn_collection *collection,
                                  const struct crn_record *record, size_t *out_bytes, cairn_error *err)
{
    if (record->vector_count > CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a row has %u vectors, more than %u", record->vector_count,
                             CAIRN_SPACES_MAX);
    }
    for (uint32_t i = 0; i < record->vector_count; i++) {
        const struct crn_vector_data *vector = &record->vectors[i];
        if (!has_space(collection, vector->space)) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the collection has no space %u",
                                 vector->space);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (record->vectors[j].space != vector->space) continue;
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "two vectors for the space %u", vector->space);
        }
        if (vector->size == 0 || vector->size > ROW_BYTES_MAX) {
            return crn_error_set(err, CAIRN_LIMIT, "a vector of %zu bytes", vector->size);
        }
        *out_bytes += vector->size;
    }
    return CAIRN_OK;
}

static cairn_status check_record(struct put *put, cairn_error *err)
{
    const struct crn_record *record = put->record;
    size_t vector_bytes = 0;

    CRN_TRY(crn_row_id_set(&put->id, record->id_type, record->id, record->id_len, record->id_u64, err));
    if (isnan(record->confidence))
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a confidence that is no number");
    put->text_len = record->text != NULL ? strlen(record->text) : 0;
    put->payload_len = record->payload != NULL ? strlen(record->payload) : 0;
    if (put->text_len > CAIRN_TEXT_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a text of %zu bytes, more than %u", put->text_len,
                             CAIRN_TEXT_MAX);
    }
    if (put->payload_len > CAIRN_PAYLOAD_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a payload of %zu bytes, more than %u", put->payload_len,
                             CAIRN_PAYLOAD_MAX);
    }
    CRN_TRY(check_vectors(put->collection, record, &vector_bytes, err));
    put->txn->bytes += vector_bytes + put->text_len + put->payload_len + 256;
    return CAIRN_OK;
}

static cairn_status give_local(struct put *put, cairn_error *err)
{
    struct crn_txn_collection *collection = put->collection;

    put->inserts = put->record->local == 0;
    if (put->inserts) {
        if (collection->next_local > CRN_LOCAL_MAX) {
            return crn_error_set(err, CAIRN_LIMIT, "the collection has given out all of its %u row numbers",
                                 CRN_LOCAL_MAX);
        }
        put->record->local = (uint32_t)collection->next_local++;
        collection->changed = true;
    }
    put->key = crn_key(collection->id, put->record->local);
    return CAIRN_OK;
}

/* ---- digests ---- */

/* Fed in the order of spaces, whatever the order the vectors were given in. */
static void digest_vectors(struct put *put)
{
    const struct crn_record *record = put->record;
    struct crn_row_vector_sum sum = {0};

    for (uint32_t i = 0; i < record->vector_count; i++) {
        const struct crn_vector_data *vector = &record->vectors[i];
        put->vector_digests[i] =
            crn_row_vector_digest(vector->space, record->local, vector->data, vector->size);
    }
    for (uint32_t s = 0; s < put->collection->space_count; s++) {
        for (uint32_t i = 0; i < record->vector_count; i++) {
            if (record->vectors[i].space != put->collection->spaces[s]) continue;
            crn_row_vector_add(&sum, record->vectors[i].space, put->vector_digests[i]);
        }
    }
    put->vectors = sum.sum;
}

static cairn_status digest_row(struct put *put, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t vectors;

    if (put->vectors_unchanged && !put->inserts) {
        CRN_TRY(crn_conn_statement(put->txn->conn, "SELECT vectors FROM points WHERE key=?1", &stmt, err));
        sqlite3_bind_int64(stmt, 1, put->key);
        CRN_TRY(crn_conn_value(put->txn->conn, stmt, 0, &vectors, err));
        put->vectors = (uint64_t)vectors;
    } else {
        digest_vectors(put);
    }
    put->body = crn_row_body_digest(put->record->text, put->text_len, put->record->payload, put->payload_len);
    const struct crn_row_digest_parts parts = {
        .key = put->key, .id = &put->id, .vectors = put->vectors, .body = put->body};
    put->record->digest = crn_row_digest(put->record, &parts);
    return CAIRN_OK;
}

/* ---- the indexes over text and payload ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Takes out what the step's row, as it is stored, has in the indexes. */
static cairn_status unindex_step(struct crn_txn *txn, const struct crn_txn_collection *collection,
                                 uint32_t local, struct put *put, sqlite3_stmt *stmt, cairn_error *err)
{
    const int64_t key = crn_key(collection->id, local);
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    const char *payload = (const char *)sqlite3_column_text(stmt, 1);

    if (sqlite3_errcode(txn->conn->db) == SQLITE_NOMEM) return crn_error_no_memory(err, CAIRN_TEXT_MAX);
    if (put != NULL) {
        put->text_kept = same_text(text, put->record->text);
        put->payload_kept = same_text(payload, put->record->payload);
    }
    if (collection->lexical && text != NULL && (put == NULL || !put->text_kept)) {
        CRN_TRY(crn_txn_lexical_change(txn, collection->id, local, text, false, err));
    }
    if (payload == NULL || (put != NULL && put->payload_kept)) return CAIRN_OK;
    return crn_txn_values_change(txn, collection->indexes, collection->index_count, key, payload, false, err);
}

/* Takes a row out of the indexes its collection has, before it is deleted or (with `put`) replaced: then what
 * stays the same stays in. Costs nothing when the collection has none. */
static cairn_status unindex(struct crn_txn *txn, const struct crn_txn_collection *collection, uint32_t local,
                            struct put *put, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    if (!collection->lexical && collection->index_count == 0) return CAIRN_OK;
    CRN_TRY(crn_conn_statement(txn->conn, "SELECT text, payload FROM points WHERE key=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(collection->id, local));
    CRN_TRY(crn_conn_step(txn->conn, stmt, &row, err));
    if (!row) return CAIRN_OK;
    cairn_status status = unindex_step(txn, collection, local, put, stmt, err);
    sqlite3_reset(stmt);
    return status;
}

static cairn_status index_row(const struct put *put, cairn_error *err)
{
    const struct crn_txn_collection *collection = put->collection;
    const struct crn_record *record = put->record;

    if (collection->lexical && record->text != NULL && !put->text_kept) {
        CRN_TRY(crn_txn_lexical_change(put->txn, collection->id, record->local, record->text, true, err));
    }
    if (record->payload == NULL || put->payload_kept) return CAIRN_OK;
    return crn_txn_values_change(put->txn, collection->indexes, collection->index_count, put->key,
                                 record->payload, true, err);
}

/* ---- points, vecs, usage ---- */

static void bind_optional(sqlite3_stmt *stmt, int parameter, const char *text, size_t len)
{
    if (text != NULL) {
        sqlite3_bind_text(stmt, parameter, text, (int)len, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(stmt, parameter);
    }
}

static void bind_nonzero(sqlite3_stmt *stmt, int parameter, uint64_t value)
{
    if (value != 0) {
        sqlite3_bind_int64(stmt, parameter, (int64_t)value);
    } else {
        sqlite3_bind_null(stmt, parameter);
    }
}

/* An update leaves collection and id alone, and finds the row only under the id that it has. */
static const char insert_sql[] =
    "INSERT INTO points(key, collection, id, domain, agent, type, confidence, created_at, expires_at,"
    " version, digest, vectors, body, text, payload)"
    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)";
static const char update_sql[] =
    "UPDATE points SET domain=?4, agent=?5, type=?6, confidence=?7, created_at=?8, expires_at=?9,"
    " version=?10, digest=?11, vectors=?12, body=?13, text=?14, payload=?15"
    " WHERE key=?1 AND collection=?2 AND id=?3";

static cairn_status write_point(const struct put *put, cairn_error *err)
{
    const struct crn_record *record = put->record;
    struct crn_conn *conn = put->txn->conn;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(conn, put->inserts ? insert_sql : update_sql, &stmt, err));
    sqlite3_bind_int64(stmt, 1, put->key);
    sqlite3_bind_int64(stmt, 2, put->collection->id);
    crn_row_id_bind(stmt, 3, &put->id);
    sqlite3_bind_int64(stmt, 4, put->domain);
    sqlite3_bind_int64(stmt, 5, put->agent);
    sqlite3_bind_int64(stmt, 6, put->type);
    sqlite3_bind_double(stmt, 7, record->confidence);
    sqlite3_bind_int64(stmt, 8, record->created_at_ms);
    bind_nonzero(stmt, 9, (uint64_t)record->expires_at_ms);
    sqlite3_bind_int64(stmt, 10, (int64_t)record->version);
    sqlite3_bind_int64(stmt, 11, (int64_t)record->digest);
    bind_nonzero(stmt, 12, put->vectors);
    bind_nonzero(stmt, 13, put->body);
    bind_optional(stmt, 14, record->text, put->text_len);
    bind_optional(stmt, 15, record->payload, put->payload_len);
    cairn_status status = crn_conn_run(conn, stmt, err);
    if (status != CAIRN_OK) {
        if (sqlite3_extended_errcode(conn->db) != SQLITE_CONSTRAINT_UNIQUE) return status;
        return crn_error_set(err, CAIRN_EXISTS, "the collection has a row with this id already");
    }
    if (sqlite3_changes(conn->db) == 1) return CAIRN_OK;
    return crn_error_set(err, CAIRN_NOT_FOUND, "there is no row %u with this id", record->local);
}

static cairn_status write_vectors(const struct put *put, cairn_error *err)
{
    const struct crn_record *record = put->record;
    struct crn_conn *conn = put->txn->conn;
    sqlite3_stmt *stmt;

    for (uint32_t i = 0; i < record->vector_count; i++) {
        const struct crn_vector_data *vector = &record->vectors[i];
        CRN_TRY(crn_conn_statement(conn, "INSERT OR REPLACE INTO vecs(key, digest, data) VALUES(?1,?2,?3)",
                                   &stmt, err));
        sqlite3_bind_int64(stmt, 1, crn_key(vector->space, record->local));
        sqlite3_bind_int64(stmt, 2, (int64_t)put->vector_digests[i]);
        sqlite3_bind_blob(stmt, 3, vector->data, (int)vector->size, SQLITE_STATIC);
        CRN_TRY(crn_conn_run(conn, stmt, err));
    }
    return CAIRN_OK;
}

static bool gives_vector(const struct crn_record *record, uint32_t space)
{
    for (uint32_t i = 0; i < record->vector_count; i++) {
        if (record->vectors[i].space == space) return true;
    }
    return false;
}

/* Deletes the row's vectors but those of `keep` (NULL: all). */
static cairn_status delete_vectors(struct crn_txn *txn, const struct crn_txn_collection *collection,
                                   uint32_t local, const struct crn_record *keep, cairn_error *err)
{
    sqlite3_stmt *stmt;

    for (uint32_t i = 0; i < collection->space_count; i++) {
        if (keep != NULL && gives_vector(keep, collection->spaces[i])) continue;
        CRN_TRY(crn_conn_statement(txn->conn, "DELETE FROM vecs WHERE key=?1", &stmt, err));
        sqlite3_bind_int64(stmt, 1, crn_key(collection->spaces[i], local));
        CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    }
    return CAIRN_OK;
}

static cairn_status delete_usage(struct crn_txn *txn, int64_t key, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, "DELETE FROM usage WHERE key=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, key);
    return crn_conn_run(txn->conn, stmt, err);
}

static cairn_status write_usage(const struct put *put, cairn_error *err)
{
    const struct crn_record *record = put->record;
    sqlite3_stmt *stmt;

    if ((record->usage_count | record->success_count | record->last_used_ms) == 0) {
        return put->inserts ? CAIRN_OK : delete_usage(put->txn, put->key, err);
    }
    CRN_TRY(crn_conn_statement(put->txn->conn,
                               "INSERT OR REPLACE INTO usage(key, usage_count, success_count, last_used)"
                               " VALUES(?1,?2,?3,?4)",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, put->key);
    sqlite3_bind_int64(stmt, 2, record->usage_count);
    sqlite3_bind_int64(stmt, 3, record->success_count);
    sqlite3_bind_int64(stmt, 4, record->last_used_ms);
    return crn_conn_run(put->txn->conn, stmt, err);
}

/* ---- the calls ---- */

cairn_status crn_txn_put(struct crn_txn *txn, const struct crn_catalog *catalog, struct crn_record *record,
                         bool vectors_unchanged, cairn_error *err)
{
    struct put put = {.txn = txn, .record = record, .vectors_unchanged = vectors_unchanged};

    CRN_TRY(crn_txn_collection_get(txn, catalog->id, &put.collection, err));
    CRN_TRY(check_record(&put, err));
    CRN_TRY(crn_names_intern(txn->conn, record->domain, &put.domain, err));
    CRN_TRY(crn_names_intern(txn->conn, record->agent, &put.agent, err));
    CRN_TRY(crn_names_intern(txn->conn, record->type, &put.type, err));
    CRN_TRY(give_local(&put, err));
    CRN_TRY(digest_row(&put, err));
    if (!put.inserts) CRN_TRY(unindex(txn, put.collection, record->local, &put, err));
    CRN_TRY(write_point(&put, err));
    put.collection->rows += put.inserts;
    if (!vectors_unchanged) {
        if (!put.inserts) CRN_TRY(delete_vectors(txn, put.collection, record->local, record, err));
        CRN_TRY(write_vectors(&put, err));
    }
    CRN_TRY(write_usage(&put, err));
    CRN_TRY(index_row(&put, err));
    const bool set = vectors_unchanged && !put.inserts;
    return crn_txn_log(txn, set ? CRN_LOG_SET : CRN_LOG_PUT, put.key, record->version, record->digest, err);
}

static cairn_status delete_point(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t local,
                                 uint64_t *out_version, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(txn->conn, "DELETE FROM points WHERE key=?1 RETURNING version", &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(catalog->id, local));
    CRN_TRY(crn_conn_step(txn->conn, stmt, &row, err));
    if (!row)
        return crn_error_set(err, CAIRN_NOT_FOUND, "collection \"%s\" has no row %u", catalog->name, local);
    *out_version = (uint64_t)sqlite3_column_int64(stmt, 0);
    return crn_conn_run(txn->conn, stmt, err);
}

cairn_status crn_txn_delete(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t local,
                            cairn_error *err)
{
    const int64_t key = crn_key(catalog->id, local);
    struct crn_txn_collection *collection;
    uint64_t version = 0;

    CRN_TRY(crn_txn_collection_get(txn, catalog->id, &collection, err));
    CRN_TRY(unindex(txn, collection, local, NULL, err));
    CRN_TRY(delete_point(txn, catalog, local, &version, err));
    CRN_TRY(delete_vectors(txn, collection, local, NULL, err));
    CRN_TRY(delete_usage(txn, key, err));
    collection->rows--;
    collection->changed = true;
    txn->bytes += 256;
    return crn_txn_log(txn, CRN_LOG_DELETE, key, version, 0, err);
}

cairn_status crn_txn_use(struct crn_txn *txn, uint32_t collection, uint32_t local, int64_t uses,
                         int64_t last_used_ms, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(
        txn->conn,
        "INSERT INTO usage(key, usage_count, success_count, last_used)"
        " SELECT key, ?2, 0, ?3 FROM points WHERE key=?1 ON CONFLICT(key) DO UPDATE SET"
        " usage_count=usage_count+excluded.usage_count, last_used=max(last_used, excluded.last_used)",
        &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(collection, local));
    sqlite3_bind_int64(stmt, 2, uses);
    sqlite3_bind_int64(stmt, 3, last_used_ms);
    return crn_conn_run(txn->conn, stmt, err);
}
