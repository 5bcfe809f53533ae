/* Vectors in and out: dense, sparse and multi; one unnamed or several by their names. */
#include "server/qdrant_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ---- */

static void normalise(float *values, uint32_t dim)
{
    double sum = 0;

    for (uint32_t i = 0; i < dim; i++) sum += (double)values[i] * values[i];
    if (sum == 0) return;
    const double length = sqrt(sum);
    if (fabs(length - 1) < 1e-7) return; /* what has that length keeps its bits */
    for (uint32_t i = 0; i < dim; i++) values[i] = (float)(values[i] / length);
}

static bool read_dense(struct crn_qd_call *call, const struct crn_qd_vector *vector, struct crn_json array,
                       float *out)
{
    size_t count;

    if (crn_json_type(array) != CRN_JSON_ARRAY || (!crn_json_floats(array, out, vector->dim, &count))) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum VectorStruct");
    }
    if (count != vector->dim) {
        return crn_qd_fail(call, 400, "Wrong input: Vector dimension error: expected dim: %u, got %zu",
                           vector->dim, count);
    }
    for (uint32_t i = 0; i < vector->dim; i++) {
        if (!isfinite(out[i]))
            return crn_qd_fail(call, 400,
                               "Wrong input: component %u of the vector is beyond the range of f32", i);
    }
    if (vector->distance == QD_COSINE) normalise(out, vector->dim);
    return true;
}

struct sparse_entry {
    uint32_t index;
    float value;
};

static int by_index(const void *a, const void *b)
{
    const struct sparse_entry *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static bool read_sparse_values(struct crn_qd_call *call, struct crn_json indices,
                               struct sparse_entry *entries)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length, i = 0;

    for (crn_json_iter_init(&it, indices); crn_json_iter_next(&it, &value, &key, &length); i++) {
        const uint64_t index = crn_json_u64(value);
        const enum crn_json_type type = crn_json_type(value);
        if ((type != CRN_JSON_I64 && type != CRN_JSON_U64) || index > UINT32_MAX ||
            (type == CRN_JSON_I64 && crn_json_i64(value) < 0)) {
            return crn_qd_wrong_type(call, "indices", "u32", value);
        }
        entries[i].index = (uint32_t)index;
    }
    return true;
}

static bool read_sparse(struct crn_qd_call *call, struct crn_json value, struct crn_qd_query_vector *out)
{
    struct crn_json indices, values;
    size_t count, filled;

    if (crn_json_type(value) != CRN_JSON_OBJECT || !crn_qd_member(value, "indices", &indices) ||
        !crn_qd_member(value, "values", &values) || crn_json_type(indices) != CRN_JSON_ARRAY ||
        crn_json_type(values) != CRN_JSON_ARRAY) {
        return crn_qd_fail(call, 400, "Wrong input: Conversion between sparse and regular vectors failed");
    }
    count = crn_json_size(indices);
    if (crn_json_size(values) != count) {
        return crn_qd_fail(
            call, 422, "Validation error in JSON body: [vector.values: must be the same length as indices]");
    }
    struct sparse_entry *entries = crn_qd_take(call, count + 1, sizeof *entries);
    out->values = crn_qd_take(call, count + 1, sizeof *out->values);
    out->indices = crn_qd_take(call, count + 1, sizeof *out->indices);
    if (entries == NULL || out->values == NULL || out->indices == NULL) return false;
    if (!read_sparse_values(call, indices, entries)) return false;
    if (!crn_json_floats(values, out->values, count, &filled))
        return crn_qd_wrong_type(call, "values", "f32", values);
    for (size_t i = 0; i < count; i++) entries[i].value = out->values[i];
    qsort(entries, count, sizeof *entries, by_index);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && entries[i].index == entries[i - 1].index) {
            return crn_qd_fail(call, 422, "Validation error in JSON body: [vector.indices: must be unique]");
        }
        out->indices[i] = entries[i].index;
        out->values[i] = entries[i].value;
    }
    out->count = (uint32_t)count;
    return true;
}

/* A bare vector counts as a multi-vector of one row. */
static bool read_multi(struct crn_qd_call *call, const struct crn_qd_vector *vector, struct crn_json value,
                       struct crn_qd_query_vector *out)
{
    struct crn_json_iter it;
    struct crn_json row;
    const char *key;
    size_t length;

    crn_json_iter_init(&it, value);
    const bool bare = crn_json_iter_next(&it, &row, &key, &length) && crn_json_is_number(row);
    const size_t rows = bare ? 1 : crn_json_size(value);
    if (crn_json_type(value) != CRN_JSON_ARRAY || rows == 0) {
        return crn_qd_fail(
            call, 422,
            "Validation error in JSON body: [vector: multi vector must contain at least one vector]");
    }
    out->values = crn_qd_take(call, rows, sizeof(float) * vector->dim);
    if (out->values == NULL) return false;
    if (bare) {
        out->rows = 1;
        return read_dense(call, vector, value, out->values);
    }
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &row, &key, &length);) {
        if (!read_dense(call, vector, row, out->values + (size_t)out->rows++ * vector->dim)) return false;
    }
    return true;
}

/* Strict mode limits what is written, not what is asked. */
static bool check_most(struct crn_qd_call *call, const struct crn_qd_vector *vector, uint32_t count)
{
    if (!call->writes || vector->most == 0 || count <= vector->most) return true;
    return crn_qd_fail(call, 400, "Bad request: %s '%s' has a limit of %llu %s, but %u were provided",
                       vector->kind == CAIRN_SPACE_SPARSE ? "Sparse vector" : "Multivector", vector->name,
                       (unsigned long long)vector->most,
                       vector->kind == CAIRN_SPACE_SPARSE ? "indices" : "vectors", count);
}

bool crn_qd_read_vector(struct crn_qd_call *call, const struct crn_qd_vector *vector, struct crn_json value,
                        struct crn_qd_query_vector *out)
{
    *out = (struct crn_qd_query_vector){.kind = vector->kind, .dim = vector->dim};
    switch (vector->kind) {
    case CAIRN_SPACE_SPARSE:
        return read_sparse(call, value, out) && check_most(call, vector, out->count);
    case CAIRN_SPACE_MULTI:
        return read_multi(call, vector, value, out) && check_most(call, vector, out->rows);
    default:
        if (crn_json_type(value) == CRN_JSON_OBJECT) {
            return crn_qd_fail(call, 400,
                               "Wrong input: Conversion between sparse and regular vectors failed");
        }
        out->values = crn_qd_take(call, vector->dim, sizeof *out->values);
        return out->values != NULL && read_dense(call, vector, value, out->values);
    }
}

static bool read_one(struct crn_qd_call *call, const struct crn_qd_collection *collection, const char *name,
                     struct crn_json value, cairn_vector *out)
{
    struct crn_qd_query_vector read;

    const struct crn_qd_vector *vector = crn_qd_need_vector(call, collection, name);
    if (vector == NULL || !crn_qd_read_vector(call, vector, value, &read)) return false;
    *out = (cairn_vector){.space = vector->name,
                          .values = read.values,
                          .dim = read.dim,
                          .rows = read.rows,
                          .indices = read.indices,
                          .count = read.count};
    return true;
}

bool crn_qd_read_vectors(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                         struct crn_json value, cairn_vector **out, uint32_t *out_count)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *name;
    size_t length;

    *out_count = 0;
    if (crn_json_type(value) == CRN_JSON_ARRAY) {
        *out = crn_qd_take(call, 1, sizeof **out);
        *out_count = 1;
        return *out != NULL && read_one(call, collection, "", value, *out);
    }
    if (crn_json_type(value) != CRN_JSON_OBJECT) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum VectorStruct");
    }
    *out = crn_qd_take(call, crn_json_size(value) + 1, sizeof **out);
    if (*out == NULL) return false;
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &member, &name, &length);) {
        if (!read_one(call, collection, name, member, &(*out)[(*out_count)++])) return false;
    }
    return true;
}

/* ---- what is asked for ---- */

bool crn_qd_read_with_vectors(struct crn_qd_call *call, struct crn_json body, bool by_default,
                              struct crn_qd_select_vectors *out)
{
    struct crn_json value;

    *out = (struct crn_qd_select_vectors){.any = by_default, .all = by_default};
    if (!crn_qd_member(body, "with_vector", &value) && !crn_qd_member(body, "with_vectors", &value))
        return true;
    if (crn_json_type(value) == CRN_JSON_BOOL) {
        out->any = out->all = crn_json_bool(value);
        return true;
    }
    if (crn_json_type(value) != CRN_JSON_ARRAY)
        return crn_qd_wrong_type(call, "with_vector", "a boolean or a sequence of names", value);
    *out = (struct crn_qd_select_vectors){.any = true, .names = value};
    return true;
}

static bool is_selected(const struct crn_qd_select_vectors *select, const char *name)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t length;

    if (select->all) return true;
    for (crn_json_iter_init(&it, select->names); crn_json_iter_next(&it, &element, &key, &length);) {
        if (strcmp(crn_json_string(element, &length), name) == 0) return true;
    }
    return false;
}

/* ---- out ---- */

static void write_floats(struct crn_buf *out, const float *values, size_t count)
{
    crn_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) crn_buf_putc(out, ',');
        crn_buf_json_float(out, values[i]);
    }
    crn_buf_putc(out, ']');
}

static void write_one(struct crn_buf *out, const cairn_vector *vector)
{
    if (vector->indices != NULL) {
        crn_buf_puts(out, "{\"indices\":[");
        for (uint32_t i = 0; i < vector->count; i++)
            crn_buf_printf(out, i > 0 ? ",%u" : "%u", vector->indices[i]);
        crn_buf_puts(out, "],\"values\":");
        write_floats(out, vector->values, vector->count);
        crn_buf_putc(out, '}');
    } else if (vector->rows != 0) {
        crn_buf_putc(out, '[');
        for (uint32_t r = 0; r < vector->rows; r++) {
            if (r > 0) crn_buf_putc(out, ',');
            write_floats(out, vector->values + (size_t)r * vector->dim, vector->dim);
        }
        crn_buf_putc(out, ']');
    } else {
        write_floats(out, vector->values, vector->dim);
    }
}

const cairn_vector *crn_qd_vector_of(const cairn_pattern *pattern, const char *name)
{
    for (uint32_t i = 0; i < pattern->vector_count; i++) {
        if (strcmp(pattern->vectors[i].space, name) == 0) return &pattern->vectors[i];
    }
    return NULL;
}

bool crn_qd_write_vectors(struct crn_buf *out, const struct crn_qd_collection *collection,
                          const cairn_pattern *pattern, const struct crn_qd_select_vectors *select)
{
    bool first = true;

    if (!select->any) return false;
    const cairn_vector *unnamed = crn_qd_vector_of(pattern, "");
    crn_buf_puts(out, ",\"vector\":");
    if (select->all && pattern->vector_count == 1 && unnamed != NULL) {
        write_one(out, unnamed);
        return true;
    }
    crn_buf_putc(out, '{');
    for (size_t i = 0; i < collection->vector_count; i++) {
        const char *name = collection->vectors[i].name;
        const cairn_vector *vector = crn_qd_vector_of(pattern, name);
        if (vector == NULL || !is_selected(select, name)) continue;
        crn_qd_write_member(out, name, &first);
        write_one(out, vector);
    }
    crn_buf_putc(out, '}');
    return true;
}

bool crn_qd_vector_as_query(struct crn_qd_call *call, const struct crn_qd_vector *vector,
                            const cairn_vector *stored, struct crn_qd_query_vector *out)
{
    *out = (struct crn_qd_query_vector){
        .kind = vector->kind, .dim = vector->dim, .rows = stored->rows, .count = stored->count};
    const size_t values = vector->kind == CAIRN_SPACE_SPARSE  ? stored->count
                          : vector->kind == CAIRN_SPACE_MULTI ? (size_t)stored->rows * vector->dim
                                                              : vector->dim;
    out->values = crn_qd_take(call, values + 1, sizeof *out->values);
    out->indices = crn_qd_take(call, stored->count + 1, sizeof *out->indices);
    if (out->values == NULL || out->indices == NULL) return false;
    memcpy(out->values, stored->values, values * sizeof *out->values);
    if (stored->count > 0) memcpy(out->indices, stored->indices, stored->count * sizeof *out->indices);
    return true;
}
