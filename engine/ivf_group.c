/*
 * Groups of centroids that are near each other (ivf.h): where there are many centroids, a row is compared
 * with those of the nearest groups instead of all. The centroids are clustered as rows are, by k-means,
 * exactly, and sorted by group, so that a group is a range of them.
 *
 * Near are the nearest group and those whose squared distance is larger by at most `reach`: what makes
 * LOOKED_INTO groups for a centroid on average. A row is its centroid and something in no particular
 * direction, which adds the same to its squared distances from all groups; so that reach is right for rows
 * too.
 */
#include "engine/ivf.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTS_LEAST 4096u  /* fewer centroids are all looked at */
#define GROUPS_OF_ROOT 2.0 /* for each list of the square root */
#define LOOKED_INTO 32u
#define MEASURED 1024u /* centroids by which the reach is measured */
#define ITERATIONS 3
#define GRAIN 256u /* centroids that a thread takes at a time */

cairn_status crn_ivf_groups_init(struct crn_ivf_groups *groups, uint32_t lists, uint32_t dim,
                                 unsigned threads, cairn_error *err)
{
    const uint32_t count = (uint32_t)(GROUPS_OF_ROOT * sqrt((double)lists));

    *groups = (struct crn_ivf_groups){.lists = lists, .dim = dim, .threads = threads};
    if (lists < LISTS_LEAST) return CAIRN_OK;
    groups->centres = crn_mem_array(count, dim * sizeof *groups->centres);
    groups->starts = crn_mem_array((size_t)count + 1, sizeof *groups->starts);
    groups->group = crn_mem_array(lists, sizeof *groups->group);
    groups->sorted = crn_mem_array(lists, dim * sizeof *groups->sorted);
    if (groups->centres == NULL || groups->starts == NULL || groups->group == NULL || groups->sorted == NULL)
        return crn_error_no_memory(err, lists * dim * sizeof *groups->sorted);
    groups->count = count;
    return CAIRN_OK;
}

void crn_ivf_groups_release(struct crn_ivf_groups *groups)
{
    crn_mem_free(groups->centres);
    crn_mem_free(groups->starts);
    crn_mem_free(groups->group);
    crn_mem_free(groups->sorted);
    *groups = (struct crn_ivf_groups){0};
}

/* ---- making ---- */

/* distances[g] = of a row from group g. Gives the nearest; 0 where all overflow. */
static uint32_t compare(const struct crn_ivf_groups *groups, const float *row, float *distances)
{
    uint32_t nearest = 0;

    crn_kernels_get()->f32_block[CRN_OP_L2](row, groups->centres, groups->dim, groups->count, distances);
    for (uint32_t g = 1; g < groups->count; g++) {
        if (distances[g] < distances[nearest]) nearest = g;
    }
    return nearest;
}

static void choose_groups(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct crn_ivf_groups *groups = ctx;
    float distances[CRN_IVF_GROUPS_MAX];

    (void)worker;
    for (size_t l = begin; l < end; l++)
        groups->group[l] = compare(groups, groups->centroids + l * groups->dim, distances);
}

/* Counts the groups' centroids; starts[g + 1] is where those of group g end. */
static void count_members(struct crn_ivf_groups *groups)
{
    memset(groups->starts, 0, ((size_t)groups->count + 1) * sizeof *groups->starts);
    for (uint32_t l = 0; l < groups->lists; l++) groups->starts[groups->group[l] + 1]++;
    for (uint32_t g = 0; g < groups->count; g++) groups->starts[g + 1] += groups->starts[g];
}

/* Sorts the centroids by group, into `sorted`. */
static void sort_centroids(struct crn_ivf_groups *groups)
{
    const size_t dim = groups->dim;

    for (uint32_t l = 0; l < groups->lists; l++) {
        memcpy(groups->sorted + groups->starts[groups->group[l]]++ * dim, groups->centroids + l * dim,
               dim * sizeof *groups->sorted);
    }
    memmove(groups->starts + 1, groups->starts, groups->count * sizeof *groups->starts);
    groups->starts[0] = 0;
}

/* Each centre becomes the mean of its group; that of an empty one stays. */
static void move_centres(struct crn_ivf_groups *groups)
{
    const size_t dim = groups->dim;

    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t begin = groups->starts[g], end = groups->starts[g + 1];

        for (size_t d = 0; begin < end && d < dim; d++) {
            double sum = 0;
            for (uint32_t l = begin; l < end; l++) sum += groups->sorted[l * dim + d];
            groups->centres[g * dim + d] = (float)(sum / (end - begin));
        }
    }
}

static void measure_reach(struct crn_ivf_groups *groups)
{
    const size_t step = groups->lists / MEASURED + 1;
    float distances[CRN_IVF_GROUPS_MAX];
    struct crn_hit hits[LOOKED_INTO];
    struct crn_topk top;
    double sum = 0, count = 0;

    for (size_t l = 0; l < groups->lists; l += step) {
        const uint32_t nearest = compare(groups, groups->centroids + l * groups->dim, distances);

        crn_topk_init(&top, hits, LOOKED_INTO);
        for (uint32_t g = 0; g < groups->count; g++) crn_topk_push(&top, distances[g], g);
        sum += crn_topk_limit(&top) - distances[nearest];
        count++;
    }
    groups->reach = (float)(sum / count);
}

void crn_ivf_groups_make(struct crn_ivf_groups *groups, float *centroids)
{
    const size_t dim = groups->dim;

    if (groups->count == 0) return;
    groups->centroids = centroids;
    /* Those of the last time are sorted: so one of each stretch is a good beginning. */
    for (size_t g = 0; g < groups->count; g++) {
        memcpy(groups->centres + g * dim, centroids + g * groups->lists / groups->count * dim,
               dim * sizeof *centroids);
    }
    for (unsigned i = 0; i <= ITERATIONS; i++) {
        crn_parallel_for(groups->threads, groups->lists, GRAIN, choose_groups, groups);
        count_members(groups);
        sort_centroids(groups);
        if (i < ITERATIONS) move_centres(groups);
    }
    memcpy(centroids, groups->sorted, groups->lists * dim * sizeof *centroids);
    measure_reach(groups);
}

/* ---- finding ---- */

size_t crn_ivf_groups_find(const struct crn_ivf_groups *groups, const float *row,
                           struct crn_ivf_range ranges[CRN_IVF_GROUPS_MAX + 1])
{
    float distances[CRN_IVF_GROUPS_MAX];
    const uint32_t nearest = compare(groups, row, distances);
    const float limit = distances[nearest] + groups->reach;
    size_t count = 1;

    ranges[0] = (struct crn_ivf_range){groups->starts[nearest], groups->starts[nearest + 1]};
    for (uint32_t g = 0; g < groups->count; g++) {
        ranges[count] = (struct crn_ivf_range){groups->starts[g], groups->starts[g + 1]};
        count += distances[g] <= limit && g != nearest;
    }
    return count;
}
