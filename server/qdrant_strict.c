/*
 * Strict mode: limits that a collection's settings put on requests. They are read when the settings are, and hold for endpoints over
 * points. What the numbers of a collection's size are compared with is an estimate, as docs/QDRANT.md tells.
 */
#include "server/qdrant_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_NS 60000000000.0
#define MEASURE_AGAIN_NS 5000000000u /* full collections are not added up more often */

/* ---- settings ---- */

static const struct {
    const char *name;
    uint64_t min;
    size_t offset;
} numbers[] = {
#define AT(field) offsetof(struct crn_qd_strict, field)
    {"max_query_limit", 1, AT(query_limit)},
    {"max_timeout", 1, AT(timeout)},
    {"search_max_hnsw_ef", 0, AT(hnsw_ef)},
    {"upsert_max_batchsize", 0, AT(upsert_batch)},
    {"search_max_batchsize", 0, AT(search_batch)},
    {"max_collection_vector_size_bytes", 0, AT(vector_bytes)},
    {"max_collection_payload_size_bytes", 0, AT(payload_bytes)},
    {"max_points_count", 1, AT(points)},
    {"filter_max_conditions", 0, AT(conditions)},
    {"condition_max_size", 0, AT(condition_size)},
    {"max_payload_index_count", 0, AT(payload_indexes)},
    {"read_rate_limit", 1, AT(reads)},
    {"write_rate_limit", 1, AT(writes)},
#undef AT
};
static const char *const flags[] = {"enabled", "search_allow_exact", "unindexed_filtering_retrieve",
                                    "unindexed_filtering_update"};

bool crn_qd_strict_check(struct crn_qd_call *call, struct crn_json config)
{
    char where[80];
    uint64_t number;
    double oversampling;
    bool flag;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!crn_qd_get_bool(call, config, flags[i], &flag)) return false;
    }
    if (!crn_qd_get_double(call, config, "search_max_oversampling", &oversampling, NULL)) return false;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!crn_qd_get_u64(call, config, numbers[i].name, 0, &number)) return false;
        struct crn_json given;
        if (!crn_qd_member(config, numbers[i].name, &given) || number >= numbers[i].min) continue;
        snprintf(where, sizeof where, "strict_mode_config.%s", numbers[i].name);
        return crn_qd_fail(call, 422,
                           "Validation error in JSON body: [%s: value %" PRIu64 " invalid, must be %" PRIu64
                           " or larger]",
                           where, number, numbers[i].min);
    }
    return true;
}

static bool flag_of(struct crn_json config, const char *name, bool standard)
{
    struct crn_json value;

    return crn_qd_member(config, name, &value) ? crn_json_bool(value) : standard;
}

/* {"multivector_config": {name: {"max_vectors": n}}, "sparse_config": {name: {"max_length": n}}} */
static void read_vector_limits(struct crn_json config, struct crn_qd_collection *collection)
{
    struct crn_json holder, one, most;

    for (size_t i = 0; i < collection->vector_count; i++) {
        struct crn_qd_vector *vector = &collection->vectors[i];
        const bool sparse = vector->kind == CAIRN_SPACE_SPARSE;
        if (!crn_qd_member(config, sparse ? "sparse_config" : "multivector_config", &holder)) continue;
        if (!crn_qd_member(holder, vector->name, &one) ||
            !crn_qd_member(one, sparse ? "max_length" : "max_vectors", &most))
            continue;
        if (sparse || vector->kind == CAIRN_SPACE_MULTI) vector->most = crn_json_u64(most);
    }
}

void crn_qd_strict_read(struct crn_json settings, struct crn_qd_collection *collection)
{
    struct crn_qd_strict *strict = &collection->strict;
    struct crn_json config, value;

    memset(strict, 0xff, sizeof *strict);
    strict->exact = strict->unindexed_reads = strict->unindexed_writes = true;
    strict->oversampling = (double)INFINITY;
    if (!crn_qd_member(settings, "strict_mode_config", &config) || !flag_of(config, "enabled", false)) return;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (crn_qd_member(config, numbers[i].name, &value))
            *(uint64_t *)((char *)strict + numbers[i].offset) = crn_json_u64(value);
    }
    if (crn_qd_member(config, "search_max_oversampling", &value))
        strict->oversampling = crn_json_double(value);
    strict->exact = flag_of(config, flags[1], true);
    strict->unindexed_reads = flag_of(config, flags[2], true);
    strict->unindexed_writes = flag_of(config, flags[3], true);
    read_vector_limits(config, collection);
}

/* ---- numbers of a request ---- */

bool crn_qd_strict_limit(struct crn_qd_call *call, uint64_t value, uint64_t most, const char *name)
{
    if (value <= most) return true;
    return crn_qd_fail(call, 400,
                       "Bad request: Limit exceeded %" PRIu64 " > %" PRIu64
                       " for \"%s\". Help: Reduce the \"%s\" parameter to or below %" PRIu64 ".",
                       value, most, name, name, most);
}

bool crn_qd_strict_exact(struct crn_qd_call *call, const struct crn_qd_collection *collection, bool exact)
{
    if (!exact || collection->strict.exact) return true;
    return crn_qd_fail(call, 400, "Bad request: Exact search disabled!. Help: Set exact=false.");
}

/* ---- rates ---- */

/* A bucket holds as much as a minute may take, and fills in a minute. */
static bool spend(struct crn_qd_call *call, struct crn_qd_collection *collection, double cost)
{
    struct crn_qd_meter *meter = &collection->meter;
    const uint64_t most = call->writes ? collection->strict.writes : collection->strict.reads;
    const char *kind = call->writes ? "Write" : "Read";
    const uint64_t now_ns = crn_clock_ns();

    if (most == UINT64_MAX) return true;
    if (cost > (double)most) {
        return crn_qd_fail(
            call, 429,
            "Rate limiting exceeded: %s rate limit exceeded, request larger than rate limiter capacity, please try to split "
            "your request",
            kind);
    }
    pthread_mutex_lock(&meter->mutex);
    const double minutes = meter->refilled_ns == 0 ? 1 : (double)(now_ns - meter->refilled_ns) / MINUTE_NS;
    const struct crn_qd_strict *strict = &collection->strict;
    if (strict->reads != UINT64_MAX)
        meter->reads = fmin(meter->reads + minutes * (double)strict->reads, (double)strict->reads);
    if (strict->writes != UINT64_MAX)
        meter->writes = fmin(meter->writes + minutes * (double)strict->writes, (double)strict->writes);
    meter->refilled_ns = now_ns;
    double *left = call->writes ? &meter->writes : &meter->reads;
    const double missing = cost - *left;
    if (missing <= 0) *left -= cost;
    pthread_mutex_unlock(&meter->mutex);
    if (missing <= 0) return true;
    const double wait_s = ceil(missing / (double)most * 60);
    if (call->answer->header_count < CRN_ANSWER_HEADERS_MAX) {
        struct crn_answer_header *header = &call->answer->headers[call->answer->header_count++];
        header->name = "retry-after";
        snprintf(header->value, sizeof header->value, "%.0f", wait_s);
    }
    return crn_qd_fail(
        call, 429,
        "Rate limiting exceeded: %s rate limit exceeded: Operation requires %.0f tokens but only %.1f were available. Retry "
        "after %.0fs",
        kind, cost, cost - missing, wait_s);
}

bool crn_qd_strict_begin(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    return crn_qd_strict_limit(call, call->timeout_s, collection->strict.timeout, "timeout") &&
           spend(call, collection, 1);
}

bool crn_qd_strict_batch(struct crn_qd_call *call, struct crn_qd_collection *collection, uint64_t more)
{
    return more == 0 || spend(call, collection, (double)more);
}

/* ---- filters ---- */

struct filter_walk {
    struct crn_qd_call *call;
    const struct crn_qd_collection *collection;
    bool indexed;     /* every key has to have an index */
    uint64_t count;   /* of conditions */
    char prefix[512]; /* of a nested filter's keys */
};

/* Which indexes serve a match with that value. */
static const char *types_of_value(struct crn_json value)
{
    const char *key;
    size_t length;
    struct crn_json_iter it;
    struct crn_json first;

    if (crn_json_type(value) == CRN_JSON_ARRAY) {
        crn_json_iter_init(&it, value);
        if (!crn_json_iter_next(&it, &first, &key, &length)) return "keyword, integer";
        value = first;
    }
    return crn_json_type(value) == CRN_JSON_STRING ? "keyword"
           : crn_json_type(value) == CRN_JSON_BOOL ? "bool"
                                                   : "integer";
}

static const char *types_of_range(struct crn_json range)
{
    struct crn_json_iter it;
    struct crn_json bound;
    const char *key;
    size_t length;
    bool whole = true;

    for (crn_json_iter_init(&it, range); crn_json_iter_next(&it, &bound, &key, &length);) {
        if (crn_json_type(bound) == CRN_JSON_STRING) return "datetime";
        whole &= crn_json_type(bound) != CRN_JSON_DOUBLE;
    }
    return whole ? "integer, float" : "float, integer";
}

static const char *types_of(struct crn_json condition)
{
    static const char *const words[] = {"text", "text_any", "phrase"};
    static const char *const geo[] = {"geo_bounding_box", "geo_radius", "geo_polygon"};
    struct crn_json match, value;

    if (crn_qd_member(condition, "match", &match)) {
        for (size_t i = 0; i < 3; i++) {
            if (crn_qd_member(match, words[i], &value)) return "text";
        }
        if (crn_qd_member(match, "prefix", &value)) return "keyword";
        if (crn_qd_member(match, "value", &value) || crn_qd_member(match, "any", &value) ||
            crn_qd_member(match, "except", &value)) {
            return types_of_value(value);
        }
    }
    if (crn_qd_member(condition, "range", &value)) return types_of_range(value);
    for (size_t i = 0; i < 3; i++) {
        if (crn_qd_member(condition, geo[i], &value)) return "geo";
    }
    return "keyword, integer, float, geo, text, bool, datetime, uuid";
}

static bool has_index(const struct filter_walk *walk, const char *key, const char *types)
{
    struct crn_json field, type;
    size_t length;

    if (!crn_json_get(walk->collection->payload_schema, key, &field) ||
        !crn_qd_member(field, "data_type", &type))
        return false;
    const char *name = crn_json_string(type, &length);
    if (strcmp(name, "uuid") == 0) name = "keyword"; /* serves strings as well */
    return strstr(types, name) != NULL;
}

static bool check_key(struct filter_walk *walk, const char *key, const char *types)
{
    char path[sizeof walk->prefix + 256];

    if (!walk->indexed) return true;
    snprintf(path, sizeof path, "%s%s", walk->prefix, key);
    if (has_index(walk, path, types)) return true;
    return crn_qd_fail(
        walk->call, 400,
        "Bad request: Index required but not found for \"%.300s\" of one of the following types: [%s]. Help: Create an index for "
        "this key or use a different filter.",
        path, types);
}

static bool check_size(struct filter_walk *walk, struct crn_json condition)
{
    static const char *const lists[] = {"any", "except"};
    const uint64_t most = walk->collection->strict.condition_size;
    struct crn_json match, value;
    uint64_t size = 0;

    if (crn_qd_member(condition, "has_id", &value)) size = crn_json_size(value);
    for (size_t i = 0; crn_qd_member(condition, "match", &match) && i < 2; i++) {
        if (crn_qd_member(match, lists[i], &value)) size = crn_json_size(value);
    }
    if (size <= most) return true;
    return crn_qd_fail(walk->call, 400,
                       "Bad request: Condition size limit reached (%" PRIu64 " > %" PRIu64
                       "). Help: Reduce the size of your condition.",
                       size, most);
}

static bool walk_filter(struct filter_walk *walk, struct crn_json filter);

static bool walk_nested(struct filter_walk *walk, struct crn_json nested)
{
    const size_t before = strlen(walk->prefix);
    struct crn_json key, filter;
    size_t length;

    if (!crn_qd_member(nested, "key", &key) || !crn_qd_member(nested, "filter", &filter))
        return true; /* told by the translation */
    snprintf(walk->prefix + before, sizeof walk->prefix - before, "%s[].", crn_json_string(key, &length));
    const bool done = walk_filter(walk, filter);
    walk->prefix[before] = '\0';
    return done;
}

static bool walk_condition(struct filter_walk *walk, struct crn_json condition)
{
    static const char *const keyed[] = {"is_empty", "is_null"};
    struct crn_json value, key;
    size_t length;

    if (crn_qd_member(condition, "nested", &value)) return walk_nested(walk, value);
    const bool field = crn_qd_member(condition, "key", &key);
    const bool leaf =
        field || crn_qd_member(condition, "has_id", &value) || crn_qd_member(condition, "is_empty", &value) ||
        crn_qd_member(condition, "is_null", &value) || crn_qd_member(condition, "has_vector", &value) ||
        crn_qd_member(condition, "slice", &value);
    if (!leaf) return walk_filter(walk, condition);
    walk->count++;
    if (!check_size(walk, condition)) return false;
    if (field) return check_key(walk, crn_json_string(key, &length), types_of(condition));
    for (size_t i = 0; i < 2; i++) {
        if (!crn_qd_member(condition, keyed[i], &value) || !crn_qd_member(value, "key", &key)) continue;
        if (!check_key(walk, crn_json_string(key, &length), types_of(condition))) return false;
    }
    return true;
}

static bool walk_conditions(struct filter_walk *walk, struct crn_json conditions)
{
    struct crn_json_iter it;
    struct crn_json condition;
    const char *key;
    size_t length;

    if (crn_json_type(conditions) != CRN_JSON_ARRAY) return walk_condition(walk, conditions);
    for (crn_json_iter_init(&it, conditions); crn_json_iter_next(&it, &condition, &key, &length);) {
        if (!walk_condition(walk, condition)) return false;
    }
    return true;
}

static bool walk_filter(struct filter_walk *walk, struct crn_json filter)
{
    static const char *const clauses[] = {"must", "should", "must_not"};
    struct crn_json value, conditions;

    for (size_t i = 0; i < 3; i++) {
        if (crn_qd_member(filter, clauses[i], &value) && !walk_conditions(walk, value)) return false;
    }
    return !crn_qd_member(filter, "min_should", &value) || !crn_qd_member(value, "conditions", &conditions) ||
           walk_conditions(walk, conditions);
}

bool crn_qd_strict_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                          struct crn_json filter)
{
    const struct crn_qd_strict *strict = &collection->strict;
    struct filter_walk walk = {.call = call,
                               .collection = collection,
                               .indexed =
                                   !(call->writes ? strict->unindexed_writes : strict->unindexed_reads)};

    if (!walk.indexed && strict->conditions == UINT64_MAX && strict->condition_size == UINT64_MAX)
        return true;
    if (!walk_filter(&walk, filter)) return false;
    if (walk.count <= strict->conditions) return true;
    return crn_qd_fail(call, 400,
                       "Bad request: Filter condition limit reached (%" PRIu64 " > %" PRIu64
                       "). Help: Reduce the amount of conditions of your filter.",
                       walk.count, strict->conditions);
}

/* ---- the collection's size ---- */

static bool add_payload(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    (void)call;
    if (point->payload != NULL) *(uint64_t *)ctx += strlen(point->payload);
    return true;
}

/* Payloads are added up when the collection may be full: what was written since the last time is counted, what was replaced or deleted is
 * not. */
bool crn_qd_strict_payloads(struct crn_qd_call *call, struct crn_qd_collection *collection, uint64_t bytes)
{
    struct crn_qd_meter *meter = &collection->meter;
    const uint64_t most = collection->strict.payload_bytes, now_ns = crn_clock_ns();
    uint64_t measured = 0;

    if (most == UINT64_MAX) return true;
    pthread_mutex_lock(&meter->mutex);
    const bool never = meter->measured_ns == 0;
    const bool again =
        never || (meter->payload_bytes >= most && now_ns - meter->measured_ns >= MEASURE_AGAIN_NS);
    pthread_mutex_unlock(&meter->mutex);
    if (again && !crn_qd_each_point(call, collection, NULL, false, add_payload, &measured)) return false;
    pthread_mutex_lock(&meter->mutex);
    if (again) {
        meter->payload_bytes = measured;
        meter->measured_ns = now_ns;
    }
    const bool full = meter->payload_bytes >= most;
    if (!full) meter->payload_bytes += bytes;
    pthread_mutex_unlock(&meter->mutex);
    if (!full) return true;
    return crn_qd_fail(call, 400, "Bad request: Max payload storage size limit of %gMB reached!",
                       (double)most / 1048576);
}

bool crn_qd_strict_growth(struct crn_qd_call *call, struct crn_qd_collection *collection,
                          uint64_t payload_bytes)
{
    const struct crn_qd_strict *strict = &collection->strict;
    uint64_t points = 0, each = 0;
    cairn_error err;

    if (strict->points != UINT64_MAX || strict->vector_bytes != UINT64_MAX) {
        if (!crn_qd_ok(call, cairn_count(collection->handle, NULL, &points, &err), &err)) return false;
    }
    for (size_t i = 0; i < collection->vector_count; i++) each += collection->vectors[i].dim * sizeof(float);
    if (strict->vector_bytes != UINT64_MAX && points * each >= strict->vector_bytes) {
        return crn_qd_fail(call, 400, "Bad request: Max vector storage size limit of %gMB reached!",
                           (double)strict->vector_bytes / 1048576);
    }
    if (strict->points != UINT64_MAX && points >= strict->points) {
        return crn_qd_fail(call, 400, "Bad request: Max points count limit of %" PRIu64 " reached!",
                           strict->points);
    }
    return crn_qd_strict_payloads(call, collection, payload_bytes);
}
