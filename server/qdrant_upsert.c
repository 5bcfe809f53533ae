/* Writing points: upsert with its modes and conditions, changing and deleting vectors, several operations in one request. */
#include "server/qdrant_internal.h"

#include <string.h>

#define ATTEMPTS 20

struct batch {
    cairn_pattern *points;
    size_t count;
};

/* ---- reading ---- */

static bool read_payload(struct crn_qd_call *call, struct crn_json value, const char **out)
{
    struct crn_buf text;

    *out = NULL;
    if (crn_json_type(value) == CRN_JSON_NULL) return true;
    if (crn_json_type(value) != CRN_JSON_OBJECT) return crn_qd_wrong_type(call, "payload", "a map", value);
    crn_buf_init(&text, SIZE_MAX / 2);
    crn_json_write(value, &text);
    *out = crn_qd_keep(call, &text);
    return *out != NULL;
}

static bool set_point(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                      struct crn_json id, struct crn_json vector, cairn_pattern *out)
{
    cairn_id read;
    cairn_vector *vectors;

    if (!crn_qd_read_id(call, id, &read) ||
        !crn_qd_read_vectors(call, collection, vector, &vectors, &out->vector_count))
        return false;
    out->size = sizeof *out;
    out->id = read.text;
    out->id_type = read.type;
    out->id_u64 = read.u64;
    out->vectors = vectors;
    if (out->vector_count == 0) out->fields = CAIRN_FIELD_NO_VECTOR;
    return true;
}

static bool read_list(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                      struct crn_json list, struct batch *batch)
{
    struct crn_json_iter it;
    struct crn_json point, id, vector, payload;
    const char *key;
    size_t length;

    if (crn_json_type(list) != CRN_JSON_ARRAY) return crn_qd_wrong_type(call, "points", "a sequence", list);
    batch->points = crn_qd_take(call, crn_json_size(list) + 1, sizeof *batch->points);
    if (batch->points == NULL) return false;
    for (crn_json_iter_init(&it, list); crn_json_iter_next(&it, &point, &key, &length);) {
        cairn_pattern *out = &batch->points[batch->count++];
        if (crn_json_type(point) != CRN_JSON_OBJECT)
            return crn_qd_wrong_type(call, "points", "struct PointStruct", point);
        if (!crn_json_get(point, "id", &id)) return crn_qd_missing(call, "id");
        if (!crn_json_get(point, "vector", &vector)) return crn_qd_missing(call, "vector");
        if (!set_point(call, collection, id, vector, out)) return false;
        if (crn_qd_member(point, "payload", &payload) && !read_payload(call, payload, &out->payload))
            return false;
    }
    return true;
}

/* The i-th point of columns of named vectors: {name: [vector, ...]}. */
static bool set_named_column(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                             struct crn_json columns, struct batch *batch)
{
    struct crn_json_iter it, column_it;
    struct crn_json column, value;
    const char *name, *key;
    size_t length;
    const size_t names = crn_json_size(columns);

    for (size_t i = 0; i < batch->count; i++) {
        batch->points[i].vectors = crn_qd_take(call, names + 1, sizeof(cairn_vector));
        if (batch->points[i].vectors == NULL) return false;
    }
    for (crn_json_iter_init(&it, columns); crn_json_iter_next(&it, &column, &name, &length);) {
        const struct crn_qd_vector *vector = crn_qd_need_vector(call, collection, name);
        size_t i = 0;
        if (vector == NULL) return false;
        if (crn_json_size(column) != batch->count) {
            return crn_qd_fail(
                call, 422,
                "Validation error in JSON body: [batch: number of ids and vectors (`%s`) must be equal]",
                name);
        }
        for (crn_json_iter_init(&column_it, column); crn_json_iter_next(&column_it, &value, &key, &length);
             i++) {
            cairn_pattern *point = &batch->points[i];
            struct crn_qd_query_vector read;
            if (!crn_qd_read_vector(call, vector, value, &read)) return false;
            ((cairn_vector *)point->vectors)[point->vector_count++] = (cairn_vector){.space = vector->name,
                                                                                     .values = read.values,
                                                                                     .dim = read.dim,
                                                                                     .rows = read.rows,
                                                                                     .indices = read.indices,
                                                                                     .count = read.count};
        }
    }
    return true;
}

static bool read_columns(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                         struct crn_json columns, struct batch *batch)
{
    struct crn_json ids, vectors, payloads, value;
    struct crn_json_iter it;
    const char *key;
    size_t length, i = 0;
    cairn_id *list;

    if (!crn_qd_member(columns, "ids", &ids)) return crn_qd_missing(call, "ids");
    if (!crn_qd_member(columns, "vectors", &vectors)) return crn_qd_missing(call, "vectors");
    if (!crn_qd_read_ids(call, ids, &list, &batch->count)) return false;
    batch->points = crn_qd_take(call, batch->count + 1, sizeof *batch->points);
    if (batch->points == NULL) return false;
    const bool named = crn_json_type(vectors) == CRN_JSON_OBJECT;
    if (!named && crn_json_size(vectors) != batch->count) {
        return crn_qd_fail(
            call, 422,
            "Validation error in JSON body: [batch: number of ids and vectors must be equal (%zu != %zu)]",
            batch->count, crn_json_size(vectors));
    }
    for (crn_json_iter_init(&it, vectors); !named && crn_json_iter_next(&it, &value, &key, &length); i++) {
        cairn_vector *read;
        if (!crn_qd_read_vectors(call, collection, value, &read, &batch->points[i].vector_count))
            return false;
        batch->points[i].vectors = read;
    }
    if (named && !set_named_column(call, collection, vectors, batch)) return false;
    for (i = 0; i < batch->count; i++) {
        cairn_pattern *point = &batch->points[i];
        point->size = sizeof *point;
        point->id = list[i].text;
        point->id_type = list[i].type;
        point->id_u64 = list[i].u64;
        if (point->vector_count == 0) point->fields = CAIRN_FIELD_NO_VECTOR;
    }
    if (!crn_qd_member(columns, "payloads", &payloads)) return true;
    if (crn_json_size(payloads) != batch->count) {
        return crn_qd_fail(
            call, 422,
            "Validation error in JSON body: [batch: number of ids and payloads must be equal (%zu != %zu)]",
            batch->count, crn_json_size(payloads));
    }
    i = 0;
    for (crn_json_iter_init(&it, payloads); crn_json_iter_next(&it, &value, &key, &length); i++) {
        if (!read_payload(call, value, &batch->points[i].payload)) return false;
    }
    return true;
}

/* ---- conditions of a write ---- */

enum mode { MODE_UPSERT, MODE_INSERT_ONLY, MODE_UPDATE_ONLY };

struct condition {
    enum mode mode;
    const char *filter; /* what a point that is there has to pass; NULL: anything */
};

static bool read_condition(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                           struct crn_json body, struct condition *out)
{
    static const char *const modes[] = {"upsert", "insert_only", "update_only"};
    const char *mode = "upsert";
    size_t i = 0;

    if (!crn_qd_get_text(call, body, "update_mode", &mode)) return false;
    while (i < 3 && strcmp(modes[i], mode) != 0) i++;
    if (i == 3) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: unknown variant `%s`, expected one of `upsert`, `insert_only`, `update_only`",
            mode);
    }
    out->mode = (enum mode)i;
    return crn_qd_get_filter(call, collection, body, "update_filter", &out->filter);
}

/* Of the ids those that are there, and pass the filter. */
static bool find_points(struct crn_qd_call *call, struct crn_qd_collection *collection,
                        const struct batch *batch, const char *filter, cairn_patterns **out)
{
    cairn_id *ids = crn_qd_take(call, batch->count + 1, sizeof *ids);
    const char *by_id;
    cairn_scope scope = {.size = sizeof scope};
    cairn_error err;

    if (ids == NULL) return false;
    for (size_t i = 0; i < batch->count; i++) ids[i] = crn_qd_id_of(&batch->points[i]);
    if (!crn_qd_filter_of_ids(call, ids, batch->count, false, &by_id) ||
        !crn_qd_both_filters(call, by_id, filter, &scope.filter))
        return false;
    return crn_qd_ok(
        call, cairn_scroll_by_id(collection->handle, &scope, NULL, batch->count, false, out, &err), &err);
}

/* Leaves the points that the condition lets through, each bound to the version it was judged by. */
static bool choose(struct crn_qd_call *call, struct crn_qd_collection *collection,
                   const struct condition *condition, const struct batch *all, struct batch *chosen)
{
    cairn_patterns *present = NULL, *passing = NULL;

    chosen->count = 0;
    if (!find_points(call, collection, all, NULL, &present)) return false;
    const bool done =
        condition->filter == NULL || find_points(call, collection, all, condition->filter, &passing);
    for (size_t i = 0; done && i < all->count; i++) {
        const cairn_id id = crn_qd_id_of(&all->points[i]);
        const cairn_pattern *stored = crn_qd_find_point(present, &id);
        const cairn_pattern *passed = condition->filter == NULL ? stored : crn_qd_find_point(passing, &id);
        const bool take = stored == NULL ? condition->mode != MODE_UPDATE_ONLY
                                         : passed != NULL && condition->mode != MODE_INSERT_ONLY;
        if (!take) continue;
        chosen->points[chosen->count] = all->points[i];
        chosen->points[chosen->count++].if_version = stored == NULL ? CAIRN_VERSION_NONE : passed->version;
    }
    cairn_patterns_free(present);
    cairn_patterns_free(passing);
    return done;
}

static bool write_conditionally(struct crn_qd_call *call, struct crn_qd_collection *collection,
                                const struct condition *condition, const struct batch *all)
{
    struct batch chosen = {.points = crn_qd_take(call, all->count + 1, sizeof *chosen.points)};
    cairn_status status = CAIRN_CONFLICT;
    cairn_error err = {0};

    for (int attempt = 0; attempt < ATTEMPTS && status == CAIRN_CONFLICT; attempt++) {
        if (chosen.points == NULL || !choose(call, collection, condition, all, &chosen)) return false;
        status = chosen.count == 0
                     ? CAIRN_OK
                     : cairn_write(collection->handle, CAIRN_UPSERT, chosen.points, chosen.count, NULL, &err);
    }
    return crn_qd_ok(call, status, &err);
}

/* ---- upsert ---- */

static uint64_t payload_bytes(const struct batch *batch)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < batch->count; i++)
        bytes += batch->points[i].payload == NULL ? 0 : strlen(batch->points[i].payload);
    return bytes;
}

bool crn_qd_upsert(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body)
{
    struct batch batch = {0};
    struct condition condition = {0};
    struct crn_json value;
    cairn_error err;

    if (crn_qd_member(body, "points", &value)) {
        if (!read_list(call, collection, value, &batch)) return false;
    } else if (crn_qd_member(body, "batch", &value)) {
        if (!read_columns(call, collection, value, &batch)) return false;
    } else {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum PointInsertOperations");
    }
    if (!read_condition(call, collection, body, &condition)) return false;
    if (batch.count == 0) return crn_qd_fail(call, 400, "Bad request: Empty update request");
    if (!crn_qd_strict_limit(call, batch.count, collection->strict.upsert_batch, "upsert limit"))
        return false;
    if (!crn_qd_strict_growth(call, collection, payload_bytes(&batch))) return false;
    if (condition.mode != MODE_UPSERT || condition.filter != NULL)
        return write_conditionally(call, collection, &condition, &batch);
    return crn_qd_ok(call, cairn_upsert(collection->handle, batch.points, batch.count, &err), &err);
}

bool crn_qd_points_upsert(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && crn_qd_upsert(call, collection, call->body) &&
           crn_qd_write_update_result(call);
}

/* ---- vectors of points that are there ---- */

bool crn_qd_update_vectors(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body)
{
    struct batch batch = {0}, chosen = {0};
    struct condition condition = {.mode = MODE_UPDATE_ONLY};
    struct crn_json value;
    cairn_status status = CAIRN_CONFLICT;
    cairn_error err = {0};

    if (!crn_qd_member(body, "points", &value)) return crn_qd_missing(call, "points");
    if (!read_list(call, collection, value, &batch)) return false;
    if (!crn_qd_strict_limit(call, batch.count, collection->strict.upsert_batch, "update limit"))
        return false;
    if (!crn_qd_strict_growth(call, collection, 0)) return false;
    if (!crn_qd_get_filter(call, collection, body, "update_filter", &condition.filter)) return false;
    for (size_t i = 0; i < batch.count; i++) batch.points[i].payload = NULL;
    if (condition.filter == NULL) {
        status = cairn_update(collection->handle, batch.points, batch.count, &err);
        if (status != CAIRN_NOT_FOUND) return crn_qd_ok(call, status, &err);
        const char *id = strchr(err.message, '\''), *end = id == NULL ? NULL : strchr(id + 1, '\'');
        return crn_qd_fail(call, 404, "Not found: No point with id %.*s found",
                           end == NULL ? 0 : (int)(end - id - 1), end == NULL ? "" : id + 1);
    }
    chosen.points = crn_qd_take(call, batch.count + 1, sizeof *chosen.points);
    for (int attempt = 0; attempt < ATTEMPTS && status == CAIRN_CONFLICT; attempt++) {
        if (chosen.points == NULL || !choose(call, collection, &condition, &batch, &chosen)) return false;
        status = cairn_update(collection->handle, chosen.points, chosen.count, &err);
    }
    return crn_qd_ok(call, status, &err);
}

static bool is_named(struct crn_json names, const char *name)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t length;

    for (crn_json_iter_init(&it, names); crn_json_iter_next(&it, &element, &key, &length);) {
        if (strcmp(crn_json_string(element, &length), name) == 0) return true;
    }
    return false;
}

/* A point written whole, as it was but for these vectors; if it has changed since, that is noticed. */
static bool without_vectors(struct crn_qd_call *call, const cairn_pattern *point, struct crn_json names,
                            cairn_pattern *out)
{
    cairn_vector *kept = crn_qd_take(call, point->vector_count + 1, sizeof *kept);

    if (kept == NULL) return false;
    *out = *point;
    out->vector = NULL;
    out->vectors = kept;
    out->vector_count = 0;
    out->model = NULL;
    out->if_version = point->version;
    for (uint32_t i = 0; i < point->vector_count; i++) {
        if (!is_named(names, point->vectors[i].space)) kept[out->vector_count++] = point->vectors[i];
    }
    if (out->vector_count == 0) out->fields |= CAIRN_FIELD_NO_VECTOR;
    return true;
}

bool crn_qd_delete_vectors(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body)
{
    struct crn_json names, element;
    struct crn_json_iter it;
    cairn_status status = CAIRN_CONFLICT;
    cairn_error err = {0};
    const char *key;
    size_t length;

    if (!crn_qd_member(body, "vector", &names) && !crn_qd_member(body, "vectors", &names))
        return crn_qd_missing(call, "vector");
    for (crn_json_iter_init(&it, names); crn_json_iter_next(&it, &element, &key, &length);) {
        if (crn_qd_need_vector(call, collection, crn_json_string(element, &length)) == NULL) return false;
    }
    for (int attempt = 0; attempt < ATTEMPTS && status == CAIRN_CONFLICT; attempt++) {
        cairn_patterns *points;
        size_t count;
        if (!crn_qd_read_selection(call, collection, body, true, &points, &count)) return false;
        cairn_pattern *writes = crn_qd_take(call, count + 1, sizeof *writes);
        bool done = writes != NULL;
        size_t chosen = 0;
        for (size_t i = 0; done && i < count; i++) {
            const cairn_pattern *point = cairn_patterns_at(points, i);
            if (point->id_type != CAIRN_ID_STRING)
                done = without_vectors(call, point, names, &writes[chosen++]);
        }
        if (done) status = chosen == 0 ? CAIRN_OK : cairn_upsert(collection->handle, writes, chosen, &err);
        cairn_patterns_free(points);
        if (!done) return false;
    }
    return crn_qd_ok(call, status, &err);
}

bool crn_qd_vectors_update(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && crn_qd_update_vectors(call, collection, call->body) &&
           crn_qd_write_update_result(call);
}

bool crn_qd_vectors_delete(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && crn_qd_delete_vectors(call, collection, call->body) &&
           crn_qd_write_update_result(call);
}

/* ---- several operations, one after the other ---- */

static bool run_operation(struct crn_qd_call *call, struct crn_qd_collection *collection,
                          struct crn_json operation)
{
    struct crn_json body;

    if (crn_qd_member(operation, "upsert", &body)) return crn_qd_upsert(call, collection, body);
    if (crn_qd_member(operation, "delete", &body)) return crn_qd_delete(call, collection, body);
    if (crn_qd_member(operation, "set_payload", &body))
        return crn_qd_change_payload(call, collection, body, QD_PAYLOAD_SET);
    if (crn_qd_member(operation, "overwrite_payload", &body))
        return crn_qd_change_payload(call, collection, body, QD_PAYLOAD_OVERWRITE);
    if (crn_qd_member(operation, "delete_payload", &body))
        return crn_qd_change_payload(call, collection, body, QD_PAYLOAD_DELETE);
    if (crn_qd_member(operation, "clear_payload", &body))
        return crn_qd_change_payload(call, collection, body, QD_PAYLOAD_CLEAR);
    if (crn_qd_member(operation, "update_vectors", &body))
        return crn_qd_update_vectors(call, collection, body);
    if (crn_qd_member(operation, "delete_vectors", &body))
        return crn_qd_delete_vectors(call, collection, body);
    return crn_qd_fail(
        call, 400,
        "Format error in JSON body: data did not match any variant of untagged enum UpdateOperation");
}

bool crn_qd_points_batch(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct crn_json operations, operation;
    struct crn_json_iter it;
    const char *key;
    size_t length, count = 0;

    if (collection == NULL) return false;
    if (!crn_qd_member(call->body, "operations", &operations)) return crn_qd_missing(call, "operations");
    const size_t operation_count = crn_json_size(operations);
    if (!crn_qd_strict_batch(call, collection, operation_count > 0 ? operation_count - 1 : 0)) return false;
    crn_buf_putc(call->out, '[');
    for (crn_json_iter_init(&it, operations); crn_json_iter_next(&it, &operation, &key, &length);) {
        if (!run_operation(call, collection, operation)) return false;
        if (count++ > 0) crn_buf_putc(call->out, ',');
        if (!crn_qd_write_update_result(call)) return false;
    }
    crn_buf_putc(call->out, ']');
    return true;
}
