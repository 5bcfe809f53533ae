/* Filters: conditions on a row's id. */
#include "engine/filter_tree.h"
#include "engine/id.h"

#include "base/error.h"
#include "base/hash.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

int crn_filter_id_order(const struct crn_filter_id *a, const struct crn_filter_id *b)
{
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    if (a->type == CAIRN_ID_U64) return (a->u64 > b->u64) - (a->u64 < b->u64);
    const int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int order_ids(const void *a, const void *b)
{
    return crn_filter_id_order(a, b);
}

/* A number, a text, or {"uuid": text}. */
static cairn_status read_id(struct crn_filter *filter, struct crn_json json, struct crn_filter_id *out,
                            cairn_error *err)
{
    const enum crn_json_type type = crn_json_type(json);
    struct crn_json uuid;
    struct crn_id id;
    size_t len;

    if (type == CRN_JSON_U64 || (type == CRN_JSON_I64 && crn_json_i64(json) >= 0)) {
        *out = (struct crn_filter_id){.type = CAIRN_ID_U64, .u64 = crn_json_u64(json)};
        return CAIRN_OK;
    }
    if (type == CRN_JSON_STRING) {
        CRN_TRY(crn_id_check(CAIRN_ID_STRING, crn_json_string(json, &len), 0, &id, err));
    } else if (crn_json_get(json, "uuid", &uuid) && crn_json_type(uuid) == CRN_JSON_STRING) {
        CRN_TRY(crn_id_check(CAIRN_ID_UUID, crn_json_string(uuid, &len), 0, &id, err));
    } else {
        return crn_error_set(err, CAIRN_INVALID_FILTER,
                             "filter: an id in $ids is a number from 0 on, a string or {\"uuid\": string}");
    }
    *out = (struct crn_filter_id){.type = id.type, .len = id.len};
    return crn_filter_take_text(filter, id.text, id.len, &out->text, err);
}

cairn_status crn_filter_ids_parse(struct crn_filter *filter, struct crn_json operand,
                                  struct crn_filter_node *node, cairn_error *err)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t len;

    if (crn_json_type(operand) != CRN_JSON_ARRAY)
        return crn_error_set(err, CAIRN_INVALID_FILTER, "filter: $ids takes an array of ids");
    node->ids = crn_filter_take(filter, (crn_json_size(operand) + 1) * sizeof *node->ids);
    if (node->ids == NULL) return crn_error_no_memory(err, sizeof *node->ids);
    for (crn_json_iter_init(&it, operand); crn_json_iter_next(&it, &element, &key, &len);) {
        CRN_TRY(read_id(filter, element, &node->ids[node->id_count++], err));
    }
    qsort(node->ids, node->id_count, sizeof *node->ids, order_ids);
    return CAIRN_OK;
}

bool crn_filter_ids_match(const struct crn_filter_node *node, const struct crn_record *record)
{
    const struct crn_filter_id id = {
        .type = record->id_type, .text = record->id, .len = record->id_len, .u64 = record->id_u64};

    return node->id_count > 0 &&
           bsearch(&id, node->ids, node->id_count, sizeof *node->ids, order_ids) != NULL;
}

cairn_status crn_filter_slice_parse(struct crn_json operand, struct crn_filter_node *node, cairn_error *err)
{
    struct crn_json total, index;

    if (!crn_json_get(operand, "total", &total) || !crn_json_get(operand, "index", &index) ||
        crn_json_type(total) != CRN_JSON_I64 || crn_json_type(index) != CRN_JSON_I64 ||
        crn_json_i64(total) < 1 || crn_json_i64(index) < 0 || crn_json_i64(index) >= crn_json_i64(total)) {
        return crn_error_set(err, CAIRN_INVALID_FILTER,
                             "filter: $slice takes {\"total\": 1 or more, \"index\": 0 to total - 1}");
    }
    node->slices = crn_json_u64(total);
    node->minimum = crn_json_u64(index);
    return CAIRN_OK;
}

bool crn_filter_slice_matches(const struct crn_filter_node *node, const struct crn_record *record)
{
    const uint64_t number = htole64(record->id_u64);
    const bool is_number = record->id_type == CAIRN_ID_U64;
    const uint64_t hash = is_number ? crn_hash64(&number, sizeof number, 0)
                                    : crn_hash64(record->id, record->id_len, record->id_type);

    return hash % node->slices == node->minimum;
}
