/*
 * Formulas: the hits of prefetches scored anew by an expression over their scores, their payloads and conditions. The expression is
 * walked as it was sent; conditions are asked of the engine once for all hits.
 */
#include "server/qdrant_query.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EARTH_RADIUS_M 6371008.8 /* mean radius, IUGG */
#define CONDITIONS_MAX 64

struct condition {
    size_t index;            /* of the condition's place in the body */
    cairn_patterns *passing; /* hits that fulfil it, in the order of their ids */
};

struct formula {
    struct crn_qd_call *call;
    const struct crn_qd_query *query;
    const struct crn_qd_hits *sources;
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    const struct crn_qd_hit *hit;
    const struct crn_json *payload; /* NULL: none */
};

static bool evaluate(struct formula *formula, struct crn_json expression, double *out);

static bool refuse(const struct formula *formula, const char *what)
{
    return crn_qd_fail(formula->call, 400, "Bad request: %s", what);
}

/* ---- variables ---- */

struct found {
    bool any;
    struct crn_json value;
};

static bool take_first(void *ctx, struct crn_json value)
{
    struct found *found = ctx;

    *found = (struct found){true, value};
    return false;
}

/* What the payload has at the key, or else the default of that name. */
static bool find_value(struct formula *formula, const char *key, struct found *out)
{
    struct crn_qd_path path;

    *out = (struct found){0};
    if (!crn_qd_read_path(formula->call, key, &path)) return false;
    if (formula->payload != NULL) (void)crn_qd_each_value(&path, *formula->payload, take_first, out);
    if (!out->any && crn_qd_member(formula->query->defaults, key, &out->value)) out->any = true;
    return out->any ||
           crn_qd_fail(formula->call, 400, "Bad request: No value found for key `%s`, and no default", key);
}

/* "$score" and "$score[i]": of the i-th prefetch; a hit that it does not have scores its default, or 0. */
static bool score_of(struct formula *formula, const char *name, double *out)
{
    const uint64_t source = name[6] == '[' ? strtoull(name + 7, NULL, 10) : 0;
    struct crn_json value;

    if (source >= formula->query->prefetch_count)
        return crn_qd_fail(formula->call, 400, "Bad request: there is no prefetch for %s", name);
    const struct crn_qd_hits *hits = &formula->sources[source];
    for (size_t i = 0; i < hits->count; i++) {
        if (!crn_qd_same_id(&hits->list[i].id, &formula->hit->id)) continue;
        *out = hits->list[i].score;
        return true;
    }
    *out = crn_qd_member(formula->query->defaults, name, &value) ? crn_json_double(value) : 0;
    return true;
}

static bool variable(struct formula *formula, const char *name, double *out)
{
    struct found found;

    if (strncmp(name, "$score", 6) == 0 && (name[6] == '\0' || name[6] == '['))
        return score_of(formula, name, out);
    if (!find_value(formula, name, &found)) return false;
    if (!crn_json_is_number(found.value))
        return crn_qd_fail(formula->call, 400, "Bad request: Value of key `%s` is not a number", name);
    *out = crn_json_double(found.value);
    return true;
}

static bool time_of(struct formula *formula, struct crn_json value, double *out)
{
    size_t length;
    int64_t ms;
    const char *text = crn_json_string(value, &length);

    if (!crn_clock_parse(text, length, &ms)) return refuse(formula, "a value is no RFC 3339 time");
    *out = (double)ms / 1000;
    return true;
}

/* ---- operations ---- */

static bool many(struct formula *formula, struct crn_json list, bool multiply, double *out)
{
    struct crn_json_iter it;
    struct crn_json operand;
    const char *key;
    size_t length;
    double value;

    *out = multiply ? 1 : 0;
    for (crn_json_iter_init(&it, list); crn_json_iter_next(&it, &operand, &key, &length);) {
        if (!evaluate(formula, operand, &value)) return false;
        *out = multiply ? *out * value : *out + value;
    }
    return true;
}

static bool two(struct formula *formula, struct crn_json holder, const char *a, const char *b, double *out_a,
                double *out_b)
{
    struct crn_json value;

    if (!crn_qd_member(holder, a, &value)) return crn_qd_missing(formula->call, a);
    if (!evaluate(formula, value, out_a)) return false;
    if (!crn_qd_member(holder, b, &value)) return crn_qd_missing(formula->call, b);
    return evaluate(formula, value, out_b);
}

static bool divide(struct formula *formula, struct crn_json holder, double *out)
{
    double left, right;
    bool given;

    if (!two(formula, holder, "left", "right", &left, &right)) return false;
    if (right != 0) {
        *out = left / right;
        return true;
    }
    if (!crn_qd_get_double(formula->call, holder, "by_zero_default", out, &given)) return false;
    return given || refuse(formula, "the expression divides by zero, and there is no by_zero_default");
}

static bool place(struct crn_json value, double *lon, double *lat)
{
    struct crn_json x, y;

    if (!crn_qd_member(value, "lon", &x) || !crn_qd_member(value, "lat", &y)) return false;
    *lon = crn_json_double(x);
    *lat = crn_json_double(y);
    return crn_json_is_number(x) && crn_json_is_number(y);
}

/* Metres along a great circle, by the haversine formula. */
static bool geo_distance(struct formula *formula, struct crn_json holder, double *out)
{
    const double radians = acos(-1) / 180;
    struct crn_json origin;
    struct found found;
    const char *to = NULL;
    double lon_a, lat_a, lon_b, lat_b;

    if (!crn_qd_member(holder, "origin", &origin) || !place(origin, &lon_a, &lat_a))
        return crn_qd_missing(formula->call, "origin");
    if (!crn_qd_get_text(formula->call, holder, "to", &to)) return false;
    if (to == NULL) return crn_qd_missing(formula->call, "to");
    if (!find_value(formula, to, &found)) return false;
    if (!place(found.value, &lon_b, &lat_b))
        return crn_qd_fail(formula->call, 400, "Bad request: Value of key `%s` is not a place", to);
    const double lat = sin((lat_b - lat_a) * radians / 2), lon = sin((lon_b - lon_a) * radians / 2);
    const double h = lat * lat + cos(lat_a * radians) * cos(lat_b * radians) * lon * lon;
    *out = 2 * EARTH_RADIUS_M * asin(sqrt(fmin(h, 1)));
    return true;
}

/* 1 at the target, `midpoint` at `scale` from it. */
static bool decay(struct formula *formula, const char *name, struct crn_json holder, double *out)
{
    struct crn_json x, target;
    double value, at = 0, scale = 1, midpoint = 0.5;

    if (!crn_qd_member(holder, "x", &x)) return crn_qd_missing(formula->call, "x");
    if (!evaluate(formula, x, &value)) return false;
    if (crn_qd_member(holder, "target", &target) && !evaluate(formula, target, &at)) return false;
    if (!crn_qd_get_double(formula->call, holder, "scale", &scale, NULL)) return false;
    if (!crn_qd_get_double(formula->call, holder, "midpoint", &midpoint, NULL)) return false;
    if (!(scale > 0) || !(midpoint > 0 && midpoint < 1))
        return refuse(formula, "a decay has a scale above 0 and a midpoint between 0 and 1");
    const double distance = fabs(value - at);
    if (strcmp(name, "lin_decay") == 0)
        *out = fmax(0, 1 - (1 - midpoint) / scale * distance);
    else if (strcmp(name, "exp_decay") == 0)
        *out = exp(log(midpoint) / scale * distance);
    else
        *out = exp(log(midpoint) / (scale * scale) * distance * distance);
    return true;
}

static const struct {
    const char *name;
    double (*function)(double);
} functions[] = {{"abs", fabs}, {"sqrt", sqrt}, {"exp", exp}, {"log10", log10}, {"ln", log}};

/* *out_known: it is an operation at all. */
static bool operation(struct formula *formula, struct crn_json expression, bool *out_known, double *out)
{
    struct crn_json_iter it;
    struct crn_json operand;
    const char *name;
    size_t length;
    double exponent;

    *out_known = true;
    crn_json_iter_init(&it, expression);
    if (crn_json_size(expression) == 1 && crn_json_iter_next(&it, &operand, &name, &length)) {
        if (strcmp(name, "mult") == 0 || strcmp(name, "sum") == 0)
            return many(formula, operand, name[0] == 'm', out);
        if (strcmp(name, "div") == 0) return divide(formula, operand, out);
        if (strcmp(name, "geo_distance") == 0) return geo_distance(formula, operand, out);
        if (strstr(name, "_decay") != NULL) return decay(formula, name, operand, out);
        if (strcmp(name, "datetime") == 0) return time_of(formula, operand, out);
        if (strcmp(name, "datetime_key") == 0) {
            struct found found;
            return find_value(formula, crn_json_string(operand, &length), &found) &&
                   time_of(formula, found.value, out);
        }
        if (strcmp(name, "pow") == 0) {
            if (!two(formula, operand, "base", "exponent", out, &exponent)) return false;
            *out = pow(*out, exponent);
            return true;
        }
        if (strcmp(name, "neg") == 0) {
            if (!evaluate(formula, operand, out)) return false;
            *out = -*out;
            return true;
        }
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
            if (strcmp(functions[i].name, name) != 0) continue;
            if (!evaluate(formula, operand, out)) return false;
            *out = functions[i].function(*out);
            return true;
        }
    }
    *out_known = false;
    return true;
}

static bool passes(const struct formula *formula, struct crn_json condition)
{
    size_t i = 0;

    while (i < formula->condition_count && formula->conditions[i].index != condition.index) i++;
    return i < formula->condition_count &&
           crn_qd_find_point(formula->conditions[i].passing, &formula->hit->id) != NULL;
}

static bool evaluate(struct formula *formula, struct crn_json expression, double *out)
{
    bool known;
    size_t length;

    switch (crn_json_type(expression)) {
    case CRN_JSON_I64:
    case CRN_JSON_U64:
    case CRN_JSON_DOUBLE:
        *out = crn_json_double(expression);
        return true;
    case CRN_JSON_STRING:
        return variable(formula, crn_json_string(expression, &length), out);
    case CRN_JSON_OBJECT:
        if (!operation(formula, expression, &known, out)) return false;
        if (!known) *out = passes(formula, expression) ? 1 : 0;
        return isfinite(*out) || refuse(formula, "the expression has no finite value");
    default:
        return crn_qd_fail(
            formula->call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum Expression");
    }
}

/* ---- conditions ---- */

static bool is_operation(struct crn_json expression)
{
    static const char *const names[] = {
        "mult",  "sum", "neg",          "abs",      "div",          "sqrt",      "pow",       "exp",
        "log10", "ln",  "geo_distance", "datetime", "datetime_key", "lin_decay", "exp_decay", "gauss_decay"};
    struct crn_json operand;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (crn_json_get(expression, names[i], &operand)) return true;
    }
    return false;
}

static bool ask_condition(struct formula *formula, struct crn_qd_collection *collection,
                          struct crn_json condition, const char *ids, size_t count)
{
    cairn_scope scope = {.size = sizeof scope};
    const char *filter;
    cairn_error err;

    if (formula->condition_count == CONDITIONS_MAX)
        return refuse(formula, "a formula has at most 64 conditions");
    if (!crn_qd_read_condition(formula->call, collection, condition, &filter)) return false;
    if (!crn_qd_both_filters(formula->call, ids, filter, &scope.filter)) return false;
    struct condition *to = &formula->conditions[formula->condition_count];
    to->index = condition.index;
    const cairn_status status =
        cairn_scroll_by_id(collection->handle, &scope, NULL, count, false, &to->passing, &err);
    if (!crn_qd_ok(formula->call, status, &err)) return false;
    formula->condition_count++;
    return true;
}

/* Every condition in the expression. Operands that are no expressions, as a place, are passed over by their names. */
static bool find_conditions(struct formula *formula, struct crn_qd_collection *collection,
                            struct crn_json expression, const char *ids, size_t count)
{
    struct crn_json_iter it;
    struct crn_json operand, inner;
    const char *key, *inner_key;
    size_t length;

    if (crn_json_type(expression) != CRN_JSON_OBJECT) return true;
    if (!is_operation(expression)) return ask_condition(formula, collection, expression, ids, count);
    for (crn_json_iter_init(&it, expression); crn_json_iter_next(&it, &operand, &key, &length);) {
        struct crn_json_iter inner_it;
        if (strcmp(key, "geo_distance") == 0) continue;
        const bool holder =
            strcmp(key, "div") == 0 || strcmp(key, "pow") == 0 || strstr(key, "_decay") != NULL;
        if (!holder && crn_json_type(operand) != CRN_JSON_ARRAY) {
            if (!find_conditions(formula, collection, operand, ids, count)) return false;
            continue;
        }
        for (crn_json_iter_init(&inner_it, operand);
             crn_json_iter_next(&inner_it, &inner, &inner_key, &length);) {
            if (!find_conditions(formula, collection, inner, ids, count)) return false;
        }
    }
    return true;
}

/* ---- all hits ---- */

static bool score_all(struct formula *formula, struct crn_qd_collection *collection, const cairn_id *ids,
                      struct crn_qd_hits *hits)
{
    struct crn_json payload;
    cairn_patterns *points;
    cairn_error err;
    size_t kept = 0;
    bool done = true;

    if (!crn_qd_ok(formula->call, cairn_get(collection->handle, ids, hits->count, false, &points, &err),
                   &err))
        return false;
    for (size_t i = 0; done && i < hits->count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        if (point->id == NULL) continue; /* deleted since */
        if (i % 256 == 255 && !(done = crn_qd_go_on(formula->call))) break;
        formula->hit = &hits->list[i];
        formula->payload = point->payload == NULL ? NULL : &payload;
        done = point->payload == NULL ||
               crn_qd_parse_scratch(formula->call, point->payload, strlen(point->payload), &payload);
        struct crn_qd_hit scored = hits->list[i];
        done = done && evaluate(formula, formula->query->formula, &scored.score);
        hits->list[kept++] = scored;
    }
    hits->count = kept;
    cairn_patterns_free(points);
    return done;
}

bool crn_qd_apply_formula(struct crn_qd_call *call, struct crn_qd_collection *collection,
                          const struct crn_qd_query *query, const struct crn_qd_hits *sources,
                          struct crn_qd_hits *out)
{
    struct formula formula = {.call = call, .query = query, .sources = sources};
    const char *filter;

    if (!crn_qd_union(call, sources, query->prefetch_count, out)) return false;
    cairn_id *ids = crn_qd_take(call, out->count + 1, sizeof *ids);
    if (ids == NULL || out->count == 0) return ids != NULL;
    for (size_t i = 0; i < out->count; i++) ids[i] = out->list[i].id;
    bool done = crn_qd_filter_of_ids(call, ids, out->count, false, &filter);
    done = done && find_conditions(&formula, collection, query->formula, filter, out->count) &&
           score_all(&formula, collection, ids, out);
    for (size_t i = 0; i < formula.condition_count; i++) cairn_patterns_free(formula.conditions[i].passing);
    if (done) crn_qd_sort_hits(out, false);
    return done;
}
