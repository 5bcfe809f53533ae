#include "engine/quantized_scan.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/bits.h"
#include "quant/lookup.h"

#define PIECE_BYTES (4u << 20)  /* scanned between two looks at the clock */
#define CACHED_BYTES (8u << 20) /* of codes, that are likely to be in a cache: asking ahead costs 5 % there */
#define CHUNK_LEAST 32u         /* candidates compared before it is asked whether more need be */
#define RESCORED 64u            /* compared at a time */
#define PREFETCH_BYTES 4096u    /* of each of them */
#define SPARE 4u                /* candidates held for each that is wanted: choosing seldom is cheaper */

static cairn_status scan_codes(const struct crn_segment *segment, const struct crn_quantized_query *query,
                               const void *prepared, struct crn_sieve *candidates, cairn_error *err)
{
    const struct crn_codec *codec = segment->codec;
    const size_t unit_bytes = codec->unit_bytes(segment->dim);
    const size_t ahead = unit_bytes / codec->unit_rows * segment->count > CACHED_BYTES ? CRN_LOOKUP_AHEAD : 0;
    /* A multiple of 64, so that a piece's bits begin a word. */
    const size_t step = PIECE_BYTES / crn_codec_row_bytes(codec, segment->dim) / 64 * 64 + 64;

    for (size_t begin = 0; begin < segment->count; begin += step) {
        const size_t count = segment->count - begin < step ? segment->count - begin : step;
        const uint64_t *allow = query->allow == NULL ? NULL : query->allow + begin / 64;
        struct crn_codec_scan scan = {.state = segment->codec_state,
                                      .query = prepared,
                                      .codes = segment->codes + begin / codec->unit_rows * unit_bytes,
                                      .ahead = ahead};
        const struct crn_scan_codes codes = {.ctx = &scan, .within = codec->within, .gather = codec->gather};

        if (allow != NULL && crn_bits_count(allow, crn_bits_words(count)) == 0) continue;
        if (query->deadline_ns != 0 && crn_clock_ns() >= query->deadline_ns)
            return crn_error_set(err, CAIRN_TIMEOUT, "the search did not end within its time");
        /* Readable to the end of a unit: sections begin pages, and what follows them is the file's. */
        for (uint32_t f = 0; f < codec->factor_count; f++) scan.factors[f] = segment->factors[f] + begin;
        CRN_TRY(
            crn_derived_verify(segment->file, scan.codes, crn_codec_bytes(codec, segment->dim, count), err));
        crn_flat_scan_codes(&codes, count, (uint32_t)begin, allow, candidates);
    }
    return CAIRN_OK;
}

/* Candidates lie far apart: all are asked for before the first is compared. */
static void ask_for(const struct crn_segment *segment, const uint32_t *positions, size_t count)
{
    const size_t row_bytes = segment->dim * sizeof(float);

    for (size_t i = 0; i < count; i++) {
        const char *row = (const char *)(segment->vectors + (size_t)positions[i] * segment->dim);

        for (size_t at = 0; at < row_bytes && at < PREFETCH_BYTES; at += 64)
            __builtin_prefetch(row + at, 0, 2);
    }
}

static cairn_status rescore(const struct crn_segment *segment, const struct crn_quantized_query *query,
                            const uint32_t *positions, size_t count, struct crn_topk *top, cairn_error *err)
{
    for (size_t begin = 0; begin < count; begin += RESCORED) {
        const size_t some = count - begin < RESCORED ? count - begin : RESCORED;

        ask_for(segment, positions + begin, some);
        for (size_t i = begin; i < begin + some; i++) {
            CRN_TRY(crn_derived_verify(segment->file, segment->vectors + (size_t)positions[i] * segment->dim,
                                       segment->dim * sizeof(float), err));
        }
        crn_flat_scan_f32_at(query->op, query->vector, segment->vectors, segment->dim, positions + begin,
                             some, query->base, top);
    }
    return CAIRN_OK;
}

/* The best first, until none of the others can be among the nearest, where the codec tells. */
static cairn_status rescore_best(const struct crn_segment *segment, const struct crn_quantized_query *query,
                                 struct crn_sieve *candidates, struct crn_topk *top, cairn_error *err)
{
    const size_t chunk = query->k > CHUNK_LEAST ? query->k : CHUNK_LEAST;

    crn_sieve_shrink(candidates);
    if (!segment->codec->gives_bounds)
        return rescore(segment, query, candidates->labels, candidates->count, top, err);
    for (size_t begin = 0; begin < candidates->count; begin += chunk) {
        const size_t left = candidates->count - begin, some = left < chunk ? left : chunk;
        const float least =
            crn_sieve_split(candidates->distances + begin, candidates->labels + begin, left, some);

        CRN_TRY(rescore(segment, query, candidates->labels + begin, some, top, err));
        if (least > crn_topk_limit(top)) break;
    }
    return CAIRN_OK;
}

cairn_status crn_quantized_scan(const struct crn_segment *segment, const struct crn_quantized_query *query,
                                struct crn_topk *top, cairn_error *err)
{
    const struct crn_codec *codec = segment->codec;
    const double factor = query->oversampling > 0 ? query->oversampling : codec->oversampling;
    const double wanted = (double)query->k * (factor < 1 ? 1 : factor);
    const size_t most = wanted < (double)segment->count ? (size_t)wanted + 1 : segment->count;
    const size_t capacity = most * SPARE < segment->count ? most * SPARE : segment->count + 1;
    const size_t query_bytes = crn_codec_padded(codec->query_bytes(segment->dim));
    const size_t bytes = query_bytes + capacity * (sizeof(float) + sizeof(uint32_t));
    char *memory = crn_mem_aligned(bytes);
    struct crn_sieve candidates;

    if (memory == NULL) return crn_error_no_memory(err, bytes);
    float *distances = (float *)(void *)(memory + query_bytes);
    crn_sieve_init(&candidates, distances, (uint32_t *)(void *)(distances + capacity), most, capacity);
    codec->prepare(segment->codec_state, query->vector, memory);
    cairn_status status = scan_codes(segment, query, memory, &candidates, err);
    if (status == CAIRN_OK) status = rescore_best(segment, query, &candidates, top, err);
    crn_mem_free(memory);
    return status;
}
