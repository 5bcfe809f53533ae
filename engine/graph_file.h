/*
 * The graph's derived file. Sections: GHED (below), GMEA f32 [dim] mean, GENT entry rows, GROW rows cell by cell, GSGN
 * their records of signs, GPOS u32 [count] the position of each row in the segment, GCEL u32 [cells + 1][2] the first node and
 * the first block of each cell, GCEN blocks of their centroids, GBLK blocks of their nodes. The small ones are verified when the
 * file is opened, rows and blocks when they are visited, the signs when they are first read.
 */
#ifndef CRN_ENGINE_GRAPH_FILE_H
#define CRN_ENGINE_GRAPH_FILE_H

#include "engine/graph_build.h"

struct crn_graph_opened {
    struct crn_graph graph;
    struct crn_graph_calibration calibration;
    const uint32_t *positions; /* [graph.count] */
    const uint8_t *signs;      /* [graph.count] records, verified by crn_graph_verify_signs */
    struct crn_graph_cells cells;
    uint64_t seed; /* of its frame */
    void *frame_memory;
    void *copy; /* of rows, signs and blocks, or NULL */
    size_t copy_bytes;
    struct crn_derived *file;
};

cairn_status crn_graph_write(const struct crn_graph_build *build, struct crn_derived_writer *writer,
                             cairn_error *err);

/* CORRUPT: not a graph over these rows. Released by crn_graph_close, also after failing. */
cairn_status crn_graph_open(const struct crn_index_rows *rows, struct crn_derived *file,
                            struct crn_graph_opened *out, cairn_error *err);
void crn_graph_close(struct crn_graph_opened *opened);

/* To be asked before `signs` are read; only the first time takes time. CORRUPT. */
cairn_status crn_graph_verify_signs(const struct crn_graph_opened *opened, cairn_error *err);

#endif
