/*
 * Collections kept open between requests, with their settings, and aliases.
 *
 * What the engine does not know of a collection is in its metadata, {"qdrant": {"config": …, "payload_schema": …}}; other members of
 * the metadata are left alone. Aliases are in the database's metadata, so that several change in one transaction.
 * An entry is immutable and counted: the registry holds one reference while the entry is the newest, each call one more.
 */
#include "server/qdrant_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* ---- reading settings ---- */

static cairn_space_kind kind_of(struct crn_json params, bool sparse)
{
    struct crn_json multi;

    if (sparse) return CAIRN_SPACE_SPARSE;
    return crn_qd_member(params, "multivector_config", &multi) ? CAIRN_SPACE_MULTI : CAIRN_SPACE_DENSE;
}

static void read_vector_settings(struct crn_qd_vector *out, const char *name, struct crn_json params,
                                 bool sparse)
{
    struct crn_json value;
    size_t length;

    *out = (struct crn_qd_vector){.name = name, .kind = kind_of(params, sparse), .distance = QD_DOT};
    if (crn_qd_member(params, "size", &value)) out->dim = (uint32_t)crn_json_u64(value);
    if (crn_qd_member(params, "distance", &value))
        (void)crn_qd_distance_of(crn_json_string(value, &length), &out->distance);
    if (crn_qd_member(params, "modifier", &value))
        out->idf = strcmp(crn_json_string(value, &length), "idf") == 0;
}

static bool read_vectors(struct crn_qd_collection *collection)
{
    struct crn_json params, vectors, sparse, value;
    struct crn_json_iter it;
    const char *name;
    size_t length;

    if (!crn_json_get(collection->config, "params", &params)) return false;
    const bool has_vectors = crn_json_get(params, "vectors", &vectors),
               has_sparse = crn_json_get(params, "sparse_vectors", &sparse);
    const size_t most =
        (has_vectors ? crn_json_size(vectors) : 0) + (has_sparse ? crn_json_size(sparse) : 0) + 1;
    collection->vectors = crn_mem_calloc(most, sizeof *collection->vectors);
    if (collection->vectors == NULL) return false;
    if (has_vectors && crn_json_get(vectors, "size", &value) && crn_json_is_number(value)) {
        read_vector_settings(&collection->vectors[collection->vector_count++], "", vectors, false);
    } else if (has_vectors) {
        for (crn_json_iter_init(&it, vectors); crn_json_iter_next(&it, &value, &name, &length);) {
            read_vector_settings(&collection->vectors[collection->vector_count++], name, value, false);
        }
    }
    if (!has_sparse) return true;
    for (crn_json_iter_init(&it, sparse); crn_json_iter_next(&it, &value, &name, &length);) {
        read_vector_settings(&collection->vectors[collection->vector_count++], name, value, true);
    }
    return true;
}

/* Parses what the entry answers with: its own settings, or what can be told of a collection that another program has made. */
static cairn_status read_settings(struct crn_qd_collection *collection, const char *metadata,
                                  cairn_error *err)
{
    struct crn_json root, own;
    struct crn_buf text;
    cairn_collection_options options;

    cairn_status status = crn_json_parse(collection->parser, metadata, strlen(metadata), &root, err);
    if (status != CAIRN_OK) return status;
    if (!crn_json_get(root, "qdrant", &own)) {
        cairn_collection_get_options(collection->handle, &options);
        crn_buf_init(&text, SIZE_MAX / 2);
        crn_qd_foreign_config(&options, &text);
        status = text.failed != CAIRN_OK ? text.failed
                                         : crn_json_parse(collection->parser, text.data, text.len, &own, err);
        crn_buf_release(&text);
        if (status != CAIRN_OK) return status;
    }
    if (!crn_json_get(own, "config", &collection->config) ||
        !crn_json_get(own, "payload_schema", &collection->payload_schema)) {
        return CAIRN_CORRUPT;
    }
    if (!read_vectors(collection)) return CAIRN_NO_MEMORY;
    crn_qd_strict_read(collection->config, collection);
    return CAIRN_OK;
}

static void free_entry(struct crn_qd_collection *collection)
{
    if (collection == NULL) return;
    cairn_collection_close(collection->handle);
    crn_json_parser_free(collection->parser);
    pthread_mutex_destroy(&collection->meter.mutex);
    crn_mem_free(collection->vectors);
    crn_mem_free(collection->name);
    crn_mem_free(collection);
}

static cairn_status open_entry(struct crn_qdrant *qdrant, const char *name, struct crn_qd_collection **out,
                               cairn_error *err)
{
    struct crn_qd_collection *collection = crn_mem_calloc(1, sizeof *collection);
    char *metadata = NULL;
    cairn_status status = CAIRN_NO_MEMORY;

    if (collection == NULL) return status;
    pthread_mutex_init(&collection->meter.mutex, NULL);
    collection->name = crn_mem_strdup(name);
    collection->parser = crn_json_parser_create();
    if (collection->name != NULL && collection->parser != NULL) {
        status = cairn_collection_open(qdrant->db, name, NULL, &collection->handle, err);
    }
    if (status == CAIRN_OK) status = cairn_collection_get_metadata(collection->handle, &metadata, err);
    if (status == CAIRN_OK) status = read_settings(collection, metadata == NULL ? "{}" : metadata, err);
    cairn_free(metadata);
    if (status != CAIRN_OK) {
        free_entry(collection);
        return status;
    }
    *out = collection;
    return CAIRN_OK;
}

/* ---- the registry; `locked`: the mutex is held ---- */

static struct crn_qd_collection *find_locked(struct crn_qdrant *qdrant, const char *name)
{
    struct crn_qd_collection *entry = qdrant->collections;

    while (entry != NULL && strcmp(entry->name, name) != 0) entry = entry->next;
    return entry;
}

/* Takes an entry out of the list; its reference is the caller's. */
static void unlink_locked(struct crn_qdrant *qdrant, struct crn_qd_collection *entry)
{
    struct crn_qd_collection **link = &qdrant->collections;

    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    qdrant->open_count--;
}

/* Drops a reference; an entry that nobody uses is to be freed outside the lock. */
static struct crn_qd_collection *drop_locked(struct crn_qd_collection *entry)
{
    return --entry->references == 0 ? entry : NULL;
}

/* When too many are open, the one that was used longest ago and is not in use. NULL: none. */
static struct crn_qd_collection *evict_locked(struct crn_qdrant *qdrant)
{
    struct crn_qd_collection *oldest = NULL;

    if (qdrant->open_count <= qdrant->open_max) return NULL;
    for (struct crn_qd_collection *entry = qdrant->collections; entry != NULL; entry = entry->next) {
        if (entry->references == 1 && (oldest == NULL || entry->used < oldest->used)) oldest = entry;
    }
    if (oldest == NULL) return NULL;
    unlink_locked(qdrant, oldest);
    return drop_locked(oldest);
}

void crn_qd_forget(struct crn_qdrant *qdrant, const char *name)
{
    struct crn_qd_collection *unused = NULL;

    pthread_mutex_lock(&qdrant->mutex);
    struct crn_qd_collection *entry = find_locked(qdrant, name);
    if (entry != NULL) {
        unlink_locked(qdrant, entry);
        unused = drop_locked(entry);
    }
    pthread_mutex_unlock(&qdrant->mutex);
    free_entry(unused);
}

void crn_qd_close_all(struct crn_qdrant *qdrant)
{
    while (qdrant->collections != NULL) {
        struct crn_qd_collection *entry = qdrant->collections;
        qdrant->collections = entry->next;
        free_entry(entry);
    }
}

/* Puts a new entry in the place of the one of its name. The list takes the reference. */
static void publish(struct crn_qdrant *qdrant, struct crn_qd_collection *entry)
{
    struct crn_qd_collection *unused = NULL;

    pthread_mutex_lock(&qdrant->mutex);
    struct crn_qd_collection *old = find_locked(qdrant, entry->name);
    if (old != NULL) {
        unlink_locked(qdrant, old);
        unused = drop_locked(old);
    }
    entry->next = qdrant->collections;
    qdrant->collections = entry;
    qdrant->open_count++;
    entry->references++;
    entry->used = ++qdrant->clock;
    struct crn_qd_collection *evicted = evict_locked(qdrant);
    pthread_mutex_unlock(&qdrant->mutex);
    free_entry(unused);
    free_entry(evicted);
}

/* ---- leases ---- */

static struct crn_qd_collection *lease_known(struct crn_qdrant *qdrant, const char *name)
{
    pthread_mutex_lock(&qdrant->mutex);
    struct crn_qd_collection *entry = find_locked(qdrant, name);
    if (entry != NULL) {
        entry->references++;
        entry->used = ++qdrant->clock;
    }
    pthread_mutex_unlock(&qdrant->mutex);
    return entry;
}

/* Opening is under the settings lock, so that an entry with old settings is never put over a newer one. */
static struct crn_qd_collection *lease_opened(struct crn_qd_call *call, const char *name,
                                              cairn_status *out_status)
{
    struct crn_qdrant *qdrant = call->qdrant;
    cairn_error err = {0};

    *out_status = CAIRN_OK;
    pthread_mutex_lock(&qdrant->settings);
    struct crn_qd_collection *entry = lease_known(qdrant, name);
    if (entry == NULL) {
        *out_status = open_entry(qdrant, name, &entry, &err);
        if (*out_status == CAIRN_OK) {
            entry->references = 1;
            publish(qdrant, entry);
        }
    }
    pthread_mutex_unlock(&qdrant->settings);
    if (*out_status != CAIRN_OK && *out_status != CAIRN_NO_COLLECTION) crn_qd_ok(call, *out_status, &err);
    return *out_status == CAIRN_OK ? entry : NULL;
}

/* A batch may name the same collection in each of its requests. */
static struct crn_qd_collection *leased_already(const struct crn_qd_call *call, const char *name)
{
    for (size_t i = 0; i < call->lease_count; i++) {
        if (call->lease_names[i] != NULL && strcmp(call->lease_names[i], name) == 0) return call->leases[i];
    }
    return NULL;
}

struct crn_qd_collection *crn_qd_lease(struct crn_qd_call *call, const char *name)
{
    cairn_status status = CAIRN_OK;

    if (!crn_qd_may_use(call, name, strlen(name))) return NULL;
    struct crn_qd_collection *already = leased_already(call, name);
    if (already != NULL) return already;
    if (call->lease_count == QD_LEASES_MAX) {
        crn_qd_fail(call, 400, "Wrong input: more than %d collections in one request", QD_LEASES_MAX);
        return NULL;
    }
    struct crn_qd_collection *entry = lease_known(call->qdrant, name);
    if (entry == NULL) {
        const char *target = crn_qd_resolve_alias(call, name);
        if (call->status != 0) return NULL;
        if (target != NULL && !crn_qd_may_use(call, target, strlen(target))) return NULL;
        if (target != NULL) entry = lease_known(call->qdrant, target);
        if (entry == NULL) entry = lease_opened(call, target != NULL ? target : name, &status);
    }
    if (entry == NULL && status == CAIRN_NO_COLLECTION)
        crn_qd_fail(call, 404, "Not found: Collection `%s` doesn't exist!", name);
    if (entry == NULL) return NULL;
    call->lease_names[call->lease_count] = name;
    call->leases[call->lease_count++] = entry;
    return entry;
}

void crn_qd_return_leases(struct crn_qd_call *call)
{
    for (size_t i = 0; i < call->lease_count; i++) {
        pthread_mutex_lock(&call->qdrant->mutex);
        struct crn_qd_collection *unused = drop_locked(call->leases[i]);
        pthread_mutex_unlock(&call->qdrant->mutex);
        free_entry(unused);
    }
    call->lease_count = 0;
}

const char *crn_qd_path_name(struct crn_qd_call *call)
{
    const struct crn_text *segment = &call->request->segments[1];

    if (segment->length == 0 || segment->length > CAIRN_NAME_MAX ||
        memchr(segment->data, '\0', segment->length) != NULL) {
        crn_qd_fail(
            call, 422,
            "Validation error in path parameters: [name: value \"%.*s\" invalid, must be from 1 to 255 characters]",
            (int)(segment->length > 300 ? 300 : segment->length), segment->data);
        return NULL;
    }
    return crn_qd_take_text(call, segment->data, segment->length);
}

struct crn_qd_collection *crn_qd_lease_of_path(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call);
    struct crn_qd_collection *collection = name == NULL ? NULL : crn_qd_lease(call, name);

    if (collection == NULL || !call->limited || crn_qd_strict_begin(call, collection)) return collection;
    return NULL;
}

/* ---- settings ---- */

bool crn_qd_store_settings(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *config,
                           const char *schema)
{
    struct crn_qd_collection *entry;
    struct crn_json old, patch;
    struct crn_buf own, merged;
    char *metadata = NULL;
    cairn_error err = {0};

    if (!crn_qd_ok(call, cairn_collection_get_metadata(collection->handle, &metadata, &err), &err))
        return false;
    crn_buf_init(&own, SIZE_MAX / 2);
    crn_buf_init(&merged, SIZE_MAX / 2);
    crn_buf_printf(&own, "{\"qdrant\":{\"config\":%s,\"payload_schema\":%s}}", config, schema);
    bool done =
        crn_qd_parse(call, metadata == NULL ? "{}" : metadata, metadata == NULL ? 2 : strlen(metadata), &old);
    cairn_free(metadata);
    done = done && own.failed == CAIRN_OK && crn_qd_parse(call, own.data, own.len, &patch);
    if (done) crn_qd_write_merged(&merged, old, patch, false);
    const char *text = done ? crn_qd_keep(call, &merged) : NULL;
    crn_buf_release(&own);
    crn_buf_release(&merged);
    if (text == NULL || !crn_qd_ok(call, cairn_collection_set_metadata(collection->handle, text, &err), &err))
        return false;
    if (!crn_qd_ok(call, open_entry(call->qdrant, collection->name, &entry, &err), &err)) return false;
    publish(call->qdrant, entry);
    return true;
}

/* A lease of the newest settings; under the settings lock. */
static struct crn_qd_collection *lease_newest(struct crn_qd_call *call, struct crn_qd_collection *known)
{
    struct crn_qd_collection *newest = lease_known(call->qdrant, known->name);

    if (newest == NULL) return known;
    call->lease_names[call->lease_count] = NULL;
    call->leases[call->lease_count++] = newest;
    return newest;
}

bool crn_qd_change_settings(struct crn_qd_call *call, crn_qd_change_fn work, crn_qd_change_fn change)
{
    struct crn_qdrant *qdrant = call->qdrant;
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    if (collection == NULL) return false;
    pthread_mutex_t *turn =
        &qdrant->changes[crn_hash64(collection->name, strlen(collection->name), 0) % QD_CHANGES];
    pthread_mutex_lock(turn);
    bool done = work == NULL || work(call, collection);
    if (done) {
        pthread_mutex_lock(&qdrant->settings);
        done = change(call, lease_newest(call, collection));
        pthread_mutex_unlock(&qdrant->settings);
    }
    pthread_mutex_unlock(turn);
    return done;
}

const struct crn_qd_vector *crn_qd_find_vector(const struct crn_qd_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->vector_count; i++) {
        if (strcmp(collection->vectors[i].name, name) == 0) return &collection->vectors[i];
    }
    return NULL;
}

const struct crn_qd_vector *crn_qd_need_vector(struct crn_qd_call *call,
                                               const struct crn_qd_collection *collection, const char *name)
{
    const struct crn_qd_vector *vector = crn_qd_find_vector(collection, name);

    if (vector == NULL) crn_qd_fail(call, 400, "Wrong input: Not existing vector name error: %s", name);
    return vector;
}

/* ---- aliases ---- */

struct crn_json crn_qd_aliases(struct crn_qd_call *call)
{
    struct crn_json aliases = {0};

    pthread_mutex_lock(&call->qdrant->mutex);
    const char *text = crn_qd_take_text(call, call->qdrant->aliases, strlen(call->qdrant->aliases));
    pthread_mutex_unlock(&call->qdrant->mutex);
    if (text != NULL) (void)crn_qd_parse(call, text, strlen(text), &aliases);
    return aliases;
}

const char *crn_qd_resolve_alias(struct crn_qd_call *call, const char *alias)
{
    struct crn_json target;
    size_t length;

    const struct crn_json aliases = crn_qd_aliases(call);
    if (call->status != 0 || !crn_json_get(aliases, alias, &target)) return NULL;
    const char *text = crn_json_string(target, &length);
    return crn_qd_take_text(call, text, length);
}
