/*
 * What a program has of a database that is there: the time to open it and to answer the first query, then recall and speed of
 * searches by one thread, and the most memory the process ever held. For databases that are too large to be made for each
 * measurement, as `cairn bench` does.
 *
 *   cairn import big.cairn BASE.fvecs --metric l2 --index ivf
 *   bench_search big.cairn QUERIES.fvecs TRUTH.ivecs [NPROBE,NPROBE,...]
 *
 * Ids are the rows' numbers, as import gives them. Without nprobe the index chooses. A pass over all queries comes before those
 * that are measured, and the first of them of all is what it takes with a cold index.
 */
#include "base/clock.h"
#include "cli/matrix.h"

#include <cairn/cairn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K 10

static void must(cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return;
    fprintf(stderr, "bench_search: %s: %s\n", cairn_status_name(status), err->message);
    exit(1);
}

static double ms_since(uint64_t begin_ns)
{
    return (double)(crn_clock_ns() - begin_ns) / 1e6;
}

/* A line of /proc/self/status in MiB; 0 where there is none. */
static double memory_mib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[200];
    double kib = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) kib = strtod(line + strlen(name) + 1, NULL);
    }
    if (file != NULL) fclose(file);
    return kib / 1024;
}

static void tell_memory(void)
{
    printf("memory: %.0f MiB at most, now %.0f anonymous and %.0f of mapped files\n", memory_mib("VmHWM"),
           memory_mib("RssAnon"), memory_mib("RssFile"));
}

static uint64_t number_of(const cairn_id *id)
{
    return id->type == CAIRN_ID_U64 ? id->u64 : strtoull(id->text, NULL, 10);
}

/* How many of the true k nearest are found. */
static size_t search(cairn_collection *collection, const float *vector, uint32_t nprobe,
                     const uint32_t *truth)
{
    cairn_results *results;
    cairn_error err;
    size_t right = 0;

    must(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = K, .nprobe = nprobe),
                      &results, &err),
         &err);
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        const uint64_t id = number_of(&cairn_results_at(results, i)->id);
        for (size_t t = 0; t < K; t++) right += truth[t] == id;
    }
    cairn_results_free(results);
    return right;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(cairn_collection *collection, const struct crn_cli_matrix *queries,
                    const struct crn_cli_matrix *truth, uint32_t nprobe, const char *what)
{
    double *took_ms = malloc(queries->rows * sizeof *took_ms), sum_ms = 0;
    size_t right = 0;

    for (size_t q = 0; q < queries->rows; q++) {
        const uint64_t begin_ns = crn_clock_ns();
        right += search(collection, queries->floats + q * queries->columns, nprobe,
                        truth->ids + q * truth->columns);
        sum_ms += took_ms[q] = ms_since(begin_ns);
    }
    qsort(took_ms, queries->rows, sizeof *took_ms, ascending);
    printf("%s nprobe %u: recall@%d %.4f, %.0f searches/s, p50 %.3f ms, p99 %.3f ms\n", what, nprobe, K,
           (double)right / (double)(K * queries->rows), (double)queries->rows * 1000 / sum_ms,
           took_ms[queries->rows / 2], took_ms[queries->rows * 99 / 100]);
    free(took_ms);
}

int main(int argc, char **argv)
{
    const char *list = argc > 4 ? argv[4] : "0";
    struct crn_cli_matrix queries = {0}, truth = {0};
    cairn_collection *collection;
    cairn_error err;
    cairn_db *db;

    if (argc < 4) {
        fprintf(stderr, "usage: bench_search DB QUERIES TRUTH [NPROBE,...]\n");
        return 2;
    }
    must(crn_cli_matrix_read_floats(argv[2], NULL, UINT64_MAX, NULL, &queries, &err), &err);
    must(crn_cli_matrix_read_ids(argv[3], NULL, UINT64_MAX, &truth, &err), &err);
    const uint64_t begin_ns = crn_clock_ns();
    must(cairn_open(argv[1], CAIRN_OPTIONS(cairn_open_options, .must_exist = true, .no_background = true),
                    &db, &err),
         &err);
    must(cairn_collection_open(db, "default", NULL, &collection, &err), &err);
    printf("open: %.1f ms\n", ms_since(begin_ns));
    (void)search(collection, queries.floats, 0, truth.ids);
    printf("open and first search: %.1f ms\n", ms_since(begin_ns));
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        const uint32_t nprobe = (uint32_t)strtoul(at, NULL, 10);
        measure(collection, &queries, &truth, nprobe, "first");
        measure(collection, &queries, &truth, nprobe, "again");
    }
    tell_memory();
    cairn_collection_close(collection);
    cairn_close(db);
    crn_cli_matrix_release(&queries);
    crn_cli_matrix_release(&truth);
    return 0;
}
