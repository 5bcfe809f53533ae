// FAISS's C API over its C++ classes, as far as index_faiss.c and ivf_faiss.c call it: Debian's libfaiss-dev ships the headers but not
// the functions. Compiled only where no libfaiss_c brings them, never beside one.
#include <faiss/Clustering.h>
#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

#include <exception>
#include <vector>

using faiss::Index;

static thread_local std::exception_ptr last_exception;

template <typename Call> static int guarded(Call call)
{
    try {
        call();
        return OK;
    } catch (const faiss::FaissException &) {
        last_exception = std::current_exception();
        return FAISS_EXCEPT;
    } catch (const std::exception &) {
        last_exception = std::current_exception();
        return STD_EXCEPT;
    } catch (...) {
        last_exception = nullptr;
        return UNKNOWN_EXCEPT;
    }
}

static Index *plain(FaissIndex *index)
{
    return reinterpret_cast<Index *>(index);
}

static const Index *plain(const FaissIndex *index)
{
    return reinterpret_cast<const Index *>(index);
}

extern "C" const char *faiss_get_last_error()
{
    if (!last_exception) return nullptr;
    try {
        std::rethrow_exception(last_exception);
    } catch (const std::exception &e) {
        return e.what(); // lives as long as last_exception
    } catch (...) {
        return nullptr;
    }
}

extern "C" int faiss_index_factory(FaissIndex **p_index, int d, const char *description,
                                   FaissMetricType metric)
{
    return guarded([=] {
        const auto type = static_cast<faiss::MetricType>(metric);
        *p_index = reinterpret_cast<FaissIndex *>(faiss::index_factory(d, description, type));
    });
}

extern "C" int faiss_read_index(FILE *f, int io_flags, FaissIndex **p_out)
{
    return guarded([=] { *p_out = reinterpret_cast<FaissIndex *>(faiss::read_index(f, io_flags)); });
}

extern "C" int faiss_write_index(const FaissIndex *idx, FILE *f)
{
    return guarded([=] { faiss::write_index(plain(idx), f); });
}

extern "C" int faiss_Index_train(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([=] { plain(index)->train(n, x); });
}

extern "C" int faiss_Index_add(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([=] { plain(index)->add(n, x); });
}

extern "C" int faiss_Index_assign(FaissIndex *index, idx_t n, const float *x, idx_t *labels, idx_t k)
{
    return guarded([=] { plain(index)->assign(n, x, labels, k); });
}

extern "C" int faiss_Index_d(const FaissIndex *index)
{
    return plain(index)->d;
}

extern "C" int faiss_Index_is_trained(const FaissIndex *index)
{
    return plain(index)->is_trained;
}

extern "C" idx_t faiss_Index_ntotal(const FaissIndex *index)
{
    return plain(index)->ntotal;
}

extern "C" FaissMetricType faiss_Index_metric_type(const FaissIndex *index)
{
    return static_cast<FaissMetricType>(plain(index)->metric_type);
}

extern "C" void faiss_Index_free(FaissIndex *obj)
{
    delete plain(obj);
}

// ---- clustering ----

extern "C" void faiss_ClusteringParameters_init(FaissClusteringParameters *params)
{
    const faiss::ClusteringParameters plain;

    params->niter = plain.niter;
    params->nredo = plain.nredo;
    params->verbose = plain.verbose;
    params->spherical = plain.spherical;
    params->int_centroids = plain.int_centroids;
    params->update_index = plain.update_index;
    params->frozen_centroids = plain.frozen_centroids;
    params->min_points_per_centroid = plain.min_points_per_centroid;
    params->max_points_per_centroid = plain.max_points_per_centroid;
    params->seed = plain.seed;
    params->decode_block_size = plain.decode_block_size;
}

extern "C" int faiss_Clustering_new_with_params(FaissClustering **p_clustering, int d, int k,
                                                const FaissClusteringParameters *cp)
{
    return guarded([=] {
        faiss::ClusteringParameters parameters;
        parameters.niter = cp->niter;
        parameters.nredo = cp->nredo;
        parameters.verbose = cp->verbose != 0;
        parameters.spherical = cp->spherical != 0;
        parameters.int_centroids = cp->int_centroids != 0;
        parameters.update_index = cp->update_index != 0;
        parameters.frozen_centroids = cp->frozen_centroids != 0;
        parameters.min_points_per_centroid = cp->min_points_per_centroid;
        parameters.max_points_per_centroid = cp->max_points_per_centroid;
        parameters.seed = cp->seed;
        parameters.decode_block_size = cp->decode_block_size;
        *p_clustering = reinterpret_cast<FaissClustering *>(new faiss::Clustering(d, k, parameters));
    });
}

extern "C" int faiss_Clustering_train(FaissClustering *clustering, idx_t n, const float *x, FaissIndex *index)
{
    return guarded([=] { reinterpret_cast<faiss::Clustering *>(clustering)->train(n, x, *plain(index)); });
}

extern "C" void faiss_Clustering_centroids(FaissClustering *clustering, float **centroids, size_t *size)
{
    std::vector<float> &found = reinterpret_cast<faiss::Clustering *>(clustering)->centroids;

    *centroids = found.data();
    *size = found.size();
}

extern "C" void faiss_Clustering_free(FaissClustering *clustering)
{
    delete reinterpret_cast<faiss::Clustering *>(clustering);
}
