/* What stands in for CUDA in a build without it: no devices, and the reason. */
#include "gpu/driver.h"

static unsigned device_count(const char **out_why_none)
{
    *out_why_none = "this build has no CUDA";
    return 0;
}

const struct crn_gpu_driver *crn_gpu_driver_cuda(void)
{
    static const struct crn_gpu_driver none = {.name = "none", .device_count = device_count};

    return &none;
}
