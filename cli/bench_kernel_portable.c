/* Tiles of distances: for every processor, and the choice among them. */
#define TILE_DISTANCES crn_cli_tile_distances_portable
#define LANES 4
#include "cli/bench_kernel_loops.h"

#include "base/cpu.h"

crn_cli_tile_fn crn_cli_tile_distances(void)
{
#ifdef __x86_64__
    if (crn_cpu_level() == CRN_CPU_AVX512) return crn_cli_tile_distances_avx512;
    if (crn_cpu_level() == CRN_CPU_AVX2) return crn_cli_tile_distances_avx2;
#endif
    return crn_cli_tile_distances_portable;
}
