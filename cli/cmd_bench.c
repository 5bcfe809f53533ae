/* cairn bench: a quick measurement on made-up data in a temporary database. */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "cli/bench_data.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/store.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 1000

static const char *folder;
static uint64_t rows = 20000;
static uint64_t dim = 128;
static uint64_t queries = 200;
static uint64_t k = 10;
static uint64_t ef;
static uint64_t seed = 1;
static bool json, keep;
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_COUNT("rows", "N", 1, 100000000, rows, "vectors (default: 20000)"),
    CRN_CLI_OPTION_COUNT("dim", "N", 1, CAIRN_DIM_MAX, dim, "components of one (default: 128)"),
    CRN_CLI_OPTION_COUNT("queries", "N", 1, 1000000, queries,
                         "searches, of vectors that are not stored (default: 200)"),
    CRN_CLI_OPTION_COUNT("k", "N", 1, 10000, k, "results of a search (default: 10)", .letter = 'k'),
    CRN_CLI_OPTION_COUNT("ef", "N", 1, UINT32_MAX, ef, "candidates a graph index keeps"),
    CRN_CLI_OPTION_COUNT("seed", "N", 0, UINT64_MAX, seed, "of the made-up data (default: 1)"),
    CRN_CLI_OPTION_TEXT("dir", "FOLDER", folder,
                        "where the database lies meanwhile (default: TMPDIR, or /tmp)"),
    CRN_CLI_OPTION_FLAG("keep", keep, "leave the database there"),
    CRN_CLI_OPTION_FLAG("json", json, "print the numbers as a JSON object"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

struct bench {
    struct crn_cli_store store;
    struct crn_cli_bench_data data;
    struct crn_cli_progress progress;
    char *home;             /* the temporary folder */
    float *batch, *targets; /* [BATCH][dim], [queries][dim] */
    uint64_t *truth;        /* [queries][k] ids of the exact results */
    double *times;          /* [queries] seconds of each search */
    double insert_seconds, optimize_seconds, search_seconds, exact_seconds;
    double p50, p99, recall;
};

static cairn_status insert(struct bench *b, cairn_error *err)
{
    static cairn_pattern patterns[BATCH];
    uint64_t started_ns = crn_clock_ns();

    for (uint64_t done = 0; done < rows;) {
        size_t count = rows - done < BATCH ? (size_t)(rows - done) : BATCH;
        for (size_t i = 0; i < count; i++) {
            float *vector = b->batch + i * dim;
            crn_cli_bench_data_next(&b->data, vector);
            patterns[i] = (cairn_pattern){.size = sizeof patterns[i],
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = done + i,
                                          .vector = vector,
                                          .dim = (uint32_t)dim};
        }
        CRN_TRY(cairn_insert(b->store.collection, patterns, count, err));
        done += count;
        if (!crn_cli_progress_call(&b->progress, "insert", done, rows))
            return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    b->insert_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;

    started_ns = crn_clock_ns();
    CRN_TRY(cairn_optimize(b->store.collection, crn_cli_progress_call, &b->progress, err));
    b->optimize_seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    return CAIRN_OK;
}

/* Ids of the results that are among `truth`. */
static size_t count_found(const cairn_results *results, const uint64_t *truth)
{
    size_t found = 0;

    for (size_t i = 0; i < cairn_results_count(results); i++) {
        for (size_t t = 0; t < k; t++) {
            if (truth[t] != cairn_results_at(results, i)->id.u64) continue;
            found++;
            break;
        }
    }
    return found;
}

/* All queries once; exact ones fill the truth, others are compared with it. */
static cairn_status search(struct bench *b, bool exact, double *out_seconds, cairn_error *err)
{
    size_t found = 0;
    uint64_t possible = rows < k ? rows : k;

    *out_seconds = 0;
    for (uint64_t q = 0; q < queries; q++) {
        cairn_results *results;
        uint64_t *truth = b->truth + q * k;
        uint64_t started_ns = crn_clock_ns();
        CRN_TRY(cairn_search(b->store.collection,
                             CAIRN_OPTIONS(cairn_query, .vector = b->targets + q * dim, .dim = (uint32_t)dim,
                                           .k = (uint32_t)k, .exact = exact, .ef = (uint32_t)ef),
                             &results, err));
        b->times[q] = (double)(crn_clock_ns() - started_ns) / 1e9;
        *out_seconds += b->times[q];
        for (size_t i = 0; exact && i < k; i++) {
            const cairn_hit *hit = cairn_results_at(results, i);
            truth[i] = hit != NULL ? hit->id.u64 : UINT64_MAX;
        }
        if (!exact) found += count_found(results, truth);
        cairn_results_free(results);
        if (crn_cli_interrupted()) return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    b->recall = (double)found / (double)(queries * possible);
    return CAIRN_OK;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static cairn_status measure(struct bench *b, cairn_error *err)
{
    double ignored;

    CRN_TRY(insert(b, err));
    for (uint64_t q = 0; q < queries; q++) crn_cli_bench_data_next(&b->data, b->targets + q * dim);
    CRN_TRY(search(b, true, &b->exact_seconds, err));
    CRN_TRY(search(b, false, &ignored, err)); /* once to warm up */
    CRN_TRY(search(b, false, &b->search_seconds, err));
    qsort(b->times, queries, sizeof *b->times, compare_times);
    b->p50 = b->times[queries / 2];
    b->p99 = b->times[queries * 99 / 100];
    return CAIRN_OK;
}

static cairn_status open_all(struct bench *b, cairn_error *err)
{
    char path[4096];
    const char *temporary = getenv("TMPDIR");

    if (folder == NULL) folder = temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp";
    snprintf(path, sizeof path, "%s/cairn-bench-XXXXXX", folder);
    if (mkdtemp(path) == NULL) return crn_error_errno(err, errno, "cannot make a folder in", folder);
    b->home = crn_mem_strdup(path);
    b->batch = crn_mem_array(BATCH * dim, sizeof *b->batch);
    b->targets = crn_mem_array(queries * dim, sizeof *b->targets);
    b->truth = crn_mem_array(queries * k, sizeof *b->truth);
    b->times = crn_mem_array(queries, sizeof *b->times);
    if (b->home == NULL || b->batch == NULL || b->targets == NULL || b->truth == NULL || b->times == NULL ||
        !crn_cli_bench_data_init(&b->data, (uint32_t)dim, seed)) {
        return crn_error_no_memory(err, queries * dim * sizeof *b->targets);
    }
    strncat(path, "/bench.cairn", sizeof path - strlen(path) - 1);
    CRN_TRY(crn_cli_store_open_db(&b->store, path, CRN_CLI_CREATE, err));
    return cairn_collection_open(b->store.db, "bench",
                                 CAIRN_OPTIONS(cairn_collection_options, .dim = (uint32_t)dim),
                                 &b->store.collection, err);
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static void close_all(struct bench *b)
{
    crn_cli_store_close(&b->store);
    if (b->home != NULL && !keep) nftw(b->home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (b->home != NULL && keep) crn_cli_note("the database is %s/bench.cairn", b->home);
    crn_mem_free(b->home);
    crn_mem_free(b->batch);
    crn_mem_free(b->targets);
    crn_mem_free(b->truth);
    crn_mem_free(b->times);
    crn_cli_bench_data_release(&b->data);
}

static void print_json(const struct bench *b)
{
    printf("{\"rows\":%llu,\"dim\":%llu,\"queries\":%llu,\"k\":%llu,\"seed\":%llu,\"insert_seconds\":%.6f,"
           "\"insert_rate\":%.1f,\"optimize_seconds\":%.6f,\"search_qps\":%.1f,\"search_p50_ms\":%.6f,"
           "\"search_p99_ms\":%.6f,\"exact_qps\":%.1f,\"recall\":%.6f}\n",
           (unsigned long long)rows, (unsigned long long)dim, (unsigned long long)queries,
           (unsigned long long)k, (unsigned long long)seed, b->insert_seconds,
           (double)rows / b->insert_seconds, b->optimize_seconds, (double)queries / b->search_seconds,
           b->p50 * 1e3, b->p99 * 1e3, (double)queries / b->exact_seconds, b->recall);
}

static void put_rate(struct crn_cli_table *table, const char *name, double rate, const char *unit)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, name);
    crn_cli_table_cell(table, "%s %s", crn_cli_count((uint64_t)rate, &number), unit);
}

static void put_time(struct crn_cli_table *table, const char *name, double seconds)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, name);
    crn_cli_table_text(table, crn_cli_duration(seconds, &number));
}

static cairn_status print_table(const struct bench *b, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "", .style = CRN_CLI_FAINT},
                                                    {.title = "", .right = true}};
    struct crn_cli_table table;

    printf("%llu clustered vectors of %llu components, %llu searches for %llu, one thread\n",
           (unsigned long long)rows, (unsigned long long)dim, (unsigned long long)queries,
           (unsigned long long)k);
    crn_cli_table_init(&table, columns, 2);
    put_rate(&table, "insert, durable, 1000 a transaction", (double)rows / b->insert_seconds, "rows/s");
    put_time(&table, "building the index", b->optimize_seconds);
    put_rate(&table, "search", (double)queries / b->search_seconds, "/s");
    put_time(&table, "search, median", b->p50);
    put_time(&table, "search, 99 of 100 below", b->p99);
    put_rate(&table, "exact search", (double)queries / b->exact_seconds, "/s");
    crn_cli_table_cell(&table, "recall@%llu against exact", (unsigned long long)k);
    crn_cli_table_cell(&table, "%.4f", b->recall);
    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    return status;
}

static int run(void)
{
    struct bench b = {0};
    cairn_error err;

    crn_cli_progress_begin(&b.progress, "rows");
    cairn_status status = open_all(&b, &err);
    if (status == CAIRN_OK) status = measure(&b, &err);
    crn_cli_progress_end(&b.progress);
    if (status == CAIRN_OK && json) print_json(&b);
    if (status == CAIRN_OK && !json) status = print_table(&b, &err);
    close_all(&b);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_bench = {
    .name = "bench",
    .summary = "Measures insertion, search and recall on made-up data",
    .detail =
        "The data are clusters of an intrinsic dimension like that of text embeddings; the queries are\n"
        "drawn from the same ones and are not stored. Numbers of one machine compare with each other,\n"
        "not with those of other data.",
    .examples = "cairn bench\n"
                "cairn bench --rows 100000 --dim 384 --json",
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_progress_group),
    .run = run,
};
