/*
 * Finding a row by its id and reading it whole, by a connection that is inside a transaction.
 */
#include "storage/row.h"

#include "base/error.h"

#include <stdalign.h>
#include <string.h>

cairn_status crn_row_find(struct crn_conn *conn, uint32_t collection, const struct crn_row_id *id,
                          uint32_t *out_local, uint64_t *out_version, int64_t *out_expires_at_ms,
                          cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    *out_local = 0;
    CRN_TRY(crn_conn_statement(
        conn, "SELECT key, version, expires_at FROM points WHERE collection=?1 AND id=?2", &stmt, err));
    sqlite3_bind_int64(stmt, 1, collection);
    crn_row_id_bind(stmt, 2, id);
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    if (row) {
        *out_local = (uint32_t)sqlite3_column_int64(stmt, 0);
        if (out_version != NULL) *out_version = (uint64_t)sqlite3_column_int64(stmt, 1);
        if (out_expires_at_ms != NULL) *out_expires_at_ms = sqlite3_column_int64(stmt, 2);
    }
    sqlite3_reset(stmt);
    return CAIRN_OK;
}

/* A record being gathered in the caller's buffer: offsets while it grows, pointers at the end. */
struct gather {
    struct crn_buf *memory;
    size_t id, domain, agent, type, text, payload; /* offsets */
    size_t vectors;                                /* of the array, or 0 while there is none */
    uint32_t vector_count;
};

static size_t gather_text(struct gather *gather, const char *text, size_t len)
{
    const size_t at = gather->memory->len;

    crn_buf_append(gather->memory, text, len);
    crn_buf_putc(gather->memory, '\0');
    return at;
}

static void gather_row(struct gather *gather, const struct crn_row *row)
{
    const struct crn_record *record = &row->record;

    gather->id = gather_text(gather, record->id, record->id_len);
    gather->domain = gather_text(gather, record->domain, strlen(record->domain));
    gather->agent = gather_text(gather, record->agent, strlen(record->agent));
    gather->type = gather_text(gather, record->type, strlen(record->type));
    if (record->text != NULL) gather->text = gather_text(gather, record->text, row->text_len);
    if (record->payload != NULL) gather->payload = gather_text(gather, record->payload, row->payload_len);
}

/* Pads to a multiple of `alignment` of the buffer's start, which malloc aligns for anything. */
static void align(struct crn_buf *memory, size_t alignment)
{
    static const char zeros[64] = {0};
    const size_t rest = memory->len % alignment;

    if (rest != 0) crn_buf_append(memory, zeros, alignment - rest);
}

/* Appends a space's vector. While gathering, `data` holds its offset. */
static cairn_status gather_vector(struct crn_conn *conn, struct gather *gather, uint32_t space,
                                  uint32_t local, struct crn_row_vector_sum *sum, cairn_error *err)
{
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(conn, "SELECT digest, data FROM vecs WHERE key=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(space, local));
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    if (!row) return CAIRN_OK;

    const uint64_t digest = (uint64_t)sqlite3_column_int64(stmt, 0);
    const void *data = sqlite3_column_blob(stmt, 1);
    const size_t size = (size_t)sqlite3_column_bytes(stmt, 1);
    const bool intact = crn_row_vector_digest(space, local, data, size) == digest;
    align(gather->memory, alignof(max_align_t));
    const struct crn_vector_data vector = {
        .space = space, .data = (const void *)(uintptr_t)gather->memory->len, .size = size};
    crn_buf_append(gather->memory, data, size);
    sqlite3_reset(stmt);
    if (!intact) return crn_row_vector_corrupt(conn, space, local, err);
    crn_row_vector_add(sum, space, digest);
    if (gather->memory->failed != CAIRN_OK) return CAIRN_OK; /* told once, at the end */
    struct crn_vector_data *array =
        (struct crn_vector_data *)(void *)(gather->memory->data + gather->vectors);
    array[gather->vector_count++] = vector;
    return CAIRN_OK;
}

static cairn_status gather_vectors(struct crn_conn *conn, struct gather *gather,
                                   const struct crn_catalog *catalog, const struct crn_row *row,
                                   cairn_error *err)
{
    struct crn_row_vector_sum sum = {0};

    align(gather->memory, alignof(max_align_t));
    gather->vectors = gather->memory->len;
    crn_buf_extend(gather->memory, catalog->space_count * sizeof(struct crn_vector_data));
    for (uint32_t i = 0; i < catalog->space_count; i++) {
        CRN_TRY(gather_vector(conn, gather, catalog->spaces[i].id, row->record.local, &sum, err));
    }
    if (sum.sum != row->vectors) {
        return crn_row_corrupt(conn, catalog->id, row->record.local,
                               "its vectors are not those it was written with", err);
    }
    return CAIRN_OK;
}

/* Turns offsets into pointers. */
static void settle(const struct gather *gather, struct crn_record *record)
{
    char *base = gather->memory->data;

    record->id = base + gather->id;
    record->domain = base + gather->domain;
    record->agent = base + gather->agent;
    record->type = base + gather->type;
    if (record->text != NULL) record->text = base + gather->text;
    if (record->payload != NULL) record->payload = base + gather->payload;
    if (gather->vector_count == 0) return;
    struct crn_vector_data *array = (struct crn_vector_data *)(void *)(base + gather->vectors);
    for (uint32_t i = 0; i < gather->vector_count; i++) array[i].data = base + (uintptr_t)array[i].data;
    record->vectors = array;
    record->vector_count = gather->vector_count;
}

cairn_status crn_row_read(struct crn_conn *conn, const struct crn_catalog *catalog, uint32_t local,
                          bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                          cairn_error *err)
{
    struct gather gather = {.memory = memory};
    struct crn_row row;
    sqlite3_stmt *stmt;
    bool found;

    CRN_TRY(crn_conn_statement(conn, "SELECT " CRN_ROW_COLUMNS CRN_ROW_BODY CRN_ROW_FROM "WHERE p.key=?1",
                               &stmt, err));
    sqlite3_bind_int64(stmt, 1, crn_key(catalog->id, local));
    CRN_TRY(crn_conn_step(conn, stmt, &found, err));
    if (!found)
        return crn_error_set(err, CAIRN_NOT_FOUND, "collection \"%s\" has no row %u", catalog->name, local);
    cairn_status status = crn_row_decode(conn, stmt, true, &row, err);
    if (status == CAIRN_OK && row.damage == NULL) gather_row(&gather, &row);
    sqlite3_reset(stmt);
    if (status != CAIRN_OK) return status;
    if (row.damage != NULL) return crn_row_corrupt(conn, catalog->id, local, row.damage, err);
    if (with_vectors) CRN_TRY(gather_vectors(conn, &gather, catalog, &row, err));
    if (memory->failed != CAIRN_OK)
        return crn_error_set(err, memory->failed, "no room to read row %u", local);
    *out_record = row.record;
    settle(&gather, out_record);
    return CAIRN_OK;
}
