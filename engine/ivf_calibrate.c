/*
 * Measuring, while an ivf index is built, how many lists give what recall: for rows taken as queries, the
 * lists that hold their true nearest neighbours, themselves left out, are looked up in the order in which a
 * search would read the lists.
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
#define SLICE 16u /* queries between two questions whether to stop */

static const uint32_t probes[CRN_IVF_PROBES] = {1,  2,  4,  6,  8,   12,  16,  24,
                                                32, 48, 64, 96, 128, 256, 512, 1024};

struct measure {
    const struct crn_ivf_build *build;
    float *distances; /* [threads][lists] */
    float *decoded;   /* [threads][2 * dim] */
    int8_t *codes;    /* [threads][dim] */
    size_t begin;     /* of the slice */
    uint32_t queries[QUERIES];
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

static void measure_query(struct measure *measure, size_t i, unsigned worker)
{
    const struct crn_ivf_build *build = measure->build;
    const struct crn_index_rows *rows = build->rows;
    const float *query = rows->vectors + (size_t)measure->queries[i] * rows->dim;
    float *distances = measure->distances + (size_t)worker * build->lists;
    struct crn_hit hits[MEASURED_K + 1];
    struct crn_topk top;

    crn_kernels_get()->f32_block[rows->op](query, build->centroids, rows->dim, build->lists, distances);
    crn_topk_init(&top, hits, MEASURED_K + 1);
    crn_flat_scan_f32(rows->op, query, rows->vectors, rows->dim, rows->count, 0, NULL, &top);
    crn_topk_sort(&top);
    for (size_t h = 0; h < top.count && measure->found[i] < MEASURED_K; h++) {
        const uint32_t position = (uint32_t)hits[h].label;
        if (position == measure->queries[i]) continue;
        const double error = code_error(measure, worker, query, position, hits[h].distance);
        measure->errors2[i] += error * error;
        measure->ranks[i][measure->found[i]++] = rank_of(distances, build->lists, build->assigned[position]);
    }
}

static void measure_queries(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct measure *measure = ctx;

    for (size_t i = begin; i < end; i++) measure_query(measure, measure->begin + i, worker);
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
    for (size_t i = 0; i < QUERIES; i++)
        measure->queries[i] = (uint32_t)crn_rng_below(&rng, build->rows->count);
    for (measure->begin = 0; measure->begin < QUERIES; measure->begin += SLICE) {
        CRN_TRY(crn_ivf_check_cancelled(build, err));
        crn_parallel_for(build->threads, SLICE, 1, measure_queries, measure);
    }
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
