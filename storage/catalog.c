/*
 * Collections' settings as the database has them.
 */
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

void crn_catalog_release(struct crn_catalog *catalog)
{
    for (uint32_t i = 0; catalog->spaces != NULL && i < catalog->space_count; i++) {
        crn_mem_free(catalog->spaces[i].name);
        crn_mem_free(catalog->spaces[i].index);
        crn_mem_free(catalog->spaces[i].model);
    }
    for (uint32_t i = 0; i < catalog->index_count; i++) crn_mem_free(catalog->indexes[i].path);
    crn_mem_free(catalog->spaces);
    crn_mem_free(catalog->indexes);
    crn_mem_free(catalog->name);
    crn_mem_free(catalog->metadata);
    *catalog = (struct crn_catalog){0};
}

static cairn_status copy_text(sqlite3_stmt *stmt, int column, char **out_text, cairn_error *err)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    *out_text = crn_mem_strdup(text);
    if (*out_text != NULL || (text == NULL && sqlite3_column_type(stmt, column) == SQLITE_NULL))
        return CAIRN_OK;
    return crn_error_no_memory(err, text != NULL ? strlen(text) : 0);
}

static cairn_status read_space(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct crn_catalog *catalog = ctx;
    const uint32_t count = catalog->space_count;
    struct crn_space *grown = crn_mem_realloc_array(catalog->spaces, count + 1, sizeof *grown);

    if (grown == NULL) return crn_error_no_memory(err, (count + 1) * sizeof *grown);
    catalog->spaces = grown;
    catalog->space_count++;
    struct crn_space *space = &grown[count];
    *space = (struct crn_space){
        .id = (uint32_t)sqlite3_column_int64(stmt, 0),
        .kind = (cairn_space_kind)sqlite3_column_int(stmt, 2),
        .dim = (uint32_t)sqlite3_column_int64(stmt, 3),
        .metric = (cairn_metric)sqlite3_column_int(stmt, 4),
        .quantization = (cairn_quantization)sqlite3_column_int(stmt, 5),
    };
    CRN_TRY(copy_text(stmt, 1, &space->name, err));
    CRN_TRY(copy_text(stmt, 6, &space->index, err));
    return copy_text(stmt, 7, &space->model, err);
}

static cairn_status read_index(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct crn_catalog *catalog = ctx;
    const uint32_t count = catalog->index_count;
    struct crn_payload_index *grown = crn_mem_realloc_array(catalog->indexes, count + 1, sizeof *grown);

    if (grown == NULL) return crn_error_no_memory(err, (count + 1) * sizeof *grown);
    catalog->indexes = grown;
    catalog->index_count++;
    grown[count] = (struct crn_payload_index){.id = (uint32_t)sqlite3_column_int64(stmt, 0)};
    return copy_text(stmt, 1, &grown[count].path, err);
}

static cairn_status read_parts(struct crn_conn *conn, const char *sql, struct crn_catalog *catalog,
                               crn_conn_row_fn read, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(conn, sql, &stmt, err));
    sqlite3_bind_int64(stmt, 1, catalog->id);
    return crn_conn_each(conn, stmt, read, catalog, err);
}

static cairn_status read_head(sqlite3_stmt *stmt, struct crn_catalog *catalog, cairn_error *err)
{
    catalog->id = (uint32_t)sqlite3_column_int64(stmt, 0);
    catalog->lexical = sqlite3_column_int64(stmt, 2) != 0;
    catalog->created_at_ms = sqlite3_column_int64(stmt, 4);
    CRN_TRY(copy_text(stmt, 1, &catalog->name, err));
    return copy_text(stmt, 3, &catalog->metadata, err);
}

static cairn_status read_all(struct crn_conn *conn, sqlite3_stmt *stmt, struct crn_catalog *catalog,
                             cairn_error *err)
{
    cairn_status status = read_head(stmt, catalog, err);

    sqlite3_reset(stmt);
    if (status != CAIRN_OK) return status;
    CRN_TRY(read_parts(conn,
                       "SELECT id, name, kind, dim, metric, quantization, index_spec, model FROM spaces"
                       " WHERE collection=?1 ORDER BY id",
                       catalog, read_space, err));
    return read_parts(conn, "SELECT id, path FROM payload_indexes WHERE collection=?1 ORDER BY id", catalog,
                      read_index, err);
}

cairn_status crn_catalog_read(struct crn_conn *conn, const char *name, uint32_t id,
                              struct crn_catalog *out_catalog, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    *out_catalog = (struct crn_catalog){0};
    if (name != NULL) {
        CRN_TRY(crn_conn_statement(
            conn, "SELECT id, name, lexical, metadata, created_at FROM collections WHERE name=?1", &stmt,
            err));
        sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    } else {
        CRN_TRY(crn_conn_statement(
            conn, "SELECT id, name, lexical, metadata, created_at FROM collections WHERE id=?1", &stmt, err));
        sqlite3_bind_int64(stmt, 1, id);
    }
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    if (!row && name != NULL)
        return crn_error_set(err, CAIRN_NO_COLLECTION, "there is no collection \"%s\"", name);
    if (!row)
        return crn_error_set(err, CAIRN_NO_COLLECTION, "collection number %u is gone: it was dropped", id);
    cairn_status status = read_all(conn, stmt, out_catalog, err);
    if (status != CAIRN_OK) crn_catalog_release(out_catalog);
    return status;
}

cairn_status crn_meta_number(struct crn_conn *conn, const char *key, uint64_t *out_value, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t value;

    *out_value = 0;
    CRN_TRY(crn_conn_statement(conn, "SELECT value FROM meta WHERE key=?1", &stmt, err));
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_value(conn, stmt, 0, &value, err));
    *out_value = (uint64_t)value;
    return CAIRN_OK;
}

cairn_status crn_log_last(struct crn_conn *conn, uint64_t *out_sequence, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t value;

    *out_sequence = 0;
    CRN_TRY(crn_conn_statement(conn, "SELECT max(seq) FROM oplog", &stmt, err));
    CRN_TRY(crn_conn_value(conn, stmt, 0, &value, err));
    *out_sequence = (uint64_t)value;
    return CAIRN_OK;
}
