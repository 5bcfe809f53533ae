/*
 * What serving adds to searching and writing: `cairn serve` in this process, asked over loopback, beside the same calls made
 * directly. The server's CPU is that of the process but for the clients' thread.
 *
 *   bench_serve search      [--rows 20000] [--dim 384] [--k 10] [--seconds 2] [--connections 1] [--data FOLDER]
 *   bench_serve upsert      [--rows 20000] [--dim 384] [--batch 100] [--connections 1] [--repeat 3]
 *   bench_serve idle        [--idle 10000]
 *   bench_serve collections [--collections 5000]
 *
 * Without a word all four. --data: the folder keeps what is searched for the next time; everything else lies in a folder of its
 * own below --dir (default /tmp). --form JSON takes only the forms of vectors whose name begins so, --access-log logs requests
 * to standard error. Writes are durable, but for those that load what is searched.
 */

#include "bench/bench_serve.h"

#include "base/clock.h"
#include "base/rng.h"

#include <cairn/cairn.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUERIES 500u
#define CENTERS 200u

struct bench_serve_settings bench_serve = {.rows = 20000,
                                           .dim = 384,
                                           .k = 10,
                                           .connections = 1,
                                           .batch = 100,
                                           .idle = 10000,
                                           .collections = 5000,
                                           .repeat = 3,
                                           .seconds = 2,
                                           .dir = "/tmp"};

static char folder[300], path[320];

static void must(cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return;
    fprintf(stderr, "bench_serve: %s: %s\n", cairn_status_name(status), err->message);
    exit(1);
}

/* ---- the folder ---- */

static int remove_entry(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

static void remove_folder(void)
{
    if (folder[0] != '\0' && (bench_serve.data == NULL || strcmp(folder, bench_serve.data) != 0))
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void bench_serve_folder(void)
{
    remove_folder();
    snprintf(folder, sizeof folder, "%s/bench-serve-XXXXXX", bench_serve.dir);
    if (mkdtemp(folder) == NULL) exit(1);
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
}

/* ---- rows: clusters, so that a graph has something to find ---- */

static float *make_rows(uint32_t count, uint64_t seed)
{
    float *rows = malloc((size_t)count * bench_serve.dim * sizeof *rows),
          *centers = malloc((size_t)CENTERS * bench_serve.dim * sizeof *centers);
    struct crn_rng rng;

    if (rows == NULL || centers == NULL) exit(1);
    crn_rng_init(&rng, 1);
    for (size_t i = 0; i < (size_t)CENTERS * bench_serve.dim; i++) centers[i] = (float)crn_rng_normal(&rng);
    crn_rng_init(&rng, seed);
    for (uint32_t row = 0; row < count; row++) {
        const float *center = centers + crn_rng_below(&rng, CENTERS) * bench_serve.dim;
        for (uint32_t d = 0; d < bench_serve.dim; d++)
            rows[(size_t)row * bench_serve.dim + d] = (center[d] + 0.7f * (float)crn_rng_normal(&rng)) / 20;
    }
    free(centers);
    return rows;
}

static cairn_collection *open_rows(cairn_db *db)
{
    cairn_collection *collection;
    cairn_error err;

    must(cairn_collection_open(db, "bench", CAIRN_OPTIONS(cairn_collection_options, .dim = bench_serve.dim),
                               &collection, &err),
         &err);
    return collection;
}

static void upsert(cairn_collection *collection, const float *rows, uint32_t first, uint32_t count)
{
    cairn_pattern *patterns = calloc(count, sizeof *patterns);
    cairn_error err;

    if (patterns == NULL) exit(1);
    for (uint32_t i = 0; i < count; i++) {
        patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                      .id_type = CAIRN_ID_U64,
                                      .id_u64 = first + i,
                                      .vector = rows + (size_t)i * bench_serve.dim,
                                      .dim = bench_serve.dim};
    }
    must(cairn_upsert(collection, patterns, count, &err), &err);
    free(patterns);
}

/* ---- the server ---- */

static void *run_server(void *serve)
{
    crn_serve_run(serve);
    return NULL;
}

static void set(struct crn_config *config, const char *name, const char *value)
{
    cairn_error err;

    must(crn_config_set(config, name, value, "bench_serve", &err), &err);
}

void bench_serve_begin(struct serving *serving)
{
    cairn_error err;

    must(crn_config_init(&serving->config, &err), &err);
    set(&serving->config, "data", folder);
    set(&serving->config, "port", "0");
    set(&serving->config, "connections", "100000");
    set(&serving->config, "queue", "100000");
    set(&serving->config, "access_log", bench_serve.access_log ? "true" : "false");
    must(crn_serve_open(&serving->config, false, &serving->serve, &err), &err);
    serving->port = crn_serve_port(serving->serve);
    if (pthread_create(&serving->thread, NULL, run_server, serving->serve) != 0) exit(1);
}

void bench_serve_end(struct serving *serving)
{
    crn_serve_stop(serving->serve);
    pthread_join(serving->thread, NULL);
    crn_serve_close(serving->serve);
    crn_config_release(&serving->config);
}

void bench_serve_free(struct http_load_request *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) free(requests[i].bytes);
    free(requests);
}

/* ---- searching ---- */

static double thread_cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static double search_directly(const float *queries)
{
    const uint64_t end_ns = crn_clock_ns() + bench_serve.seconds * 1000000000ull;
    cairn_error err;
    cairn_db *db;
    uint64_t done = 0;
    double begin_us = 0;

    must(cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .read_only = true), &db, &err), &err);
    cairn_collection *collection = open_rows(db);
    for (uint64_t i = 0; crn_clock_ns() < end_ns; i++) {
        cairn_results *results;
        if (i == QUERIES) begin_us = thread_cpu_us(); /* the first round warms up */
        must(cairn_search(collection,
                          CAIRN_OPTIONS(cairn_query, .vector = queries + i % QUERIES * bench_serve.dim,
                                        .dim = bench_serve.dim, .k = bench_serve.k),
                          &results, &err),
             &err);
        done += i >= QUERIES;
        cairn_results_free(results);
    }
    const double each_us = (thread_cpu_us() - begin_us) / (double)done;
    cairn_collection_close(collection);
    cairn_close(db);
    return each_us;
}

/* Into a folder of its own, or into --data unless it has a database. */
static void load_rows(void)
{
    float *rows;
    cairn_error err;
    cairn_db *db;

    if (bench_serve.data != NULL) {
        snprintf(folder, sizeof folder, "%s", bench_serve.data);
        snprintf(path, sizeof path, "%s/memory.cairn", folder);
        if (access(path, F_OK) == 0) return;
    } else {
        bench_serve_folder();
    }
    rows = make_rows(bench_serve.rows, 2);
    must(cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .durability = CAIRN_LAZY), &db, &err), &err);
    cairn_collection *collection = open_rows(db);
    for (uint32_t at = 0; at < bench_serve.rows; at += 1000)
        upsert(collection, rows + (size_t)at * bench_serve.dim, at,
               bench_serve.rows - at < 1000 ? bench_serve.rows - at : 1000);
    must(cairn_optimize(collection, NULL, NULL, &err), &err);
    cairn_collection_close(collection);
    cairn_close(db);
    free(rows);
}

static void measure_search(void)
{
    float *queries = make_rows(QUERIES, 3);
    struct serving serving;

    load_rows();
    const double direct_us = search_directly(queries);
    printf("%u x %u, k %u: in process %.1f us of CPU a search\n", bench_serve.rows, bench_serve.dim,
           bench_serve.k, direct_us);
    bench_serve_begin(&serving);
    for (enum form form = JSON; form < FORMS; form++) {
        if (!bench_serve_wants(form)) continue;
        struct http_load_request *requests = calloc(QUERIES, sizeof *requests);
        for (uint32_t i = 0; i < QUERIES; i++)
            requests[i] = bench_serve_search(form, queries + (size_t)i * bench_serve.dim);
        struct http_load load = {.port = serving.port,
                                 .connections = bench_serve.connections,
                                 .requests_max = QUERIES,
                                 .requests = requests,
                                 .request_count = QUERIES};
        (void)http_load_run(&load);
        load.requests_max = 0;
        load.seconds = bench_serve.seconds;
        const struct http_load_result result = http_load_run(&load);
        printf(
            "%-12s connections %u: %.1f us of the server's CPU a search (%+.1f), %.0f searches/s, p50 %.0f us, p99 %.0f us\n",
            bench_serve_forms[form], bench_serve.connections, result.rest_cpu_us,
            result.rest_cpu_us - direct_us, (double)result.answers / result.seconds, result.p50_us,
            result.p99_us);
        fflush(stdout);
        bench_serve_free(requests, QUERIES);
    }
    bench_serve_end(&serving);
    free(queries);
}

/* ---- writing ---- */

struct writer {
    pthread_t thread;
    cairn_collection *collection;
    const float *rows;
    uint32_t first, count;
};

static void *write_rows(void *ctx)
{
    const struct writer *writer = ctx;

    for (uint32_t at = 0; at < writer->count; at += bench_serve.batch)
        upsert(writer->collection, writer->rows + (size_t)at * bench_serve.dim, writer->first + at,
               bench_serve.batch);
    return NULL;
}

/* As many threads as there would be connections. Rows a second. */
static double write_directly(const float *rows)
{
    struct writer *writers = calloc(bench_serve.connections, sizeof *writers);
    const uint32_t share = bench_serve.rows / bench_serve.connections / bench_serve.batch * bench_serve.batch;
    cairn_error err;
    cairn_db *db;

    bench_serve_folder();
    must(cairn_open(path, NULL, &db, &err), &err);
    cairn_collection *collection = open_rows(db);
    const uint64_t begin_ns = crn_clock_ns();
    for (uint32_t i = 0; i < bench_serve.connections; i++) {
        writers[i] = (struct writer){.collection = collection,
                                     .rows = rows + (size_t)i * share * bench_serve.dim,
                                     .first = i * share,
                                     .count = share};
        if (pthread_create(&writers[i].thread, NULL, write_rows, &writers[i]) != 0) exit(1);
    }
    for (uint32_t i = 0; i < bench_serve.connections; i++) pthread_join(writers[i].thread, NULL);
    const double rate = (double)share * bench_serve.connections / ((double)(crn_clock_ns() - begin_ns) / 1e9);
    cairn_collection_close(collection);
    cairn_close(db);
    free(writers);
    return rate;
}

static double write_served(enum form form, const float *rows)
{
    const uint32_t count = bench_serve.rows / bench_serve.batch;
    struct http_load_request *requests = calloc(count, sizeof *requests);
    struct serving serving;
    cairn_error err;
    cairn_db *db;

    bench_serve_folder();
    must(cairn_open(path, NULL, &db, &err), &err);
    cairn_collection_close(open_rows(db));
    cairn_close(db);
    for (uint32_t i = 0; i < count; i++)
        requests[i] = bench_serve_upsert(form, rows + (size_t)i * bench_serve.batch * bench_serve.dim,
                                         i * bench_serve.batch);
    bench_serve_begin(&serving);
    const struct http_load load = {.port = serving.port,
                                   .connections = bench_serve.connections,
                                   .requests_max = count,
                                   .requests = requests,
                                   .request_count = count};
    const struct http_load_result result = http_load_run(&load);
    bench_serve_end(&serving);
    bench_serve_free(requests, count);
    return (double)count * bench_serve.batch / result.seconds;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Medians of ratios taken one after the other: a disk is not the same from minute to minute. */
static void measure_upsert(void)
{
    float *rows = make_rows(bench_serve.rows, 2);
    double ratios[FORMS][100];
    const uint32_t repeat = bench_serve.repeat < 100 ? bench_serve.repeat : 100;

    for (uint32_t round = 0; round < repeat; round++) {
        const double direct = write_directly(rows);
        printf("in process, %u threads: %.0f rows/s\n", bench_serve.connections, direct);
        for (enum form form = JSON; form < FORMS; form++) {
            if (!bench_serve_wants(form)) continue;
            const double served = write_served(form, rows);
            ratios[form][round] = served / direct;
            printf("%-12s connections %u: %.0f rows/s, %.0f %%\n", bench_serve_forms[form],
                   bench_serve.connections, served, 100 * served / direct);
            fflush(stdout);
        }
    }
    for (enum form form = JSON; form < FORMS; form++) {
        if (!bench_serve_wants(form)) continue;
        qsort(ratios[form], repeat, sizeof(double), compare_doubles);
        printf("%-12s median of %u: %.0f %%\n", bench_serve_forms[form], repeat,
               100 * ratios[form][repeat / 2]);
    }
    free(rows);
}

/* ---- arguments ---- */

static void read_arguments(int argc, char **argv)
{
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--rows", &bench_serve.rows},
                   {"--dim", &bench_serve.dim},
                   {"--k", &bench_serve.k},
                   {"--seconds", &bench_serve.seconds},
                   {"--connections", &bench_serve.connections},
                   {"--batch", &bench_serve.batch},
                   {"--idle", &bench_serve.idle},
                   {"--collections", &bench_serve.collections},
                   {"--repeat", &bench_serve.repeat}};

    const struct {
        const char *name, **value;
    } texts[] = {{"--dir", &bench_serve.dir}, {"--data", &bench_serve.data}, {"--form", &bench_serve.form}};

    for (int i = 2; i < argc; i++) {
        bool known = strcmp(argv[i], "--access-log") == 0;
        bench_serve.access_log |= known;
        for (size_t n = 0; !known && i + 1 < argc && n < sizeof numbers / sizeof numbers[0]; n++) {
            if (strcmp(argv[i], numbers[n].name) != 0) continue;
            *numbers[n].value = (uint32_t)strtoul(argv[++i], NULL, 10);
            known = true;
        }
        for (size_t n = 0; !known && i + 1 < argc && n < sizeof texts / sizeof texts[0]; n++) {
            if (strcmp(argv[i], texts[n].name) != 0) continue;
            *texts[n].value = argv[++i];
            known = true;
        }
        if (known) continue;
        fprintf(stderr, "bench_serve: unknown argument '%s'\n", argv[i]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"search", measure_search},
                 {"upsert", measure_upsert},
                 {"idle", bench_serve_idle},
                 {"collections", bench_serve_collections}};
    const bool all = argc < 2 || argv[1][0] == '-'; /* as ./dev bench calls it */

    if (!all) read_arguments(argc, argv);
    http_load_raise_files();
    atexit(remove_folder);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (all || strcmp(argv[1], parts[i].name) == 0) parts[i].run();
    }
    return 0;
}
