// The inverted lists of FAISS's indexes over whole vectors and codes of them, to be searched elsewhere. See faiss_ext.h.
extern "C" {
#include "engine/faiss_ext.h"

#include "base/error.h"
}

#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexScalarQuantizer.h>

#include <cmath>
#include <exception>
#include <vector>

namespace
{

// Those whose rows are all that a list keeps, as they are or as codes.
const faiss::IndexIVF *lists_of(const FaissIndex *index)
{
    const auto *base = reinterpret_cast<const faiss::Index *>(index);
    const bool known = dynamic_cast<const faiss::IndexIVFFlat *>(base) != nullptr ||
                       dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(base) != nullptr ||
                       (dynamic_cast<const faiss::IndexIVFPQ *>(base) != nullptr &&
                        dynamic_cast<const faiss::IndexIVFPQR *>(base) == nullptr);
    return known ? dynamic_cast<const faiss::IndexIVF *>(base) : nullptr;
}

} // namespace

extern "C" size_t crn_faiss_list_count(const FaissIndex *index)
{
    const faiss::IndexIVF *ivf = lists_of(index);

    return ivf == nullptr ? 0 : ivf->nlist;
}

extern "C" size_t crn_faiss_list_size(const FaissIndex *index, size_t list)
{
    return lists_of(index)->invlists->list_size(list);
}

extern "C" cairn_status crn_faiss_list_copy(const FaissIndex *index, size_t list, float *vectors,
                                            uint32_t *positions, cairn_error *err)
{
    const faiss::IndexIVF &ivf = *lists_of(index);
    const size_t size = ivf.invlists->list_size(list);

    if (size == 0) return CAIRN_OK;
    try {
        const faiss::InvertedLists::ScopedIds ids(ivf.invlists, list);
        for (size_t i = 0; i < size; i++) {
            ivf.reconstruct_from_offset(static_cast<int64_t>(list), static_cast<int64_t>(i),
                                        vectors + i * static_cast<size_t>(ivf.d));
            positions[i] = static_cast<uint32_t>(ids[i]);
        }
        return CAIRN_OK;
    } catch (const std::bad_alloc &) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "FAISS could not allocate memory");
    } catch (const std::exception &e) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "FAISS: %s", crn_faiss_words(e.what()));
    }
}

extern "C" bool crn_faiss_lists_exact(const FaissIndex *index)
{
    return dynamic_cast<const faiss::IndexIVFFlat *>(reinterpret_cast<const faiss::Index *>(index)) !=
           nullptr;
}

extern "C" cairn_status crn_faiss_probe(const FaissIndex *index, const float *vector, uint32_t nprobe,
                                        double share, uint32_t *lists, uint32_t *out_count, cairn_error *err)
{
    const faiss::IndexIVF &ivf = *lists_of(index);
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
