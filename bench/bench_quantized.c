/*
 * bench_quantized: searches by scan through the public API, without an index, for each quantization: how long
 * the rows take to be written and made ready, searches a second on one thread, and recall@10 against exact
 * search.
 *
 *   bench_quantized BASE.fvecs QUERY.fvecs [--metric cosine|l2|dot|manhattan] [--queries N]
 *                   [--oversampling X] [--only NAME]
 *
 * The database is made in $TMPDIR (/tmp) and removed. Each search has one query, as an application's would.
 */
#include "base/clock.h"

#include <cairn/cairn.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define K 10
#define BATCH 2000

struct rows {
    float *values;
    size_t n, dim;
};

struct options {
    cairn_metric metric;
    size_t queries;
    double oversampling;
    const char *only;
};

static const struct {
    const char *name;
    cairn_quantization quantization;
} quantizations[] = {{"none", CAIRN_QUANTIZATION_NONE},       {"f16", CAIRN_QUANTIZATION_F16},
                     {"scalar", CAIRN_QUANTIZATION_SCALAR},   {"scalar4", CAIRN_QUANTIZATION_SCALAR4},
                     {"product", CAIRN_QUANTIZATION_PRODUCT}, {"binary", CAIRN_QUANTIZATION_BINARY}};

static void fail(const char *what)
{
    fprintf(stderr, "bench_quantized: %s\n", what);
    exit(1);
}

static void check(cairn_status status, const cairn_error *err)
{
    if (status != CAIRN_OK) fail(err->message);
}

static struct rows read_fvecs(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct rows rows;
    int32_t dim;

    if (file == NULL || fread(&dim, 4, 1, file) != 1 || dim < 1) fail(path);
    fseek(file, 0, SEEK_END);
    rows.dim = (size_t)dim;
    rows.n = (size_t)ftell(file) / (4 + 4 * rows.dim);
    rows.values = malloc(rows.n * rows.dim * sizeof *rows.values);
    if (rows.values == NULL) fail("out of memory");
    rewind(file);
    for (size_t i = 0; i < rows.n; i++) {
        if (fread(&dim, 4, 1, file) != 1 || fread(rows.values + i * rows.dim, 4, rows.dim, file) != rows.dim)
            fail(path);
    }
    fclose(file);
    return rows;
}

static double seconds_since(uint64_t start)
{
    return (double)(crn_clock_ns() - start) * 1e-9;
}

static void insert(cairn_collection *notes, const struct rows *rows)
{
    static cairn_pattern patterns[BATCH];
    cairn_error err;

    for (size_t begin = 0; begin < rows->n; begin += BATCH) {
        const size_t count = rows->n - begin < BATCH ? rows->n - begin : BATCH;

        for (size_t i = 0; i < count; i++) {
            patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = begin + i,
                                          .vector = rows->values + (begin + i) * rows->dim};
        }
        check(cairn_insert(notes, patterns, count, &err), &err);
    }
}

static void search(cairn_collection *notes, const float *query, const struct options *options, bool exact,
                   uint64_t ids[K])
{
    cairn_results *results;
    cairn_error err;

    check(cairn_search(notes,
                       CAIRN_OPTIONS(cairn_query, .vector = query, .k = K, .exact = exact,
                                     .oversampling = options->oversampling),
                       &results, &err),
          &err);
    for (size_t i = 0; i < K; i++)
        ids[i] = i < cairn_results_count(results) ? cairn_results_at(results, i)->id.u64 : UINT64_MAX;
    cairn_results_free(results);
}

static void measure(size_t which, const struct rows *rows, const struct rows *queries,
                    const struct options *options, const char *folder)
{
    const size_t count = queries->n < options->queries ? queries->n : options->queries;
    uint64_t *truth = malloc(count * K * sizeof *truth), ids[K];
    cairn_collection *notes;
    char path[400];
    size_t found = 0;
    double least = 1e9;
    cairn_error err;
    cairn_db *db;

    snprintf(path, sizeof path, "%s/%s.cairn", folder, quantizations[which].name);
    check(cairn_open(path,
                     CAIRN_OPTIONS(cairn_open_options, .no_background = true, .tail_rows_max = UINT32_MAX),
                     &db, &err),
          &err);
    check(cairn_collection_open(
              db, "rows",
              CAIRN_OPTIONS(cairn_collection_options, .dim = (uint32_t)rows->dim, .metric = options->metric,
                            .quantization = quantizations[which].quantization, .index = "flat"),
              &notes, &err),
          &err);
    uint64_t start = crn_clock_ns();
    insert(notes, rows);
    const double inserted = seconds_since(start);
    start = crn_clock_ns();
    check(cairn_optimize(notes, NULL, NULL, &err), &err);
    const double ready = seconds_since(start);
    for (size_t q = 0; q < count; q++)
        search(notes, queries->values + q * rows->dim, options, true, truth + q * K);
    for (int round = 0; round < 5; round++) {
        start = crn_clock_ns();
        for (size_t q = 0; q < count; q++) {
            search(notes, queries->values + q * rows->dim, options, false, ids);
            for (size_t i = 0; round == 0 && i < K * K; i++) found += ids[i / K] == truth[q * K + i % K];
        }
        if (seconds_since(start) < least) least = seconds_since(start);
    }
    printf("%-8s %9.2f %9.2f %10.0f %9.4f\n", quantizations[which].name, inserted, ready,
           (double)count / least, (double)found / (double)(count * K));
    fflush(stdout);
    cairn_collection_close(notes);
    cairn_close(db);
    free(truth);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static struct options parse(int argc, char **argv)
{
    static const char *const metrics[] = {"cosine", "l2", "dot", "manhattan"};
    struct options options = {.metric = CAIRN_METRIC_COSINE, .queries = 500};

    if (argc < 3 || argc % 2 == 0)
        fail("usage: bench_quantized BASE.fvecs QUERY.fvecs [--metric M] [--queries N] ...");
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--metric") == 0) {
            for (int m = 0; m < 4; m++) {
                if (strcmp(argv[i + 1], metrics[m]) == 0) options.metric = (cairn_metric)(m + 1);
            }
        } else if (strcmp(argv[i], "--queries") == 0) {
            options.queries = strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--oversampling") == 0) {
            options.oversampling = strtod(argv[i + 1], NULL);
        } else if (strcmp(argv[i], "--only") == 0) {
            options.only = argv[i + 1];
        } else {
            fail(argv[i]);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    const struct options options = parse(argc, argv);
    const struct rows rows = read_fvecs(argv[1]), queries = read_fvecs(argv[2]);
    const char *base = getenv("TMPDIR");
    char folder[300];

    snprintf(folder, sizeof folder, "%s/cairn-bench-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(folder) == NULL) fail("mkdtemp");
    printf("%zu rows of %zu dims\n%-8s %9s %9s %10s %9s\n", rows.n, rows.dim, "codec", "insert s", "ready s",
           "searches/s", "recall@10");
    for (size_t i = 0; i < sizeof quantizations / sizeof quantizations[0]; i++) {
        if (options.only == NULL || strcmp(options.only, quantizations[i].name) == 0)
            measure(i, &rows, &queries, &options, folder);
    }
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
