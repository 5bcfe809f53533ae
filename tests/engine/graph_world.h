/*
 * Vectors in clusters, a graph grown over them, and how much of the true neighbours a walk finds. Without a
 * test framework, so that it also runs cross-compiled under an emulator (graph_main.c).
 */
#ifndef CRN_TESTS_ENGINE_GRAPH_WORLD_H
#define CRN_TESTS_ENGINE_GRAPH_WORLD_H

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "base/topk.h"
#include "engine/graph_insert.h"
#include "engine/graph_refine.h"
#include "engine/graph_walk_isa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WORLD_K 10u
#define WORLD_WORKERS 2u

enum world_lengths { ANY_LENGTH, ONE_LENGTH };

struct world_shape {
    uint32_t count, dim;
    enum crn_op op;
    enum world_lengths lengths;
    uint32_t effort; /* of building */
};

struct world {
    struct world_shape shape;
    float *rows;    /* [count][dim] */
    float *queries; /* [query_count][dim] */
    uint32_t query_count;
    void *frame_memory;
    uint64_t seed; /* of the frame */
    struct crn_graph_frame frame;
    struct crn_graph_growing growing;
    struct crn_graph_worker workers[WORLD_WORKERS];
    uint32_t first; /* of the round of insertions under way */
};

typedef void world_walk(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                        const struct crn_graph_ask *ask);

/* Those this build has; a processor may run them up to its level. */
static const struct {
    const char *name;
    world_walk *walk;
    enum crn_cpu_level level;
} world_walks[] = {
    {"plain", crn_graph_walk_plain, CRN_CPU_SCALAR},
#if defined(__x86_64__)
    {"avx2", crn_graph_walk_avx2, CRN_CPU_AVX2},
    {"avx512", crn_graph_walk_avx512, CRN_CPU_AVX512},
#elif defined(__aarch64__)
    {"neon", crn_graph_walk_neon, CRN_CPU_NEON},
#endif
};

static inline void world_need(bool there, const char *what)
{
    if (there) return;
    fprintf(stderr, "%s failed\n", what);
    abort();
}

/* Points about 40 centres; queries lie beside points. */
static inline void world_fill(struct world *world, struct crn_rng *rng)
{
    const uint32_t dim = world->shape.dim, centres = 40;
    float *at = crn_mem_array((size_t)centres * dim, sizeof *at);

    world_need(at != NULL, "memory");
    for (size_t i = 0; i < (size_t)centres * dim; i++) at[i] = (float)crn_rng_normal(rng);
    for (uint32_t i = 0; i < world->shape.count + world->query_count; i++) {
        const bool query = i >= world->shape.count;
        float *row =
            query ? world->queries + (size_t)(i - world->shape.count) * dim : world->rows + (size_t)i * dim;
        const float *centre = at + crn_rng_below(rng, centres) * dim;
        double norm2 = 0;
        for (uint32_t j = 0; j < dim; j++) {
            row[j] = centre[j] + (float)crn_rng_normal(rng) * 0.6f;
            norm2 += (double)row[j] * row[j];
        }
        const double length =
            world->shape.lengths == ONE_LENGTH ? 1 / sqrt(norm2) : exp(0.2 * crn_rng_normal(rng));
        for (uint32_t j = 0; j < dim; j++) row[j] *= (float)length;
    }
    crn_mem_free(at);
}

static inline void world_init(struct world *world, struct world_shape shape, uint32_t query_count,
                              struct crn_rng *rng)
{
    const uint32_t capacity = shape.count;

    *world = (struct world){.shape = shape, .query_count = query_count};
    world->rows = crn_mem_array((size_t)shape.count * shape.dim, sizeof(float));
    world->queries = crn_mem_array((size_t)query_count * shape.dim, sizeof(float));
    world->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(shape.dim));
    world_need(world->rows != NULL && world->queries != NULL && world->frame_memory != NULL, "memory");
    world_fill(world, rng);
    world->seed = crn_rng_u64(rng);
    crn_graph_frame_init(&world->frame, shape.op, shape.dim, world->seed, world->frame_memory);
    crn_graph_frame_fit(&world->frame, world->rows, shape.count);
    world_need(crn_graph_growing_init(&world->growing, &world->frame, capacity, shape.effort, 1.1f, NULL) ==
                   CAIRN_OK,
               "growing");
    for (uint32_t w = 0; w < WORLD_WORKERS; w++) {
        world_need(crn_graph_worker_init(&world->workers[w], &world->growing, NULL) == CAIRN_OK, "worker");
    }
}

static inline void world_release(struct world *world)
{
    for (uint32_t w = 0; w < WORLD_WORKERS; w++) crn_graph_worker_release(&world->workers[w]);
    crn_graph_growing_release(&world->growing);
    crn_mem_free(world->rows);
    crn_mem_free(world->queries);
    crn_mem_free(world->frame_memory);
}

static inline const float *world_row(const struct world *world, uint32_t node)
{
    return world->rows + (size_t)node * world->shape.dim;
}

/* ---- growing ---- */

static inline void world_insert_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct world *world = ctx;

    for (uint32_t i = world->first + (uint32_t)begin; i < world->first + end; i++) {
        crn_graph_insert(&world->growing, &world->workers[worker], i, world_row(world, i));
    }
}

/* Inserts nodes up to `end`. Nodes become entries while they are few, later some of each round. */
static inline void world_grow_to(struct world *world, unsigned threads, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end && i < CRN_GRAPH_DEGREE; i++) {
        crn_graph_insert(&world->growing, &world->workers[0], i, world_row(world, i));
        crn_graph_add_entry(&world->growing, i);
    }
    for (uint32_t i = begin < CRN_GRAPH_DEGREE ? CRN_GRAPH_DEGREE : begin; i < end;) {
        const uint32_t most = end - i < 2 * i ? end - i : 2 * i, step = 1 + most / (2 * CRN_GRAPH_DEGREE);
        world->first = i;
        crn_parallel_for(threads, most, 8, world_insert_some, world);
        for (uint32_t e = i; e < i + most; e += step) crn_graph_add_entry(&world->growing, e);
        i += most;
    }
}

/* ---- refining ---- */

struct world_refine {
    struct world *world;
    struct crn_graph_refine refine;
    struct crn_graph_chooser choosers[WORLD_WORKERS];
};

static inline void world_choose_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct world_refine *job = ctx;

    for (uint32_t i = (uint32_t)begin; i < end; i++) {
        crn_graph_refine_choose(&job->refine, i, &job->world->workers[worker], &job->choosers[worker],
                                world_row(job->world, i), NULL);
    }
}

static inline void world_link_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct world_refine *job = ctx;

    for (uint32_t i = (uint32_t)begin; i < end; i++)
        crn_graph_refine_link(&job->refine, i, &job->choosers[worker]);
}

static inline void world_rescue_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct world *world = ((struct world_refine *)ctx)->world;

    for (uint32_t i = (uint32_t)begin; i < end; i++) {
        crn_graph_rescue(&world->growing, &world->workers[worker], i, world_row(world, i));
    }
}

/* One pass over all nodes; rescue: its last step, too. */
static inline void world_refine(struct world *world, unsigned threads, bool rescue)
{
    const uint32_t count = world->shape.count;
    struct world_refine job = {.world = world};
    uint32_t *nodes = crn_mem_array(count, sizeof *nodes);

    world_need(nodes != NULL, "memory");
    for (uint32_t i = 0; i < count; i++) nodes[i] = i;
    world_need(crn_graph_refine_init(&job.refine, &world->growing, nodes, count, NULL) == CAIRN_OK, "refine");
    for (uint32_t w = 0; w < WORLD_WORKERS; w++) {
        world_need(crn_graph_chooser_init(&job.choosers[w], &world->growing, NULL) == CAIRN_OK, "chooser");
    }
    world->growing.graph.live = false;
    crn_parallel_for(threads, count, 8, world_choose_some, &job);
    world->growing.graph.live = true;
    world_need(crn_graph_refine_gather(&job.refine, NULL) == CAIRN_OK, "gather");
    crn_parallel_for(threads, count, 8, world_link_some, &job);
    if (rescue) crn_parallel_for(threads, count, 8, world_rescue_some, &job);
    for (uint32_t w = 0; w < WORLD_WORKERS; w++) crn_graph_chooser_release(&job.choosers[w]);
    crn_graph_refine_release(&job.refine);
    crn_mem_free(nodes);
}

static inline void world_grow(struct world *world, unsigned threads)
{
    world_grow_to(world, threads, 0, world->shape.count);
    world_refine(world, threads, true);
}

/* ---- searching ---- */

static inline double world_distance(const struct world *world, const float *query, uint32_t node)
{
    const float *row = world_row(world, node);
    double sum = 0;

    for (uint32_t j = 0; j < world->shape.dim; j++) {
        const double difference = (double)query[j] - (double)row[j];
        sum += world->shape.op == CRN_OP_L2 ? difference * difference : -(double)query[j] * (double)row[j];
    }
    return sum;
}

/* Prepares the scratch's query; its |z|. */
static inline float world_ask(const struct world *world, struct crn_graph_scratch *scratch,
                              const float *query)
{
    struct crn_graph_point point;

    crn_graph_frame_point(&world->frame, query, scratch->query.rotated, &point);
    crn_graph_kernels_get()->query_prepare(&scratch->query);
    scratch->query.constant = point.constant;
    return sqrtf(point.norm2);
}

/* The share of the WORLD_K nearest of nodes 0..count-1 that are among those a walk lists. */
static inline double world_recall(const struct world *world, world_walk *walk, uint32_t count,
                                  uint32_t effort)
{
    const struct crn_graph_ask ask = {.effort = effort, .keep = effort};
    struct crn_graph_scratch scratch = {0};
    uint64_t found = 0;

    world_need(crn_graph_scratch_reserve(&scratch, world->frame.dims, world->shape.count, effort, effort,
                                         NULL) == CAIRN_OK,
               "scratch");
    for (uint32_t q = 0; q < world->query_count; q++) {
        const float *query = world->queries + (size_t)q * world->shape.dim;
        struct crn_hit hits[WORLD_K];
        struct crn_topk top;
        crn_topk_init(&top, hits, WORLD_K);
        for (uint32_t i = 0; i < count; i++) crn_topk_push(&top, (float)world_distance(world, query, i), i);
        world_ask(world, &scratch, query);
        walk(&world->growing.graph, &scratch, &ask);
        /* Scored exactly, the true neighbours among the listed would all come first. */
        for (uint32_t i = 0; i < WORLD_K; i++) {
            for (uint32_t n = 0; n < scratch.near_count; n++)
                found += (scratch.near[n] & CRN_GRAPH_KEY_NODE) == hits[i].label;
        }
    }
    crn_graph_scratch_release(&scratch);
    return (double)found / (WORLD_K * world->query_count);
}

#endif
