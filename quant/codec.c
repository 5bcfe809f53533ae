/* The scalar codec: encoding, and distances made from the kernels' exact integer sums. */
#include "quant/codec.h"

#include "quant/vector.h"

#include <stdbool.h>
#include <string.h>

#define CODE_MAX 127.0f
#define LO_STEPS 254.0f /* steps of the low plane in one of the high: -127..127 is half a step each way */
#define TINY 1e-36f     /* below it max/127 is denormal and 127/max overflows */

/* Rows whose integer sums lie on the stack. In a block few, so that making distances of them overlaps with
 * the memory's delivery of the next rows; in a gather many, because each chunk prefetches anew. */
#define BLOCK_CHUNK 32
#define GATHER_CHUNK 128

/* Adding 1.5 * 2^23 rounds |x| < 2^22 to the nearest integer (ties to even) and leaves it in the low bits: a
 * conversion that every compiler vectorises. */
#define ROUNDER 12582912.0f

static inline int8_t round_to_i8(float x)
{
    const float moved = x + ROUNDER;
    uint32_t bits;

    memcpy(&bits, &moved, sizeof bits);
    return (int8_t)(bits & 0xff);
}

void crn_scalar_encode(const float *row, size_t dim, int8_t *codes, float *out_scale, float *out_norm2)
{
    const float max = crn_vector_max_abs(row, dim);
    const bool tiny = max < TINY;
    const float scale = tiny ? 0.0f : max / CODE_MAX;
    const float inverse = tiny ? 0.0f : CODE_MAX / max;
    int32_t sum = 0; /* at most 65536 * 127^2 < 2^31 */

    for (size_t i = 0; i < dim; i++) {
        codes[i] = round_to_i8(row[i] * inverse);
        sum += codes[i] * codes[i];
    }
    *out_scale = scale;
    *out_norm2 = (float)((double)scale * scale * sum);
}

void crn_scalar_query_prepare(enum crn_op op, const float *query, size_t dim, int8_t *planes,
                              struct crn_scalar_query *out)
{
    const float max = crn_vector_max_abs(query, dim);
    const bool tiny = max < TINY;
    const float inverse = tiny ? 0.0f : CODE_MAX / max;
    int8_t *hi = planes, *lo = planes + dim;
    int32_t hi_sum = 0, lo_sum = 0;
    int64_t norm2 = 0; /* in units of lo_scale^2 */

    for (size_t i = 0; i < dim; i++) {
        const float scaled = query[i] * inverse;

        hi[i] = round_to_i8(scaled);
        lo[i] = round_to_i8((scaled - hi[i]) * LO_STEPS);
        hi_sum += hi[i];
        lo_sum += lo[i];
    }
    for (size_t i = 0; i < dim; i++) {
        const int32_t decoded = hi[i] * (int32_t)LO_STEPS + lo[i];

        norm2 += (int64_t)decoded * decoded;
    }
    out->op = op;
    out->dim = dim;
    out->vector = query;
    out->planes = (struct crn_i8_query){.hi = hi, .lo = lo, .hi_sum = hi_sum, .lo_sum = lo_sum};
    out->hi_scale = tiny ? 0.0f : max / CODE_MAX;
    out->lo_scale = out->hi_scale / LO_STEPS;
    out->norm2 = (float)((double)out->lo_scale * out->lo_scale * (double)norm2);
}

/* Distances from the planes' integer sums, for DOT and L2. */
static void combine(const struct crn_scalar_query *query, const int32_t *hi, const int32_t *lo,
                    const float *scale, const float *norm2, size_t n, float *out)
{
    const float hi_scale = query->hi_scale, lo_scale = query->lo_scale, query_norm2 = query->norm2;

    for (size_t i = 0; i < n; i++) out[i] = -(scale[i] * (hi_scale * (float)hi[i] + lo_scale * (float)lo[i]));
    if (query->op == CRN_OP_DOT) return;
    for (size_t i = 0; i < n; i++) {
        const float distance = query_norm2 + norm2[i] + 2.0f * out[i];

        out[i] = distance < 0.0f ? 0.0f : distance;
    }
}

void crn_scalar_block(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows, size_t begin,
                      size_t n, float *out)
{
    const struct crn_kernels *kernels = crn_kernels_get();
    const size_t dim = query->dim;
    int32_t hi[BLOCK_CHUNK], lo[BLOCK_CHUNK];

    if (query->op == CRN_OP_L1) {
        kernels->i8_l1_block(query->vector, rows->codes + begin * dim, rows->scale + begin, dim, n, out);
        return;
    }
    for (size_t i = 0; i < n; i += BLOCK_CHUNK) {
        const size_t count = n - i < BLOCK_CHUNK ? n - i : BLOCK_CHUNK;
        const size_t at = begin + i;

        kernels->i8_block(&query->planes, rows->codes + at * dim, dim, count, hi, lo);
        combine(query, hi, lo, rows->scale + at, rows->norm2 + at, count, out + i);
    }
}

void crn_scalar_gather(const struct crn_scalar_query *query, const struct crn_scalar_rows *rows,
                       const uint32_t *pos, size_t n, float *out)
{
    const struct crn_kernels *kernels = crn_kernels_get();
    int32_t hi[GATHER_CHUNK], lo[GATHER_CHUNK];
    float scale[GATHER_CHUNK], norm2[GATHER_CHUNK];

    if (query->op == CRN_OP_L1) {
        kernels->i8_l1_gather(query->vector, rows->codes, rows->scale, query->dim, pos, n, out);
        return;
    }
    for (size_t i = 0; i < n; i += GATHER_CHUNK) {
        const size_t count = n - i < GATHER_CHUNK ? n - i : GATHER_CHUNK;

        for (size_t j = 0; j < count; j++) {
            scale[j] = rows->scale[pos[i + j]];
            if (query->op != CRN_OP_DOT) norm2[j] = rows->norm2[pos[i + j]];
        }
        kernels->i8_gather(&query->planes, rows->codes, query->dim, pos + i, count, hi, lo);
        combine(query, hi, lo, scale, norm2, count, out + i);
    }
}
