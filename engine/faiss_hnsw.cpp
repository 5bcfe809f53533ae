// Building an HNSW graph by FAISS over rows that FAISS does not hold: its faiss::HNSW makes the links and asks a
// DistanceComputer of ours for distances, which quant's kernels compute. So the vectors are not stored twice, and
// FAISS as Debian compiles it, without AVX2, is fast enough.
//
// The loop over rows is ours, not IndexHNSW::add's: that one runs in an OpenMP region, which no exception may leave.
extern "C" {
#include "engine/faiss_ext.h"

#include "base/error.h"
#include "base/rng.h"
#include "base/thread.h"
}

#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <thread>
#include <vector>

struct crn_faiss_hnsw {
    explicit crn_faiss_hnsw(uint32_t m) : graph(static_cast<int>(m)) {}
    faiss::HNSW graph;
};

namespace
{

// FAISS chooses a row's links among `efConstruction` candidates, but takes them all when they are fewer than the 2m
// that a list holds: a poor graph. Measured (60,000 x 384, m 32): 40, FAISS's default, costs 16 s of processor time
// and a beam of 100 finds 0.994 of the true ten nearest; 64: 21 s, 0.998; 80: 25 s, 0.999; 100: 37 s, 1.000.
constexpr uint32_t EF_CONSTRUCTION_LEAST = 64;
constexpr size_t GRAIN = 64; // rows between two looks at `cancelled` and at failures

class Distances final : public faiss::DistanceComputer
{
  public:
    explicit Distances(const crn_index_rows &of) : rows(of), gather(crn_kernels_get()->f32_gather[of.op]) {}
    void set_query(const float *vector) override
    {
        query = vector;
    }
    float operator()(idx_t i) override
    {
        return between(query, i);
    }
    float symmetric_dis(idx_t i, idx_t j) override
    {
        if (i < 0 || j < 0) return std::numeric_limits<float>::infinity(); // see Build::give_up
        return between(row(i), j);
    }
    const float *row(idx_t i) const
    {
        return rows.vectors + static_cast<size_t>(i) * rows.dim;
    }

  private:
    float between(const float *vector, idx_t i) const
    {
        const uint32_t position = static_cast<uint32_t>(i);
        float distance;

        gather(vector, rows.vectors, rows.dim, &position, 1, &distance);
        return distance;
    }

    const crn_index_rows &rows;
    void (*gather)(const float *, const float *, size_t, const uint32_t *, size_t, float *);
    const float *query = nullptr;
};

struct Worker {
    explicit Worker(const crn_index_rows &rows) : distances(rows), visited(static_cast<int>(rows.count)) {}
    Distances distances;
    faiss::VisitedTable visited;
};

class Locks
{
  public:
    explicit Locks(size_t count) : locks(count)
    {
        for (omp_lock_t &lock : locks) omp_init_lock(&lock);
    }
    ~Locks()
    {
        for (omp_lock_t &lock : locks) omp_destroy_lock(&lock);
    }
    Locks(const Locks &) = delete;
    std::vector<omp_lock_t> locks;
};

class Build
{
  public:
    Build(faiss::HNSW &empty, const crn_index_rows &rows, unsigned threads, bool (*asked)(void *),
          void *asked_ctx)
        : graph(empty), cancelled(asked), ctx(asked_ctx), locks(rows.count), order(rows.count)
    {
        for (unsigned i = 0; i < threads; i++) workers.push_back(std::make_unique<Worker>(rows));
        graph.prepare_level_tab(rows.count);
        graph.neighbors.push_back(-1); // the spare place that give_up needs
        sort_by_level();
    }

    // Highest level first, and one level at a time: FAISS moves the entry without a lock, which is safe among rows of
    // one level.
    void run()
    {
        for (size_t begin = 0, end; begin < order.size() && !stopped(); begin = end) {
            level = graph.levels[order[begin]];
            for (end = begin; end < order.size() && graph.levels[order[end]] == level;) end++;
            first = begin;
            crn_parallel_for(static_cast<unsigned>(workers.size()), end - begin, GRAIN, add_rows, this);
        }
        if (failure) std::rethrow_exception(failure);
    }

    bool was_cancelled() const
    {
        return is_cancelled;
    }

  private:
    // Within a level in random order, so that neighbours in the file do not all meet an empty graph together.
    void sort_by_level()
    {
        crn_rng rng;

        std::iota(order.begin(), order.end(), 0);
        crn_rng_init(&rng, order.size());
        for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[crn_rng_below(&rng, i)]);
        std::stable_sort(order.begin(), order.end(),
                         [this](int a, int b) { return graph.levels[a] > graph.levels[b]; });
    }

    bool stopped() const
    {
        return is_cancelled || has_failed;
    }

    static void add_rows(void *ctx, size_t begin, size_t end, unsigned number)
    {
        Build &build = *static_cast<Build *>(ctx);
        Worker &worker = *build.workers[number];

        if (number == 0 && build.cancelled != nullptr && build.cancelled(build.ctx))
            build.is_cancelled = true;
        build.running++;
        try {
            for (size_t i = begin; i < end && !build.stopped(); i++)
                build.add_row(worker, build.order[build.first + i]);
            build.running--;
        } catch (...) {
            build.running--;
            build.give_up(std::current_exception());
        }
    }

    void add_row(Worker &worker, int position)
    {
        worker.distances.set_query(worker.distances.row(position));
        graph.add_with_locks(worker.distances, level - 1, position, locks.locks, worker.visited);
    }

    // add_with_locks throws with one lock closed and does not tell which, and the other workers may wait for it. The
    // graph is lost, so all locks are opened until every worker is out. Two workers may then change one list at a time;
    // FAISS still stays inside its arrays, save for one place behind a list, and may ask for the distance to link -1.
    void give_up(std::exception_ptr exception)
    {
        if (!has_failed.exchange(true)) failure = exception;
        while (running > 0) {
            for (omp_lock_t &lock : locks.locks) omp_unset_lock(&lock);
            std::this_thread::yield();
        }
    }

    faiss::HNSW &graph;
    bool (*cancelled)(void *);
    void *ctx;
    Locks locks;
    std::vector<int> order; // positions
    std::vector<std::unique_ptr<Worker>> workers;
    int level = 0;    // on how many levels the rows stand that are being added
    size_t first = 0; // where in `order` they begin
    std::atomic<bool> is_cancelled{false}, has_failed{false};
    std::atomic<int> running{0};
    std::exception_ptr failure; // of the first to fail; read when all are out
};

} // namespace

extern "C" cairn_status crn_faiss_hnsw_build(const crn_index_rows *rows, uint32_t m, unsigned threads,
                                             bool (*cancelled)(void *), void *ctx, crn_faiss_hnsw **out_graph,
                                             cairn_error *err)
{
    try {
        auto built = std::make_unique<crn_faiss_hnsw>(m);
        built->graph.efConstruction = static_cast<int>(std::max(EF_CONSTRUCTION_LEAST, m * 5 / 2));
        Build build(built->graph, *rows, std::max(threads, 1u), cancelled, ctx);
        build.run();
        if (build.was_cancelled())
            return crn_error_set(err, CAIRN_CANCELLED, "the HNSW graph was not finished");
        *out_graph = built.release();
        return CAIRN_OK;
    } catch (const std::bad_alloc &) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "an HNSW graph of %zu rows needs more memory",
                             rows->count);
    } catch (const std::exception &e) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "FAISS built no HNSW graph: %s", e.what());
    } catch (...) {
        return crn_error_set(err, CAIRN_INTERNAL, "FAISS built no HNSW graph and did not say why");
    }
}

extern "C" void crn_faiss_hnsw_get(const crn_faiss_hnsw *built, crn_hnsw_source *out_source)
{
    const faiss::HNSW &graph = built->graph;

    static_assert(sizeof(faiss::HNSW::storage_idx_t) == sizeof(uint32_t), "FAISS's -1 is our NONE");
    out_source->m = static_cast<uint32_t>(graph.nb_neighbors(1));
    out_source->entry = static_cast<uint32_t>(graph.entry_point);
    out_source->top_level = static_cast<uint32_t>(graph.max_level);
    out_source->levels = graph.levels.data();
    out_source->offsets = graph.offsets.data();
    out_source->links = reinterpret_cast<const uint32_t *>(graph.neighbors.data());
}

extern "C" void crn_faiss_hnsw_free(crn_faiss_hnsw *graph)
{
    delete graph;
}
