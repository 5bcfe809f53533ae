/* Facets: how many points have each value of a field. Exact: every matching payload is read. */
#include "server/qdrant_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct value {
    char *json;            /* as it is written */
    uint64_t count, point; /* the last point that was counted */
};

struct facet {
    struct crn_qd_path path;
    struct value *table; /* open addressing */
    size_t count, room;  /* room: a power of two */
    uint64_t point;
    bool failed;
};

static bool find_slot(const struct facet *facet, const char *json, size_t *out)
{
    size_t at = crn_hash64(json, strlen(json), 0) & (facet->room - 1);

    while (facet->table[at].json != NULL && strcmp(facet->table[at].json, json) != 0)
        at = (at + 1) & (facet->room - 1);
    *out = at;
    return facet->table[at].json != NULL;
}

static bool grow(struct facet *facet)
{
    struct facet wider = {.room = facet->room == 0 ? 256 : facet->room * 2};
    size_t slot;

    wider.table = crn_mem_calloc(wider.room, sizeof *wider.table);
    if (wider.table == NULL) return false;
    for (size_t i = 0; i < facet->room; i++) {
        if (facet->table[i].json == NULL) continue;
        (void)find_slot(&wider, facet->table[i].json, &slot);
        wider.table[slot] = facet->table[i];
    }
    crn_mem_free(facet->table);
    facet->table = wider.table;
    facet->room = wider.room;
    return true;
}

static bool count_value(void *ctx, struct crn_json json)
{
    struct facet *facet = ctx;
    const enum crn_json_type type = crn_json_type(json);
    struct crn_buf text;
    size_t slot;

    if (type != CRN_JSON_STRING && type != CRN_JSON_I64 && type != CRN_JSON_U64 && type != CRN_JSON_BOOL)
        return true;
    if (facet->count * 2 >= facet->room && !grow(facet)) facet->failed = true;
    crn_buf_init(&text, SIZE_MAX / 2);
    crn_json_write(json, &text);
    char *written = facet->failed ? NULL : crn_buf_take(&text);
    crn_buf_release(&text);
    facet->failed = written == NULL;
    if (facet->failed) return false;
    if (find_slot(facet, written, &slot)) {
        crn_mem_free(written);
    } else {
        facet->table[slot].json = written;
        facet->count++;
    }
    struct value *value = &facet->table[slot];
    if (value->point != facet->point) value->count++; /* a point counts once */
    value->point = facet->point;
    return true;
}

static bool count_point(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct facet *facet = ctx;
    struct crn_json payload;

    facet->point++;
    if (point->payload == NULL) return true;
    if (!crn_qd_parse_scratch(call, point->payload, strlen(point->payload), &payload)) return false;
    (void)crn_qd_each_value(&facet->path, payload, count_value, facet);
    return !facet->failed || crn_qd_fail(call, 500, "Service internal error: no memory to count values");
}

static int most_first(const void *a, const void *b)
{
    const struct value *x = a, *y = b;

    if ((x->json == NULL) != (y->json == NULL)) return x->json == NULL ? 1 : -1;
    if (x->json == NULL) return 0;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return strcmp(x->json, y->json);
}

/* Clients expect an index with values to match. */
static bool check_index(struct crn_qd_call *call, const struct crn_qd_collection *collection, const char *key)
{
    static const char *const fit[] = {"keyword", "integer", "bool", "uuid"};
    struct crn_json field, type;
    size_t length;

    if (crn_json_get(collection->payload_schema, key, &field) && crn_qd_member(field, "data_type", &type)) {
        for (size_t i = 0; i < sizeof fit / sizeof fit[0]; i++) {
            if (strcmp(crn_json_string(type, &length), fit[i]) == 0) return true;
        }
    }
    return crn_qd_fail(
        call, 400,
        "Bad request: No appropriate index for faceting: `%s`. Please create one to facet on this field. Check "
        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Match "
        "conditions",
        key);
}

bool crn_qd_facet(struct crn_qd_call *call)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct facet facet = {0};
    const char *key = NULL, *filter;
    uint64_t limit = 10;

    if (collection == NULL || !crn_qd_get_text(call, call->body, "key", &key)) return false;
    if (key == NULL) return crn_qd_missing(call, "key");
    if (!crn_qd_get_u64(call, call->body, "limit", 1, &limit) || !check_index(call, collection, key))
        return false;
    if (!crn_qd_strict_limit(call, limit, collection->strict.query_limit, "limit")) return false;
    if (!crn_qd_get_filter(call, collection, call->body, "filter", &filter) ||
        !crn_qd_read_path(call, key, &facet.path))
        return false;
    const bool done = crn_qd_each_point(call, collection, filter, false, count_point, &facet);
    if (done && facet.count > 0) qsort(facet.table, facet.room, sizeof *facet.table, most_first);
    crn_buf_puts(call->out, "{\"hits\":[");
    for (size_t i = 0; done && i < facet.count && i < limit; i++) {
        crn_buf_puts(call->out, i > 0 ? ",{\"value\":" : "{\"value\":");
        crn_buf_puts(call->out, facet.table[i].json);
        crn_buf_printf(call->out, ",\"count\":%" PRIu64 "}", facet.table[i].count);
    }
    crn_buf_puts(call->out, "]}");
    for (size_t i = 0; i < facet.room; i++) crn_mem_free(facet.table[i].json);
    crn_mem_free(facet.table);
    return done;
}
