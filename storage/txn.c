/*
 * The writer's transaction: beginning and ending it, what it remembers of collections, and the log.
 */
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* ---- remembering collections ---- */

static void release_collection(struct crn_txn_collection *collection)
{
    for (uint32_t i = 0; i < collection->index_count; i++) crn_mem_free(collection->indexes[i].path);
    crn_mem_free(collection->indexes);
    *collection = (struct crn_txn_collection){0};
}

static void forget_collections(struct crn_txn *txn)
{
    for (uint32_t i = 0; i < txn->collection_count; i++) release_collection(&txn->collections[i]);
    txn->collection_count = 0;
}

void crn_txn_forget(struct crn_txn *txn)
{
    forget_collections(txn);
    crn_names_clear(txn->conn);
    txn->data_version = -1;
}

void crn_txn_release(struct crn_txn *txn)
{
    if (txn->conn == NULL) return;
    crn_txn_forget(txn);
    crn_payload_values_release(&txn->values);
    crn_kept_release(&txn->kept);
    crn_json_parser_free(txn->parser);
    txn->parser = NULL;
}

static cairn_status add_space(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct crn_txn_collection *collection = ctx;

    if (collection->space_count == CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_CORRUPT, "collection %u has more than %u spaces", collection->id,
                             CAIRN_SPACES_MAX);
    }
    collection->spaces[collection->space_count++] = (uint32_t)sqlite3_column_int64(stmt, 0);
    return CAIRN_OK;
}

static cairn_status add_index(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct crn_txn_collection *collection = ctx;
    const uint32_t count = collection->index_count;
    struct crn_payload_index *grown = crn_mem_realloc_array(collection->indexes, count + 1, sizeof *grown);

    if (grown == NULL) return crn_error_no_memory(err, (count + 1) * sizeof *grown);
    collection->indexes = grown;
    grown[count].id = (uint32_t)sqlite3_column_int64(stmt, 0);
    grown[count].path = crn_mem_strdup((const char *)sqlite3_column_text(stmt, 1));
    if (grown[count].path == NULL) return crn_error_no_memory(err, CRN_PAYLOAD_PATH_MAX);
    collection->index_count++;
    return CAIRN_OK;
}

static cairn_status read_parts(struct crn_txn *txn, struct crn_txn_collection *collection, const char *sql,
                               crn_conn_row_fn add, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, sql, &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection->id);
    return crn_conn_each(txn->conn, stmt, add, collection, err);
}

static cairn_status read_collection(struct crn_txn *txn, struct crn_txn_collection *collection,
                                    cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(txn->conn,
                               "SELECT lexical, next_local, rows, settings_seq FROM collections WHERE id=?1",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection->id);
    CRN_TRY(crn_conn_step(txn->conn, stmt, &row, err));
    if (!row) {
        return crn_error_set(err, CAIRN_NO_COLLECTION, "collection number %u is gone: it was dropped",
                             collection->id);
    }
    collection->lexical = sqlite3_column_int64(stmt, 0) != 0;
    collection->next_local = (uint64_t)sqlite3_column_int64(stmt, 1);
    collection->rows = (uint64_t)sqlite3_column_int64(stmt, 2);
    collection->settings_sequence = (uint64_t)sqlite3_column_int64(stmt, 3);
    sqlite3_reset(stmt);
    CRN_TRY(
        read_parts(txn, collection, "SELECT id FROM spaces WHERE collection=?1 ORDER BY id", add_space, err));
    return read_parts(txn, collection, "SELECT id, path FROM payload_indexes WHERE collection=?1 ORDER BY id",
                      add_index, err);
}

static cairn_status write_collections(struct crn_txn *txn, cairn_error *err)
{
    sqlite3_stmt *stmt;

    for (uint32_t i = 0; i < txn->collection_count; i++) {
        struct crn_txn_collection *collection = &txn->collections[i];
        if (!collection->changed) continue;
        CRN_TRY(crn_conn_statement(txn->conn, "UPDATE collections SET next_local=?2, rows=?3 WHERE id=?1",
                                   &stmt, err));
        sqlite3_bind_int64(stmt, 1, collection->id);
        sqlite3_bind_int64(stmt, 2, (int64_t)collection->next_local);
        sqlite3_bind_int64(stmt, 3, (int64_t)collection->rows);
        CRN_TRY(crn_conn_run(txn->conn, stmt, err));
        collection->changed = false;
    }
    return CAIRN_OK;
}

cairn_status crn_txn_collection_get(struct crn_txn *txn, uint32_t id, struct crn_txn_collection **out,
                                    cairn_error *err)
{
    for (uint32_t i = 0; i < txn->collection_count; i++) {
        *out = &txn->collections[i];
        if ((*out)->id == id) return CAIRN_OK;
    }
    if (txn->collection_count == CRN_TXN_COLLECTIONS) {
        CRN_TRY(write_collections(txn, err));
        forget_collections(txn);
    }
    *out = &txn->collections[txn->collection_count];
    (*out)->id = id;
    cairn_status status = read_collection(txn, *out, err);
    if (status == CAIRN_OK) {
        txn->collection_count++;
    } else {
        release_collection(*out);
    }
    return status;
}

/* ---- beginning and ending ---- */

static cairn_status read_position(struct crn_txn *txn, cairn_error *err)
{
    uint64_t epoch;

    CRN_TRY(crn_log_last(txn->conn, &txn->sequence, err));
    CRN_TRY(crn_meta_number(txn->conn, "epoch", &epoch, err));
    txn->epoch = (int64_t)epoch;
    return CAIRN_OK;
}

static cairn_status catch_up(struct crn_txn *txn, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t version;

    CRN_TRY(crn_conn_statement(txn->conn, "PRAGMA data_version", &stmt, err));
    CRN_TRY(crn_conn_value(txn->conn, stmt, -1, &version, err));
    if (version == txn->data_version) return CAIRN_OK; /* nobody else has committed since */
    crn_txn_forget(txn);
    CRN_TRY(read_position(txn, err));
    txn->data_version = version;
    return CAIRN_OK;
}

cairn_status crn_txn_begin(struct crn_txn *txn, cairn_error *err)
{
    sqlite3_stmt *stmt;

    /* Rolling back takes memory, and there may have been none. */
    if (!sqlite3_get_autocommit(txn->conn->db)) CRN_TRY(crn_conn_exec(txn->conn, "ROLLBACK", err));
    CRN_TRY(crn_conn_statement(txn->conn, "BEGIN IMMEDIATE", &stmt, err));
    cairn_status status = crn_conn_run(txn->conn, stmt, err);
    txn->bytes = 0;
    if (status == CAIRN_OK) status = catch_up(txn, err);
    if (status != CAIRN_OK) crn_txn_rollback(txn); /* one that failed may have begun all the same */
    return status;
}

cairn_status crn_txn_finish_job(struct crn_txn *txn, cairn_error *err)
{
    return write_collections(txn, err);
}

cairn_status crn_txn_commit(struct crn_txn *txn, cairn_error *err)
{
    sqlite3_stmt *stmt;
    cairn_status status = crn_conn_statement(txn->conn, "COMMIT", &stmt, err);

    if (status == CAIRN_OK) status = crn_conn_run(txn->conn, stmt, err);
    if (status == CAIRN_OK) {
        crn_kept_clear(&txn->kept);
        return CAIRN_OK;
    }
    /* It may have been the sync that failed: then what this connection wrote is not trusted any more. */
    if ((sqlite3_errcode(txn->conn->db) & 0xff) == SQLITE_IOERR) txn->store->writer_distrusted = true;
    crn_txn_rollback(txn);
    return status;
}

void crn_txn_rollback(struct crn_txn *txn)
{
    crn_kept_clear(&txn->kept);
    crn_txn_forget(txn);
    if (sqlite3_get_autocommit(txn->conn->db)) return; /* SQLite has done it */
    sqlite3_exec(txn->conn->db, "ROLLBACK", NULL, NULL, NULL);
}

cairn_status crn_txn_keep(struct crn_txn *txn, void *object, void (*release)(void *object), cairn_error *err)
{
    return crn_kept_add(&txn->kept, object, release, err);
}

uint64_t crn_txn_sequence(const struct crn_txn *txn)
{
    return txn->sequence;
}

/* ---- the log ---- */

/* Where a collection's newest CATALOG entry stands is kept with it as well, since the log is trimmed. */
static cairn_status note_catalog(struct crn_txn *txn, uint32_t collection, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, "UPDATE collections SET settings_seq=?2 WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_int64(stmt, 2, (int64_t)txn->sequence);
    return crn_conn_run(txn->conn, stmt, err);
}

cairn_status crn_txn_log(struct crn_txn *txn, enum crn_log_op op, int64_t key, uint64_t version,
                         uint64_t digest, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(
        txn->conn, "INSERT INTO oplog(seq, epoch, op, key, version, digest) VALUES(?1,?2,?3,?4,?5,?6)", &stmt,
        err));
    sqlite3_bind_int64(stmt, 1, (int64_t)(txn->sequence + 1));
    sqlite3_bind_int64(stmt, 2, txn->epoch);
    sqlite3_bind_int64(stmt, 3, op);
    sqlite3_bind_int64(stmt, 4, key);
    sqlite3_bind_int64(stmt, 5, (int64_t)version);
    sqlite3_bind_int64(stmt, 6, (int64_t)digest);
    CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    txn->sequence++;
    return op == CRN_LOG_CATALOG ? note_catalog(txn, (uint32_t)(key >> 32), err) : CAIRN_OK;
}

/*
 * The position up to which every space with rows is covered by its segments: the sequence of its last one.
 * Nothing older is read from the log again, but for the newest entry, which tells where the log stands.
 */
static const char trim_sql[] =
    "DELETE FROM oplog WHERE seq<(SELECT max(seq) FROM oplog) AND seq<=(SELECT ifnull(min(covered), ?1) FROM"
    " (SELECT CASE WHEN EXISTS(SELECT 1 FROM segments g WHERE g.space=s.id)"
    "   THEN (SELECT seq FROM segments g WHERE g.space=s.id ORDER BY ord DESC LIMIT 1)"
    "  WHEN EXISTS(SELECT 1 FROM vecs v WHERE v.key BETWEEN s.id<<32 AND (s.id<<32)+4294967295) THEN 0"
    "  ELSE ?1 END AS covered FROM spaces s))";

cairn_status crn_txn_log_trim(struct crn_txn *txn, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, trim_sql, &stmt, err));
    sqlite3_bind_int64(stmt, 1, (int64_t)txn->sequence);
    return crn_conn_run(txn->conn, stmt, err);
}
