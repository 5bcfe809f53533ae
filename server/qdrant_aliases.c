/* Aliases: other names of collections, changed together or not at all. */
#include "server/access.h"
#include "server/qdrant_internal.h"

#include "base/mem.h"

#include <string.h>

struct alias {
    const char *name;
    const char *collection;
};

struct aliases {
    struct alias *list;
    size_t count;
};

static bool store_aliases(struct crn_qd_call *call, struct crn_buf *aliases)
{
    struct crn_json old = {0}, patch;
    struct crn_buf own, merged;
    char *metadata = NULL;
    cairn_error err;

    const char *text = crn_qd_keep(call, aliases);
    if (text == NULL || !crn_qd_ok(call, cairn_get_metadata(call->qdrant->db, &metadata, &err), &err))
        return false;
    crn_buf_init(&own, SIZE_MAX / 2);
    crn_buf_init(&merged, SIZE_MAX / 2);
    crn_buf_printf(&own, "{\"qdrant_aliases\":%s}", text);
    bool done =
        crn_qd_parse(call, metadata == NULL ? "{}" : metadata, metadata == NULL ? 2 : strlen(metadata), &old);
    cairn_free(metadata);
    done = done && own.failed == CAIRN_OK && crn_qd_parse(call, own.data, own.len, &patch);
    if (done) crn_qd_write_merged(&merged, old, patch, false);
    const char *json = done ? crn_qd_keep(call, &merged) : NULL;
    crn_buf_release(&own);
    crn_buf_release(&merged);
    if (json == NULL || !crn_qd_ok(call, cairn_set_metadata(call->qdrant->db, json, &err), &err))
        return false;
    char *copy = crn_mem_strdup(text);
    if (copy == NULL) return crn_qd_fail(call, 500, "Service internal error: no memory");
    pthread_mutex_lock(&call->qdrant->mutex);
    char *before = call->qdrant->aliases;
    call->qdrant->aliases = copy;
    pthread_mutex_unlock(&call->qdrant->mutex);
    crn_mem_free(before);
    return true;
}

/* All aliases, with room for `more`. */
static bool read_aliases(struct crn_qd_call *call, size_t more, struct aliases *out)
{
    const struct crn_json json = crn_qd_aliases(call);
    struct crn_json_iter it;
    struct crn_json target;
    size_t length;

    if (call->status != 0) return false;
    *out = (struct aliases){.list = crn_qd_take(call, crn_json_size(json) + more + 1, sizeof *out->list)};
    if (out->list == NULL) return false;
    for (crn_json_iter_init(&it, json);
         crn_json_iter_next(&it, &target, &out->list[out->count].name, &length);) {
        out->list[out->count++].collection = crn_json_string(target, &length);
    }
    return true;
}

static bool write_aliases(struct crn_qd_call *call, const struct aliases *aliases)
{
    struct crn_buf text;
    bool first = true;

    crn_buf_init(&text, SIZE_MAX / 2);
    crn_buf_putc(&text, '{');
    for (size_t i = 0; i < aliases->count; i++) {
        crn_qd_write_member(&text, aliases->list[i].name, &first);
        crn_buf_json_string(&text, aliases->list[i].collection, strlen(aliases->list[i].collection));
    }
    crn_buf_putc(&text, '}');
    return store_aliases(call, &text);
}

bool crn_qd_drop_aliases_of(struct crn_qd_call *call, const char *collection)
{
    struct aliases aliases;
    size_t kept = 0;

    if (!read_aliases(call, 0, &aliases)) return false;
    for (size_t i = 0; i < aliases.count; i++) {
        if (strcmp(aliases.list[i].collection, collection) != 0) aliases.list[kept++] = aliases.list[i];
    }
    if (kept == aliases.count) return true;
    aliases.count = kept;
    return write_aliases(call, &aliases);
}

/* ---- actions ---- */

static struct alias *find(const struct aliases *aliases, const char *name)
{
    for (size_t i = 0; i < aliases->count; i++) {
        if (strcmp(aliases->list[i].name, name) == 0) return &aliases->list[i];
    }
    return NULL;
}

static bool need_text(struct crn_qd_call *call, struct crn_json object, const char *name, const char **out)
{
    *out = NULL;
    if (!crn_qd_get_text(call, object, name, out)) return false;
    return *out != NULL || crn_qd_missing(call, name);
}

static bool collection_exists(struct crn_qd_call *call, const char *name, bool *out)
{
    char **names;
    size_t count;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_collection_list(call->qdrant->db, &names, &count, &err), &err)) return false;
    *out = false;
    for (size_t i = 0; i < count; i++) *out |= strcmp(names[i], name) == 0;
    cairn_free(names);
    return true;
}

static bool covered(struct crn_qd_call *call, const char *name)
{
    return crn_qd_may_use(call, name, strlen(name));
}

static bool add_alias(struct crn_qd_call *call, struct aliases *aliases, const char *name,
                      const char *collection)
{
    struct alias *alias = find(aliases, name);
    bool exists;

    if (!covered(call, name) || !covered(call, collection) ||
        (alias != NULL && !covered(call, alias->collection)))
        return false;
    if (!collection_exists(call, collection, &exists)) return false;
    if (!exists) return crn_qd_fail(call, 404, "Not found: Collection `%s` doesn't exist!", collection);
    if (!collection_exists(call, name, &exists)) return false;
    if (exists) return crn_qd_fail(call, 409, "Wrong input: Collection `%s` already exists!", name);
    if (alias == NULL) alias = &aliases->list[aliases->count++];
    *alias = (struct alias){name, collection};
    return true;
}

static bool remove_alias(struct crn_qd_call *call, struct aliases *aliases, const char *name,
                         const char **out_collection)
{
    struct alias *alias = find(aliases, name);

    if (!covered(call, name)) return false;
    if (alias == NULL) return crn_qd_fail(call, 404, "Not found: Alias `%s` does not exists!", name);
    if (!covered(call, alias->collection)) return false;
    *out_collection = alias->collection;
    *alias = aliases->list[--aliases->count];
    return true;
}

static bool run_action(struct crn_qd_call *call, struct aliases *aliases, struct crn_json action)
{
    struct crn_json body;
    const char *name, *other;

    if (crn_qd_member(action, "create_alias", &body)) {
        return need_text(call, body, "alias_name", &name) &&
               need_text(call, body, "collection_name", &other) && add_alias(call, aliases, name, other);
    }
    if (crn_qd_member(action, "delete_alias", &body)) {
        return need_text(call, body, "alias_name", &name) && remove_alias(call, aliases, name, &other);
    }
    if (crn_qd_member(action, "rename_alias", &body)) {
        const char *collection;
        return need_text(call, body, "old_alias_name", &name) &&
               need_text(call, body, "new_alias_name", &other) &&
               remove_alias(call, aliases, name, &collection) && add_alias(call, aliases, other, collection);
    }
    return crn_qd_fail(
        call, 400,
        "Format error in JSON body: data did not match any variant of untagged enum AliasOperations");
}

static bool update_aliases(struct crn_qd_call *call)
{
    struct crn_json actions, action;
    struct crn_json_iter it;
    struct aliases aliases;
    const char *key;
    size_t length;

    if (!crn_qd_member(call->body, "actions", &actions)) return crn_qd_missing(call, "actions");
    if (crn_json_type(actions) != CRN_JSON_ARRAY)
        return crn_qd_wrong_type(call, "actions", "a sequence", actions);
    if (!read_aliases(call, crn_json_size(actions), &aliases)) return false;
    for (crn_json_iter_init(&it, actions); crn_json_iter_next(&it, &action, &key, &length);) {
        if (!run_action(call, &aliases, action)) return false;
    }
    return write_aliases(call, &aliases);
}

bool crn_qd_aliases_update(struct crn_qd_call *call)
{
    pthread_mutex_lock(&call->qdrant->settings);
    const bool done = update_aliases(call);
    pthread_mutex_unlock(&call->qdrant->settings);
    if (done) crn_buf_puts(call->out, "true");
    return done;
}

/* ---- lists ---- */

/* `collection` NULL: of all. */
static bool list_aliases(struct crn_qd_call *call, const char *collection)
{
    const struct crn_principal *principal = &call->request->principal;
    struct aliases aliases;
    size_t shown = 0;

    if (!read_aliases(call, 0, &aliases)) return false;
    crn_buf_puts(call->out, "{\"aliases\":[");
    for (size_t i = 0; i < aliases.count; i++) {
        const struct alias *alias = &aliases.list[i];
        if (collection != NULL && strcmp(alias->collection, collection) != 0) continue;
        if (!crn_access_covers(principal, alias->name, strlen(alias->name))) continue;
        if (!crn_access_covers(principal, alias->collection, strlen(alias->collection))) continue;
        crn_buf_puts(call->out, shown++ > 0 ? ",{\"alias_name\":" : "{\"alias_name\":");
        crn_buf_json_string(call->out, alias->name, strlen(alias->name));
        crn_buf_puts(call->out, ",\"collection_name\":");
        crn_buf_json_string(call->out, alias->collection, strlen(alias->collection));
        crn_buf_putc(call->out, '}');
    }
    crn_buf_puts(call->out, "]}");
    return true;
}

bool crn_qd_aliases_list(struct crn_qd_call *call)
{
    return list_aliases(call, NULL);
}

bool crn_qd_collection_aliases(struct crn_qd_call *call)
{
    const struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && list_aliases(call, collection->name);
}
