/*
 * Lists, shards, neighbours, and what goes wrong: gpu_more simulated|cuda [seed]. Faults are injected in the simulation alone.
 */
#include "tests/gpu/check.h"
#include "tests/gpu/driver.h"
#include "tests/gpu/reference.h"

#include "gpu/shards.h"

#include <math.h>
#include <time.h>

struct results {
    float *distances;
    uint32_t *labels;
};

static struct results make_results(size_t count)
{
    struct results results = {.distances = malloc(count * sizeof(float)),
                              .labels = malloc(count * sizeof(uint32_t))};

    CHECK(results.distances != NULL && results.labels != NULL, "no memory");
    return results;
}

static void free_results(struct results *results)
{
    free(results->distances);
    free(results->labels);
}

static struct crn_gpu_query query_of(const struct reference *reference, size_t k)
{
    return (struct crn_gpu_query){.vectors = reference->queries,
                                  .batch = reference->batch,
                                  .k = k,
                                  .allow = reference->allow,
                                  .allow_each = reference->allow_each};
}

static struct crn_gpu_set *set_of(struct crn_gpu *gpu, const struct reference *reference)
{
    struct crn_gpu_set *set;

    CHECK_OK(crn_gpu_set_create(gpu, &reference->options, &set, err));
    CHECK_OK(crn_gpu_set_append(set, reference->vectors, reference->count, err));
    return set;
}

/* Lists of uneven lengths, some empty, one longer than a query's keys have room. */
static void lists(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    enum { LISTS = 12, PROBES = 7 };
    for (int i = 0; i < 12; i++) {
        const struct crn_gpu_set_options options = {
            .codec = (unsigned)i % 4, .metric = reference_below(3), .dim = 24 + reference_below(20)};
        struct reference reference;
        uint32_t offsets[LISTS + 1] = {0}, probes[LISTS * 40];
        const size_t k = i % 3 == 0 ? 1 : 30, batch = 1 + reference_below(20);
        reference_fill(&reference, &options, 6500, batch);
        if (i % 4 == 3) reference_filter(&reference, 0.3, false);
        for (int l = 0; l < LISTS; l++) {
            const uint32_t length = l == 3 ? 5000 : l == LISTS - 1 ? 6500 - offsets[l] : reference_below(140);
            offsets[l + 1] = offsets[l] + (l % 5 == 4 ? 0 : length);
        }
        for (size_t q = 0; q < batch; q++) { /* a random order of all lists, of which some are asked for */
            uint32_t order[LISTS];
            for (uint32_t l = 0; l < LISTS; l++) order[l] = l;
            for (uint32_t l = 0; l < PROBES; l++) {
                const uint32_t other = l + reference_below(LISTS - l), swapped = order[l];
                order[l] = order[other];
                order[other] = swapped;
                probes[q * PROBES + l] = reference_below(10) == 0 ? CRN_GPU_NONE : order[l];
            }
        }
        const struct crn_gpu_lists asked = {
            .offsets = offsets, .count = LISTS, .probes = probes, .probe_count = PROBES};
        struct crn_gpu_set *set = set_of(gpu, &reference);
        struct results results = make_results(batch * k);
        struct crn_gpu_query query = query_of(&reference, k);
        if (i >= 6) query.path = CRN_GPU_PATH_TILE;
        reference.lists = &asked;
        CHECK_OK(crn_gpu_search_lists(set, stream, &query, &asked, results.distances, results.labels, err));
        reference_check(&reference, k, results.distances, results.labels, "lists");
        free_results(&results);
        crn_gpu_set_free(set);
        reference_release(&reference);
    }
}

/* Two partitions, simulated on one device where there is one. */
static void shards(const struct crn_gpu_driver *driver, struct crn_gpu *gpu)
{
    const char *why;
    struct crn_gpu *gpus[2] = {gpu, gpu};
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_I8, .metric = CRN_GPU_L2, .dim = 40};
    struct crn_gpu_shards *whole;
    struct reference reference;

    if (driver->device_count(&why) > 1) CHECK_OK(crn_gpu_open(driver, 1, &gpus[1], err));
    printf("shards: %s\n",
           gpus[1] == gpu ? "two partitions on one device, a simulation of two" : "on two devices");
    reference_fill(&reference, &options, 3333, 5);
    reference_filter(&reference, 0.5, false);
    CHECK_OK(crn_gpu_shards_create(gpus, 2, &options, &whole, err));
    CHECK_OK(crn_gpu_shards_append(whole, reference.vectors, 1500, err));
    CHECK_OK(crn_gpu_shards_append(whole, reference.vectors + (size_t)1500 * 40, 1833, err));
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t label = reference_below(3333);
        reference.dead[label] = 1;
        CHECK_OK(crn_gpu_shards_delete(whole, &label, 1, err));
    }
    const struct crn_gpu_query query = query_of(&reference, 50);
    struct results results = make_results(reference.batch * 50);
    CHECK_OK(crn_gpu_shards_search(whole, &query, results.distances, results.labels, err));
    reference_check(&reference, 50, results.distances, results.labels, "shards");
    free_results(&results);
    crn_gpu_shards_free(whole);
    reference_release(&reference);
    if (gpus[1] != gpu) crn_gpu_close(gpus[1]);
}

static void neighbours(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_F32, .metric = CRN_GPU_L2, .dim = 20};
    struct reference reference;

    reference_fill(&reference, &options, 600, 1);
    struct crn_gpu_set *set = set_of(gpu, &reference);
    struct results results = make_results((size_t)50 * 10);
    uint32_t rows[50];
    for (uint32_t r = 0; r < 50; r++) rows[r] = 100 + r;
    const struct crn_gpu_query query = {
        .vectors = reference.vectors + (size_t)100 * 20, .batch = 50, .k = 10};
    CHECK_OK(crn_gpu_neighbours(set, stream, &query, rows, results.distances, results.labels, err));
    for (uint32_t r = 0; r < 50; r++) {
        struct reference one = reference;
        one.queries = reference.vectors + (size_t)(100 + r) * 20;
        one.dead = calloc(601, 1);
        CHECK(one.dead != NULL, "no memory");
        one.dead[100 + r] = 1;
        reference_check(&one, 10, results.distances + (size_t)r * 10, results.labels + (size_t)r * 10,
                        "neighbours");
        free(one.dead);
    }
    free_results(&results);
    crn_gpu_set_free(set);
    reference_release(&reference);
}

static void bad_arguments(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_F16, .metric = CRN_GPU_DOT, .dim = 2};
    const float huge[2] = {1e5f, 0}, nan[2] = {__builtin_nanf(""), 0}, good[2] = {1, 0};
    const uint32_t beyond = 1;
    struct crn_gpu_set *set;
    float distance;
    uint32_t label;
    cairn_error err;

    CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
    CHECK(crn_gpu_set_append(set, huge, 1, &err) == CAIRN_INVALID_VECTOR, "%s", err.message);
    CHECK(crn_gpu_set_append(set, nan, 1, &err) == CAIRN_INVALID_VECTOR && crn_gpu_set_count(set) == 0, "%s",
          err.message);
    CHECK_OK(crn_gpu_set_append(set, good, 1, err));
    struct crn_gpu_query query = {.vectors = good, .batch = 1, .k = CRN_GPU_K_MAX + 1};
    CHECK(crn_gpu_search(set, stream, &query, &distance, &label, &err) == CAIRN_INVALID_ARGUMENT, "k");
    query.k = 0;
    CHECK(crn_gpu_search(set, stream, &query, &distance, &label, &err) == CAIRN_INVALID_ARGUMENT, "k");
    query.k = 1;
    query.vectors = nan;
    CHECK(crn_gpu_search(set, stream, &query, &distance, &label, &err) == CAIRN_INVALID_VECTOR, "NaN");
    CHECK(crn_gpu_set_delete(set, &beyond, 1, &err) == CAIRN_INVALID_ARGUMENT, "label");
    query.vectors = good;
    CHECK_OK(crn_gpu_search(set, stream, &query, &distance, &label, err));
    CHECK(label == 0 && distance == -1, "%u, %g", label, (double)distance);
    crn_gpu_set_free(set);
}

/* The smallest numbers there are: lengths below 1 / FLT_MAX, and steps that would be 0. */
static void tiny_vectors(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    const float tiny[2][2] = {{1e-45f, 0}, {0, 1e-45f}};
    float distances[2];
    uint32_t labels[2];

    for (enum crn_gpu_codec codec = CRN_GPU_F32; codec <= CRN_GPU_I8; codec++) {
        for (enum crn_gpu_metric metric = CRN_GPU_COSINE; metric <= CRN_GPU_DOT; metric++) {
            const struct crn_gpu_set_options options = {.codec = codec, .metric = metric, .dim = 2};
            const struct crn_gpu_query query = {.vectors = tiny[1], .batch = 1, .k = 2};
            struct crn_gpu_set *set;
            CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
            CHECK_OK(crn_gpu_set_append(set, tiny[0], 2, err));
            CHECK_OK(crn_gpu_search(set, stream, &query, distances, labels, err));
            CHECK(labels[0] + labels[1] == 1, "codec %d metric %d: %u %u", codec, metric, labels[0],
                  labels[1]);
            CHECK(metric != CRN_GPU_COSINE || (labels[0] == 1 && fabsf(distances[0] + 1) < 1e-2f),
                  "codec %d: %u at %g", codec, labels[0], (double)distances[0]);
            CHECK(distances[0] <= distances[1], "%g %g", (double)distances[0], (double)distances[1]);
            crn_gpu_set_free(set);
        }
    }
}

/* Rows appended one by one: not as many parts as rows, each of which would cost a search its launches. */
static void one_by_one(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    const struct crn_gpu_set_options options = {.codec = CRN_GPU_F32, .metric = CRN_GPU_L2, .dim = 4};
    struct reference reference;
    struct crn_gpu_set *set;

    reference_fill(&reference, &options, 20000, 1);
    CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
    for (uint32_t r = 0; r < reference.count; r += 50)
        CHECK_OK(crn_gpu_set_append(set, reference.vectors + (size_t)r * 4, 50, err));
    const struct crn_gpu_query query = query_of(&reference, 10);
    struct results results = make_results(10);
    const unsigned long before = crn_gpu_simulated()->calls;
    CHECK_OK(crn_gpu_search(set, stream, &query, results.distances, results.labels, err));
    CHECK(crn_gpu_simulated()->calls - before < 60, "%lu calls", crn_gpu_simulated()->calls - before);
    CHECK(crn_gpu_set_device_bytes(set) < (size_t)20000 * 20 * 2, "%zu bytes", crn_gpu_set_device_bytes(set));
    reference_check(&reference, 10, results.distances, results.labels, "rows one by one");
    free_results(&results);
    crn_gpu_set_free(set);
    reference_release(&reference);
}

/* The bitmap of deleted rows that could not be cleared: rows appended later are found all the same. */
static void a_bitmap_that_was_not_cleared(void)
{
    const struct crn_gpu_set_options options = {
        .codec = CRN_GPU_F32, .metric = CRN_GPU_L2, .dim = 4, .reserve_rows = 2048};
    const uint32_t first = 0;
    struct reference reference;
    cairn_error err;

    reference_fill(&reference, &options, 2048, 2);
    reference.dead[0] = 1;
    for (unsigned long nth = 1; nth < 5; nth++) {
        struct crn_gpu *gpu;
        struct crn_gpu_set *set;
        struct crn_gpu_stream *stream;
        CHECK_OK(crn_gpu_open(crn_gpu_driver_simulated(), 0, &gpu, err));
        CHECK_OK(crn_gpu_stream_create(gpu, &stream, err));
        CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
        CHECK_OK(crn_gpu_set_append(set, reference.vectors, 256, err));
        crn_gpu_simulated()->fail_at = nth;
        (void)!crn_gpu_set_delete(set, &first, 1, &err);
        crn_gpu_simulated()->fail_at = 0;
        CHECK_OK(crn_gpu_set_delete(set, &first, 1, err));
        CHECK_OK(crn_gpu_set_append(set, reference.vectors + (size_t)256 * 4, 2048 - 256, err));
        const struct crn_gpu_query query = query_of(&reference, 10);
        struct results results = make_results(20);
        CHECK_OK(crn_gpu_search(set, stream, &query, results.distances, results.labels, err));
        reference_check(&reference, 10, results.distances, results.labels, "after a bitmap was not cleared");
        free_results(&results);
        crn_gpu_stream_free(stream);
        crn_gpu_set_free(set);
        crn_gpu_close(gpu);
    }
    reference_release(&reference);
}

/* A call that may fail once, and is made again then. */
#define TWICE(call)                               \
    do {                                          \
        cairn_error *const err = &twice_err;      \
        const cairn_status twice_status = (call); \
        if (twice_status != CAIRN_OK) {           \
            status = twice_status;                \
            CHECK_OK(call);                       \
        }                                         \
    } while (0)

/* Every call that can fail fails in turn, or every allocation: a status comes back, nothing is lost, and the next attempt succeeds. */
static void faults(bool no_memory)
{
    const struct crn_gpu_driver *driver = crn_gpu_driver_simulated();
    const struct crn_gpu_set_options options = {
        .codec = CRN_GPU_F32, .metric = CRN_GPU_L2, .dim = 8, .device_bytes = 30000, .tile_bytes = 4096};
    struct reference reference;
    const uint32_t dead[2] = {5, 1400};
    unsigned long failures = 0;

    reference_fill(&reference, &options, 1500, 3);
    for (uint32_t i = 0; i < 2; i++) reference.dead[dead[i]] = 1;
    struct results results = make_results((size_t)3 * 10);
    for (unsigned long nth = 1;; nth++) {
        struct crn_gpu *gpu = NULL;
        struct crn_gpu_set *set = NULL;
        struct crn_gpu_stream *stream = NULL;
        cairn_error twice_err = {CAIRN_OK, ""};
        const struct crn_gpu_query query = query_of(&reference, 10);
        crn_gpu_simulated()->fail_at = nth;
        crn_gpu_simulated()->fail_no_memory = no_memory;
        cairn_status status = crn_gpu_open(driver, 0, &gpu, &twice_err);
        if (status == CAIRN_OK) status = crn_gpu_set_create(gpu, &options, &set, &twice_err);
        if (status == CAIRN_OK) status = crn_gpu_stream_create(gpu, &stream, &twice_err);
        if (status == CAIRN_OK) {
            TWICE(crn_gpu_set_append(set, reference.vectors, 700, err));
            TWICE(crn_gpu_set_append(set, reference.vectors + (size_t)700 * 8, 800, err));
            TWICE(crn_gpu_set_delete(set, dead, 2, err));
            CHECK(crn_gpu_set_host_bytes(set) > 0, "rows were to stay on the host");
            TWICE(crn_gpu_search(set, stream, &query, results.distances, results.labels, err));
            reference_check(&reference, 10, results.distances, results.labels, "after a fault");
        }
        CHECK(status == CAIRN_OK ||
                  (status == (no_memory ? CAIRN_NO_MEMORY : CAIRN_IO) && twice_err.message[0] != '\0'),
              "%s", twice_err.message);
        crn_gpu_stream_free(stream);
        crn_gpu_set_free(set);
        crn_gpu_close(gpu);
        CHECK(crn_gpu_simulated()->used_bytes == 0, "%zu bytes were not freed",
              crn_gpu_simulated()->used_bytes);
        if (status == CAIRN_OK && crn_gpu_simulated()->fail_at != 0) break; /* no call was the nth */
        crn_gpu_simulated()->fail_at = 0;
        failures += status != CAIRN_OK;
    }
    crn_gpu_simulated_reset();
    CHECK(failures > (no_memory ? 4u : 30u), "only %lu calls failed", failures);
    printf("%lu %s\n", failures, no_memory ? "lacks of memory" : "faults");
    free_results(&results);
    reference_release(&reference);
}

/* A card without room: rows stay on the host, or the caller is told. */
static void little_memory(void)
{
    struct crn_gpu_set_options options = {
        .codec = CRN_GPU_F32, .metric = CRN_GPU_DOT, .dim = 16, .device_only = true};
    struct reference reference;
    struct crn_gpu *gpu;
    struct crn_gpu_set *set;
    cairn_error err;

    crn_gpu_simulated()->memory_bytes = 100000;
    CHECK_OK(crn_gpu_open(crn_gpu_driver_simulated(), 0, &gpu, err));
    reference_fill(&reference, &options, 4000, 1);
    CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
    CHECK(crn_gpu_set_append(set, reference.vectors, 4000, &err) == CAIRN_NO_MEMORY &&
              crn_gpu_set_count(set) == 0,
          "%s", err.message);
    crn_gpu_set_free(set);
    options.device_only = false;
    CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
    CHECK_OK(crn_gpu_set_append(set, reference.vectors, 4000, err));
    CHECK(crn_gpu_set_host_bytes(set) > 0 && crn_gpu_set_device_bytes(set) <= 90000, "%zu",
          crn_gpu_set_device_bytes(set));
    crn_gpu_set_free(set);
    crn_gpu_close(gpu);
    reference_release(&reference);
    crn_gpu_simulated_reset();
}

int main(int argc, char **argv)
{
    const struct crn_gpu_driver *driver = test_driver(argc, argv);
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    struct crn_gpu *gpu;
    struct crn_gpu_stream *stream;

    printf("seed %llu\n", (unsigned long long)seed);
    reference_seed(seed);
    CHECK_OK(crn_gpu_open(driver, 0, &gpu, err));
    CHECK_OK(crn_gpu_stream_create(gpu, &stream, err));
    bad_arguments(gpu, stream);
    tiny_vectors(gpu, stream);
    one_by_one(gpu, stream);
    lists(gpu, stream);
    neighbours(gpu, stream);
    shards(driver, gpu);
    crn_gpu_stream_free(stream);
    crn_gpu_close(gpu);
    if (strcmp(driver->name, "simulated") == 0) {
        faults(false);
        faults(true);
        a_bitmap_that_was_not_cleared();
        little_memory();
    }
    printf("passed on %s\n", driver->name);
    return 0;
}
