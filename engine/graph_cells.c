/* Clusters of nodes (graph_cells.h). */
#include "engine/graph_cells.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/ivf.h"

#include <math.h>

#define CELLS_OF_ROOT 2.0
#define NODES_LEAST 4096u /* of a graph with more than one cell */
/* The same of one that is soon merged with others: codes of all its allowed rows are compared for what a walk costs, while finding
 * cells costs as much as a sixth of inserting the rows. */
#define NODES_LEAST_ROUGH 32768u

static uint32_t cells_for(size_t count, bool rough)
{
    return count < (rough ? NODES_LEAST_ROUGH : NODES_LEAST)
               ? 1
               : (uint32_t)(CELLS_OF_ROOT * sqrt((double)count));
}

static cairn_status reserve(struct crn_graph_build *build, uint32_t cells, cairn_error *err)
{
    build->cell_starts = crn_mem_array(cells + (size_t)1, sizeof *build->cell_starts);
    build->centroids = crn_mem_aligned(cells * (size_t)build->growing.graph.layout.row_bytes);
    if (build->cell_starts != NULL && build->centroids != NULL) return CAIRN_OK;
    return crn_error_no_memory(err, cells * (size_t)build->growing.graph.layout.row_bytes);
}

static cairn_status write_centroids(struct crn_graph_build *build, const float *centroids, cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;
    float *z = crn_mem_aligned(graph->layout.dims * sizeof *z);
    struct crn_graph_point point;

    if (z == NULL) return crn_error_no_memory(err, graph->layout.dims * sizeof *z);
    for (uint32_t c = 0; c < build->cells; c++) {
        crn_graph_frame_point(&graph->frame, centroids + (size_t)c * graph->frame.dim, z, &point);
        build->growing.kernels->row_init(&graph->layout, z, point.weight,
                                         build->centroids + (size_t)c * graph->layout.row_bytes);
    }
    crn_mem_free(z);
    return CAIRN_OK;
}

static cairn_status one_cell(struct crn_graph_build *build, uint32_t count, cairn_error *err)
{
    for (uint32_t i = 0; i < count; i++) build->positions[i] = i;
    CRN_TRY(reserve(build, 1, err));
    build->cells = 1;
    build->cell_starts[0] = 0;
    build->cell_starts[1] = count;
    return write_centroids(build, build->growing.graph.frame.mean, err);
}

static cairn_status take_lists(struct crn_graph_build *build, const struct crn_ivf_build *lists,
                               cairn_error *err)
{
    CRN_TRY(reserve(build, lists->lists, err));
    build->cells = lists->lists;
    memcpy(build->cell_starts, lists->starts, (lists->lists + (size_t)1) * sizeof *build->cell_starts);
    memcpy(build->positions, lists->order, lists->rows->count * sizeof *build->positions);
    return write_centroids(build, lists->centroids, err);
}

cairn_status crn_graph_cells_make(struct crn_graph_build *build, const struct crn_index_rows *rows,
                                  bool rough, unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                                  cairn_error *err)
{
    const uint32_t count = (uint32_t)rows->count, cells = cells_for(count, rough);
    cairn_status status;

    if (cells == 1) {
        status = one_cell(build, count, err);
    } else {
        struct crn_ivf_build lists = {
            .rows = rows, .threads = threads, .rough = rough, .cancelled = cancelled, .ctx = ctx};
        status = crn_ivf_divide(&lists, cells, err);
        if (status == CAIRN_OK) {
            status = take_lists(build, &lists, err);
        } else if (status == CAIRN_UNSUPPORTED) {
            status = one_cell(build, count, err);
        }
        crn_ivf_build_release(&lists);
    }
    for (uint32_t i = 0; status == CAIRN_OK && i < count; i++) build->numbers[build->positions[i]] = i;
    return status;
}
