/* The values of a payload at a path, in an order of their own: see payload_values.h. */
#include "storage/payload_values.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 1000000u /* of one payload at one path */

/* ---- paths ---- */

cairn_status crn_payload_path_check(const char *path, cairn_error *err)
{
    size_t part = 0;

    if (path == NULL || path[0] == '\0')
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a payload path is empty");
    if (strlen(path) > CRN_PAYLOAD_PATH_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a payload path has %zu bytes, more than %u", strlen(path),
                             CRN_PAYLOAD_PATH_MAX);
    }
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '\\') {
            c++;
            if (*c != '.' && *c != '\\' && *c != '$') {
                return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                                     "path \"%s\": a backslash stands before . or \\ or $", path);
            }
        } else if (*c == '.') {
            if (part == 0) break;
            part = 0;
            continue;
        }
        part++;
    }
    if (part == 0) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "path \"%s\" has an empty part", path);
    return CAIRN_OK;
}

/* Takes the path's first key, unescaped; returns what follows behind its dot, or NULL when it was the
 * last. */
static const char *first_key(const char *path, char key[CRN_PAYLOAD_PATH_MAX + 1], size_t *out_len)
{
    size_t len = 0;

    for (; *path != '\0' && *path != '.'; path++) {
        if (*path == '\\') path++;
        key[len++] = *path;
    }
    *out_len = len;
    return *path == '.' ? path + 1 : NULL;
}

/* ---- the order of values: classes as SQLite sorts them, then by value ---- */

enum value_class { CLASS_NUMBER, CLASS_STRING, CLASS_NULL, CLASS_BOOL, CLASS_OTHER };

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static enum value_class class_of(const struct crn_payload_value *item)
{
    if (item->other) return CLASS_OTHER;
    switch (item->value.type) {
    case CRN_VALUE_NULL:
        return CLASS_NULL;
    case CRN_VALUE_BOOL:
        return CLASS_BOOL;
    case CRN_VALUE_STRING:
        return CLASS_STRING;
    default:
        return CLASS_NUMBER;
    }
}

/* Values that SQLite keeps apart are apart here: an integer above INT64_MAX and the double of its size are
 * not equal, while 1 and 1.0 are. */
static int order_numbers(const struct crn_value *a, const struct crn_value *b)
{
    if (a->type == CRN_VALUE_U64 || b->type == CRN_VALUE_U64) {
        if (a->type == b->type) return ORDER(a->u64, b->u64);
        return a->type == CRN_VALUE_U64 ? 1 : -1;
    }
    if (a->type == CRN_VALUE_I64 && b->type == CRN_VALUE_I64) return ORDER(a->i64, b->i64);
    if (a->type == CRN_VALUE_DOUBLE && b->type == CRN_VALUE_DOUBLE) return ORDER(a->number, b->number);
    if (b->type == CRN_VALUE_DOUBLE) return -order_numbers(b, a);
    /* A double against an integer, without rounding either. */
    if (a->number < -0x1p63) return -1;
    if (a->number >= 0x1p63) return 1;
    const int64_t whole = (int64_t)a->number;
    if (whole != b->i64) return ORDER(whole, b->i64);
    return ORDER(a->number, (double)whole);
}

static int order_strings(const struct crn_value *a, const struct crn_value *b)
{
    const size_t shorter = a->string_len < b->string_len ? a->string_len : b->string_len;
    const int order = memcmp(a->string, b->string, shorter);

    return order != 0 ? order : ORDER(a->string_len, b->string_len);
}

static int order_items(const void *left, const void *right)
{
    const struct crn_payload_value *a = left, *b = right;
    const enum value_class class = class_of(a);

    if (class != class_of(b)) return ORDER(class, class_of(b));
    switch (class) {
    case CLASS_NUMBER:
        return order_numbers(&a->value, &b->value);
    case CLASS_STRING:
        return order_strings(&a->value, &b->value);
    case CLASS_BOOL:
        return ORDER(a->value.boolean, b->value.boolean);
    default:
        return 0;
    }
}

/* ---- collecting ---- */

static cairn_status add(struct crn_payload_values *values, struct crn_payload_value item, cairn_error *err)
{
    if (values->count == values->capacity) {
        const size_t capacity = values->capacity > 0 ? values->capacity * 2 : 16;
        if (values->count >= VALUES_MAX) {
            return crn_error_set(err, CAIRN_LIMIT, "a payload has more than %u values at an indexed path",
                                 VALUES_MAX);
        }
        void *grown = crn_mem_realloc_array(values->items, capacity, sizeof *values->items);
        if (grown == NULL) return crn_error_no_memory(err, capacity * sizeof *values->items);
        values->items = grown;
        values->capacity = capacity;
    }
    values->items[values->count++] = item;
    return CAIRN_OK;
}

/* False when it is an array or an object. */
static bool scalar_of(struct crn_json json, struct crn_payload_value *out_item)
{
    struct crn_value *value = &out_item->value;

    *out_item = (struct crn_payload_value){0};
    switch (crn_json_type(json)) {
    case CRN_JSON_NULL:
        value->type = CRN_VALUE_NULL;
        return true;
    case CRN_JSON_BOOL:
        value->type = CRN_VALUE_BOOL;
        value->boolean = crn_json_bool(json);
        return true;
    case CRN_JSON_I64:
        value->type = CRN_VALUE_I64;
        value->i64 = crn_json_i64(json);
        return true;
    case CRN_JSON_U64:
        value->type = CRN_VALUE_U64;
        value->u64 = crn_json_u64(json);
        return true;
    case CRN_JSON_DOUBLE:
        value->type = CRN_VALUE_DOUBLE;
        value->number = crn_json_double(json);
        return true;
    case CRN_JSON_STRING:
        value->type = CRN_VALUE_STRING;
        value->string = crn_json_string(json, &value->string_len);
        return true;
    default:
        return false;
    }
}

/* What stands at the end of the path: a scalar, the scalars of an array, or something without any. */
static cairn_status collect_end(struct crn_json json, struct crn_payload_values *values, cairn_error *err)
{
    struct crn_payload_value item;
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t key_len;
    const size_t before = values->count;

    if (scalar_of(json, &item)) return add(values, item, err);
    if (crn_json_type(json) == CRN_JSON_ARRAY) {
        for (crn_json_iter_init(&it, json); crn_json_iter_next(&it, &element, &key, &key_len);) {
            if (scalar_of(element, &item)) CRN_TRY(add(values, item, err));
        }
    }
    if (values->count > before) return CAIRN_OK;
    return add(values, (struct crn_payload_value){.other = true}, err);
}

static cairn_status collect(struct crn_json json, const char *path, struct crn_payload_values *values,
                            cairn_error *err);

/* One key further into an object; an object without it adds nothing. */
static cairn_status collect_member(struct crn_json object, const char *path,
                                   struct crn_payload_values *values, cairn_error *err)
{
    char key[CRN_PAYLOAD_PATH_MAX + 1];
    size_t len;
    struct crn_json next;
    const char *rest = first_key(path, key, &len);

    if (!crn_json_get_n(object, key, len, &next)) return CAIRN_OK;
    return rest != NULL ? collect(next, rest, values, err) : collect_end(next, values, err);
}

/* The depth is bounded by the document's, CRN_JSON_DEPTH_MAX. */
static cairn_status collect(struct crn_json json, const char *path, struct crn_payload_values *values,
                            cairn_error *err)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t key_len;

    if (crn_json_type(json) == CRN_JSON_OBJECT) return collect_member(json, path, values, err);
    if (crn_json_type(json) != CRN_JSON_ARRAY) return CAIRN_OK;
    for (crn_json_iter_init(&it, json); crn_json_iter_next(&it, &element, &key, &key_len);) {
        if (crn_json_type(element) == CRN_JSON_OBJECT) CRN_TRY(collect_member(element, path, values, err));
    }
    return CAIRN_OK;
}

cairn_status crn_payload_values_collect(struct crn_json payload, const char *path,
                                        struct crn_payload_values *values, cairn_error *err)
{
    size_t kept = 0;

    values->count = 0;
    CRN_TRY(collect(payload, path, values, err));
    if (values->count < 2) return CAIRN_OK;
    qsort(values->items, values->count, sizeof *values->items, order_items);
    for (size_t i = 0; i < values->count; i++) {
        if (kept > 0 && order_items(&values->items[kept - 1], &values->items[i]) == 0) continue;
        values->items[kept++] = values->items[i];
    }
    values->count = kept;
    return CAIRN_OK;
}

void crn_payload_values_release(struct crn_payload_values *values)
{
    crn_mem_free(values->items);
    *values = (struct crn_payload_values){0};
}

/* ---- as SQLite keeps them ---- */

struct crn_payload_tagged crn_payload_tag_u64(uint64_t value)
{
    struct crn_payload_tagged tagged = {.bytes = {CRN_TAG_U64}, .size = 9};

    for (int i = 0; i < 8; i++) tagged.bytes[1 + i] = (unsigned char)(value >> (56 - 8 * i));
    return tagged;
}

void crn_payload_value_bind(sqlite3_stmt *stmt, int parameter, const struct crn_payload_value *item,
                            struct crn_payload_tagged *tagged)
{
    const struct crn_value *value = &item->value;

    tagged->size = 1;
    if (item->other) {
        tagged->bytes[0] = CRN_TAG_OTHER;
    } else if (value->type == CRN_VALUE_I64) {
        sqlite3_bind_int64(stmt, parameter, value->i64);
        return;
    } else if (value->type == CRN_VALUE_DOUBLE) {
        sqlite3_bind_double(stmt, parameter, value->number);
        return;
    } else if (value->type == CRN_VALUE_STRING) {
        sqlite3_bind_text(stmt, parameter, value->string, (int)value->string_len, SQLITE_STATIC);
        return;
    } else if (value->type == CRN_VALUE_U64) {
        *tagged = crn_payload_tag_u64(value->u64);
    } else if (value->type == CRN_VALUE_BOOL) {
        tagged->bytes[0] = value->boolean ? CRN_TAG_TRUE : CRN_TAG_FALSE;
    } else {
        tagged->bytes[0] = CRN_TAG_NULL;
    }
    sqlite3_bind_blob(stmt, parameter, tagged->bytes, tagged->size, SQLITE_STATIC);
}
