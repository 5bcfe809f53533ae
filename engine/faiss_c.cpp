// FAISS's C API over its C++ classes, as far as index_faiss.c calls it: Debian's libfaiss-dev ships the headers but not
// the functions. Compiled only where no libfaiss_c brings them, never beside one.
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

#include <exception>

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

extern "C" int faiss_index_factory(FaissIndex **p_index, int d, const char *description, FaissMetricType metric)
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
