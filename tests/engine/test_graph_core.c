/*
 * The graph without SQLite, segments and files: what searches find, what growing by several threads leaves, what the validator tells,
 * and that searches over damaged rows stay within memory. The argument `small` makes graphs a third as large, for instruction sets
 * that are slow.
 */
#include "tests/engine/graph_world.h"

#include "base/cpu.h"
#include "engine/graph_check.h"
#include "tests/engine/support.h"

#include <pthread.h>

static bool small;

static struct world_shape scaled(struct world_shape shape)
{
    if (small) shape.count /= 3;
    return shape;
}

static void ok(cairn_status status, const cairn_error *err)
{
    if (status != CAIRN_OK) fail_msg("%s", err->message);
}

/* ---- recall ---- */

static const struct {
    const char *name;
    world_walk *walk;
    enum crn_cpu_level level;
} walks[] = {
    {"plain", crn_graph_walk_plain, CRN_CPU_SCALAR},
#if defined(__x86_64__)
    {"avx2", crn_graph_walk_avx2, CRN_CPU_AVX2},
    {"avx512", crn_graph_walk_avx512, CRN_CPU_AVX512},
#elif defined(__aarch64__)
    {"neon", crn_graph_walk_neon, CRN_CPU_NEON},
#endif
};

/* Every walk of this processor over one graph. The floors are below the least of 48 graphs, eight seeds of each of the six below. */
static void expect_recall(const struct world *world, double floor_64, double floor_128)
{
    for (size_t w = 0; w < COUNT_OF(walks); w++) {
        if (walks[w].level > crn_cpu_level()) continue;
        const double at_64 = world_recall(world, walks[w].walk, world->shape.count, 64);
        const double at_128 = world_recall(world, walks[w].walk, world->shape.count, 128);
        print_message("%u x %u %s%s, %s: recall@10 %.4f at effort 64, %.4f at 128\n", world->shape.count, world->shape.dim,
                      world->shape.op == CRN_OP_L2 ? "L2" : "DOT", world->frame.heights ? " with heights" : "", walks[w].name, at_64,
                      at_128);
        assert_true(at_64 >= floor_64);
        assert_true(at_128 >= floor_128);
    }
}

/* Marks what can be reached from the entries; counts who names whom. */
static void expect_reachable(const struct world *world)
{
    const struct crn_graph *graph = &world->growing.graph;
    uint32_t *in = crn_mem_calloc(graph->count, sizeof *in), *queue = crn_mem_array(graph->count, sizeof *queue), count = 0;
    bool *reached = crn_mem_calloc(graph->count, sizeof *reached);

    assert_true(in != NULL && queue != NULL && reached != NULL);
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
            const uint32_t id = crn_graph_id(&graph->layout, graph->entries + (size_t)b * graph->layout.row_bytes, v);
            if (id == CRN_GRAPH_NO_NODE || reached[id]) continue;
            reached[id] = true;
            queue[count++] = id;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
            const uint32_t id = crn_graph_id(&graph->layout, crn_graph_row(graph, queue[i]), v);
            if (id == CRN_GRAPH_NO_NODE) continue;
            in[id]++;
            if (reached[id]) continue;
            reached[id] = true;
            queue[count++] = id;
        }
    }
    assert_int_equal(count, graph->count);
    for (uint32_t i = 0; i < graph->count; i++) {
        assert_true(in[i] >= 1);
        assert_int_equal(in[i], atomic_load(&world->growing.in_degrees[i]));
    }
    crn_mem_free(in);
    crn_mem_free(queue);
    crn_mem_free(reached);
}

static void grow_and_expect(struct world_shape shape, unsigned threads, bool heights, double floor_64, double floor_128)
{
    struct crn_rng rng = test_rng();
    struct world world;
    cairn_error err;

    world_init(&world, scaled(shape), 100, &rng);
    assert_int_equal(world.frame.heights, heights);
    world_grow(&world, threads);
    ok(crn_graph_check(&world.growing.graph, &err), &err);
    expect_reachable(&world);
    expect_recall(&world, floor_64, floor_128);
    world_release(&world);
}

static void euclidean_neighbours_are_found(void **state)
{
    (void)state;
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_L2, ANY_LENGTH, 64}, 1, false, 0.95, 0.99);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_L2, ONE_LENGTH, 64}, 2, false, 0.95, 0.99);
}

static void largest_products_of_equal_lengths_are_found(void **state)
{
    (void)state;
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_DOT, ONE_LENGTH, 64}, 2, false, 0.9, 0.99);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_DOT, ONE_LENGTH, 64}, 1, false, 0.95, 0.99);
}

static void largest_products_of_any_lengths_are_found(void **state)
{
    (void)state;
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_DOT, ANY_LENGTH, 64}, 2, true, 0.97, 0.99);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_DOT, ANY_LENGTH, 64}, 1, true, 0.97, 0.99);
}

static void few_nodes_are_all_found(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 10, 33, 40, 100};

    (void)state;
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        struct crn_rng rng = test_rng();
        struct world world;
        struct crn_graph_scratch scratch = {0};
        const struct crn_graph_ask ask = {.effort = 128, .keep = 128};
        cairn_error err;
        world_init(&world, (struct world_shape){counts[c], 20, CRN_OP_L2, ANY_LENGTH, 64}, 1, &rng);
        world_grow(&world, 1);
        ok(crn_graph_check(&world.growing.graph, &err), &err);
        ok(crn_graph_scratch_reserve(&scratch, world.frame.dims, counts[c], 128, 128, &err), &err);
        world_ask(&world, &scratch, world.queries);
        crn_graph_walk(&world.growing.graph, &scratch, &ask);
        assert_int_equal(scratch.near_count, counts[c]);
        crn_graph_scratch_release(&scratch);
        world_release(&world);
    }
}

/* ---- what a walk lists ---- */

static void check_listed(const struct world *world, struct crn_graph_scratch *scratch, const struct crn_graph_ask *ask)
{
    for (uint32_t q = 0; q < world->query_count; q++) {
        world_ask(world, scratch, world->queries + (size_t)q * world->shape.dim);
        for (size_t w = 0; w < COUNT_OF(walks); w++) {
            if (walks[w].level > crn_cpu_level()) continue;
            walks[w].walk(&world->growing.graph, scratch, ask);
            assert_true(scratch->near_count <= ask->keep && scratch->hops >= scratch->near_count && !scratch->damaged);
            if (ask->allow == NULL) assert_int_equal(scratch->near_count, ask->keep < scratch->hops ? ask->keep : scratch->hops);
            for (uint32_t i = 0; i < scratch->near_count; i++) {
                const uint32_t node = (uint32_t)scratch->near[i] & CRN_GRAPH_KEY_NODE;
                assert_true(node < world->shape.count);
                if (i > 0) assert_true(scratch->near[i - 1] <= scratch->near[i]);
                for (uint32_t j = 0; j < i; j++) assert_int_not_equal(scratch->near[j] & CRN_GRAPH_KEY_NODE, node);
                if (ask->allow == NULL) continue;
                const uint32_t position = ask->positions == NULL ? node : ask->positions[node];
                assert_true(ask->allow[position / 64] >> (position % 64) & 1);
            }
            for (uint32_t i = 0; i < world->shape.count; i++) assert_false(scratch->seen[i / 64] >> (i % 64) & 1);
        }
    }
}

static void a_walk_lists_allowed_nodes_once_and_in_order(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_graph_scratch scratch = {0};
    uint64_t allow[20] = {0};
    uint32_t positions[1200];
    struct world world;
    cairn_error err;

    (void)state;
    world_init(&world, (struct world_shape){1200, 96, CRN_OP_L2, ANY_LENGTH, 48}, 10, &rng);
    world_grow(&world, 2);
    ok(crn_graph_scratch_reserve(&scratch, world.frame.dims, 1200, 100, 100, &err), &err);
    for (uint32_t i = 0; i < 1200; i++) positions[i] = 1199 - i;
    for (size_t i = 0; i < COUNT_OF(allow); i++) allow[i] = crn_rng_u64(&rng) & crn_rng_u64(&rng);
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 100, .keep = 100});
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 100, .keep = 10});
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 1, .keep = 1});
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 2, .keep = 100});
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 100, .keep = 100, .allow = allow});
    check_listed(&world, &scratch, &(struct crn_graph_ask){.effort = 60, .keep = 100, .allow = allow, .positions = positions});
    crn_graph_scratch_release(&scratch);
    world_release(&world);
}

/* A row that cannot be proven ends the walk. */
struct proofs {
    uint32_t left;
};

static bool prove_some(void *ctx, const uint8_t *row)
{
    struct proofs *proofs = ctx;

    (void)row;
    return proofs->left-- > 0;
}

static void a_walk_stops_at_a_row_that_is_not_proven(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_graph_scratch scratch = {0};
    struct proofs proofs = {.left = 7};
    struct world world;
    cairn_error err;

    (void)state;
    world_init(&world, (struct world_shape){500, 32, CRN_OP_L2, ANY_LENGTH, 48}, 1, &rng);
    world_grow(&world, 1);
    world.growing.graph.prove = prove_some;
    world.growing.graph.prove_ctx = &proofs;
    ok(crn_graph_scratch_reserve(&scratch, world.frame.dims, 500, 50, 50, &err), &err);
    world_ask(&world, &scratch, world.queries);
    crn_graph_walk(&world.growing.graph, &scratch, &(struct crn_graph_ask){.effort = 50, .keep = 50});
    assert_true(scratch.damaged);
    assert_int_equal(scratch.hops, 7);
    proofs.left = 1000;
    crn_graph_walk(&world.growing.graph, &scratch, &(struct crn_graph_ask){.effort = 50, .keep = 50});
    assert_false(scratch.damaged);
    assert_true(scratch.hops >= 50);
    crn_graph_scratch_release(&scratch);
    world_release(&world);
}

/* ---- inserting and searching at once ---- */

struct search_thread {
    struct world *world;
    _Atomic bool *done;
    struct crn_graph_scratch scratch;
    uint32_t walks, faults;
};

static void *search_all_the_time(void *argument)
{
    struct search_thread *thread = argument;
    const struct world *world = thread->world;
    const struct crn_graph_ask ask = {.effort = 40, .keep = 40};

    /* Relaxed: only ends the loop. */
    while (thread->walks < 20 || !atomic_load_explicit(thread->done, memory_order_relaxed)) {
        world_ask(world, &thread->scratch, world->queries + (size_t)(thread->walks % world->query_count) * world->shape.dim);
        crn_graph_walk(&world->growing.graph, &thread->scratch, &ask);
        thread->walks++;
        for (uint32_t i = 0; i < thread->scratch.near_count; i++) {
            const uint32_t node = (uint32_t)thread->scratch.near[i] & CRN_GRAPH_KEY_NODE;
            if (node >= world->shape.count || (i > 0 && thread->scratch.near[i - 1] > thread->scratch.near[i])) thread->faults++;
        }
        if (thread->scratch.near_count < 32) thread->faults++;
    }
    return NULL;
}

static void searches_go_on_while_threads_insert(struct world_shape shape)
{
    struct crn_rng rng = test_rng();
    struct search_thread thread;
    _Atomic bool done = false;
    struct world world;
    pthread_t id;
    cairn_error err;

    world_init(&world, scaled(shape), 50, &rng);
    world_grow_to(&world, 1, 0, 200); /* entries are added while nobody searches */
    thread = (struct search_thread){.world = &world, .done = &done};
    ok(crn_graph_scratch_reserve(&thread.scratch, world.frame.dims, world.shape.count, 40, 40, &err), &err);
    assert_int_equal(pthread_create(&id, NULL, search_all_the_time, &thread), 0);
    world.first = 200;
    crn_parallel_for(2, world.shape.count - 200, 4, world_insert_some, &world);
    crn_parallel_for(2, world.shape.count, 4, world_improve_some, &world);
    atomic_store(&done, true);
    pthread_join(id, NULL);
    print_message("%u walks meanwhile\n", thread.walks);
    assert_int_equal(thread.faults, 0);
    ok(crn_graph_check(&world.growing.graph, &err), &err);
    expect_reachable(&world);
    expect_recall(&world, 0.95, 0.98);
    crn_graph_scratch_release(&thread.scratch);
    world_release(&world);
}

static void searches_and_insertions_overlap(void **state)
{
    (void)state;
    searches_go_on_while_threads_insert((struct world_shape){1800, 64, CRN_OP_L2, ANY_LENGTH, 48});
    searches_go_on_while_threads_insert((struct world_shape){1500, 96, CRN_OP_DOT, ANY_LENGTH, 48});
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
        for (size_t w = 0; w < COUNT_OF(walks); w++) {
            if (walks[w].level > crn_cpu_level()) continue;
            walks[w].walk(&world->growing.graph, scratch, &(struct crn_graph_ask){.effort = 30, .keep = 30});
            for (uint32_t i = 0; i < scratch->near_count; i++) {
                assert_true((scratch->near[i] & CRN_GRAPH_KEY_NODE) < world->shape.count);
            }
        }
    }
}

/* Bytes of rows and entries become others; the sanitizers watch the searches. Even what the validator rejects is walked. */
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
    for (unsigned round = 0; round < (small ? 150 : 1000); round++) {
        uint8_t *at[FLIPS_MOST], before[FLIPS_MOST];
        const uint32_t flips = 1 + (uint32_t)crn_rng_below(&rng, FLIPS_MOST);
        for (uint32_t f = 0; f < flips; f++) {
            uint8_t *row = crn_rng_below(&rng, 4) == 0
                               ? graph->entries + crn_rng_below(&rng, graph->entry_blocks) * layout->row_bytes
                               : crn_graph_row(graph, (uint32_t)crn_rng_below(&rng, graph->count));
            const uint32_t from = crn_rng_below(&rng, 2) == 0 ? layout->a : 0; /* signs are most of a row, and less of interest */
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(euclidean_neighbours_are_found),
        cmocka_unit_test(largest_products_of_equal_lengths_are_found),
        cmocka_unit_test(largest_products_of_any_lengths_are_found),
        cmocka_unit_test(few_nodes_are_all_found),
        cmocka_unit_test(a_walk_lists_allowed_nodes_once_and_in_order),
        cmocka_unit_test(a_walk_stops_at_a_row_that_is_not_proven),
        cmocka_unit_test(searches_and_insertions_overlap),
        cmocka_unit_test(the_validator_names_what_is_wrong),
        cmocka_unit_test(the_validator_looks_at_the_graph_s_shape),
        cmocka_unit_test(searches_over_damaged_rows_stay_within_memory),
    };

    small = argc > 1 && strcmp(argv[1], "small") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
