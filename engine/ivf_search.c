/*
 * Searching an ivf index (ivf.h).
 *
 * Phases: order the lists by their centroids; scan the nearest ones, and further ones while there are fewer
 * than k rows, keeping the rows that are nearest by int8 codes; of these read the vectors of all that may
 * be among the k nearest, asked for ahead in one go so that a disk serves them at once, and push them with
 * their exact distances.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "quant/flat_scan.h"
#include "quant/vector.h"

#include <math.h>
#include <stdlib.h>

#define RECALL_DEFAULT 0.98
#define PROBES_UNMEASURED 16.0
#define ERROR_UNMEASURED 0.005f
#define ERRORS_ALLOWED 4.0f /* standard deviations by which int8 codes may be off */
/* Rows kept by int8 codes besides 1.5 k: with 16 of them 1 % of the neighbours is lost on hard sets. */
#define KEPT_BESIDES 64u
#define CHUNK 128u /* rows of a list scanned between two looks at the limit */

/* Deviations by which block codes may be off, times what one deviation of <y, P z> is of |z|: half the sine
 * between a row and its signs (binary.h: error / scale), which is close to sqrt(1 - 2 / pi) for all rows,
 * these being rotated at random. */
#define BOUND (CRN_BINARY_SURE * 0.5f * 0.603f)

struct search {
    const struct crn_ivf_opened *opened;
    const struct crn_index_rows *rows;
    const struct crn_index_query *query;
    struct crn_binary_query blocks; /* its add and table_base are those of a list */
    float base;                     /* table_base of the query alone */
    struct crn_scalar_query fine;   /* of the query less the mean for l2, of the query for dot products */
    float fine_add;
    float norm2;           /* of the query */
    struct crn_hit *order; /* [lists] */
    struct crn_topk kept;  /* by int8 distances; labels are positions */
};

/* ---- scratch ---- */

struct sizes {
    size_t order, floats, centred, planes, all;
};

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Where the parts of the scratch's memory begin. */
static struct sizes sizes_of(const struct crn_ivf_opened *opened, size_t dim)
{
    struct sizes at = {0};

    at.floats = aligned(opened->lists * sizeof(struct crn_hit));
    at.centred = at.floats + aligned(crn_binary_query_floats(opened->frame.binary.padded, 0) * sizeof(float));
    at.planes = at.centred + aligned(dim * sizeof(float));
    at.all = at.planes + 2 * dim;
    return at;
}

static cairn_status reserve(struct crn_ivf_scratch *scratch, size_t memory_bytes, size_t hits,
                            cairn_error *err)
{
    if (scratch->memory == NULL) scratch->memory = crn_mem_aligned(memory_bytes);
    if (scratch->memory == NULL) return crn_error_no_memory(err, memory_bytes);
    if (scratch->hits_capacity >= hits) return CAIRN_OK;
    crn_mem_free(scratch->hits);
    crn_mem_free(scratch->positions);
    scratch->hits_capacity = 0;
    scratch->hits = crn_mem_array(hits, sizeof *scratch->hits);
    scratch->positions = crn_mem_array(hits, sizeof *scratch->positions);
    if (scratch->hits == NULL || scratch->positions == NULL)
        return crn_error_no_memory(err, hits * sizeof *scratch->hits);
    scratch->hits_capacity = hits;
    return CAIRN_OK;
}

void crn_ivf_scratch_release(struct crn_ivf_scratch *scratch)
{
    crn_mem_free(scratch->memory);
    crn_mem_free(scratch->hits);
    crn_mem_free(scratch->positions);
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
static uint32_t probes_of(const struct search *search)
{
    const struct crn_index_query *query = search->query;
    double probes = query->nprobe;

    if (query->nprobe == 0) {
        probes = probes_for(&search->opened->calibration, query->recall > 0 ? query->recall : RECALL_DEFAULT);
        if (query->k > 10) probes *= pow((double)query->k / 10, 0.3);
    }
    if (query->allow != NULL && query->allowed > 0)
        probes /= sqrt((double)query->allowed / (double)search->rows->count);
    probes = ceil(probes);
    return probes < search->opened->lists ? (uint32_t)probes : search->opened->lists;
}

/* Rows kept by their int8 codes: k, and those that codes may have put behind them. */
static size_t kept_for(const struct crn_index_query *query, size_t count)
{
    const size_t wanted = query->k + query->k / 2 + KEPT_BESIDES;

    return wanted < count ? wanted : count;
}

static void prepare(struct search *search, struct crn_ivf_scratch *scratch)
{
    const struct crn_ivf_frame *frame = &search->opened->frame;
    const float *vector = search->query->vector, *mean = frame->binary.centroid;
    const size_t dim = search->rows->dim;
    const struct sizes at = sizes_of(search->opened, dim);
    char *memory = scratch->memory;
    float *centred = (float *)(void *)(memory + at.centred);

    search->order = (struct crn_hit *)(void *)memory;
    crn_binary_query_prepare(&frame->binary, vector, 0, (float *)(void *)(memory + at.floats),
                             &search->blocks);
    search->base = search->blocks.table_base;
    search->norm2 = (float)crn_vector_norm2(vector, dim);
    search->fine_add = search->rows->op == CRN_OP_DOT ? search->blocks.add : 0; /* -<mean, q> */
    for (size_t d = 0; d < dim; d++)
        centred[d] = search->rows->op == CRN_OP_DOT ? vector[d] : vector[d] - mean[d];
    crn_scalar_query_prepare(search->rows->op, centred, dim, (int8_t *)(memory + at.planes), &search->fine);
    crn_topk_init(&search->kept, scratch->hits, kept_for(search->query, search->rows->count));
}

/* ---- lists ---- */

/* The nearest `count` lists, in order. */
static size_t order_lists(struct search *search, size_t count)
{
    struct crn_topk top;

    crn_topk_init(&top, search->order, count);
    crn_flat_scan_scalar(&search->fine, &search->opened->coarse, search->opened->lists, 0, NULL, &top);
    crn_topk_sort(&top);
    return top.count;
}

/* The constants of a list: its add, and the bound below the estimates of its rows. */
static void enter_list(struct search *search, uint32_t l)
{
    const struct crn_ivf_opened *opened = search->opened;
    float add, away2;

    crn_kernels_get()->f32_gather[search->rows->op](search->query->vector, opened->centroids,
                                                    search->rows->dim, &l, 1, &add);
    away2 = search->rows->op == CRN_OP_L2 ? add : search->norm2 + opened->centroid_norms2[l] + 2 * add;
    search->blocks.add = add;
    search->blocks.table_base = search->base + BOUND * sqrtf(away2 > 0 ? away2 : 0);
}

/* Bit i: row begin + i is there and allowed. */
static uint32_t allowed_rows(const struct search *search, const struct crn_ivf_list *list, size_t begin)
{
    const size_t left = list->count - begin, count = left < CRN_WITHIN ? left : CRN_WITHIN;
    uint32_t mask = 0;

    if (search->query->allow == NULL) return count == CRN_WITHIN ? UINT32_MAX : (UINT32_C(1) << count) - 1;
    for (size_t i = 0; i < count; i++) {
        const uint32_t position = list->positions[begin + i];
        if (position < search->rows->count)
            mask |= (uint32_t)crn_bits_get(search->query->allow, position) << i;
    }
    return mask;
}

/* Compares rows of a list by their int8 codes. */
static cairn_status compare(struct search *search, const struct crn_ivf_list *list, const uint32_t *chosen,
                            size_t count, cairn_error *err)
{
    const struct crn_scalar_rows rows = {
        .codes = list->fine, .scale = list->fine_scale, .norm2 = list->fine_norm2};
    float distances[CHUNK];

    crn_scalar_gather(&search->fine, &rows, chosen, count, distances);
    for (size_t i = 0; i < count; i++) {
        const uint32_t position = list->positions[chosen[i]];
        if (position >= search->rows->count)
            return crn_error_set(err, CAIRN_CORRUPT, "the ivf index lists a row that is none");
        crn_topk_push(&search->kept, search->fine_add + distances[i], position);
    }
    return CAIRN_OK;
}

static cairn_status scan_rows(struct search *search, const struct crn_ivf_list *list, cairn_error *err)
{
    const struct crn_binary_rows rows = {.blocks = list->blocks, .add = list->add, .scale = list->scale};
    float bounds[CHUNK];
    uint32_t masks[CHUNK / CRN_WITHIN], chosen[CHUNK];

    for (size_t begin = 0; begin < list->count; begin += CHUNK) {
        const size_t left = list->count - begin, count = left < CHUNK ? left : CHUNK;
        const size_t groups = (count + CRN_WITHIN - 1) / CRN_WITHIN;
        size_t chosen_count = 0;
        uint32_t any = 0;

        for (size_t g = 0; g < groups; g++)
            any |= masks[g] = allowed_rows(search, list, begin + g * CRN_WITHIN);
        if (any == 0) continue;
        crn_binary_block(&search->blocks, &rows, begin, groups * CRN_WITHIN, bounds);
        for (size_t g = 0; g < groups; g++) {
            uint32_t mask =
                masks[g] & crn_kernels_get()->within(bounds + g * CRN_WITHIN, crn_topk_limit(&search->kept));
            for (; mask != 0; mask &= mask - 1) {
                chosen[chosen_count++] = (uint32_t)(begin + g * CRN_WITHIN) + (uint32_t)__builtin_ctz(mask);
            }
        }
        CRN_TRY(compare(search, list, chosen, chosen_count, err));
    }
    return CAIRN_OK;
}

static cairn_status scan_list(struct search *search, uint32_t l, cairn_error *err)
{
    const struct crn_ivf_opened *opened = search->opened;
    const uint8_t *bytes = opened->bytes + opened->offsets[l];
    struct crn_ivf_list list;

    if (opened->starts[l + 1] == opened->starts[l]) return CAIRN_OK;
    CRN_TRY(
        crn_derived_verify(opened->file, bytes, (size_t)(opened->offsets[l + 1] - opened->offsets[l]), err));
    crn_ivf_list_at(&opened->frame, opened->starts[l + 1] - opened->starts[l], (void *)(uintptr_t)bytes,
                    &list);
    enter_list(search, l);
    return scan_rows(search, &list, err);
}

static cairn_status scan_lists(struct search *search, cairn_error *err)
{
    const struct crn_index_query *query = search->query;
    const size_t enough = query->k < query->allowed ? query->k : query->allowed,
                 lists = search->opened->lists;
    const size_t probes = probes_of(search);
    size_t ordered = order_lists(search, probes);

    for (size_t i = 0; i < lists && (i < probes || search->kept.count < enough); i++) {
        if (i == ordered && ordered < lists) ordered = order_lists(search, lists);
        if (i >= ordered) break; /* centroids without a distance */
        CRN_TRY(scan_list(search, (uint32_t)search->order[i].label, err));
    }
    return CAIRN_OK;
}

/* ---- vectors ---- */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The positions whose vectors may be among the k nearest, ascending, each once. */
static size_t choose_vectors(struct search *search, uint32_t *positions)
{
    const struct crn_ivf_calibration *calibration = &search->opened->calibration;
    const float error = calibration->queries == 0 ? ERROR_UNMEASURED : calibration->error;
    const size_t k = search->query->k;
    struct crn_hit *hits = search->kept.hits;
    size_t count = search->kept.count, kept = 0;

    crn_topk_sort(&search->kept);
    if (count > k) {
        const float last = hits[k - 1].distance;
        const float limit =
            last + ERRORS_ALLOWED * error * crn_ivf_error_unit(search->rows->op, search->norm2, last);
        while (count > k && !(hits[count - 1].distance <= limit)) count--;
    }
    for (size_t i = 0; i < count; i++) positions[i] = (uint32_t)hits[i].label;
    qsort(positions, count, sizeof *positions, ascending);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || positions[kept - 1] != positions[i]) positions[kept++] = positions[i];
    }
    return kept;
}

static cairn_status rescore(struct search *search, uint32_t *positions, struct crn_topk *top,
                            cairn_error *err)
{
    const struct crn_index_rows *rows = search->rows;
    const size_t count = choose_vectors(search, positions), bytes = rows->dim * sizeof(float);
    float distances[CHUNK];

    for (size_t i = 0; rows->file != NULL && i < count; i++) {
        crn_derived_will_need(rows->file, rows->vectors + (size_t)positions[i] * rows->dim, bytes);
    }
    for (size_t begin = 0; begin < count; begin += CHUNK) {
        const size_t some = count - begin < CHUNK ? count - begin : CHUNK;
        for (size_t i = begin; rows->file != NULL && i < begin + some; i++) {
            CRN_TRY(
                crn_derived_verify(rows->file, rows->vectors + (size_t)positions[i] * rows->dim, bytes, err));
        }
        crn_kernels_get()->f32_gather[rows->op](search->query->vector, rows->vectors, rows->dim,
                                                positions + begin, some, distances);
        for (size_t i = 0; i < some; i++) crn_topk_push(top, distances[i], positions[begin + i]);
    }
    return CAIRN_OK;
}

cairn_status crn_ivf_search(const struct crn_ivf_opened *opened, const struct crn_index_rows *rows,
                            const struct crn_index_query *query, struct crn_ivf_scratch *scratch,
                            struct crn_topk *top, cairn_error *err)
{
    struct search search = {.opened = opened, .rows = rows, .query = query};

    if (query->k == 0 || query->allowed == 0) return CAIRN_OK;
    CRN_TRY(reserve(scratch, sizes_of(opened, rows->dim).all, kept_for(query, rows->count), err));
    prepare(&search, scratch);
    CRN_TRY(scan_lists(&search, err));
    return rescore(&search, scratch->positions, top, err);
}
