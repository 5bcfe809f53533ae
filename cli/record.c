/* Records from JSON. Writing them is in record_write.c. */
#include "cli/record.h"

#include "base/clock.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

#define PAYLOAD_SCRATCH_MAX \
    ((size_t)CAIRN_PAYLOAD_MAX + ((size_t)1 << 20)) /* the library says LIMIT, not we */

enum member {
    ID,
    ID_TYPE,
    DOMAIN,
    AGENT,
    TYPE,
    MODEL,
    TEXT,
    PAYLOAD,
    VECTOR,
    VECTORS,
    CONFIDENCE,
    USAGE_COUNT,
    SUCCESS_COUNT,
    CREATED_AT,
    LAST_USED,
    EXPIRES_AT,
    PATTERN_DATA,
    VERSION,
    MEMBERS,
};

static const char *const member_names[MEMBERS] = {
    "id",        "id_type",    "domain",       "agent",      "type",        "model",         "text",
    "payload",   "vector",     "vectors",      "confidence", "usage_count", "success_count", "created_at",
    "last_used", "expires_at", "pattern_data", "version",
};

struct reading {
    struct crn_json object;
    struct crn_cli_records *records;
    struct crn_arena *arena;
    cairn_pattern *out;
    struct crn_json payload; /* of the record, or what pattern_data holds */
    bool has_payload;
    bool has_extra;
    cairn_error *err;
};

cairn_status crn_cli_records_init(struct crn_cli_records *records, cairn_error *err)
{
    *records =
        (struct crn_cli_records){.parser = crn_json_parser_create(), .inner = crn_json_parser_create()};
    crn_buf_init(&records->payload, PAYLOAD_SCRATCH_MAX);
    crn_buf_init(&records->extra, PAYLOAD_SCRATCH_MAX);
    if (records->parser != NULL && records->inner != NULL) return CAIRN_OK;
    crn_cli_records_release(records);
    return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
}

void crn_cli_records_release(struct crn_cli_records *records)
{
    crn_json_parser_free(records->parser);
    crn_json_parser_free(records->inner);
    crn_buf_release(&records->payload);
    crn_buf_release(&records->extra);
    records->parser = records->inner = NULL;
}

static cairn_status wrong_type(cairn_error *err, const char *name, const char *wanted, struct crn_json value)
{
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "\"%s\" is %s, not %s", name, crn_json_type_name(value),
                         wanted);
}

static cairn_status read_text(struct reading *r, const char *name, struct crn_json value, const char **out)
{
    size_t len;

    if (crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    if (crn_json_type(value) != CRN_JSON_STRING) return wrong_type(r->err, name, "a string", value);
    const char *text = crn_json_string(value, &len);
    if (memchr(text, '\0', len) != NULL) {
        return crn_error_set(r->err, CAIRN_INVALID_ARGUMENT, "\"%s\" holds the character U+0000", name);
    }
    *out = crn_arena_text(r->arena, text, len);
    return *out != NULL ? CAIRN_OK : crn_error_no_memory(r->err, len);
}

static bool is_integer(struct crn_json value)
{
    return crn_json_type(value) == CRN_JSON_I64 || crn_json_type(value) == CRN_JSON_U64;
}

static cairn_status read_id(struct reading *r, struct crn_json value)
{
    if (!is_integer(value)) return read_text(r, "id", value, &r->out->id);
    if (crn_json_type(value) == CRN_JSON_I64 && crn_json_i64(value) < 0) {
        return crn_error_set(r->err, CAIRN_INVALID_ID, "\"id\" is %lld; a number as an id is not negative",
                             (long long)crn_json_i64(value));
    }
    r->out->id_type = CAIRN_ID_U64;
    r->out->id_u64 = crn_json_u64(value);
    return CAIRN_OK;
}

/* "uuid" is the only type that the id's own form does not show. */
static cairn_status check_id_type(struct reading *r, const char *name)
{
    if (name == NULL || strcmp(name, r->out->id_type == CAIRN_ID_U64 ? "u64" : "string") == 0)
        return CAIRN_OK;
    if (strcmp(name, "uuid") == 0 && r->out->id != NULL) {
        r->out->id_type = CAIRN_ID_UUID;
        return CAIRN_OK;
    }
    return crn_error_set(r->err, CAIRN_INVALID_ID, "\"id_type\" is '%s', which \"id\" is not", name);
}

/* A number without fraction; written as 3 or as 3.0. */
static cairn_status read_integer(struct reading *r, const char *name, struct crn_json value, int64_t *out)
{
    if (crn_json_type(value) == CRN_JSON_I64) {
        *out = crn_json_i64(value);
        return CAIRN_OK;
    }
    double number = crn_json_type(value) == CRN_JSON_DOUBLE ? crn_json_double(value) : NAN;
    if (!(number == trunc(number) && fabs(number) < 9.0e15))
        return wrong_type(r->err, name, "an integer", value);
    *out = (int64_t)number;
    return CAIRN_OK;
}

/* Milliseconds since 1970, or a date as text. */
static cairn_status read_time(struct reading *r, const char *name, struct crn_json value, int64_t *out)
{
    size_t len;

    if (crn_json_type(value) == CRN_JSON_STRING) {
        const char *text = crn_json_string(value, &len);
        if (crn_clock_parse(text, len, out)) return CAIRN_OK;
        return crn_error_set(r->err, CAIRN_INVALID_ARGUMENT,
                             "\"%s\" is '%s', not a date as in 2024-05-01T10:00:00Z", name, text);
    }
    if (crn_json_type(value) == CRN_JSON_DOUBLE && fabs(crn_json_double(value)) < 9.0e15) {
        *out = (int64_t)crn_json_double(value);
        return CAIRN_OK;
    }
    return read_integer(r, name, value, out);
}

static cairn_status read_counts(struct reading *r, enum member member, struct crn_json value)
{
    const char *name = member_names[member];
    cairn_pattern *out = r->out;

    if (crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    switch (member) {
    case CONFIDENCE:
        if (!crn_json_is_number(value)) return wrong_type(r->err, name, "a number", value);
        out->confidence = crn_json_double(value);
        out->fields |= CAIRN_FIELD_CONFIDENCE;
        return CAIRN_OK;
    case USAGE_COUNT:
        out->fields |= CAIRN_FIELD_USAGE;
        return read_integer(r, name, value, &out->usage_count);
    case SUCCESS_COUNT:
        out->fields |= CAIRN_FIELD_SUCCESS;
        return read_integer(r, name, value, &out->success_count);
    case LAST_USED:
        out->fields |= CAIRN_FIELD_LAST_USED;
        return read_time(r, name, value, &out->last_used_ms);
    case EXPIRES_AT:
        out->fields |= CAIRN_FIELD_EXPIRES;
        return read_time(r, name, value, &out->expires_at_ms);
    default:
        return read_time(r, name, value, &out->created_at_ms);
    }
}

/* The default space's vector. Only a dense one has a place of its own in a pattern. */
static cairn_status read_vector(struct reading *r, struct crn_json value)
{
    cairn_vector vector = {0};

    if (crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    CRN_TRY(crn_cli_record_vector(r->arena, value, &vector, r->err));
    if (vector.indices != NULL || vector.rows > 0) {
        return crn_error_set(r->err, CAIRN_INVALID_ARGUMENT,
                             "\"vector\" is not dense; name its space in \"vectors\"");
    }
    r->out->vector = vector.values;
    r->out->dim = vector.dim;
    return CAIRN_OK;
}

static cairn_status read_vectors(struct reading *r, struct crn_json object)
{
    struct crn_json value;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    if (crn_json_type(object) == CRN_JSON_NULL) return CAIRN_OK;
    if (crn_json_type(object) != CRN_JSON_OBJECT) return wrong_type(r->err, "vectors", "an object", object);
    size_t count = crn_json_size(object);
    if (count > CAIRN_SPACES_MAX) {
        return crn_error_set(r->err, CAIRN_LIMIT, "\"vectors\" names %zu spaces, the limit is %u", count,
                             CAIRN_SPACES_MAX);
    }

    cairn_vector *vectors = crn_arena_alloc(r->arena, count * sizeof *vectors);
    if (vectors == NULL) return crn_error_no_memory(r->err, count * sizeof *vectors);
    memset(vectors, 0, count * sizeof *vectors);
    r->out->vectors = vectors;
    r->out->vector_count = (uint32_t)count;
    for (crn_json_iter_init(&it, object); crn_json_iter_next(&it, &value, &key, &key_len); vectors++) {
        vectors->space = crn_arena_text(r->arena, key, key_len);
        if (vectors->space == NULL) return crn_error_no_memory(r->err, key_len);
        CRN_TRY(crn_cli_record_vector(r->arena, value, vectors, r->err));
    }
    return CAIRN_OK;
}

/* AgentDB's pattern_data: the embedding becomes the vector, a pattern that is a text the text; the payload
 * is pattern_data without the embedding. */
static cairn_status read_pattern_data(struct reading *r, struct crn_json data)
{
    struct crn_json value;
    size_t len;

    if (crn_json_type(data) == CRN_JSON_STRING) {
        const char *text = crn_json_string(data, &len);
        cairn_status status = crn_json_parse(r->records->inner, text, len, &data, r->err);
        if (status != CAIRN_OK) return crn_error_context(r->err, status, "\"pattern_data\"");
    }
    if (crn_json_type(data) != CRN_JSON_OBJECT) return wrong_type(r->err, "pattern_data", "an object", data);
    if (crn_json_get(data, "embedding", &value)) CRN_TRY(read_vector(r, value));
    if (r->out->text == NULL && crn_json_get(data, "pattern", &value) &&
        crn_json_type(value) == CRN_JSON_STRING) {
        CRN_TRY(read_text(r, "pattern", value, &r->out->text));
    }
    r->payload = data;
    r->has_payload = true;
    return CAIRN_OK;
}

static enum member member_of(const char *key, size_t len)
{
    for (int m = 0; m < MEMBERS; m++) {
        if (strlen(member_names[m]) == len && memcmp(member_names[m], key, len) == 0) return (enum member)m;
    }
    return MEMBERS;
}

static cairn_status append_member(struct crn_buf *buf, const char *key, size_t key_len, struct crn_json value)
{
    if (buf->len > 0 && buf->data[buf->len - 1] != '{') crn_buf_putc(buf, ',');
    crn_buf_json_string(buf, key, key_len);
    crn_buf_putc(buf, ':');
    return crn_json_write(value, buf);
}

/* The payload's own members (an embedding is out already) and the record's unknown ones, as one object. */
static cairn_status finish_payload(struct reading *r, bool from_pattern_data)
{
    struct crn_buf *buf = &r->records->payload;
    struct crn_json value, twin;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    if (!r->has_payload && !r->has_extra) return CAIRN_OK;
    crn_buf_clear(buf);
    crn_buf_putc(buf, '{');
    if (r->has_payload) crn_json_iter_init(&it, r->payload);
    while (r->has_payload && crn_json_iter_next(&it, &value, &key, &key_len)) {
        if (from_pattern_data && strcmp(key, "embedding") == 0) continue;
        if (r->has_extra && member_of(key, key_len) == MEMBERS &&
            crn_json_get_n(r->object, key, key_len, &twin)) {
            return crn_error_set(r->err, CAIRN_INVALID_ARGUMENT, "\"%s\" is in the record and in its payload",
                                 key);
        }
        append_member(buf, key, key_len, value);
    }
    if (r->has_extra && buf->len > 1) crn_buf_putc(buf, ',');
    if (r->has_extra) crn_buf_append(buf, r->records->extra.data, r->records->extra.len);
    cairn_status failed = crn_buf_putc(buf, '}');
    if (failed == CAIRN_OK) failed = r->records->extra.failed;
    if (failed != CAIRN_OK)
        return crn_error_set(r->err, failed, "the payload is longer than %u bytes", CAIRN_PAYLOAD_MAX);

    r->out->payload = crn_arena_text(r->arena, buf->data, buf->len);
    return r->out->payload != NULL ? CAIRN_OK : crn_error_no_memory(r->err, buf->len);
}

static cairn_status read_payload(struct reading *r, struct crn_json value)
{
    if (crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    if (crn_json_type(value) != CRN_JSON_OBJECT) return wrong_type(r->err, "payload", "an object", value);
    r->payload = value;
    r->has_payload = true;
    return CAIRN_OK;
}

static cairn_status read_member(struct reading *r, enum member member, struct crn_json value)
{
    cairn_pattern *out = r->out;

    switch (member) {
    case ID:
        return read_id(r, value);
    case DOMAIN:
        return read_text(r, "domain", value, &out->domain);
    case AGENT:
        return read_text(r, "agent", value, &out->agent);
    case TYPE:
        return read_text(r, "type", value, &out->type);
    case MODEL:
        return read_text(r, "model", value, &out->model);
    case TEXT:
        return read_text(r, "text", value, &out->text);
    case PAYLOAD:
        return read_payload(r, value);
    case VECTOR:
        return read_vector(r, value);
    case VECTORS:
        return read_vectors(r, value);
    case CONFIDENCE:
    case USAGE_COUNT:
    case SUCCESS_COUNT:
    case CREATED_AT:
    case LAST_USED:
    case EXPIRES_AT:
        return read_counts(r, member, value);
    default: /* id_type and pattern_data wait for the others; version is the library's own */
        return CAIRN_OK;
    }
}

/* Reads the members in their order; *out_seen gets their bits. */
static cairn_status read_members(struct reading *r, struct crn_json object, uint32_t *out_seen)
{
    struct crn_json value;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    *out_seen = 0;
    for (crn_json_iter_init(&it, object); crn_json_iter_next(&it, &value, &key, &key_len);) {
        enum member member = member_of(key, key_len);
        if (member == MEMBERS) {
            append_member(&r->records->extra, key, key_len, value);
            r->has_extra = true;
            continue;
        }
        if (*out_seen & 1u << member) {
            return crn_error_set(r->err, CAIRN_INVALID_ARGUMENT, "\"%s\" is there twice", key);
        }
        *out_seen |= 1u << member;
        CRN_TRY(read_member(r, member, value));
    }
    return CAIRN_OK;
}

cairn_status crn_cli_record_read(struct crn_cli_records *records, struct crn_arena *arena,
                                 struct crn_json object, cairn_pattern *out, cairn_error *err)
{
    struct reading r = {.object = object, .records = records, .arena = arena, .out = out, .err = err};
    struct crn_json value;
    const char *id_type = NULL;
    uint32_t seen;

    *out = (cairn_pattern){.size = sizeof *out};
    crn_buf_clear(&records->extra);
    if (crn_json_type(object) != CRN_JSON_OBJECT) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a record is a JSON object, not %s",
                             crn_json_type_name(object));
    }
    CRN_TRY(read_members(&r, object, &seen));
    if (crn_json_get(object, "id_type", &value)) CRN_TRY(read_text(&r, "id_type", value, &id_type));
    CRN_TRY(check_id_type(&r, id_type));

    bool from_pattern_data =
        crn_json_get(object, "pattern_data", &value) && crn_json_type(value) != CRN_JSON_NULL;
    if (from_pattern_data) {
        if (out->vector != NULL || r.has_payload) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                                 "\"pattern_data\" takes the place of \"vector\" and "
                                 "\"payload\"; give one or the others");
        }
        CRN_TRY(read_pattern_data(&r, value));
    }
    return finish_payload(&r, from_pattern_data);
}

cairn_status crn_cli_record_parse(struct crn_cli_records *records, struct crn_arena *arena, const char *json,
                                  size_t len, cairn_pattern *out, cairn_error *err)
{
    struct crn_json root;

    CRN_TRY(crn_json_parse(records->parser, json, len, &root, err));
    return crn_cli_record_read(records, arena, root, out, err);
}
