#include "server/pca.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define WIDTH 4u /* directions iterated: two more than wanted, so that these settle soon */
#define ITERATIONS_MAX 60u
#define SWEEPS 12u /* of Jacobi's rotations: quadratic convergence needs fewer */
#define SETTLED 1e-7 /* change of the variance shown, relative */

/* Takes the mean off; the sum of squares that is left. */
static double center(float *rows, size_t count, uint32_t dim, double *mean)
{
    double squares = 0;

    memset(mean, 0, dim * sizeof *mean);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < dim; j++) mean[j] += rows[i * dim + j];
    }
    for (uint32_t j = 0; j < dim; j++) mean[j] /= (double)count;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < dim; j++) {
            const float value = (float)(rows[i * dim + j] - mean[j]);
            rows[i * dim + j] = value;
            squares += (double)value * value;
        }
    }
    return squares;
}

/* A row's coordinates along the directions, which are [dim][WIDTH]. */
static void project(const float *row, uint32_t dim, const double *directions, double out[WIDTH])
{
    double sums[WIDTH] = {0};

    for (uint32_t j = 0; j < dim; j++) {
        for (unsigned w = 0; w < WIDTH; w++) sums[w] += row[j] * directions[(size_t)j * WIDTH + w];
    }
    memcpy(out, sums, sizeof sums);
}

/* next = X'X directions; variances[w] = |X directions[w]|^2. */
static void multiply(const float *rows, size_t count, uint32_t dim, const double *directions, double *next,
                     double variances[WIDTH])
{
    double along[WIDTH];

    memset(next, 0, (size_t)dim * WIDTH * sizeof *next);
    memset(variances, 0, WIDTH * sizeof *variances);
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * dim;
        project(row, dim, directions, along);
        for (unsigned w = 0; w < WIDTH; w++) variances[w] += along[w] * along[w];
        for (uint32_t j = 0; j < dim; j++) {
            for (unsigned w = 0; w < WIDTH; w++) next[(size_t)j * WIDTH + w] += row[j] * along[w];
        }
    }
}

/* Gram-Schmidt, twice for exactness. A direction in which nothing is left becomes zero. */
static void orthonormalize(double *directions, uint32_t dim)
{
    for (unsigned w = 0; w < WIDTH; w++) {
        double first = 0, norm2 = 0;
        for (uint32_t j = 0; j < dim; j++)
            first += directions[(size_t)j * WIDTH + w] * directions[(size_t)j * WIDTH + w];
        for (unsigned pass = 0; pass < 2; pass++) {
            for (unsigned v = 0; v < w; v++) {
                double dot = 0;
                for (uint32_t j = 0; j < dim; j++)
                    dot += directions[(size_t)j * WIDTH + v] * directions[(size_t)j * WIDTH + w];
                for (uint32_t j = 0; j < dim; j++)
                    directions[(size_t)j * WIDTH + w] -= dot * directions[(size_t)j * WIDTH + v];
            }
        }
        for (uint32_t j = 0; j < dim; j++)
            norm2 += directions[(size_t)j * WIDTH + w] * directions[(size_t)j * WIDTH + w];
        const double scale = norm2 > first * 1e-20 && norm2 > 0 ? 1 / sqrt(norm2) : 0;
        for (uint32_t j = 0; j < dim; j++) directions[(size_t)j * WIDTH + w] *= scale;
    }
}

/* One of Jacobi's rotations: makes a[p][q] zero, and turns the directions with it. */
static void rotate(double a[WIDTH][WIDTH], unsigned p, unsigned q, double *directions, uint32_t dim)
{
    const double angle = 0.5 * atan2(2 * a[p][q], a[p][p] - a[q][q]), c = cos(angle), s = sin(angle);

    for (unsigned k = 0; k < WIDTH; k++) {
        const double x = a[p][k], y = a[q][k];
        a[p][k] = c * x + s * y;
        a[q][k] = c * y - s * x;
    }
    for (unsigned k = 0; k < WIDTH; k++) {
        const double x = a[k][p], y = a[k][q];
        a[k][p] = c * x + s * y;
        a[k][q] = c * y - s * x;
    }
    for (uint32_t j = 0; j < dim; j++) {
        double *row = directions + (size_t)j * WIDTH;
        const double x = row[p], y = row[q];
        row[p] = c * x + s * y;
        row[q] = c * y - s * x;
    }
}

/* The space settles before the directions in it do: turns them to where in it the variance is largest, next largest and so on
 * (Rayleigh and Ritz). An angle by atan2 leaves the larger of two variances first, so the rotations sort them, too. */
static void turn(const float *rows, size_t count, uint32_t dim, double *directions)
{
    double along[WIDTH], a[WIDTH][WIDTH] = {{0}};

    for (size_t i = 0; i < count; i++) {
        project(rows + i * dim, dim, directions, along);
        for (unsigned p = 0; p < WIDTH; p++) {
            for (unsigned q = 0; q < WIDTH; q++) a[p][q] += along[p] * along[q];
        }
    }
    for (unsigned sweep = 0; sweep < SWEEPS; sweep++) {
        for (unsigned p = 0; p < WIDTH; p++) {
            for (unsigned q = p + 1; q < WIDTH; q++) rotate(a, p, q, directions, dim);
        }
    }
}

/* The larger of a direction's components is positive, so that a picture is not mirrored by chance. */
static void fix_signs(double *directions, uint32_t dim)
{
    for (unsigned w = 0; w < 2; w++) {
        double largest = 0;
        for (uint32_t j = 0; j < dim; j++) {
            const double value = directions[(size_t)j * WIDTH + w];
            if (fabs(value) > fabs(largest)) largest = value;
        }
        for (uint32_t j = 0; largest < 0 && j < dim; j++) directions[(size_t)j * WIDTH + w] *= -1;
    }
}

static bool iterate(const float *rows, size_t count, uint32_t dim, bool (*wanted)(void *ctx), void *ctx,
                    double *directions, double *next)
{
    const size_t bytes = (size_t)dim * WIDTH * sizeof *directions;
    struct crn_rng rng;
    double variances[WIDTH], before = 0;

    crn_rng_init(&rng, 2);
    for (size_t i = 0; i < (size_t)dim * WIDTH; i++) directions[i] = crn_rng_normal(&rng);
    orthonormalize(directions, dim);
    for (unsigned i = 0; i < ITERATIONS_MAX; i++) {
        if (wanted != NULL && !wanted(ctx)) return false;
        multiply(rows, count, dim, directions, next, variances);
        const double shown = variances[0] + variances[1];
        if (i > 2 && fabs(shown - before) <= SETTLED * shown)
            break; /* the variances are those of `directions` */
        before = shown;
        memcpy(directions, next, bytes);
        orthonormalize(directions, dim);
    }
    turn(rows, count, dim, directions);
    fix_signs(directions, dim);
    return true;
}

bool crn_pca_plane(float *rows, size_t count, uint32_t dim, bool (*wanted)(void *ctx), void *ctx,
                   float *out_plane, double out_shares[2], bool *out_no_memory)
{
    double *mean = crn_mem_calloc(dim, sizeof *mean);
    double *directions = crn_mem_calloc((size_t)dim * WIDTH, sizeof *directions);
    double *next = crn_mem_calloc((size_t)dim * WIDTH, sizeof *next);
    double shown[2] = {0}, along[WIDTH], squares = 0;
    bool done = false;

    *out_no_memory = mean == NULL || directions == NULL || next == NULL;
    out_shares[0] = out_shares[1] = 0;
    if (!*out_no_memory && count > 0) {
        squares = center(rows, count, dim, mean);
        done = iterate(rows, count, dim, wanted, ctx, directions, next);
    } else {
        done = !*out_no_memory;
    }
    for (size_t i = 0; done && i < count; i++) {
        project(rows + i * dim, dim, directions, along);
        out_plane[2 * i] = (float)along[0];
        out_plane[2 * i + 1] = (float)along[1];
        shown[0] += along[0] * along[0];
        shown[1] += along[1] * along[1];
    }
    for (unsigned w = 0; done && w < 2 && squares > 0; w++) out_shares[w] = fmin(1, shown[w] / squares);
    crn_mem_free(mean);
    crn_mem_free(directions);
    crn_mem_free(next);
    return done;
}
