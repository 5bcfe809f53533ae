/*
 * How long a program waits for its memory: opening a large database with a long tail and answering the first query, and what an
 * idle open database costs. Each opening is a process of its own.
 *
 *   bench_open [--rows 500000] [--dim 384] [--tail 16000] [--quantization none|scalar] [--index flat|auto] [--dir FOLDER]
 */
#include "base/clock.h"
#include "base/rng.h"

#include <cairn/cairn.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 1000u
#define OPENINGS 5

struct settings {
    uint32_t rows, dim, tail;
    const char *quantization, *index, *folder;
    const char *open; /* the child's part: open this database and ask once */
};

static void must(cairn_status status, const cairn_error *err)
{
    if (status == CAIRN_OK) return;
    fprintf(stderr, "bench_open: %s: %s\n", cairn_status_name(status), err->message);
    exit(1);
}

/* Rows on a random linear image of a few dimensions, with a little noise: not all directions are alike in real data. */
static void make_row(struct crn_rng *rng, const float *basis, uint32_t dim, float *out)
{
    float low[16];

    for (int i = 0; i < 16; i++) low[i] = (float)crn_rng_normal(rng);
    for (uint32_t d = 0; d < dim; d++) {
        out[d] = 0.05F * (float)crn_rng_normal(rng);
        for (int i = 0; i < 16; i++) out[d] += low[i] * basis[(size_t)i * dim + d];
    }
}

static void write_rows(cairn_collection *collection, const struct settings *s, struct crn_rng *rng,
                       const float *basis, uint32_t begin, uint32_t count)
{
    cairn_pattern *patterns = calloc(BATCH, sizeof *patterns);
    float *vectors = malloc((size_t)BATCH * s->dim * sizeof *vectors);
    char(*ids)[24] = malloc(BATCH * sizeof *ids);
    cairn_error err;

    for (uint32_t done = 0; done < count;) {
        uint32_t n = 0;
        for (; n < BATCH && done < count; n++, done++) {
            make_row(rng, basis, s->dim, vectors + (size_t)n * s->dim);
            snprintf(ids[n], sizeof ids[n], "row-%u", begin + done);
            patterns[n] = (cairn_pattern){
                .size = sizeof *patterns, .id = ids[n], .vector = vectors + (size_t)n * s->dim};
        }
        must(cairn_upsert(collection, patterns, n, &err), &err);
    }
    free(ids);
    free(vectors);
    free(patterns);
}

static void build(const struct settings *s, const char *path, const float *basis)
{
    cairn_collection_options options = {.size = sizeof options, .dim = s->dim, .index = s->index};
    cairn_open_options open = {.size = sizeof open, .tail_rows_max = 1u << 20, .no_background = true};
    cairn_collection *collection;
    struct crn_rng rng;
    cairn_error err;
    cairn_db *db;

    if (strcmp(s->quantization, "scalar") == 0) options.quantization = CAIRN_QUANTIZATION_SCALAR;
    crn_rng_init(&rng, 1);
    must(cairn_open(path, &open, &db, &err), &err);
    must(cairn_collection_open(db, "rows", &options, &collection, &err), &err);
    uint64_t t0 = crn_clock_ns();
    write_rows(collection, s, &rng, basis, 0, s->rows);
    uint64_t t1 = crn_clock_ns();
    must(cairn_optimize(collection, NULL, NULL, &err), &err);
    uint64_t t2 = crn_clock_ns();
    write_rows(collection, s, &rng, basis, s->rows, s->tail);
    printf(
        "written %u x %u: %.1f s (%.0f rows/s, batches of %u); optimized: %.1f s; then a tail of %u rows\n",
        s->rows, s->dim, (double)(t1 - t0) / 1e9, s->rows / ((double)(t1 - t0) / 1e9), BATCH,
        (double)(t2 - t1) / 1e9, s->tail);
    fflush(stdout);
    cairn_collection_close(collection);
    cairn_close(db);
}

/* Anonymous and file-backed resident memory in KiB. */
static void resident(long *out_anonymous, long *out_file)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];

    *out_anonymous = *out_file = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        sscanf(line, "RssAnon: %ld", out_anonymous);
        sscanf(line, "RssFile: %ld", out_file);
    }
    if (status != NULL) fclose(status);
}

static void open_once(const struct settings *s, const char *path, const float *basis)
{
    cairn_open_options open = {.size = sizeof open, .must_exist = true, .tail_rows_max = 1u << 20};
    float *query = malloc(s->dim * sizeof *query);
    cairn_collection *collection;
    cairn_results *results;
    cairn_search_info info;
    struct crn_rng rng;
    cairn_error err;
    cairn_db *db;
    long anonymous, file;

    crn_rng_init(&rng, 99);
    make_row(&rng, basis, s->dim, query);
    const uint64_t t0 = crn_clock_ns();
    must(cairn_open(path, &open, &db, &err), &err);
    must(cairn_collection_open(db, "rows", NULL, &collection, &err), &err);
    const uint64_t t1 = crn_clock_ns();
    const cairn_query first = {.size = sizeof first, .vector = query, .k = 10};
    must(cairn_search(collection, &first, &results, &err), &err);
    const uint64_t t2 = crn_clock_ns();
    cairn_results_info(results, &info);
    cairn_results_free(results);
    must(cairn_search(collection, &first, &results, &err), &err);
    const uint64_t t3 = crn_clock_ns();
    cairn_results_free(results);
    resident(&anonymous, &file);
    printf(
        "open %.1f ms, first query %.1f ms (%s), second %.1f ms; resident: anonymous %.1f MB, mapped files %.1f MB\n",
        (double)(t1 - t0) / 1e6, (double)(t2 - t1) / 1e6, info.plan, (double)(t3 - t2) / 1e6,
        (double)anonymous / 1024, (double)file / 1024);
    fflush(stdout);
    cairn_collection_close(collection);
    cairn_close(db);
    free(query);
}

static void parse(int argc, char **argv, struct settings *s)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rows") == 0)
            s->rows = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dim") == 0)
            s->dim = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--tail") == 0)
            s->tail = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--quantization") == 0)
            s->quantization = argv[i + 1];
        else if (strcmp(argv[i], "--index") == 0)
            s->index = argv[i + 1];
        else if (strcmp(argv[i], "--open") == 0)
            s->open = argv[i + 1];
        else if (strcmp(argv[i], "--dir") == 0)
            s->folder = argv[i + 1];
        else {
            fprintf(stderr, "bench_open: unknown option %s\n", argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct settings s = {
        .rows = 500000, .dim = 384, .tail = 16000, .quantization = "none", .index = "flat", .folder = "/tmp"};
    char folder[256], path[300], command[320], dim[16];

    parse(argc, argv, &s);
    float *basis = malloc((size_t)16 * s.dim * sizeof *basis);
    struct crn_rng rng;
    crn_rng_init(&rng, 7);
    for (size_t i = 0; i < (size_t)16 * s.dim; i++) basis[i] = (float)(crn_rng_normal(&rng) / 4);
    if (s.open != NULL) {
        open_once(&s, s.open, basis);
        free(basis);
        return 0;
    }
    snprintf(folder, sizeof folder, "%s/cairn-bench-XXXXXX", s.folder);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    build(&s, path, basis);
    for (int i = 0; i < OPENINGS; i++) {
        const pid_t child = fork();
        if (child == 0) {
            snprintf(dim, sizeof dim, "%u", s.dim);
            execl("/proc/self/exe", argv[0], "--dim", dim, "--open", path, (char *)NULL);
            _exit(127);
        }
        waitpid(child, NULL, 0);
    }
    free(basis);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
