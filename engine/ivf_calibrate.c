/*
 * Measuring, while an ivf index is built, how many lists give what recall: for rows taken as queries, the
 * lists that hold their true nearest neighbours, themselves left out, are looked up in the order in which a
 * search would read the lists. The rows are read once: all queries are compared with a block of them before
 * the next one.
 *
 * What codes lose besides is little (a search's limit leaves four standard deviations) and is not measured.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "quant/flat_scan.h"
#include "quant/vector.h"

#include <math.h>

#define QUERIES 128u
#define QUERIES_OF 1024u /* with fewer rows nothing is measured */
#define MEASURED_K 10u
#define SLICE 16u                /* queries that a thread takes at a time */
#define BLOCK_BYTES (256u << 10) /* of rows that are compared with a slice */
#define STEP_BYTES (64u << 20)   /* of rows between two questions whether to stop */

static const uint32_t probes[CRN_IVF_PROBES] = {1,  2,  4,  6,  8,   12,  16,  24,
                                                32, 48, 64, 96, 128, 256, 512, 1024};

struct measure {
    const struct crn_ivf_build *build;
    float *distances;  /* [threads][lists] */
    float *decoded;    /* [threads][2 * dim] */
    int8_t *codes;     /* [threads][dim] */
    size_t begin, end; /* the rows of a step */
    uint32_t queries[QUERIES];
    struct crn_hit hits[QUERIES][MEASURED_K + 1];
    struct crn_topk tops[QUERIES];
    uint32_t ranks[QUERIES][MEASURED_K];
    uint32_t found[QUERIES];
    double errors2[QUERIES];
};

/* The place of a list in the order of a search. */
static uint32_t rank_of(const float *distances, uint32_t lists, uint32_t list)
{
    uint32_t rank = 0;

    for (uint32_t l = 0; l < lists; l++) rank += distances[l] < distances[list];
    return rank;
}

/* How far the distance to a row's int8 code is off the true one. */
static double code_error(const struct measure *measure, unsigned worker, const float *query,
                         uint32_t position, float raw)
{
    const struct crn_ivf_build *build = measure->build;
    const uint32_t dim = build->rows->dim;
    const float *row = build->rows->vectors + (size_t)position * dim, *mean = build->frame.binary.centroid;
    float *centred = measure->decoded + (size_t)worker * 2 * dim, *decoded = centred + dim, scale, norm2,
          distance;
    int8_t *codes = measure->codes + (size_t)worker * dim;

    for (uint32_t d = 0; d < dim; d++) centred[d] = row[d] - mean[d];
    crn_scalar_encode(centred, dim, codes, &scale, &norm2);
    for (uint32_t d = 0; d < dim; d++) decoded[d] = mean[d] + scale * (float)codes[d];
    crn_kernels_get()->f32_block[build->rows->op](query, decoded, dim, 1, &distance);
    const float unit = crn_ivf_error_unit(build->rows->op, (float)crn_vector_norm2(query, dim), raw);
    return unit > 0 ? (distance - raw) / unit : 0;
}

static const float *query_of(const struct measure *measure, size_t i)
{
    return measure->build->rows->vectors + (size_t)measure->queries[i] * measure->build->rows->dim;
}

/* Compares a slice of the queries with the rows of a step. */
static void compare_queries(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct measure *measure = ctx;
    const struct crn_index_rows *rows = measure->build->rows;
    const size_t block = BLOCK_BYTES / (rows->dim * sizeof(float)) + 1;

    (void)worker;
    for (size_t at = measure->begin; at < measure->end; at += block) {
        const size_t count = measure->end - at < block ? measure->end - at : block;

        for (size_t i = begin; i < end; i++) {
            crn_flat_scan_f32(rows->op, query_of(measure, i), rows->vectors + at * rows->dim, rows->dim,
                              count, at, NULL, &measure->tops[i]);
        }
    }
}

/* The lists of a query's neighbours. */
static void rank_query(struct measure *measure, size_t i, unsigned worker)
{
    const struct crn_ivf_build *build = measure->build;
    const struct crn_index_rows *rows = build->rows;
    const float *query = query_of(measure, i);
    float *distances = measure->distances + (size_t)worker * build->lists;
    const struct crn_topk *top = &measure->tops[i];

    crn_topk_sort(&measure->tops[i]);
    crn_kernels_get()->f32_block[rows->op](query, build->centroids, rows->dim, build->lists, distances);
    for (size_t h = 0; h < top->count && measure->found[i] < MEASURED_K; h++) {
        const uint32_t position = (uint32_t)top->hits[h].label;
        if (position == measure->queries[i]) continue;
        const double error = code_error(measure, worker, query, position, top->hits[h].distance);
        measure->errors2[i] += error * error;
        measure->ranks[i][measure->found[i]++] = rank_of(distances, build->lists, build->assigned[position]);
    }
}

static void rank_queries(void *ctx, size_t begin, size_t end, unsigned worker)
{
    for (size_t i = begin; i < end; i++) rank_query(ctx, i, worker);
}

static void summarize(const struct measure *measure, struct crn_ivf_calibration *out)
{
    double found = 0, errors2 = 0, within;

    for (size_t i = 0; i < QUERIES; i++) {
        found += measure->found[i];
        errors2 += measure->errors2[i];
    }
    for (uint32_t p = 0; p < CRN_IVF_PROBES; p++) {
        within = 0;
        for (size_t i = 0; i < QUERIES; i++) {
            for (uint32_t r = 0; r < measure->found[i]; r++) within += measure->ranks[i][r] < probes[p];
        }
        out->probes[p] = probes[p];
        out->recalls[p] = (float)(within / found);
    }
    out->queries = QUERIES;
    out->error = (float)sqrt(errors2 / found);
    if (!isfinite(out->error)) out->queries = 0; /* vectors beyond the range of float */
}

static cairn_status run(struct measure *measure, cairn_error *err)
{
    const struct crn_ivf_build *build = measure->build;
    struct crn_rng rng;

    crn_rng_init(&rng, build->rows->count);
    for (size_t i = 0; i < QUERIES; i++) {
        measure->queries[i] = (uint32_t)crn_rng_below(&rng, build->rows->count);
        crn_topk_init(&measure->tops[i], measure->hits[i], MEASURED_K + 1);
    }
    const size_t step = STEP_BYTES / (build->rows->dim * sizeof(float)) + 1;
    for (; measure->begin < build->rows->count; measure->begin = measure->end) {
        const size_t left = build->rows->count - measure->begin;
        CRN_TRY(crn_ivf_check_cancelled(build, err));
        measure->end = measure->begin + (left < step ? left : step);
        crn_parallel_for(build->threads, QUERIES, SLICE, compare_queries, measure);
    }
    CRN_TRY(crn_ivf_check_cancelled(build, err));
    crn_parallel_for(build->threads, QUERIES, 1, rank_queries, measure);
    return CAIRN_OK;
}

cairn_status crn_ivf_calibrate(struct crn_ivf_build *build, cairn_error *err)
{
    const size_t dim = build->rows->dim;
    struct measure *measure;
    cairn_status status;

    if (build->rows->count < QUERIES_OF) return CAIRN_OK;
    measure = crn_mem_calloc(1, sizeof *measure);
    if (measure == NULL) return crn_error_no_memory(err, sizeof *measure);
    measure->build = build;
    measure->distances = crn_mem_array(build->threads, build->lists * sizeof *measure->distances);
    measure->decoded = crn_mem_array(build->threads, 2 * dim * sizeof *measure->decoded);
    measure->codes = crn_mem_array(build->threads, dim);
    if (measure->distances == NULL || measure->decoded == NULL || measure->codes == NULL) {
        status = crn_error_no_memory(err, build->threads * (build->lists + 2 * dim) * sizeof(float));
    } else {
        status = run(measure, err);
        if (status == CAIRN_OK) summarize(measure, &build->calibration);
    }
    crn_mem_free(measure->distances);
    crn_mem_free(measure->decoded);
    crn_mem_free(measure->codes);
    crn_mem_free(measure);
    return status;
}
