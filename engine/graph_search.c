/* The memory of a search, and the choice among the compiled loops. */
#include "engine/graph_walk_isa.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"

static cairn_status reserve(void **memory, uint32_t *capacity, uint32_t wanted, size_t bytes, bool cleared,
                            cairn_error *err)
{
    size_t size;

    if (*memory != NULL && *capacity >= wanted) return CAIRN_OK;
    crn_mem_free(*memory);
    *memory = crn_mem_mul(wanted, bytes, &size) ? crn_mem_aligned(size) : NULL;
    if (*memory == NULL) {
        *capacity = 0;
        return crn_error_no_memory(err, wanted * bytes);
    }
    if (cleared) memset(*memory, 0, size);
    *capacity = wanted;
    return CAIRN_OK;
}

cairn_status crn_graph_scratch_reserve(struct crn_graph_scratch *scratch, uint32_t dims, uint32_t nodes,
                                       uint32_t effort, uint32_t keep, cairn_error *err)
{
    uint32_t words = scratch->node_max / 64, query_dims = scratch->query.dims;

    CRN_TRY(reserve(&scratch->query_memory, &query_dims, dims, crn_graph_query_bytes(1), false, err));
    crn_graph_query_init(&scratch->query, dims, scratch->query_memory);
    CRN_TRY(reserve((void **)&scratch->pool, &scratch->pool_max, (uint32_t)crn_pool_words(effort),
                    sizeof *scratch->pool, false, err));
    CRN_TRY(reserve((void **)&scratch->near, &scratch->near_max, keep + CRN_GRAPH_KEY_PAD,
                    sizeof *scratch->near, false, err));
    CRN_TRY(reserve((void **)&scratch->listed, &scratch->listed_max, keep + CRN_GRAPH_KEY_PAD,
                    sizeof *scratch->listed, false, err));
    CRN_TRY(
        reserve((void **)&scratch->log, &scratch->log_max, effort * 16, sizeof *scratch->log, false, err));
    const cairn_status status =
        reserve((void **)&scratch->seen, &words, nodes / 64 + 1, sizeof *scratch->seen, true, err);
    scratch->node_max = words * 64;
    return status;
}

cairn_status crn_graph_scratch_reserve_nodes(struct crn_graph_scratch *scratch, uint32_t count,
                                             uint32_t cells, cairn_error *err)
{
    CRN_TRY(
        reserve((void **)&scratch->order, &scratch->order_max, cells, sizeof *scratch->order, false, err));
    CRN_TRY(
        reserve((void **)&scratch->nodes, &scratch->nodes_max, count, sizeof *scratch->nodes, false, err));
    return reserve((void **)&scratch->bounds, &scratch->bounds_max, count, sizeof *scratch->bounds, false,
                   err);
}

void crn_graph_scratch_release(struct crn_graph_scratch *scratch)
{
    crn_mem_free(scratch->query_memory);
    crn_mem_free(scratch->pool);
    crn_mem_free(scratch->near);
    crn_mem_free(scratch->listed);
    crn_mem_free(scratch->seen);
    crn_mem_free(scratch->log);
    crn_mem_free(scratch->nodes);
    crn_mem_free(scratch->bounds);
    crn_mem_free(scratch->order);
    *scratch = (struct crn_graph_scratch){0};
}

void crn_graph_walk(const struct crn_graph *graph, struct crn_graph_scratch *scratch,
                    const struct crn_graph_ask *ask)
{
    switch (crn_cpu_level()) {
#if defined(__x86_64__)
    case CRN_CPU_AVX512:
        crn_graph_walk_avx512(graph, scratch, ask);
        return;
    case CRN_CPU_AVX2:
        crn_graph_walk_avx2(graph, scratch, ask);
        return;
#elif defined(__aarch64__)
    case CRN_CPU_NEON:
        crn_graph_walk_neon(graph, scratch, ask);
        return;
#endif
    default:
        crn_graph_walk_plain(graph, scratch, ask);
    }
}
