/*
 * The thin layer between kernels and what runs them: the same names stand for a GPU's instructions (target_cuda.cuh) or for
 * their imitation on the host (simulate/target_host.h), in which every thread of a block is a fiber. Kernels use no
 * other names of CUDA, so that their logic is tested without a GPU.
 */
#ifndef CRN_GPU_KERNELS_TARGET_CUH
#define CRN_GPU_KERNELS_TARGET_CUH

#include "gpu/kernels/args.h"

namespace crn_gpu
{
struct words4 { /* 16 bytes, as kernels load them */
    uint32_t w[4];
};
} // namespace crn_gpu

#ifdef __CUDACC__
#include "gpu/kernels/target_cuda.cuh"
#else
#include "gpu/simulate/target_host.h"
#endif

#endif
