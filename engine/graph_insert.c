/* Growing a graph (graph_insert.h). */
#include "engine/graph_insert.h"

#include "base/error.h"
#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

#define IN_DEGREE_LEAST 6u /* a node named by fewer lists is taken into a full one all the same */
#define FORCED_MOST 6u     /* lists asked so on behalf of one node */
#define SAME_LOOKED_AT \
    8u /* nearest candidates asked whether they are the same: codes put equals first, or close to it */

/* ---- memory ---- */

cairn_status crn_graph_growing_init(struct crn_graph_growing *growing, const struct crn_graph_frame *frame,
                                    uint32_t capacity, uint32_t effort, float alpha, cairn_error *err)
{
    struct crn_graph *graph = &growing->graph;

    assert(capacity <= CRN_GRAPH_NODES_MAX && frame->dims <= CRN_GRAPH_DIMS_MAX);
    *growing =
        (struct crn_graph_growing){.effort = effort, .alpha = alpha, .kernels = crn_graph_kernels_get()};
    graph->layout = crn_graph_layout_of(frame->dims);
    graph->frame = *frame;
    graph->live = true;
    graph->count = capacity;
    graph->rows = crn_mem_aligned((size_t)capacity * graph->layout.row_bytes);
    graph->entries = crn_mem_aligned((size_t)CRN_GRAPH_ENTRY_BLOCKS * graph->layout.row_bytes);
    growing->norms2 = crn_mem_array(capacity, sizeof *growing->norms2);
    growing->lengths = crn_mem_array(capacity, CRN_GRAPH_DEGREE * sizeof *growing->lengths);
    growing->in_degrees = crn_mem_calloc(capacity, sizeof *growing->in_degrees);
    if (frame->heights) growing->heights = crn_mem_array(capacity, sizeof *growing->heights);
    if (graph->rows == NULL || graph->entries == NULL || growing->norms2 == NULL ||
        growing->lengths == NULL || growing->in_degrees == NULL ||
        (frame->heights && growing->heights == NULL)) {
        crn_graph_growing_release(growing);
        return crn_error_no_memory(err, (size_t)capacity * graph->layout.row_bytes);
    }
    /* Rows are visited at random: large pages save a table walk each. Only advice. */
    const size_t page = 2u << 20, begin = ((uintptr_t)graph->rows + page - 1) / page * page;
    const size_t end = ((uintptr_t)graph->rows + (size_t)capacity * graph->layout.row_bytes) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    return CAIRN_OK;
}

void crn_graph_growing_release(struct crn_graph_growing *growing)
{
    crn_mem_free(growing->graph.rows);
    crn_mem_free(growing->graph.entries);
    crn_mem_free(growing->norms2);
    crn_mem_free(growing->lengths);
    crn_mem_free(growing->in_degrees);
    crn_mem_free(growing->heights);
    *growing = (struct crn_graph_growing){0};
}

cairn_status crn_graph_worker_init(struct crn_graph_worker *worker, const struct crn_graph_growing *growing,
                                   cairn_error *err)
{
    const struct crn_graph *graph = &growing->graph;

    *worker = (struct crn_graph_worker){.candidate_max = growing->effort + CRN_GRAPH_DEGREE};
    cairn_status status = crn_graph_scratch_reserve(&worker->scratch, graph->layout.dims, graph->count,
                                                    growing->effort, growing->effort, err);
    if (status == CAIRN_OK) {
        worker->candidates = crn_mem_array(worker->candidate_max, sizeof *worker->candidates);
        if (worker->candidates == NULL)
            status = crn_error_no_memory(err, worker->candidate_max * sizeof *worker->candidates);
    }
    if (status != CAIRN_OK) crn_graph_worker_release(worker);
    return status;
}

void crn_graph_worker_release(struct crn_graph_worker *worker)
{
    crn_graph_scratch_release(&worker->scratch);
    crn_mem_free(worker->candidates);
    *worker = (struct crn_graph_worker){0};
}

/* ---- distances ---- */

float crn_graph_between(const struct crn_graph_growing *growing, uint32_t a, uint32_t b)
{
    const struct crn_graph *graph = &growing->graph;
    const float dot =
        growing->kernels->row_dot(&graph->layout, crn_graph_row(graph, a), crn_graph_row(graph, b));
    const float rise = growing->heights == NULL ? 0 : growing->heights[a] - growing->heights[b];

    return growing->norms2[a] + growing->norms2[b] - 2 * dot + rise * rise;
}

/* ---- choosing neighbours ---- */

static void count_link(struct crn_graph_growing *growing, uint32_t node, int change)
{
    /* Relaxed: nothing else depends on it. */
    atomic_fetch_add_explicit(&growing->in_degrees[node], (uint32_t)change, memory_order_relaxed);
}

static uint32_t in_degree(const struct crn_graph_growing *growing, uint32_t node)
{
    return atomic_load_explicit(&growing->in_degrees[node], memory_order_relaxed);
}

/* Keeps of the ascending candidates those that no nearer kept one hides, then fills up with the nearest hidden ones. The chosen
 * ones come first in `keys`. */
static uint32_t choose(const struct crn_graph_growing *growing, uint64_t *keys, uint32_t count)
{
    const float alpha2 = growing->alpha * growing->alpha;
    uint64_t hidden[CRN_GRAPH_DEGREE];
    uint32_t kept = 0, hidden_count = 0;

    for (uint32_t i = 0; i < count && kept < CRN_GRAPH_DEGREE; i++) {
        const uint32_t node = (uint32_t)keys[i] & CRN_GRAPH_KEY_NODE;
        const float distance = crn_graph_key_distance(keys[i]);
        bool visible = true;
        for (uint32_t k = 0; visible && k < kept; k++) {
            visible =
                crn_graph_between(growing, (uint32_t)keys[k] & CRN_GRAPH_KEY_NODE, node) * alpha2 >= distance;
        }
        if (visible) {
            keys[kept++] = keys[i];
        } else if (hidden_count < CRN_GRAPH_DEGREE) {
            hidden[hidden_count++] = keys[i];
        }
    }
    for (uint32_t i = 0; i < hidden_count && kept < CRN_GRAPH_DEGREE; i++) keys[kept++] = hidden[i];
    return kept;
}

/* Puts a neighbour into a slot of a row whose lock the caller holds. */
static void set_slot(struct crn_graph_growing *growing, uint32_t node, uint32_t slot, uint32_t neighbour,
                     float distance)
{
    const struct crn_graph *graph = &growing->graph;
    uint8_t *row = crn_graph_row(graph, node);
    const uint32_t before = crn_graph_id(&graph->layout, row, slot);

    if (before != CRN_GRAPH_NO_NODE) count_link(growing, before, -1);
    count_link(growing, neighbour, 1);
    growing->kernels->row_set(&graph->layout, row, slot, crn_graph_row(graph, neighbour), neighbour);
    crn_graph_lengths(growing, node)[slot] = distance;
}

/* Empties the slots behind the first `count` that name one of keys[count], too: others offered it meanwhile. The caller holds the
 * row's lock. */
static void drop_repeated(struct crn_graph_growing *growing, uint32_t node, const uint64_t *keys,
                          uint32_t count)
{
    const struct crn_graph *graph = &growing->graph;
    uint8_t *row = crn_graph_row(graph, node);
    uint32_t used = count;

    while (used < CRN_GRAPH_DEGREE && crn_graph_id(&graph->layout, row, used) != CRN_GRAPH_NO_NODE) used++;
    for (uint32_t v = count; v < used;) {
        const uint32_t id = crn_graph_id(&graph->layout, row, v);
        bool repeated = false;
        for (uint32_t i = 0; !repeated && i < count; i++)
            repeated = ((uint32_t)keys[i] & CRN_GRAPH_KEY_NODE) == id;
        if (!repeated) {
            v++;
            continue;
        }
        const uint32_t last = crn_graph_id(&graph->layout, row, --used);
        if (v != used) set_slot(growing, node, v, last, crn_graph_lengths(growing, node)[used]);
        count_link(growing, last, -1);
        crn_graph_slot_clear(&graph->layout, row, used);
    }
}

static void link_out(struct crn_graph_growing *growing, uint32_t node, const uint64_t *keys, uint32_t count)
{
    const struct crn_graph *graph = &growing->graph;

    crn_graph_lock_write(crn_graph_lock_of(graph, node));
    for (uint32_t v = 0; v < count; v++) {
        set_slot(growing, node, v, (uint32_t)keys[v] & CRN_GRAPH_KEY_NODE, crn_graph_key_distance(keys[v]));
    }
    drop_repeated(growing, node, keys, count);
    crn_graph_unlock_write(crn_graph_lock_of(graph, node));
}

/* ---- being offered a neighbour ---- */

/* What a node that is offered a neighbour knows: the slots in use, and how far the offered one is from each neighbour. */
struct offer {
    uint32_t used;
    bool known;
    float estimates[CRN_GRAPH_DEGREE];
};

static struct offer judge(struct crn_graph_growing *growing, const struct crn_graph_worker *worker,
                          uint32_t node, uint32_t offered)
{
    const struct crn_graph *graph = &growing->graph;
    const uint8_t *row = crn_graph_row(graph, node);
    const float height = worker->point.height;
    struct offer offer = {0};

    growing->kernels->row_estimate(&graph->layout, &worker->scratch.query, row, offer.estimates);
    while (offer.used < CRN_GRAPH_DEGREE) {
        const uint32_t id = crn_graph_id(&graph->layout, row, offer.used);
        if (id == CRN_GRAPH_NO_NODE) break;
        if (id == offered) offer.known = true;
        if (growing->heights != NULL)
            offer.estimates[offer.used] += height * (height - 2 * growing->heights[id]);
        offer.used++;
    }
    return offer;
}

/* The slot of the farthest neighbour that other lists name often enough, or CRN_GRAPH_DEGREE. */
static uint32_t farthest_slot(const struct crn_graph_growing *growing, const uint8_t *row,
                              const float *lengths, float than)
{
    uint32_t farthest = CRN_GRAPH_DEGREE;

    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        if (lengths[v] <= than || (farthest != CRN_GRAPH_DEGREE && lengths[v] <= lengths[farthest])) continue;
        if (in_degree(growing, crn_graph_id(&growing->graph.layout, row, v)) > IN_DEGREE_LEAST) farthest = v;
    }
    return farthest;
}

/* The slot for the offered neighbour, or CRN_GRAPH_DEGREE: a free one; else that of the farthest neighbour it hides; else that of
 * the farthest of all, when it is farther than the offered one. A neighbour that hides the offered one keeps it out of a full row. */
static uint32_t slot_for(const struct crn_graph_growing *growing, const struct offer *offer,
                         const uint8_t *row, const float *lengths, float distance)
{
    const float alpha2 = growing->alpha * growing->alpha;
    uint32_t hidden = CRN_GRAPH_DEGREE;

    if (offer->used < CRN_GRAPH_DEGREE) return offer->used;
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        if (lengths[v] < distance) {
            if (offer->estimates[v] * alpha2 < distance) return CRN_GRAPH_DEGREE;
        } else if (offer->estimates[v] * alpha2 < lengths[v] &&
                   (hidden == CRN_GRAPH_DEGREE || lengths[v] > lengths[hidden]) &&
                   in_degree(growing, crn_graph_id(&growing->graph.layout, row, v)) > IN_DEGREE_LEAST) {
            hidden = v;
        }
    }
    return hidden != CRN_GRAPH_DEGREE ? hidden : farthest_slot(growing, row, lengths, distance);
}

static void link_back(struct crn_graph_growing *growing, const struct crn_graph_worker *worker, uint32_t node,
                      uint32_t offered, float distance, bool forced)
{
    const struct crn_graph *graph = &growing->graph;
    const uint8_t *row = crn_graph_row(graph, node);
    const float *lengths = crn_graph_lengths(growing, node);
    uint32_t slot = CRN_GRAPH_DEGREE;

    crn_graph_lock_write(crn_graph_lock_of(graph, node));
    const struct offer offer = judge(growing, worker, node, offered);
    if (!offer.known)
        slot = forced ? farthest_slot(growing, row, lengths, -1)
                      : slot_for(growing, &offer, row, lengths, distance);
    if (slot != CRN_GRAPH_DEGREE) set_slot(growing, node, slot, offered, distance);
    crn_graph_unlock_write(crn_graph_lock_of(graph, node));
}

/* ---- nodes ---- */

/* Makes the worker's query of its point. */
static void prepare_query(const struct crn_graph_growing *growing, struct crn_graph_worker *worker)
{
    growing->kernels->query_prepare(&worker->scratch.query);
    worker->scratch.query.constant = worker->point.constant;
}

/* Searches from the worker's point. */
static void search(struct crn_graph_growing *growing, struct crn_graph_worker *worker)
{
    const uint32_t effort = worker->start_count != 0 ? worker->start_effort : growing->effort;
    const struct crn_graph_ask ask = {
        .effort = effort, .keep = effort, .starts = worker->starts, .start_count = worker->start_count};

    prepare_query(growing, worker);
    crn_graph_walk(&growing->graph, &worker->scratch, &ask);
}

/* Searches, and fills worker->candidates with what was visited, ascending, without `node`. With heights the search goes by dot product,
 * as those of queries will, which come by such nodes; their order by distance is another. */
static uint32_t find_candidates(struct crn_graph_growing *growing, struct crn_graph_worker *worker,
                                uint32_t node)
{
    const struct crn_graph_scratch *scratch = &worker->scratch;
    uint32_t count = 0;

    search(growing, worker);
    for (uint32_t i = 0; i < scratch->near_count; i++) {
        const uint32_t found = (uint32_t)scratch->near[i] & CRN_GRAPH_KEY_NODE;
        if (found == node) continue;
        worker->candidates[count++] = growing->heights == NULL
                                          ? scratch->near[i]
                                          : crn_graph_key(crn_graph_between(growing, node, found), found);
    }
    if (growing->heights != NULL)
        qsort(worker->candidates, count, sizeof *worker->candidates, crn_graph_by_key);
    return count;
}

/* Puts the node into the lists of candidates[count], full or not, until enough lists name it. */
static void force_links(struct crn_graph_growing *growing, const struct crn_graph_worker *worker,
                        uint32_t node, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < FORCED_MOST && in_degree(growing, node) < IN_DEGREE_LEAST; i++) {
        link_back(growing, worker, (uint32_t)worker->candidates[i] & CRN_GRAPH_KEY_NODE, node,
                  crn_graph_key_distance(worker->candidates[i]), true);
    }
}

static void link_both(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                      uint32_t count)
{
    count = choose(growing, worker->candidates, count);
    link_out(growing, node, worker->candidates, count);
    for (uint32_t i = 0; i < count; i++) {
        link_back(growing, worker, (uint32_t)worker->candidates[i] & CRN_GRAPH_KEY_NODE, node,
                  crn_graph_key_distance(worker->candidates[i]), false);
    }
    force_links(growing, worker, node, count);
}

uint32_t crn_graph_insert_unless(struct crn_graph_growing *growing, struct crn_graph_worker *worker,
                                 uint32_t node, const float *vector,
                                 bool (*is_same)(void *ctx, uint32_t other), void *ctx)
{
    struct crn_graph *graph = &growing->graph;

    crn_graph_frame_point(&graph->frame, vector, worker->scratch.query.rotated, &worker->point);
    growing->kernels->row_init(&graph->layout, worker->scratch.query.rotated, worker->point.weight,
                               crn_graph_row(graph, node));
    growing->norms2[node] =
        growing->kernels->row_dot(&graph->layout, crn_graph_row(graph, node), crn_graph_row(graph, node));
    if (growing->heights != NULL) growing->heights[node] = worker->point.height;
    const uint32_t count = find_candidates(growing, worker, node);
    for (uint32_t i = 0; is_same != NULL && i < count && i < SAME_LOOKED_AT; i++) {
        const uint32_t other = (uint32_t)worker->candidates[i] & CRN_GRAPH_KEY_NODE;
        if (is_same(ctx, other)) return other;
    }
    link_both(growing, worker, node, count);
    return CRN_GRAPH_NO_NODE;
}

void crn_graph_insert(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                      const float *vector)
{
    (void)crn_graph_insert_unless(growing, worker, node, vector, NULL, NULL);
}

/* Adds the present neighbours that the search did not come by. */
static uint32_t add_present(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                            uint32_t count)
{
    const struct crn_graph *graph = &growing->graph;
    const uint32_t found = count;

    crn_graph_lock_read(crn_graph_lock_of(graph, node));
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint32_t id = crn_graph_id(&graph->layout, crn_graph_row(graph, node), v);
        bool known = id == CRN_GRAPH_NO_NODE;
        for (uint32_t i = 0; !known && i < found; i++)
            known = ((uint32_t)worker->candidates[i] & CRN_GRAPH_KEY_NODE) == id;
        if (!known) worker->candidates[count++] = crn_graph_key(crn_graph_lengths(growing, node)[v], id);
    }
    crn_graph_unlock_read(crn_graph_lock_of(graph, node));
    if (count != found) qsort(worker->candidates, count, sizeof *worker->candidates, crn_graph_by_key);
    return count;
}

void crn_graph_improve(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                       const float *vector)
{
    crn_graph_frame_point(&growing->graph.frame, vector, worker->scratch.query.rotated, &worker->point);
    const uint32_t found = find_candidates(growing, worker, node);
    link_both(growing, worker, node, add_present(growing, worker, node, found));
}

void crn_graph_worker_search(struct crn_graph_growing *growing, struct crn_graph_worker *worker,
                             const float *vector)
{
    crn_graph_frame_point(&growing->graph.frame, vector, worker->scratch.query.rotated, &worker->point);
    search(growing, worker);
}

void crn_graph_relink(struct crn_graph_growing *growing, uint32_t node, const uint32_t list[CRN_GRAPH_DEGREE],
                      const float lengths[CRN_GRAPH_DEGREE])
{
    const struct crn_graph *graph = &growing->graph;

    for (uint32_t v = CRN_GRAPH_DEGREE; v-- > 0;) {
        const uint32_t before = crn_graph_id(&graph->layout, crn_graph_row(graph, node), v);
        if (before == CRN_GRAPH_NO_NODE) continue;
        count_link(growing, before, -1);
        crn_graph_slot_clear(&graph->layout, crn_graph_row(graph, node), v);
    }
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE && list[v] != CRN_GRAPH_NO_NODE; v++) {
        set_slot(growing, node, v, list[v], lengths[v]);
    }
}

void crn_graph_rescue(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                      const float *vector)
{
    if (in_degree(growing, node) >= IN_DEGREE_LEAST) return;
    crn_graph_frame_point(&growing->graph.frame, vector, worker->scratch.query.rotated, &worker->point);
    prepare_query(growing, worker);
    force_links(growing, worker, node, add_present(growing, worker, node, 0));
}

void crn_graph_copy_node(struct crn_graph_growing *growing, uint32_t node, uint32_t from)
{
    const struct crn_graph *graph = &growing->graph;
    const uint8_t *row = crn_graph_row(graph, from);

    memcpy(crn_graph_row(graph, node), row, graph->layout.row_bytes);
    memcpy(crn_graph_lengths(growing, node), crn_graph_lengths(growing, from),
           CRN_GRAPH_DEGREE * sizeof *growing->lengths);
    growing->norms2[node] = growing->norms2[from];
    if (growing->heights != NULL) growing->heights[node] = growing->heights[from];
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint32_t id = crn_graph_id(&graph->layout, row, v);
        if (id != CRN_GRAPH_NO_NODE) count_link(growing, id, 1);
    }
}

void crn_graph_link_twin(struct crn_graph_growing *growing, uint32_t node, uint32_t twin)
{
    const struct crn_graph *graph = &growing->graph;
    uint32_t slot = 0;

    while (slot < CRN_GRAPH_DEGREE - 1 &&
           crn_graph_id(&graph->layout, crn_graph_row(graph, node), slot) != CRN_GRAPH_NO_NODE)
        slot++;
    set_slot(growing, node, slot, twin, 0);
}

bool crn_graph_add_entry(struct crn_graph_growing *growing, uint32_t node)
{
    struct crn_graph *graph = &growing->graph;
    const uint32_t block = growing->entry_count / CRN_GRAPH_DEGREE,
                   slot = growing->entry_count % CRN_GRAPH_DEGREE;
    uint8_t *row = graph->entries + (size_t)block * graph->layout.row_bytes;

    if (block == CRN_GRAPH_ENTRY_BLOCKS) return false;
    if (slot == 0) {
        float origin[CRN_GRAPH_DIMS_MAX] = {0};
        growing->kernels->row_init(&graph->layout, origin, 0, row);
        graph->entry_blocks = block + 1;
    }
    growing->kernels->row_set(&graph->layout, row, slot, crn_graph_row(graph, node), node);
    growing->entry_count++;
    return true;
}
