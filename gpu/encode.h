/* From vectors to rows of a codec, on the host. Internal to gpu/. */
#ifndef CRN_GPU_ENCODE_H
#define CRN_GPU_ENCODE_H

#include "gpu/gpu.h"

struct crn_gpu_encoder {
    enum crn_gpu_codec codec;
    enum crn_gpu_metric metric;
    uint32_t dim;
    float step; /* I8: of all rows; 0: each its own */
};

/* What a distance is made of besides the sum of products: see crn_gpu_scan_args. */
struct crn_gpu_encoded {
    float step;  /* what a sum is multiplied with, without sign: the row's share of it */
    float norm2; /* squared length of what was encoded */
};

uint32_t crn_gpu_pitch(enum crn_gpu_codec codec, uint32_t dim); /* bytes a row, a multiple of 16 */
bool crn_gpu_has_steps(const struct crn_gpu_encoder *encoder);

/* row: [pitch], written whole. False: the vector holds a NaN or an infinity, or is beyond the codec's range. */
bool crn_gpu_encode(const struct crn_gpu_encoder *encoder, const float *vector, void *row,
                    struct crn_gpu_encoded *out);

/* How far the distance that tensor cores give for rows up to this length may be off: F32 and F16 only. */
float crn_gpu_margin(const struct crn_gpu_encoder *encoder, double query_norm, double row_norm_most);

#endif
