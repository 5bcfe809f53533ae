/*
 * The k smallest of the keys that were found for a query: one block a query. Up to CRN_GPU_SORT_MOST keys are sorted in shared
 * memory (Batcher's bitonic network); of more the k-th is found digit by digit from the top (radix select), and what is
 * above it dropped. k is at most CRN_GPU_SORT_MOST.
 */
#ifndef CRN_GPU_KERNELS_SELECT_CUH
#define CRN_GPU_KERNELS_SELECT_CUH

#include "gpu/kernels/push.cuh"

namespace crn_gpu
{

constexpr unsigned select_threads = 512;

/* keys: [count], shared memory of the next power of two; ascending afterwards. */
CRN_DEVICE void sort_keys(uint64_t *keys, uint32_t count)
{
    uint32_t size = 2;
    while (size < count) size *= 2;
    for (uint32_t i = count + thread_id(); i < size; i += block_size()) keys[i] = no_limit;
    sync_block();
    for (uint32_t run = 2; run <= size; run *= 2) {
        for (uint32_t gap = run / 2; gap > 0; gap /= 2) {
            for (uint32_t i = thread_id(); i < size / 2; i += block_size()) {
                const uint32_t low = i / gap * gap * 2 + i % gap, high = low + gap;
                const bool up = (low & run) == 0;
                const uint64_t x = keys[low], y = keys[high];
                if ((x > y) == up) {
                    keys[low] = y;
                    keys[high] = x;
                }
            }
            sync_block();
        }
    }
}

/* The k-th smallest of count > k keys in global memory. digits: shared, 256 and more words. */
CRN_DEVICE uint64_t find_key(const uint64_t *keys, uint32_t count, uint32_t k, uint32_t *digits)
{
    uint64_t prefix = 0;

    for (int shift = 56; shift >= 0; shift -= 8) {
        for (uint32_t i = thread_id(); i < 256; i += block_size()) digits[i] = 0;
        sync_block();
        for (uint32_t i = thread_id(); i < count; i += block_size()) {
            const uint64_t key = load_key(keys + i);
            /* Two shifts, because one by 64 is undefined. */
            if (key >> shift >> 8 == prefix) atomic_add(digits + (key >> shift & 255), 1);
        }
        sync_block();
        uint32_t digit = 0,
                 before = 0; /* every thread adds up for itself: all must know, and 256 steps are few */
        while (before + digits[digit] < k) before += digits[digit++];
        k -= before;
        prefix = prefix << 8 | digit;
        sync_block();
    }
    return prefix;
}

/* Leaves the min(k, count) smallest keys in shared memory, in order, and returns how many. */
CRN_DEVICE uint32_t select_keys(const uint64_t *keys, uint32_t count, uint32_t k, unsigned char *shared)
{
    uint64_t *const sorted = reinterpret_cast<uint64_t *>(shared);
    uint32_t *const digits = reinterpret_cast<uint32_t *>(sorted + CRN_GPU_SORT_MOST);

    if (count <= CRN_GPU_SORT_MOST) {
        for (uint32_t i = thread_id(); i < count; i += block_size()) sorted[i] = load_key(keys + i);
    } else {
        const uint64_t last = find_key(keys, count, k, digits);
        if (thread_id() == 0) digits[0] = 0;
        sync_block();
        for (uint32_t i = thread_id(); i < count; i += block_size()) {
            const uint64_t key = load_key(keys + i);
            if (key <= last) sorted[atomic_add(digits, 1)] = key;
        }
        count = k;
    }
    sync_block();
    sort_keys(sorted, count);
    return count < k ? count : k;
}

CRN_DEVICE void select_kernel(const crn_gpu_select_args &a, unsigned char *shared)
{
    const uint64_t *const sorted = reinterpret_cast<const uint64_t *>(shared);

    for (uint32_t query = block_id(); query < a.batch; query += grid_size()) {
        uint64_t *const keys = a.keys + static_cast<uint64_t>(query) * a.capacity;
        const uint32_t found = a.counts[query], count = found < a.capacity ? found : a.capacity;
        sync_block(); /* all have read the count, and the last query's keys */
        if (count < a.k && a.out == nullptr && found == count) continue;
        const uint32_t kept = select_keys(keys, count, a.k, shared);
        for (uint32_t i = thread_id(); i < kept; i += block_size()) keys[i] = sorted[i];
        for (uint32_t i = thread_id(); a.out != nullptr && i < a.k; i += block_size())
            a.out[static_cast<uint64_t>(query) * a.k + i] = i < kept ? sorted[i] : no_limit;
        if (thread_id() == 0) {
            a.counts[query] = kept;
            if (kept == a.k) a.limits[query] = sorted[a.k - 1];
            if (found > a.capacity) a.overflow[query] = 1;
        }
    }
}

} // namespace crn_gpu

#endif
