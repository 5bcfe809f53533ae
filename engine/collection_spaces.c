/* The vector spaces of a collection: checking settings of one, finding one, adding and dropping, telling them all. */
#include "engine/codec.h"
#include "engine/collection.h"
#include "engine/prepare.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* ---- options to settings ---- */

static cairn_status check_index(const char *index, uint32_t dim, cairn_metric metric, cairn_error *err)
{
    const char *spec;

    if (strcmp(index, "auto") == 0 || strcmp(index, "flat") == 0) return CAIRN_OK;
    const struct crn_index_ops *ops = crn_index_find(index, &spec);
    if (ops == NULL) {
        return crn_error_set(
            err, CAIRN_INVALID_OPTION,
            "index '%.60s' is none of auto, flat, graph, ivf[:<lists>], gpu[:<codes>], faiss:<factory string>",
            index);
    }
    const enum crn_op op = metric == CAIRN_METRIC_L2          ? CRN_OP_L2
                           : metric == CAIRN_METRIC_MANHATTAN ? CRN_OP_L1
                                                              : CRN_OP_DOT;
    return ops->check(spec, dim, op, err);
}

static cairn_status check_space_enums(const cairn_space_options *options, cairn_error *err)
{
    if ((unsigned)options->kind > CAIRN_SPACE_MULTI) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a kind of space", (int)options->kind);
    }
    if ((unsigned)options->metric > CAIRN_METRIC_MANHATTAN) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a metric", (int)options->metric);
    }
    if (crn_quantization_name(options->quantization) == NULL) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a quantization",
                             (int)options->quantization);
    }
    return CAIRN_OK;
}

cairn_status crn_space_set(struct crn_space *space, const cairn_space_options *options, cairn_error *err)
{
    CRN_TRY(check_space_enums(options, err));
    CRN_TRY(crn_check_name("space name", options->name, err));
    CRN_TRY(crn_check_name("model", options->model, err));
    const bool sparse = options->kind == CAIRN_SPACE_SPARSE;
    if (!sparse && (options->dim == 0 || options->dim > CAIRN_DIM_MAX)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "dim %u is not between 1 and %u", options->dim,
                             CAIRN_DIM_MAX);
    }
    if (sparse && options->dim != 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a sparse space has no dim, %u was given",
                             options->dim);
    }
    space->kind = options->kind;
    space->dim = options->dim;
    space->metric = options->metric != 0 ? options->metric : sparse ? CAIRN_METRIC_DOT : CAIRN_METRIC_COSINE;
    space->quantization = options->quantization != 0 ? options->quantization : CAIRN_QUANTIZATION_NONE;
    if (sparse && space->metric != CAIRN_METRIC_DOT) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "a sparse space is compared by dot product only");
    }
    const struct crn_codec *codec = crn_codec_of(space->quantization);
    if (codec != NULL && !codec->compares_l1 && space->metric == CAIRN_METRIC_MANHATTAN) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%s quantization has no manhattan distances",
                             codec->name);
    }
    space->name = crn_mem_strdup(options->name == NULL ? "" : options->name);
    space->index = crn_mem_strdup(options->index == NULL ? "auto" : options->index);
    space->model = crn_mem_strdup(options->model);
    if (space->name == NULL || space->index == NULL || (space->model == NULL && options->model != NULL)) {
        return crn_error_no_memory(err, CAIRN_NAME_MAX);
    }
    if (options->kind == CAIRN_SPACE_DENSE) return check_index(space->index, space->dim, space->metric, err);
    return CAIRN_OK;
}

/* ---- the live spaces of settings ---- */

static struct crn_live_space *find_live(const cairn_collection *collection, uint32_t id)
{
    struct crn_live_space *space = collection->spaces;

    while (space != NULL && space->info->id != id) space = space->next;
    return space;
}

static void tell_space(const struct crn_space *space, cairn_space_options *out)
{
    *out = (cairn_space_options){
        .size = sizeof *out,
        .name = space->name,
        .kind = space->kind,
        .dim = space->dim,
        .metric = space->metric,
        .quantization = space->quantization,
        .index = space->index,
        .model = space->model,
    };
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_spaces(const struct crn_space_list *list, const struct crn_catalog *catalog)
{
    if (list->count != catalog->space_count) return false;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->spaces[i].id != catalog->spaces[i].id) return false;
        if (!same_text(list->spaces[i].model, catalog->spaces[i].model)) return false;
    }
    return true;
}

void crn_collection_free_spaces(struct crn_space *spaces, uint32_t count)
{
    struct crn_catalog holder = {.spaces = spaces, .space_count = count};

    crn_catalog_release(&holder);
}

/* All but the spaces. */
static void free_list(struct crn_space_list *list)
{
    if (list == NULL) return;
    crn_mem_free(list->live);
    crn_mem_free(list->options);
    crn_mem_free(list);
}

void crn_collection_free_space_lists(cairn_collection *collection)
{
    while (collection->spaces != NULL) {
        struct crn_live_space *space = collection->spaces;
        collection->spaces = space->next;
        crn_live_space_release(space);
        crn_mem_free(space);
    }
    while (collection->space_lists != NULL) {
        struct crn_space_list *list = collection->space_lists;
        collection->space_lists = list->older;
        crn_collection_free_spaces(list->spaces, list->count);
        free_list(list);
    }
}

static struct crn_space_list *create_list(const struct crn_catalog *catalog)
{
    struct crn_space_list *list = crn_mem_calloc(1, sizeof *list);

    if (list == NULL) return NULL;
    list->spaces = catalog->spaces;
    list->count = catalog->space_count;
    list->live = crn_mem_calloc(list->count, sizeof(struct crn_live_space *));
    list->options = crn_mem_calloc(list->count, sizeof *list->options);
    if (list->live != NULL && list->options != NULL) return list;
    free_list(list);
    return NULL;
}

/* Gives a list its live spaces. False: no memory, and nothing has changed. */
static bool settle_spaces(cairn_collection *collection, struct crn_space_list *list)
{
    struct crn_live_space *made = NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        tell_space(&list->spaces[i], &list->options[i]);
        list->live[i] = find_live(collection, list->spaces[i].id);
        if (list->live[i] != NULL) continue;
        struct crn_live_space *space = crn_mem_calloc(1, sizeof *space);
        if (space == NULL) {
            while (made != NULL) {
                struct crn_live_space *next = made->next;
                crn_live_space_release(made);
                crn_mem_free(made);
                made = next;
            }
            return false;
        }
        crn_live_space_init(space, collection, &list->spaces[i]);
        space->next = made;
        list->live[i] = made = space;
    }
    while (made != NULL) {
        struct crn_live_space *next = made->next;
        made->next = collection->spaces;
        collection->spaces = made;
        made = next;
    }
    return true;
}

cairn_status crn_collection_share_spaces(cairn_collection *collection, struct crn_catalog_version *version,
                                         bool make, cairn_error *err)
{
    struct crn_catalog *catalog = &version->catalog;
    struct crn_space_list *list = collection->space_lists;

    while (list != NULL && !same_spaces(list, catalog)) list = list->older;
    if (list != NULL) {
        crn_collection_free_spaces(catalog->spaces, catalog->space_count);
        catalog->spaces = list->spaces;
        version->list = list;
        return CAIRN_OK;
    }
    if (!make) return CAIRN_OK;
    list = create_list(catalog);
    if (list == NULL || !settle_spaces(collection, list)) {
        free_list(list);
        return crn_error_no_memory(err, catalog->space_count * sizeof(struct crn_live_space));
    }
    list->older = collection->space_lists;
    collection->space_lists = list;
    version->list = list;
    return CAIRN_OK;
}

/* ---- finding one ---- */

static bool find_space(const cairn_collection *collection, const char *name,
                       struct crn_live_space **out_space, const struct crn_space **out_info)
{
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        /* Without a name: the space named "", or else the first. */
        const bool unnamed = name == NULL || name[0] == '\0';
        if (unnamed ? i != 0 : strcmp(now->spaces[i].name, name) != 0) continue;
        *out_space = now->live[i];
        if (out_info != NULL) *out_info = &now->spaces[i];
        return true;
    }
    return false;
}

/* Brings the settings up to date. */
static cairn_status follow(cairn_collection *collection, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    crn_store_read_end(reader);
    return CAIRN_OK;
}

cairn_status crn_collection_space(cairn_collection *collection, const char *name,
                                  struct crn_live_space **out_space, const struct crn_space **out_info,
                                  cairn_error *err)
{
    if (find_space(collection, name, out_space, out_info)) return CAIRN_OK;
    CRN_TRY(follow(collection, err)); /* it may be newer than the settings at hand */
    if (find_space(collection, name, out_space, out_info)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection '%s' has no space '%.60s'",
                         cairn_collection_name(collection), name);
}

/* ---- adding and dropping ---- */

struct space_job {
    cairn_collection *collection;
    const char *name;        /* of the space to drop */
    struct crn_space *space; /* to add; NULL: drop */
};

static cairn_status run_space(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct space_job *job = ctx;
    const struct crn_catalog *catalog;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    if (job->space != NULL) return crn_txn_space_add(txn, catalog, job->space, err);
    for (uint32_t i = 0; i < catalog->space_count; i++) {
        if (strcmp(catalog->spaces[i].name, job->name) == 0)
            return crn_txn_space_drop(txn, catalog, catalog->spaces[i].id, err);
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection '%s' has no space '%.60s'", catalog->name,
                         job->name);
}

static cairn_status change_spaces(struct space_job *job, cairn_error *err)
{
    const struct crn_write_job write = {.run = run_space, .ctx = job};
    const cairn_db *db = job->collection->db;

    if (crn_store_read_only(db->store)) {
        return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only", crn_store_path(db->store));
    }
    CRN_TRY(crn_store_write(db->store, &write, err));
    return follow(job->collection, err);
}

cairn_status cairn_collection_add_space(cairn_collection *collection, const cairn_space_options *options,
                                        cairn_error *err)
{
    struct crn_space space = {0};
    struct space_job job = {.collection = collection, .space = &space};

    if (collection == NULL || options == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is NULL",
                             collection == NULL ? "collection" : "options");
    }
    CRN_TRY(crn_check_size("cairn_space_options", options->size, sizeof *options, err));
    if (options->name == NULL || options->name[0] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a space that is added needs a name");
    }
    cairn_status status = crn_space_set(&space, options, err);
    if (status == CAIRN_OK) status = change_spaces(&job, err);
    crn_mem_free(space.name);
    crn_mem_free(space.index);
    crn_mem_free(space.model);
    return status;
}

cairn_status cairn_collection_drop_space(cairn_collection *collection, const char *name, cairn_error *err)
{
    struct space_job job = {.collection = collection, .name = name};
    struct crn_live_space *live;

    if (collection == NULL || name == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is NULL",
                             collection == NULL ? "collection" : "name");
    }
    const bool known = find_space(collection, name, &live, NULL);
    CRN_TRY(change_spaces(&job, err));
    if (known && live->info->kind == CAIRN_SPACE_DENSE) crn_live_space_forget(live);
    return CAIRN_OK;
}

/* ---- telling ---- */

void cairn_collection_get_options(const cairn_collection *collection, cairn_collection_options *out_options)
{
    if (collection == NULL || out_options == NULL) return;
    const struct crn_space_list *now = crn_collection_now(collection);
    const struct crn_space *first = &now->spaces[0];
    *out_options = (cairn_collection_options){
        .size = sizeof *out_options,
        .dim = first->dim,
        .metric = first->metric,
        .quantization = first->quantization,
        .index = first->index,
        .model = first->model,
        .spaces = now->options,
        .space_count = now->count,
        .lexical = collection->first_catalog->catalog.lexical,
        .metadata = collection->first_catalog->catalog.metadata,
    };
}
