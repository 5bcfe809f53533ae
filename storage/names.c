/*
 * Interned names: each domain, agent and type is stored once, in `names`, and rows hold its number. Two small
 * direct-mapped caches a connection spare the look-ups.
 */
#include "storage/connection.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

#define TEXT_SLOTS (sizeof((struct crn_names){0}.by_text) / sizeof(struct crn_name))

/* Puts a copy into the slot. A copy that cannot be had leaves the slot empty: it is a cache. */
static bool fill_slot(struct crn_name *slot, int64_t id, const char *text)
{
    crn_mem_free(slot->text);
    slot->id = id;
    slot->text = crn_mem_strdup(text);
    return slot->text != NULL;
}

static struct crn_name *text_slot(struct crn_conn *conn, const char *text)
{
    return &conn->names.by_text[crn_hash64(text, strlen(text), 0) % TEXT_SLOTS];
}

cairn_status crn_names_text(struct crn_conn *conn, enum crn_name_role role, int64_t id, const char **out_text,
                            cairn_error *err)
{
    struct crn_name *slot = &conn->names.by_id[role][(uint64_t)id % CRN_NAMES_SLOTS];
    sqlite3_stmt *stmt;
    bool row;

    *out_text = "";
    if (id == 0) return CAIRN_OK;
    if (slot->text == NULL || slot->id != id) {
        CRN_TRY(crn_conn_statement(conn, "SELECT name FROM names WHERE id=?1", &stmt, err));
        sqlite3_bind_int64(stmt, 1, id);
        CRN_TRY(crn_conn_step(conn, stmt, &row, err));
        if (!row) return crn_error_set(err, CAIRN_CORRUPT, "there is no name %lld", (long long)id);
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        const bool filled = text != NULL && fill_slot(slot, id, text);
        sqlite3_reset(stmt);
        if (!filled) return crn_error_no_memory(err, CAIRN_NAME_MAX);
    }
    *out_text = slot->text;
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
    for (int role = 0; role < CRN_NAME_ROLES; role++) clear_slots(conn->names.by_id[role], CRN_NAMES_SLOTS);
    clear_slots(conn->names.by_text, TEXT_SLOTS);
}
