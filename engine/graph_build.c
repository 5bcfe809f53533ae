/* Building a whole graph (graph_build.h). */
#include "engine/graph_build.h"
#include "engine/graph_cells.h"
#include "engine/graph_refine.h"
#include "engine/graph_seed.h"
#include "engine/graph_twins.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

#define SEED 0x636169726eu
#define INSERT_EFFORT 64u
#define REFINE_EFFORT 128u
#define ALPHA 1.1f
#define SLICE 8192u            /* nodes between two questions whether to stop */
#define GRAIN 16u              /* nodes a thread takes at a time */
#define ALONE 64u              /* first nodes that one thread inserts */
#define TOUCH_BYTES (8u << 20) /* of the rows' memory, made by a thread at a time */
#define HELD_OUT 128u          /* rows to measure with */
#define HELD_OUT_OF 4096u      /* with fewer rows nothing is measured */

struct job {
    struct crn_graph_build *build;
    const struct crn_index_rows *rows;
    struct crn_graph_worker *workers;   /* [threads] */
    struct crn_graph_chooser *choosers; /* [threads] */
    struct crn_graph_refine refine;
    struct crn_graph_seed *seed; /* NULL: none */
    unsigned threads;
    uint32_t *first; /* [count] the first node equal to it */
    uint32_t *order; /* [unique] the first ones, in random order */
    size_t unique;
    bool (*cancelled)(void *ctx);
    void *ctx;
    size_t begin; /* of the slice */
    enum step { INSERT, CHOOSE, LINK, RESCUE } step;
};

static void work(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct job *job = ctx;
    struct crn_graph_growing *growing = &job->build->growing;

    for (size_t i = job->begin + begin; i < job->begin + end; i++) {
        const uint32_t node = job->order[i];
        const float *vector = job->rows->vectors + (size_t)node * job->rows->dim;
        switch (job->step) {
        case INSERT:
            crn_graph_insert(growing, &job->workers[worker], node, vector);
            break;
        case CHOOSE:
            crn_graph_refine_choose(&job->refine, (uint32_t)i, &job->workers[worker], &job->choosers[worker],
                                    vector, crn_graph_seed_of(job->seed, i));
            break;
        case LINK:
            crn_graph_refine_link(&job->refine, (uint32_t)i, &job->choosers[worker]);
            break;
        case RESCUE:
            crn_graph_rescue(growing, &job->workers[worker], node, vector);
            break;
        }
    }
}

/* Takes a step with the nodes order[begin..end). */
static cairn_status run(struct job *job, enum step step, size_t begin, size_t end, cairn_error *err)
{
    job->step = step;
    for (; begin < end; begin += SLICE) {
        if (job->cancelled != NULL && job->cancelled(job->ctx)) {
            return crn_error_set(err, CAIRN_CANCELLED, "the graph was not finished");
        }
        const size_t count = end - begin < SLICE ? end - begin : SLICE;
        job->begin = begin;
        if (step == CHOOSE) crn_graph_seed_begin(job->seed, begin, begin + count);
        crn_parallel_for(job->threads, count, GRAIN, work, job);
        if (step == CHOOSE) crn_graph_seed_end(job->seed);
    }
    return CAIRN_OK;
}

/* The first nodes, which become entries. The very first alone, each at once: the others need something to begin at. */
static cairn_status run_entries(struct job *job, size_t end, cairn_error *err)
{
    const size_t alone = end < ALONE ? end : ALONE;

    job->begin = 0;
    job->step = INSERT;
    for (size_t i = 0; i < alone; i++) {
        work(job, i, i + 1, 0);
        crn_graph_add_entry(&job->build->growing, job->order[i]);
    }
    CRN_TRY(run(job, INSERT, alone, end, err));
    for (size_t i = alone; i < end; i++) crn_graph_add_entry(&job->build->growing, job->order[i]);
    return CAIRN_OK;
}

/* New memory is cleared by the kernel when it is first written, which for all rows takes as long as inserting some thousands of them, and
 * would be done by the first thread, whose first nodes lie all over it. */
static void touch_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct crn_graph *graph = ctx;
    const size_t bytes = (size_t)graph->count * graph->layout.row_bytes;

    (void)worker;
    for (size_t at = begin * TOUCH_BYTES; at < end * TOUCH_BYTES && at < bytes; at += 4096)
        graph->rows[at] = 0;
}

static void touch_rows(struct job *job)
{
    struct crn_graph *graph = &job->build->growing.graph;
    const size_t bytes = (size_t)graph->count * graph->layout.row_bytes;

    crn_parallel_for(job->threads, (bytes + TOUCH_BYTES - 1) / TOUCH_BYTES, 1, touch_some, graph);
}

static cairn_status set_effort(struct job *job, uint32_t effort, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    job->build->growing.effort = effort;
    for (unsigned t = 0; t < job->threads; t++) crn_graph_worker_release(&job->workers[t]);
    for (unsigned t = 0; status == CAIRN_OK && t < job->threads; t++) {
        status = crn_graph_worker_init(&job->workers[t], &job->build->growing, err);
    }
    return status;
}

/* ---- refining ---- */

static void release_choosers(struct job *job)
{
    for (unsigned t = 0; job->choosers != NULL && t < job->threads; t++)
        crn_graph_chooser_release(&job->choosers[t]);
    crn_mem_free(job->choosers);
    job->choosers = NULL;
}

static cairn_status make_choosers(struct job *job, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    job->choosers = crn_mem_calloc(job->threads, sizeof *job->choosers);
    if (job->choosers == NULL) return crn_error_no_memory(err, job->threads * sizeof *job->choosers);
    for (unsigned t = 0; status == CAIRN_OK && t < job->threads; t++) {
        status = crn_graph_chooser_init(&job->choosers[t], &job->build->growing, err);
    }
    return status;
}

/* The steps of one pass over the nodes order[0..count). While they choose, rows do not change: none is locked. */
static cairn_status refine_steps(struct job *job, size_t count, cairn_error *err)
{
    struct crn_graph *graph = &job->build->growing.graph;

    CRN_TRY(make_choosers(job, err));
    CRN_TRY(crn_graph_refine_init(&job->refine, &job->build->growing, job->order, (uint32_t)count, err));
    job->seed = crn_graph_seed_open(job->rows, &job->build->growing, job->order, count);
    graph->live = false;
    const cairn_status status = run(job, CHOOSE, 0, count, err);
    graph->live = true;
    crn_graph_seed_close(job->seed);
    job->seed = NULL;
    CRN_TRY(status);
    CRN_TRY(crn_graph_refine_gather(&job->refine, err));
    CRN_TRY(run(job, LINK, 0, count, err));
    return run(job, RESCUE, 0, count, err);
}

static cairn_status refine(struct job *job, size_t count, cairn_error *err)
{
    const cairn_status status = refine_steps(job, count, err);

    crn_graph_refine_release(&job->refine);
    release_choosers(job);
    return status;
}

/* ---- measuring ---- */

/* Measures with the nodes order[first..unique), which are not in the graph yet. */
static cairn_status calibrate(struct job *job, size_t first, cairn_error *err)
{
    const size_t words = (job->rows->count + 63) / 64;
    uint64_t *present = crn_mem_calloc(words, sizeof *present);

    if (present == NULL) return crn_error_no_memory(err, words * sizeof *present);
    for (size_t i = 0; i < first; i++) present[job->order[i] / 64] |= UINT64_C(1) << (job->order[i] % 64);
    const cairn_status status =
        crn_graph_calibrate(&job->build->growing, job->rows, present, job->order + first, HELD_OUT,
                            job->threads, &job->build->calibration, err);
    crn_mem_free(present);
    return status;
}

/* ---- all ---- */

static cairn_status prepare(struct job *job, cairn_error *err)
{
    struct crn_graph_build *build = job->build;
    const uint32_t count = (uint32_t)job->rows->count;
    struct crn_graph_frame frame;
    struct crn_rng rng;

    build->seed = SEED;
    build->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(job->rows->dim));
    build->positions = crn_mem_array(count, sizeof *build->positions);
    build->numbers = crn_mem_array(count, sizeof *build->numbers);
    job->first = crn_mem_array(count, sizeof *job->first);
    job->order = crn_mem_array(count, sizeof *job->order);
    job->workers = crn_mem_calloc(job->threads, sizeof *job->workers);
    if (build->frame_memory == NULL || build->positions == NULL || build->numbers == NULL ||
        job->first == NULL || job->order == NULL || job->workers == NULL) {
        return crn_error_no_memory(err, count * sizeof *job->order);
    }
    crn_graph_frame_init(&frame, job->rows->op, job->rows->dim, build->seed, build->frame_memory);
    crn_graph_frame_fit(&frame, job->rows->vectors, count);
    CRN_TRY(crn_graph_growing_init(&build->growing, &frame, count, INSERT_EFFORT, ALPHA, err));
    crn_rng_init(&rng, count);
    CRN_TRY(crn_graph_twins_find(job->rows->vectors, job->rows->dim, count, job->first, err));
    for (uint32_t i = 0; i < count; i++) {
        if (job->first[i] != i) continue;
        const uint32_t last = (uint32_t)job->unique++, j = (uint32_t)crn_rng_below(&rng, last + 1);
        job->order[last] = job->order[j];
        job->order[j] = i;
    }
    return set_effort(job, INSERT_EFFORT, err);
}

static cairn_status insert_all(struct job *job, cairn_error *err)
{
    const size_t count = job->unique;
    const size_t most = count < HELD_OUT_OF ? count : count - HELD_OUT;
    const size_t entries = most < CRN_GRAPH_ENTRIES ? most : CRN_GRAPH_ENTRIES;

    touch_rows(job);
    CRN_TRY(run_entries(job, entries, err));
    CRN_TRY(run(job, INSERT, entries, most, err));
    CRN_TRY(set_effort(job, REFINE_EFFORT, err));
    CRN_TRY(refine(job, most, err));
    if (most == count) return CAIRN_OK;
    CRN_TRY(calibrate(job, most, err));
    return run(job, INSERT, most, count, err);
}

cairn_status crn_graph_build(const struct crn_index_rows *rows, unsigned threads,
                             bool (*cancelled)(void *ctx), void *ctx, struct crn_graph_build *out,
                             cairn_error *err)
{
    struct job job = {.build = out,
                      .rows = rows,
                      .threads = threads == 0 ? 1 : threads,
                      .cancelled = cancelled,
                      .ctx = ctx};

    *out = (struct crn_graph_build){0};
    cairn_status status = prepare(&job, err);
    if (status == CAIRN_OK) status = insert_all(&job, err);
    if (status == CAIRN_OK)
        status = crn_graph_twins_place(&out->growing, job.first, (uint32_t)rows->count, err);
    if (status == CAIRN_OK) status = crn_graph_cells_make(out, rows, false, job.threads, cancelled, ctx, err);
    for (unsigned t = 0; job.workers != NULL && t < job.threads; t++)
        crn_graph_worker_release(&job.workers[t]);
    crn_mem_free(job.workers);
    crn_mem_free(job.first);
    crn_mem_free(job.order);
    return status;
}

void crn_graph_build_release(struct crn_graph_build *build)
{
    crn_graph_growing_release(&build->growing);
    crn_mem_free(build->frame_memory);
    crn_mem_free(build->positions);
    crn_mem_free(build->numbers);
    crn_mem_free(build->cell_starts);
    crn_mem_free(build->centroids);
    *build = (struct crn_graph_build){0};
}
