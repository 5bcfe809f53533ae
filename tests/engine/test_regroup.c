/*
 * Following switches of the list of segments: what a view shares with the one before it, that it keeps what was written meanwhile,
 * and that it is the same view that loading anew gives, whatever was written, deleted, flushed and merged in whatever order.
 */
#include "engine/compact.h"
#include "engine/space_internal.h"
#include "tests/engine/maintenance.h"

#define IDS 60u
#define STEPS 120

static struct crn_live_space *space_of(cairn_collection *collection)
{
    return crn_collection_now(collection)->live[0];
}

static struct crn_view *settled(cairn_collection *collection)
{
    struct crn_view *view;

    ok(crn_live_space_settle(space_of(collection), &view, err));
    assert_false(crn_view_is_behind(view));
    return view;
}

static void flush(cairn_collection *collection)
{
    ok(crn_compact_flush(space_of(collection), 1, false, err));
}

static void put(cairn_collection *collection, struct crn_rng *rng, uint64_t id)
{
    float vector[DIM];

    for (int c = 0; c < DIM; c++) vector[c] = (float)crn_rng_normal(rng);
    ok(cairn_upsert(collection,
                    CAIRN_OPTIONS(cairn_pattern, .id_type = CAIRN_ID_U64, .id_u64 = id, .vector = vector), 1,
                    err));
}

static void delete_id(cairn_collection *collection, uint64_t id)
{
    ok(cairn_delete(collection, &(cairn_id){CAIRN_ID_U64, NULL, id}, 1, NULL, err));
}

/* All ids in the order of their distance, exact and not: one text for a state. */
static char *describe(cairn_collection *collection)
{
    char *text = calloc(1, 65536);
    const float vector[DIM] = {0.5f, -0.25f};
    cairn_results *results;
    size_t used = 0;

    for (int exact = 0; exact < 2; exact++) {
        ok(cairn_search(
            collection,
            CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 1000, .exact = exact, .oversampling = 1000),
            &results, err));
        for (size_t i = 0; i < cairn_results_count(results); i++) {
            const cairn_hit *hit = cairn_results_at(results, i);
            used += (size_t)snprintf(text + used, 65536 - used, "%llu:%a ", (unsigned long long)hit->id.u64,
                                     (double)hit->distance);
        }
        used += (size_t)snprintf(text + used, 65536 - used, "| ");
        cairn_results_free(results);
    }
    assert_true(used < 65536);
    return text;
}

static void expect_described(cairn_collection *collection, const char *expected)
{
    char *text = describe(collection);

    assert_string_equal(text, expected);
    free(text);
}

/* ---- what is shared ---- */

static void a_flush_opens_only_its_own_segment(void **state)
{
    struct fixture *fixture = *state;

    insert_rows(fixture, 9, 0);
    flush(fixture->notes);
    insert_rows(fixture, 7, 0);
    delete_id(fixture->notes, 2);
    struct crn_view *before = settled(fixture->notes);
    flush(fixture->notes);
    struct crn_view *after = settled(fixture->notes);
    assert_int_equal(before->part_count, 1);
    assert_int_equal(after->part_count, 2);
    assert_ptr_equal(after->parts[0].segment, before->parts[0].segment);
    assert_int_equal(after->parts[0].live_count, 8);
    assert_int_equal(crn_view_tail_rows(after), 0);
    assert_ptr_not_equal(after->tails[0].tail, before->tails[0].tail); /* the old one is dropped as a whole */
    assert_int_equal(crn_view_rows(after), crn_view_rows(before));
    crn_view_release(after);
    crn_view_release(before);
}

static void an_index_comes_to_an_open_segment(void **state)
{
    struct fixture *fixture = *state;
    const struct crn_build_control control = {.threads = 1};
    cairn_collection *indexed;

    ok(cairn_collection_open(fixture->database.db, "indexed",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .index = "faiss:HNSW16"),
                             &indexed, err));
    for (uint64_t id = 0; id < 300; id++) put(indexed, &fixture->rng, id);
    flush(indexed);
    delete_id(indexed, 7);
    ok(crn_compact_merge(space_of(indexed), CRN_COMPACT_ALL, NULL, NULL, err));
    struct crn_view *before = settled(indexed);
    char *right = describe(indexed);
    assert_int_equal(before->part_count, 1);
    ok(crn_compact_index(space_of(indexed), &control, err));
    struct crn_view *after = settled(indexed);
    assert_non_null(after->parts[0].segment->index_ops);
    assert_ptr_equal(after->parts[0].segment->file, before->parts[0].segment->file);
    crn_view_release(before);
    crn_segment_open_index(after->parts[0].segment);
    assert_non_null(atomic_load(&after->parts[0].segment->index));
    expect_described(indexed, right);
    crn_view_release(after);
    free(right);
    cairn_collection_close(indexed);
}

/* One question costs far less than opening the index would, and yet it is opened soon: by maintenance. */
static void the_background_opens_indexes_that_are_asked_for(void **state)
{
    struct fixture *fixture = *state;
    cairn_collection *indexed;
    bool is_open = false;

    ok(cairn_collection_open(fixture->database.db, "indexed",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .index = "faiss:HNSW16"),
                             &indexed, err));
    for (uint64_t id = 0; id < 300; id++) put(indexed, &fixture->rng, id);
    ok(cairn_optimize(indexed, NULL, NULL, err));
    cairn_collection_close(indexed);
    fixture->options.no_background = false;
    reopen(fixture);
    ok(cairn_collection_open(fixture->database.db, "indexed", NULL, &indexed, err));
    struct crn_view *view = settled(indexed);
    char *right = describe(indexed);
    assert_int_equal(view->part_count, 1);
    for (int tries = 0; !is_open && tries < 2000; tries++) {
        is_open = atomic_load(&view->parts[0].segment->index) != NULL;
        usleep(10000);
    }
    assert_true(is_open);
    expect_described(indexed, right);
    free(right);
    crn_view_release(view);
    cairn_collection_close(indexed);
}

/* ---- what is written between a switch and the view that follows it ---- */

static void a_view_behind_a_switch_has_all_rows(void **state)
{
    struct fixture *fixture = *state;
    struct fixture second = *fixture;
    struct crn_view *view;

    insert_rows(fixture, 9, 0);
    ok(cairn_open(fixture->database.path, &fixture->options, &second.database.db, err));
    open_notes(&second);
    view = settled(second.notes);
    struct crn_tail *tail = view->tails[0].tail;
    crn_view_release(view);
    flush(fixture->notes);
    put(fixture->notes, &fixture->rng, 1000); /* after the switch */
    put(fixture->notes, &fixture->rng, 3);
    delete_id(fixture->notes, 4);
    /* The other handle hears of all of it. It was not asked to follow the switch, and is right without. */
    ok(crn_space_follow_until(space_of(second.notes), crn_store_sequence(second.database.db->store), &view,
                              err));
    assert_true(crn_view_is_behind(view));
    assert_int_equal(view->part_count, 0);
    assert_ptr_equal(view->tails[0].tail, tail);
    assert_int_equal(crn_view_rows(view), 9);
    crn_view_release(view);
    char *right = describe(fixture->notes);
    view = settled(second.notes);
    assert_int_equal(view->part_count, 1);
    assert_int_equal(view->parts[0].live_count, 7);
    assert_int_equal(crn_view_rows(view), 9);
    crn_view_release(view);
    expect_described(second.notes, right);
    free(right);
    cairn_collection_close(second.notes);
    cairn_close(second.database.db);
}

/* ---- anything in any order ---- */

static void change_something(struct fixture *fixture, cairn_collection *notes)
{
    const uint64_t id = crn_rng_below(&fixture->rng, IDS);
    const uint64_t what = crn_rng_below(&fixture->rng, 20);

    if (what < 10) {
        put(notes, &fixture->rng, id);
    } else if (what < 14) {
        delete_id(notes, id);
    } else if (what < 17) {
        flush(notes);
    } else if (what < 19) {
        ok(crn_compact_merge(space_of(notes), what == 17 ? CRN_COMPACT_ALL : CRN_COMPACT_IDLE, NULL, NULL,
                             err));
    } else {
        ok(cairn_optimize(notes, NULL, NULL, err));
    }
}

/* Two handles change one file; what each says is what a handle says that was just opened. */
static void a_view_that_followed_is_one_that_was_loaded(void **state)
{
    struct fixture *fixture = *state;
    struct fixture second = *fixture;

    fixture->options.tail_rows_max = second.options.tail_rows_max = 1u << 20; /* only this test flushes */
    reopen(fixture);
    ok(cairn_open(fixture->database.path, &fixture->options, &second.database.db, err));
    open_notes(&second);
    for (int step = 0; step < STEPS; step++) {
        change_something(fixture, crn_rng_below(&fixture->rng, 3) ? fixture->notes : second.notes);
        if (crn_rng_below(&fixture->rng, 3) == 0)
            free(describe(second.notes)); /* it is now and then far behind */
        if (step % 5 != 4) continue;
        struct fixture fresh = *fixture;
        ok(cairn_open(fixture->database.path, &fixture->options, &fresh.database.db, err));
        open_notes(&fresh);
        char *right = describe(fresh.notes);
        expect_described(fixture->notes, right);
        expect_described(second.notes, right);
        free(right);
        cairn_collection_close(fresh.notes);
        cairn_close(fresh.database.db);
    }
    database_verify_clean(&fixture->database);
    cairn_collection_close(second.notes);
    cairn_close(second.database.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flush_opens_only_its_own_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_comes_to_an_open_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_background_opens_indexes_that_are_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_view_behind_a_switch_has_all_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_view_that_followed_is_one_that_was_loaded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
