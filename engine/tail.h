/*
 * A tail: rows of a vector space that are newer than its segments, in memory. It only grows: one thread
 * appends (under the space's apply mutex), and any number read the rows below the count that their
 * view names, without a lock, because rows never move or change. Which rows are dead, and which stand in a
 * segment by now, is the view's business; a tail whose rows all do is dropped as a whole.
 *
 * A long tail has a graph (tail_graph.h) over its first rows, so that a search need not compare them all.
 */
#ifndef CRN_ENGINE_TAIL_H
#define CRN_ENGINE_TAIL_H

#include "engine/local_map.h"

#include <cairn/status.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_TAIL_CHUNKS_MAX 65536u

struct crn_tail_chunk {
    float *vectors;   /* [chunk_rows][dim] */
    uint32_t *locals; /* [chunk_rows] */
    const char **ids; /* [chunk_rows], encoded (id.h), inside the tail's blocks */
};

struct crn_id_block;
struct crn_tail_graph;

struct crn_tail {
    _Atomic uint32_t references;
    uint32_t dim;
    uint32_t chunk_rows;            /* a power of two */
    uint32_t count;                 /* the appender's; readers use their view's */
    struct crn_tail_chunk **chunks; /* [CRN_TAIL_CHUNKS_MAX], reserved at once so that it never moves */
    struct crn_id_block *blocks;
    struct crn_local_map map;               /* the appender's: where each local's newest row stands */
    _Atomic(struct crn_tail_graph *) graph; /* NULL until the tail is long enough */
    pthread_mutex_t graph_mutex;            /* guards growing the graph, graph_at */
    uint32_t graph_at;                      /* rows at which creating it is tried again */
};

struct crn_tail_row {
    uint32_t local;
    const float *vector; /* [dim] */
    const char *id;      /* encoded */
    size_t id_size;
};

struct crn_tail *crn_tail_create(uint32_t dim); /* NULL: no memory; one reference */
void crn_tail_retain(struct crn_tail *tail);
void crn_tail_release(struct crn_tail *tail); /* NULL accepted */

/* Copies a row in at position tail->count. LIMIT, NO_MEMORY. */
cairn_status crn_tail_append(struct crn_tail *tail, const struct crn_tail_row *row, cairn_error *err);

/* The position of a local's newest row. The appender's. */
static inline bool crn_tail_find(const struct crn_tail *tail, uint32_t local, uint32_t *out_position)
{
    return crn_local_map_get(&tail->map, local, out_position);
}

static inline const struct crn_tail_chunk *crn_tail_chunk_of(const struct crn_tail *tail, uint32_t i)
{
    return tail->chunks[i / tail->chunk_rows];
}
static inline uint32_t crn_tail_local(const struct crn_tail *tail, uint32_t i)
{
    return crn_tail_chunk_of(tail, i)->locals[i % tail->chunk_rows];
}
static inline const float *crn_tail_vector(const struct crn_tail *tail, uint32_t i)
{
    return crn_tail_chunk_of(tail, i)->vectors + (size_t)(i % tail->chunk_rows) * tail->dim;
}
static inline const char *crn_tail_id(const struct crn_tail *tail, uint32_t i)
{
    return crn_tail_chunk_of(tail, i)->ids[i % tail->chunk_rows];
}

#endif
