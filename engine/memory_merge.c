/*
 * Near-duplicates: of the rows with the same domain, agent and type each is compared with every one that
 * stands after it, so nothing is missed, and a row is merged only into one that it is near itself: there are
 * no chains.
 *
 * That is quadratic, so most pairs are told apart early. Two unit vectors with cosine c differ by 2 - 2c in
 * squared distance, and by no more in their first few dims; only what is as near as that there is compared in
 * full.
 */
#include "engine/memory_plan.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/unit.h"

#include <string.h>

#define PREFIX_DIM 32u
#define ROUNDING 1e-4 /* above the errors of float kernels */
#define EQUALITY 1e-9 /* cosines that differ less are equal */

struct group {
    struct crn_plan *plan;
    size_t first, count; /* rows of the plan */
    uint32_t dim, prefix_dim;
    float *vectors;   /* [count][dim], of length 1; zeros where there is none */
    float *prefixes;  /* [count][prefix_dim] */
    float *distances; /* [count] */
    uint32_t *near;   /* [count] positions in the group */
};

static cairn_status add_merge(struct crn_plan *plan, size_t survivor, size_t merged, cairn_error *err)
{
    if (plan->merge_count == plan->merge_capacity) {
        const size_t capacity = plan->merge_capacity > 0 ? plan->merge_capacity * 2 : 64;
        void *grown = crn_mem_realloc_array(plan->merges, capacity, sizeof *plan->merges);
        if (grown == NULL) return crn_error_no_memory(err, capacity * sizeof *plan->merges);
        plan->merges = grown;
        plan->merge_capacity = capacity;
    }
    plan->merges[plan->merge_count++] = (struct crn_plan_merge){.survivor = survivor, .merged = merged};
    plan->rows[merged].merged = true;
    return CAIRN_OK;
}

static double cosine(const float *a, const float *b, uint32_t dim)
{
    double dot = 0, a2 = 0, b2 = 0;

    for (uint32_t i = 0; i < dim; i++) {
        dot += (double)a[i] * (double)b[i];
        a2 += (double)a[i] * (double)a[i];
        b2 += (double)b[i] * (double)b[i];
    }
    return a2 > 0 && b2 > 0 ? dot / sqrt(a2 * b2) : 0;
}

/* Rows of the group after `from` that are not merged yet and near it in their first dims. */
static size_t find_near(const struct group *group, size_t from, double similarity)
{
    const size_t after = group->count - from - 1;
    const float *prefix = group->prefixes + from * group->prefix_dim;
    const double limit = 2 - 2 * similarity + ROUNDING;
    size_t found = 0;

    crn_kernels_get()->f32_block[CRN_OP_L2](prefix, prefix + group->prefix_dim, group->prefix_dim, after,
                                            group->distances);
    for (size_t i = 0; i < after; i++) {
        if ((double)group->distances[i] > limit || group->plan->rows[group->first + from + 1 + i].merged)
            continue;
        group->near[found++] = (uint32_t)(from + 1 + i);
    }
    return found;
}

static cairn_status merge_into(struct group *group, size_t survivor, double similarity, cairn_error *err)
{
    const float *vector = group->vectors + survivor * group->dim;
    const size_t found = find_near(group, survivor, similarity);

    crn_kernels_get()->f32_gather[CRN_OP_DOT](vector, group->vectors, group->dim, group->near, found,
                                              group->distances);
    for (size_t i = 0; i < found; i++) {
        const size_t other = group->near[i];
        if (-(double)group->distances[i] < similarity - ROUNDING) continue;
        if (cosine(vector, group->vectors + other * group->dim, group->dim) < similarity - EQUALITY) continue;
        CRN_TRY(add_merge(group->plan, group->first + survivor, group->first + other, err));
    }
    return CAIRN_OK;
}

static cairn_status load_vectors(struct group *group, struct crn_reader *reader, uint32_t space,
                                 cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct crn_buf memory;

    crn_buf_init(&memory, SIZE_MAX / 2);
    for (size_t i = 0; status == CAIRN_OK && i < group->count; i++) {
        float *vector = group->vectors + i * group->dim;
        size_t offset, size;

        crn_buf_clear(&memory);
        status = crn_read_vector(reader, space, group->plan->rows[group->first + i].local, &memory, &offset,
                                 &size, err);
        if (status != CAIRN_OK || size != group->dim * sizeof *vector)
            continue; /* a row without a vector is near nothing */
        memcpy(vector, memory.data + offset, size);
        crn_unit_vector(vector, group->dim, vector);
        memcpy(group->prefixes + i * group->prefix_dim, vector, group->prefix_dim * sizeof *vector);
    }
    crn_buf_release(&memory);
    return status;
}

static cairn_status merge_group(struct group *group, struct crn_reader *reader, uint32_t space,
                                double similarity, cairn_error *err)
{
    size_t values;
    cairn_status status;

    if (!crn_mem_mul(group->count, group->dim, &values)) return crn_error_no_memory(err, SIZE_MAX);
    group->vectors = crn_mem_calloc(values, sizeof *group->vectors);
    group->prefixes = crn_mem_calloc(group->count * group->prefix_dim, sizeof *group->prefixes);
    group->distances = crn_mem_array(group->count, sizeof *group->distances);
    group->near = crn_mem_array(group->count, sizeof *group->near);
    if (group->vectors == NULL || group->prefixes == NULL || group->distances == NULL ||
        group->near == NULL) {
        status = crn_error_no_memory(err, values * sizeof *group->vectors);
        goto done;
    }
    status = load_vectors(group, reader, space, err);
    for (size_t i = 0; status == CAIRN_OK && i + 1 < group->count; i++) {
        if (!group->plan->rows[group->first + i].merged) status = merge_into(group, i, similarity, err);
    }

done:
    crn_mem_free(group->vectors);
    crn_mem_free(group->prefixes);
    crn_mem_free(group->distances);
    crn_mem_free(group->near);
    return status;
}

cairn_status crn_plan_find_merges(struct crn_plan *plan, struct crn_reader *reader,
                                  const struct crn_space *space, double similarity, cairn_error *err)
{
    size_t end;

    if (space->kind != CAIRN_SPACE_DENSE || similarity > 1) return CAIRN_OK;
    for (size_t first = 0; first < plan->count; first = end) {
        for (end = first + 1; end < plan->count && plan->rows[end].group == plan->rows[first].group;) end++;
        struct group group = {
            .plan = plan,
            .first = first,
            .count = end - first,
            .dim = space->dim,
            .prefix_dim = space->dim < PREFIX_DIM ? space->dim : PREFIX_DIM,
        };
        if (group.count > 1) CRN_TRY(merge_group(&group, reader, space->id, similarity, err));
    }
    return CAIRN_OK;
}
