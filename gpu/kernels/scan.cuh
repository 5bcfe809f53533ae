/*
 * Few queries, memory-bound: a warp reads rows 16 bytes a thread, `lanes` threads a row and several rows at once, and
 * compares them with QUERIES queries in shared memory. Sums are exact for int8 and 1-bit rows, in f32 for the others, and
 * for L2 of differences: this is also the reference for what tensor cores find.
 */
#ifndef CRN_GPU_KERNELS_SCAN_CUH
#define CRN_GPU_KERNELS_SCAN_CUH

#include "gpu/kernels/push.cuh"

namespace crn_gpu
{

constexpr unsigned scan_threads = 256, scan_rows = 4 /* in flight a thread */;

template <class E, bool L2> CRN_DEVICE void add_words(typename E::sum &s, const words4 &x, const words4 &q)
{
    if constexpr (L2) {
        E::l2(s, x, q);
    } else {
        E::dot(s, x, q);
    }
}

template <unsigned QUERIES>
CRN_DEVICE void scan_load_queries(const crn_gpu_scan_args &a, const uint32_t *ids, uint32_t first,
                                  uint32_t queries, words4 *to)
{
    const uint32_t chunks = a.pitch / 16;
    for (uint32_t i = thread_id(); i < QUERIES * chunks; i += block_size()) {
        const uint32_t place = i / chunks < queries ? i / chunks : 0;
        const uint32_t query = ids == nullptr ? first + place : load(ids + place);
        to[i] = load_stream(static_cast<const char *>(a.queries) + static_cast<uint64_t>(query) * a.pitch +
                            i % chunks * 16);
    }
}

/* Rows row..row+rows-1 (at most a tile of them). */
template <class E, bool L2, unsigned QUERIES>
CRN_DEVICE void scan_rows_of(const crn_gpu_scan_args &a, const uint32_t *ids, uint32_t first,
                             uint32_t queries, uint32_t row, uint32_t rows, const words4 *query_words)
{
    const uint32_t chunks = a.pitch / 16, lanes = a.lanes, groups = 32 / lanes, step = groups * scan_rows;
    const uint32_t lane = thread_id() % 32, sub = lane % lanes, group = lane / lanes,
                   warps = block_size() / 32;

    for (uint32_t begin = thread_id() / 32 * step; begin < rows; begin += warps * step) {
        const char *at[scan_rows];
        typename E::sum sums[scan_rows][QUERIES] = {};
        CRN_UNROLL
        for (uint32_t r = 0; r < scan_rows; r++) {
            const uint32_t offset = begin + r * groups + group;
            at[r] = static_cast<const char *>(a.rows) +
                    static_cast<uint64_t>(row + (offset < rows ? offset : rows - 1)) * a.pitch;
        }
        CRN_UNROLL_BY(3)
        for (uint32_t c = sub; c < chunks; c += lanes) {
            words4 x[scan_rows];
            CRN_UNROLL
            for (uint32_t r = 0; r < scan_rows; r++) x[r] = load_stream(at[r] + c * 16);
            CRN_UNROLL
            for (uint32_t q = 0; q < QUERIES; q++) {
                const words4 y = load_shared(query_words + q * chunks + c);
                CRN_UNROLL
                for (uint32_t r = 0; r < scan_rows; r++) add_words<E, L2>(sums[r][q], x[r], y);
            }
        }
        for (uint32_t mask = lanes / 2; mask > 0; mask /= 2) {
            CRN_UNROLL
            for (uint32_t r = 0; r < scan_rows; r++) {
                CRN_UNROLL
                for (uint32_t q = 0; q < QUERIES; q++) sums[r][q] += shuffle_xor(sums[r][q], mask);
            }
        }
        if (sub != 0) continue;
        CRN_UNROLL
        for (uint32_t q = 0; q < QUERIES; q++) {
            if (q >= queries) continue;
            const uint32_t query = ids == nullptr ? first + q : load(ids + q);
            const float limit = distance_limit(a, query), factor = factor_of(a, query);
            CRN_UNROLL
            for (uint32_t r = 0; r < scan_rows; r++) {
                const uint32_t offset = begin + r * groups + group;
                if (offset >= rows) continue;
                const float distance = distance_of(a, row + offset, factor, E::value(sums[r][q], a));
                if (distance <= limit) push(a, query, row + offset, distance);
            }
        }
    }
}

/* Every block has all queries: QUERIES at most, or those of its item of work. */
template <class E, bool L2, unsigned QUERIES>
CRN_DEVICE void scan_kernel(const crn_gpu_scan_args &a, unsigned char *shared)
{
    words4 *query_words = reinterpret_cast<words4 *>(shared);

    if (a.work == nullptr) {
        scan_load_queries<QUERIES>(a, nullptr, 0, a.batch, query_words);
        sync_block();
    }
    for (uint32_t place = a.tile_begin + block_id(); place < a.tile_end; place += grid_size()) {
        if (a.work != nullptr) {
            const crn_gpu_work item = a.work[place];
            if (!tile_allowed(a, item.row, item.rows)) continue;
            sync_block(); /* nobody needs the last item's queries */
            scan_load_queries<QUERIES>(a, a.query_ids + item.query, 0, item.queries, query_words);
            sync_block();
            scan_rows_of<E, L2, QUERIES>(a, a.query_ids + item.query, 0, item.queries, item.row, item.rows,
                                         query_words);
        } else {
            const uint32_t row = tile_at(a, place) * CRN_GPU_TILE, left = a.row_count - row;
            const uint32_t rows = left < CRN_GPU_TILE ? left : CRN_GPU_TILE;
            if (!tile_allowed(a, row, rows)) continue;
            scan_rows_of<E, L2, QUERIES>(a, nullptr, 0, a.batch, row, rows, query_words);
        }
    }
}

} // namespace crn_gpu

#endif
