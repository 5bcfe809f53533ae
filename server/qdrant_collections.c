/* Endpoints over collections: list, create, get, change, drop, payload indexes, aliases. */
#include "server/access.h"
#include "server/qdrant_internal.h"

#include <inttypes.h>
#include <string.h>

static bool put(struct crn_qd_call *call, const char *text)
{
    crn_buf_puts(call->out, text);
    return true;
}

bool crn_qd_collections_list(struct crn_qd_call *call)
{
    char **names;
    size_t count;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_collection_list(call->qdrant->db, &names, &count, &err), &err)) return false;
    crn_buf_puts(call->out, "{\"collections\":[");
    for (size_t i = 0, shown = 0; i < count; i++) {
        if (!crn_access_covers(&call->request->principal, names[i], strlen(names[i]))) continue;
        if (shown++ > 0) crn_buf_putc(call->out, ',');
        crn_buf_puts(call->out, "{\"name\":");
        crn_buf_json_string(call->out, names[i], strlen(names[i]));
        crn_buf_putc(call->out, '}');
    }
    cairn_free(names);
    return put(call, "]}");
}

/* What a client may know of the server; more is in /metrics. */
bool crn_qd_telemetry(struct crn_qd_call *call)
{
    char **names;
    size_t count, covered = 0;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_collection_list(call->qdrant->db, &names, &count, &err), &err)) return false;
    for (size_t i = 0; i < count; i++)
        covered += crn_access_covers(&call->request->principal, names[i], strlen(names[i]));
    cairn_free(names);
    crn_buf_printf(call->out, "{\"id\":\"cairn\",\"collections\":{\"number_of_collections\":%zu}}", covered);
    return true;
}

/* ---- create, drop ---- */

static bool check_new_name(struct crn_qd_call *call, const char *name)
{
    static const char banned[] = "<>:\"/\\|?*\x1F";

    for (const char *at = name; *at != '\0'; at++) {
        if (strchr(banned, *at) == NULL) continue;
        return crn_qd_fail(
            call, 422,
            "Validation error in path parameters: [name: value \"%s\" invalid, must not contain \"%c\" char]",
            name, *at);
    }
    return true;
}

static bool create(struct crn_qd_call *call, const char *name)
{
    cairn_collection_options options;
    struct crn_buf config, metadata;
    cairn_error err;

    const char *target = crn_qd_resolve_alias(call, name);
    if (target != NULL) return crn_qd_fail(call, 409, "Wrong input: Alias `%s` already exists!", name);
    if (call->status != 0) return false;
    crn_buf_init(&config, SIZE_MAX / 2);
    if (!crn_qd_read_config(call, call->body, &options, &config)) {
        crn_buf_release(&config);
        return false;
    }
    crn_buf_init(&metadata, SIZE_MAX / 2);
    crn_buf_puts(&metadata, "{\"qdrant\":{\"config\":");
    crn_buf_append(&metadata, config.data, config.len);
    crn_buf_puts(&metadata, ",\"payload_schema\":{}}}");
    crn_buf_release(&config);
    options.metadata = crn_qd_keep(call, &metadata);
    if (options.metadata == NULL) return false;
    crn_qd_forget(call->qdrant, name);
    const cairn_status status = cairn_collection_create(call->qdrant->db, name, &options, &err);
    if (status == CAIRN_EXISTS)
        return crn_qd_fail(call, 409, "Wrong input: Collection `%s` already exists!", name);
    return crn_qd_ok(call, status, &err);
}

bool crn_qd_collection_create(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call);

    if (name == NULL || !check_new_name(call, name)) return false;
    pthread_mutex_lock(&call->qdrant->settings);
    const bool done = create(call, name);
    pthread_mutex_unlock(&call->qdrant->settings);
    return done && put(call, "true");
}

bool crn_qd_collection_delete(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call);
    cairn_error err;

    if (name == NULL) return false;
    crn_qd_forget(call->qdrant, name);
    const cairn_status status =
        cairn_collection_drop(call->qdrant->db, name, &err); /* long, so under no lock */
    const bool gone = status == CAIRN_NO_COLLECTION;
    if (!gone && !crn_qd_ok(call, status, &err)) return false;
    pthread_mutex_lock(&call->qdrant->settings);
    crn_qd_forget(call->qdrant, name); /* it may have been opened meanwhile */
    const bool done = gone || crn_qd_drop_aliases_of(call, name);
    pthread_mutex_unlock(&call->qdrant->settings);
    return done && put(call, gone ? "false" : "true");
}

/* ---- get, change ---- */

bool crn_qd_collection_exists(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call);

    if (name == NULL) return false;
    const bool exists = crn_qd_lease(call, name) != NULL;
    if (!exists && call->status != 404) return false;
    call->status = 0;
    return put(call, exists ? "{\"exists\":true}" : "{\"exists\":false}");
}

/* Each index with the number of points that have a value there. */
static bool write_schema(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    struct crn_json_iter it;
    struct crn_json field, value;
    const char *name;
    size_t length;
    bool first = true;
    cairn_error err;

    crn_buf_putc(call->out, '{');
    for (crn_json_iter_init(&it, collection->payload_schema);
         crn_json_iter_next(&it, &field, &name, &length);) {
        struct crn_buf filter;
        uint64_t points = 0;
        crn_buf_init(&filter, SIZE_MAX / 2);
        crn_buf_putc(&filter, '{');
        if (!crn_qd_write_path(call, &filter, name)) {
            crn_buf_release(&filter);
            return false;
        }
        crn_buf_puts(&filter, ":{\"$exists\":true}}");
        const cairn_scope scope = {.size = sizeof scope, .filter = crn_qd_keep(call, &filter)};
        if (scope.filter == NULL ||
            !crn_qd_ok(call, cairn_count(collection->handle, &scope, &points, &err), &err))
            return false;
        crn_qd_write_member(call->out, name, &first);
        crn_buf_puts(call->out, "{\"data_type\":");
        if (crn_json_get(field, "data_type", &value)) crn_json_write(value, call->out);
        if (crn_qd_member(field, "params", &value)) {
            crn_buf_puts(call->out, ",\"params\":");
            crn_json_write(value, call->out);
        }
        crn_buf_printf(call->out, ",\"points\":%" PRIu64 "}", points);
    }
    crn_buf_putc(call->out, '}');
    return true;
}

bool crn_qd_collection_get(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    uint64_t points = 0;
    cairn_error err;

    if (collection == NULL || !crn_qd_ok(call, cairn_count(collection->handle, NULL, &points, &err), &err))
        return false;
    uint64_t dense = 0;
    for (size_t i = 0; i < collection->vector_count; i++)
        dense += collection->vectors[i].kind == CAIRN_SPACE_DENSE;
    crn_buf_printf(call->out,
                   "{\"status\":\"green\",\"optimizer_status\":\"ok\",\"indexed_vectors_count\":%" PRIu64
                   ",\"points_count\":%" PRIu64 ",\"segments_count\":1,\"config\":",
                   points * dense, points);
    crn_json_write(collection->config, call->out);
    crn_buf_puts(call->out, ",\"payload_schema\":");
    return write_schema(call, collection) && put(call, ",\"update_queue\":{\"length\":0}}");
}

static bool patch(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    struct crn_buf config, schema;

    crn_buf_init(&config, SIZE_MAX / 2);
    crn_buf_init(&schema, SIZE_MAX / 2);
    bool done = crn_qd_patch_config(call, collection->config, call->body, &config);
    crn_json_write(collection->payload_schema, &schema);
    const char *config_text = done ? crn_qd_keep(call, &config) : NULL,
               *schema_text = crn_qd_keep(call, &schema);
    crn_buf_release(&config);
    return config_text != NULL && schema_text != NULL &&
           crn_qd_store_settings(call, collection, config_text, schema_text);
}

bool crn_qd_collection_patch(struct crn_qd_call *call)
{
    return crn_qd_change_settings(call, NULL, patch) && put(call, "true");
}

/* ---- payload indexes ---- */

static const char *const field_types[] = {"keyword", "integer", "float",    "geo",
                                          "text",    "bool",    "datetime", "uuid"};

static bool known_type(const char *type)
{
    for (size_t i = 0; i < sizeof field_types / sizeof field_types[0]; i++) {
        if (strcmp(type, field_types[i]) == 0) return true;
    }
    return false;
}

/* {"data_type": …, "params": …} of a field_schema: a type's name, or an object with it. */
static bool write_field_schema(struct crn_qd_call *call, struct crn_buf *out)
{
    struct crn_json schema;
    const char *type = NULL;
    size_t length;

    if (!crn_qd_member(call->body, "field_schema", &schema) &&
        !crn_qd_member(call->body, "field_type", &schema)) {
        crn_buf_puts(out, "{\"data_type\":\"keyword\"}");
        return true;
    }
    if (crn_json_type(schema) == CRN_JSON_STRING) {
        type = crn_json_string(schema, &length);
    } else if (!crn_qd_get_text(call, schema, "type", &type)) {
        return false;
    }
    if (type == NULL || !known_type(type)) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum PayloadFieldSchema");
    }
    crn_buf_printf(out, "{\"data_type\":\"%s\"", type);
    if (crn_json_type(schema) == CRN_JSON_OBJECT) {
        crn_buf_puts(out, ",\"params\":");
        crn_qd_write_set(out, schema);
    }
    crn_buf_putc(out, '}');
    return true;
}

/* The schema without `field`, and with it as `entry` unless that is NULL. */
static bool store_schema(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *field,
                         const char *entry)
{
    struct crn_json_iter it;
    struct crn_json value;
    struct crn_buf schema, config;
    const char *name;
    size_t length;
    bool first = true;

    crn_buf_init(&schema, SIZE_MAX / 2);
    crn_buf_init(&config, SIZE_MAX / 2);
    crn_buf_putc(&schema, '{');
    for (crn_json_iter_init(&it, collection->payload_schema);
         crn_json_iter_next(&it, &value, &name, &length);) {
        if (strcmp(name, field) == 0) continue;
        crn_qd_write_member(&schema, name, &first);
        crn_json_write(value, &schema);
    }
    if (entry != NULL) {
        crn_qd_write_member(&schema, field, &first);
        crn_buf_puts(&schema, entry);
    }
    crn_buf_putc(&schema, '}');
    crn_json_write(collection->config, &config);
    const char *schema_text = crn_qd_keep(call, &schema), *config_text = crn_qd_keep(call, &config);
    return schema_text != NULL && config_text != NULL &&
           crn_qd_store_settings(call, collection, config_text, schema_text);
}

/* The engine's path of a field, unquoted; NULL where filters have no such path, and so no index. */
static bool engine_path(struct crn_qd_call *call, const char *field, const char **out)
{
    struct crn_json parsed;
    struct crn_buf path;
    size_t length;

    crn_buf_init(&path, SIZE_MAX / 2);
    if (!crn_qd_write_path(call, &path, field)) {
        crn_buf_release(&path);
        return false;
    }
    const bool done = crn_qd_parse(call, path.data, path.len, &parsed);
    crn_buf_release(&path);
    if (done) *out = crn_json_string(parsed, &length);
    return done;
}

/* The index itself, which takes as long as there are rows. */
static bool build_index(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *field = NULL, *path;
    struct crn_json known;
    cairn_error err;

    if (!crn_qd_get_text(call, call->body, "field_name", &field)) return false;
    if (field == NULL) return crn_qd_missing(call, "field_name");
    const uint64_t most = collection->strict.payload_indexes;
    if (crn_json_size(collection->payload_schema) >= most &&
        !crn_json_get(collection->payload_schema, field, &known)) {
        return crn_qd_fail(
            call, 400,
            "Bad request: Collection already has the maximum number of payload indices (%" PRIu64
            "). Help: Please delete an existing index before creating a new one.",
            most);
    }
    struct crn_buf schema;
    crn_buf_init(&schema, SIZE_MAX / 2);
    const bool known_type = write_field_schema(call, &schema);
    crn_buf_release(&schema);
    return known_type && engine_path(call, field, &path) &&
           crn_qd_ok(call, cairn_payload_index_create(collection->handle, path, &err), &err);
}

static bool note_index(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *field = NULL;
    struct crn_buf schema;

    if (!crn_qd_get_text(call, call->body, "field_name", &field)) return false;
    crn_buf_init(&schema, SIZE_MAX / 2);
    const bool known = write_field_schema(call, &schema);
    const char *entry = crn_qd_keep(call, &schema);
    return known && entry != NULL && store_schema(call, collection, field, entry);
}

bool crn_qd_index_create(struct crn_qd_call *call)
{
    return crn_qd_change_settings(call, build_index, note_index) && crn_qd_write_update_result(call);
}

static const char *path_field(struct crn_qd_call *call)
{
    const struct crn_text *segment = &call->request->segments[3];

    return crn_qd_take_text(call, segment->data, segment->length);
}

static bool drop_index(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *field = path_field(call), *path;
    cairn_error err;

    return field != NULL && engine_path(call, field, &path) &&
           crn_qd_ok(call, cairn_payload_index_drop(collection->handle, path, &err), &err);
}

static bool forget_index(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *field = path_field(call);

    return field != NULL && store_schema(call, collection, field, NULL);
}

bool crn_qd_index_delete(struct crn_qd_call *call)
{
    return crn_qd_change_settings(call, drop_index, forget_index) && crn_qd_write_update_result(call);
}
