/*
 * Candidates of a tensor-core search, compared anew in f32 as the narrow kernels do, and the k nearest of them. When as many
 * candidates were kept as were asked for, rows that are none may only be as near as the last candidate's first distance, less
 * what that may be off: where the k-th is not nearer than this, the query is doubtful, and the caller searches again.
 */
#ifndef CRN_GPU_KERNELS_RESCORE_CUH
#define CRN_GPU_KERNELS_RESCORE_CUH

#include "gpu/kernels/scan.cuh"
#include "gpu/kernels/select.cuh"

namespace crn_gpu
{

CRN_DEVICE const char *row_at(const crn_gpu_rescore_args &a, uint32_t label)
{
    uint32_t s = 0;
    while (s + 1 < a.slab_count && label - a.slabs[s].first_label >= a.slabs[s].row_count) s++;
    return static_cast<const char *>(a.slabs[s].rows) +
           static_cast<uint64_t>(label - a.slabs[s].first_label) * a.pitch;
}

template <class E> CRN_DEVICE void rescore_kernel(const crn_gpu_rescore_args &a, unsigned char *shared)
{
    uint64_t *const sorted = reinterpret_cast<uint64_t *>(shared);
    const uint32_t lane = thread_id() % 32, chunks = a.pitch / 16;

    for (uint32_t query = block_id(); query < a.select.batch; query += grid_size()) {
        const uint64_t *const keys = a.select.keys + static_cast<uint64_t>(query) * a.select.capacity;
        const uint32_t found = a.select.counts[query],
                       count = found < a.select.capacity ? found : a.select.capacity;
        const char *const vector =
            static_cast<const char *>(a.queries) + static_cast<uint64_t>(query) * a.pitch;

        sync_block();
        const uint32_t kept = select_keys(keys, count, a.select.k, shared);
        const uint64_t last = kept == 0 ? no_limit : sorted[kept - 1];
        sync_block();
        for (uint32_t i = thread_id() / 32; i < kept; i += block_size() / 32) {
            const uint32_t label = static_cast<uint32_t>(sorted[i]);
            const char *const row = row_at(a, label);
            typename E::sum sum = 0;
            for (uint32_t c = lane; c < chunks; c += 32) {
                const words4 x = load_stream(row + c * 16), q = load_stream(vector + c * 16);
                if (a.l2 != 0) {
                    E::l2(sum, x, q);
                } else {
                    E::dot(sum, x, q);
                }
            }
            for (unsigned mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
            if (lane == 0) sorted[i] = static_cast<uint64_t>(ordered(a.l2 != 0 ? sum : -sum)) << 32 | label;
        }
        sync_block();
        sort_keys(sorted, kept);
        for (uint32_t i = thread_id(); i < a.k; i += block_size())
            a.out[static_cast<uint64_t>(query) * a.k + i] = i < kept ? sorted[i] : no_limit;
        if (thread_id() == 0) {
            if (found > a.select.capacity) a.select.overflow[query] = 1;
            if (kept == a.select.k) {
                const float nearest_other = unordered(static_cast<uint32_t>(last >> 32)) - a.margin[query];
                if (!(unordered(static_cast<uint32_t>(sorted[a.k - 1] >> 32)) < nearest_other))
                    a.doubtful[query] = 1;
            }
        }
    }
}

} // namespace crn_gpu

#endif
