/* Hits grouped by a value of their payload. More and more hits are asked for until the groups are full or there are no more. */
#include "server/qdrant_query.h"

#include <string.h>

#define HITS_MAX 100000u

struct group {
    const char *id; /* a string or an integer, as JSON */
    cairn_id point; /* what it names; a string id: nothing */
    struct crn_qd_hits hits;
    size_t room; /* for hits */
};

struct grouping {
    struct crn_qd_call *call;
    struct crn_qd_path path;
    struct group *groups;
    size_t count, full, limit, size;
    const struct crn_qd_hit *hit; /* being sorted in */
};

/* Group ids outlive the payload they are read from. */
static const char *value_text(struct crn_qd_call *call, struct crn_json value)
{
    struct crn_buf text;

    crn_buf_init(&text, SIZE_MAX / 2);
    crn_json_write(value, &text);
    return crn_qd_keep(call, &text);
}

/* The point that a group's value names, where it is an id. */
static cairn_id point_named(struct crn_qd_call *call, struct crn_json value)
{
    cairn_id id = {.type = CAIRN_ID_STRING};
    size_t length;

    if (crn_json_type(value) == CRN_JSON_STRING) {
        const char *text = crn_json_string(value, &length);
        if (!crn_qd_text_to_id(call, text, length, &id) || id.type != CAIRN_ID_UUID)
            id.type = CAIRN_ID_STRING;
    } else if (crn_json_type(value) == CRN_JSON_U64 || crn_json_i64(value) >= 0) {
        id = (cairn_id){.type = CAIRN_ID_U64, .u64 = crn_json_u64(value)};
    }
    return id;
}

/* Doubled as it fills: most groups hold far less than they may. */
static bool add_hit(struct grouping *grouping, struct group *group)
{
    if (group->hits.count == group->room) {
        const size_t room = group->room == 0 ? 4 : group->room * 2;
        struct crn_qd_hit *list = crn_qd_take(grouping->call, room, sizeof *list);
        if (list == NULL) return false;
        if (group->hits.count > 0) memcpy(list, group->hits.list, group->hits.count * sizeof *list);
        group->hits.list = list;
        group->room = room;
    }
    group->hits.list[group->hits.count++] = *grouping->hit;
    if (group->hits.count == grouping->size) grouping->full++;
    return true;
}

static bool sort_in(void *ctx, struct crn_json value)
{
    struct grouping *grouping = ctx;
    const enum crn_json_type type = crn_json_type(value);
    size_t i = 0;

    if (type != CRN_JSON_STRING && type != CRN_JSON_I64 && type != CRN_JSON_U64) return true;
    const char *text = value_text(grouping->call, value);
    if (text == NULL) return false;
    while (i < grouping->count && strcmp(grouping->groups[i].id, text) != 0) i++;
    struct group *group = &grouping->groups[i];
    if (i == grouping->count) {
        if (grouping->count == grouping->limit) return true;
        group->id = text;
        group->point = point_named(grouping->call, value);
        grouping->count++;
    }
    for (size_t h = 0; h < group->hits.count; h++) {
        if (crn_qd_same_id(&group->hits.list[h].id, &grouping->hit->id))
            return true; /* an array that names the group twice */
    }
    return group->hits.count == grouping->size || add_hit(grouping, group);
}

static bool group_hits(struct grouping *grouping, struct crn_qd_collection *collection,
                       const struct crn_qd_hits *hits)
{
    struct crn_qd_call *call = grouping->call;
    cairn_id *ids = crn_qd_take(call, hits->count + 1, sizeof *ids);
    cairn_patterns *points;
    struct crn_json payload;
    cairn_error err;
    bool done = true;

    if (ids == NULL) return false;
    for (size_t i = 0; i < hits->count; i++) ids[i] = hits->list[i].id;
    if (!crn_qd_ok(call, cairn_get(collection->handle, ids, hits->count, false, &points, &err), &err))
        return false;
    for (size_t i = 0; done && i < hits->count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        if (i % 256 == 255 && !(done = crn_qd_go_on(call))) break;
        if (point->id == NULL || point->payload == NULL) continue;
        grouping->hit = &hits->list[i];
        done = crn_qd_parse_scratch(call, point->payload, strlen(point->payload), &payload);
        if (done) (void)crn_qd_each_value(&grouping->path, payload, sort_in, grouping);
        done = call->status == 0;
    }
    cairn_patterns_free(points);
    return done;
}

/* ---- points of another collection that the groups name ---- */

struct lookup {
    struct crn_qd_collection *collection; /* NULL: none asked for */
    struct crn_qd_show show;
};

static bool read_lookup(struct crn_qd_call *call, struct lookup *out)
{
    struct crn_json value;
    const char *name = NULL;
    size_t length;

    *out = (struct lookup){.show = {.payload = {.any = true, .all = true}}};
    if (!crn_qd_member(call->body, "with_lookup", &value)) return true;
    if (crn_json_type(value) == CRN_JSON_STRING) {
        name = crn_json_string(value, &length);
    } else if (!crn_qd_get_text(call, value, "collection", &name) ||
               !crn_qd_read_with_payload(call, value, true, &out->show.payload) ||
               !crn_qd_read_with_vectors(call, value, false, &out->show.vectors)) {
        return false;
    }
    if (name == NULL) return crn_qd_missing(call, "collection");
    out->collection = crn_qd_lease(call, name);
    return out->collection != NULL;
}

static bool write_lookup(struct crn_qd_call *call, const struct lookup *lookup, const cairn_id *id)
{
    cairn_patterns *points;
    cairn_error err;
    bool done = true;

    if (lookup->collection == NULL || id->type == CAIRN_ID_STRING) return true;
    if (!crn_qd_ok(call,
                   cairn_get(lookup->collection->handle, id, 1, lookup->show.vectors.any, &points, &err),
                   &err))
        return false;
    const cairn_pattern *point = cairn_patterns_at(points, 0);
    if (point->id != NULL) {
        crn_buf_puts(call->out, ",\"lookup\":{\"id\":");
        crn_qd_write_id(call->out, id);
        done = crn_qd_write_point_rest(call, lookup->collection, point, &lookup->show);
        crn_buf_putc(call->out, '}');
    }
    cairn_patterns_free(points);
    return done;
}

/* ---- the endpoints ---- */

static bool write_groups(struct crn_qd_call *call, struct crn_qd_collection *collection,
                         const struct grouping *grouping, const struct crn_qd_show *show,
                         const struct lookup *lookup)
{
    crn_buf_puts(call->out, "{\"groups\":[");
    for (size_t i = 0; i < grouping->count; i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        crn_buf_puts(call->out, "{\"hits\":");
        if (!crn_qd_write_hits(call, collection, &grouping->groups[i].hits, show)) return false;
        crn_buf_puts(call->out, ",\"id\":");
        crn_buf_puts(call->out, grouping->groups[i].id);
        if (!write_lookup(call, lookup, &grouping->groups[i].point)) return false;
        crn_buf_putc(call->out, '}');
    }
    crn_buf_puts(call->out, "]}");
    return true;
}

static bool answer_groups(struct crn_qd_call *call, enum crn_qd_style style)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct crn_qd_query query;
    struct crn_qd_show show;
    struct crn_qd_hits hits;
    struct lookup lookup;
    const char *group_by = NULL;
    uint64_t size = 3, limit = 10, asked;

    if (collection == NULL || !crn_qd_get_text(call, call->body, "group_by", &group_by)) return false;
    if (group_by == NULL) return crn_qd_missing(call, "group_by");
    if (!crn_qd_get_u64(call, call->body, "group_size", 1, &size) ||
        !crn_qd_get_u64(call, call->body, "limit", 1, &limit))
        return false;
    if (!crn_qd_read_query(call, collection, call->body, style, 0, &query) ||
        !crn_qd_read_hits_show(call, call->body, &show))
        return false;
    struct grouping grouping = {.call = call, .limit = limit, .size = size};
    if (limit > HITS_MAX || size > HITS_MAX)
        return crn_qd_fail(call, 400, "Wrong input: limit and group_size are at most %u", HITS_MAX);
    if (!crn_qd_strict_limit(call, limit * size, collection->strict.query_limit, "limit")) return false;
    if (!crn_qd_read_path(call, group_by, &grouping.path) || !read_lookup(call, &lookup)) return false;
    asked = limit * size < 64 ? 64 : limit * size * 2;
    for (;;) {
        query.limit = asked < HITS_MAX ? asked : HITS_MAX;
        query.offset = 0;
        grouping.groups = crn_qd_take(call, limit + 1, sizeof *grouping.groups);
        grouping.count = grouping.full = 0;
        if (grouping.groups == NULL || !crn_qd_run_query(call, collection, &query, &hits) ||
            !group_hits(&grouping, collection, &hits))
            return false;
        if (grouping.full == limit || hits.count < query.limit || query.limit == HITS_MAX) break;
        asked = query.limit * 4;
    }
    return write_groups(call, collection, &grouping, &show, &lookup);
}

bool crn_qd_query_groups(struct crn_qd_call *call)
{
    return answer_groups(call, QD_STYLE_QUERY);
}

bool crn_qd_search_groups(struct crn_qd_call *call)
{
    return answer_groups(call, QD_STYLE_SEARCH);
}

bool crn_qd_recommend_groups(struct crn_qd_call *call)
{
    return answer_groups(call, QD_STYLE_RECOMMEND);
}
