/* Lookup kernels, and the binary codec: its estimates against exact distances, its bound, and blocks against
 * planes. */
#include "quant/binary.h"

#include "quant/vector.h"
#include "tests/quant/lookup_checks.h"
#include "tests/quant/reference.h"
#include "tests/quant/support.h"

#define DIM_MAX 800
#define ROWS 200
#define BLOCKS ((ROWS + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS)

static const size_t dims[] = {1, 2, 33, 63, 64, 65, 96, 100, 128, 200, 256, 384, 768, 800};
static const enum crn_op ops[] = {CRN_OP_DOT, CRN_OP_L2};

/* A small set, encoded both ways. */
struct set {
    _Alignas(64) float memory[8 * 1024];
    _Alignas(64) float scratch[1024];
    _Alignas(64) float query_memory[8 * 1024];
    float vectors[ROWS * DIM_MAX], query[DIM_MAX], centroid[DIM_MAX];
    uint64_t planes[ROWS * CRN_BINARY_BITS_MAX * 13];
    uint8_t blocks[BLOCKS * 26 * CRN_LOOKUP_WORD_BYTES];
    struct crn_binary_factors factors[ROWS];
    float add[BLOCKS * CRN_LOOKUP_ROWS], scale[BLOCKS * CRN_LOOKUP_ROWS];
    struct crn_binary binary;
};

static struct set *set_of(struct crn_rng *rng, enum crn_op op, size_t dim, float magnitude)
{
    static struct set set;

    memset(set.centroid, 0, sizeof set.centroid);
    for (size_t i = 0; i < ROWS * dim; i++) {
        set.vectors[i] = magnitude * (float)(crn_rng_normal(rng) + 0.5);
        set.centroid[i % dim] += set.vectors[i] / ROWS;
    }
    for (size_t i = 0; i < dim; i++) set.query[i] = magnitude * (float)crn_rng_normal(rng);
    crn_binary_init(&set.binary, op, dim, set.centroid, crn_rng_u64(rng), set.memory);
    return &set;
}

static void encode(struct set *set, size_t bits)
{
    const size_t words = set->binary.padded / 64, dim = set->binary.dim;

    for (size_t i = 0; i < ROWS; i++) {
        crn_binary_encode(&set->binary, set->vectors + i * dim, bits, set->scratch,
                          set->planes + i * bits * words, &set->factors[i]);
        set->add[i] = set->factors[i].add;
        set->scale[i] = set->factors[i].scale;
    }
    if (bits != 1) return;
    for (size_t b = 0; b < BLOCKS; b++) {
        const size_t begin = b * CRN_LOOKUP_ROWS;

        crn_lookup_pack((const uint8_t *)(set->planes + begin * words), ROWS - begin, 2 * words,
                        set->blocks + b * 2 * words * CRN_LOOKUP_WORD_BYTES);
    }
}

/* Rows begin..begin + n - 1, whose estimates are compared with each other as limits, too. */
static void estimate(const struct crn_binary_query *query, const struct set *set, size_t begin, size_t n,
                     float *out)
{
    const struct crn_binary_rows rows = {.blocks = set->blocks, .add = set->add, .scale = set->scale};
    float values[BLOCKS * CRN_LOOKUP_ROWS];
    uint32_t masks[BLOCKS];

    assert_true(crn_binary_within(query, &rows, begin, n, INFINITY, 0, values, masks));
    memcpy(out, values, n * sizeof *out);
    for (size_t i = 0; i < n; i += n / 3) {
        crn_binary_within(query, &rows, begin, n, out[i], 4096, values, masks);
        assert_memory_equal(values, out, n * sizeof *out);
        for (size_t j = 0; j < n; j++) assert_int_equal(masks[j / 32] >> j % 32 & 1, out[j] <= out[i]);
        assert_true(n % 32 == 0 || masks[n / 32] >> n % 32 == 0);
    }
    assert_false(crn_binary_within(query, &rows, begin, n, -INFINITY, 0, values, masks));
}

static double exact(const struct set *set, size_t row)
{
    return reference_f32(set->binary.op, set->query, set->vectors + row * set->binary.dim, set->binary.dim)
        .distance;
}

static void every_table_counts_exactly(void **state)
{
    static const enum crn_cpu_level levels[] = {CRN_CPU_SCALAR, CRN_CPU_AVX2, CRN_CPU_AVX512, CRN_CPU_NEON};
    const uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        if (crn_lookup_for(levels[i]) == NULL) {
            print_message("skipped: %s: not on this processor\n", crn_cpu_level_name(levels[i]));
        } else {
            assert_int_equal(check_lookup(crn_lookup_for(levels[i]), seed), 0);
        }
    }
    assert_non_null(crn_lookup_get());
    assert_null(crn_lookup_for((enum crn_cpu_level)99));
}

static void packing_keeps_every_byte(void **state)
{
    struct crn_rng rng = test_rng();
    uint8_t rows[CRN_LOOKUP_ROWS * 12], block[3 * CRN_LOOKUP_WORD_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)crn_rng_u64(&rng);
    for (size_t count = 0; count <= CRN_LOOKUP_ROWS; count++) {
        crn_lookup_pack(rows, count, 3, block);
        for (size_t row = 0; row < CRN_LOOKUP_ROWS; row++) {
            for (size_t byte = 0; byte < 12; byte++) {
                const uint8_t want = row < count ? rows[row * 12 + byte] : 0;

                assert_int_equal(block[byte / 4 * 128 + row / 16 * 64 + byte % 4 * 16 + row % 16], want);
            }
        }
    }
}

/* The error is within CRN_BINARY_SURE of its deviation nearly always: of a normal error 5.7 % lie beyond. */
static void estimates_keep_their_bound(void **state)
{
    struct crn_rng rng = test_rng();
    float out[ROWS];

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (size_t o = 0; o < COUNT_OF(ops); o++) {
            struct set *set = set_of(&rng, ops[o], dims[d], 3);
            struct crn_binary_query query;
            size_t beyond = 0;

            encode(set, 1);
            crn_binary_query_prepare(&set->binary, set->query, 0, set->query_memory, &query);
            estimate(&query, set, 0, ROWS, out);
            for (size_t i = 0; i < ROWS; i++) {
                const double error = fabs(out[i] - exact(set, i));
                const double deviation = (double)set->factors[i].error * query.length;
                const double rounding = 0.1 * deviation + 1e-5 * (fabs(set->add[i]) + fabs(query.add));

                beyond += error > CRN_BINARY_SURE * deviation + rounding;
                assert_true(error <= 6 * deviation + rounding);
            }
            /* Rows of few dimensions lie in few directions, and are wrong together. */
            assert_true(dims[d] < 63 || beyond <= ROWS * 12 / 100);
        }
    }
}

/* Over many rotations the mean of a row's estimates comes to its distance. */
static void estimates_are_unbiased(void **state)
{
    enum { ROTATIONS = 400, DIM = 64 };
    struct crn_rng rng = test_rng();
    double sums[20] = {0}, squares[20] = {0};

    (void)state;
    struct set *set = set_of(&rng, CRN_OP_L2, DIM, 1);
    for (size_t r = 0; r < ROTATIONS; r++) {
        struct crn_binary_query query;
        float out[20];

        crn_binary_init(&set->binary, CRN_OP_L2, DIM, set->centroid, crn_rng_u64(&rng), set->memory);
        encode(set, 1);
        crn_binary_query_prepare(&set->binary, set->query, 8, set->query_memory, &query);
        crn_binary_planes(&query, set->planes, 1, set->factors, NULL, 20, out);
        for (size_t i = 0; i < 20; i++) {
            const double error = out[i] - exact(set, i);

            sums[i] += error;
            squares[i] += error * error;
        }
    }
    for (size_t i = 0; i < 20; i++) {
        const double mean = sums[i] / ROTATIONS, deviation = sqrt(squares[i] / ROTATIONS / ROTATIONS);

        assert_true(fabs(mean) <= 5 * deviation);
    }
}

/* Each bit more halves the error, about. */
static void more_bits_are_nearer(void **state)
{
    struct crn_rng rng = test_rng();
    double before = 0;

    (void)state;
    struct set *set = set_of(&rng, CRN_OP_L2, 256, 1);
    for (size_t bits = 1; bits <= CRN_BINARY_BITS_MAX; bits++) {
        struct crn_binary_query query;
        float out[ROWS], gather[ROWS];
        uint32_t pos[ROWS];
        double sum = 0;

        encode(set, bits);
        crn_binary_query_prepare(&set->binary, set->query, 8, set->query_memory, &query);
        crn_binary_planes(&query, set->planes, bits, set->factors, NULL, ROWS, out);
        for (size_t i = 0; i < ROWS; i++) {
            pos[i] = (uint32_t)crn_rng_below(&rng, ROWS);
            sum += fabs(out[i] - exact(set, i)) / exact(set, i);
        }
        crn_binary_planes(&query, set->planes, bits, set->factors, pos, ROWS, gather);
        for (size_t i = 0; i < ROWS; i++) assert_memory_equal(&gather[i], &out[pos[i]], sizeof(float));
        print_message("%zu bits: mean relative error %.5f\n", bits, sum / ROWS);
        assert_true(bits == 1 || bits > 6 || sum < 0.75 * before); /* the query's 8 bits end it */
        before = sum;
    }
    assert_true(before / ROWS < 0.005);
}

static void blocks_and_planes_agree(void **state)
{
    struct crn_rng rng = test_rng();
    float blocks[ROWS], planes[ROWS], part[ROWS];

    (void)state;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        struct set *set = set_of(&rng, CRN_OP_DOT, dims[d], 1);
        struct crn_binary_query query;

        encode(set, 1);
        crn_binary_query_prepare(&set->binary, set->query, 8, set->query_memory, &query);
        estimate(&query, set, 0, ROWS, blocks);
        estimate(&query, set, 64, ROWS - 64 - 5, part);
        crn_binary_planes(&query, set->planes, 1, set->factors, NULL, ROWS, planes);
        for (size_t i = 0; i < ROWS; i++) {
            const double y = 0.5 * (double)set->binary.padded;
            const double bound =
                fabs(set->scale[i]) * (query.table_delta * y / 4 + query.plane_delta * y / 2) +
                1e-5 * (fabs(set->add[i]) + fabs(query.add) + fabs(blocks[i]));

            assert_true(fabs(blocks[i] - planes[i]) <= bound);
        }
        assert_memory_equal(part, blocks + 64, (ROWS - 64 - 5) * sizeof *part);
    }
}

static void the_centroid_and_zeros_encode(void **state)
{
    struct crn_rng rng = test_rng();
    float out[ROWS];

    (void)state;
    for (size_t o = 0; o < COUNT_OF(ops); o++) {
        struct set *set = set_of(&rng, ops[o], 100, 1);
        struct crn_binary_query query;

        memcpy(set->vectors, set->centroid, 100 * sizeof(float));
        memset(set->vectors + 100, 0, 100 * sizeof(float));
        encode(set, 1);
        memcpy(set->query, set->centroid, 100 * sizeof(float));
        crn_binary_query_prepare(&set->binary, set->query, 8, set->query_memory, &query);
        estimate(&query, set, 0, ROWS, out);
        for (size_t i = 0; i < ROWS; i++) { /* a query at the centroid makes estimates exact */
            assert_true(fabs(out[i] - exact(set, i)) <= 1e-4 * (1 + fabs(exact(set, i))));
        }
        encode(set, 4);
        assert_true(set->factors[0].scale == 0 && set->factors[0].error == 0);
    }
    assert_int_equal(crn_binary_bytes(768), 96 + 8);
    assert_int_equal(crn_binary_bytes(100), 16 + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_counts_exactly),    cmocka_unit_test(packing_keeps_every_byte),
        cmocka_unit_test(estimates_keep_their_bound),    cmocka_unit_test(estimates_are_unbiased),
        cmocka_unit_test(more_bits_are_nearer),          cmocka_unit_test(blocks_and_planes_agree),
        cmocka_unit_test(the_centroid_and_zeros_encode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
