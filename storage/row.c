/* A row between SQLite and struct crn_record: ids, digests, decoding. */
#include "storage/row.h"

#include "base/error.h"
#include "base/hash.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

/* ---- ids ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_hyphen_place(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

static bool parse_uuid(const char *text, size_t len, unsigned char out[16])
{
    size_t digits = 0;

    if (len != CRN_UUID_TEXT - 1) return false;
    for (size_t i = 0; i < len; i++) {
        if (is_hyphen_place(i)) {
            if (text[i] != '-') return false;
            continue;
        }
        const int digit = hex_digit(text[i]);
        if (digit < 0) return false;
        out[digits / 2] = (unsigned char)(digits % 2 == 0 ? digit << 4 : out[digits / 2] | digit);
        digits++;
    }
    return true;
}

static void format_uuid(const unsigned char uuid[16], char out[CRN_UUID_TEXT])
{
    size_t at = 0;

    for (size_t i = 0; i < 16; i++) {
        if (is_hyphen_place(at)) out[at++] = '-';
        out[at++] = "0123456789abcdef"[uuid[i] >> 4];
        out[at++] = "0123456789abcdef"[uuid[i] & 15];
    }
    out[at] = '\0';
}

cairn_status crn_row_id_set(struct crn_row_id *out_id, cairn_id_type type, const char *text, size_t len,
                            uint64_t u64, cairn_error *err)
{
    *out_id = (struct crn_row_id){.type = type, .text = text, .len = len, .u64 = u64};
    switch (type) {
    case CAIRN_ID_STRING:
        if (text != NULL && len > 0 && len <= CAIRN_ID_MAX) return CAIRN_OK;
        return crn_error_set(err, CAIRN_INVALID_ID, "a string id has 1 to %u bytes, not %zu", CAIRN_ID_MAX,
                             len);
    case CAIRN_ID_U64:
        return CAIRN_OK;
    case CAIRN_ID_UUID:
        if (text != NULL && parse_uuid(text, len, out_id->uuid)) return CAIRN_OK;
        return crn_error_set(err, CAIRN_INVALID_ID, "\"%.*s\" is no UUID", (int)(len < 64 ? len : 64),
                             text ? text : "");
    default:
        return crn_error_set(err, CAIRN_INVALID_ID, "%d is no type of id", (int)type);
    }
}

void crn_row_id_bind(sqlite3_stmt *stmt, int parameter, const struct crn_row_id *id)
{
    if (id->type == CAIRN_ID_STRING) {
        sqlite3_bind_text(stmt, parameter, id->text, (int)id->len, SQLITE_STATIC);
    } else if (id->type == CAIRN_ID_U64) {
        sqlite3_bind_int64(stmt, parameter, (int64_t)id->u64);
    } else {
        sqlite3_bind_blob(stmt, parameter, id->uuid, sizeof id->uuid, SQLITE_STATIC);
    }
}

/* ---- digests ---- */

uint64_t crn_row_vector_digest(uint32_t space, uint32_t local, const void *data, size_t size)
{
    return crn_hash64(data, size, (uint64_t)crn_key(space, local));
}

void crn_row_vector_add(struct crn_row_vector_sum *sum, uint32_t space, uint64_t digest)
{
    const uint64_t parts[3] = {htole64(sum->sum), htole64(space), htole64(digest)};

    sum->sum = crn_hash64(parts, sizeof parts, ++sum->count);
}

struct digest {
    struct crn_hash hash;
};

static void add_u64(struct digest *digest, uint64_t value)
{
    const uint64_t bytes = htole64(value);

    crn_hash_update(&digest->hash, &bytes, sizeof bytes);
}

static void add_bytes(struct digest *digest, const void *data, size_t len)
{
    add_u64(digest, len);
    crn_hash_update(&digest->hash, data, len);
}

uint64_t crn_row_body_digest(const char *text, size_t text_len, const char *payload, size_t payload_len)
{
    struct digest digest;

    if (text == NULL && payload == NULL) return 0;
    crn_hash_init(&digest.hash, 0);
    add_u64(&digest, (uint64_t)(text != NULL) | (uint64_t)(payload != NULL) << 1);
    if (text != NULL) add_bytes(&digest, text, text_len);
    if (payload != NULL) add_bytes(&digest, payload, payload_len);
    return crn_hash_final(&digest.hash);
}

uint64_t crn_row_digest(const struct crn_record *record, const struct crn_row_digest_parts *parts)
{
    struct digest digest;
    uint64_t confidence_bits;

    memcpy(&confidence_bits, &record->confidence, sizeof confidence_bits);
    crn_hash_init(&digest.hash, 0);
    add_u64(&digest, (uint64_t)parts->key);
    add_u64(&digest, (uint64_t)parts->id->type);
    if (parts->id->type == CAIRN_ID_STRING) {
        add_bytes(&digest, parts->id->text, parts->id->len);
    } else if (parts->id->type == CAIRN_ID_U64) {
        add_u64(&digest, parts->id->u64);
    } else {
        add_bytes(&digest, parts->id->uuid, sizeof parts->id->uuid);
    }
    add_bytes(&digest, record->domain, strlen(record->domain));
    add_bytes(&digest, record->agent, strlen(record->agent));
    add_bytes(&digest, record->type, strlen(record->type));
    add_u64(&digest, confidence_bits);
    add_u64(&digest, (uint64_t)record->created_at_ms);
    add_u64(&digest, (uint64_t)record->expires_at_ms);
    add_u64(&digest, record->version);
    add_u64(&digest, parts->vectors);
    add_u64(&digest, parts->body);
    return crn_hash_final(&digest.hash);
}

/* ---- decoding ---- */

enum row_column {
    COL_KEY,
    COL_ID,
    COL_DOMAIN,
    COL_AGENT,
    COL_TYPE,
    COL_CONFIDENCE,
    COL_CREATED,
    COL_EXPIRES,
    COL_VERSION,
    COL_DIGEST,
    COL_VECTORS,
    COL_BODY,
    COL_USAGE,
    COL_SUCCESS,
    COL_LAST_USED,
    COL_TEXT,
    COL_PAYLOAD,
};

static bool decode_id(sqlite3_stmt *stmt, struct crn_row *row, struct crn_row_id *id)
{
    struct crn_record *record = &row->record;

    switch (sqlite3_column_type(stmt, COL_ID)) {
    case SQLITE_TEXT:
        id->type = CAIRN_ID_STRING;
        id->text = (const char *)sqlite3_column_text(stmt, COL_ID);
        id->len = (size_t)sqlite3_column_bytes(stmt, COL_ID);
        record->id = id->text;
        record->id_len = id->len;
        break;
    case SQLITE_INTEGER:
        id->type = CAIRN_ID_U64;
        id->u64 = (uint64_t)sqlite3_column_int64(stmt, COL_ID);
        record->id_u64 = id->u64;
        record->id_len =
            (size_t)snprintf(row->id_text, sizeof row->id_text, "%llu", (unsigned long long)id->u64);
        record->id = row->id_text;
        break;
    case SQLITE_BLOB:
        id->type = CAIRN_ID_UUID;
        const void *uuid = sqlite3_column_blob(stmt, COL_ID);
        if (uuid == NULL || sqlite3_column_bytes(stmt, COL_ID) != 16) return false;
        memcpy(id->uuid, uuid, 16);
        format_uuid(id->uuid, row->id_text);
        record->id = row->id_text;
        record->id_len = CRN_UUID_TEXT - 1;
        break;
    default:
        return false;
    }
    record->id_type = id->type;
    return record->id != NULL;
}

static cairn_status decode_names(struct crn_conn *conn, sqlite3_stmt *stmt, struct crn_row *row,
                                 cairn_error *err)
{
    CRN_TRY(crn_names_text(conn, sqlite3_column_int64(stmt, COL_DOMAIN), row->domain, err));
    CRN_TRY(crn_names_text(conn, sqlite3_column_int64(stmt, COL_AGENT), row->agent, err));
    return crn_names_text(conn, sqlite3_column_int64(stmt, COL_TYPE), row->type, err);
}

static void decode_numbers(sqlite3_stmt *stmt, struct crn_row *row)
{
    struct crn_record *record = &row->record;

    record->local = (uint32_t)sqlite3_column_int64(stmt, COL_KEY);
    record->confidence = sqlite3_column_double(stmt, COL_CONFIDENCE);
    record->created_at_ms = sqlite3_column_int64(stmt, COL_CREATED);
    record->expires_at_ms = sqlite3_column_int64(stmt, COL_EXPIRES);
    record->version = (uint64_t)sqlite3_column_int64(stmt, COL_VERSION);
    record->digest = (uint64_t)sqlite3_column_int64(stmt, COL_DIGEST);
    row->vectors = (uint64_t)sqlite3_column_int64(stmt, COL_VECTORS);
    row->body = (uint64_t)sqlite3_column_int64(stmt, COL_BODY);
    record->usage_count = sqlite3_column_int64(stmt, COL_USAGE);
    record->success_count = sqlite3_column_int64(stmt, COL_SUCCESS);
    record->last_used_ms = sqlite3_column_int64(stmt, COL_LAST_USED);
}

static void decode_body(sqlite3_stmt *stmt, struct crn_row *row)
{
    row->record.text = (const char *)sqlite3_column_text(stmt, COL_TEXT);
    row->text_len = (size_t)sqlite3_column_bytes(stmt, COL_TEXT);
    row->record.payload = (const char *)sqlite3_column_text(stmt, COL_PAYLOAD);
    row->payload_len = (size_t)sqlite3_column_bytes(stmt, COL_PAYLOAD);
}

cairn_status crn_row_decode(struct crn_conn *conn, sqlite3_stmt *stmt, bool with_body,
                            struct crn_row *out_row, cairn_error *err)
{
    struct crn_row_id id = {0};
    cairn_error name_error;

    out_row->record =
        (struct crn_record){.domain = out_row->domain, .agent = out_row->agent, .type = out_row->type};
    out_row->domain[0] = out_row->agent[0] = out_row->type[0] = '\0';
    out_row->text_len = out_row->payload_len = 0;
    out_row->damage = NULL;
    decode_numbers(stmt, out_row);
    if (with_body) decode_body(stmt, out_row);
    const bool has_id = decode_id(stmt, out_row, &id);
    /* The step answered ROW; only a column that could not be copied has changed the connection's code
     * since. */
    if (sqlite3_errcode(conn->db) == SQLITE_NOMEM) return crn_error_no_memory(err, out_row->text_len);
    if (!has_id) {
        out_row->record.id = "";
        out_row->damage = "its id is no id";
        return CAIRN_OK;
    }
    cairn_status status = decode_names(conn, stmt, out_row, &name_error);
    if (status == CAIRN_CORRUPT) {
        out_row->damage = "its domain, agent or type is missing";
        return CAIRN_OK;
    }
    if (status != CAIRN_OK) return crn_error_set(err, status, "%s", name_error.message);

    const struct crn_row_digest_parts parts = {.key = sqlite3_column_int64(stmt, COL_KEY),
                                               .id = &id,
                                               .vectors = out_row->vectors,
                                               .body = out_row->body};
    if (crn_row_digest(&out_row->record, &parts) != out_row->record.digest) {
        out_row->damage = "it does not match its digest";
    } else if (with_body &&
               crn_row_body_digest(out_row->record.text, out_row->text_len, out_row->record.payload,
                                   out_row->payload_len) != out_row->body) {
        out_row->damage = "its text or payload does not match its digest";
    }
    return CAIRN_OK;
}

/* ---- naming what is damaged ---- */

cairn_status crn_row_corrupt(struct crn_conn *conn, uint32_t collection, uint32_t local, const char *damage,
                             cairn_error *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *name = NULL, *id = NULL;
    bool row = false;

    /* A blob id is shown in hexadecimal, a u64 above INT64_MAX as its signed twin: enough to find the row
     * by. */
    if (crn_conn_statement(conn,
                           "SELECT (SELECT name FROM collections WHERE id=?1),"
                           " (SELECT iif(typeof(id)='blob', hex(id), id) FROM points WHERE key=?2)",
                           &stmt, NULL) == CAIRN_OK) {
        sqlite3_bind_int64(stmt, 1, collection);
        sqlite3_bind_int64(stmt, 2, crn_key(collection, local));
        if (crn_conn_step(conn, stmt, &row, NULL) == CAIRN_OK && row) {
            name = (const char *)sqlite3_column_text(stmt, 0);
            id = (const char *)sqlite3_column_text(stmt, 1);
        }
    }
    crn_error_set(err, CAIRN_CORRUPT, "collection \"%s\", row %u (id %s): %s", name ? name : "?", local,
                  id ? id : "?", damage);
    if (stmt != NULL) sqlite3_reset(stmt);
    return CAIRN_CORRUPT;
}

cairn_status crn_row_vector_corrupt(struct crn_conn *conn, uint32_t space, uint32_t local, cairn_error *err)
{
    sqlite3_stmt *stmt = NULL;
    char damage[CAIRN_NAME_MAX + 64];
    int64_t collection = 0;
    bool row = false;

    snprintf(damage, sizeof damage, "its vector of space %u does not match its digest", space);
    if (crn_conn_statement(conn, "SELECT collection, name FROM spaces WHERE id=?1", &stmt, NULL) ==
        CAIRN_OK) {
        sqlite3_bind_int64(stmt, 1, space);
        if (crn_conn_step(conn, stmt, &row, NULL) == CAIRN_OK && row) {
            collection = sqlite3_column_int64(stmt, 0);
            const char *name = (const char *)sqlite3_column_text(stmt, 1);
            snprintf(damage, sizeof damage, "its vector of space \"%s\" does not match its digest",
                     name ? name : "?");
        }
        sqlite3_reset(stmt);
    }
    return crn_row_corrupt(conn, (uint32_t)collection, local, damage, err);
}
