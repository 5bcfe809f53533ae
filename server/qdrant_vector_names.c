/* Named vectors added to a collection and dropped from it: a space of the engine's, and its entry in the settings. */
#include "server/qdrant_internal.h"

#include <string.h>

#define PLACEHOLDER "-" /* the space of a collection without vectors: the engine wants one */

static const char *path_vector(struct crn_qd_call *call)
{
    const struct crn_text *segment = &call->request->segments[3];

    if (segment->length <= CAIRN_NAME_MAX && memchr(segment->data, '\0', segment->length) == NULL) {
        return crn_qd_take_text(call, segment->data, segment->length);
    }
    crn_qd_fail(
        call, 422,
        "Validation error in path parameters: [vector_name: value invalid, must be from 1 to %u characters]",
        CAIRN_NAME_MAX);
    return NULL;
}

/* ---- settings ---- */

static bool is_bare(struct crn_json vectors)
{
    struct crn_json size;

    return crn_json_get(vectors, "size", &size) && crn_json_is_number(size);
}

/* The members but `name`; how many there are. */
static size_t write_others(struct crn_buf *out, struct crn_json map, const char *name, bool *first)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t length, others = 0;

    for (crn_json_iter_init(&it, map); crn_json_iter_next(&it, &member, &key, &length);) {
        if (strcmp(key, name) == 0) continue;
        others++;
        crn_qd_write_member(out, key, first);
        crn_json_write(member, out);
    }
    return others;
}

static void write_added(struct crn_buf *out, const char *name, struct crn_json params, bool *first)
{
    crn_qd_write_member(out, name, first);
    crn_qd_write_set(out, params);
}

/* A map of dense vectors, or the one that has no name. */
static void write_vectors(struct crn_buf *out, struct crn_json vectors, const char *name,
                          const struct crn_json *added)
{
    struct crn_json unnamed;
    const size_t begin = out->len;
    size_t others = 0;
    bool first = true;

    if (is_bare(vectors) && added == NULL && name[0] != '\0') { /* a sparse one goes */
        crn_json_write(vectors, out);
        return;
    }
    crn_buf_putc(out, '{');
    if (!is_bare(vectors))
        others = write_others(out, vectors, name, &first);
    else if (added != NULL)
        write_added(out, "", vectors, &first);
    if (added != NULL) {
        write_added(out, name, *added, &first);
    } else if (others == 1 && name[0] != '\0' && crn_json_get(vectors, "", &unnamed)) {
        out->len = begin; /* it stands alone again */
        crn_json_write(unnamed, out);
        return;
    }
    crn_buf_putc(out, '}');
}

static void write_params(struct crn_buf *out, struct crn_json params, const char *name,
                         const struct crn_json *dense, const struct crn_json *sparse)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t length;
    bool first = true, has_sparse = false;

    crn_buf_putc(out, '{');
    for (crn_json_iter_init(&it, params); crn_json_iter_next(&it, &member, &key, &length);) {
        crn_qd_write_member(out, key, &first);
        has_sparse |= strcmp(key, "sparse_vectors") == 0;
        bool none = true;
        if (strcmp(key, "vectors") == 0) {
            write_vectors(out, member, name, dense);
        } else if (strcmp(key, "sparse_vectors") == 0) {
            crn_buf_putc(out, '{');
            (void)write_others(out, member, name, &none);
            if (sparse != NULL) write_added(out, name, *sparse, &none);
            crn_buf_putc(out, '}');
        } else {
            crn_json_write(member, out);
        }
    }
    if (sparse != NULL && !has_sparse) {
        bool none = true;
        crn_buf_puts(out, ",\"sparse_vectors\":{");
        write_added(out, name, *sparse, &none);
        crn_buf_putc(out, '}');
    }
    crn_buf_putc(out, '}');
}

/* The settings with that vector as it says, or without it where both are NULL. */
static bool store(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *name,
                  const struct crn_json *dense, const struct crn_json *sparse)
{
    struct crn_json_iter it;
    struct crn_json member;
    struct crn_buf config, schema;
    const char *key;
    size_t length;
    bool first = true;

    crn_buf_init(&config, SIZE_MAX / 2);
    crn_buf_init(&schema, SIZE_MAX / 2);
    crn_buf_putc(&config, '{');
    for (crn_json_iter_init(&it, collection->config); crn_json_iter_next(&it, &member, &key, &length);) {
        crn_qd_write_member(&config, key, &first);
        if (strcmp(key, "params") == 0)
            write_params(&config, member, name, dense, sparse);
        else
            crn_json_write(member, &config);
    }
    crn_buf_putc(&config, '}');
    crn_json_write(collection->payload_schema, &schema);
    const char *config_text = crn_qd_keep(call, &config), *schema_text = crn_qd_keep(call, &schema);
    return config_text != NULL && schema_text != NULL &&
           crn_qd_store_settings(call, collection, config_text, schema_text);
}

/* ---- PUT ---- */

static bool add_space(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *name = path_vector(call);
    struct crn_json params;
    cairn_space_options space = {0};
    cairn_error err = {0};

    if (name == NULL) return false;
    const bool dense = crn_qd_member(call->body, "dense", &params);
    if (!dense && !crn_qd_member(call->body, "sparse", &params)) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum VectorNameConfig");
    }
    if (!crn_qd_read_space(call, collection->config, name, params, !dense, &space)) return false;
    const cairn_status status = cairn_collection_add_space(collection->handle, &space, &err);
    if (status == CAIRN_EXISTS)
        return crn_qd_fail(call, 409, "Wrong input: Vector `%s` already exists!", name);
    return crn_qd_ok(call, status, &err);
}

static bool note_space(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    struct crn_json params;
    const char *name = path_vector(call);

    if (name == NULL) return false;
    const bool dense = crn_qd_member(call->body, "dense", &params);
    if (!dense && !crn_qd_member(call->body, "sparse", &params)) return false;
    return store(call, collection, name, dense ? &params : NULL, dense ? NULL : &params);
}

bool crn_qd_vector_create(struct crn_qd_call *call)
{
    return crn_qd_change_settings(call, add_space, note_space) && crn_qd_write_update_result(call);
}

/* ---- DELETE ---- */

static bool drop_space(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const cairn_space_options placeholder = {
        .size = sizeof placeholder, .name = PLACEHOLDER, .kind = CAIRN_SPACE_SPARSE};
    const char *name = path_vector(call);
    cairn_error err = {0};

    if (name == NULL || crn_qd_need_vector(call, collection, name) == NULL) return false;
    cairn_status status = cairn_collection_drop_space(collection->handle, name, &err);
    if (status == CAIRN_UNSUPPORTED) { /* the last one */
        if (!crn_qd_ok(call, cairn_collection_add_space(collection->handle, &placeholder, &err), &err))
            return false;
        status = cairn_collection_drop_space(collection->handle, name, &err);
    }
    return crn_qd_ok(call, status, &err);
}

static bool forget_space(struct crn_qd_call *call, struct crn_qd_collection *collection)
{
    const char *name = path_vector(call);

    return name != NULL && store(call, collection, name, NULL, NULL);
}

bool crn_qd_vector_delete(struct crn_qd_call *call)
{
    return crn_qd_change_settings(call, drop_space, forget_space) && crn_qd_write_update_result(call);
}
