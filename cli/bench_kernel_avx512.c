/* Tiles of distances: compiled for avx512. */
#define TILE_DISTANCES crn_cli_tile_distances_avx512
#define LANES 16
#include "cli/bench_kernel_loops.h"
