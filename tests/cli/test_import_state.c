/* The state file of an import: written, read, bound to its file, and gone when removed. */
#include "cli/import_state.h"

#include "tests/cli/support.h"

struct fixture {
    char folder[200], file[220], db[220];
    struct crn_cli_input input;
    struct crn_cli_import_state state;
    cairn_error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    test_folder(f->folder);
    snprintf(f->file, sizeof f->file, "%.199s/data.jsonl", f->folder);
    snprintf(f->db, sizeof f->db, "%.199s/memory.cairn", f->folder);
    test_write_file(f->file, "0123456789", 10);
    assert_int_equal(crn_cli_input_open(&f->input, f->file, &f->err), CAIRN_OK);
    assert_int_equal(crn_cli_import_state_init(&f->state, f->db, "default", f->file, &f->err), CAIRN_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    crn_cli_import_state_remove(&f->state);
    crn_cli_import_state_release(&f->state);
    crn_cli_input_close(&f->input);
    unlink(f->file);
    return rmdir(f->folder); /* which fails when anything else was left */
}

static void what_is_saved_is_loaded(void **state)
{
    struct fixture *f = *state;
    bool found;

    assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err), CAIRN_OK);
    assert_false(found);
    f->state.offset = 7;
    f->state.line = 3;
    f->state.stored = UINT64_MAX;
    f->state.bad = 2;
    assert_int_equal(crn_cli_import_state_save(&f->state, &f->input, &f->err), CAIRN_OK);
    f->state.offset = f->state.line = f->state.stored = f->state.bad = 0;
    assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err), CAIRN_OK);
    assert_true(found);
    assert_int_equal(f->state.offset, 7);
    assert_int_equal(f->state.line, 3);
    assert_true(f->state.stored == UINT64_MAX);
    assert_int_equal(f->state.bad, 2);
    crn_cli_import_state_remove(&f->state);
    assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err), CAIRN_OK);
    assert_false(found);
}

static void names_are_of_file_and_collection(void **state)
{
    struct fixture *f = *state;
    struct crn_cli_import_state other;

    assert_int_equal(strncmp(f->state.path, f->db, strlen(f->db)), 0);
    assert_int_equal(strncmp(f->state.path + strlen(f->db), ".import-", 8), 0);
    assert_int_equal(strlen(f->state.path), strlen(f->db) + strlen(".import-0123456789abcdef.json"));
    assert_int_equal(crn_cli_import_state_init(&other, f->db, "notes", f->file, &f->err), CAIRN_OK);
    assert_string_not_equal(other.path, f->state.path);
    crn_cli_import_state_release(&other);
    assert_int_equal(crn_cli_import_state_init(&other, f->db, "default", "/no/such/file", &f->err),
                     CAIRN_NO_FILE);
    crn_cli_import_state_release(&other);
}

static void another_file_is_no_match(void **state)
{
    struct fixture *f = *state;
    bool found;

    assert_int_equal(crn_cli_import_state_save(&f->state, &f->input, &f->err), CAIRN_OK);
    f->input.size++;
    assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err), CAIRN_CONFLICT);
    f->input.size--;
    f->input.inode++;
    assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err), CAIRN_CONFLICT);
}

static void damage_is_told(void **state)
{
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "{\"size\":10}",
        "{\"size\":10,\"inode\":1,\"offset\":-1,\"line\":0,\"stored\":0,\"bad\":0}",
        "{\"size\":10,\"inode\":1,\"offset\":\"1\",\"line\":0,\"stored\":0,\"bad\":0}"};
    struct fixture *f = *state;
    bool found;

    for (size_t i = 0; i < COUNT_OF(damaged); i++) {
        test_write_file(f->state.path, damaged[i], strlen(damaged[i]));
        assert_int_equal(crn_cli_import_state_load(&f->state, &f->input, &found, &f->err),
                         CAIRN_INVALID_JSON);
        assert_true(found);
        assert_non_null(strstr(f->err.message, "remove it"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_saved_is_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_of_file_and_collection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_file_is_no_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
