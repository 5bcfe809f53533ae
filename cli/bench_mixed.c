/* Reading while a thread writes at its full rate: the same searches without it and with it. */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define BATCH 100   /* rows of a transaction */
#define JITTER 0.05 /* new rows are stored ones, each component changed by so much of itself */

struct writer {
    struct crn_cli_bench *b;
    struct crn_rng rng;
    float *vectors; /* [BATCH][dim] */
    uint64_t inserted;
    double seconds;
    atomic_bool stop;
    cairn_status status;
    cairn_error err;
};

static void make_row(struct writer *w, float *out)
{
    const struct crn_cli_matrix *rows = &w->b->data.rows;
    const float *row = rows->floats + crn_rng_below(&w->rng, rows->rows) * rows->columns;

    for (uint32_t i = 0; i < rows->columns; i++) {
        out[i] = row[i] * (float)(1 + JITTER * crn_rng_normal(&w->rng));
    }
}

static void *write_rows(void *ctx)
{
    struct writer *w = ctx;
    const uint32_t dim = w->b->data.rows.columns;
    cairn_pattern patterns[BATCH];
    uint64_t started_ns = crn_clock_ns();

    while (w->status == CAIRN_OK && !atomic_load(&w->stop)) {
        for (size_t i = 0; i < BATCH; i++) {
            make_row(w, w->vectors + i * dim);
            patterns[i] = (cairn_pattern){.size = sizeof patterns[i],
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = w->b->data.rows.rows + w->inserted + i,
                                          .vector = w->vectors + i * dim,
                                          .dim = dim};
        }
        w->status = cairn_insert(w->b->store.collection, patterns, BATCH, &w->err);
        if (w->status == CAIRN_OK) w->inserted += BATCH;
    }
    w->seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    return NULL;
}

static cairn_status search_together(struct crn_cli_bench *b, const struct crn_cli_bench_pass *pass,
                                    struct writer *w, cairn_error *err)
{
    pthread_t thread;

    int failed = pthread_create(&thread, NULL, write_rows, w);
    if (failed != 0) return crn_error_errno(err, failed, "cannot start", "a thread that writes");
    cairn_status status = crn_cli_bench_search(b, pass, &b->mixed.together, err);
    atomic_store(&w->stop, true);
    pthread_join(thread, NULL);
    if (status != CAIRN_OK || w->status == CAIRN_OK) return status;
    *err = w->err;
    return w->status;
}

cairn_status crn_cli_bench_mixed_run(struct crn_cli_bench *b, cairn_error *err)
{
    const double seconds = b->settings->mixed_seconds;
    struct crn_cli_bench_pass pass = {
        .phase = "searches alone", .effort = b->points[0].effort, .max_seconds = seconds, .seconds = seconds};
    struct writer w = {.b = b};

    if (seconds <= 0) return CAIRN_OK;
    CRN_TRY(crn_cli_bench_reopen(b, true, err));
    CRN_TRY(crn_cli_bench_search(b, &pass, &b->mixed.alone, err));

    w.vectors = crn_mem_array((size_t)BATCH * b->data.rows.columns, sizeof *w.vectors);
    if (w.vectors == NULL) return crn_error_no_memory(err, BATCH * b->data.rows.columns * sizeof *w.vectors);
    crn_rng_init(&w.rng, b->settings->seed + 3);
    pass.phase = "searches while a thread inserts";
    cairn_status status = search_together(b, &pass, &w, err);
    crn_mem_free(w.vectors);
    b->mixed.seconds = seconds;
    b->mixed.batch = BATCH;
    b->mixed.inserted = w.inserted;
    b->mixed.insert_seconds = w.seconds;
    return status;
}
