/*
 * Kernels' instructions on the host: what a warp does together its last thread to arrive does for all, with the layouts of
 * fragments that the PTX manual gives. Copies into shared memory happen only when they are waited for, so that a
 * kernel that does not wait reads garbage here too.
 */
#ifndef CRN_GPU_SIMULATE_TARGET_HOST_H
#define CRN_GPU_SIMULATE_TARGET_HOST_H

#include "gpu/simulate/fiber.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#define CRN_DEVICE static inline
#define CRN_MEMBER static inline
#define CRN_UNROLL
#define CRN_UNROLL_BY(n)
#define CRN_HAS_WGMMA 1

namespace crn_gpu
{

CRN_DEVICE unsigned thread_id()
{
    return self->id;
}
CRN_DEVICE unsigned block_id()
{
    return self->block;
}
CRN_DEVICE unsigned block_size()
{
    return self->threads;
}
CRN_DEVICE unsigned grid_size()
{
    return self->blocks;
}
CRN_DEVICE void sync_block()
{
    meet(my_block(), self->id, "sync_block", nullptr, nullptr);
}

template <class T> CRN_DEVICE T shuffle_xor(T x, unsigned mask)
{
    struct {
        T value, result;
        unsigned mask;
    } mine = {x, x, mask};
    using item = decltype(mine);
    meet(my_warp(), self->id % 32, "shuffle_xor", &mine, [](void **slots, unsigned) {
        for (unsigned lane = 0; lane < 32; lane++) {
            item *at = static_cast<item *>(slots[lane]);
            at->result = static_cast<item *>(slots[lane ^ at->mask])->value;
        }
    });
    return mine.result;
}

CRN_DEVICE uint32_t atomic_add(uint32_t *p, uint32_t x)
{
    const uint32_t old = *p;
    *p += x;
    return old;
}

CRN_DEVICE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
CRN_DEVICE float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
CRN_DEVICE float fused(float a, float b, float c)
{
    return fmaf(a, b, c);
}
CRN_DEVICE float product(float a, float b)
{
    return a * b;
}
CRN_DEVICE float to_float(int32_t x)
{
    return static_cast<float>(x);
}
CRN_DEVICE int32_t bit_count(uint32_t x)
{
    return __builtin_popcount(x);
}
CRN_DEVICE int32_t dot4(uint32_t a, uint32_t b, int32_t c)
{
    for (int i = 0; i < 4; i++) c += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
    return c;
}
CRN_DEVICE float half_value(uint32_t h)
{
    const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
    const float size = exponent == 0 ? ldexpf(static_cast<float>(mantissa), -24)
                       : exponent == 31
                           ? (mantissa != 0 ? NAN : INFINITY)
                           : ldexpf(static_cast<float>(mantissa + 1024), static_cast<int>(exponent) - 25);
    return (h & 0x8000) != 0 ? -size : size;
}
CRN_DEVICE void halves(uint32_t x, float &low, float &high)
{
    low = half_value(x & 0xffff);
    high = half_value(x >> 16);
}
/* Exact for what kernels ask it: multiples of 1/256 below 4. */
CRN_DEVICE uint16_t half_of(float x)
{
    if (x == 0) return 0;
    int exponent;
    const float fraction = frexpf(fabsf(x), &exponent);
    const uint32_t bits =
        static_cast<uint32_t>(exponent + 14) << 10 | (static_cast<uint32_t>(fraction * 2048) & 1023);
    return static_cast<uint16_t>(bits | (x < 0 ? 0x8000 : 0));
}

CRN_DEVICE words4 load_stream(const void *p)
{
    words4 x;
    memcpy(&x, p, sizeof x);
    return x;
}
CRN_DEVICE words4 load_shared(const void *p)
{
    return load_stream(p);
}
template <class T> CRN_DEVICE T load(const T *p)
{
    return *p;
}
CRN_DEVICE uint64_t load_key(const uint64_t *p)
{
    return *p;
}

/* ---- copies into shared memory ---- */

struct pending_copy {
    void *to;
    const void *from;
    bool valid;
    unsigned group;
};
struct copy_queue {
    pending_copy copies[1024];
    unsigned count, groups;
};
extern copy_queue copy_queues[threads_most];

CRN_DEVICE void copy16(void *to, const void *from, bool valid)
{
    copy_queue &queue = copy_queues[self->id];
    if (queue.count == 1024) defect("copies are never waited for");
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16 != 0)
        defect("a copy is not aligned");
    queue.copies[queue.count++] = {to, from, valid, queue.groups};
}
CRN_DEVICE void copies_commit()
{
    copy_queues[self->id].groups++;
}
CRN_DEVICE void copies_wait(unsigned pending)
{
    copy_queue &queue = copy_queues[self->id];
    unsigned kept = 0;
    for (unsigned i = 0; i < queue.count; i++) {
        const pending_copy &copy = queue.copies[i];
        if (copy.group + pending >= queue.groups) {
            queue.copies[kept++] = copy;
        } else if (copy.valid) {
            memcpy(copy.to, copy.from, 16);
        } else {
            memset(copy.to, 0, 16);
        }
    }
    queue.count = kept;
}

/* ---- tensor cores of all generations ---- */

CRN_DEVICE void load_matrices(uint32_t (&r)[4], const void *row)
{
    struct item {
        uint32_t *r;
        const char *row;
    } mine = {r, static_cast<const char *>(row)};
    meet(my_warp(), self->id % 32, "load_matrices", &mine, [](void **slots, unsigned) {
        for (unsigned lane = 0; lane < 32; lane++) {
            for (unsigned m = 0; m < 4; m++) {
                const char *from = static_cast<item *>(slots[m * 8 + lane / 4])->row + lane % 4 * 4;
                memcpy(&static_cast<item *>(slots[lane])->r[m], from, 4);
            }
        }
    });
}

/* c[16][8] += a[16][32 bytes] times b[8][32 bytes], as the elements of those bytes. */
template <class Sum, Sum (*multiply)(const uint32_t *a, const uint32_t *b)>
CRN_DEVICE void warp_mma(const char *what, Sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    struct item {
        Sum *c;
        const uint32_t *a;
        uint32_t b[2];
    } mine = {c, a, {b0, b1}};
    meet(my_warp(), self->id % 32, what, &mine, [](void **slots, unsigned) {
        uint32_t rows[16][8], columns[8][8];
        for (unsigned lane = 0; lane < 32; lane++) {
            const item *at = static_cast<item *>(slots[lane]);
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned i = 0; i < 4; i++) rows[g + i % 2 * 8][i / 2 * 4 + t] = at->a[i];
            for (unsigned i = 0; i < 2; i++) columns[g][i * 4 + t] = at->b[i];
        }
        for (unsigned lane = 0; lane < 32; lane++) {
            const item *at = static_cast<item *>(slots[lane]);
            const unsigned g = lane / 4, t = lane % 4;
            for (unsigned i = 0; i < 4; i++)
                at->c[i] += multiply(rows[g + i / 2 * 8], columns[t * 2 + i % 2]);
        }
    });
}

CRN_DEVICE float multiply_f16(const uint32_t *a, const uint32_t *b)
{
    float sum = 0;
    for (int i = 0; i < 8; i++) {
        float a0, a1, b0, b1;
        halves(a[i], a0, a1);
        halves(b[i], b0, b1);
        sum += a0 * b0 + a1 * b1;
    }
    return sum;
}
CRN_DEVICE float multiply_tf32(const uint32_t *a, const uint32_t *b)
{
    float sum = 0;
    for (int i = 0; i < 8; i++) sum += float_of(a[i] & ~0x1fffu) * float_of(b[i] & ~0x1fffu);
    return sum;
}
CRN_DEVICE int32_t multiply_i8(const uint32_t *a, const uint32_t *b)
{
    int32_t sum = 0;
    for (int i = 0; i < 8; i++) sum = dot4(a[i], b[i], sum);
    return sum;
}
CRN_DEVICE int32_t multiply_b1(const uint32_t *a, const uint32_t *b)
{
    int32_t sum = 0;
    for (int i = 0; i < 8; i++) sum += bit_count(a[i] ^ b[i]);
    return sum;
}
#define CRN_MMA(name, Sum, multiply)                                                  \
    CRN_DEVICE void name(Sum(&c)[4], const uint32_t(&a)[4], uint32_t b0, uint32_t b1) \
    {                                                                                 \
        warp_mma<Sum, multiply>(#name, c, a, b0, b1);                                 \
    }
CRN_MMA(mma_f16, float, multiply_f16)
CRN_MMA(mma_tf32, float, multiply_tf32)
CRN_MMA(mma_i8, int32_t, multiply_i8)
CRN_MMA(mma_b1, int32_t, multiply_b1)
#undef CRN_MMA

} // namespace crn_gpu

#include "gpu/simulate/hopper_host.h"

#endif
