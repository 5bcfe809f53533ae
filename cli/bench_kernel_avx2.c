/* Tiles of distances: compiled for avx2. */
#define TILE_DISTANCES crn_cli_tile_distances_avx2
#define LANES 8
#include "cli/bench_kernel_loops.h"
