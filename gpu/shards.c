#include "gpu/shards.h"

#include "base/error.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

#define BLOCK_ROWS 1024u /* dealt out at a time; a multiple of 64, so that bitmaps are dealt by words */

struct shard {
    struct crn_gpu_set *set;
    struct crn_gpu_stream *stream;
    /* One search. */
    struct crn_gpu_query query;
    uint64_t *allow;
    float *distances;
    uint32_t *labels;
    cairn_status status;
    cairn_error err;
};

struct crn_gpu_shards {
    struct shard shards[CRN_GPU_SHARDS_MAX];
    unsigned count;
    uint32_t dim, rows;
};

/* Block b of the whole is block b / count of shard b % count. */
static uint32_t whole_label(const struct crn_gpu_shards *shards, unsigned shard, uint32_t label)
{
    return (label / BLOCK_ROWS * shards->count + shard) * BLOCK_ROWS + label % BLOCK_ROWS;
}

cairn_status crn_gpu_shards_create(struct crn_gpu *const *gpus, unsigned count,
                                   const struct crn_gpu_set_options *options,
                                   struct crn_gpu_shards **out_shards, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    if (count == 0 || count > CRN_GPU_SHARDS_MAX)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%u shards: 1 to %u are possible", count,
                             CRN_GPU_SHARDS_MAX);
    struct crn_gpu_shards *shards = crn_mem_calloc(1, sizeof *shards);
    if (shards == NULL) return crn_error_no_memory(err, sizeof *shards);
    shards->dim = options->dim;
    shards->count = count;
    for (unsigned s = 0; status == CAIRN_OK && s < count; s++) {
        status = crn_gpu_set_create(gpus[s], options, &shards->shards[s].set, err);
        if (status == CAIRN_OK) status = crn_gpu_stream_create(gpus[s], &shards->shards[s].stream, err);
    }
    if (status != CAIRN_OK) {
        crn_gpu_shards_free(shards);
        return status;
    }
    *out_shards = shards;
    return CAIRN_OK;
}

void crn_gpu_shards_free(struct crn_gpu_shards *shards)
{
    if (shards == NULL) return;
    for (unsigned s = 0; s < shards->count; s++) {
        crn_gpu_stream_free(shards->shards[s].stream);
        crn_gpu_set_free(shards->shards[s].set);
    }
    crn_mem_free(shards);
}

cairn_status crn_gpu_shards_append(struct crn_gpu_shards *shards, const float *vectors, size_t count,
                                   cairn_error *err)
{
    if (count > UINT32_MAX / 2 || shards->rows > UINT32_MAX / 2 - count)
        return crn_error_set(err, CAIRN_LIMIT, "%u rows in shards, and %zu more", shards->rows, count);
    for (size_t done = 0; done < count;) {
        const uint32_t room = BLOCK_ROWS - shards->rows % BLOCK_ROWS;
        const size_t rows = count - done < room ? count - done : room;
        struct shard *shard = &shards->shards[shards->rows / BLOCK_ROWS % shards->count];
        CRN_TRY(crn_gpu_set_append(shard->set, vectors + done * shards->dim, rows, err));
        shards->rows += (uint32_t)rows;
        done += rows;
    }
    return CAIRN_OK;
}

cairn_status crn_gpu_shards_delete(struct crn_gpu_shards *shards, const uint32_t *labels, size_t count,
                                   cairn_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t block = labels[i] / BLOCK_ROWS,
                       label = block / shards->count * BLOCK_ROWS + labels[i] % BLOCK_ROWS;
        if (labels[i] >= shards->rows)
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "label %u of %u rows", labels[i], shards->rows);
        CRN_TRY(crn_gpu_set_delete(shards->shards[block % shards->count].set, &label, 1, err));
    }
    return CAIRN_OK;
}

/* ---- search ---- */

static uint64_t *deal_allow(const struct crn_gpu_shards *shards, unsigned number, const uint64_t *allow)
{
    const size_t words = BLOCK_ROWS / 64, rows = crn_gpu_set_count(shards->shards[number].set);
    const size_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS,
                 whole_words = ((size_t)shards->rows + 63) / 64;
    uint64_t *dealt = crn_mem_calloc(blocks + 1, words * sizeof *dealt);

    for (size_t b = 0; dealt != NULL && b < blocks; b++) {
        const size_t from = (b * shards->count + number) * words;
        const size_t some = whole_words - from < words ? whole_words - from : words;
        memcpy(dealt + b * words, allow + from, some * sizeof *dealt);
    }
    return dealt;
}

static void *run_shard(void *ctx)
{
    struct shard *shard = ctx;

    shard->status = crn_gpu_search(shard->set, shard->stream, &shard->query, shard->distances, shard->labels,
                                   &shard->err);
    return NULL;
}

static cairn_status prepare(struct crn_gpu_shards *shards, const struct crn_gpu_query *query,
                            cairn_error *err)
{
    const size_t results = query->batch * query->k;

    for (unsigned s = 0; s < shards->count; s++) {
        struct shard *shard = &shards->shards[s];
        shard->query = *query;
        shard->distances = crn_mem_array(results, sizeof *shard->distances);
        shard->labels = crn_mem_array(results, sizeof *shard->labels);
        if (query->allow != NULL) shard->query.allow = shard->allow = deal_allow(shards, s, query->allow);
        if (shard->distances == NULL || shard->labels == NULL ||
            (query->allow != NULL && shard->allow == NULL))
            return crn_error_no_memory(err, results * (sizeof *shard->distances + sizeof *shard->labels));
    }
    return CAIRN_OK;
}

static cairn_status run_all(struct crn_gpu_shards *shards, cairn_error *err)
{
    pthread_t threads[CRN_GPU_SHARDS_MAX];
    bool started[CRN_GPU_SHARDS_MAX] = {false};

    for (unsigned s = 1; s < shards->count; s++)
        started[s] = pthread_create(&threads[s], NULL, run_shard, &shards->shards[s]) == 0;
    run_shard(&shards->shards[0]);
    for (unsigned s = 1; s < shards->count; s++) {
        if (started[s]) {
            pthread_join(threads[s], NULL);
        } else {
            run_shard(&shards->shards[s]);
        }
    }
    for (unsigned s = 0; s < shards->count; s++) {
        if (shards->shards[s].status != CAIRN_OK)
            return crn_error_set(err, shards->shards[s].status, "%s", shards->shards[s].err.message);
    }
    return CAIRN_OK;
}

/* Each shard's results are in order, by the whole's labels too. */
static void merge(const struct crn_gpu_shards *shards, size_t query, size_t k, float *out_distances,
                  uint32_t *out_labels)
{
    size_t at[CRN_GPU_SHARDS_MAX] = {0};

    for (size_t i = 0; i < k; i++) {
        unsigned best = 0;
        uint32_t best_label = CRN_GPU_NONE;
        float best_distance = __builtin_inff();
        for (unsigned s = 0; s < shards->count; s++) {
            if (at[s] == k) continue;
            const uint32_t mine = shards->shards[s].labels[query * k + at[s]];
            const float distance = shards->shards[s].distances[query * k + at[s]];
            if (mine == CRN_GPU_NONE) continue;
            const uint32_t label = whole_label(shards, s, mine);
            if (distance > best_distance || (distance == best_distance && label > best_label)) continue;
            best = s;
            best_label = label;
            best_distance = distance;
        }
        out_labels[i] = best_label;
        out_distances[i] = best_distance;
        if (best_label != CRN_GPU_NONE) at[best]++;
    }
}

cairn_status crn_gpu_shards_search(struct crn_gpu_shards *shards, const struct crn_gpu_query *query,
                                   float *out_distances, uint32_t *out_labels, cairn_error *err)
{
    if (query->allow_each) return crn_error_set(err, CAIRN_UNSUPPORTED, "shards have one filter for a batch");
    cairn_status status = prepare(shards, query, err);
    if (status == CAIRN_OK) status = run_all(shards, err);
    for (size_t q = 0; status == CAIRN_OK && q < query->batch; q++)
        merge(shards, q, query->k, out_distances + q * query->k, out_labels + q * query->k);
    for (unsigned s = 0; s < shards->count; s++) {
        crn_mem_free(shards->shards[s].distances);
        crn_mem_free(shards->shards[s].labels);
        crn_mem_free(shards->shards[s].allow);
        shards->shards[s].distances = NULL;
        shards->shards[s].labels = NULL;
        shards->shards[s].allow = NULL;
    }
    return status;
}
