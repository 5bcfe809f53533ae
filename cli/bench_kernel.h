/*
 * Distances of many rows to many queries at once, for the exact ground truth of `cairn bench`: 4 rows and 4
 * queries share what they read. Sums are of single precision; who needs more computes the best ones again.
 */
#ifndef CRN_CLI_BENCH_KERNEL_H
#define CRN_CLI_BENCH_KERNEL_H

#include <stddef.h>

#define CRN_CLI_TILE_LANES 16 /* dims are padded to a multiple, with zeros */
#define CRN_CLI_TILE_GROUP 4  /* and so are counts of rows and of queries */

enum crn_cli_tile_op { CRN_CLI_TILE_L2, CRN_CLI_TILE_L1, CRN_CLI_TILE_DOT }; /* L2 is squared, DOT negated */

/* out[q * row_count + r] of rows [row_count][dim] and queries [query_count][dim], all 64-byte aligned. */
typedef void (*crn_cli_tile_fn)(enum crn_cli_tile_op op, const float *rows, size_t row_count,
                                const float *queries, size_t query_count, size_t dim, float *out);

/* The one for this processor. Shared. */
crn_cli_tile_fn crn_cli_tile_distances(void);

void crn_cli_tile_distances_portable(enum crn_cli_tile_op op, const float *rows, size_t row_count,
                                     const float *queries, size_t query_count, size_t dim, float *out);
void crn_cli_tile_distances_avx2(enum crn_cli_tile_op op, const float *rows, size_t row_count,
                                 const float *queries, size_t query_count, size_t dim, float *out);
void crn_cli_tile_distances_avx512(enum crn_cli_tile_op op, const float *rows, size_t row_count,
                                   const float *queries, size_t query_count, size_t dim, float *out);

#endif
