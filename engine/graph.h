/*
 * The graph index's core: a navigable graph over quantized rows (quant/graph_row.h), searched by following, from a few
 * entries, the neighbours that seem nearest. Knows nothing of SQLite, segments or files.
 *
 *   graph_frame.c   how vectors become rotated codes, and distances squared ones
 *   graph_walk.h    the search loop, compiled once for each instruction set (graph_walk_*.c); graph_walk_filter.h where only
 *                   some nodes may be listed; graph_walk_cells.h where whole cells are compared instead
 *   graph_insert.c  adding nodes: search, prune, link
 *   graph_refine.c  choosing all lists of a graph anew; graph_twins.c  nodes that are equal
 *   graph_build.c   building a whole graph: insert all, refine, order
 *   graph_check.c   whether a graph keeps to its invariants
 *   graph_file.c    writing, opening and checking
 *   index_graph.c   the index backend over all this
 *
 * Nodes are numbered 0..count-1. There are no levels: searches begin at the nearest of a sample of nodes.
 *
 * Sources: neighbour lists pruned by distance among themselves (Malkov and Yashunin, TPAMI 2018; with alpha as in DiskANN,
 * Subramanya et al., NeurIPS 2019); codes of neighbours beside the lists (SymphonyQG, SIGMOD 2025; NGT-QG). Ours: codes of
 * residuals between neighbours, int8 vectors in the row, insertion that judges reverse links by the same codes.
 */
#ifndef CRN_ENGINE_GRAPH_H
#define CRN_ENGINE_GRAPH_H

#include "quant/graph_row.h"
#include "quant/kernels.h"
#include "quant/rotation.h"

#include <cairn/status.h>
#include <stdatomic.h>

#define CRN_GRAPH_ENTRY_BLOCKS 16u  /* of CRN_GRAPH_DEGREE sampled nodes each */
#define CRN_GRAPH_ENTRIES_ASKED 16u /* the nearest of them tell whether allowed nodes lie near */
#define CRN_GRAPH_ENTRIES (CRN_GRAPH_ENTRY_BLOCKS * CRN_GRAPH_DEGREE)

/* ---- frame ---- */

/*
 * z = rotation((x - mean) * gain). For dot products a node also has a height h = sqrt(R^2 - |gain x|^2), the
 * dimension that makes all nodes equally long, so that the nearest by Euclidean distance are the largest by dot
 * product (Bachrach et al., RecSys 2014). Queries have none, and no dimension is spent on it: heights are only
 * used when neighbours are chosen (graph_insert.h).
 */
struct crn_graph_frame {
    enum crn_op op; /* DOT or L2 */
    bool heights;   /* DOT over vectors of different lengths */
    uint32_t dim;
    uint32_t dims; /* of z */
    float gain;
    float radius2;       /* DOT: R^2, the largest |gain x|^2 */
    float mean_norm2;    /* |gain mean|^2 */
    const float *mean;   /* [dim] */
    const float *mean_z; /* [dims]: gain * mean, rotated */
    struct crn_rotation rotation;
};

/* What a vector becomes. */
struct crn_graph_point {
    float weight;   /* as graph_row.h has it */
    float norm2;    /* |z|^2 */
    float height;   /* 0 without heights */
    float constant; /* of a query */
};

/* Bytes of memory for a frame's arrays, aligned to 64. */
size_t crn_graph_frame_bytes(uint32_t dim);
/* Lays a frame out in memory: the caller then fills mean, gain, radius2 and calls crn_graph_frame_finish. */
void crn_graph_frame_init(struct crn_graph_frame *frame, enum crn_op op, uint32_t dim, uint64_t seed,
                          void *memory);
void crn_graph_frame_finish(struct crn_graph_frame *frame);
/* Chooses mean, gain and radius from rows[count][dim], of which `sampled` are looked at. */
void crn_graph_frame_fit(struct crn_graph_frame *frame, const float *rows, size_t count);
/* z[dims], aligned to 64 bytes. */
void crn_graph_frame_point(const struct crn_graph_frame *frame, const float *vector, float *z,
                           struct crn_graph_point *out);

/* ---- graph ---- */

struct crn_graph {
    struct crn_graph_layout layout;
    struct crn_graph_frame frame;
    uint8_t *rows; /* [count][layout.row_bytes] */
    uint8_t
        *entries; /* [CRN_GRAPH_ENTRY_BLOCKS] rows of a node at the origin, whose neighbours are the sample */
    uint32_t entry_blocks;
    uint32_t count;
    bool live; /* rows change while they are searched: each is locked for the time of a visit */
    /* Rows whose bytes are not proven yet are asked for before they are read; NULL: all are. False: damaged. */
    bool (*prove)(void *ctx, const uint8_t *row);
    void *prove_ctx;
};

/* The first node of a cell, and its first block. */
struct crn_graph_cell {
    uint32_t node, block;
};

/*
 * Groups of near nodes, numbered one after the other (graph_cells.h). The nodes of a cell stand in blocks once more: each block is a row of
 * the cell's centroid, whose neighbours are the next CRN_GRAPH_DEGREE nodes, so that whole cells are compared by the codes of what leads from the
 * centroid to their nodes. The centroids stand in blocks of a row at the origin.
 */
struct crn_graph_cells {
    uint32_t count;
    const struct crn_graph_cell *cells; /* [count + 1], ascending */
    const uint8_t *blocks;              /* [cells[count].block] rows */
    const uint8_t *centroids;           /* rows, whose ids are numbers of cells */
};

static inline uint8_t *crn_graph_row(const struct crn_graph *graph, uint32_t node)
{
    return graph->rows + (size_t)node * graph->layout.row_bytes;
}

/* ---- searching ---- */

/* A pool or list key: the bits of a distance that is not negative, above a node's number. Ascending like distances. */
static inline uint64_t crn_graph_key(float distance, uint32_t node)
{
    return crn_pool_key(distance, node);
}

static inline float crn_graph_key_distance(uint64_t key)
{
    const uint32_t bits = (uint32_t)(key >> 32);
    float distance;

    memcpy(&distance, &bits, sizeof distance);
    return distance;
}

/* For qsort. */
static inline int crn_graph_by_key(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

#define CRN_GRAPH_KEY_NODE 0xffffffu
#define CRN_GRAPH_KEY_PAD CRN_POOL_PAD /* keys of UINT64_MAX behind a list: whole vectors are compared */

/* The memory of one search. Confined. */
struct crn_graph_scratch {
    struct crn_graph_query query;
    void *query_memory;
    uint64_t *pool;   /* [crn_pool_words(effort_max)] nodes seen, ascending by estimate */
    uint64_t *near;   /* [near_max + pad] nodes visited, ascending by code distance */
    uint64_t *listed; /* [near_max + pad] with a filter: allowed nodes seen, ascending by estimate */
    uint64_t *seen;   /* a bit for each node visited */
    uint32_t *log;    /* [log_max] nodes whose bit is set */
    uint32_t *nodes;  /* [nodes_max] to compare, and */
    float *bounds;    /* [bounds_max] what their distances are not below, about: graph_scan.h */
    uint32_t *order;  /* [order_max] cells to compare */
    uint32_t pool_max, near_max, listed_max, log_max, node_max, nodes_max, bounds_max, order_max;
    uint32_t near_count, log_count, hops;
    bool sparse; /* a walk with a filter found that it would take more visits than it may make */
    bool damaged;
};

struct crn_graph_ask {
    uint32_t effort; /* places of the pool */
    /* The walk ends when the nearest `settled` nodes visited have been the same for `patience` visits. 0: only when all of the pool
     * is visited. */
    uint32_t settled, patience;
    /* What will be read of the nearest nodes afterwards, fetched while waiting: record_bytes at records + positions[node] * record_bytes
     * (node itself where positions is NULL). NULL: nothing. */
    const char *records;
    size_t record_bytes;
    uint32_t keep; /* places of the list of visited nodes */
    /* Without a filter: nodes that lie near, to begin at instead of the entries; NULL: the entries. */
    const uint32_t *starts;
    uint32_t start_count;
    const uint32_t *positions; /* of the nodes in `records` and in `allow`; NULL: the nodes themselves */
    /* Nodes that may be listed: bit positions[node]; NULL: all. See graph_walk_filter.h. */
    const uint64_t *allow;
    uint32_t base;     /* visits that would be enough without a filter */
    uint32_t wanted;   /* nodes that are asked for */
    float visits_each; /* visits worth making for each node met for each of the wanted ones */
    float
        near_share; /* of the nearest nodes seen after a few visits, that must be allowed: else the walk ends */
    uint32_t
        entries; /* of the CRN_GRAPH_ENTRIES_ASKED nearest sampled nodes, that must be allowed: else the walk does not begin */
    uint32_t most; /* visits at most: a walk that would take more is left */
    /* Compare just these, without a walk (NULL: walk): the first `first` of them, then those whose bound is below the distance of the
     * wanted ones. Both arrays are overwritten. */
    uint32_t *nodes;
    float *bounds;
    uint32_t node_count, first;
    bool more; /* with `nodes` or `cells`: beside what is in the list of the nearest already */
    /* Compare these cells, in this order, without a walk (NULL: walk): of their nodes those with their bit set in `allow` (NULL: all), unless
     * they are farther than the `wanted` nearest by what estimates may be off. */
    const struct crn_graph_cells *cells;
    const uint32_t *order; /* [order_count] */
    uint32_t order_count;
    float query_length; /* |z| of the query */
};

/* Grows what is too small. NO_MEMORY leaves a scratch that can be released or tried again. */
cairn_status crn_graph_scratch_reserve(struct crn_graph_scratch *scratch, uint32_t dims, uint32_t nodes,
                                       uint32_t effort, uint32_t keep, cairn_error *err);
/* Memory for nodes to compare, and for the order of cells. */
cairn_status crn_graph_scratch_reserve_nodes(struct crn_graph_scratch *scratch, uint32_t count,
                                             uint32_t cells, cairn_error *err);
void crn_graph_scratch_release(struct crn_graph_scratch *scratch);

/* How long a search for the k nearest waits for a better one. Easy queries settle soon: for the same recall fewer nodes are visited in all, a
 * quarter fewer at 0.99 on real text, and the pool may be larger instead. */
static inline uint32_t crn_graph_patience(uint32_t effort)
{
    return 4 + effort * 2 / 5;
}

/* Visits nodes, beginning with scratch->query prepared, until the `effort` nearest seen are visited or the nearest are settled (with a filter:
 * graph_walk_filter.h); leaves the nearest of them in scratch->near[near_count]. */
void crn_graph_walk(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                    const struct crn_graph_ask *ask);

/* ---- locks of live rows: readers are counted, a writer is alone ---- */

#define CRN_GRAPH_WRITER 0x80000000u
#define CRN_GRAPH_SPINS 500u /* some microseconds: ten times as long as a row is written */

static inline _Atomic uint32_t *crn_graph_lock_of(const struct crn_graph *graph, uint32_t node)
{
    return (_Atomic uint32_t *)(void *)(crn_graph_row(graph, node) + graph->layout.head +
                                        offsetof(struct crn_graph_head, lock));
}

static inline void crn_graph_lock_read(_Atomic uint32_t *lock)
{
    /* Acquire: what the last writer wrote is seen. */
    while (atomic_fetch_add_explicit(lock, 1, memory_order_acquire) >= CRN_GRAPH_WRITER) {
        atomic_fetch_sub_explicit(lock, 1, memory_order_relaxed);
        while (atomic_load_explicit(lock, memory_order_relaxed) >= CRN_GRAPH_WRITER) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    }
}

static inline void crn_graph_unlock_read(_Atomic uint32_t *lock)
{
    atomic_fetch_sub_explicit(lock, 1, memory_order_release);
}

/* False after a moment: whoever writes may have lost its processor, and a search must not wait until it gets one again. */
static inline bool crn_graph_try_read(_Atomic uint32_t *lock)
{
    for (unsigned spins = 0;;) {
        /* Acquire: what the last writer wrote is seen. */
        if (atomic_fetch_add_explicit(lock, 1, memory_order_acquire) < CRN_GRAPH_WRITER) return true;
        atomic_fetch_sub_explicit(lock, 1, memory_order_relaxed);
        while (atomic_load_explicit(lock, memory_order_relaxed) >= CRN_GRAPH_WRITER) {
            if (++spins == CRN_GRAPH_SPINS) return false;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    }
}

static inline void crn_graph_lock_write(_Atomic uint32_t *lock)
{
    uint32_t free = 0;

    while (!atomic_compare_exchange_weak_explicit(lock, &free, CRN_GRAPH_WRITER, memory_order_acquire,
                                                  memory_order_relaxed)) {
        free = 0;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

static inline void crn_graph_unlock_write(_Atomic uint32_t *lock)
{
    /* Readers that are waiting may have counted themselves meanwhile. */
    atomic_fetch_sub_explicit(lock, CRN_GRAPH_WRITER, memory_order_release);
}

#endif
