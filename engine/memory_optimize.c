/* cairn_memory_optimize: plans, measures, carries out, measures again. */
#include "engine/memory_plan.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MERGE_SIMILARITY 0.95
#define MIN_CONFIDENCE 0.3
#define MIN_USAGE 2
#define MAX_AGE_DAYS 30.0
#define DAY_MS 86400000.0

#define SAMPLES_MAX 16u
#define SAMPLE_K 10u

/* Vectors of rows that stay, to search by before and after. */
struct sample {
    const char *domain;
    float *vectors; /* [count][dim] */
    size_t count;
    uint32_t dim;
};

/* ---- options ---- */

static cairn_status check_options(const cairn_memory_options *options, cairn_error *err)
{
    CRN_TRY(crn_check_size("cairn_memory_options", options->size, sizeof *options, err));
    CRN_TRY(crn_check_name("domain", options->domain, err));
    if (!(options->merge_similarity >= 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "merge_similarity %g is negative",
                             options->merge_similarity);
    }
    if (!(options->min_confidence >= 0 && options->min_confidence <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "min_confidence %g is not between 0 and 1",
                             options->min_confidence);
    }
    if (options->min_usage < 0 || !(options->max_age_days >= 0 && options->max_age_days <= 1e6)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "min_usage %lld or max_age_days %g is out of range",
                             (long long)options->min_usage, options->max_age_days);
    }
    return CAIRN_OK;
}

static struct crn_plan_limits fill_limits(const cairn_memory_options *options)
{
    const int64_t now_ms = options->now_ms != 0 ? options->now_ms : crn_clock_ms();
    const double max_age_days = options->max_age_days > 0 ? options->max_age_days : MAX_AGE_DAYS;

    return (struct crn_plan_limits){
        .domain = options->domain,
        .merge_similarity = options->merge_similarity > 0 ? options->merge_similarity : MERGE_SIMILARITY,
        .min_confidence = options->min_confidence > 0 ? options->min_confidence : MIN_CONFIDENCE,
        .min_usage = options->min_usage > 0 ? options->min_usage : MIN_USAGE,
        .oldest_ms = options->no_prune ? INT64_MIN : now_ms - (int64_t)(max_age_days * DAY_MS),
        .now_ms = now_ms,
    };
}

/* ---- measuring ---- */

/* Rows that stay, evenly spaced over the plan. */
static cairn_status take_sample(const struct crn_plan *plan, struct crn_reader *reader,
                                const struct crn_space *space, struct sample *sample, cairn_error *err)
{
    const size_t step = plan->count / SAMPLES_MAX + 1;
    cairn_status status = CAIRN_OK;
    struct crn_buf memory;

    if (space->kind != CAIRN_SPACE_DENSE) return CAIRN_OK;
    sample->dim = space->dim;
    sample->vectors = crn_mem_array((size_t)SAMPLES_MAX * space->dim, sizeof *sample->vectors);
    if (sample->vectors == NULL)
        return crn_error_no_memory(err, SAMPLES_MAX * space->dim * sizeof *sample->vectors);
    crn_buf_init(&memory, SIZE_MAX / 2);
    for (size_t i = 0; status == CAIRN_OK && i < plan->count; i += step) {
        size_t offset, size;

        if (plan->rows[i].merged || plan->rows[i].pruned) continue;
        crn_buf_clear(&memory);
        status = crn_read_vector(reader, space->id, plan->rows[i].local, &memory, &offset, &size, err);
        if (status != CAIRN_OK || size != space->dim * sizeof *sample->vectors) continue;
        memcpy(sample->vectors + sample->count++ * space->dim, memory.data + offset, size);
    }
    crn_buf_release(&memory);
    return status;
}

static int order_times(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* The median time of a search over the sample; the first one is made twice, because it may have to load what
 * all need. */
static cairn_status time_searches(cairn_collection *collection, const struct sample *sample,
                                  double *out_median_ms, cairn_error *err)
{
    uint64_t times[SAMPLES_MAX];

    *out_median_ms = 0;
    if (sample->count == 0) return CAIRN_OK;
    for (size_t run = 0; run <= sample->count; run++) {
        const size_t i = run > 0 ? run - 1 : 0;
        const cairn_query query = {
            .size = sizeof query,
            .vector = sample->vectors + i * sample->dim,
            .k = SAMPLE_K,
            .domain = sample->domain,
        };
        cairn_results *results;
        const uint64_t begin = crn_clock_ns();
        CRN_TRY(cairn_search(collection, &query, &results, err));
        times[i] = crn_clock_ns() - begin;
        cairn_results_free(results);
    }
    qsort(times, sample->count, sizeof *times, order_times);
    const uint64_t median = times[sample->count / 2];
    *out_median_ms = (double)median / 1e6;
    return CAIRN_OK;
}

/* ---- all of it ---- */

static cairn_status plan_and_sample(cairn_collection *collection, const struct crn_plan_limits *limits,
                                    struct crn_plan *plan, struct sample *sample, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    cairn_status status = crn_plan_make(plan, reader, catalog, limits, err);
    if (status == CAIRN_OK) status = take_sample(plan, reader, &catalog->spaces[0], sample, err);
    crn_store_read_end(reader);
    return status;
}

static void report_plan(const struct crn_plan *plan, cairn_memory_report *report)
{
    report->patterns_before = plan->count;
    report->patterns_consolidated = plan->merge_count;
    report->patterns_pruned = plan->pruned_count;
    for (size_t i = 0; i < plan->count; i++) report->space_saved_bytes += (int64_t)plan->rows[i].bytes;
}

static cairn_status carry_out(cairn_collection *collection, const struct crn_plan *plan,
                              const struct crn_plan_limits *limits, const struct sample *sample,
                              cairn_memory_report *report, cairn_error *err)
{
    struct crn_plan_done done = {0};

    CRN_TRY(time_searches(collection, sample, &report->search_before_ms, err));
    CRN_TRY(crn_plan_apply(plan, collection, limits, &done, err));
    report->patterns_consolidated = done.merged;
    report->patterns_pruned = done.pruned;
    report->space_saved_bytes = (int64_t)done.bytes;
    crn_maintenance_notice(collection, done.merged + done.pruned);
    /* It is done, so a measurement that fails must not say that it was not. */
    if (time_searches(collection, sample, &report->search_after_ms, NULL) != CAIRN_OK)
        report->search_after_ms = 0;
    return CAIRN_OK;
}

cairn_status cairn_memory_optimize(cairn_collection *collection, const cairn_memory_options *options,
                                   cairn_memory_report *out_report, cairn_error *err)
{
    const cairn_memory_options defaults = {.size = sizeof defaults};
    cairn_memory_report report = {0};
    struct crn_plan plan = {0};

    if (collection == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "collection is NULL");
    if (options == NULL) options = &defaults;
    CRN_TRY(check_options(options, err));
    if (!options->dry_run) {
        if (crn_store_read_only(crn_collection_store(collection))) {
            return crn_error_set(err, CAIRN_READ_ONLY, "'%s' was opened read-only",
                                 crn_store_path(crn_collection_store(collection)));
        }
        CRN_TRY(crn_collection_flush_uses(collection, err)); /* so that no use is missing from the sums */
    }
    const struct crn_plan_limits limits = fill_limits(options);
    struct sample sample = {.domain = options->domain};
    cairn_status status = plan_and_sample(collection, &limits, &plan, &sample, err);
    if (status == CAIRN_OK) {
        report_plan(&plan, &report);
        const bool nothing = plan.merge_count == 0 && plan.pruned_count == 0;
        if (!options->dry_run && !nothing)
            status = carry_out(collection, &plan, &limits, &sample, &report, err);
    }
    if (status == CAIRN_OK && out_report != NULL) *out_report = report;
    crn_plan_release(&plan);
    crn_mem_free(sample.vectors);
    return status;
}
