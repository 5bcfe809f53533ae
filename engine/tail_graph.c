/* The graph over a tail (tail_graph.h). */
#include "engine/tail_graph.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/graph_insert.h"
#include "quant/flat_scan.h"
#include "quant/vector.h"

#include <math.h>
#include <sys/mman.h>

#define CHUNK_ROWS 4096u   /* made memory at a time */
#define INSERT_EFFORT 128u
#define INSERT_ALPHA 1.2f
#define ENTRY_SHARE 8u     /* one node in so many is an entry, until there are enough */
#define BACKLOG_MOST 512u  /* rows that may wait before writers wait for each other */
#define FAR2 1e12f         /* a squared distance from the mean, in units of the first rows' spread, that codes are not for */
#define PAGE_MOST 65536u   /* arrays of a reservation begin at multiples of it */

#define SEARCH_EFFORT 64u  /* places of the pool beyond k */
#define WALK_COST 4u       /* a visit costs about as much as comparing so many rows */
#define RESCORE_LEAST 16u  /* rows beyond k that are compared in any case */

/* Where searches begin. A new list is made whenever the graph has doubled; old ones stay, searches may be at them. */
struct entry_list {
    struct entry_list *older;
    uint8_t *rows;
    uint32_t blocks;
};

struct crn_tail_graph {
    /* Constant: what searches take, but for the entries and the count. */
    struct crn_graph graph;
    enum crn_op op;
    uint32_t rows_most;
    char *memory; /* reserved */
    size_t memory_bytes;
    void *frame_memory;

    /* Release by the inserting thread: what it wrote before is seen by who reads them with acquire. */
    _Atomic uint32_t inserted;
    _Atomic uint32_t outside_count;
    _Atomic(struct entry_list *) entries;
    uint32_t outside[CRN_TAIL_GRAPH_OUTSIDE_MOST]; /* ascending rows that are no nodes */

    /* The inserting thread's, under the tail's graph_mutex. */
    struct crn_graph_growing growing; /* graph.count is what is memory by now */
    struct crn_graph_worker worker;
    uint32_t entries_at; /* rows at which the entries are chosen anew */
    _Atomic size_t bytes;
};

/* ---- memory ---- */

static size_t padded(size_t bytes)
{
    return (bytes + PAGE_MOST - 1) / PAGE_MOST * PAGE_MOST;
}

/* The arrays of the reservation. Returns its size. */
static size_t lay_out(struct crn_graph_growing *growing, char *memory, size_t rows)
{
    size_t at = 0;

    growing->graph.rows = (uint8_t *)memory;
    at += padded(rows * growing->graph.layout.row_bytes);
    growing->lengths = (float *)(void *)(memory + at);
    at += padded(rows * CRN_GRAPH_DEGREE * sizeof *growing->lengths);
    growing->norms2 = (float *)(void *)(memory + at);
    at += padded(rows * sizeof *growing->norms2);
    growing->in_degrees = (_Atomic uint32_t *)(void *)(memory + at);
    at += padded(rows * sizeof *growing->in_degrees);
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
    const size_t bytes = row_bytes + (CRN_GRAPH_DEGREE + 3) * sizeof(float);

    CRN_TRY(crn_graph_scratch_reserve(&graph->worker.scratch, growing->graph.layout.dims, to, growing->effort, growing->effort, err));
    if (!commit_part(growing->graph.rows, row_bytes, from, to) ||
        !commit_part(growing->lengths, CRN_GRAPH_DEGREE * sizeof *growing->lengths, from, to) ||
        !commit_part(growing->norms2, sizeof *growing->norms2, from, to) ||
        !commit_part((void *)growing->in_degrees, sizeof *growing->in_degrees, from, to) ||
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
    for (struct entry_list *list = atomic_load_explicit(&graph->entries, memory_order_acquire); list != NULL;) {
        struct entry_list *older = list->older;
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
static cairn_status fit_frame(struct crn_tail_graph *graph, const struct crn_tail *tail, const struct crn_tail_graph_plan *plan,
                              uint32_t count, cairn_error *err)
{
    struct crn_graph_frame *frame = &graph->graph.frame;
    const size_t row_bytes = tail->dim * sizeof(float);
    float *rows = crn_mem_array(count, row_bytes);

    graph->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(tail->dim));
    if (rows == NULL || graph->frame_memory == NULL) {
        crn_mem_free(rows);
        return crn_error_no_memory(err, count * row_bytes);
    }
    for (uint32_t i = 0; i < count; i++) memcpy(rows + (size_t)i * tail->dim, crn_tail_vector(tail, i), row_bytes);
    crn_graph_frame_init(frame, plan->op, tail->dim, 1, graph->frame_memory);
    crn_graph_frame_fit(frame, rows, count);
    if (plan->op == CRN_OP_DOT && !plan->normalised) {
        /* Of one length or not: the next rows may be longer. */
        frame->heights = true;
        frame->radius2 *= CRN_TAIL_GRAPH_LONGER * CRN_TAIL_GRAPH_LONGER;
    }
    crn_mem_free(rows);
    return CAIRN_OK;
}

static cairn_status begin(struct crn_tail_graph *graph, const struct crn_tail *tail, const struct crn_tail_graph_plan *plan,
                          cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;

    CRN_TRY(fit_frame(graph, tail, plan, CRN_TAIL_GRAPH_ROWS, err));
    graph->op = plan->op;
    graph->rows_most = plan->rows_most < CRN_GRAPH_NODES_MAX ? plan->rows_most : CRN_GRAPH_NODES_MAX;
    graph->entries_at = 1;
    graph->graph.layout = crn_graph_layout_of(graph->graph.frame.dims);
    graph->graph.live = true;
    *growing = (struct crn_graph_growing){
        .graph = graph->graph, .effort = INSERT_EFFORT, .alpha = INSERT_ALPHA, .kernels = crn_graph_kernels_get()};
    graph->memory_bytes = lay_out(growing, NULL, graph->rows_most);
    graph->memory = crn_mem_reserve(graph->memory_bytes);
    if (graph->memory == NULL) return crn_error_no_memory(err, graph->memory_bytes);
    lay_out(growing, graph->memory, graph->rows_most);
    graph->graph.rows = growing->graph.rows;
    growing->graph.heights = growing->heights;
    /* Rows are visited at random: large pages save a table walk each. Only advice. */
    (void)madvise(graph->memory, graph->rows_most * (size_t)growing->graph.layout.row_bytes / PAGE_MOST * PAGE_MOST, MADV_HUGEPAGE);
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

static bool is_outside(const struct crn_tail_graph *graph, uint32_t row)
{
    const uint32_t count = atomic_load_explicit(&graph->outside_count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++) {
        if (graph->outside[i] == row) return true;
    }
    return false;
}

/* Chooses the entries anew among the first `count` rows. */
static cairn_status choose_entries(struct crn_tail_graph *graph, uint32_t count, cairn_error *err)
{
    struct crn_graph_growing *growing = &graph->growing;
    struct entry_list *list = crn_mem_calloc(1, sizeof *list);
    const uint32_t share = (count + ENTRY_SHARE - 1) / ENTRY_SHARE, wanted = share < CRN_GRAPH_ENTRIES ? share : CRN_GRAPH_ENTRIES;
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
        if (!is_outside(graph, node)) crn_graph_add_entry(growing, node);
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
    return norm2 <= (frame->heights ? frame->radius2 : FAR2);
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

static cairn_status insert_rows(struct crn_tail_graph *graph, const struct crn_tail *tail, uint32_t count, uint32_t most,
                                cairn_error *err)
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
            crn_graph_insert(growing, &graph->worker, row, vector);
        } else if (!note_outside(graph, row)) {
            return CAIRN_OK;
        }
        atomic_store_explicit(&graph->inserted, row + 1, memory_order_release);
    }
    return CAIRN_OK;
}

static cairn_status grow(struct crn_tail *tail, const struct crn_tail_graph_plan *plan, uint32_t count, uint32_t most,
                         cairn_error *err)
{
    if (atomic_load_explicit(&tail->graph, memory_order_relaxed) == NULL) {
        /* Without memory, the next try is made when as many rows have come again. */
        if (count < tail->graph_at) return CAIRN_OK;
        tail->graph_at = count + CRN_TAIL_GRAPH_ROWS;
        CRN_TRY(create(tail, plan, err));
    }
    return insert_rows(atomic_load_explicit(&tail->graph, memory_order_relaxed), tail, count, most, err);
}

cairn_status crn_tail_graph_grow(struct crn_tail *tail, const struct crn_tail_graph_plan *plan, uint32_t count, uint32_t most,
                                 cairn_error *err)
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

/* ---- searching ---- */

struct search {
    const struct crn_tail *tail;
    const struct crn_tail_graph *graph;
    const struct crn_tail_graph_ask *ask;
    struct crn_graph_scratch scratch;
    float factor; /* of the query's length */
    float norm2;  /* of the query, in the frame's units, when dot products are asked for */
    float slack;  /* by how much a code's distance may be wrong */
    uint32_t effort, keep;
};

/* How many places the walk's pool needs so that enough allowed rows are met. False: comparing them costs less. */
static bool plan_effort(struct search *search)
{
    const struct crn_tail_graph_ask *ask = search->ask;
    const bool heights = search->graph->graph.frame.heights;
    const uint64_t usual = SEARCH_EFFORT + 2 * (uint64_t)ask->k, asked = ask->ef > ask->k ? ask->ef : ask->k;
    /* Where lengths differ, what a step sees says less about which way to go. */
    const uint64_t wanted = ask->ef != 0 ? asked : heights ? usual * 3 / 2 : usual;

    if (wanted * ask->nodes >= (uint64_t)ask->allowed * ask->allowed / WALK_COST) return false;
    search->keep = (uint32_t)wanted;
    search->effort = (uint32_t)(wanted * ask->nodes / ask->allowed);
    return true;
}

/* Rotates the query and makes its tables. For dot products its length says nothing: it is made that of the frame's radius, where
 * differences are largest beside the constants. False: it lies where nothing can be told apart. */
static bool prepare_query(struct search *search)
{
    const struct crn_graph_frame *frame = &search->graph->graph.frame;
    struct crn_graph_query *query = &search->scratch.query;
    const float *vector = search->ask->vector;
    float scaled[CRN_GRAPH_DIMS_MAX];
    struct crn_graph_point point;

    search->factor = 1;
    if (search->graph->op == CRN_OP_DOT) {
        const double norm2 = crn_vector_norm2(vector, frame->dim) * frame->gain * frame->gain;
        if (frame->heights && norm2 > 0) search->factor = (float)sqrt(frame->radius2 / norm2);
        search->norm2 = (float)(norm2 * search->factor * search->factor);
        crn_vector_scale(vector, frame->dim, search->factor, scaled);
        vector = scaled;
    }
    crn_graph_frame_point(frame, vector, query->rotated, &point);
    if (!(point.norm2 <= FAR2) || !isfinite(search->factor)) return false;
    crn_graph_kernels_get()->query_prepare(query);
    query->constant = point.constant;
    search->slack = 0.004f * sqrtf(point.norm2);
    return true;
}

/* What a code's distance would be if it were exact: of a raw one (kernels.h). */
static float code_distance(const struct search *search, float raw)
{
    const struct crn_graph_frame *frame = &search->graph->graph.frame;
    const float gained = raw * frame->gain * frame->gain;

    return search->graph->op == CRN_OP_L2 ? gained : search->norm2 + frame->radius2 + 2 * gained * search->factor;
}

static void score(const struct search *search, uint32_t row, struct crn_topk *top)
{
    const struct crn_tail *tail = search->tail;
    const uint32_t at = row % tail->chunk_rows;

    crn_flat_scan_f32_at(search->graph->op, search->ask->vector, crn_tail_chunk_of(tail, row)->vectors, tail->dim, &at, 1,
                         search->ask->label + row - at, top);
}

/* Compares what the walk found, nearest first, until the rest cannot be near enough. */
static void rescore(const struct search *search, struct crn_topk *top)
{
    const uint64_t *near = search->scratch.near;
    uint32_t least = (uint32_t)search->ask->k + RESCORE_LEAST;

    for (uint32_t i = 0; i < search->scratch.near_count; i++) {
        if (i >= least) {
            const float limit = code_distance(search, crn_topk_limit(top));
            if (crn_graph_key_distance(near[i]) > limit + 0.02f * fabsf(limit) + search->slack) break;
        }
        if (i + 2 < search->scratch.near_count) {
            const float *next = crn_tail_vector(search->tail, (uint32_t)near[i + 2] & CRN_GRAPH_KEY_NODE);
            for (uint32_t j = 0; j < search->tail->dim; j += 16) __builtin_prefetch(next + j);
        }
        const uint32_t row = (uint32_t)near[i] & CRN_GRAPH_KEY_NODE;
        if (row < search->ask->count) {
            score(search, row, top);
        } else {
            least++;
        }
    }
    /* Rows that are no nodes. */
    const uint32_t outside = atomic_load_explicit(&search->graph->outside_count, memory_order_acquire);
    for (uint32_t i = 0; i < outside && search->graph->outside[i] < search->ask->count; i++) {
        const uint32_t row = search->graph->outside[i];
        if (search->ask->allow == NULL || (search->ask->allow[row / 64] >> (row % 64) & 1) != 0) score(search, row, top);
    }
}

static bool walk(struct search *search)
{
    const struct crn_tail_graph_ask *ask = search->ask;
    const struct entry_list *entries = atomic_load_explicit(&search->graph->entries, memory_order_acquire);
    struct crn_graph graph = search->graph->graph;
    size_t found = 0;
    const struct crn_graph_ask how = {.effort = search->effort, .keep = search->keep, .allow = ask->allow};

    if (entries == NULL) return false;
    if (crn_graph_scratch_reserve(&search->scratch, graph.layout.dims, ask->nodes, search->effort, search->keep, NULL) != CAIRN_OK)
        return false;
    if (!prepare_query(search)) return false;
    graph.entries = entries->rows;
    graph.entry_blocks = entries->blocks;
    graph.count = ask->nodes; /* what was inserted later is not walked through */
    crn_graph_walk(&graph, &search->scratch, &how);
    for (uint32_t i = 0; i < search->scratch.near_count; i++) {
        found += ((uint32_t)search->scratch.near[i] & CRN_GRAPH_KEY_NODE) < ask->count;
    }
    return found >= (ask->allowed < ask->k ? ask->allowed : ask->k);
}

bool crn_tail_graph_search(const struct crn_tail *tail, const struct crn_tail_graph_ask *ask, struct crn_topk *top)
{
    struct search search = {
        .tail = tail, .graph = atomic_load_explicit(&tail->graph, memory_order_acquire), .ask = ask};

    if (search.graph == NULL || !plan_effort(&search)) return false;
    const bool found = walk(&search);
    if (found) rescore(&search, top);
    crn_graph_scratch_release(&search.scratch);
    return found;
}
