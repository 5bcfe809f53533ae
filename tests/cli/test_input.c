/* Reading ahead: lines over block borders, the last line without its end, seeking, and lines too long. */
#include "cli/input.h"

#include "tests/cli/support.h"

#include <fcntl.h>

struct fixture {
    char folder[200], path[220];
};

static int set_up(void **state)
{
    static struct fixture fixture;

    test_folder(fixture.folder);
    snprintf(fixture.path, sizeof fixture.path, "%.199s/input", fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    return rmdir(fixture->folder);
}

static void assert_line(struct crn_cli_input *input, const char *text, uint64_t offset)
{
    const char *line;
    size_t len;
    bool end;
    cairn_error err;

    assert_int_equal(crn_cli_input_line(input, &line, &len, &end, &err), CAIRN_OK);
    assert_false(end);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(line, text, len);
    assert_int_equal(input->offset, offset);
}

static void assert_end(struct crn_cli_input *input)
{
    const char *line;
    size_t len;
    bool end;
    cairn_error err;

    assert_int_equal(crn_cli_input_line(input, &line, &len, &end, &err), CAIRN_OK);
    assert_true(end);
}

static void lines_end_in_either_way(void **state)
{
    static const char text[] = "one\r\n\ntwo\nthree";
    struct crn_cli_input input;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_input_open_memory(&input, text, strlen(text), &err), CAIRN_OK);
    assert_line(&input, "one", 5);
    assert_line(&input, "", 6);
    assert_line(&input, "two", 10);
    assert_line(&input, "three", 15);
    assert_end(&input);
    assert_int_equal(crn_cli_input_seek(&input, 6, &err), CAIRN_OK);
    assert_line(&input, "two", 10);
    assert_int_equal(crn_cli_input_seek(&input, 16, &err), CAIRN_INVALID_ARGUMENT);
    crn_cli_input_close(&input);

    assert_int_equal(crn_cli_input_open_memory(&input, "", 0, &err), CAIRN_OK);
    assert_end(&input);
    crn_cli_input_close(&input);
}

/* Lines of growing length, so that their ends fall everywhere around the blocks' borders. */
static void lines_cross_blocks(void **state)
{
    struct fixture *fixture = *state;
    struct crn_cli_input input;
    cairn_error err;
    size_t lens[] = {1, 262142, 262143, 262144, 262145, 3, 700000, 0, 262143};
    char *line = malloc(800000);
    uint64_t offset = 0;

    memset(line, 'x', 800000);
    FILE *file = fopen(fixture->path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < COUNT_OF(lens); i++) fprintf(file, "%.*s\n", (int)lens[i], line);
    fclose(file);

    assert_int_equal(crn_cli_input_open(&input, fixture->path, &err), CAIRN_OK);
    assert_true(input.is_file);
    for (int round = 0; round < 2; round++) {
        offset = 0;
        for (size_t i = 0; i < COUNT_OF(lens); i++) {
            offset += lens[i] + 1;
            line[lens[i]] = '\0';
            assert_line(&input, line, offset);
            line[lens[i]] = 'x';
        }
        assert_end(&input);
        assert_int_equal(offset, input.size);
        assert_int_equal(crn_cli_input_seek(&input, 0, &err), CAIRN_OK);
    }
    crn_cli_input_close(&input);
    free(line);
}

static void long_lines_are_skipped(void **state)
{
    struct fixture *fixture = *state;
    struct crn_cli_input input;
    cairn_error err;
    const char *line;
    size_t len;
    bool end;

    /* A hole of zero bytes is a line as any other, and costs no disk. */
    int fd = open(fixture->path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a\n", 2), 2);
    assert_int_equal(pwrite(fd, "\nb\n", 3, 2 + (off_t)CRN_CLI_INPUT_MAX + 5), 3);
    close(fd);

    assert_int_equal(crn_cli_input_open(&input, fixture->path, &err), CAIRN_OK);
    assert_line(&input, "a", 2);
    assert_int_equal(crn_cli_input_line(&input, &line, &len, &end, &err), CAIRN_LIMIT);
    assert_non_null(strstr(err.message, "134217728"));
    assert_line(&input, "b", input.size);
    assert_end(&input);
    crn_cli_input_close(&input);
}

static void what_cannot_be_read_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct crn_cli_input input;
    cairn_error err;

    assert_int_equal(crn_cli_input_open(&input, fixture->path, &err), CAIRN_NO_FILE);
    assert_non_null(strstr(err.message, fixture->path));
    assert_int_equal(crn_cli_input_open(&input, fixture->folder, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "is a folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_end_in_either_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_cross_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
