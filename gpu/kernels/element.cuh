/*
 * What rows are made of: for each kind the type of a sum, how 16 bytes of a row and a query add to it, and the tensor
 * core's instruction for 32 bytes. Sums are dot products but for 1-bit rows, where they count differing bits.
 */
#ifndef CRN_GPU_KERNELS_ELEMENT_CUH
#define CRN_GPU_KERNELS_ELEMENT_CUH

#include "gpu/kernels/target.cuh"

namespace crn_gpu
{

struct f32_element {
    using sum = float;
    CRN_MEMBER void dot(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) s = fused(float_of(x.w[i]), float_of(q.w[i]), s);
    }
    CRN_MEMBER void l2(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) {
            const float d = float_of(x.w[i]) - float_of(q.w[i]);
            s = fused(d, d, s);
        }
    }
    CRN_MEMBER void mma(sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        mma_tf32(c, a, b0, b1);
    }
    CRN_MEMBER sum larger(sum a, sum b)
    {
        return a > b ? a : b;
    }
    CRN_MEMBER float value(sum s, const crn_gpu_scan_args &)
    {
        return s;
    }
};

struct f16_element {
    using sum = float;
    CRN_MEMBER void dot(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) {
            float x0, x1, q0, q1;
            halves(x.w[i], x0, x1);
            halves(q.w[i], q0, q1);
            s = fused(x1, q1, fused(x0, q0, s));
        }
    }
    CRN_MEMBER void l2(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) {
            float x0, x1, q0, q1;
            halves(x.w[i], x0, x1);
            halves(q.w[i], q0, q1);
            s = fused(x1 - q1, x1 - q1, fused(x0 - q0, x0 - q0, s));
        }
    }
    CRN_MEMBER void mma(sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        mma_f16(c, a, b0, b1);
    }
    CRN_MEMBER sum larger(sum a, sum b)
    {
        return a > b ? a : b;
    }
    CRN_MEMBER float value(sum s, const crn_gpu_scan_args &)
    {
        return s;
    }
};

struct i8_element {
    using sum = int32_t;
    CRN_MEMBER void dot(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) s = dot4(x.w[i], q.w[i], s);
    }
    CRN_MEMBER void mma(sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        mma_i8(c, a, b0, b1);
    }
    CRN_MEMBER sum larger(sum a, sum b)
    {
        return a > b ? a : b;
    }
    CRN_MEMBER float value(sum s, const crn_gpu_scan_args &)
    {
        return to_float(s);
    }
};

/* Bits stand for +1 and -1: bits - 2 * (differing ones) is their dot product. Larger sums are farther. */
struct b1_element {
    using sum = int32_t;
    CRN_MEMBER void dot(sum &s, const words4 &x, const words4 &q)
    {
        CRN_UNROLL
        for (int i = 0; i < 4; i++) s += bit_count(x.w[i] ^ q.w[i]);
    }
    CRN_MEMBER void mma(sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        mma_b1(c, a, b0, b1);
    }
    CRN_MEMBER sum larger(sum a, sum b)
    {
        return a < b ? a : b;
    }
    CRN_MEMBER float value(sum s, const crn_gpu_scan_args &a)
    {
        return to_float(static_cast<int32_t>(a.bits) - 2 * s);
    }
};

} // namespace crn_gpu

#endif
