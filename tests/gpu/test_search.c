/*
 * Searches of odd sizes against plain loops: gpu_search simulated|cuda [seed] [cases].
 */
#include "tests/gpu/check.h"
#include "tests/gpu/driver.h"
#include "tests/gpu/reference.h"

#include <string.h>
#include <time.h>

static const char *const codec_names[] = {"f32", "f16", "int8", "1-bit"};
static const char *const metric_names[] = {"cosine", "l2", "dot"};
static const char *const path_names[] = {"auto", "narrow", "tile", "hopper"};

struct shape {
    uint32_t dim, rows, parts;
    size_t batch, k;
};

static uint32_t pick(const uint32_t *from, uint32_t count)
{
    return from[reference_below(count)];
}

static struct shape random_shape(bool simulated)
{
    static const uint32_t dims[] = {1, 3, 7, 16, 17, 33, 64, 65, 100, 129, 200, 257, 384};
    static const uint32_t rows[] = {1, 2, 31, 255, 256, 257, 700, 1023, 2500, 5000};
    static const uint32_t batches[] = {1, 1, 2, 4, 5, 8, 9, 16, 17, 31, 33, 64, 65, 127, 128, 130};
    static const uint32_t ks[] = {1, 2, 10, 10, 33, 100, 300, 2048};
    struct shape shape = {
        .dim = pick(dims, 13), .rows = pick(rows, 10), .batch = pick(batches, 16), .k = pick(ks, 8)};

    if (simulated && shape.batch > 9 && shape.rows > 1500) shape.rows = 1500 + reference_below(100);
    if (simulated && shape.batch > 64 && shape.dim > 130) shape.dim = 130;
    shape.parts = 1 + reference_below(3);
    return shape;
}

static struct crn_gpu_set *make_set(struct crn_gpu *gpu, struct reference *reference, uint32_t parts)
{
    struct crn_gpu_set *set;
    uint32_t deleted[64], count = 0;

    CHECK_OK(crn_gpu_set_create(gpu, &reference->options, &set, err));
    for (uint32_t p = 0, begin = 0; p < parts; p++) {
        const uint32_t end =
            p + 1 == parts ? reference->count : begin + reference_below(reference->count - begin + 1);
        CHECK_OK(crn_gpu_set_append(set, reference->vectors + (size_t)begin * reference->options.dim,
                                    end - begin, err));
        begin = end;
    }
    for (uint32_t i = reference_below(3) * 20; i > 0; i--) {
        deleted[count] = reference_below(reference->count);
        reference->dead[deleted[count++]] = 1;
    }
    CHECK_OK(crn_gpu_set_delete(set, deleted, count, err));
    return set;
}

static void search_and_check(struct crn_gpu_set *set, struct crn_gpu_stream *stream,
                             const struct reference *reference, size_t k, enum crn_gpu_path path,
                             const char *what)
{
    const struct crn_gpu_query query = {.vectors = reference->queries,
                                        .batch = reference->batch,
                                        .k = k,
                                        .allow = reference->allow,
                                        .allow_each = reference->allow_each,
                                        .path = path};
    float *distances = malloc(reference->batch * k * sizeof *distances);
    uint32_t *labels = malloc(reference->batch * k * sizeof *labels);

    CHECK(distances != NULL && labels != NULL, "no memory");
    memset(labels, 0x5a, reference->batch * k * sizeof *labels);
    memset(distances, 0x5a, reference->batch * k * sizeof *distances);
    CHECK_OK(crn_gpu_search(set, stream, &query, distances, labels, err));
    reference_check(reference, k, distances, labels, what);
    free(distances);
    free(labels);
}

static void one_case(struct crn_gpu *gpu, struct crn_gpu_stream *stream, uint64_t seed, bool simulated)
{
    struct reference reference;
    char what[200];

    reference_seed(seed);
    const struct shape shape = random_shape(simulated);
    struct crn_gpu_set_options options = {
        .codec = reference_below(4), .metric = reference_below(3), .dim = shape.dim, .tile_bytes = 1 << 16};
    const enum crn_gpu_path path = reference_below(4);
    /* Sometimes most rows stay on the host. */
    if (reference_below(4) == 0) options.device_bytes = 300000 + reference_below(100000);
    if (options.codec == CRN_GPU_I8 && reference_below(2) == 0) options.step = 0.01f;
    if (reference_below(3) == 0) options.reserve_rows = reference_below(4000);
    reference_fill(&reference, &options, shape.rows, shape.batch);
    const uint32_t filter = reference_below(4);
    if (filter >= 2) reference_filter(&reference, filter == 2 ? 0.5 : 0.02, reference_below(2) == 0);
    struct crn_gpu_set *set = make_set(gpu, &reference, shape.parts);
    snprintf(what, sizeof what,
             "seed %llu: %s %s %s, %u rows of dim %u in %u parts, batch %zu, k %zu, filter %u%s, host %zu",
             (unsigned long long)seed, codec_names[options.codec], metric_names[options.metric],
             path_names[path], shape.rows, shape.dim, shape.parts, shape.batch, shape.k, filter,
             reference.allow_each ? " each" : "", crn_gpu_set_host_bytes(set));
    if (getenv("GPU_VERBOSE") != NULL) fprintf(stderr, "%s\n", what);
    search_and_check(set, stream, &reference, shape.k, path, what);
    crn_gpu_set_free(set);
    reference_release(&reference);
}

enum hard { EQUAL, WORST_ORDER, FINE_STEPS, HARD_COUNT };

/* Every row is equal; each is nearer than those before; or they differ by less than TF32 sees (250 look like the nearest), so that the candidates
 * of tensor cores are not the nearest rows. */
static float hard_number(enum hard kind, uint32_t row)
{
    if (kind == EQUAL) return 1;
    if (kind == WORST_ORDER) return (float)(row / 80);
    return 1 + (float)(row * 4001u % 6000 + 140) * 0x1p-18f;
}

static void hard_cases(struct crn_gpu *gpu, struct crn_gpu_stream *stream)
{
    static const char *const names[] = {"equal rows", "the worst order", "fine steps"};

    for (enum hard kind = EQUAL; kind < HARD_COUNT; kind++) {
        for (enum crn_gpu_codec codec = CRN_GPU_F32; codec <= CRN_GPU_I8; codec++) {
            const struct crn_gpu_set_options options = {
                .codec = codec, .metric = CRN_GPU_DOT, .dim = 8, .step = 1};
            struct reference reference;
            struct crn_gpu_set *set;
            reference_seed(1);
            reference_fill(&reference, &options, kind == WORST_ORDER ? 9000 : 6000, 9);
            for (uint32_t r = 0; r < reference.count; r++)
                for (uint32_t i = 0; i < 8; i++)
                    reference.vectors[r * 8 + i] = i != 0 ? 0 : hard_number(kind, r);
            for (size_t q = 0; q < reference.batch; q++)
                for (uint32_t i = 0; i < 8; i++) reference.queries[q * 8 + i] = i == 0 ? 1 : 0;
            CHECK_OK(crn_gpu_set_create(gpu, &options, &set, err));
            CHECK_OK(crn_gpu_set_append(set, reference.vectors, reference.count, err));
            for (enum crn_gpu_path path = CRN_GPU_PATH_NARROW; path <= CRN_GPU_PATH_HOPPER; path++)
                search_and_check(set, stream, &reference, 20, path, names[kind]);
            crn_gpu_set_free(set);
            reference_release(&reference);
        }
    }
}

int main(int argc, char **argv)
{
    const struct crn_gpu_driver *driver = test_driver(argc, argv);
    const bool simulated = strcmp(driver->name, "simulated") == 0;
    const uint64_t given = argc > 2 ? strtoull(argv[2], NULL, 10) : 0,
                   seed = given != 0 ? given : (uint64_t)time(NULL);
    const uint64_t cases = argc > 3 ? strtoull(argv[3], NULL, 10) : simulated ? 60 : 2000;
    struct crn_gpu *gpu;
    struct crn_gpu_stream *stream;

    printf("seed %llu, %llu cases\n", (unsigned long long)seed, (unsigned long long)cases);
    CHECK_OK(crn_gpu_open(driver, 0, &gpu, err));
    CHECK_OK(crn_gpu_stream_create(gpu, &stream, err));
    hard_cases(gpu, stream);
    for (uint64_t i = 0; i < cases; i++) one_case(gpu, stream, seed + i, simulated);
    crn_gpu_stream_free(stream);
    crn_gpu_close(gpu);
    printf("passed on %s\n", driver->name);
    return 0;
}
