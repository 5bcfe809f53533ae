/* Made-up vectors, block by block, each block with random numbers of its own. */
#include "cli/bench_generate.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "cli/signals.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK 256 /* rows of one stream of random numbers */
#define CLUSTERS 64
#define HIDDEN_PER_LATENT 4
#define SPREAD_MIN 0.5 /* of a cluster, against 1 between their centers */
#define SPREAD_MAX 1.0
#define GAIN 1.2   /* of what tanh bends */
#define NOISE 0.05 /* of the first component; component i has 1/sqrt(i + 1) of it */

struct surface {
    const struct crn_cli_bench_generate *what;
    uint32_t hidden;
    float *centers, *spreads; /* [CLUSTERS][lid], [CLUSTERS] */
    float *bend, *map;        /* [lid][hidden], [hidden][dim] */
    float *out;
    struct crn_cli_progress *progress;
    _Atomic uint64_t done;
    atomic_bool no_memory;
};

static void fill_normal(struct crn_rng *rng, double scale, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)(scale * crn_rng_normal(rng));
}

/* out[j] += sum of weights[i] * rows[i][j] */
static void add_rows(const float *weights, size_t count, const float *rows, size_t width, float *out)
{
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * width;
        for (size_t j = 0; j < width; j++) out[j] += weights[i] * row[j];
    }
}

static void clustered_row(const struct surface *s, struct crn_rng *rng, float *latent, float *hidden,
                          float *out)
{
    const uint32_t lid = s->what->lid;
    const uint32_t dim = s->what->dim;
    double place = crn_rng_unit(rng);
    size_t cluster = (size_t)(place * place * CLUSTERS); /* the first clusters are the largest */

    for (uint32_t i = 0; i < lid; i++) {
        latent[i] = s->centers[cluster * lid + i] + s->spreads[cluster] * (float)crn_rng_normal(rng);
    }
    memset(hidden, 0, s->hidden * sizeof *hidden);
    add_rows(latent, lid, s->bend, s->hidden, hidden);
    for (uint32_t i = 0; i < s->hidden; i++) hidden[i] = tanhf(hidden[i]);
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = (float)(NOISE / sqrt(i + 1.0) * crn_rng_normal(rng));
    }
    add_rows(hidden, s->hidden, s->map, dim, out);
}

static void fill_rows(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct surface *s = ctx;
    const uint32_t dim = s->what->dim;
    float *latent = crn_mem_array((size_t)s->what->lid + s->hidden, sizeof *latent);
    struct crn_rng rng;

    if (latent == NULL) atomic_store(&s->no_memory, true);
    if (latent == NULL || crn_cli_interrupted()) {
        crn_mem_free(latent);
        return;
    }
    crn_rng_init(&rng, s->what->seed + (begin / BLOCK + 1) * UINT64_C(0x9e3779b97f4a7c15));
    for (size_t row = begin; row < end; row++) {
        float *out = s->out + row * dim;
        if (s->what->kind == CRN_CLI_BENCH_GAUSSIAN) {
            fill_normal(&rng, 1, out, dim);
        } else {
            clustered_row(s, &rng, latent, latent + s->what->lid, out);
        }
    }
    crn_mem_free(latent);
    uint64_t done = atomic_fetch_add_explicit(&s->done, end - begin, memory_order_relaxed) + end - begin;
    if (worker == 0) crn_cli_progress_show(s->progress, "generate", done, done, s->what->rows);
}

static cairn_status make_surface(struct surface *s, cairn_error *err)
{
    const uint32_t lid = s->what->lid;
    struct crn_rng rng;

    s->hidden = lid * HIDDEN_PER_LATENT;
    s->centers = crn_mem_array((size_t)CLUSTERS * lid, sizeof *s->centers);
    s->spreads = crn_mem_array(CLUSTERS, sizeof *s->spreads);
    s->bend = crn_mem_array((size_t)lid * s->hidden, sizeof *s->bend);
    s->map = crn_mem_array((size_t)s->hidden * s->what->dim, sizeof *s->map);
    if (s->centers == NULL || s->spreads == NULL || s->bend == NULL || s->map == NULL) {
        return crn_error_no_memory(err, (size_t)s->hidden * s->what->dim * sizeof *s->map);
    }
    crn_rng_init(&rng, s->what->seed);
    fill_normal(&rng, 1, s->centers, (size_t)CLUSTERS * lid);
    for (size_t i = 0; i < CLUSTERS; i++) {
        s->spreads[i] = (float)(SPREAD_MIN + (SPREAD_MAX - SPREAD_MIN) * crn_rng_unit(&rng));
    }
    fill_normal(&rng, GAIN / sqrt(lid), s->bend, (size_t)lid * s->hidden);
    fill_normal(&rng, 1 / sqrt(s->hidden), s->map, (size_t)s->hidden * s->what->dim);
    return CAIRN_OK;
}

cairn_status crn_cli_bench_generate(const struct crn_cli_bench_generate *what,
                                    struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                    cairn_error *err)
{
    struct surface s = {.what = what, .progress = progress};
    size_t count;

    *out = (struct crn_cli_matrix){.rows = what->rows, .columns = what->dim};
    if (crn_mem_mul((size_t)what->rows, what->dim, &count))
        out->floats = crn_mem_array(count, sizeof *out->floats);
    s.out = out->floats;
    cairn_status status = s.out != NULL
                              ? make_surface(&s, err)
                              : crn_error_no_memory(err, (size_t)what->rows * what->dim * sizeof *s.out);
    if (status == CAIRN_OK) {
        crn_parallel_for(crn_cpu_count(), (size_t)what->rows, BLOCK, fill_rows, &s);
        if (atomic_load(&s.no_memory)) status = crn_error_no_memory(err, what->lid * sizeof(float));
        if (crn_cli_interrupted()) status = crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    crn_mem_free(s.centers);
    crn_mem_free(s.spreads);
    crn_mem_free(s.bend);
    crn_mem_free(s.map);
    if (status != CAIRN_OK) crn_cli_matrix_release(out);
    return status;
}
