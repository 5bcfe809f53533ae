/*
 * A GPU that is none: device memory is the host's, and kernels run on it as fibers. For tests of everything but speed,
 * and of what goes wrong: any call can be made to fail, and memory to be short.
 */
#ifndef CRN_GPU_SIMULATE_DRIVER_SIMULATED_H
#define CRN_GPU_SIMULATE_DRIVER_SIMULATED_H

#include "gpu/driver.h"

#ifdef __cplusplus
extern "C" {
#endif

struct crn_gpu_simulation {
    unsigned devices;         /* 2 */
    unsigned capability;      /* 90 */
    size_t memory_bytes;      /* of each device: 256 MiB */
    size_t shared_bytes;      /* of a block: 227 KiB */
    unsigned multiprocessors; /* 3: blocks take several tiles each */
    unsigned long fail_at;    /* the nth call from now that can fail does, once; 0: none */
    bool fail_no_memory;      /* by NO_MEMORY instead of IO; only what allocates counts then */
    unsigned long calls;      /* that could have failed */
    size_t used_bytes;        /* of all devices */
};

/* What tests may change, before they open a device or between calls. */
struct crn_gpu_simulation *crn_gpu_simulated(void);
void crn_gpu_simulated_reset(void); /* to the values above */
const struct crn_gpu_driver *crn_gpu_driver_simulated(void);

#ifdef __cplusplus
}
#endif

#endif
