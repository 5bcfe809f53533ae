#include "gpu/encode.h"

#include <float.h>
#include <math.h>
#include <string.h>

uint32_t crn_gpu_pitch(enum crn_gpu_codec codec, uint32_t dim)
{
    const uint32_t bytes = codec == CRN_GPU_F32   ? dim * 4
                           : codec == CRN_GPU_F16 ? dim * 2
                           : codec == CRN_GPU_I8  ? dim
                                                  : (dim + 7) / 8;
    return (bytes + 15) / 16 * 16;
}

bool crn_gpu_has_steps(const struct crn_gpu_encoder *encoder)
{
    if (encoder->codec == CRN_GPU_I8) return !(encoder->step > 0);
    return encoder->codec == CRN_GPU_B1 && encoder->metric != CRN_GPU_COSINE;
}

static double norm2_of(const float *vector, uint32_t dim)
{
    double sum = 0;

    for (uint32_t i = 0; i < dim; i++) sum += (double)vector[i] * vector[i];
    return sum;
}

/* To the nearest half, ties to even; beyond 65504 an infinity. */
static uint16_t half_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const float size = fabsf(x);
    if (size < 0x1p-14f)
        return (uint16_t)(sign | (uint16_t)lrintf(size * 0x1p24f)); /* also 2^-14, which it may round to */
    if (!(size < 65520.0f)) return sign | 0x7c00;
    const uint32_t kept = (bits & 0x7fffffff) + 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (uint16_t)((kept >> 13) - (112u << 10)));
}

static float half_value(uint16_t half)
{
    const int exponent = half >> 10 & 31;
    const float size = exponent == 0 ? ldexpf((float)(half & 1023), -24)
                                     : ldexpf((float)((half & 1023) | 1024), exponent - 25);

    return (half & 0x8000) != 0 ? -size : size;
}

static bool encode_f16(const float *vector, uint32_t dim, double scale, uint16_t *row,
                       struct crn_gpu_encoded *out)
{
    double norm2 = 0;

    for (uint32_t i = 0; i < dim; i++) {
        row[i] = half_of((float)(vector[i] * scale));
        if ((row[i] & 0x7c00) == 0x7c00) return false;
        const double value = half_value(row[i]);
        norm2 += value * value;
    }
    out->norm2 = (float)norm2;
    return true;
}

static void encode_i8(const float *vector, uint32_t dim, double scale, float step, int8_t *row,
                      struct crn_gpu_encoded *out)
{
    float most = 0;
    int64_t norm2 = 0;

    for (uint32_t i = 0; i < dim; i++) most = fmaxf(most, fabsf((float)(vector[i] * scale)));
    if (!(step > 0))
        step = most > 0 ? fmaxf(most / 127, FLT_MIN) : 1; /* never 0, nor too coarse to divide by */
    for (uint32_t i = 0; i < dim; i++) {
        const float code = rintf((float)(vector[i] * scale) / step);
        row[i] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
        norm2 += row[i] * row[i];
    }
    out->step = step;
    out->norm2 = (float)((double)norm2 * step * step);
}

static void encode_b1(const float *vector, uint32_t dim, double scale, uint8_t *row,
                      struct crn_gpu_encoded *out)
{
    double size = 0;

    for (uint32_t i = 0; i < dim; i++) {
        if (vector[i] > 0) row[i / 8] |= (uint8_t)(1 << i % 8);
        size += fabs((double)vector[i] * scale);
    }
    out->step = (float)(size / dim);
    out->norm2 = (float)(norm2_of(vector, dim) * scale * scale);
}

bool crn_gpu_encode(const struct crn_gpu_encoder *encoder, const float *vector, void *row,
                    struct crn_gpu_encoded *out)
{
    const uint32_t dim = encoder->dim;
    const double norm2 = norm2_of(vector, dim);
    double scale = 1; /* of tiny vectors it is beyond float */

    /* Lengths whose square is beyond float have distances that are. */
    if (!(norm2 <= (double)FLT_MAX)) return false;
    if (encoder->metric == CRN_GPU_COSINE) scale = norm2 > 0 ? 1 / sqrt(norm2) : 0;
    memset(row, 0, crn_gpu_pitch(encoder->codec, dim));
    *out = (struct crn_gpu_encoded){.step = 1};
    switch (encoder->codec) {
    case CRN_GPU_F32:
        for (uint32_t i = 0; i < dim; i++) ((float *)row)[i] = (float)(vector[i] * scale);
        out->norm2 = (float)norm2_of(row, dim);
        return true;
    case CRN_GPU_F16:
        return encode_f16(vector, dim, scale, row, out);
    case CRN_GPU_I8:
        encode_i8(vector, dim, scale, encoder->step, row, out);
        return true;
    case CRN_GPU_B1:
        encode_b1(vector, dim, scale, row, out);
        return true;
    }
    return false;
}

/*
 * Products of halves are exact in the tensor core, those of TF32 are off by both operands' dropped bits, less than 2^-10 of
 * each. Sums are made of aligned and truncated terms (Fasi, Higham, Mikaitis, Pranesh: Numerical behavior of NVIDIA tensor
 * cores, PeerJ CS 2021): less than 2^-23 of sum |q x| a term, at most |q| |x| by Cauchy and Schwarz. The comparison in f32 is off
 * by as much again, and L2 doubles the product and adds a rounded squared length. Factor 2 is kept in hand.
 */
float crn_gpu_margin(const struct crn_gpu_encoder *encoder, double query_norm, double row_norm_most)
{
    const double terms = (encoder->dim + 16.0) * 0x1p-21;
    const double operands = encoder->codec == CRN_GPU_F32 ? 2 * 0x1p-10 + 0x1p-20 : 0;
    const double product = (terms + operands) * query_norm * row_norm_most;

    if (encoder->metric != CRN_GPU_L2) return (float)(product * 1.0001 + 0x1p-140);
    const double longest = query_norm + row_norm_most;
    return (float)((2 * product + terms * longest * longest) * 1.0001 + 0x1p-140);
}
