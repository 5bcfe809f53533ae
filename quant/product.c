/* The product codec: training, encoding, tables and their sums. */
#include "quant/product.h"

#include "base/error.h"
#include "quant/kmeans.h"

#include <math.h>
#include <string.h>

#define ITERATIONS 8u
#define CENTERS_MAX 256
#define TABLE_MAX 255.0f
#define CHUNK 128 /* rows whose sums lie on the stack; a multiple of CRN_LOOKUP_ROWS */

struct part {
    size_t begin;
    size_t width;
    const float *centers; /* [width][centers] */
};

static struct part part_of(const struct crn_product *product, size_t p)
{
    const size_t begin = p * product->dim / product->parts, end = (p + 1) * product->dim / product->parts;

    return (struct part){begin, end - begin, product->codebooks + begin * crn_product_centers(product)};
}

cairn_status crn_product_train(const struct crn_product *product, const float *rows, size_t n, uint64_t seed,
                               float *codebooks, cairn_error *err)
{
    const size_t centers = crn_product_centers(product);
    struct crn_product made = *product;

    made.codebooks = codebooks;
    for (size_t p = 0; p < product->parts; p++) {
        const struct part part = part_of(&made, p);
        const struct crn_kmeans_points points = {
            .values = rows + part.begin, .count = n, .stride = product->dim, .width = part.width};

        CRN_TRY(crn_kmeans(&points, centers, ITERATIONS, seed + p, codebooks + part.begin * centers, err));
    }
    return CAIRN_OK;
}

/* out[c] = distance of the part of a vector to each center. Inner loops over the centers are vectorised. */
static inline __attribute__((always_inline)) void part_distances(enum crn_op op, const float *vector,
                                                                 const struct part *part, size_t centers,
                                                                 float *out)
{
    for (size_t c = 0; c < centers; c++) out[c] = 0;
    for (size_t j = 0; j < part->width; j++) {
        const float x = vector[part->begin + j], *column = part->centers + j * centers;

        for (size_t c = 0; c < centers; c++) {
            const float difference = x - column[c];

            out[c] += op == CRN_OP_DOT  ? -x * column[c]
                      : op == CRN_OP_L2 ? difference * difference
                                        : fabsf(difference);
        }
    }
}

static void distances_to(enum crn_op op, const float *vector, const struct part *part, size_t centers,
                         float *out)
{
    switch (op) {
    case CRN_OP_DOT:
        part_distances(CRN_OP_DOT, vector, part, centers, out);
        return;
    case CRN_OP_L2:
        part_distances(CRN_OP_L2, vector, part, centers, out);
        return;
    case CRN_OP_L1:
        break;
    }
    part_distances(CRN_OP_L1, vector, part, centers, out);
}

static uint8_t nearest(const float *distances, size_t centers)
{
    size_t best = 0;

    for (size_t c = 1; c < centers; c++) best = distances[c] < distances[best] ? c : best;
    return (uint8_t)best;
}

void crn_product_encode(const struct crn_product *product, const float *row, uint8_t *codes)
{
    const size_t centers = crn_product_centers(product);
    float distances[CENTERS_MAX];

    memset(codes, 0, crn_product_bytes(product));
    for (size_t p = 0; p < product->parts; p++) {
        const struct part part = part_of(product, p);

        distances_to(CRN_OP_L2, row, &part, centers, distances);
        const uint8_t code = nearest(distances, centers);
        if (product->bits == 8) {
            codes[p] = code;
        } else {
            codes[p / 2] |= (uint8_t)(code << p % 2 * 4);
        }
    }
}

double crn_product_decoded_dot(const struct crn_product *product, const uint8_t *codes, const float *vector)
{
    const size_t centers = crn_product_centers(product);
    double sum = 0;

    for (size_t p = 0; p < product->parts; p++) {
        const struct part part = part_of(product, p);
        const uint8_t code = product->bits == 8 ? codes[p] : codes[p / 2] >> p % 2 * 4 & 15;

        for (size_t j = 0; j < part.width; j++)
            sum += (double)vector[part.begin + j] * part.centers[j * centers + code];
    }
    return sum;
}

/* ---- queries ---- */

size_t crn_product_query_floats(const struct crn_product *product)
{
    const size_t tables =
        product->bits == 4 ? crn_product_words(product) * CRN_LOOKUP_WORD_BYTES / sizeof(float) : 0;

    return product->parts * crn_product_centers(product) + tables;
}

static void least_and_most(const float *entries, float *least, float *most)
{
    *least = *most = entries[0];
    for (size_t c = 1; c < 16; c++) {
        *least = entries[c] < *least ? entries[c] : *least;
        *most = entries[c] > *most ? entries[c] : *most;
    }
}

static void make_tables(struct crn_product_query *query, const float *entries, uint8_t *tables)
{
    const size_t parts = query->product->parts;
    float widest = 0, least, most;

    query->base = 0;
    for (size_t p = 0; p < parts; p++) {
        least_and_most(entries + p * 16, &least, &most);
        query->base += least;
        widest = most - least > widest ? most - least : widest;
    }
    const float inverse = widest > 1e-30f && widest < INFINITY ? TABLE_MAX / widest * (1 - 0x1p-20f) : 0;
    memset(tables, 0, crn_product_words(query->product) * CRN_LOOKUP_WORD_BYTES);
    for (size_t p = 0; p < parts; p++) {
        uint8_t *table = crn_lookup_table(tables, p);

        least_and_most(entries + p * 16, &least, &most);
        for (size_t c = 0; inverse > 0 && c < 16; c++) {
            const float step = (entries[p * 16 + c] - least) * inverse + 0.5f;

            table[c] = step < TABLE_MAX ? (uint8_t)(int32_t)(step > 0 ? step : 0) : (uint8_t)TABLE_MAX;
        }
    }
    query->tables = tables;
    query->delta = inverse > 0 ? 1 / inverse : 0;
}

void crn_product_query_prepare(const struct crn_product *product, const float *query, float *memory,
                               struct crn_product_query *out)
{
    const size_t centers = crn_product_centers(product);

    *out = (struct crn_product_query){.product = product, .entries = memory};
    for (size_t p = 0; p < product->parts; p++) {
        const struct part part = part_of(product, p);

        distances_to(product->op, query, &part, centers, memory + p * centers);
    }
    if (product->bits == 4) make_tables(out, memory, (uint8_t *)(memory + product->parts * centers));
}

/* ---- distances ---- */

void crn_product_block(const struct crn_product_query *query, const uint8_t *blocks, size_t begin, size_t n,
                       float *out)
{
    const struct crn_lookup_kernels *kernels = crn_lookup_get();
    const size_t words = crn_product_words(query->product);
    const float delta = query->delta, base = query->base;
    uint32_t sums[CHUNK];

    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t count = n - i < CHUNK ? n - i : CHUNK;

        kernels->sums(blocks + (begin + i) / CRN_LOOKUP_ROWS * words * CRN_LOOKUP_WORD_BYTES, query->tables,
                      words, (count + CRN_LOOKUP_ROWS - 1) / CRN_LOOKUP_ROWS, sums);
        for (size_t j = 0; j < count; j++) out[i + j] = delta * (float)(int32_t)sums[j] + base;
    }
}

void crn_product_rows(const struct crn_product_query *query, const uint8_t *codes, const uint32_t *pos,
                      size_t n, float *out)
{
    const size_t parts = query->product->parts;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = codes + (pos != NULL ? pos[i] : i) * parts;
        const float *entries = query->entries;
        float sums[4] = {0};
        size_t p = 0;

        for (; p + 4 <= parts; p += 4, entries += 4 * 256) {
            for (size_t j = 0; j < 4; j++) sums[j] += entries[j * 256 + row[p + j]];
        }
        for (; p < parts; p++, entries += 256) sums[0] += entries[row[p]];
        out[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
}
