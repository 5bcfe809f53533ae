/* Arithmetic of graph rows in plain C: the reference of the other forms, and what processors without one use. Formulas: graph_row.h. */
#ifndef CRN_QUANT_GRAPH_ROW_PLAIN_H
#define CRN_QUANT_GRAPH_ROW_PLAIN_H

#include "quant/graph_row_common.h"

#include <math.h>

static inline float crn_row_distance(const struct crn_graph_layout *layout,
                                     const struct crn_graph_query *query, const uint8_t *row)
{
    struct crn_graph_head head;
    int32_t hi = 0, lo = 0;

    memcpy(&head, row + layout->head,
           offsetof(struct crn_graph_head, factor_scale)); /* the lock is others' */
    for (uint32_t j = 0; j < layout->dims; j++) {
        hi += row[j] * query->hi[j];
        lo += row[j] * query->lo[j];
    }
    const float sum =
        query->hi_scale * (float)(hi - query->hi_offset) + query->lo_scale * (float)(lo - query->lo_offset);
    return query->constant + head.weight - 2 * head.scale * sum;
}

/* The sum of hi over the dimensions whose sign is set. */
static inline int32_t crn_row_signs_sum(const uint8_t *signs, const int8_t *hi, uint32_t dims)
{
    int32_t sum = 0;

    for (uint32_t j = 0; j < dims; j++) sum += hi[j] & -(signs[j / 8] >> (j % 8) & 1);
    return sum;
}

static inline float crn_row_factor(const uint8_t *at)
{
    crn_half half;

    memcpy(&half, at, sizeof half);
    return (float)half;
}

static inline unsigned crn_row_neighbours(const struct crn_graph_layout *layout,
                                          const struct crn_graph_query *query, const uint8_t *row,
                                          float distance, float limit, float *distances, uint32_t *ids)
{
    uint32_t sums[CRN_GRAPH_DEGREE] = {0};
    float factor_scale;
    unsigned count = 0;

    memcpy(&factor_scale, row + layout->head + offsetof(struct crn_graph_head, factor_scale),
           sizeof factor_scale);
    for (uint32_t s = 0; s < layout->dims / 4; s++) {
        const uint8_t *codes = row + layout->signs + s * 16, *entries = query->table + s * 16;
        for (int v = 0; v < 16; v++) {
            sums[v] += entries[codes[v] & 15];
            sums[v + 16] += entries[codes[v] >> 4];
        }
    }
    for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
        const float signs = (float)sums[v] * query->table_scale + query->table_offset;
        const float a = crn_row_factor(row + layout->a + v * 2), b = crn_row_factor(row + layout->b + v * 2);
        const float estimate = (signs * b + a) * factor_scale + distance;
        if (!(estimate < limit)) continue;
        distances[count] = estimate;
        ids[count++] = crn_graph_id(layout, row, v);
    }
    return count;
}

static inline void crn_row_planes(struct crn_graph_query *query)
{
    const float *z = query->rotated;
    float most = 0;
    int32_t hi_sum = 0, lo_sum = 0;

    for (uint32_t j = 0; j < query->dims; j++) most = fmaxf(most, fabsf(z[j]));
    most = fmaxf(most, CRN_ROW_TINY);
    query->hi_scale = most / 127;
    query->lo_scale = query->hi_scale / 254;
    const float hi_inverse = 127 / most, lo_inverse = 254 * hi_inverse;
    for (uint32_t j = 0; j < query->dims; j++) {
        const float hi = rintf(z[j] * hi_inverse);
        const float lo = rintf((z[j] - hi * query->hi_scale) * lo_inverse);
        query->hi[j] = (int8_t)hi;
        query->lo[j] = (int8_t)lo;
        hi_sum += (int32_t)hi;
        lo_sum += (int32_t)lo;
    }
    query->hi_offset = 128 * hi_sum;
    query->lo_offset = 128 * lo_sum;
}

static inline void crn_row_table(struct crn_graph_query *query)
{
    const uint32_t groups = query->dims / 4;
    float widest = CRN_ROW_TINY, sum = 0, least_sum = 0;

    for (uint32_t s = 0; s < groups; s++) {
        const float *z = query->rotated + s * 4;
        widest = fmaxf(widest, (fabsf(z[0]) + fabsf(z[1])) + (fabsf(z[2]) + fabsf(z[3])));
        sum += (z[0] + z[1]) + (z[2] + z[3]);
        least_sum += (fminf(z[0], 0) + fminf(z[1], 0)) + (fminf(z[2], 0) + fminf(z[3], 0));
    }
    const float inverse = 255 / widest;
    for (uint32_t s = 0; s < groups; s++) {
        const float *z = query->rotated + s * 4;
        const float least = (fminf(z[0], 0) + fminf(z[1], 0)) + (fminf(z[2], 0) + fminf(z[3], 0));
        for (int e = 0; e < 16; e++) {
            const float entry =
                ((e & 1 ? z[0] : 0) + (e & 2 ? z[1] : 0)) + ((e & 4 ? z[2] : 0) + (e & 8 ? z[3] : 0));
            query->table[s * 16 + e] = (uint8_t)fminf(rintf((entry - least) * inverse), 255);
        }
    }
    query->table_scale = 2 * widest / 255;
    query->table_offset = 2 * least_sum - sum;
}

/* Sums over 16 dimensions at a time, and their signs as bits. */
static inline uint32_t crn_row_residual_16(const uint8_t *c, const uint8_t *x, float c_scale, float x_scale,
                                           float lanes[4][16])
{
    uint32_t bits = 0;

    for (int i = 0; i < 16; i++) {
        const float zc = ((float)c[i] - 128) * c_scale, r = ((float)x[i] - 128) * x_scale - zc;
        lanes[0][i] += r * r;
        lanes[1][i] += fabsf(r);
        lanes[2][i] += zc * r;
        lanes[3][i] += r > 0 ? zc : -zc;
        bits |= (uint32_t)(r > 0) << i;
    }
    return bits;
}

static inline struct crn_row_residual crn_row_encode(const struct crn_graph_layout *layout, uint8_t *c,
                                                     uint32_t slot, const uint8_t *x, float c_scale,
                                                     float x_scale)
{
    float lanes[4][16] = {{0}};
    float sums[4] = {0};

    for (uint32_t j = 0; j < layout->dims; j += 16) {
        crn_row_put_signs(c + layout->signs + j * 4, slot,
                          crn_row_residual_16(c + j, x + j, c_scale, x_scale, lanes));
    }
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 16; i++) sums[s] += lanes[s][i];
    }
    return (struct crn_row_residual){sums[0], sums[1], sums[2], sums[3]};
}

static inline int32_t crn_row_codes_dot(const uint8_t *a, const uint8_t *b, uint32_t dims)
{
    int32_t sum = 0;

    for (uint32_t j = 0; j < dims; j++) sum += ((int)a[j] - 128) * ((int)b[j] - 128);
    return sum;
}

/* ---- sorted pools of 64-bit keys: the rest is graph_row_common.h's ---- */

/* Moves keys[at..end) up by one. */
static inline void crn_pool_shift(uint64_t *keys, uint32_t at, uint32_t end)
{
    memmove(keys + at + 1, keys + at, (end - at) * sizeof *keys);
}

#endif
