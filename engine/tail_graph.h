/*
 * The graph over a tail (tail.h): the same rows and search as the graph index's (graph.h), grown while the tail is. A node's number
 * is its row's position. Rows are inserted in order, one thread at a time, after the commit (maintain.c tells by whom): `inserted`
 * tells how far. A search walks the graph over the rows before, and scans the rest, so no row waits for the graph to be found; and the
 * newest rows are scanned in any case, so that who asks for what was just written finds it though it lie among very many equal ones.
 *
 * The graph begins when the tail has CRN_TAIL_GRAPH_ROWS rows: mean and scale of its codes come from them. Nothing of it moves
 * afterwards: address space for the most rows is reserved at once, and made memory as rows come. Past that many rows, or without
 * memory, the rest is scanned. So are rows that lie so far outside of what the first ones promised that their codes would mean
 * nothing (for dot products: vectors more than CRN_TAIL_GRAPH_LONGER times as long as the longest of the first); when they are too many,
 * the graph stops where it is.
 *
 * Deleted rows stay as nodes, and are not listed. A row that equals one that is a node is kept in a chain behind that one. The order
 * of what is found is by the tail's own vectors.
 *
 * Memory for a row of 384 dims: 2,320 bytes, beside the 1,536 of its vector.
 */
#ifndef CRN_ENGINE_TAIL_GRAPH_H
#define CRN_ENGINE_TAIL_GRAPH_H

#include "base/topk.h"
#include "engine/tail.h"
#include "quant/kernels.h"

#define CRN_TAIL_GRAPH_ROWS 1024u
#define CRN_TAIL_GRAPH_NEWEST 64u /* rows that are scanned in any case */
#define CRN_TAIL_GRAPH_LONGER 1.5f
#define CRN_TAIL_GRAPH_OUTSIDE_MOST 512u

struct crn_tail_graph;

/* What a space wants of its tails' graphs. */
struct crn_tail_graph_plan {
    enum crn_op op;     /* DOT or L2 */
    bool normalised;    /* all vectors have length 1 */
    uint32_t rows_most; /* 0: no graph is wanted */
};

/* Inserts up to `most` of the tail's first `count` rows that are not yet in its graph, which is created when it is time. Whoever
 * comes while another thread is at it waits only when rows have piled up. NO_MEMORY: it stays as it is, and can be tried again. */
cairn_status crn_tail_graph_grow(struct crn_tail *tail, const struct crn_tail_graph_plan *plan,
                                 uint32_t count, uint32_t most, cairn_error *err);

/* How many rows of the tail are in its graph by now; 0 without one. They can be searched from then on. */
uint32_t crn_tail_graph_inserted(const struct crn_tail *tail);

/* Bytes of memory in use. */
size_t crn_tail_graph_bytes(const struct crn_tail *tail);

struct crn_tail_graph_ask {
    const float *vector; /* [dim] */
    size_t k;
    uint32_t ef;           /* 0: the default */
    uint32_t nodes;        /* rows to walk through: at most crn_tail_graph_inserted */
    uint32_t count;        /* those of them that may be found: the first ones */
    const uint64_t *allow; /* bit i of `nodes`: row i may be found; NULL: all of the first `count` */
    size_t allowed;        /* how many they are */
    uint64_t label;        /* of row 0 */
};

/* Pushes the nearest allowed rows into `top`. False, and nothing pushed: a scan is the better way, or there is no memory for this
 * one. */
bool crn_tail_graph_search(const struct crn_tail *tail, const struct crn_tail_graph_ask *ask,
                           struct crn_topk *top);

/* The graph as it is by now, for one of the same rows to be made of (graph_carry.h): live, with the `inserted` rows as its nodes. It
 * lives as long as the tail, as do its nodes' lengths and norms2 (crn_graph_growing). False: there is none, or rows among them are no nodes because codes would mean nothing. */
struct crn_graph;
#define CRN_TAIL_GRAPH_SEED 1u /* of the frame */
bool crn_tail_graph_whole(const struct crn_tail *tail, struct crn_graph *out_graph, const float **out_lengths,
                          const float **out_norms2);
/* Is a row below that graph's count a node of it? Else it equals one. */
bool crn_tail_graph_is_node(const struct crn_tail *tail, uint32_t row);

void crn_tail_graph_free(struct crn_tail_graph *graph); /* NULL accepted */

#endif
