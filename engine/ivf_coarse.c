/* The nearest centroids (ivf_coarse.h). */
#include "engine/ivf_coarse.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/sieve.h"
#include "quant/flat_scan.h"

#include <string.h>

#define BESIDES 16u /* centroids compared by int8 besides 1.25 of each that is wanted */
#define GATHER 128u /* of them at a time */
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
    const size_t floats_bytes = aligned(count * sizeof(float));

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

size_t crn_ivf_coarse_hits(size_t count, size_t wanted)
{
    return compares_all(count, wanted) ? wanted : wanted + SIEVE * compared(count, wanted);
}

struct estimate {
    const struct crn_ivf_coarse *coarse;
    const struct crn_ivf_coarse_query *query;
};

static void estimate_block(const void *ctx, size_t begin, size_t n, float *out)
{
    const struct estimate *estimate = ctx;

    crn_binary_block(&estimate->query->blocks, &estimate->coarse->rows, begin, n, out);
}

static void compare(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                    const struct crn_hit *chosen, size_t count, struct crn_topk *top)
{
    uint32_t numbers[GATHER];
    float distances[GATHER];

    for (size_t begin = 0; begin < count; begin += GATHER) {
        const size_t some = count - begin < GATHER ? count - begin : GATHER;

        for (size_t i = 0; i < some; i++) numbers[i] = (uint32_t)chosen[begin + i].label;
        crn_scalar_gather(&query->fine, &coarse->fine, numbers, some, distances);
        for (size_t i = 0; i < some; i++) crn_topk_push(top, distances[i], numbers[i]);
    }
}

size_t crn_ivf_coarse_find(const struct crn_ivf_coarse *coarse, const struct crn_ivf_coarse_query *query,
                           size_t wanted, struct crn_hit *hits)
{
    const struct estimate estimate = {coarse, query};
    const struct crn_scan_codes codes = {.ctx = &estimate, .block = estimate_block};
    const size_t some = compared(coarse->count, wanted);
    struct crn_sieve sieve;
    struct crn_topk top;

    crn_topk_init(&top, hits, wanted);
    if (compares_all(coarse->count, wanted)) {
        crn_flat_scan_scalar(&query->fine, &coarse->fine, coarse->count, 0, NULL, &top);
    } else {
        crn_sieve_init(&sieve, hits + wanted, some, SIEVE * some);
        crn_flat_scan_codes(&codes, coarse->count, 0, NULL, &sieve);
        crn_sieve_shrink(&sieve);
        compare(coarse, query, sieve.hits, sieve.count, &top);
    }
    crn_topk_sort(&top);
    return top.count;
}
