/*
 * The inline functions of one form of graph rows, reachable from tests. graph_row_form_<instruction set>.c
 * includes the form and, with GRAPH_ROW_FORM naming its table, this file once more; it is compiled as the
 * form's users are.
 */
#ifndef CRN_TESTS_QUANT_GRAPH_ROW_FORM_H
#define CRN_TESTS_QUANT_GRAPH_ROW_FORM_H

#include "quant/graph_row_isa.h"

struct graph_row_form {
    const struct crn_graph_kernels *kernels;
    void (*prefetch)(const struct crn_graph_layout *layout, const uint8_t *row);
    float (*distance)(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                      const uint8_t *row);
    unsigned (*neighbours)(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                           const uint8_t *row, float distance, float limit, float *distances, uint32_t *ids);
    uint32_t (*pool_rank)(const uint64_t *keys, uint32_t count, uint64_t key);
    uint32_t (*pool_insert)(uint64_t *keys, uint32_t *count, uint32_t most, uint64_t key);
    uint32_t (*pool_merge)(struct crn_pool *pool, const float *distances, const uint32_t *ids, uint32_t n);
    unsigned (*unseen)(const uint64_t *seen, uint32_t nodes, float *distances, uint32_t *ids, unsigned count);
};

extern const struct graph_row_form graph_row_form_plain;
extern const struct graph_row_form graph_row_form_avx2;
extern const struct graph_row_form graph_row_form_avx512;
extern const struct graph_row_form graph_row_form_neon;

#endif

#if defined(GRAPH_ROW_FORM)

static void prefetch(const struct crn_graph_layout *layout, const uint8_t *row)
{
    crn_row_prefetch(layout, row);
    crn_row_prefetch_code(layout, row);
}

static float distance_of(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                         const uint8_t *row)
{
    return crn_row_distance(layout, query, row);
}

static unsigned neighbours_of(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                              const uint8_t *row, float distance, float limit, float *distances,
                              uint32_t *ids)
{
    return crn_row_neighbours(layout, query, row, distance, limit, distances, ids);
}

static uint32_t pool_rank(const uint64_t *keys, uint32_t count, uint64_t key)
{
    return crn_pool_rank(keys, count, key);
}

static uint32_t pool_insert(uint64_t *keys, uint32_t *count, uint32_t most, uint64_t key)
{
    return crn_pool_insert(keys, count, most, key);
}

static uint32_t pool_merge(struct crn_pool *pool, const float *distances, const uint32_t *ids, uint32_t n)
{
    return crn_pool_merge(pool, distances, ids, n);
}

static unsigned unseen(const uint64_t *seen, uint32_t nodes, float *distances, uint32_t *ids, unsigned count)
{
    return crn_row_unseen(seen, nodes, distances, ids, count);
}

const struct graph_row_form GRAPH_ROW_FORM = {
    .kernels = &GRAPH_ROW_KERNELS,
    .prefetch = prefetch,
    .distance = distance_of,
    .neighbours = neighbours_of,
    .pool_rank = pool_rank,
    .pool_insert = pool_insert,
    .pool_merge = pool_merge,
    .unseen = unseen,
};

#endif
