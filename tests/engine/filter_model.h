/*
 * A second opinion on filters: it interprets the filter's JSON as it stands, collects what a path reaches
 * into a list, and compares numbers as long doubles, whose 64 bits or more of fraction hold every i64, u64
 * and double. And random payloads and filters over few names and values, so that they meet often.
 */
#ifndef CRN_TESTS_ENGINE_FILTER_MODEL_H
#define CRN_TESTS_ENGINE_FILTER_MODEL_H

#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"

#include <assert.h>
#include <string.h>

#define MODEL_VALUES_MAX 256

struct model_values {
    struct crn_json at[MODEL_VALUES_MAX];
    size_t count;
};

#define MODEL_EACH(container, child, key)            \
    struct crn_json child;                           \
    const char *key;                                 \
    size_t key##_len;                                \
    struct crn_json_iter child##_it;                 \
    for (crn_json_iter_init(&child##_it, container); \
         crn_json_iter_next(&child##_it, &child, &key, &key##_len);)

/* All that stands at the path, text from a JSON string with its escapes. */
static inline void model_reach(struct crn_json from, const char *path, struct model_values *values)
{
    char name[64];
    size_t len = 0;
    struct crn_json next;

    if (crn_json_type(from) == CRN_JSON_ARRAY) {
        MODEL_EACH(from, element, key)
        {
            if (crn_json_type(element) == CRN_JSON_OBJECT) model_reach(element, path, values);
        }
        return;
    }
    for (; *path != '\0' && *path != '.'; path++) {
        if (*path == '\\') path++;
        name[len++] = *path;
    }
    name[len] = '\0';
    if (crn_json_type(from) != CRN_JSON_OBJECT || !crn_json_get(from, name, &next)) return;
    if (*path == '.') {
        model_reach(next, path + 1, values);
    } else {
        assert(values->count < MODEL_VALUES_MAX);
        values->at[values->count++] = next;
    }
}

/* -1, 0, 1; 2: not to be compared. */
static inline int model_compare(struct crn_json a, struct crn_json b)
{
    if (crn_json_is_number(a) && crn_json_is_number(b)) {
        long double x[2];
        struct crn_json both[2] = {a, b};
        for (int i = 0; i < 2; i++) {
            x[i] = crn_json_type(both[i]) == CRN_JSON_I64   ? (long double)crn_json_i64(both[i])
                   : crn_json_type(both[i]) == CRN_JSON_U64 ? (long double)crn_json_u64(both[i])
                                                            : (long double)crn_json_double(both[i]);
        }
        return x[0] < x[1] ? -1 : x[0] > x[1] ? 1 : 0;
    }
    if (crn_json_type(a) != crn_json_type(b)) return 2;
    if (crn_json_type(a) == CRN_JSON_NULL) return 0;
    if (crn_json_type(a) == CRN_JSON_BOOL) return crn_json_bool(a) == crn_json_bool(b) ? 0 : 2;
    if (crn_json_type(a) != CRN_JSON_STRING) return 2;
    size_t len;
    const int order =
        strcmp(crn_json_string(a, &len), crn_json_string(b, &len)); /* no NULs in the model's strings */
    return order < 0 ? -1 : order > 0 ? 1 : 0;
}

static inline bool model_scalar_matches(struct crn_json value, const char *operator, struct crn_json operand)
{
    const int order = model_compare(value, operand);

    if (strcmp(operator, "$eq") == 0) return order == 0;
    if (order == 2) return false;
    if (strcmp(operator, "$gt") == 0) return order > 0;
    if (strcmp(operator, "$gte") == 0) return order >= 0;
    if (strcmp(operator, "$lt") == 0) return order < 0;
    assert(strcmp(operator, "$lte") == 0);
    return order <= 0;
}

static inline bool model_any(const struct model_values *values, const char *operator, struct crn_json operand)
{
    for (size_t i = 0; i < values->count; i++) {
        if (crn_json_type(values->at[i]) != CRN_JSON_ARRAY) {
            if (model_scalar_matches(values->at[i], operator, operand)) return true;
            continue;
        }
        MODEL_EACH(values->at[i], element, key)
        {
            if (model_scalar_matches(element, operator, operand)) return true;
        }
    }
    return false;
}

static inline bool model_contains(const struct model_values *values, struct crn_json operand)
{
    size_t len;

    for (size_t i = 0; i < values->count; i++) {
        MODEL_EACH(values->at[i], element, key)
        {
            if (key == NULL && model_compare(element, operand) == 0) return true;
        }
        if (crn_json_type(values->at[i]) == CRN_JSON_STRING && crn_json_type(operand) == CRN_JSON_STRING &&
            strstr(crn_json_string(values->at[i], &len), crn_json_string(operand, &len)) != NULL) {
            return true;
        }
    }
    return false;
}

static inline bool model_operator(const struct model_values *values, const char *operator,
                                  struct crn_json operand)
{
    if (strcmp(operator, "$exists") == 0) return (values->count > 0) == crn_json_bool(operand);
    if (strcmp(operator, "$contains") == 0) return model_contains(values, operand);
    if (strcmp(operator, "$ne") == 0) return !model_any(values, "$eq", operand);
    if (strcmp(operator, "$in") != 0 && strcmp(operator, "$nin") != 0)
        return model_any(values, operator, operand);
    bool found = false;
    MODEL_EACH(operand, element, key)
    {
        found = found || model_any(values, "$eq", element);
    }
    return found == (strcmp(operator, "$in") == 0);
}

static inline bool model_matches(struct crn_json filter, const struct crn_json *payload);

static inline bool model_condition(const char *path, struct crn_json condition,
                                   const struct crn_json *payload)
{
    struct model_values values = {.count = 0};

    if (payload != NULL) model_reach(*payload, path, &values);
    if (crn_json_type(condition) != CRN_JSON_OBJECT) return model_operator(&values, "$eq", condition);
    MODEL_EACH(condition, operand, operator)
    {
        if (!model_operator(&values, operator, operand)) return false;
    }
    return true;
}

static inline bool model_logical(const char *name, struct crn_json operand, const struct crn_json *payload)
{
    size_t matching = 0, count = 0;

    if (strcmp(name, "$not") == 0) return !model_matches(operand, payload);
    MODEL_EACH(operand, filter, key)
    {
        matching += model_matches(filter, payload);
        count++;
    }
    if (strcmp(name, "$and") == 0) return matching == count;
    if (strcmp(name, "$or") == 0) return matching > 0;
    return matching == 0;
}

static inline bool model_matches(struct crn_json filter, const struct crn_json *payload)
{
    struct crn_json field, operand, operator;
    size_t len;

    if (crn_json_type(filter) == CRN_JSON_ARRAY) return model_logical("$and", filter, payload);
    if (crn_json_get(filter, "field", &field) && crn_json_get(filter, "operator", &operator) &&
        crn_json_get(filter, "value", &operand)) {
        struct model_values values = {.count = 0};
        if (payload != NULL) model_reach(*payload, crn_json_string(field, &len), &values);
        return model_operator(&values, crn_json_string(operator, & len), operand);
    }
    MODEL_EACH(filter, member, name)
    {
        const bool matches =
            name[0] == '$' ? model_logical(name, member, payload) : model_condition(name, member, payload);
        if (!matches) return false;
    }
    return true;
}

/* ---- random payloads and filters ---- */

static const char *const model_scalars[] = {
    "null",
    "true",
    "false",
    "0",
    "1",
    "1.0",
    "-1",
    "2.5",
    "-0.0",
    "9007199254740993",
    "9007199254740992.0",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775808",
    "1e300",
    "-1e300",
    "9223372036854775808.0",
    "\"\"",
    "\"a\"",
    "\"ab\"",
    "\"b\"",
    "\"\\u00e4\"",
    "\"2024-05-01T10:00:00Z\"",
};
#define MODEL_SCALARS (sizeof model_scalars / sizeof *model_scalars)

static const char *const model_paths[] = {"a", "b", "c", "a.b", "b.a", "a.b.c", "x\\\\.y", "tags"};
#define MODEL_PATHS (sizeof model_paths / sizeof *model_paths)

static inline void model_put_scalar(struct crn_rng *rng, struct crn_buf *out)
{
    crn_buf_puts(out, model_scalars[crn_rng_below(rng, MODEL_SCALARS)]);
}

static inline void model_put_value(struct crn_rng *rng, struct crn_buf *out, int depth)
{
    static const char *const names[] = {"a", "b", "c", "x.y", "tags"};
    const uint64_t kind = crn_rng_below(rng, depth > 0 ? 5 : 1);

    if (kind < 3 && depth < 4) {
        model_put_scalar(rng, out);
        return;
    }
    const bool object = kind == 3 || depth == 4;
    crn_buf_putc(out, object ? '{' : '[');
    for (size_t i = 0, n = depth == 4 ? 2 + crn_rng_below(rng, 5) : crn_rng_below(rng, 4); i < n; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        if (object) crn_buf_printf(out, "\"%s\":", names[crn_rng_below(rng, 5)]);
        model_put_value(rng, out, depth == 4 ? 3 : depth - 1);
    }
    crn_buf_putc(out, object ? '}' : ']');
}

/* An object, compact; repeated names happen. */
static inline void model_put_payload(struct crn_rng *rng, struct crn_buf *out)
{
    model_put_value(rng, out, 4);
}

static inline void model_put_list(struct crn_rng *rng, struct crn_buf *out)
{
    crn_buf_putc(out, '[');
    for (size_t i = 0, n = crn_rng_below(rng, 4); i < n; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        model_put_scalar(rng, out);
    }
    crn_buf_putc(out, ']');
}

static inline void model_put_operand(struct crn_rng *rng, struct crn_buf *out, const char *operator)
{
    if (strcmp(operator, "$in") == 0 || strcmp(operator, "$nin") == 0) {
        model_put_list(rng, out);
    } else if (strcmp(operator, "$exists") == 0) {
        crn_buf_puts(out, crn_rng_below(rng, 2) ? "true" : "false");
    } else if (operator[1] == 'g' || operator[1] == 'l') {
        crn_buf_puts(out, model_scalars[3 + crn_rng_below(rng, MODEL_SCALARS - 3)]); /* numbers and strings */
    } else {
        model_put_scalar(rng, out);
    }
}

static inline const char *model_pick_operator(struct crn_rng *rng)
{
    static const char *const operators[] = {"$eq",  "$ne", "$gt",  "$gte",      "$lt",
                                            "$lte", "$in", "$nin", "$contains", "$exists"};
    return operators[crn_rng_below(rng, 10)];
}

static inline void model_put_condition(struct crn_rng *rng, struct crn_buf *out)
{
    crn_buf_printf(out, "\"%s\":", model_paths[crn_rng_below(rng, MODEL_PATHS)]);
    if (crn_rng_below(rng, 4) == 0) {
        model_put_scalar(rng, out);
        return;
    }
    crn_buf_putc(out, '{');
    for (size_t i = 0, n = 1 + crn_rng_below(rng, 2); i < n; i++) {
        const char *operator= model_pick_operator(rng);
        crn_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", operator);
        model_put_operand(rng, out, operator);
    }
    crn_buf_putc(out, '}');
}

static inline void model_put_object(struct crn_rng *rng, struct crn_buf *out, int depth);

static inline void model_put_filters(struct crn_rng *rng, struct crn_buf *out, int depth)
{
    crn_buf_putc(out, '[');
    for (size_t i = 0, n = 1 + crn_rng_below(rng, 3); i < n; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        if (crn_rng_below(rng, 3) > 0) {
            model_put_object(rng, out, depth);
            continue;
        }
        const char *operator= model_pick_operator(rng);
        crn_buf_printf(out, "{\"field\":\"%s\",\"operator\":\"%s\",\"value\":",
                       model_paths[crn_rng_below(rng, MODEL_PATHS)], operator);
        model_put_operand(rng, out, operator);
        crn_buf_putc(out, '}');
    }
    crn_buf_putc(out, ']');
}

static inline void model_put_object(struct crn_rng *rng, struct crn_buf *out, int depth)
{
    static const char *const logical[] = {"$and", "$or", "$nor"};

    crn_buf_putc(out, '{');
    for (size_t i = 0, n = 1 + crn_rng_below(rng, 2); i < n; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        const uint64_t kind = crn_rng_below(rng, depth > 0 ? 6 : 4);
        if (kind < 4) {
            model_put_condition(rng, out);
        } else if (kind == 4) {
            crn_buf_puts(out, "\"$not\":");
            model_put_object(rng, out, depth - 1);
        } else {
            crn_buf_printf(out, "\"%s\":", logical[crn_rng_below(rng, 3)]);
            model_put_filters(rng, out, depth - 1);
        }
    }
    crn_buf_putc(out, '}');
}

static inline void model_put_filter(struct crn_rng *rng, struct crn_buf *out)
{
    if (crn_rng_below(rng, 4) == 0) {
        model_put_filters(rng, out, 2);
    } else {
        model_put_object(rng, out, 3);
    }
}

#endif
