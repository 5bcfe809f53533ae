/* Encoding rows for the binary codec, and preparing queries. */
#include "quant/binary.h"

#include "quant/vector.h"

#include <math.h>
#include <string.h>

#define TABLE_MAX 255.0f
#define GROUP 4 /* dimensions of a table */

void crn_binary_init(struct crn_binary *binary, enum crn_op op, size_t dim, const float *centroid,
                     uint64_t seed, float *memory)
{
    binary->op = op;
    binary->dim = dim;
    binary->padded = crn_rotation_padded(dim);
    binary->centroid = centroid;
    crn_rotation_init(&binary->rotation, binary->padded, seed, memory);
}

/* out[padded] = the rotated difference from the centroid; what a row's or a query's parts are made of
 * besides. */
static void turn(const struct crn_binary *binary, const float *vector, float *out, double *out_norm2,
                 double *out_dot)
{
    double dot = 0;

    for (size_t i = 0; i < binary->dim; i++) out[i] = vector[i] - binary->centroid[i];
    memset(out + binary->dim, 0, (binary->padded - binary->dim) * sizeof *out);
    *out_norm2 = crn_vector_norm2(out, binary->dim);
    if (binary->op == CRN_OP_DOT) {
        for (size_t i = 0; i < binary->dim; i++) dot += (double)vector[i] * binary->centroid[i];
    }
    *out_dot = dot;
    crn_rotate(&binary->rotation, out);
    if (crn_vector_finite(out, binary->padded)) return;
    memset(out, 0, binary->padded * sizeof *out); /* sums overflowed */
    *out_norm2 = INFINITY;
}

void crn_binary_turn_row(const struct crn_binary *binary, const float *row, float *out, double *out_norm2,
                         float *out_add)
{
    double dot;

    turn(binary, row, out, out_norm2, &dot);
    if (binary->op == CRN_OP_DOT) {
        *out_add = (float)(crn_vector_norm2(binary->centroid, binary->dim) - dot);
    } else {
        *out_add = (float)*out_norm2;
    }
}

void crn_binary_turn_query(const struct crn_binary *binary, const float *query, float *out, float *out_length,
                           float *out_add)
{
    double norm2, dot;

    turn(binary, query, out, &norm2, &dot);
    *out_add = (float)(binary->op == CRN_OP_DOT ? -dot : norm2);
    *out_length = (float)sqrt(norm2);
}

/* ---- rows ---- */

/* How well levels of width 1/step fit: <v,y> and |y|^2. */
struct fit {
    float product;
    float norm2;
};

static struct fit fit_of(const float *v, size_t n, float step, float highest)
{
    float products[16] = {0}, norms2[16] = {0};
    struct fit fit = {0, 0};

    for (size_t i = 0; i < n; i += 16) { /* padded is a multiple of 64 */
        for (size_t j = 0; j < 16; j++) {
            const float magnitude = fabsf(v[i + j]);
            const float raw = (float)(int32_t)(magnitude * step);
            const float level = (raw < highest ? raw : highest) + 0.5f;

            products[j] += magnitude * level;
            norms2[j] += level * level;
        }
    }
    for (size_t j = 0; j < 16; j++) {
        fit.product += products[j];
        fit.norm2 += norms2[j];
    }
    return fit;
}

/* The step of the largest cosine between v and y. One bit has one level, whatever the step. */
static float best_step(const float *v, size_t n, size_t bits, struct fit *out_fit)
{
    const float highest = (float)((1u << (bits - 1)) - 1), max = crn_vector_max_abs(v, n);
    float best = 0;

    if (bits == 1 || max < 1e-30f) {
        *out_fit = fit_of(v, n, 0, 0);
        return 0;
    }
    *out_fit = (struct fit){0, 1};
    for (unsigned i = 1; i <= CRN_BINARY_STEPS; i++) {
        /* The largest magnitude becomes the highest level at the first of them, and lies 4 times beyond it at
         * the last. */
        const float step = (highest + 1) / max * (1 + 3 * (float)(i - 1) / (float)(CRN_BINARY_STEPS - 1));
        const struct fit fit = fit_of(v, n, step, highest);

        if (fit.product * fit.product * out_fit->norm2 > out_fit->product * out_fit->product * fit.norm2) {
            *out_fit = fit;
            best = step;
        }
    }
    return best;
}

static float write_planes(const float *v, size_t n, size_t bits, float step, uint64_t *planes)
{
    const uint32_t half = 1u << (bits - 1);
    const size_t words = n / 64;
    uint64_t sum = 0;

    memset(planes, 0, bits * words * sizeof *planes);
    for (size_t i = 0; i < n; i++) {
        const float raw = fabsf(v[i]) * step;
        const uint32_t level = raw < (float)half ? (uint32_t)raw : half - 1;
        const uint32_t u = v[i] >= 0 ? half + level : half - 1 - level;

        sum += u;
        for (size_t b = 0; b < bits; b++)
            planes[b * words + i / 64] |= (uint64_t)(u >> (bits - 1 - b) & 1) << i % 64;
    }
    return (float)sum;
}

static float write_signs(const float *v, size_t n, uint64_t *plane)
{
    uint32_t sum = 0;

    for (size_t w = 0; w < n / 64; w++) {
        uint64_t word = 0;

        for (size_t i = 0; i < 64; i++) word |= (uint64_t)(v[64 * w + i] >= 0) << i;
        plane[w] = word;
        sum += (uint32_t)__builtin_popcountll(word);
    }
    return (float)sum;
}

void crn_binary_encode(const struct crn_binary *binary, const float *row, size_t bits, float *scratch,
                       uint64_t *planes, struct crn_binary_factors *out)
{
    const float factor = binary->op == CRN_OP_DOT ? 1 : 2;
    double norm2;
    struct fit fit;

    crn_binary_turn_row(binary, row, scratch, &norm2, &out->add);
    const float step = best_step(scratch, binary->padded, bits, &fit);
    out->sum = bits == 1 ? write_signs(scratch, binary->padded, planes)
                         : write_planes(scratch, binary->padded, bits, step, planes);
    out->scale = out->error = 0;
    if (!(fit.product > 0) || !(norm2 > 0)) return; /* the centroid itself */
    const double cosine2 = (double)fit.product * fit.product / (norm2 * fit.norm2);
    const double tangent2 = cosine2 < 1 ? (1 - cosine2) / cosine2 : 0;
    out->scale = (float)(-factor * norm2 / fit.product);
    out->error = (float)(factor * sqrt(norm2 * tangent2 / (double)(binary->padded - 1)));
}

/* ---- queries ---- */

static size_t tables_bytes(size_t padded)
{
    return padded / 32 * CRN_LOOKUP_WORD_BYTES;
}

size_t crn_binary_query_floats(size_t padded, size_t planes)
{
    return padded + (tables_bytes(padded) + planes * padded / 8) / sizeof(float);
}

/* The 16 sums of y[i] * v[i] over 4 dimensions, y being +-1/2, less the smallest of them, in units of
 * delta. */
static void fill_table(const float *v, float inverse, uint8_t *table)
{
    /* Whether y[i] is positive in entry j, and whether it is negative. */
    static const float of[2][GROUP][16] = {{{1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0},
                                            {1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0},
                                            {1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0},
                                            {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}},
                                           {{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
                                            {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
                                            {0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1},
                                            {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}}};
    float entries[16];

    for (size_t j = 0; j < 16; j++) entries[j] = 0.5f; /* so that cutting off rounds */
    for (size_t i = 0; i < GROUP; i++) {
        const float add = fabsf(v[i]) * inverse, *has = of[v[i] >= 0][i];

        for (size_t j = 0; j < 16; j++) entries[j] += add * has[j];
    }
    for (size_t j = 0; j < 16; j++) table[j] = (uint8_t)(int32_t)entries[j];
}

static void make_tables(struct crn_binary_query *query, const float *v, size_t padded, uint8_t *tables)
{
    float widest = 0, sum = 0;

    for (size_t i = 0; i < padded; i += GROUP) {
        const float width = fabsf(v[i]) + fabsf(v[i + 1]) + fabsf(v[i + 2]) + fabsf(v[i + 3]);

        sum += width;
        widest = width > widest ? width : widest;
    }
    const float inverse = widest > 1e-30f ? TABLE_MAX / widest * (1 - 0x1p-20f) : 0;
    for (size_t g = 0; g < padded / GROUP; g++) {
        fill_table(v + g * GROUP, inverse, crn_lookup_table(tables, g));
    }
    query->tables = tables;
    query->table_delta = inverse > 0 ? 1 / inverse : 0;
    query->table_base = -0.5f * sum;
}

static void make_planes(struct crn_binary_query *query, const float *v, size_t padded, size_t planes,
                        uint64_t *bits)
{
    const float highest = (float)((1u << planes) - 1), max = crn_vector_max_abs(v, padded);
    const float inverse = max > 1e-30f ? highest / (2 * max) : 0;
    const size_t words = padded / 64;
    uint64_t sum = 0;

    memset(bits, 0, planes * words * sizeof *bits);
    for (size_t i = 0; i < padded; i++) {
        const float raw = v[i] * inverse + 0.5f * highest + 0.5f;
        const uint32_t value = raw < 0 ? 0 : raw > highest ? (uint32_t)highest : (uint32_t)raw;

        sum += value;
        for (size_t p = 0; p < planes; p++) bits[p * words + i / 64] |= (uint64_t)(value >> p & 1) << i % 64;
    }
    query->bits = bits;
    query->plane_delta = inverse > 0 ? 1 / inverse : 0;
    query->plane_middle = 0.5f * highest;
    query->plane_sum = (float)sum;
}

void crn_binary_query_prepare(const struct crn_binary *binary, const float *query, size_t planes,
                              float *memory, struct crn_binary_query *out)
{
    const size_t padded = binary->padded;
    uint8_t *tables = (uint8_t *)(memory + padded);

    *out = (struct crn_binary_query){.binary = binary, .planes = planes};
    crn_binary_turn_query(binary, query, memory, &out->length, &out->add);
    make_tables(out, memory, padded, tables);
    if (planes != 0)
        make_planes(out, memory, padded, planes, (uint64_t *)(void *)(tables + tables_bytes(padded)));
}

/* ---- distances ---- */

#define CHUNK 128 /* rows whose sums lie on the stack */

bool crn_binary_within(const struct crn_binary_query *query, const struct crn_binary_rows *rows, size_t begin,
                       size_t n, float limit, size_t ahead, float *out, uint32_t *masks)
{
    const size_t words = query->binary->padded / 32;
    const struct crn_lookup_rows part = {
        .codes = rows->blocks + begin / CRN_LOOKUP_ROWS * words * CRN_LOOKUP_WORD_BYTES,
        .tables = query->tables,
        .words = words,
        .adds = rows->add + begin,
        .scales = rows->scale + begin,
        .add = query->add,
        .delta = query->table_delta,
        .base = query->table_base,
        .ahead = ahead,
    };

    return crn_lookup_within(&part, n, limit, out, masks);
}

void crn_binary_planes(const struct crn_binary_query *query, const uint64_t *planes, size_t bits,
                       const struct crn_binary_factors *factors, const uint32_t *pos, size_t n, float *out)
{
    const size_t padded = query->binary->padded;
    const struct crn_planes both = {
        .rows = planes, .query = query->bits, .words = padded / 64, .bits = bits, .planes = query->planes};
    const double middle = (double)((1u << bits) - 1) / 2, query_middle = query->plane_middle;
    const double constant = middle * (query_middle * (double)padded - query->plane_sum);
    uint32_t sums[CHUNK];

    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t count = n - i < CHUNK ? n - i : CHUNK;
        struct crn_planes part = both;

        if (pos == NULL) part.rows += i * bits * both.words;
        crn_lookup_get()->planes(&part, pos == NULL ? NULL : pos + i, count, sums);
        for (size_t j = 0; j < count; j++) {
            const struct crn_binary_factors *of = &factors[pos != NULL ? pos[i + j] : i + j];
            const double product = (double)sums[j] - query_middle * of->sum + constant;

            out[i + j] = (query->add + of->add) + of->scale * (float)(query->plane_delta * product);
        }
    }
}
