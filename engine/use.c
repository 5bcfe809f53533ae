/*
 * Use counts: gathered in memory, folded into the next write or written once a second. What is lost when a process dies is
 * what it gathered since; nothing else depends on them.
 */
#include "engine/collection.h"

#include "base/error.h"
#include "base/mem.h"

#define GATHERED_MAX 65536u /* rows; beyond it the oldest way out is taken: they are written at once */

struct use_count {
    uint32_t local;
    int64_t uses;
    int64_t last_used_ms;
};

/* A list sorted by arrival: a row used twice stands twice, and the store adds them up. */
struct crn_use_counts {
    struct use_count *rows;
    size_t count, capacity;
};

struct crn_use_batch {
    struct crn_use_counts taken;
};

struct crn_use_counts *crn_use_counts_create(void)
{
    return crn_mem_calloc(1, sizeof(struct crn_use_counts));
}

void crn_use_counts_free(struct crn_use_counts *uses)
{
    if (uses == NULL) return;
    crn_mem_free(uses->rows);
    crn_mem_free(uses);
}

/* Counting is best effort: without memory a use is not counted. */
static void add(struct crn_use_counts *uses, const struct use_count *rows, size_t count)
{
    if (uses->count + count > uses->capacity) {
        const size_t capacity = (uses->count + count) * 2;
        struct use_count *more =
            capacity > 2 * GATHERED_MAX ? NULL : crn_mem_realloc_array(uses->rows, capacity, sizeof *more);
        if (more == NULL) return;
        uses->rows = more;
        uses->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) uses->rows[uses->count++] = rows[i];
}

void crn_collection_touch(cairn_collection *collection, const uint32_t *locals, size_t count, int64_t now_ms)
{
    if (crn_store_read_only(collection->db->store)) return;
    pthread_mutex_lock(&collection->mutex);
    for (size_t i = 0; i < count; i++) {
        const struct use_count row = {.local = locals[i], .uses = 1, .last_used_ms = now_ms};
        add(collection->uses, &row, 1);
    }
    pthread_mutex_unlock(&collection->mutex);
}

struct crn_use_batch *crn_uses_take(cairn_collection *collection)
{
    struct crn_use_batch *batch = NULL;

    pthread_mutex_lock(&collection->mutex);
    if (collection->uses->count != 0) batch = crn_mem_calloc(1, sizeof *batch);
    if (batch != NULL) {
        batch->taken = *collection->uses;
        *collection->uses = (struct crn_use_counts){0};
    }
    pthread_mutex_unlock(&collection->mutex);
    return batch;
}

cairn_status crn_uses_write(struct crn_txn *txn, cairn_collection *collection,
                            const struct crn_use_batch *batch, cairn_error *err)
{
    for (size_t i = 0; i < batch->taken.count; i++) {
        const struct use_count *row = &batch->taken.rows[i];
        CRN_TRY(crn_txn_use(txn, collection->id, row->local, row->uses, row->last_used_ms, err));
    }
    return CAIRN_OK;
}

void crn_uses_settle(cairn_collection *collection, struct crn_use_batch *batch, bool written)
{
    if (batch == NULL) return;
    if (!written) {
        pthread_mutex_lock(&collection->mutex);
        add(collection->uses, batch->taken.rows, batch->taken.count);
        pthread_mutex_unlock(&collection->mutex);
    }
    crn_mem_free(batch->taken.rows);
    crn_mem_free(batch);
}

struct flush {
    cairn_collection *collection;
    struct crn_use_batch *batch;
};

static cairn_status run_flush(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct flush *flush = ctx;

    CRN_TRY(crn_txn_collection_check(txn, flush->collection->id, err));
    return crn_uses_write(txn, flush->collection, flush->batch, err);
}

cairn_status crn_collection_flush_uses(cairn_collection *collection, cairn_error *err)
{
    struct flush flush = {.collection = collection, .batch = crn_uses_take(collection)};
    const struct crn_write_job job = {.run = run_flush, .ctx = &flush};

    if (flush.batch == NULL) return CAIRN_OK;
    const cairn_status status = crn_store_write(collection->db->store, &job, err);
    /* Rows of a dropped collection need no counts. */
    crn_uses_settle(collection, flush.batch, status == CAIRN_OK || status == CAIRN_NO_COLLECTION);
    return status;
}
