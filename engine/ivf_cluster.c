/*
 * Clustering an ivf index's rows: k-means by Lloyd's iteration, in which the nearest centroid is one found by
 * codes (ivf_coarse.h). With 10,000 centroids of 96 dimensions that takes a fifth of what the products of all
 * rows and centroids take a BLAS.
 *
 * The same rows give the same centroids for any number of threads: rows are assigned in parallel and added up
 * in their order.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "quant/vector.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ITERATIONS 8u
#define ITERATIONS_ROUGH 3u
#define SEED 1234
#define ASSIGN_ROWS 16384u /* between two questions whether to stop */
#define GRAIN 256u         /* rows that a thread takes at a time */

struct crn_ivf_clusters {
    const struct crn_ivf_build *build;
    struct crn_ivf_coarse coarse;
    struct crn_ivf_groups groups;
    size_t worker_bytes; /* a prepared query, then hits */
    size_t query_bytes;
    char *scratch; /* [threads][worker_bytes] */
    float *floats; /* [2 * padded] */
    const float *rows;
    uint32_t *out;
};

static cairn_status check_range(const float *sample, size_t count, uint32_t dim, cairn_error *err)
{
    const float most = sqrtf(FLT_MAX / (8 * (float)dim));

    for (size_t i = 0; i < count; i++) {
        const float max = crn_vector_max_abs(sample + i * dim, dim);
        if (max <= most) continue;
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "index ivf: elements of vectors must be within +-%g, there is %g", (double)most,
                             (double)max);
    }
    return CAIRN_OK;
}

/* ---- assigning ---- */

/* The nearest centroid of a row, among those of the nearest groups. */
static uint32_t find_in_groups(const struct crn_ivf_clusters *clusters, const float *row,
                               const struct crn_ivf_coarse_query *query, struct crn_hit *hits)
{
    struct crn_ivf_range ranges[CRN_IVF_GROUPS_MAX + 1];
    const size_t found = crn_ivf_groups_find(&clusters->groups, row, ranges);

    return crn_ivf_coarse_nearest(&clusters->coarse, query, ranges, found, hits);
}

static uint32_t find_among_all(const struct crn_ivf_clusters *clusters,
                               const struct crn_ivf_coarse_query *query, struct crn_hit *hits)
{
    const size_t found = crn_ivf_coarse_find(&clusters->coarse, query, 1, hits);

    return found == 0 ? 0 : (uint32_t)hits[0].label; /* none: all distances overflow */
}

static void assign_rows(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct crn_ivf_clusters *clusters = ctx;
    const size_t dim = clusters->coarse.binary.dim;
    char *memory = clusters->scratch + worker * clusters->worker_bytes;
    struct crn_hit *hits = (struct crn_hit *)(void *)(memory + clusters->query_bytes);

    for (size_t i = begin; i < end; i++) {
        struct crn_ivf_coarse_query query;

        crn_ivf_coarse_prepare(&clusters->coarse.binary, clusters->rows + i * dim, memory, &query);
        clusters->out[i] = clusters->groups.count == 0
                               ? find_among_all(clusters, &query, hits)
                               : find_in_groups(clusters, clusters->rows + i * dim, &query, hits);
    }
}

cairn_status crn_ivf_assign(struct crn_ivf_clusters *clusters, const float *rows, size_t count, uint32_t *out,
                            cairn_error *err)
{
    const struct crn_ivf_build *build = clusters->build;

    for (size_t begin = 0; begin < count; begin += ASSIGN_ROWS) {
        CRN_TRY(crn_ivf_check_cancelled(build, err));
        clusters->rows = rows + begin * build->rows->dim;
        clusters->out = out + begin;
        crn_parallel_for(build->threads, count - begin < ASSIGN_ROWS ? count - begin : ASSIGN_ROWS, GRAIN,
                         assign_rows, clusters);
    }
    return CAIRN_OK;
}

/* ---- training ---- */

/* An empty list's centroid is put at a row, most likely one of a long list. */
static void move_centroids(const struct crn_ivf_build *build, const float *sample, size_t count,
                           const uint32_t *nearest, uint32_t *sizes, double *sums, struct crn_rng *rng)
{
    const size_t dim = build->rows->dim;

    memset(sizes, 0, build->lists * sizeof *sizes);
    memset(sums, 0, build->lists * dim * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        double *sum = sums + nearest[i] * dim;

        sizes[nearest[i]]++;
        for (size_t d = 0; d < dim; d++) sum[d] += sample[i * dim + d];
    }
    for (uint32_t l = 0; l < build->lists; l++) {
        float *centroid = build->centroids + l * dim;

        if (sizes[l] == 0) {
            memcpy(centroid, sample + crn_rng_below(rng, count) * dim, dim * sizeof *centroid);
            continue;
        }
        for (size_t d = 0; d < dim; d++) centroid[d] = (float)(sums[l * dim + d] / sizes[l]);
    }
}

/* `lists` of the sample's rows, each once: the sample is in the order of the rows, so one of each stretch. */
static void choose_first(const struct crn_ivf_build *build, const float *sample, size_t count,
                         struct crn_rng *rng)
{
    const size_t dim = build->rows->dim;

    for (size_t l = 0; l < build->lists; l++) {
        const size_t begin = count * l / build->lists, end = count * (l + 1) / build->lists;
        const size_t row = begin + crn_rng_below(rng, end - begin);
        memcpy(build->centroids + l * dim, sample + row * dim, dim * sizeof *sample);
    }
}

/* Makes the centroids those that rows are assigned to, in another order where they are grouped. */
static void take_centroids(struct crn_ivf_clusters *clusters)
{
    crn_ivf_groups_make(&clusters->groups, clusters->build->centroids);
    crn_ivf_coarse_encode(&clusters->coarse, clusters->build->centroids, clusters->floats);
}

static cairn_status iterate(struct crn_ivf_clusters *clusters, const float *sample, size_t count,
                            uint32_t *nearest, uint32_t *sizes, double *sums, cairn_error *err)
{
    const struct crn_ivf_build *build = clusters->build;
    struct crn_rng rng;

    crn_rng_init(&rng, SEED);
    choose_first(build, sample, count, &rng);
    const unsigned iterations = build->rough ? ITERATIONS_ROUGH : ITERATIONS;
    for (unsigned i = 0; i < iterations; i++) {
        take_centroids(clusters);
        CRN_TRY(crn_ivf_assign(clusters, sample, count, nearest, err));
        move_centroids(build, sample, count, nearest, sizes, sums, &rng);
    }
    take_centroids(clusters);
    return CAIRN_OK;
}

static cairn_status train(struct crn_ivf_clusters *clusters, const float *sample, size_t count,
                          cairn_error *err)
{
    const struct crn_ivf_build *build = clusters->build;
    const size_t sums_count = (size_t)build->lists * build->rows->dim;
    uint32_t *nearest = crn_mem_array(count, sizeof *nearest);
    uint32_t *sizes = crn_mem_array(build->lists, sizeof *sizes);
    double *sums = crn_mem_array(sums_count, sizeof *sums);
    cairn_status status;

    if (nearest == NULL || sizes == NULL || sums == NULL) {
        status = crn_error_no_memory(err, count * sizeof *nearest + sums_count * sizeof *sums);
    } else {
        status = iterate(clusters, sample, count, nearest, sizes, sums, err);
    }
    crn_mem_free(nearest);
    crn_mem_free(sizes);
    crn_mem_free(sums);
    return status;
}

static cairn_status prepare(struct crn_ivf_clusters *clusters, cairn_error *err)
{
    const struct crn_ivf_build *build = clusters->build;
    struct crn_binary binary = build->frame.binary;
    const size_t hits = crn_ivf_coarse_hits(build->lists, 1) * sizeof(struct crn_hit);

    binary.op = CRN_OP_L2;
    CRN_TRY(crn_ivf_coarse_init(&clusters->coarse, &binary, build->lists, err));
    CRN_TRY(crn_ivf_groups_init(&clusters->groups, build->lists, build->rows->dim, build->threads, err));
    clusters->query_bytes = crn_ivf_coarse_query_bytes(&binary);
    clusters->worker_bytes = clusters->query_bytes + (hits + 63) / 64 * 64;
    clusters->scratch = crn_mem_aligned(build->threads * clusters->worker_bytes);
    clusters->floats = crn_mem_aligned(2 * binary.padded * sizeof *clusters->floats);
    if (clusters->scratch != NULL && clusters->floats != NULL) return CAIRN_OK;
    return crn_error_no_memory(err, build->threads * clusters->worker_bytes);
}

cairn_status crn_ivf_cluster(const struct crn_ivf_build *build, const float *sample, size_t count,
                             struct crn_ivf_clusters **out_clusters, cairn_error *err)
{
    CRN_TRY(check_range(sample, count, build->rows->dim, err));
    struct crn_ivf_clusters *clusters = crn_mem_calloc(1, sizeof *clusters);
    if (clusters == NULL) return crn_error_no_memory(err, sizeof *clusters);
    clusters->build = build;
    cairn_status status = prepare(clusters, err);
    if (status == CAIRN_OK) status = train(clusters, sample, count, err);
    if (status != CAIRN_OK) {
        crn_ivf_clusters_free(clusters);
        return status;
    }
    *out_clusters = clusters;
    return CAIRN_OK;
}

void crn_ivf_clusters_free(struct crn_ivf_clusters *clusters)
{
    if (clusters == NULL) return;
    crn_ivf_coarse_release(&clusters->coarse);
    crn_ivf_groups_release(&clusters->groups);
    crn_mem_free(clusters->scratch);
    crn_mem_free(clusters->floats);
    crn_mem_free(clusters);
}
