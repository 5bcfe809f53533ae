/*
 * Verifying the indexes over payloads and texts: what they hold is exactly what the rows say.
 */
#include "storage/verify.h"

#include "base/error.h"

#include <string.h>

/* ---- payload indexes: each value of each row is there, and there are no more ---- */

struct values_check {
    struct crn_verify *verify;
    const struct crn_catalog *catalog;
    const struct crn_payload_index *index;
    struct crn_json_parser *parser;
    struct crn_payload_values values;
    uint64_t expected;
};

static cairn_status check_value(struct values_check *check, int64_t key,
                                const struct crn_payload_value *value)
{
    struct crn_conn *conn = &check->verify->reader->conn;
    struct crn_payload_tagged tagged;
    sqlite3_stmt *stmt;
    int64_t there;

    CRN_TRY(crn_conn_statement(conn, "SELECT 1 FROM payload_values WHERE idx=?1 AND value=?2 AND key=?3",
                               &stmt, check->verify->err));
    sqlite3_bind_int64(stmt, 1, check->index->id);
    crn_payload_value_bind(stmt, 2, value, &tagged);
    sqlite3_bind_int64(stmt, 3, key);
    CRN_TRY(crn_conn_value(conn, stmt, 0, &there, check->verify->err));
    if (!there) {
        crn_verify_found(check->verify,
                         "collection \"%s\", payload index \"%s\": a value of row %u is missing",
                         check->catalog->name, check->index->path, (uint32_t)key);
    }
    return CAIRN_OK;
}

static cairn_status check_payload(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct values_check *check = ctx;
    const int64_t key = sqlite3_column_int64(stmt, 0);
    const char *payload = (const char *)sqlite3_column_text(stmt, 1);
    struct crn_json root;

    if (payload == NULL) return crn_error_no_memory(err, (size_t)sqlite3_column_bytes(stmt, 1));
    cairn_status status = crn_json_parse(check->parser, payload, strlen(payload), &root, err);
    if (status == CAIRN_NO_MEMORY) return status;
    if (status != CAIRN_OK) {
        crn_verify_found(check->verify, "collection \"%s\", row %u: its payload is no JSON",
                         check->catalog->name, (uint32_t)key);
        return CAIRN_OK;
    }
    CRN_TRY(crn_payload_values_collect(root, check->index->path, &check->values, err));
    for (size_t i = 0; i < check->values.count; i++)
        CRN_TRY(check_value(check, key, &check->values.items[i]));
    check->expected += check->values.count;
    return crn_verify_step(check->verify);
}

static cairn_status check_payloads(struct values_check *check)
{
    struct crn_conn *conn = &check->verify->reader->conn;
    cairn_error *err = check->verify->err;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(
        conn, "SELECT key, payload FROM points WHERE payload IS NOT NULL AND key BETWEEN ?1 AND ?2", &stmt,
        err));
    sqlite3_bind_int64(stmt, 1, crn_key(check->catalog->id, 0));
    sqlite3_bind_int64(stmt, 2, crn_key(check->catalog->id, UINT32_MAX));
    return crn_conn_each(conn, stmt, check_payload, check, err);
}

static cairn_status check_count(const struct values_check *check)
{
    struct crn_conn *conn = &check->verify->reader->conn;
    sqlite3_stmt *stmt;
    int64_t count;

    CRN_TRY(crn_conn_statement(conn, "SELECT count(*) FROM payload_values WHERE idx=?1", &stmt,
                               check->verify->err));
    sqlite3_bind_int64(stmt, 1, check->index->id);
    CRN_TRY(crn_conn_value(conn, stmt, 0, &count, check->verify->err));
    if ((uint64_t)count != check->expected) {
        crn_verify_found(
            check->verify, "collection \"%s\", payload index \"%s\": it holds %lld values instead of %llu",
            check->catalog->name, check->index->path, (long long)count, (unsigned long long)check->expected);
    }
    return CAIRN_OK;
}

static cairn_status check_index(struct crn_verify *verify, const struct crn_catalog *catalog,
                                const struct crn_payload_index *index)
{
    struct values_check check = {
        .verify = verify, .catalog = catalog, .index = index, .parser = crn_json_parser_create()};
    cairn_status status;

    if (check.parser == NULL) return crn_error_no_memory(verify->err, 1);
    status = crn_verify_phase(verify, "payload indexes", 0);
    if (status == CAIRN_OK) status = crn_verify_absorb(verify, check_payloads(&check), index->path);
    if (status == CAIRN_OK) status = crn_verify_absorb(verify, check_count(&check), index->path);
    crn_payload_values_release(&check.values);
    crn_json_parser_free(check.parser);
    return status;
}

/* ---- the lexical index ---- */

/* FTS5 checks itself by an insert that inserts nothing, which wants a connection that may write: the
 * writer's, in a transaction that is taken back. */
static cairn_status check_structure(struct crn_verify *verify, const struct crn_catalog *catalog)
{
    struct crn_store *store = verify->store;

    CRN_TRY(crn_write_lock_acquire(&store->lock, store->busy_timeout_ms, verify->err));
    cairn_status status = crn_writer_ready(store, verify->err);
    if (status == CAIRN_OK) status = crn_txn_begin(&store->txn, verify->err);
    if (status == CAIRN_OK) {
        status =
            crn_txn_collection_check(&store->txn, catalog->id, verify->err); /* dropped since the snapshot? */
        if (status == CAIRN_OK) {
            status = crn_conn_exec_n(&store->writer, "INSERT INTO fts_%u(fts_%u) VALUES('integrity-check')",
                                     catalog->id, verify->err);
        }
        if (status == CAIRN_NO_COLLECTION) status = CAIRN_OK;
        crn_txn_rollback(&store->txn);
    }
    crn_write_lock_drop(&store->lock);
    return status;
}

static cairn_status check_lexical(struct crn_verify *verify, const struct crn_catalog *catalog)
{
    CRN_TRY(crn_verify_phase(verify, "lexical index", 0));
    CRN_TRY(crn_verify_none(
        verify,
        "SELECT key&4294967295 FROM points WHERE key BETWEEN %u<<32 AND (%u<<32)+4294967295"
        " AND text IS NOT NULL AND NOT EXISTS(SELECT 1 FROM fts_%u_docsize d WHERE d.id=key&4294967295)",
        catalog->id, "the lexical index lacks a row"));
    CRN_TRY(crn_verify_none(verify,
                            "SELECT id FROM fts_%u_docsize d WHERE NOT EXISTS"
                            "(SELECT 1 FROM points WHERE key=(%u<<32)+d.id AND text IS NOT NULL)",
                            catalog->id, "the lexical index has a row without text"));
    if (verify->store->read_only) return CAIRN_OK; /* told in docs/STORAGE.md */
    return crn_verify_absorb(verify, check_structure(verify, catalog), "the lexical index");
}

cairn_status crn_verify_indexes(struct crn_verify *verify, const struct crn_catalog *catalog)
{
    for (uint32_t i = 0; i < catalog->index_count; i++)
        CRN_TRY(check_index(verify, catalog, &catalog->indexes[i]));
    return catalog->lexical ? check_lexical(verify, catalog) : CAIRN_OK;
}
