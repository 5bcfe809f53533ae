/*
 * Rows of the graph index: for one node, all that a search step needs, in whole cache lines, so that a step is one
 * prefetched visit to memory instead of one for each neighbour.
 *
 * A row holds the node's own rotated vector as int8, and for each of its 32 neighbours a 1-bit code of the residual
 * (neighbour minus node), two factors and the neighbour's number:
 *
 *   code   u8  [dims]        rotated vector: 128 + z / scale
 *   signs  u8  [dims / 4][16] byte 16 s + (v & 15), half v >> 4: the signs of residual v's dimensions 4s..4s+3
 *   a, b   f16 [32] each
 *   ids    u24 [32]
 *   head   scale, weight, factor_scale (f32), lock (u32)
 *
 * With z_q the rotated query and d the squared distance (or, for dot products, |q|^2 + R^2 - 2 q.x), visiting node c gives
 *
 *   d(c) = query.constant + weight(c) - 2 <z_c, z_q>                 z_q in two int8 planes: exact for the codes
 *   d(x) ~ d(c) + factor_scale * (a + b * <sign(r), z_q>)            for each neighbour x = c + r
 *
 * with f = |r|^2 / |r|_1, b = -2 f, a = weight(x) - weight(c) - 2 <z_c, r> + 2 f <sign(r), z_c>. This is the estimator of RaBitQ
 * (Gao and Long, SIGMOD 2024) applied to residuals between neighbours, where it is most accurate, as SymphonyQG
 * (Gou et al., SIGMOD 2025) does for whole vectors; the sum over signs is read from tables of 16 entries for 4 dimensions
 * (Andre, Kermarrec, Le Scouarnec, VLDB 2015). It holds as well when codes cover fewer dimensions than the vector has.
 *
 * weight is |z|^2 for squared distances and R^2 - 2 <z, mean> for dot products, so the rest of the arithmetic is the same.
 *
 * Where very many nodes are compared, with none of their neighbours, a record of its signs stands for a node, in order beside the rows:
 *
 *   signs  u8  [dims / 8]    bit j % 8 of byte j / 8: z_c[j] >= 0
 *   weight, scale            f32: the row's weight; |z_c|^2 / |z_c|_1
 *
 *   d(c) ~ query.constant + weight - 2 scale <sign(z_c), z_q>        z_q in its first plane
 *
 * which is RaBitQ's estimate once more. Its error has a standard deviation of about 1.2 scale |z_q|, whatever the dimension is: scale is
 * 1.25 |z_c| / sqrt(dims) and 1.5 |z_c| |z_q| / sqrt(dims) the error, of rotated vectors that look normal.
 */
#ifndef CRN_QUANT_GRAPH_ROW_H
#define CRN_QUANT_GRAPH_ROW_H

#include "quant/graph_pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRN_GRAPH_DEGREE 32u
#define CRN_GRAPH_DIMS_MAX 1024u      /* sums over signs are 16 bits wide */
#define CRN_GRAPH_NODES_MAX 0xffffffu /* ids are 24 bits; the last one means none */
#define CRN_GRAPH_NO_NODE 0xffffffu

/* IEEE binary16. clang before 15 has no _Float16 for x86; its __fp16 converts alike. */
#if defined(__clang__) && __clang_major__ < 15 && !defined(__aarch64__)
typedef __fp16 crn_half;
#else
typedef _Float16 crn_half;
#endif

struct crn_graph_layout {
    uint32_t dims; /* of the codes: a multiple of 64, at most CRN_GRAPH_DIMS_MAX */
    uint32_t signs, a, b, ids, head;
    uint32_t row_bytes; /* a multiple of 64 */
};

struct crn_graph_head {
    float scale;
    float weight;
    float factor_scale; /* a power of two */
    uint32_t lock;      /* of live graphs (graph_live.h); 0 in files */
};

/* What is read of it along with a row: all but the lock, which others count in meanwhile. */
#define CRN_GRAPH_HEAD_BYTES offsetof(struct crn_graph_head, lock)

static inline struct crn_graph_layout crn_graph_layout_of(uint32_t dims)
{
    struct crn_graph_layout layout = {.dims = dims};

    layout.signs = dims;
    layout.a = layout.signs + dims * 4;
    layout.b = layout.a + CRN_GRAPH_DEGREE * 2;
    layout.ids = layout.b + CRN_GRAPH_DEGREE * 2;
    layout.head = layout.ids + CRN_GRAPH_DEGREE * 3;
    layout.row_bytes = (layout.head + (uint32_t)sizeof(struct crn_graph_head) + 63) / 64 * 64;
    return layout;
}

#define CRN_GRAPH_SIGNS_BYTES_MAX (CRN_GRAPH_DIMS_MAX / 8 + 2 * sizeof(float))

/* Bytes of a record of signs. */
static inline size_t crn_graph_signs_bytes(uint32_t dims)
{
    return dims / 8 + 2 * sizeof(float);
}

static inline struct crn_graph_head *crn_graph_head_of(const struct crn_graph_layout *layout, uint8_t *row)
{
    return (struct crn_graph_head *)(void *)(row + layout->head);
}

static inline uint32_t crn_graph_id(const struct crn_graph_layout *layout, const uint8_t *row, uint32_t slot)
{
    const uint8_t *at = row + layout->ids + slot * 3;
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
}

static inline void crn_graph_id_set(const struct crn_graph_layout *layout, uint8_t *row, uint32_t slot,
                                    uint32_t id)
{
    uint8_t *at = row + layout->ids + slot * 3;

    at[0] = (uint8_t)id;
    at[1] = (uint8_t)(id >> 8);
    at[2] = (uint8_t)(id >> 16);
}

/* Makes a slot empty. Those behind it must be, too. */
static inline void crn_graph_slot_clear(const struct crn_graph_layout *layout, uint8_t *row, uint32_t slot)
{
    const uint16_t infinite = 0x7c00; /* as f16 */

    memcpy(row + layout->a + slot * 2, &infinite, sizeof infinite);
    memset(row + layout->b + slot * 2, 0, 2);
    memset(row + layout->ids + slot * 3, 0xff, 3);
}

/* A rotated query, ready for rows. Tables and planes are the caller's memory, aligned to 64 bytes. */
struct crn_graph_query {
    uint32_t dims;
    float constant;  /* added to every distance, so that none is negative */
    float *rotated;  /* [dims] */
    uint8_t *table;  /* [dims / 4][16]: sums of the signed dimensions, less their least, divided by a step */
    int8_t *hi, *lo; /* [dims] planes: z ~ hi_scale * (hi + lo / 254) */
    float hi_scale, lo_scale;
    int32_t hi_offset, lo_offset;    /* 128 * the planes' sums */
    float table_scale, table_offset; /* <sign(r), z> = table_scale * sum + table_offset */
};

static inline size_t crn_graph_query_bytes(uint32_t dims)
{
    return (size_t)dims * (4 + 4 + 1 + 1);
}

static inline void crn_graph_query_init(struct crn_graph_query *query, uint32_t dims, void *memory)
{
    uint8_t *at = memory;

    query->dims = dims;
    query->rotated = (float *)(void *)at;
    query->table = at + (size_t)dims * 4;
    query->hi = (int8_t *)(at + (size_t)dims * 8);
    query->lo = (int8_t *)(at + (size_t)dims * 9);
}

/* What a residual r = x - c is summed up to. */
struct crn_row_residual {
    float squares, absolutes; /* |r|^2, |r|_1 */
    float along, signs;       /* <z_c, r>, <sign(r), z_c> */
};

#define CRN_ROW_TINY 1e-33f /* lengths are not taken smaller, so that no scale becomes denormal */

/* The arithmetic, one table an instruction set. */
struct crn_graph_kernels {
    const char *name;
    /* Makes planes and tables from query->rotated. `constant` is the caller's to set. */
    void (*query_prepare)(struct crn_graph_query *query);
    /* Writes a node's own code and scale from its rotated vector z[dims]. Its slots become empty. */
    void (*row_init)(const struct crn_graph_layout *layout, const float *z, float weight, uint8_t *row);
    /* Writes neighbour x (its row, for code, scale and weight) into a slot of row c. */
    void (*row_set)(const struct crn_graph_layout *layout, uint8_t *c, uint32_t slot, const uint8_t *x,
                    uint32_t x_id);
    /* The sum of (a[j] - 128) * (b[j] - 128) of two codes of `dims` bytes. */
    int32_t (*codes_dot)(const uint8_t *a, const uint8_t *b, uint32_t dims);
    /* <z_a, z_b> of two rows' codes. */
    float (*row_dot)(const struct crn_graph_layout *layout, const uint8_t *a, const uint8_t *b);
    /* d(c), and d of its 32 neighbours into out[32]; empty slots give +inf. */
    float (*row_estimate)(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                          const uint8_t *row, float *out);
    /* Estimates of d, less slack * scale, of records[nodes[i]], for i in 0..count-1. */
    void (*signs_estimate)(const struct crn_graph_query *query, float slack, const uint8_t *records,
                           const uint32_t *nodes, size_t count, float *out);
};

/* Writes a row's record of signs. */
void crn_graph_signs_write(const struct crn_graph_layout *layout, const uint8_t *row, uint8_t *record);

const struct crn_graph_kernels *crn_graph_kernels_get(void);

#endif
