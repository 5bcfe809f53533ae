/* Settings as JSON. The words are those of the command line. */
#include "cli/schema.h"

#include "base/error.h"
#include "base/json.h"
#include "cli/record.h"

#include <string.h>

static const char *const kinds[] = {"dense", "sparse", "multi", NULL};
static const char *const metrics[] = {"default", "cosine", "l2", "dot", "manhattan", NULL};
static const char *const quantizations[] = {"default", "none",    "scalar",  "f16",
                                            "binary",  "product", "scalar4", NULL};

static void put_text(struct crn_buf *buf, const char *key, const char *text)
{
    if (text == NULL) return;
    crn_buf_printf(buf, ",\"%s\":", key);
    crn_buf_json_string(buf, text, strlen(text));
}

static void put_space(struct crn_buf *buf, const cairn_space_options *space)
{
    const char *name = space->name != NULL ? space->name : "";

    crn_buf_puts(buf, "{\"name\":");
    crn_buf_json_string(buf, name, strlen(name));
    put_text(buf, "kind", kinds[space->kind]);
    if (space->dim > 0) crn_buf_printf(buf, ",\"dim\":%u", space->dim);
    put_text(buf, "metric", metrics[space->metric]);
    put_text(buf, "quantization", quantizations[space->quantization]);
    put_text(buf, "index", space->index);
    put_text(buf, "model", space->model);
    crn_buf_putc(buf, '}');
}

/* The paths of the payload indexes, which only the statistics tell. */
static cairn_status put_payload_indexes(struct crn_buf *buf, cairn_collection *collection, cairn_error *err)
{
    struct crn_json root, paths;
    char *stats = NULL;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    cairn_status status = cairn_collection_stats(collection, &stats, err);
    if (status == CAIRN_OK) status = crn_json_parse(parser, stats, strlen(stats), &root, err);
    if (status == CAIRN_OK && crn_json_get(root, "payloadIndexes", &paths) && crn_json_size(paths) > 0) {
        crn_buf_puts(buf, ",\"payload_indexes\":");
        crn_json_write(paths, buf);
    }
    cairn_free(stats);
    crn_json_parser_free(parser);
    return status;
}

cairn_status crn_cli_schema_write(struct crn_buf *buf, cairn_collection *collection, cairn_error *err)
{
    cairn_collection_options options = {.size = sizeof options};
    const char *name = cairn_collection_name(collection);

    cairn_collection_get_options(collection, &options);
    crn_buf_puts(buf, "{\"collection\":");
    crn_buf_json_string(buf, name, strlen(name));
    crn_buf_printf(buf, ",\"lexical\":%s", options.lexical ? "true" : "false");
    if (options.metadata != NULL) {
        crn_buf_puts(buf, ",\"metadata\":");
        crn_cli_record_write_json(buf, options.metadata);
    }
    crn_buf_puts(buf, ",\"spaces\":[");
    for (uint32_t i = 0; i < options.space_count; i++) {
        if (i > 0) crn_buf_putc(buf, ',');
        put_space(buf, &options.spaces[i]);
    }
    crn_buf_putc(buf, ']');
    CRN_TRY(put_payload_indexes(buf, collection, err));
    if (crn_buf_putc(buf, '}') == CAIRN_OK) return CAIRN_OK;
    return crn_error_set(err, buf->failed, "no memory for the settings of %s", name);
}

/* A text member; left as it is when absent. */
static cairn_status read_text(struct crn_json object, const char *key, const char **out, cairn_error *err)
{
    struct crn_json value;
    size_t len;

    if (!crn_json_get(object, key, &value) || crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    if (crn_json_type(value) != CRN_JSON_STRING) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the schema's \"%s\" is %s, not a string", key,
                             crn_json_type_name(value));
    }
    *out = crn_json_string(value, &len);
    return CAIRN_OK;
}

/* A text member that is one of `words`; *out is its place. */
static cairn_status read_word(struct crn_json object, const char *key, const char *const words[],
                              unsigned *out, cairn_error *err)
{
    const char *word = NULL;

    CRN_TRY(read_text(object, key, &word, err));
    if (word == NULL) return CAIRN_OK;
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = i;
            return CAIRN_OK;
        }
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the schema's \"%s\" is '%s', which is none", key,
                         word);
}

static cairn_status read_space(struct crn_json object, cairn_space_options *out, cairn_error *err)
{
    struct crn_json dim;
    unsigned kind = 0;
    unsigned metric = 0;
    unsigned quantization = 0;

    *out = (cairn_space_options){.size = sizeof *out};
    CRN_TRY(read_text(object, "name", &out->name, err));
    CRN_TRY(read_text(object, "index", &out->index, err));
    CRN_TRY(read_text(object, "model", &out->model, err));
    CRN_TRY(read_word(object, "kind", kinds, &kind, err));
    CRN_TRY(read_word(object, "metric", metrics, &metric, err));
    CRN_TRY(read_word(object, "quantization", quantizations, &quantization, err));
    out->kind = (cairn_space_kind)kind;
    out->metric = (cairn_metric)metric;
    out->quantization = (cairn_quantization)quantization;
    if (!crn_json_get(object, "dim", &dim)) return CAIRN_OK;
    if (crn_json_type(dim) != CRN_JSON_I64 || crn_json_i64(dim) < 0 || crn_json_i64(dim) > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the schema's \"dim\" is no integer from 1 to %u",
                             CAIRN_DIM_MAX);
    }
    out->dim = (uint32_t)crn_json_i64(dim);
    return CAIRN_OK;
}

static cairn_status create(cairn_db *db, const char *name, struct crn_json schema, struct crn_buf *metadata,
                           cairn_error *err)
{
    cairn_space_options spaces[CAIRN_SPACES_MAX];
    cairn_collection_options options = {.size = sizeof options, .spaces = spaces};
    struct crn_json value, space;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    if (!crn_json_get(schema, "spaces", &value) || crn_json_size(value) == 0 ||
        crn_json_size(value) > CAIRN_SPACES_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the schema's \"spaces\" are not an array of 1 to %u spaces", CAIRN_SPACES_MAX);
    }
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &space, &key, &key_len);) {
        CRN_TRY(read_space(space, &spaces[options.space_count++], err));
    }
    options.lexical = crn_json_get(schema, "lexical", &value) && crn_json_type(value) == CRN_JSON_BOOL &&
                      crn_json_bool(value);
    if (crn_json_get(schema, "metadata", &value)) {
        if (crn_json_write(value, metadata) != CAIRN_OK)
            return crn_error_set(err, metadata->failed, "no memory for metadata");
        options.metadata = metadata->data;
    }
    return cairn_collection_create(db, name, &options, err);
}

static cairn_status create_payload_indexes(cairn_db *db, const char *name, struct crn_json schema,
                                           cairn_error *err)
{
    cairn_collection *collection;
    struct crn_json paths, path;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;

    if (!crn_json_get(schema, "payload_indexes", &paths)) return CAIRN_OK;
    CRN_TRY(cairn_collection_open(db, name, NULL, &collection, err));
    cairn_status status = CAIRN_OK;
    crn_json_iter_init(&it, paths);
    while (status == CAIRN_OK && crn_json_iter_next(&it, &path, &key, &key_len)) {
        size_t len;
        const char *text = crn_json_string(path, &len); /* "" when it is none, which is refused */
        status = cairn_payload_index_create(collection, text, err);
    }
    cairn_collection_close(collection);
    return status;
}

cairn_status crn_cli_schema_create(cairn_db *db, const char *name, const char *schema, cairn_error *err)
{
    struct crn_json root;
    struct crn_buf metadata;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    crn_buf_init(&metadata, CAIRN_PAYLOAD_MAX);
    cairn_status status = crn_json_parse(parser, schema, strlen(schema), &root, err);
    if (status == CAIRN_OK) status = create(db, name, root, &metadata, err);
    if (status == CAIRN_OK) status = create_payload_indexes(db, name, root, err);
    crn_buf_release(&metadata);
    crn_json_parser_free(parser);
    return status;
}
