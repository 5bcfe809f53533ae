/* Every form of graph rows this processor can run, against the formulas (graph_row_checks.c). */
#include "tests/quant/graph_row_checks.h"

#include "base/cpu.h"
#include "tests/quant/support.h"

#include <math.h>

static void passes(const struct graph_row_form *form)
{
    assert_int_equal(check_graph_rows(form, test_seed(), false), 0);
}

static void the_plain_form_keeps_to_the_formulas(void **state)
{
    (void)state;
    passes(&graph_row_form_plain);
}

static void every_form_keeps_to_the_formulas(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (crn_cpu_level() == CRN_CPU_AVX2 || crn_cpu_level() == CRN_CPU_AVX512) passes(&graph_row_form_avx2);
    if (crn_cpu_level() == CRN_CPU_AVX512) passes(&graph_row_form_avx512);
#elif defined(__aarch64__)
    if (crn_cpu_level() == CRN_CPU_NEON) passes(&graph_row_form_neon);
#endif
    print_message("up to %s\n", crn_cpu_level_name(crn_cpu_level()));
}

static void the_table_is_the_level_of_the_processor(void **state)
{
    const char *name = crn_cpu_level_name(crn_cpu_level());

    (void)state;
    assert_string_equal(crn_graph_kernels_get()->name, crn_cpu_level() == CRN_CPU_SCALAR ? "plain" : name);
}

static void the_layout_has_room_for_every_part(void **state)
{
    (void)state;
    for (uint32_t dims = 64; dims <= CRN_GRAPH_DIMS_MAX; dims += 64) {
        const struct crn_graph_layout layout = crn_graph_layout_of(dims);
        assert_true(layout.signs >= dims && layout.a >= layout.signs + dims / 4 * 16);
        assert_true(layout.b >= layout.a + 64 && layout.ids >= layout.b + 64 &&
                    layout.head >= layout.ids + 96);
        assert_true(layout.row_bytes >= layout.head + sizeof(struct crn_graph_head) &&
                    layout.row_bytes % 64 == 0);
        assert_int_equal(layout.head % sizeof(uint32_t), 0);
    }
}

/* ---- the checks themselves: faults like those a form may have are found ---- */

static unsigned drop_the_last(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                              const uint8_t *row, float distance, float limit, float *distances,
                              uint32_t *ids)
{
    const unsigned count =
        graph_row_form_plain.neighbours(layout, query, row, distance, limit, distances, ids);
    return count == CRN_GRAPH_DEGREE ? count - 1 : count;
}

static unsigned swap_the_first(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                               const uint8_t *row, float distance, float limit, float *distances,
                               uint32_t *ids)
{
    const unsigned count =
        graph_row_form_plain.neighbours(layout, query, row, distance, limit, distances, ids);

    if (count < 2) return count;
    const uint32_t id = ids[0];
    const float near = distances[0];
    ids[0] = ids[1];
    distances[0] = distances[1];
    ids[1] = id;
    distances[1] = near;
    return count;
}

static float leave_out_a_dimension(const struct crn_graph_layout *layout, const struct crn_graph_query *query,
                                   const uint8_t *row)
{
    const uint32_t last = layout->dims - 1;
    const float product = ((float)row[last] - 128) * query->hi_scale * query->hi[last];
    float scale;

    memcpy(&scale, row + layout->head, sizeof scale);
    return graph_row_form_plain.distance(layout, query, row) + 2 * scale * product;
}

/* Estimates that are 2 % too small. */
static void weaken_the_factor(const struct crn_graph_layout *layout, uint8_t *c, uint32_t slot,
                              const uint8_t *x, uint32_t x_id)
{
    _Float16 b;

    crn_graph_kernels_plain.row_set(layout, c, slot, x, x_id);
    memcpy(&b, c + layout->b + 2 * slot, sizeof b);
    b = (_Float16)((float)b * 0.98f);
    memcpy(c + layout->b + 2 * slot, &b, sizeof b);
}

static uint32_t rank_below(const uint64_t *keys, uint32_t count, uint64_t key)
{
    return key == 0 ? 0 : graph_row_form_plain.pool_rank(keys, count, key - 1);
}

static uint32_t forget_to_count(uint64_t *keys, uint32_t *count, uint32_t most, uint64_t key)
{
    const uint32_t before = *count, at = graph_row_form_plain.pool_insert(keys, count, most, key);

    *count = before;
    return at;
}

static uint32_t merge_all_but_one(struct crn_pool *pool, const float *distances, const uint32_t *ids,
                                  uint32_t n)
{
    return graph_row_form_plain.pool_merge(pool, distances, ids, n - (n > 3));
}

static unsigned take_all_for_unseen(const uint64_t *seen, uint32_t nodes, float *distances, uint32_t *ids,
                                    unsigned count)
{
    (void)seen, (void)nodes, (void)distances, (void)ids;
    return count;
}

static void the_checks_find_faults(void **state)
{
    struct graph_row_form broken;
    struct crn_graph_kernels kernels = crn_graph_kernels_plain;

    (void)state;
    kernels.row_set = weaken_the_factor;
    const struct graph_row_form faults[] = {
        {.neighbours = drop_the_last},       {.neighbours = swap_the_first},
        {.distance = leave_out_a_dimension}, {.kernels = &kernels},
        {.pool_rank = rank_below},           {.pool_insert = forget_to_count},
        {.pool_merge = merge_all_but_one},   {.unseen = take_all_for_unseen},
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        broken = graph_row_form_plain;
        if (faults[i].kernels != NULL) broken.kernels = faults[i].kernels;
        if (faults[i].distance != NULL) broken.distance = faults[i].distance;
        if (faults[i].neighbours != NULL) broken.neighbours = faults[i].neighbours;
        if (faults[i].pool_rank != NULL) broken.pool_rank = faults[i].pool_rank;
        if (faults[i].pool_insert != NULL) broken.pool_insert = faults[i].pool_insert;
        if (faults[i].pool_merge != NULL) broken.pool_merge = faults[i].pool_merge;
        if (faults[i].unseen != NULL) broken.unseen = faults[i].unseen;
        assert_int_not_equal(check_graph_rows(&broken, 1, true), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_has_room_for_every_part),
        cmocka_unit_test(the_plain_form_keeps_to_the_formulas),
        cmocka_unit_test(every_form_keeps_to_the_formulas),
        cmocka_unit_test(the_table_is_the_level_of_the_processor),
        cmocka_unit_test(the_checks_find_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
