/*
 * Passes of all queries, one query a call of cairn_search, external ids and scores read from the results. The
 * rule: one warm pass; then passes until there are three (or --repeat) and 0.4 seconds (or --seconds) of
 * them; the speed is that of the pass in the middle by its time.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cli/bench.h"
#include "cli/signals.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSES_MIN 3
#define SAMPLES_MAX ((uint64_t)1 << 26)
#define GRAIN 4             /* queries that a thread takes at once */
#define SHOW_NS 1000000u    /* a search that took longer shows progress */
#define SWEEP_RECALL 0.9995 /* the default sweep ends there */
#define EXACT_PASS_SECONDS 1.0

struct pass {
    struct crn_cli_bench *b;
    const struct crn_cli_bench_pass *what;
    uint32_t *times; /* [queries] nanoseconds, saturated at 4.29 s */
    uint64_t deadline_ns;
    _Atomic uint64_t done;
    atomic_bool failed;
    cairn_error err; /* of the first failure */
    const char *_Atomic plan;
    bool quiet;
};

static cairn_status search_one(struct pass *p, uint64_t q, cairn_error *err)
{
    struct crn_cli_bench *b = p->b;
    const struct crn_cli_bench_settings *s = b->settings;
    uint64_t *ids = b->found + q * s->k;
    cairn_results *results;
    float score = 0;

    uint64_t started_ns = crn_clock_ns();
    CRN_TRY(cairn_search(
        b->store.collection,
        CAIRN_OPTIONS(cairn_query, .vector = b->data.queries.floats + q * b->data.queries.columns,
                      .dim = b->data.queries.columns, .k = s->k, .exact = p->what->exact,
                      .ef = s->nprobe ? 0 : p->what->effort, .nprobe = s->nprobe ? p->what->effort : 0,
                      .oversampling = s->oversampling,
                      .filter = p->what->filters != NULL ? p->what->filters[q] : NULL),
        &results, err));
    uint32_t count = (uint32_t)cairn_results_count(results);
    for (uint32_t i = 0; i < count; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        ids[i] = hit->id.u64;
        score += hit->score;
    }
    uint64_t took_ns = crn_clock_ns() - started_ns;
    __asm__ volatile("" : : "r"(&score) : "memory"); /* the scores were read */
    b->found_count[q] = count;
    p->times[q] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;

    cairn_search_info info = {.size = sizeof info};
    cairn_results_info(results, &info);
    atomic_store_explicit(&p->plan, info.plan, memory_order_relaxed); /* static text, any of them will do */
    cairn_results_free(results);
    return CAIRN_OK;
}

static void search_piece(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct pass *p = ctx;
    const uint64_t total = p->b->data.queries.rows;
    cairn_error err = {0};

    for (size_t q = begin; q < end; q++) {
        if (atomic_load_explicit(&p->failed, memory_order_relaxed)) return; /* joined before err is read */
        cairn_status status = crn_cli_interrupted() ? crn_error_set(&err, CAIRN_CANCELLED, "interrupted")
                                                    : search_one(p, q, &err);
        if (status != CAIRN_OK) {
            if (!atomic_exchange(&p->failed, true)) p->err = err;
            return;
        }
        uint64_t done = atomic_fetch_add_explicit(&p->done, 1, memory_order_relaxed) + 1;
        if (worker == 0 && !p->quiet && (p->times[q] > SHOW_NS || done % 256 == 0))
            crn_cli_progress_show(&p->b->progress, p->what->phase, done, done, total);
    }
}

/* Queries of one pass: all, or as many as a limit of its time allows. */
static uint64_t queries_of(const struct pass *p, double seconds_of_one)
{
    uint64_t total = p->b->data.queries.rows;

    if (p->what->max_seconds <= 0 || seconds_of_one <= 0) return total;
    double affordable = p->what->max_seconds / seconds_of_one;
    if (affordable < 1) return 1;
    return affordable < (double)total ? (uint64_t)affordable : total;
}

static cairn_status run_pass(struct pass *p, uint64_t queries, double *out_seconds, cairn_error *err)
{
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    uint64_t started_ns = crn_clock_ns();
    crn_parallel_for(p->b->settings->threads, (size_t)queries, GRAIN, search_piece, p);
    *out_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    if (!atomic_load(&p->failed)) return CAIRN_OK;
    if (err != NULL) *err = p->err;
    return p->err.status;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The value that a share of the sorted samples does not exceed (nearest rank). */
static double percentile(const uint32_t *sorted, uint64_t count, double share)
{
    uint64_t rank = (uint64_t)(share * (double)count);

    if ((double)rank < share * (double)count) rank++;
    return sorted[rank > 0 ? rank - 1 : 0] / 1e9;
}

static double recall_of(struct crn_cli_bench *b, const struct crn_cli_bench_truth *truth, uint64_t queries)
{
    uint64_t right = 0, possible = 0;

    for (uint64_t q = 0; q < queries; q++) {
        uint32_t of;
        right +=
            crn_cli_bench_truth_count(truth, &b->data, q, b->found + q * truth->k, b->found_count[q], &of);
        possible += of;
    }
    return possible > 0 ? (double)right / (double)possible : 1;
}

/* Samples and times of passes, which grow. */
struct record {
    uint32_t *samples;
    double *seconds;
    uint64_t cap;
};

static cairn_status make_room(struct record *r, uint64_t passes, uint64_t queries, cairn_error *err)
{
    if (passes < r->cap) return CAIRN_OK;
    uint64_t cap = r->cap * 2 + PASSES_MIN;
    uint32_t *samples = crn_mem_realloc_array(r->samples, (size_t)(cap * queries), sizeof *samples);
    if (samples != NULL) r->samples = samples;
    double *seconds = crn_mem_realloc_array(r->seconds, (size_t)cap, sizeof *seconds);
    if (seconds != NULL) r->seconds = seconds;
    if (samples == NULL || seconds == NULL) return crn_error_no_memory(err, (size_t)(cap * queries) * 4);
    r->cap = cap;
    return CAIRN_OK;
}

/* Of the warm pass: what a filter costs that was not asked with before. */
static double mean_of_firsts(const struct pass *p, uint64_t queries)
{
    double sum = 0;
    uint64_t count = 0;

    for (uint64_t q = 0; p->what->firsts != NULL && q < queries; q++) {
        if (!p->what->firsts[q]) continue;
        sum += p->times[q] / 1e9;
        count++;
    }
    return count == 0 ? 0 : sum / (double)count;
}

static cairn_status measure(struct pass *p, struct record *r, struct crn_cli_bench_point *out,
                            cairn_error *err)
{
    const struct crn_cli_bench_settings *s = p->b->settings;
    const uint64_t passes_min = s->repeat > 0 ? s->repeat : PASSES_MIN;
    const double seconds_min = p->what->seconds > 0 ? p->what->seconds : s->seconds;
    double warm, total = 0;
    uint64_t passes = 0;

    /* The warm pass; where the time of a pass is limited, it is ten queries, or all, that tell how many. */
    uint64_t queries = p->b->data.queries.rows;
    if (p->what->max_seconds > 0 && queries > 10) queries = 10;
    CRN_TRY(run_pass(p, queries, &warm, err));
    const double first_seconds = mean_of_firsts(p, queries);
    queries = queries_of(p, warm / (double)queries);
    while ((passes < passes_min && p->what->seconds <= 0) || total < seconds_min) {
        if (passes * queries > SAMPLES_MAX) break;
        CRN_TRY(make_room(r, passes, queries, err));
        p->times = r->samples + passes * queries;
        CRN_TRY(run_pass(p, queries, &r->seconds[passes], err));
        total += r->seconds[passes++];
    }

    uint64_t samples = passes * queries;
    double sum = 0;
    for (uint64_t i = 0; i < samples; i++) sum += r->samples[i];
    qsort(r->samples, (size_t)samples, sizeof *r->samples, compare_u32);
    qsort(r->seconds, (size_t)passes, sizeof *r->seconds, compare_double);
    *out = (struct crn_cli_bench_point){.effort = p->what->effort,
                                        .qps = (double)queries / r->seconds[passes / 2],
                                        .mean_seconds = sum / 1e9 / (double)samples,
                                        .p50 = percentile(r->samples, samples, 0.5),
                                        .p90 = percentile(r->samples, samples, 0.9),
                                        .p99 = percentile(r->samples, samples, 0.99),
                                        .p999 = percentile(r->samples, samples, 0.999),
                                        .first_seconds = first_seconds,
                                        .passes = passes,
                                        .searches = samples,
                                        .plan = atomic_load(&p->plan)};
    if (p->what->truth != NULL) out->recall = recall_of(p->b, p->what->truth, queries);
    return CAIRN_OK;
}

cairn_status crn_cli_bench_search(struct crn_cli_bench *b, const struct crn_cli_bench_pass *pass,
                                  struct crn_cli_bench_point *out, cairn_error *err)
{
    struct pass p = {.b = b, .what = pass};
    struct record r = {0};

    uint32_t *warm_times = crn_mem_array((size_t)b->data.queries.rows, sizeof *warm_times);
    p.times = warm_times;
    cairn_status status = warm_times != NULL ? measure(&p, &r, out, err)
                                             : crn_error_no_memory(err, (size_t)b->data.queries.rows * 4);
    crn_mem_free(warm_times);
    crn_mem_free(r.samples);
    crn_mem_free(r.seconds);
    return status;
}

/* The efforts to try: as given; or the default alone where no index is asked; or doubling ones. */
static size_t list_efforts(const struct crn_cli_bench *b, bool indexed, uint32_t out[CRN_CLI_BENCH_LIST_MAX])
{
    const struct crn_cli_bench_settings *s = b->settings;
    size_t count = 0;

    if (s->effort_count > 0) {
        memcpy(out, s->efforts, s->effort_count * sizeof *out);
        return s->effort_count;
    }
    out[count++] = 0;
    if (!indexed) return count;
    uint32_t first = s->nprobe ? 1 : 16;
    uint32_t last = s->nprobe ? 256 : 1024;
    while (!s->nprobe && first < s->k) first *= 2; /* fewer candidates than results are none */
    if (last < first * 16) last = first * 16;
    for (uint32_t effort = first; effort <= last; effort *= 2) out[count++] = effort;
    return count;
}

cairn_status crn_cli_bench_sweep(struct crn_cli_bench *b, cairn_error *err)
{
    uint32_t efforts[CRN_CLI_BENCH_LIST_MAX];
    struct crn_cli_bench_pass pass = {.truth = &b->truth};
    char phase[48];

    pass.phase = "exact search";
    pass.exact = true;
    pass.max_seconds = EXACT_PASS_SECONDS;
    CRN_TRY(crn_cli_bench_search(b, &pass, &b->exact, err));

    pass.exact = false;
    pass.max_seconds = 0;
    CRN_TRY(crn_cli_bench_measure(b, &b->build, err)); /* whether there is an index */
    size_t count = list_efforts(b, b->build.indexed_rows > 0, efforts);
    b->points = crn_mem_calloc(count, sizeof *b->points);
    if (b->points == NULL) return crn_error_no_memory(err, count * sizeof *b->points);
    for (size_t i = 0; i < count; i++) {
        snprintf(phase, sizeof phase, "search, %s %u", b->settings->nprobe ? "nprobe" : "ef", efforts[i]);
        pass.phase = phase;
        pass.effort = efforts[i];
        CRN_TRY(crn_cli_bench_search(b, &pass, &b->points[i], err));
        b->point_count++;
        bool given = b->settings->effort_count > 0;
        if (!given && i > 0 && b->points[i].recall >= SWEEP_RECALL) break;
    }
    return CAIRN_OK;
}
