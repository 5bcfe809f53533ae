/* Points: retrieve, get, delete, count, scroll; and what of a point is shown. */
#include "server/qdrant_internal.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_POINTS 1024u

/* ---- shared by other endpoints ---- */

bool crn_qd_write_update_result(struct crn_qd_call *call)
{
    const struct crn_request *request = call->request;
    bool wait = false;

    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct crn_field *field = &request->parameters[i];
        if (field->name.length != 4 || memcmp(field->name.data, "wait", 4) != 0) continue;
        wait = field->value.length == 4 && memcmp(field->value.data, "true", 4) == 0;
    }
    /* The write is durable either way; the word is what the client expects. */
    crn_buf_printf(call->out, "{\"operation_id\":%" PRIu64 ",\"status\":\"%s\"}",
                   atomic_fetch_add_explicit(&call->qdrant->operations, 1, memory_order_relaxed),
                   wait ? "completed" : "acknowledged");
    return true;
}

bool crn_qd_write_point_rest(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                             const cairn_pattern *pattern, const struct crn_qd_show *show)
{
    if (!crn_qd_write_payload(call, pattern->payload, &show->payload)) return false;
    crn_qd_write_vectors(call->out, collection, pattern, &show->vectors);
    return true;
}

static bool write_record(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                         const cairn_pattern *pattern, const struct crn_qd_show *show)
{
    const cairn_id id = crn_qd_id_of(pattern);

    crn_buf_puts(call->out, "{\"id\":");
    crn_qd_write_id(call->out, &id);
    if (!crn_qd_write_point_rest(call, collection, pattern, show)) return false;
    crn_buf_putc(call->out, '}');
    return true;
}

bool crn_qd_each_point(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                       bool with_vectors, crn_qd_point_fn fn, void *ctx)
{
    const cairn_scope scope = {.size = sizeof scope, .filter = filter};
    uint64_t cursor = 0;
    cairn_error err;

    do {
        cairn_patterns *page;
        const cairn_status status =
            cairn_scroll(collection->handle, &scope, &cursor, PAGE_POINTS, with_vectors, &page, &err);
        if (!crn_qd_ok(call, status, &err)) return false;
        bool going = true;
        for (size_t i = 0; going && i < cairn_patterns_count(page); i++) {
            const cairn_pattern *point = cairn_patterns_at(page, i);
            /* Rows of the kind that only Cairn's own interface makes, with a text for an id, are no points. */
            if (point->id != NULL && point->id_type != CAIRN_ID_STRING) going = fn(call, ctx, point);
        }
        cairn_patterns_free(page);
        if (!going || !crn_qd_go_on(call)) return false;
    } while (cursor != 0);
    return true;
}

static bool keep_id(struct crn_qd_call *call, const cairn_id *id, cairn_id *out)
{
    *out = *id;
    if (id->type == CAIRN_ID_U64) return true;
    out->text = crn_qd_take_text(call, id->text, strlen(id->text));
    return out->text != NULL;
}

/* Calls for the points of a page but its last, with which the next one begins. */
static bool walk_page(struct crn_qd_call *call, const cairn_patterns *page, bool full, uint64_t *left,
                      crn_qd_point_fn fn, void *ctx)
{
    const size_t count = cairn_patterns_count(page) - full;

    for (size_t i = 0; i < count; i++) {
        const cairn_pattern *point = cairn_patterns_at(page, i);
        if (point->id_type == CAIRN_ID_STRING) continue;
        --*left;
        if (!fn(call, ctx, point)) return false;
    }
    return true;
}

bool crn_qd_each_by_id(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                       const cairn_id *from, uint64_t limit, bool with_vectors, crn_qd_point_fn fn, void *ctx,
                       cairn_id *out_next)
{
    static const cairn_id first_uuid = {.type = CAIRN_ID_UUID,
                                        .text = "00000000-0000-0000-0000-000000000000"};
    const cairn_scope scope = {.size = sizeof scope, .filter = filter};
    cairn_id next = {.type = CAIRN_ID_STRING};
    uint64_t left = limit;
    bool full = true;
    cairn_error err;

    while (full && (left > 0 || next.type == CAIRN_ID_STRING)) {
        const size_t asked = (left < PAGE_POINTS ? left : PAGE_POINTS) + 1;
        cairn_patterns *page;
        const cairn_status status =
            cairn_scroll_by_id(collection->handle, &scope, from, asked, with_vectors, &page, &err);
        if (!crn_qd_ok(call, status, &err)) return false;
        full = cairn_patterns_count(page) == asked;
        bool going = walk_page(call, page, full, &left, fn, ctx);
        next = (cairn_id){.type = CAIRN_ID_STRING};
        if (going && full) {
            const cairn_id last = crn_qd_id_of(cairn_patterns_at(page, asked - 1));
            going = keep_id(call, &last, &next);
        }
        cairn_patterns_free(page);
        if (!going || !crn_qd_go_on(call)) return false;
        from = next.type == CAIRN_ID_STRING ? &first_uuid
                                            : &next; /* texts stand before UUIDs, and are no points */
    }
    if (out_next != NULL) *out_next = full ? next : (cairn_id){.type = CAIRN_ID_STRING};
    return true;
}

static bool none_missing(struct crn_qd_call *call, const cairn_id *ids, const cairn_patterns *points)
{
    for (size_t i = 0; i < cairn_patterns_count(points); i++) {
        if (cairn_patterns_at(points, i)->id != NULL) continue;
        if (ids[i].type == CAIRN_ID_UUID)
            return crn_qd_fail(call, 404, "Not found: No point with id %s found", ids[i].text);
        return crn_qd_fail(call, 404, "Not found: No point with id %" PRIu64 " found", ids[i].u64);
    }
    return true;
}

bool crn_qd_read_selection(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body, bool with_vectors, cairn_patterns **out, size_t *out_count)
{
    struct crn_json points;
    cairn_scope scope = {.size = sizeof scope};
    cairn_id *ids = NULL;
    size_t count = 0;
    cairn_status status;
    cairn_error err;

    *out = NULL;
    if (crn_qd_member(body, "points", &points)) {
        if (!crn_qd_read_ids(call, points, &ids, &count)) return false;
        status = cairn_get(collection->handle, ids, count, with_vectors, out, &err);
    } else {
        if (!crn_qd_member(body, "filter", &points)) {
            return crn_qd_fail(
                call, 422,
                "Validation error in JSON body: [points: Either list of ids or filter must be provided]");
        }
        if (!crn_qd_get_filter(call, collection, body, "filter", &scope.filter)) return false;
        status = cairn_scroll_by_id(collection->handle, &scope, NULL, QD_POINTS_MAX, with_vectors, out, &err);
    }
    if (!crn_qd_ok(call, status, &err)) return false;
    if (ids == NULL && cairn_patterns_count(*out) == QD_POINTS_MAX) {
        cairn_patterns_free(*out);
        return crn_qd_fail(
            call, 400, "Wrong input: the filter chooses %u points or more, which is too many for one request",
            QD_POINTS_MAX);
    }
    if (ids != NULL && !none_missing(call, ids, *out)) {
        cairn_patterns_free(*out);
        return false;
    }
    *out_count = cairn_patterns_count(*out);
    return true;
}

/* ---- retrieve, get ---- */

static bool read_show(struct crn_qd_call *call, struct crn_json body, bool payload_by_default,
                      struct crn_qd_show *out)
{
    return crn_qd_read_with_payload(call, body, payload_by_default, &out->payload) &&
           crn_qd_read_with_vectors(call, body, false, &out->vectors);
}

bool crn_qd_points_retrieve(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct crn_json value;
    struct crn_qd_show show;
    cairn_patterns *points;
    cairn_id *ids;
    size_t count, shown = 0;
    cairn_error err;

    if (collection == NULL) return false;
    if (!crn_qd_member(call->body, "ids", &value)) return crn_qd_missing(call, "ids");
    if (!crn_qd_read_ids(call, value, &ids, &count) || !read_show(call, call->body, true, &show))
        return false;
    const cairn_status status = cairn_get(collection->handle, ids, count, show.vectors.any, &points, &err);
    if (!crn_qd_ok(call, status, &err)) return false;
    crn_buf_putc(call->out, '[');
    bool done = true;
    for (size_t i = 0; done && i < count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        if (point->id == NULL) continue;
        if (shown++ > 0) crn_buf_putc(call->out, ',');
        done = write_record(call, collection, point, &show);
    }
    crn_buf_putc(call->out, ']');
    cairn_patterns_free(points);
    return done;
}

bool crn_qd_point_get(struct crn_qd_call *call)
{
    const struct crn_text *segment = &call->request->segments[3];
    const struct crn_qd_show show = {.payload = {.any = true, .all = true},
                                     .vectors = {.any = true, .all = true}};
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    cairn_patterns *points;
    cairn_id id;
    cairn_error err;

    if (collection == NULL) return false;
    if (!crn_qd_text_to_id(call, segment->data, segment->length, &id)) {
        const int shown = (int)(segment->length > 255 ? 255 : segment->length);
        return crn_qd_fail(call, 400, "Wrong input: Can not recognize \"%.*s\" as point id", shown,
                           segment->data);
    }
    if (!crn_qd_ok(call, cairn_get(collection->handle, &id, 1, true, &points, &err), &err)) return false;
    const cairn_pattern *point = cairn_patterns_at(points, 0);
    const bool done = point->id != NULL
                          ? write_record(call, collection, point, &show)
                          : crn_qd_fail(call, 404, "Not found: Point with id %.*s does not exists!",
                                        (int)segment->length, segment->data);
    cairn_patterns_free(points);
    return done;
}

/* ---- delete, count ---- */

bool crn_qd_delete(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body)
{
    struct crn_json value;
    cairn_scope scope = {.size = sizeof scope};
    cairn_id *ids;
    size_t count;
    cairn_error err;

    if (crn_qd_member(body, "points", &value)) {
        if (!crn_qd_read_ids(call, value, &ids, &count)) return false;
        return crn_qd_ok(call, cairn_delete(collection->handle, ids, count, NULL, &err), &err);
    }
    if (!crn_qd_member(body, "filter", &value)) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum PointsSelector");
    }
    if (!crn_qd_get_filter(call, collection, body, "filter", &scope.filter)) return false;
    if (scope.filter == NULL) scope.filter = "{\"$nor\":[{\"$ids\":[]}]}";
    return crn_qd_ok(call, cairn_delete_where(collection->handle, &scope, NULL, &err), &err);
}

bool crn_qd_points_delete(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && crn_qd_delete(call, collection, call->body) &&
           crn_qd_write_update_result(call);
}

bool crn_qd_points_count(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    cairn_scope scope = {.size = sizeof scope};
    uint64_t count = 0;
    bool exact = true;
    cairn_error err;

    if (collection == NULL || !crn_qd_get_bool(call, call->body, "exact", &exact)) return false;
    if (!crn_qd_strict_exact(call, collection, exact)) return false;
    if (!crn_qd_get_filter(call, collection, call->body, "filter", &scope.filter)) return false;
    if (!crn_qd_ok(call, cairn_count(collection->handle, &scope, &count, &err), &err)) return false;
    crn_buf_printf(call->out, "{\"count\":%" PRIu64 "}", count);
    return true;
}

/* ---- scroll ---- */

struct scroll {
    struct crn_qd_collection *collection;
    uint64_t limit, shown;
    const char *filter;
    struct crn_qd_show show;
};

static bool write_scrolled(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct scroll *scroll = ctx;

    if (scroll->shown++ > 0) crn_buf_putc(call->out, ',');
    return write_record(call, scroll->collection, point, &scroll->show);
}

static bool scroll_by_id(struct crn_qd_call *call, struct scroll *scroll)
{
    struct crn_json value;
    cairn_id from, next;

    const bool has_offset = crn_qd_member(call->body, "offset", &value);
    if (has_offset && !crn_qd_read_id(call, value, &from)) return false;
    crn_buf_puts(call->out, "{\"points\":[");
    if (!crn_qd_each_by_id(call, scroll->collection, scroll->filter, has_offset ? &from : NULL, scroll->limit,
                           scroll->show.vectors.any, write_scrolled, scroll, &next)) {
        return false;
    }
    crn_buf_puts(call->out, "],\"next_page_offset\":");
    if (next.type == CAIRN_ID_STRING)
        crn_buf_puts(call->out, "null");
    else
        crn_qd_write_id(call->out, &next);
    crn_buf_putc(call->out, '}');
    return true;
}

static bool scroll_by_value(struct crn_qd_call *call, struct crn_qd_collection *collection,
                            struct crn_json order_by, const struct scroll *scroll)
{
    struct crn_qd_ordered *ordered;
    struct crn_qd_order order;
    struct crn_json value;
    cairn_patterns *points;
    size_t count, shown = 0;
    cairn_error err;
    bool done = true;

    if (crn_qd_member(call->body, "offset", &value)) {
        return crn_qd_fail(
            call, 400,
            "Bad request: Cannot use an `offset` when using `order_by`. The alternative for paging is to use "
            "`order_by.start_from` and a filter to exclude the IDs that you've already seen for the "
            "`order_by.start_from` value");
    }
    if (!crn_qd_read_order(call, collection, order_by, &order)) return false;
    if (!crn_qd_order_points(call, collection, scroll->filter, &order, scroll->limit, &ordered, &count))
        return false;
    cairn_id *ids = crn_qd_take(call, count + 1, sizeof *ids);
    if (ids == NULL) return false;
    for (size_t i = 0; i < count; i++) ids[i] = ordered[i].id;
    const cairn_status status =
        cairn_get(collection->handle, ids, count, scroll->show.vectors.any, &points, &err);
    if (!crn_qd_ok(call, status, &err)) return false;
    crn_buf_puts(call->out, "{\"points\":[");
    for (size_t i = 0; done && i < count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        if (point->id == NULL) continue;
        if (shown++ > 0) crn_buf_putc(call->out, ',');
        crn_buf_puts(call->out, "{\"id\":");
        crn_qd_write_id(call->out, &ids[i]);
        done = crn_qd_write_point_rest(call, collection, point, &scroll->show);
        crn_buf_puts(call->out, ",\"order_value\":");
        crn_qd_write_order_value(call->out, &ordered[i]);
        crn_buf_putc(call->out, '}');
    }
    crn_buf_puts(call->out, "],\"next_page_offset\":null}");
    cairn_patterns_free(points);
    return done;
}

bool crn_qd_points_scroll(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct scroll scroll = {.collection = collection, .limit = 10};
    struct crn_json value;

    if (collection == NULL || !crn_qd_get_u64(call, call->body, "limit", 1, &scroll.limit)) return false;
    if (!crn_qd_strict_limit(call, scroll.limit, collection->strict.query_limit, "limit")) return false;
    if (!crn_qd_get_filter(call, collection, call->body, "filter", &scroll.filter)) return false;
    if (!read_show(call, call->body, true, &scroll.show)) return false;
    if (crn_qd_member(call->body, "order_by", &value))
        return scroll_by_value(call, collection, value, &scroll);
    return scroll_by_id(call, &scroll);
}
