/* Writing and opening a graph (graph_file.h). */
#include "engine/graph_file.h"

#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <sys/mman.h>

#define FORMAT 3u
#define LARGE_PAGE ((size_t)2 << 20)

/* GHED, word by word; floats by their bits. */
enum {
    HEAD_FORMAT,
    HEAD_COUNT,
    HEAD_DIM,
    HEAD_DIMS,
    HEAD_OP,
    HEAD_HEIGHTS,
    HEAD_ENTRY_BLOCKS,
    HEAD_SEED_LOW,
    HEAD_SEED_HIGH,
    HEAD_GAIN,
    HEAD_RADIUS2,
    HEAD_QUERIES,
    HEAD_ERROR,
    HEAD_CELLS,
    HEAD_EFFORTS,
    HEAD_RECALLS = HEAD_EFFORTS + CRN_GRAPH_EFFORTS,
    HEAD_WORDS = HEAD_RECALLS + CRN_GRAPH_EFFORTS
};

/* ---- writing ---- */

static cairn_status write_head(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                               cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;
    const struct crn_graph_calibration *calibration = &build->calibration;
    uint32_t head[HEAD_WORDS] = {
        [HEAD_FORMAT] = FORMAT,
        [HEAD_COUNT] = graph->count,
        [HEAD_DIM] = graph->frame.dim,
        [HEAD_DIMS] = graph->frame.dims,
        [HEAD_OP] = graph->frame.op,
        [HEAD_HEIGHTS] = graph->frame.heights,
        [HEAD_ENTRY_BLOCKS] = graph->entry_blocks,
        [HEAD_SEED_LOW] = (uint32_t)build->seed,
        [HEAD_SEED_HIGH] = (uint32_t)(build->seed >> 32),
        [HEAD_GAIN] = crn_derived_word(graph->frame.gain),
        [HEAD_RADIUS2] = crn_derived_word(graph->frame.radius2),
        [HEAD_QUERIES] = calibration->queries,
        [HEAD_ERROR] = crn_derived_word(calibration->error),
        [HEAD_CELLS] = build->cells,
    };

    for (uint32_t e = 0; e < CRN_GRAPH_EFFORTS; e++) {
        head[HEAD_EFFORTS + e] = calibration->efforts[e];
        head[HEAD_RECALLS + e] = crn_derived_word(calibration->recalls[e]);
    }
    CRN_TRY(crn_derived_section(writer, "GHED", err));
    return crn_derived_write(writer, head, sizeof head, err);
}

/* A row as it is but for its neighbours' numbers, and its lock. */
static cairn_status write_row(const struct crn_graph_build *build, const uint8_t *row, uint8_t *copy,
                              struct crn_derived_writer *writer, cairn_error *err)
{
    const struct crn_graph_layout *layout = &build->growing.graph.layout;

    memcpy(copy, row, layout->row_bytes);
    crn_graph_head_of(layout, copy)->lock = 0;
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const uint32_t id = crn_graph_id(layout, row, v);
        if (id != CRN_GRAPH_NO_NODE) crn_graph_id_set(layout, copy, v, build->numbers[id]);
    }
    return crn_derived_write(writer, copy, layout->row_bytes, err);
}

static cairn_status write_rows(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                               uint8_t *copy, cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;

    CRN_TRY(crn_derived_section(writer, "GENT", err));
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        CRN_TRY(write_row(build, graph->entries + (size_t)b * graph->layout.row_bytes, copy, writer, err));
    }
    CRN_TRY(crn_derived_section(writer, "GROW", err));
    for (uint32_t i = 0; i < graph->count; i++) {
        CRN_TRY(write_row(build, crn_graph_row(graph, build->positions[i]), copy, writer, err));
    }
    return CAIRN_OK;
}

static cairn_status write_signs(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;
    uint8_t record[CRN_GRAPH_SIGNS_BYTES_MAX];

    CRN_TRY(crn_derived_section(writer, "GSGN", err));
    for (uint32_t i = 0; i < graph->count; i++) {
        crn_graph_signs_write(&graph->layout, crn_graph_row(graph, build->positions[i]), record);
        CRN_TRY(crn_derived_write(writer, record, crn_graph_signs_bytes(graph->layout.dims), err));
    }
    return CAIRN_OK;
}

/* ---- cells ---- */

static uint32_t blocks_of(uint32_t nodes)
{
    return (nodes + CRN_GRAPH_DEGREE - 1) / CRN_GRAPH_DEGREE;
}

static cairn_status write_cells(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    struct crn_graph_cell cell = {0};

    CRN_TRY(crn_derived_section(writer, "GCEL", err));
    for (uint32_t c = 0; c <= build->cells; c++) {
        if (c > 0) cell.block += blocks_of(build->cell_starts[c] - build->cell_starts[c - 1]);
        cell.node = build->cell_starts[c];
        CRN_TRY(crn_derived_write(writer, &cell, sizeof cell, err));
    }
    return CAIRN_OK;
}

/* Blocks of rows that are numbered begin..end-1: row_of(build, i) is the i-th. */
static cairn_status write_blocks(const struct crn_graph_build *build, const uint8_t *centroid,
                                 const uint8_t *(*row_of)(const struct crn_graph_build *build, uint32_t i),
                                 uint32_t begin, uint32_t end, uint8_t *block,
                                 struct crn_derived_writer *writer, cairn_error *err)
{
    const struct crn_graph_layout *layout = &build->growing.graph.layout;

    for (uint32_t from = begin; from < end; from += CRN_GRAPH_DEGREE) {
        memcpy(block, centroid, layout->row_bytes);
        for (uint32_t i = from; i < end && i < from + CRN_GRAPH_DEGREE; i++)
            build->growing.kernels->row_set(layout, block, i - from, row_of(build, i), i);
        CRN_TRY(crn_derived_write(writer, block, layout->row_bytes, err));
    }
    return CAIRN_OK;
}

static const uint8_t *node_row(const struct crn_graph_build *build, uint32_t i)
{
    return crn_graph_row(&build->growing.graph, build->positions[i]);
}

static const uint8_t *centroid_row(const struct crn_graph_build *build, uint32_t i)
{
    return build->centroids + (size_t)i * build->growing.graph.layout.row_bytes;
}

static cairn_status write_all_blocks(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                                     uint8_t *block, uint8_t *origin, cairn_error *err)
{
    const float zeros[CRN_GRAPH_DIMS_MAX] = {0};

    build->growing.kernels->row_init(&build->growing.graph.layout, zeros, 0, origin);
    CRN_TRY(crn_derived_section(writer, "GCEN", err));
    CRN_TRY(write_blocks(build, origin, centroid_row, 0, build->cells, block, writer, err));
    CRN_TRY(crn_derived_section(writer, "GBLK", err));
    for (uint32_t c = 0; c < build->cells; c++)
        CRN_TRY(write_blocks(build, centroid_row(build, c), node_row, build->cell_starts[c],
                             build->cell_starts[c + 1], block, writer, err));
    return CAIRN_OK;
}

/* ---- the whole ---- */

static cairn_status write_small(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                                cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;

    CRN_TRY(crn_derived_put(writer, "GMEA", graph->frame.mean, graph->frame.dim * sizeof(float), err));
    CRN_TRY(crn_derived_put(writer, "GPOS", build->positions, graph->count * sizeof *build->positions, err));
    return write_cells(build, writer, err);
}

cairn_status crn_graph_write(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                             cairn_error *err)
{
    const struct crn_graph *graph = &build->growing.graph;
    uint8_t *copy = crn_mem_aligned(2 * (size_t)graph->layout.row_bytes);

    if (copy == NULL) return crn_error_no_memory(err, 2 * (size_t)graph->layout.row_bytes);
    cairn_status status = write_head(build, writer, err);
    if (status == CAIRN_OK) status = write_small(build, writer, err);
    if (status == CAIRN_OK) status = write_rows(build, writer, copy, err);
    if (status == CAIRN_OK) status = write_signs(build, writer, err);
    if (status == CAIRN_OK)
        status = write_all_blocks(build, writer, copy, copy + graph->layout.row_bytes, err);
    crn_mem_free(copy);
    return status;
}

/* ---- opening ---- */

static cairn_status damaged(const char *what, cairn_error *err)
{
    return crn_error_set(err, CAIRN_CORRUPT, "the graph is damaged: %s", what);
}

static cairn_status read_head(const struct crn_index_rows *rows, const uint32_t *head,
                              struct crn_graph_opened *out, cairn_error *err)
{
    struct crn_graph_calibration *calibration = &out->calibration;
    struct crn_graph *graph = &out->graph;
    const float gain = crn_derived_float(head[HEAD_GAIN]), radius2 = crn_derived_float(head[HEAD_RADIUS2]);

    if (head[HEAD_FORMAT] != FORMAT) return damaged("a format that is not known", err);
    if (head[HEAD_COUNT] != rows->count || head[HEAD_DIM] != rows->dim || head[HEAD_OP] != rows->op) {
        return damaged("it is one over other rows", err);
    }
    if (head[HEAD_DIMS] != crn_rotation_padded(rows->dim) || head[HEAD_DIMS] > CRN_GRAPH_DIMS_MAX ||
        head[HEAD_HEIGHTS] > 1 || head[HEAD_ENTRY_BLOCKS] > CRN_GRAPH_ENTRY_BLOCKS || head[HEAD_CELLS] == 0 ||
        head[HEAD_CELLS] > rows->count || !(gain > 0) || !isfinite(gain) || !(radius2 >= 0) ||
        !isfinite(radius2)) {
        return damaged("its head is not one", err);
    }
    out->frame_memory = crn_mem_aligned(crn_graph_frame_bytes(rows->dim));
    if (out->frame_memory == NULL) return crn_error_no_memory(err, crn_graph_frame_bytes(rows->dim));
    out->seed = head[HEAD_SEED_LOW] | (uint64_t)head[HEAD_SEED_HIGH] << 32;
    crn_graph_frame_init(&graph->frame, rows->op, rows->dim, out->seed, out->frame_memory);
    graph->frame.heights = head[HEAD_HEIGHTS] == 1;
    graph->frame.gain = gain;
    graph->frame.radius2 = radius2;
    graph->layout = crn_graph_layout_of(graph->frame.dims);
    graph->count = head[HEAD_COUNT];
    graph->entry_blocks = head[HEAD_ENTRY_BLOCKS];
    out->cells.count = head[HEAD_CELLS];
    calibration->queries = head[HEAD_QUERIES];
    calibration->error = crn_derived_float(head[HEAD_ERROR]);
    for (uint32_t e = 0; e < CRN_GRAPH_EFFORTS; e++) {
        calibration->efforts[e] = head[HEAD_EFFORTS + e];
        calibration->recalls[e] = crn_derived_float(head[HEAD_RECALLS + e]);
    }
    return CAIRN_OK;
}

static bool prove_row(void *ctx, const uint8_t *row)
{
    const struct crn_graph_opened *opened = ctx;
    cairn_error ignored;

    return crn_derived_verify(opened->file, row, opened->graph.layout.row_bytes, &ignored) == CAIRN_OK;
}

struct part {
    const uint8_t **data;
    size_t bytes;
};

/* Large pages save a walk through the page tables for each row visited; files are mapped in small ones. */
static cairn_status copy_rows(struct crn_graph_opened *out, cairn_error *err)
{
    struct crn_graph *graph = &out->graph;
    const size_t row_bytes = graph->layout.row_bytes;
    const uint8_t *graph_rows = graph->rows;
    const struct part parts[] = {
        {&graph_rows, graph->count * row_bytes},
        {&out->cells.blocks, out->cells.cells[out->cells.count].block * row_bytes},
        {&out->signs, graph->count * crn_graph_signs_bytes(graph->layout.dims)},
    };
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        CRN_TRY(crn_derived_verify(out->file, *parts[i].data, parts[i].bytes, err));
        bytes += parts[i].bytes;
    }
    out->copy_bytes = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE + LARGE_PAGE;
    void *memory = mmap(NULL, out->copy_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return crn_error_no_memory(err, out->copy_bytes);
    out->copy = memory;
    uint8_t *at = (uint8_t *)(((uintptr_t)memory + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
    (void)madvise(at, bytes, MADV_HUGEPAGE); /* advice: without it only speed is lost */
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(at, *parts[i].data, parts[i].bytes);
        *parts[i].data = at;
        at += parts[i].bytes;
    }
    graph->rows = (uint8_t *)(uintptr_t)graph_rows;
    return CAIRN_OK;
}

static cairn_status read_cells(struct crn_graph_opened *out, cairn_error *err)
{
    struct crn_graph_cells *cells = &out->cells;
    const size_t row_bytes = out->graph.layout.row_bytes;
    const void *data;

    CRN_TRY(crn_derived_need(out->file, "the graph", "GCEL",
                             (cells->count + (size_t)1) * sizeof *cells->cells, true, &data, err));
    cells->cells = data;
    if (cells->cells[0].node != 0 || cells->cells[0].block != 0 ||
        cells->cells[cells->count].node != out->graph.count)
        return damaged("cells of other nodes", err);
    for (uint32_t c = 0; c < cells->count; c++) {
        const struct crn_graph_cell *this = cells->cells + c, *next = this + 1;
        if (this->node > next->node || next->node > out->graph.count)
            return damaged("cells that are not in order", err);
        if (next->block != this->block + blocks_of(next->node - this->node))
            return damaged("a cell of other blocks", err);
    }
    CRN_TRY(crn_derived_need(out->file, "the graph", "GCEN", blocks_of(cells->count) * row_bytes, true, &data,
                             err));
    cells->centroids = data;
    CRN_TRY(crn_derived_need(out->file, "the graph", "GBLK", cells->cells[cells->count].block * row_bytes,
                             false, &data, err));
    cells->blocks = data;
    return CAIRN_OK;
}

cairn_status crn_graph_open(const struct crn_index_rows *rows, struct crn_derived *file,
                            struct crn_graph_opened *out, cairn_error *err)
{
    struct crn_graph *graph = &out->graph;
    uint32_t head[HEAD_WORDS];
    const void *data;

    *out = (struct crn_graph_opened){.file = file};
    CRN_TRY(crn_derived_need(file, "the graph", "GHED", sizeof head, true, &data, err));
    memcpy(head, data, sizeof head);
    CRN_TRY(read_head(rows, head, out, err));
    CRN_TRY(crn_derived_need(file, "the graph", "GMEA", rows->dim * sizeof(float), true, &data, err));
    memcpy((float *)(uintptr_t)graph->frame.mean, data, rows->dim * sizeof(float));
    crn_graph_frame_finish(&graph->frame);
    CRN_TRY(crn_derived_need(file, "the graph", "GENT", (size_t)graph->entry_blocks * graph->layout.row_bytes,
                             true, &data, err));
    graph->entries = (uint8_t *)(uintptr_t)data; /* never written: the graph is not live */
    CRN_TRY(crn_derived_need(file, "the graph", "GPOS", graph->count * sizeof(uint32_t), true, &data, err));
    out->positions = data;
    for (uint32_t i = 0; i < graph->count; i++) {
        if (out->positions[i] >= graph->count) return damaged("a node of no row", err);
    }
    CRN_TRY(read_cells(out, err));
    CRN_TRY(crn_derived_need(file, "the graph", "GROW", (size_t)graph->count * graph->layout.row_bytes, false,
                             &data, err));
    graph->rows = (uint8_t *)(uintptr_t)data;
    CRN_TRY(crn_derived_need(file, "the graph", "GSGN",
                             graph->count * crn_graph_signs_bytes(graph->layout.dims), false, &data, err));
    out->signs = data;
    if (rows->copy) return copy_rows(out, err);
    graph->prove = prove_row;
    graph->prove_ctx = out;
    return CAIRN_OK;
}

cairn_status crn_graph_verify_signs(const struct crn_graph_opened *opened, cairn_error *err)
{
    const size_t bytes = opened->graph.count * crn_graph_signs_bytes(opened->graph.layout.dims);

    return opened->copy != NULL ? CAIRN_OK : crn_derived_verify(opened->file, opened->signs, bytes, err);
}

void crn_graph_close(struct crn_graph_opened *opened)
{
    crn_mem_free(opened->frame_memory);
    if (opened->copy != NULL) munmap(opened->copy, opened->copy_bytes);
    *opened = (struct crn_graph_opened){0};
}
