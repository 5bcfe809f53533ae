/*
 * The graph without SQLite, segments and files: what searches find and list, and what growing by several
 * threads leaves. The argument divides the sizes, for instruction sets that are slow and sanitizers.
 */
#include "tests/engine/graph_world.h"

#include "engine/graph_check.h"
#include "tests/engine/support.h"

#include <pthread.h>

#define COUNT_LEAST 400u

static uint32_t divisor = 1;

static struct world_shape scaled(struct world_shape shape)
{
    shape.count = shape.count / divisor > COUNT_LEAST ? shape.count / divisor : COUNT_LEAST;
    return shape;
}

static void ok(cairn_status status, const cairn_error *err)
{
    if (status != CAIRN_OK) fail_msg("%s", err->message);
}

/* ---- recall ---- */

/* Every walk of this processor over one graph. The floors are below the least of 30 seeds at the smallest sizes (0.969 at effort 64,
 * 0.989 at 128) and of six at the whole ones (0.998 and 0.999). */
static void expect_recall(const struct world *world, double floor_64, double floor_128)
{
    for (size_t w = 0; w < COUNT_OF(world_walks); w++) {
        if (world_walks[w].level > crn_cpu_level()) continue;
        const double at_64 = world_recall(world, world_walks[w].walk, world->shape.count, 64);
        const double at_128 = world_recall(world, world_walks[w].walk, world->shape.count, 128);
        print_message("%u x %u %s%s, %s: recall@10 %.4f at effort 64, %.4f at 128\n", world->shape.count,
                      world->shape.dim, world->shape.op == CRN_OP_L2 ? "L2" : "DOT",
                      world->frame.heights ? " with heights" : "", world_walks[w].name, at_64, at_128);
        assert_true(at_64 >= floor_64);
        assert_true(at_128 >= floor_128);
    }
}

/* Marks what can be reached from the entries; counts who names whom. */
static void expect_reachable(const struct world *world)
{
    const struct crn_graph *graph = &world->growing.graph;
    uint32_t *in = crn_mem_calloc(graph->count, sizeof *in),
             *queue = crn_mem_array(graph->count, sizeof *queue), count = 0;
    bool *reached = crn_mem_calloc(graph->count, sizeof *reached);

    assert_true(in != NULL && queue != NULL && reached != NULL);
    for (uint32_t b = 0; b < graph->entry_blocks; b++) {
        for (uint32_t v = 0; v < CRN_GRAPH_DEGREE; v++) {
            const uint32_t id =
                crn_graph_id(&graph->layout, graph->entries + (size_t)b * graph->layout.row_bytes, v);
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

static void grow_and_expect(struct world_shape shape, unsigned threads, bool heights, double floor_64,
                            double floor_128)
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
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_L2, ANY_LENGTH, 64}, 1, false, 0.95, 0.975);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_L2, ONE_LENGTH, 64}, 2, false, 0.95, 0.975);
}

static void largest_products_of_equal_lengths_are_found(void **state)
{
    (void)state;
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_DOT, ONE_LENGTH, 64}, 2, false, 0.9, 0.975);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_DOT, ONE_LENGTH, 64}, 1, false, 0.95, 0.975);
}

static void largest_products_of_any_lengths_are_found(void **state)
{
    (void)state;
    grow_and_expect((struct world_shape){5000, 96, CRN_OP_DOT, ANY_LENGTH, 64}, 2, true, 0.96, 0.975);
    grow_and_expect((struct world_shape){3000, 200, CRN_OP_DOT, ANY_LENGTH, 64}, 1, true, 0.96, 0.975);
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

static void check_listed(const struct world *world, struct crn_graph_scratch *scratch,
                         const struct crn_graph_ask *ask)
{
    for (uint32_t q = 0; q < world->query_count; q++) {
        world_ask(world, scratch, world->queries + (size_t)q * world->shape.dim);
        for (size_t w = 0; w < COUNT_OF(world_walks); w++) {
            if (world_walks[w].level > crn_cpu_level()) continue;
            world_walks[w].walk(&world->growing.graph, scratch, ask);
            assert_true(scratch->near_count <= ask->keep && !scratch->damaged);
            if (ask->allow != NULL) assert_true(scratch->hops <= ask->most);
            if (ask->nodes != NULL) assert_int_equal(scratch->near_count, ask->keep);
            if (ask->allow == NULL && ask->nodes == NULL)
                assert_int_equal(scratch->near_count, ask->keep < scratch->hops ? ask->keep : scratch->hops);
            for (uint32_t i = 0; i < scratch->near_count; i++) {
                const uint32_t node = (uint32_t)scratch->near[i] & CRN_GRAPH_KEY_NODE;
                assert_true(node < world->shape.count);
                if (i > 0) assert_true(scratch->near[i - 1] <= scratch->near[i]);
                for (uint32_t j = 0; j < i; j++)
                    assert_int_not_equal(scratch->near[j] & CRN_GRAPH_KEY_NODE, node);
                if (ask->allow == NULL) continue;
                const uint32_t position = ask->positions == NULL ? node : ask->positions[node];
                assert_true(ask->allow[position / 64] >> (position % 64) & 1);
            }
            for (uint32_t i = 0; i < world->shape.count; i++)
                assert_false(scratch->seen[i / 64] >> (i % 64) & 1);
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
    check_listed(&world, &scratch,
                 &(struct crn_graph_ask){.effort = 100,
                                         .keep = 100,
                                         .allow = allow,
                                         .base = 40,
                                         .wanted = 10,
                                         .visits_each = 0.5f,
                                         .patience = 100,
                                         .most = 200});
    check_listed(&world, &scratch,
                 &(struct crn_graph_ask){.effort = 60,
                                         .keep = 100,
                                         .allow = allow,
                                         .positions = positions,
                                         .base = 20,
                                         .wanted = 30,
                                         .visits_each = 2,
                                         .patience = 5,
                                         .entries = 2,
                                         .most = 50});
    check_listed(
        &world, &scratch,
        &(struct crn_graph_ask){
            .effort = 1, .keep = 1, .wanted = 1, .nodes = positions, .node_count = 1200, .first = 1200});
    check_listed(&world, &scratch,
                 &(struct crn_graph_ask){.effort = 1,
                                         .keep = 100,
                                         .wanted = 100,
                                         .nodes = positions + 700,
                                         .node_count = 500,
                                         .first = 500});
    crn_graph_scratch_release(&scratch);
    world_release(&world);
}

/* ---- walks that end early ---- */

static void a_walk_gives_up_where_too_few_are_allowed(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_graph_scratch scratch = {0};
    const uint64_t allow[20] = {1};
    struct world world;
    cairn_error err;

    (void)state;
    world_init(&world, (struct world_shape){1200, 96, CRN_OP_L2, ANY_LENGTH, 48}, 10, &rng);
    world_grow(&world, 2);
    ok(crn_graph_scratch_reserve(&scratch, world.frame.dims, 1200, 100, 100, &err), &err);
    world_ask(&world, &scratch, world.queries);
    crn_graph_walk(&world.growing.graph, &scratch,
                   &(struct crn_graph_ask){.effort = 100,
                                           .keep = 40,
                                           .allow = allow,
                                           .base = 20,
                                           .wanted = 10,
                                           .visits_each = 0.5f,
                                           .patience = 100,
                                           .most = 90});
    assert_true(scratch.sparse);
    assert_int_equal(scratch.hops, 20);
    /* What is near is known before that. */
    crn_graph_walk(&world.growing.graph, &scratch,
                   &(struct crn_graph_ask){.effort = 100,
                                           .keep = 40,
                                           .allow = allow,
                                           .base = 20,
                                           .wanted = 10,
                                           .visits_each = 0.5f,
                                           .near_share = 0.3f,
                                           .patience = 100,
                                           .most = 90});
    assert_true(scratch.sparse);
    assert_in_range(scratch.hops, 1, 19);
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
        world_ask(world, &thread->scratch,
                  world->queries + (size_t)(thread->walks % world->query_count) * world->shape.dim);
        crn_graph_walk(&world->growing.graph, &thread->scratch, &ask);
        thread->walks++;
        for (uint32_t i = 0; i < thread->scratch.near_count; i++) {
            const uint32_t node = (uint32_t)thread->scratch.near[i] & CRN_GRAPH_KEY_NODE;
            if (node >= world->shape.count ||
                (i > 0 && thread->scratch.near[i - 1] > thread->scratch.near[i]))
                thread->faults++;
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(euclidean_neighbours_are_found),
        cmocka_unit_test(largest_products_of_equal_lengths_are_found),
        cmocka_unit_test(largest_products_of_any_lengths_are_found),
        cmocka_unit_test(few_nodes_are_all_found),
        cmocka_unit_test(a_walk_lists_allowed_nodes_once_and_in_order),
        cmocka_unit_test(a_walk_gives_up_where_too_few_are_allowed),
        cmocka_unit_test(a_walk_stops_at_a_row_that_is_not_proven),
        cmocka_unit_test(searches_and_insertions_overlap),
    };

    if (argc > 1) divisor = (uint32_t)strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
