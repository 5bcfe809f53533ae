/* Deleting and inserting again: what is left of recall and memory after half of the rows changed, and changed
 * again. */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/bench.h"

#define BATCH 1000

static cairn_status delete_rows(struct crn_cli_bench *b, const uint32_t *rows, uint64_t count,
                                cairn_error *err)
{
    static cairn_id ids[BATCH];

    for (uint64_t done = 0; done < count;) {
        size_t batch = count - done < BATCH ? (size_t)(count - done) : BATCH;
        uint64_t deleted;
        for (size_t i = 0; i < batch; i++) ids[i] = (cairn_id){.type = CAIRN_ID_U64, .u64 = rows[done + i]};
        CRN_TRY(cairn_delete(b->store.collection, ids, batch, &deleted, err));
        if (deleted != batch) {
            return crn_error_set(err, CAIRN_INTERNAL, "%zu rows were to be deleted, and %llu were", batch,
                                 (unsigned long long)deleted);
        }
        done += batch;
        if (!crn_cli_progress_call(&b->progress, "delete", done, count))
            return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    return CAIRN_OK;
}

static cairn_status run_round(struct crn_cli_bench *b, const uint32_t *rows,
                              struct crn_cli_bench_churned *out, cairn_error *err)
{
    const struct crn_cli_bench_pass pass = {
        .phase = "search after churn", .effort = b->points[0].effort, .truth = &b->truth};
    struct crn_cli_bench_build build = {0};

    CRN_TRY(crn_cli_bench_reopen(b, true, err));
    uint64_t started_ns = crn_clock_ns();
    CRN_TRY(delete_rows(b, rows, out->rows, err));
    CRN_TRY(crn_cli_bench_insert(b, rows, 0, out->rows, "insert again", err));
    out->write_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    CRN_TRY(crn_cli_bench_search(b, &pass, &out->before, err));

    started_ns = crn_clock_ns();
    CRN_TRY(cairn_optimize(b->store.collection, crn_cli_progress_call, &b->progress, err));
    out->optimize_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    CRN_TRY(crn_cli_bench_reopen(b, false, err)); /* memory as that of the fresh build was told */
    CRN_TRY(crn_cli_bench_search(b, &pass, &out->after, err));
    CRN_TRY(crn_cli_bench_measure(b, &build, err));
    out->memory = build.searching;
    out->disk_bytes = build.disk_bytes;
    return CAIRN_OK;
}

cairn_status crn_cli_bench_churn_run(struct crn_cli_bench *b, cairn_error *err)
{
    const uint64_t rounds = b->settings->churn_rounds;
    const uint64_t rows = b->data.rows.rows;
    cairn_status status = CAIRN_OK;
    struct crn_rng rng;

    if (rounds == 0) return CAIRN_OK;
    b->churned = crn_mem_calloc((size_t)rounds, sizeof *b->churned);
    uint32_t *order = crn_mem_array((size_t)rows, sizeof *order);
    if (b->churned == NULL || order == NULL) status = crn_error_no_memory(err, (size_t)rows * sizeof *order);
    for (uint32_t i = 0; status == CAIRN_OK && i < rows; i++) order[i] = i;
    crn_rng_init(&rng, b->settings->seed + 4);
    while (status == CAIRN_OK && b->churned_count < rounds) {
        struct crn_cli_bench_churned *round = &b->churned[b->churned_count];
        *round = (struct crn_cli_bench_churned){.round = b->churned_count + 1, .rows = (rows + 1) / 2};
        for (uint64_t i = 0; i < round->rows; i++) { /* another half each time */
            uint64_t j = i + crn_rng_below(&rng, rows - i);
            uint32_t row = order[i];
            order[i] = order[j];
            order[j] = row;
        }
        status = run_round(b, order, round, err);
        if (status == CAIRN_OK) b->churned_count++;
    }
    crn_mem_free(order);
    return status;
}
