/* What maintenance keeps in order: tails written out, few segments, expired rows gone, no file left over, a short log. */
#include "tests/engine/maintenance.h"

static void the_tail_is_written_out_when_it_is_long(void **state)
{
    struct fixture *fixture = *state;

    insert_rows(fixture, 9, 0);
    assert_int_equal(space_number(fixture, "segments"), 0);
    insert_rows(fixture, 1, 0);
    assert_int_equal(space_number(fixture, "segments"), 1);
    assert_int_equal(space_number(fixture, "tail_rows"), 0);
    for (int i = 0; i < 40; i++) {
        insert_rows(fixture, 1, 0);
        assert_true(space_number(fixture, "tail_rows") < 10);
    }
    assert_int_equal(space_number(fixture, "rows"), 50);
    reopen(fixture);
    assert_int_equal(space_number(fixture, "rows"), 50);
    database_verify_clean(&fixture->database);
}

static void deletes_alone_are_written_out_too(void **state)
{
    struct fixture *fixture = *state;

    insert_rows(fixture, 30, 0);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    for (uint64_t n = 0; n < 30; n++)
        ok(cairn_delete(fixture->notes, &(cairn_id){CAIRN_ID_U64, NULL, n}, 1, NULL, err));
    assert_int_equal(space_number(fixture, "rows"), 0);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "deleted_rows"), 0);
    assert_int_equal(space_number(fixture, "rows"), 0);
    reopen(fixture);
    assert_int_equal(space_number(fixture, "rows"), 0);
    insert_rows(fixture, 1, 0);
    assert_int_equal(space_number(fixture, "rows"), 1);
    database_verify_clean(&fixture->database);
}

static void optimizing_leaves_one_segment_and_no_other_file(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);
    cairn_collection *other;

    insert_rows(fixture, 95, 0);
    ok(cairn_delete_where(fixture->notes, CAIRN_OPTIONS(cairn_scope, .domain = "third"), NULL, err));
    insert_rows(fixture, 20, 0);
    ask(fixture, before);
    assert_true(space_number(fixture, "segments") > 1);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "segments"), 1);
    assert_int_equal(space_number(fixture, "tail_rows"), 0);
    assert_int_equal(space_number(fixture, "deleted_rows"), 0);
    assert_int_equal(count_files(fixture), 1);
    expect_same(fixture, before);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err)); /* again: nothing to do */
    assert_int_equal(count_files(fixture), 1);
    /* The files of a collection that was dropped go with the next optimization of any. */
    ok(cairn_collection_open(fixture->database.db, "other",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM), &other, err));
    ok(cairn_insert(other, CAIRN_OPTIONS(cairn_pattern, .vector = (const float[DIM]){1}), 1, err));
    ok(cairn_optimize(other, NULL, NULL, err));
    assert_int_equal(count_files(fixture), 2);
    cairn_collection_close(other);
    ok(cairn_collection_drop(fixture->database.db, "other", err));
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(count_files(fixture), 1);
    reopen(fixture);
    expect_same(fixture, before);
    database_verify_clean(&fixture->database);
    free(before);
}

/* A bound on waiting, not on time: it fails only if maintenance never comes to an end. */
static void expect_few_segments(struct fixture *fixture)
{
    int64_t segments = 0, tail = 0;

    for (int i = 0; i < 20000; i++) {
        segments = space_number(fixture, "segments");
        tail = space_number(fixture, "tail_rows");
        if (segments <= 16 && tail < 30) break;
        usleep(1000);
    }
    assert_in_range(segments, 1, 16);
    assert_in_range(tail, 0, 29);
}

static void the_background_keeps_segments_few(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    fixture->options.no_background = false;
    reopen(fixture);
    insert_rows(fixture, 1500, 0);
    ask(fixture, before);
    expect_few_segments(fixture);
    expect_same(fixture, before);
    database_verify_clean(&fixture->database);
    free(before);
}

/* What had to wait, here for another who merges, is done though nothing is written any more. */
static void merging_goes_on_when_nothing_is_written(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.no_background = false;
    reopen(fixture);
    ok(crn_store_lock(fixture->database.db->store, CRN_LOCK_BUILDER, true, NULL, err));
    insert_rows(fixture, 900, 0);
    assert_true(space_number(fixture, "segments") > 20);
    crn_store_unlock(fixture->database.db->store, CRN_LOCK_BUILDER);
    expect_few_segments(fixture);
    assert_int_equal(space_number(fixture, "rows"), 900);
    database_verify_clean(&fixture->database);
}

/* What whoever had it open before had left for later is merged too, once somebody searches. */
static void merging_goes_on_after_opening(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    fixture->options.no_background = false;
    reopen(fixture);
    ok(crn_store_lock(fixture->database.db->store, CRN_LOCK_BUILDER, true, NULL, err));
    insert_rows(fixture, 900, 0);
    ask(fixture, before);
    assert_true(space_number(fixture, "segments") > 20);
    crn_store_unlock(fixture->database.db->store, CRN_LOCK_BUILDER);
    reopen(fixture);
    expect_same(fixture, before);
    expect_few_segments(fixture);
    expect_same(fixture, before);
    free(before);
}

static void the_log_is_trimmed(void **state)
{
    struct fixture *fixture = *state;
    struct crn_store_stats stats;

    insert_rows(fixture, 200, 0);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    ok(crn_store_get_stats(fixture->database.db->store, &stats, err));
    assert_true(stats.log_entries < 20);
    assert_true(stats.log_last >= 200);
    reopen(fixture);
    assert_int_equal(space_number(fixture, "rows"), 200);
}

/* A handle that slept while the log was trimmed loads anew. */
static void a_handle_left_behind_catches_up(void **state)
{
    struct fixture *fixture = *state;
    struct fixture second = *fixture;
    struct answers *right = malloc(sizeof *right);

    insert_rows(fixture, 25, 0);
    ok(cairn_open(fixture->database.path, &fixture->options, &second.database.db, err));
    open_notes(&second);
    ask(fixture, right);
    expect_same(&second, right);
    insert_rows(fixture, 100, 0);
    ok(cairn_delete(fixture->notes, &(cairn_id){CAIRN_ID_U64, NULL, 3}, 1, NULL, err));
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    ask(fixture, right);
    expect_same(&second, right);
    insert_rows(fixture, 3, 0);
    ok(cairn_rebuild(fixture->database.db, NULL, NULL, err));
    ask(fixture, right);
    expect_same(&second, right);
    cairn_collection_close(second.notes);
    cairn_close(second.database.db);
    free(right);
}

static uint64_t rows_in_file(struct fixture *fixture)
{
    struct crn_reader *reader;
    uint64_t rows = 0;

    ok(crn_store_read_begin(fixture->database.db->store, &reader, err));
    ok(crn_read_count(reader, fixture->notes->id, &rows, err));
    crn_store_read_end(reader);
    return rows;
}

static void expired_rows_leave_answers_at_once_and_the_file_later(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    insert_rows(fixture, 30, 0);
    ask(fixture, before);
    insert_rows(fixture, 1100, 1); /* more than are deleted in one go */
    assert_int_equal(rows_in_file(fixture), 1130);
    assert_int_equal(count_of(fixture->notes, NULL), 30);
    expect_same(fixture, before);
    reopen(fixture);
    expect_same(fixture, before);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(rows_in_file(fixture), 30);
    expect_same(fixture, before);
    database_verify_clean(&fixture->database);
    free(before);
}

/* ---- optimizing while others merge ---- */

struct waiting {
    struct crn_store *store;
    int calls;
    int until; /* the call at which the other one is done; at the one after it the request is cancelled */
};

static bool others_end(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    struct waiting *waiting = ctx;

    (void)done;
    (void)total;
    if (strcmp(phase, "wait") != 0) return true;
    if (++waiting->calls == waiting->until) crn_store_unlock(waiting->store, CRN_LOCK_BUILDER);
    return waiting->calls < 10;
}

/* Merging may take minutes, and a write's patience has nothing to do with it. */
static void optimizing_waits_for_others_however_long(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.busy_timeout_ms = 1;
    reopen(fixture);
    insert_rows(fixture, 95, 0);
    struct waiting waiting = {.store = fixture->database.db->store, .until = 5};
    ok(crn_store_lock(waiting.store, CRN_LOCK_BUILDER, true, NULL, err));
    ok(cairn_optimize(fixture->notes, others_end, &waiting, err));
    assert_int_equal(waiting.calls, 5);
    assert_int_equal(space_number(fixture, "segments"), 1);

    insert_rows(fixture, 15, 0);
    waiting = (struct waiting){.store = waiting.store, .until = 1000};
    ok(crn_store_lock(waiting.store, CRN_LOCK_BUILDER, true, NULL, err));
    refused(CAIRN_CANCELLED, "stopped while others merged",
            cairn_optimize(fixture->notes, others_end, &waiting, err));
    crn_store_unlock(waiting.store, CRN_LOCK_BUILDER);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "rows"), 110);
    database_verify_clean(&fixture->database);
}

static void open_loaded(struct fixture *fixture)
{
    cairn_collection_close(fixture->notes);
    ok(cairn_collection_open(
        fixture->database.db, "loaded",
        CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2, .index = "ivf"),
        &fixture->notes, err));
}

static void optimizing_beside_the_background_is_never_busy(void **state)
{
    struct fixture *fixture = *state;

    fixture->options = (cairn_open_options){.size = sizeof fixture->options,
                                            .tail_rows_max = 300,
                                            .busy_timeout_ms = 1000,
                                            .durability = CAIRN_LAZY};
    reopen(fixture);
    open_loaded(fixture);
    for (int round = 1; round <= 6; round++) {
        insert_rows(fixture, 1300, 0);
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
        assert_int_equal(space_number(fixture, "rows"), 1300 * round);
        assert_int_equal(space_number(fixture, "indexed_rows"), 1300 * round);
    }
    database_verify_clean(&fixture->database);
}

/* ---- bulk ---- */

static void load_in_bulk(struct fixture *fixture, bool background)
{
    struct answers *before = malloc(sizeof *before), *after = malloc(sizeof *after);

    fixture->options = (cairn_open_options){.size = sizeof fixture->options,
                                            .tail_rows_max = 100,
                                            .no_background = !background,
                                            .bulk_load = true,
                                            .durability = CAIRN_LAZY};
    reopen(fixture);
    open_loaded(fixture);
    insert_rows(fixture, 5350, 0);
    assert_int_equal(space_number(fixture, "rows"), 5350);
    assert_int_equal(space_number(fixture, "indexed_rows"), 0);
    ask(fixture, before);
    cairn_collection_close(fixture->notes); /* what is left in the tail is for nobody else to read */
    fixture->notes = NULL;
    reopen(fixture);
    open_loaded(fixture);
    assert_in_range(space_number(fixture, "tail_rows"), 0, 99);
    assert_int_equal(space_number(fixture, "indexed_rows"), 0);
    ask(fixture, after);
    assert_memory_equal(after, before, sizeof *after);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "indexed_rows"), 5350);
    assert_int_equal(space_number(fixture, "segments"), 1);

    /* What has an index keeps it. */
    insert_rows(fixture, 4350, 0);
    assert_int_equal(space_number(fixture, "rows"), 9700);
    assert_int_equal(space_number(fixture, "indexed_rows"), 5350);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "indexed_rows"), 9700);
    database_verify_clean(&fixture->database);
    free(before);
    free(after);
}

static void rows_loaded_in_bulk_get_their_index_at_the_end(void **state)
{
    load_in_bulk(*state, false);
}

static void the_background_builds_no_index_while_rows_are_loaded_in_bulk(void **state)
{
    load_in_bulk(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_tail_is_written_out_when_it_is_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deletes_alone_are_written_out_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(optimizing_leaves_one_segment_and_no_other_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_background_keeps_segments_few, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merging_goes_on_when_nothing_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merging_goes_on_after_opening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_log_is_trimmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_handle_left_behind_catches_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(expired_rows_leave_answers_at_once_and_the_file_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(optimizing_waits_for_others_however_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(optimizing_beside_the_background_is_never_busy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_loaded_in_bulk_get_their_index_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_background_builds_no_index_while_rows_are_loaded_in_bulk, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
