/*
 * Writing collections' settings: making and dropping collections, payload indexes, models, lists of segments.
 */
#include "storage/store_internal.h"

#include "base/clock.h"
#include "base/error.h"

#include <string.h>

/*
 * Porter stems on top of unicode61: patterns are mostly described in English, where "compiles" is to be found
 * by "compiling". Stemming touches words of ASCII letters alone; accents are dropped in all scripts.
 * Contentless, because the texts are in `points` already.
 */
static const char fts_create[] = "CREATE VIRTUAL TABLE fts_%u USING fts5(text, content='',"
                                 " tokenize='porter unicode61 remove_diacritics 2')";

cairn_status crn_txn_log_catalog(struct crn_txn *txn, uint32_t collection, cairn_error *err)
{
    CRN_TRY(crn_txn_finish_job(txn, err));
    crn_txn_forget(txn); /* what was remembered of the collection is out of date */
    return crn_txn_log(txn, CRN_LOG_CATALOG, crn_key(collection, 0), 0, 0, err);
}

/* ---- reading inside the transaction ---- */

cairn_status crn_txn_collection_check(struct crn_txn *txn, uint32_t collection, cairn_error *err)
{
    struct crn_txn_collection *known;

    return crn_txn_collection_get(txn, collection, &known, err);
}

cairn_status crn_txn_settings_sequence(struct crn_txn *txn, uint32_t collection, uint64_t *out_sequence,
                                       cairn_error *err)
{
    struct crn_txn_collection *known;

    CRN_TRY(crn_txn_collection_get(txn, collection, &known, err));
    *out_sequence = known->settings_sequence;
    return CAIRN_OK;
}

cairn_status crn_txn_collection(struct crn_txn *txn, uint32_t collection, struct crn_catalog *out_catalog,
                                cairn_error *err)
{
    return crn_catalog_read(txn->conn, NULL, collection, out_catalog, err);
}

/* ---- making a collection ---- */

/* What a statement's failure means that gives a collection a name. */
static cairn_status name_taken(struct crn_txn *txn, cairn_status status, const char *name, cairn_error *err)
{
    if (sqlite3_extended_errcode(txn->conn->db) != SQLITE_CONSTRAINT_UNIQUE) return status;
    return crn_error_set(err, CAIRN_EXISTS, "there is a collection \"%s\" already", name);
}

static cairn_status insert_collection(struct crn_txn *txn, struct crn_catalog *catalog, cairn_error *err)
{
    sqlite3_stmt *stmt;

    catalog->created_at_ms = crn_clock_ms();
    CRN_TRY(
        crn_conn_statement(txn->conn,
                           "INSERT INTO collections(name, lexical, metadata, next_local, rows, created_at)"
                           " VALUES(?1,?2,?3,1,0,?4)",
                           &stmt, err));
    sqlite3_bind_text(stmt, 1, catalog->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, catalog->lexical);
    sqlite3_bind_text(stmt, 3, catalog->metadata, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, catalog->created_at_ms);
    const cairn_status status = crn_conn_run(txn->conn, stmt, err);
    if (status != CAIRN_OK) return name_taken(txn, status, catalog->name, err);
    const int64_t id = sqlite3_last_insert_rowid(txn->conn->db);
    if (id > CRN_OWNERS_MAX)
        return crn_error_set(err, CAIRN_LIMIT, "all numbers for collections have been used");
    catalog->id = (uint32_t)id;
    return CAIRN_OK;
}

static cairn_status create_lexical(struct crn_txn *txn, const struct crn_catalog *catalog, cairn_error *err)
{
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) {
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "this SQLite is built without FTS5, which a lexical index needs");
    }
    return crn_conn_exec_n(txn->conn, fts_create, catalog->id, err);
}

cairn_status crn_txn_collection_create(struct crn_txn *txn, struct crn_catalog *catalog, cairn_error *err)
{
    if (catalog->space_count > CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a collection has %u spaces, more than %u",
                             catalog->space_count, CAIRN_SPACES_MAX);
    }
    CRN_TRY(insert_collection(txn, catalog, err));
    for (uint32_t i = 0; i < catalog->space_count; i++) {
        CRN_TRY(crn_txn_space_insert(txn, catalog->id, &catalog->spaces[i], err));
    }
    if (catalog->lexical) CRN_TRY(create_lexical(txn, catalog, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}

/* ---- dropping one ---- */

cairn_status crn_txn_run_all(struct crn_txn *txn, const char *const *sql, size_t count, uint32_t number,
                             cairn_error *err)
{
    sqlite3_stmt *stmt;

    for (size_t i = 0; i < count; i++) {
        CRN_TRY(crn_conn_statement(txn->conn, sql[i], &stmt, err));
        sqlite3_bind_int64(stmt, 1, number);
        CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    }
    return CAIRN_OK;
}

static cairn_status drop_spaces(struct crn_txn *txn, const struct crn_txn_collection *collection,
                                cairn_error *err)
{
    for (uint32_t i = 0; i < collection->space_count; i++) {
        CRN_TRY(crn_txn_space_remove(txn, collection->spaces[i], err));
    }
    return CAIRN_OK;
}

cairn_status crn_txn_collection_drop(struct crn_txn *txn, const struct crn_catalog *catalog, cairn_error *err)
{
    static const char *const collection_sql[] = {
        "DELETE FROM payload_values WHERE idx IN (SELECT id FROM payload_indexes WHERE collection=?1)",
        "DELETE FROM payload_indexes WHERE collection=?1",
        "DELETE FROM usage WHERE key BETWEEN ?1<<32 AND (?1<<32)+4294967295",
        "DELETE FROM points WHERE key BETWEEN ?1<<32 AND (?1<<32)+4294967295",
        "DELETE FROM trajectories WHERE collection=?1",
        "DELETE FROM collections WHERE id=?1",
    };
    struct crn_txn_collection *collection;

    CRN_TRY(crn_txn_collection_get(txn, catalog->id, &collection, err));
    const bool lexical = collection->lexical;
    CRN_TRY(drop_spaces(txn, collection, err));
    CRN_TRY(crn_txn_run_all(txn, collection_sql, sizeof collection_sql / sizeof collection_sql[0],
                            catalog->id, err));
    CRN_TRY(crn_txn_log_catalog(txn, catalog->id, err));
    if (!lexical) return CAIRN_OK;
    crn_conn_forget(txn->conn); /* its statements on the table */
    return crn_conn_exec_n(txn->conn, "DROP TABLE fts_%u", catalog->id, err);
}

/* ---- changing one ---- */

cairn_status crn_txn_collection_rename(struct crn_txn *txn, const struct crn_catalog *catalog,
                                       const char *name, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_txn_collection_check(txn, catalog->id, err));
    CRN_TRY(crn_conn_statement(txn->conn, "UPDATE collections SET name=?2 WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    const cairn_status status = crn_conn_run(txn->conn, stmt, err);
    if (status != CAIRN_OK) return name_taken(txn, status, name, err);
    return crn_txn_log_catalog(txn, catalog->id, err);
}

cairn_status crn_txn_space_model(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t space,
                                 const char *model, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, "UPDATE spaces SET model=?3 WHERE id=?2 AND collection=?1", &stmt,
                               err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    sqlite3_bind_int64(stmt, 2, space);
    sqlite3_bind_text(stmt, 3, model, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    if (sqlite3_changes(txn->conn->db) == 0) {
        return crn_error_set(err, CAIRN_NO_COLLECTION, "collection \"%s\" has no space %u", catalog->name,
                             space);
    }
    return crn_txn_log_catalog(txn, catalog->id, err);
}

struct filling {
    struct crn_txn *txn;
    const struct crn_payload_index *index;
};

static cairn_status fill_row(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct filling *filling = ctx;
    const char *payload = (const char *)sqlite3_column_text(stmt, 1);

    if (payload == NULL) return crn_error_no_memory(err, (size_t)sqlite3_column_bytes(stmt, 1));
    return crn_txn_values_change(filling->txn, filling->index, 1, sqlite3_column_int64(stmt, 0), payload,
                                 true, err);
}

static cairn_status fill_index(struct crn_txn *txn, uint32_t collection,
                               const struct crn_payload_index *index, cairn_error *err)
{
    struct filling filling = {txn, index};
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn,
                               "SELECT key, payload FROM points WHERE payload IS NOT NULL"
                               " AND key BETWEEN ?1<<32 AND (?1<<32)+4294967295",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    return crn_conn_each(txn->conn, stmt, fill_row, &filling, err);
}

static cairn_status find_index(struct crn_txn *txn, uint32_t collection, const char *path, int64_t *out_id,
                               cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, "SELECT id FROM payload_indexes WHERE collection=?1 AND path=?2",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_text(stmt, 2, path, -1, SQLITE_STATIC);
    return crn_conn_value(txn->conn, stmt, 0, out_id, err);
}

cairn_status crn_txn_payload_index_create(struct crn_txn *txn, const struct crn_catalog *catalog,
                                          const char *path, cairn_error *err)
{
    char text[CRN_PAYLOAD_PATH_MAX + 1];
    sqlite3_stmt *stmt;
    int64_t id;

    CRN_TRY(crn_payload_path_check(path, err));
    CRN_TRY(crn_txn_collection_check(txn, catalog->id, err));
    CRN_TRY(find_index(txn, catalog->id, path, &id, err));
    if (id != 0) return CAIRN_OK;
    CRN_TRY(crn_conn_statement(txn->conn, "INSERT INTO payload_indexes(collection, path) VALUES(?1,?2)",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    sqlite3_bind_text(stmt, 2, path, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    id = sqlite3_last_insert_rowid(txn->conn->db);
    if (id > UINT32_MAX)
        return crn_error_set(err, CAIRN_LIMIT, "all numbers for payload indexes have been used");
    memcpy(text, path, strlen(path) + 1);
    const struct crn_payload_index index = {.id = (uint32_t)id, .path = text};
    CRN_TRY(fill_index(txn, catalog->id, &index, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}

cairn_status crn_txn_payload_index_drop(struct crn_txn *txn, const struct crn_catalog *catalog,
                                        const char *path, cairn_error *err)
{
    static const char *const index_sql[] = {
        "DELETE FROM payload_values WHERE idx=?1",
        "DELETE FROM payload_indexes WHERE id=?1",
    };
    int64_t id;

    CRN_TRY(crn_txn_collection_check(txn, catalog->id, err));
    CRN_TRY(find_index(txn, catalog->id, path, &id, err));
    if (id == 0) return CAIRN_OK;
    CRN_TRY(crn_txn_run_all(txn, index_sql, sizeof index_sql / sizeof index_sql[0], (uint32_t)id, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}

/* ---- metadata ---- */

cairn_status crn_txn_collection_metadata(struct crn_txn *txn, const struct crn_catalog *catalog,
                                         const char *metadata, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_txn_collection_check(txn, catalog->id, err));
    CRN_TRY(crn_conn_statement(txn->conn, "UPDATE collections SET metadata=?2 WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    sqlite3_bind_text(stmt, 2, metadata, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_run(txn->conn, stmt, err));
    return crn_txn_log_catalog(txn, catalog->id, err);
}

cairn_status crn_txn_metadata(struct crn_txn *txn, const char *metadata, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn, "INSERT OR REPLACE INTO meta(key, value) VALUES('metadata', ?1)",
                               &stmt, err));
    sqlite3_bind_text(stmt, 1, metadata, -1, SQLITE_STATIC);
    return crn_conn_run(txn->conn, stmt, err);
}

/* ---- segments ---- */

static cairn_status insert_segment(struct crn_txn *txn, uint32_t space, uint32_t ord,
                                   const struct crn_segment_entry *entry, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(txn->conn,
                               "INSERT INTO segments(space, ord, file, index_file, seq, rows)"
                               " VALUES(?1,?2,?3,?4,?5,?6)",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, space);
    sqlite3_bind_int64(stmt, 2, ord);
    sqlite3_bind_text(stmt, 3, entry->file, (int)strnlen(entry->file, sizeof entry->file), SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, entry->index_file, (int)strnlen(entry->index_file, sizeof entry->index_file),
                      SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, (int64_t)entry->sequence);
    sqlite3_bind_int64(stmt, 6, (int64_t)entry->rows);
    return crn_conn_run(txn->conn, stmt, err);
}

cairn_status crn_txn_segments_set(struct crn_txn *txn, uint32_t space,
                                  const struct crn_segment_entry *entries, uint32_t count, cairn_error *err)
{
    static const char *const clear_sql[] = {"DELETE FROM segments WHERE space=?1"};

    CRN_TRY(crn_txn_space_check(txn, space, err));
    CRN_TRY(crn_txn_run_all(txn, clear_sql, 1, space, err));
    for (uint32_t i = 0; i < count; i++) CRN_TRY(insert_segment(txn, space, i, &entries[i], err));
    return crn_txn_log(txn, CRN_LOG_SEGMENTS, crn_key(space, 0), 0, 0, err);
}
