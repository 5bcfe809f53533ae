/*
 * How fast exact search is on this machine's GPU, as fractions of what the card can move and multiply:
 *
 *   gpu_bench [--rows N] [--dim N] [--k N] [--seconds N] [--csv FILE] [--only f16,int8,...] [--batches 1,32,...] [--device simulated]
 *
 * Rows are made up on the card (kernels/fill.cuh; bench/baseline.py makes the same). Each point is the median of repeats, the whole
 * search on the card (all rounds and the choice of k), uploads of queries and downloads of results left out. Each result is checked:
 * the distances of what was found are those of the kernels that use no tensor cores. --device simulated rehearses all of it on the host with
 * few rows; its times tell nothing.
 */
#include "gpu/gpu.h"
#include "gpu/simulate/driver_simulated.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPEATS_MOST 200u
#define SEED 7u

static const char *const codec_names[] = {"f32", "f16", "int8", "1-bit"};
static const double element_bytes[] = {4, 2, 1, 0.125};

struct options {
    size_t rows, k;
    uint32_t dim;
    double seconds; /* of repeats a point */
    const char *csv, *only, *batches;
    bool simulated;
};

#define MUST(call)                                                                      \
    do {                                                                                \
        cairn_error must_err_ = {CAIRN_OK, ""};                                         \
        cairn_error *const err = &must_err_;                                            \
        const cairn_status must_status_ = (call);                                       \
        if (must_status_ != CAIRN_OK) {                                                 \
            fprintf(stderr, "%s: %s\n", cairn_status_name(must_status_), err->message); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

/* ---- made-up queries: rows of another seed, as kernels/fill.cuh makes them ---- */

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

static float query_number(enum crn_gpu_codec codec, uint32_t query, uint32_t column)
{
    const uint32_t h = mix(mix(column ^ (SEED + 1)) + query * 0x9e3779b9u);
    const int32_t sum = (int32_t)((h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24)) - 510;

    return codec == CRN_GPU_I8 ? (float)(sum / 4) : (float)sum / 256.0f;
}

static float *make_queries(enum crn_gpu_codec codec, size_t batch, uint32_t dim)
{
    float *queries = malloc(batch * dim * sizeof *queries);

    if (queries == NULL) exit(1);
    for (size_t q = 0; q < batch; q++)
        for (uint32_t i = 0; i < dim; i++) queries[q * dim + i] = query_number(codec, (uint32_t)q, i);
    return queries;
}

/* ---- ceilings ---- */

/* GB/s of a copy on the card, reads and writes counted. */
static double copy_bandwidth(const struct crn_gpu_driver *driver, size_t size)
{
    struct crn_gpu_device *device;
    struct crn_gpu_device_info info;
    struct crn_gpu_queue *queue;
    struct crn_gpu_event *begin, *end;
    void *from, *to;
    float best = INFINITY;

    MUST(driver->open(0, &device, &info, err));
    MUST(driver->queue_create(device, &queue, err));
    MUST(driver->event_create(device, &begin, err));
    MUST(driver->event_create(device, &end, err));
    MUST(driver->alloc(device, size, &from, err));
    MUST(driver->alloc(device, size, &to, err));
    MUST(driver->fill(queue, from, 0x35, size, err));
    for (int i = 0; i < 12; i++) {
        float ms;
        MUST(driver->event_record(queue, begin, err));
        MUST(driver->copy(queue, to, from, size, err));
        MUST(driver->event_record(queue, end, err));
        MUST(driver->queue_wait(queue, err));
        MUST(driver->event_elapsed(begin, end, &ms, err));
        if (i >= 2 && ms < best) best = ms;
    }
    driver->free(device, from);
    driver->free(device, to);
    driver->event_free(begin);
    driver->event_free(end);
    driver->queue_free(queue);
    driver->close(device);
    return 2.0 * (double)size / best / 1e6;
}

/* Dense tensor throughput in TFLOP/s (or TOP/s): what a large library product reached on an H200 for bf16, and multiples of it. */
static double tensor_peak(enum crn_gpu_codec codec)
{
    const double half = 790;

    return codec == CRN_GPU_F32 ? half / 2 : codec == CRN_GPU_F16 ? half : codec == CRN_GPU_I8 ? half * 2 : 0;
}

/* ---- points ---- */

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

static size_t disagreements(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                            struct crn_gpu_query query, const float *distances)
{
    float *others = malloc(query.batch * query.k * sizeof *others);
    uint32_t *labels = malloc(query.batch * query.k * sizeof *labels);
    size_t wrong = 0;

    if (others == NULL || labels == NULL) exit(1);
    query.path = CRN_GPU_PATH_NARROW;
    if (query.batch > 8) query.batch = 8; /* the first few stand for all: the other path is slow for many */
    MUST(crn_gpu_search(set, stream, &query, others, labels, err));
    for (size_t i = 0; i < query.batch * query.k; i++)
        wrong += fabsf(others[i] - distances[i]) > 1e-3f * (1 + fabsf(others[i]));
    free(others);
    free(labels);
    return wrong;
}

static void measure(const struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                    const struct options *options, enum crn_gpu_codec codec, size_t batch, double bandwidth,
                    FILE *csv)
{
    float *queries = make_queries(codec, batch, options->dim), ms[REPEATS_MOST];
    float *distances = malloc(batch * options->k * sizeof *distances);
    uint32_t *labels = malloc(batch * options->k * sizeof *labels);
    const struct crn_gpu_query query = {.vectors = queries, .batch = batch, .k = options->k};
    struct crn_gpu_timing timing = {.ms = ms, .repeats = 3};

    if (distances == NULL || labels == NULL) exit(1);
    MUST(crn_gpu_search_timed(set, stream, &query, &timing, distances, labels,
                              err)); /* warms up, and tells how often to repeat */
    const double wanted = options->seconds * 1e3 / (ms[2] + 0.01);
    timing.repeats = wanted < 5 ? 5 : wanted > REPEATS_MOST ? REPEATS_MOST : (size_t)wanted;
    MUST(crn_gpu_search_timed(set, stream, &query, &timing, distances, labels, err));
    qsort(ms, timing.repeats, sizeof *ms, by_size);
    const double median = ms[timing.repeats / 2];
    const double bytes_ms = (double)options->rows * options->dim * element_bytes[codec] / bandwidth / 1e6;
    const double work_ms =
        tensor_peak(codec) == 0 || batch == 1
            ? 0
            : 2.0 * (double)options->rows * options->dim * (double)batch / tensor_peak(codec) / 1e9;
    const double floor_ms = bytes_ms > work_ms ? bytes_ms : work_ms;
    uint64_t sum = 0;
    for (size_t i = 0; i < options->k; i++) sum += labels[i];
    const size_t wrong = disagreements(set, stream, query, distances);
    printf(
        "%-6s batch %4zu  %9.3f ms  spread %4.1f%%  floor %9.3f ms (%s)  %5.1f%%  labels %llu  wrong %zu\n",
        codec_names[codec], batch, median,
        100.0 * (double)(ms[timing.repeats * 9 / 10] - ms[timing.repeats / 10]) / median, floor_ms,
        bytes_ms > work_ms ? "bytes" : "tensor", 100 * floor_ms / median, (unsigned long long)sum, wrong);
    fflush(stdout);
    if (csv != NULL) {
        fprintf(csv, "cairn,%s,%zu,%zu,%u,%zu,%.4f,%.4f,%llu,%zu\n", codec_names[codec], batch, options->rows,
                options->dim, options->k, median, floor_ms, (unsigned long long)sum, wrong);
        fflush(csv);
    }
    free(queries);
    free(distances);
    free(labels);
}

static void measure_codec(struct crn_gpu *gpu, const struct options *options, enum crn_gpu_codec codec,
                          double bandwidth, FILE *csv)
{
    struct crn_gpu_set_options set_options = {.codec = codec,
                                              .metric = codec == CRN_GPU_B1 ? CRN_GPU_COSINE : CRN_GPU_DOT,
                                              .dim = options->dim,
                                              .reserve_rows = options->rows,
                                              .device_only = true,
                                              .step = 1};
    struct crn_gpu_set *set;
    struct crn_gpu_stream *stream;
    cairn_error err;

    MUST(crn_gpu_set_create(gpu, &set_options, &set, err));
    MUST(crn_gpu_stream_create(gpu, &stream, err));
    if (crn_gpu_set_append_made_up(set, options->rows, SEED, &err) != CAIRN_OK) {
        printf("%-6s left out: %s\n", codec_names[codec], err.message);
    } else {
        char *list = strdup(options->batches), *save = NULL;
        for (char *at = strtok_r(list, ",", &save); at != NULL; at = strtok_r(NULL, ",", &save))
            measure(set, stream, options, codec, strtoull(at, NULL, 10), bandwidth, csv);
        free(list);
    }
    crn_gpu_stream_free(stream);
    crn_gpu_set_free(set);
}

int main(int argc, char **argv)
{
    struct options options = {.rows = 10000000,
                              .k = 10,
                              .dim = 768,
                              .seconds = 0.5,
                              .only = "f16,int8,1-bit,f32",
                              .batches = "1,4,8,32,128,1024"};
    const struct crn_gpu_driver *driver = crn_gpu_driver_cuda();
    const char *why = "";
    struct crn_gpu *gpu;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rows") == 0)
            options.rows = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dim") == 0)
            options.dim = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--k") == 0)
            options.k = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            options.seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--csv") == 0)
            options.csv = argv[i + 1];
        else if (strcmp(argv[i], "--only") == 0)
            options.only = argv[i + 1];
        else if (strcmp(argv[i], "--batches") == 0)
            options.batches = argv[i + 1];
        else if (strcmp(argv[i], "--device") == 0)
            options.simulated = strcmp(argv[i + 1], "simulated") == 0;
        else {
            fprintf(stderr, "gpu_bench: %s is no option\n", argv[i]);
            return 2;
        }
    }
    if (options.simulated) driver = crn_gpu_driver_simulated();
    if (driver->device_count(&why) == 0) {
        printf("skipped: no CUDA (%s)\n", why);
        return 77;
    }
    const double bandwidth = copy_bandwidth(driver, options.simulated ? (size_t)1 << 20 : (size_t)2 << 30);
    MUST(crn_gpu_open(driver, 0, &gpu, err));
    printf("%s%s, %u multiprocessors, copies at %.0f GB/s; %zu rows of dim %u, k %zu\n",
           options.simulated ? "A REHEARSAL, whose times tell nothing: " : "", crn_gpu_info(gpu)->name,
           crn_gpu_info(gpu)->multiprocessors, bandwidth, options.rows, options.dim, options.k);
    FILE *csv = options.csv == NULL ? NULL : fopen(options.csv, "w");
    for (enum crn_gpu_codec codec = CRN_GPU_F32; codec <= CRN_GPU_B1; codec++) {
        if (strstr(options.only, codec_names[codec]) != NULL)
            measure_codec(gpu, &options, codec, bandwidth, csv);
    }
    if (csv != NULL) fclose(csv);
    crn_gpu_close(gpu);
    return 0;
}
