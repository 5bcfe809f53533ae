/* Members of a body, parameters of a query, ids. What is not known is refused by its name, never passed over. */
#include "server/v1_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

static bool is_listed(const char *const *names, const char *name, size_t length)
{
    for (; *names != NULL; names++) {
        if (strlen(*names) == length && memcmp(*names, name, length) == 0) return true;
    }
    return false;
}

bool crn_v1_only(struct crn_v1_call *call, struct crn_json object, const char *const *names)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length;

    for (crn_json_iter_init(&it, object); crn_json_iter_next(&it, &value, &key, &length);) {
        if (!is_listed(names, key, length)) {
            return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "unknown field '%.*s'",
                                 (int)(length < 100 ? length : 100), key);
        }
    }
    return true;
}

bool crn_v1_member(struct crn_json object, const char *name, struct crn_json *out)
{
    return object.doc != NULL && crn_json_get(object, name, out) && crn_json_type(*out) != CRN_JSON_NULL;
}

bool crn_v1_wrong(struct crn_v1_call *call, const char *name, const char *expected, struct crn_json got)
{
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s must be %s, not %s", name, expected,
                         crn_json_type_name(got));
}

bool crn_v1_get_u64(struct crn_v1_call *call, struct crn_json object, const char *name, uint64_t min,
                    uint64_t max, uint64_t *out)
{
    struct crn_json value;

    if (!crn_v1_member(object, name, &value)) return true;
    const enum crn_json_type type = crn_json_type(value);
    if (type != CRN_JSON_U64 && (type != CRN_JSON_I64 || crn_json_i64(value) < 0)) {
        return crn_v1_wrong(call, name, "an integer from 0 on", value);
    }
    *out = crn_json_u64(value);
    if (*out >= min && *out <= max) return true;
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT,
                         "%s must be from %" PRIu64 " to %" PRIu64 ", not %" PRIu64, name, min, max, *out);
}

bool crn_v1_get_u32(struct crn_v1_call *call, struct crn_json object, const char *name, uint32_t min,
                    uint32_t max, uint32_t *out)
{
    uint64_t number = *out;

    if (!crn_v1_get_u64(call, object, name, min, max, &number)) return false;
    *out = (uint32_t)number;
    return true;
}

bool crn_v1_get_bool(struct crn_v1_call *call, struct crn_json object, const char *name, bool *out)
{
    struct crn_json value;

    if (!crn_v1_member(object, name, &value)) return true;
    if (crn_json_type(value) != CRN_JSON_BOOL) return crn_v1_wrong(call, name, "true or false", value);
    *out = crn_json_bool(value);
    return true;
}

bool crn_v1_get_double(struct crn_v1_call *call, struct crn_json object, const char *name, double *out,
                       bool *out_given)
{
    struct crn_json value;

    if (out_given != NULL) *out_given = false;
    if (!crn_v1_member(object, name, &value)) return true;
    if (!crn_json_is_number(value)) return crn_v1_wrong(call, name, "a number", value);
    *out = crn_json_double(value);
    if (!isfinite(*out)) return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s is no finite number", name);
    if (out_given != NULL) *out_given = true;
    return true;
}

static bool text_of(struct crn_v1_call *call, const char *name, struct crn_json value, const char **out)
{
    size_t length;

    if (crn_json_type(value) != CRN_JSON_STRING) return crn_v1_wrong(call, name, "a string", value);
    *out = crn_json_string(value, &length);
    if (strlen(*out) == length) return true;
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s holds a NUL character", name);
}

bool crn_v1_get_text(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out)
{
    struct crn_json value;

    return !crn_v1_member(object, name, &value) || text_of(call, name, value, out);
}

bool crn_v1_get_choice(struct crn_v1_call *call, struct crn_json object, const char *name,
                       const char *const *names, unsigned *out)
{
    const char *text = NULL;

    if (!crn_v1_get_text(call, object, name, &text)) return false;
    for (unsigned i = 0; text != NULL && names[i] != NULL; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = i;
        return true;
    }
    return text == NULL || crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s has no value '%.60s'; one is '%s'",
                                         name, text, names[0]);
}

static bool write_json(struct crn_v1_call *call, struct crn_json value, const char **out)
{
    struct crn_buf text;

    crn_buf_init(&text, SIZE_MAX / 2);
    crn_json_write(value, &text);
    if (text.failed != CAIRN_OK)
        crn_v1_refuse(call, text.failed, "no memory for %zu bytes of JSON", text.len);
    *out = text.failed == CAIRN_OK ? crn_v1_take_text(call, text.data, text.len) : NULL;
    crn_buf_release(&text);
    return *out != NULL;
}

bool crn_v1_get_json(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out)
{
    struct crn_json value;

    if (!crn_v1_member(object, name, &value)) return true;
    const enum crn_json_type type = crn_json_type(value);
    if (type == CRN_JSON_STRING) return text_of(call, name, value, out);
    if (type == CRN_JSON_OBJECT || type == CRN_JSON_ARRAY) return write_json(call, value, out);
    return crn_v1_wrong(call, name, "an object or an array", value);
}

bool crn_v1_get_object(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out)
{
    struct crn_json value;

    if (!crn_v1_member(object, name, &value)) return true;
    if (crn_json_type(value) != CRN_JSON_OBJECT) return crn_v1_wrong(call, name, "an object", value);
    return write_json(call, value, out);
}

bool crn_v1_get_scope(struct crn_v1_call *call, struct crn_json object, cairn_scope *out)
{
    *out = (cairn_scope){.size = sizeof *out};
    return crn_v1_get_text(call, object, "domain", &out->domain) &&
           crn_v1_get_text(call, object, "agent", &out->agent) &&
           crn_v1_get_text(call, object, "type", &out->type) &&
           crn_v1_get_json(call, object, "filter", &out->filter) &&
           crn_v1_get_double(call, object, "min_confidence", &out->min_confidence, NULL);
}

/* ---- ids ---- */

bool crn_v1_read_id(struct crn_v1_call *call, struct crn_json value, cairn_id *out)
{
    static const char *const names[] = {"uuid", NULL};
    const enum crn_json_type type = crn_json_type(value);

    *out = (cairn_id){.type = CAIRN_ID_STRING};
    if (type == CRN_JSON_STRING) return text_of(call, "id", value, &out->text);
    if (type == CRN_JSON_U64 || (type == CRN_JSON_I64 && crn_json_i64(value) >= 0)) {
        *out = (cairn_id){.type = CAIRN_ID_U64, .u64 = crn_json_u64(value)};
        return true;
    }
    if (type == CRN_JSON_OBJECT) {
        out->type = CAIRN_ID_UUID;
        if (!crn_v1_only(call, value, names) || !crn_v1_get_text(call, value, "uuid", &out->text))
            return false;
        if (out->text != NULL) return true;
    }
    return crn_v1_refuse(call, CAIRN_INVALID_ID,
                         "an id is a string, an integer from 0 on or {\"uuid\": string}, not %s",
                         crn_json_type_name(value));
}

bool crn_v1_read_ids(struct crn_v1_call *call, struct crn_json array, cairn_id **out, size_t *out_count)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length;

    if (crn_json_type(array) != CRN_JSON_ARRAY) return crn_v1_wrong(call, "ids", "an array", array);
    *out = crn_v1_take(call, crn_json_size(array), sizeof **out);
    *out_count = 0;
    if (*out == NULL) return false;
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &value, &key, &length);) {
        if (!crn_v1_read_id(call, value, &(*out)[(*out_count)++])) return false;
    }
    return true;
}

static bool read_number(struct crn_v1_call *call, const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0) return true;
    return crn_v1_refuse(call, CAIRN_INVALID_ID, "'%.60s' is no u64 id", text);
}

bool crn_v1_text_to_id(struct crn_v1_call *call, const char *text, size_t length, cairn_id *out)
{
    const struct crn_text *kind = crn_v1_parameter(call->request, "id_type");
    char *copy = crn_v1_take_text(call, text, length);

    if (copy == NULL) return false;
    if (strlen(copy) != length) return crn_v1_refuse(call, CAIRN_INVALID_ID, "the id holds a NUL character");
    *out = (cairn_id){.type = CAIRN_ID_STRING, .text = copy};
    if (kind == NULL || (kind->length == 6 && memcmp(kind->data, "string", 6) == 0)) return true;
    if (kind->length == 4 && memcmp(kind->data, "uuid", 4) == 0) {
        out->type = CAIRN_ID_UUID;
        return true;
    }
    if (kind->length == 3 && memcmp(kind->data, "u64", 3) == 0) {
        *out = (cairn_id){.type = CAIRN_ID_U64};
        return read_number(call, copy, &out->u64);
    }
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "id_type is string, u64 or uuid, not '%.*s'",
                         (int)(kind->length < 60 ? kind->length : 60), kind->data);
}

/* ---- parameters and headers ---- */

static const struct crn_text *find(const struct crn_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].name.length == strlen(name) && memcmp(fields[i].name.data, name, strlen(name)) == 0)
            return &fields[i].value;
    }
    return NULL;
}

const struct crn_text *crn_v1_parameter(const struct crn_request *request, const char *name)
{
    return find(request->parameters, request->parameter_count, name);
}

bool crn_v1_header_is(const struct crn_request *request, const char *name, const char *value)
{
    const struct crn_text *text = find(request->headers, request->header_count, name);

    return text != NULL && text->length == strlen(value) && memcmp(text->data, value, text->length) == 0;
}

bool crn_v1_only_parameters(struct crn_v1_call *call, const char *const *names)
{
    for (size_t i = 0; i < call->request->parameter_count; i++) {
        const struct crn_text *name = &call->request->parameters[i].name;
        if (is_listed(names, name->data, name->length)) continue;
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "unknown parameter '%.*s'",
                             (int)(name->length < 100 ? name->length : 100), name->data);
    }
    return true;
}

static bool stands_bare(const struct crn_field *field)
{
    static const char *const texts[] = {"space", "domain", "agent",  "type", "model",
                                        "mode",  "fusion", "filter", "text", NULL};
    const struct crn_text *value = &field->value;
    const char *at = value->data, *end = value->data + value->length;

    if (is_listed(texts, field->name.data, field->name.length) || value->length == 0) return false;
    if ((value->length == 4 && memcmp(at, "true", 4) == 0) ||
        (value->length == 5 && memcmp(at, "false", 5) == 0))
        return true;
    while (at < end && memchr("0123456789.eE+-", *at, 15) != NULL) at++;
    return at == end;
}

bool crn_v1_parameters_as_body(struct crn_v1_call *call)
{
    struct crn_buf text;

    crn_buf_init(&text, 1u << 20);
    crn_buf_putc(&text, '{');
    for (size_t i = 0; i < call->request->parameter_count; i++) {
        const struct crn_field *field = &call->request->parameters[i];
        if (i > 0) crn_buf_putc(&text, ',');
        crn_buf_json_string(&text, field->name.data, field->name.length);
        crn_buf_putc(&text, ':');
        if (stands_bare(field))
            crn_buf_append(&text, field->value.data, field->value.length);
        else
            crn_buf_json_string(&text, field->value.data, field->value.length);
    }
    crn_buf_putc(&text, '}');
    const bool read = text.failed == CAIRN_OK
                          ? crn_v1_parse(call, text.data, text.len)
                          : crn_v1_refuse(call, text.failed, "no memory for the parameters");
    crn_buf_release(&text);
    return read;
}
