/* Kernels' instructions on a GPU. PTX ISA, sections 9.7.9 (copies), 9.7.13 (barriers), 9.7.14 (mma), 9.7.15 (wgmma). */
#ifndef CRN_GPU_KERNELS_TARGET_CUDA_CUH
#define CRN_GPU_KERNELS_TARGET_CUDA_CUH

#include <cuda_fp16.h>

#define CRN_DEVICE static __device__ __forceinline__
#define CRN_MEMBER static __device__ __forceinline__
#define CRN_UNROLL _Pragma("unroll")
#define CRN_UNROLL_BY(n) _Pragma(CRN_TEXT(unroll n))
#define CRN_TEXT(x) #x
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CRN_HAS_WGMMA 1
#else
#define CRN_HAS_WGMMA 0
#endif

namespace crn_gpu
{

CRN_DEVICE unsigned thread_id()
{
    return threadIdx.x;
}
CRN_DEVICE unsigned block_id()
{
    return blockIdx.x;
}
CRN_DEVICE unsigned block_size()
{
    return blockDim.x;
}
CRN_DEVICE unsigned grid_size()
{
    return gridDim.x;
}
CRN_DEVICE void sync_block()
{
    __syncthreads();
}
CRN_DEVICE uint32_t shuffle_xor(uint32_t x, unsigned mask)
{
    return __shfl_xor_sync(~0u, x, mask);
}
CRN_DEVICE int32_t shuffle_xor(int32_t x, unsigned mask)
{
    return __shfl_xor_sync(~0u, x, mask);
}
CRN_DEVICE float shuffle_xor(float x, unsigned mask)
{
    return __shfl_xor_sync(~0u, x, mask);
}
CRN_DEVICE uint32_t atomic_add(uint32_t *p, uint32_t x)
{
    return atomicAdd(p, x);
}

CRN_DEVICE uint32_t bits_of(float x)
{
    return __float_as_uint(x);
}
CRN_DEVICE float float_of(uint32_t x)
{
    return __uint_as_float(x);
}
CRN_DEVICE float fused(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}
CRN_DEVICE float product(float a, float b)
{
    return __fmul_rn(a, b);
}
CRN_DEVICE float to_float(int32_t x)
{
    return __int2float_rn(x);
}
CRN_DEVICE int32_t bit_count(uint32_t x)
{
    return __popc(x);
}
CRN_DEVICE int32_t dot4(uint32_t a, uint32_t b, int32_t c)
{
    return __dp4a((int)a, (int)b, c);
}
CRN_DEVICE void halves(uint32_t x, float &low, float &high)
{
    const float2 both = __half22float2(*reinterpret_cast<const __half2 *>(&x));
    low = both.x;
    high = both.y;
}
CRN_DEVICE uint16_t half_of(float x)
{
    return __half_as_ushort(__float2half_rn(x));
}

/* Rows are read once: they go past the L1 cache. Not volatile: the compiler may ask for several before it uses one. */
CRN_DEVICE words4 load_stream(const void *p)
{
    words4 x;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(x.w[0]), "=r"(x.w[1]), "=r"(x.w[2]), "=r"(x.w[3])
        : "l"(p));
    return x;
}
CRN_DEVICE words4 load_shared(const void *p)
{
    const uint4 x = *static_cast<const uint4 *>(p);
    return {{x.x, x.y, x.z, x.w}};
}
template <class T> CRN_DEVICE T load(const T *p)
{
    return __ldg(p);
}
/* Written by another block of this launch or by none: not through the read-only cache. */
CRN_DEVICE uint64_t load_key(const uint64_t *p)
{
    return *p;
}

CRN_DEVICE uint32_t shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/* ---- copies into shared memory ---- */

CRN_DEVICE void copy16(void *to, const void *from, bool valid)
{
    const int bytes = valid ? 16 : 0; /* the rest becomes zeros */
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(bytes)
                 : "memory");
}
CRN_DEVICE void copies_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most `pending` of this thread's groups are under way. */
CRN_DEVICE void copies_wait(unsigned pending)
{
    switch (pending) {
    case 0:
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        break;
    case 1:
        asm volatile("cp.async.wait_group 1;" ::: "memory");
        break;
    case 2:
        asm volatile("cp.async.wait_group 2;" ::: "memory");
        break;
    case 3:
        asm volatile("cp.async.wait_group 3;" ::: "memory");
        break;
    default:
        asm volatile("cp.async.wait_group 4;" ::: "memory");
        break;
    }
}

/* ---- tensor cores of all generations ---- */

CRN_DEVICE void load_matrices(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

#define CRN_MMA(name, sum, letter, text)                                                               \
    CRN_DEVICE void name(sum(&c)[4], const uint32_t(&a)[4], uint32_t b0, uint32_t b1)                  \
    {                                                                                                  \
        asm volatile("mma.sync.aligned." text " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                     : "+" letter(c[0]), "+" letter(c[1]), "+" letter(c[2]), "+" letter(c[3])          \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                  \
    }
CRN_MMA(mma_f16, float, "f", "m16n8k16.row.col.f32.f16.f16.f32")
CRN_MMA(mma_tf32, float, "f", "m16n8k8.row.col.f32.tf32.tf32.f32")
CRN_MMA(mma_i8, int32_t, "r", "m16n8k32.row.col.s32.s8.s8.s32")
#if __CUDA_ARCH__ >= 900 /* they count common ones only; for `xor` the compiler would call a function */
CRN_MMA(mma_b1_and, int32_t, "r", "m16n8k256.row.col.s32.b1.b1.s32.and.popc")
CRN_DEVICE void mma_b1(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    const uint32_t others[4] = {~a[0], ~a[1], ~a[2], ~a[3]};
    mma_b1_and(c, a, ~b0, ~b1);
    mma_b1_and(c, others, b0, b1);
}
#else
CRN_MMA(mma_b1, int32_t, "r", "m16n8k256.row.col.s32.b1.b1.s32.xor.popc")
#endif
#undef CRN_MMA

} // namespace crn_gpu

#if CRN_HAS_WGMMA
#include "gpu/kernels/target_hopper.cuh"
#endif

#endif
