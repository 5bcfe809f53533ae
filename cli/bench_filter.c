/*
 * Filtered searches. A filter allows a share of the rows: at random, the same ones for every query; or those
 * in the region of the query's nearest row; or those in the region of a row that is far from it, the farthest
 * of a sample. Regions are ranges of places (bench_layout.h), rounded so that queries share filters, as those
 * of users.
 */
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/bench_layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR_SAMPLE 1000
#define ROUNDING 4 /* ranges begin at multiples of a quarter of their length */
#define EXACT_PASS_SECONDS 1.0
#define FILTER_BYTES 64

/* One kind at one selectivity. */
struct filter_set {
    struct crn_cli_bench *b;
    enum crn_cli_bench_filter_kind kind;
    uint64_t matching;
    uint32_t *begins;            /* [queries] first place of the query's range */
    uint32_t *sorted;            /* [queries] queries by it */
    char (*texts)[FILTER_BYTES]; /* [queries] */
    const char **filters;
    bool *firsts; /* [queries] no query before has the same range */
    struct crn_cli_bench_truth truth;
};

const char *crn_cli_bench_filter_name(enum crn_cli_bench_filter_kind kind)
{
    static const char *const names[] = {"random", "correlated", "anticorrelated"};

    return names[kind];
}

/* The farthest of a sample of the rows. */
static uint32_t far_row(const struct crn_cli_bench *b, uint64_t query)
{
    const uint32_t dim = b->data.rows.columns;
    double farthest = -INFINITY;
    uint32_t best = 0;
    struct crn_rng rng;

    crn_rng_init(&rng, b->settings->seed + 2);
    for (unsigned i = 0; i < FAR_SAMPLE; i++) {
        uint32_t row = (uint32_t)crn_rng_below(&rng, b->data.rows.rows);
        double distance = crn_cli_knn_distance(b->data.metric, b->data.rows.floats + (uint64_t)row * dim,
                                               b->data.queries.floats + query * dim, dim);
        if (distance <= farthest) continue;
        farthest = distance;
        best = row;
    }
    return best;
}

/* Where a query's range begins. */
static uint32_t begin_of(const struct filter_set *set, uint64_t query)
{
    const struct crn_cli_bench *b = set->b;

    if (set->kind == CRN_CLI_BENCH_RANDOM) return 0;
    uint32_t row =
        set->kind == CRN_CLI_BENCH_CORRELATED ? b->truth.ids[query * b->truth.k] : far_row(b, query);
    uint64_t middle = b->layout->place[row];
    uint64_t begin = middle > set->matching / 2 ? middle - set->matching / 2 : 0;
    uint64_t step = set->matching / ROUNDING > 0 ? set->matching / ROUNDING : 1;
    uint64_t last = b->data.rows.rows - set->matching;
    begin = begin / step * step;
    return (uint32_t)(begin < last ? begin : last);
}

static int compare_begins(const void *a, const void *b, void *ctx)
{
    const uint32_t *begins = ctx;
    uint32_t x = begins[*(const uint32_t *)a];
    uint32_t y = begins[*(const uint32_t *)b];

    return (x > y) - (x < y);
}

/* The exact answers among the rows of one range, for the queries that ask about it. */
static cairn_status truth_of_range(struct filter_set *set, const uint32_t *queries, uint64_t count,
                                   uint32_t *ids, double *distances, cairn_error *err)
{
    struct crn_cli_bench *b = set->b;
    const uint32_t *order = set->kind == CRN_CLI_BENCH_RANDOM ? b->layout->shuffled : b->layout->order;
    const uint32_t k = b->settings->k;
    const struct crn_cli_knn knn = {.rows = b->data.rows.floats,
                                    .row_ids = order + set->begins[queries[0]],
                                    .row_count = set->matching,
                                    .queries = b->data.queries.floats,
                                    .query_ids = queries,
                                    .query_count = count,
                                    .dim = b->data.rows.columns,
                                    .k = k,
                                    .metric = b->data.metric,
                                    .phase = "ground truth of filters",
                                    .progress = &b->progress};

    CRN_TRY(crn_cli_knn_search(&knn, ids, distances, err));
    for (uint64_t i = 0; i < count; i++) {
        memcpy(set->truth.ids + (uint64_t)queries[i] * k, ids + i * k, k * sizeof *ids);
        memcpy(set->truth.distances + (uint64_t)queries[i] * k, distances + i * k, k * sizeof *distances);
    }
    return CAIRN_OK;
}

static cairn_status make_truth(struct filter_set *set, cairn_error *err)
{
    const uint64_t queries = set->b->data.queries.rows;
    const size_t results = (size_t)queries * set->b->settings->k;
    cairn_status status = CAIRN_OK;

    uint32_t *ids = crn_mem_array(results, sizeof *ids);
    double *distances = crn_mem_array(results, sizeof *distances);
    if (ids == NULL || distances == NULL) status = crn_error_no_memory(err, results * sizeof *distances);
    for (uint32_t q = 0; q < queries; q++) set->sorted[q] = q;
    qsort_r(set->sorted, (size_t)queries, sizeof *set->sorted, compare_begins, set->begins);
    for (uint64_t first = 0; status == CAIRN_OK && first < queries;) {
        uint64_t end = first + 1;
        uint32_t earliest = set->sorted[first];
        for (; end < queries && set->begins[set->sorted[end]] == set->begins[set->sorted[first]]; end++) {
            if (set->sorted[end] < earliest) earliest = set->sorted[end];
        }
        set->firsts[earliest] = true;
        status = truth_of_range(set, set->sorted + first, end - first, ids, distances, err);
        first = end;
    }
    crn_mem_free(ids);
    crn_mem_free(distances);
    return status;
}

static cairn_status prepare(struct filter_set *set, cairn_error *err)
{
    const uint64_t queries = set->b->data.queries.rows;
    const char *field = set->kind == CRN_CLI_BENCH_RANDOM ? "shuffled" : "place";

    set->begins = crn_mem_array((size_t)queries, sizeof *set->begins);
    set->sorted = crn_mem_array((size_t)queries, sizeof *set->sorted);
    set->texts = crn_mem_array((size_t)queries, sizeof *set->texts);
    set->filters = crn_mem_array((size_t)queries, sizeof *set->filters);
    set->firsts = crn_mem_calloc((size_t)queries, sizeof *set->firsts);
    if (set->firsts == NULL || set->begins == NULL || set->sorted == NULL || set->texts == NULL ||
        set->filters == NULL) {
        return crn_error_no_memory(err, (size_t)queries * sizeof *set->texts);
    }
    for (uint64_t q = 0; q < queries; q++) {
        set->begins[q] = begin_of(set, q);
        snprintf(set->texts[q], sizeof set->texts[q], "{\"%s\":{\"$gte\":%u,\"$lt\":%llu}}", field,
                 set->begins[q], (unsigned long long)(set->begins[q] + set->matching));
        set->filters[q] = set->texts[q];
    }
    CRN_TRY(crn_cli_bench_truth_init(&set->truth, queries, set->b->settings->k, err));
    return make_truth(set, err);
}

static cairn_status measure(struct filter_set *set, double selectivity, struct crn_cli_bench_filtered *out,
                            cairn_error *err)
{
    struct crn_cli_bench *b = set->b;
    char phase[48];

    *out = (struct crn_cli_bench_filtered){
        .kind = set->kind, .selectivity = selectivity, .matching = set->matching};
    CRN_TRY(prepare(set, err));
    CRN_TRY(
        crn_cli_bench_filter_out(b, set->kind, selectivity, set->matching, set->begins, &set->truth, err));
    snprintf(phase, sizeof phase, "%s filter %g", crn_cli_bench_filter_name(set->kind), selectivity);
    struct crn_cli_bench_pass pass = {.phase = phase,
                                      .effort = b->points[0].effort,
                                      .filters = set->filters,
                                      .firsts = set->firsts,
                                      .truth = &set->truth};
    CRN_TRY(crn_cli_bench_search(b, &pass, &out->point, err));
    pass.exact = true;
    pass.max_seconds = EXACT_PASS_SECONDS;
    return crn_cli_bench_search(b, &pass, &out->exact, err);
}

static void release(struct filter_set *set)
{
    crn_mem_free(set->begins);
    crn_mem_free(set->sorted);
    crn_mem_free(set->texts);
    crn_mem_free(set->filters);
    crn_mem_free(set->firsts);
    crn_cli_bench_truth_release(&set->truth);
}

cairn_status crn_cli_bench_filter_run(struct crn_cli_bench *b, cairn_error *err)
{
    const struct crn_cli_bench_settings *s = b->settings;
    const unsigned kinds = CRN_CLI_BENCH_ANTICORRELATED + 1;

    if (s->selectivity_count == 0) return CAIRN_OK;
    CRN_TRY(cairn_payload_index_create(b->store.collection, "shuffled", err));
    CRN_TRY(cairn_payload_index_create(b->store.collection, "place", err));
    b->filtered = crn_mem_calloc(s->selectivity_count * kinds, sizeof *b->filtered);
    if (b->filtered == NULL) return crn_error_no_memory(err, s->selectivity_count * sizeof *b->filtered);
    for (unsigned kind = 0; kind < kinds; kind++) {
        for (size_t i = 0; (s->filter_kinds >> kind & 1) != 0 && i < s->selectivity_count; i++) {
            uint64_t matching = (uint64_t)llround(s->selectivities[i] * (double)b->data.rows.rows);
            struct filter_set set = {.b = b,
                                     .kind = (enum crn_cli_bench_filter_kind)kind,
                                     .matching = matching > 0 ? matching : 1};
            cairn_status status = measure(&set, s->selectivities[i], &b->filtered[b->filtered_count], err);
            release(&set);
            if (status != CAIRN_OK) return status;
            b->filtered_count++;
        }
    }
    return CAIRN_OK;
}
