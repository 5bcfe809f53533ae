/*
 * bench_codecs: what each codec keeps of the neighbours, and how fast it is scanned, on one core.
 *
 * For each codec: bytes a vector as stored; recall@10 of codes alone and with the best 10*x rescored on f32;
 * the scan's speed over all rows, top-k of 10 included, as bytes of codes and as rows; microseconds of a
 * whole query that rescores 10*--factor rows, query preparation included; rows encoded a second, training
 * included. Exact neighbours are found by scanning f32. Dot products and cosine are compared as dot products,
 * of rows normalised first for cosine.
 *
 *   bench_codecs [--metric cosine|l2|dot|l1] [--data NAME.base.fvecs NAME.query.fvecs] [--queries N]
 *                [--factor X] [--rows N] [--dim D] [--only CODEC]
 *
 * --rows and --dim are those of the clustered set that is made without --data.
 */
#include "bench/bench_codecs.h"

#include "base/clock.h"
#include "base/rng.h"
#include "quant/vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K 10
#define FACTORS 5
#define CANDIDATES_MAX 8192
#define SPARE 8 /* candidates held for each that is wanted */
#define CLUSTERS 200

static const size_t factors[FACTORS] = {1, 2, 4, 8, 16};

struct options {
    const char *base, *query, *only;
    enum crn_op op;
    bool normalize;
    size_t queries, factor, rows, dim;
};

void bench_fail(const char *what)
{
    fprintf(stderr, "bench_codecs: %s\n", what);
    exit(1);
}

void *bench_alloc(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);

    if (memory == NULL) bench_fail("out of memory");
    return memory;
}

/* ---- data ---- */

static float *read_fvecs(const char *path, size_t *out_n, size_t *out_dim)
{
    FILE *file = fopen(path, "rb");
    int32_t dim;

    if (file == NULL || fread(&dim, 4, 1, file) != 1 || dim < 1 || dim > 65536) bench_fail(path);
    fseek(file, 0, SEEK_END);
    const size_t row = 4 + 4 * (size_t)dim, n = (size_t)ftell(file) / row;
    float *rows = bench_alloc(n * (size_t)dim * sizeof *rows);

    rewind(file);
    for (size_t i = 0; i < n; i++) {
        if (fread(&dim, 4, 1, file) != 1 || fread(rows + i * (row / 4 - 1), row - 4, 1, file) != 1)
            bench_fail(path);
    }
    fclose(file);
    *out_n = n;
    *out_dim = row / 4 - 1;
    return rows;
}

/* Normal clusters of unequal width in a subspace-like shape: variances fall by dimension, as embeddings' do.
 * */
static void make_clustered(struct bench_data *data, size_t n, size_t queries, size_t dim)
{
    float *centers = bench_alloc(CLUSTERS * dim * sizeof *centers);
    float *all = bench_alloc((n + queries) * dim * sizeof *all);
    struct crn_rng rng;

    crn_rng_init(&rng, 1);
    for (size_t i = 0; i < CLUSTERS * dim; i++) {
        centers[i] = (float)(crn_rng_normal(&rng) / sqrt(1 + (double)(i % dim) / 16));
    }
    for (size_t i = 0; i < n + queries; i++) {
        const float *center = centers + crn_rng_below(&rng, CLUSTERS) * dim;

        for (size_t j = 0; j < dim; j++) {
            all[i * dim + j] = center[j] + (float)(0.5 * crn_rng_normal(&rng) / sqrt(1 + (double)j / 16));
        }
    }
    free(centers);
    data->rows = all;
    data->queries = all + n * dim;
    data->n = n;
    data->query_count = queries;
    data->dim = dim;
}

static void normalize(float *rows, size_t n, size_t dim)
{
    for (size_t i = 0; i < n; i++) {
        crn_vector_scale(rows + i * dim, dim, 1 / sqrt(crn_vector_norm2(rows + i * dim, dim)),
                         rows + i * dim);
    }
}

static struct bench_data load(const struct options *options)
{
    struct bench_data data = {.op = options->op};

    if (options->base != NULL) {
        size_t dim;

        data.rows = read_fvecs(options->base, &data.n, &data.dim);
        data.queries = read_fvecs(options->query, &data.query_count, &dim);
        if (dim != data.dim) bench_fail("rows and queries differ in dim");
        if (data.query_count > options->queries) data.query_count = options->queries;
    } else {
        make_clustered(&data, options->rows, options->queries, options->dim);
    }
    if (options->normalize) {
        normalize(data.rows, data.n, data.dim);
        normalize(data.queries, data.query_count, data.dim);
    }
    return data;
}

/* ---- measuring ---- */

static double seconds_since(uint64_t start)
{
    return (double)(crn_clock_ns() - start) * 1e-9;
}

static uint64_t *exact_neighbours(const struct bench_data *data)
{
    uint64_t *truth = bench_alloc(data->query_count * K * sizeof *truth);

    for (size_t q = 0; q < data->query_count; q++) {
        struct crn_hit hits[K];
        struct crn_topk top;

        crn_topk_init(&top, hits, K);
        crn_flat_scan_f32(data->op, data->queries + q * data->dim, data->rows, data->dim, data->n, 0, NULL,
                          &top);
        for (size_t i = 0; i < K; i++) truth[q * K + i] = hits[i].label;
    }
    return truth;
}

static size_t query_once(const struct bench_codec *codec, const struct bench_data *data, size_t q,
                         size_t wanted, const uint64_t *truth)
{
    const float *query = data->queries + q * data->dim;
    const struct crn_scan_codes codes = {.ctx = codec->state, .within = codec->within, .gather = NULL};
    static float distances[CANDIDATES_MAX];
    static uint32_t labels[CANDIDATES_MAX];
    struct crn_hit hits[K];
    struct crn_sieve best;
    struct crn_topk top;
    size_t found = 0;

    codec->prepare(codec->state, query);
    crn_sieve_init(&best, distances, labels, wanted,
                   wanted < CANDIDATES_MAX / SPARE ? wanted * SPARE : CANDIDATES_MAX);
    crn_topk_init(&top, hits, K);
    crn_flat_scan_codes(&codes, data->n, 0, NULL, &best);
    crn_sieve_shrink(&best);
    if (wanted > K) {
        crn_flat_scan_f32_at(data->op, query, data->rows, data->dim, labels, best.count, 0, &top);
    } else {
        for (size_t i = 0; i < best.count; i++) hits[top.count++] = (struct crn_hit){distances[i], labels[i]};
    }
    for (size_t i = 0; i < K * top.count; i++) found += truth[q * K + i % K] == hits[i / K].label;
    return found;
}

static double recall(const struct bench_codec *codec, const struct bench_data *data, size_t factor,
                     const uint64_t *truth)
{
    size_t found = 0;

    for (size_t q = 0; q < data->query_count; q++) found += query_once(codec, data, q, K * factor, truth);
    return (double)found / (double)(data->query_count * K);
}

/* Seconds of one query, the least of some rounds over several queries. */
static double query_seconds(const struct bench_codec *codec, const struct bench_data *data, size_t wanted,
                            const uint64_t *truth)
{
    const size_t queries = data->query_count < 50 ? data->query_count : 50;
    double least = 1e9;

    for (int round = 0; round < 5; round++) {
        const uint64_t start = crn_clock_ns();

        for (size_t q = 0; q < queries; q++) query_once(codec, data, q, wanted, truth);
        const double seconds = seconds_since(start) / (double)queries;
        if (seconds < least) least = seconds;
    }
    return least;
}

static void measure(const struct bench_codec *codec, const struct bench_data *data,
                    const struct options *options, const uint64_t *truth)
{
    const uint64_t start = crn_clock_ns();

    codec->encode(codec->state, data);
    const double encode = seconds_since(start);
    const double scan = query_seconds(codec, data, K, truth),
                 whole = query_seconds(codec, data, K * options->factor, truth);
    const double bytes = (double)codec->bytes(data->dim);
    printf("%-10s %7.0f %6.1f", codec->name, bytes, (double)(data->dim * sizeof(float)) / bytes);
    for (size_t f = 0; f < FACTORS; f++) printf(" %6.4f", recall(codec, data, factors[f], truth));
    printf(" %7.2f %8.1f %9.1f %9.0f\n", bytes * (double)data->n / scan * 1e-9, (double)data->n / scan * 1e-6,
           whole * 1e6, (double)data->n / encode);
    codec->release(codec->state);
}

/* ---- options ---- */

static size_t number(const char *text, size_t most)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < 1 || value > most) bench_fail(text);
    return value;
}

static void set_metric(struct options *options, const char *name)
{
    options->normalize = strcmp(name, "cosine") == 0;
    if (options->normalize || strcmp(name, "dot") == 0) {
        options->op = CRN_OP_DOT;
    } else if (strcmp(name, "l2") == 0) {
        options->op = CRN_OP_L2;
    } else if (strcmp(name, "l1") == 0) {
        options->op = CRN_OP_L1;
    } else {
        bench_fail(name);
    }
}

static struct options parse(int argc, char **argv)
{
    struct options options = {
        .queries = 200, .factor = 8, .rows = 50000, .dim = 256, .op = CRN_OP_DOT, .normalize = true};

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--metric") == 0) {
            set_metric(&options, value);
        } else if (strcmp(argv[i], "--data") == 0 && i + 2 < argc) {
            options.base = value;
            options.query = argv[++i + 1];
        } else if (strcmp(argv[i], "--queries") == 0) {
            options.queries = number(value, 1000000);
        } else if (strcmp(argv[i], "--factor") == 0) {
            options.factor = number(value, CANDIDATES_MAX / K / 2);
        } else if (strcmp(argv[i], "--rows") == 0) {
            options.rows = number(value, 100000000);
        } else if (strcmp(argv[i], "--dim") == 0) {
            options.dim = number(value, 65536);
        } else if (strcmp(argv[i], "--only") == 0) {
            options.only = value;
        } else {
            bench_fail("usage: bench_codecs [--metric cosine|l2|dot|l1] [--data BASE QUERY] [--queries N] "
                       "[--factor X] [--rows N] [--dim D] [--only CODEC]");
        }
        i++;
    }
    return options;
}

int main(int argc, char **argv)
{
    const struct options options = parse(argc, argv);
    const struct bench_data data = load(&options);
    const uint64_t *truth = exact_neighbours(&data);

    printf("%zu rows of %zu dims, %zu queries, kernels %s\n\n", data.n, data.dim, data.query_count,
           crn_lookup_get()->name);
    printf("%-10s %7s %6s %6s %6s %6s %6s %6s %7s %8s %9s %9s\n", "codec", "bytes", "f32/", "r@10", "x2",
           "x4", "x8", "x16", "GB/s", "Mrows/s", "us/query", "encode/s");
    for (size_t i = 0; i < bench_codec_count; i++) {
        const struct bench_codec *codec = &bench_codecs[i];

        if (options.only != NULL && strcmp(options.only, codec->name) != 0) continue;
        if (data.op == CRN_OP_L1 && !codec->has_l1) continue;
        measure(codec, &data, &options, truth);
        fflush(stdout);
    }
    return 0;
}
