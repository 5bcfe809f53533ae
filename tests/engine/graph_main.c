/* A graph grown, checked and walked by a program without a test framework, for an ARM build run by an
 * emulator (neon.sh). */
#include "engine/graph_check.h"
#include "tests/engine/graph_world.h"

#define FLOOR 0.97 /* of recall@10 at effort 64, over 900 nodes */

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
    printf("%u x %u, %s: %s; recall@10 %.4f, plain %.4f\n", shape.count, shape.dim,
           world.growing.kernels->name, status == CAIRN_OK ? "sound" : err.message, chosen, plain);
    world_release(&world);
    return status == CAIRN_OK && chosen >= FLOOR && plain >= FLOOR;
}

int main(void)
{
    const bool euclidean = passes((struct world_shape){900, 96, CRN_OP_L2, ANY_LENGTH, 48});
    const bool products = passes((struct world_shape){900, 96, CRN_OP_DOT, ANY_LENGTH, 48});

    return euclidean && products ? 0 : 1;
}
