/* Clustered vectors of a known intrinsic dimension. */
#include "cli/bench_data.h"

#include "base/mem.h"

#include <math.h>

#define LATENT_DIM 16 /* local intrinsic dimension of common text embeddings: 10 to 25 */
#define CLUSTERS 256
#define SPREAD 0.5 /* of a cluster, against 1 between their centers */
#define NOISE 0.05 /* outside the surface */

static void fill_normal(struct crn_rng *rng, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)crn_rng_normal(rng);
}

bool crn_cli_bench_data_init(struct crn_cli_bench_data *data, uint32_t dim, uint64_t seed)
{
    *data = (struct crn_cli_bench_data){.dim = dim, .latent_dim = LATENT_DIM, .clusters = CLUSTERS};
    crn_rng_init(&data->rng, seed);
    data->map = crn_mem_array((size_t)LATENT_DIM * dim, sizeof *data->map);
    data->centers = crn_mem_array((size_t)CLUSTERS * LATENT_DIM, sizeof *data->centers);
    if (data->map == NULL || data->centers == NULL) return false;
    fill_normal(&data->rng, data->map, (size_t)LATENT_DIM * dim);
    fill_normal(&data->rng, data->centers, (size_t)CLUSTERS * LATENT_DIM);
    return true;
}

void crn_cli_bench_data_next(struct crn_cli_bench_data *data, float *out)
{
    /* Squaring makes cluster sizes uneven: the first are the largest. */
    double place = crn_rng_unit(&data->rng);
    const float *center = data->centers + (size_t)(place * place * data->clusters) * data->latent_dim;
    double scale = 1 / sqrt((double)data->latent_dim);

    for (uint32_t i = 0; i < data->dim; i++) out[i] = (float)(NOISE * crn_rng_normal(&data->rng));
    for (uint32_t l = 0; l < data->latent_dim; l++) {
        const float *row = data->map + (size_t)l * data->dim;
        float weight = (float)(scale * (center[l] + SPREAD * crn_rng_normal(&data->rng)));
        for (uint32_t i = 0; i < data->dim; i++) out[i] += weight * row[i];
    }
}

void crn_cli_bench_data_release(struct crn_cli_bench_data *data)
{
    crn_mem_free(data->map);
    crn_mem_free(data->centers);
    data->map = data->centers = NULL;
}
