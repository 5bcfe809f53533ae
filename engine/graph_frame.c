/* How vectors become rotated codes, and distances of either metric squared ones (graph.h). */
#include "engine/graph.h"

#include "base/rng.h"

#include <math.h>

#define SAMPLE 20000u /* rows that mean and gain are taken from */

static size_t aligned_floats(size_t count)
{
    return (count + 15) / 16 * 16;
}

size_t crn_graph_frame_bytes(uint32_t dim)
{
    const size_t dims = crn_rotation_padded(dim);
    return (aligned_floats(dim) + dims + crn_rotation_floats(dims)) * sizeof(float);
}

void crn_graph_frame_init(struct crn_graph_frame *frame, enum crn_op op, uint32_t dim, uint64_t seed,
                          void *memory)
{
    float *floats = memory;

    *frame =
        (struct crn_graph_frame){.op = op, .dim = dim, .dims = (uint32_t)crn_rotation_padded(dim), .gain = 1};
    memset(memory, 0, crn_graph_frame_bytes(dim));
    frame->mean = floats;
    frame->mean_z = floats + aligned_floats(dim);
    crn_rotation_init(&frame->rotation, frame->dims, seed, floats + aligned_floats(dim) + frame->dims);
}

void crn_graph_frame_finish(struct crn_graph_frame *frame)
{
    float *z = (float *)(uintptr_t)frame->mean_z; /* made here, constant from now on */
    double norm2 = 0;

    memset(z, 0, frame->dims * sizeof *z);
    for (uint32_t j = 0; j < frame->dim; j++) {
        z[j] = frame->mean[j] * frame->gain;
        norm2 += (double)z[j] * z[j];
    }
    crn_rotate(&frame->rotation, z);
    frame->mean_norm2 = (float)norm2;
}

static void fit_mean(struct crn_graph_frame *frame, const float *rows, size_t count, size_t step)
{
    float *mean = (float *)(uintptr_t)frame->mean;
    size_t taken = 0;

    for (size_t i = 0; i < count; i += step, taken++) {
        for (uint32_t j = 0; j < frame->dim; j++) mean[j] += rows[i * frame->dim + j];
    }
    for (uint32_t j = 0; j < frame->dim; j++) mean[j] /= (float)taken;
}

void crn_graph_frame_fit(struct crn_graph_frame *frame, const float *rows, size_t count)
{
    const size_t step = 1 + (count - 1) / SAMPLE;
    double spread = 0, longest = 0, shortest = INFINITY;
    size_t taken = 0;

    fit_mean(frame, rows, count, step);
    for (size_t i = 0; i < count; i += step, taken++) {
        for (uint32_t j = 0; j < frame->dim; j++) {
            const double r = (double)rows[i * frame->dim + j] - frame->mean[j];
            spread += r * r;
        }
    }
    spread /= (double)taken;
    frame->gain = spread > 1e-60 && spread < 1e60 ? (float)(1 / sqrt(spread)) : 1;
    if (frame->op == CRN_OP_DOT) {
        for (size_t i = 0; i < count; i++) {
            double norm2 = 0;
            for (uint32_t j = 0; j < frame->dim; j++)
                norm2 += (double)rows[i * frame->dim + j] * rows[i * frame->dim + j];
            longest = norm2 > longest ? norm2 : longest;
            shortest = norm2 < shortest ? norm2 : shortest;
        }
        frame->heights = shortest < 0.99999 * longest;
        frame->radius2 = (float)(longest * frame->gain * frame->gain);
    }
    crn_graph_frame_finish(frame);
}

static float dot_16(const float *a, const float *b, uint32_t count)
{
    float lanes[16] = {0}, sum = 0;

    for (uint32_t j = 0; j < count; j += 16) {
        for (int i = 0; i < 16; i++) lanes[i] += a[j + i] * b[j + i];
    }
    for (int i = 0; i < 16; i++) sum += lanes[i];
    return sum;
}

void crn_graph_frame_point(const struct crn_graph_frame *frame, const float *vector, float *z,
                           struct crn_graph_point *out)
{
    for (uint32_t j = 0; j < frame->dim; j++) z[j] = (vector[j] - frame->mean[j]) * frame->gain;
    for (uint32_t j = frame->dim; j < frame->dims; j++) z[j] = 0;
    crn_rotate(&frame->rotation, z);
    *out = (struct crn_graph_point){.norm2 = dot_16(z, z, frame->dims)};
    if (!frame->heights) {
        /* Vectors of one length: the largest dot product is the smallest distance. */
        out->weight = out->constant = out->norm2;
        return;
    }
    const float along = dot_16(z, frame->mean_z, frame->dims);
    const float norm2 = out->norm2 + 2 * along + frame->mean_norm2; /* of gain * vector */
    const float height2 = frame->radius2 - norm2;
    out->height = height2 > 0 ? sqrtf(height2) : 0;
    out->weight = frame->radius2 - 2 * along;
    out->constant = norm2 - 2 * along - 2 * frame->mean_norm2;
}
