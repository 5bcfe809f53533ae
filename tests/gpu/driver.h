/* The driver that a test program was asked for: "simulated" or "cuda". */
#ifndef CRN_TESTS_GPU_DRIVER_H
#define CRN_TESTS_GPU_DRIVER_H

#include "gpu/simulate/driver_simulated.h"
#include "tests/gpu/check.h"

#include <string.h>

/* Ends the program as skipped where there is no GPU. */
static inline const struct crn_gpu_driver *test_driver(int argc, char **argv)
{
    const char *why = "";

    if (argc < 2 || strcmp(argv[1], "cuda") != 0) return crn_gpu_driver_simulated();
    const struct crn_gpu_driver *driver = crn_gpu_driver_cuda();
    if (driver->device_count(&why) > 0) return driver;
    printf("skipped: no CUDA (%s)\n", why);
    exit(CHECK_SKIPPED);
}

#endif
