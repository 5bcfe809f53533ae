/* Filters: from the dialect's to Cairn's own (docs/FILTERS.md), which the engine applies before anything is ranked. */
#include "server/qdrant_internal.h"

#include <inttypes.h>
#include <string.h>

#define EVERY_POINT "{\"$nor\":[{\"$ids\":[]}]}"
#define NO_POINT "{\"$ids\":[]}"

struct translation {
    struct crn_qd_call *call;
    const struct crn_qd_collection *collection;
    struct crn_buf *out;
};

static bool write_filter(const struct translation *to, struct crn_json filter);

/* ---- paths ---- */

bool crn_qd_write_path(struct crn_qd_call *call, struct crn_buf *out, const char *text)
{
    struct crn_qd_path path;
    struct crn_buf own;
    size_t keys = 0;

    if (!crn_qd_read_path(call, text, &path)) return false;
    crn_buf_init(&own, SIZE_MAX / 2);
    for (size_t i = 0; i < path.count; i++) {
        const struct crn_qd_path_step *step = &path.steps[i];
        if (step->key == NULL && !step->one) continue; /* an array stands for its elements anyway */
        if (step->key == NULL) {
            crn_buf_release(&own);
            return crn_qd_fail(call, 400, "Wrong input: positions in arrays cannot be filtered by: %s", text);
        }
        if (keys++ > 0) crn_buf_putc(&own, '.');
        for (size_t c = 0; c < step->key_length; c++) {
            const char character = step->key[c];
            if (character == '.' || character == '\\' || (character == '$' && c == 0))
                crn_buf_putc(&own, '\\');
            crn_buf_putc(&own, character);
        }
    }
    if (keys > 0) crn_buf_json_string(out, own.data, own.len);
    crn_buf_release(&own);
    return keys > 0 || crn_qd_fail(call, 400, "Format error in JSON body: Invalid json path: '%s'", text);
}

/* `{"path":{"$operator":` ; the caller closes both. */
static bool begin_condition(const struct translation *to, const char *key, const char *operator)
{
    crn_buf_putc(to->out, '{');
    if (!crn_qd_write_path(to->call, to->out, key)) return false;
    crn_buf_printf(to->out, ":{\"%s\":", operator);
    return true;
}

static bool write_condition(const struct translation *to, const char *key, const char *operator,
                            struct crn_json operand)
{
    if (!begin_condition(to, key, operator)) return false;
    crn_qd_write_set(to->out, operand);
    crn_buf_puts(to->out, "}}");
    return true;
}

/* ---- match ---- */

static bool text_params(const struct translation *to, const char *key, struct crn_json *out_params)
{
    struct crn_json field, type;
    size_t length;

    *out_params = (struct crn_json){0};
    if (!crn_json_get(to->collection->payload_schema, key, &field) ||
        !crn_qd_member(field, "data_type", &type))
        return false;
    if (strcmp(crn_json_string(type, &length), "text") != 0) return false;
    if (!crn_qd_member(field, "params", out_params)) *out_params = field;
    return true;
}

static void write_stopwords(struct crn_buf *out, struct crn_json params)
{
    static const char *const english[] = {
        "a",   "an",    "and",  "are",   "as",    "at",   "be",   "but", "by",  "for",  "if",
        "in",  "into",  "is",   "it",    "no",    "not",  "of",   "on",  "or",  "such", "that",
        "the", "their", "then", "there", "these", "they", "this", "to",  "was", "will", "with"};
    struct crn_json stopwords, custom, languages, language;
    struct crn_json_iter it;
    const char *key;
    size_t length;
    bool use_english = false, first = true;

    if (!crn_qd_member(params, "stopwords", &stopwords)) return;
    if (crn_json_type(stopwords) == CRN_JSON_STRING)
        use_english = strcmp(crn_json_string(stopwords, &length), "english") == 0;
    crn_buf_puts(out, ",\"stopwords\":[");
    if (crn_qd_member(stopwords, "languages", &languages)) {
        for (crn_json_iter_init(&it, languages); crn_json_iter_next(&it, &language, &key, &length);) {
            use_english |= strcmp(crn_json_string(language, &length), "english") == 0;
        }
    }
    if (crn_qd_member(stopwords, "custom", &custom)) {
        for (crn_json_iter_init(&it, custom); crn_json_iter_next(&it, &language, &key, &length);) {
            if (!first) crn_buf_putc(out, ',');
            crn_json_write(language, out);
            first = false;
        }
    }
    for (size_t i = 0; use_english && i < sizeof english / sizeof english[0]; i++) {
        crn_buf_printf(out, first ? "\"%s\"" : ",\"%s\"", english[i]);
        first = false;
    }
    crn_buf_putc(out, ']');
}

static bool write_words(const struct translation *to, const char *key, const char *match,
                        struct crn_json query, struct crn_json params)
{
    struct crn_json value;
    size_t length;

    if (!begin_condition(to, key, "$words")) return false;
    crn_buf_puts(to->out, "{\"query\":");
    crn_json_write(query, to->out);
    crn_buf_printf(to->out, ",\"match\":\"%s\"", match);
    if (crn_qd_member(params, "tokenizer", &value)) {
        const char *tokenizer = crn_json_string(value, &length);
        const bool known = strcmp(tokenizer, "whitespace") == 0 || strcmp(tokenizer, "prefix") == 0;
        crn_buf_printf(to->out, ",\"tokenizer\":\"%s\"", known ? tokenizer : "word");
    }
    if (crn_qd_member(params, "lowercase", &value))
        crn_buf_printf(to->out, ",\"lowercase\":%s", crn_json_bool(value) ? "true" : "false");
    if (crn_qd_member(params, "min_token_len", &value))
        crn_buf_printf(to->out, ",\"min\":%" PRIu64, crn_json_u64(value));
    if (crn_qd_member(params, "max_token_len", &value))
        crn_buf_printf(to->out, ",\"max\":%" PRIu64, crn_json_u64(value));
    write_stopwords(to->out, params);
    crn_buf_puts(to->out, "}}}");
    return true;
}

/* Without an index a text is matched as a part; of several words one is enough. */
static bool write_any_part(const struct translation *to, const char *key, struct crn_json query)
{
    size_t length, parts = 0;
    const char *text = crn_json_string(query, &length), *end = text + length;

    crn_buf_puts(to->out, "{\"$or\":[");
    while (text < end) {
        const size_t blank = strspn(text, " \t\r\n\v\f");
        text += blank;
        const size_t word = strcspn(text, " \t\r\n\v\f");
        if (word == 0) break;
        if (parts++ > 0) crn_buf_putc(to->out, ',');
        if (!begin_condition(to, key, "$substring")) return false;
        crn_buf_json_string(to->out, text, word);
        crn_buf_puts(to->out, "}}");
        text += word;
    }
    if (parts == 0) crn_buf_puts(to->out, NO_POINT);
    crn_buf_puts(to->out, "]}");
    return true;
}

static bool write_match(const struct translation *to, const char *key, struct crn_json match)
{
    struct crn_json value, params;
    const bool indexed = text_params(to, key, &params);

    if (crn_qd_member(match, "value", &value)) {
        const enum crn_json_type type = crn_json_type(value);
        if (type == CRN_JSON_STRING || type == CRN_JSON_BOOL || type == CRN_JSON_I64 ||
            type == CRN_JSON_U64) {
            return write_condition(to, key, "$eq", value);
        }
    } else if (crn_qd_member(match, "any", &value) && crn_json_type(value) == CRN_JSON_ARRAY) {
        return write_condition(to, key, "$in", value);
    } else if (crn_qd_member(match, "except", &value) && crn_json_type(value) == CRN_JSON_ARRAY) {
        return write_condition(to, key, "$other", value);
    } else if (crn_qd_member(match, "text", &value) && crn_json_type(value) == CRN_JSON_STRING) {
        return indexed ? write_words(to, key, "all", value, params)
                       : write_condition(to, key, "$substring", value);
    } else if (crn_qd_member(match, "text_any", &value) && crn_json_type(value) == CRN_JSON_STRING) {
        return indexed ? write_words(to, key, "any", value, params) : write_any_part(to, key, value);
    } else if (crn_qd_member(match, "phrase", &value) && crn_json_type(value) == CRN_JSON_STRING) {
        return indexed ? write_words(to, key, "phrase", value, params)
                       : write_condition(to, key, "$substring", value);
    } else if (crn_qd_member(match, "prefix", &value) && crn_json_type(value) == CRN_JSON_STRING) {
        return write_condition(to, key, "$prefix", value);
    }
    return crn_qd_fail(to->call, 400,
                       "Format error in JSON body: data did not match any variant of untagged enum Match");
}

/* ---- conditions on a field ---- */

static bool write_range(const struct translation *to, const char *key, struct crn_json range)
{
    struct crn_json_iter it;
    struct crn_json bound;
    const char *name;
    size_t length, numbers = 0, times = 0;

    for (crn_json_iter_init(&it, range); crn_json_iter_next(&it, &bound, &name, &length);) {
        const bool known = strcmp(name, "gt") == 0 || strcmp(name, "gte") == 0 || strcmp(name, "lt") == 0 ||
                           strcmp(name, "lte") == 0;
        if (!known || crn_json_type(bound) == CRN_JSON_NULL) continue;
        numbers += crn_json_is_number(bound);
        times += crn_json_type(bound) == CRN_JSON_STRING;
        if (crn_json_is_number(bound) || crn_json_type(bound) == CRN_JSON_STRING) continue;
        numbers = times = 1;
    }
    if (crn_json_type(range) != CRN_JSON_OBJECT || (numbers > 0 && times > 0)) {
        return crn_qd_fail(
            to->call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum RangeInterface");
    }
    return write_condition(to, key, times > 0 ? "$time" : "$range", range);
}

static bool write_flag(const struct translation *to, const char *key, const char *operator, bool wanted)
{
    if (!wanted) crn_buf_puts(to->out, "{\"$nor\":[");
    if (strcmp(operator, "$null") == 0) {
        crn_buf_putc(to->out, '{');
        if (!crn_qd_write_path(to->call, to->out, key)) return false;
        crn_buf_puts(to->out, ":null}");
    } else {
        if (!begin_condition(to, key, operator)) return false;
        crn_buf_puts(to->out, "true}}");
    }
    if (!wanted) crn_buf_puts(to->out, "]}");
    return true;
}

static bool write_field(const struct translation *to, struct crn_json condition)
{
    static const struct {
        const char *name, *operator;
    } plain[] = {{"geo_bounding_box", "$geo_box"},
                 {"geo_radius", "$geo_radius"},
                 {"geo_polygon", "$geo_polygon"},
                 {"values_count", "$count"}};
    struct crn_json value;
    const char *key = NULL;
    size_t written = 0;

    if (!crn_qd_get_text(to->call, condition, "key", &key)) return false;
    if (key == NULL) return crn_qd_missing(to->call, "key");
    crn_buf_puts(to->out, "{\"$and\":[");
    if (crn_qd_member(condition, "match", &value)) {
        if (!write_match(to, key, value)) return false;
        written++;
    }
    if (crn_qd_member(condition, "range", &value)) {
        if (written++ > 0) crn_buf_putc(to->out, ',');
        if (!write_range(to, key, value)) return false;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (!crn_qd_member(condition, plain[i].name, &value)) continue;
        if (written++ > 0) crn_buf_putc(to->out, ',');
        if (!write_condition(to, key, plain[i].operator, value)) return false;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!crn_qd_member(condition, i == 0 ? "is_empty" : "is_null", &value)) continue;
        if (written++ > 0) crn_buf_putc(to->out, ',');
        if (!write_flag(to, key, i == 0 ? "$empty" : "$null", crn_json_bool(value))) return false;
    }
    crn_buf_puts(to->out, "]}");
    if (written > 0) return true;
    return crn_qd_fail(
        to->call, 422,
        "Validation error in JSON body: [filter: At least one field condition must be specified for field condition]");
}

/* ---- other conditions ---- */

static void write_ids(struct crn_buf *out, const cairn_id *ids, size_t count)
{
    crn_buf_puts(out, "{\"$ids\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        if (ids[i].type == CAIRN_ID_UUID) crn_buf_puts(out, "{\"uuid\":");
        crn_qd_write_id(out, &ids[i]);
        if (ids[i].type == CAIRN_ID_UUID) crn_buf_putc(out, '}');
    }
    crn_buf_puts(out, "]}");
}

static bool write_has_id(const struct translation *to, struct crn_json ids)
{
    cairn_id *list;
    size_t count;

    if (!crn_qd_read_ids(to->call, ids, &list, &count)) return false;
    write_ids(to->out, list, count);
    return true;
}

/* {"key": path} */
static bool write_keyed_flag(const struct translation *to, struct crn_json holder, const char *operator)
{
    const char *key = NULL;

    if (!crn_qd_get_text(to->call, holder, "key", &key)) return false;
    return key == NULL ? crn_qd_missing(to->call, "key") : write_flag(to, key, operator, true);
}

static bool write_nested(const struct translation *to, struct crn_json nested)
{
    struct crn_json filter;
    const char *key = NULL;

    if (!crn_qd_get_text(to->call, nested, "key", &key)) return false;
    if (key == NULL) return crn_qd_missing(to->call, "key");
    if (!crn_qd_member(nested, "filter", &filter)) return crn_qd_missing(to->call, "filter");
    if (!begin_condition(to, key, "$element") || !write_filter(to, filter)) return false;
    crn_buf_puts(to->out, "}}");
    return true;
}

static bool write_any_condition(const struct translation *to, struct crn_json condition)
{
    struct crn_json value;

    if (crn_json_type(condition) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(to->call, "filter", "a condition", condition);
    if (crn_json_get(condition, "key", &value)) return write_field(to, condition);
    if (crn_json_get(condition, "is_empty", &value)) return write_keyed_flag(to, value, "$empty");
    if (crn_json_get(condition, "is_null", &value)) return write_keyed_flag(to, value, "$null");
    if (crn_json_get(condition, "has_id", &value)) return write_has_id(to, value);
    if (crn_json_get(condition, "nested", &value)) return write_nested(to, value);
    if (crn_json_get(condition, "has_vector", &value)) {
        if (crn_json_type(value) != CRN_JSON_STRING)
            return crn_qd_wrong_type(to->call, "has_vector", "a string", value);
        crn_buf_puts(to->out, "{\"$has_vector\":");
        crn_json_write(value, to->out);
        crn_buf_putc(to->out, '}');
        return true;
    }
    if (crn_json_get(condition, "slice", &value)) {
        crn_buf_puts(to->out, "{\"$slice\":");
        crn_json_write(value, to->out);
        crn_buf_putc(to->out, '}');
        return true;
    }
    return write_filter(to, condition);
}

/* ---- filters ---- */

/* One condition, or an array of them, with commas between. */
static bool write_conditions(const struct translation *to, struct crn_json conditions)
{
    struct crn_json_iter it;
    struct crn_json condition;
    const char *key;
    size_t length, written = 0;

    if (crn_json_type(conditions) != CRN_JSON_ARRAY) return write_any_condition(to, conditions);
    for (crn_json_iter_init(&it, conditions); crn_json_iter_next(&it, &condition, &key, &length);) {
        if (written++ > 0) crn_buf_putc(to->out, ',');
        if (!write_any_condition(to, condition)) return false;
    }
    return true;
}

static bool is_empty_list(struct crn_json value)
{
    return crn_json_type(value) == CRN_JSON_ARRAY && crn_json_size(value) == 0;
}

static bool write_min_should(const struct translation *to, struct crn_json value)
{
    struct crn_json conditions;
    uint64_t count = 0;

    if (!crn_qd_member(value, "conditions", &conditions)) return crn_qd_missing(to->call, "conditions");
    if (!crn_qd_get_u64(to->call, value, "min_count", 0, &count)) return false;
    if (count == 0 || is_empty_list(conditions)) {
        crn_buf_puts(to->out, count == 0 ? EVERY_POINT : NO_POINT);
        return true;
    }
    crn_buf_printf(to->out, "{\"$min\":{\"count\":%" PRIu64 ",\"of\":[", count);
    if (!write_conditions(to, conditions)) return false;
    crn_buf_puts(to->out, "]}}");
    return true;
}

static bool check_members(struct crn_qd_call *call, struct crn_json filter)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *name;
    size_t length;

    if (crn_json_type(filter) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(call, "filter", "struct Filter", filter);
    for (crn_json_iter_init(&it, filter); crn_json_iter_next(&it, &value, &name, &length);) {
        const bool known = strcmp(name, "must") == 0 || strcmp(name, "should") == 0 ||
                           strcmp(name, "must_not") == 0 || strcmp(name, "min_should") == 0;
        if (known) continue;
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: unknown field `%s`, expected one of `should`, `min_should`, `must`, `must_not`",
            name);
    }
    return true;
}

static bool write_filter(const struct translation *to, struct crn_json filter)
{
    static const char *const openings[][2] = {
        {"must", "{\"$and\":["}, {"should", "{\"$or\":["}, {"must_not", "{\"$nor\":["}};
    struct crn_json value;
    size_t written = 0;

    if (!check_members(to->call, filter)) return false;
    crn_buf_puts(to->out, "{\"$and\":[");
    for (size_t i = 0; i < 3; i++) {
        if (!crn_qd_member(filter, openings[i][0], &value) || is_empty_list(value)) continue;
        if (written++ > 0) crn_buf_putc(to->out, ',');
        crn_buf_puts(to->out, openings[i][1]);
        if (!write_conditions(to, value)) return false;
        crn_buf_puts(to->out, "]}");
    }
    if (crn_qd_member(filter, "min_should", &value)) {
        if (written++ > 0) crn_buf_putc(to->out, ',');
        if (!write_min_should(to, value)) return false;
    }
    if (written == 0) crn_buf_puts(to->out, EVERY_POINT);
    crn_buf_puts(to->out, "]}");
    return true;
}

bool crn_qd_read_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                        struct crn_json filter, const char **out)
{
    struct crn_buf text;
    struct translation to = {.call = call, .collection = collection, .out = &text};

    *out = NULL;
    crn_buf_init(&text, SIZE_MAX / 2);
    if (!write_filter(&to, filter)) {
        crn_buf_release(&text);
        return false;
    }
    *out = crn_qd_keep(call, &text);
    if (*out != NULL && strcmp(*out, "{\"$and\":[" EVERY_POINT "]}") == 0) *out = NULL;
    return call->status == 0;
}

bool crn_qd_read_condition(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                           struct crn_json condition, const char **out)
{
    struct crn_buf text;
    struct translation to = {.call = call, .collection = collection, .out = &text};

    *out = NULL;
    crn_buf_init(&text, SIZE_MAX / 2);
    if (write_any_condition(&to, condition)) *out = crn_qd_keep(call, &text);
    crn_buf_release(&text);
    return *out != NULL;
}

bool crn_qd_get_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                       struct crn_json body, const char *name, const char **out)
{
    struct crn_json filter;

    *out = NULL;
    if (!crn_qd_member(body, name, &filter)) return true;
    return crn_qd_strict_filter(call, collection, filter) &&
           crn_qd_read_filter(call, collection, filter, out);
}

bool crn_qd_both_filters(struct crn_qd_call *call, const char *a, const char *b, const char **out)
{
    struct crn_buf text;

    *out = a == NULL ? b : a;
    if (a == NULL || b == NULL) return true;
    crn_buf_init(&text, SIZE_MAX / 2);
    crn_buf_puts(&text, "{\"$and\":[");
    crn_buf_puts(&text, a);
    crn_buf_putc(&text, ',');
    crn_buf_puts(&text, b);
    crn_buf_puts(&text, "]}");
    *out = crn_qd_keep(call, &text);
    return *out != NULL;
}

bool crn_qd_filter_of_ids(struct crn_qd_call *call, const cairn_id *ids, size_t count, bool negated,
                          const char **out)
{
    struct crn_buf text;

    crn_buf_init(&text, SIZE_MAX / 2);
    if (negated) crn_buf_puts(&text, "{\"$nor\":[");
    write_ids(&text, ids, count);
    if (negated) crn_buf_puts(&text, "]}");
    *out = crn_qd_keep(call, &text);
    return *out != NULL;
}
