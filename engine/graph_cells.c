/* Clusters of nodes (graph_cells.h). */
#include "engine/graph_cells.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/ivf.h"

#include <math.h>

#define CELLS_OF_ROOT 2.0
#define NODES_LEAST 4096u /* of a graph with more than one cell */

static uint32_t cells_for(size_t count)
{
    return count < NODES_LEAST ? 1 : (uint32_t)(CELLS_OF_ROOT * sqrt((double)count));
}

static cairn_status reserve(struct crn_graph_build *build, uint32_t cells, cairn_error *err)
{
    build->cell_starts = crn_mem_array(cells + (size_t)1, sizeof *build->cell_starts);
    build->cell_records = crn_mem_array(cells, crn_graph_signs_bytes(build->growing.graph.layout.dims));
    if (build->cell_starts != NULL && build->cell_records != NULL) return CAIRN_OK;
    return crn_error_no_memory(err, cells * sizeof *build->cell_starts);
}

/* What a centroid's record of signs is, made as a node's: by way of a row. */
static void write_record(struct crn_graph_build *build, const float *centroid, float *z, uint8_t *row,
                         uint8_t *record)
{
    const struct crn_graph *graph = &build->growing.graph;
    struct crn_graph_point point;

    crn_graph_frame_point(&graph->frame, centroid, z, &point);
    build->growing.kernels->row_init(&graph->layout, z, point.weight, row);
    crn_graph_signs_write(&graph->layout, row, record);
}

static cairn_status write_records(struct crn_graph_build *build, const float *centroids, cairn_error *err)
{
    const struct crn_graph_layout *layout = &build->growing.graph.layout;
    float *z = crn_mem_aligned(layout->dims * sizeof *z);
    uint8_t *row = crn_mem_aligned(layout->row_bytes);
    cairn_status status = CAIRN_OK;

    if (z == NULL || row == NULL) {
        status = crn_error_no_memory(err, layout->row_bytes);
    } else {
        for (uint32_t c = 0; c < build->cells; c++) {
            write_record(build, centroids + (size_t)c * build->growing.graph.frame.dim, z, row,
                         build->cell_records + c * crn_graph_signs_bytes(layout->dims));
        }
    }
    crn_mem_free(z);
    crn_mem_free(row);
    return status;
}

static cairn_status one_cell(struct crn_graph_build *build, uint32_t count, cairn_error *err)
{
    for (uint32_t i = 0; i < count; i++) build->positions[i] = i;
    CRN_TRY(reserve(build, 1, err));
    build->cells = 1;
    build->cell_starts[0] = 0;
    build->cell_starts[1] = count;
    return write_records(build, build->growing.graph.frame.mean, err);
}

static cairn_status take_lists(struct crn_graph_build *build, const struct crn_ivf_build *lists,
                               cairn_error *err)
{
    CRN_TRY(reserve(build, lists->lists, err));
    build->cells = lists->lists;
    memcpy(build->cell_starts, lists->starts, (lists->lists + (size_t)1) * sizeof *build->cell_starts);
    memcpy(build->positions, lists->order, lists->rows->count * sizeof *build->positions);
    return write_records(build, lists->centroids, err);
}

cairn_status crn_graph_cells_make(struct crn_graph_build *build, const struct crn_index_rows *rows,
                                  bool rough, unsigned threads, bool (*cancelled)(void *ctx), void *ctx,
                                  cairn_error *err)
{
    const uint32_t count = (uint32_t)rows->count, cells = cells_for(count);
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
