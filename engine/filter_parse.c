/*
 * Filters: from JSON text to the tree of filter_tree.h. The grammar is in docs/FILTERS.md.
 *
 * Recursion is bounded by the depth that crn_json_parse allows, everything else by the length of the text.
 */
#include "engine/filter_special.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FILTER_BYTES_MAX (1u << 20)
#define BLOCK_BYTES 2048u

/* A filter's memory: taken in pieces, freed at once. */
struct crn_filter_block {
    struct crn_filter_block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

struct parse {
    struct crn_filter *filter;
    cairn_error *err;
};

enum operand { SCALAR, ORDERED, LIST, FLAG, NESTED, SPECIAL };

static const struct operation {
    const char *name;
    enum crn_filter_kind kind;
    enum crn_compare compare;
    bool negated;
    enum operand operand;
} operations[] = {
    {"$eq", CRN_FILTER_COMPARE, CRN_EQ, false, SCALAR},
    {"$ne", CRN_FILTER_COMPARE, CRN_EQ, true, SCALAR},
    {"$gt", CRN_FILTER_COMPARE, CRN_GT, false, ORDERED},
    {"$gte", CRN_FILTER_COMPARE, CRN_GTE, false, ORDERED},
    {"$lt", CRN_FILTER_COMPARE, CRN_LT, false, ORDERED},
    {"$lte", CRN_FILTER_COMPARE, CRN_LTE, false, ORDERED},
    {"$in", CRN_FILTER_IN, CRN_EQ, false, LIST},
    {"$nin", CRN_FILTER_IN, CRN_EQ, true, LIST},
    {"$contains", CRN_FILTER_CONTAINS, CRN_EQ, false, SCALAR},
    {"$exists", CRN_FILTER_EXISTS, CRN_ANY, false, FLAG},
    {"$empty", CRN_FILTER_FILLED, CRN_ANY, true, FLAG},
    {"$other", CRN_FILTER_OTHER, CRN_ANY, false, LIST},
    {"$element", CRN_FILTER_ELEMENT, CRN_ANY, false, NESTED},
    {"$range", CRN_FILTER_RANGE, CRN_ANY, false, SPECIAL},
    {"$time", CRN_FILTER_TIME, CRN_ANY, false, SPECIAL},
    {"$count", CRN_FILTER_COUNT, CRN_ANY, false, SPECIAL},
    {"$prefix", CRN_FILTER_PREFIX, CRN_ANY, false, SPECIAL},
    {"$substring", CRN_FILTER_SUBSTRING, CRN_ANY, false, SPECIAL},
    {"$words", CRN_FILTER_WORDS, CRN_ANY, false, SPECIAL},
    {"$geo_box", CRN_FILTER_BOX, CRN_ANY, false, SPECIAL},
    {"$geo_radius", CRN_FILTER_RADIUS, CRN_ANY, false, SPECIAL},
    {"$geo_polygon", CRN_FILTER_POLYGON, CRN_ANY, false, SPECIAL},
};
#define OPERATORS_TEXT                                                                                         \
    "$eq $ne $gt $gte $lt $lte $in $nin $contains $exists $empty $other $element $range $time $count $prefix " \
    "$substring $words $geo_box $geo_radius $geo_polygon"
#define EQUALS (&operations[0])

static cairn_status parse_object(struct parse *parse, struct crn_json object, struct crn_filter_node *parent);

void *crn_filter_take(struct crn_filter *filter, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    struct crn_filter_block *block = filter->blocks;

    if (block == NULL || block->size - block->used < size) {
        const size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = crn_mem_calloc(1, sizeof *block + room);
        if (block == NULL) return NULL;
        block->size = room;
        block->next = filter->blocks;
        filter->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += size;
    return memory;
}

cairn_status crn_filter_take_text(struct crn_filter *filter, const char *text, size_t len,
                                  const char **out_text, cairn_error *err)
{
    char *copy = crn_filter_take(filter, len + 1);

    if (copy == NULL) return crn_error_no_memory(err, len + 1);
    memcpy(copy, text, len);
    *out_text = copy;
    return CAIRN_OK;
}

static cairn_status take_text(struct parse *parse, const char *text, size_t len, const char **out_text)
{
    return crn_filter_take_text(parse->filter, text, len, out_text, parse->err);
}

/* Puts a new node among the children of `parent`, whose order means nothing. */
static cairn_status add_node(struct parse *parse, struct crn_filter_node *parent, enum crn_filter_kind kind,
                             struct crn_filter_node **out_node)
{
    struct crn_filter_node *node = crn_filter_take(parse->filter, sizeof *node);

    if (node == NULL) {
        crn_error_no_memory(parse->err, sizeof *node);
        return CAIRN_NO_MEMORY;
    }
    node->kind = kind;
    node->next = parent->first;
    parent->first = node;
    *out_node = node;
    return CAIRN_OK;
}

/* Names are compared as C strings, so that they must not go on behind a NUL. */
static cairn_status check_name(struct parse *parse, const char *name, size_t len)
{
    if (memchr(name, '\0', len) == NULL) return CAIRN_OK;
    return crn_error_set(parse->err, CAIRN_INVALID_FILTER, "filter: there is a NUL in the name \"%s\"...",
                         name);
}

/* Splits a path at its dots. Behind a backslash a dot, a backslash or a dollar sign stands for itself. */
static cairn_status parse_path(struct parse *parse, const char *text, size_t len,
                               struct crn_filter_path *out_path)
{
    size_t dots = 0;
    for (size_t i = 0; i < len; i++) dots += text[i] == '.';

    CRN_TRY(take_text(parse, text, len, &out_path->text));
    out_path->keys = crn_filter_take(parse->filter, (dots + 1) * sizeof *out_path->keys);
    char *unescaped = crn_filter_take(parse->filter, len + 1);
    if (out_path->keys == NULL || unescaped == NULL) return crn_error_no_memory(parse->err, len);

    struct crn_filter_key *key = out_path->keys;
    *key = (struct crn_filter_key){.text = unescaped};
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && key->len > 0) {
            key++;
            *key = (struct crn_filter_key){.text = unescaped};
            continue;
        }
        if (text[i] == '.') break;
        if (text[i] == '\\') {
            i++;
            if (i == len || (text[i] != '.' && text[i] != '\\' && text[i] != '$')) {
                return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                                     "filter: path \"%s\": a backslash stands before . or \\ or $",
                                     out_path->text);
            }
        }
        *unescaped++ = text[i];
        key->len++;
    }
    if (key->len == 0) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER, "filter: path \"%s\" has an empty part",
                             out_path->text);
    }
    out_path->key_count = (size_t)(key - out_path->keys) + 1;
    return CAIRN_OK;
}

static bool is_scalar(struct crn_json json)
{
    const enum crn_json_type type = crn_json_type(json);

    return type != CRN_JSON_ARRAY && type != CRN_JSON_OBJECT;
}

static cairn_status refuse_operand(struct parse *parse, const struct operation *operation, const char *path,
                                   const char *wanted, struct crn_json operand)
{
    return crn_error_set(parse->err, CAIRN_INVALID_FILTER, "filter: %s of \"%s\" takes %s, not %s %s",
                         operation->name, path, wanted,
                         strchr("aeiou", crn_json_type_name(operand)[0]) != NULL ? "an" : "a",
                         crn_json_type_name(operand));
}

static cairn_status check_operand(struct parse *parse, const struct operation *operation, const char *path,
                                  struct crn_json operand)
{
    const enum crn_json_type type = crn_json_type(operand);

    switch (operation->operand) {
    case SCALAR:
        if (is_scalar(operand)) return CAIRN_OK;
        return refuse_operand(parse, operation, path, "a string, number, boolean or null", operand);
    case ORDERED:
        if (type == CRN_JSON_STRING || crn_json_is_number(operand)) return CAIRN_OK;
        return refuse_operand(parse, operation, path, "a number or a string", operand);
    case LIST:
        if (type == CRN_JSON_ARRAY) return CAIRN_OK;
        return refuse_operand(parse, operation, path, "an array", operand);
    case FLAG:
        if (type == CRN_JSON_BOOL) return CAIRN_OK;
        return refuse_operand(parse, operation, path, "true or false", operand);
    case NESTED:
        if (type == CRN_JSON_OBJECT) return CAIRN_OK;
        return refuse_operand(parse, operation, path, "a filter", operand);
    case SPECIAL:
        return CAIRN_OK; /* checked where it is read */
    }
    return CAIRN_INTERNAL;
}

static cairn_status take_value(struct parse *parse, struct crn_json json, struct crn_value *out_value)
{
    *out_value = crn_filter_value(json);
    if (out_value->type != CRN_VALUE_STRING) return CAIRN_OK;
    return take_text(parse, out_value->string, out_value->string_len, &out_value->string);
}

static int order_values(const void *a, const void *b)
{
    return crn_filter_value_order(a, b);
}

/* The values of $in, sorted and each once, so that matching is a binary search. */
static cairn_status take_list(struct parse *parse, const struct operation *operation, struct crn_json array,
                              struct crn_filter_node *node)
{
    const size_t count = crn_json_size(array);
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t key_len, filled = 0;

    if (count == 0) return CAIRN_OK;
    node->values = crn_filter_take(parse->filter, count * sizeof *node->values);
    if (node->values == NULL) return crn_error_no_memory(parse->err, count * sizeof *node->values);
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &element, &key, &key_len);) {
        if (!is_scalar(element)) {
            return refuse_operand(parse, operation, node->path.text,
                                  "an array of strings, numbers, booleans and nulls", element);
        }
        CRN_TRY(take_value(parse, element, &node->values[filled++]));
    }
    qsort(node->values, count, sizeof *node->values, order_values);
    node->value_count = 1;
    for (size_t i = 1; i < count; i++) {
        if (order_values(&node->values[i], &node->values[node->value_count - 1]) == 0) continue;
        node->values[node->value_count++] = node->values[i];
    }
    return CAIRN_OK;
}

/* `node` gets its operand. Where no value at all is enough, a path that leads nowhere matches, too. */
static cairn_status parse_special(struct parse *parse, const struct operation *operation,
                                  struct crn_json operand, struct crn_filter_node *node)
{
    struct crn_filter_node *other = NULL, *missing = NULL;

    CRN_TRY(crn_filter_special_parse(parse->filter, operation->kind, operation->name, node->path.text,
                                     operand, &node->special, parse->err));
    if (operation->kind != CRN_FILTER_COUNT || !crn_filter_special_zero(node->special)) return CAIRN_OK;
    const struct crn_filter_node count = *node;
    node->kind = CRN_FILTER_OR;
    node->special = NULL;
    CRN_TRY(add_node(parse, node, CRN_FILTER_COUNT, &other));
    other->path = count.path;
    other->special = count.special;
    CRN_TRY(add_node(parse, node, CRN_FILTER_NOT, &missing));
    CRN_TRY(add_node(parse, missing, CRN_FILTER_EXISTS, &missing));
    missing->path = count.path;
    return CAIRN_OK;
}

static cairn_status parse_operator(struct parse *parse, const struct crn_filter_path *path,
                                   const struct operation *operation, struct crn_json operand,
                                   struct crn_filter_node *parent)
{
    struct crn_filter_node *node = NULL;

    CRN_TRY(check_operand(parse, operation, path->text, operand));
    const bool denied = operation->operand == FLAG && !crn_json_bool(operand);
    if (operation->negated != denied) CRN_TRY(add_node(parse, parent, CRN_FILTER_NOT, &parent));
    CRN_TRY(add_node(parse, parent, operation->kind, &node));
    node->path = *path;
    node->compare = operation->compare;
    if (operation->operand == FLAG) return CAIRN_OK;
    if (operation->operand == LIST) return take_list(parse, operation, operand, node);
    if (operation->operand == SPECIAL) return parse_special(parse, operation, operand, node);
    if (operation->operand == NESTED) {
        CRN_TRY(add_node(parse, node, CRN_FILTER_AND, &parent));
        return parse_object(parse, operand, parent);
    }

    node->values = crn_filter_take(parse->filter, sizeof *node->values);
    if (node->values == NULL) return crn_error_no_memory(parse->err, sizeof *node->values);
    node->value_count = 1;
    return take_value(parse, operand, node->values);
}

static cairn_status find_operator(struct parse *parse, const char *path, const char *name,
                                  const struct operation **out_operation)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(operations[i].name, name) == 0) {
            *out_operation = &operations[i];
            return CAIRN_OK;
        }
    }
    if (name[0] != '$') {
        return crn_error_set(
            parse->err, CAIRN_INVALID_FILTER,
            "filter: \"%s\" under \"%s\" is no operator (a member of an object is named by its path, "
            "as in \"a.b\"); operators: " OPERATORS_TEXT,
            name, path);
    }
    return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                         "filter: unknown operator %s under \"%s\"; operators: " OPERATORS_TEXT, name, path);
}

/* "path": scalar, or "path": {"$operator": operand, ...}. */
static cairn_status parse_condition(struct parse *parse, const char *path_text, size_t path_len,
                                    struct crn_json condition, struct crn_filter_node *parent)
{
    const struct operation *operation;
    struct crn_filter_path path;
    struct crn_json_iter it;
    struct crn_json operand;
    const char *name;
    size_t name_len;

    CRN_TRY(parse_path(parse, path_text, path_len, &path));
    if (crn_json_type(condition) == CRN_JSON_ARRAY) {
        return crn_error_set(
            parse->err, CAIRN_INVALID_FILTER,
            "filter: \"%s\" is compared with an array: use $in for one of several values, $contains "
            "for an array that holds a value",
            path.text);
    }
    if (crn_json_type(condition) != CRN_JSON_OBJECT)
        return parse_operator(parse, &path, EQUALS, condition, parent);
    if (crn_json_size(condition) == 0) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: no operator under \"%s\"; operators: " OPERATORS_TEXT, path.text);
    }
    for (crn_json_iter_init(&it, condition); crn_json_iter_next(&it, &operand, &name, &name_len);) {
        CRN_TRY(check_name(parse, name, name_len));
        CRN_TRY(find_operator(parse, path.text, name, &operation));
        CRN_TRY(parse_operator(parse, &path, operation, operand, parent));
    }
    return CAIRN_OK;
}

/* {"field" or "key": path, "operator": "$...", "value": operand}: an element of AgentDB's list form. */
static cairn_status parse_triple(struct parse *parse, struct crn_json triple, struct crn_filter_node *parent)
{
    const struct operation *operation;
    struct crn_filter_path path;
    struct crn_json field, name, operand;
    size_t len;

    const bool found = crn_json_get(triple, "field", &field) || crn_json_get(triple, "key", &field);
    if (!found || !crn_json_get(triple, "operator", &name) || !crn_json_get(triple, "value", &operand) ||
        crn_json_size(triple) != 3 || crn_json_type(field) != CRN_JSON_STRING ||
        crn_json_type(name) != CRN_JSON_STRING) {
        return crn_error_set(
            parse->err, CAIRN_INVALID_FILTER,
            "filter: a condition in a list is {\"field\": path, \"operator\": \"$...\", \"value\": ...}");
    }
    const char *text = crn_json_string(field, &len);
    CRN_TRY(check_name(parse, text, len));
    CRN_TRY(parse_path(parse, text, len, &path));
    text = crn_json_string(name, &len);
    CRN_TRY(check_name(parse, text, len));
    CRN_TRY(find_operator(parse, path.text, text, &operation));
    return parse_operator(parse, &path, operation, operand, parent);
}

/* The elements of an array that must not be empty become children of `parent`. `where` is for messages. */
static cairn_status parse_list(struct parse *parse, const char *where, struct crn_json array,
                               struct crn_filter_node *parent)
{
    struct crn_filter_node *node = NULL;
    struct crn_json_iter it;
    struct crn_json element, ignored;
    const char *key;
    size_t key_len;

    if (crn_json_type(array) != CRN_JSON_ARRAY || crn_json_size(array) == 0) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: %s takes an array of at least one filter", where);
    }
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &element, &key, &key_len);) {
        if (crn_json_type(element) != CRN_JSON_OBJECT || crn_json_size(element) == 0) {
            return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                                 "filter: an element of %s is not an object with a condition in it", where);
        }
        CRN_TRY(add_node(parse, parent, CRN_FILTER_AND, &node));
        const bool is_triple =
            crn_json_get(element, "operator", &ignored) &&
            (crn_json_get(element, "field", &ignored) || crn_json_get(element, "key", &ignored));
        CRN_TRY(is_triple ? parse_triple(parse, element, node) : parse_object(parse, element, node));
    }
    return CAIRN_OK;
}

/* {"count": n, "of": [filter, ...]} */
static cairn_status parse_min(struct parse *parse, struct crn_json operand, struct crn_filter_node *parent)
{
    struct crn_filter_node *node = NULL;
    struct crn_json count, of;

    if (!crn_json_get(operand, "count", &count) || !crn_json_get(operand, "of", &of) ||
        crn_json_type(count) != CRN_JSON_I64 || crn_json_i64(count) < 1) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: $min takes {\"count\": 1 or more, \"of\": [filter, ...]}");
    }
    CRN_TRY(add_node(parse, parent, CRN_FILTER_MIN, &node));
    node->minimum = crn_json_u64(count);
    return parse_list(parse, "$min", of, node);
}

static cairn_status parse_has_vector(struct parse *parse, struct crn_json operand,
                                     struct crn_filter_node *parent)
{
    struct crn_filter_node *node = NULL;
    size_t len;

    if (crn_json_type(operand) != CRN_JSON_STRING) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: $has_vector takes the name of a space");
    }
    CRN_TRY(add_node(parse, parent, CRN_FILTER_VECTOR, &node));
    parse->filter->asks_vectors = true;
    const char *name = crn_json_string(operand, &len);
    return take_text(parse, name, len, &node->path.text);
}

static cairn_status parse_logical(struct parse *parse, const char *name, struct crn_json operand,
                                  struct crn_filter_node *parent)
{
    struct crn_filter_node *node = NULL;

    if (strcmp(name, "$and") == 0) return parse_list(parse, name, operand, parent);
    if (strcmp(name, "$or") == 0) {
        CRN_TRY(add_node(parse, parent, CRN_FILTER_OR, &node));
        return parse_list(parse, name, operand, node);
    }
    if (strcmp(name, "$nor") == 0) {
        CRN_TRY(add_node(parse, parent, CRN_FILTER_NOT, &node));
        CRN_TRY(add_node(parse, node, CRN_FILTER_OR, &node));
        return parse_list(parse, name, operand, node);
    }
    if (strcmp(name, "$min") == 0) return parse_min(parse, operand, parent);
    if (strcmp(name, "$ids") == 0) {
        CRN_TRY(add_node(parse, parent, CRN_FILTER_IDS, &node));
        return crn_filter_ids_parse(parse->filter, operand, node, parse->err);
    }
    if (strcmp(name, "$slice") == 0) {
        CRN_TRY(add_node(parse, parent, CRN_FILTER_SLICE, &node));
        return crn_filter_slice_parse(operand, node, parse->err);
    }
    if (strcmp(name, "$has_vector") == 0) return parse_has_vector(parse, operand, parent);
    if (strcmp(name, "$not") != 0) {
        return crn_error_set(
            parse->err, CAIRN_INVALID_FILTER,
            "filter: unknown operator %s; there are $and $or $nor $not $min $ids $slice $has_vector, and behind a path " OPERATORS_TEXT,
            name);
    }
    if (crn_json_type(operand) != CRN_JSON_OBJECT || crn_json_size(operand) == 0) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: $not takes an object with a condition in it");
    }
    CRN_TRY(add_node(parse, parent, CRN_FILTER_NOT, &node));
    CRN_TRY(add_node(parse, node, CRN_FILTER_AND, &node));
    return parse_object(parse, operand, node);
}

/* The members of an object become children of `parent`, an AND. */
static cairn_status parse_object(struct parse *parse, struct crn_json object, struct crn_filter_node *parent)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *name;
    size_t name_len;

    for (crn_json_iter_init(&it, object); crn_json_iter_next(&it, &member, &name, &name_len);) {
        CRN_TRY(check_name(parse, name, name_len));
        CRN_TRY(name[0] == '$' ? parse_logical(parse, name, member, parent)
                               : parse_condition(parse, name, name_len, member, parent));
    }
    return CAIRN_OK;
}

static cairn_status parse_root(struct parse *parse, struct crn_json json)
{
    struct crn_filter_node above = {.kind = CRN_FILTER_AND};

    CRN_TRY(add_node(parse, &above, CRN_FILTER_AND, &parse->filter->root));
    if (crn_json_type(json) == CRN_JSON_OBJECT) return parse_object(parse, json, parse->filter->root);
    if (crn_json_type(json) != CRN_JSON_ARRAY) {
        return crn_error_set(parse->err, CAIRN_INVALID_FILTER,
                             "filter: it is an object or an array of objects, not %s",
                             crn_json_type_name(json));
    }
    return crn_json_size(json) == 0 ? CAIRN_OK : parse_list(parse, "the list", json, parse->filter->root);
}

cairn_status crn_filter_parse(const char *json, size_t len, struct crn_filter **out_filter, cairn_error *err)
{
    cairn_status status;
    struct crn_json root;
    struct crn_json_parser *parser = NULL;
    struct parse parse = {.err = err};

    if (len > FILTER_BYTES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "filter: %zu bytes are more than %u", len, FILTER_BYTES_MAX);
    }
    parse.filter = crn_mem_calloc(1, sizeof *parse.filter);
    parser = crn_json_parser_create();
    if (parse.filter == NULL || parser == NULL) {
        status = crn_error_no_memory(err, sizeof *parse.filter);
        goto done;
    }
    status = crn_json_parse(parser, json, len, &root, err);
    if (status != CAIRN_OK) {
        status = crn_error_context(err, status, "filter");
        goto done;
    }
    status = parse_root(&parse, root);

done:
    crn_json_parser_free(parser);
    if (status != CAIRN_OK) {
        crn_filter_free(parse.filter);
        parse.filter = NULL;
    }
    *out_filter = parse.filter;
    return status;
}

void crn_filter_free(struct crn_filter *filter)
{
    if (filter == NULL) return;
    for (struct crn_filter_block *block = filter->blocks, *next; block != NULL; block = next) {
        next = block->next;
        crn_mem_free(block);
    }
    crn_mem_free(filter);
}
