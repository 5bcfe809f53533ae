/*
 * The loops of a bench_kernel_<instruction set>.c, which defines TILE_DISTANCES, the function's name, and
 * LANES, the floats of a register, before it includes this. Vectors are the compiler's own.
 */
#include "cli/bench_kernel.h"

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), may_alias));
typedef int bits __attribute__((vector_size(LANES * sizeof(int))));

#define GROUP CRN_CLI_TILE_GROUP
#define INLINE static inline __attribute__((always_inline))

INLINE void add_term(enum crn_cli_tile_op op, const lanes *row, const lanes *query, lanes *sum)
{
    lanes difference;

    if (op == CRN_CLI_TILE_DOT) {
        *sum -= *row * *query;
        return;
    }
    difference = *row - *query;
    if (op == CRN_CLI_TILE_L2) {
        *sum += difference * difference;
    } else {
        *sum += (lanes)((bits)difference & 0x7fffffff); /* without its sign */
    }
}

/* 4 x 4 results; the sums stay in registers where there are 32 of them. */
INLINE void tile(enum crn_cli_tile_op op, const float *rows, const float *queries, size_t dim,
                 size_t row_count, float *out)
{
    lanes sums[GROUP][GROUP] = {0};

    for (size_t i = 0; i < dim; i += LANES) {
        for (size_t q = 0; q < GROUP; q++) {
            const lanes *query = (const lanes *)(queries + q * dim + i);
            for (size_t r = 0; r < GROUP; r++) {
                add_term(op, (const lanes *)(rows + r * dim + i), query, &sums[q][r]);
            }
        }
    }
    for (size_t q = 0; q < GROUP; q++) {
        for (size_t r = 0; r < GROUP; r++) {
            float sum = 0;
            for (size_t l = 0; l < LANES; l++) sum += sums[q][r][l];
            out[q * row_count + r] = sum;
        }
    }
}

INLINE void tiles(enum crn_cli_tile_op op, const float *rows, size_t row_count, const float *queries,
                  size_t query_count, size_t dim, float *out)
{
    for (size_t q = 0; q < query_count; q += GROUP) {
        for (size_t r = 0; r < row_count; r += GROUP) {
            tile(op, rows + r * dim, queries + q * dim, dim, row_count, out + q * row_count + r);
        }
    }
}

void TILE_DISTANCES(enum crn_cli_tile_op op, const float *rows, size_t row_count, const float *queries,
                    size_t query_count, size_t dim, float *out)
{
    switch (op) { /* so that each loop is compiled for one */
    case CRN_CLI_TILE_L2:
        tiles(CRN_CLI_TILE_L2, rows, row_count, queries, query_count, dim, out);
        return;
    case CRN_CLI_TILE_L1:
        tiles(CRN_CLI_TILE_L1, rows, row_count, queries, query_count, dim, out);
        return;
    case CRN_CLI_TILE_DOT:
        tiles(CRN_CLI_TILE_DOT, rows, row_count, queries, query_count, dim, out);
        return;
    }
}
