/*
 * Searching an ivf index (ivf.h).
 *
 * Phases: order the lists by their centroids; scan the nearest ones, and further ones while there are fewer
 * than k rows (ivf_scan.c); read the vectors of all rows that may be among the k nearest, asked for ahead in
 * one go so that a disk serves them at once, and push them with their exact distances.
 */
#include "engine/ivf.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "quant/vector.h"

#include <math.h>
#include <stdlib.h>

#define RECALL_DEFAULT 0.98
#define PROBES_UNMEASURED 16.0
/* Rows kept by int8 codes at most, besides 1.5 k: with 16 of them 1 % of the neighbours is lost on hard
 * sets. */
#define KEPT_BESIDES 64u
#define RESCORED 128u  /* rows at a time */
#define AHEAD_ROWS 24u /* whose beginnings are asked for, so that the memory serves them at once */
#define AHEAD_BYTES 1024u
/* Where comparing takes longer than this, and that for each row, vectors come from a disk: then the next
 * SLOW_SEARCHES ask for all that they compare. */
#define SLOW_NS 100000u
#define SLOW_ROW_NS 10000u
#define SLOW_SEARCHES 32u

struct search {
    struct crn_ivf_scan scan;
    size_t probes;
    struct crn_hit *order; /* crn_ivf_coarse_hits of them */
};

/* ---- scratch ---- */

/* Rows kept by their int8 codes: k, and those that codes may have put behind them. */
static size_t kept_for(const struct crn_index_query *query, size_t count)
{
    const size_t wanted = query->k + query->k / 2 + KEPT_BESIDES;

    return wanted < count ? wanted : count;
}

static size_t nearest_for(const struct crn_index_query *query, size_t count)
{
    return query->k < count ? query->k : count;
}

static cairn_status reserve(struct crn_ivf_scratch *scratch, const struct crn_ivf_opened *opened, size_t hits,
                            cairn_error *err)
{
    const size_t bytes = crn_ivf_coarse_query_bytes(&opened->frame.binary);

    if (scratch->memory == NULL) scratch->memory = crn_mem_aligned(bytes);
    if (scratch->memory == NULL) return crn_error_no_memory(err, bytes);
    if (scratch->hits_capacity >= hits) return CAIRN_OK;
    crn_mem_free(scratch->hits);
    scratch->hits_capacity = 0;
    scratch->hits = crn_mem_array(hits, sizeof *scratch->hits);
    if (scratch->hits == NULL) return crn_error_no_memory(err, hits * sizeof *scratch->hits);
    scratch->hits_capacity = hits;
    return CAIRN_OK;
}

void crn_ivf_scratch_release(struct crn_ivf_scratch *scratch)
{
    crn_mem_free(scratch->memory);
    crn_mem_free(scratch->hits);
    *scratch = (struct crn_ivf_scratch){0};
}

/* ---- what a search wants ---- */

/* The lists that gave the recall, between the measured numbers by the line through them. */
static double probes_for(const struct crn_ivf_calibration *calibration, double recall)
{
    if (calibration->queries == 0) return PROBES_UNMEASURED;
    if (calibration->recalls[0] >= recall) return calibration->probes[0];
    for (uint32_t p = 1; p < CRN_IVF_PROBES; p++) {
        const double low = calibration->recalls[p - 1], high = calibration->recalls[p];
        if (high < recall || high <= low) continue;
        return calibration->probes[p - 1] +
               (recall - low) / (high - low) * (calibration->probes[p] - calibration->probes[p - 1]);
    }
    return calibration->probes[CRN_IVF_PROBES - 1];
}

/* More neighbours lie in more lists, and a filter spreads those that it leaves over more. */
static size_t probes_of(const struct crn_ivf_opened *opened, const struct crn_index_query *query,
                        size_t count)
{
    double probes = query->nprobe;

    if (query->nprobe == 0) {
        probes = probes_for(&opened->calibration, query->recall > 0 ? query->recall : RECALL_DEFAULT);
        if (query->k > 10) probes *= pow((double)query->k / 10, 0.3);
    }
    if (query->allow != NULL && query->allowed > 0) probes /= sqrt((double)query->allowed / (double)count);
    probes = ceil(probes);
    return probes < opened->lists ? (size_t)probes : opened->lists;
}

/* ---- lists ---- */

static void prepare(struct search *search, struct crn_ivf_scratch *scratch)
{
    struct crn_ivf_scan *scan = &search->scan;
    const size_t kept = kept_for(scan->query, scan->rows->count);
    struct crn_hit *hits = scratch->hits;

    crn_ivf_coarse_prepare(&scan->opened->frame.binary, scan->query->vector, scratch->memory,
                           &scan->prepared);
    scan->base = scan->prepared.blocks.table_base;
    scan->norm2 = (float)crn_vector_norm2(scan->query->vector, scan->rows->dim);
    scan->pending = &scratch->pending;
    scan->pending->count = 0; /* there is something when the last search failed */
    scan->limit = INFINITY;
    crn_topk_init(&scan->nearest, hits, nearest_for(scan->query, scan->rows->count));
    float *distances = (float *)(void *)(hits + scan->nearest.k);
    crn_sieve_init(&scan->kept, distances, (uint32_t *)(void *)(distances + 2 * kept), kept, 2 * kept);
    search->order = hits + scan->nearest.k + kept;
}

/* All lists in order, as many of them as it takes to have `enough` rows. */
static cairn_status scan_until(struct search *search, size_t enough, cairn_error *err)
{
    struct crn_ivf_scan *scan = &search->scan;
    const size_t found =
        crn_ivf_coarse_find(&scan->opened->coarse, &scan->prepared, scan->opened->lists, search->order);

    for (size_t i = 0; i < found && scan->kept.count < enough; i++)
        CRN_TRY(crn_ivf_scan_lists(scan, search->order + i, 1, err));
    return CAIRN_OK;
}

static cairn_status scan_lists(struct search *search, struct crn_ivf_scratch *scratch, cairn_error *err)
{
    struct crn_ivf_scan *scan = &search->scan;
    const struct crn_index_query *query = scan->query;
    const size_t enough = query->k < query->allowed ? query->k : query->allowed;

    prepare(search, scratch);
    const size_t found =
        crn_ivf_coarse_find(&scan->opened->coarse, &scan->prepared, search->probes, search->order);
    CRN_TRY(crn_ivf_scan_lists(scan, search->order, found, err));
    if (scan->kept.count >= enough || search->probes == scan->opened->lists) return CAIRN_OK;
    prepare(search, scratch); /* a filter that leaves few rows: from the start */
    return scan_until(search, enough, err);
}

/* ---- vectors ---- */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Leaves the positions whose vectors may be among the k nearest, ascending, each once, and gives their number. */
static size_t choose_vectors(struct crn_ivf_scan *scan)
{
    uint32_t *positions = scan->kept.labels;
    size_t count = 0, once = 0;

    crn_sieve_shrink(&scan->kept);
    const float limit = crn_ivf_limit(scan);
    for (size_t i = 0; i < scan->kept.count; i++) {
        if (scan->kept.distances[i] <= limit) positions[count++] = positions[i];
    }
    qsort(positions, count, sizeof *positions, ascending);
    for (size_t i = 0; i < count; i++) {
        if (once == 0 || positions[once - 1] != positions[i]) positions[once++] = positions[i];
    }
    return once;
}

/* Asks the disk for the vectors, all at once, and the memory for the beginnings of those that are in it. */
static void ask_for(const struct crn_index_rows *rows, const uint32_t *positions, size_t count)
{
    const size_t bytes = rows->dim * sizeof(float);

    for (size_t i = 0; i < count; i++) {
        const float *vector = rows->vectors + (size_t)positions[i] * rows->dim;

        if (rows->file != NULL) crn_derived_will_need(rows->file, vector, bytes);
        for (size_t at = 0; i < AHEAD_ROWS && at < bytes && at < AHEAD_BYTES; at += 64)
            __builtin_prefetch((const char *)vector + at, 0, 2);
    }
}

static cairn_status compare_vectors(const struct crn_ivf_scan *scan, const uint32_t *positions, size_t count,
                                    struct crn_topk *top, cairn_error *err)
{
    const struct crn_index_rows *rows = scan->rows;
    float distances[RESCORED];

    for (size_t begin = 0; begin < count; begin += RESCORED) {
        const size_t some = count - begin < RESCORED ? count - begin : RESCORED;
        for (size_t i = begin; rows->file != NULL && i < begin + some; i++) {
            CRN_TRY(crn_derived_verify(rows->file, rows->vectors + (size_t)positions[i] * rows->dim,
                                       rows->dim * sizeof(float), err));
        }
        crn_kernels_get()->f32_gather[rows->op](scan->query->vector, rows->vectors, rows->dim,
                                                positions + begin, some, distances);
        for (size_t i = 0; i < some; i++) crn_topk_push(top, distances[i], positions[begin + i]);
    }
    return CAIRN_OK;
}

static cairn_status rescore(struct crn_ivf_scan *scan, struct crn_topk *top, cairn_error *err)
{
    const size_t count = choose_vectors(scan);
    const uint32_t *positions = scan->kept.labels;
    const uint64_t begin_ns = crn_clock_ns();

    ask_for(scan->rows, positions, count);
    const cairn_status status = compare_vectors(scan, positions, count, top, err);
    if (scan->rows->file != NULL && crn_clock_ns() - begin_ns > SLOW_NS + count * SLOW_ROW_NS)
        crn_derived_was_slow(scan->rows->file, (uint32_t)count * SLOW_SEARCHES);
    return status;
}

cairn_status crn_ivf_search(const struct crn_ivf_opened *opened, const struct crn_index_rows *rows,
                            const struct crn_index_query *query, struct crn_ivf_scratch *scratch,
                            struct crn_topk *top, cairn_error *err)
{
    struct search search = {.scan = {.opened = opened, .rows = rows, .query = query}};

    if (query->k == 0 || query->allowed == 0) return CAIRN_OK;
    search.probes = probes_of(opened, query, rows->count);
    const size_t order = crn_ivf_coarse_hits(opened->lists, search.probes),
                 all = crn_ivf_coarse_hits(opened->lists, opened->lists);
    CRN_TRY(reserve(
        scratch, opened,
        nearest_for(query, rows->count) + kept_for(query, rows->count) + (order > all ? order : all), err));
    CRN_TRY(scan_lists(&search, scratch, err));
    return rescore(&search.scan, top, err);
}
