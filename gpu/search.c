/* Searches of all rows: rounds over the slabs, and a second search for what the first could not be sure of. */
#include "gpu/internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* ---- slabs ---- */

static cairn_status search_slab(struct crn_gpu_run *run, const struct crn_gpu_slab *slab, cairn_error *err)
{
    crn_gpu_run_slab(run, slab);
    for (uint32_t begin = 0; begin < run->scan.tile_count;) {
        const uint32_t tiles =
            crn_gpu_plan_round(&run->plan, run->seen, run->scan.tile_count - begin, run->safe);
        CRN_TRY(crn_gpu_run_scan(run, begin, begin + tiles, err));
        CRN_TRY(crn_gpu_run_select(run, err));
        begin += tiles;
        run->seen += tiles;
    }
    return CAIRN_OK;
}

/* Room for the largest slab that lives on the host, twice. */
static cairn_status ensure_staging(struct crn_gpu_run *run, cairn_error *err)
{
    struct crn_gpu_stream *stream = run->stream;
    const struct crn_gpu_driver *driver = stream->gpu->driver;
    size_t rows = 0;

    for (uint32_t s = 0; s < run->set->slab_count; s++) {
        const struct crn_gpu_slab *slab = &run->set->slabs[s];
        if (!slab->on_card && slab->capacity > rows) rows = slab->capacity;
    }
    const size_t size = rows * (run->set->pitch + 2 * sizeof(float)) + rows / 32 * sizeof(uint32_t);
    if (size <= stream->staging_bytes) return CAIRN_OK;
    for (unsigned i = 0; i < 2; i++) {
        driver->free(stream->gpu->device, stream->staging[i]);
        stream->staging[i] = NULL;
    }
    stream->staging_bytes = 0;
    for (unsigned i = 0; i < 2; i++)
        CRN_TRY(driver->alloc(stream->gpu->device, size, &stream->staging[i], err));
    stream->staging_bytes = size;
    return CAIRN_OK;
}

/* Asks for a slab's arrays in staging[place]; *out_there is the slab as it will lie there. */
static cairn_status bring(struct crn_gpu_run *run, const struct crn_gpu_slab *slab, unsigned place,
                          struct crn_gpu_slab *out_there, cairn_error *err)
{
    struct crn_gpu_stream *stream = run->stream;
    const struct crn_gpu_driver *driver = stream->gpu->driver;
    const size_t rows = slab->count, capacity = slab->capacity;
    char *at = stream->staging[place];

    *out_there = *slab;
    out_there->rows = at;
    at += capacity * run->set->pitch;
    out_there->scale = slab->scale == NULL ? NULL : (float *)(void *)at;
    at += capacity * sizeof(float);
    out_there->bias = slab->bias == NULL ? NULL : (float *)(void *)at;
    at += capacity * sizeof(float);
    out_there->dead = (uint32_t *)(void *)at;
    CRN_TRY(driver->event_await(stream->copies, stream->used[place], err));
    CRN_TRY(driver->upload(stream->copies, out_there->rows, slab->rows, rows * run->set->pitch, err));
    if (slab->scale != NULL)
        CRN_TRY(driver->upload(stream->copies, out_there->scale, slab->scale, rows * sizeof(float), err));
    if (slab->bias != NULL)
        CRN_TRY(driver->upload(stream->copies, out_there->bias, slab->bias, rows * sizeof(float), err));
    if (slab->any_dead) {
        CRN_TRY(driver->upload(stream->copies, out_there->dead, run->set->dead + slab->first / 32,
                               (rows + 31) / 32 * sizeof(uint32_t), err));
    }
    return driver->event_record(stream->copies, stream->ready[place], err);
}

/* While one slab is searched the next one comes over. */
static cairn_status search_host_slabs(struct crn_gpu_run *run, cairn_error *err)
{
    struct crn_gpu_stream *stream = run->stream;
    const struct crn_gpu_driver *driver = stream->gpu->driver;
    unsigned place = 0;

    CRN_TRY(ensure_staging(run, err));
    for (uint32_t s = 0; s < run->set->slab_count; s++) {
        struct crn_gpu_slab there;
        if (run->set->slabs[s].on_card) continue;
        CRN_TRY(bring(run, &run->set->slabs[s], place, &there, err));
        CRN_TRY(driver->event_await(stream->queue, stream->ready[place], err));
        CRN_TRY(search_slab(run, &there, err));
        CRN_TRY(driver->event_record(stream->queue, stream->used[place], err));
        place ^= 1;
    }
    return CAIRN_OK;
}

static cairn_status search_slabs(struct crn_gpu_run *run, cairn_error *err)
{
    for (uint32_t s = 0; s < run->set->slab_count; s++) {
        if (run->set->slabs[s].on_card) CRN_TRY(search_slab(run, &run->set->slabs[s], err));
    }
    if (run->set->host_bytes > 0) CRN_TRY(search_host_slabs(run, err));
    return crn_gpu_run_finish(run, err);
}

/* ---- batches ---- */

struct outputs {
    float *distances;
    uint32_t *labels;
    uint32_t *again; /* [batch] queries to search again; NULL where none can be */
    uint32_t again_count;
    bool overflowed;
};

static cairn_status time_run(struct crn_gpu_run *run, const struct crn_gpu_timing *timing, cairn_error *err)
{
    struct crn_gpu_stream *stream = run->stream;
    const struct crn_gpu_driver *driver = stream->gpu->driver;

    for (size_t r = 0; r < timing->repeats; r++) {
        CRN_TRY(driver->event_record(stream->queue, stream->begin, err));
        CRN_TRY(crn_gpu_run_reset(run, err));
        CRN_TRY(search_slabs(run, err));
        CRN_TRY(driver->event_record(stream->queue, stream->end, err));
        CRN_TRY(driver->queue_wait(stream->queue, err));
        CRN_TRY(driver->event_elapsed(stream->begin, stream->end, &timing->ms[r], err));
    }
    return CAIRN_OK;
}

static void note_again(const struct crn_gpu_run *run, struct outputs *out)
{
    for (uint32_t q = 0; q < run->batch; q++) {
        if (run->flags_host[q] == 0 && run->flags_host[run->batch + q] == 0) continue;
        out->overflowed |= run->flags_host[q] != 0;
        out->again[out->again_count++] = q;
    }
}

static cairn_status search_batch(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                 const struct crn_gpu_query *query, const struct crn_gpu_plan *plan,
                                 bool safe, const struct crn_gpu_timing *timing, struct outputs *out,
                                 cairn_error *err)
{
    struct crn_gpu_run run = {.set = set,
                              .stream = stream,
                              .plan = *plan,
                              .batch = (uint32_t)query->batch,
                              .k = (uint32_t)query->k,
                              .safe = safe};
    void *extra;

    cairn_status status = crn_gpu_run_begin(&run, query, 0, &extra, err);
    if (status == CAIRN_OK) status = search_slabs(&run, err);
    if (status == CAIRN_OK && timing != NULL) status = time_run(&run, timing, err);
    if (status == CAIRN_OK) status = crn_gpu_run_end(&run, out->distances, out->labels, err);
    if (status == CAIRN_OK && out->again != NULL) note_again(&run, out);
    if (status != CAIRN_OK) {
        /* The host's arrays may be under way still. */
        cairn_error ignored;
        (void)!stream->gpu->driver->queue_wait(stream->queue, &ignored);
        (void)!stream->gpu->driver->queue_wait(stream->copies, &ignored);
    }
    crn_gpu_run_release(&run);
    return status;
}

static struct crn_gpu_plan_ask ask_of(const struct crn_gpu_set *set, const struct crn_gpu_query *query)
{
    return (struct crn_gpu_plan_ask){.codec = set->options.codec,
                                     .metric = set->options.metric,
                                     .pitch = set->pitch,
                                     .batch = query->batch,
                                     .k = query->k,
                                     .on_card = set->host_bytes == 0,
                                     .path = query->path};
}

/*
 * The queries of a batch that are in `again`, by direct comparison: doubtful ones as usual, and if keys were lost, or are lost now, in
 * rounds too short for that. `query` and `out` have room for them in `again`'s order.
 */
static cairn_status search_safely(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                  const struct crn_gpu_query *query, bool overflowed, struct outputs *out,
                                  cairn_error *err)
{
    const struct crn_gpu_plan_ask ask = ask_of(set, query);
    struct crn_gpu_plan plan;

    CRN_TRY(crn_gpu_plan_make(&set->gpu->info, &ask, &plan, err));
    if (!overflowed) {
        CRN_TRY(search_batch(set, stream, query, &plan, false, NULL, out, err));
        if (out->again_count == 0) return CAIRN_OK;
    }
    out->again = NULL; /* no round can overflow now, and nothing is doubtful without tensor cores */
    return search_batch(set, stream, query, &plan, true, NULL, out, err);
}

struct gathered { /* [count] */
    float *vectors, *distances;
    uint32_t *labels, *again;
    uint64_t *allow;
};

static void gathered_release(struct gathered *gathered)
{
    crn_mem_free(gathered->vectors);
    crn_mem_free(gathered->distances);
    crn_mem_free(gathered->labels);
    crn_mem_free(gathered->again);
    crn_mem_free(gathered->allow);
}

static cairn_status search_again(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                 const struct crn_gpu_query *query, const struct outputs *first,
                                 cairn_error *err)
{
    const size_t words = ((size_t)set->count + 63) / 64, dim = set->encoder.dim, k = query->k,
                 count = first->again_count;
    const bool each = query->allow != NULL && query->allow_each;
    struct gathered some = {.vectors = crn_mem_array(count, dim * sizeof(float)),
                            .distances = crn_mem_array(count, k * sizeof(float)),
                            .labels = crn_mem_array(count, k * sizeof(uint32_t)),
                            .again = crn_mem_array(count, sizeof(uint32_t)),
                            .allow = crn_mem_array(each ? count : 0, words * sizeof(uint64_t))};
    cairn_status status = CAIRN_OK;

    if (some.vectors == NULL || some.distances == NULL || some.labels == NULL || some.again == NULL ||
        some.allow == NULL) {
        status = crn_error_no_memory(err, count * (dim + k * 2) * sizeof(float));
    } else {
        const struct crn_gpu_query asked = {.vectors = some.vectors,
                                            .batch = count,
                                            .k = k,
                                            .path = CRN_GPU_PATH_NARROW,
                                            .allow = each ? some.allow : query->allow,
                                            .allow_each = each};
        struct outputs out = {.distances = some.distances, .labels = some.labels, .again = some.again};
        for (size_t i = 0; i < count; i++) {
            memcpy(some.vectors + i * dim, query->vectors + first->again[i] * dim, dim * sizeof(float));
            if (each)
                memcpy(some.allow + i * words, query->allow + first->again[i] * words,
                       words * sizeof(uint64_t));
        }
        status = search_safely(set, stream, &asked, first->overflowed, &out, err);
    }
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) {
        memcpy(first->distances + first->again[i] * k, some.distances + i * k, k * sizeof(float));
        memcpy(first->labels + first->again[i] * k, some.labels + i * k, k * sizeof(uint32_t));
    }
    gathered_release(&some);
    return status;
}

static cairn_status search_part(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                const struct crn_gpu_query *query, const struct crn_gpu_timing *timing,
                                float *out_distances, uint32_t *out_labels, cairn_error *err)
{
    const struct crn_gpu_plan_ask ask = ask_of(set, query);
    struct outputs out = {.distances = out_distances, .labels = out_labels};
    struct crn_gpu_plan plan;

    CRN_TRY(crn_gpu_plan_make(&set->gpu->info, &ask, &plan, err));
    out.again = crn_mem_array(query->batch, sizeof *out.again);
    if (out.again == NULL) return crn_error_no_memory(err, query->batch * sizeof *out.again);
    cairn_status status = search_batch(set, stream, query, &plan, false, timing, &out, err);
    if (status == CAIRN_OK && out.again_count > 0) status = search_again(set, stream, query, &out, err);
    crn_mem_free(out.again);
    return status;
}

cairn_status crn_gpu_search_timed(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                  const struct crn_gpu_query *query, const struct crn_gpu_timing *timing,
                                  float *out_distances, uint32_t *out_labels, cairn_error *err)
{
    const size_t words = ((size_t)set->count + 63) / 64;
    const struct crn_gpu_plan_ask ask = ask_of(set, query);
    struct crn_gpu_plan plan;

    CRN_TRY(crn_gpu_query_check(set, query, CRN_GPU_K_MAX, err));
    CRN_TRY(crn_gpu_plan_make(&set->gpu->info, &ask, &plan, err));
    for (size_t first = 0; first < query->batch; first += plan.batch_most) {
        struct crn_gpu_query part = *query;
        part.vectors += first * set->encoder.dim;
        part.batch = query->batch - first < plan.batch_most ? query->batch - first : plan.batch_most;
        if (part.allow != NULL && part.allow_each) part.allow += first * words;
        CRN_TRY(search_part(set, stream, &part, timing, out_distances + first * query->k,
                            out_labels + first * query->k, err));
    }
    return CAIRN_OK;
}

cairn_status crn_gpu_search(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                            const struct crn_gpu_query *query, float *out_distances, uint32_t *out_labels,
                            cairn_error *err)
{
    return crn_gpu_search_timed(set, stream, query, NULL, out_distances, out_labels, err);
}

/* ---- neighbours of rows ---- */

#define NEIGHBOURS_BATCH 1024u

/* The k nearest of k + 1, without the row itself; where rows equal to it stand before it, the last one goes. */
static void drop_self(uint32_t self, size_t k, const float *distances, const uint32_t *labels,
                      float *out_distances, uint32_t *out_labels)
{
    size_t kept = 0;

    for (size_t i = 0; i <= k && kept < k; i++) {
        if (labels[i] == self) continue;
        out_distances[kept] = distances[i];
        out_labels[kept++] = labels[i];
    }
}

cairn_status crn_gpu_neighbours(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                                const struct crn_gpu_query *query, const uint32_t *rows, float *out_distances,
                                uint32_t *out_labels, cairn_error *err)
{
    const size_t batch = query->batch < NEIGHBOURS_BATCH ? query->batch : NEIGHBOURS_BATCH, k = query->k;

    CRN_TRY(crn_gpu_query_check(set, query, CRN_GPU_K_MAX - 1, err));
    if (query->allow_each)
        return crn_error_set(err, CAIRN_UNSUPPORTED, "neighbours have one filter for all rows");
    float *distances = crn_mem_array(batch * (k + 1), sizeof *distances);
    uint32_t *labels = crn_mem_array(batch * (k + 1), sizeof *labels);
    cairn_status status = CAIRN_OK;
    if (distances == NULL || labels == NULL)
        status = crn_error_no_memory(err, batch * (k + 1) * sizeof *distances);
    for (size_t begin = 0; status == CAIRN_OK && begin < query->batch; begin += batch) {
        struct crn_gpu_query part = *query;
        part.vectors += begin * set->encoder.dim;
        part.batch = query->batch - begin < batch ? query->batch - begin : batch;
        part.k = k + 1;
        status = crn_gpu_search(set, stream, &part, distances, labels, err);
        for (size_t i = 0; status == CAIRN_OK && i < part.batch; i++) {
            drop_self(rows[begin + i], k, distances + i * (k + 1), labels + i * (k + 1),
                      out_distances + (begin + i) * k, out_labels + (begin + i) * k);
        }
    }
    crn_mem_free(distances);
    crn_mem_free(labels);
    return status;
}
