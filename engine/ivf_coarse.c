/* The nearest centroids (ivf_coarse.h). */
#include "engine/ivf_coarse.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/sieve.h"
#include "quant/flat_scan.h"

#include <string.h>

#define BESIDES 16u /* centroids compared by int8 besides 1.25 of each that is wanted */
#define SIEVE 8u    /* estimates held for each that is chosen: choosing seldom is cheaper */

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* ---- codes ---- */

cairn_status crn_ivf_coarse_init(struct crn_ivf_coarse *coarse, const struct crn_binary *binary, size_t count,
                                 cairn_error *err)
{
    const size_t blocks = (count + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS;
    const size_t block_bytes = blocks * binary->padded / 32 * CRN_LOOKUP_WORD_BYTES;
    const size_t floats_bytes = blocks * CRN_LOOKUP_ROWS * sizeof(float);

    *coarse = (struct crn_ivf_coarse){.count = count, .binary = *binary};
    coarse->memory_bytes = block_bytes + 4 * floats_bytes + aligned(count * binary->dim);
    coarse->memory = crn_mem_aligned(coarse->memory_bytes);
    if (coarse->memory == NULL) return crn_error_no_memory(err, coarse->memory_bytes);
    char *at = coarse->memory;
    coarse->rows.blocks = (uint8_t *)at;
    coarse->rows.add = (float *)(void *)(at += block_bytes);
    coarse->rows.scale = (float *)(void *)(at += floats_bytes);
    coarse->fine.scale = (float *)(void *)(at += floats_bytes);
    coarse->fine.norm2 = (float *)(void *)(at += floats_bytes);
    coarse->fine.codes = (int8_t *)(at + floats_bytes);
    return CAIRN_OK;
}

void crn_ivf_coarse_release(struct crn_ivf_coarse *coarse)
{
    crn_mem_free(coarse->memory);
    coarse->memory = NULL;
}

void crn_ivf_coarse_encode(struct crn_ivf_coarse *coarse, const float *centroids, float *floats)
{
    const struct crn_binary *binary = &coarse->binary;
    const size_t dim = binary->dim, words = binary->padded / 32;
    uint64_t *signs = (uint64_t *)(void *)(floats + binary->padded);
    /* They point into memory of our own. */
    uint8_t *blocks = (uint8_t *)(uintptr_t)coarse->rows.blocks;
    float *add = (float *)(uintptr_t)coarse->rows.add, *scale = (float *)(uintptr_t)coarse->rows.scale;
    float *fine_scale = (float *)(uintptr_t)coarse->fine.scale;
    float *fine_norm2 = (float *)(uintptr_t)coarse->fine.norm2;
    int8_t *codes = (int8_t *)(uintptr_t)coarse->fine.codes;

    memset(blocks, 0, (size_t)((char *)add - (char *)blocks));
    for (size_t c = 0; c < coarse->count; c++) {
        const float *centroid = centroids + c * dim;
        struct crn_binary_factors factors;

        crn_binary_encode(binary, centroid, 1, floats, signs, &factors);
        crn_lookup_put((const uint8_t *)signs, words, c % CRN_LOOKUP_ROWS,
                       blocks + c / CRN_LOOKUP_ROWS * words * CRN_LOOKUP_WORD_BYTES);
        add[c] = factors.add;
        scale[c] = factors.scale;
        for (size_t d = 0; d < dim; d++) floats[d] = centroid[d] - binary->centroid[d];
        crn_scalar_encode(floats, dim, codes + c * dim, fine_scale + c, fine_norm2 + c);
    }
}

/* ---- queries ---- */

size_t crn_ivf_coarse_query_bytes(const struct crn_binary *binary)
{
    return aligned(crn_binary_query_floats(binary->padded, 0) * sizeof(float)) +
           aligned(binary->dim * sizeof(float)) + aligned(2 * binary->dim);
}

void crn_ivf_coarse_prepare(const struct crn_binary *binary, const float *query, void *memory,
                            struct crn_ivf_coarse_query *out)
{
    const size_t dim = binary->dim;
    char *bytes = memory;
    float *centred =
        (float *)(void *)(bytes + aligned(crn_binary_query_floats(binary->padded, 0) * sizeof(float)));
    int8_t *planes = (int8_t *)((char *)centred + aligned(dim * sizeof(float)));

    crn_binary_query_prepare(binary, query, 0, memory, &out->blocks);
    for (size_t d = 0; d < dim; d++)
        centred[d] = binary->op == CRN_OP_DOT ? query[d] : query[d] - binary->centroid[d];
    crn_scalar_query_prepare(binary->op, centred, dim, planes, &out->fine);
    out->fine_add = binary->op == CRN_OP_DOT ? out->blocks.add : 0; /* -<mean, q> */
}

/* ---- finding ---- */

static size_t compared(size_t count, size_t wanted)
{
    const size_t more = wanted + wanted / 4 + BESIDES;

    return more < count ? more : count;
}

/* Where it saves less than half of the int8 comparisons, estimates are not worth their while. */
static bool compares_all(size_t count, size_t wanted)
{
    return 2 * compared(count, wanted) >= count;
}

/* Centroids that are held at a time. */
static size_t held(size_t count, size_t wanted)
{
    return compares_all(count, wanted) ? count : SIEVE * compared(count, wanted);
}

size_t crn_ivf_coarse_hits(size_t count, size_t wanted)
{
    /* A distance and a number take half a hit. */
    return wanted + (held(count, wanted) + 1) / 2;
}

struct estimate {
    const struct crn_ivf_coarse *coarse;
    const struct crn_ivf_coarse_query *query;
    size_t first; /* centroid of which the scan begins: a multiple of CRN_LOOKUP_ROWS */
};

static bool estimate_within(const void *ctx, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct estimate *estimate = ctx;

    return crn_binary_within(&estimate->query->blocks, &estimate->coarse->rows, estimate->first + begin, n,
                             limit, 0, out, masks);
}

/* The numbers of the centroids to be compared, those that are estimated to be nearest. */
static size_t choose(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                     size_t wanted, float *distances, uint32_t *numbers)
{
    const struct estimate estimate = {.coarse = coarse, .query = query};
    const struct crn_scan_codes codes = {.ctx = &estimate, .within = estimate_within};
    struct crn_sieve sieve;

    if (compares_all(coarse->count, wanted)) {
        for (size_t c = 0; c < coarse->count; c++) numbers[c] = (uint32_t)c;
        return coarse->count;
    }
    crn_sieve_init(&sieve, distances, numbers, compared(coarse->count, wanted), held(coarse->count, wanted));
    crn_flat_scan_codes(&codes, coarse->count, 0, NULL, &sieve);
    crn_sieve_shrink(&sieve);
    return sieve.count;
}

/* Shell's sort, "A high-speed sorting procedure", CACM 1959, with Knuth's steps: few and nearly none moved. */
static void sort(struct crn_hit *hits, size_t count)
{
    size_t step = 1;

    while (step < count / 3) step = 3 * step + 1;
    for (; step > 0; step /= 3) {
        for (size_t i = step; i < count; i++) {
            const struct crn_hit hit = hits[i];
            size_t at = i;

            for (; at >= step && hits[at - step].distance > hit.distance; at -= step)
                hits[at] = hits[at - step];
            hits[at] = hit;
        }
    }
}

size_t crn_ivf_coarse_find(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                           size_t wanted, struct crn_hit *hits)
{
    float *distances = (float *)(void *)(hits + wanted);
    uint32_t *numbers = (uint32_t *)(void *)(distances + held(coarse->count, wanted));
    size_t count = choose(coarse, query, wanted, distances, numbers), finite = 0;

    crn_scalar_gather(&query->fine, &coarse->fine, numbers, count, distances);
    for (size_t i = 0; i < count; i++) { /* NaN is no distance */
        distances[finite] = distances[i];
        numbers[finite] = numbers[i];
        finite += distances[i] == distances[i];
    }
    if (finite > wanted) crn_sieve_choose(distances, numbers, finite, wanted);
    count = finite < wanted ? finite : wanted;
    for (size_t i = 0; i < count; i++) hits[i] = (struct crn_hit){distances[i], numbers[i]};
    sort(hits, count);
    return count;
}

uint32_t crn_ivf_coarse_nearest(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                                const struct crn_ivf_range *ranges, size_t count, struct crn_hit *hits)
{
    const size_t room = held(coarse->count, 1);
    float *distances = (float *)(void *)(hits + 1);
    uint32_t *numbers = (uint32_t *)(void *)(distances + room);
    struct crn_sieve sieve;
    size_t nearest = 0;

    crn_sieve_init(&sieve, distances, numbers, compared(coarse->count, 1), room);
    for (size_t i = 0; i < count; i++) {
        /* Whole blocks: their other centroids are as good as those of the range. */
        const size_t first = ranges[i].begin / CRN_LOOKUP_ROWS * CRN_LOOKUP_ROWS;
        const struct estimate estimate = {.coarse = coarse, .query = query, .first = first};
        const struct crn_scan_codes codes = {.ctx = &estimate, .within = estimate_within};

        crn_flat_scan_codes(&codes, ranges[i].end - first, (uint32_t)first, NULL, &sieve);
        if (i == 0) crn_sieve_shrink(&sieve); /* so that few of the others get in */
    }
    crn_sieve_shrink(&sieve);
    if (sieve.count == 0) return 0;
    crn_scalar_gather(&query->fine, &coarse->fine, numbers, sieve.count, distances);
    for (size_t i = 1; i < sieve.count; i++) {
        if (distances[i] < distances[nearest] || distances[nearest] != distances[nearest]) nearest = i;
    }
    return numbers[nearest];
}
