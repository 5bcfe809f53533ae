/* What Hopper (9.0a) adds: barriers in shared memory, tensor copies and warpgroup matrix products. PTX ISA 9.7.9.27, 9.7.13.15, 9.7.15. */
#ifndef CRN_GPU_KERNELS_TARGET_HOPPER_CUH
#define CRN_GPU_KERNELS_TARGET_HOPPER_CUH

namespace crn_gpu
{

using barrier = uint64_t;
using operand = uint64_t;

CRN_DEVICE void barrier_init(barrier *b, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals)
                 : "memory");
}
/* The copy engine sees barriers initialised before this. */
CRN_DEVICE void barriers_publish()
{
    asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async;" ::: "memory");
}
CRN_DEVICE void barrier_arrive(barrier *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
/* Arrives, and lets the phase end only when so many bytes were copied. */
CRN_DEVICE void barrier_expect(barrier *b, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
                 : "memory");
}
/* Until the phase of this parity has ended. */
CRN_DEVICE void barrier_wait(barrier *b, uint32_t parity)
{
    asm volatile(
        "{\n\t.reg .pred done;\n"
        "again:\n\tmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t@!done bra again;\n\t}" ::"r"(
            shared_address(b)),
        "r"(parity)
        : "memory");
}

CRN_DEVICE void tensor_load(void *to, const crn_gpu_map *map, uint32_t x, uint32_t y, barrier *b)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
            "r"(shared_address(to)),
        "l"(map), "r"(x), "r"(y), "r"(shared_address(b))
        : "memory");
}

template <unsigned count> CRN_DEVICE void registers_raise()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}
template <unsigned count> CRN_DEVICE void registers_drop()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

/* A matrix of rows of 128 bytes in shared memory, swizzled as tensor copies leave it: groups of 8 rows lie 1024 bytes apart. */
CRN_DEVICE operand matrix_operand(const void *p)
{
    return static_cast<uint64_t>((shared_address(p) & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
CRN_DEVICE operand operand_at(operand o, unsigned k)
{
    return o + k * 2;
} /* 32 bytes of each row further on */

CRN_DEVICE void wgmma_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
CRN_DEVICE void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <unsigned pending> CRN_DEVICE void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* The compiler may move what uses sums neither before this nor after: it does not know when products are done. */
template <unsigned N> CRN_DEVICE void hold_sums(float (&c)[N][4])
{
    CRN_UNROLL
    for (unsigned i = 0; i < N * 4; i++) asm volatile("" : "+f"(c[i / 4][i % 4])::"memory");
}
template <unsigned N> CRN_DEVICE void hold_sums(int32_t (&c)[N][4])
{
    CRN_UNROLL
    for (unsigned i = 0; i < N * 4; i++) asm volatile("" : "+r"(c[i / 4][i % 4])::"memory");
}

#define CRN_SUMS4(letter, c) "+" letter((c)[0]), "+" letter((c)[1]), "+" letter((c)[2]), "+" letter((c)[3])
#define CRN_SUMS16(l, c) \
    CRN_SUMS4(l, (c)[0]), CRN_SUMS4(l, (c)[1]), CRN_SUMS4(l, (c)[2]), CRN_SUMS4(l, (c)[3])
#define CRN_SUMS64(l, c) \
    CRN_SUMS16(l, (c)), CRN_SUMS16(l, (c) + 4), CRN_SUMS16(l, (c) + 8), CRN_SUMS16(l, (c) + 12)
#define CRN_SUMS128(l, c) CRN_SUMS64(l, (c)), CRN_SUMS64(l, (c) + 16)

/* c[64][256] = a[64][32 bytes] times b[256][32 bytes], added to c when `add`. */
#define CRN_WGMMA(name, sum, letter, text, signs)                                                        \
    CRN_DEVICE void name(sum(&c)[32][4], operand a, operand b, uint32_t add)                             \
    {                                                                                                    \
        asm volatile(                                                                                    \
            "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %130, 0;\n\twgmma.mma_async.sync.aligned.m64n256" text \
            " {" CRN_WGMMA_REGISTERS "}, %128, %129, p" signs ";\n\t}"                                   \
            : CRN_SUMS128(letter, c)                                                                     \
            : "l"(a), "l"(b), "r"(add));                                                                 \
    }
#define CRN_WGMMA_REGISTERS                                                                        \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
CRN_WGMMA(wgmma_f16, float, "f", "k16.f32.f16.f16", ", 1, 1, 0, 0")
CRN_WGMMA(wgmma_tf32, float, "f", "k8.f32.tf32.tf32", ", 1, 1")
CRN_WGMMA(wgmma_i8, int32_t, "r", "k32.s32.s8.s8", "")
#undef CRN_WGMMA

} // namespace crn_gpu

#endif
