/*
 * Vectors as embeddings have them: clusters of different sizes and widths on a low-dimensional surface,
 * mapped into `dim` dimensions with a little noise. Uniform random vectors would be far harder to search
 * than real ones, single tight clusters far easier.
 */
#ifndef CRN_CLI_BENCH_DATA_H
#define CRN_CLI_BENCH_DATA_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

struct crn_cli_bench_data {
    struct crn_rng rng;
    uint32_t dim, latent_dim, clusters;
    float *map;     /* [latent_dim][dim] */
    float *centers; /* [clusters][latent_dim] */
};

bool crn_cli_bench_data_init(struct crn_cli_bench_data *data, uint32_t dim,
                             uint64_t seed);                               /* false: no memory */
void crn_cli_bench_data_next(struct crn_cli_bench_data *data, float *out); /* [dim] */
void crn_cli_bench_data_release(struct crn_cli_bench_data *data);

#endif
