#include "engine/tail.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/tail_graph.h"

#include <string.h>

#define CHUNK_BYTES (1u << 20)
#define BLOCK_BYTES (64u << 10)

/* Ids lie one behind the other in blocks; the newest block is first. */
struct crn_id_block {
    struct crn_id_block *next;
    size_t used;
    char bytes[BLOCK_BYTES];
};

static uint32_t rows_of_chunk(uint32_t dim)
{
    uint32_t rows = 16;

    while (rows < 4096 && (size_t)rows * 2 * dim * sizeof(float) <= CHUNK_BYTES) rows *= 2;
    return rows;
}

/* Memory whose pages are there once they are written to, unlike those of a heap that uses blocks again: most tails are
 * short, and there is one for each collection in use. */
static void *map_lazily(size_t size_bytes)
{
    void *memory = crn_mem_reserve(size_bytes);

    if (memory == NULL || crn_mem_commit(memory, size_bytes)) return memory;
    crn_mem_unreserve(memory, size_bytes);
    return NULL;
}

static size_t vector_bytes(const struct crn_tail *tail)
{
    return (size_t)tail->chunk_rows * tail->dim * sizeof(float);
}

struct crn_tail *crn_tail_create(uint32_t dim)
{
    struct crn_tail *tail = crn_mem_calloc(1, sizeof *tail);

    if (tail == NULL) return NULL;
    tail->chunks = map_lazily(CRN_TAIL_CHUNKS_MAX * sizeof *tail->chunks);
    if (tail->chunks == NULL) {
        crn_mem_free(tail);
        return NULL;
    }
    atomic_init(&tail->references, 1);
    atomic_init(&tail->graph, NULL);
    pthread_mutex_init(&tail->graph_mutex, NULL);
    tail->dim = dim;
    tail->chunk_rows = rows_of_chunk(dim);
    return tail;
}

void crn_tail_retain(struct crn_tail *tail)
{
    /* Relaxed: whoever retains holds a reference already. */
    atomic_fetch_add_explicit(&tail->references, 1, memory_order_relaxed);
}

static void chunk_free(const struct crn_tail *tail, struct crn_tail_chunk *chunk)
{
    if (chunk == NULL) return;
    crn_mem_unreserve(chunk->vectors, vector_bytes(tail));
    crn_mem_free(chunk->locals);
    crn_mem_free(chunk->ids);
    crn_mem_free(chunk);
}

void crn_tail_release(struct crn_tail *tail)
{
    /* Acquire and release: the last holder must see what the others did. */
    if (tail == NULL || atomic_fetch_sub_explicit(&tail->references, 1, memory_order_acq_rel) != 1) return;
    /* Relaxed: the reference count has ordered it. */
    crn_tail_graph_free(atomic_load_explicit(&tail->graph, memory_order_relaxed));
    pthread_mutex_destroy(&tail->graph_mutex);
    for (size_t i = 0; i < CRN_TAIL_CHUNKS_MAX && tail->chunks[i] != NULL; i++)
        chunk_free(tail, tail->chunks[i]);
    while (tail->blocks != NULL) {
        struct crn_id_block *next = tail->blocks->next;
        crn_mem_free(tail->blocks);
        tail->blocks = next;
    }
    crn_local_map_clear(&tail->map);
    crn_mem_unreserve(tail->chunks, CRN_TAIL_CHUNKS_MAX * sizeof *tail->chunks);
    crn_mem_free(tail);
}

static struct crn_tail_chunk *chunk_create(const struct crn_tail *tail)
{
    struct crn_tail_chunk *chunk = crn_mem_calloc(1, sizeof *chunk);

    if (chunk == NULL) return NULL;
    chunk->vectors = map_lazily(vector_bytes(tail));
    chunk->locals = crn_mem_array(tail->chunk_rows, sizeof *chunk->locals);
    chunk->ids = crn_mem_array(tail->chunk_rows, sizeof *chunk->ids);
    if (chunk->vectors == NULL || chunk->locals == NULL || chunk->ids == NULL) {
        chunk_free(tail, chunk);
        return NULL;
    }
    return chunk;
}

static const char *keep_id(struct crn_tail *tail, const char *id, size_t size)
{
    struct crn_id_block *block = tail->blocks;

    if (block == NULL || sizeof block->bytes - block->used < size) {
        block = crn_mem_alloc(sizeof *block);
        if (block == NULL) return NULL;
        block->next = tail->blocks;
        block->used = 0;
        tail->blocks = block;
    }
    char *kept = block->bytes + block->used;
    memcpy(kept, id, size);
    block->used += size;
    return kept;
}

cairn_status crn_tail_append(struct crn_tail *tail, const struct crn_tail_row *row, cairn_error *err)
{
    const uint32_t number = tail->count / tail->chunk_rows;
    const uint32_t at = tail->count % tail->chunk_rows;

    if (number >= CRN_TAIL_CHUNKS_MAX) {
        return crn_error_set(err, CAIRN_LIMIT,
                             "%u rows wait for cairn_optimize: no more can be kept in memory", tail->count);
    }
    if (tail->chunks[number] == NULL) tail->chunks[number] = chunk_create(tail);
    struct crn_tail_chunk *chunk = tail->chunks[number];
    const char *kept = chunk == NULL ? NULL : keep_id(tail, row->id, row->id_size);
    if (kept == NULL || !crn_local_map_set(&tail->map, row->local, tail->count)) {
        return crn_error_no_memory(err, tail->dim * sizeof *row->vector);
    }
    memcpy(chunk->vectors + (size_t)at * tail->dim, row->vector, tail->dim * sizeof *row->vector);
    chunk->locals[at] = row->local;
    chunk->ids[at] = kept;
    tail->count++;
    return CAIRN_OK;
}
