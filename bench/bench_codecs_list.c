/* The codecs of bench_codecs: each encodes a set, prepares a query and tells the distances of a block. */
#include "bench/bench_codecs.h"

#include "quant/binary.h"
#include "quant/codec.h"
#include "quant/f16.h"
#include "quant/product.h"
#include "quant/turned.h"
#include "quant/vector.h"

#include <stdlib.h>
#include <string.h>

/* ---- f32, to compare with ---- */

static struct {
    const struct bench_data *data;
    const float *query;
} f32;

static size_t f32_bytes(size_t dim)
{
    return dim * sizeof(float);
}

static void f32_encode(void *state, const struct bench_data *data)
{
    (void)state;
    f32.data = data;
}

static void f32_prepare(void *state, const float *query)
{
    (void)state;
    f32.query = query;
}

static bool f32_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct bench_data *data = f32.data;

    (void)state;
    crn_kernels_get()->f32_block[data->op](f32.query, data->rows + begin * data->dim, data->dim, n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void nothing(void *state)
{
    (void)state;
}

/* ---- f16 ---- */

static struct {
    uint16_t *halves;
    float *memory;
    float unit;
    size_t dim;
    enum crn_op op;
    struct crn_f16_query query;
} f16;

static size_t f16_bytes(size_t dim)
{
    return dim * sizeof(uint16_t);
}

static void f16_encode(void *state, const struct bench_data *data)
{
    (void)state;
    f16.halves = bench_alloc(data->n * data->dim * sizeof *f16.halves);
    f16.memory = bench_alloc(data->dim * sizeof(float));
    f16.unit = crn_f16_unit(crn_vector_max_abs(data->rows, data->n * data->dim));
    f16.dim = data->dim;
    f16.op = data->op;
    crn_f16_encode(data->rows, data->n * data->dim, f16.unit, f16.halves);
}

static void f16_prepare(void *state, const float *query)
{
    (void)state;
    crn_f16_query_prepare(f16.op, query, f16.dim, f16.unit, f16.memory, &f16.query);
}

static bool f16_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    (void)state;
    crn_f16_block(&f16.query, f16.halves + begin * f16.dim, n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void f16_release(void *state)
{
    (void)state;
    free(f16.halves);
    free(f16.memory);
}

/* ---- scalar ---- */

static struct {
    int8_t *codes, *planes;
    float *scale, *norm2;
    struct crn_scalar_rows rows;
    struct crn_scalar_query query;
    enum crn_op op;
    size_t dim;
} scalar;

static void scalar_encode(void *state, const struct bench_data *data)
{
    (void)state;
    scalar.codes = bench_alloc(data->n * data->dim);
    scalar.planes = bench_alloc(2 * data->dim);
    scalar.scale = bench_alloc(data->n * sizeof(float));
    scalar.norm2 = bench_alloc(data->n * sizeof(float));
    scalar.op = data->op;
    scalar.dim = data->dim;
    for (size_t i = 0; i < data->n; i++) {
        crn_scalar_encode(data->rows + i * data->dim, data->dim, scalar.codes + i * data->dim,
                          &scalar.scale[i], &scalar.norm2[i]);
    }
    scalar.rows =
        (struct crn_scalar_rows){.codes = scalar.codes, .scale = scalar.scale, .norm2 = scalar.norm2};
}

static void scalar_prepare(void *state, const float *query)
{
    (void)state;
    crn_scalar_query_prepare(scalar.op, query, scalar.dim, scalar.planes, &scalar.query);
}

static bool scalar_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    (void)state;
    crn_scalar_block(&scalar.query, &scalar.rows, begin, n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void scalar_release(void *state)
{
    (void)state;
    free(scalar.codes);
    free(scalar.planes);
    free(scalar.scale);
    free(scalar.norm2);
}

/* ---- binary, in blocks and as planes ---- */

static struct {
    struct crn_binary binary;
    float *centroid, *memory, *scratch, *query_memory, *add, *scale;
    uint64_t *planes;
    uint8_t *blocks;
    struct crn_binary_factors *factors;
    struct crn_binary_query query;
} binary;

static void find_centroid(const struct bench_data *data, float *centroid)
{
    double *sums = bench_alloc(data->dim * sizeof *sums);

    memset(sums, 0, data->dim * sizeof *sums);
    for (size_t i = 0; i < data->n; i++) {
        for (size_t j = 0; j < data->dim; j++) sums[j] += data->rows[i * data->dim + j];
    }
    for (size_t j = 0; j < data->dim; j++) centroid[j] = (float)(sums[j] / (double)data->n);
    free(sums);
}

static void binary_encode(void *state, const struct bench_data *data)
{
    const size_t bits = *(const size_t *)state, padded = crn_rotation_padded(data->dim), words = padded / 64;
    const size_t blocks = (data->n + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS,
                 block_bytes = padded / 8 * CRN_LOOKUP_ROWS;

    binary.centroid = bench_alloc(data->dim * sizeof(float));
    binary.memory = bench_alloc(crn_rotation_floats(padded) * sizeof(float));
    binary.scratch = bench_alloc(padded * sizeof(float));
    binary.query_memory = bench_alloc(crn_binary_query_floats(padded, 8) * sizeof(float));
    binary.planes = bench_alloc(data->n * words * sizeof(uint64_t) * (bits == 0 ? 1 : bits));
    binary.blocks = bench_alloc(blocks * block_bytes);
    binary.factors = bench_alloc(data->n * sizeof *binary.factors);
    binary.add = bench_alloc(blocks * CRN_LOOKUP_ROWS * sizeof(float));
    binary.scale = bench_alloc(blocks * CRN_LOOKUP_ROWS * sizeof(float));
    find_centroid(data, binary.centroid);
    crn_binary_init(&binary.binary, data->op, data->dim, binary.centroid, 1, binary.memory);
    for (size_t i = 0; i < data->n; i++) {
        crn_binary_encode(&binary.binary, data->rows + i * data->dim, bits == 0 ? 1 : bits, binary.scratch,
                          binary.planes + i * words * (bits == 0 ? 1 : bits), &binary.factors[i]);
        binary.add[i] = binary.factors[i].add;
        binary.scale[i] = binary.factors[i].scale;
    }
    if (bits != 0) return;
    for (size_t b = 0; b < blocks; b++) {
        crn_lookup_pack((const uint8_t *)(binary.planes + b * CRN_LOOKUP_ROWS * words),
                        data->n - b * CRN_LOOKUP_ROWS, 2 * words, binary.blocks + b * block_bytes);
    }
}

static void binary_prepare(void *state, const float *query)
{
    crn_binary_query_prepare(&binary.binary, query, *(const size_t *)state == 0 ? 0 : 6, binary.query_memory,
                             &binary.query);
}

static bool binary_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const struct crn_binary_rows rows = {.blocks = binary.blocks, .add = binary.add, .scale = binary.scale};

    (void)state;
    return crn_binary_within(&binary.query, &rows, begin, n, limit, CRN_LOOKUP_AHEAD, out, masks);
}

static bool planes_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    const size_t bits = *(const size_t *)state, words = binary.binary.padded / 64;

    crn_binary_planes(&binary.query, binary.planes + begin * bits * words, bits, binary.factors + begin, NULL,
                      n, out);
    return crn_scan_mark(out, n, limit, masks);
}

static void binary_release(void *state)
{
    void *const all[] = {binary.centroid, binary.memory,  binary.scratch, binary.query_memory, binary.planes,
                         binary.blocks,   binary.factors, binary.add,     binary.scale};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static size_t planes_bytes(size_t dim, size_t bits)
{
    return crn_rotation_padded(dim) / 8 * bits + sizeof(struct crn_binary_factors);
}

static size_t planes1_bytes(size_t dim)
{
    return planes_bytes(dim, 1);
}

static size_t planes2_bytes(size_t dim)
{
    return planes_bytes(dim, 2);
}

static size_t planes4_bytes(size_t dim)
{
    return planes_bytes(dim, 4);
}

static size_t bits[] = {0, 1, 2, 4};

/* ---- product: a part is 1, 2 or 4 dimensions of 4 bits, or 8 of 8 bits ---- */

struct shape {
    size_t width, bits;
};
static struct shape shapes[] = {{1, 4}, {2, 4}, {4, 4}, {8, 8}};

static struct {
    struct crn_product product;
    float *codebooks, *memory;
    uint8_t *codes, *blocks;
    struct crn_product_query query;
} product;

#define TRAINED 4096 /* rows; 4 times as many for 8 bits */

static void product_train(const struct bench_data *data, const struct shape *shape)
{
    const size_t most = shape->bits == 8 ? 4 * TRAINED : TRAINED, step = data->n / most + 1;
    float *sample = bench_alloc(data->n / step * data->dim * sizeof *sample + 64);
    cairn_error err;

    for (size_t i = 0; i < data->n / step; i++) {
        memcpy(sample + i * data->dim, data->rows + i * step * data->dim, data->dim * sizeof *sample);
    }
    if (crn_product_train(&product.product, sample, data->n / step, 1, product.codebooks, &err) != CAIRN_OK) {
        bench_fail(err.message);
    }
    free(sample);
}

static void product_encode(void *state, const struct bench_data *data)
{
    const struct shape *shape = state;

    product.product = (struct crn_product){.op = data->op,
                                           .dim = data->dim,
                                           .parts = (data->dim + shape->width - 1) / shape->width,
                                           .bits = shape->bits};
    const size_t bytes = crn_product_bytes(&product.product), blocks = (data->n + 31) / 32;
    product.codebooks = bench_alloc(crn_product_floats(&product.product) * sizeof(float));
    product.memory = bench_alloc(crn_product_query_floats(&product.product) * sizeof(float));
    product.codes = bench_alloc(data->n * bytes);
    product.blocks = bench_alloc(blocks * 32 * bytes);
    product_train(data, shape);
    product.product.codebooks = product.codebooks;
    for (size_t i = 0; i < data->n; i++) {
        crn_product_encode(&product.product, data->rows + i * data->dim, product.codes + i * bytes);
    }
    for (size_t b = 0; shape->bits == 4 && b < blocks; b++) {
        crn_lookup_pack(product.codes + b * 32 * bytes, data->n - b * 32, bytes / 4,
                        product.blocks + b * 32 * bytes);
    }
}

static void product_prepare(void *state, const float *query)
{
    (void)state;
    crn_product_query_prepare(&product.product, query, product.memory, &product.query);
}

static bool product_within(const void *state, size_t begin, size_t n, float limit, float *out,
                           uint32_t *masks)
{
    (void)state;
    if (product.product.bits == 4) {
        crn_product_block(&product.query, product.blocks, begin, n, out);
    } else {
        crn_product_rows(&product.query, product.codes + begin * product.product.parts, NULL, n, out);
    }
    return crn_scan_mark(out, n, limit, masks);
}

static void product_release(void *state)
{
    (void)state;
    free(product.codebooks);
    free(product.memory);
    free(product.codes);
    free(product.blocks);
}

static size_t product_bytes(size_t dim, const struct shape *shape)
{
    const struct crn_product of = {
        .dim = dim, .parts = (dim + shape->width - 1) / shape->width, .bits = shape->bits};

    return crn_product_bytes(&of);
}

static size_t scalar4_bytes(size_t dim)
{
    return product_bytes(dim, &shapes[0]);
}

static size_t product2_bytes(size_t dim)
{
    return product_bytes(dim, &shapes[1]);
}

static size_t product4_bytes(size_t dim)
{
    return product_bytes(dim, &shapes[2]);
}

static size_t product8_bytes(size_t dim)
{
    return product_bytes(dim, &shapes[3]);
}

/* ---- the same turned ---- */

static struct {
    struct crn_turned turned;
    float *centroid, *signs, *codebooks, *memory, *scratch, *add, *scale;
    uint8_t *codes, *blocks;
    struct crn_turned_query query;
} turned;

static void turned_train(const struct bench_data *data)
{
    const size_t step = data->n / TRAINED + 1, n = data->n / step, padded = turned.turned.frame.padded;
    float *sample = bench_alloc(n * padded * sizeof *sample), add;
    cairn_error err;
    double norm2;

    for (size_t i = 0; i < n; i++) {
        crn_binary_turn_row(&turned.turned.frame, data->rows + i * step * data->dim, sample + i * padded,
                            &norm2, &add);
    }
    if (crn_product_train(&turned.turned.product, sample, n, 1, turned.codebooks, &err) != CAIRN_OK)
        bench_fail(err.message);
    free(sample);
}

static void turned_encode(void *state, const struct bench_data *data)
{
    const size_t padded = crn_rotation_padded(data->dim), width = ((const struct shape *)state)->width;
    const size_t bytes = padded / width / 2, blocks = (data->n + 31) / 32;
    struct crn_binary frame;

    turned.centroid = bench_alloc(data->dim * sizeof(float));
    turned.signs = bench_alloc(crn_rotation_floats(padded) * sizeof(float));
    turned.codebooks = bench_alloc(padded * 16 * sizeof(float));
    turned.scratch = bench_alloc(padded * sizeof(float));
    turned.add = bench_alloc(blocks * CRN_LOOKUP_ROWS * sizeof(float));
    turned.scale = bench_alloc(blocks * CRN_LOOKUP_ROWS * sizeof(float));
    turned.codes = bench_alloc(blocks * 32 * bytes);
    turned.blocks = bench_alloc(blocks * 32 * bytes);
    find_centroid(data, turned.centroid);
    crn_binary_init(&frame, data->op, data->dim, turned.centroid, 1, turned.signs);
    crn_turned_init(&turned.turned, &frame, width, turned.codebooks);
    turned.memory = bench_alloc(crn_turned_query_floats(&turned.turned) * sizeof(float));
    turned_train(data);
    for (size_t i = 0; i < data->n; i++) {
        crn_turned_encode(&turned.turned, data->rows + i * data->dim, turned.scratch,
                          turned.codes + i * bytes, &turned.add[i], &turned.scale[i]);
    }
    for (size_t b = 0; b < blocks; b++) {
        crn_lookup_pack(turned.codes + b * 32 * bytes, data->n - b * 32, bytes / 4,
                        turned.blocks + b * 32 * bytes);
    }
}

static void turned_prepare(void *state, const float *query)
{
    (void)state;
    crn_turned_query_prepare(&turned.turned, query, turned.memory, &turned.query);
}

static bool turned_within(const void *state, size_t begin, size_t n, float limit, float *out, uint32_t *masks)
{
    (void)state;
    return crn_turned_within(&turned.query, turned.blocks, turned.add, turned.scale, begin, n, limit,
                             CRN_LOOKUP_AHEAD, out, masks);
}

static void turned_release(void *state)
{
    void *const all[] = {turned.centroid, turned.signs, turned.codebooks, turned.memory, turned.scratch,
                         turned.add,      turned.scale, turned.codes,     turned.blocks};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static size_t turned1_bytes(size_t dim)
{
    return crn_rotation_padded(dim) / 2 + 2 * sizeof(float);
}

static size_t turned2_bytes(size_t dim)
{
    return crn_rotation_padded(dim) / 4 + 2 * sizeof(float);
}

/* ---- the list ---- */

const struct bench_codec bench_codecs[] = {
    {"f32", true, NULL, f32_bytes, f32_encode, f32_prepare, f32_within, nothing},
    {"f16", true, NULL, f16_bytes, f16_encode, f16_prepare, f16_within, f16_release},
    {"scalar", true, NULL, crn_scalar_bytes, scalar_encode, scalar_prepare, scalar_within, scalar_release},
    {"binary", false, &bits[0], crn_binary_bytes, binary_encode, binary_prepare, binary_within,
     binary_release},
    {"planes1", false, &bits[1], planes1_bytes, binary_encode, binary_prepare, planes_within, binary_release},
    {"planes2", false, &bits[2], planes2_bytes, binary_encode, binary_prepare, planes_within, binary_release},
    {"planes4", false, &bits[3], planes4_bytes, binary_encode, binary_prepare, planes_within, binary_release},
    {"scalar4", false, &shapes[0], turned1_bytes, turned_encode, turned_prepare, turned_within,
     turned_release},
    {"product", false, &shapes[1], turned2_bytes, turned_encode, turned_prepare, turned_within,
     turned_release},
    {"plain1x4", true, &shapes[0], scalar4_bytes, product_encode, product_prepare, product_within,
     product_release},
    {"plain2x4", true, &shapes[1], product2_bytes, product_encode, product_prepare, product_within,
     product_release},
    {"plain4x4", true, &shapes[2], product4_bytes, product_encode, product_prepare, product_within,
     product_release},
    {"plain8x8", true, &shapes[3], product8_bytes, product_encode, product_prepare, product_within,
     product_release},
};
const size_t bench_codec_count = sizeof bench_codecs / sizeof bench_codecs[0];
