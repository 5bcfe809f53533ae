#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "quant/vector.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- single checks ---- */

cairn_status crn_check_size(const char *what, size_t size, size_t known, cairn_error *err)
{
    if (size == known) return CAIRN_OK;
    if (size == 0) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%s.size is 0: fill it with CAIRN_OPTIONS or sizeof",
                             what);
    }
    return crn_error_set(err, CAIRN_INVALID_OPTION, "%s.size is %zu, this library (%s) knows %zu", what, size,
                         cairn_version(), known);
}

static cairn_status check_utf8(const char *what, const char *text, size_t len, cairn_error *err)
{
    const size_t valid = crn_utf8_valid(text, len);

    if (valid == len) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_UTF8, "the %s is not valid UTF-8 at byte %zu (0x%02x)", what,
                         valid, (unsigned char)text[valid]);
}

cairn_status crn_check_name(const char *what, const char *name, cairn_error *err)
{
    if (name == NULL) return CAIRN_OK;
    const size_t len = strnlen(name, CAIRN_NAME_MAX + 1);
    if (len > CAIRN_NAME_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the %s '%.32s...' is longer than %u bytes", what,
                             name, CAIRN_NAME_MAX);
    }
    CRN_TRY(check_utf8(what, name, len, err));
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                                 "the %s has a control character (0x%02x) at byte %zu", what,
                                 (unsigned char)name[i], i);
        }
    }
    return CAIRN_OK;
}

cairn_status crn_check_model(const struct crn_space *space, const char *model, cairn_error *err)
{
    if (model == NULL || space->model == NULL || strcmp(model, space->model) == 0) return CAIRN_OK;
    return crn_error_set(err, CAIRN_MODEL_MISMATCH,
                         "the vector comes from model '%s', the space '%s' holds vectors of '%s'", model,
                         space->name, space->model);
}

static cairn_status check_finite(const float *values, size_t count, cairn_error *err)
{
    if (crn_vector_finite(values, count)) return CAIRN_OK;
    size_t i = 0;
    while (isfinite(values[i])) i++;
    return crn_error_set(err, CAIRN_INVALID_VECTOR, "component %zu of the vector is %s", i,
                         isnan(values[i]) ? "NaN"
                         : values[i] > 0  ? "infinite"
                                          : "minus infinity");
}

cairn_status crn_check_vector(const struct crn_space *space, const float *vector, uint32_t dim,
                              cairn_error *err)
{
    if (dim != 0 && dim != space->dim) {
        return crn_error_set(err, CAIRN_DIM_MISMATCH, "the vector has %u components, the space '%s' has %u",
                             dim, space->name, space->dim);
    }
    CRN_TRY(check_finite(vector, space->dim, err));
    const bool cosine = space->metric == CAIRN_METRIC_COSINE || space->metric == CAIRN_METRIC_DEFAULT;
    if (cosine && crn_vector_norm2(vector, space->dim) == 0) {
        return crn_error_set(
            err, CAIRN_ZERO_VECTOR,
            "all %u components of the vector are 0, and the metric of the space '%s' is cosine", space->dim,
            space->name);
    }
    return CAIRN_OK;
}

/* ---- vectors ---- */

static cairn_status pack_multi(const struct crn_space *space, const cairn_vector *vector, void **out_packed,
                               size_t *out_size, cairn_error *err)
{
    size_t values, size;

    if (vector->rows == 0) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a multi-vector has no rows");
    if (vector->dim != 0 && vector->dim != space->dim) {
        return crn_error_set(err, CAIRN_DIM_MISMATCH,
                             "the multi-vector has rows of %u components, the space '%s' has %u", vector->dim,
                             space->name, space->dim);
    }
    if (!crn_mem_mul(vector->rows, space->dim, &values) || !crn_mem_mul(values, sizeof(float), &size) ||
        size > CAIRN_PAYLOAD_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "a multi-vector of %u rows is above %u bytes", vector->rows,
                             CAIRN_PAYLOAD_MAX);
    }
    CRN_TRY(check_finite(vector->values, values, err));
    char *packed = crn_mem_alloc(sizeof vector->rows + size);
    if (packed == NULL) return crn_error_no_memory(err, size);
    memcpy(packed, &vector->rows, sizeof vector->rows);
    memcpy(packed + sizeof vector->rows, vector->values, size);
    *out_packed = packed;
    *out_size = sizeof vector->rows + size;
    return CAIRN_OK;
}

static cairn_status pack_sparse(const cairn_vector *vector, void **out_packed, size_t *out_size,
                                cairn_error *err)
{
    const uint32_t count = vector->count;

    if (vector->indices == NULL && count != 0)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a sparse vector has no indices");
    if (count > CAIRN_PAYLOAD_MAX / 8)
        return crn_error_set(err, CAIRN_LIMIT, "a sparse vector has %u entries", count);
    for (uint32_t i = 1; i < count; i++) {
        if (vector->indices[i - 1] >= vector->indices[i]) {
            return crn_error_set(err, CAIRN_INVALID_VECTOR,
                                 "indices of a sparse vector must ascend: %u is followed by %u",
                                 vector->indices[i - 1], vector->indices[i]);
        }
    }
    CRN_TRY(check_finite(vector->values, count, err));
    const size_t part = count * sizeof(uint32_t);
    char *packed = crn_mem_alloc(sizeof count + 2 * part);
    if (packed == NULL) return crn_error_no_memory(err, 2 * part);
    memcpy(packed, &count, sizeof count);
    if (part != 0) {
        memcpy(packed + sizeof count, vector->indices, part);
        memcpy(packed + sizeof count + part, vector->values, part);
    }
    *out_packed = packed;
    *out_size = sizeof count + 2 * part;
    return CAIRN_OK;
}

static cairn_status add_vector(cairn_collection *collection, struct crn_prepared *row,
                               const cairn_vector *vector, cairn_error *err)
{
    struct crn_live_space *live;
    const struct crn_space *space;
    const uint32_t n = row->record.vector_count;

    CRN_TRY(crn_collection_space(collection, vector->space, &live, &space, err));
    for (uint32_t i = 0; i < n; i++) {
        if (row->vectors[i].space == space->id) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the space '%s' is given two vectors",
                                 space->name);
        }
    }
    if (vector->values == NULL && !(space->kind == CAIRN_SPACE_SPARSE && vector->count == 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the vector of space '%s' has no values",
                             space->name);
    }
    CRN_TRY(crn_check_model(space, row->model, err));
    struct crn_vector_data *data = &row->vectors[n];
    data->space = space->id;
    row->models[n] = row->model;
    row->packed[n] = NULL;
    switch (space->kind) {
    case CAIRN_SPACE_DENSE:
        CRN_TRY(crn_check_vector(space, vector->values, vector->dim, err));
        data->data = vector->values;
        data->size = space->dim * sizeof(float);
        break;
    case CAIRN_SPACE_SPARSE:
        CRN_TRY(pack_sparse(vector, &row->packed[n], &data->size, err));
        break;
    case CAIRN_SPACE_MULTI:
        CRN_TRY(pack_multi(space, vector, &row->packed[n], &data->size, err));
        break;
    }
    if (row->packed[n] != NULL) data->data = row->packed[n];
    row->record.vector_count = n + 1;
    return CAIRN_OK;
}

static cairn_status add_vectors(cairn_collection *collection, struct crn_prepared *row,
                                const cairn_pattern *pattern, cairn_error *err)
{
    const size_t most = (size_t)pattern->vector_count + 1;

    if (pattern->vector_count > CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT,
                             "the pattern has %u vectors, a collection has at most %u spaces",
                             pattern->vector_count, CAIRN_SPACES_MAX);
    }
    if (pattern->vectors == NULL && pattern->vector_count != 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%u vectors were announced, vectors is NULL",
                             pattern->vector_count);
    }
    row->vectors = crn_mem_calloc(most, sizeof *row->vectors);
    row->packed = crn_mem_calloc(most, sizeof *row->packed);
    row->models = crn_mem_calloc(most, sizeof *row->models);
    if (row->vectors == NULL || row->packed == NULL || row->models == NULL)
        return crn_error_no_memory(err, most * sizeof *row->vectors);
    row->record.vectors = row->vectors;
    if (pattern->vector != NULL) {
        const cairn_vector vector = {.values = pattern->vector, .dim = pattern->dim};
        CRN_TRY(add_vector(collection, row, &vector, err));
    }
    for (uint32_t i = 0; i < pattern->vector_count; i++)
        CRN_TRY(add_vector(collection, row, &pattern->vectors[i], err));
    return CAIRN_OK;
}

/* ---- fields ---- */

static cairn_status compact_payload(struct crn_json_parser *parser, const char *payload, char **out_payload,
                                    cairn_error *err)
{
    const size_t len = strnlen(payload, (size_t)CAIRN_PAYLOAD_MAX + 1);
    struct crn_json root;
    struct crn_buf text;

    if (len > CAIRN_PAYLOAD_MAX)
        return crn_error_set(err, CAIRN_LIMIT, "the payload is longer than %u bytes", CAIRN_PAYLOAD_MAX);
    CRN_TRY(crn_json_parse(parser, payload, len, &root, err));
    if (crn_json_type(root) != CRN_JSON_OBJECT) {
        return crn_error_set(err, CAIRN_INVALID_JSON, "the payload is %s, not an object",
                             crn_json_type_name(root));
    }
    crn_buf_init(&text, SIZE_MAX / 2);
    cairn_status status = crn_json_write(root, &text);
    if (status == CAIRN_OK) *out_payload = crn_buf_take(&text);
    crn_buf_release(&text);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_no_memory(err, len);
}

static cairn_status check_numbers(const cairn_pattern *pattern, cairn_error *err)
{
    if (!(pattern->confidence >= 0 && pattern->confidence <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "confidence %g is not between 0 and 1",
                             pattern->confidence);
    }
    if (pattern->usage_count < 0 || pattern->success_count < 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a use count is negative: usage %" PRId64 ", success %" PRId64,
                             pattern->usage_count, pattern->success_count);
    }
    if (pattern->created_at_ms < 0 || pattern->last_used_ms < 0 || pattern->expires_at_ms < 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a time is negative: created %" PRId64 ", last used %" PRId64
                             ", expires %" PRId64,
                             pattern->created_at_ms, pattern->last_used_ms, pattern->expires_at_ms);
    }
    const uint32_t known = CAIRN_FIELD_CONFIDENCE | CAIRN_FIELD_USAGE | CAIRN_FIELD_SUCCESS |
                           CAIRN_FIELD_LAST_USED | CAIRN_FIELD_EXPIRES | CAIRN_FIELD_NO_VECTOR;
    if ((pattern->fields & ~known) != 0) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "fields %u holds %u, which is no cairn_field",
                             pattern->fields, pattern->fields & ~known);
    }
    return CAIRN_OK;
}

static cairn_status set_fields(struct crn_prepared *row, const cairn_pattern *pattern,
                               struct crn_json_parser *parser, cairn_error *err)
{
    struct crn_record *record = &row->record;

    CRN_TRY(check_numbers(pattern, err));
    CRN_TRY(crn_check_name("domain", pattern->domain, err));
    CRN_TRY(crn_check_name("agent", pattern->agent, err));
    CRN_TRY(crn_check_name("type", pattern->type, err));
    if (pattern->text != NULL) {
        const size_t len = strnlen(pattern->text, (size_t)CAIRN_TEXT_MAX + 1);
        if (len > CAIRN_TEXT_MAX)
            return crn_error_set(err, CAIRN_LIMIT, "the text is longer than %u bytes", CAIRN_TEXT_MAX);
        CRN_TRY(check_utf8("text", pattern->text, len, err));
    }
    if (pattern->payload != NULL) CRN_TRY(compact_payload(parser, pattern->payload, &row->payload, err));
    record->domain = pattern->domain != NULL ? pattern->domain : "";
    record->agent = pattern->agent != NULL ? pattern->agent : "";
    record->type = pattern->type != NULL ? pattern->type : "pattern";
    record->text = pattern->text;
    record->payload = row->payload;
    record->confidence = pattern->confidence;
    if (pattern->confidence == 0 && !(pattern->fields & CAIRN_FIELD_CONFIDENCE))
        record->confidence = CAIRN_CONFIDENCE_DEFAULT;
    record->usage_count = pattern->usage_count;
    record->success_count = pattern->success_count;
    record->last_used_ms = pattern->last_used_ms;
    record->created_at_ms = pattern->created_at_ms;
    record->expires_at_ms = pattern->expires_at_ms;
    row->has_domain = pattern->domain != NULL;
    row->has_agent = pattern->agent != NULL;
    row->has_type = pattern->type != NULL;
    row->has_text = pattern->text != NULL;
    row->has_payload = pattern->payload != NULL;
    row->fields = pattern->fields;
    if (pattern->confidence != 0) row->fields |= CAIRN_FIELD_CONFIDENCE;
    if (pattern->usage_count != 0) row->fields |= CAIRN_FIELD_USAGE;
    if (pattern->success_count != 0) row->fields |= CAIRN_FIELD_SUCCESS;
    if (pattern->last_used_ms != 0) row->fields |= CAIRN_FIELD_LAST_USED;
    if (pattern->expires_at_ms != 0) row->fields |= CAIRN_FIELD_EXPIRES;
    row->if_version = pattern->if_version;
    row->model = pattern->model;
    return crn_check_name("model", pattern->model, err);
}

static cairn_status set_id(struct crn_prepared *row, cairn_write_mode mode, const cairn_pattern *pattern,
                           cairn_error *err)
{
    char generated[37];

    row->generated = pattern->id == NULL && pattern->id_type == CAIRN_ID_STRING;
    if (row->generated && mode == CAIRN_UPDATE)
        return crn_error_set(err, CAIRN_INVALID_ID, "an update needs an id");
    if (row->generated) crn_id_generate(crn_clock_ms(), generated);
    CRN_TRY(crn_id_check(pattern->id_type, row->generated ? generated : pattern->id, pattern->id_u64,
                         &row->id, err));
    row->record.id_type = row->id.type;
    row->record.id = row->id.text;
    row->record.id_len = row->id.len;
    row->record.id_u64 = row->id.u64;
    return CAIRN_OK;
}

static cairn_status prepare_one(cairn_collection *collection, cairn_write_mode mode,
                                const cairn_pattern *pattern, struct crn_json_parser *parser,
                                struct crn_prepared *row, cairn_error *err)
{
    CRN_TRY(crn_check_size("cairn_pattern", pattern->size, sizeof *pattern, err));
    CRN_TRY(set_id(row, mode, pattern, err));
    CRN_TRY(set_fields(row, pattern, parser, err));
    return add_vectors(collection, row, pattern, err);
}

/* ---- texts to vectors ---- */

/* Whatever a host's embedder answers, its failure has one name. */
static cairn_status embed(const cairn_embedder *embedder, const char *const *texts, size_t count,
                          float *out_vectors, cairn_error *err)
{
    cairn_error cause = {.status = CAIRN_OK};
    const cairn_status status = embedder->embed(embedder->ctx, texts, count, out_vectors, &cause);

    if (status == CAIRN_OK) return CAIRN_OK;
    return crn_error_set(err, status == CAIRN_NO_MEMORY ? CAIRN_NO_MEMORY : CAIRN_EMBEDDER,
                         "embedder '%.60s': %s", embedder->model,
                         cause.message[0] != '\0' ? cause.message : cairn_status_text(status));
}

cairn_status crn_embed_query(const cairn_embedder *embedder, const struct crn_space *space, const char *text,
                             float *out_vector, cairn_error *err)
{
    CRN_TRY(embed(embedder, &text, 1, out_vector, err));
    CRN_TRY(crn_check_model(space, embedder->model, err));
    return crn_check_vector(space, out_vector, embedder->dim, err);
}

static bool wants_embedding(const cairn_collection *collection, const struct crn_prepared *row)
{
    const struct crn_space *space = &crn_collection_now(collection)->spaces[0];

    if (row->record.text == NULL || row->record.text[0] == '\0' || space->kind != CAIRN_SPACE_DENSE)
        return false;
    for (uint32_t i = 0; i < row->record.vector_count; i++) {
        if (row->vectors[i].space == space->id) return false;
    }
    return true;
}

static cairn_status embed_texts(const cairn_embedder *embedder, struct crn_prepared_batch *batch,
                                const char **texts, size_t count, cairn_error *err)
{
    size_t values;

    if (!crn_mem_mul(count, embedder->dim, &values)) return crn_error_no_memory(err, SIZE_MAX);
    batch->embedded = crn_mem_array(values, sizeof *batch->embedded);
    if (batch->embedded == NULL) return crn_error_no_memory(err, values * sizeof *batch->embedded);
    return embed(embedder, texts, count, batch->embedded, err);
}

static cairn_status embed_missing(cairn_collection *collection, struct crn_prepared_batch *batch,
                                  cairn_error *err)
{
    const char **texts = crn_mem_array(batch->count, sizeof *texts);
    size_t count = 0;

    pthread_mutex_lock(&collection->mutex);
    const cairn_embedder *embedder = collection->embedder;
    pthread_mutex_unlock(&collection->mutex);
    if (texts == NULL) return crn_error_no_memory(err, batch->count * sizeof *texts);
    for (size_t i = 0; embedder != NULL && i < batch->count; i++) {
        if (wants_embedding(collection, &batch->rows[i])) texts[count++] = batch->rows[i].record.text;
    }
    cairn_status status = count == 0 ? CAIRN_OK : embed_texts(embedder, batch, texts, count, err);
    crn_mem_free(texts);
    const float *next = batch->embedded;
    for (size_t i = 0; status == CAIRN_OK && count != 0 && i < batch->count; i++) {
        struct crn_prepared *row = &batch->rows[i];
        if (!wants_embedding(collection, row)) continue;
        const cairn_vector vector = {.values = next, .dim = embedder->dim};
        row->model = embedder->model;
        status = add_vector(collection, row, &vector, err);
        if (status != CAIRN_OK) crn_error_context(err, status, "pattern %zu ('%.60s')", i, row->id.text);
        next += embedder->dim;
    }
    return status;
}

/* A pattern that nothing could ever find is refused. */
static cairn_status check_findable(const cairn_collection *collection, cairn_write_mode mode,
                                   const struct crn_prepared_batch *batch, cairn_error *err)
{
    if (mode == CAIRN_UPDATE || collection->first_catalog->catalog.lexical) return CAIRN_OK;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->rows[i].record.vector_count != 0 || (batch->rows[i].fields & CAIRN_FIELD_NO_VECTOR))
            continue;
        return crn_error_set(
            err, CAIRN_INVALID_ARGUMENT,
            "pattern %zu ('%.60s') has no vector, and the collection has neither an embedder attached nor a lexical index",
            i, batch->rows[i].id.text);
    }
    return CAIRN_OK;
}

cairn_status crn_prepare(cairn_collection *collection, cairn_write_mode mode, const cairn_pattern *patterns,
                         size_t count, struct crn_prepared_batch *out_batch, cairn_error *err)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    cairn_status status = CAIRN_OK;
    cairn_error cause;

    memset(out_batch, 0, sizeof *out_batch);
    out_batch->rows = crn_mem_calloc(count, sizeof *out_batch->rows);
    if (parser == NULL || out_batch->rows == NULL) {
        status = crn_error_no_memory(err, count * sizeof *out_batch->rows);
    } else {
        out_batch->count = count;
    }
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        status = prepare_one(collection, mode, &patterns[i], parser, &out_batch->rows[i], &cause);
        if (status != CAIRN_OK) {
            crn_error_set(err, status, "pattern %zu ('%.60s'): %s", i, out_batch->rows[i].id.text,
                          cause.message);
        }
    }
    if (status == CAIRN_OK) status = embed_missing(collection, out_batch, err);
    if (status == CAIRN_OK) status = check_findable(collection, mode, out_batch, err);
    crn_json_parser_free(parser);
    if (status != CAIRN_OK) crn_prepare_release(out_batch);
    return status;
}

void crn_prepare_release(struct crn_prepared_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct crn_prepared *row = &batch->rows[i];
        for (uint32_t v = 0; row->packed != NULL && v < row->record.vector_count; v++)
            crn_mem_free(row->packed[v]);
        crn_mem_free(row->packed);
        crn_mem_free(row->models);
        crn_mem_free(row->vectors);
        crn_mem_free(row->payload);
    }
    crn_mem_free(batch->rows);
    crn_mem_free(batch->embedded);
    memset(batch, 0, sizeof *batch);
}
