/* Every kernel by its plain name. Compiled into one fat binary, which driver_cuda.c loads. */
#include "gpu/kernels/fill.cuh"
#include "gpu/kernels/hopper.cuh"
#include "gpu/kernels/list.h"
#include "gpu/kernels/rescore.cuh"
#include "gpu/kernels/scan.cuh"
#include "gpu/kernels/select.cuh"
#include "gpu/kernels/tile.cuh"

using namespace crn_gpu;

extern __shared__ __align__(1024) unsigned char shared_memory[];

#define CRN_BODY(...) __VA_ARGS__
#define CRN_GPU_DEFINE(name, args, body, threads)                                                           \
    extern "C" __global__ void __launch_bounds__(threads, 1) crn_gpu_##name(const __grid_constant__ args a) \
    {                                                                                                       \
        CRN_BODY body(a, shared_memory);                                                                    \
    }
CRN_GPU_KERNELS(CRN_GPU_DEFINE)
