/* The root, collections and statistics. */
#include "server/access.h"
#include "server/auth.h"
#include "server/v1_internal.h"

#include <string.h>

#define NGRAM_MODEL "cairn-ngram-1"
#define NGRAM_DIM 384u

/* In the order of the enums. */
static const char *const metrics[] = {"default", "cosine", "l2", "dot", "manhattan", NULL};
static const char *const quantizations[] = {"default", "none",    "scalar",  "f16",
                                            "binary",  "product", "scalar4", NULL};
static const char *const kinds[] = {"dense", "sparse", "multi", NULL};

/* Without keys everybody has one without a name that may do everything. */
bool crn_v1_root(struct crn_v1_call *call)
{
    const struct crn_principal *key = &call->request->principal;

    crn_buf_printf(
        call->out,
        "{\"title\":\"Cairn\",\"version\":\"%s\",\"links\":{\"collections\":\"/cairn/v1/collections\","
        "\"stats\":\"/cairn/v1/stats\",\"slow\":\"/cairn/v1/slow\",\"openapi\":\"/cairn/v1/openapi.json\"},\"key\":{\"name\":",
        cairn_version());
    crn_v1_put_text(call->out, key->name);
    crn_buf_printf(call->out, ",\"role\":\"%s\",\"collections\":", crn_role_name(key->role));
    crn_buf_puts(call->out, key->collections == NULL ? "null" : "[");
    for (size_t i = 0; key->collections != NULL && i < key->collection_count; i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        crn_v1_put_text(call->out, key->collections[i]);
    }
    crn_buf_puts(call->out, key->collections == NULL ? "}}" : "]}}");
    return true;
}

/* ---- telling ---- */

static void put_members(struct crn_buf *out, struct crn_json object, const char *const *names)
{
    struct crn_json value;
    bool first = true;

    crn_buf_putc(out, '{');
    for (; *names != NULL; names++) {
        if (!crn_json_get(object, *names, &value)) continue;
        crn_buf_printf(out, first ? "\"%s\":" : ",\"%s\":", *names);
        first = false;
        crn_json_write(value, out);
    }
    crn_buf_putc(out, '}');
}

/* Only the statistics tell all spaces. The call has no body, so its parser is free for them. */
static bool put_collection(struct crn_v1_call *call, cairn_collection *collection)
{
    static const char *const space_names[] = {"name",         "kind",  "dim",   "metric",
                                              "quantization", "index", "model", NULL};
    struct crn_buf *out = call->out;
    struct crn_json value, spaces;
    struct crn_json_iter it;
    const char *key;
    size_t length;
    char *text = NULL;
    bool first = true;
    cairn_error err = {0};

    if (!crn_v1_ok(call, cairn_collection_stats(collection, &text, &err), &err)) return false;
    const bool parsed = crn_v1_parse(call, text, strlen(text));
    cairn_free(text);
    if (!parsed) return false;
    crn_buf_puts(out, "{\"name\":");
    if (crn_json_get(call->body, "name", &value)) crn_json_write(value, out);
    crn_buf_puts(out, ",\"patterns\":");
    if (crn_json_get(call->body, "totalPatterns", &value)) crn_json_write(value, out);
    crn_buf_puts(out, ",\"lexical\":");
    if (crn_json_get(call->body, "lexical", &value)) crn_json_write(value, out);
    crn_buf_puts(out, ",\"spaces\":[");
    if (!crn_json_get(call->body, "spaces", &spaces))
        return crn_v1_refuse(call, CAIRN_INTERNAL, "the statistics have no spaces");
    for (crn_json_iter_init(&it, spaces); crn_json_iter_next(&it, &value, &key, &length); first = false) {
        if (!first) crn_buf_putc(out, ',');
        put_members(out, value, space_names);
    }
    crn_buf_puts(out, "],\"metadata\":");
    if (crn_json_get(call->body, "metadata", &value)) crn_json_write(value, out);
    crn_buf_putc(out, '}');
    return true;
}

bool crn_v1_collections_list(struct crn_v1_call *call)
{
    char **names = NULL;
    size_t count = 0;
    bool first = true;
    cairn_error err = {0};

    if (!crn_v1_ok(call, cairn_collection_list(call->v1->db, &names, &count, &err), &err)) return false;
    crn_buf_puts(call->out, "{\"collections\":[");
    for (size_t i = 0; i < count; i++) {
        if (!crn_access_covers(&call->request->principal, names[i], strlen(names[i]))) continue;
        if (!first) crn_buf_putc(call->out, ',');
        first = false;
        crn_v1_put_text(call->out, names[i]);
    }
    crn_buf_puts(call->out, "]}");
    cairn_free(names);
    return true;
}

bool crn_v1_collection_get(struct crn_v1_call *call)
{
    cairn_collection *collection = crn_v1_lease(call);

    return collection != NULL && put_collection(call, collection);
}

/* ---- making and dropping ---- */

static bool read_space(struct crn_v1_call *call, struct crn_json value, cairn_space_options *out)
{
    static const char *const names[] = {"name",         "kind",  "dim",   "metric",
                                        "quantization", "index", "model", NULL};
    unsigned kind = 0, metric = 0, quantization = 0;

    *out = (cairn_space_options){.size = sizeof *out};
    if (crn_json_type(value) != CRN_JSON_OBJECT) return crn_v1_wrong(call, "a space", "an object", value);
    if (!crn_v1_only(call, value, names) || !crn_v1_get_text(call, value, "name", &out->name) ||
        !crn_v1_get_choice(call, value, "kind", kinds, &kind) ||
        !crn_v1_get_u32(call, value, "dim", 1, CAIRN_DIM_MAX, &out->dim) ||
        !crn_v1_get_choice(call, value, "metric", metrics, &metric) ||
        !crn_v1_get_choice(call, value, "quantization", quantizations, &quantization) ||
        !crn_v1_get_text(call, value, "index", &out->index) ||
        !crn_v1_get_text(call, value, "model", &out->model)) {
        return false;
    }
    out->kind = (cairn_space_kind)kind;
    out->metric = (cairn_metric)metric;
    out->quantization = (cairn_quantization)quantization;
    return true;
}

static bool read_spaces(struct crn_v1_call *call, struct crn_json array, cairn_collection_options *options)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length;

    if (crn_json_type(array) != CRN_JSON_ARRAY) return crn_v1_wrong(call, "spaces", "an array", array);
    const size_t count = crn_json_size(array);
    if (count == 0 || count > CAIRN_SPACES_MAX) {
        return crn_v1_refuse(call, CAIRN_LIMIT, "spaces has %zu entries; 1 to %u are possible", count,
                             CAIRN_SPACES_MAX);
    }
    cairn_space_options *spaces = crn_v1_take(call, count, sizeof *spaces);
    if (spaces == NULL) return false;
    for (crn_json_iter_init(&it, array); crn_json_iter_next(&it, &value, &key, &length);) {
        if (!read_space(call, value, &spaces[options->space_count++])) return false;
    }
    options->spaces = spaces;
    return true;
}

static bool read_single_space(struct crn_v1_call *call, cairn_collection_options *options)
{
    unsigned metric = 0, quantization = 0;

    if (!crn_v1_get_u32(call, call->body, "dim", 1, CAIRN_DIM_MAX, &options->dim) ||
        !crn_v1_get_choice(call, call->body, "metric", metrics, &metric) ||
        !crn_v1_get_choice(call, call->body, "quantization", quantizations, &quantization) ||
        !crn_v1_get_text(call, call->body, "index", &options->index) ||
        !crn_v1_get_text(call, call->body, "model", &options->model)) {
        return false;
    }
    options->metric = (cairn_metric)metric;
    options->quantization = (cairn_quantization)quantization;
    /* without a dim and a model vectors are made from texts, by the built-in embedder */
    if (options->dim == 0 && options->model == NULL) options->model = NGRAM_MODEL;
    if (options->dim == 0 && strcmp(options->model, NGRAM_MODEL) == 0) options->dim = NGRAM_DIM;
    cairn_error err = {0};
    if (options->dim == 0 &&
        !crn_v1_ok(call, crn_v1_embedder_dim(call->v1, options->model, &options->dim, &err), &err))
        return false;
    if (options->dim == 0)
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "dim is missing: that of '%.60s' is not known",
                             options->model);
    return true;
}

static bool check_not_both(struct crn_v1_call *call)
{
    static const char *const single[] = {"dim", "metric", "quantization", "index", "model"};
    struct crn_json value;

    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (crn_v1_member(call->body, single[i], &value)) {
            return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "%s belongs into an entry of spaces",
                                 single[i]);
        }
    }
    return true;
}

bool crn_v1_collection_create(struct crn_v1_call *call)
{
    static const char *const names[] = {"name",  "dim",    "metric",  "quantization", "index",
                                        "model", "spaces", "lexical", "metadata",     NULL};
    cairn_collection_options options = {.size = sizeof options};
    struct crn_json spaces;
    const char *name = NULL;
    cairn_error err = {0};

    if (!crn_v1_only(call, call->body, names) || !crn_v1_get_text(call, call->body, "name", &name) ||
        !crn_v1_get_bool(call, call->body, "lexical", &options.lexical) ||
        !crn_v1_get_object(call, call->body, "metadata", &options.metadata)) {
        return false;
    }
    if (name == NULL) return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "name is missing");
    if (!crn_access_covers(&call->request->principal, name, strlen(name))) {
        return crn_v1_fail(call, 403, "FORBIDDEN", "the key does not allow this");
    }
    if (crn_v1_member(call->body, "spaces", &spaces)) {
        if (!check_not_both(call) || !read_spaces(call, spaces, &options)) return false;
    } else if (!read_single_space(call, &options)) {
        return false;
    }
    if (!crn_v1_ok(call, cairn_collection_create(call->v1->db, name, &options, &err), &err)) return false;
    call->answer->status = 201;
    crn_buf_puts(call->out, "{\"name\":");
    crn_v1_put_text(call->out, name);
    crn_buf_putc(call->out, '}');
    return true;
}

bool crn_v1_collection_delete(struct crn_v1_call *call)
{
    const char *name = crn_v1_path_text(call, 1);
    cairn_error err = {0};

    if (name == NULL || !crn_v1_ok(call, cairn_collection_drop(call->v1->db, name, &err), &err)) return false;
    crn_v1_forget(call->v1, name);
    crn_buf_puts(call->out, "{\"deleted\":true}");
    return true;
}

/* ---- statistics ---- */

/* Where the database lies is for those who run the server. */
static void put_without_path(struct crn_buf *out, struct crn_json stats)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length;
    bool first = true;

    crn_buf_putc(out, '{');
    for (crn_json_iter_init(&it, stats); crn_json_iter_next(&it, &value, &key, &length);) {
        if (strcmp(key, "path") == 0) continue;
        if (!first) crn_buf_putc(out, ',');
        first = false;
        crn_v1_put_text(out, key);
        crn_buf_putc(out, ':');
        crn_json_write(value, out);
    }
    crn_buf_putc(out, '}');
}

bool crn_v1_stats(struct crn_v1_call *call)
{
    char *text = NULL;
    cairn_error err = {0};

    if (call->request->principal.collections != NULL) {
        return crn_v1_fail(call, 403, "FORBIDDEN",
                           "the key is for some collections, these are figures of all");
    }
    if (!crn_v1_ok(call, cairn_stats(call->v1->db, &text, &err), &err)) return false;
    const bool parsed = crn_v1_parse(call, text, strlen(text));
    cairn_free(text);
    if (parsed) put_without_path(call->out, call->body);
    return parsed;
}

bool crn_v1_stats_live(struct crn_v1_call *call)
{
    if (call->v1->put_live == NULL)
        return crn_v1_refuse(call, CAIRN_UNSUPPORTED, "nobody counts the requests here");
    call->v1->put_live(call->v1->put_live_ctx, call->out);
    return true;
}

bool crn_v1_collection_stats(struct crn_v1_call *call)
{
    cairn_collection *collection = crn_v1_lease(call);
    char *text = NULL;
    cairn_error err = {0};

    if (collection == NULL) return false;
    if (!crn_v1_ok(call, cairn_collection_stats(collection, &text, &err), &err)) return false;
    crn_buf_puts(call->out, text);
    cairn_free(text);
    return true;
}
