/* One batch of queries: its memory on both sides, and the steps that all searches share. */
#include "gpu/internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

cairn_status crn_gpu_query_check(const struct crn_gpu_set *set, const struct crn_gpu_query *query,
                                 size_t k_most, cairn_error *err)
{
    if (query->vectors == NULL || query->batch == 0 || query->batch > UINT32_MAX / 2)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a batch of %zu queries", query->batch);
    if (query->k == 0 || query->k > k_most) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "k of %zu: 1 to %zu are possible", query->k,
                             k_most);
    }
    (void)set;
    return CAIRN_OK;
}

/* Counts, or hands out, pieces of one allocation. */
struct arena {
    char *base; /* NULL: counts only */
    size_t used;
};

static void *take(struct arena *arena, size_t count, size_t size_bytes)
{
    void *at = arena->base == NULL ? NULL : arena->base + arena->used;

    arena->used += (count * size_bytes + 255) / 256 * 256;
    return at;
}

static size_t allow_words(const struct crn_gpu_set *set)
{
    return ((size_t)set->count + 63) / 64;
}

static void lay_out(struct crn_gpu_run *run, const struct crn_gpu_query *query, size_t extra_bytes,
                    struct arena *arena, void **out_extra)
{
    const uint32_t batch = run->batch;
    struct crn_gpu_scan_args *scan = &run->scan;

    scan->queries = take(arena, batch, run->set->pitch);
    scan->query_scale = take(arena, batch, sizeof(float));
    scan->keys = take(arena, (size_t)batch * run->plan.capacity, sizeof(uint64_t));
    scan->counts = take(arena, batch, sizeof(uint32_t));
    run->limits = take(arena, batch, sizeof(uint64_t));
    run->out = take(arena, (size_t)batch * run->k, sizeof(uint64_t));
    run->overflow = take(arena, (size_t)batch * 2, sizeof(uint32_t));
    run->doubtful = run->overflow == NULL ? NULL : run->overflow + batch;
    run->margin = take(arena, batch, sizeof(float));
    run->slabs = take(arena, run->set->slab_count, sizeof(struct crn_gpu_slab_rows));
    scan->allow = query->allow == NULL ? NULL
                                       : take(arena, allow_words(run->set) * (query->allow_each ? batch : 1),
                                              sizeof(uint64_t));
    *out_extra = take(arena, extra_bytes, 1);
}

static cairn_status alloc_card(struct crn_gpu_run *run, const struct crn_gpu_query *query, size_t extra_bytes,
                               void **out_extra, cairn_error *err)
{
    struct crn_gpu_stream *stream = run->stream;
    struct arena arena = {NULL};

    lay_out(run, query, extra_bytes, &arena, out_extra);
    if (arena.used > stream->size_bytes) {
        stream->gpu->driver->free(stream->gpu->device, stream->memory);
        stream->memory = NULL;
        stream->size_bytes = 0;
        CRN_TRY(stream->gpu->driver->alloc(stream->gpu->device, arena.used, &stream->memory, err));
        stream->size_bytes = arena.used;
    }
    arena = (struct arena){.base = stream->memory};
    lay_out(run, query, extra_bytes, &arena, out_extra);
    return CAIRN_OK;
}

static cairn_status alloc_host(struct crn_gpu_run *run, cairn_error *err)
{
    const size_t batch = run->batch;

    run->queries = crn_mem_array(batch, run->set->pitch);
    run->factors = crn_mem_array(batch * 3, sizeof *run->factors);
    run->out_host = crn_mem_array(batch * run->k, sizeof *run->out_host);
    run->flags_host = crn_mem_calloc(batch * 2, sizeof *run->flags_host);
    run->slabs_host = crn_mem_calloc(run->set->slab_count + 1, sizeof *run->slabs_host);
    if (run->queries == NULL || run->factors == NULL || run->out_host == NULL || run->flags_host == NULL ||
        run->slabs_host == NULL)
        return crn_error_no_memory(err, batch * (run->set->pitch + run->k * sizeof(uint64_t)));
    run->offsets = run->factors + batch;
    run->margins = run->offsets + batch;
    return CAIRN_OK;
}

static cairn_status encode_queries(struct crn_gpu_run *run, const struct crn_gpu_query *query,
                                   cairn_error *err)
{
    const struct crn_gpu_set *set = run->set;
    const bool l2 = set->options.metric == CRN_GPU_L2;

    for (uint32_t q = 0; q < run->batch; q++) {
        struct crn_gpu_encoded encoded;
        if (!crn_gpu_encode(&set->encoder, query->vectors + (size_t)q * set->encoder.dim,
                            run->queries + (size_t)q * set->pitch, &encoded))
            return crn_error_set(err, CAIRN_INVALID_VECTOR,
                                 "query %u of %u is not finite, or beyond what the set's rows can hold", q,
                                 run->batch);
        run->factors[q] = encoded.step;
        /* The query's part of an expanded squared distance; compared directly, there is none. */
        const bool expanded =
            l2 && (run->plan.path != CRN_GPU_PATH_NARROW || set->options.codec >= CRN_GPU_I8);
        run->offsets[q] = expanded && !run->plan.rescore ? encoded.norm2 : 0;
        /* As far as an expanded distance may be off, less the query's part, which it lacks. */
        run->margins[q] =
            crn_gpu_margin(&set->encoder, sqrt(encoded.norm2), set->norm_most) - (l2 ? encoded.norm2 : 0);
    }
    return CAIRN_OK;
}

static cairn_status upload_queries(struct crn_gpu_run *run, const struct crn_gpu_query *query,
                                   cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    struct crn_gpu_queue *queue = run->stream->queue;
    const struct crn_gpu_set *set = run->set;
    const size_t batch = run->batch;

    CRN_TRY(
        driver->upload(queue, (void *)(uintptr_t)run->scan.queries, run->queries, batch * set->pitch, err));
    CRN_TRY(driver->upload(queue, (void *)(uintptr_t)run->scan.query_scale, run->factors,
                           batch * sizeof(float), err));
    CRN_TRY(driver->upload(queue, run->margin, run->margins, batch * sizeof(float), err));
    for (uint32_t s = 0; s < set->slab_count; s++) {
        run->slabs_host[s] = (struct crn_gpu_slab_rows){
            .rows = set->slabs[s].rows, .first_label = set->slabs[s].first, .row_count = set->slabs[s].count};
    }
    CRN_TRY(driver->upload(queue, run->slabs, run->slabs_host, set->slab_count * sizeof *run->slabs, err));
    if (query->allow != NULL) {
        const size_t words = allow_words(set) * (query->allow_each ? batch : 1);
        CRN_TRY(driver->upload(queue, (void *)(uintptr_t)run->scan.allow, query->allow,
                               words * sizeof(uint64_t), err));
    }
    return CAIRN_OK;
}

static void set_args(struct crn_gpu_run *run, const struct crn_gpu_query *query)
{
    const struct crn_gpu_set *set = run->set;
    struct crn_gpu_scan_args *scan = &run->scan;
    const bool l2 = set->options.metric == CRN_GPU_L2, floats = set->options.codec <= CRN_GPU_F16;
    const bool direct = floats && run->plan.path == CRN_GPU_PATH_NARROW;

    scan->limits = run->limits;
    scan->pitch = set->pitch;
    scan->batch = run->batch;
    scan->capacity = run->plan.capacity;
    scan->bits = set->encoder.dim;
    scan->lanes = run->plan.lanes;
    scan->stages = run->plan.stages;
    scan->resident = run->plan.resident;
    scan->allow_stride = query->allow_each ? allow_words(set) * 2 : 0;
    scan->uniform_scale = !l2 ? -1 : direct ? 1 : -2;
    if (set->options.codec == CRN_GPU_I8 && set->options.step > 0)
        scan->uniform_scale *= set->options.step * set->options.step;
    if (set->options.codec == CRN_GPU_B1)
        scan->uniform_scale /= (float)set->encoder.dim; /* an estimate of the cosine */
    if (!crn_gpu_has_steps(&set->encoder)) scan->query_scale = NULL;
}

cairn_status crn_gpu_run_begin(struct crn_gpu_run *run, const struct crn_gpu_query *query, size_t extra_bytes,
                               void **out_extra, cairn_error *err)
{
    CRN_TRY(alloc_host(run, err));
    CRN_TRY(encode_queries(run, query, err));
    CRN_TRY(alloc_card(run, query, extra_bytes, out_extra, err));
    CRN_TRY(upload_queries(run, query, err));
    set_args(run, query);
    return crn_gpu_run_reset(run, err);
}

cairn_status crn_gpu_run_reset(struct crn_gpu_run *run, cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    struct crn_gpu_queue *queue = run->stream->queue;

    run->seen = 0;
    CRN_TRY(driver->fill(queue, run->scan.counts, 0, run->batch * sizeof(uint32_t), err));
    CRN_TRY(driver->fill(queue, run->limits, 0xff, run->batch * sizeof(uint64_t), err));
    return driver->fill(queue, run->overflow, 0, (size_t)run->batch * 2 * sizeof(uint32_t), err);
}

void crn_gpu_run_slab(struct crn_gpu_run *run, const struct crn_gpu_slab *slab)
{
    struct crn_gpu_scan_args *scan = &run->scan;
    const bool direct = run->set->options.codec <= CRN_GPU_F16 && run->plan.path == CRN_GPU_PATH_NARROW;

    scan->rows = slab->rows;
    scan->scale = slab->scale;
    scan->bias = direct ? NULL : slab->bias;
    scan->dead = slab->any_dead ? slab->dead : NULL;
    scan->row_count = slab->count;
    scan->first_label = slab->first;
    scan->tile_count = (slab->count + CRN_GPU_TILE - 1) / CRN_GPU_TILE;
    scan->tile_stride = crn_gpu_plan_stride(scan->tile_count);
}

/* ---- launches ---- */

/* A narrow kernel takes a few queries: all of them in groups. */
static cairn_status scan_groups(struct crn_gpu_run *run, cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    const struct crn_gpu_plan *plan = &run->plan;

    for (uint32_t first = 0; first < run->batch; first += plan->queries) {
        struct crn_gpu_scan_args args = run->scan;
        args.batch = run->batch - first < plan->queries ? run->batch - first : plan->queries;
        args.queries = (const char *)args.queries + (size_t)first * args.pitch;
        if (args.query_scale != NULL) args.query_scale += first;
        args.keys += (size_t)first * args.capacity;
        args.counts += first;
        args.limits += first;
        if (args.allow != NULL) args.allow += first * args.allow_stride;
        CRN_TRY(driver->launch(
            run->stream->queue, plan->kernel,
            crn_gpu_plan_blocks(&run->stream->gpu->info, plan, args.tile_end - args.tile_begin),
            plan->shared_bytes, &args, err));
    }
    return CAIRN_OK;
}

static cairn_status scan_hopper(struct crn_gpu_run *run, unsigned blocks, cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    struct crn_gpu_hopper_args args = {.scan = run->scan};

    CRN_TRY(driver->map(run->stream->gpu->device, args.scan.rows, args.scan.row_count, args.scan.pitch,
                        CRN_GPU_TILE, &args.row_map, err));
    CRN_TRY(driver->map(run->stream->gpu->device, args.scan.queries, args.scan.batch, args.scan.pitch,
                        run->plan.queries, &args.query_map, err));
    return driver->launch(run->stream->queue, run->plan.kernel, blocks, run->plan.shared_bytes, &args, err);
}

cairn_status crn_gpu_run_scan(struct crn_gpu_run *run, uint32_t begin, uint32_t end, cairn_error *err)
{
    const struct crn_gpu_plan *plan = &run->plan;

    run->scan.tile_begin = begin;
    run->scan.tile_end = end;
    const uint64_t query_tiles = run->scan.work != NULL || plan->path == CRN_GPU_PATH_NARROW
                                     ? 1
                                     : (run->batch + plan->queries - 1) / plan->queries;
    const unsigned blocks = crn_gpu_plan_blocks(&run->stream->gpu->info, plan, (end - begin) * query_tiles);
    if (plan->path == CRN_GPU_PATH_HOPPER) return scan_hopper(run, blocks, err);
    if (plan->path == CRN_GPU_PATH_NARROW && run->scan.work == NULL) return scan_groups(run, err);
    return run->stream->gpu->driver->launch(run->stream->queue, plan->kernel, blocks, plan->shared_bytes,
                                            &run->scan, err);
}

#define SELECT_BYTES (CRN_GPU_SORT_MOST * sizeof(uint64_t) + 256 * sizeof(uint32_t))

static struct crn_gpu_select_args select_args(const struct crn_gpu_run *run, uint64_t *out)
{
    return (struct crn_gpu_select_args){.keys = run->scan.keys,
                                        .counts = run->scan.counts,
                                        .limits = run->limits,
                                        .overflow = run->overflow,
                                        .out = out,
                                        .batch = run->batch,
                                        .capacity = run->plan.capacity,
                                        .k = run->plan.kept};
}

cairn_status crn_gpu_run_select(struct crn_gpu_run *run, cairn_error *err)
{
    const struct crn_gpu_select_args args = select_args(run, NULL);

    return run->stream->gpu->driver->launch(run->stream->queue, CRN_GPU_select_keys, run->batch, SELECT_BYTES,
                                            &args, err);
}

cairn_status crn_gpu_run_finish(struct crn_gpu_run *run, cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;

    if (!run->plan.rescore) {
        const struct crn_gpu_select_args args = select_args(run, run->out);
        return driver->launch(run->stream->queue, CRN_GPU_select_keys, run->batch, SELECT_BYTES, &args, err);
    }
    const struct crn_gpu_rescore_args args = {.select = select_args(run, NULL),
                                              .slabs = run->slabs,
                                              .queries = run->scan.queries,
                                              .margin = run->margin,
                                              .out = run->out,
                                              .doubtful = run->doubtful,
                                              .slab_count = run->set->slab_count,
                                              .pitch = run->set->pitch,
                                              .k = run->k,
                                              .l2 = run->set->options.metric == CRN_GPU_L2};
    const enum crn_gpu_kernel kernel =
        run->set->options.codec == CRN_GPU_F32 ? CRN_GPU_rescore_f32 : CRN_GPU_rescore_f16;
    return driver->launch(run->stream->queue, kernel, run->batch, SELECT_BYTES, &args, err);
}

/* The float that a key's upper half was made of. */
static float distance_of_key(uint64_t key)
{
    const uint32_t upper = (uint32_t)(key >> 32), bits = (upper >> 31) != 0 ? upper & 0x7fffffffu : ~upper;
    float distance;

    memcpy(&distance, &bits, sizeof distance);
    return distance;
}

cairn_status crn_gpu_run_end(struct crn_gpu_run *run, float *out_distances, uint32_t *out_labels,
                             cairn_error *err)
{
    const struct crn_gpu_driver *driver = run->stream->gpu->driver;
    const size_t results = (size_t)run->batch * run->k;
    const bool l2 = run->set->options.metric == CRN_GPU_L2;

    CRN_TRY(driver->download(run->stream->queue, run->out_host, run->out, results * sizeof(uint64_t), err));
    CRN_TRY(driver->download(run->stream->queue, run->flags_host, run->overflow,
                             (size_t)run->batch * 2 * sizeof(uint32_t), err));
    CRN_TRY(driver->queue_wait(run->stream->queue, err));
    for (size_t i = 0; i < results; i++) {
        const bool none = run->out_host[i] == UINT64_MAX;
        const float distance = none ? INFINITY : distance_of_key(run->out_host[i]) + run->offsets[i / run->k];
        out_labels[i] = none ? CRN_GPU_NONE : (uint32_t)run->out_host[i];
        out_distances[i] = l2 && distance < 0 ? 0 : distance;
    }
    return CAIRN_OK;
}

void crn_gpu_run_release(struct crn_gpu_run *run)
{
    crn_mem_free(run->queries);
    crn_mem_free(run->factors);
    crn_mem_free(run->out_host);
    crn_mem_free(run->flags_host);
    crn_mem_free(run->slabs_host);
}
