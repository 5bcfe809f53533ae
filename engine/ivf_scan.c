/*
 * Scanning the lists of an ivf index (ivf.h).
 *
 * Of each list the block codes give lower bounds of distances; rows whose bound is below the limit are
 * compared by their int8 codes. The limit is what the k-th best of these allows, int8 codes being off by
 * ERRORS_ALLOWED deviations, so that few rows are compared and kept. Memory is slower than all of this:
 * blocks of the next list are asked for before those of this one are scanned, and a chunk's int8 codes before
 * the next chunk is.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "engine/bits.h"

#include <math.h>

#define CHUNK CRN_IVF_CHUNK
#define ERROR_UNMEASURED 0.005f
#define ERRORS_ALLOWED 4.0f /* standard deviations by which int8 codes may be off */
#define LISTS_AHEAD 2u      /* whose blocks are asked for before a list is scanned */
#define AHEAD_BYTES 8192u   /* of a list's blocks that are asked for */
#define CODE_BYTES 512u     /* of a row's int8 codes; the rest follows by the processor's own prefetching */

/* By which the block codes' estimates may be off, by |q - c|. */
#define BOUND (CRN_BINARY_SURE * CRN_BINARY_DEVIATION)

float crn_ivf_limit(const struct crn_ivf_scan *scan)
{
    const struct crn_ivf_calibration *calibration = &scan->opened->calibration;
    const float error = calibration->queries == 0 ? ERROR_UNMEASURED : calibration->error;
    const float last = crn_topk_limit(&scan->nearest);

    if (!(last < INFINITY)) return INFINITY; /* there are not k yet */
    return last + ERRORS_ALLOWED * error * crn_ivf_error_unit(scan->rows->op, scan->norm2, last);
}

/* ---- int8 codes ---- */

/* Compares the pending rows. */
static cairn_status compare(struct crn_ivf_scan *scan, cairn_error *err)
{
    struct crn_ivf_pending *pending = scan->pending;
    const struct crn_ivf_list *list = &pending->list;
    const struct crn_scalar_rows rows = {
        .codes = list->fine, .scale = list->fine_scale, .norm2 = list->fine_norm2};
    float distances[CHUNK];

    crn_scalar_gather(&scan->prepared.fine, &rows, pending->chosen, pending->count, distances);
    for (uint32_t i = 0; i < pending->count; i++) {
        const float distance = scan->prepared.fine_add + distances[i];

        if (!(distance <= scan->limit)) continue;
        const uint32_t position = list->positions[pending->chosen[i]];
        if (position >= scan->rows->count)
            return crn_error_set(err, CAIRN_CORRUPT, "the ivf index lists a row that is none");
        crn_sieve_push(&scan->kept, distance, position);
        if (!(distance <= crn_topk_limit(&scan->nearest))) continue;
        crn_topk_push(&scan->nearest, distance, position);
        if (scan->nearest.count < scan->nearest.k) continue;
        scan->limit = crn_ivf_limit(scan);
    }
    if (scan->kept.limit < scan->limit) scan->limit = scan->kept.limit;
    pending->count = 0;
    return CAIRN_OK;
}

static void ask_for(const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)data + at, 0, 2);
}

/* The rows of a chunk that are to be compared, from then on. */
static void hold(struct crn_ivf_scan *scan, const struct crn_ivf_list *list, const uint32_t *chosen,
                 uint32_t count)
{
    const size_t dim = scan->rows->dim;
    struct crn_ivf_pending *pending = scan->pending;

    pending->list = *list;
    pending->count = count;
    for (uint32_t i = 0; i < count; i++) {
        pending->chosen[i] = chosen[i];
        __builtin_prefetch(list->fine_scale + chosen[i], 0, 2);
        if (scan->rows->op != CRN_OP_DOT) __builtin_prefetch(list->fine_norm2 + chosen[i], 0, 2);
        __builtin_prefetch(list->positions + chosen[i], 0, 2);
        ask_for(list->fine + chosen[i] * dim, dim < CODE_BYTES ? dim : CODE_BYTES);
    }
}

/* ---- block codes ---- */

/* Bit i: row begin + i is there and allowed. */
static uint32_t allowed_rows(const struct crn_ivf_scan *scan, const struct crn_ivf_list *list, size_t begin)
{
    uint32_t mask = 0;

    for (size_t i = begin; i < list->count && i < begin + CRN_LOOKUP_ROWS; i++) {
        const uint32_t position = list->positions[i];
        if (position < scan->rows->count)
            mask |= (uint32_t)crn_bits_get(scan->query->allow, position) << (i - begin);
    }
    return mask;
}

/* The rows begin..begin + count - 1 whose bounds are below the limit. */
static uint32_t choose(struct crn_ivf_scan *scan, const struct crn_ivf_list *list, size_t begin, size_t count,
                       uint32_t chosen[CHUNK])
{
    const struct crn_binary_rows rows = {.blocks = list->blocks, .add = list->add, .scale = list->scale};
    const size_t ahead = list->count - begin > CHUNK ? CRN_LOOKUP_AHEAD : 0;
    uint32_t masks[CHUNK / CRN_LOOKUP_ROWS], allowed[CHUNK / CRN_LOOKUP_ROWS], any = 0, chosen_count = 0;
    float bounds[CHUNK];

    for (size_t i = 0; scan->query->allow != NULL && i < count; i += CRN_LOOKUP_ROWS)
        any |= allowed[i / CRN_LOOKUP_ROWS] = allowed_rows(scan, list, begin + i);
    if (scan->query->allow != NULL && any == 0) return 0;
    if (!crn_binary_within(&scan->prepared.blocks, &rows, begin, count, scan->limit, ahead, bounds, masks))
        return 0;
    for (size_t i = 0; i < count; i += CRN_LOOKUP_ROWS) {
        uint32_t mask = masks[i / CRN_LOOKUP_ROWS];

        if (scan->query->allow != NULL) mask &= allowed[i / CRN_LOOKUP_ROWS];
        for (; mask != 0; mask &= mask - 1)
            chosen[chosen_count++] = (uint32_t)(begin + i) + (uint32_t)__builtin_ctz(mask);
    }
    return chosen_count;
}

static cairn_status scan_rows(struct crn_ivf_scan *scan, const struct crn_ivf_list *list, cairn_error *err)
{
    uint32_t chosen[CHUNK];

    for (size_t begin = 0; begin < list->count; begin += CHUNK) {
        const size_t left = list->count - begin;
        const uint32_t count = choose(scan, list, begin, left < CHUNK ? left : CHUNK, chosen);

        if (scan->pending->count > 0) CRN_TRY(compare(scan, err));
        if (count > 0) hold(scan, list, chosen, count);
        if (count > 0 && scan->nearest.count < scan->nearest.k) /* no limit yet */
            CRN_TRY(compare(scan, err));
    }
    return CAIRN_OK;
}

/* ---- lists ---- */

/* The constants of a list: its add, and the bound below the estimates of its rows. */
static void enter_list(struct crn_ivf_scan *scan, const struct crn_hit *list)
{
    const float add = scan->prepared.fine_add + list->distance;
    const float away2 = scan->rows->op == CRN_OP_L2
                            ? add
                            : scan->norm2 + scan->opened->centroid_norms2[list->label] + 2 * add;

    scan->prepared.blocks.add = add;
    scan->prepared.blocks.table_base = scan->base + BOUND * sqrtf(away2 > 0 ? away2 : 0);
}

static void ask_for_list(const struct crn_ivf_opened *opened, uint64_t l)
{
    const size_t rows = opened->starts[l + 1] - opened->starts[l];
    const size_t bytes = rows * crn_binary_bytes(opened->frame.binary.dim);

    ask_for(opened->bytes + opened->offsets[l], bytes < AHEAD_BYTES ? bytes : AHEAD_BYTES);
}

cairn_status crn_ivf_scan_lists(struct crn_ivf_scan *scan, const struct crn_hit *lists, size_t count,
                                cairn_error *err)
{
    const struct crn_ivf_opened *opened = scan->opened;

    for (size_t i = 0; i < count && i < LISTS_AHEAD; i++) ask_for_list(opened, lists[i].label);
    for (size_t i = 0; i < count; i++) {
        const uint64_t l = lists[i].label;
        const size_t rows = opened->starts[l + 1] - opened->starts[l];
        const uint8_t *bytes = opened->bytes + opened->offsets[l];
        struct crn_ivf_list list;

        if (i + LISTS_AHEAD < count) ask_for_list(opened, lists[i + LISTS_AHEAD].label);
        if (rows == 0) continue;
        CRN_TRY(crn_derived_verify(opened->file, bytes, (size_t)(opened->offsets[l + 1] - opened->offsets[l]),
                                   err));
        crn_ivf_list_at(&opened->frame, rows, (void *)(uintptr_t)bytes, &list);
        enter_list(scan, &lists[i]);
        CRN_TRY(scan_rows(scan, &list, err));
    }
    return scan->pending->count > 0 ? compare(scan, err) : CAIRN_OK;
}
