/* Growing the graph over a tail (tail_graph.h). */
#include "engine/tail_graph_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <sys/mman.h>

#define CHUNK_ROWS 4096u /* made memory at a time */
#define INSERT_EFFORT 64u
#define INSERT_ALPHA 1.2f
#define ENTRY_SHARE 8u    /* one node in so many is an entry, until there are enough */
#define BACKLOG_MOST 512u /* rows that may wait before writers wait for each other */
#define PAGE_MOST 65536u  /* arrays of a reservation begin at multiples of it */

/* ---- memory ---- */

static size_t padded(size_t bytes)
{
    return (bytes + PAGE_MOST - 1) / PAGE_MOST * PAGE_MOST;
}

/* The arrays of the reservation. Returns its size. */
static size_t lay_out(struct crn_tail_graph *graph, char *memory, size_t rows)
{
    struct crn_graph_growing *growing = &graph->growing;
    size_t at = 0;

    growing->graph.rows = (uint8_t *)memory;
    at += padded(rows * growing->graph.layout.row_bytes);
    growing->lengths = (float *)(void *)(memory + at);
    at += padded(rows * CRN_GRAPH_DEGREE * sizeof *growing->lengths);
    growing->norms2 = (float *)(void *)(memory + at);
    at += padded(rows * sizeof *growing->norms2);
    growing->in_degrees = (_Atomic uint32_t *)(void *)(memory + at);
    at += padded(rows * sizeof *growing->in_degrees);
    graph->twins = (_Atomic uint32_t *)(void *)(memory + at);
    at += padded(rows * sizeof *graph->twins);
    growing->heights = growing->graph.frame.heights ? (float *)(void *)(memory + at) : NULL;
    at += growing->heights == NULL ? 0 : padded(rows * sizeof *growing->heights);
    return at;
}

static bool commit_part(void *array, size_t bytes, uint32_t from, uint32_t to)
{
    return crn_mem_commit((char *)array + from * bytes, (to - from) * bytes);
}

/* Makes the next rows memory. */
static cairn_status commit_rows(struct crn_tail_graph *graph, cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;
    const uint32_t from = growing->graph.count, left = graph->rows_most - from;
    const uint32_t to = from + (left < CHUNK_ROWS ? left : CHUNK_ROWS);
    const size_t row_bytes = growing->graph.layout.row_bytes;
    const size_t bytes = row_bytes + (CRN_GRAPH_DEGREE + 4) * sizeof(float);

    CRN_TRY(crn_graph_scratch_reserve(&graph->worker.scratch, growing->graph.layout.dims, to, growing->effort,
                                      growing->effort, err));
    if (!commit_part(growing->graph.rows, row_bytes, from, to) ||
        !commit_part(growing->lengths, CRN_GRAPH_DEGREE * sizeof *growing->lengths, from, to) ||
        !commit_part(growing->norms2, sizeof *growing->norms2, from, to) ||
        !commit_part((void *)growing->in_degrees, sizeof *growing->in_degrees, from, to) ||
        !commit_part((void *)graph->twins, sizeof *graph->twins, from, to) ||
        (growing->heights != NULL && !commit_part(growing->heights, sizeof *growing->heights, from, to))) {
        return crn_error_no_memory(err, (to - from) * bytes);
    }
    growing->graph.count = to;
    atomic_store_explicit(&graph->bytes, to * bytes, memory_order_relaxed); /* for statistics */
    return CAIRN_OK;
}

void crn_tail_graph_free(struct crn_tail_graph *graph)
{
    if (graph == NULL) return;
    for (struct crn_tail_entries *list = atomic_load_explicit(&graph->entries, memory_order_acquire);
         list != NULL;) {
        struct crn_tail_entries *older = list->older;
        crn_mem_free(list->rows);
        crn_mem_free(list);
        list = older;
    }
    crn_graph_worker_release(&graph->worker);
    crn_mem_unreserve(graph->memory, graph->memory_bytes);
    crn_mem_free(graph->frame_memory);
    crn_mem_free(graph);
}

/* ---- beginning ---- */

/* Codes for rows like the tail's first ones, which are copied together for it. */
static cairn_status fit_frame(struct crn_tail_graph *graph, const struct crn_tail *tail,
                              const struct crn_tail_graph_plan *plan, uint32_t count, cairn_error *err)
{
    struct crn_graph_frame *frame = &graph->graph.frame;
    const size_t row_bytes = tail->dim * sizeof(float);
    float *rows = crn_mem_array(count, row_bytes);

    graph->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(tail->dim));
    if (rows == NULL || graph->frame_memory == NULL) {
        crn_mem_free(rows);
        return crn_error_no_memory(err, count * row_bytes);
    }
    for (uint32_t i = 0; i < count; i++)
        memcpy(rows + (size_t)i * tail->dim, crn_tail_vector(tail, i), row_bytes);
    crn_graph_frame_init(frame, plan->op, tail->dim, CRN_TAIL_GRAPH_SEED, graph->frame_memory);
    crn_graph_frame_fit(frame, rows, count);
    if (plan->op == CRN_OP_DOT && !plan->normalised) {
        /* Of one length or not: the next rows may be longer. */
        frame->heights = true;
        frame->radius2 *= CRN_TAIL_GRAPH_LONGER * CRN_TAIL_GRAPH_LONGER;
    }
    crn_mem_free(rows);
    return CAIRN_OK;
}

static cairn_status begin(struct crn_tail_graph *graph, const struct crn_tail *tail,
                          const struct crn_tail_graph_plan *plan, cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;

    CRN_TRY(fit_frame(graph, tail, plan, CRN_TAIL_GRAPH_ROWS, err));
    graph->op = plan->op;
    graph->rows_most = plan->rows_most < CRN_GRAPH_NODES_MAX ? plan->rows_most : CRN_GRAPH_NODES_MAX;
    graph->entries_at = 1;
    graph->graph.layout = crn_graph_layout_of(graph->graph.frame.dims);
    graph->graph.live = true;
    *growing = (struct crn_graph_growing){.graph = graph->graph,
                                          .effort = INSERT_EFFORT,
                                          .alpha = INSERT_ALPHA,
                                          .kernels = crn_graph_kernels_get()};
    graph->memory_bytes = lay_out(graph, NULL, graph->rows_most);
    graph->memory = crn_mem_reserve(graph->memory_bytes);
    if (graph->memory == NULL) return crn_error_no_memory(err, graph->memory_bytes);
    lay_out(graph, graph->memory, graph->rows_most);
    graph->graph.rows = growing->graph.rows;
    /* Rows are visited at random: large pages save a table walk each. Only advice. */
    (void)madvise(graph->memory,
                  graph->rows_most * (size_t)growing->graph.layout.row_bytes / PAGE_MOST * PAGE_MOST,
                  MADV_HUGEPAGE);
    CRN_TRY(crn_graph_worker_init(&graph->worker, growing, err));
    return commit_rows(graph, err);
}

static cairn_status create(struct crn_tail *tail, const struct crn_tail_graph_plan *plan, cairn_error *err)
{
    struct crn_tail_graph *graph = crn_mem_calloc(1, sizeof *graph);

    if (graph == NULL) return crn_error_no_memory(err, sizeof *graph);
    const cairn_status status = begin(graph, tail, plan, err);
    if (status != CAIRN_OK) {
        crn_tail_graph_free(graph);
        return status;
    }
    atomic_store_explicit(&tail->graph, graph, memory_order_release);
    return CAIRN_OK;
}

/* ---- growing; graph_mutex held ---- */

static bool is_node(const struct crn_tail_graph *graph, uint32_t row)
{
    const uint32_t count = atomic_load_explicit(&graph->outside_count, memory_order_relaxed);

    if ((atomic_load_explicit(&graph->twins[row], memory_order_relaxed) & CRN_TAIL_GRAPH_TWIN) != 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (graph->outside[i] == row) return false;
    }
    return true;
}

/* Chooses the entries anew among the first `count` rows. */
static cairn_status choose_entries(struct crn_tail_graph *graph, uint32_t count, cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;
    struct crn_tail_entries *list = crn_mem_calloc(1, sizeof *list);
    const uint32_t share = (count + ENTRY_SHARE - 1) / ENTRY_SHARE,
                   wanted = share < CRN_GRAPH_ENTRIES ? share : CRN_GRAPH_ENTRIES;
    const size_t blocks = (wanted + CRN_GRAPH_DEGREE - 1) / CRN_GRAPH_DEGREE;

    if (list != NULL) list->rows = crn_mem_aligned(blocks * growing->graph.layout.row_bytes);
    if (list == NULL || list->rows == NULL) {
        crn_mem_free(list);
        return crn_error_no_memory(err, blocks * growing->graph.layout.row_bytes);
    }
    growing->graph.entries = list->rows;
    growing->graph.entry_blocks = growing->entry_count = 0;
    for (uint32_t i = 0; i < wanted; i++) {
        const uint32_t node = (uint32_t)((uint64_t)i * count / wanted);
        if (is_node(graph, node)) crn_graph_add_entry(growing, node);
    }
    list->blocks = growing->graph.entry_blocks;
    list->older = atomic_load_explicit(&graph->entries, memory_order_relaxed);
    atomic_store_explicit(&graph->entries, list, memory_order_release);
    graph->entries_at = count * 2;
    return CAIRN_OK;
}

/* Can the row's codes mean something? */
static bool fits_frame(const struct crn_graph_frame *frame, const float *vector)
{
    float norm2 = 0;

    for (uint32_t j = 0; j < frame->dim; j++) {
        const float z = (frame->heights ? vector[j] : vector[j] - frame->mean[j]) * frame->gain;
        norm2 += z * z;
    }
    return norm2 <= (frame->heights ? frame->radius2 : CRN_TAIL_GRAPH_FAR2);
}

/* False: there are too many such rows. */
static bool note_outside(struct crn_tail_graph *graph, uint32_t row)
{
    const uint32_t count = atomic_load_explicit(&graph->outside_count, memory_order_relaxed);

    if (count == CRN_TAIL_GRAPH_OUTSIDE_MOST) return false;
    graph->outside[count] = row;
    atomic_store_explicit(&graph->outside_count, count + 1, memory_order_release);
    return true;
}

struct pair {
    const struct crn_tail *tail;
    const float *vector;
};

static bool is_twin(void *ctx, uint32_t other)
{
    const struct pair *pair = ctx;
    return memcmp(pair->vector, crn_tail_vector(pair->tail, other), pair->tail->dim * sizeof *pair->vector) ==
           0;
}

static void insert_row(struct crn_tail_graph *graph, const struct crn_tail *tail, uint32_t row,
                       const float *vector)
{
    struct pair pair = {.tail = tail, .vector = vector};
    const uint32_t other =
        crn_graph_insert_unless(&graph->growing, &graph->worker, row, vector, is_twin, &pair);

    if (other == CRN_GRAPH_NO_NODE) return;
    const uint32_t newest = atomic_load_explicit(&graph->twins[other], memory_order_relaxed);
    atomic_store_explicit(&graph->twins[row], newest | CRN_TAIL_GRAPH_TWIN, memory_order_relaxed);
    atomic_store_explicit(&graph->twins[other], row + 1, memory_order_release);
}

static cairn_status insert_rows(struct crn_tail_graph *graph, const struct crn_tail *tail, uint32_t count,
                                uint32_t most, cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;
    uint32_t row = atomic_load_explicit(&graph->inserted, memory_order_relaxed);

    if (count > graph->rows_most) count = graph->rows_most;
    for (; row < count && most != 0; most--, row++) {
        const float *vector = crn_tail_vector(tail, row);
        /* Before the row is a node: what fails can be tried again. */
        if (row == growing->graph.count) CRN_TRY(commit_rows(graph, err));
        if (row == graph->entries_at) CRN_TRY(choose_entries(graph, row, err));
        if (fits_frame(&growing->graph.frame, vector)) {
            insert_row(graph, tail, row, vector);
        } else if (!note_outside(graph, row)) {
            return CAIRN_OK;
        }
        atomic_store_explicit(&graph->inserted, row + 1, memory_order_release);
    }
    return CAIRN_OK;
}

static cairn_status grow(struct crn_tail *tail, const struct crn_tail_graph_plan *plan, uint32_t count,
                         uint32_t most, cairn_error *err)
{
    if (atomic_load_explicit(&tail->graph, memory_order_relaxed) == NULL) {
        /* Without memory, the next try is made when as many rows have come again. */
        if (count < tail->graph_at) return CAIRN_OK;
        tail->graph_at = count + CRN_TAIL_GRAPH_ROWS;
        CRN_TRY(create(tail, plan, err));
    }
    return insert_rows(atomic_load_explicit(&tail->graph, memory_order_relaxed), tail, count, most, err);
}

cairn_status crn_tail_graph_grow(struct crn_tail *tail, const struct crn_tail_graph_plan *plan,
                                 uint32_t count, uint32_t most, cairn_error *err)
{
    const uint32_t inserted = crn_tail_graph_inserted(tail);

    if (plan->rows_most == 0 || count < CRN_TAIL_GRAPH_ROWS || inserted >= count) return CAIRN_OK;
    if (pthread_mutex_trylock(&tail->graph_mutex) != 0) {
        if (count - inserted <= BACKLOG_MOST) return CAIRN_OK;
        pthread_mutex_lock(&tail->graph_mutex);
    }
    const cairn_status status = grow(tail, plan, count, most, err);
    pthread_mutex_unlock(&tail->graph_mutex);
    return status;
}

uint32_t crn_tail_graph_inserted(const struct crn_tail *tail)
{
    const struct crn_tail_graph *graph = atomic_load_explicit(&tail->graph, memory_order_acquire);
    return graph == NULL ? 0 : atomic_load_explicit(&graph->inserted, memory_order_acquire);
}

size_t crn_tail_graph_bytes(const struct crn_tail *tail)
{
    const struct crn_tail_graph *graph = atomic_load_explicit(&tail->graph, memory_order_acquire);
    return graph == NULL ? 0 : atomic_load_explicit(&graph->bytes, memory_order_relaxed);
}

bool crn_tail_graph_whole(const struct crn_tail *tail, struct crn_graph *out_graph, const float **out_lengths,
                          const float **out_norms2)
{
    const struct crn_tail_graph *graph = atomic_load_explicit(&tail->graph, memory_order_acquire);

    if (graph == NULL) return false;
    *out_graph = graph->graph;
    *out_lengths = graph->growing.lengths;
    *out_norms2 = graph->growing.norms2;
    out_graph->count = atomic_load_explicit(&graph->inserted, memory_order_acquire);
    return atomic_load_explicit(&graph->outside_count, memory_order_acquire) == 0;
}

bool crn_tail_graph_is_node(const struct crn_tail *tail, uint32_t row)
{
    const struct crn_tail_graph *graph = atomic_load_explicit(&tail->graph, memory_order_acquire);
    /* Relaxed: set before `inserted` went past the row, and the bit stays. */
    return (atomic_load_explicit(&graph->twins[row], memory_order_relaxed) & CRN_TAIL_GRAPH_TWIN) == 0;
}
