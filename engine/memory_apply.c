/*
 * Carrying a plan out, in one transaction: all of it is there after a crash, or nothing. Rows are looked at
 * once more inside, because others write while a plan is made: what has another version, is gone or was used
 * meanwhile is let alone.
 */
#include "engine/collection.h"
#include "engine/memory_plan.h"

#include "base/error.h"

#include <string.h>

struct apply_job {
    cairn_collection *collection;
    const struct crn_plan *plan;
    const struct crn_plan_limits *limits;
    struct crn_plan_done done;
    struct crn_buf survivor_memory, memory;
};

/* *out_same is false when the row is gone or no more what it was. */
static cairn_status read_again(struct crn_txn *txn, const struct crn_catalog *catalog,
                               const struct crn_plan_row *row, struct crn_buf *memory,
                               struct crn_record *out_record, bool *out_same, cairn_error *err)
{
    crn_buf_clear(memory);
    const cairn_status status = crn_txn_record(txn, catalog, row->local, false, memory, out_record, err);
    *out_same = status == CAIRN_OK && out_record->version == row->version;
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

static bool is_same_kind(const struct crn_record *a, const struct crn_record *b)
{
    return strcmp(a->domain, b->domain) == 0 && strcmp(a->agent, b->agent) == 0 &&
           strcmp(a->type, b->type) == 0;
}

static int64_t sum(int64_t a, int64_t b)
{
    int64_t result;

    return __builtin_add_overflow(a, b, &result) ? INT64_MAX : result;
}

/* Merges[0..count) into the survivor they share. */
static cairn_status apply_merges(struct apply_job *job, struct crn_txn *txn,
                                 const struct crn_catalog *catalog, const struct crn_plan_merge *merges,
                                 size_t count, cairn_error *err)
{
    const struct crn_plan_row *rows = job->plan->rows;
    struct crn_record survivor, merged;
    uint64_t absorbed = 0;
    bool same;

    CRN_TRY(
        read_again(txn, catalog, &rows[merges[0].survivor], &job->survivor_memory, &survivor, &same, err));
    if (!same) return CAIRN_OK;
    for (size_t i = 0; i < count; i++) {
        CRN_TRY(read_again(txn, catalog, &rows[merges[i].merged], &job->memory, &merged, &same, err));
        if (!same || !is_same_kind(&survivor, &merged)) continue;
        survivor.usage_count = sum(survivor.usage_count, merged.usage_count);
        survivor.success_count = sum(survivor.success_count, merged.success_count);
        if (merged.last_used_ms > survivor.last_used_ms) survivor.last_used_ms = merged.last_used_ms;
        CRN_TRY(crn_txn_delete(txn, catalog, merged.local, err));
        job->done.bytes += rows[merges[i].merged].bytes;
        absorbed++;
    }
    if (absorbed == 0) return CAIRN_OK;
    job->done.merged += absorbed;
    survivor.version++;
    return crn_txn_put(txn, catalog, &survivor, true, err);
}

static cairn_status apply_prune(struct apply_job *job, struct crn_txn *txn, const struct crn_catalog *catalog,
                                const struct crn_plan_row *row, cairn_error *err)
{
    struct crn_record record;
    bool same;

    CRN_TRY(read_again(txn, catalog, row, &job->memory, &record, &same, err));
    if (!same || record.usage_count >= job->limits->min_usage)
        return CAIRN_OK; /* use leaves the version as it is */
    CRN_TRY(crn_txn_delete(txn, catalog, row->local, err));
    job->done.pruned++;
    job->done.bytes += row->bytes;
    return CAIRN_OK;
}

static cairn_status run_plan(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct apply_job *job = ctx;
    const struct crn_plan *plan = job->plan;
    const struct crn_catalog *catalog;
    size_t end;

    job->done = (struct crn_plan_done){0}; /* a group that is retried runs its jobs again */
    CRN_TRY(crn_collection_follow_txn(job->collection, txn, &catalog, err));
    for (size_t first = 0; first < plan->merge_count; first = end) {
        for (end = first;
             end < plan->merge_count && plan->merges[end].survivor == plan->merges[first].survivor;)
            end++;
        CRN_TRY(apply_merges(job, txn, catalog, plan->merges + first, end - first, err));
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->rows[i].pruned) CRN_TRY(apply_prune(job, txn, catalog, &plan->rows[i], err));
    }
    return CAIRN_OK;
}

static void plan_committed(void *ctx, uint64_t sequence)
{
    const struct apply_job *job = ctx;
    crn_collection_catch_up(job->collection, sequence);
}

cairn_status crn_plan_apply(const struct crn_plan *plan, cairn_collection *collection,
                            const struct crn_plan_limits *limits, struct crn_plan_done *out_done,
                            cairn_error *err)
{
    struct apply_job job = {.collection = collection, .plan = plan, .limits = limits};
    const struct crn_write_job write = {.run = run_plan, .committed = plan_committed, .ctx = &job};

    crn_buf_init(&job.survivor_memory, SIZE_MAX / 2);
    crn_buf_init(&job.memory, SIZE_MAX / 2);
    const cairn_status status = crn_store_write(crn_collection_store(collection), &write, err);
    if (status == CAIRN_OK) *out_done = job.done;
    crn_buf_release(&job.survivor_memory);
    crn_buf_release(&job.memory);
    return status;
}
