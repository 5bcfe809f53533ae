/* The gpu backend's view of the machine: which device it uses, and what became of it. */
#ifndef CRN_ENGINE_INDEX_GPU_H
#define CRN_ENGINE_INDEX_GPU_H

#include "gpu/gpu.h"

struct crn_index_gpu_state {
    const char *driver; /* "cuda", "none" */
    unsigned devices;
    const char *why_none;            /* "" while a device is in use, or none was asked for yet */
    struct crn_gpu_device_info info; /* of the device in use; name "" when none is */
    uint32_t indexes;                /* segments that are on the card now */
    uint64_t device_bytes;           /* of them */
    uint64_t searches;               /* that the card answered */
    uint64_t fallbacks; /* segments or searches left to the processor, for lack of memory or an error */
};

/* Of this process. Opens no device. */
void crn_index_gpu_get_state(struct crn_index_gpu_state *out_state);

/* Tests: uses another driver from now on; NULL: the machine's. No index may be open. */
void crn_index_gpu_use(const struct crn_gpu_driver *driver);

#endif
