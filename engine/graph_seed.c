#include "engine/graph_seed.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/card.h"

#include <string.h>

struct crn_graph_seed {
    const struct crn_index_rows *rows;
    const uint32_t *nodes;
    struct crn_gpu_set *set;
    struct crn_gpu_stream *stream;
    uint64_t *present; /* the nodes, as bits */
    size_t begin, end; /* of the slice */
    size_t room;       /* nodes that the following are for */
    float *vectors, *distances;
    uint32_t *near;    /* [room][CRN_GRAPH_SEEDS] */
    bool on_card;      /* the slice has seeds */
    uint64_t begin_ns; /* of the slice */
    double node_ns[2]; /* what a node took without and with the card; 0: not measured */
    uint64_t slices;
};

static cairn_status make_set(struct crn_graph_seed *seed, cairn_error *err)
{
    const struct crn_index_rows *rows = seed->rows;
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_F16,
                                                .metric = rows->op == CRN_OP_L2 ? CRN_GPU_L2 : CRN_GPU_DOT,
                                                .dim = rows->dim,
                                                .reserve_rows = rows->count,
                                                .device_only = true};
    struct crn_gpu *gpu;

    CRN_TRY(crn_card_take(&gpu, err));
    CRN_TRY(crn_card_take_stream(&seed->stream, err));
    CRN_TRY(crn_gpu_set_create(gpu, &options, &seed->set, err));
    return crn_gpu_set_append(seed->set, rows->vectors, rows->count, err);
}

static cairn_status open_parts(struct crn_graph_seed *seed, size_t count, cairn_error *err)
{
    seed->present = crn_mem_calloc(crn_bits_words(seed->rows->count), sizeof *seed->present);
    if (seed->present == NULL) return crn_error_no_memory(err, seed->rows->count / 8);
    for (size_t i = 0; i < count; i++) crn_bits_set(seed->present, seed->nodes[i]);
    return make_set(seed, err);
}

/* What failed is only slower without. */
static void give_up(struct crn_graph_seed *seed, cairn_status status, const char *why)
{
    if (status == CAIRN_IO) crn_card_give_up(why);
    crn_card_count_fallback();
    crn_log(seed->rows->log, CAIRN_LOG_WARN, "a graph of %zu rows is built without the GPU: %s",
            seed->rows->count, why);
}

struct crn_graph_seed *crn_graph_seed_open(const struct crn_index_rows *rows,
                                           const struct crn_graph_growing *growing, const uint32_t *nodes,
                                           size_t count)
{
    cairn_error cause;

    if (!crn_card_ready() || growing->heights != NULL || rows->op == CRN_OP_L1) return NULL;
    struct crn_graph_seed *seed = crn_mem_calloc(1, sizeof *seed);
    if (seed == NULL) return NULL;
    seed->rows = rows;
    seed->nodes = nodes;
    const cairn_status status = open_parts(seed, count, &cause);
    if (status != CAIRN_OK) {
        give_up(seed, status, cause.message);
        crn_graph_seed_close(seed);
        return NULL;
    }
    return seed;
}

static void release_room(struct crn_graph_seed *seed)
{
    crn_mem_free(seed->vectors);
    crn_mem_free(seed->distances);
    crn_mem_free(seed->near);
    seed->vectors = seed->distances = NULL;
    seed->near = NULL;
    seed->room = 0;
}

void crn_graph_seed_close(struct crn_graph_seed *seed)
{
    if (seed == NULL) return;
    if (seed->stream != NULL) crn_card_give_stream(seed->stream);
    crn_gpu_set_free(seed->set);
    crn_mem_free(seed->present);
    release_room(seed);
    crn_mem_free(seed);
}

/* ---- slices ---- */

static cairn_status make_room(struct crn_graph_seed *seed, size_t count, cairn_error *err)
{
    if (count <= seed->room) return CAIRN_OK;
    release_room(seed);
    seed->vectors = crn_mem_array(count, seed->rows->dim * sizeof *seed->vectors);
    seed->distances = crn_mem_array(count, CRN_GRAPH_SEEDS * sizeof *seed->distances);
    seed->near = crn_mem_array(count, CRN_GRAPH_SEEDS * sizeof *seed->near);
    if (seed->vectors == NULL || seed->distances == NULL || seed->near == NULL)
        return crn_error_no_memory(err, count * (seed->rows->dim + CRN_GRAPH_SEEDS * 2) * sizeof(float));
    seed->room = count;
    return CAIRN_OK;
}

static cairn_status find(struct crn_graph_seed *seed, cairn_error *err)
{
    const size_t count = seed->end - seed->begin, dim = seed->rows->dim;

    CRN_TRY(make_room(seed, count, err));
    for (size_t i = 0; i < count; i++)
        memcpy(seed->vectors + i * dim, seed->rows->vectors + seed->nodes[seed->begin + i] * dim,
               dim * sizeof *seed->vectors);
    const struct crn_gpu_query query = {
        .vectors = seed->vectors, .batch = count, .k = CRN_GRAPH_SEEDS, .allow = seed->present};
    return crn_gpu_neighbours(seed->set, seed->stream, &query, seed->nodes + seed->begin, seed->distances,
                              seed->near, err);
}

/* By what was measured: first with, then without, then the quicker. */
static bool wants_card(const struct crn_graph_seed *seed)
{
    if (seed->set == NULL) return false;
    if (seed->slices < 2) return seed->slices == 0;
    return seed->node_ns[1] < seed->node_ns[0];
}

void crn_graph_seed_begin(struct crn_graph_seed *seed, size_t begin, size_t end)
{
    cairn_error cause;

    if (seed == NULL) return;
    seed->begin = begin;
    seed->end = end;
    seed->begin_ns = crn_clock_ns();
    seed->on_card = wants_card(seed);
    if (!seed->on_card) return;
    const cairn_status status = find(seed, &cause);
    if (status == CAIRN_OK) return;
    give_up(seed, status, cause.message);
    crn_gpu_set_free(seed->set);
    seed->set = NULL;
    seed->on_card = false;
}

void crn_graph_seed_end(struct crn_graph_seed *seed)
{
    if (seed == NULL) return;
    seed->node_ns[seed->on_card] =
        (double)(crn_clock_ns() - seed->begin_ns) / (double)(seed->end - seed->begin);
    seed->slices++;
}

const uint32_t *crn_graph_seed_of(const struct crn_graph_seed *seed, size_t i)
{
    return seed == NULL || !seed->on_card ? NULL : seed->near + (i - seed->begin) * CRN_GRAPH_SEEDS;
}
