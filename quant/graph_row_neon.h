/* Arithmetic of graph rows in NEON as every 64-bit ARM has it, for inlining into the search loop. Formulas:
 * graph_row.h. */
#ifndef CRN_QUANT_GRAPH_ROW_NEON_H
#define CRN_QUANT_GRAPH_ROW_NEON_H

#include "quant/graph_row_common.h"

#include <arm_neon.h>

static inline int8x16_t crn_row_signed(const uint8_t *codes)
{
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes), vdupq_n_u8(128)));
}

/* Sums of products of signed bytes. Two products fit 16 bits, because one of a and b has no -128. */
static inline int32x4_t crn_row_products(int32x4_t sum, int8x16_t a, int8x16_t b)
{
    return vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b));
}

/* The sum of hi over the dimensions whose sign is set: 16 signs become bytes that are all ones or zeros. Sums of pairs of bytes of 1,024
 * dimensions fit 16 bits. */
static inline int32_t crn_row_signs_sum(const uint8_t *signs, const int8_t *hi, uint32_t dims)
{
    const uint8x16_t bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    int16x8_t sum = vdupq_n_s16(0);

    for (uint32_t j = 0; j < dims; j += 16) {
        const uint8x16_t bytes = vcombine_u8(vdup_n_u8(signs[j / 8]), vdup_n_u8(signs[j / 8 + 1]));
        sum = vpadalq_s8(sum, vandq_s8(vreinterpretq_s8_u8(vtstq_u8(bytes, bits)), vld1q_s8(hi + j)));
    }
    return vaddlvq_s16(sum);
}

/* d(c) of a row's own node. The sums are integers below 2^24: exact as floats. */
static inline float crn_row_distance(const struct crn_graph_layout *layout,
                                     const struct crn_graph_query *query, const uint8_t *row)
{
    int32x4_t hi = vdupq_n_s32(0), lo = hi;
    float scale, weight;

    memcpy(&scale, row + layout->head + offsetof(struct crn_graph_head, scale), sizeof scale);
    memcpy(&weight, row + layout->head + offsetof(struct crn_graph_head, weight), sizeof weight);
    for (uint32_t j = 0; j < layout->dims; j += 16) {
        const int8x16_t code = crn_row_signed(row + j);
        hi = crn_row_products(hi, code, vld1q_s8(query->hi + j));
        lo = crn_row_products(lo, code, vld1q_s8(query->lo + j));
    }
    const float sum = query->hi_scale * (float)vaddvq_s32(hi) + query->lo_scale * (float)vaddvq_s32(lo);
    return query->constant + weight - 2 * scale * sum;
}

/* Table sums of 32 codes, eight slots to a vector. */
static inline void crn_row_table_sums(const uint8_t *signs, const uint8_t *table, uint32_t dims,
                                      uint16x8_t sums[4])
{
    const uint8x16_t low_half = vdupq_n_u8(15);
    uint16x8_t s0 = vdupq_n_u16(0), s1 = s0, s2 = s0, s3 = s0;

    for (uint32_t j = 0; j < dims * 4; j += 16) {
        const uint8x16_t codes = vld1q_u8(signs + j), entries = vld1q_u8(table + j);
        const uint8x16_t a = vqtbl1q_u8(entries, vandq_u8(codes, low_half)),
                         b = vqtbl1q_u8(entries, vshrq_n_u8(codes, 4));
        s0 = vaddw_u8(s0, vget_low_u8(a));
        s1 = vaddw_high_u8(s1, a);
        s2 = vaddw_u8(s2, vget_low_u8(b));
        s3 = vaddw_high_u8(s3, b);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static inline float32x4_t crn_row_factors(const uint8_t *at)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at)));
}

/* The estimates of slots 4 part .. 4 part + 3. */
static inline float32x4_t crn_row_part(const struct crn_graph_layout *layout,
                                       const struct crn_graph_query *query, const uint8_t *row,
                                       uint16x4_t sums, uint32_t part, float distance, float factor_scale)
{
    const float32x4_t signs = vfmaq_f32(vdupq_n_f32(query->table_offset), vcvtq_f32_u32(vmovl_u16(sums)),
                                        vdupq_n_f32(query->table_scale));
    const float32x4_t factors = vfmaq_f32(crn_row_factors(row + layout->a + 8 * part), signs,
                                          crn_row_factors(row + layout->b + 8 * part));
    return vfmaq_f32(vdupq_n_f32(distance), factors, vdupq_n_f32(factor_scale));
}

/* The neighbours whose estimate is below `limit`: how many, their distances and numbers ([32] each). */
static inline unsigned crn_row_neighbours(const struct crn_graph_layout *layout,
                                          const struct crn_graph_query *query, const uint8_t *row,
                                          float distance, float limit, float *distances, uint32_t *ids)
{
    const uint32x4_t bits = {1, 2, 4, 8};
    float estimates[CRN_GRAPH_DEGREE], factor_scale;
    uint32_t near = 0;
    unsigned count = 0;
    uint16x8_t sums[4];

    memcpy(&factor_scale, row + layout->head + offsetof(struct crn_graph_head, factor_scale),
           sizeof factor_scale);
    crn_row_table_sums(row + layout->signs, query->table, layout->dims, sums);
    for (uint32_t part = 0; part < 8; part++) {
        const uint16x4_t mine = part % 2 ? vget_high_u16(sums[part / 2]) : vget_low_u16(sums[part / 2]);
        const float32x4_t found = crn_row_part(layout, query, row, mine, part, distance, factor_scale);
        vst1q_f32(estimates + 4 * part, found);
        near |= vaddvq_u32(vandq_u32(vcltq_f32(found, vdupq_n_f32(limit)), bits)) << (4 * part);
    }
    for (; near != 0; near &= near - 1) {
        const uint32_t slot = (uint32_t)__builtin_ctz(near);
        distances[count] = estimates[slot];
        ids[count++] = crn_graph_id(layout, row, slot);
    }
    return count;
}

/* ---- making queries and rows ---- */

/* Four times four numbers of 32 bits, as signed bytes. */
static inline int8x16_t crn_row_narrow(const int32x4_t v[4])
{
    const int16x8_t low = vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1]));
    const int16x8_t high = vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3]));
    return vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

static inline void crn_row_planes(struct crn_graph_query *query)
{
    float32x4_t most = vdupq_n_f32(CRN_ROW_TINY);
    int32x4_t hi_sums = vdupq_n_s32(0), lo_sums = hi_sums, hi[4], lo[4];

    for (uint32_t j = 0; j < query->dims; j += 4)
        most = vmaxq_f32(most, vabsq_f32(vld1q_f32(query->rotated + j)));
    const float widest = vmaxvq_f32(most);
    query->hi_scale = widest / 127;
    query->lo_scale = query->hi_scale / 254;
    const float hi_inverse = 127 / widest, lo_inverse = 254 * hi_inverse;
    for (uint32_t j = 0; j < query->dims; j += 16) {
        for (uint32_t i = 0; i < 4; i++) {
            const float32x4_t z = vld1q_f32(query->rotated + j + 4 * i);
            hi[i] = vcvtnq_s32_f32(vmulq_n_f32(z, hi_inverse));
            const float32x4_t rest = vsubq_f32(z, vmulq_n_f32(vcvtq_f32_s32(hi[i]), query->hi_scale));
            lo[i] = vcvtnq_s32_f32(vmulq_n_f32(rest, lo_inverse));
            hi_sums = vaddq_s32(hi_sums, hi[i]);
            lo_sums = vaddq_s32(lo_sums, lo[i]);
        }
        vst1q_s8(query->hi + j, crn_row_narrow(hi));
        vst1q_s8(query->lo + j, crn_row_narrow(lo));
    }
    query->hi_offset = 128 * vaddvq_s32(hi_sums);
    query->lo_offset = 128 * vaddvq_s32(lo_sums);
}

/* The sums of four groups of four dimensions. */
static inline float32x4_t crn_row_groups(const float32x4_t v[4])
{
    return vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3]));
}

/* Entry e of a group is the sum of those of its four dimensions that are bits of e, less the group's least
 * sum. */
static inline void crn_row_table_group(const float *z, float inverse, uint8_t *entries)
{
    const float32x4_t low = vminq_f32(vld1q_f32(z), vdupq_n_f32(0));
    const float32x4_t least = vdupq_n_f32(vpadds_f32(vpadd_f32(vget_low_f32(low), vget_high_f32(low))));
    const float32x4_t two = {0, z[0], z[1], z[0] + z[1]};
    const float more[4] = {0, z[2], z[3], z[2] + z[3]};
    int16x4_t words[4];

    for (int i = 0; i < 4; i++) {
        const float32x4_t sums = vsubq_f32(vaddq_f32(two, vdupq_n_f32(more[i])), least);
        words[i] = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(sums, inverse)));
    }
    vst1q_u8(entries, vcombine_u8(vqmovun_s16(vcombine_s16(words[0], words[1])),
                                  vqmovun_s16(vcombine_s16(words[2], words[3]))));
}

static inline void crn_row_table(struct crn_graph_query *query)
{
    float32x4_t widest = vdupq_n_f32(CRN_ROW_TINY), sums = vdupq_n_f32(0), least_sums = sums;

    for (uint32_t j = 0; j < query->dims; j += 16) {
        float32x4_t sizes[4], lows[4];
        for (uint32_t i = 0; i < 4; i++) {
            const float32x4_t z = vld1q_f32(query->rotated + j + 4 * i);
            sizes[i] = vabsq_f32(z);
            lows[i] = vminq_f32(z, vdupq_n_f32(0));
            sums = vaddq_f32(sums, z);
        }
        widest = vmaxq_f32(widest, crn_row_groups(sizes));
        least_sums = vaddq_f32(least_sums, crn_row_groups(lows));
    }
    const float range = vmaxvq_f32(widest);
    for (uint32_t s = 0; s < query->dims / 4; s++) {
        crn_row_table_group(query->rotated + s * 4, 255 / range, query->table + s * 16);
    }
    query->table_scale = 2 * range / 255;
    query->table_offset = 2 * vaddvq_f32(least_sums) - vaddvq_f32(sums);
}

/* 16 codes, four to a vector. */
static inline void crn_row_decode(const uint8_t *codes, float scale, float32x4_t out[4])
{
    const int8x16_t bytes = crn_row_signed(codes);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);

    out[0] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale);
    out[1] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(low)), scale);
    out[2] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale);
    out[3] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(high)), scale);
}

/* Writes the residual's signs into a slot. */
static inline struct crn_row_residual crn_row_encode(const struct crn_graph_layout *layout, uint8_t *c,
                                                     uint32_t slot, const uint8_t *x, float c_scale,
                                                     float x_scale)
{
    const float32x4_t zero = vdupq_n_f32(0);
    const uint32x4_t group = {1, 2, 4, 8};
    float32x4_t squares = zero, absolutes = zero, along = zero, signs = zero, zc[4], zx[4];

    for (uint32_t j = 0; j < layout->dims; j += 16) {
        crn_row_decode(c + j, c_scale, zc);
        crn_row_decode(x + j, x_scale, zx);
        for (uint32_t i = 0; i < 4; i++) {
            const float32x4_t r = vsubq_f32(zx[i], zc[i]);
            const uint32x4_t positive = vcgtq_f32(r, zero);
            squares = vfmaq_f32(squares, r, r);
            absolutes = vaddq_f32(absolutes, vabsq_f32(r));
            along = vfmaq_f32(along, zc[i], r);
            signs = vaddq_f32(signs, vbslq_f32(positive, zc[i], vnegq_f32(zc[i])));
            crn_row_put_group(c + layout->signs + j * 4 + i * 16, slot,
                              vaddvq_u32(vandq_u32(positive, group)));
        }
    }
    return (struct crn_row_residual){vaddvq_f32(squares), vaddvq_f32(absolutes), vaddvq_f32(along),
                                     vaddvq_f32(signs)};
}

/* The sum of (a - 128) * (b - 128), of codes that are not 0. */
static inline int32_t crn_row_codes_dot(const uint8_t *a, const uint8_t *b, uint32_t dims)
{
    int32x4_t sum = vdupq_n_s32(0);

    for (uint32_t j = 0; j < dims; j += 16)
        sum = crn_row_products(sum, crn_row_signed(a + j), crn_row_signed(b + j));
    return vaddvq_s32(sum);
}

/* ---- sorted pools of 64-bit keys: the rest is graph_row_common.h's ---- */

/* Moves keys[at..end) up by one. */
static inline void crn_pool_shift(uint64_t *keys, uint32_t at, uint32_t end)
{
    memmove(keys + at + 1, keys + at, (end - at) * sizeof *keys);
}

#endif
