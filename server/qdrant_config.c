/* Settings: a create body checked and turned into the engine's options and into the config that is answered; changes of it. */
#include "server/qdrant_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the dialect answers where nothing was asked for. Most of it has no counterpart here and is kept for the answer alone. */
static const char defaults[] =
    "{\"params\":{\"shard_number\":1,\"replication_factor\":1,\"write_consistency_factor\":1,\"on_disk_payload\":true},"
    "\"hnsw_config\":{\"m\":16,\"ef_construct\":100,\"full_scan_threshold\":10000,\"max_indexing_threads\":0,\"on_disk\":false},"
    "\"optimizer_config\":{\"deleted_threshold\":0.2,\"vacuum_min_vector_number\":1000,\"default_segment_number\":0,"
    "\"max_segment_size\":null,\"memmap_threshold\":null,\"indexing_threshold\":10000,\"flush_interval_sec\":5,"
    "\"max_optimization_threads\":null},"
    "\"wal_config\":{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0,\"wal_retain_closed\":1},\"quantization_config\":null}";

static const char *const distances[] = {
    [QD_COSINE] = "Cosine", [QD_DOT] = "Dot", [QD_EUCLID] = "Euclid", [QD_MANHATTAN] = "Manhattan"};

bool crn_qd_distance_of(const char *name, enum crn_qd_distance *out)
{
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        if (strcmp(distances[i], name) != 0) continue;
        *out = (enum crn_qd_distance)i;
        return true;
    }
    return false;
}

/* Cosine vectors are normalised when they come in: their dot product is the cosine, and a vector of zeros has one, too. */
cairn_metric crn_qd_metric(enum crn_qd_distance distance)
{
    switch (distance) {
    case QD_EUCLID:
        return CAIRN_METRIC_L2;
    case QD_MANHATTAN:
        return CAIRN_METRIC_MANHATTAN;
    default:
        return CAIRN_METRIC_DOT;
    }
}

/* ---- quantization ---- */

static bool read_quantization(struct crn_qd_call *call, struct crn_json holder, cairn_quantization *out)
{
    struct crn_json config, inner, value;
    const char *type = NULL;

    if (!crn_qd_member(holder, "quantization_config", &config)) return true;
    if (crn_qd_member(config, "scalar", &inner)) {
        if (!crn_qd_get_text(call, inner, "type", &type)) return false;
        if (type == NULL) return crn_qd_missing(call, "type");
        if (strcmp(type, "int8") != 0) {
            return crn_qd_fail(call, 400, "Format error in JSON body: unknown variant `%s`, expected `int8`",
                               type);
        }
        *out = CAIRN_QUANTIZATION_SCALAR;
    } else if (crn_qd_member(config, "product", &inner)) {
        if (!crn_qd_member(inner, "compression", &value)) return crn_qd_missing(call, "compression");
        *out = CAIRN_QUANTIZATION_PRODUCT;
    } else if (crn_qd_member(config, "binary", &inner)) {
        *out = CAIRN_QUANTIZATION_BINARY;
    } else {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum QuantizationConfig");
    }
    return true;
}

/* ---- vectors ---- */

struct reading {
    struct crn_qd_call *call;
    cairn_space_options *spaces;
    uint32_t count;
    cairn_quantization quantization; /* of the collection, for vectors that do not say */
    uint64_t m;
};

static bool add_space(struct reading *reading, const char *name, size_t length, cairn_space_options space)
{
    struct crn_qd_call *call = reading->call;

    if (reading->count == CAIRN_SPACES_MAX) {
        return crn_qd_fail(call, 400, "Wrong input: a collection has at most %u vectors", CAIRN_SPACES_MAX);
    }
    if (strlen(name) != length) return crn_qd_fail(call, 400, "Wrong input: the vector name holds a NUL");
    space.size = sizeof space;
    space.name = crn_qd_take_text(call, name, length);
    reading->spaces[reading->count++] = space;
    return space.name != NULL;
}

static bool read_datatype(struct crn_qd_call *call, struct crn_json params)
{
    const char *type = NULL;

    if (!crn_qd_get_text(call, params, "datatype", &type)) return false;
    if (type == NULL || strcmp(type, "float32") == 0 || strcmp(type, "float16") == 0 ||
        strcmp(type, "uint8") == 0)
        return true;
    return crn_qd_fail(
        call, 400,
        "Format error in JSON body: unknown variant `%s`, expected one of `float32`, `uint8`, `float16`",
        type);
}

static bool read_dense(struct reading *reading, const char *where, const char *name, size_t length,
                       struct crn_json params)
{
    struct crn_qd_call *call = reading->call;
    cairn_space_options space = {.quantization = reading->quantization};
    struct crn_json value;
    enum crn_qd_distance distance = QD_COSINE;
    uint64_t dim = 0, m = reading->m;
    const char *text = NULL;

    if (!crn_qd_member(params, "size", &value)) return crn_qd_missing(call, "size");
    if (!crn_qd_get_u64(call, params, "size", 0, &dim)) return false;
    if (dim == 0 || dim > CAIRN_DIM_MAX) {
        return crn_qd_fail(call, 422,
                           "Validation error in JSON body: [%s.size: value %" PRIu64
                           " invalid, must be from 1 to 65536]",
                           where, dim);
    }
    if (!crn_qd_get_text(call, params, "distance", &text)) return false;
    if (text == NULL) return crn_qd_missing(call, "distance");
    if (!crn_qd_distance_of(text, &distance)) {
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: unknown variant `%s`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`",
            text);
    }
    if (!read_datatype(call, params) || !read_quantization(call, params, &space.quantization)) return false;
    if (crn_qd_member(params, "hnsw_config", &value) && !crn_qd_get_u64(call, value, "m", 0, &m))
        return false;
    if (crn_qd_member(params, "multivector_config", &value)) {
        space.kind = CAIRN_SPACE_MULTI;
        if (!crn_qd_get_text(call, value, "comparator", &text)) return false;
        if (text == NULL || strcmp(text, "max_sim") != 0) {
            return crn_qd_fail(call, 400,
                               "Format error in JSON body: unknown variant `%s`, expected `max_sim`",
                               text == NULL ? "" : text);
        }
    }
    space.dim = (uint32_t)dim;
    space.metric = crn_qd_metric(distance);
    /* The binary code has no Manhattan distances, and multi-vectors are compared as they are: then the setting is only answered. */
    const bool unfit = space.kind == CAIRN_SPACE_MULTI ||
                       (distance == QD_MANHATTAN && space.quantization == CAIRN_QUANTIZATION_BINARY);
    if (unfit) space.quantization = CAIRN_QUANTIZATION_NONE;
    if (m == 0) space.index = "flat";
    return add_space(reading, name, length, space);
}

static bool read_vectors(struct reading *reading, struct crn_json vectors)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *name;
    size_t length;
    char where[CAIRN_NAME_MAX + 16];

    if (crn_json_type(vectors) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(reading->call, "vectors", "a map", vectors);
    if (crn_json_get(vectors, "size", &value) && crn_json_type(value) != CRN_JSON_OBJECT) {
        return read_dense(reading, "vectors", "", 0, vectors);
    }
    if (crn_json_get(vectors, "distance", &value) && crn_json_type(value) == CRN_JSON_STRING)
        return crn_qd_missing(reading->call, "size");
    for (crn_json_iter_init(&it, vectors); crn_json_iter_next(&it, &value, &name, &length);) {
        if (crn_json_type(value) != CRN_JSON_OBJECT)
            return crn_qd_wrong_type(reading->call, name, "struct VectorParams", value);
        snprintf(where, sizeof where, "vectors.%s", name);
        if (!read_dense(reading, where, name, length, value)) return false;
    }
    return true;
}

static bool check_sparse(struct crn_qd_call *call, struct crn_json params)
{
    const char *modifier = NULL;

    if (!crn_qd_get_text(call, params, "modifier", &modifier)) return false;
    if (modifier == NULL || strcmp(modifier, "idf") == 0 || strcmp(modifier, "none") == 0) return true;
    return crn_qd_fail(call, 400, "Format error in JSON body: unknown variant `%s`, expected `none` or `idf`",
                       modifier);
}

static bool read_sparse(struct reading *reading, struct crn_json vectors)
{
    struct crn_json_iter it;
    struct crn_json value;
    const char *name;
    size_t length;

    if (crn_json_type(vectors) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(reading->call, "sparse_vectors", "a map", vectors);
    for (crn_json_iter_init(&it, vectors); crn_json_iter_next(&it, &value, &name, &length);) {
        if (crn_json_type(value) != CRN_JSON_NULL && crn_json_type(value) != CRN_JSON_OBJECT) {
            return crn_qd_wrong_type(reading->call, name, "struct SparseVectorParams", value);
        }
        if (!check_sparse(reading->call, value)) return false;
        if (!add_space(reading, name, length, (cairn_space_options){.kind = CAIRN_SPACE_SPARSE}))
            return false;
    }
    return true;
}

bool crn_qd_read_space(struct crn_qd_call *call, struct crn_json config, const char *name,
                       struct crn_json params, bool sparse, cairn_space_options *out)
{
    struct reading reading = {.call = call, .spaces = out, .m = 16};
    struct crn_json hnsw;

    if (crn_json_type(params) != CRN_JSON_OBJECT) {
        return crn_qd_wrong_type(call, sparse ? "sparse" : "dense",
                                 sparse ? "struct SparseVectorConfig" : "struct DenseVectorConfig", params);
    }
    if (sparse)
        return check_sparse(call, params) &&
               add_space(&reading, name, strlen(name), (cairn_space_options){.kind = CAIRN_SPACE_SPARSE});
    if (!read_quantization(call, config, &reading.quantization)) return false;
    if (crn_qd_member(config, "hnsw_config", &hnsw) && !crn_qd_get_u64(call, hnsw, "m", 0, &reading.m))
        return false;
    return read_dense(&reading, "dense", name, strlen(name), params);
}

/* ---- the other parts ---- */

static bool check_counts(struct crn_qd_call *call, struct crn_json body)
{
    uint64_t number = 0;
    bool flag;
    struct crn_json value;

    if (!crn_qd_get_u64(call, body, "shard_number", 1, &number) ||
        !crn_qd_get_u64(call, body, "replication_factor", 1, &number) ||
        !crn_qd_get_u64(call, body, "write_consistency_factor", 1, &number) ||
        !crn_qd_get_bool(call, body, "on_disk_payload", &flag)) {
        return false;
    }
    if (crn_qd_member(body, "hnsw_config", &value)) {
        if (!crn_qd_get_u64(call, value, "m", 0, &number)) return false;
        if (!crn_qd_get_u64(call, value, "ef_construct", 0, &number)) return false;
        if (crn_qd_member(value, "ef_construct", &value) && number < 4) {
            return crn_qd_fail(call, 422,
                               "Validation error in JSON body: [hnsw_config.ef_construct: value %" PRIu64
                               " invalid, must be 4 or larger]",
                               number);
        }
    }
    static const char *const objects[] = {"hnsw_config", "optimizers_config",  "wal_config",
                                          "params",      "strict_mode_config", "metadata"};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        if (crn_qd_member(body, objects[i], &value) && crn_json_type(value) != CRN_JSON_OBJECT) {
            return crn_qd_wrong_type(call, objects[i], "a map", value);
        }
    }
    return !crn_qd_member(body, "strict_mode_config", &value) || crn_qd_strict_check(call, value);
}

static void write_part(struct crn_buf *out, struct crn_json base, struct crn_json body, const char *name,
                       const char *body_name)
{
    struct crn_json own, patch;

    crn_buf_printf(out, ",\"%s\":", name);
    if (!crn_json_get(base, name, &own)) own = (struct crn_json){0};
    const bool patched = crn_qd_member(body, body_name, &patch);
    if (own.doc == NULL) {
        if (patched)
            crn_qd_write_set(out, patch);
        else
            crn_buf_puts(out, "null");
    } else if (patched && crn_json_type(own) == CRN_JSON_OBJECT && crn_json_type(patch) == CRN_JSON_OBJECT) {
        crn_qd_write_merged(out, own, patch, true);
    } else {
        crn_json_write(own, out);
    }
}

static void write_params(struct crn_buf *out, struct crn_json base, struct crn_json body)
{
    static const char *const names[] = {
        "shard_number",    "sharding_method",     "replication_factor",   "write_consistency_factor",
        "on_disk_payload", "read_fan_out_factor", "read_fan_out_delay_ms"};
    struct crn_json params, value;

    if (!crn_json_get(base, "params", &params)) return;
    crn_buf_puts(out, "{\"params\":{\"vectors\":");
    if (crn_qd_member(body, "vectors", &value)) {
        crn_qd_write_set(out, value);
    } else {
        crn_buf_puts(out, "{}");
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!crn_qd_member(body, names[i], &value) && !crn_qd_member(params, names[i], &value)) continue;
        crn_buf_printf(out, ",\"%s\":", names[i]);
        crn_json_write(value, out);
    }
    if (crn_qd_member(body, "sparse_vectors", &value)) {
        struct crn_json_iter it;
        struct crn_json one;
        const char *name;
        size_t length;
        bool first = true;
        crn_buf_puts(out, ",\"sparse_vectors\":{");
        for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &one, &name, &length);) {
            crn_qd_write_member(out, name, &first);
            if (crn_json_type(one) == CRN_JSON_OBJECT) {
                crn_qd_write_set(out, one);
            } else {
                crn_buf_puts(out, "{}");
            }
        }
        crn_buf_putc(out, '}');
    }
    crn_buf_putc(out, '}');
}

static void write_config(struct crn_buf *out, struct crn_json base, struct crn_json body)
{
    static const char *const optional[] = {"strict_mode_config", "metadata"};
    struct crn_json value;

    write_params(out, base, body);
    write_part(out, base, body, "hnsw_config", "hnsw_config");
    write_part(out, base, body, "optimizer_config", "optimizers_config");
    write_part(out, base, body, "wal_config", "wal_config");
    crn_buf_puts(out, ",\"quantization_config\":");
    if (crn_qd_member(body, "quantization_config", &value)) {
        crn_qd_write_set(out, value);
    } else {
        crn_buf_puts(out, "null");
    }
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        if (!crn_qd_member(body, optional[i], &value)) continue;
        crn_buf_printf(out, ",\"%s\":", optional[i]);
        crn_json_write(value, out);
    }
    crn_buf_putc(out, '}');
}

bool crn_qd_read_config(struct crn_qd_call *call, struct crn_json body, cairn_collection_options *out_options,
                        struct crn_buf *out_config)
{
    struct reading reading = {.call = call, .m = 16};
    struct crn_json value, base;

    reading.spaces = crn_qd_take(call, CAIRN_SPACES_MAX, sizeof *reading.spaces);
    if (reading.spaces == NULL || !check_counts(call, body) ||
        !read_quantization(call, body, &reading.quantization))
        return false;
    if (crn_qd_member(body, "hnsw_config", &value) && !crn_qd_get_u64(call, value, "m", 0, &reading.m))
        return false;
    if (crn_qd_member(body, "vectors", &value) && !read_vectors(&reading, value)) return false;
    if (crn_qd_member(body, "sparse_vectors", &value) && !read_sparse(&reading, value)) return false;
    /* A collection of payloads alone: the engine wants a space, and a sparse one costs nothing. */
    if (reading.count == 0 && !add_space(&reading, "-", 1, (cairn_space_options){.kind = CAIRN_SPACE_SPARSE}))
        return false;
    if (!crn_qd_parse(call, defaults, sizeof defaults - 1, &base)) return false;
    write_config(out_config, base, body);
    *out_options = (cairn_collection_options){
        .size = sizeof *out_options, .spaces = reading.spaces, .space_count = reading.count};
    return true;
}

/* ---- changes ---- */

static bool patch_vectors(struct crn_qd_call *call, struct crn_json params, struct crn_json patch)
{
    struct crn_json vectors, value, own;
    struct crn_json_iter it;
    const char *name;
    size_t length;

    if (!crn_qd_member(patch, "vectors", &vectors)) return true;
    if (crn_json_type(vectors) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(call, "vectors", "a map", vectors);
    if (!crn_json_get(params, "vectors", &own)) own = (struct crn_json){0};
    for (crn_json_iter_init(&it, vectors); crn_json_iter_next(&it, &value, &name, &length);) {
        const bool unnamed = length == 0 && crn_qd_member(own, "size", &value) && crn_json_is_number(value);
        if (!unnamed && !crn_qd_member(own, name, &value)) {
            return crn_qd_fail(call, 400, "Wrong input: Not existing vector name error: %s", name);
        }
    }
    return true;
}

/* Vectors of the patch go by their names, "" standing for the unnamed one. */
static void write_patched_params(struct crn_buf *out, struct crn_json params, struct crn_json patch)
{
    struct crn_json member, vectors, unnamed, other;
    struct crn_json_iter it;
    const char *name;
    size_t length;
    bool first = true;

    if (!crn_qd_member(patch, "params", &other)) other = (struct crn_json){0};
    const bool has_vectors = crn_qd_member(patch, "vectors", &vectors);
    crn_buf_putc(out, '{');
    for (crn_json_iter_init(&it, params); crn_json_iter_next(&it, &member, &name, &length);) {
        struct crn_json changed;
        crn_qd_write_member(out, name, &first);
        if (strcmp(name, "vectors") == 0 && has_vectors) {
            const bool bare = crn_json_get(member, "size", &unnamed) && crn_json_is_number(unnamed);
            crn_qd_write_merged(out, member, bare && crn_json_get(vectors, "", &unnamed) ? unnamed : vectors,
                                true);
        } else if (strcmp(name, "sparse_vectors") == 0 && crn_qd_member(patch, "sparse_vectors", &changed)) {
            crn_qd_write_merged(out, member, changed, true);
        } else {
            crn_json_write(crn_qd_member(other, name, &changed) ? changed : member, out);
        }
    }
    crn_json_iter_init(&it, other.doc != NULL ? other : params);
    while (other.doc != NULL && crn_json_iter_next(&it, &member, &name, &length)) {
        if (crn_json_get(params, name, &unnamed) || crn_json_type(member) == CRN_JSON_NULL) continue;
        crn_qd_write_member(out, name, &first);
        crn_json_write(member, out);
    }
    crn_buf_putc(out, '}');
}

/* "Disabled" turns quantization off. */
static bool write_patched_quantization(struct crn_qd_call *call, struct crn_buf *out, struct crn_json config,
                                       struct crn_json patch)
{
    struct crn_json value;
    cairn_quantization ignored;
    size_t length;

    crn_buf_puts(out, ",\"quantization_config\":");
    if (!crn_qd_member(patch, "quantization_config", &value)) {
        if (crn_qd_member(config, "quantization_config", &value)) {
            crn_json_write(value, out);
        } else {
            crn_buf_puts(out, "null");
        }
        return true;
    }
    if (crn_json_type(value) == CRN_JSON_STRING && strcmp(crn_json_string(value, &length), "Disabled") == 0) {
        crn_buf_puts(out, "null");
        return true;
    }
    if (!read_quantization(call, patch, &ignored)) return false;
    crn_qd_write_set(out, value);
    return true;
}

bool crn_qd_patch_config(struct crn_qd_call *call, struct crn_json config, struct crn_json patch,
                         struct crn_buf *out)
{
    struct crn_json params, value, own;

    if (!crn_json_get(config, "params", &params))
        return crn_qd_fail(call, 500, "Service internal error: settings without params");
    if (!patch_vectors(call, params, patch) || !check_counts(call, patch)) return false;
    crn_buf_puts(out, "{\"params\":");
    write_patched_params(out, params, patch);
    write_part(out, config, patch, "hnsw_config", "hnsw_config");
    write_part(out, config, patch, "optimizer_config", "optimizers_config");
    write_part(out, config, patch, "wal_config", "wal_config");
    if (!write_patched_quantization(call, out, config, patch)) return false;
    if (crn_qd_member(patch, "strict_mode_config", &value) ||
        crn_qd_member(config, "strict_mode_config", &value)) {
        write_part(out, config, patch, "strict_mode_config", "strict_mode_config");
    }
    const bool has_own = crn_qd_member(config, "metadata", &own),
               changed = crn_qd_member(patch, "metadata", &value);
    if (has_own || changed) {
        crn_buf_puts(out, ",\"metadata\":");
        if (has_own && changed) {
            crn_qd_write_merged(out, own, value, false);
        } else {
            crn_json_write(changed ? value : own, out);
        }
    }
    crn_buf_putc(out, '}');
    return true;
}

static void write_foreign_vector(const cairn_space_options *space, struct crn_buf *out)
{
    const enum crn_qd_distance distance = space->metric == CAIRN_METRIC_L2          ? QD_EUCLID
                                          : space->metric == CAIRN_METRIC_MANHATTAN ? QD_MANHATTAN
                                          : space->metric == CAIRN_METRIC_DOT       ? QD_DOT
                                                                                    : QD_COSINE;

    crn_buf_printf(out, "{\"size\":%u,\"distance\":\"%s\"", space->dim, distances[distance]);
    crn_buf_puts(out, space->kind == CAIRN_SPACE_MULTI
                          ? ",\"multivector_config\":{\"comparator\":\"max_sim\"}}"
                          : "}");
}

void crn_qd_foreign_config(const cairn_collection_options *options, struct crn_buf *out)
{
    uint32_t sparse = 0;
    bool first = true;

    for (uint32_t i = 0; i < options->space_count; i++)
        sparse += options->spaces[i].kind == CAIRN_SPACE_SPARSE;
    crn_buf_puts(out, "{\"config\":{\"params\":{\"vectors\":");
    const bool bare = options->space_count - sparse == 1 && options->spaces[0].name[0] == '\0' &&
                      options->spaces[0].kind != CAIRN_SPACE_SPARSE;
    if (bare)
        write_foreign_vector(&options->spaces[0], out);
    else
        crn_buf_putc(out, '{');
    for (uint32_t i = 0; !bare && i < options->space_count; i++) {
        if (options->spaces[i].kind == CAIRN_SPACE_SPARSE) continue;
        crn_qd_write_member(out, options->spaces[i].name, &first);
        write_foreign_vector(&options->spaces[i], out);
    }
    if (!bare) crn_buf_putc(out, '}');
    first = true;
    if (sparse > 0) crn_buf_puts(out, ",\"sparse_vectors\":{");
    for (uint32_t i = 0; sparse > 0 && i < options->space_count; i++) {
        if (options->spaces[i].kind != CAIRN_SPACE_SPARSE) continue;
        crn_qd_write_member(out, options->spaces[i].name, &first);
        crn_buf_puts(out, "{}");
    }
    if (sparse > 0) crn_buf_putc(out, '}');
    const char *rest = strstr(defaults, "\"shard_number\"");
    crn_buf_printf(out, ",%s,\"payload_schema\":{}}", rest);
}
