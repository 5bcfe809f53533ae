/*
 * Clustering the ivf index's rows, by FAISS's k-means.
 *
 * FAISS's own allocations inside parallel regions cannot fail without ending the process: what it will need
 * is asked for before.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/faiss_ext.h"
#include "quant/vector.h"

#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <omp.h>

#include <float.h>
#include <math.h>
#include <string.h>

#define ITERATIONS 8
#define SEED 1234
#define ASSIGN_ROWS 4096u       /* at a time */
#define FAISS_BYTES (32u << 20) /* of the blocks of products that it computes */

struct crn_ivf_clusters {
    FaissIndex *index; /* of the centroids */
    FaissClustering *clustering;
    int64_t *labels; /* [ASSIGN_ROWS] */
};

static cairn_status translate(int code, cairn_error *err)
{
    if (code == OK) return CAIRN_OK;
    const char *message = code == UNKNOWN_EXCEPT ? NULL : faiss_get_last_error();
    if (message == NULL) message = "FAISS failed and did not say why";
    if (strstr(message, "bad_alloc") != NULL)
        return crn_error_set(err, CAIRN_NO_MEMORY, "index ivf needs more memory");
    return crn_error_set(err, CAIRN_UNSUPPORTED, "index ivf: %s", crn_faiss_words(message));
}

static cairn_status ask_for_memory(size_t count, uint32_t dim, uint32_t lists, cairn_error *err)
{
    const size_t bytes = count * 16 + (size_t)lists * dim * 3 * sizeof(float) + FAISS_BYTES;
    void *memory = crn_mem_alloc(bytes);

    crn_mem_free(memory);
    return memory != NULL ? CAIRN_OK : crn_error_no_memory(err, bytes);
}

/* FAISS ends the process when no centroid is nearest to a row, all distances being infinite. */
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

static cairn_status train(struct crn_ivf_clusters *clusters, const float *sample, size_t count, uint32_t dim,
                          uint32_t lists, float *centroids, cairn_error *err)
{
    FaissClusteringParameters parameters;
    float *found;
    size_t size;

    CRN_TRY(check_range(sample, count, dim, err));
    CRN_TRY(ask_for_memory(count, dim, lists, err));
    CRN_TRY(translate(faiss_index_factory(&clusters->index, (int)dim, "Flat", METRIC_L2), err));
    faiss_ClusteringParameters_init(&parameters);
    parameters.niter = ITERATIONS;
    parameters.seed = SEED;
    parameters.min_points_per_centroid = 1;       /* else it prints when there are few */
    parameters.max_points_per_centroid = 1 << 20; /* the sample is one already */
    CRN_TRY(translate(
        faiss_Clustering_new_with_params(&clusters->clustering, (int)dim, (int)lists, &parameters), err));
    CRN_TRY(translate(faiss_Clustering_train(clusters->clustering, (int64_t)count, sample, clusters->index),
                      err));
    faiss_Clustering_centroids(clusters->clustering, &found, &size);
    if (size != (size_t)lists * dim)
        return crn_error_set(err, CAIRN_INTERNAL, "FAISS made %zu floats of centroids", size);
    memcpy(centroids, found, size * sizeof *centroids);
    return CAIRN_OK;
}

cairn_status crn_ivf_cluster(const float *sample, size_t count, uint32_t dim, uint32_t lists,
                             unsigned threads, bool (*cancelled)(void *ctx), void *ctx, float *centroids,
                             struct crn_ivf_clusters **out_clusters, cairn_error *err)
{
    const int threads_before = omp_get_max_threads();
    struct crn_ivf_clusters *clusters = crn_mem_calloc(1, sizeof *clusters);

    if (clusters == NULL) return crn_error_no_memory(err, sizeof *clusters);
    clusters->labels = crn_mem_array(ASSIGN_ROWS, sizeof *clusters->labels);
    if (clusters->labels == NULL) {
        crn_ivf_clusters_free(clusters);
        return crn_error_no_memory(err, ASSIGN_ROWS * sizeof *clusters->labels);
    }
    omp_set_num_threads((int)threads);
    crn_faiss_ask(cancelled, ctx);
    const cairn_status status = train(clusters, sample, count, dim, lists, centroids, err);
    crn_faiss_ask(NULL, NULL);
    omp_set_num_threads(threads_before);
    if (status != CAIRN_OK) {
        crn_ivf_clusters_free(clusters);
        return status;
    }
    *out_clusters = clusters;
    return CAIRN_OK;
}

cairn_status crn_ivf_assign(struct crn_ivf_clusters *clusters, const float *rows, size_t count,
                            unsigned threads, uint32_t *out, cairn_error *err)
{
    const int threads_before = omp_get_max_threads();
    const size_t dim = (size_t)faiss_Index_d(clusters->index);
    const int64_t lists = faiss_Index_ntotal(clusters->index);
    cairn_status status = CAIRN_OK;

    omp_set_num_threads((int)threads);
    for (size_t begin = 0; begin < count && status == CAIRN_OK; begin += ASSIGN_ROWS) {
        const size_t some = count - begin < ASSIGN_ROWS ? count - begin : ASSIGN_ROWS;
        status = translate(
            faiss_Index_assign(clusters->index, (int64_t)some, rows + begin * dim, clusters->labels, 1), err);
        for (size_t i = 0; i < some; i++) { /* -1 where all distances overflow */
            const int64_t list = clusters->labels[i];
            out[begin + i] = list >= 0 && list < lists ? (uint32_t)list : 0;
        }
    }
    omp_set_num_threads(threads_before);
    return status;
}

void crn_ivf_clusters_free(struct crn_ivf_clusters *clusters)
{
    if (clusters == NULL) return;
    if (clusters->clustering != NULL) faiss_Clustering_free(clusters->clustering);
    if (clusters->index != NULL) faiss_Index_free(clusters->index);
    crn_mem_free(clusters->labels);
    crn_mem_free(clusters);
}
