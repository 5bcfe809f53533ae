/* The one file that uses BLAS: batches of points against all centers. */
#include "quant/kmeans.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"

#include <cblas.h>

#include <math.h>
#include <string.h>

#define BATCH 1024

struct work {
    const struct crn_kmeans_points *points;
    size_t k;
    float *centers; /* [width][k] */
    float *norms2;  /* [k] */
    float *dots;    /* [k][BATCH] */
    double *sums;   /* [width][k] */
    size_t *counts; /* [k] */
    struct crn_rng rng;
};

static const float *point(const struct work *work, size_t i)
{
    return work->points->values + i * work->points->stride;
}

static void take_point(struct work *work, size_t center)
{
    const float *from = point(work, crn_rng_below(&work->rng, work->points->count));

    for (size_t j = 0; j < work->points->width; j++) work->centers[j * work->k + center] = from[j];
}

/* The nearest center of points begin.., count of them. */
static void assign(const struct work *work, size_t begin, size_t count, uint32_t *out)
{
    const size_t width = work->points->width, k = work->k;
    float best[BATCH];

    cblas_sgemm(CblasRowMajor, CblasTrans, CblasTrans, (int)k, (int)count, (int)width, -2.0f, work->centers,
                (int)k, point(work, begin), (int)work->points->stride, 0.0f, work->dots, BATCH);
    for (size_t i = 0; i < count; i++) {
        best[i] = INFINITY;
        out[i] = 0;
    }
    for (size_t c = 0; c < k; c++) {
        const float norm2 = work->norms2[c], *dots = work->dots + c * BATCH;

        for (size_t i = 0; i < count; i++) {
            const float distance = norm2 + dots[i];

            out[i] = distance < best[i] ? (uint32_t)c : out[i];
            best[i] = distance < best[i] ? distance : best[i];
        }
    }
}

static void add_points(struct work *work, size_t begin, size_t count, const uint32_t *nearest)
{
    for (size_t i = 0; i < count; i++) {
        const float *values = point(work, begin + i);

        work->counts[nearest[i]]++;
        for (size_t j = 0; j < work->points->width; j++) work->sums[j * work->k + nearest[i]] += values[j];
    }
}

static void move_centers(struct work *work)
{
    for (size_t c = 0; c < work->k; c++) {
        if (work->counts[c] == 0) {
            take_point(work, c);
            continue;
        }
        for (size_t j = 0; j < work->points->width; j++) {
            work->centers[j * work->k + c] = (float)(work->sums[j * work->k + c] / (double)work->counts[c]);
        }
    }
}

static void iterate(struct work *work)
{
    const size_t width = work->points->width, k = work->k, n = work->points->count;
    uint32_t nearest[BATCH];

    memset(work->sums, 0, width * k * sizeof *work->sums);
    memset(work->counts, 0, k * sizeof *work->counts);
    memset(work->norms2, 0, k * sizeof *work->norms2);
    for (size_t i = 0; i < width * k; i++) work->norms2[i % k] += work->centers[i] * work->centers[i];
    for (size_t begin = 0; begin < n; begin += BATCH) {
        const size_t count = n - begin < BATCH ? n - begin : BATCH;

        assign(work, begin, count, nearest);
        add_points(work, begin, count, nearest);
    }
    move_centers(work);
}

cairn_status crn_kmeans(const struct crn_kmeans_points *points, size_t k, unsigned iterations, uint64_t seed,
                        float *centers, cairn_error *err)
{
    struct work work = {.points = points, .k = k, .centers = centers};
    cairn_status status = CAIRN_OK;

    work.norms2 = crn_mem_array(k, sizeof *work.norms2);
    work.dots = crn_mem_array(k, BATCH * sizeof *work.dots);
    work.sums = crn_mem_array(k, points->width * sizeof *work.sums);
    work.counts = crn_mem_array(k, sizeof *work.counts);
    if (work.norms2 == NULL || work.dots == NULL || work.sums == NULL || work.counts == NULL) {
        status = crn_error_no_memory(err, k * (BATCH + points->width) * sizeof *work.dots);
    } else {
        crn_rng_init(&work.rng, seed);
        for (size_t c = 0; c < k; c++) take_point(&work, c);
        for (unsigned i = 0; i < iterations; i++) iterate(&work);
    }
    crn_mem_free(work.norms2);
    crn_mem_free(work.dots);
    crn_mem_free(work.sums);
    crn_mem_free(work.counts);
    return status;
}
