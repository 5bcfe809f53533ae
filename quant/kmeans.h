/*
 * k-means by Lloyd's iteration (Lloyd, "Least squares quantization in PCM", 1982), on strided points, with
 * BLAS for the distances. Seeded: the same points give the same centers on one machine with one BLAS.
 */
#ifndef CRN_QUANT_KMEANS_H
#define CRN_QUANT_KMEANS_H

#include <cairn/status.h>

#include <stddef.h>
#include <stdint.h>

struct crn_kmeans_points {
    const float *values; /* point i begins at values + i * stride; finite */
    size_t count;        /* at least 1 */
    size_t stride;
    size_t width;
};

/* Centers [width][k], column by column. A center that no point is nearest to takes a point's place anew.
 * Fewer points than centers give equal centers. NO_MEMORY. */
cairn_status crn_kmeans(const struct crn_kmeans_points *points, size_t k, unsigned iterations, uint64_t seed,
                        float *centers, cairn_error *err);

#endif
