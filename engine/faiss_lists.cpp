// The inverted lists of FAISS's indexes over whole vectors, to be searched elsewhere. See faiss_ext.h.
extern "C" {
#include "engine/faiss_ext.h"

#include "base/error.h"
}

#include <faiss/IndexIVFFlat.h>

#include <cmath>
#include <cstring>
#include <exception>
#include <vector>

namespace
{

const faiss::IndexIVFFlat *lists_of(const FaissIndex *index)
{
    return dynamic_cast<const faiss::IndexIVFFlat *>(reinterpret_cast<const faiss::Index *>(index));
}

} // namespace

extern "C" size_t crn_faiss_list_count(const FaissIndex *index)
{
    const faiss::IndexIVFFlat *ivf = lists_of(index);

    return ivf == nullptr ? 0 : ivf->nlist;
}

extern "C" size_t crn_faiss_list_size(const FaissIndex *index, size_t list)
{
    return lists_of(index)->invlists->list_size(list);
}

extern "C" cairn_status crn_faiss_list_copy(const FaissIndex *index, size_t list, float *vectors,
                                            uint32_t *positions, cairn_error *err)
{
    const faiss::IndexIVFFlat &ivf = *lists_of(index);
    const size_t size = ivf.invlists->list_size(list);

    if (size == 0) return CAIRN_OK;
    if (ivf.code_size != static_cast<size_t>(ivf.d) * sizeof(float))
        return crn_error_set(err, CAIRN_CORRUPT, "lists of %zu bytes a row", ivf.code_size);
    faiss::InvertedLists::ScopedCodes codes(ivf.invlists, list);
    const faiss::InvertedLists::ScopedIds ids(ivf.invlists, list);
    std::memcpy(vectors, codes.get(), size * ivf.code_size);
    for (size_t i = 0; i < size; i++) positions[i] = static_cast<uint32_t>(ids[i]);
    return CAIRN_OK;
}

extern "C" cairn_status crn_faiss_probe(const FaissIndex *index, const float *vector, uint32_t nprobe,
                                        double share, uint32_t *lists, uint32_t *out_count, cairn_error *err)
{
    const faiss::IndexIVFFlat &ivf = *lists_of(index);
    // As many as crn_faiss_search reads.
    const double wanted =
        nprobe != 0 ? nprobe : std::ceil(static_cast<double>(ivf.nprobe) / std::sqrt(share));
    const size_t count = wanted < static_cast<double>(ivf.nlist) ? static_cast<size_t>(wanted) : ivf.nlist;

    try {
        std::vector<float> distances(count);
        std::vector<faiss::Index::idx_t> found(count);
        ivf.quantizer->search(1, vector, static_cast<faiss::Index::idx_t>(count), distances.data(),
                              found.data());
        *out_count = 0;
        for (const faiss::Index::idx_t list : found) {
            if (list >= 0) lists[(*out_count)++] = static_cast<uint32_t>(list);
        }
        return CAIRN_OK;
    } catch (const std::bad_alloc &) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "FAISS could not allocate memory");
    } catch (const std::exception &e) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "FAISS: %s", crn_faiss_words(e.what()));
    }
}
