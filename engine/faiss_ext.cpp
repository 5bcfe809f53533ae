// Searching FAISS's indexes with a filter and parameters, which its C API cannot. See faiss_ext.h.
extern "C" {
#include "engine/faiss_ext.h"

#include "base/error.h"
#include "engine/bits.h"
}

#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/utils/Heap.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

using faiss::Index;

// ---- cancelling ----

namespace
{

struct Question {
    bool (*cancelled)(void *ctx);
    void *ctx;
};

thread_local Question question = {nullptr, nullptr};

// FAISS asks the process's one callback, from the thread that trains, once for each iteration of k-means.
struct Interrupt final : faiss::InterruptCallback {
    bool want_interrupt() override
    {
        return question.cancelled != nullptr && question.cancelled(question.ctx);
    }
};

void install_interrupt()
{
    const std::lock_guard<std::mutex> guard(faiss::InterruptCallback::lock);

    // One of the host's stays; then training is not cancelled.
    if (!faiss::InterruptCallback::instance)
        faiss::InterruptCallback::instance.reset(new (std::nothrow) Interrupt);
}

} // namespace

extern "C" void crn_faiss_ask(bool (*cancelled)(void *ctx), void *ctx)
{
    static std::once_flag installed;

    std::call_once(installed, install_interrupt);
    question = {cancelled, ctx};
}

// ---- what an index is ----

namespace
{

// Lists read by a search that does not say: of few lists a good part, of many few. Measured recall is in the docs.
size_t default_nprobe(size_t nlist)
{
    return std::min(nlist,
                    std::max<size_t>(8, static_cast<size_t>(2 * std::sqrt(static_cast<double>(nlist)))));
}

constexpr int EF_DEFAULT = 100;

class Look
{
  public:
    crn_faiss_traits at(Index &index)
    {
        const faiss::ClusteringParameters clustering;

        traits.exact = true;
        traits.searchable = known(index);
        traits.train_least = centroids * static_cast<size_t>(clustering.min_points_per_centroid);
        traits.train_most =
            std::max(TRAIN_MOST, centroids * static_cast<size_t>(clustering.max_points_per_centroid));
        return traits;
    }

  private:
    static constexpr size_t TRAIN_MOST = 65536; // where there are no centroids to count

    bool known(Index &index)
    {
        if (auto *chain = dynamic_cast<faiss::IndexPreTransform *>(&index)) return transformed(*chain);
        if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(&index)) return inverted(*ivf);
        if (auto *graph = dynamic_cast<faiss::IndexHNSW *>(&index)) {
            traits.exact = false; // its storage may be
            graph->hnsw.efSearch = EF_DEFAULT;
            traits.bytes_per_row += sizeof(int) * static_cast<size_t>(graph->hnsw.nb_neighbors(0));
            return graph->storage != nullptr && known(*graph->storage);
        }
        if (auto *fast = dynamic_cast<faiss::IndexFastScan *>(&index)) {
            return coded(fast->code_size, size_t(1) << fast->nbits);
        }
        if (auto *pq = dynamic_cast<faiss::IndexPQ *>(&index)) {
            pq->do_polysemous_training = false; // minutes, for a kind of search that is not ours
            return coded(pq->code_size, pq->pq.ksub);
        }
        if (auto *sq = dynamic_cast<faiss::IndexScalarQuantizer *>(&index)) return coded(sq->code_size, 0);
        if (auto *flat = dynamic_cast<faiss::IndexFlat *>(&index)) {
            traits.bytes_per_row += flat->code_size;
            return true;
        }
        return false;
    }

    bool transformed(faiss::IndexPreTransform &chain)
    {
        traits.exact = false;
        for (const faiss::VectorTransform *transform : chain.chain) {
            if (dynamic_cast<const faiss::OPQMatrix *>(transform))
                count_centroids(256); // of the codes it tries
        }
        return known(*chain.index);
    }

    bool inverted(faiss::IndexIVF &ivf)
    {
        ivf.nprobe = default_nprobe(ivf.nlist);
        count_centroids(ivf.nlist);
        traits.bytes_per_row += ivf.code_size + sizeof(Index::idx_t);
        if (!dynamic_cast<faiss::IndexIVFFlat *>(&ivf)) traits.exact = false;
        if (auto *fast = dynamic_cast<faiss::IndexIVFFastScan *>(&ivf))
            count_centroids(size_t(1) << fast->nbits);
        if (auto *pq = dynamic_cast<faiss::IndexIVFPQ *>(&ivf)) {
            pq->do_polysemous_training = false;
            count_centroids(pq->pq.ksub);
        }
        return true;
    }

    bool coded(size_t code_bytes, size_t its_centroids)
    {
        traits.exact = false;
        traits.bytes_per_row += code_bytes;
        count_centroids(its_centroids);
        return true;
    }

    void count_centroids(size_t count)
    {
        centroids = std::max(centroids, count);
    }

    crn_faiss_traits traits = {};
    size_t centroids = 0; // of the largest k-means
};

// ---- searching ----

using Labels = std::vector<Index::idx_t>;

// The bitmap of positions that may be returned.
struct Allowed final : faiss::IDSelector {
    Allowed(const uint64_t *bitmap, size_t positions) : words(bitmap), count(static_cast<idx_t>(positions)) {}
    bool is_member(idx_t id) const override
    {
        return id >= 0 && id < count && (words == nullptr || crn_bits_get(words, static_cast<size_t>(id)));
    }

    const uint64_t *words; // nullptr: all
    idx_t count;
};

class Search
{
  public:
    Search(const crn_index_query &asked, size_t candidates, size_t count)
        : query(asked), wanted(candidates), allowed(asked.allow, count)
    {
    }

    size_t run(const Index &index, uint32_t *positions)
    {
        size_t count = 0;

        for (Index::idx_t label : any(index, query.vector)) {
            if (count < wanted && allowed.is_member(label)) positions[count++] = static_cast<uint32_t>(label);
        }
        return count;
    }

  private:
    Labels any(const Index &index, const float *vector)
    {
        if (auto *chain = dynamic_cast<const faiss::IndexPreTransform *>(&index)) {
            const float *applied = chain->apply_chain(1, vector);
            std::unique_ptr<const float[]> owned(applied == vector ? nullptr : applied);
            return any(*chain->index, applied);
        }
        if (auto *ivf = dynamic_cast<const faiss::IndexIVF *>(&index)) {
            // FAISS 1.7.3 filters no fast scan.
            return dynamic_cast<const faiss::IndexIVFFastScan *>(ivf) ? more_and_more(index, vector)
                                                                      : lists(*ivf, vector);
        }
        if (auto *graph = dynamic_cast<const faiss::IndexHNSW *>(&index)) {
            // FAISS 1.7.3 bounds its queue by k, not by the parameter's efSearch: so k is efSearch.
            faiss::SearchParametersHNSW parameters;
            parameters.efSearch = static_cast<int>(std::min(
                std::max<size_t>(wanted, query.ef != 0 ? query.ef : EF_DEFAULT), size_t(graph->ntotal)));
            return nearest(index, vector, static_cast<size_t>(parameters.efSearch), parameters);
        }
        if (filters(index)) {
            faiss::SearchParameters parameters;
            return nearest(index, vector, wanted, parameters);
        }
        return more_and_more(index, vector);
    }

    static bool filters(const Index &index)
    {
        return dynamic_cast<const faiss::IndexScalarQuantizer *>(&index) ||
               (dynamic_cast<const faiss::IndexFlat *>(&index) && index.metric_type != faiss::METRIC_L1);
    }

    Labels nearest(const Index &index, const float *vector, size_t k, faiss::SearchParameters &parameters)
    {
        Labels labels(k, -1);
        std::vector<float> distances(k);

        parameters.sel = query.allow != nullptr ? &allowed : nullptr;
        index.search(1, vector, static_cast<Index::idx_t>(k), distances.data(), labels.data(), &parameters);
        return labels;
    }

    // Without a filter of FAISS's: ever more of the nearest, until enough of them are allowed or there are no more.
    Labels more_and_more(const Index &index, const float *vector)
    {
        const size_t count = static_cast<size_t>(index.ntotal);
        const double expected =
            static_cast<double>(wanted) * static_cast<double>(count) / double(query.allowed);

        for (size_t k = std::min(count, static_cast<size_t>(expected) + 1);; k = std::min(count, 4 * k)) {
            Labels labels(k, -1);
            std::vector<float> distances(k);
            index.search(1, vector, static_cast<Index::idx_t>(k), distances.data(), labels.data());
            if (k == count || labels.back() < 0 || count_allowed(labels) >= wanted) return labels;
        }
    }

    // By FAISS's scanners, not IndexIVF::search, so as not to enter its parallel region, and to go on to further lists
    // where a filter left fewer than k rows in the nearest.
    Labels lists(const faiss::IndexIVF &ivf, const float *vector)
    {
        const size_t probes =
            std::min(ivf.nlist, query.nprobe != 0 ? query.nprobe : probes_for_share(ivf.nprobe));
        std::unique_ptr<faiss::InvertedListScanner> scanner(
            ivf.get_InvertedListScanner(false, query.allow != nullptr ? &allowed : nullptr));
        std::vector<bool> done(ivf.nlist);
        std::vector<float> distances(wanted);
        Labels labels(wanted, -1);

        if (ivf.metric_type == faiss::METRIC_INNER_PRODUCT) {
            faiss::heap_heapify<faiss::CMin<float, Index::idx_t>>(wanted, distances.data(), labels.data());
        } else {
            faiss::heap_heapify<faiss::CMax<float, Index::idx_t>>(wanted, distances.data(), labels.data());
        }
        scanner->set_query(vector);
        scan(ivf, *scanner, vector, probes, done, distances, labels);
        if (count_allowed(labels) < std::min(query.k, query.allowed)) {
            scan(ivf, *scanner, vector, ivf.nlist, done, distances, labels);
        }
        return labels;
    }

    // A filter spreads the nearest rows it leaves over more lists, and leaves fewer rows to compare in each.
    size_t probes_for_share(size_t nprobe) const
    {
        const double share = static_cast<double>(query.allowed) / static_cast<double>(allowed.count);

        return static_cast<size_t>(std::ceil(static_cast<double>(nprobe) / std::sqrt(share)));
    }

    // Scans the nearest `probes` lists that are not done, those beyond the first search's only until there are k.
    void scan(const faiss::IndexIVF &ivf, faiss::InvertedListScanner &scanner, const float *vector,
              size_t probes, std::vector<bool> &done, std::vector<float> &distances, Labels &labels)
    {
        const bool again = std::find(done.begin(), done.end(), true) != done.end();
        std::vector<float> list_distances(probes);
        Labels list_labels(probes, -1);

        ivf.quantizer->search(1, vector, static_cast<Index::idx_t>(probes), list_distances.data(),
                              list_labels.data());
        for (size_t i = 0; i < probes; i++) {
            const Index::idx_t list = list_labels[i];
            if (list < 0 || static_cast<size_t>(list) >= ivf.nlist || done[static_cast<size_t>(list)])
                continue;
            if (again && count_allowed(labels) >= std::min(query.k, query.allowed)) return;
            faiss::InvertedLists::ScopedCodes codes(ivf.invlists, static_cast<size_t>(list));
            faiss::InvertedLists::ScopedIds ids(ivf.invlists, static_cast<size_t>(list));
            scanner.set_list(list, list_distances[i]);
            scanner.scan_codes(ivf.get_list_size(static_cast<size_t>(list)), codes.get(), ids.get(),
                               distances.data(), labels.data(), labels.size());
            done[static_cast<size_t>(list)] = true;
        }
    }

    size_t count_allowed(const Labels &labels) const
    {
        return static_cast<size_t>(std::count_if(labels.begin(), labels.end(),
                                                 [this](Index::idx_t id) { return allowed.is_member(id); }));
    }

    const crn_index_query &query;
    size_t wanted;
    Allowed allowed;
};

template <typename Call> cairn_status translated(cairn_error *err, Call call)
{
    try {
        call();
        return CAIRN_OK;
    } catch (const std::bad_alloc &) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "FAISS could not allocate memory");
    } catch (const std::exception &e) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "FAISS: %s", crn_faiss_words(e.what()));
    } catch (...) {
        return crn_error_set(err, CAIRN_INTERNAL, "FAISS failed and did not say why");
    }
}

} // namespace

extern "C" const char *crn_faiss_words(const char *message)
{
    // "Error in <function> at <file>:<line>: <words>"
    const char *place = std::strstr(message, ".cpp:");
    const char *words = place != nullptr ? std::strstr(place, ": ") : nullptr;

    return words != nullptr ? words + 2 : message;
}

extern "C" cairn_status crn_faiss_prepare(FaissIndex *index, crn_faiss_traits *out_traits, cairn_error *err)
{
    return translated(err, [=] { *out_traits = Look().at(*reinterpret_cast<Index *>(index)); });
}

extern "C" cairn_status crn_faiss_search(const FaissIndex *index, const crn_index_query *query, size_t wanted,
                                         uint32_t *positions, size_t *out_count, cairn_error *err)
{
    return translated(err, [=] {
        const Index &searched = *reinterpret_cast<const Index *>(index);
        const size_t count = static_cast<size_t>(searched.ntotal);
        *out_count = wanted == 0 ? 0 : Search(*query, wanted, count).run(searched, positions);
    });
}
