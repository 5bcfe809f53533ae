/* Collections: creating, opening, listing, dropping, and following their settings. */
#include "engine/collection.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <string.h>

#define SCOPE_CACHE_BYTES (64u << 20)

/* ---- options to settings ---- */

static cairn_status set_spaces(struct crn_catalog *catalog, const cairn_collection_options *options,
                               cairn_error *err)
{
    const cairn_space_options single = {.size = sizeof single,
                                        .dim = options->dim,
                                        .metric = options->metric,
                                        .quantization = options->quantization,
                                        .index = options->index,
                                        .model = options->model};
    const cairn_space_options *spaces = options->space_count != 0 ? options->spaces : &single;
    const uint32_t count = options->space_count != 0 ? options->space_count : 1;

    if (spaces == NULL || count > CAIRN_SPACES_MAX) {
        return crn_error_set(err, spaces == NULL ? CAIRN_INVALID_ARGUMENT : CAIRN_LIMIT,
                             "%u spaces were announced, at most %u are possible", count, CAIRN_SPACES_MAX);
    }
    catalog->spaces = crn_mem_calloc(count, sizeof *catalog->spaces);
    if (catalog->spaces == NULL) return crn_error_no_memory(err, count * sizeof *catalog->spaces);
    catalog->space_count = count;
    for (uint32_t i = 0; i < count; i++) {
        CRN_TRY(crn_check_size("cairn_space_options", spaces[i].size, sizeof *spaces, err));
        CRN_TRY(crn_space_set(&catalog->spaces[i], &spaces[i], err));
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(catalog->spaces[j].name, catalog->spaces[i].name) == 0) {
                return crn_error_set(err, CAIRN_EXISTS, "two spaces are named '%s'", catalog->spaces[i].name);
            }
        }
    }
    return CAIRN_OK;
}

static cairn_status check_json_object(const char *what, const char *json, cairn_error *err)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json root;

    if (parser == NULL) return crn_error_no_memory(err, strlen(json));
    cairn_status status = crn_json_parse(parser, json, strlen(json), &root, err);
    if (status == CAIRN_OK && crn_json_type(root) != CRN_JSON_OBJECT) {
        status = crn_error_set(err, CAIRN_INVALID_JSON, "the %s is %s, not an object", what,
                               crn_json_type_name(root));
    }
    crn_json_parser_free(parser);
    return status;
}

static cairn_status make_catalog(const char *name, const cairn_collection_options *options,
                                 struct crn_catalog *catalog, cairn_error *err)
{
    memset(catalog, 0, sizeof *catalog);
    CRN_TRY(crn_check_size("cairn_collection_options", options->size, sizeof *options, err));
    if (options->metadata != NULL) CRN_TRY(check_json_object("metadata", options->metadata, err));
    catalog->lexical = options->lexical;
    catalog->created_at_ms = crn_clock_ms();
    catalog->name = crn_mem_strdup(name);
    catalog->metadata = crn_mem_strdup(options->metadata);
    if (catalog->name == NULL || (catalog->metadata == NULL && options->metadata != NULL)) {
        return crn_error_no_memory(err, CAIRN_NAME_MAX);
    }
    return set_spaces(catalog, options, err);
}

/* ---- creating and dropping ---- */

static cairn_status run_create(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

cairn_status cairn_collection_create(cairn_db *db, const char *name, const cairn_collection_options *options,
                                     cairn_error *err)
{
    struct crn_catalog catalog;
    const struct crn_write_job job = {.run = run_create, .ctx = &catalog};

    CRN_TRY(crn_collection_check_name(db, name, err));
    if (options == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "options are NULL: a collection needs a dim at least");
    cairn_status status = make_catalog(name, options, &catalog, err);
    if (status == CAIRN_OK) status = crn_store_write(db->store, &job, err);
    crn_catalog_release(&catalog);
    return status;
}

static cairn_status run_drop(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    CRN_TRY(crn_collection_still_named(txn, ctx, err));
    return crn_txn_collection_drop(txn, ctx, err);
}

cairn_status cairn_collection_drop(cairn_db *db, const char *name, cairn_error *err)
{
    struct crn_catalog catalog = {0};
    const struct crn_write_job job = {.run = run_drop, .ctx = &catalog};
    uint64_t sequence;

    CRN_TRY(crn_collection_check_name(db, name, err));
    CRN_TRY(crn_collection_read_settings(db, name, &catalog, &sequence, err));
    const cairn_status status = crn_store_write(db->store, &job, err);
    crn_catalog_release(&catalog);
    return status;
}

cairn_status cairn_collection_list(cairn_db *db, char ***out_names, size_t *out_count, cairn_error *err)
{
    struct crn_reader *reader;

    if (db == NULL || out_names == NULL || out_count == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    CRN_TRY(crn_store_read_begin(db->store, &reader, err));
    const cairn_status status = crn_read_collection_names(reader, out_names, out_count, err);
    crn_store_read_end(reader);
    return status;
}

/* ---- versions of settings ---- */

static struct crn_catalog_version *retain_version(struct crn_catalog_version *version)
{
    /* Relaxed: who takes a reference has one at hand, or the mutex. */
    atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
    return version;
}

static void release_version(void *object)
{
    struct crn_catalog_version *version = object;

    if (version == NULL) return;
    /* Release orders this holder's reads before the count, acquire orders the freeing behind all of them. */
    if (atomic_fetch_sub_explicit(&version->references, 1, memory_order_acq_rel) != 1) return;
    if (version->list != NULL) version->catalog.spaces = NULL;
    crn_catalog_release(&version->catalog);
    crn_mem_free(version);
}

/* Makes it the newest, if it is; takes a reference of its own. */
static void adopt_version(cairn_collection *collection, struct crn_catalog_version *version)
{
    struct crn_catalog_version *old = NULL;

    pthread_mutex_lock(&collection->mutex);
    if (version->sequence > collection->newest_catalog->sequence) {
        old = collection->newest_catalog;
        collection->newest_catalog = retain_version(version);
        (void)!crn_collection_note_name(collection, version->catalog.name, NULL);
        /* Release: pairs with the acquire of crn_collection_now. */
        atomic_store_explicit(&collection->newest_spaces, version->list, memory_order_release);
    }
    pthread_mutex_unlock(&collection->mutex);
    if (old == NULL) return;
    release_version(old);
    crn_scope_cache_clear(collection->scopes);
}

static struct crn_catalog_version *newest_version(cairn_collection *collection)
{
    pthread_mutex_lock(&collection->mutex);
    struct crn_catalog_version *version = retain_version(collection->newest_catalog);
    pthread_mutex_unlock(&collection->mutex);
    return version;
}

/* ---- opening ---- */

static void free_collection(cairn_collection *collection)
{
    release_version(collection->newest_catalog);
    release_version(collection->first_catalog);
    crn_collection_free_space_lists(collection);
    crn_collection_free_names(collection);
    crn_scope_cache_free(collection->scopes);
    crn_use_counts_free(collection->uses);
    pthread_mutex_destroy(&collection->mutex);
    crn_mem_free(collection);
}

/* The collection takes references of its own to the version. */
static cairn_status build_collection(cairn_db *db, struct crn_catalog_version *version,
                                     cairn_collection **out_collection, cairn_error *err)
{
    cairn_collection *collection = crn_mem_calloc(1, sizeof *collection);

    if (collection == NULL) return crn_error_no_memory(err, sizeof *collection);
    pthread_mutex_init(&collection->mutex, NULL);
    collection->db = db;
    collection->references = 1;
    atomic_init(&collection->merges_wanted, true); /* whoever had it open may have left some off */
    collection->id = version->catalog.id;
    collection->uses = crn_use_counts_create();
    collection->scopes = crn_scope_cache_create(SCOPE_CACHE_BYTES);
    cairn_status status = CAIRN_OK;
    if (collection->uses == NULL || collection->scopes == NULL)
        status = crn_error_no_memory(err, sizeof *collection);
    if (status == CAIRN_OK) status = crn_collection_note_name(collection, version->catalog.name, err);
    if (status == CAIRN_OK) status = crn_collection_share_spaces(collection, version, true, err);
    if (status != CAIRN_OK) {
        free_collection(collection);
        return status;
    }
    collection->first_catalog = retain_version(version);
    collection->newest_catalog = retain_version(version);
    atomic_init(&collection->newest_spaces, version->list);
    *out_collection = collection;
    return CAIRN_OK;
}

static cairn_status find_or_build(cairn_db *db, struct crn_catalog_version *version,
                                  cairn_collection **out_collection, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    pthread_mutex_lock(&db->mutex);
    cairn_collection *collection = db->collections;
    while (collection != NULL && collection->id != version->catalog.id) collection = collection->next;
    if (collection != NULL) {
        collection->references++;
    } else {
        status = build_collection(db, version, &collection, err);
        if (status == CAIRN_OK) {
            collection->next = db->collections;
            db->collections = collection;
        }
    }
    pthread_mutex_unlock(&db->mutex);
    *out_collection = collection;
    return status;
}

static struct crn_catalog_version *make_version(void)
{
    struct crn_catalog_version *version = crn_mem_calloc(1, sizeof *version);

    if (version == NULL) return NULL;
    atomic_init(&version->references, 1);
    return version;
}

/* The settings are those of the newest catalog: a collection of that name found open under an older id was dropped meanwhile. */
static cairn_status open_existing(cairn_db *db, const char *name, cairn_collection **out_collection,
                                  cairn_error *err)
{
    struct crn_catalog_version *version = make_version();

    if (version == NULL) return crn_error_no_memory(err, sizeof *version);
    cairn_status status = crn_collection_read_settings(db, name, &version->catalog, &version->sequence, err);
    if (status == CAIRN_OK) status = find_or_build(db, version, out_collection, err);
    if (status == CAIRN_OK) {
        pthread_mutex_lock(&(*out_collection)->mutex);
        if (version->list == NULL) status = crn_collection_share_spaces(*out_collection, version, true, err);
        pthread_mutex_unlock(&(*out_collection)->mutex);
        if (status == CAIRN_OK)
            adopt_version(*out_collection, version);
        else
            cairn_collection_close(*out_collection);
    }
    release_version(version);
    return status;
}

static cairn_status disagree(const char *name, const char *what, const char *has, const char *asked,
                             cairn_error *err)
{
    return crn_error_set(err, CAIRN_INVALID_OPTION,
                         "collection '%s' was created with %s %s, %s was asked for", name, what, has, asked);
}

static const char *metric_name(cairn_metric metric)
{
    static const char *const names[] = {"default", "cosine", "l2", "dot", "manhattan"};
    return (unsigned)metric < 5 ? names[metric] : "unknown";
}

static const char *kind_name(cairn_space_kind kind)
{
    static const char *const names[] = {"dense", "sparse", "multi"};
    return (unsigned)kind < 3 ? names[kind] : "unknown";
}

static cairn_status check_agreement(const struct crn_catalog *catalog, const struct crn_space *space,
                                    const cairn_space_options *asked, cairn_error *err)
{
    if (asked->kind != 0 && asked->kind != space->kind) {
        return disagree(catalog->name, "kind", kind_name(space->kind), kind_name(asked->kind), err);
    }
    if (asked->dim != 0 && asked->dim != space->dim) {
        return crn_error_set(err, CAIRN_DIM_MISMATCH,
                             "collection '%s' was created with dim %u, %u was asked for", catalog->name,
                             space->dim, asked->dim);
    }
    if (asked->metric != 0 && asked->metric != space->metric) {
        return disagree(catalog->name, "metric", metric_name(space->metric), metric_name(asked->metric), err);
    }
    if (asked->quantization != 0 && asked->quantization != space->quantization) {
        const char *name = crn_quantization_name(asked->quantization);
        if (name == NULL)
            return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a quantization",
                                 (int)asked->quantization);
        return disagree(catalog->name, "quantization", crn_quantization_name(space->quantization), name, err);
    }
    if (asked->index != NULL && strcmp(asked->index, space->index) != 0) {
        return disagree(catalog->name, "index", space->index, asked->index, err);
    }
    return crn_check_model(space, asked->model, err);
}

static cairn_status check_options(cairn_collection *collection, const struct crn_catalog *catalog,
                                  const cairn_collection_options *options, cairn_error *err)
{
    struct crn_live_space *live;
    const struct crn_space *space;

    if (options->space_count == 0) {
        const cairn_space_options single = {.dim = options->dim,
                                            .metric = options->metric,
                                            .index = options->index,
                                            .quantization = options->quantization,
                                            .model = options->model};
        CRN_TRY(check_agreement(catalog, &catalog->spaces[0], &single, err));
    }
    if (options->space_count != 0 && options->spaces == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%u spaces were announced, spaces is NULL",
                             options->space_count);
    }
    for (uint32_t i = 0; i < options->space_count; i++) {
        CRN_TRY(crn_check_size("cairn_space_options", options->spaces[i].size, sizeof *options->spaces, err));
        CRN_TRY(crn_collection_space(collection, options->spaces[i].name, &live, &space, err));
        CRN_TRY(check_agreement(catalog, space, &options->spaces[i], err));
    }
    if (options->lexical && !catalog->lexical) return disagree(catalog->name, "lexical", "off", "on", err);
    const char *metadata = catalog->metadata == NULL ? "{}" : catalog->metadata;
    if (options->metadata != NULL && strcmp(options->metadata, metadata) != 0) {
        return disagree(catalog->name, "metadata", metadata, options->metadata, err);
    }
    return CAIRN_OK;
}

cairn_status cairn_collection_open(cairn_db *db, const char *name, const cairn_collection_options *options,
                                   cairn_collection **out_collection, cairn_error *err)
{
    if (out_collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "out_collection is NULL");
    *out_collection = NULL;
    CRN_TRY(crn_collection_check_name(db, name, err));
    if (options != NULL)
        CRN_TRY(crn_check_size("cairn_collection_options", options->size, sizeof *options, err));
    cairn_collection *collection = NULL;
    cairn_status status = open_existing(db, name, &collection, err);
    if (status == CAIRN_NO_COLLECTION && options != NULL) {
        status = cairn_collection_create(db, name, options, err);
        /* Somebody else may have created it in between: then theirs is opened and must agree. */
        if (status == CAIRN_OK || status == CAIRN_EXISTS) status = open_existing(db, name, &collection, err);
    }
    if (status == CAIRN_OK && options != NULL) {
        struct crn_catalog_version *version = newest_version(collection);
        status = check_options(collection, &version->catalog, options, err);
        release_version(version);
        if (status != CAIRN_OK) cairn_collection_close(collection);
    }
    if (status == CAIRN_OK) *out_collection = collection;
    return status;
}

void crn_collection_catch_up(cairn_collection *collection, uint64_t sequence)
{
    const struct crn_space_list *now = crn_collection_now(collection);

    for (uint32_t i = 0; i < now->count; i++) {
        struct crn_live_space *space = now->live[i];
        if (space->info->kind == CAIRN_SPACE_DENSE) crn_live_space_catch_up(space, sequence);
    }
}

void crn_collection_retain_locked(cairn_collection *collection)
{
    collection->references++;
}

void cairn_collection_close(cairn_collection *collection)
{
    if (collection == NULL) return;
    cairn_db *db = collection->db;
    cairn_error err;

    /* Use counts are best effort: a failure here has nobody to be told to but the log. */
    if (crn_collection_flush_uses(collection, &err) != CAIRN_OK) {
        crn_log(&db->log, CAIRN_LOG_WARN, "use counts were not written: %s", err.message);
    }
    pthread_mutex_lock(&db->mutex);
    const bool last = --collection->references == 0;
    if (last) {
        cairn_collection **link = &db->collections;
        while (*link != collection) link = &(*link)->next;
        *link = collection->next;
    }
    pthread_mutex_unlock(&db->mutex);
    if (!last) return;
    if (db->options.bulk_load) crn_maintenance_end_bulk(collection);
    free_collection(collection);
}

/* ---- settings ---- */

struct crn_store *crn_collection_store(cairn_collection *collection)
{
    return collection->db->store;
}

/* Reads the settings anew through whichever of reader and txn is given. */
static cairn_status read_version(cairn_collection *collection, struct crn_reader *reader, struct crn_txn *txn,
                                 uint64_t sequence, struct crn_catalog_version **out_version,
                                 cairn_error *err)
{
    struct crn_catalog_version *version = make_version();

    if (version == NULL) return crn_error_no_memory(err, sizeof *version);
    version->sequence = sequence;
    cairn_status status = reader != NULL
                              ? crn_read_collection_by_id(reader, collection->id, &version->catalog, err)
                              : crn_txn_collection(txn, collection->id, &version->catalog, err);
    /* What a transaction has changed but not committed may yet fail: it serves that transaction alone. */
    const bool committed = reader != NULL || sequence <= crn_store_sequence(collection->db->store);
    if (status == CAIRN_OK) {
        pthread_mutex_lock(&collection->mutex);
        status = crn_collection_share_spaces(collection, version, committed, err);
        pthread_mutex_unlock(&collection->mutex);
    }
    if (status != CAIRN_OK) {
        release_version(version);
        return status;
    }
    if (committed) adopt_version(collection, version);
    *out_version = version;
    return CAIRN_OK;
}

static cairn_status follow_settings(cairn_collection *collection, struct crn_reader *reader,
                                    struct crn_txn *txn, const struct crn_catalog **out_catalog,
                                    cairn_error *err)
{
    uint64_t sequence;

    CRN_TRY(reader != NULL ? crn_read_settings_sequence(reader, collection->id, &sequence, err)
                           : crn_txn_settings_sequence(txn, collection->id, &sequence, err));
    struct crn_catalog_version *version = newest_version(collection);
    if (version->sequence != sequence) {
        release_version(version);
        CRN_TRY(read_version(collection, reader, txn, sequence, &version, err));
    }
    *out_catalog = &version->catalog;
    return reader != NULL ? crn_reader_keep(reader, version, release_version, err)
                          : crn_txn_keep(txn, version, release_version, err);
}

cairn_status crn_collection_follow_reader(cairn_collection *collection, struct crn_reader *reader,
                                          const struct crn_catalog **out_catalog, cairn_error *err)
{
    return follow_settings(collection, reader, NULL, out_catalog, err);
}

cairn_status crn_collection_follow_txn(cairn_collection *collection, struct crn_txn *txn,
                                       const struct crn_catalog **out_catalog, cairn_error *err)
{
    return follow_settings(collection, NULL, txn, out_catalog, err);
}

cairn_status crn_collection_read(cairn_collection *collection, struct crn_reader **out_reader,
                                 const struct crn_catalog **out_catalog, cairn_error *err)
{
    CRN_TRY(crn_store_read_begin(collection->db->store, out_reader, err));
    const cairn_status status = crn_collection_follow_reader(collection, *out_reader, out_catalog, err);
    if (status != CAIRN_OK) crn_store_read_end(*out_reader);
    return status;
}

cairn_status cairn_collection_attach(cairn_collection *collection, const cairn_embedder *embedder,
                                     cairn_error *err)
{
    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    if (embedder != NULL) {
        const struct crn_space *space = &crn_collection_now(collection)->spaces[0];
        CRN_TRY(crn_check_size("cairn_embedder", embedder->size, sizeof *embedder, err));
        if (embedder->embed == NULL || embedder->model == NULL) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the embedder's %s is NULL",
                                 embedder->embed == NULL ? "embed" : "model");
        }
        CRN_TRY(crn_check_name("model", embedder->model, err));
        CRN_TRY(crn_check_model(space, embedder->model, err));
        if (space->kind != CAIRN_SPACE_DENSE || embedder->dim != space->dim) {
            return crn_error_set(err, CAIRN_DIM_MISMATCH,
                                 "the embedder '%s' makes %u components, the space '%s' has %u",
                                 embedder->model, embedder->dim, space->name, space->dim);
        }
    }
    pthread_mutex_lock(&collection->mutex);
    collection->embedder = embedder;
    pthread_mutex_unlock(&collection->mutex);
    return CAIRN_OK;
}

/* ---- payload indexes ---- */

struct payload_index_job {
    cairn_collection *collection;
    const char *path;
    bool create;
};

static cairn_status run_payload_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct payload_index_job *job = ctx;
    const struct crn_catalog *catalog;

    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    return job->create ? crn_txn_payload_index_create(txn, catalog, job->path, err)
                       : crn_txn_payload_index_drop(txn, catalog, job->path, err);
}

static cairn_status change_payload_index(cairn_collection *collection, const char *path, bool create,
                                         cairn_error *err)
{
    struct payload_index_job job = {.collection = collection, .path = path, .create = create};
    const struct crn_write_job write = {.run = run_payload_index, .ctx = &job};

    if (collection == NULL || path == NULL || path[0] == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s",
                             collection == NULL ? "collection is NULL" : "the path is empty");
    }
    CRN_TRY(crn_check_name("path", path, err));
    return crn_store_write(collection->db->store, &write, err);
}

cairn_status cairn_payload_index_create(cairn_collection *collection, const char *path, cairn_error *err)
{
    return change_payload_index(collection, path, true, err);
}

cairn_status cairn_payload_index_drop(cairn_collection *collection, const char *path, cairn_error *err)
{
    return change_payload_index(collection, path, false, err);
}
