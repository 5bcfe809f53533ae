/* The product codec, plain and turned: training, distances against those of decoded rows, and what it finds.
 * */
#include "quant/turned.h"

#include "base/mem.h"
#include "quant/flat_scan.h"
#include "quant/kmeans.h"
#include "quant/vector.h"
#include "tests/quant/reference.h"
#include "tests/quant/support.h"

#define DIM 72
#define ROWS 700
#define WHOLE ((ROWS + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS * CRN_LOOKUP_ROWS)
#define BLOCKS ((ROWS + 31) / 32)

struct set {
    float rows[ROWS * DIM], query[DIM], codebooks[128 * 256];
    _Alignas(64) float memory[128 * 256 + 4096];
    uint8_t codes[ROWS * DIM], blocks[BLOCKS * 32 * 64];
    struct crn_product product;
};

static struct set *set_of(struct crn_rng *rng, enum crn_op op, size_t parts, size_t bits)
{
    static struct set set;
    cairn_error err;

    for (size_t i = 0; i < ROWS * DIM; i++)
        set.rows[i] = (float)crn_rng_normal(rng) + (i % 3 == 0 ? 1.0f : 0.0f);
    for (size_t i = 0; i < DIM; i++) set.query[i] = (float)crn_rng_normal(rng);
    set.product = (struct crn_product){.op = op, .dim = DIM, .parts = parts, .bits = bits};
    assert_int_equal(crn_product_train(&set.product, set.rows, ROWS, crn_rng_u64(rng), set.codebooks, &err),
                     CAIRN_OK);
    set.product.codebooks = set.codebooks;
    const size_t bytes = crn_product_bytes(&set.product);
    for (size_t i = 0; i < ROWS; i++)
        crn_product_encode(&set.product, set.rows + i * DIM, set.codes + i * bytes);
    for (size_t b = 0; bits == 4 && b < BLOCKS; b++) {
        crn_lookup_pack(set.codes + b * 32 * bytes, ROWS - b * 32, bytes / 4, set.blocks + b * 32 * bytes);
    }
    return &set;
}

/* A row as its code says. */
static void decode(const struct set *set, size_t row, float out[DIM])
{
    const struct crn_product *product = &set->product;
    const uint8_t *codes = set->codes + row * crn_product_bytes(product);
    const size_t centers = crn_product_centers(product);

    for (size_t p = 0; p < product->parts; p++) {
        const size_t begin = p * DIM / product->parts, end = (p + 1) * DIM / product->parts;
        const size_t code = product->bits == 8 ? codes[p] : codes[p / 2] >> p % 2 * 4 & 15;

        for (size_t j = begin; j < end; j++)
            out[j] = set->codebooks[begin * centers + (j - begin) * centers + code];
    }
}

static void centers_are_found(void **state)
{
    enum { N = 400, K = 4 };
    struct crn_rng rng = test_rng();
    float points[N * 3], centers[2 * K];
    size_t best = 0;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < N; i++) { /* four heaps at the corners of a square, in columns 0 and 1 of 3 */
        points[3 * i] = (i % 2 == 0 ? 5.0f : -5.0f) + 0.1f * (float)crn_rng_normal(&rng);
        points[3 * i + 1] = (i / 2 % 2 == 0 ? 5.0f : -5.0f) + 0.1f * (float)crn_rng_normal(&rng);
        points[3 * i + 2] = NAN;
    }
    for (int seed = 0; seed < 40;
         seed++) { /* Lloyd finds a local optimum: the best of some seeds is the true one */
        const struct crn_kmeans_points all = {.values = points, .count = N, .stride = 3, .width = 2};
        size_t corners = 0;

        assert_int_equal(crn_kmeans(&all, K, 10, crn_rng_u64(&rng), centers, &err), CAIRN_OK);
        for (size_t c = 0; c < K; c++) corners += fabsf(centers[c]) > 4.8f && fabsf(centers[K + c]) > 4.8f;
        best = corners > best ? corners : best;
    }
    assert_int_equal(best, K);
    const struct crn_kmeans_points one = {.values = points, .count = 1, .stride = 3, .width = 2};
    assert_int_equal(crn_kmeans(&one, K, 3, 1, centers, &err), CAIRN_OK); /* fewer points than centers */
    for (size_t c = 0; c < K; c++) assert_true(centers[c] == points[0] && centers[K + c] == points[1]);
    crn_mem_fail_at(2, false);
    assert_int_equal(crn_kmeans(&one, K, 3, 1, centers, &err), CAIRN_NO_MEMORY);
    crn_mem_fail_at(0, false);
}

static void codes_name_the_nearest_center(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (size_t bits = 4; bits <= 8; bits += 4) {
        struct set *set = set_of(&rng, CRN_OP_L2, 17, bits);
        const size_t centers = (size_t)1 << bits;

        for (size_t p = 0; p < 17; p++) {
            const size_t begin = p * DIM / 17, end = (p + 1) * DIM / 17;
            const float *book = set->codebooks + begin * centers;
            float decoded[DIM];

            decode(set, 3, decoded);
            double taken = 0, least = INFINITY;
            for (size_t j = begin; j < end; j++) taken += pow((double)decoded[j] - set->rows[3 * DIM + j], 2);
            for (size_t c = 0; c < centers; c++) {
                double distance = 0;

                for (size_t j = begin; j < end; j++) {
                    distance += pow((double)book[(j - begin) * centers + c] - set->rows[3 * DIM + j], 2);
                }
                least = fmin(least, distance);
            }
            assert_true(taken <= least + 1e-4);
        }
    }
}

static void distances_are_those_of_the_decoded_rows(void **state)
{
    static const size_t parts[] = {1, 9, 17, 36, 72};
    struct crn_rng rng = test_rng();
    float out[ROWS], part_out[ROWS], decoded[DIM];

    (void)state;
    for (size_t trial = 0; trial < COUNT_OF(parts) * 2 * CRN_OP_COUNT; trial++) {
        const enum crn_op op = (enum crn_op)(trial % CRN_OP_COUNT);
        struct set *set = set_of(&rng, op, parts[trial / 6], trial / 3 % 2 == 0 ? 4 : 8);
        struct crn_product_query query;
        uint32_t pos[ROWS];
        double bound;

        assert_true(crn_product_query_floats(&set->product) <= COUNT_OF(set->memory));
        crn_product_query_prepare(&set->product, set->query, set->memory, &query);
        for (size_t i = 0; i < ROWS; i++) pos[i] = (uint32_t)crn_rng_below(&rng, ROWS);
        if (set->product.bits == 4) {
            crn_product_block(&query, set->blocks, 0, ROWS, out);
            crn_product_block(&query, set->blocks, 96, ROWS - 100, part_out);
            assert_memory_equal(part_out, out + 96, (ROWS - 100) * sizeof *out);
        } else {
            crn_product_rows(&query, set->codes, NULL, ROWS, out);
            crn_product_rows(&query, set->codes, pos, ROWS, part_out);
            for (size_t i = 0; i < ROWS; i++) assert_memory_equal(&part_out[i], &out[pos[i]], sizeof *out);
        }
        for (size_t i = 0; i < ROWS; i++) {
            decode(set, i, decoded);
            const struct reference want = reference_f32(op, set->query, decoded, DIM);

            bound = 1e-5 * (want.magnitude + 1);
            if (set->product.bits == 4) bound += query.delta * (double)set->product.parts * 0.501;
            assert_true(fabs(out[i] - want.distance) <= bound);
            if (op == CRN_OP_DOT) {
                const double dot = crn_product_decoded_dot(
                    &set->product, set->codes + i * crn_product_bytes(&set->product), set->query);
                assert_true(fabs(dot + want.distance) <= 1e-5 * (want.magnitude + 1));
            }
        }
    }
}

/* Turned codes of 4 and of 2 bits a dimension: how many of the true 10 are among the 20 and the 40 nearest
 * codes. */
static void turned_codes_find_what_is_near(void **state)
{
    static const size_t widths[] = {1, 2};
    static float sample[ROWS * 128], codebooks[128 * 16], centroid[DIM], add[WHOLE], scale[WHOLE];
    static _Alignas(64) float scratch[128], memory[16384], signs[1024];
    struct crn_rng rng = test_rng();
    cairn_error err;

    (void)state;
    for (size_t trial = 0; trial < 4; trial++) {
        const enum crn_op op = trial / 2 == 0 ? CRN_OP_DOT : CRN_OP_L2;
        struct set *set = set_of(&rng, op, 9, 4);
        struct crn_binary frame;
        struct crn_turned turned;
        struct crn_turned_query query;
        uint32_t masks[WHOLE / CRN_LOOKUP_ROWS];
        float norm_add, out[WHOLE];
        size_t found = 0;
        double norm2;

        memset(centroid, 0, sizeof centroid);
        for (size_t i = 0; i < ROWS * DIM; i++) centroid[i % DIM] += set->rows[i] / ROWS;
        crn_binary_init(&frame, op, DIM, centroid, 1, signs);
        crn_turned_init(&turned, &frame, widths[trial % 2], codebooks);
        for (size_t i = 0; i < ROWS; i++) {
            crn_binary_turn_row(&frame, set->rows + i * DIM, scratch, &norm2, &norm_add);
            memcpy(sample + i * frame.padded, scratch, frame.padded * sizeof *sample);
        }
        assert_int_equal(crn_product_train(&turned.product, sample, ROWS, 1, codebooks, &err), CAIRN_OK);
        const size_t bytes = crn_product_bytes(&turned.product);
        for (size_t i = 0; i < ROWS; i++) {
            uint8_t codes[64];

            crn_turned_encode(&turned, set->rows + i * DIM, scratch, codes, &add[i], &scale[i]);
            crn_lookup_put(codes, bytes / 4, i % 32, set->blocks + i / 32 * 32 * bytes);
        }
        assert_true(crn_turned_query_floats(&turned) <= COUNT_OF(memory));
        for (size_t q = 0; q < 30; q++) {
            struct crn_hit exact[10], coded[40];
            struct crn_topk exact_top, coded_top;

            for (size_t i = 0; i < DIM; i++) set->query[i] = (float)crn_rng_normal(&rng);
            crn_turned_query_prepare(&turned, set->query, memory, &query);
            crn_turned_within(&query, set->blocks, add, scale, 0, ROWS, INFINITY, 0, out, masks);
            crn_topk_init(&exact_top, exact, 10);
            crn_topk_init(&coded_top, coded, trial % 2 == 0 ? 20 : 40);
            crn_flat_scan_f32(op, set->query, set->rows, DIM, ROWS, 0, NULL, &exact_top);
            for (size_t i = 0; i < ROWS; i++) crn_topk_push(&coded_top, out[i], i);
            for (size_t i = 0; i < 10 * coded_top.count; i++)
                found += exact[i % 10].label == coded[i / 10].label;
        }
        print_message("op %d, %zu dimensions a part: %.3f\n", op, widths[trial % 2], (double)found / 300);
        assert_true(found >= 270);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(centers_are_found),
        cmocka_unit_test(codes_name_the_nearest_center),
        cmocka_unit_test(distances_are_those_of_the_decoded_rows),
        cmocka_unit_test(turned_codes_find_what_is_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
