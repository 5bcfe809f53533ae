/*
 * Growing a graph: nodes are added one by one, by any number of threads at once, while others search. A new node searches
 * the graph for its neighbours, keeps those that lie in different directions, and offers itself to each of
 * them. Who is offered a neighbour when its list is full judges by the codes of its row, so that nothing else is read.
 *
 * A node that few lists name is hard to find, so lists are asked to take one that has fewer than a few, and do not drop the last
 * ones of another: what is lost by judging distances alone (orphans of Wang et al., VLDB 2021) is mostly repaired so.
 *
 * Memory a node: a row, 128 bytes of link lengths, 4 of its norm, 4 of its in-degree and, with heights, 4 of its height.
 */
#ifndef CRN_ENGINE_GRAPH_INSERT_H
#define CRN_ENGINE_GRAPH_INSERT_H

#include "engine/graph.h"

struct crn_graph_growing {
    struct crn_graph graph;       /* live; count is the capacity */
    float *norms2;                /* [capacity] |z|^2 of the codes, so that equal ones are at no distance */
    float *heights;               /* [capacity], or NULL */
    float *lengths;               /* [capacity][CRN_GRAPH_DEGREE] distances to the neighbours */
    _Atomic uint32_t *in_degrees; /* [capacity] how many lists name a node. Relaxed: a hint */
    uint32_t entry_count;         /* nodes in the entry blocks; changed by one thread */
    uint32_t effort;              /* of the searches */
    float alpha; /* a kept neighbour hides those that are alpha times nearer to it than to the node */
    const struct crn_graph_kernels *kernels;
};

/* A thread's memory for inserting. Confined. */
struct crn_graph_worker {
    struct crn_graph_scratch scratch;
    struct crn_graph_point point;
    uint64_t *candidates; /* [candidate_max] */
    uint32_t candidate_max;
    /* Nodes near the next one to be inserted, if they are known: then its search begins at them, with so much effort. The caller's. */
    const uint32_t *starts;
    uint32_t start_count, start_effort; /* at most the graph's effort */
};

/* Lays out a graph of up to `capacity` nodes over a finished frame, which is copied and whose arrays are borrowed. NO_MEMORY. */
cairn_status crn_graph_growing_init(struct crn_graph_growing *growing, const struct crn_graph_frame *frame,
                                    uint32_t capacity, uint32_t effort, float alpha, cairn_error *err);
void crn_graph_growing_release(struct crn_graph_growing *growing);

cairn_status crn_graph_worker_init(struct crn_graph_worker *worker, const struct crn_graph_growing *growing,
                                   cairn_error *err);
void crn_graph_worker_release(struct crn_graph_worker *worker);

/* Adds a node. Each node once; a node whose number is in use is a programmer's mistake. */
void crn_graph_insert(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                      const float *vector);

/* The same, unless the search for its neighbours comes by a node that is_same says yes to: then nothing links the new one, and the
 * answer is that node. Else CRN_GRAPH_NO_NODE. What lies where another node does needs no place of its own: equal nodes take each
 * other's places in lists, until some are in none. */
uint32_t crn_graph_insert_unless(struct crn_graph_growing *growing, struct crn_graph_worker *worker,
                                 uint32_t node, const float *vector,
                                 bool (*is_same)(void *ctx, uint32_t other), void *ctx);

/* Makes a node one of those that searches begin at, as long as there is room: false when there is none. One thread at a time,
 * and while nobody searches. */
bool crn_graph_add_entry(struct crn_graph_growing *growing, uint32_t node);

/* Searches for the neighbours of a node that is in the graph once more, and chooses among them and the present ones. */
void crn_graph_improve(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                       const float *vector);

static inline float *crn_graph_lengths(const struct crn_graph_growing *growing, uint32_t node)
{
    return growing->lengths + (size_t)node * CRN_GRAPH_DEGREE;
}

/* The squared distance of two nodes, by their codes and heights. */
float crn_graph_between(const struct crn_graph_growing *growing, uint32_t a, uint32_t b);

/* For graph_refine.h: searches from a vector, and leaves what was visited in worker->scratch; */
void crn_graph_worker_search(struct crn_graph_growing *growing, struct crn_graph_worker *worker,
                             const float *vector);
/* replaces a node's whole list, which nobody else reads or writes meanwhile (a CRN_GRAPH_NO_NODE ends it); */
void crn_graph_relink(struct crn_graph_growing *growing, uint32_t node, const uint32_t list[CRN_GRAPH_DEGREE],
                      const float lengths[CRN_GRAPH_DEGREE]);
/* and offers a node that few lists name to those of its neighbours. */
void crn_graph_rescue(struct crn_graph_growing *growing, struct crn_graph_worker *worker, uint32_t node,
                      const float *vector);

/* For graph_twins.h: makes a node that is equal to another, with the same list; and puts a twin into a list, in a free slot or the last. */
void crn_graph_copy_node(struct crn_graph_growing *growing, uint32_t node, uint32_t from);
void crn_graph_link_twin(struct crn_graph_growing *growing, uint32_t node, uint32_t twin);

#endif
