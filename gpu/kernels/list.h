/*
 * All kernels: X(name, what it is told, its body, threads a block). In C only the names count.
 * scan_*_q: up to q queries of a block; tile_*_q: q queries a block on tensor cores.
 */
#ifndef CRN_GPU_KERNELS_LIST_H
#define CRN_GPU_KERNELS_LIST_H

#define CRN_GPU_SCANS(X, element, op, l2)                                                         \
    X(scan_##element##_##op##_1, crn_gpu_scan_args, (scan_kernel<element##_element, l2, 1>), 256) \
    X(scan_##element##_##op##_4, crn_gpu_scan_args, (scan_kernel<element##_element, l2, 4>), 256) \
    X(scan_##element##_##op##_8, crn_gpu_scan_args, (scan_kernel<element##_element, l2, 8>), 256)

#define CRN_GPU_TILES(X, element)                                                           \
    X(tile_##element##_16, crn_gpu_scan_args, (tile_kernel<element##_element, 16, 1>), 256) \
    X(tile_##element##_32, crn_gpu_scan_args, (tile_kernel<element##_element, 32, 1>), 256) \
    X(tile_##element##_64, crn_gpu_scan_args, (tile_kernel<element##_element, 64, 1>), 256) \
    X(tile_##element##_128, crn_gpu_scan_args, (tile_kernel<element##_element, 128, 2>), 256)

#define CRN_GPU_KERNELS(X)                                                   \
    CRN_GPU_SCANS(X, f32, dot, false)                                        \
    CRN_GPU_SCANS(X, f32, l2, true)                                          \
    CRN_GPU_SCANS(X, f16, dot, false)                                        \
    CRN_GPU_SCANS(X, f16, l2, true)                                          \
    CRN_GPU_SCANS(X, i8, dot, false)                                         \
    CRN_GPU_SCANS(X, b1, dot, false)                                         \
    CRN_GPU_TILES(X, f32)                                                    \
    CRN_GPU_TILES(X, f16)                                                    \
    CRN_GPU_TILES(X, i8)                                                     \
    CRN_GPU_TILES(X, b1)                                                     \
    X(hopper_f32, crn_gpu_hopper_args, (hopper_kernel<f32_element>), 384)    \
    X(hopper_f16, crn_gpu_hopper_args, (hopper_kernel<f16_element>), 384)    \
    X(hopper_i8, crn_gpu_hopper_args, (hopper_kernel<i8_element>), 384)      \
    X(select_keys, crn_gpu_select_args, (select_kernel), 512)                \
    X(rescore_f32, crn_gpu_rescore_args, (rescore_kernel<f32_element>), 512) \
    X(rescore_f16, crn_gpu_rescore_args, (rescore_kernel<f16_element>), 512) \
    X(fill_f32, crn_gpu_fill_args, (fill_kernel<f32_maker>), 256)            \
    X(fill_f16, crn_gpu_fill_args, (fill_kernel<f16_maker>), 256)            \
    X(fill_i8, crn_gpu_fill_args, (fill_kernel<i8_maker>), 256)              \
    X(fill_b1, crn_gpu_fill_args, (fill_kernel<b1_maker>), 256)

#endif
