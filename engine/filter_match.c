/*
 * Filters: does one payload match? What the operators mean is in docs/FILTERS.md. Nothing here allocates or
 * fails.
 */
#include "engine/filter_special.h"

#include <string.h>

struct crn_value crn_filter_value(struct crn_json json)
{
    struct crn_value value = {0};

    switch (crn_json_type(json)) {
    case CRN_JSON_BOOL:
        value.type = CRN_VALUE_BOOL;
        value.boolean = crn_json_bool(json);
        break;
    case CRN_JSON_I64:
        value.type = CRN_VALUE_I64;
        value.i64 = crn_json_i64(json);
        break;
    case CRN_JSON_U64:
        value.type = CRN_VALUE_U64;
        value.u64 = crn_json_u64(json);
        break;
    case CRN_JSON_DOUBLE:
        value.type = CRN_VALUE_DOUBLE;
        value.number = crn_json_double(json);
        break;
    case CRN_JSON_STRING:
        value.type = CRN_VALUE_STRING;
        value.string = crn_json_string(json, &value.string_len);
        break;
    default:
        value.type = CRN_VALUE_NULL;
    }
    return value;
}

enum value_class { CLASS_NULL, CLASS_BOOL, CLASS_NUMBER, CLASS_STRING };

static enum value_class class_of(const struct crn_value *value)
{
    switch (value->type) {
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

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* A double against an integer without rounding either: where they are of one magnitude the double's integral
 * part is exact as an integer, and its fraction decides a tie. */
static int order_double_integer(double number, const struct crn_value *integer)
{
    if (integer->type == CRN_VALUE_U64) {
        if (number < 0x1p63) return -1;
        if (number >= 0x1p64) return 1;
        return ORDER((uint64_t)number, integer->u64); /* doubles of this size have no fraction */
    }
    if (number < -0x1p63) return -1;
    if (number >= 0x1p63) return 1;
    const int64_t whole = (int64_t)number;
    if (whole != integer->i64) return ORDER(whole, integer->i64);
    return ORDER(number, (double)whole);
}

static int order_numbers(const struct crn_value *a, const struct crn_value *b)
{
    if (a->type == CRN_VALUE_DOUBLE && b->type == CRN_VALUE_DOUBLE) return ORDER(a->number, b->number);
    if (a->type == CRN_VALUE_DOUBLE) return order_double_integer(a->number, b);
    if (b->type == CRN_VALUE_DOUBLE) return -order_double_integer(b->number, a);
    if (a->type != b->type) return a->type == CRN_VALUE_U64 ? 1 : -1; /* a U64 is above every I64 */
    return a->type == CRN_VALUE_U64 ? ORDER(a->u64, b->u64) : ORDER(a->i64, b->i64);
}

static int order_strings(const struct crn_value *a, const struct crn_value *b)
{
    const size_t shorter = a->string_len < b->string_len ? a->string_len : b->string_len;
    const int order = memcmp(a->string, b->string, shorter);

    return order != 0 ? order : ORDER(a->string_len, b->string_len);
}

int crn_filter_value_order(const struct crn_value *a, const struct crn_value *b)
{
    const enum value_class class = class_of(a);

    if (class != class_of(b)) return ORDER(class, class_of(b));
    switch (class) {
    case CLASS_NUMBER:
        return order_numbers(a, b);
    case CLASS_STRING:
        return order_strings(a, b);
    case CLASS_BOOL:
        return ORDER(a->boolean, b->boolean);
    default:
        return 0;
    }
}

bool crn_filter_compares(const struct crn_value *value, enum crn_compare compare,
                         const struct crn_value *operand)
{
    if (class_of(value) != class_of(operand)) return false;
    const int order = crn_filter_value_order(value, operand);

    switch (compare) {
    case CRN_EQ:
        return order == 0;
    case CRN_GT:
        return order > 0;
    case CRN_GTE:
        return order >= 0;
    case CRN_LT:
        return order < 0;
    case CRN_LTE:
        return order <= 0;
    default:
        return true;
    }
}

static bool among(const struct crn_value *value, const struct crn_value *values, size_t count)
{
    size_t low = 0;

    while (count > 0) {
        const size_t half = count / 2;
        const int order = crn_filter_value_order(value, &values[low + half]);
        if (order == 0) return true;
        if (order > 0) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return false;
}

static bool node_matches(const struct crn_filter_node *node, const struct crn_filter_row *row);

/* One value that is not an array. */
static bool scalar_matches(const struct crn_filter_node *node, struct crn_json json)
{
    const enum crn_json_type type = crn_json_type(json);

    if (node->special != NULL)
        return type != CRN_JSON_ARRAY && crn_filter_special_matches(node->kind, node->special, json);
    if (node->kind == CRN_FILTER_ELEMENT) {
        const struct crn_filter_row element = {.payload = &json};
        return type == CRN_JSON_OBJECT && node_matches(node->first, &element);
    }
    if (node->kind == CRN_FILTER_OTHER) {
        if (type == CRN_JSON_NULL || type == CRN_JSON_ARRAY || type == CRN_JSON_OBJECT)
            return type != CRN_JSON_NULL;
        const struct crn_value other = crn_filter_value(json);
        return !among(&other, node->values, node->value_count);
    }

    if (type == CRN_JSON_ARRAY || type == CRN_JSON_OBJECT) return false;
    const struct crn_value value = crn_filter_value(json);
    if (node->kind == CRN_FILTER_IN) return among(&value, node->values, node->value_count);
    return crn_filter_compares(&value, node->kind == CRN_FILTER_COMPARE ? node->compare : CRN_EQ,
                               node->values);
}

static bool element_matches(const struct crn_filter_node *node, struct crn_json array)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t key_len;

    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &element, &key, &key_len);) {
        if (scalar_matches(node, element)) return true;
    }
    return false;
}

static bool holds_part(struct crn_json json, const struct crn_value *part)
{
    size_t len;
    const char *text = crn_json_string(json, &len);

    if (crn_json_type(json) != CRN_JSON_STRING || part->type != CRN_VALUE_STRING) return false;
    return memmem(text, len, part->string, part->string_len) != NULL;
}

/* What stands at the end of the path: itself, or one of its elements when it is an array. */
static bool value_matches(const struct crn_filter_node *node, struct crn_json json)
{
    if (node->kind == CRN_FILTER_EXISTS) return true;
    if (node->kind == CRN_FILTER_COUNT) return crn_filter_special_matches(node->kind, node->special, json);
    if (node->kind == CRN_FILTER_FILLED) {
        const enum crn_json_type type = crn_json_type(json);
        return type != CRN_JSON_NULL && (type != CRN_JSON_ARRAY || crn_json_size(json) > 0);
    }
    if (crn_json_type(json) == CRN_JSON_ARRAY) return element_matches(node, json);
    if (node->kind == CRN_FILTER_CONTAINS) return holds_part(json, node->values);
    return scalar_matches(node, json);
}

/* Follows the path from its key number `depth` on. An array on the way stands for each object in it. */
static bool path_matches(const struct crn_filter_node *node, struct crn_json json, size_t depth)
{
    struct crn_json_iter it;
    struct crn_json next;
    const char *key;
    size_t key_len;

    if (depth == node->path.key_count) return value_matches(node, json);
    if (crn_json_type(json) == CRN_JSON_OBJECT) {
        return crn_json_get_n(json, node->path.keys[depth].text, node->path.keys[depth].len, &next) &&
               path_matches(node, next, depth + 1);
    }
    if (crn_json_type(json) != CRN_JSON_ARRAY) return false;
    for (crn_json_iter_init(&it, json); crn_json_iter_next(&it, &next, &key, &key_len);) {
        if (crn_json_type(next) == CRN_JSON_OBJECT && path_matches(node, next, depth)) return true;
    }
    return false;
}

static bool has_vector(const struct crn_filter_node *node, const struct crn_filter_row *row)
{
    if (row->record == NULL || row->catalog == NULL) return false;
    for (uint32_t i = 0; i < row->record->vector_count; i++) {
        for (uint32_t s = 0; s < row->catalog->space_count; s++) {
            const struct crn_space *space = &row->catalog->spaces[s];
            if (space->id == row->record->vectors[i].space && strcmp(space->name, node->path.text) == 0)
                return true;
        }
    }
    return false;
}

/* Children that match, up to `enough`. */
static uint64_t count_children(const struct crn_filter_node *node, const struct crn_filter_row *row,
                               uint64_t enough)
{
    uint64_t count = 0;

    for (const struct crn_filter_node *child = node->first; child != NULL && count < enough;
         child = child->next) {
        count += node_matches(child, row);
    }
    return count;
}

static bool node_matches(const struct crn_filter_node *node, const struct crn_filter_row *row)
{
    switch (node->kind) {
    case CRN_FILTER_AND:
        for (const struct crn_filter_node *child = node->first; child != NULL; child = child->next) {
            if (!node_matches(child, row)) return false;
        }
        return true;
    case CRN_FILTER_OR:
        return count_children(node, row, 1) == 1;
    case CRN_FILTER_MIN:
        return count_children(node, row, node->minimum) >= node->minimum;
    case CRN_FILTER_NOT:
        return !node_matches(node->first, row);
    case CRN_FILTER_IDS:
        return row->record != NULL && crn_filter_ids_match(node, row->record);
    case CRN_FILTER_SLICE:
        return row->record != NULL && crn_filter_slice_matches(node, row->record);
    case CRN_FILTER_VECTOR:
        return has_vector(node, row);
    default:
        return row->payload != NULL && path_matches(node, *row->payload, 0);
    }
}

bool crn_filter_match_row(const struct crn_filter *filter, const struct crn_filter_row *row)
{
    return node_matches(filter->root, row);
}

bool crn_filter_match(const struct crn_filter *filter, const struct crn_json *payload)
{
    const struct crn_filter_row row = {.payload = payload};

    return node_matches(filter->root, &row);
}

bool crn_filter_asks_vectors(const struct crn_filter *filter)
{
    return filter->asks_vectors;
}

static size_t count_fulfilled(const struct crn_filter_node *node, bool wanted, const struct crn_json *payload,
                              size_t *conditions)
{
    const bool combines = node->kind == CRN_FILTER_AND || node->kind == CRN_FILTER_OR ||
                          node->kind == CRN_FILTER_NOT || node->kind == CRN_FILTER_MIN;
    size_t fulfilled = 0;

    if (!combines) {
        const struct crn_filter_row row = {.payload = payload};
        ++*conditions;
        return node_matches(node, &row) == wanted;
    }
    if (node->kind == CRN_FILTER_NOT) wanted = !wanted;
    for (const struct crn_filter_node *child = node->first; child != NULL; child = child->next) {
        fulfilled += count_fulfilled(child, wanted, payload, conditions);
    }
    return fulfilled;
}

size_t crn_filter_count(const struct crn_filter *filter, const struct crn_json *payload,
                        size_t *out_conditions)
{
    *out_conditions = 0;
    return count_fulfilled(filter->root, true, payload, out_conditions);
}
