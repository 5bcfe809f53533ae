/* Making all lists of a graph anew (graph_refine.h). */
#include "engine/graph_refine.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/graph_seed.h"

#include <stdlib.h>

#define ALPHA2 1.44f      /* squared */
#define OFFERS_MOST 256u  /* nearest of the offers of a node that are looked at */
#define OFFERS_READ 1024u /* offers of a node that are read: some nodes are chosen by very many */
#define TWIN 1e30f        /* hidden by a node at no distance: never listed beside it */
#define FETCHED_AHEAD 8u

/* ---- memory ---- */

cairn_status crn_graph_refine_init(struct crn_graph_refine *refine, struct crn_graph_growing *growing,
                                   const uint32_t *nodes, uint32_t count, cairn_error *err)
{
    const uint32_t capacity = growing->graph.count;

    *refine = (struct crn_graph_refine){.growing = growing, .nodes = nodes, .count = count};
    refine->chosen = crn_mem_array(capacity, CRN_GRAPH_DEGREE * sizeof *refine->chosen);
    refine->ends = crn_mem_calloc((size_t)capacity + 1, sizeof *refine->ends);
    if (refine->chosen == NULL || refine->ends == NULL) {
        crn_graph_refine_release(refine);
        return crn_error_no_memory(err, capacity * CRN_GRAPH_DEGREE * sizeof *refine->chosen);
    }
    return CAIRN_OK;
}

void crn_graph_refine_release(struct crn_graph_refine *refine)
{
    crn_mem_free(refine->chosen);
    crn_mem_free(refine->ends);
    crn_mem_free(refine->offers);
    *refine = (struct crn_graph_refine){0};
}

cairn_status crn_graph_chooser_init(struct crn_graph_chooser *chooser,
                                    const struct crn_graph_growing *growing, cairn_error *err)
{
    const uint32_t visited = growing->effort + CRN_GRAPH_DEGREE, offered = OFFERS_READ + CRN_GRAPH_DEGREE;
    const uint32_t max = visited > offered ? visited : offered;

    *chooser = (struct crn_graph_chooser){.max = max};
    chooser->keys = crn_mem_array(max, sizeof *chooser->keys);
    chooser->nodes = crn_mem_array(max, sizeof *chooser->nodes);
    chooser->codes = crn_mem_aligned((size_t)max * growing->graph.layout.dims);
    chooser->scales = crn_mem_array(max, 4 * sizeof *chooser->scales);
    if (chooser->keys == NULL || chooser->nodes == NULL || chooser->codes == NULL ||
        chooser->scales == NULL) {
        crn_graph_chooser_release(chooser);
        return crn_error_no_memory(err, (size_t)max * growing->graph.layout.dims);
    }
    chooser->norms = chooser->scales + max;
    chooser->heights = chooser->norms + max;
    chooser->hidden = chooser->heights + max;
    return CAIRN_OK;
}

void crn_graph_chooser_release(struct crn_graph_chooser *chooser)
{
    crn_mem_free(chooser->keys);
    crn_mem_free(chooser->nodes);
    crn_mem_free(chooser->codes);
    crn_mem_free(chooser->scales);
    *chooser = (struct crn_graph_chooser){0};
}

/* ---- choosing ---- */

static int by_node(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* chooser->nodes[count], sorted, each once and without `node`; the new count. */
static uint32_t sort_nodes(struct crn_graph_chooser *chooser, uint32_t count, uint32_t node)
{
    uint32_t kept = 0;

    qsort(chooser->nodes, count, sizeof *chooser->nodes, by_node);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t other = chooser->nodes[i];
        if (other != node && (kept == 0 || chooser->nodes[kept - 1] != other)) chooser->nodes[kept++] = other;
    }
    return kept;
}

/* Copies what distances among the candidates need: they lie all over the memory, and are compared many times. */
static void load(const struct crn_graph_growing *growing, struct crn_graph_chooser *chooser, uint32_t count)
{
    const struct crn_graph *graph = &growing->graph;
    const uint32_t dims = graph->layout.dims;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *row = crn_graph_row(graph, chooser->nodes[i]);
        if (i + FETCHED_AHEAD < count) {
            const uint8_t *later = crn_graph_row(graph, chooser->nodes[i + FETCHED_AHEAD]);
            for (uint32_t j = 0; j < dims; j += 64) __builtin_prefetch(later + j);
            __builtin_prefetch(later + graph->layout.head);
        }
        memcpy(chooser->codes + (size_t)i * dims, row, dims);
        memcpy(chooser->scales + i, row + graph->layout.head + offsetof(struct crn_graph_head, scale),
               sizeof *chooser->scales);
        chooser->norms[i] = growing->norms2[chooser->nodes[i]];
        chooser->heights[i] = growing->heights == NULL ? 0 : growing->heights[chooser->nodes[i]];
    }
}

struct place {
    const uint8_t *code;
    float scale, norm2, height;
};

static float distance_to(const struct crn_graph_growing *growing, const struct crn_graph_chooser *chooser,
                         const struct place *from, uint32_t at)
{
    const uint32_t dims = growing->graph.layout.dims;
    const int32_t dot = growing->kernels->codes_dot(from->code, chooser->codes + (size_t)at * dims, dims);
    const float rise = from->height - chooser->heights[at];

    return from->norm2 + chooser->norms[at] - 2 * from->scale * chooser->scales[at] * (float)dot +
           rise * rise;
}

/* Keys of all candidates, ascending by distance from the node. */
static void rank(const struct crn_graph_growing *growing, struct crn_graph_chooser *chooser, uint32_t node,
                 uint32_t count)
{
    const struct crn_graph *graph = &growing->graph;
    const uint8_t *row = crn_graph_row(graph, node);
    struct place place = {.code = row, .norm2 = growing->norms2[node]};

    if (growing->heights != NULL) place.height = growing->heights[node];
    memcpy(&place.scale, row + graph->layout.head + offsetof(struct crn_graph_head, scale),
           sizeof place.scale);
    for (uint32_t i = 0; i < count; i++)
        chooser->keys[i] = crn_graph_key(distance_to(growing, chooser, &place, i), i);
    qsort(chooser->keys, count, sizeof *chooser->keys, crn_graph_by_key);
}

/* Notes for the candidates behind the i-th, which was kept, how well it hides them. */
static void hide(const struct crn_graph_growing *growing, struct crn_graph_chooser *chooser, uint32_t i,
                 uint32_t count)
{
    const uint32_t at = (uint32_t)chooser->keys[i];
    const struct place place = {.code = chooser->codes + (size_t)at * growing->graph.layout.dims,
                                .scale = chooser->scales[at],
                                .norm2 = chooser->norms[at],
                                .height = chooser->heights[at]};

    for (uint32_t j = i + 1; j < count; j++) {
        if (chooser->hidden[j] > ALPHA2) continue;
        const float between = distance_to(growing, chooser, &place, (uint32_t)chooser->keys[j]);
        const float ratio = between > 0 ? crn_graph_key_distance(chooser->keys[j]) / between : TWIN;
        if (ratio > chooser->hidden[j]) chooser->hidden[j] = ratio;
    }
}

/* Chooses among chooser->nodes[count], which are sorted, into out[CRN_GRAPH_DEGREE] and, when not NULL, lengths. */
static void choose(const struct crn_graph_growing *growing, struct crn_graph_chooser *chooser, uint32_t node,
                   uint32_t count, uint32_t most, uint32_t *out, float *lengths)
{
    const float rounds[] = {1, ALPHA2, TWIN / 2};
    uint32_t kept = 0;

    load(growing, chooser, count);
    rank(growing, chooser, node, count);
    if (count > most) count = most;
    for (uint32_t i = 0; i < count; i++) chooser->hidden[i] = 0;
    for (int r = 0; r < 3; r++) {
        for (uint32_t i = 0; i < count && kept < CRN_GRAPH_DEGREE; i++) {
            if (chooser->hidden[i] > rounds[r]) continue;
            if (lengths != NULL) lengths[kept] = crn_graph_key_distance(chooser->keys[i]);
            out[kept++] = chooser->nodes[(uint32_t)chooser->keys[i]];
            if (r < 2) hide(growing, chooser, i, count);
            chooser->hidden[i] = 4 * TWIN; /* taken */
        }
    }
    while (kept < CRN_GRAPH_DEGREE) out[kept++] = CRN_GRAPH_NO_NODE;
}

/* ---- the steps ---- */

void crn_graph_refine_choose(struct crn_graph_refine *refine, uint32_t i, struct crn_graph_worker *worker,
                             struct crn_graph_chooser *chooser, const float *vector, const uint32_t *seeds)
{
    const struct crn_graph_growing *growing = refine->growing;
    const struct crn_graph *graph = &growing->graph;
    const uint32_t node = refine->nodes[i];
    uint32_t count = 0;

    if (seeds != NULL) {
        while (count < CRN_GRAPH_SEEDS && seeds[count] != CRN_GPU_NONE) {
            chooser->nodes[count] = seeds[count];
            count++;
        }
    } else {
        crn_graph_worker_search(refine->growing, worker, vector);
        for (uint32_t n = 0; n < worker->scratch.near_count; n++)
            chooser->nodes[count++] = (uint32_t)worker->scratch.near[n] & CRN_GRAPH_KEY_NODE;
    }
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint32_t id = crn_graph_id(&graph->layout, crn_graph_row(graph, node), v);
        if (id != CRN_GRAPH_NO_NODE) chooser->nodes[count++] = id;
    }
    count = sort_nodes(chooser, count, node);
    choose(growing, chooser, node, count, count, refine->chosen + (size_t)node * CRN_GRAPH_DEGREE, NULL);
}

cairn_status crn_graph_refine_gather(struct crn_graph_refine *refine, cairn_error *err)
{
    const uint32_t capacity = refine->growing->graph.count;

    for (uint32_t i = 0; i < refine->count; i++) {
        const uint32_t *chosen = refine->chosen + (size_t)refine->nodes[i] * CRN_GRAPH_DEGREE;
        for (uint32_t v = 0; v < CRN_GRAPH_DEGREE && chosen[v] != CRN_GRAPH_NO_NODE; v++)
            refine->ends[chosen[v] + 1]++;
    }
    for (uint32_t i = 0; i < capacity; i++) refine->ends[i + 1] += refine->ends[i];
    refine->offers = crn_mem_array(refine->ends[capacity] + 1u, sizeof *refine->offers);
    if (refine->offers == NULL)
        return crn_error_no_memory(err, refine->ends[capacity] * sizeof *refine->offers);
    /* ends[n] is where n's offers begin, and grows to where they end. */
    for (uint32_t i = 0; i < refine->count; i++) {
        const uint32_t *chosen = refine->chosen + (size_t)refine->nodes[i] * CRN_GRAPH_DEGREE;
        for (uint32_t v = 0; v < CRN_GRAPH_DEGREE && chosen[v] != CRN_GRAPH_NO_NODE; v++) {
            refine->offers[refine->ends[chosen[v]]++] = refine->nodes[i];
        }
    }
    return CAIRN_OK;
}

void crn_graph_refine_link(struct crn_graph_refine *refine, uint32_t i, struct crn_graph_chooser *chooser)
{
    struct crn_graph_growing *growing = refine->growing;
    const uint32_t node = refine->nodes[i];
    const uint32_t *chosen = refine->chosen + (size_t)node * CRN_GRAPH_DEGREE;
    const uint32_t begin = node == 0 ? 0 : refine->ends[node - 1], offered = refine->ends[node] - begin;
    const uint32_t step = 1 + offered / OFFERS_READ;
    uint32_t list[CRN_GRAPH_DEGREE], count = 0;
    float lengths[CRN_GRAPH_DEGREE];

    while (count < CRN_GRAPH_DEGREE && chosen[count] != CRN_GRAPH_NO_NODE) {
        chooser->nodes[count] = chosen[count];
        count++;
    }
    for (uint32_t o = 0; o < offered; o += step) chooser->nodes[count++] = refine->offers[begin + o];
    count = sort_nodes(chooser, count, node);
    choose(growing, chooser, node, count, OFFERS_MOST, list, lengths);
    crn_graph_relink(growing, node, list, lengths);
}
