/*
 * Reading settings, segments and the log in a snapshot.
 */
#include "storage/store_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

cairn_status crn_read_sequence(struct crn_reader *reader, uint64_t *out_sequence, cairn_error *err)
{
    return crn_log_last(&reader->conn, out_sequence, err);
}

cairn_status crn_read_catalog_sequence(struct crn_reader *reader, uint64_t *out_sequence, cairn_error *err)
{
    return crn_meta_number(&reader->conn, "catalog_sequence", out_sequence, err);
}

cairn_status crn_read_collection(struct crn_reader *reader, const char *name, struct crn_catalog *out_catalog,
                                 cairn_error *err)
{
    return crn_catalog_read(&reader->conn, name, 0, out_catalog, err);
}

cairn_status crn_read_collection_by_id(struct crn_reader *reader, uint32_t id, struct crn_catalog *out_catalog,
                                       cairn_error *err)
{
    return crn_catalog_read(&reader->conn, NULL, id, out_catalog, err);
}

/* ---- names ---- */

/* Gathers the names one behind the other, each with its NUL. */
static cairn_status gather_names(struct crn_reader *reader, struct crn_buf *names, size_t *out_count, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool found;

    *out_count = 0;
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT name FROM collections ORDER BY name", &stmt, err));
    for (;;) {
        CRN_TRY(crn_conn_step(&reader->conn, stmt, &found, err));
        if (!found) break;
        crn_buf_append(names, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        crn_buf_putc(names, '\0');
        (*out_count)++;
    }
    if (names->failed != CAIRN_OK) return crn_error_set(err, names->failed, "no room for the names of collections");
    return CAIRN_OK;
}

cairn_status crn_read_collection_names(struct crn_reader *reader, char ***out_names, size_t *out_count, cairn_error *err)
{
    struct crn_buf names;
    char **list = NULL;

    crn_buf_init(&names, SIZE_MAX);
    cairn_status status = gather_names(reader, &names, out_count, err);
    if (status != CAIRN_OK) goto done;
    list = crn_mem_alloc((*out_count + 1) * sizeof *list + names.len);
    if (list == NULL) {
        status = crn_error_no_memory(err, names.len);
        goto done;
    }
    char *text = (char *)(list + *out_count + 1);
    if (names.len > 0) memcpy(text, names.data, names.len);
    for (size_t i = 0; i < *out_count; i++) {
        list[i] = text;
        text += strlen(text) + 1;
    }
    list[*out_count] = NULL;
    *out_names = list;

done:
    crn_buf_release(&names);
    return status;
}

/* ---- the log ---- */

static cairn_status check_reach(struct crn_reader *reader, uint64_t after, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t first, last;

    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT min(seq) FROM oplog", &stmt, err));
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 1, &first, err));
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT max(seq) FROM oplog", &stmt, err));
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &last, err));
    if (after + 1 >= (uint64_t)first && after <= (uint64_t)last) return CAIRN_OK;
    return crn_error_set(err, CAIRN_CONFLICT, "the log holds %lld to %lld and does not reach back to %llu", (long long)first,
                         (long long)last, (unsigned long long)after);
}

cairn_status crn_read_log(struct crn_reader *reader, uint64_t after, crn_log_entry_fn fn, void *ctx, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(check_reach(reader, after, err));
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT seq, op, key, version, digest FROM oplog WHERE seq>?1 ORDER BY seq",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, (int64_t)after);
    for (;;) {
        CRN_TRY(crn_conn_step(&reader->conn, stmt, &found, err));
        if (!found) return CAIRN_OK;
        const struct crn_log_entry entry = {
            .sequence = (uint64_t)sqlite3_column_int64(stmt, 0),
            .op = (enum crn_log_op)sqlite3_column_int(stmt, 1),
            .key = (uint64_t)sqlite3_column_int64(stmt, 2),
            .version = (uint64_t)sqlite3_column_int64(stmt, 3),
            .digest = (uint64_t)sqlite3_column_int64(stmt, 4),
        };
        cairn_status status = fn(ctx, &entry);
        if (status != CAIRN_OK) {
            sqlite3_reset(stmt);
            return status;
        }
    }
}

/* ---- segments ---- */

static void copy_name(sqlite3_stmt *stmt, int column, char out[64])
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    const size_t len = text != NULL ? strnlen(text, 63) : 0;

    if (len > 0) memcpy(out, text, len);
    out[len] = '\0';
}

cairn_status crn_read_segments(struct crn_reader *reader, uint32_t space, struct crn_segment_entry **out_entries,
                               uint32_t *out_count, cairn_error *err)
{
    struct crn_segment_entry *entries = NULL;
    sqlite3_stmt *stmt;
    int64_t count;
    uint32_t filled = 0;
    bool found;

    *out_entries = NULL;
    *out_count = 0;
    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT count(*) FROM segments WHERE space=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, space);
    CRN_TRY(crn_conn_value(&reader->conn, stmt, 0, &count, err));
    if (count == 0) return CAIRN_OK;
    entries = crn_mem_calloc((size_t)count, sizeof *entries);
    if (entries == NULL) return crn_error_no_memory(err, (size_t)count * sizeof *entries);
    cairn_status status = crn_conn_statement(
        &reader->conn, "SELECT file, index_file, seq, rows FROM segments WHERE space=?1 ORDER BY ord", &stmt, err);
    if (status == CAIRN_OK) sqlite3_bind_int64(stmt, 1, space);
    while (status == CAIRN_OK) {
        status = crn_conn_step(&reader->conn, stmt, &found, err);
        if (status != CAIRN_OK || !found || filled == count) break;
        copy_name(stmt, 0, entries[filled].file);
        copy_name(stmt, 1, entries[filled].index_file);
        entries[filled].sequence = (uint64_t)sqlite3_column_int64(stmt, 2);
        entries[filled].rows = (uint64_t)sqlite3_column_int64(stmt, 3);
        filled++;
    }
    if (status != CAIRN_OK) {
        crn_mem_free(entries);
        return status;
    }
    *out_entries = entries;
    *out_count = filled;
    return CAIRN_OK;
}
