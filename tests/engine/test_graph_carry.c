/*
 * Graphs made of others: what is carried over keeps to a graph's invariants and is found as well as in one that is built. And segments
 * whose graphs are made so: of a tail that is written out, of segments that are merged, up to as many rows as a segment may have.
 */
#include "engine/collection.h"
#include "engine/compact.h"
#include "engine/graph_carry.h"
#include "engine/graph_check.h"
#include "tests/engine/graph_world.h"
#include "tests/engine/rows.h"

#define DIM 24
#define GROWN 5000u
#define ALL 6000u

/* ---- the graph alone ---- */

/* A graph of the world's first nodes, but those dropped, and its last ones, in another order. Nodes from `kept` on are not carried over, but
 * inserted as those of another graph. */
static void carry_some(struct world *world, uint32_t dropped_of_10, uint32_t kept, struct crn_rng *rng,
                       bool *out_fits)
{
    const struct world_shape shape = world->shape;
    float *vectors = crn_mem_array((size_t)ALL * DIM, sizeof *vectors);
    uint32_t *numbers = crn_mem_array(GROWN, sizeof *numbers), *others = crn_mem_array(GROWN, sizeof *others),
             count = 0;
    struct crn_graph from = world->growing.graph;
    struct crn_graph_build build;

    assert_true(vectors != NULL && numbers != NULL && others != NULL);
    from.count = GROWN;
    for (uint32_t i = ALL; i-- > 0;) {
        const bool drop = i < GROWN && crn_rng_below(rng, 10) < dropped_of_10;
        if (i < GROWN) numbers[i] = drop || i >= kept ? CRN_GRAPH_NO_NODE : count;
        if (i < GROWN) others[i] = drop || i < kept ? CRN_GRAPH_NO_NODE : count;
        if (!drop) memcpy(vectors + (size_t)count++ * DIM, world_row(world, i), DIM * sizeof *vectors);
    }
    const struct crn_index_rows rows = {.vectors = vectors, .count = count, .dim = DIM, .op = shape.op};
    const struct crn_graph_carry_part part = {.graph = &from, .numbers = others};
    const struct crn_graph_carry carry = {
        .from = &from, .seed = world->seed, .numbers = numbers, .others = &part, .other_count = kept < GROWN};
    ok(crn_graph_carry_over(&carry, &rows, 2, NULL, NULL, &build, out_fits, err));
    if (*out_fits) {
        struct world carried = {.shape = shape,
                                .rows = vectors,
                                .queries = world->queries,
                                .query_count = world->query_count,
                                .frame = build.growing.graph.frame,
                                .growing = build.growing};
        carried.shape.count = count;
        ok(crn_graph_check(&build.growing.graph, err));
        const double recall = world_recall(&carried, crn_graph_walk_plain, count, 128);
        print_message("%u of 10 dropped, %u kept, %u rows: recall@10 %.4f at effort 128, measured %.4f\n",
                      dropped_of_10, kept, count, recall, (double)build.calibration.recalls[7]);
        assert_true(recall >= 0.97);
        assert_int_equal(build.calibration.queries, count >= 4096 ? 64 : 0);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(build.numbers[build.positions[i]], i);
    }
    crn_graph_build_release(&build);
    crn_mem_free(vectors);
    crn_mem_free(numbers);
    crn_mem_free(others);
}

static void expect_carried(enum crn_op op, enum world_lengths lengths)
{
    struct crn_rng rng = test_rng();
    struct world world;
    bool fits;

    world_init(&world, (struct world_shape){ALL, DIM, op, lengths, 64}, 100, &rng);
    world_grow_to(&world, 1, 0, GROWN);
    for (uint32_t dropped = 0; dropped <= 6; dropped += 3) {
        carry_some(&world, dropped, GROWN, &rng, &fits);
        assert_true(fits);
    }
    carry_some(&world, 3, GROWN / 2, &rng, &fits);
    assert_true(fits);
    carry_some(&world, 0, GROWN / 5, &rng, &fits);
    assert_true(fits);
    carry_some(&world, 10, GROWN, &rng, &fits); /* nothing to carry over */
    assert_false(fits);
    world_release(&world);
}

static void test_squared_distances(void **state)
{
    (void)state;
    expect_carried(CRN_OP_L2, ANY_LENGTH);
}

static void test_dot_products(void **state)
{
    (void)state;
    expect_carried(CRN_OP_DOT, ANY_LENGTH);
}

static void test_one_length(void **state)
{
    (void)state;
    expect_carried(CRN_OP_DOT, ONE_LENGTH);
}

/* ---- segments ---- */

struct stage {
    struct database database;
    cairn_collection *collection;
    struct crn_live_space *space;
    struct crn_rng rng;
    uint64_t next_id;
};

static void stage_open(struct stage *stage)
{
    const cairn_open_options options = {.size = sizeof options,
                                        .no_background = true,
                                        .tail_rows_max = 1u << 20,
                                        .durability = CAIRN_LAZY,
                                        .threads = 2};

    const float origin[DIM] = {0};
    cairn_results *results;

    *stage = (struct stage){.rng = test_rng()};
    database_create(&stage->database, &options);
    ok(cairn_collection_open(stage->database.db, "rows",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2),
                             &stage->collection, err));
    stage->space = crn_collection_now(stage->collection)->live[0];
    /* What is never searched has no view, and its tails no graphs. */
    ok(cairn_search(stage->collection, CAIRN_OPTIONS(cairn_query, .vector = origin, .k = 1), &results, err));
    cairn_results_free(results);
}

/* Every step-th of so many ids. */
static void delete (struct stage *stage, uint64_t first, uint32_t count, uint32_t step)
{
    cairn_id ids[500];
    uint64_t deleted;

    for (uint32_t done = 0; done < count;) {
        const uint32_t batch = count - done < 500 ? count - done : 500;
        for (uint32_t i = 0; i < batch; i++)
            ids[i] = (cairn_id){CAIRN_ID_U64, NULL, first + (uint64_t)(done + i) * step};
        ok(cairn_delete(stage->collection, ids, batch, &deleted, err));
        assert_int_equal(deleted, batch);
        done += batch;
    }
}

static void stage_close(struct stage *stage)
{
    database_verify_clean(&stage->database);
    cairn_collection_close(stage->collection);
    database_remove(&stage->database);
}

static void insert(struct stage *stage, uint32_t count)
{
    float vectors[100][DIM];
    cairn_pattern patterns[100];

    for (uint32_t done = 0; done < count; done += 100) {
        for (uint32_t i = 0; i < 100; i++) {
            for (uint32_t j = 0; j < DIM; j++) vectors[i][j] = (float)crn_rng_normal(&stage->rng);
            patterns[i] = (cairn_pattern){.size = sizeof *patterns,
                                          .id_type = CAIRN_ID_U64,
                                          .id_u64 = stage->next_id++,
                                          .vector = vectors[i]};
        }
        ok(cairn_insert(stage->collection, patterns, 100, err));
    }
}

/* The view must have such segments, each with an open graph; found are nearly all that a scan finds. */
static void expect_segments(struct stage *stage, uint32_t least, uint32_t most)
{
    struct crn_view *view;
    uint32_t same = 0;

    ok(crn_live_space_settle(stage->space, &view, err));
    assert_in_range(view->part_count, least, most);
    for (uint32_t i = 0; i < view->part_count; i++)
        assert_ptr_equal(view->parts[i].segment->index_ops, &crn_index_graph);
    crn_view_release(view);
    for (uint32_t q = 0; q < 50; q++) {
        cairn_results *found, *right;
        float query[DIM];
        for (uint32_t j = 0; j < DIM; j++) query[j] = (float)crn_rng_normal(&stage->rng);
        ok(cairn_search(stage->collection, CAIRN_OPTIONS(cairn_query, .vector = query, .k = 10), &found,
                        err));
        ok(cairn_search(stage->collection,
                        CAIRN_OPTIONS(cairn_query, .vector = query, .k = 10, .exact = true), &right, err));
        assert_int_equal(cairn_results_count(found), 10);
        for (size_t i = 0; i < 10; i++) {
            for (size_t j = 0; j < 10; j++)
                same += cairn_results_at(found, i)->id.u64 == cairn_results_at(right, j)->id.u64;
        }
        cairn_results_free(found);
        cairn_results_free(right);
    }
    print_message("%u of 500 found\n", same);
    assert_true(same >= 470);
}

static void test_a_tail_becomes_a_segment(void **state)
{
    struct crn_view *view;
    struct stage stage;

    (void)state;
    stage_open(&stage);
    insert(&stage, 6000);
    delete (&stage, 0, 858, 7);
    ok(crn_compact_flush(stage.space, 1, true, err));
    expect_segments(&stage, 1, 1);
    /* What is written meanwhile stays in its tail when the list is switched again. */
    insert(&stage, 2000);
    ok(crn_live_space_settle(stage.space, &view, err));
    assert_int_equal(view->tail_count, 1);
    struct crn_tail *tail = view->tails[0].tail;
    assert_true(crn_tail_graph_inserted(tail) > 1000);
    crn_view_release(view);
    delete (&stage, 1, 1, 1);
    ok(crn_compact_merge(stage.space, CRN_COMPACT_ALL, &(struct crn_build_control){.threads = 1}, NULL, err));
    ok(crn_live_space_settle(stage.space, &view, err));
    assert_ptr_equal(view->tails[0].tail, tail);
    assert_int_equal(crn_view_rows(view), 6000 - 858 + 2000 - 1);
    crn_view_release(view);
    stage_close(&stage);
}

static void test_segments_are_merged(void **state)
{
    const struct crn_build_control control = {.threads = 2};
    struct stage stage;

    (void)state;
    stage_open(&stage);
    for (int i = 0; i < 4; i++) {
        insert(&stage, 4200);
        ok(crn_compact_flush(stage.space, 1, true, err));
    }
    expect_segments(&stage, 4, 4);
    delete (&stage, 0, 16800 / 5, 5);
    ok(crn_compact_merge(stage.space, CRN_COMPACT_IDLE, &control, NULL, err));
    expect_segments(&stage, 1, 1);
    stage_close(&stage);
}

/* As many as are merged at once while somebody writes: the largest part's graph holds one row in sixteen. */
static void test_many_segments_are_merged(void **state)
{
    const struct crn_build_control control = {.threads = 2};
    struct stage stage;

    (void)state;
    stage_open(&stage);
    for (int i = 0; i < 16; i++) {
        insert(&stage, 4200);
        ok(crn_compact_flush(stage.space, 1, true, err));
    }
    expect_segments(&stage, 16, 16);
    ok(crn_compact_merge(stage.space, CRN_COMPACT_BUSY, &control, NULL, err));
    expect_segments(&stage, 1, 1);
    stage_close(&stage);
}

/* As if a graph took no more than 10,000 rows. */
static void test_segments_have_a_limit(void **state)
{
    const struct crn_build_control control = {.threads = 2};
    struct crn_view *view;
    struct stage stage;

    (void)state;
    stage_open(&stage);
    stage.space->rows_most = 10000;
    for (int i = 0; i < 5; i++) {
        insert(&stage, 4200);
        ok(crn_compact_flush(stage.space, 1, true, err));
    }
    ok(crn_compact_merge(stage.space, CRN_COMPACT_IDLE, &control, NULL, err)); /* no four of them fit */
    expect_segments(&stage, 5, 5);
    ok(crn_compact_merge(stage.space, CRN_COMPACT_ALL, &control, NULL, err));
    expect_segments(&stage, 3, 3);
    /* Half of the first ones' rows go: then two of three fit together. */
    delete (&stage, 0, 4200, 2);
    ok(crn_compact_merge(stage.space, CRN_COMPACT_ALL, &control, NULL, err));
    ok(crn_live_space_settle(stage.space, &view, err));
    assert_int_equal(crn_view_rows(view), 21000 - 4200);
    for (uint32_t i = 0; i < view->part_count; i++) assert_true(view->parts[i].segment->count <= 10000);
    crn_view_release(view);
    ok(cairn_optimize(stage.collection, NULL, NULL, err));
    expect_segments(&stage, 2, 3);
    stage_close(&stage);
}

/* Rows come and go, ten times half of them: as good as a collection that was filled once. */
static void test_churn(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage);
    insert(&stage, 5000);
    for (uint64_t round = 0; round < 10; round++) {
        delete (&stage, round * 2500, 2500, 1);
        insert(&stage, 2500);
        ok(crn_compact_flush(stage.space, 1, true, err));
        ok(crn_compact_merge(stage.space, CRN_COMPACT_IDLE, &(struct crn_build_control){.threads = 1}, NULL,
                             err));
    }
    struct crn_view *view;
    ok(crn_live_space_settle(stage.space, &view, err));
    assert_int_equal(crn_view_rows(view), 5000);
    assert_in_range(view->part_count, 1, 4);
    crn_view_release(view);
    ok(cairn_optimize(stage.collection, NULL, NULL, err));
    expect_segments(&stage, 1, 1);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squared_distances),
        cmocka_unit_test(test_dot_products),
        cmocka_unit_test(test_one_length),
        cmocka_unit_test(test_a_tail_becomes_a_segment),
        cmocka_unit_test(test_segments_are_merged),
        cmocka_unit_test(test_many_segments_are_merged),
        cmocka_unit_test(test_segments_have_a_limit),
        cmocka_unit_test(test_churn),
    };
    return cmocka_run_group_tests_name("graphs made of others", tests, NULL, NULL);
}
