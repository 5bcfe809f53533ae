/*
 * The kernels of graph_row.h that are not inlined into the search loop, written once in C that the compiler vectorises
 * for the instruction set of the includer, which has included its own inline forms and names the table CRN_GRAPH_KERNELS.
 */
#include <math.h>

#define FACTOR_WANTED \
    512.0f /* about how large the first factors of a row become, in units of its factor_scale */
#define FACTOR_MOST 32768.0f /* where a row is scaled anew */

static void put_half(uint8_t *at, float value)
{
    const crn_half half = (crn_half)value;
    memcpy(at, &half, sizeof half);
}

static float get_half(const uint8_t *at)
{
    crn_half half;

    memcpy(&half, at, sizeof half);
    return (float)half;
}

static void query_prepare(struct crn_graph_query *query)
{
    crn_row_planes(query);
    crn_row_table(query);
}

/* ---- rows ---- */

static void row_init(const struct crn_graph_layout *layout, const float *z, float weight, uint8_t *row)
{
    struct crn_graph_head head = {.weight = weight, .factor_scale = 1};
    float most = CRN_ROW_TINY;

    for (uint32_t j = 0; j < layout->dims; j++) most = fmaxf(most, fabsf(z[j]));
    head.scale = most / 127;
    const float inverse = 127 / most;
    for (uint32_t j = 0; j < layout->dims; j++) row[j] = (uint8_t)(int)(rintf(z[j] * inverse) + 128);
    memset(row + layout->signs, 0, layout->row_bytes - layout->signs);
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) put_half(row + layout->a + v * 2, INFINITY);
    memset(row + layout->ids, 0xff, CRN_GRAPH_DEGREE * 3);
    memcpy(row + layout->head, &head, offsetof(struct crn_graph_head, lock));
}

/* Makes room for factors of size `need`, by powers of two, so that nothing but the smallest factors is rounded again. */
static void scale_factors(const struct crn_graph_layout *layout, uint8_t *row, float *factor_scale,
                          float need, bool only)
{
    int exponent;

    if (!only && need <= FACTOR_MOST * *factor_scale) return;
    frexpf(need / FACTOR_WANTED, &exponent);
    const float scale = ldexpf(1, exponent < -100 ? -100 : exponent);
    const float ratio =
        fmaxf(*factor_scale / scale, 0x1p-100f); /* not 0, which would make what is empty NaN */
    for (uint32_t v = 0; !only && v < CRN_GRAPH_DEGREE; v++) {
        put_half(row + layout->a + v * 2, get_half(row + layout->a + v * 2) * ratio);
        put_half(row + layout->b + v * 2, get_half(row + layout->b + v * 2) * ratio);
    }
    *factor_scale = scale;
}

static void row_set(const struct crn_graph_layout *layout, uint8_t *c, uint32_t slot, const uint8_t *x,
                    uint32_t x_id)
{
    struct crn_graph_head head, other;

    memcpy(&head, c + layout->head, offsetof(struct crn_graph_head, lock));
    memcpy(&other, x + layout->head, offsetof(struct crn_graph_head, factor_scale)); /* what never changes */
    const struct crn_row_residual r = crn_row_encode(layout, c, slot, x, head.scale, other.scale);
    const float f = r.absolutes > 0 ? r.squares / r.absolutes : 0;
    const float a = other.weight - head.weight - 2 * r.along + 2 * f * r.signs, b = -2 * f;
    const float need = fmaxf(fmaxf(fabsf(a), fabsf(b)), CRN_ROW_TINY);
    const bool only = slot == 0 && crn_graph_id(layout, c, 1) == CRN_GRAPH_NO_NODE;
    scale_factors(layout, c, &head.factor_scale, need, only);
    put_half(c + layout->a + slot * 2, a / head.factor_scale);
    put_half(c + layout->b + slot * 2, b / head.factor_scale);
    crn_graph_id_set(layout, c, slot, x_id);
    memcpy(c + layout->head + offsetof(struct crn_graph_head, factor_scale), &head.factor_scale,
           sizeof head.factor_scale);
}

static int32_t codes_dot(const uint8_t *a, const uint8_t *b, uint32_t dims)
{
    return crn_row_codes_dot(a, b, dims);
}

static float row_dot(const struct crn_graph_layout *layout, const uint8_t *a, const uint8_t *b)
{
    float a_scale, b_scale;

    memcpy(&a_scale, a + layout->head, sizeof a_scale);
    memcpy(&b_scale, b + layout->head, sizeof b_scale);
    return a_scale * b_scale * (float)crn_row_codes_dot(a, b, layout->dims);
}

static float row_estimate(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                          const uint8_t *row, float *out)
{
    const float distance = crn_row_distance(layout, query, row);
    float near[CRN_GRAPH_DEGREE + 16];
    uint32_t ids[CRN_GRAPH_DEGREE + 16];

    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) out[v] = INFINITY;
    const unsigned count = crn_row_neighbours(layout, query, row, distance, INFINITY, near, ids);
    /* Slots are filled from the first on, and empty ones are infinitely far: those that are near are the first ones. */
    for (unsigned i = 0; i < count && i < CRN_GRAPH_DEGREE; i++) out[i] = near[i];
    return distance;
}

/* ---- records of signs ---- */

#define RECORDS_AHEAD 24u /* fetched before they are read */

static inline void fetch_record(const uint8_t *record, size_t bytes)
{
    __builtin_prefetch(record, 0, 3);
    for (size_t j = 64; j < bytes; j += 64) __builtin_prefetch(record + j, 0, 3);
    __builtin_prefetch(record + bytes - 1, 0, 3);
}

#ifndef CRN_ROW_SIGNS_TOGETHER
static inline void crn_row_signs_sums(const uint8_t *const records[4], const int8_t *hi, uint32_t dims,
                                      int32_t sums[4])
{
    for (int i = 0; i < 4; i++) sums[i] = crn_row_signs_sum(records[i], hi, dims);
}
#endif

static void signs_estimate(const struct crn_graph_query *query, float slack, const uint8_t *records,
                           const uint32_t *nodes, size_t count, float *out)
{
    const size_t bytes = crn_graph_signs_bytes(query->dims);
    const int32_t total = query->hi_offset / 128;

    for (size_t i = 0; i < count && i < RECORDS_AHEAD; i++) fetch_record(records + nodes[i] * bytes, bytes);
    for (size_t begin = 0; begin < count; begin += 4) {
        const size_t four = count - begin < 4 ? count - begin : 4;
        const uint8_t *at[4];
        int32_t sums[4];
        for (size_t i = 0; i < 4; i++) {
            const size_t later = begin + i + RECORDS_AHEAD;
            at[i] = records + nodes[begin + (i < four ? i : 0)] * bytes;
            if (later < count) fetch_record(records + nodes[later] * bytes, bytes);
        }
        crn_row_signs_sums(at, query->hi, query->dims, sums);
        for (size_t i = 0; i < four; i++) {
            float factors[2]; /* weight, scale */
            memcpy(factors, at[i] + query->dims / 8, sizeof factors);
            const float dot = query->hi_scale * (float)(2 * sums[i] - total);
            out[begin + i] = query->constant + factors[0] - factors[1] * (2 * dot + slack);
        }
    }
}

const struct crn_graph_kernels CRN_GRAPH_KERNELS = {
    .name = CRN_GRAPH_NAME,
    .query_prepare = query_prepare,
    .row_init = row_init,
    .row_set = row_set,
    .codes_dot = codes_dot,
    .row_dot = row_dot,
    .row_estimate = row_estimate,
    .signs_estimate = signs_estimate,
};
