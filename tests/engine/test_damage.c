/* What damage to derived files costs: time and a line in the log, never an answer. */
#include "tests/engine/maintenance.h"

#include <fcntl.h>

enum damage { FLIP_HEADER, FLIP_MIDDLE, FLIP_END, CUT, EMPTY, REMOVE, DAMAGE_COUNT };

static void harm(const char *path, enum damage damage)
{
    struct stat info;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    const off_t at = damage == FLIP_HEADER ? 20 : damage == FLIP_MIDDLE ? info.st_size / 2 : info.st_size - 1;
    unsigned char byte;
    switch (damage) {
    case CUT:
        assert_int_equal(ftruncate(fd, info.st_size / 2), 0);
        break;
    case EMPTY:
        assert_int_equal(ftruncate(fd, 0), 0);
        break;
    case REMOVE:
        assert_int_equal(unlink(path), 0);
        break;
    default:
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x40;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        break;
    }
    close(fd);
}

static void harm_all(struct fixture *fixture, enum damage damage)
{
    struct files *files = malloc(sizeof *files);

    list_files(fixture, files);
    assert_true(files->count > 0);
    for (size_t i = 0; i < files->count; i++) harm(files->paths[i], damage);
    free(files);
}

/* Closed, harmed by `damage`, and opened again. */
static void harm_while_closed(struct fixture *fixture, enum damage damage)
{
    cairn_collection_close(fixture->notes);
    cairn_close(fixture->database.db);
    harm_all(fixture, damage);
    fixture->database.log[0] = '\0';
    database_open(&fixture->database, &fixture->options);
    open_notes(fixture);
}

static void damaged_files_are_made_anew(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    insert_rows(fixture, 205, 0);
    ask(fixture, before);
    for (enum damage damage = FLIP_HEADER; damage < DAMAGE_COUNT; damage++) {
        harm_while_closed(fixture, damage);
        expect_same(fixture, before);
        assert_non_null(strstr(fixture->database.log, "rebuilding from the rows"));
        database_verify_clean(&fixture->database);
        fixture->database.log[0] = '\0';
        reopen(fixture);
        expect_same(fixture, before);
        assert_string_equal(fixture->database.log, ""); /* once is enough */
    }
    free(before);
}

static void verify_finds_what_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    uint64_t findings;

    insert_rows(fixture, 205, 0);
    for (enum damage damage = FLIP_HEADER; damage < DAMAGE_COUNT; damage++) {
        harm_while_closed(fixture, damage);
        ok(cairn_verify(fixture->database.db, NULL, NULL, NULL, &findings, err));
        assert_true(findings > 0);
        ok(cairn_rebuild(fixture->database.db, NULL, NULL, err));
        database_verify_clean(&fixture->database);
    }
}

static void optimizing_mends_what_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    insert_rows(fixture, 205, 0);
    ask(fixture, before);
    for (enum damage damage = FLIP_HEADER; damage < DAMAGE_COUNT; damage++) {
        harm_while_closed(fixture, damage);
        insert_rows(fixture, 1, 1);
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
        database_verify_clean(&fixture->database);
        expect_same(fixture, before);
    }
    free(before);
}

static void read_only_damage_is_done_without(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    insert_rows(fixture, 205, 0);
    ask(fixture, before);
    for (enum damage damage = FLIP_HEADER; damage < DAMAGE_COUNT; damage++) {
        fixture->options.read_only = true;
        harm_while_closed(fixture, damage);
        const size_t files = count_files(fixture);
        expect_same(fixture, before);
        expect_same(fixture, before);
        assert_int_equal(space_number(fixture, "segments_trusted"), false);
        assert_non_null(strstr(fixture->database.log, "rebuilding from the rows"));
        assert_int_equal(count_files(fixture), files); /* nothing written, nothing taken away */
        fixture->options.read_only = false;
        reopen(fixture);
        expect_same(fixture, before);
        assert_int_equal(space_number(fixture, "segments_trusted"), true);
    }
    free(before);
}

static void distrust_lasts_until_files_are_made_anew(void **state)
{
    struct fixture *fixture = *state;
    struct answers *before = malloc(sizeof *before);

    insert_rows(fixture, 100, 0);
    crn_live_space_distrust(crn_collection_now(fixture->notes)->live[0]);
    insert_rows(fixture, 15, 0); /* the tail is long enough to be written out, but stays */
    ask(fixture, before);
    assert_int_equal(space_number(fixture, "segments_trusted"), false);
    assert_int_equal(space_number(fixture, "segments"), 0);
    assert_int_equal(space_number(fixture, "tail_rows"), 115);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "segments_trusted"), true);
    assert_int_equal(space_number(fixture, "segments"), 1);
    assert_int_equal(space_number(fixture, "tail_rows"), 0);
    expect_same(fixture, before);
    database_verify_clean(&fixture->database);
    free(before);
}

/* ---- indexes ---- */

#define INDEXED 400

static void open_indexed(struct fixture *fixture)
{
    ok(cairn_collection_open(fixture->database.db, "indexed",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = DIM, .metric = CAIRN_METRIC_L2,
                                           .index = "faiss:HNSW16"),
                             &fixture->notes, err));
}

static void harm_index(struct fixture *fixture, enum damage damage)
{
    struct files *files = malloc(sizeof *files);
    size_t harmed = 0;

    cairn_collection_close(fixture->notes);
    cairn_close(fixture->database.db);
    list_files(fixture, files);
    for (size_t i = 0; i < files->count; i++) {
        if (strstr(files->paths[i], ".faiss.") == NULL) continue;
        harm(files->paths[i], damage);
        harmed++;
    }
    assert_int_equal(harmed, 1);
    free(files);
    database_open(&fixture->database, &fixture->options);
    open_indexed(fixture);
}

/* Often enough that the index has been opened, or found to be damaged. */
static void search_often(struct fixture *fixture)
{
    float vector[DIM];

    for (int i = 0; i < 2000; i++) {
        cairn_results *results;
        for (int c = 0; c < DIM; c++) vector[c] = (float)crn_rng_normal(&fixture->rng);
        ok(cairn_search(fixture->notes, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 5), &results, err));
        assert_int_equal(cairn_results_count(results), 5);
        cairn_results_free(results);
    }
}

static void damaged_indexes_are_done_without_and_made_anew(void **state)
{
    struct fixture *fixture = *state;

    cairn_collection_close(fixture->notes);
    open_indexed(fixture);
    insert_rows(fixture, INDEXED, 0);
    ok(cairn_optimize(fixture->notes, NULL, NULL, err));
    assert_int_equal(space_number(fixture, "indexed_rows"), INDEXED);
    search_often(fixture);
    assert_int_equal(space_number(fixture, "open_indexes"), 1);
    for (enum damage damage = FLIP_HEADER; damage < DAMAGE_COUNT; damage++) {
        harm_index(fixture, damage);
        search_often(fixture);
        assert_int_equal(space_number(fixture, "open_indexes"), 0);
        ok(cairn_optimize(fixture->notes, NULL, NULL, err));
        database_verify_clean(&fixture->database);
        search_often(fixture);
        assert_int_equal(space_number(fixture, "open_indexes"), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged_files_are_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(verify_finds_what_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(optimizing_mends_what_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_only_damage_is_done_without, set_up, tear_down),
        cmocka_unit_test_setup_teardown(distrust_lasts_until_files_are_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_indexes_are_done_without_and_made_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
