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

cairn_status crn_read_settings_sequence(struct crn_reader *reader, uint32_t collection,
                                        uint64_t *out_sequence, cairn_error *err)
{
    sqlite3_stmt *stmt;
    int64_t value;

    *out_sequence = 0;
    CRN_TRY(
        crn_conn_statement(&reader->conn, "SELECT settings_seq FROM collections WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    CRN_TRY(crn_conn_value(&reader->conn, stmt, -1, &value, err));
    if (value < 0)
        return crn_error_set(err, CAIRN_NO_COLLECTION, "collection number %u is gone: it was dropped",
                             collection);
    *out_sequence = (uint64_t)value;
    return CAIRN_OK;
}

cairn_status crn_read_collection(struct crn_reader *reader, const char *name, struct crn_catalog *out_catalog,
                                 cairn_error *err)
{
    return crn_catalog_read(&reader->conn, name, 0, out_catalog, err);
}

cairn_status crn_read_collection_by_id(struct crn_reader *reader, uint32_t id,
                                       struct crn_catalog *out_catalog, cairn_error *err)
{
    return crn_catalog_read(&reader->conn, NULL, id, out_catalog, err);
}

static cairn_status append_text(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct crn_buf *out = ctx;

    crn_buf_append(out, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    if (out->failed == CAIRN_OK) return CAIRN_OK;
    return crn_error_set(err, out->failed, "no room for the database's metadata");
}

cairn_status crn_read_metadata(struct crn_reader *reader, struct crn_buf *out, cairn_error *err)
{
    sqlite3_stmt *stmt;

    CRN_TRY(crn_conn_statement(&reader->conn, "SELECT value FROM meta WHERE key='metadata'", &stmt, err));
    return crn_conn_each(&reader->conn, stmt, append_text, out, err);
}

/* ---- names ---- */

/* The names one behind the other, each with its NUL. */
struct names {
    struct crn_buf text;
    size_t count;
};

static cairn_status gather_name(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct names *names = ctx;

    crn_buf_append(&names->text, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    names->count++;
    if (crn_buf_putc(&names->text, '\0') == CAIRN_OK) return CAIRN_OK;
    return crn_error_set(err, names->text.failed, "no room for the names of collections");
}

/* One block: the list, closed by a NULL, and behind it the texts. */
static char **list_names(const struct names *names)
{
    char **list = crn_mem_alloc((names->count + 1) * sizeof *list + names->text.len);
    char *text = (char *)(list + names->count + 1);

    if (list == NULL) return NULL;
    if (names->text.len > 0) memcpy(text, names->text.data, names->text.len);
    for (size_t i = 0; i < names->count; i++) {
        list[i] = text;
        text += strlen(text) + 1;
    }
    list[names->count] = NULL;
    return list;
}

cairn_status crn_read_collection_names(struct crn_reader *reader, char ***out_names, size_t *out_count,
                                       cairn_error *err)
{
    struct names names = {.count = 0};
    sqlite3_stmt *stmt;

    *out_names = NULL;
    *out_count = 0;
    crn_buf_init(&names.text, SIZE_MAX);
    cairn_status status =
        crn_conn_statement(&reader->conn, "SELECT name FROM collections ORDER BY name", &stmt, err);
    if (status == CAIRN_OK) status = crn_conn_each(&reader->conn, stmt, gather_name, &names, err);
    if (status == CAIRN_OK) {
        *out_names = list_names(&names);
        *out_count = names.count;
        if (*out_names == NULL) status = crn_error_no_memory(err, names.text.len);
    }
    crn_buf_release(&names.text);
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
    return crn_error_set(err, CAIRN_CONFLICT, "the log holds %lld to %lld and does not reach back to %llu",
                         (long long)first, (long long)last, (unsigned long long)after);
}

struct log_scan {
    crn_log_entry_fn fn;
    void *ctx;
};

static cairn_status scan_entry(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    const struct log_scan *scan = ctx;
    const struct crn_log_entry entry = {
        .sequence = (uint64_t)sqlite3_column_int64(stmt, 0),
        .op = (enum crn_log_op)sqlite3_column_int(stmt, 1),
        .key = (uint64_t)sqlite3_column_int64(stmt, 2),
        .version = (uint64_t)sqlite3_column_int64(stmt, 3),
        .digest = (uint64_t)sqlite3_column_int64(stmt, 4),
    };

    (void)err;
    return scan->fn(scan->ctx, &entry);
}

cairn_status crn_read_log(struct crn_reader *reader, uint64_t after, crn_log_entry_fn fn, void *ctx,
                          cairn_error *err)
{
    struct log_scan scan = {fn, ctx};
    sqlite3_stmt *stmt;

    CRN_TRY(check_reach(reader, after, err));
    CRN_TRY(crn_conn_statement(&reader->conn,
                               "SELECT seq, op, key, version, digest FROM oplog WHERE seq>?1 ORDER BY seq",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, (int64_t)after);
    return crn_conn_each(&reader->conn, stmt, scan_entry, &scan, err);
}

/* ---- segments ---- */

struct segments {
    struct crn_segment_entry *entries;
    uint32_t count, capacity;
};

static void copy_name(sqlite3_stmt *stmt, int column, char out[64])
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    const size_t len = text != NULL ? strnlen(text, 63) : 0;

    if (len > 0) memcpy(out, text, len);
    out[len] = '\0';
}

static cairn_status add_segment(void *ctx, sqlite3_stmt *stmt, cairn_error *err)
{
    struct segments *segments = ctx;

    if (segments->count == segments->capacity) {
        const uint32_t capacity = segments->capacity * 2 + 8;
        void *grown = crn_mem_realloc_array(segments->entries, capacity, sizeof *segments->entries);
        if (grown == NULL) return crn_error_no_memory(err, capacity * sizeof *segments->entries);
        segments->entries = grown;
        segments->capacity = capacity;
    }
    struct crn_segment_entry *entry = &segments->entries[segments->count++];
    *entry = (struct crn_segment_entry){.sequence = (uint64_t)sqlite3_column_int64(stmt, 2),
                                        .rows = (uint64_t)sqlite3_column_int64(stmt, 3)};
    copy_name(stmt, 0, entry->file);
    copy_name(stmt, 1, entry->index_file);
    return CAIRN_OK;
}

cairn_status crn_read_segments(struct crn_reader *reader, uint32_t space,
                               struct crn_segment_entry **out_entries, uint32_t *out_count, cairn_error *err)
{
    struct segments segments = {0};
    sqlite3_stmt *stmt;

    *out_entries = NULL;
    *out_count = 0;
    CRN_TRY(crn_conn_statement(&reader->conn,
                               "SELECT file, index_file, seq, rows FROM segments WHERE space=?1 ORDER BY ord",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, space);
    cairn_status status = crn_conn_each(&reader->conn, stmt, add_segment, &segments, err);
    if (status != CAIRN_OK) {
        crn_mem_free(segments.entries);
        return status;
    }
    *out_entries = segments.entries;
    *out_count = segments.count;
    return CAIRN_OK;
}
