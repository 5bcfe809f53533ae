/* Random sets of rows, and what a search of them must find, by plain loops. */
#ifndef CRN_TESTS_GPU_REFERENCE_H
#define CRN_TESTS_GPU_REFERENCE_H

#include "gpu/gpu.h"

struct reference {
    struct crn_gpu_set_options options;
    uint32_t count;
    float *vectors; /* [count][dim] */
    uint8_t *dead;  /* [count] */
    float *queries; /* [batch][dim] */
    size_t batch;
    uint64_t *allow; /* as in crn_gpu_query; NULL: all */
    bool allow_each;
    const struct crn_gpu_lists *lists; /* NULL: all rows */
};

uint64_t reference_random(void);
void reference_seed(uint64_t seed);
uint32_t reference_below(uint32_t end);
float reference_number(void); /* about normal */

/* Numbers at random; some rows equal to others. */
void reference_fill(struct reference *reference, const struct crn_gpu_set_options *options, uint32_t count,
                    size_t batch);
/* Each bit set with probability share. */
void reference_filter(struct reference *reference, double share, bool each);
void reference_release(struct reference *reference);

/* Ends the program unless distances and labels, [batch][k], are right. */
void reference_check(const struct reference *reference, size_t k, const float *distances,
                     const uint32_t *labels, const char *what);

#endif
