/*
 * Interned names: each domain, agent and type is stored once, in `names`, and rows hold its number. Two small
 * direct-mapped caches a connection spare the look-ups.
 */
#include "storage/connection.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* Puts a copy into the slot. A copy that cannot be had leaves the slot empty: it is a cache. */
static void fill_slot(struct crn_name *slot, int64_t id, const char *text)
{
    crn_mem_free(slot->text);
    slot->id = id;
    slot->text = crn_mem_strdup(text);
}

static struct crn_name *text_slot(struct crn_conn *conn, const char *text)
{
    return &conn->names.by_text[crn_hash64(text, strlen(text), 0) % CRN_NAMES_SLOTS];
}

static cairn_status read_text(struct crn_conn *conn, int64_t id, char out_text[CAIRN_NAME_MAX + 1],
                              cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    sqlite3_stmt *stmt;
    bool row;

    CRN_TRY(crn_conn_statement(conn, "SELECT name FROM names WHERE id=?1", &stmt, err));
    sqlite3_bind_int64(stmt, 1, id);
    CRN_TRY(crn_conn_step(conn, stmt, &row, err));
    const char *text = row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    const size_t len = text != NULL ? strlen(text) : 0;
    if (row && sqlite3_errcode(conn->db) == SQLITE_NOMEM) {
        status = crn_error_no_memory(err, CAIRN_NAME_MAX);
    } else if (len == 0 || len > CAIRN_NAME_MAX) {
        status = crn_error_set(err, CAIRN_CORRUPT, "the name %lld is missing or too long", (long long)id);
    } else {
        memcpy(out_text, text, len + 1);
    }
    sqlite3_reset(stmt);
    return status;
}

cairn_status crn_names_text(struct crn_conn *conn, int64_t id, char out_text[CAIRN_NAME_MAX + 1],
                            cairn_error *err)
{
    struct crn_name *slot = &conn->names.by_id[(uint64_t)id % CRN_NAMES_SLOTS];

    out_text[0] = '\0';
    if (id == 0) return CAIRN_OK;
    if (slot->text != NULL && slot->id == id) {
        memcpy(out_text, slot->text, strlen(slot->text) + 1); /* checked when it came in */
        return CAIRN_OK;
    }
    CRN_TRY(read_text(conn, id, out_text, err));
    fill_slot(slot, id, out_text);
    return CAIRN_OK;
}

cairn_status crn_names_find(struct crn_conn *conn, const char *text, int64_t *out_id, cairn_error *err)
{
    sqlite3_stmt *stmt;

    *out_id = 0;
    if (text[0] == '\0') return CAIRN_OK;
    struct crn_name *slot = text_slot(conn, text);
    if (slot->text != NULL && strcmp(slot->text, text) == 0) {
        *out_id = slot->id;
        return CAIRN_OK;
    }
    CRN_TRY(crn_conn_statement(conn, "SELECT id FROM names WHERE name=?1", &stmt, err));
    sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_value(conn, stmt, -1, out_id, err));
    if (*out_id > 0) fill_slot(slot, *out_id, text);
    return CAIRN_OK;
}

cairn_status crn_names_intern(struct crn_conn *conn, const char *text, int64_t *out_id, cairn_error *err)
{
    sqlite3_stmt *stmt;

    if (strlen(text) > CAIRN_NAME_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a name of %zu bytes, more than %u", strlen(text),
                             CAIRN_NAME_MAX);
    }
    CRN_TRY(crn_names_find(conn, text, out_id, err));
    if (*out_id >= 0) return CAIRN_OK;
    CRN_TRY(crn_conn_statement(conn, "INSERT INTO names(name) VALUES(?1)", &stmt, err));
    sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
    CRN_TRY(crn_conn_run(conn, stmt, err));
    *out_id = sqlite3_last_insert_rowid(conn->db);
    fill_slot(text_slot(conn, text), *out_id, text);
    return CAIRN_OK;
}

static void clear_slots(struct crn_name *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        crn_mem_free(slots[i].text);
        slots[i] = (struct crn_name){0};
    }
}

void crn_names_clear(struct crn_conn *conn)
{
    clear_slots(conn->names.by_id, CRN_NAMES_SLOTS);
    clear_slots(conn->names.by_text, CRN_NAMES_SLOTS);
}
