/* Members of a body, ids, and JSON written from JSON. */
#include "server/qdrant_internal.h"

#include <inttypes.h>
#include <string.h>

bool crn_qd_member(struct crn_json object, const char *name, struct crn_json *out)
{
    return object.doc != NULL && crn_json_get(object, name, out) && crn_json_type(*out) != CRN_JSON_NULL;
}

bool crn_qd_missing(struct crn_qd_call *call, const char *name)
{
    return crn_qd_fail(call, 400, "Format error in JSON body: missing field `%s`", name);
}

bool crn_qd_wrong_type(struct crn_qd_call *call, const char *name, const char *expected, struct crn_json got)
{
    return crn_qd_fail(call, 400, "Format error in JSON body: %s: invalid type: %s, expected %s", name,
                       crn_json_type_name(got), expected);
}

bool crn_qd_get_u64(struct crn_qd_call *call, struct crn_json object, const char *name, uint64_t min,
                    uint64_t *out)
{
    struct crn_json value;

    if (!crn_qd_member(object, name, &value)) return true;
    const enum crn_json_type type = crn_json_type(value);
    if (type != CRN_JSON_U64 && (type != CRN_JSON_I64 || crn_json_i64(value) < 0)) {
        return crn_qd_wrong_type(call, name, "an unsigned integer", value);
    }
    *out = crn_json_u64(value);
    if (*out >= min) return true;
    return crn_qd_fail(call, 422,
                       "Validation error in JSON body: [%s: value %" PRIu64 " invalid, must be %" PRIu64
                       " or larger]",
                       name, *out, min);
}

bool crn_qd_get_bool(struct crn_qd_call *call, struct crn_json object, const char *name, bool *out)
{
    struct crn_json value;

    if (!crn_qd_member(object, name, &value)) return true;
    if (crn_json_type(value) != CRN_JSON_BOOL) return crn_qd_wrong_type(call, name, "a boolean", value);
    *out = crn_json_bool(value);
    return true;
}

bool crn_qd_get_double(struct crn_qd_call *call, struct crn_json object, const char *name, double *out,
                       bool *out_given)
{
    struct crn_json value;

    if (out_given != NULL) *out_given = false;
    if (!crn_qd_member(object, name, &value)) return true;
    if (!crn_json_is_number(value)) return crn_qd_wrong_type(call, name, "a number", value);
    *out = crn_json_double(value);
    if (out_given != NULL) *out_given = true;
    return true;
}

bool crn_qd_get_text(struct crn_qd_call *call, struct crn_json object, const char *name, const char **out)
{
    struct crn_json value;
    size_t length;

    if (!crn_qd_member(object, name, &value)) return true;
    if (crn_json_type(value) != CRN_JSON_STRING) return crn_qd_wrong_type(call, name, "a string", value);
    *out = crn_json_string(value, &length);
    if (strlen(*out) != length) return crn_qd_fail(call, 400, "Wrong input: %s holds a NUL", name);
    return true;
}

/* ---- writing ---- */

void crn_qd_write_member(struct crn_buf *out, const char *name, bool *first)
{
    if (!*first) crn_buf_putc(out, ',');
    *first = false;
    crn_buf_json_string(out, name, strlen(name));
    crn_buf_putc(out, ':');
}

static void write_key(struct crn_buf *out, const char *key, size_t length, bool *first)
{
    if (!*first) crn_buf_putc(out, ',');
    *first = false;
    crn_buf_json_string(out, key, length);
    crn_buf_putc(out, ':');
}

void crn_qd_write_set(struct crn_buf *out, struct crn_json value)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t length;
    bool first = true;

    if (crn_json_type(value) != CRN_JSON_OBJECT) {
        crn_json_write(value, out);
        return;
    }
    crn_buf_putc(out, '{');
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &member, &key, &length);) {
        if (crn_json_type(member) == CRN_JSON_NULL) continue;
        write_key(out, key, length, &first);
        crn_qd_write_set(out, member);
    }
    crn_buf_putc(out, '}');
}

void crn_qd_write_merged(struct crn_buf *out, struct crn_json base, struct crn_json patch, bool deep)
{
    struct crn_json_iter it;
    struct crn_json member, other;
    const char *key;
    size_t length;
    bool first = true;

    crn_buf_putc(out, '{');
    for (crn_json_iter_init(&it, base); crn_json_iter_next(&it, &member, &key, &length);) {
        write_key(out, key, length, &first);
        const bool patched =
            crn_json_get_n(patch, key, length, &other) && !(deep && crn_json_type(other) == CRN_JSON_NULL);
        if (patched && deep && crn_json_type(member) == CRN_JSON_OBJECT &&
            crn_json_type(other) == CRN_JSON_OBJECT) {
            crn_qd_write_merged(out, member, other, true);
        } else {
            crn_json_write(patched ? other : member, out);
        }
    }
    for (crn_json_iter_init(&it, patch); crn_json_iter_next(&it, &member, &key, &length);) {
        if (crn_json_get_n(base, key, length, &other) || (deep && crn_json_type(member) == CRN_JSON_NULL))
            continue;
        write_key(out, key, length, &first);
        crn_json_write(member, out);
    }
    crn_buf_putc(out, '}');
}

/* ---- ids ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* 32 hexadecimal digits, bare or as 8-4-4-4-12, also in braces or behind urn:uuid:, as canonical text [37]. */
static bool read_uuid(const char *text, size_t length, char *out)
{
    size_t digits = 0, written = 0;

    if (length == 45 && memcmp(text, "urn:uuid:", 9) == 0) {
        text += 9;
        length -= 9;
    } else if (length == 38 && text[0] == '{' && text[37] == '}') {
        text++;
        length -= 2;
    }
    if (length != 32 && length != 36) return false;
    for (size_t i = 0; i < length; i++) {
        const bool hyphen = length == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (hyphen && text[i] == '-') continue;
        if (hyphen || hex_value(text[i]) < 0) return false;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20) out[written++] = '-';
        out[written++] = "0123456789abcdef"[hex_value(text[i])];
        digits++;
    }
    out[written] = '\0';
    return true;
}

bool crn_qd_text_to_id(struct crn_qd_call *call, const char *text, size_t length, cairn_id *out)
{
    char uuid[40];
    uint64_t number = 0;
    size_t i = 0;

    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) break;
        number = number * 10 + digit;
    }
    if (length > 0 && i == length) {
        *out = (cairn_id){.type = CAIRN_ID_U64, .u64 = number};
        return true;
    }
    if (!read_uuid(text, length, uuid)) return false;
    *out = (cairn_id){.type = CAIRN_ID_UUID, .text = crn_qd_take_text(call, uuid, 36)};
    return out->text != NULL;
}

bool crn_qd_read_id(struct crn_qd_call *call, struct crn_json value, cairn_id *out)
{
    char uuid[40];
    size_t length;

    switch (crn_json_type(value)) {
    case CRN_JSON_I64:
    case CRN_JSON_U64:
        if (crn_json_type(value) == CRN_JSON_I64 && crn_json_i64(value) < 0) break;
        *out = (cairn_id){.type = CAIRN_ID_U64, .u64 = crn_json_u64(value)};
        return true;
    case CRN_JSON_STRING: {
        const char *text = crn_json_string(value, &length);
        if (!read_uuid(text, length, uuid)) break;
        *out = (cairn_id){.type = CAIRN_ID_UUID, .text = crn_qd_take_text(call, uuid, 36)};
        return out->text != NULL;
    }
    default:
        break;
    }
    struct crn_buf shown;
    crn_buf_init(&shown, 200);
    if (crn_json_type(value) == CRN_JSON_STRING) {
        crn_buf_puts(&shown, crn_json_string(value, &length));
    } else {
        crn_json_write(value, &shown);
    }
    crn_qd_fail(
        call, 400,
        "Format error in JSON body: value %.200s is not a valid point ID, valid values are either an unsigned integer or a UUID",
        shown.data == NULL ? "" : shown.data);
    crn_buf_release(&shown);
    return false;
}

bool crn_qd_read_ids(struct crn_qd_call *call, struct crn_json array, cairn_id **out, size_t *out_count)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t length;

    *out_count = 0;
    if (crn_json_type(array) != CRN_JSON_ARRAY) return crn_qd_wrong_type(call, "points", "a sequence", array);
    *out = crn_qd_take(call, crn_json_size(array) + 1, sizeof **out);
    if (*out == NULL) return false;
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &element, &key, &length);) {
        if (!crn_qd_read_id(call, element, &(*out)[(*out_count)++])) return false;
    }
    return true;
}

void crn_qd_write_id(struct crn_buf *out, const cairn_id *id)
{
    if (id->type == CAIRN_ID_U64) {
        crn_buf_printf(out, "%" PRIu64, id->u64);
    } else {
        crn_buf_json_string(out, id->text, strlen(id->text));
    }
}

cairn_id crn_qd_id_of(const cairn_pattern *pattern)
{
    return (cairn_id){.type = pattern->id_type, .text = pattern->id, .u64 = pattern->id_u64};
}

/* Numbers by value, then texts, then UUIDs. */
static int compare_ids(const cairn_id *a, const cairn_id *b)
{
    static const int ranks[] = {[CAIRN_ID_U64] = 0, [CAIRN_ID_STRING] = 1, [CAIRN_ID_UUID] = 2};

    if (a->type != b->type) return ranks[a->type] - ranks[b->type];
    return a->type == CAIRN_ID_U64 ? (a->u64 > b->u64) - (a->u64 < b->u64) : strcmp(a->text, b->text);
}

const cairn_pattern *crn_qd_find_point(const cairn_patterns *points, const cairn_id *id)
{
    size_t begin = 0, end = cairn_patterns_count(points);

    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        const cairn_pattern *point = cairn_patterns_at(points, middle);
        const cairn_id other = crn_qd_id_of(point);
        const int order = compare_ids(id, &other);
        if (order == 0) return point;
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return NULL;
}

bool crn_qd_same_id(const cairn_id *a, const cairn_id *b)
{
    if (a->type != b->type) return false;
    return a->type == CAIRN_ID_U64 ? a->u64 == b->u64 : strcmp(a->text, b->text) == 0;
}
