/*
 * Data of two kinds: small integers, whose sums are exact in float whatever their order, so that an element
 * left out or counted twice shows at any dim; and random numbers, held to the bound of quant/kernels.h.
 * Arrays lie against forbidden pages at their end or their beginning (guarded.h).
 */
#include "tests/quant/kernel_checks.h"

#include "base/rng.h"
#include "tests/quant/guarded.h"
#include "tests/quant/reference.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MAX 40
#define REGION_BYTES ((size_t)1 << 20)
#define ELEMENTS_MAX 20000 /* of a shape, but for the largest dim; emulators are slow */
#define TOLD_MAX 10
#define CANARY 0x5ca1ab1e

enum place { AT_END, AT_BEGIN, PLACES };
enum kind { INTEGERS, FRACTIONS, KINDS };

struct checks {
    const struct crn_kernels *kernels;
    struct crn_rng rng;
    bool quiet;
    unsigned failures;
    struct guarded query, query_lo, rows;
};

/* One shape to be checked, with its arrays in place. */
struct shape {
    size_t dim;
    size_t n;
    enum place place;
    enum kind kind;
};

__attribute__((format(printf, 2, 3))) static void fail(struct checks *checks, const char *format, ...)
{
    va_list arguments;

    if (checks->failures++ >= TOLD_MAX || checks->quiet) return;
    fprintf(stderr, "%s: ", checks->kernels->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void *put(const struct guarded *region, size_t bytes, enum place place)
{
    return place == AT_END ? region->end - bytes : region->begin;
}

static bool same_bits(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(float)) == 0;
}

static void fill_floats(struct checks *checks, enum kind kind, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = kind == INTEGERS ? (float)((int)crn_rng_below(&checks->rng, 15) - 7)
                                  : (float)(2 * crn_rng_unit(&checks->rng) - 1);
    }
}

static void fill_codes(struct checks *checks, int min, int8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (int8_t)(min + (int)crn_rng_below(&checks->rng, (uint64_t)(128 - min)));
}

static void fill_positions(struct checks *checks, size_t n, uint32_t pos[ROWS_MAX])
{
    for (size_t i = 0; i < n; i++) pos[i] = (uint32_t)crn_rng_below(&checks->rng, n);
}

/* ---- f32 ---- */

static void check_f32_shape(struct checks *checks, enum crn_op op, const struct shape *shape)
{
    const struct crn_kernels *kernels = checks->kernels;
    const size_t dim = shape->dim, n = shape->n;
    float *query = put(&checks->query, dim * sizeof *query, shape->place);
    float *rows = put(&checks->rows, n * dim * sizeof *rows, shape->place);
    float block[ROWS_MAX + 1], gather[ROWS_MAX + 1], alone;
    const uint32_t canary = CANARY;
    uint32_t pos[ROWS_MAX];

    fill_floats(checks, shape->kind, query, dim);
    fill_floats(checks, shape->kind, rows, n * dim);
    fill_positions(checks, n, pos);
    memcpy(&block[n], &canary, sizeof canary);
    memcpy(&gather[n], &canary, sizeof canary);
    kernels->f32_block[op](query, rows, dim, n, block);
    kernels->f32_gather[op](query, rows, dim, pos, n, gather);
    if (!same_bits(&block[n], &canary) || !same_bits(&gather[n], &canary)) {
        fail(checks, "f32 op %d dim %zu n %zu: wrote beyond its output", op, dim, n);
    }
    for (size_t i = 0; i < n; i++) {
        const struct reference want = reference_f32(op, query, rows + i * dim, dim);
        const double bound = shape->kind == INTEGERS ? 0 : reference_bound(dim, want.magnitude);

        if (!(fabs(block[i] - want.distance) <= bound)) {
            fail(checks, "f32 op %d dim %zu n %zu row %zu: %.9g, not %.17g (bound %g)", op, dim, n, i,
                 (double)block[i], want.distance, bound);
        }
        if (!same_bits(&gather[i], &block[pos[i]])) {
            fail(checks, "f32 op %d dim %zu n %zu: gather %.9g, block %.9g", op, dim, n, (double)gather[i],
                 (double)block[pos[i]]);
        }
    }
    if (n == 0) return;
    kernels->f32_block[op](query, rows + (n - 1) * dim, dim, 1, &alone);
    if (!same_bits(&alone, &block[n - 1])) {
        fail(checks, "f32 op %d dim %zu: %.9g alone, %.9g as one of %zu", op, dim, (double)alone,
             (double)block[n - 1], n);
    }
}

/* ---- f16 ---- */

/* What a finite half stands for. */
static float half_value(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

    return (float)(half >> 15 != 0 ? -magnitude : magnitude);
}

/* Small integers, or any finite halves. */
static uint16_t random_half(struct checks *checks, enum kind kind)
{
    static const uint16_t integers[] = {0, 0x8000, 0x3c00, 0xbc00, 0x4000, 0xc000, 0x4200, 0xc600};
    const uint16_t half = (uint16_t)(crn_rng_u64(&checks->rng) & 0xffff);

    if (kind == INTEGERS) return integers[half % 8];
    return (half & 0x7c00) == 0x7c00 ? half & 0xbfff : half;
}

static void check_f16_shape(struct checks *checks, enum crn_op op, const struct shape *shape)
{
    const size_t dim = shape->dim, n = shape->n;
    float *query = put(&checks->query, dim * sizeof *query, shape->place);
    uint16_t *rows = put(&checks->rows, n * dim * sizeof *rows, shape->place);
    float *row = put(&checks->query_lo, dim * sizeof *row, shape->place);
    float block[ROWS_MAX + 1], gather[ROWS_MAX + 1];
    const uint32_t canary = CANARY;
    uint32_t pos[ROWS_MAX];

    fill_floats(checks, shape->kind, query, dim);
    for (size_t i = 0; i < n * dim; i++) rows[i] = random_half(checks, shape->kind);
    fill_positions(checks, n, pos);
    memcpy(&block[n], &canary, sizeof canary);
    memcpy(&gather[n], &canary, sizeof canary);
    checks->kernels->f16_block[op](query, rows, dim, n, block);
    checks->kernels->f16_gather[op](query, rows, dim, pos, n, gather);
    if (!same_bits(&block[n], &canary) || !same_bits(&gather[n], &canary)) {
        fail(checks, "f16 op %d dim %zu n %zu: wrote beyond its output", op, dim, n);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < dim; j++) row[j] = half_value(rows[i * dim + j]);
        const struct reference want = reference_f32(op, query, row, dim);
        const double bound = shape->kind == INTEGERS ? 0 : reference_bound(dim, want.magnitude);

        if (!(fabs(block[i] - want.distance) <= bound)) {
            fail(checks, "f16 op %d dim %zu n %zu row %zu: %.9g, not %.17g (bound %g)", op, dim, n, i,
                 (double)block[i], want.distance, bound);
        }
        if (!same_bits(&gather[i], &block[pos[i]]))
            fail(checks, "f16 op %d dim %zu: gather is not block", op, dim);
    }
}

/* ---- int8 ---- */

static struct crn_i8_query i8_query(const int8_t *hi, const int8_t *lo, size_t dim)
{
    struct crn_i8_query query = {.hi = hi, .lo = lo};

    for (size_t i = 0; i < dim; i++) {
        query.hi_sum += hi[i];
        query.lo_sum += lo[i];
    }
    return query;
}

static void compare_i8(struct checks *checks, const struct crn_i8_query *query, const int8_t *rows,
                       const struct shape *shape)
{
    const size_t dim = shape->dim, n = shape->n;
    int32_t hi[ROWS_MAX + 1], lo[ROWS_MAX + 1], gather_hi[ROWS_MAX + 1], gather_lo[ROWS_MAX + 1];
    uint32_t pos[ROWS_MAX];

    fill_positions(checks, n, pos);
    hi[n] = lo[n] = gather_hi[n] = gather_lo[n] = CANARY;
    checks->kernels->i8_block(query, rows, dim, n, hi, lo);
    checks->kernels->i8_gather(query, rows, dim, pos, n, gather_hi, gather_lo);
    if (hi[n] != CANARY || lo[n] != CANARY || gather_hi[n] != CANARY || gather_lo[n] != CANARY) {
        fail(checks, "int8 dim %zu n %zu: wrote beyond its output", dim, n);
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t want_hi = reference_i8(query->hi, rows + i * dim, dim);
        const int64_t want_lo = reference_i8(query->lo, rows + i * dim, dim);

        if (hi[i] != want_hi || lo[i] != want_lo) {
            fail(checks, "int8 dim %zu n %zu row %zu: %d and %d, not %lld and %lld", dim, n, i, hi[i], lo[i],
                 (long long)want_hi, (long long)want_lo);
        }
        if (gather_hi[i] != hi[pos[i]] || gather_lo[i] != lo[pos[i]]) {
            fail(checks, "int8 dim %zu n %zu: gather is not block", dim, n);
        }
    }
}

static void check_i8_shape(struct checks *checks, const struct shape *shape)
{
    const size_t dim = shape->dim;
    int8_t *hi = put(&checks->query, dim, shape->place);
    int8_t *lo = put(&checks->query_lo, dim, shape->place);
    int8_t *rows = put(&checks->rows, shape->n * dim, shape->place);
    struct crn_i8_query query;

    fill_codes(checks, -127, hi, dim);
    fill_codes(checks, -127, lo, dim);
    fill_codes(checks, -128, rows, shape->n * dim);
    query = i8_query(hi, lo, dim);
    compare_i8(checks, &query, rows, shape);
}

/* The largest sums of either sign, where a saturating instruction would show. */
static void check_i8_extremes(struct checks *checks)
{
    static const int8_t ends[] = {-128, -127, 127};
    const struct shape shape = {.dim = 65536, .n = 3};
    int8_t *hi = (int8_t *)checks->query.begin, *lo = (int8_t *)checks->query_lo.begin;
    int8_t *rows = (int8_t *)checks->rows.begin;
    struct crn_i8_query query;

    memset(hi, 127, shape.dim);
    memset(lo, -127, shape.dim);
    query = i8_query(hi, lo, shape.dim);
    for (size_t i = 0; i < shape.n; i++) memset(rows + i * shape.dim, ends[i], shape.dim);
    compare_i8(checks, &query, rows, &shape);
}

static void check_i8_l1_shape(struct checks *checks, const struct shape *shape)
{
    static const float exact_scales[] = {0.5f, 1, 2, 0};
    const size_t dim = shape->dim, n = shape->n;
    const bool exact = shape->kind == INTEGERS && dim <= 4096;
    float *query = put(&checks->query, dim * sizeof *query, shape->place);
    int8_t *rows = put(&checks->rows, n * dim, shape->place);
    float scale[ROWS_MAX], block[ROWS_MAX], gather[ROWS_MAX];
    uint32_t pos[ROWS_MAX];

    fill_floats(checks, shape->kind, query, dim);
    fill_codes(checks, -128, rows, n * dim);
    fill_positions(checks, n, pos);
    for (size_t i = 0; i < n; i++) {
        scale[i] = exact ? exact_scales[i % 4] : (float)(crn_rng_unit(&checks->rng) * 0.02);
    }
    checks->kernels->i8_l1_block(query, rows, scale, dim, n, block);
    checks->kernels->i8_l1_gather(query, rows, scale, dim, pos, n, gather);
    for (size_t i = 0; i < n; i++) {
        const struct reference want = reference_i8_l1(query, rows + i * dim, scale[i], dim);
        const double bound = exact ? 0 : reference_bound(dim, want.magnitude);

        if (!(fabs(block[i] - want.distance) <= bound)) {
            fail(checks, "int8 l1 dim %zu n %zu row %zu: %.9g, not %.17g (bound %g)", dim, n, i,
                 (double)block[i], want.distance, bound);
        }
        if (!same_bits(&gather[i], &block[pos[i]]))
            fail(checks, "int8 l1 dim %zu n %zu: gather is not block", dim, n);
    }
}

/* ---- values at the edges ---- */

static void check_nan(struct checks *checks, enum crn_op op, size_t dim)
{
    const size_t n = 5, bad_row = 3;
    float *query = put(&checks->query, dim * sizeof *query, AT_END);
    float *rows = put(&checks->rows, n * dim * sizeof *rows, AT_END);
    float out[5];

    for (size_t at = 0; at < dim; at += dim < 80 ? 1 : dim - 1) {
        fill_floats(checks, INTEGERS, query, dim);
        fill_floats(checks, INTEGERS, rows, n * dim);
        rows[bad_row * dim + at] = NAN;
        checks->kernels->f32_block[op](query, rows, dim, n, out);
        for (size_t i = 0; i < n; i++) {
            if ((isnan(out[i]) != 0) != (i == bad_row)) {
                fail(checks, "f32 op %d dim %zu: NaN at %zu of row %zu makes row %zu %g", op, dim, at,
                     bad_row, i, (double)out[i]);
            }
        }
        query[at] = NAN;
        checks->kernels->f32_block[op](query, rows, dim, n, out);
        for (size_t i = 0; i < n; i++) {
            if (!isnan(out[i])) fail(checks, "f32 op %d dim %zu: NaN of the query lost", op, dim);
        }
    }
}

/* Overflow gives infinity, not NaN; denormals are not flushed. */
static void check_range(struct checks *checks, size_t dim)
{
    float *query = put(&checks->query, dim * sizeof *query, AT_END);
    float *row = put(&checks->rows, dim * sizeof *row, AT_END);
    double l1 = 0;
    float out;

    for (size_t i = 0; i < dim; i++) {
        query[i] = i % 2 == 0 ? 3e38f : -3e38f;
        row[i] = -query[i];
    }
    for (int op = 0; op < CRN_OP_COUNT; op++) {
        checks->kernels->f32_block[op](query, row, dim, 1, &out);
        if (!(isinf(out) && out > 0))
            fail(checks, "f32 op %d dim %zu: huge values give %g", op, dim, (double)out);
    }
    for (size_t i = 0; i < dim; i++) {
        query[i] = 0x1p-149f * (float)(1 + i % 100);
        row[i] = 0x1p-149f * (float)(i % 7);
        l1 += fabs((double)query[i] - row[i]);
    }
    checks->kernels->f32_block[CRN_OP_L1](query, row, dim, 1, &out);
    if (out != l1) fail(checks, "f32 l1 dim %zu: denormals give %g, not %g", dim, (double)out, l1);
    for (int op = CRN_OP_DOT; op <= CRN_OP_L2; op++) {
        checks->kernels->f32_block[op](query, row, dim, 1, &out);
        if (out != 0) fail(checks, "f32 op %d dim %zu: products of denormals give %g", op, dim, (double)out);
    }
}

static void check_within(struct checks *checks)
{
    float *x = put(&checks->rows, CRN_WITHIN * sizeof *x, AT_END);

    for (int trial = 0; trial < 200; trial++) {
        const float limit = trial == 0 ? INFINITY : trial == 1 ? -INFINITY : trial == 2 ? NAN : 0.5f;
        uint32_t want = 0;

        fill_floats(checks, trial % 2 == 0 ? FRACTIONS : INTEGERS, x, CRN_WITHIN);
        x[crn_rng_below(&checks->rng, CRN_WITHIN)] = NAN;
        x[crn_rng_below(&checks->rng, CRN_WITHIN)] = limit;
        for (size_t i = 0; i < CRN_WITHIN; i++) want |= (uint32_t)(x[i] <= limit) << i;
        if (checks->kernels->within(x, limit) != want) fail(checks, "within %g is wrong", (double)limit);
    }
}

/* ---- all of them ---- */

static void check_shape(struct checks *checks, size_t dim, size_t n)
{
    for (int place = 0; place < PLACES; place++) {
        for (int kind = 0; kind < KINDS; kind++) {
            const struct shape shape = {.dim = dim, .n = n, .place = place, .kind = kind};

            for (int op = 0; op < CRN_OP_COUNT; op++) {
                check_f32_shape(checks, op, &shape);
                check_f16_shape(checks, op, &shape);
            }
            check_i8_shape(checks, &shape);
            check_i8_l1_shape(checks, &shape);
        }
    }
}

unsigned check_kernels(const struct crn_kernels *kernels, uint64_t seed, bool quiet)
{
    static const size_t dims[] = {96,  100, 127, 128, 129, 130, 191,  192,
                                  193, 255, 256, 257, 384, 768, 1536, 4096};
    static const size_t counts[] = {1, 4, 15, 16, 17, 33};
    struct checks checks = {.kernels = kernels, .quiet = quiet};

    crn_rng_init(&checks.rng, seed);
    checks.query = guarded_map(REGION_BYTES);
    checks.query_lo = guarded_map(REGION_BYTES);
    checks.rows = guarded_map(REGION_BYTES);
    for (size_t dim = 1; dim <= 70; dim++) {
        for (size_t n = 0; n <= 33; n += dim % 7 == 0 ? 1 : 3) check_shape(&checks, dim, n);
        for (int op = 0; op < CRN_OP_COUNT; op++) check_nan(&checks, op, dim);
        check_range(&checks, dim);
    }
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        for (size_t j = 0; j < sizeof counts / sizeof counts[0]; j++) {
            if (dims[i] * counts[j] <= ELEMENTS_MAX) check_shape(&checks, dims[i], counts[j]);
        }
        for (int op = 0; op < CRN_OP_COUNT; op++) check_nan(&checks, op, dims[i]);
        check_range(&checks, dims[i]);
    }
    check_shape(&checks, 65536, 3);
    check_i8_extremes(&checks);
    check_within(&checks);
    guarded_unmap(&checks.query);
    guarded_unmap(&checks.query_lo);
    guarded_unmap(&checks.rows);
    return checks.failures;
}
