/* Queries: from bodies of the query endpoint and of the older ones to one form. */
#include "server/qdrant_query.h"

#include <inttypes.h>
#include <string.h>

struct reading {
    struct crn_qd_call *call;
    struct crn_qd_collection *collection; /* searched */
    struct crn_qd_collection *lookup;     /* where ids of examples are looked up */
    const struct crn_qd_vector *using, *lookup_vector;
    struct crn_qd_query *query;
    cairn_id *examples; /* ids given as examples of the collection itself: they are no answers */
    size_t example_count, example_room;
};

/* ---- vectors to compare with ---- */

static bool note_example(struct reading *reading, const cairn_id *id)
{
    if (reading->lookup != reading->collection) return true;
    if (reading->example_count == reading->example_room) {
        const size_t room = reading->example_room * 2 + 16;
        cairn_id *list = crn_qd_take(reading->call, room, sizeof *list);
        if (list == NULL) return false;
        if (reading->example_count > 0)
            memcpy(list, reading->examples, reading->example_count * sizeof *list);
        reading->examples = list;
        reading->example_room = room;
    }
    reading->examples[reading->example_count++] = *id;
    return true;
}

static bool vector_of_point(struct reading *reading, const cairn_id *id, struct crn_qd_query_vector *out)
{
    struct crn_qd_call *call = reading->call;
    cairn_patterns *points;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_get(reading->lookup->handle, id, 1, true, &points, &err), &err)) return false;
    const cairn_pattern *point = cairn_patterns_at(points, 0);
    const cairn_vector *stored =
        point->id == NULL ? NULL : crn_qd_vector_of(point, reading->lookup_vector->name);
    bool done;
    if (stored != NULL) {
        done = crn_qd_vector_as_query(call, reading->lookup_vector, stored, out);
        if (reading->using->distance == QD_COSINE && reading->using->kind == CAIRN_SPACE_DENSE)
            out->dim = reading->using->dim;
    } else if (point->id != NULL) {
        done = crn_qd_fail(call, 400, "Wrong input: Vector with name %s for point %s was not found",
                           reading->lookup_vector->name, point->id);
    } else if (id->type == CAIRN_ID_UUID) {
        done = crn_qd_fail(call, 404, "Not found: No point with id %s found", id->text);
    } else {
        done = crn_qd_fail(call, 404, "Not found: No point with id %" PRIu64 " found", id->u64);
    }
    cairn_patterns_free(points);
    return done && note_example(reading, id);
}

/* A vector, or the id of a point that has it. */
static bool read_input(struct reading *reading, struct crn_json value, struct crn_qd_query_vector *out)
{
    const enum crn_json_type type = crn_json_type(value);
    struct crn_json member;
    cairn_id id;

    if (type == CRN_JSON_I64 || type == CRN_JSON_U64 || type == CRN_JSON_STRING) {
        return crn_qd_read_id(reading->call, value, &id) && vector_of_point(reading, &id, out);
    }
    const bool document = crn_json_get(value, "model", &member) || crn_json_get(value, "text", &member) ||
                          crn_json_get(value, "image", &member);
    if (type == CRN_JSON_OBJECT && document) {
        return crn_qd_fail(reading->call, 400, "Wrong input: inference is not offered: send vectors");
    }
    return crn_qd_read_vector(reading->call, reading->using, value, out);
}

static bool read_inputs(struct reading *reading, struct crn_json holder, const char *name,
                        struct crn_qd_query_vector **out, size_t *out_count)
{
    struct crn_json list, value;
    struct crn_json_iter it;
    const char *key;
    size_t length;

    *out_count = 0;
    if (!crn_qd_member(holder, name, &list)) return true;
    if (crn_json_type(list) != CRN_JSON_ARRAY)
        return crn_qd_wrong_type(reading->call, name, "a sequence", list);
    *out = crn_qd_take(reading->call, crn_json_size(list) + 1, sizeof **out);
    if (*out == NULL) return false;
    for (crn_json_iter_init(&it, list); crn_json_iter_next(&it, &value, &key, &length);) {
        if (!read_input(reading, value, &(*out)[(*out_count)++])) return false;
    }
    return true;
}

/* ---- recommend ---- */

static void add_average(float *target, uint32_t dim, const struct crn_qd_query_vector *list, size_t count,
                        float weight)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t d = 0; d < dim; d++) target[d] += weight * list[i].values[d] / (float)count;
    }
}

/* The mean of the positive examples, moved away from the mean of the negative ones by their difference. */
static bool average(struct reading *reading)
{
    struct crn_qd_query *query = reading->query;
    struct crn_qd_call *call = reading->call;
    const uint32_t dim = reading->using->dim;

    if (query->positive_count == 0)
        return crn_qd_fail(call, 400, "Bad request: At least one positive vector ID required");
    if (reading->using->kind != CAIRN_SPACE_DENSE) {
        return crn_qd_fail(
            call, 400,
            "Wrong input: the strategy average_vector is for dense vectors; use best_score or sum_scores");
    }
    float *target = crn_qd_take(call, dim, sizeof *target);
    if (target == NULL) return false;
    const bool negative = query->negative_count > 0;
    add_average(target, dim, query->positive, query->positive_count, negative ? 2 : 1);
    if (negative) add_average(target, dim, query->negative, query->negative_count, -1);
    query->kind = QD_QUERY_NEAREST;
    query->target = (struct crn_qd_query_vector){.kind = CAIRN_SPACE_DENSE, .values = target, .dim = dim};
    if (reading->using->distance == QD_COSINE) {
        double sum = 0;
        for (uint32_t d = 0; d < dim; d++) sum += (double)target[d] * target[d];
        for (uint32_t d = 0; sum > 0 && d < dim; d++) target[d] = (float)(target[d] / __builtin_sqrt(sum));
    }
    return true;
}

static bool read_recommend(struct reading *reading, struct crn_json body)
{
    struct crn_qd_query *query = reading->query;
    const char *strategy = "average_vector";

    if (!read_inputs(reading, body, "positive", &query->positive, &query->positive_count)) return false;
    if (!read_inputs(reading, body, "negative", &query->negative, &query->negative_count)) return false;
    if (!crn_qd_get_text(reading->call, body, "strategy", &strategy)) return false;
    if (strcmp(strategy, "average_vector") == 0) return average(reading);
    const bool best = strcmp(strategy, "best_score") == 0;
    if (!best && strcmp(strategy, "sum_scores") != 0) {
        return crn_qd_fail(
            reading->call, 400,
            "Format error in JSON body: unknown variant `%s`, expected one of `average_vector`, `best_score`, `sum_scores`",
            strategy);
    }
    if (query->positive_count + query->negative_count == 0) {
        return crn_qd_fail(reading->call, 400,
                           "Bad request: At least one positive or negative vector ID required");
    }
    query->kind = best ? QD_QUERY_BEST : QD_QUERY_SUM;
    return true;
}

/* ---- discover, context ---- */

static bool read_pair(struct reading *reading, struct crn_json pair)
{
    struct crn_qd_query *query = reading->query;
    struct crn_json positive, negative;

    if (!crn_qd_member(pair, "positive", &positive)) return crn_qd_missing(reading->call, "positive");
    if (!crn_qd_member(pair, "negative", &negative)) return crn_qd_missing(reading->call, "negative");
    return read_input(reading, positive, &query->positive[query->positive_count++]) &&
           read_input(reading, negative, &query->negative[query->negative_count++]);
}

static bool read_context(struct reading *reading, struct crn_json context)
{
    struct crn_qd_query *query = reading->query;
    struct crn_json_iter it;
    struct crn_json pair;
    const char *key;
    size_t length;
    const bool list = crn_json_type(context) == CRN_JSON_ARRAY;
    const size_t count = list ? crn_json_size(context) : 1;

    query->positive = crn_qd_take(reading->call, count + 1, sizeof *query->positive);
    query->negative = crn_qd_take(reading->call, count + 1, sizeof *query->negative);
    if (query->positive == NULL || query->negative == NULL) return false;
    if (!list) return read_pair(reading, context);
    for (crn_json_iter_init(&it, context); crn_json_iter_next(&it, &pair, &key, &length);) {
        if (!read_pair(reading, pair)) return false;
    }
    return true;
}

static bool read_discover(struct reading *reading, struct crn_json body)
{
    struct crn_json target, context;

    const bool has_target = crn_qd_member(body, "target", &target),
               has_context = crn_qd_member(body, "context", &context);
    if (!has_target && !has_context) return crn_qd_missing(reading->call, "target");
    reading->query->kind = has_target ? QD_QUERY_DISCOVER : QD_QUERY_CONTEXT;
    if (has_target && !read_input(reading, target, &reading->query->target)) return false;
    return !has_context || read_context(reading, context);
}

/* ---- the query itself ---- */

static bool read_fusion(struct reading *reading, struct crn_json value)
{
    size_t length;
    const char *name = crn_json_string(value, &length);

    reading->query->rrf_k = 2;
    reading->query->kind = strcmp(name, "dbsf") == 0 ? QD_QUERY_DBSF : QD_QUERY_RRF;
    if (strcmp(name, "rrf") == 0 || strcmp(name, "dbsf") == 0) return true;
    return crn_qd_fail(reading->call, 400,
                       "Format error in JSON body: unknown variant `%s`, expected `rrf` or `dbsf`", name);
}

static bool read_rrf(struct reading *reading, struct crn_json value)
{
    struct crn_json weights, weight;
    struct crn_json_iter it;
    const char *key;
    size_t length, count = 0;
    uint64_t k = 2;

    if (!crn_qd_get_u64(reading->call, value, "k", 1, &k)) return false;
    reading->query->kind = QD_QUERY_RRF;
    reading->query->rrf_k = (double)k;
    if (!crn_qd_member(value, "weights", &weights)) return true;
    if (crn_json_size(weights) != reading->query->prefetch_count) {
        return crn_qd_fail(reading->call, 400, "Wrong input: RRF has %zu weights for %zu prefetches",
                           crn_json_size(weights), reading->query->prefetch_count);
    }
    double *list = crn_qd_take(reading->call, crn_json_size(weights) + 1, sizeof *list);
    if (list == NULL) return false;
    for (crn_json_iter_init(&it, weights); crn_json_iter_next(&it, &weight, &key, &length);) {
        if (!crn_json_is_number(weight))
            return crn_qd_wrong_type(reading->call, "weights", "a number", weight);
        list[count++] = crn_json_double(weight);
    }
    reading->query->weights = list;
    return true;
}

static bool read_nearest(struct reading *reading, struct crn_json holder, struct crn_json vector)
{
    struct crn_qd_query *query = reading->query;
    struct crn_json mmr;

    query->kind = QD_QUERY_NEAREST;
    if (!read_input(reading, vector, &query->target)) return false;
    if (!crn_qd_member(holder, "mmr", &mmr)) return true;
    query->mmr = true;
    query->diversity = 0.5;
    query->candidates = query->limit + query->offset;
    if (!crn_qd_get_double(reading->call, mmr, "diversity", &query->diversity, NULL)) return false;
    if (!(query->diversity >= 0 && query->diversity <= 1)) {
        return crn_qd_fail(
            reading->call, 422,
            "Validation error in JSON body: [mmr.diversity: value %g invalid, must be from 0.0 to 1.0]",
            query->diversity);
    }
    return crn_qd_get_u64(reading->call, mmr, "candidates_limit", 1, &query->candidates);
}

static bool need_using(struct reading *reading)
{
    if (reading->using != NULL && reading->lookup_vector != NULL) return true;
    return crn_qd_fail(reading->call, 400, "Wrong input: Not existing vector name error: ");
}

static bool read_query_value(struct reading *reading, struct crn_json value)
{
    struct crn_json part;
    size_t length;

    if (crn_json_type(value) != CRN_JSON_OBJECT)
        return need_using(reading) && read_nearest(reading, (struct crn_json){0}, value);
    if (crn_qd_member(value, "nearest", &part))
        return need_using(reading) && read_nearest(reading, value, part);
    if (crn_qd_member(value, "recommend", &part)) return need_using(reading) && read_recommend(reading, part);
    if (crn_qd_member(value, "discover", &part)) return need_using(reading) && read_discover(reading, part);
    if (crn_qd_member(value, "context", &part)) {
        reading->query->kind = QD_QUERY_CONTEXT;
        return need_using(reading) && read_context(reading, part);
    }
    if (crn_qd_member(value, "fusion", &part)) return read_fusion(reading, part);
    if (crn_qd_member(value, "rrf", &part)) return read_rrf(reading, part);
    if (crn_qd_member(value, "order_by", &part)) {
        reading->query->kind = QD_QUERY_ORDER;
        return crn_qd_read_order(reading->call, reading->collection, part, &reading->query->order);
    }
    if (crn_qd_member(value, "sample", &part)) {
        reading->query->kind = QD_QUERY_SAMPLE;
        if (strcmp(crn_json_string(part, &length), "random") == 0) return true;
        return crn_qd_fail(reading->call, 400,
                           "Format error in JSON body: unknown variant, expected `random`");
    }
    if (crn_qd_member(value, "formula", &reading->query->formula)) {
        reading->query->kind = QD_QUERY_FORMULA;
        if (!crn_qd_member(value, "defaults", &reading->query->defaults))
            reading->query->defaults = (struct crn_json){0};
        return true;
    }
    if (crn_qd_member(value, "relevance_feedback", &part)) {
        return crn_qd_fail(reading->call, 400, "Wrong input: relevance feedback is not offered");
    }
    return need_using(reading) && read_nearest(reading, (struct crn_json){0}, value);
}

/* ---- the rest of a body ---- */

static bool read_limits(struct crn_qd_call *call, struct crn_json body, struct crn_qd_query *query)
{
    struct crn_json params, quantization;

    query->limit = 10;
    if (!crn_qd_get_u64(call, body, "top", 1, &query->limit) ||
        !crn_qd_get_u64(call, body, "limit", 1, &query->limit))
        return false;
    if (!crn_qd_get_u64(call, body, "offset", 0, &query->offset)) return false;
    if (query->limit > QD_POINTS_MAX) query->limit = QD_POINTS_MAX;
    if (query->offset > QD_POINTS_MAX - query->limit) {
        return crn_qd_fail(call, 400, "Wrong input: offset and limit together are above %u", QD_POINTS_MAX);
    }
    if (!crn_qd_get_double(call, body, "score_threshold", &query->threshold, &query->has_threshold))
        return false;
    if (!crn_qd_member(body, "params", &params)) return true;
    if (!crn_qd_get_u64(call, params, "hnsw_ef", 1, &query->ef) ||
        !crn_qd_get_bool(call, params, "exact", &query->exact))
        return false;
    return !crn_qd_member(params, "quantization", &quantization) ||
           crn_qd_get_double(call, quantization, "oversampling", &query->oversampling, NULL);
}

static bool check_limits(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                         const struct crn_qd_query *query)
{
    const struct crn_qd_strict *strict = &collection->strict;

    if (query->oversampling > strict->oversampling) {
        return crn_qd_fail(
            call, 400,
            "Bad request: Limit exceeded %g > %g for \"oversampling\". Help: Reduce the \"oversampling\" parameter to or below %g.",
            query->oversampling, strict->oversampling, strict->oversampling);
    }
    return crn_qd_strict_limit(call, query->limit, strict->query_limit, "limit") &&
           crn_qd_strict_limit(call, query->ef, strict->hnsw_ef, "hnsw_ef") &&
           crn_qd_strict_exact(call, collection, query->exact);
}

/* The vector that is compared, "" unless named; one that is not there matters only to queries that compare. */
static bool read_using(struct reading *reading, struct crn_json body)
{
    struct crn_qd_call *call = reading->call;
    struct crn_json lookup;
    const char *name = NULL, *other = NULL;

    if (!crn_qd_get_text(call, body, "using", &name)) return false;
    reading->using = name == NULL ? crn_qd_find_vector(reading->collection, "")
                                  : crn_qd_need_vector(call, reading->collection, name);
    if (name != NULL && reading->using == NULL) return false;
    reading->lookup = reading->collection;
    reading->lookup_vector = reading->using;
    if (!crn_qd_member(body, "lookup_from", &lookup)) return true;
    if (!crn_qd_get_text(call, lookup, "collection", &other)) return false;
    if (other == NULL) return crn_qd_missing(call, "collection");
    reading->lookup = crn_qd_lease(call, other);
    if (reading->lookup == NULL) return false;
    other = name == NULL ? "" : name;
    if (!crn_qd_get_text(call, lookup, "vector", &other)) return false;
    reading->lookup_vector = crn_qd_need_vector(call, reading->lookup, other);
    if (reading->lookup_vector == NULL || reading->using == NULL) return need_using(reading);
    if (reading->lookup_vector->kind != reading->using->kind ||
        reading->lookup_vector->dim != reading->using->dim) {
        return crn_qd_fail(call, 400, "Wrong input: Vector dimension error: expected dim: %u, got %u",
                           reading->using->dim, reading->lookup_vector->dim);
    }
    return true;
}

static bool read_prefetch(struct reading *reading, struct crn_json body, unsigned depth)
{
    struct crn_qd_query *query = reading->query;
    struct crn_json prefetch, one;
    struct crn_json_iter it;
    const char *key;
    size_t length;

    if (!crn_qd_member(body, "prefetch", &prefetch)) return true;
    if (depth == QD_PREFETCH_DEPTH_MAX)
        return crn_qd_fail(reading->call, 400, "Wrong input: prefetches are nested too deeply");
    const bool list = crn_json_type(prefetch) == CRN_JSON_ARRAY;
    query->prefetch =
        crn_qd_take(reading->call, list ? crn_json_size(prefetch) + 1 : 1, sizeof *query->prefetch);
    if (query->prefetch == NULL) return false;
    if (!list) {
        query->prefetch_count = 1;
        return crn_qd_read_query(reading->call, reading->collection, prefetch, QD_STYLE_QUERY, depth + 1,
                                 query->prefetch);
    }
    for (crn_json_iter_init(&it, prefetch); crn_json_iter_next(&it, &one, &key, &length);) {
        struct crn_qd_query *inner = &query->prefetch[query->prefetch_count++];
        if (!crn_qd_read_query(reading->call, reading->collection, one, QD_STYLE_QUERY, depth + 1, inner))
            return false;
    }
    return true;
}

/* {"vector": […]} or {"vector": {"name": …, "vector": …}} */
static bool read_search(struct reading *reading, struct crn_json body)
{
    struct crn_json vector, inner;
    const char *name = NULL;

    if (!crn_qd_member(body, "vector", &vector)) return crn_qd_missing(reading->call, "vector");
    if (crn_json_type(vector) == CRN_JSON_OBJECT && crn_qd_member(vector, "name", &inner)) {
        if (!crn_qd_get_text(reading->call, vector, "name", &name)) return false;
        reading->using = reading->lookup_vector =
            crn_qd_need_vector(reading->call, reading->collection, name);
        if (reading->using == NULL) return false;
        if (!crn_qd_member(vector, "vector", &inner)) return crn_qd_missing(reading->call, "vector");
        vector = inner;
    }
    reading->query->kind = QD_QUERY_NEAREST;
    return need_using(reading) &&
           crn_qd_read_vector(reading->call, reading->using, vector, &reading->query->target);
}

static bool read_by_style(struct reading *reading, struct crn_json body, enum crn_qd_style style)
{
    struct crn_json value;

    switch (style) {
    case QD_STYLE_SEARCH:
        return read_search(reading, body);
    case QD_STYLE_RECOMMEND:
        return need_using(reading) && read_recommend(reading, body);
    case QD_STYLE_DISCOVER:
        return need_using(reading) && read_discover(reading, body);
    default:
        return !crn_qd_member(body, "query", &value) || read_query_value(reading, value);
    }
}

bool crn_qd_read_query(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body,
                       enum crn_qd_style style, unsigned depth, struct crn_qd_query *out)
{
    struct reading reading = {.call = call, .collection = collection, .query = out};
    const char *filter, *others = NULL;

    *out = (struct crn_qd_query){.rrf_k = 2};
    if (crn_json_type(body) != CRN_JSON_OBJECT) return crn_qd_wrong_type(call, "body", "a map", body);
    if (!read_limits(call, body, out) || !check_limits(call, collection, out) ||
        !read_using(&reading, body) || !read_prefetch(&reading, body, depth))
        return false;
    if (!read_by_style(&reading, body, style)) return false;
    out->using = reading.using;
    if (!crn_qd_get_filter(call, collection, body, "filter", &filter)) return false;
    if (reading.example_count > 0 &&
        !crn_qd_filter_of_ids(call, reading.examples, reading.example_count, true, &others))
        return false;
    if (!crn_qd_both_filters(call, filter, others, &out->filter)) return false;
    const bool fuses = out->kind == QD_QUERY_RRF || out->kind == QD_QUERY_DBSF;
    if (fuses && out->prefetch_count == 0)
        return crn_qd_fail(call, 400, "Bad request: Fusion queries cannot be run without prefetches");
    if (out->kind == QD_QUERY_FORMULA && out->prefetch_count == 0) {
        return crn_qd_fail(call, 400, "Bad request: Formula queries cannot be run without prefetches");
    }
    if (out->kind == QD_QUERY_ALL && out->prefetch_count > 0) {
        return crn_qd_fail(
            call, 400,
            "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.");
    }
    return true;
}
