/* Opening databases, collections and embedders by the command line. */
#include "cli/store.h"

#include "base/error.h"
#include "base/mem.h"
#include "cli/schema.h"

#include <stdlib.h>
#include <string.h>

#define NGRAM_MODEL "cairn-ngram-1"
#define OPENAI_PREFIX "openai:"

static const char *collection_name;
static const struct crn_cli_option collection_options[] = {
    CRN_CLI_OPTION_TEXT("collection", "NAME", collection_name, "the collection (default: default)",
                        .letter = 'c'),
    {0},
};
const struct crn_cli_group crn_cli_collection_group = {"Collection", collection_options};

static const char *embed_spec;
static const struct crn_cli_option embed_options[] = {
    CRN_CLI_OPTION_TEXT("embed", "EMBEDDER", embed_spec,
                        "what makes vectors of texts: ngram, ngram:DIM or openai:URL,MODEL"),
    {0},
};
const struct crn_cli_group crn_cli_embed_group = {"Embedding (a key is read from CAIRN_EMBED_KEY)",
                                                  embed_options};

static struct {
    uint64_t dim;
    unsigned metric, quantization;
    const char *index;
    const char *model;
    bool lexical;
} settings;
static const struct crn_cli_option settings_options[] = {
    CRN_CLI_OPTION_COUNT("dim", "N", 1, CAIRN_DIM_MAX, settings.dim, "components of a vector"),
    CRN_CLI_OPTION_CHOICE("metric", "cosine|l2|dot|manhattan", settings.metric,
                          "how vectors compare (default: cosine)"),
    CRN_CLI_OPTION_CHOICE("quantization", "none|scalar|f16|binary|product|scalar4", settings.quantization,
                          "what a search scans (default: none)"),
    CRN_CLI_OPTION_TEXT("index", "KIND", settings.index,
                        "auto, flat, graph, ivf[:LISTS], gpu[:CODES] or faiss:FACTORY (default: auto)"),
    CRN_CLI_OPTION_TEXT("model", "NAME", settings.model, "the embedding model that makes the vectors"),
    CRN_CLI_OPTION_FLAG("lexical", settings.lexical, "keep a full-text index over the texts"),
    {0},
};
const struct crn_cli_group crn_cli_settings_group = {"Settings of a new collection", settings_options};

const char *crn_cli_collection_name(void)
{
    return collection_name != NULL ? collection_name : "default";
}

bool crn_cli_collection_given(void)
{
    return collection_name != NULL;
}

bool crn_cli_embed_given(void)
{
    return embed_spec != NULL;
}

bool crn_cli_settings_given(void)
{
    return settings.dim > 0 || settings.metric > 0 || settings.quantization > 0 || settings.index != NULL ||
           settings.model != NULL || settings.lexical;
}

cairn_collection_options crn_cli_settings(void)
{
    return (cairn_collection_options){
        .size = sizeof(cairn_collection_options),
        .dim = (uint32_t)settings.dim,
        .metric = (cairn_metric)settings.metric, /* a choice's number is the enum's: zero is the default */
        .quantization = (cairn_quantization)settings.quantization,
        .index = settings.index,
        .model = settings.model,
        .lexical = settings.lexical,
    };
}

/* "openai:URL,MODEL"; the model is what stands behind the last comma. */
static cairn_status open_openai(const char *spec, uint32_t dim, cairn_embedder **out, cairn_error *err)
{
    const char *comma = strrchr(spec, ',');

    if (comma == NULL || comma == spec || comma[1] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "--embed openai:URL,MODEL lacks its URL or its model: '%s'", spec);
    }
    char *url = crn_mem_strndup(spec, (size_t)(comma - spec));
    if (url == NULL) return crn_error_no_memory(err, strlen(spec));
    cairn_status status =
        cairn_embedder_openai(CAIRN_OPTIONS(cairn_openai_options, .url = url, .model = comma + 1,
                                            .api_key = getenv("CAIRN_EMBED_KEY"), .dim = dim),
                              out, err);
    crn_mem_free(url);
    return status;
}

/* By --embed; `dim` is the space's, 0 while there is none. */
static cairn_status open_embedder(const char *spec, uint32_t dim, cairn_embedder **out, cairn_error *err)
{
    if (strncmp(spec, OPENAI_PREFIX, strlen(OPENAI_PREFIX)) == 0) {
        return open_openai(spec + strlen(OPENAI_PREFIX), dim, out, err);
    }
    if (strcmp(spec, "ngram") == 0) return cairn_embedder_ngram(dim, out, err);
    if (strncmp(spec, "ngram:", 6) == 0) {
        char *end;
        unsigned long own_dim = strtoul(spec + 6, &end, 10);
        if (spec[6] >= '0' && spec[6] <= '9' && *end == '\0' && own_dim > 0 && own_dim <= CAIRN_DIM_MAX) {
            return cairn_embedder_ngram((uint32_t)own_dim, out, err);
        }
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                         "--embed wants ngram, ngram:DIM or openai:URL,MODEL, not '%s'", spec);
}

const cairn_space_options *crn_cli_store_space(const cairn_collection_options *options,
                                               cairn_space_options *scratch)
{
    if (options->space_count > 0) return &options->spaces[0];
    if (options->dim == 0) return NULL;
    *scratch = (cairn_space_options){.size = sizeof *scratch,
                                     .dim = options->dim,
                                     .metric = options->metric,
                                     .quantization = options->quantization,
                                     .index = options->index,
                                     .model = options->model};
    return scratch;
}

cairn_status crn_cli_store_open_db(struct crn_cli_store *store, const char *path, enum crn_cli_access access,
                                   cairn_error *err)
{
    cairn_open_options options = {.size = sizeof options,
                                  .must_exist = access == CRN_CLI_READ || access == CRN_CLI_WRITE,
                                  .no_background = access == CRN_CLI_READ,
                                  .bulk_load = access == CRN_CLI_LOAD};

    *store = (struct crn_cli_store){0};
    cairn_status status = cairn_open(path, &options, &store->db, err);
    if (status != CAIRN_READ_ONLY || access != CRN_CLI_READ) return status;
    options.read_only = true;
    return cairn_open(path, &options, &store->db, err);
}

/* Attaches the embedder that --embed names, or the built-in one where it made the vectors. */
static cairn_status attach(struct crn_cli_store *store, cairn_error *err)
{
    cairn_collection_options options = {.size = sizeof options};
    cairn_space_options scratch;
    const char *spec = embed_spec;

    cairn_collection_get_options(store->collection, &options);
    const cairn_space_options *space = crn_cli_store_space(&options, &scratch);
    bool built_in = space != NULL && space->model != NULL && strcmp(space->model, NGRAM_MODEL) == 0;
    if (spec == NULL && built_in) spec = "ngram";
    if (spec == NULL) return CAIRN_OK;

    CRN_TRY(open_embedder(spec, space != NULL ? space->dim : 0, &store->embedder, err));
    return cairn_collection_attach(store->collection, store->embedder, err);
}

cairn_status crn_cli_store_collection(struct crn_cli_store *store, bool *out_exists, cairn_error *err)
{
    cairn_collection_options options = crn_cli_settings();

    cairn_status status =
        cairn_collection_open(store->db, crn_cli_collection_name(), NULL, &store->collection, err);
    *out_exists = status != CAIRN_NO_COLLECTION;
    if (status == CAIRN_NO_COLLECTION) return CAIRN_OK;
    if (status == CAIRN_OK &&
        crn_cli_settings_given()) { /* once more: what was asked for must be what it is */
        cairn_collection_close(store->collection);
        store->collection = NULL;
        status =
            cairn_collection_open(store->db, crn_cli_collection_name(), &options, &store->collection, err);
    }
    return status == CAIRN_OK ? attach(store, err) : status;
}

cairn_status crn_cli_store_open(struct crn_cli_store *store, const char *path, enum crn_cli_access access,
                                cairn_error *err)
{
    CRN_TRY(crn_cli_store_open_db(store, path, access, err));
    CRN_TRY(cairn_collection_open(store->db, crn_cli_collection_name(), NULL, &store->collection, err));
    return attach(store, err);
}

/* Fills in what the command line leaves open, and makes the embedder where one is wanted. Text needs one; a
 * collection whose dim is given by somebody who states no model does not. */
static cairn_status complete(struct crn_cli_store *store, cairn_collection_options *options,
                             const cairn_pattern *first, cairn_error *err)
{
    bool has_vector = first != NULL && first->vector != NULL;
    const char *spec = embed_spec;

    if (options->dim == 0 && has_vector) options->dim = first->dim;
    if (options->model == NULL && has_vector) options->model = first->model;
    if (spec == NULL && options->model == NULL && (options->dim == 0 || (first != NULL && !has_vector)))
        spec = "ngram";
    if (spec == NULL && options->model != NULL && strcmp(options->model, NGRAM_MODEL) == 0) spec = "ngram";
    if (spec == NULL) return CAIRN_OK;

    CRN_TRY(open_embedder(spec, options->dim, &store->embedder, err));
    if (options->dim == 0) options->dim = store->embedder->dim;
    if (options->model == NULL) options->model = store->embedder->model;
    return CAIRN_OK;
}

cairn_status crn_cli_store_complete(struct crn_cli_store *store, cairn_collection_options *options,
                                    cairn_error *err)
{
    if (options->dim == 0 && embed_spec == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the dim is not known; give --dim N, or --embed ngram");
    }
    return complete(store, options, NULL, err);
}

cairn_status crn_cli_store_create(struct crn_cli_store *store, const char *schema, const cairn_pattern *first,
                                  cairn_error *err)
{
    cairn_collection_options options = crn_cli_settings();
    bool exists;

    if (schema != NULL && !crn_cli_settings_given() && embed_spec == NULL) {
        CRN_TRY(crn_cli_schema_create(store->db, crn_cli_collection_name(), schema, err));
        return crn_cli_store_collection(store, &exists, err);
    }
    CRN_TRY(complete(store, &options, first, err));
    CRN_TRY(cairn_collection_open(store->db, crn_cli_collection_name(), &options, &store->collection, err));
    return store->embedder != NULL ? cairn_collection_attach(store->collection, store->embedder, err)
                                   : CAIRN_OK;
}

void crn_cli_store_close(struct crn_cli_store *store)
{
    cairn_collection_close(store->collection);
    cairn_embedder_free(store->embedder);
    cairn_close(store->db);
    *store = (struct crn_cli_store){0};
}
