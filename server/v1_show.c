/* Patterns, ids and reports as JSON. */
#include "server/v1_internal.h"

#include <inttypes.h>
#include <string.h>

void crn_v1_put_text(struct crn_buf *out, const char *text)
{
    if (text == NULL)
        crn_buf_puts(out, "null");
    else
        crn_buf_json_string(out, text, strlen(text));
}

void crn_v1_put_id(struct crn_buf *out, const cairn_id *id)
{
    if (id->type == CAIRN_ID_U64) {
        crn_buf_printf(out, "%" PRIu64, id->u64);
        return;
    }
    if (id->type == CAIRN_ID_UUID) crn_buf_puts(out, "{\"uuid\":");
    crn_v1_put_text(out, id->text);
    if (id->type == CAIRN_ID_UUID) crn_buf_putc(out, '}');
}

cairn_id crn_v1_id_of(const cairn_pattern *pattern)
{
    return (cairn_id){.type = pattern->id_type, .text = pattern->id, .u64 = pattern->id_u64};
}

static void put_floats(struct crn_buf *out, const float *values, size_t count)
{
    crn_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        crn_buf_json_float(out, values[i]);
    }
    crn_buf_putc(out, ']');
}

static void put_vector(struct crn_buf *out, const cairn_vector *vector)
{
    if (vector->indices != NULL) {
        crn_buf_puts(out, "{\"indices\":[");
        for (uint32_t i = 0; i < vector->count; i++)
            crn_buf_printf(out, i > 0 ? ",%" PRIu32 : "%" PRIu32, vector->indices[i]);
        crn_buf_puts(out, "],\"values\":");
        put_floats(out, vector->values, vector->count);
        crn_buf_putc(out, '}');
    } else if (vector->rows > 0) {
        crn_buf_putc(out, '[');
        for (uint32_t row = 0; row < vector->rows; row++) {
            if (row > 0) crn_buf_putc(out, ',');
            put_floats(out, vector->values + (size_t)row * vector->dim, vector->dim);
        }
        crn_buf_putc(out, ']');
    } else {
        put_floats(out, vector->values, vector->dim);
    }
}

static void put_member(struct crn_buf *out, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    crn_buf_printf(out, ",\"%s\":", name);
    crn_v1_put_text(out, text);
}

static void put_integer(struct crn_buf *out, const char *name, int64_t number)
{
    crn_buf_printf(out, ",\"%s\":%" PRId64, name, number);
}

/* Named spaces; the default one, when it is not dense, stands among them under its name "". */
static void put_vectors(struct crn_buf *out, const cairn_pattern *pattern)
{
    bool open = false;

    for (uint32_t i = 0; i < pattern->vector_count; i++) {
        const cairn_vector *vector = &pattern->vectors[i];
        const char *space = vector->space != NULL ? vector->space : "";
        if (space[0] == '\0' && pattern->vector != NULL) continue;
        crn_buf_puts(out, open ? "," : ",\"vectors\":{");
        open = true;
        crn_v1_put_text(out, space);
        crn_buf_putc(out, ':');
        put_vector(out, vector);
    }
    if (open) crn_buf_putc(out, '}');
}

void crn_v1_put_pattern(struct crn_buf *out, const cairn_pattern *pattern, bool with_vectors)
{
    const cairn_id id = crn_v1_id_of(pattern);

    crn_buf_puts(out, "{\"id\":");
    crn_v1_put_id(out, &id);
    crn_buf_printf(out, ",\"version\":%" PRIu64, pattern->version);
    put_member(out, "domain", pattern->domain);
    put_member(out, "agent", pattern->agent);
    crn_buf_puts(out, ",\"type\":"); /* "" is a type of its own */
    crn_v1_put_text(out, pattern->type != NULL ? pattern->type : "pattern");
    put_member(out, "text", pattern->text);
    if (pattern->payload != NULL) {
        crn_buf_puts(out, ",\"payload\":");
        crn_buf_puts(out, pattern->payload);
    }
    crn_buf_puts(out, ",\"confidence\":");
    crn_buf_json_double(out, pattern->confidence);
    put_integer(out, "usage_count", pattern->usage_count);
    put_integer(out, "success_count", pattern->success_count);
    put_integer(out, "created_at", pattern->created_at_ms);
    if (pattern->last_used_ms != 0) put_integer(out, "last_used", pattern->last_used_ms);
    if (pattern->expires_at_ms != 0) put_integer(out, "expires_at", pattern->expires_at_ms);
    if (with_vectors && pattern->vector != NULL) {
        crn_buf_puts(out, ",\"vector\":");
        put_floats(out, pattern->vector, pattern->dim);
    }
    if (with_vectors) put_vectors(out, pattern);
    crn_buf_putc(out, '}');
}

void crn_v1_put_report(struct crn_buf *out, const cairn_memory_report *report)
{
    crn_buf_printf(out,
                   "{\"patterns_before\":%" PRIu64 ",\"patterns_consolidated\":%" PRIu64
                   ",\"patterns_pruned\":%" PRIu64 ",\"space_saved_bytes\":%" PRId64 ",\"search_before_ms\":",
                   report->patterns_before, report->patterns_consolidated, report->patterns_pruned,
                   report->space_saved_bytes);
    crn_buf_json_double(out, report->search_before_ms);
    crn_buf_puts(out, ",\"search_after_ms\":");
    crn_buf_json_double(out, report->search_after_ms);
    crn_buf_putc(out, '}');
}
