/*
 * Many queries, on tensor cores of every generation from 8.0 on: a block multiplies QUERIES queries with a tile of
 * rows, 128 bytes of each at a time, which cp.async brings into a ring of stages in shared memory; the ring runs
 * on from tile to tile, so that the memory never waits for the choice of candidates. Sums stay in registers.
 *
 * Fragments of all element kinds lie alike in 32 bytes of K: a thread holds 4 bytes of rows g and g + 8 in the first and
 * second 16 bytes (PTX ISA 9.7.14.5), so that one kernel serves f16, int8, TF32 and 1-bit. In shared memory the
 * 16-byte chunk c of row r lies at c ^ (r & 7): ldmatrix meets no bank twice.
 */
#ifndef CRN_GPU_KERNELS_TILE_CUH
#define CRN_GPU_KERNELS_TILE_CUH

#include "gpu/kernels/push.cuh"

namespace crn_gpu
{

constexpr unsigned tile_threads = 256;

/*
 * The sums of one thread: c[j][0] and c[j][1] are those of query place `lower` with rows row + 8 j and row + 8 j + 1, c[j][2]
 * and c[j][3] those of place lower + 8. Looks first whether any of them can enter: few do.
 */
template <class E, unsigned N>
CRN_DEVICE void tile_emit(const crn_gpu_scan_args &a, const typename E::sum (&c)[N][4], const uint32_t *ids,
                          uint32_t first, uint32_t queries, uint32_t lower, uint32_t row, uint32_t row_end)
{
    CRN_UNROLL
    for (unsigned half = 0; half < 2; half++) {
        const uint32_t place = lower + half * 8;
        if (place >= queries) continue;
        const uint32_t query = ids == nullptr ? first + place : load(ids + place);
        const float limit = distance_limit(a, query), factor = factor_of(a, query);
        if (a.scale == nullptr && a.bias == nullptr && a.uniform_scale < 0) {
            typename E::sum best = c[0][half * 2];
            CRN_UNROLL
            for (unsigned j = 0; j < N; j++)
                best = E::larger(best, E::larger(c[j][half * 2], c[j][half * 2 + 1]));
            if (!(fused(product(a.uniform_scale, factor), E::value(best, a), 0.0f) <= limit)) continue;
        }
        CRN_UNROLL
        for (unsigned j = 0; j < N; j++) {
            CRN_UNROLL
            for (unsigned i = 0; i < 2; i++) {
                const uint32_t at = row + j * 8 + i;
                if (at >= row_end) continue;
                const float distance = distance_of(a, at, factor, E::value(c[j][half * 2 + i], a));
                if (distance <= limit) push(a, query, at, distance);
            }
        }
    }
}

/* What a block works on: one tile of rows, and up to QUERIES queries. */
struct tile_item {
    uint32_t row, row_end, first, queries;
    const uint32_t *ids;
};

template <unsigned QUERIES>
CRN_DEVICE tile_item tile_item_of(const crn_gpu_scan_args &a, uint32_t place, uint32_t query_tiles)
{
    tile_item item;
    if (a.work != nullptr) {
        const crn_gpu_work work = a.work[place];
        item.row = work.row;
        item.row_end = work.row + work.rows;
        item.first = 0;
        item.queries = work.queries;
        item.ids = a.query_ids + work.query;
    } else {
        item.row = tile_at(a, a.tile_begin + place / query_tiles) * CRN_GPU_TILE;
        item.row_end = item.row + CRN_GPU_TILE < a.row_count ? item.row + CRN_GPU_TILE : a.row_count;
        item.first = place % query_tiles * QUERIES;
        item.queries = a.batch - item.first < QUERIES ? a.batch - item.first : QUERIES;
        item.ids = nullptr;
    }
    return item;
}

/* Bytes block..block+127 of `count` rows into to[rows][128]; what lies outside becomes zeros. */
CRN_DEVICE void tile_load(const void *matrix, uint32_t pitch, uint32_t row, uint32_t row_end,
                          const uint32_t *ids, uint32_t rows, uint32_t block, unsigned char *to)
{
    for (uint32_t i = thread_id(); i < rows * 8; i += tile_threads) {
        const uint32_t r = i / 8, chunk = i % 8, offset = block * CRN_GPU_BLOCK_BYTES + chunk * 16;
        const bool valid = row + r < row_end && offset < pitch;
        const uint64_t source = !valid ? 0 : ids != nullptr ? load(ids + row + r) : row + r;
        copy16(to + r * CRN_GPU_BLOCK_BYTES + ((chunk ^ (r & 7)) * 16),
               static_cast<const char *>(matrix) + source * pitch + (valid ? offset : 0), valid);
    }
}

/* WARPS of the eight share the queries, the others the rows. */
template <class E, unsigned QUERIES, unsigned WARPS>
CRN_DEVICE void tile_kernel(const crn_gpu_scan_args &a, unsigned char *shared)
{
    constexpr unsigned query_mmas = QUERIES / WARPS / 16, row_mmas = CRN_GPU_TILE / (8 / WARPS) / 8;
    constexpr uint32_t query_bytes = QUERIES * CRN_GPU_BLOCK_BYTES,
                       row_bytes = CRN_GPU_TILE * CRN_GPU_BLOCK_BYTES;
    const uint32_t blocks = (a.pitch + CRN_GPU_BLOCK_BYTES - 1) / CRN_GPU_BLOCK_BYTES;
    const uint32_t query_tiles = a.work != nullptr ? 1 : (a.batch + QUERIES - 1) / QUERIES;
    const uint32_t place_begin = a.work != nullptr ? a.tile_begin : 0;
    const uint32_t place_end = a.work != nullptr ? a.tile_end : (a.tile_end - a.tile_begin) * query_tiles;
    const uint32_t stage_bytes = row_bytes + (a.resident != 0 ? 0 : query_bytes);
    unsigned char *const ring = shared + (a.resident != 0 ? blocks * query_bytes : 0);
    const uint32_t warp = thread_id() / 32, lane = thread_id() % 32;
    const uint32_t my_queries = warp % WARPS * query_mmas * 16, my_rows = warp / WARPS * row_mmas * 8;
    uint32_t load_place = place_begin + block_id(), load_block = 0, slot = 0, load_slot = 0;

    if (load_place >= place_end) return;
    tile_item ahead = tile_item_of<QUERIES>(a, load_place, query_tiles);
    if (a.resident != 0) { /* one query tile: part of the first group of copies */
        for (uint32_t b = 0; b < blocks; b++)
            tile_load(a.queries, a.pitch, 0, a.batch, nullptr, QUERIES, b, shared + b * query_bytes);
    }

    /* Asks for the next block of the ring, or for nothing at the end: the count of groups must go on. */
    auto load_next = [&]() {
        if (load_place < place_end) {
            unsigned char *to = ring + load_slot * stage_bytes;
            tile_load(a.rows, a.pitch, ahead.row, ahead.row_end, nullptr, CRN_GPU_TILE, load_block, to);
            if (a.resident == 0) {
                tile_load(a.queries, a.pitch, ahead.first, ahead.first + ahead.queries, ahead.ids, QUERIES,
                          load_block, to + row_bytes);
            }
            load_slot = load_slot + 1 == a.stages ? 0 : load_slot + 1;
            if (++load_block == blocks) {
                load_block = 0;
                load_place += grid_size();
                if (load_place < place_end) ahead = tile_item_of<QUERIES>(a, load_place, query_tiles);
            }
        }
        copies_commit();
    };

    for (uint32_t s = 0; s + 1 < a.stages; s++) load_next();
    for (uint32_t place = place_begin + block_id(); place < place_end; place += grid_size()) {
        const tile_item item = tile_item_of<QUERIES>(a, place, query_tiles);
        typename E::sum sums[query_mmas][row_mmas][4] = {};

        for (uint32_t b = 0; b < blocks; b++) {
            copies_wait(a.stages - 2);
            sync_block(); /* the block is there for all, and the one before it is read by all */
            load_next();
            const unsigned char *rows = ring + slot * stage_bytes + my_rows * CRN_GPU_BLOCK_BYTES;
            const unsigned char *queries =
                (a.resident != 0 ? shared + b * query_bytes : ring + slot * stage_bytes + row_bytes) +
                my_queries * CRN_GPU_BLOCK_BYTES;
            slot = slot + 1 == a.stages ? 0 : slot + 1;
            CRN_UNROLL
            for (unsigned k = 0; k < 4; k++) {
                uint32_t q[query_mmas][4];
                CRN_UNROLL
                for (unsigned m = 0; m < query_mmas; m++) {
                    const uint32_t r = m * 16 + lane % 16, chunk = (k * 2 + lane / 16) ^ (r & 7);
                    load_matrices(q[m], queries + r * CRN_GPU_BLOCK_BYTES + chunk * 16);
                }
                CRN_UNROLL
                for (unsigned n = 0; n < row_mmas; n += 2) {
                    const uint32_t r = n * 8 + lane % 8 + lane / 16 * 8,
                                   chunk = (k * 2 + lane / 8 % 2) ^ (r & 7);
                    uint32_t x[4];
                    load_matrices(x, rows + r * CRN_GPU_BLOCK_BYTES + chunk * 16);
                    CRN_UNROLL
                    for (unsigned m = 0; m < query_mmas; m++) {
                        E::mma(sums[m][n], q[m], x[0], x[1]);
                        E::mma(sums[m][n + 1], q[m], x[2], x[3]);
                    }
                }
            }
        }
        CRN_UNROLL
        for (unsigned m = 0; m < query_mmas; m++) {
            tile_emit<E>(a, sums[m], item.ids, item.first, item.queries, my_queries + m * 16 + lane / 4,
                         item.row + my_rows + lane % 4 * 2, item.row_end);
        }
    }
    copies_wait(0);
}

} // namespace crn_gpu

#endif
