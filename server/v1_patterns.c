/* Reading and deleting patterns. */
#include "server/v1_internal.h"

#include <inttypes.h>

#define SCROLL_DEFAULT 100u
#define SCROLL_MAX 10000u

static bool path_id(struct crn_v1_call *call, cairn_id *out)
{
    const struct crn_text *text = &call->request->segments[V1_LEADING_SEGMENTS + 3];

    return crn_v1_text_to_id(call, text->data, text->length, out);
}

static bool not_found(struct crn_v1_call *call, const cairn_id *id)
{
    if (id->type == CAIRN_ID_U64)
        return crn_v1_refuse(call, CAIRN_NOT_FOUND, "no pattern with the id %" PRIu64, id->u64);
    return crn_v1_refuse(call, CAIRN_NOT_FOUND, "no pattern with the id '%.200s'", id->text);
}

/* Those that are there, as the members of an array. */
static void put_patterns(struct crn_v1_call *call, const cairn_patterns *patterns)
{
    bool first = true;

    for (size_t i = 0; i < cairn_patterns_count(patterns); i++) {
        const cairn_pattern *pattern = cairn_patterns_at(patterns, i);
        if (pattern->id == NULL) continue;
        if (!first) crn_buf_putc(call->out, ',');
        first = false;
        crn_v1_put_pattern(call->out, pattern, true);
    }
}

/* ---- one ---- */

bool crn_v1_pattern_get(struct crn_v1_call *call)
{
    static const char *const names[] = {"id_type", "with_vectors", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    cairn_patterns *patterns = NULL;
    bool with_vectors = true;
    cairn_id id;
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only_parameters(call, names) || !path_id(call, &id) ||
        !crn_v1_parameters_as_body(call) ||
        !crn_v1_get_bool(call, call->body, "with_vectors", &with_vectors) ||
        !crn_v1_ok(call, cairn_get(collection, &id, 1, with_vectors, &patterns, &err), &err)) {
        return false;
    }
    const cairn_pattern *pattern = cairn_patterns_at(patterns, 0);
    const bool found = pattern != NULL && pattern->id != NULL;
    if (found) crn_v1_put_pattern(call->out, pattern, true);
    cairn_patterns_free(patterns);
    return found || not_found(call, &id);
}

bool crn_v1_pattern_delete(struct crn_v1_call *call)
{
    static const char *const names[] = {"id_type", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    uint64_t deleted = 0;
    cairn_id id;
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only_parameters(call, names) || !path_id(call, &id) ||
        !crn_v1_ok(call, cairn_delete(collection, &id, 1, &deleted, &err), &err)) {
        return false;
    }
    if (deleted == 0) return not_found(call, &id);
    crn_buf_puts(call->out, "{\"deleted\":1}");
    return true;
}

/* ---- several ---- */

bool crn_v1_patterns_get(struct crn_v1_call *call)
{
    static const char *const names[] = {"ids", "with_vectors", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    cairn_patterns *patterns = NULL;
    struct crn_json value;
    bool with_vectors = false;
    cairn_id *ids = NULL;
    size_t count = 0;
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only(call, call->body, names)) return false;
    if (!crn_v1_member(call->body, "ids", &value))
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "ids is missing");
    if (!crn_v1_read_ids(call, value, &ids, &count) ||
        !crn_v1_get_bool(call, call->body, "with_vectors", &with_vectors) ||
        !crn_v1_ok(call, cairn_get(collection, ids, count, with_vectors, &patterns, &err), &err)) {
        return false;
    }
    crn_buf_puts(call->out, "{\"patterns\":[");
    put_patterns(call, patterns);
    crn_buf_puts(call->out, "]}");
    cairn_patterns_free(patterns);
    return true;
}

/* By ids or by a scope, never by both: an id that the scope excludes would be a silent no. */
bool crn_v1_patterns_delete(struct crn_v1_call *call)
{
    static const char *const names[] = {"ids", NULL}, *const scope_names[] = {V1_SCOPE_NAMES, NULL};
    cairn_collection *collection = crn_v1_lease(call);
    struct crn_json value;
    cairn_scope scope;
    uint64_t deleted = 0;
    cairn_id *ids = NULL;
    size_t count = 0;
    cairn_error err = {0};
    cairn_status status;

    if (collection == NULL) return false;
    if (crn_v1_member(call->body, "ids", &value)) {
        if (!crn_v1_only(call, call->body, names) || !crn_v1_read_ids(call, value, &ids, &count))
            return false;
        status = cairn_delete(collection, ids, count, &deleted, &err);
    } else {
        if (!crn_v1_only(call, call->body, scope_names) || !crn_v1_get_scope(call, call->body, &scope))
            return false;
        status = cairn_delete_where(collection, &scope, &deleted, &err);
    }
    if (!crn_v1_ok(call, status, &err)) return false;
    crn_buf_printf(call->out, "{\"deleted\":%" PRIu64 "}", deleted);
    return true;
}

bool crn_v1_patterns_scroll(struct crn_v1_call *call)
{
    static const char *const names[] = {V1_SCOPE_NAMES, "cursor", "limit", "with_vectors", NULL};
    cairn_collection *collection = crn_v1_lease(call);
    cairn_patterns *patterns = NULL;
    cairn_scope scope;
    uint64_t cursor = 0, limit = SCROLL_DEFAULT;
    bool with_vectors = false;
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only(call, call->body, names) ||
        !crn_v1_get_scope(call, call->body, &scope) ||
        !crn_v1_get_u64(call, call->body, "cursor", 0, UINT64_MAX, &cursor) ||
        !crn_v1_get_u64(call, call->body, "limit", 1, SCROLL_MAX, &limit) ||
        !crn_v1_get_bool(call, call->body, "with_vectors", &with_vectors) ||
        !crn_v1_ok(call,
                   cairn_scroll(collection, &scope, &cursor, (size_t)limit, with_vectors, &patterns, &err),
                   &err)) {
        return false;
    }
    crn_buf_puts(call->out, "{\"patterns\":[");
    put_patterns(call, patterns);
    cairn_patterns_free(patterns);
    if (cursor == 0)
        crn_buf_puts(call->out, "],\"cursor\":null}");
    else
        crn_buf_printf(call->out, "],\"cursor\":%" PRIu64 "}", cursor);
    return true;
}

bool crn_v1_patterns_count(struct crn_v1_call *call)
{
    static const char *const names[] = {V1_SCOPE_NAMES, NULL};
    cairn_collection *collection = crn_v1_lease(call);
    cairn_scope scope;
    uint64_t count = 0;
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only(call, call->body, names) ||
        !crn_v1_get_scope(call, call->body, &scope) ||
        !crn_v1_ok(call, cairn_count(collection, &scope, &count, &err), &err)) {
        return false;
    }
    crn_buf_printf(call->out, "{\"count\":%" PRIu64 "}", count);
    return true;
}
