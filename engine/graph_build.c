/* Building a whole graph (graph_build.h). */
#include "engine/graph_build.h"
#include "engine/graph_refine.h"
#include "engine/graph_twins.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

#define SEED 0x636169726eu
#define INSERT_EFFORT 64u
#define REFINE_EFFORT 128u
#define ALPHA 1.1f
#define SLICE 8192u       /* nodes between two questions whether to stop */
#define GRAIN 64u         /* nodes a thread takes at a time */
#define HELD_OUT 128u     /* rows to measure with */
#define HELD_OUT_OF 4096u /* with fewer rows nothing is measured */

struct job {
    struct crn_graph_build *build;
    const struct crn_index_rows *rows;
    struct crn_graph_worker *workers;   /* [threads] */
    struct crn_graph_chooser *choosers; /* [threads] */
    struct crn_graph_refine refine;
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
        case INSERT: crn_graph_insert(growing, &job->workers[worker], node, vector); break;
        case CHOOSE:
            crn_graph_refine_choose(&job->refine, (uint32_t)i, &job->workers[worker], &job->choosers[worker], vector);
            break;
        case LINK: crn_graph_refine_link(&job->refine, (uint32_t)i, &job->choosers[worker]); break;
        case RESCUE: crn_graph_rescue(growing, &job->workers[worker], node, vector); break;
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
        job->begin = begin;
        crn_parallel_for(job->threads, end - begin < SLICE ? end - begin : SLICE, GRAIN, work, job);
    }
    return CAIRN_OK;
}

/* The first nodes alone, each of which becomes an entry: the others need something to begin at. */
static void run_entries(struct job *job, size_t end)
{
    for (size_t i = 0; i < end; i++) {
        job->begin = 0;
        job->step = INSERT;
        work(job, i, i + 1, 0);
        crn_graph_add_entry(&job->build->growing, job->order[i]);
    }
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
    for (unsigned t = 0; job->choosers != NULL && t < job->threads; t++) crn_graph_chooser_release(&job->choosers[t]);
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
    graph->live = false;
    const cairn_status status = run(job, CHOOSE, 0, count, err);
    graph->live = true;
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
    const cairn_status status = crn_graph_calibrate(&job->build->growing, job->rows, present, job->order + first, HELD_OUT,
                                                    job->threads, &job->build->calibration, err);
    crn_mem_free(present);
    return status;
}

/* ---- order ---- */

void crn_graph_number_nodes(struct crn_graph_build *build, uint32_t count)
{
    const struct crn_graph *graph = &build->growing.graph;
    uint32_t done = 0;

    memset(build->numbers, 0xff, count * sizeof *build->numbers);
    for (uint32_t start = 0; start < count; start++) {
        if (build->numbers[start] != UINT32_MAX) continue;
        uint32_t next = done;
        build->numbers[start] = done;
        build->positions[done++] = start;
        for (; next < done; next++) {
            const uint8_t *row = crn_graph_row(graph, build->positions[next]);
            for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
                const uint32_t id = crn_graph_id(&graph->layout, row, v);
                if (id == CRN_GRAPH_NO_NODE || build->numbers[id] != UINT32_MAX) continue;
                build->numbers[id] = done;
                build->positions[done++] = id;
            }
        }
    }
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
    if (build->frame_memory == NULL || build->positions == NULL || build->numbers == NULL || job->first == NULL || job->order == NULL ||
        job->workers == NULL) {
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

    run_entries(job, entries);
    CRN_TRY(run(job, INSERT, entries, most, err));
    CRN_TRY(set_effort(job, REFINE_EFFORT, err));
    CRN_TRY(refine(job, most, err));
    if (most == count) return CAIRN_OK;
    CRN_TRY(calibrate(job, most, err));
    return run(job, INSERT, most, count, err);
}

cairn_status crn_graph_build(const struct crn_index_rows *rows, unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                             struct crn_graph_build *out, cairn_error *err)
{
    struct job job = {.build = out, .rows = rows, .threads = threads == 0 ? 1 : threads, .cancelled = cancelled, .ctx = ctx};

    *out = (struct crn_graph_build){0};
    cairn_status status = prepare(&job, err);
    if (status == CAIRN_OK) status = insert_all(&job, err);
    if (status == CAIRN_OK) status = crn_graph_twins_place(&out->growing, job.first, (uint32_t)rows->count, err);
    if (status == CAIRN_OK) crn_graph_number_nodes(out, (uint32_t)rows->count);
    for (unsigned t = 0; job.workers != NULL && t < job.threads; t++) crn_graph_worker_release(&job.workers[t]);
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
    *build = (struct crn_graph_build){0};
}
