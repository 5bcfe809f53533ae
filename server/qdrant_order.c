/* Points in the order of a value of their payload. Every matching payload is read: the order is exact, the cost is linear. */
#include "server/qdrant_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What may be ordered by has to have an index with ranges, as clients expect; times are read as times. */
static bool check_index(struct crn_qd_call *call, const struct crn_qd_collection *collection, const char *key,
                        struct crn_qd_order *out)
{
    struct crn_json field, type;
    const char *name = "";
    size_t length;

    if (crn_json_get(collection->payload_schema, key, &field) && crn_qd_member(field, "data_type", &type))
        name = crn_json_string(type, &length);
    out->times = strcmp(name, "datetime") == 0;
    if (out->times || strcmp(name, "integer") == 0 || strcmp(name, "float") == 0) return true;
    return crn_qd_fail(
        call, 400,
        "Bad request: No range index for `order_by` key: `%s`. Please create one to use `order_by`. Check "
        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range "
        "conditions",
        key);
}

bool crn_qd_read_order(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                       struct crn_json value, struct crn_qd_order *out)
{
    struct crn_json start;
    const char *key = NULL, *direction = "asc";
    size_t length;

    *out = (struct crn_qd_order){0};
    if (crn_json_type(value) == CRN_JSON_STRING) {
        key = crn_json_string(value, &length);
    } else if (!crn_qd_get_text(call, value, "key", &key) ||
               !crn_qd_get_text(call, value, "direction", &direction)) {
        return false;
    }
    if (key == NULL) return crn_qd_missing(call, "key");
    out->descending = strcmp(direction, "desc") == 0;
    if (!out->descending && strcmp(direction, "asc") != 0) {
        return crn_qd_fail(call, 400,
                           "Format error in JSON body: unknown variant `%s`, expected `asc` or `desc`",
                           direction);
    }
    if (!check_index(call, collection, key, out)) return false;
    out->has_start = crn_qd_member(value, "start_from", &start);
    if (out->has_start && crn_json_is_number(start)) {
        out->start = crn_json_double(start);
    } else if (out->has_start) {
        int64_t ms;
        const char *text = crn_json_string(start, &length);
        if (!crn_clock_parse(text, length, &ms))
            return crn_qd_wrong_type(call, "start_from", "a number or a time", start);
        out->start = (double)ms * 1000;
    }
    return crn_qd_read_path(call, key, &out->path);
}

struct gathering {
    const struct crn_qd_order *order;
    struct crn_qd_ordered *list;
    size_t count, room;
    cairn_id id;
    bool failed;
};

static bool gather_value(void *ctx, struct crn_json json)
{
    struct gathering *gathering = ctx;
    const struct crn_qd_order *order = gathering->order;
    struct crn_qd_ordered value = {.id = gathering->id};
    int64_t ms;
    size_t length;

    if (order->times) {
        const char *text = crn_json_string(json, &length);
        if (crn_json_type(json) != CRN_JSON_STRING || !crn_clock_parse(text, length, &ms)) return true;
        value.integer = ms * 1000;
        value.value = (double)value.integer;
        value.is_integer = true;
    } else {
        if (!crn_json_is_number(json)) return true;
        value.value = crn_json_double(json);
        value.is_integer = crn_json_type(json) == CRN_JSON_I64;
        value.integer = crn_json_i64(json);
    }
    if (order->has_start && (order->descending ? value.value > order->start : value.value < order->start))
        return true;
    if (gathering->count == gathering->room) {
        const size_t room = gathering->room == 0 ? 1024 : gathering->room * 2;
        struct crn_qd_ordered *list = crn_mem_realloc_array(gathering->list, room, sizeof *list);
        gathering->failed = list == NULL;
        if (list == NULL) return false;
        gathering->list = list;
        gathering->room = room;
    }
    gathering->list[gathering->count++] = value;
    return true;
}

static bool gather_point(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct gathering *gathering = ctx;
    struct crn_json payload;

    if (point->payload == NULL) return true;
    if (!crn_qd_parse_scratch(call, point->payload, strlen(point->payload), &payload)) return false;
    gathering->id = crn_qd_id_of(point);
    if (point->id_type == CAIRN_ID_UUID)
        gathering->id.text = crn_qd_take_text(call, point->id, strlen(point->id));
    crn_qd_each_value(&gathering->order->path, payload, gather_value, gathering);
    return !gathering->failed || crn_qd_fail(call, 500, "Service internal error: no memory to order points");
}

/* Equal values stand in the order of their ids. */
static int ascending(const void *a, const void *b)
{
    const struct crn_qd_ordered *x = a, *y = b;

    if (x->is_integer && y->is_integer) {
        if (x->integer != y->integer) return x->integer < y->integer ? -1 : 1;
    } else if (x->value != y->value) {
        return x->value < y->value ? -1 : 1;
    }
    if (x->id.type != y->id.type) return x->id.type < y->id.type ? -1 : 1;
    if (x->id.type == CAIRN_ID_U64) return (x->id.u64 > y->id.u64) - (x->id.u64 < y->id.u64);
    return strcmp(x->id.text, y->id.text);
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

bool crn_qd_order_points(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                         const struct crn_qd_order *order, size_t limit, struct crn_qd_ordered **out,
                         size_t *out_count)
{
    struct gathering gathering = {.order = order};

    bool done = crn_qd_each_point(call, collection, filter, false, gather_point, &gathering);
    if (done && gathering.count > 0) {
        qsort(gathering.list, gathering.count, sizeof *gathering.list,
              order->descending ? descending : ascending);
    }
    *out_count = gathering.count < limit ? gathering.count : limit;
    *out = crn_qd_take(call, *out_count + 1, sizeof **out);
    done = done && *out != NULL;
    if (done && *out_count > 0) memcpy(*out, gathering.list, *out_count * sizeof **out);
    crn_mem_free(gathering.list);
    return done;
}

void crn_qd_write_order_value(struct crn_buf *out, const struct crn_qd_ordered *ordered)
{
    if (ordered->is_integer) {
        crn_buf_printf(out, "%" PRId64, ordered->integer);
    } else {
        crn_buf_json_double(out, ordered->value);
    }
}
