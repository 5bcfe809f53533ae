/*
 * The rows of recent scopes, kept in step with the log. Agents ask within the same few scopes again and
 * again, and evaluating one may mean looking at every row; bringing one up to date means looking at what was
 * written since.
 *
 * An entry's set is never changed once it is shared: an update is a new set in the entry's place, and
 * searches that hold the old one keep it. Sets are small beside the rows they name (an eighth of a byte a
 * row, or far less), so copying one is cheap. A snapshot that is older than the entry is answered without it.
 * The mutex guards the entries, and is never held while the store is read; two threads that miss at once both
 * evaluate, and the newer set stays.
 */
#include "engine/filter_parts.h"
#include "engine/filter_rows.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define ENTRIES_MAX 256u
#define ENTRY_BYTES 256u /* of an entry and of the set's own structures, about */

/* Rows that changed are read one by one, so at most one in this many, and some, are looked at; with more in
 * the log the whole scope is evaluated anew. */
#define CATCH_UP_SHARE 8u
#define CATCH_UP_MIN 1024u

struct entry {
    uint64_t hash;
    char *key;
    size_t key_len;
    struct crn_rows *rows;
    size_t bytes;
    uint64_t used; /* the cache's clock when it was last asked for */
};

struct crn_scope_cache {
    pthread_mutex_t mutex; /* guards all below */
    size_t max_bytes;
    size_t bytes;
    uint64_t clock;
    size_t count;
    struct entry entries[ENTRIES_MAX];
};

/* ---- sets ---- */

static struct crn_rows *rows_create(roaring_bitmap_t *locals, uint64_t sequence)
{
    struct crn_rows *rows = crn_mem_alloc(sizeof *rows);

    if (rows == NULL) return NULL;
    rows->locals = locals;
    rows->sequence = sequence;
    rows->parts = crn_mem_calloc(1, sizeof *rows->parts); /* without, searches are slower, not wrong */
    atomic_init(&rows->references, 1);
    return rows;
}

/* The caller holds a reference, or the mutex of the cache that does. */
static struct crn_rows *rows_retain(struct crn_rows *rows)
{
    atomic_fetch_add_explicit(&rows->references, 1, memory_order_relaxed);
    return rows;
}

void crn_rows_release(struct crn_rows *rows)
{
    if (rows == NULL) return;
    /* Release orders this holder's reads before the count, acquire orders the freeing behind all of them. */
    if (atomic_fetch_sub_explicit(&rows->references, 1, memory_order_acq_rel) != 1) return;
    roaring_bitmap_free(rows->locals);
    if (rows->parts != NULL) crn_filter_parts_release(rows->parts);
    crn_mem_free(rows->parts);
    crn_mem_free(rows);
}

/* ---- entries; the mutex is held ---- */

static void remove_entry(struct crn_scope_cache *cache, size_t i)
{
    struct entry *entry = &cache->entries[i];

    cache->bytes -= entry->bytes;
    crn_rows_release(entry->rows);
    crn_mem_free(entry->key);
    *entry = cache->entries[--cache->count];
}

static void remove_oldest(struct crn_scope_cache *cache)
{
    size_t oldest = 0;

    for (size_t i = 1; i < cache->count; i++) {
        if (cache->entries[i].used < cache->entries[oldest].used) oldest = i;
    }
    remove_entry(cache, oldest);
}

static struct entry *find_entry(struct crn_scope_cache *cache, const struct crn_buf *key, uint64_t hash)
{
    for (size_t i = 0; i < cache->count; i++) {
        struct entry *entry = &cache->entries[i];
        if (entry->hash == hash && entry->key_len == key->len &&
            memcmp(entry->key, key->data, key->len) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Makes room and puts a set in, in the place of an older one of the same key. A set that does not fit is not
 * kept. */
static void insert_entry(struct crn_scope_cache *cache, const struct crn_buf *key, uint64_t hash,
                         struct crn_rows *rows)
{
    const uint32_t most = roaring_bitmap_is_empty(rows->locals) ? 0 : roaring_bitmap_maximum(rows->locals);
    const size_t bytes = ENTRY_BYTES + key->len + roaring_bitmap_portable_size_in_bytes(rows->locals) +
                         crn_filter_parts_bytes(most);
    struct entry *present = find_entry(cache, key, hash);

    if (present != NULL && present->rows->sequence >= rows->sequence) return;
    if (present != NULL) remove_entry(cache, (size_t)(present - cache->entries));
    if (bytes > cache->max_bytes) return;
    while (cache->count == ENTRIES_MAX || cache->bytes > cache->max_bytes - bytes) remove_oldest(cache);

    char *copy = crn_mem_strndup(key->data, key->len);
    if (copy == NULL) return; /* an entry less, not an error */
    cache->entries[cache->count++] = (struct entry){
        .hash = hash,
        .key = copy,
        .key_len = key->len,
        .rows = rows_retain(rows),
        .bytes = bytes,
        .used = ++cache->clock,
    };
    cache->bytes += bytes;
}

/* ---- the cache ---- */

struct crn_scope_cache *crn_scope_cache_create(size_t max_bytes)
{
    struct crn_scope_cache *cache = crn_mem_calloc(1, sizeof *cache);

    if (cache == NULL) return NULL;
    cache->max_bytes = max_bytes;
    pthread_mutex_init(&cache->mutex, NULL);
    return cache;
}

void crn_scope_cache_clear(struct crn_scope_cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    while (cache->count > 0) remove_entry(cache, cache->count - 1);
    pthread_mutex_unlock(&cache->mutex);
}

void crn_scope_cache_free(struct crn_scope_cache *cache)
{
    if (cache == NULL) return;
    crn_scope_cache_clear(cache);
    pthread_mutex_destroy(&cache->mutex);
    crn_mem_free(cache);
}

static struct crn_rows *cache_get(struct crn_scope_cache *cache, const struct crn_buf *key, uint64_t hash)
{
    struct crn_rows *rows = NULL;

    if (cache == NULL) return NULL;
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_entry(cache, key, hash);
    if (entry != NULL) {
        entry->used = ++cache->clock;
        rows = rows_retain(entry->rows);
    }
    pthread_mutex_unlock(&cache->mutex);
    return rows;
}

static void cache_put(struct crn_scope_cache *cache, const struct crn_buf *key, uint64_t hash,
                      struct crn_rows *rows)
{
    if (cache == NULL) return;
    pthread_mutex_lock(&cache->mutex);
    insert_entry(cache, key, hash, rows);
    pthread_mutex_unlock(&cache->mutex);
}

/* Each part with a mark that it is there and its length, so that no two scopes share a key. */
static cairn_status scope_key(const cairn_scope *scope, struct crn_buf *key)
{
    const char *parts[] = {scope->domain, scope->agent, scope->type, scope->filter};

    crn_buf_append(key, &scope->min_confidence, sizeof scope->min_confidence);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t len = parts[i] != NULL ? strlen(parts[i]) : SIZE_MAX;
        crn_buf_append(key, &len, sizeof len);
        if (parts[i] != NULL) crn_buf_append(key, parts[i], len);
    }
    return key->failed;
}

/* ---- following the log ---- */

struct changes {
    uint32_t collection;
    roaring_bitmap_t *locals;
    bool settings; /* the collection's settings changed */
};

static cairn_status note_change(void *ctx, const struct crn_log_entry *entry)
{
    struct changes *changes = ctx;

    if (entry->op == CRN_LOG_SEGMENTS || entry->key >> 32 != changes->collection) return CAIRN_OK;
    if (entry->op == CRN_LOG_CATALOG) {
        changes->settings = true;
    } else {
        roaring_bitmap_add(changes->locals, (uint32_t)entry->key);
    }
    return CAIRN_OK;
}

/* The old set with what changed since looked at again. *out_locals stays NULL when evaluating anew is the
 * better way. */
static cairn_status catch_up(const struct crn_filter_source *source, const cairn_scope *scope,
                             const struct crn_rows *old, uint64_t sequence, roaring_bitmap_t **out_locals,
                             cairn_error *err)
{
    struct changes changes = {.collection = source->catalog->id};
    roaring_bitmap_t *locals = NULL;
    uint64_t total;
    cairn_status status;

    CRN_TRY(crn_read_count(source->reader, source->catalog->id, &total, err));
    if (sequence - old->sequence > total / CATCH_UP_SHARE + CATCH_UP_MIN) return CAIRN_OK;
    changes.locals = roaring_bitmap_create();
    if (changes.locals == NULL) return crn_error_no_memory(err, sizeof *changes.locals);

    cairn_error cause;
    status = crn_read_log(source->reader, old->sequence, note_change, &changes, &cause);
    if (status == CAIRN_CONFLICT || changes.settings) {
        status = CAIRN_OK; /* the log was trimmed, or rows alone do not tell all that changed */
        goto done;
    }
    if (status != CAIRN_OK) {
        status = crn_error_set(err, status, "%s", cause.message);
        goto done;
    }
    locals = roaring_bitmap_copy(old->locals);
    if (locals == NULL) {
        status = crn_error_no_memory(err, sizeof *locals);
        goto done;
    }
    if (!roaring_bitmap_is_empty(changes.locals)) {
        status = crn_scope_update(source, scope, changes.locals, locals, err);
    }

done:
    roaring_bitmap_free(changes.locals);
    if (status != CAIRN_OK && locals != NULL) {
        roaring_bitmap_free(locals);
        locals = NULL;
    }
    *out_locals = locals;
    return status;
}

/* A set as of `sequence`, from `old` (NULL: none, or one of no use) if that is the shorter way. */
static cairn_status make_rows(const struct crn_filter_source *source, const cairn_scope *scope,
                              const struct crn_rows *old, uint64_t sequence, struct crn_rows **out_rows,
                              cairn_error *err)
{
    roaring_bitmap_t *locals = NULL;

    if (old != NULL && old->sequence < sequence) {
        CRN_TRY(catch_up(source, scope, old, sequence, &locals, err));
    }
    if (locals == NULL) {
        CRN_TRY(crn_scope_evaluate(source, scope, &locals, err));
        roaring_bitmap_run_optimize(locals);
        roaring_bitmap_shrink_to_fit(locals);
    }
    *out_rows = rows_create(locals, sequence);
    if (*out_rows != NULL) return CAIRN_OK;
    roaring_bitmap_free(locals);
    crn_error_no_memory(err, sizeof **out_rows);
    return CAIRN_NO_MEMORY;
}

cairn_status crn_scope_rows(struct crn_scope_cache *cache, struct crn_reader *reader,
                            const struct crn_catalog *catalog, const cairn_scope *scope,
                            struct crn_rows **out_rows, cairn_error *err)
{
    const cairn_scope everything = {.size = sizeof everything};
    const struct crn_filter_source source = {.cache = cache, .reader = reader, .catalog = catalog};
    struct crn_rows *old = NULL;
    struct crn_buf key;
    uint64_t sequence;
    cairn_status status;

    *out_rows = NULL;
    if (scope == NULL) scope = &everything;
    crn_buf_init(&key, SIZE_MAX - 1);
    status = scope_key(scope, &key);
    if (status != CAIRN_OK) {
        status = crn_error_set(err, status, "scope: no memory for its text");
        goto done;
    }
    status = crn_read_sequence(reader, &sequence, err);
    if (status != CAIRN_OK) goto done;

    const uint64_t hash = crn_hash64(key.data, key.len, 0);
    old = cache_get(cache, &key, hash);
    if (old != NULL && old->sequence == sequence) {
        *out_rows = old;
        old = NULL;
        goto done;
    }
    status = make_rows(&source, scope, old, sequence, out_rows, err);
    if (status == CAIRN_OK) cache_put(cache, &key, hash, *out_rows);

done:
    crn_rows_release(old);
    crn_buf_release(&key);
    return status;
}
