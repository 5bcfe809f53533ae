/*
 * bench_flat: how near the flat scans come to the memory's speed, on one core.
 *
 * It reads one large array in every way: first for its sum alone, which is the bandwidth to be reached, then
 * as f32 rows and as scalar codes with crn_flat_scan_*. Each repeat does all of it in turn, so that a machine
 * that slows down does so for both sides of a ratio; medians over the repeats are printed, and the ratio of
 * medians. It measures scans of data beyond the caches: nothing else, no recall and no threads.
 *
 *   bench_flat [--json] [--cpu N] [--repeats N] [--mib N]     N MiB of f32 data, a quarter as much of codes
 */
#include "base/clock.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "quant/flat_scan.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)
#define HUGE_PAGE (2 * MIB)
#define REPEATS_MAX 101
#define K 10
#define WORDS_STEP 8 /* a cache line */

static const size_t dims[] = {96, 128, 256, 384, 768};
static const char *const op_names[CRN_OP_COUNT] = {"dot", "l2", "l1"};
#define DIM_COUNT (sizeof dims / sizeof dims[0])
#define DIM_MAX 768
#define DIM_MIN 96

struct options {
    bool json;
    int cpu; /* -1 = wherever the program is */
    size_t repeats;
    size_t f32_bytes;
    size_t code_bytes;
};

struct data {
    float *f32;
    int8_t *codes;
    float *scale;
    float *norm2;
    _Alignas(64) float query[DIM_MAX];
};

/* One array read one way. */
struct measure {
    const char *what; /* "sum", "f32" or "scalar" */
    const char *op;   /* of a sum the number of streams */
    size_t dim;
    size_t rows;
    size_t bytes; /* read in one pass */
    double seconds[REPEATS_MAX];
};

static uint64_t sink; /* keeps sums from being optimised away */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *map_huge(size_t bytes)
{
    char *memory = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) fail("bench_flat: mmap");
    memory = (char *)(((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static float random_float(struct crn_rng *rng)
{
    return (float)(2 * crn_rng_unit(rng) - 1);
}

static void fill(struct data *data, const struct options *options)
{
    const size_t code_rows = options->code_bytes / DIM_MIN;
    struct crn_rng rng;

    crn_rng_init(&rng, 1);
    data->f32 = map_huge(options->f32_bytes);
    data->codes = map_huge(options->code_bytes);
    data->scale = map_huge(code_rows * sizeof(float));
    data->norm2 = map_huge(code_rows * sizeof(float));
    for (size_t i = 0; i < options->f32_bytes / sizeof(float); i++) data->f32[i] = random_float(&rng);
    for (size_t i = 0; i < options->code_bytes; i++)
        data->codes[i] = (int8_t)((int)crn_rng_below(&rng, 255) - 127);
    for (size_t i = 0; i < code_rows; i++) {
        data->scale[i] = 1.0f / 127;
        data->norm2[i] = random_float(&rng) + 100;
    }
    for (size_t i = 0; i < DIM_MAX; i++) data->query[i] = random_float(&rng);
}

/*
 * The reading to be compared with: integer sums of the array as one, two or four streams at once, asking
 * ahead for both cache levels. Processors differ in which they like best; the best median counts.
 */
static inline __attribute__((always_inline)) uint64_t sum_streams(const uint64_t *words, size_t count,
                                                                  size_t streams)
{
    const size_t part = count / streams / WORDS_STEP * WORDS_STEP;
    uint64_t sums[WORDS_STEP] = {0};
    uint64_t total = 0;

    for (size_t i = 0; i < part; i += WORDS_STEP) {
        for (size_t s = 0; s < streams; s++) {
            const uint64_t *at = words + s * part + i;

            __builtin_prefetch((const void *)((uintptr_t)at + 1024), 0, 3);
            __builtin_prefetch((const void *)((uintptr_t)at + 3072), 0, 2);
            for (size_t j = 0; j < WORDS_STEP; j++) sums[j] += at[j];
        }
    }
    for (size_t j = 0; j < WORDS_STEP; j++) total += sums[j];
    return total;
}

#if defined(__x86_64__) && !defined(__clang__)
#define FOR_EVERY_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_CPU
#endif
FOR_EVERY_CPU static uint64_t sum_one(const uint64_t *words, size_t count)
{
    return sum_streams(words, count, 1);
}

FOR_EVERY_CPU static uint64_t sum_two(const uint64_t *words, size_t count)
{
    return sum_streams(words, count, 2);
}

FOR_EVERY_CPU static uint64_t sum_four(const uint64_t *words, size_t count)
{
    return sum_streams(words, count, 4);
}

static const struct {
    const char *streams;
    uint64_t (*sum)(const uint64_t *words, size_t count);
} sums[] = {{"1", sum_one}, {"2", sum_two}, {"4", sum_four}};
#define SUM_COUNT (sizeof sums / sizeof sums[0])

static double seconds_since(uint64_t start_ns)
{
    return (double)(crn_clock_ns() - start_ns) * 1e-9;
}

static double read_sum(const void *memory, size_t bytes, size_t which)
{
    const uint64_t start = crn_clock_ns();

    sink += sums[which].sum(memory, bytes / sizeof(uint64_t));
    return seconds_since(start);
}

static double scan_f32(const struct data *data, enum crn_op op, size_t dim, size_t rows)
{
    struct crn_hit hits[K];
    struct crn_topk top;
    uint64_t start;

    crn_topk_init(&top, hits, K);
    start = crn_clock_ns();
    crn_flat_scan_f32(op, data->query, data->f32, dim, rows, 0, NULL, &top);
    sink += hits[0].label;
    return seconds_since(start);
}

static double scan_scalar(const struct data *data, enum crn_op op, size_t dim, size_t rows)
{
    const struct crn_scalar_rows coded = {.codes = data->codes, .scale = data->scale, .norm2 = data->norm2};
    struct crn_scalar_query query;
    _Alignas(64) int8_t planes[2 * DIM_MAX];
    struct crn_hit hits[K];
    struct crn_topk top;
    uint64_t start;

    crn_topk_init(&top, hits, K);
    start = crn_clock_ns();
    crn_scalar_query_prepare(op, data->query, dim, planes, &query);
    crn_flat_scan_scalar(&query, &coded, rows, 0, NULL, &top);
    sink += hits[0].label;
    return seconds_since(start);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double gb_per_s(struct measure *measure, size_t repeats)
{
    qsort(measure->seconds, repeats, sizeof *measure->seconds, compare_doubles);
    return (double)measure->bytes / measure->seconds[repeats / 2] * 1e-9;
}

static void print(struct measure *measure, const struct options *options, double bandwidth)
{
    const double speed = gb_per_s(measure, options->repeats);
    const double median_ms = measure->seconds[options->repeats / 2] * 1e3;
    const double fastest_ms = measure->seconds[0] * 1e3;

    if (options->json) {
        printf("{\"what\":\"%s\",\"op\":\"%s\",\"dim\":%zu,\"rows\":%zu,\"bytes\":%zu,\"median_ms\":%.3f,"
               "\"fastest_ms\":%.3f,\"gb_per_s\":%.2f,\"of_bandwidth\":%.3f,\"cpu\":\"%s\"}\n",
               measure->what, measure->op, measure->dim, measure->rows, measure->bytes, median_ms, fastest_ms,
               speed, speed / bandwidth, crn_kernels_get()->name);
    } else {
        printf("%-8s %-4s %5zu %9zu %9zu %10.2f %10.2f %8.2f %8.1f %%\n", measure->what, measure->op,
               measure->dim, measure->rows, measure->bytes / MIB, median_ms, fastest_ms, speed,
               100 * speed / bandwidth);
    }
}

/* The measures of one codec: its array's sums, then every op and dim. */
#define MEASURES (SUM_COUNT + CRN_OP_COUNT * DIM_COUNT)

static struct measure make_measure(size_t m, size_t array_bytes, bool scalar)
{
    const size_t scan = m - SUM_COUNT;
    size_t dim, rows, row_bytes;
    enum crn_op op;

    if (m < SUM_COUNT) {
        return (struct measure){.what = "sum", .op = sums[m].streams, .bytes = array_bytes};
    }
    op = (enum crn_op)(scan / DIM_COUNT);
    dim = dims[scan % DIM_COUNT];
    rows = array_bytes / (scalar ? dim : dim * sizeof(float));
    row_bytes = scalar ? dim + (op == CRN_OP_L2 ? 2 : 1) * sizeof(float) : dim * sizeof(float);
    return (struct measure){.what = scalar ? "scalar" : "f32",
                            .op = op_names[op],
                            .dim = dim,
                            .rows = rows,
                            .bytes = rows * row_bytes};
}

static double run(const struct data *data, const struct measure *measure, size_t m, bool scalar)
{
    const enum crn_op op = (enum crn_op)((m - SUM_COUNT) / DIM_COUNT);

    if (m < SUM_COUNT) return read_sum(scalar ? (const void *)data->codes : data->f32, measure->bytes, m);
    if (scalar) return scan_scalar(data, op, measure->dim, measure->rows);
    return scan_f32(data, op, measure->dim, measure->rows);
}

static void bench_codec(const struct data *data, const struct options *options, bool scalar)
{
    static struct measure measures[MEASURES];
    double bandwidth = 0;

    for (size_t m = 0; m < MEASURES; m++) {
        measures[m] = make_measure(m, scalar ? options->code_bytes : options->f32_bytes, scalar);
    }
    for (size_t repeat = 0; repeat < options->repeats; repeat++) {
        for (size_t m = 0; m < MEASURES; m++) {
            measures[m].seconds[repeat] = run(data, &measures[m], m, scalar);
        }
    }
    for (size_t m = 0; m < SUM_COUNT; m++) {
        const double speed = gb_per_s(&measures[m], options->repeats);

        if (speed > bandwidth) bandwidth = speed;
    }
    for (size_t m = 0; m < MEASURES; m++) print(&measures[m], options, bandwidth);
}

static size_t number(const char *text, size_t min, size_t max)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "bench_flat: \"%s\" is not a number from %zu to %zu\n", text, min, max);
        exit(2);
    }
    return value;
}

static struct options parse(int argc, char **argv)
{
    struct options options = {.cpu = -1, .repeats = 7, .f32_bytes = 1024 * MIB};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            options.json = true;
        } else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc) {
            options.cpu = (int)number(argv[++i], 0, CPU_SETSIZE - 1);
        } else if (strcmp(argv[i], "--repeats") == 0 && i + 1 < argc) {
            options.repeats = number(argv[++i], 1, REPEATS_MAX);
        } else if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc) {
            options.f32_bytes = number(argv[++i], 4, 1 << 20) * MIB;
        } else {
            fprintf(stderr, "usage: bench_flat [--json] [--cpu N] [--repeats N] [--mib N]\n");
            exit(2);
        }
    }
    options.code_bytes = options.f32_bytes / 4;
    return options;
}

static int pin(int wanted)
{
    const int cpu = wanted >= 0 ? wanted : sched_getcpu();
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) fail("bench_flat: sched_setaffinity");
    return cpu;
}

int main(int argc, char **argv)
{
    const struct options options = parse(argc, argv);
    const int cpu = pin(options.cpu);
    static struct data data;

    fill(&data, &options);
    if (!options.json) {
        printf("kernels %s, pinned to CPU %d, k = %d, median of %zu\n\n", crn_kernels_get()->name, cpu, K,
               options.repeats);
        printf("%-8s %-4s %5s %9s %9s %10s %10s %8s %10s\n", "what", "op", "dim", "rows", "MiB", "median ms",
               "fastest ms", "GB/s", "of sum");
    }
    bench_codec(&data, &options, false);
    bench_codec(&data, &options, true);
    return 0;
}
