/*
 * The indexes over what rows say: values of payloads, words of texts. Both are taken out by the old row and
 * put in by the new one.
 */
#include "storage/store_internal.h"

#include "base/error.h"

#include <string.h>

static cairn_status change_value(struct crn_txn *txn, uint32_t index, int64_t key,
                                 const struct crn_payload_value *value, bool add, cairn_error *err)
{
    static const char insert[] = "INSERT INTO payload_values(idx, value, key) VALUES(?1,?2,?3)";
    static const char delete[] = "DELETE FROM payload_values WHERE idx=?1 AND value=?2 AND key=?3";
    struct crn_payload_tagged tagged;
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, add ? insert : delete, &stmt, err));
    sqlite3_bind_int64(stmt, 1, index);
    crn_payload_value_bind(stmt, 2, value, &tagged);
    sqlite3_bind_int64(stmt, 3, key);
    txn->bytes += 32;
    return crn_conn_run(txn->conn, stmt, err);
}

static cairn_status change_index(struct crn_txn *txn, const struct crn_payload_index *index, int64_t key,
                                 struct crn_json payload, bool add, cairn_error *err)
{
    CRN_TRY(crn_payload_values_collect(payload, index->path, &txn->values, err));
    for (size_t i = 0; i < txn->values.count; i++) {
        CRN_TRY(change_value(txn, index->id, key, &txn->values.items[i], add, err));
    }
    return CAIRN_OK;
}

cairn_status crn_txn_values_change(struct crn_txn *txn, const struct crn_payload_index *indexes,
                                   uint32_t index_count, int64_t key, const char *payload, bool add,
                                   cairn_error *err)
{
    struct crn_json root;

    if (index_count == 0) return CAIRN_OK;
    if (txn->parser == NULL) txn->parser = crn_json_parser_create();
    if (txn->parser == NULL) return crn_error_no_memory(err, strlen(payload));
    CRN_TRY(crn_json_parse(txn->parser, payload, strlen(payload), &root, err));
    for (uint32_t i = 0; i < index_count; i++) CRN_TRY(change_index(txn, &indexes[i], key, root, add, err));
    return CAIRN_OK;
}

/* The table keeps no texts: to take one out it has to be told the text that it was given. */
cairn_status crn_txn_lexical_change(struct crn_txn *txn, uint32_t collection, uint32_t local,
                                    const char *text, bool add, cairn_error *err)
{
    static const char insert[] = "INSERT INTO fts_%u(rowid, text) VALUES(?1,?2)";
    static const char delete[] = "INSERT INTO fts_%u(fts_%u, rowid, text) VALUES('delete',?1,?2)";
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement_n(txn->conn, add ? insert : delete, collection, &stmt, err));
    sqlite3_bind_int64(stmt, 1, local);
    sqlite3_bind_text(stmt, 2, text, -1, SQLITE_STATIC);
    txn->bytes += strlen(text);
    return crn_conn_run(txn->conn, stmt, err);
}
