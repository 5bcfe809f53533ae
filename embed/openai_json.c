/* The embeddings endpoint's JSON. An answer is hostile until every check here has passed. */
#include "embed/openai_json.h"

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"

#include <cairn/db.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

size_t crn_openai_write(struct crn_buf *buf, const char *model, const char *const *texts, size_t count,
                        size_t max_bytes)
{
    size_t written = 0;

    crn_buf_puts(buf, "{\"model\":");
    crn_buf_json_string(buf, model, strlen(model));
    crn_buf_puts(buf, ",\"input\":[");
    while (written < count && (written == 0 || buf->len < max_bytes)) {
        if (written > 0) crn_buf_putc(buf, ',');
        crn_buf_json_string(buf, texts[written], strlen(texts[written]));
        written++;
    }
    crn_buf_puts(buf, "],\"encoding_format\":\"float\"}");
    return written;
}

/* Where an answer's vectors go. */
struct reader {
    size_t count;
    uint32_t dim;
    float *vectors; /* [count][dim] */
    bool *seen;     /* [count] */
};

static cairn_status read_index(struct crn_json item, const struct reader *reader, size_t *out_index,
                               cairn_error *err)
{
    struct crn_json value;

    if (!crn_json_get(item, "index", &value) || crn_json_type(value) != CRN_JSON_I64) {
        return crn_error_set(err, CAIRN_EMBEDDER, "an embedding of the answer has no index");
    }
    int64_t index = crn_json_i64(value);
    if (index < 0 || (uint64_t)index >= reader->count) {
        return crn_error_set(err, CAIRN_EMBEDDER, "the answer has an embedding %" PRId64 ", asked were %zu",
                             index, reader->count);
    }
    if (reader->seen[index]) {
        return crn_error_set(err, CAIRN_EMBEDDER, "the answer has embedding %" PRId64 " twice", index);
    }
    *out_index = (size_t)index;
    return CAIRN_OK;
}

static cairn_status read_item(struct crn_json item, struct reader *reader, cairn_error *err)
{
    struct crn_json embedding;
    size_t index = 0, dim = 0;

    CRN_TRY(read_index(item, reader, &index, err));
    float *vector = reader->vectors + index * reader->dim;
    if (!crn_json_get(item, "embedding", &embedding) ||
        !crn_json_floats(embedding, vector, reader->dim, &dim)) {
        return crn_error_set(err, CAIRN_EMBEDDER, "embedding %zu of the answer is no array of numbers",
                             index);
    }
    if (dim != reader->dim) {
        return crn_error_set(err, CAIRN_EMBEDDER,
                             "embedding %zu of the answer has dim %zu, expected %" PRIu32, index, dim,
                             reader->dim);
    }
    for (size_t i = 0; i < dim; i++) {
        if (!isfinite(vector[i])) {
            return crn_error_set(err, CAIRN_EMBEDDER, "component %zu of embedding %zu is not finite as f32",
                                 i, index);
        }
    }
    reader->seen[index] = true;
    return CAIRN_OK;
}

/* Parses an answer as far as its "data", which must hold `count` entries. */
static cairn_status parse_data(struct crn_json_parser *parser, const struct crn_buf *answer, size_t count,
                               struct crn_json *out_data, cairn_error *err)
{
    struct crn_json root;
    cairn_error reason;

    cairn_status status = crn_json_parse(parser, answer->data, answer->len, &root, &reason);
    if (status == CAIRN_NO_MEMORY) return crn_error_set(err, status, "%s", reason.message);
    if (status != CAIRN_OK) {
        return crn_error_set(err, CAIRN_EMBEDDER, "the answer is not JSON: %s", reason.message);
    }
    if (!crn_json_get(root, "data", out_data) || crn_json_type(*out_data) != CRN_JSON_ARRAY) {
        return crn_error_set(err, CAIRN_EMBEDDER, "the answer has no array \"data\"");
    }
    if (crn_json_size(*out_data) != count) {
        return crn_error_set(err, CAIRN_EMBEDDER, "the answer has %zu embeddings, expected %zu",
                             crn_json_size(*out_data), count);
    }
    return CAIRN_OK;
}

cairn_status crn_openai_read(const struct crn_buf *answer, size_t count, uint32_t dim, float *out_vectors,
                             cairn_error *err)
{
    struct reader reader = {.count = count, .dim = dim, .vectors = out_vectors};
    struct crn_json_iter it;
    struct crn_json data = {0}, item;
    const char *key;
    size_t key_len;
    cairn_status status = CAIRN_NO_MEMORY;

    struct crn_json_parser *parser = crn_json_parser_create();
    reader.seen = crn_mem_calloc(count, sizeof *reader.seen);
    if (parser == NULL || reader.seen == NULL) {
        status = crn_error_set(err, CAIRN_NO_MEMORY, "no memory to read %zu embeddings", count);
        goto done;
    }
    status = parse_data(parser, answer, count, &data, err);
    if (status != CAIRN_OK) goto done;

    /* As many entries as texts, and no index twice: all are there. */
    crn_json_iter_init(&it, data);
    while (status == CAIRN_OK && crn_json_iter_next(&it, &item, &key, &key_len)) {
        status = read_item(item, &reader, err);
    }

done:
    crn_mem_free(reader.seen);
    crn_json_parser_free(parser);
    return status;
}

cairn_status crn_openai_read_dim(const struct crn_buf *answer, uint32_t *out_dim, cairn_error *err)
{
    struct crn_json data = {0}, item, embedding;
    struct crn_json_iter it;
    const char *key;
    size_t key_len, dim;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory to read an embedding");
    cairn_status status = parse_data(parser, answer, 1, &data, err);
    if (status != CAIRN_OK) goto done;

    crn_json_iter_init(&it, data);
    if (!crn_json_iter_next(&it, &item, &key, &key_len) || !crn_json_get(item, "embedding", &embedding) ||
        !crn_json_floats(embedding, NULL, 0, &dim)) {
        status = crn_error_set(err, CAIRN_EMBEDDER, "the answer's embedding is no array of numbers");
    } else if (dim == 0 || dim > CAIRN_DIM_MAX) {
        status = crn_error_set(err, CAIRN_EMBEDDER, "the answer's embedding has dim %zu; allowed are 1..%u",
                               dim, CAIRN_DIM_MAX);
    } else {
        *out_dim = (uint32_t)dim;
    }

done:
    crn_json_parser_free(parser);
    return status;
}

/* {"error":{"message":"..."}} as OpenAI has it, {"error":"..."}, {"message":"..."} and {"detail":"..."} as
 * others do. */
static bool find_message(struct crn_json root, struct crn_json *out_message)
{
    static const char *const members[] = {"error", "message", "detail"};

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct crn_json value, inner;
        if (!crn_json_get(root, members[i], &value)) continue;
        *out_message = crn_json_get(value, "message", &inner) ? inner : value;
        if (crn_json_type(*out_message) == CRN_JSON_STRING) return true;
    }
    return false;
}

void crn_openai_read_error(const struct crn_buf *answer, char *out, size_t size)
{
    struct crn_json root, message;
    struct crn_json_parser *parser = crn_json_parser_create();

    if (answer->len == 0) {
        snprintf(out, size, "(no words with it)");
    } else if (parser != NULL && crn_json_parse(parser, answer->data, answer->len, &root, NULL) == CAIRN_OK &&
               find_message(root, &message)) {
        snprintf(out, size, "%s", crn_json_string(message, &(size_t){0}));
    } else {
        snprintf(out, size, "%s", answer->data);
    }
    crn_json_parser_free(parser);
}
