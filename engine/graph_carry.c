/* Making a graph of one that holds many of its rows already (graph_carry.h). */
#include "engine/graph_carry.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "engine/graph_cells.h"
#include "engine/graph_twins.h"

#define INSERT_EFFORT 64u
#define NEAR_EFFORT 24u /* of rows whose neighbours are known */
#define STARTS 8u       /* of them, to begin at */
#define ALPHA 1.2f
#define LEAST_SHARE 12u /* one row in so many is carried over, or more: else building anew finds much more */
#define FAR2 1e12f      /* a squared distance from the mean, in units of the frame, that codes are not for */
#define LEAST_SHARE_KNOWN 24u /* when the others' neighbours in graphs of their own are known */
#define KEPT_LEAST 4u         /* who has lost more than one neighbour in so many searches for others */
#define NAMED_LEAST 3u        /* and who is in fewer lists */
#define SLICE 1024u           /* rows between two questions whether to stop */
#define GRAIN 32u             /* rows a thread takes at a time */
#define ROUNDED 1.00001f      /* the longest row itself, summed in another order, may come out longer */
#define HELD_OUT 64u          /* rows to measure with */
#define HELD_OUT_OF 4096u     /* with fewer rows nothing is measured */
#define ENTRY_SHARE 8u        /* one row in so many is an entry, until there are enough */

/* A row to be inserted, and the node it is in one of carry->others: other_count: in none. */
struct other {
    uint32_t row, part, node;
};

struct job {
    const struct crn_graph_carry *carry;
    const struct crn_index_rows *rows;
    struct crn_graph_build *build;
    struct crn_graph_worker *workers; /* [threads] */
    unsigned threads;
    uint32_t *
        first; /* [count] the row whose twin each is: graph_twins.h; a node that is carried over, if there is one */
    uint64_t *present;    /* bitmap of the rows that are nodes by now */
    uint64_t *weak;       /* bitmap of those that lost many neighbours */
    struct other *others; /* [other_count] rows to insert; the last held_out of them are measured with */
    uint32_t other_count, held_out;
    bool (*cancelled)(void *ctx);
    void *ctx;
    size_t begin; /* of the slice */
};

static const float *vector_of(const struct job *job, uint32_t row)
{
    return job->rows->vectors + (size_t)row * job->rows->dim;
}

static bool is_present(const struct job *job, uint32_t row)
{
    return (job->present[row / 64] >> (row % 64) & 1) != 0;
}

/* ---- what is carried over ---- */

static cairn_status copy_frame(struct job *job, struct crn_graph_frame *out, cairn_error *err)
{
    const struct crn_graph_frame *frame = &job->carry->from->frame;

    job->build->seed = job->carry->seed;
    job->build->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(frame->dim));
    if (job->build->frame_memory == NULL) return crn_error_no_memory(err, crn_graph_frame_bytes(frame->dim));
    crn_graph_frame_init(out, frame->op, frame->dim, job->carry->seed, job->build->frame_memory);
    out->heights = frame->heights;
    out->gain = frame->gain;
    out->radius2 = frame->radius2;
    memcpy((float *)(uintptr_t)out->mean, frame->mean, frame->dim * sizeof *frame->mean);
    crn_graph_frame_finish(out);
    return CAIRN_OK;
}

static void add_other(struct job *job, uint32_t row, uint32_t part, uint32_t node)
{
    job->others[job->other_count++] = (struct other){row, part, node};
}

/* Lists the rows that have to be inserted: those of other graphs as they are ordered there, then the rest. job->weak marks what is listed. */
static void list_others(struct job *job)
{
    const struct crn_graph_carry *carry = job->carry;
    const uint32_t count = (uint32_t)job->rows->count;

    for (uint32_t p = 0; p < carry->other_count; p++) {
        for (uint32_t node = 0; node < carry->others[p].graph->count; node++) {
            const uint32_t row = carry->others[p].numbers[node];
            if (row == CRN_GRAPH_NO_NODE || is_present(job, row) || job->first[row] != row) continue;
            if ((job->weak[row / 64] >> (row % 64) & 1) != 0) continue;
            job->weak[row / 64] |= UINT64_C(1) << (row % 64);
            add_other(job, row, p, node);
        }
    }
    for (uint32_t row = 0; row < count; row++) {
        const bool listed = (job->weak[row / 64] >> (row % 64) & 1) != 0;
        if (!listed && !is_present(job, row) && job->first[row] == row)
            add_other(job, row, carry->other_count, 0);
    }
    memset(job->weak, 0, (count + 63) / 64 * sizeof *job->weak);
}

/* Chooses, among rows that could be carried over too, those to measure with; lists them behind the rows that have to be inserted. */
static void choose_others(struct job *job)
{
    const uint32_t count = (uint32_t)job->rows->count;
    struct crn_rng rng;

    list_others(job);
    if (count < HELD_OUT_OF) return;
    crn_rng_init(&rng, count);
    while (job->held_out < HELD_OUT) {
        const uint32_t row = (uint32_t)crn_rng_below(&rng, count);
        if (!is_present(job, row)) continue;
        job->present[row / 64] &= ~(UINT64_C(1) << (row % 64));
        add_other(job, row, job->carry->other_count, 0);
        job->held_out++;
    }
}

static void copy_row(struct job *job, uint32_t node, uint32_t row)
{
    const struct crn_graph *from = job->carry->from;
    struct crn_graph_growing *growing = &job->build->growing;
    const struct crn_graph *graph = &growing->graph;
    const float *lengths = job->carry->lengths;
    const size_t bytes = graph->layout.head + CRN_GRAPH_HEAD_BYTES;
    uint8_t *copy = crn_graph_row(graph, row);

    if (from->live) crn_graph_lock_read(crn_graph_lock_of(from, node));
    memcpy(copy, crn_graph_row(from, node), bytes);
    if (lengths != NULL)
        memcpy(crn_graph_lengths(growing, row), lengths + (size_t)node * CRN_GRAPH_DEGREE,
               CRN_GRAPH_DEGREE * sizeof *lengths);
    if (from->live) crn_graph_unlock_read(crn_graph_lock_of(from, node));
    memset(copy + bytes, 0, graph->layout.row_bytes - bytes); /* the lock too */
    if (job->carry->norms2 != NULL) growing->norms2[row] = job->carry->norms2[node];
}

/* The new number of a neighbour that a copied row still names by the old one, or CRN_GRAPH_NO_NODE. */
static uint32_t renumbered(const struct job *job, uint32_t node)
{
    const struct crn_graph_carry *carry = job->carry;
    const uint32_t row = node < carry->from->count ? carry->numbers[node] : CRN_GRAPH_NO_NODE;

    return row != CRN_GRAPH_NO_NODE && is_present(job, row) ? row : CRN_GRAPH_NO_NODE;
}

/* What dropped neighbours leave free is filled from behind. Who has lost many searches for others later. */
static void renumber_row(struct job *job, uint32_t row)
{
    struct crn_graph_growing *growing = &job->build->growing;
    const struct crn_graph_layout *layout = &growing->graph.layout;
    uint8_t *bytes = crn_graph_row(&growing->graph, row);
    uint32_t ids[CRN_GRAPH_DEGREE], used = 0;

    while (used < CRN_GRAPH_DEGREE && crn_graph_id(layout, bytes, used) != CRN_GRAPH_NO_NODE) {
        ids[used] = renumbered(job, crn_graph_id(layout, bytes, used));
        used++;
    }
    const uint32_t before = used;
    for (uint32_t v = 0; v < used; v++) {
        if (ids[v] != CRN_GRAPH_NO_NODE) {
            crn_graph_id_set(layout, bytes, v, ids[v]);
            continue;
        }
        do crn_graph_slot_clear(layout, bytes, --used);
        while (used > v && ids[used] == CRN_GRAPH_NO_NODE);
        if (used <= v) break;
        ids[v] = ids[used];
        growing->kernels->row_set(layout, bytes, v, crn_graph_row(&growing->graph, ids[v]), ids[v]);
        if (job->carry->lengths != NULL)
            crn_graph_lengths(growing, row)[v] = crn_graph_lengths(growing, row)[used];
    }
    if (used < before - before / KEPT_LEAST) job->weak[row / 64] |= UINT64_C(1) << (row % 64);
}

/* What inserting has to know of a row beside its bytes. */
static void measure_row(struct job *job, uint32_t row)
{
    struct crn_graph_growing *growing = &job->build->growing;
    struct crn_graph_worker *worker = &job->workers[0];

    if (job->carry->norms2 == NULL) {
        growing->norms2[row] = growing->kernels->row_dot(
            &growing->graph.layout, crn_graph_row(&growing->graph, row), crn_graph_row(&growing->graph, row));
    }
    if (growing->heights == NULL) return;
    crn_graph_frame_point(&growing->graph.frame, vector_of(job, row), worker->scratch.query.rotated,
                          &worker->point);
    growing->heights[row] = worker->point.height;
}

static void measure_links(struct job *job, uint32_t row)
{
    struct crn_graph_growing *growing = &job->build->growing;
    const struct crn_graph *graph = &growing->graph;
    const uint8_t *bytes = crn_graph_row(graph, row);

    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint32_t id = crn_graph_id(&graph->layout, bytes, v);
        if (id == CRN_GRAPH_NO_NODE) break;
        /* Relaxed: one thread. */
        atomic_fetch_add_explicit(&growing->in_degrees[id], 1, memory_order_relaxed);
        if (job->carry->lengths != NULL) continue;
        crn_graph_lengths(growing, row)[v] = crn_graph_between(growing, row, id);
    }
}

static void add_entries(struct job *job)
{
    const uint32_t count = (uint32_t)job->rows->count, share = (count + ENTRY_SHARE - 1) / ENTRY_SHARE;
    const uint32_t wanted = share < CRN_GRAPH_ENTRIES ? share : CRN_GRAPH_ENTRIES;

    for (uint32_t i = 0; i < wanted; i++) {
        const uint32_t row = (uint32_t)((uint64_t)i * count / wanted);
        if (is_present(job, row)) crn_graph_add_entry(&job->build->growing, row);
    }
}

static void carry_rows(struct job *job)
{
    const struct crn_graph_carry *carry = job->carry;
    const uint32_t count = (uint32_t)job->rows->count;

    for (uint32_t node = 0; node < carry->from->count; node++) {
        const uint32_t row = carry->numbers[node];
        if (row != CRN_GRAPH_NO_NODE && is_present(job, row)) copy_row(job, node, row);
    }
    for (uint32_t row = 0; row < count; row++) {
        if (!is_present(job, row)) continue;
        renumber_row(job, row);
        measure_row(job, row);
    }
    for (uint32_t row = 0; row < count; row++) {
        if (is_present(job, row)) measure_links(job, row);
    }
    add_entries(job);
}

/* ---- what is inserted ---- */

/* Can the codes of all rows to be inserted mean something? */
static bool all_fit(const struct job *job, const struct crn_graph_frame *frame)
{
    for (uint32_t i = 0; i < job->other_count; i++) {
        const float *vector = vector_of(job, job->others[i].row);
        float norm2 = 0;
        for (uint32_t j = 0; j < frame->dim; j++) {
            const float z = (frame->heights ? vector[j] : vector[j] - frame->mean[j]) * frame->gain;
            norm2 += z * z;
        }
        if (!(norm2 <= (frame->heights ? frame->radius2 * ROUNDED : FAR2))) return false;
    }
    return true;
}

/* Neighbours of the row in its own graph that are nodes by now. */
static uint32_t find_starts(const struct job *job, const struct other *other, uint32_t starts[STARTS])
{
    uint32_t count = 0;

    if (other->part == job->carry->other_count) return 0;
    const struct crn_graph_carry_part *part = &job->carry->others[other->part];
    const uint8_t *bytes = crn_graph_row(part->graph, other->node);
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE && count < STARTS; v++) {
        const uint32_t id = crn_graph_id(&part->graph->layout, bytes, v);
        if (id >= part->graph->count) break;
        const uint32_t row = part->numbers[id];
        if (row != CRN_GRAPH_NO_NODE && is_present(job, row)) starts[count++] = row;
    }
    return count;
}

static void insert_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct job *job = ctx;
    struct crn_graph_worker *memory = &job->workers[worker];
    uint32_t starts[STARTS];

    memory->starts = starts;
    memory->start_effort = NEAR_EFFORT;
    for (size_t i = job->begin + begin; i < job->begin + end; i++) {
        memory->start_count = find_starts(job, &job->others[i], starts);
        crn_graph_insert(&job->build->growing, memory, job->others[i].row,
                         vector_of(job, job->others[i].row));
    }
    memory->starts = NULL;
    memory->start_count = 0;
}

static void mark_inserted(struct job *job, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        job->present[job->others[i].row / 64] |= UINT64_C(1) << (job->others[i].row % 64);
}

/* Rows that few lists name by now, or that have lost many neighbours. */
static void repair_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct job *job = ctx;
    struct crn_graph_growing *growing = &job->build->growing;

    for (uint32_t row = (uint32_t)(job->begin + begin); row < job->begin + end; row++) {
        const uint32_t named =
            atomic_load_explicit(&growing->in_degrees[row], memory_order_relaxed); /* a hint */
        if (!is_present(job, row) || (named >= NAMED_LEAST && (job->weak[row / 64] >> (row % 64) & 1) == 0))
            continue;
        crn_graph_improve(growing, &job->workers[worker], row, vector_of(job, row));
    }
}

/* With insert_some: rows that are in are starts for those of the next slice. */
static cairn_status run(struct job *job, void (*some)(void *ctx, size_t begin, size_t end, unsigned worker),
                        size_t begin, size_t end, cairn_error *err)
{
    for (; begin < end; begin += SLICE) {
        if (job->cancelled != NULL && job->cancelled(job->ctx)) {
            return crn_error_set(err, CAIRN_CANCELLED, "the graph was not finished");
        }
        job->begin = begin;
        const size_t count = end - begin < SLICE ? end - begin : SLICE;
        crn_parallel_for(job->threads, count, GRAIN, some, job);
        if (some == insert_some) mark_inserted(job, begin, begin + count);
    }
    return CAIRN_OK;
}

/* ---- all ---- */

/* How many rows are carried over; their bits are set. Of equal ones only one is: the others become its twins. */
static uint32_t mark_present(struct job *job)
{
    const uint32_t count = (uint32_t)job->rows->count;
    uint32_t carried = 0;

    for (uint32_t node = 0; node < job->carry->from->count; node++) {
        const uint32_t row = job->carry->numbers[node];
        if (row == CRN_GRAPH_NO_NODE) continue;
        const uint32_t first = job->first[row];
        if (is_present(job, job->first[first])) continue;
        job->first[first] = row; /* the first of all points to the one that is carried over */
        job->present[row / 64] |= UINT64_C(1) << (row % 64);
        carried++;
    }
    for (uint32_t row = 0; row < count; row++) {
        const uint32_t first = job->first[row];
        if (!is_present(job, row) && is_present(job, job->first[first])) job->first[row] = job->first[first];
    }
    for (uint32_t row = 0; row < count; row++) {
        if (is_present(job, row)) job->first[row] = row;
    }
    return carried;
}

static cairn_status prepare(struct job *job, bool *out_fits, cairn_error *err)
{
    const uint32_t count = (uint32_t)job->rows->count;
    struct crn_graph_build *build = job->build;
    struct crn_graph_frame frame;

    job->first = crn_mem_array(count, sizeof *job->first);
    job->present = crn_mem_calloc((count + 63) / 64, sizeof *job->present);
    job->weak = crn_mem_calloc((count + 63) / 64, sizeof *job->weak);
    job->others = crn_mem_array((size_t)count + HELD_OUT, sizeof *job->others);
    job->workers = crn_mem_calloc(job->threads, sizeof *job->workers);
    build->positions = crn_mem_array(count, sizeof *build->positions);
    build->numbers = crn_mem_array(count, sizeof *build->numbers);
    if (job->first == NULL || job->present == NULL || job->weak == NULL || job->others == NULL ||
        job->workers == NULL || build->positions == NULL || build->numbers == NULL) {
        return crn_error_no_memory(err, count * sizeof *job->others);
    }
    CRN_TRY(crn_graph_twins_find(job->rows->vectors, job->rows->dim, count, job->first, err));
    const uint32_t share = job->carry->other_count != 0 ? LEAST_SHARE_KNOWN : LEAST_SHARE;
    *out_fits = mark_present(job) >= count / share + 2 * HELD_OUT;
    if (!*out_fits) return CAIRN_OK;
    choose_others(job);
    CRN_TRY(copy_frame(job, &frame, err));
    *out_fits = all_fit(job, &frame);
    if (!*out_fits) return CAIRN_OK;
    CRN_TRY(crn_graph_growing_init(&build->growing, &frame, count, INSERT_EFFORT, ALPHA, err));
    for (unsigned t = 0; t < job->threads; t++)
        CRN_TRY(crn_graph_worker_init(&job->workers[t], &build->growing, err));
    return CAIRN_OK;
}

static cairn_status carry_and_insert(struct job *job, cairn_error *err)
{
    const uint32_t measured = job->other_count - job->held_out;
    uint32_t held_out[HELD_OUT];

    for (uint32_t i = 0; i < job->held_out; i++) held_out[i] = job->others[measured + i].row;
    carry_rows(job);
    CRN_TRY(run(job, insert_some, 0, measured, err));
    CRN_TRY(run(job, repair_some, 0, job->rows->count, err));
    if (job->held_out != 0) {
        CRN_TRY(crn_graph_calibrate(&job->build->growing, job->rows, job->present, held_out, job->held_out,
                                    job->threads, &job->build->calibration, err));
        CRN_TRY(run(job, insert_some, measured, job->other_count, err));
    }
    CRN_TRY(crn_graph_twins_place(&job->build->growing, job->first, (uint32_t)job->rows->count, err));
    return crn_graph_cells_make(job->build, job->rows, true, job->threads, job->cancelled, job->ctx, err);
}

cairn_status crn_graph_carry_over(const struct crn_graph_carry *carry, const struct crn_index_rows *rows,
                                  unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                                  struct crn_graph_build *out, bool *out_fits, cairn_error *err)
{
    struct job job = {.carry = carry,
                      .rows = rows,
                      .build = out,
                      .threads = threads == 0 ? 1 : threads,
                      .cancelled = cancelled,
                      .ctx = ctx};

    *out = (struct crn_graph_build){0};
    cairn_status status = prepare(&job, out_fits, err);
    if (status == CAIRN_OK && *out_fits) status = carry_and_insert(&job, err);
    for (unsigned t = 0; job.workers != NULL && t < job.threads; t++)
        crn_graph_worker_release(&job.workers[t]);
    crn_mem_free(job.workers);
    crn_mem_free(job.others);
    crn_mem_free(job.weak);
    crn_mem_free(job.present);
    crn_mem_free(job.first);
    return status;
}
