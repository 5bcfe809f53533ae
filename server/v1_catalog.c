/*
 * Collections kept open between requests. An entry is counted: the registry holds one reference, each call one more.
 * Where the built-in embedder made the vectors it is attached, so that texts may be given instead.
 */
#include "server/v1_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

static void free_entry(struct crn_v1_collection *entry)
{
    if (entry == NULL) return;
    cairn_collection_close(entry->handle);
    crn_mem_free(entry->name);
    crn_mem_free(entry);
}

static cairn_status attach_embedder(struct crn_v1 *v1, cairn_collection *handle, cairn_error *err)
{
    cairn_collection_options options = {.size = sizeof options};
    const cairn_embedder *embedder = NULL;

    cairn_collection_get_options(handle, &options); /* of the default space */
    CRN_TRY(crn_v1_embedder_find(v1, options.model, options.dim, &embedder, err));
    if (embedder == NULL) return CAIRN_OK;
    const cairn_status status = cairn_collection_attach(handle, embedder, err);
    return status == CAIRN_DIM_MISMATCH ? CAIRN_OK
                                        : status; /* a space of several vectors a pattern takes no texts */
}

static cairn_status open_entry(struct crn_v1 *v1, const char *name, struct crn_v1_collection **out,
                               cairn_error *err)
{
    struct crn_v1_collection *entry = crn_mem_calloc(1, sizeof *entry);

    if (entry == NULL) return crn_error_no_memory(err, sizeof *entry);
    entry->name = crn_mem_strdup(name);
    cairn_status status = entry->name != NULL ? CAIRN_OK : crn_error_no_memory(err, strlen(name));
    if (status == CAIRN_OK) status = cairn_collection_open(v1->db, name, NULL, &entry->handle, err);
    if (status == CAIRN_OK) status = attach_embedder(v1, entry->handle, err);
    if (status != CAIRN_OK) {
        free_entry(entry);
        return status;
    }
    *out = entry;
    return CAIRN_OK;
}

/* ---- the registry; `locked`: the mutex is held ---- */

static void unlink_locked(struct crn_v1 *v1, struct crn_v1_collection *entry)
{
    struct crn_v1_collection **link = &v1->collections;

    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    v1->open_count--;
}

/* Drops a reference; an entry that nobody uses is to be freed outside the lock. */
static struct crn_v1_collection *drop_locked(struct crn_v1_collection *entry)
{
    return --entry->references == 0 ? entry : NULL;
}

/* When too many are open, the one that was used longest ago and is not in use. NULL: none. */
static struct crn_v1_collection *evict_locked(struct crn_v1 *v1)
{
    struct crn_v1_collection *oldest = NULL;

    if (v1->open_count <= v1->open_max) return NULL;
    for (struct crn_v1_collection *entry = v1->collections; entry != NULL; entry = entry->next) {
        if (entry->references == 1 && (oldest == NULL || entry->used < oldest->used)) oldest = entry;
    }
    if (oldest == NULL) return NULL;
    unlink_locked(v1, oldest);
    return drop_locked(oldest);
}

static struct crn_v1_collection *lease_known(struct crn_v1 *v1, const char *name)
{
    pthread_mutex_lock(&v1->mutex);
    struct crn_v1_collection *entry = v1->collections;
    while (entry != NULL && strcmp(entry->name, name) != 0) entry = entry->next;
    if (entry != NULL) {
        entry->references++;
        entry->used = ++v1->clock;
    }
    pthread_mutex_unlock(&v1->mutex);
    return entry;
}

/* One reference for the list, one for the caller. */
static void publish(struct crn_v1 *v1, struct crn_v1_collection *entry)
{
    pthread_mutex_lock(&v1->mutex);
    entry->references = 2;
    entry->used = ++v1->clock;
    entry->next = v1->collections;
    v1->collections = entry;
    v1->open_count++;
    struct crn_v1_collection *evicted = evict_locked(v1);
    pthread_mutex_unlock(&v1->mutex);
    free_entry(evicted);
}

void crn_v1_forget(struct crn_v1 *v1, const char *name)
{
    struct crn_v1_collection *unused = NULL;

    pthread_mutex_lock(&v1->mutex);
    struct crn_v1_collection *entry = v1->collections;
    while (entry != NULL && strcmp(entry->name, name) != 0) entry = entry->next;
    if (entry != NULL) {
        unlink_locked(v1, entry);
        unused = drop_locked(entry);
    }
    pthread_mutex_unlock(&v1->mutex);
    free_entry(unused);
}

void crn_v1_close_all(struct crn_v1 *v1)
{
    while (v1->collections != NULL) {
        struct crn_v1_collection *entry = v1->collections;
        v1->collections = entry->next;
        if (entry->handle != NULL) (void)!cairn_collection_attach(entry->handle, NULL, NULL);
        free_entry(entry);
    }
    crn_v1_embedders_free(v1);
}

/* ---- leases ---- */

const char *crn_v1_path_text(struct crn_v1_call *call, size_t segment)
{
    const struct crn_text *text = &call->request->segments[V1_LEADING_SEGMENTS + segment];
    const char *copy = crn_v1_take_text(call, text->data, text->length);

    if (copy != NULL && strlen(copy) != text->length) {
        crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "the path holds a NUL character");
        return NULL;
    }
    return copy;
}

cairn_collection *crn_v1_lease(struct crn_v1_call *call)
{
    struct crn_v1 *v1 = call->v1;
    const char *name = crn_v1_path_text(call, 1);
    cairn_error err = {0};

    if (name == NULL) return NULL;
    call->lease = lease_known(v1, name);
    call->lease_is_old = call->lease != NULL;
    if (call->lease == NULL) {
        struct crn_v1_collection *entry = NULL;
        cairn_status status = CAIRN_OK;
        pthread_mutex_lock(&v1->opening);
        call->lease = lease_known(v1, name); /* another has opened it meanwhile */
        if (call->lease == NULL) status = open_entry(v1, name, &entry, &err);
        if (entry != NULL) {
            publish(v1, entry);
            call->lease = entry;
        }
        pthread_mutex_unlock(&v1->opening);
        if (!crn_v1_ok(call, status, &err)) return NULL;
    }
    return call->lease->handle;
}

void crn_v1_return_lease(struct crn_v1_call *call)
{
    struct crn_v1_collection *unused = NULL;

    if (call->lease == NULL) return;
    pthread_mutex_lock(&call->v1->mutex);
    unused = drop_locked(call->lease);
    pthread_mutex_unlock(&call->v1->mutex);
    free_entry(unused);
    call->lease = NULL;
}
