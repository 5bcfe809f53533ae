/*
 * Writing the list of a collection's vector spaces: adding one, and dropping one with its vectors.
 */
#include "storage/store_internal.h"

#include "base/error.h"

cairn_status crn_txn_space_insert(struct crn_txn *txn, uint32_t collection, struct crn_space *space,
                                  cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(
        crn_conn_statement(txn->conn,
                           "INSERT INTO spaces(collection, name, kind, dim, metric, quantization, index_spec,"
                           " model) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
                           &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_text(stmt, 2, space->name != NULL ? space->name : "", -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 3, (int)space->kind);
    sqlite3_bind_int64(stmt, 4, space->dim);
    sqlite3_bind_int(stmt, 5, (int)space->metric);
    sqlite3_bind_int(stmt, 6, (int)space->quantization);
    sqlite3_bind_text(stmt, 7, space->index != NULL ? space->index : "auto", -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 8, space->model, -1, SQLITE_STATIC);
    cairn_status status = crn_conn_run(txn->conn, stmt, err);
    if (status != CAIRN_OK) {
        if (sqlite3_extended_errcode(txn->conn->db) != SQLITE_CONSTRAINT_UNIQUE) return status;
        return crn_error_set(err, CAIRN_EXISTS, "there is a space \"%s\" already", space->name);
    }
    const int64_t id = sqlite3_last_insert_rowid(txn->conn->db);
    if (id > CRN_OWNERS_MAX) return crn_error_set(err, CAIRN_LIMIT, "all numbers for spaces have been used");
    space->id = (uint32_t)id;
    return CAIRN_OK;
}

cairn_status crn_txn_space_remove(struct crn_txn *txn, uint32_t space, cairn_error *err)
{
    static const char *const space_sql[] = {
        "DELETE FROM vecs WHERE key BETWEEN ?1<<32 AND (?1<<32)+4294967295",
        "DELETE FROM segments WHERE space=?1",
        "DELETE FROM spaces WHERE id=?1",
    };

    return crn_txn_run_all(txn, space_sql, sizeof space_sql / sizeof space_sql[0], space, err);
}

cairn_status crn_txn_space_check(struct crn_txn *txn, uint32_t space, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t found;

    CRN_TRY(crn_conn_statement(txn->conn, "SELECT id FROM spaces WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, space);
    CRN_TRY(crn_conn_value(txn->conn, stmt, 0, &found, err));
    if (found != 0) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "space number %u is gone: it was dropped", space);
}

cairn_status crn_txn_space_add(struct crn_txn *txn, const struct crn_catalog *catalog,
                               struct crn_space *space, cairn_error *err)
{
    struct crn_txn_collection *collection;

    CRN_TRY(crn_txn_collection_get(txn, catalog->id, &collection, err));
    if (collection->space_count == CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a collection has at most %u spaces", CAIRN_SPACES_MAX);
    }
    CRN_TRY(crn_txn_space_insert(txn, catalog->id, space, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}

/* ---- dropping one ---- */

struct dropping {
    struct crn_txn *txn;
    const struct crn_txn_collection *collection;
    uint32_t space;
};

/* The digest over the row's vectors without the dropped one's. */
static cairn_status sum_others(const struct dropping *dropping, uint32_t local, uint64_t *out_sum,
                               cairn_error *err)
{
    struct crn_row_vector_sum sum = {0};
    struct crn_conn *conn = dropping->txn->conn;
    sqlite3_stmt *stmt;
    bool row;

    for (uint32_t i = 0; i < dropping->collection->space_count; i++) {
        const uint32_t space = dropping->collection->spaces[i];
        if (space == dropping->space) continue;
        CRN_TRY(crn_conn_statement(conn, "SELECT digest FROM vecs WHERE key=?1", &stmt, err));
        sqlite3_bind_int64(stmt, 1, crn_key(space, local));
        CRN_TRY(crn_conn_step(conn, stmt, &row, err));
        if (row) crn_row_vector_add(&sum, space, (uint64_t)sqlite3_column_int64(stmt, 0));
        sqlite3_reset(stmt);
    }
    *out_sum = sum.sum;
    return CAIRN_OK;
}

/* The step's row without the dropped vector: its digests are those that it is to have. A text id lives as long as the step. */
static cairn_status decode_without(const struct dropping *dropping, uint32_t local, sqlite3_stmt *step,
                                   struct crn_row *out, cairn_error *err)
{
    const struct crn_record *record = &out->record;
    struct crn_row_id id;

    CRN_TRY(crn_row_decode(dropping->txn->conn, step, false, out, err));
    if (out->damage != NULL) return CAIRN_OK; /* told when the step is over */
    CRN_TRY(sum_others(dropping, local, &out->vectors, err));
    CRN_TRY(crn_row_id_set(&id, record->id_type, record->id, record->id_len, record->id_u64, err));
    const struct crn_row_digest_parts parts = {.key = crn_key(dropping->collection->id, local),
                                               .id = &id,
                                               .vectors = out->vectors,
                                               .body = out->body};
    out->record.digest = crn_row_digest(record, &parts);
    return CAIRN_OK;
}

static cairn_status read_without(const struct dropping *dropping, uint32_t local, struct crn_row *out,
                                 cairn_error *err)
{
    struct crn_conn *conn = dropping->txn->conn;
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(crn_conn_statement(conn, "SELECT " CRN_ROW_COLUMNS CRN_ROW_FROM "WHERE p.key=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(dropping->collection->id, local));
    CRN_TRY(crn_conn_step(conn, stmt, &found, err));
    if (!found) return crn_error_set(err, CAIRN_CORRUPT, "row %u has a vector and is not there", local);
    const cairn_status status = decode_without(dropping, local, stmt, out, err);
    sqlite3_reset(stmt);
    if (status != CAIRN_OK || out->damage == NULL) return status;
    return crn_row_corrupt(conn, dropping->collection->id, local, out->damage, err);
}

/* The row's digests without the vector. Its version stays: it is the collection that changed. */
static cairn_status forget_vector(void *ctx, sqlite3_stmt *step, cairn_error *err)
{
    const struct dropping *dropping = ctx;
    const uint32_t local = (uint32_t)sqlite3_column_int64(step, 0);
    const int64_t key = crn_key(dropping->collection->id, local);
    struct crn_row row;
    sqlite3_stmt *stmt;

    CRN_TRY(read_without(dropping, local, &row, err));
    CRN_TRY(crn_conn_statement(dropping->txn->conn, "UPDATE points SET vectors=?2, digest=?3 WHERE key=?1",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, key);
    if (row.vectors != 0)
        sqlite3_bind_int64(stmt, 2, (int64_t)row.vectors);
    else
        sqlite3_bind_null(stmt, 2);
    sqlite3_bind_int64(stmt, 3, (int64_t)row.record.digest);
    CRN_TRY(crn_conn_run(dropping->txn->conn, stmt, err));
    dropping->txn->bytes += 256;
    return crn_txn_log(dropping->txn, CRN_LOG_SET, key, row.record.version, row.record.digest, err);
}

cairn_status crn_txn_space_drop(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t space,
                                cairn_error *err)
{
    struct crn_txn_collection *collection;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_txn_space_check(txn, space, err));
    CRN_TRY(crn_txn_collection_get(txn, catalog->id, &collection, err));
    if (collection->space_count == 1) {
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "a collection keeps one space at least, and collection \"%s\" has no other",
                             catalog->name);
    }
    struct dropping dropping = {.txn = txn, .collection = collection, .space = space};
    CRN_TRY(crn_conn_statement(
        txn->conn, "SELECT key & 4294967295 FROM vecs WHERE key BETWEEN ?1<<32 AND (?1<<32)+4294967295",
        &stmt, err));
    sqlite3_bind_int64(stmt, 1, space);
    CRN_TRY(crn_conn_each(txn->conn, stmt, forget_vector, &dropping, err));
    CRN_TRY(crn_txn_space_remove(txn, space, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}
