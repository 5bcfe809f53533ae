/*
 * Many queries on Hopper (9.0a): what tile.cuh does, with warpgroup products (wgmma) whose operands the copy engine brings. Three
 * warpgroups a block: one thread of the first asks for blocks of 256 rows and 128 queries, 128 bytes of each, as long as
 * the ring has room; the others multiply 64 queries each and choose candidates, while the ring fills for the next tile.
 */
#ifndef CRN_GPU_KERNELS_HOPPER_CUH
#define CRN_GPU_KERNELS_HOPPER_CUH

#include "gpu/kernels/tile.cuh"

namespace crn_gpu
{

constexpr unsigned hopper_threads = 384;

#if CRN_HAS_WGMMA

template <class E> struct warpgroup_product;
template <> struct warpgroup_product<f16_element> {
    CRN_MEMBER void add(float (&c)[32][4], operand a, operand b, uint32_t more)
    {
        wgmma_f16(c, a, b, more);
    }
};
template <> struct warpgroup_product<f32_element> {
    CRN_MEMBER void add(float (&c)[32][4], operand a, operand b, uint32_t more)
    {
        wgmma_tf32(c, a, b, more);
    }
};
template <> struct warpgroup_product<i8_element> {
    CRN_MEMBER void add(int32_t (&c)[32][4], operand a, operand b, uint32_t more)
    {
        wgmma_i8(c, a, b, more);
    }
};

template <class E> CRN_DEVICE void hopper_kernel(const crn_gpu_hopper_args &args, unsigned char *shared)
{
    constexpr uint32_t queries = CRN_GPU_HOPPER_QUERIES, stages = CRN_GPU_HOPPER_STAGES;
    constexpr uint32_t row_bytes = CRN_GPU_TILE * CRN_GPU_BLOCK_BYTES,
                       query_bytes = queries * CRN_GPU_BLOCK_BYTES;
    constexpr uint32_t stage_bytes = row_bytes + query_bytes;
    const crn_gpu_scan_args &a = args.scan;
    const uint32_t blocks = (a.pitch + CRN_GPU_BLOCK_BYTES - 1) / CRN_GPU_BLOCK_BYTES;
    const uint32_t query_tiles = (a.batch + queries - 1) / queries,
                   place_end = (a.tile_end - a.tile_begin) * query_tiles;
    barrier *const full = reinterpret_cast<barrier *>(shared + stages * stage_bytes), *const empty =
                                                                                          full + stages;
    const uint32_t warpgroup = thread_id() / 128, lane = thread_id() % 32;
    uint32_t slot = 0, phase = 0;

    if (thread_id() == 0) {
        for (uint32_t s = 0; s < stages; s++) {
            barrier_init(full + s, 1);
            barrier_init(empty + s, 8); /* one thread of each multiplying warp */
        }
        barriers_publish();
    }
    sync_block();

    if (warpgroup == 0) {
        registers_drop<40>();
        if (thread_id() == 0) {
            for (uint32_t place = block_id(); place < place_end; place += grid_size()) {
                const tile_item item = tile_item_of<queries>(a, place, query_tiles);
                for (uint32_t b = 0; b < blocks; b++) {
                    unsigned char *const to = shared + slot * stage_bytes;
                    barrier_wait(empty + slot, phase ^ 1);
                    barrier_expect(full + slot, stage_bytes);
                    tensor_load(to, &args.row_map, b * CRN_GPU_BLOCK_BYTES, item.row, full + slot);
                    tensor_load(to + row_bytes, &args.query_map, b * CRN_GPU_BLOCK_BYTES, item.first,
                                full + slot);
                    if (++slot == stages) {
                        slot = 0;
                        phase ^= 1;
                    }
                }
            }
        }
    } else {
        registers_raise<232>();
        const uint32_t my_queries = (warpgroup - 1) * 64;
        for (uint32_t place = block_id(); place < place_end; place += grid_size()) {
            const tile_item item = tile_item_of<queries>(a, place, query_tiles);
            typename E::sum sums[32][4];
            uint32_t last = 0;

            for (uint32_t b = 0; b < blocks; b++) {
                const unsigned char *const at = shared + slot * stage_bytes;
                barrier_wait(full + slot, phase);
                const operand x = matrix_operand(at),
                              q = matrix_operand(at + row_bytes + my_queries * CRN_GPU_BLOCK_BYTES);
                hold_sums(sums);
                wgmma_begin();
                CRN_UNROLL
                for (unsigned k = 0; k < 4; k++)
                    warpgroup_product<E>::add(sums, operand_at(q, k), operand_at(x, k),
                                              static_cast<uint32_t>((b | k) != 0));
                wgmma_commit();
                wgmma_wait<1>(); /* the block before this one is multiplied: its place is free */
                if (b > 0 && lane == 0) barrier_arrive(empty + last);
                last = slot;
                if (++slot == stages) {
                    slot = 0;
                    phase ^= 1;
                }
            }
            wgmma_wait<0>();
            hold_sums(sums);
            if (lane == 0) barrier_arrive(empty + last);
            tile_emit<E>(a, sums, item.ids, item.first, item.queries,
                         my_queries + thread_id() % 128 / 32 * 16 + lane / 4, item.row + lane % 4 * 2,
                         item.row_end);
        }
    }
}

#else /* other targets have these kernels by name only: the host chooses them for 9.0 alone */

template <class E> CRN_DEVICE void hopper_kernel(const crn_gpu_hopper_args &, unsigned char *) {}

#endif

} // namespace crn_gpu

#endif
