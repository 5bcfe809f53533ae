/* What the graph's validator tells, and that searches over damaged rows stay within memory. */
#include "engine/graph_check.h"

#include "tests/engine/graph_world.h"
#include "tests/engine/support.h"

static void ok(cairn_status status, const cairn_error *err)
{
    if (status != CAIRN_OK) fail_msg("%s", err->message);
}

/* ---- the validator ---- */

/* What is put where in a sound graph of 300 nodes, and what the message must say. */
struct damage {
    const char *says;
    uint32_t node; /* or an entry block, when `entry` */
    bool entry;
    enum { AT_CODE, AT_A, AT_B, AT_ID, AT_HEAD } part;
    uint32_t offset; /* in the part */
    uint32_t size;
    uint32_t value;
};

#define HEAD(field) AT_HEAD, offsetof(struct crn_graph_head, field)

static const struct damage damages[] = {
    {"node 7 of the graph names node 300 of 300 in slot 3", 7, false, AT_ID, 9, 3, 300},
    {"node 7 of the graph names node 16777214 of 300 in slot 0", 7, false, AT_ID, 0, 3, 0xfffffe},
    {"node 299 of the graph names itself in slot 1", 299, false, AT_ID, 3, 3, 299},
    {"in the empty slot 1", 12, false, AT_ID, 3, 3, CRN_GRAPH_NO_NODE},
    {"node 0 of the graph has the scale nan", 0, false, HEAD(scale), 4, 0x7fc00000},
    {"node 0 of the graph has the scale 0", 0, false, HEAD(scale), 4, 0},
    {"node 5 of the graph has the scale -1", 5, false, HEAD(scale), 4, 0xbf800000},
    {"node 5 of the graph has the weight inf", 5, false, HEAD(weight), 4, 0x7f800000},
    {"node 5 of the graph has the factor scale 3", 5, false, HEAD(factor_scale), 4, 0x40400000},
    {"node 5 of the graph has the factor scale inf", 5, false, HEAD(factor_scale), 4, 0x7f800000},
    {"node 5 of the graph is locked: 0x80000001", 5, false, HEAD(lock), 4, 0x80000001},
    {"node 9 of the graph has the factors nan", 9, false, AT_A, 4, 2, 0x7e00},
    {"and -inf in slot 2", 9, false, AT_B, 4, 2, 0xfc00},
    {"node 9 of the graph has the code 0 in dimension 63", 9, false, AT_CODE, 63, 1, 0},
    {"entry block 0 of the graph names node 300 of 300 in slot 31", 0, true, AT_ID, 93, 3, 300},
    {"entry block 1 of the graph has the weight -inf", 1, true, HEAD(weight), 4, 0xff800000},
};

static uint8_t *place_of(const struct crn_graph *graph, const struct damage *damage)
{
    const uint32_t parts[] = {0, graph->layout.a, graph->layout.b, graph->layout.ids, graph->layout.head};
    uint8_t *rows = damage->entry ? graph->entries : graph->rows;

    return rows + (size_t)damage->node * graph->layout.row_bytes + parts[damage->part] + damage->offset;
}

static void expect_corrupt(const struct crn_graph *graph, const char *says)
{
    cairn_error err = {0};

    assert_int_equal(crn_graph_check(graph, &err), CAIRN_CORRUPT);
    if (strstr(err.message, says) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.message, says);
    assert_int_equal(crn_graph_check(graph, NULL), CAIRN_CORRUPT);
}

static void make_small(struct world *world)
{
    struct crn_rng rng = test_rng();

    world_init(world, (struct world_shape){300, 50, CRN_OP_L2, ANY_LENGTH, 48}, 4, &rng);
    world_grow(world, 1);
}

static void the_validator_names_what_is_wrong(void **state)
{
    struct world world;
    cairn_error err;

    (void)state;
    make_small(&world);
    const struct crn_graph *graph = &world.growing.graph;
    ok(crn_graph_check(graph, &err), &err);
    assert_true(graph->entry_blocks >= 2);
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        uint8_t before[4], *at = place_of(graph, &damages[i]);
        memcpy(before, at, damages[i].size);
        memcpy(at, &damages[i].value, damages[i].size);
        expect_corrupt(graph, damages[i].says);
        memcpy(at, before, damages[i].size);
    }
    uint8_t *row = crn_graph_row(graph, 20), before[3];
    memcpy(before, row + graph->layout.ids + 6, 3);
    memcpy(row + graph->layout.ids + 6, row + graph->layout.ids, 3);
    expect_corrupt(graph, "twice, in slots 0 and 2");
    memcpy(row + graph->layout.ids + 6, before, 3);
    ok(crn_graph_check(graph, &err), &err);
    crn_graph_slot_clear(&graph->layout, row, 1);
    expect_corrupt(graph, "in slot 2, behind an empty one");
    world_release(&world);
}

static void the_validator_looks_at_the_graph_s_shape(void **state)
{
    struct world world;
    struct crn_graph graph;
    uint8_t *row;

    (void)state;
    make_small(&world);
    graph = world.growing.graph;
    graph.entry_blocks = 0;
    expect_corrupt(&graph, "300 nodes has 0 blocks of entries");
    graph.entry_blocks = CRN_GRAPH_ENTRY_BLOCKS + 1;
    expect_corrupt(&graph, "has 17 blocks of entries");
    graph = world.growing.graph;
    graph.layout.dims = 96;
    expect_corrupt(&graph, "have 96 dimensions");
    graph = world.growing.graph;
    graph.layout.row_bytes -= 64;
    expect_corrupt(&graph, "not laid out");
    graph = world.growing.graph;
    graph.count = CRN_GRAPH_NODES_MAX + 1;
    expect_corrupt(&graph, "16777216 nodes");
    graph = world.growing.graph;
    row = crn_graph_row(&graph, 11);
    for (uint32_t v = CRN_GRAPH_DEGREE; v-- > 0;) crn_graph_slot_clear(&graph.layout, row, v);
    assert_int_equal(crn_graph_check(&graph, NULL), CAIRN_OK); /* a row may be empty */
    memset(row + graph.layout.a + 10, 0, 2);
    expect_corrupt(&graph, "factor 0 in the empty slot 5");
    world_release(&world);
}

/* ---- damaged rows ---- */

#define FLIPS_MOST 6u

static void walk_all(const struct world *world, struct crn_graph_scratch *scratch)
{
    for (uint32_t q = 0; q < world->query_count; q++) {
        world_ask(world, scratch, world->queries + (size_t)q * world->shape.dim);
        for (size_t w = 0; w < COUNT_OF(world_walks); w++) {
            if (world_walks[w].level > crn_cpu_level()) continue;
            world_walks[w].walk(&world->growing.graph, scratch,
                                &(struct crn_graph_ask){.effort = 30, .keep = 30});
            for (uint32_t i = 0; i < scratch->near_count; i++) {
                assert_true((scratch->near[i] & CRN_GRAPH_KEY_NODE) < world->shape.count);
            }
        }
    }
}

/* Bytes of rows and entries become others; the sanitizers watch the searches. Even what the validator rejects
 * is walked. */
static void searches_over_damaged_rows_stay_within_memory(void **state)
{
    struct crn_graph_scratch scratch = {0};
    unsigned sound = 0, corrupt = 0;
    struct crn_rng rng;
    struct world world;
    cairn_error err;

    (void)state;
    make_small(&world);
    struct crn_graph *graph = &world.growing.graph;
    const struct crn_graph_layout *layout = &graph->layout;
    graph->live = false; /* locks are among what is damaged */
    crn_rng_init(&rng, 7 + graph->rows[0]);
    ok(crn_graph_scratch_reserve(&scratch, world.frame.dims, graph->count, 30, 30, &err), &err);
    for (unsigned round = 0; round < 300; round++) {
        uint8_t *at[FLIPS_MOST], before[FLIPS_MOST];
        const uint32_t flips = 1 + (uint32_t)crn_rng_below(&rng, FLIPS_MOST);
        for (uint32_t f = 0; f < flips; f++) {
            uint8_t *row = crn_rng_below(&rng, 4) == 0
                               ? graph->entries + crn_rng_below(&rng, graph->entry_blocks) * layout->row_bytes
                               : crn_graph_row(graph, (uint32_t)crn_rng_below(&rng, graph->count));
            const uint32_t from = crn_rng_below(&rng, 2) == 0
                                      ? layout->a
                                      : 0; /* signs are most of a row, and less of interest */
            at[f] = row + from + crn_rng_below(&rng, layout->row_bytes - from);
            before[f] = *at[f];
            *at[f] = (uint8_t)crn_rng_u64(&rng);
        }
        const cairn_status status = crn_graph_check(graph, &err);
        assert_true(status == CAIRN_OK || status == CAIRN_CORRUPT);
        ++*(status == CAIRN_OK ? &sound : &corrupt);
        walk_all(&world, &scratch);
        for (uint32_t f = flips; f-- > 0;) *at[f] = before[f];
    }
    print_message("%u graphs were sound, %u were not\n", sound, corrupt);
    assert_true(sound > 0 && corrupt > 0);
    ok(crn_graph_check(graph, &err), &err);
    crn_graph_scratch_release(&scratch);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_validator_names_what_is_wrong),
        cmocka_unit_test(the_validator_looks_at_the_graph_s_shape),
        cmocka_unit_test(searches_over_damaged_rows_stay_within_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
