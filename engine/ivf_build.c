/*
 * Building an ivf index (ivf.h): a sample is clustered, all rows are assigned to the nearest centroid in
 * blocks, and positions are sorted by list. Encoding is part of writing (ivf_file.c), so that codes never
 * lie in memory as a whole.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define SEED 0x697666u
#define LISTS_OF_ROOT 4.0     /* lists for each row of the square root */
#define ROWS_OF_LIST_LEAST 8u /* on average, where the lists are not given */
#define SAMPLE_OF_LIST 64u    /* rows of the sample for each centroid */
#define SAMPLE_OF_LIST_LEAST 16u
#define SAMPLE_BYTES (1u << 30)

cairn_status crn_ivf_check_cancelled(const struct crn_ivf_build *build, cairn_error *err)
{
    if (build->cancelled == NULL || !build->cancelled(build->ctx)) return CAIRN_OK;
    return crn_error_set(err, CAIRN_CANCELLED, "the ivf index was not finished");
}

static uint32_t lists_for(size_t count)
{
    const double wanted = LISTS_OF_ROOT * sqrt((double)count), most = (double)count / ROWS_OF_LIST_LEAST;
    const double lists = wanted < most ? wanted : most;

    if (lists < 1) return 1;
    return lists < CRN_IVF_LISTS_MAX ? (uint32_t)lists : CRN_IVF_LISTS_MAX;
}

/* ---- sample ---- */

static size_t sample_count(const struct crn_ivf_build *build)
{
    const size_t row_bytes = build->rows->dim * sizeof(float);
    size_t count = (size_t)build->lists * (build->rough ? SAMPLE_OF_LIST_LEAST : SAMPLE_OF_LIST);

    if (count * row_bytes > SAMPLE_BYTES) count = SAMPLE_BYTES / row_bytes;
    if (count < (size_t)build->lists * SAMPLE_OF_LIST_LEAST)
        count = (size_t)build->lists * SAMPLE_OF_LIST_LEAST;
    return count < build->rows->count ? count : build->rows->count;
}

/* `count` of the rows at random, in their order: selection sampling (Knuth, The Art of Computer Programming
 * 2, 3.4.2). */
static void sample_rows(const struct crn_index_rows *rows, size_t count, float *out)
{
    struct crn_rng rng;
    size_t taken = 0;

    crn_rng_init(&rng, rows->count);
    for (size_t p = 0; taken < count; p++) {
        if (crn_rng_below(&rng, rows->count - p) >= count - taken) continue;
        memcpy(out + taken * rows->dim, rows->vectors + p * rows->dim, rows->dim * sizeof *out);
        taken++;
    }
}

static cairn_status make_frame(struct crn_ivf_build *build, const float *sample, size_t count,
                               cairn_error *err)
{
    const uint32_t dim = build->rows->dim;
    double *sums = crn_mem_calloc(dim, sizeof *sums);
    float *mean = crn_mem_array(dim, sizeof *mean);
    cairn_status status = CAIRN_OK;

    if (sums == NULL || mean == NULL) {
        status = crn_error_no_memory(err, dim * sizeof *sums);
    } else {
        for (size_t i = 0; i < count; i++) {
            for (uint32_t d = 0; d < dim; d++) sums[d] += sample[i * dim + d];
        }
        for (uint32_t d = 0; d < dim; d++) mean[d] = (float)(sums[d] / (double)count);
        status = crn_ivf_frame_init(&build->frame, build->rows->op, dim, SEED, mean, err);
    }
    crn_mem_free(sums);
    crn_mem_free(mean);
    return status;
}

/* ---- lists ---- */

static void sort_by_list(struct crn_ivf_build *build)
{
    const size_t count = build->rows->count;
    uint32_t *starts = build->starts;

    for (size_t i = 0; i < count; i++) starts[build->assigned[i] + 1]++;
    for (uint32_t l = 0; l < build->lists; l++) starts[l + 1] += starts[l];
    for (size_t i = 0; i < count; i++) build->order[starts[build->assigned[i]]++] = (uint32_t)i;
    memmove(starts + 1, starts, build->lists * sizeof *starts);
    starts[0] = 0;
}

/* Centroids of vectors beyond the range of float may not be finite; any other will do. */
static void make_finite(struct crn_ivf_build *build)
{
    const size_t dim = build->rows->dim;

    for (uint32_t l = 0; l < build->lists; l++) {
        float *centroid = build->centroids + l * dim;
        if (!crn_vector_finite(centroid, dim)) memcpy(centroid, build->rows->vectors, dim * sizeof *centroid);
    }
}

static cairn_status cluster(struct crn_ivf_build *build, const float *sample, size_t count, cairn_error *err)
{
    struct crn_ivf_clusters *clusters = NULL;

    CRN_TRY(make_frame(build, sample, count, err));
    CRN_TRY(crn_ivf_cluster(build, sample, count, &clusters, err));
    const cairn_status status =
        crn_ivf_assign(clusters, build->rows->vectors, build->rows->count, build->assigned, err);
    crn_ivf_clusters_free(clusters);
    if (status == CAIRN_OK) make_finite(build);
    return status;
}

static cairn_status cluster_sample(struct crn_ivf_build *build, cairn_error *err)
{
    const struct crn_index_rows *rows = build->rows;
    const size_t count = sample_count(build);

    if (count == rows->count) return cluster(build, rows->vectors, count, err);
    float *sample = crn_mem_array(count, rows->dim * sizeof *sample);
    if (sample == NULL) return crn_error_no_memory(err, count * rows->dim * sizeof *sample);
    sample_rows(rows, count, sample);
    const cairn_status status = cluster(build, sample, count, err);
    crn_mem_free(sample);
    return status;
}

cairn_status crn_ivf_divide(struct crn_ivf_build *build, uint32_t lists, cairn_error *err)
{
    const size_t count = build->rows->count;

    build->lists = lists == 0 ? lists_for(count) : lists;
    if (build->lists > count) build->lists = (uint32_t)count;
    if (build->threads == 0) build->threads = 1;
    build->centroids = crn_mem_array(build->lists, build->rows->dim * sizeof *build->centroids);
    build->starts = crn_mem_calloc(build->lists + 1, sizeof *build->starts);
    build->order = crn_mem_array(count, sizeof *build->order);
    build->assigned = crn_mem_array(count, sizeof *build->assigned);
    if (build->centroids == NULL || build->starts == NULL || build->order == NULL ||
        build->assigned == NULL) {
        return crn_error_no_memory(err, count * sizeof *build->order);
    }
    CRN_TRY(cluster_sample(build, err));
    sort_by_list(build);
    return CAIRN_OK;
}

cairn_status crn_ivf_build(struct crn_ivf_build *build, uint32_t lists, cairn_error *err)
{
    CRN_TRY(crn_ivf_divide(build, lists, err));
    return crn_ivf_calibrate(build, err);
}

void crn_ivf_build_release(struct crn_ivf_build *build)
{
    crn_ivf_frame_release(&build->frame);
    crn_mem_free(build->centroids);
    crn_mem_free(build->starts);
    crn_mem_free(build->order);
    crn_mem_free(build->assigned);
}
