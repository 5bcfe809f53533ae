/* Records to JSON. What is written here reads back as the same record. */
#include "cli/record.h"

#include <string.h>

static void put_key(struct crn_buf *buf, const char *key)
{
    if (buf->len > 0 && buf->data[buf->len - 1] != '{') crn_buf_putc(buf, ',');
    crn_buf_printf(buf, "\"%s\":", key);
}

static void put_text(struct crn_buf *buf, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    put_key(buf, key);
    crn_buf_json_string(buf, text, strlen(text));
}

static void put_integer(struct crn_buf *buf, const char *key, int64_t number)
{
    put_key(buf, key);
    crn_buf_printf(buf, "%lld", (long long)number);
}

cairn_status crn_cli_record_write_json(struct crn_buf *buf, const char *json)
{
    size_t from = buf->len;

    crn_buf_puts(buf, json);
    for (size_t at = from; at < buf->len; at++) {
        if (buf->data[at] == '\n' || buf->data[at] == '\r') buf->data[at] = ' ';
    }
    return buf->failed;
}

static void put_floats(struct crn_buf *buf, const float *values, size_t count)
{
    crn_buf_putc(buf, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(buf, ',');
        crn_buf_json_float(buf, values[i]);
    }
    crn_buf_putc(buf, ']');
}

static void put_sparse(struct crn_buf *buf, const cairn_vector *vector)
{
    crn_buf_puts(buf, "{\"indices\":[");
    for (uint32_t i = 0; i < vector->count; i++)
        crn_buf_printf(buf, i > 0 ? ",%u" : "%u", vector->indices[i]);
    crn_buf_puts(buf, "],\"values\":");
    put_floats(buf, vector->values, vector->count);
    crn_buf_putc(buf, '}');
}

static void put_vector(struct crn_buf *buf, const cairn_vector *vector)
{
    if (vector->indices != NULL) {
        put_sparse(buf, vector);
    } else if (vector->rows > 0) {
        crn_buf_putc(buf, '[');
        for (uint32_t row = 0; row < vector->rows; row++) {
            if (row > 0) crn_buf_putc(buf, ',');
            put_floats(buf, vector->values + (size_t)row * vector->dim, vector->dim);
        }
        crn_buf_putc(buf, ']');
    } else {
        put_floats(buf, vector->values, vector->dim);
    }
}

/* Named spaces; the default one, when it is not dense, stands among them under its name "". */
static void put_vectors(struct crn_buf *buf, const cairn_pattern *pattern)
{
    bool open = false;

    for (uint32_t i = 0; i < pattern->vector_count; i++) {
        const cairn_vector *vector = &pattern->vectors[i];
        const char *space = vector->space != NULL ? vector->space : "";
        if (space[0] == '\0' && pattern->vector != NULL) continue;
        if (!open) {
            put_key(buf, "vectors");
            crn_buf_putc(buf, '{');
            open = true;
        } else {
            crn_buf_putc(buf, ',');
        }
        crn_buf_json_string(buf, space, strlen(space));
        crn_buf_putc(buf, ':');
        put_vector(buf, vector);
    }
    if (open) crn_buf_putc(buf, '}');
}

cairn_status crn_cli_record_write_id(struct crn_buf *buf, const cairn_pattern *pattern)
{
    if (pattern->id_type == CAIRN_ID_U64)
        return crn_buf_printf(buf, "%llu", (unsigned long long)pattern->id_u64);
    return crn_buf_json_string(buf, pattern->id, strlen(pattern->id));
}

cairn_status crn_cli_record_write_members(struct crn_buf *buf, const cairn_pattern *pattern,
                                          bool with_version)
{
    put_key(buf, "id");
    crn_cli_record_write_id(buf, pattern);
    if (pattern->id_type == CAIRN_ID_UUID) put_text(buf, "id_type", "uuid");
    put_text(buf, "domain", pattern->domain);
    put_text(buf, "agent", pattern->agent);
    if (pattern->type != NULL) { /* "" is a type of its own; a record without one is a "pattern" */
        put_key(buf, "type");
        crn_buf_json_string(buf, pattern->type, strlen(pattern->type));
    }
    put_text(buf, "text", pattern->text);
    if (pattern->payload != NULL) {
        put_key(buf, "payload");
        crn_cli_record_write_json(buf, pattern->payload);
    }
    put_key(buf, "confidence");
    crn_buf_json_double(buf, pattern->confidence);
    put_integer(buf, "usage_count", pattern->usage_count);
    put_integer(buf, "success_count", pattern->success_count);
    put_integer(buf, "created_at", pattern->created_at_ms);
    if (pattern->last_used_ms != 0) put_integer(buf, "last_used", pattern->last_used_ms);
    if (pattern->expires_at_ms != 0) put_integer(buf, "expires_at", pattern->expires_at_ms);
    if (with_version) put_integer(buf, "version", (int64_t)pattern->version);
    if (pattern->vector != NULL) {
        put_key(buf, "vector");
        put_floats(buf, pattern->vector, pattern->dim);
    }
    put_vectors(buf, pattern);
    return buf->failed;
}

cairn_status crn_cli_record_write(struct crn_buf *buf, const cairn_pattern *pattern, bool with_version)
{
    crn_buf_putc(buf, '{');
    crn_cli_record_write_members(buf, pattern, with_version);
    return crn_buf_putc(buf, '}');
}
