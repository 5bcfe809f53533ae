/* Vectors from JSON: dense, sparse and multi. */
#include "cli/record.h"

#include "base/error.h"

#include <string.h>

static cairn_status read_floats(struct crn_arena *arena, struct crn_json array, const float **out_values,
                                uint32_t *out_count, cairn_error *err)
{
    size_t count = crn_json_size(array);

    if (crn_json_type(array) != CRN_JSON_ARRAY) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a vector is %s, not an array of numbers",
                             crn_json_type_name(array));
    }
    if (count > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a vector has %zu components, the limit is %u", count,
                             CAIRN_DIM_MAX);
    }
    float *values = crn_arena_alloc(arena, count * sizeof *values);
    if (values == NULL) return crn_error_no_memory(err, count * sizeof *values);
    if (!crn_json_floats(array, values, count, &count)) {
        return crn_error_set(err, CAIRN_INVALID_VECTOR, "a vector holds something that is no number");
    }
    *out_values = values;
    *out_count = (uint32_t)count;
    return CAIRN_OK;
}

static cairn_status read_sparse(struct crn_arena *arena, struct crn_json object, cairn_vector *out,
                                cairn_error *err)
{
    struct crn_json indices, values, item;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    if (!crn_json_get(object, "indices", &indices) || !crn_json_get(object, "values", &values) ||
        crn_json_type(indices) != CRN_JSON_ARRAY) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a sparse vector is {\"indices\":[..],\"values\":[..]}");
    }
    CRN_TRY(read_floats(arena, values, &out->values, &out->count, err));
    if (crn_json_size(indices) != out->count) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a sparse vector has %zu indices and %u values",
                             crn_json_size(indices), out->count);
    }

    uint32_t *to = crn_arena_alloc(arena, out->count * sizeof *to);
    if (to == NULL) return crn_error_no_memory(err, out->count * sizeof *to);
    out->indices = to;
    for (crn_json_iter_init(&it, indices); crn_json_iter_next(&it, &item, &key, &key_len);) {
        if (crn_json_type(item) != CRN_JSON_I64 || crn_json_i64(item) < 0 ||
            crn_json_i64(item) > UINT32_MAX) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                                 "an index of a sparse vector is no integer below 2^32");
        }
        *to++ = (uint32_t)crn_json_i64(item);
    }
    return CAIRN_OK;
}

/* Rows of one length, laid one behind the other. */
static cairn_status read_multi(struct crn_arena *arena, struct crn_json rows, cairn_vector *out,
                               cairn_error *err)
{
    struct crn_json row;
    struct crn_json_iter it;
    const char *key;
    size_t key_len, got;

    crn_json_iter_init(&it, rows);
    if (!crn_json_iter_next(&it, &row, &key, &key_len)) return CAIRN_OK;
    size_t dim = crn_json_size(row);
    size_t count = crn_json_size(rows);
    if (dim == 0 || dim > CAIRN_DIM_MAX || count > UINT32_MAX / (dim * sizeof(float))) {
        return crn_error_set(err, CAIRN_LIMIT, "%zu rows of %zu components are no vector", count, dim);
    }
    float *values = crn_arena_alloc(arena, count * dim * sizeof *values);
    if (values == NULL) return crn_error_no_memory(err, count * dim * sizeof *values);
    *out =
        (cairn_vector){.space = out->space, .values = values, .dim = (uint32_t)dim, .rows = (uint32_t)count};
    for (crn_json_iter_init(&it, rows); crn_json_iter_next(&it, &row, &key, &key_len); values += dim) {
        if (crn_json_type(row) != CRN_JSON_ARRAY || !crn_json_floats(row, values, dim, &got) || got != dim) {
            return crn_error_set(err, CAIRN_INVALID_VECTOR,
                                 "the rows of a multi-vector are not all %zu numbers", dim);
        }
    }
    return CAIRN_OK;
}

cairn_status crn_cli_record_vector(struct crn_arena *arena, struct crn_json value, cairn_vector *out,
                                   cairn_error *err)
{
    struct crn_json_iter it;
    struct crn_json first;
    const char *key;
    size_t key_len;

    if (crn_json_type(value) == CRN_JSON_OBJECT) return read_sparse(arena, value, out, err);
    crn_json_iter_init(&it, value);
    if (crn_json_iter_next(&it, &first, &key, &key_len) && crn_json_type(first) == CRN_JSON_ARRAY) {
        return read_multi(arena, value, out, err);
    }
    CRN_TRY(read_floats(arena, value, &out->values, &out->dim, err));
    if (out->dim == 0) return crn_error_set(err, CAIRN_INVALID_VECTOR, "a vector has no components");
    return CAIRN_OK;
}
