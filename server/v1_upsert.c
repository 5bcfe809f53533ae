/* PUT .../patterns and PATCH .../patterns/{id}: patterns from JSON, or vectors as they are. */
#include "server/v1_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

#define TTL_MAX_S 1e11 /* some 3,000 years: milliseconds stay far from the end of 64 bits */

/* ---- one pattern ---- */

static bool read_vectors(struct crn_v1_call *call, struct crn_json value, cairn_pattern *out)
{
    struct crn_json_iter it;
    struct crn_json one;
    const char *key;
    size_t length;

    if (crn_json_type(value) != CRN_JSON_OBJECT) return crn_v1_wrong(call, "vectors", "an object", value);
    cairn_vector *vectors = crn_v1_take(call, crn_json_size(value), sizeof *vectors);
    if (vectors == NULL) return false;
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &one, &key, &length);) {
        cairn_vector *vector = &vectors[out->vector_count++];
        vector->space = crn_v1_take_text(call, key, length);
        if (vector->space == NULL) return false;
        if (strlen(vector->space) != length)
            return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "a space's name holds a NUL character");
        if (!crn_v1_read_vector(call, vector->space, one, vector)) return false;
    }
    out->vectors = vectors;
    return true;
}

/* ttl in seconds from now, or expires_at in milliseconds since 1970; expires_at 0 is never. */
static bool read_expiry(struct crn_v1_call *call, struct crn_json object, cairn_pattern *out)
{
    struct crn_json value;
    double ttl = 0;
    bool has_ttl;
    uint64_t at = 0;

    if (!crn_v1_get_double(call, object, "ttl", &ttl, &has_ttl) ||
        !crn_v1_get_u64(call, object, "expires_at", 0, INT64_MAX, &at)) {
        return false;
    }
    const bool has_at = crn_v1_member(object, "expires_at", &value);
    if (has_ttl && has_at)
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "both ttl and expires_at are given");
    if (has_ttl && !(ttl > 0 && ttl <= TTL_MAX_S)) {
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "ttl is a number of seconds above 0, not %g", ttl);
    }
    if (!has_ttl && !has_at) return true;
    out->expires_at_ms = has_ttl ? crn_clock_ms() + (int64_t)(ttl * 1000) : (int64_t)at;
    out->fields |= CAIRN_FIELD_EXPIRES;
    return true;
}

/* 0: the id must not exist yet. */
static bool read_if_version(struct crn_v1_call *call, struct crn_json object, cairn_pattern *out)
{
    struct crn_json value;
    uint64_t version = 0;

    if (!crn_v1_get_u64(call, object, "if_version", 0, INT64_MAX, &version)) return false;
    if (crn_v1_member(object, "if_version", &value))
        out->if_version = version == 0 ? CAIRN_VERSION_NONE : version;
    return true;
}

static bool read_count(struct crn_v1_call *call, struct crn_json object, const char *name, cairn_field field,
                       int64_t *out, uint32_t *fields)
{
    struct crn_json value;
    uint64_t count = 0;

    if (!crn_v1_get_u64(call, object, name, 0, INT64_MAX, &count)) return false;
    if (crn_v1_member(object, name, &value)) *fields |= field;
    *out = (int64_t)count;
    return true;
}

static bool read_numbers(struct crn_v1_call *call, struct crn_json object, cairn_pattern *out)
{
    bool has_confidence;
    uint64_t created_at = 0;

    if (!crn_v1_get_double(call, object, "confidence", &out->confidence, &has_confidence) ||
        !read_count(call, object, "usage_count", CAIRN_FIELD_USAGE, &out->usage_count, &out->fields) ||
        !read_count(call, object, "success_count", CAIRN_FIELD_SUCCESS, &out->success_count, &out->fields) ||
        !read_count(call, object, "last_used", CAIRN_FIELD_LAST_USED, &out->last_used_ms, &out->fields) ||
        !crn_v1_get_u64(call, object, "created_at", 0, INT64_MAX, &created_at)) {
        return false;
    }
    if (has_confidence) out->fields |= CAIRN_FIELD_CONFIDENCE;
    out->created_at_ms = (int64_t)created_at;
    return read_expiry(call, object, out) && read_if_version(call, object, out);
}

static bool read_pattern(struct crn_v1_call *call, struct crn_json object, cairn_pattern *out)
{
    static const char *const names[] = {
        "id",         "vector",      "vector_b64",    "vectors",    "text",
        "domain",     "agent",       "type",          "payload",    "model",
        "confidence", "usage_count", "success_count", "created_at", "last_used",
        "ttl",        "expires_at",  "if_version",    "no_vector",  NULL};
    struct crn_json value;
    cairn_id id = {0};
    bool no_vector = false;

    *out = (cairn_pattern){.size = sizeof *out};
    if (crn_json_type(object) != CRN_JSON_OBJECT) return crn_v1_wrong(call, "a pattern", "an object", object);
    if (!crn_v1_only(call, object, names)) return false;
    if (crn_v1_member(object, "id", &value)) {
        if (!crn_v1_read_id(call, value, &id)) return false;
        out->id = id.text;
        out->id_type = id.type;
        out->id_u64 = id.u64;
    }
    if (crn_v1_member(object, "vectors", &value) && !read_vectors(call, value, out)) return false;
    if (!crn_v1_get_vector(call, object, &out->vector, &out->dim) ||
        !crn_v1_get_text(call, object, "text", &out->text) ||
        !crn_v1_get_text(call, object, "domain", &out->domain) ||
        !crn_v1_get_text(call, object, "agent", &out->agent) ||
        !crn_v1_get_text(call, object, "type", &out->type) ||
        !crn_v1_get_text(call, object, "model", &out->model) ||
        !crn_v1_get_object(call, object, "payload", &out->payload) ||
        !crn_v1_get_bool(call, object, "no_vector", &no_vector)) {
        return false;
    }
    if (no_vector) out->fields |= CAIRN_FIELD_NO_VECTOR;
    return read_numbers(call, object, out);
}

static bool read_patterns(struct crn_v1_call *call, cairn_pattern **out, size_t *out_count)
{
    static const char *const names[] = {"patterns", NULL};
    struct crn_json_iter it;
    struct crn_json array, value;
    const char *key;
    size_t length;

    const bool many = crn_json_get(call->body, "patterns", &array);
    if (many && !crn_v1_only(call, call->body, names)) return false;
    if (many && crn_json_type(array) != CRN_JSON_ARRAY)
        return crn_v1_wrong(call, "patterns", "an array", array);
    *out_count = 0;
    *out = crn_v1_take(call, many ? crn_json_size(array) : 1, sizeof **out);
    if (*out == NULL) return false;
    if (!many) return read_pattern(call, call->body, &(*out)[(*out_count)++]);
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &value, &key, &length);) {
        if (!read_pattern(call, value, &(*out)[(*out_count)++])) return false;
    }
    return true;
}

/* ---- rows of a binary body ---- */

/* Ids by the parameter `ids`, separated by commas, or numbers from `first_id` on. */
static bool name_rows(struct crn_v1_call *call, cairn_pattern *patterns, size_t count)
{
    const struct crn_text *ids = crn_v1_parameter(call->request, "ids"),
                          *first = crn_v1_parameter(call->request, "first_id");
    cairn_id id;
    size_t named = 0;

    if ((ids == NULL) == (first == NULL))
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "one of first_id and ids must be given");
    if (first != NULL) {
        uint64_t from = 0;
        if (!crn_v1_get_u64(call, call->body, "first_id", 0, UINT64_MAX - count, &from)) return false;
        for (size_t i = 0; i < count; i++) {
            patterns[i].id_type = CAIRN_ID_U64;
            patterns[i].id_u64 = from + i;
        }
        return true;
    }
    for (const char *at = ids->data, *end = at + ids->length; at <= end; named++) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        const size_t length = (size_t)((comma != NULL ? comma : end) - at);
        if (named < count) {
            if (!crn_v1_text_to_id(call, at, length, &id)) return false;
            patterns[named].id = id.text;
            patterns[named].id_type = id.type;
            patterns[named].id_u64 = id.u64;
        }
        at += length + 1;
    }
    if (named == count) return true;
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "ids names %zu patterns, the body has %zu vectors",
                         named, count);
}

static bool read_binary(struct crn_v1_call *call, cairn_pattern **out, size_t *out_count)
{
    static const char *const names[] = {"ids",    "id_type", "first_id", "space", "dim",
                                        "domain", "agent",   "type",     "mode",  NULL};
    cairn_collection_options options = {.size = sizeof options};
    const char *space = NULL, *domain = NULL, *agent = NULL, *type = NULL;
    const float *values = NULL;
    uint32_t dim = 0;
    size_t count = 0;

    if (!crn_v1_only_parameters(call, names) || !crn_v1_parameters_as_body(call) ||
        !crn_v1_get_u32(call, call->body, "dim", 1, CAIRN_DIM_MAX, &dim) ||
        !crn_v1_get_text(call, call->body, "space", &space) ||
        !crn_v1_get_text(call, call->body, "domain", &domain) ||
        !crn_v1_get_text(call, call->body, "agent", &agent) ||
        !crn_v1_get_text(call, call->body, "type", &type)) {
        return false;
    }
    cairn_collection_get_options(call->lease->handle, &options);
    if (dim == 0 && space == NULL)
        dim = options.dim; /* the default space's; others are checked when they are written */
    if (!crn_v1_read_rows(call, dim, &values, &count, &dim)) return false;
    cairn_pattern *patterns = crn_v1_take(call, count, sizeof *patterns);
    cairn_vector *vectors = crn_v1_take(call, count, sizeof *vectors);
    if (patterns == NULL || vectors == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        vectors[i] = (cairn_vector){.space = space, .values = values + i * dim, .dim = dim};
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .domain = domain,
                                      .agent = agent,
                                      .type = type,
                                      .vectors = &vectors[i],
                                      .vector_count = 1};
    }
    *out = patterns;
    *out_count = count;
    return name_rows(call, patterns, count);
}

/* ---- writing ---- */

/* The first pattern whose version is not the expected one, as it is now, beside the error. It may have changed again since. */
static void tell_conflict(struct crn_v1_call *call, cairn_collection *collection,
                          const cairn_pattern *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const cairn_id id = crn_v1_id_of(&patterns[i]);
        cairn_patterns *found = NULL;
        if (patterns[i].if_version == CAIRN_VERSION_ANY ||
            cairn_get(collection, &id, 1, false, &found, NULL) != CAIRN_OK)
            continue;
        const cairn_pattern *present = cairn_patterns_at(found, 0);
        const uint64_t version = present->id != NULL ? present->version : 0;
        const bool differs =
            version != (patterns[i].if_version == CAIRN_VERSION_NONE ? 0 : patterns[i].if_version);
        if (differs) {
            crn_buf_puts(&call->details, ",\"id\":");
            crn_v1_put_id(&call->details, &id);
            crn_buf_printf(&call->details, ",\"version\":%" PRIu64, version);
        }
        cairn_patterns_free(found);
        if (differs) return;
    }
}

static bool write_patterns(struct crn_v1_call *call, cairn_collection *collection, cairn_write_mode mode,
                           const cairn_pattern *patterns, size_t count, cairn_written **out)
{
    cairn_error err = {0};

    *out = crn_v1_take(call, count, sizeof **out);
    if (*out == NULL) return false;
    const cairn_status status = cairn_write(collection, mode, patterns, count, *out, &err);
    if (status == CAIRN_CONFLICT) tell_conflict(call, collection, patterns, count);
    return crn_v1_ok(call, status, &err);
}

static void put_written(struct crn_buf *out, const cairn_pattern *pattern, const cairn_written *written)
{
    cairn_id id = crn_v1_id_of(pattern);

    if (written->id[0] != '\0') id = (cairn_id){.type = CAIRN_ID_STRING, .text = written->id};
    crn_buf_puts(out, "{\"id\":");
    crn_v1_put_id(out, &id);
    crn_buf_printf(out, ",\"version\":%" PRIu64 ",\"created\":%s}", written->version,
                   written->created ? "true" : "false");
}

static bool read_mode(struct crn_v1_call *call, cairn_write_mode *out)
{
    static const char *const names[] = {"upsert", "insert", "update"}; /* in the order of the enum */
    const struct crn_text *text = crn_v1_parameter(call->request, "mode");

    *out = CAIRN_UPSERT;
    if (text == NULL) return true;
    for (unsigned i = 0; i < 3; i++) {
        if (text->length != strlen(names[i]) || memcmp(text->data, names[i], text->length) != 0) continue;
        *out = (cairn_write_mode)i;
        return true;
    }
    return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "mode is upsert, insert or update, not '%.*s'",
                         (int)(text->length < 60 ? text->length : 60), text->data);
}

bool crn_v1_patterns_put(struct crn_v1_call *call)
{
    static const char *const names[] = {"mode", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    const bool binary = crn_v1_body_is_binary(call->request);
    cairn_write_mode mode;
    cairn_pattern *patterns = NULL;
    cairn_written *written = NULL;
    size_t count = 0, created = 0;

    if (collection == NULL || !read_mode(call, &mode) || (!binary && !crn_v1_only_parameters(call, names)))
        return false;
    if (!(binary ? read_binary(call, &patterns, &count) : read_patterns(call, &patterns, &count)))
        return false;
    if (count > 0 && !write_patterns(call, collection, mode, patterns, count, &written)) return false;
    for (size_t i = 0; i < count; i++) created += written[i].created;
    crn_buf_printf(call->out, "{\"count\":%zu,\"created\":%zu", count, created);
    for (size_t i = 0; !binary && i < count; i++) {
        crn_buf_puts(call->out, i == 0 ? ",\"written\":[" : ",");
        put_written(call->out, &patterns[i], &written[i]);
    }
    if (!binary) crn_buf_puts(call->out, count == 0 ? ",\"written\":[]" : "]");
    crn_buf_putc(call->out, '}');
    return true;
}

bool crn_v1_pattern_patch(struct crn_v1_call *call)
{
    static const char *const names[] = {"id_type", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    const struct crn_text *path = &call->request->segments[V1_LEADING_SEGMENTS + 3];
    cairn_pattern pattern;
    cairn_written *written;
    cairn_id id;

    if (collection == NULL || !crn_v1_only_parameters(call, names) ||
        !crn_v1_text_to_id(call, path->data, path->length, &id))
        return false;
    struct crn_json value;
    if (crn_json_get(call->body, "id", &value))
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "the id stands in the path alone");
    if (!read_pattern(call, call->body, &pattern)) return false;
    pattern.id = id.text;
    pattern.id_type = id.type;
    pattern.id_u64 = id.u64;
    if (!write_patterns(call, collection, CAIRN_UPDATE, &pattern, 1, &written)) return false;
    put_written(call->out, &pattern, written);
    return true;
}
