/*
 * How a search is made: which kernels, how many candidates are kept, and in what rounds rows are gone through. Pure functions.
 *
 * A round compares some tiles of rows with the limit that the rounds before it gave, then the k best so far give the next
 * limit. The first round takes few rows and finds all of them near; each one after it takes `growth` times what was seen, so
 * that in any order but the worst about kept * growth keys are found, which is a fraction of the capacity. Where more are, keys
 * are lost, the query is marked, and searched again in rounds that cannot overflow.
 */
#ifndef CRN_GPU_PLAN_H
#define CRN_GPU_PLAN_H

#include "gpu/gpu.h"

struct crn_gpu_plan {
    enum crn_gpu_path path; /* never AUTO */
    enum crn_gpu_kernel kernel;
    unsigned queries;  /* a block takes at once */
    bool rescore;      /* candidates are compared anew, and the result is checked */
    uint32_t kept;     /* candidates from round to round: k, or more where they are compared anew */
    uint32_t capacity; /* keys a query */
    uint32_t first_tiles, growth;
    uint32_t batch_most; /* queries at a time */
    size_t shared_bytes;
    uint32_t lanes, stages, resident; /* of crn_gpu_scan_args */
};

struct crn_gpu_plan_ask {
    enum crn_gpu_codec codec;
    enum crn_gpu_metric metric;
    uint32_t pitch;
    size_t batch, k;
    bool on_card; /* all rows are, so that they can be fetched by label */
    bool lists;
    enum crn_gpu_path path;
};

/* UNSUPPORTED: rows too long for the device's shared memory. */
cairn_status crn_gpu_plan_make(const struct crn_gpu_device_info *device, const struct crn_gpu_plan_ask *ask,
                               struct crn_gpu_plan *out_plan, cairn_error *err);

/* Tiles of the next round, when `seen` of them were gone through and `left` are to come; safe: so few that nothing overflows. */
uint32_t crn_gpu_plan_round(const struct crn_gpu_plan *plan, uint64_t seen, uint32_t left, bool safe);

/* A stride that visits all tiles, each after a golden section of them: any few in a row lie evenly. */
uint32_t crn_gpu_plan_stride(uint32_t tiles);

/* Blocks that run at once. */
unsigned crn_gpu_plan_blocks(const struct crn_gpu_device_info *device, const struct crn_gpu_plan *plan,
                             uint64_t items);

#endif
