/*
 * hnswlib over a data set: builds an index into the cache, or sweeps ef over it, one thread, one query a
 * call. Compiled by run.sh against the headers of hnswlib's source package on PyPI, with -march=native; no part
 * of Cairn's build.
 *
 *   bench_hnswlib build  NAME.base.fvecs l2|cosine|dot INDEX THREADS
 *   bench_hnswlib search INDEX l2|cosine|dot NAME.query.fvecs NAME.gt.ivecs
 *   bench_hnswlib search INDEX l2|cosine|dot NAME.query.fvecs FILTER.gt.ivecs FILTER.bits PERCENT
 *   bench_hnswlib search INDEX l2|cosine|dot NAME.query.fvecs FILTER.gt.ivecs ORDER.ivecs PERCENT FILTER.ranges.ivecs KIND
 *
 * M = 16, ef_construction = 200. FILTER.bits is a bitmap of the rows that match, FILTER.gt.ivecs the nearest of
 * these. With ranges (cairn bench --filter-out) each query has a bitmap of its own: of the rows ORDER[begin..end);
 * bitmaps are made before anything is measured. Beside INDEX lies INDEX.json with what the build took; its members go into each line that search prints
 * (bench/peers/curve.py has their meaning).
 */
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <hnswlib/hnswlib.h>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace
{

constexpr size_t kNearest = 10, kM = 16, kEfConstruction = 200;
constexpr int kPasses = 3;
constexpr double kPassesS = 0.4, kEnough = 0.995, kSlowS = 3, kGain = 0.0005;
constexpr size_t kEfs[] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768};

using Graph = hnswlib::HierarchicalNSW<float>;

void fail(const std::string &what)
{
    fprintf(stderr, "bench_hnswlib: %s\n", what.c_str());
    exit(1);
}

/* A .fvecs or .ivecs file: rows of `width` four-byte numbers. */
template <class T> struct Vecs {
    size_t count = 0, width = 0;
    std::vector<T> values;
    const T *row(size_t i) const
    {
        return values.data() + i * width;
    }
};

template <class T> Vecs<T> read_vecs(const char *path)
{
    Vecs<T> out;
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    int32_t width = 0;
    const auto size = static_cast<size_t>(std::max<std::streamoff>(file.tellg(), 0));

    file.seekg(0);
    if (!file.read(reinterpret_cast<char *>(&width), 4) || width <= 0)
        fail(std::string("cannot read ") + path);
    out.width = static_cast<size_t>(width);
    out.count = size / (4 * (out.width + 1));
    out.values.resize(out.count * out.width);
    file.seekg(0);
    for (size_t i = 0; i < out.count; i++) {
        file.read(reinterpret_cast<char *>(&width), 4);
        file.read(reinterpret_cast<char *>(out.values.data() + i * out.width),
                  static_cast<std::streamsize>(4 * out.width));
    }
    if (!file) fail(std::string("short file ") + path);
    return out;
}

std::string read_text(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::unique_ptr<hnswlib::SpaceInterface<float>> space_of(const char *metric, size_t dim)
{
    if (strcmp(metric, "l2") == 0) return std::make_unique<hnswlib::L2Space>(dim);
    return std::make_unique<hnswlib::InnerProductSpace>(dim); /* rows of a cosine set are normalized */
}

class Bitmap : public hnswlib::BaseFilterFunctor
{
  public:
    explicit Bitmap(std::string bits) : bits_(std::move(bits)) {}
    bool operator()(hnswlib::labeltype row) override
    {
        return ((static_cast<unsigned char>(bits_[row / 8]) >> (row % 8)) & 1U) != 0;
    }

  private:
    std::string bits_;
};

/* The filter of each query; none: no filters. Queries share them. */
using Filters = std::vector<std::shared_ptr<Bitmap>>;

Filters filters_of_ranges(const char *order_path, const char *ranges_path)
{
    const Vecs<int32_t> order = read_vecs<int32_t>(order_path), ranges = read_vecs<int32_t>(ranges_path);
    std::map<int32_t, std::shared_ptr<Bitmap>> made;
    Filters filters;

    for (size_t q = 0; q < ranges.count; q++) {
        auto &bitmap = made[ranges.row(q)[0]];
        if (bitmap == nullptr) {
            std::string bits(order.width / 8 + 1, '\0');
            for (int32_t i = ranges.row(q)[0]; i < ranges.row(q)[1]; i++) {
                const auto row = static_cast<size_t>(order.values[static_cast<size_t>(i)]);
                bits[row / 8] = static_cast<char>(bits[row / 8] | 1 << (row % 8));
            }
            bitmap = std::make_shared<Bitmap>(bits);
        }
        filters.push_back(bitmap);
    }
    return filters;
}

int build(const char *base_path, const char *metric, const std::string &index_path, size_t threads)
{
    const Vecs<float> base = read_vecs<float>(base_path);
    const auto space = space_of(metric, base.width);
    const clock_t start = clock();
    Graph graph(space.get(), base.count, kM, kEfConstruction, 100);
    std::vector<std::thread> workers;

    graph.addPoint(base.row(0), 0);
    for (size_t t = 0; t < threads; t++) {
        workers.emplace_back([&, t] {
            for (size_t i = 1 + t; i < base.count; i += threads) graph.addPoint(base.row(i), i);
        });
    }
    for (auto &worker : workers) worker.join();
    const double cpu_s = static_cast<double>(clock() - start) / CLOCKS_PER_SEC; /* of all threads */
    graph.saveIndex(index_path);

    const auto size = static_cast<double>(std::ifstream(index_path, std::ios::ate).tellg());
    std::ofstream facts(index_path + ".json");
    char text[128];
    snprintf(text, sizeof text, "{\"build_s\": %.1f, \"bytes_per_vector\": %.1f}", cpu_s,
             size / static_cast<double>(base.count));
    facts << text;
    return facts.flush() ? 0 : 1;
}

using Answers = std::vector<std::vector<hnswlib::labeltype>>;

/* Answers as many queries as there is room for, or as can be in limit_s; returns seconds. */
double pass(const Graph &graph, const Vecs<float> &queries, const Filters &filters, double limit_s,
            Answers &answers)
{
    const auto start = std::chrono::steady_clock::now();
    std::chrono::duration<double> taken{};

    for (size_t q = 0; q < answers.size(); q++) {
        auto found = graph.searchKnn(queries.row(q), kNearest, filters.empty() ? nullptr : filters[q].get());
        answers[q].clear();
        for (; !found.empty(); found.pop()) answers[q].push_back(found.top().second);
        taken = std::chrono::steady_clock::now() - start;
        if (taken.count() > limit_s) answers.resize(q + 1);
    }
    return taken.count();
}

double recall_of(const Answers &answers, const Vecs<int32_t> &truth)
{
    size_t hits = 0, wanted = 0;
    for (size_t q = 0; q < answers.size(); q++) {
        std::set<int64_t> right(truth.row(q), truth.row(q) + std::min(kNearest, truth.width));
        right.erase(-1);
        wanted += right.size();
        for (const auto row : answers[q]) hits += right.count(static_cast<int64_t>(row));
    }
    return wanted > 0 ? static_cast<double>(hits) / static_cast<double>(wanted) : 1.0;
}

int search(const std::string &index_path, const char *metric, const char *query_path, const char *truth_path,
           const Filters &filters, const char *percent, const char *kind = nullptr)
{
    const Vecs<float> queries = read_vecs<float>(query_path);
    const Vecs<int32_t> truth = read_vecs<int32_t>(truth_path);
    const auto space = space_of(metric, queries.width);
    Graph graph(space.get(), index_path);
    const std::string object = read_text(index_path + ".json"),
                      facts = object.substr(1, object.rfind('}') - 1);
    const std::string cfg = percent == nullptr ? "M16"
                                               : std::string("M16-filter") + percent +
                                                     (kind == nullptr ? "" : std::string("-") + kind);
    const std::string share = percent == nullptr ? "" : std::string(", \"filter\": ") + percent;
    double last = -1;

    for (const size_t ef : kEfs) {
        Answers answers(queries.count);
        std::vector<double> taken;
        double sum = 0;
        graph.setEf(ef);
        pass(graph, queries, filters, kSlowS, answers); /* warms, and says how many queries a pass is */
        while (taken.size() < kPasses || sum < kPassesS) {
            taken.push_back(pass(graph, queries, filters, 1e9, answers));
            sum += taken.back();
        }
        std::sort(taken.begin(), taken.end());
        const double recall = recall_of(answers, truth), count = static_cast<double>(answers.size());
        printf("{\"lib\": \"hnswlib\", \"cfg\": \"%s\", %s%s, \"ef\": %zu, ", cfg.c_str(), facts.c_str(),
               share.c_str(), ef);
        printf("\"queries\": %zu, \"recall\": %.5f, \"qps\": %.1f}\n", answers.size(), recall,
               count / taken[taken.size() / 2]);
        fflush(stdout);
        if (recall >= kEnough || recall < last + kGain) break;
        last = recall;
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "build" && argc == 6) return build(argv[2], argv[3], argv[4], strtoul(argv[5], nullptr, 10));
    if (what == "search" && argc == 6) return search(argv[2], argv[3], argv[4], argv[5], {}, nullptr);
    if (what == "search" && argc == 8) {
        const Filters filters(read_vecs<float>(argv[4]).count, std::make_shared<Bitmap>(read_text(argv[6])));
        return search(argv[2], argv[3], argv[4], argv[5], filters, argv[7]);
    }
    if (what == "search" && argc == 10) {
        return search(argv[2], argv[3], argv[4], argv[5], filters_of_ranges(argv[6], argv[8]), argv[7],
                      argv[9]);
    }
    fprintf(stderr, "usage: see the head of bench_hnswlib.cpp\n");
    return 2;
}
