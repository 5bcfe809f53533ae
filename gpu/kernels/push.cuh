/*
 * From distances to candidates: a distance below its query's limit is appended to the query's keys. The limit stands still during
 * a launch; between launches the select kernel lowers it. Also the order in which tiles of rows are taken.
 */
#ifndef CRN_GPU_KERNELS_PUSH_CUH
#define CRN_GPU_KERNELS_PUSH_CUH

#include "gpu/kernels/element.cuh"

namespace crn_gpu
{

constexpr uint64_t no_limit = ~0ull;

/* Sorts like the number; -0 becomes 0. */
CRN_DEVICE uint32_t ordered(float x)
{
    const uint32_t bits = bits_of(x + 0.0f);
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
CRN_DEVICE float unordered(uint32_t x)
{
    return float_of((x >> 31) != 0 ? x & 0x7fffffffu : ~x);
}

/* Distances up to this may enter. */
CRN_DEVICE float distance_limit(const crn_gpu_scan_args &a, uint32_t query)
{
    const uint64_t limit = load(a.limits + query);
    return limit == no_limit ? float_of(0x7f800000u) : unordered(static_cast<uint32_t>(limit >> 32));
}

CRN_DEVICE bool bit(const uint32_t *words, uint64_t at)
{
    return (load(words + (at >> 5)) >> (at & 31) & 1) != 0;
}

/* Seldom called: not inlined into the loops that decide whether to. */
#ifdef __CUDACC__
static __device__ __noinline__
#else
static inline
#endif
    void
    push(const crn_gpu_scan_args &a, uint32_t query, uint32_t row, float distance)
{
    if (!(distance == distance)) return;
    const uint32_t label = a.first_label + row;
    const uint64_t key = static_cast<uint64_t>(ordered(distance)) << 32 | label;
    if (key >= load(a.limits + query)) return;
    if (a.dead != nullptr && bit(a.dead, row)) return;
    if (a.allow != nullptr && !bit(a.allow + query * a.allow_stride, label)) return;
    const uint32_t slot = atomic_add(a.counts + query, 1);
    if (slot < a.capacity) a.keys[static_cast<uint64_t>(query) * a.capacity + slot] = key;
}

/* Tiles are taken in strides that wander over the whole array, so that what is near in it (rows of one topic, say) is met
 * evenly, and an early limit holds for the rest. */
CRN_DEVICE uint32_t tile_at(const crn_gpu_scan_args &a, uint32_t place)
{
    return static_cast<uint32_t>(static_cast<uint64_t>(place) * a.tile_stride % a.tile_count);
}

/* False: one bitmap for all queries forbids every row of the tile. */
CRN_DEVICE bool tile_allowed(const crn_gpu_scan_args &a, uint32_t row, uint32_t rows)
{
    if (a.allow == nullptr || a.allow_stride != 0) return true;
    const uint64_t first = static_cast<uint64_t>(a.first_label) + row;
    uint32_t any = 0;
    for (uint64_t w = first >> 5; w <= (first + rows - 1) >> 5; w++) any |= load(a.allow + w);
    return any != 0;
}

CRN_DEVICE float factor_of(const crn_gpu_scan_args &a, uint32_t query)
{
    return a.query_scale == nullptr ? 1.0f : load(a.query_scale + query);
}

/* The distance of a row whose sum with the query, as a number, is `value`. Rounded the same wherever it is computed. */
CRN_DEVICE float distance_of(const crn_gpu_scan_args &a, uint32_t row, float factor, float value)
{
    const float scale = product(a.scale == nullptr ? a.uniform_scale : load(a.scale + row), factor);
    return fused(scale, value, a.bias == nullptr ? 0.0f : load(a.bias + row));
}

} // namespace crn_gpu

#endif
