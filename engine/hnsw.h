/*
 * A hierarchical navigable small-world graph (Malkov and Yashunin, 2018) as it lies in a derived file, and the
 * search in it. The graph does not hold the vectors: they are the segment's. Who built it does not matter here
 * (faiss_hnsw.cpp lets FAISS do it).
 *
 * A row stands on level 0 and on none, one or several levels above it; those that do are called tall, about one row
 * in m. A row's list holds up to 2m links on level 0 and up to m above, and ends at its length or at CRN_HNSW_NONE.
 *
 * Invariants, checked at open for all bytes: a link is NONE or a row that stands on the list's level; the entry stands
 * on the top level and no row on a higher one. The search reads nothing outside the arrays because of them.
 */
#ifndef CRN_ENGINE_HNSW_H
#define CRN_ENGINE_HNSW_H

#include "engine/index.h"

#define CRN_HNSW_NONE UINT32_MAX
#define CRN_HNSW_M_LEAST 4u
#define CRN_HNSW_M_MAX 128u

/* Borrowed from the file, which outlives it. Shared. */
struct crn_hnsw {
    uint32_t count, m;
    uint32_t entry, top_level;
    const uint32_t *links; /* [count][2m]: level 0 */
    uint32_t tall_count;
    const uint32_t *tall;        /* [tall_count]: positions, ascending */
    const uint32_t *tall_begin;  /* [tall_count + 1]: where a tall row's lists begin, level 1 first */
    const uint32_t *upper_links; /* [tall_begin[tall_count]][m] */
};

/* A graph in memory as FAISS lays it out: row p's list of level 0 begins at links[offsets[p]], that of level l > 0
 * at links[offsets[p] + (l + 1) * m]. */
struct crn_hnsw_source {
    uint32_t m;
    uint32_t entry, top_level;
    const int *levels;     /* [count]: on how many levels a row stands, at least 1 */
    const size_t *offsets; /* [count] */
    const uint32_t *links;
};

cairn_status crn_hnsw_write(const struct crn_hnsw_source *source, const struct crn_index_rows *rows,
                            struct crn_derived_writer *writer, cairn_error *err);

/* CORRUPT when the file's graph is damaged or is not one over these rows. */
cairn_status crn_hnsw_open(const struct crn_index_rows *rows, struct crn_derived *file,
                           struct crn_hnsw *out_graph, cairn_error *err);

/* Is there a graph in the file at all? */
bool crn_hnsw_in(const struct crn_derived *file);

/* The search of engine/index.h. Pushes nothing where comparing all allowed rows would cost less. */
cairn_status crn_hnsw_search(const struct crn_hnsw *graph, const struct crn_index_rows *rows,
                             const struct crn_index_query *query, struct crn_topk *top, cairn_error *err);

/* The list of a row on a level it stands on; *out_length is its longest length. */
const uint32_t *crn_hnsw_list(const struct crn_hnsw *graph, uint32_t position, uint32_t level,
                              size_t *out_length);

#endif
