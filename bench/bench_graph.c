/*
 * How long building a graph takes with one thread and with several, of vectors in a .fvecs file, and what each makes of the whole.
 *
 *   bench_graph FILE.fvecs [--metric cosine|l2|dot] [--threads 1,2] [--repeat 1]
 */
#include "base/clock.h"
#include "engine/graph_build.h"
#include "quant/vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static float *read_rows(const char *path, bool normalise, uint32_t *out_dim, size_t *out_count)
{
    FILE *file = fopen(path, "rb");
    int32_t dim;
    long size;

    if (file == NULL || fread(&dim, sizeof dim, 1, file) != 1 || dim <= 0 || fseek(file, 0, SEEK_END) != 0 ||
        (size = ftell(file)) < 0) {
        fprintf(stderr, "bench_graph: %s is no .fvecs file\n", path);
        exit(1);
    }
    const size_t row_bytes = sizeof dim + (size_t)dim * sizeof(float), count = (size_t)size / row_bytes;
    float *rows = aligned_alloc(64, (count * (size_t)dim * sizeof *rows + 63) / 64 * 64);
    rewind(file);
    for (size_t i = 0; i < count; i++) {
        float *row = rows + i * (size_t)dim;
        if (fread(&dim, sizeof dim, 1, file) != 1 ||
            fread(row, sizeof *row, (size_t)dim, file) != (size_t)dim)
            exit(1);
        if (normalise) crn_vector_scale(row, (size_t)dim, 1 / sqrt(crn_vector_norm2(row, (size_t)dim)), row);
    }
    fclose(file);
    *out_dim = (uint32_t)dim;
    *out_count = count;
    return rows;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    const char *metric = "cosine", *threads = "1,2";
    unsigned long repeat = 1;
    struct crn_index_rows rows = {0};
    double one = 0;

    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--metric") == 0) metric = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0) threads = argv[i + 1];
        if (strcmp(argv[i], "--repeat") == 0) repeat = strtoul(argv[i + 1], NULL, 10);
    }
    if (argc < 2) {
        fprintf(stderr, "bench_graph FILE.fvecs [--metric cosine|l2|dot] [--threads 1,2] [--repeat 1]\n");
        return 2;
    }
    rows.vectors = read_rows(argv[1], strcmp(metric, "cosine") == 0, &rows.dim, &rows.count);
    rows.op = strcmp(metric, "l2") == 0 ? CRN_OP_L2 : CRN_OP_DOT;
    printf("%s: %zu rows of dim %u, %s\n", argv[1], rows.count, rows.dim, metric);
    for (unsigned long r = 0; r < repeat; r++) {
        for (const char *at = threads; at != NULL && *at != '\0';
             at = strchr(at, ','), at = at == NULL ? NULL : at + 1) {
            const unsigned n = (unsigned)strtoul(at, NULL, 10);
            const double cpu_before = cpu_seconds();
            const uint64_t began_ns = crn_clock_ns();
            struct crn_graph_build graph;
            cairn_error err;
            if (crn_graph_build(&rows, n, NULL, NULL, &graph, &err) != CAIRN_OK) {
                fprintf(stderr, "bench_graph: %s\n", err.message);
                return 1;
            }
            const double seconds = (double)(crn_clock_ns() - began_ns) / 1e9;
            crn_graph_build_release(&graph);
            if (n == 1) one = seconds;
            printf("%u threads %8.2f s, %8.2f s of CPU", n, seconds, cpu_seconds() - cpu_before);
            if (n > 1 && one > 0) printf(", %.2f times as fast as one", one / seconds);
            printf("\n");
            fflush(stdout);
        }
    }
    free((void *)(uintptr_t)rows.vectors);
    return 0;
}
