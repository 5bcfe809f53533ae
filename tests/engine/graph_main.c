/* A graph grown, checked, walked and scanned by a program without a test framework, for an ARM build run by an
 * emulator (neon.sh). */
#include "engine/graph_check.h"
#include "tests/engine/graph_blocks.h"

#define FLOOR 0.97 /* of recall@10 at effort 64, over 900 nodes */

/* The share of what a walk with effort 900 lists first that comparing all cells lists first too. */
static double scanned_alike(const struct world *world, struct crn_rng *rng)
{
    const struct crn_graph *graph = &world->growing.graph;
    const struct crn_graph_ask ask = {.effort = 900, .keep = 900};
    struct crn_graph_scratch scratch = {0};
    uint64_t walked[WORLD_K];
    struct blocks blocks;
    uint32_t alike = 0;

    blocks_init(&blocks, world, rng);
    world_need(crn_graph_scratch_reserve(&scratch, world->frame.dims, graph->count, 900, 900, NULL) ==
                   CAIRN_OK,
               "scratch");
    for (uint32_t q = 0; q < world->query_count; q++) {
        const float *query = world->queries + (size_t)q * world->shape.dim;
        struct crn_graph_scan scan = {.wanted = WORLD_K, .keep = WORLD_K, .cells = &blocks.all};
        scan.query_length = world_ask(world, &scratch, query);
        crn_graph_walk(graph, &scratch, &ask);
        memcpy(walked, scratch.near, sizeof walked);
        world_need(crn_graph_scan_all(graph, &scratch, &scan, NULL) == CAIRN_OK, "scan");
        for (uint32_t i = 0; i < WORLD_K; i++) {
            for (uint32_t n = 0; n < scratch.near_count; n++) alike += walked[i] == scratch.near[n];
        }
    }
    crn_graph_scratch_release(&scratch);
    blocks_release(&blocks);
    return (double)alike / (WORLD_K * world->query_count);
}

static bool passes(struct world_shape shape)
{
    struct world world;
    struct crn_rng rng;
    cairn_error err;

    crn_rng_init(&rng, 1);
    world_init(&world, shape, 40, &rng);
    world_grow(&world, 2);
    const cairn_status status = crn_graph_check(&world.growing.graph, &err);
    const double chosen = world_recall(&world, crn_graph_walk, shape.count, 64);
    const double plain = world_recall(&world, crn_graph_walk_plain, shape.count, 64);
    const double alike = scanned_alike(&world, &rng);
    printf("%u x %u, %s: %s; recall@10 %.4f, plain %.4f; scanned alike %.4f\n", shape.count, shape.dim,
           world.growing.kernels->name, status == CAIRN_OK ? "sound" : err.message, chosen, plain, alike);
    world_release(&world);
    return status == CAIRN_OK && chosen >= FLOOR && plain >= FLOOR && alike >= FLOOR;
}

int main(void)
{
    const bool euclidean = passes((struct world_shape){900, 96, CRN_OP_L2, ANY_LENGTH, 48});
    const bool products = passes((struct world_shape){900, 96, CRN_OP_DOT, ANY_LENGTH, 48});

    return euclidean && products ? 0 : 1;
}
