/* Cells of a test graph's nodes, of uneven sizes, and their blocks (graph_walk_cells.h). */
#ifndef CRN_TESTS_ENGINE_GRAPH_BLOCKS_H
#define CRN_TESTS_ENGINE_GRAPH_BLOCKS_H

#include "engine/graph_scan.h"
#include "tests/engine/graph_world.h"

#define BLOCKS_CELLS 40u

struct blocks {
    struct crn_graph_cell cells[BLOCKS_CELLS + 1];
    struct crn_graph_cells all;
    uint8_t *rows, *centroids;
    uint32_t row_count;
};

/* The row of the mean of nodes begin..end-1, of the mean of all where there are none. */
static inline void blocks_centroid(const struct world *world, uint32_t begin, uint32_t end, uint8_t *row)
{
    const struct crn_graph_layout *layout = &world->growing.graph.layout;
    float *mean = crn_mem_calloc(world->shape.dim, sizeof *mean),
          *z = crn_mem_aligned(layout->dims * sizeof *z);
    struct crn_graph_point point;

    world_need(mean != NULL && z != NULL, "memory");
    for (uint32_t i = begin; i < end; i++) {
        for (uint32_t j = 0; j < world->shape.dim; j++)
            mean[j] += world_row(world, i)[j] / (float)(end - begin);
    }
    crn_graph_frame_point(&world->frame, begin == end ? world->frame.mean : mean, z, &point);
    world->growing.kernels->row_init(layout, z, point.weight, row);
    crn_mem_free(mean);
    crn_mem_free(z);
}

/* Cuts 0..count-1 into cells, some of them empty. */
static inline void blocks_init(struct blocks *blocks, const struct world *world, struct crn_rng *rng)
{
    const struct crn_graph *graph = &world->growing.graph;
    const size_t row_bytes = graph->layout.row_bytes;
    float origin[CRN_GRAPH_DIMS_MAX] = {0};
    uint32_t node = 0, block = 0;

    blocks->row_count = world->shape.count / CRN_GRAPH_DEGREE + BLOCKS_CELLS;
    blocks->rows = crn_mem_aligned(blocks->row_count * row_bytes);
    blocks->centroids = crn_mem_aligned((BLOCKS_CELLS / CRN_GRAPH_DEGREE + 1) * row_bytes);
    uint8_t *centroid = crn_mem_aligned(row_bytes);
    world_need(blocks->rows != NULL && blocks->centroids != NULL && centroid != NULL, "memory");
    for (uint32_t c = 0; c < BLOCKS_CELLS; c++) {
        const uint32_t left = world->shape.count - node,
                       some = (uint32_t)crn_rng_below(rng, 2 * left / (BLOCKS_CELLS - c) + 1),
                       end = c + 1 == BLOCKS_CELLS ? world->shape.count : node + some;
        blocks->cells[c] = (struct crn_graph_cell){node, block};
        blocks_centroid(world, node, end, centroid);
        for (; node < end; block++) {
            uint8_t *row = blocks->rows + block * row_bytes;
            memcpy(row, centroid, row_bytes);
            for (uint32_t slot = 0; slot < CRN_GRAPH_DEGREE && node < end; slot++, node++)
                world->growing.kernels->row_set(&graph->layout, row, slot, crn_graph_row(graph, node), node);
        }
        uint8_t *top = blocks->centroids + c / CRN_GRAPH_DEGREE * row_bytes;
        if (c % CRN_GRAPH_DEGREE == 0) world->growing.kernels->row_init(&graph->layout, origin, 0, top);
        world->growing.kernels->row_set(&graph->layout, top, c % CRN_GRAPH_DEGREE, centroid, c);
    }
    blocks->cells[BLOCKS_CELLS] = (struct crn_graph_cell){node, block};
    blocks->all = (struct crn_graph_cells){BLOCKS_CELLS, blocks->cells, blocks->rows, blocks->centroids};
    crn_mem_free(centroid);
}

static inline void blocks_release(struct blocks *blocks)
{
    crn_mem_free(blocks->rows);
    crn_mem_free(blocks->centroids);
}

#endif
