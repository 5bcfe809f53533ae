/* The command line by tables: every form of an option, defaults, operands, and what is wrong told by name. */
#include "cli/args.h"

#include "tests/cli/support.h"

static bool flag;
static const char *text;
static uint64_t count;
static double number;
static unsigned choice;
static const char *first, *second;
static struct crn_cli_list rest;

static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("flag", flag, "a flag"),
    CRN_CLI_OPTION_TEXT("text", "TEXT", text, "a text"),
    CRN_CLI_OPTION_COUNT("count", "N", 1, 100, count, "a count", .letter = 'n'),
    CRN_CLI_OPTION_NUMBER("number", "X", number, "a number"),
    CRN_CLI_OPTION_CHOICE("choice", "red|green|blue", choice, "a word"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};
static const struct crn_cli_operand operands[] = {
    {.name = "FIRST", .text = &first},
    {.name = "SECOND", .optional = true, .text = &second},
    {0},
};
static const struct crn_cli_operand list_operands[] = {
    {.name = "FIRST", .text = &first},
    {.name = "REST", .list = &rest},
    {0},
};
static const struct crn_cli_command command = {
    .name = "test", .summary = "Tests", .operands = operands, .groups = CRN_CLI_GROUPS(&group)};
static const struct crn_cli_command list_command = {
    .name = "test", .summary = "Tests", .operands = list_operands};

static int reset(void **state)
{
    (void)state;
    flag = false;
    text = first = second = NULL;
    count = 7;
    number = 0.5;
    choice = 0;
    rest = (struct crn_cli_list){0};
    return 0;
}

/* Parses a NULL-terminated list of arguments. */
static cairn_status parse(const struct crn_cli_command *with, const char **argv, bool *out_help,
                          cairn_error *err)
{
    int argc = 0;

    while (argv[argc] != NULL) argc++;
    return crn_cli_args_parse(with, argc, argv, out_help, err);
}

#define PARSE(with, ...) parse(with, (const char *[]){__VA_ARGS__, NULL}, &help, &err)
#define ASSERT_REFUSED(message_, ...)                                           \
    do {                                                                        \
        assert_int_equal(PARSE(&command, __VA_ARGS__), CAIRN_INVALID_ARGUMENT); \
        assert_string_equal(err.message, message_);                             \
    } while (0)

static void options_stand_anywhere(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    assert_int_equal(PARSE(&command, "--flag", "a", "--text", "hello", "b", "--choice=blue"), CAIRN_OK);
    assert_false(help);
    assert_true(flag);
    assert_string_equal(text, "hello");
    assert_int_equal(choice, 3);
    assert_string_equal(first, "a");
    assert_string_equal(second, "b");
    assert_int_equal(count, 7);
}

static void values_have_every_form(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    assert_int_equal(PARSE(&command, "a", "-n", "10"), CAIRN_OK);
    assert_int_equal(count, 10);
    assert_int_equal(PARSE(&command, "a", "-n11"), CAIRN_OK);
    assert_int_equal(count, 11);
    assert_int_equal(PARSE(&command, "a", "--count=12", "--count", "13"), CAIRN_OK);
    assert_int_equal(count, 13);
    assert_int_equal(PARSE(&command, "a", "--number", "-1.5e3"), CAIRN_OK);
    assert_true(number == -1500);
    assert_int_equal(PARSE(&command, "a", "--text="), CAIRN_OK);
    assert_string_equal(text, "");
    assert_int_equal(PARSE(&command, "a", "--text", "--flag"), CAIRN_OK);
    assert_string_equal(text, "--flag");
    assert_false(flag);
}

static void dashes_are_operands_where_they_should(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    assert_int_equal(PARSE(&command, "-", "--", "--flag"), CAIRN_OK);
    assert_string_equal(first, "-");
    assert_string_equal(second, "--flag");
    assert_false(flag);
}

static void lists_take_the_rest(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    assert_int_equal(PARSE(&list_command, "a", "b", "c"), CAIRN_OK);
    assert_int_equal(rest.count, 2);
    assert_string_equal(rest.items[0], "b");
    assert_string_equal(rest.items[1], "c");
    assert_int_equal(PARSE(&list_command, "a"), CAIRN_INVALID_ARGUMENT);
    assert_string_equal(err.message, "REST is missing");
}

static void help_comes_first(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    assert_int_equal(PARSE(&command, "--nonsense", "--help"), CAIRN_OK);
    assert_true(help);
    assert_int_equal(PARSE(&command, "-h"), CAIRN_OK);
    assert_true(help);
    assert_int_equal(PARSE(&command, "a", "--", "--help"), CAIRN_OK);
    assert_false(help);
}

static void mistakes_are_told(void **state)
{
    bool help;
    cairn_error err;

    (void)state;
    ASSERT_REFUSED("unknown option --txet; did you mean --text?", "a", "--txet", "x");
    ASSERT_REFUSED("unknown option --zzzzzzzz", "a", "--zzzzzzzz");
    ASSERT_REFUSED("unknown option -z", "a", "-z");
    ASSERT_REFUSED("unknown option --=3", "a", "--=3");
    ASSERT_REFUSED("--text wants a value: --text TEXT", "a", "--text");
    ASSERT_REFUSED("--flag takes no value", "a", "--flag=yes");
    ASSERT_REFUSED("--count wants an integer from 1 to 100, not '0'", "a", "--count", "0");
    ASSERT_REFUSED("--count wants an integer from 1 to 100, not '101'", "a", "-n101");
    ASSERT_REFUSED("--count wants an integer from 1 to 100, not '-3'", "a", "--count", "-3");
    ASSERT_REFUSED("--count wants an integer from 1 to 100, not '3x'", "a", "--count", "3x");
    ASSERT_REFUSED("--count wants an integer from 1 to 100, not '99999999999999999999'", "a", "--count",
                   "99999999999999999999");
    ASSERT_REFUSED("--number wants a number, not 'inf'", "a", "--number", "inf");
    ASSERT_REFUSED("--number wants a number, not ''", "a", "--number", "");
    ASSERT_REFUSED("--choice wants one of red|green|blue, not 'gre'", "a", "--choice", "gre");
    ASSERT_REFUSED("FIRST is missing", "--flag");
    ASSERT_REFUSED("'c' is one argument too many", "a", "b", "c");
}

static void nearest_words_are_near(void **state)
{
    static const char *const words[] = {"search", "scroll", "stats", "add"};

    (void)state;
    assert_string_equal(crn_cli_args_nearest("serach", words, 4), "search");
    assert_string_equal(crn_cli_args_nearest("stat", words, 4), "stats");
    assert_string_equal(crn_cli_args_nearest("ad", words, 4), "add");
    assert_null(crn_cli_args_nearest("completely", words, 4));
    assert_null(crn_cli_args_nearest("a-word-that-is-longer-than-the-forty-bytes-that-count", words, 4));
}

static void synopses_show_operands(void **state)
{
    char out[200];

    (void)state;
    crn_cli_args_synopsis(&command, out, sizeof out);
    assert_string_equal(out, "cairn test FIRST [SECOND] [OPTIONS]");
    crn_cli_args_synopsis(&list_command, out, sizeof out);
    assert_string_equal(out, "cairn test FIRST REST...");
    crn_cli_args_option(&options[2], out, sizeof out);
    assert_string_equal(out, "-n, --count N");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(options_stand_anywhere, reset),
        cmocka_unit_test_setup(values_have_every_form, reset),
        cmocka_unit_test_setup(dashes_are_operands_where_they_should, reset),
        cmocka_unit_test_setup(lists_take_the_rest, reset),
        cmocka_unit_test_setup(help_comes_first, reset),
        cmocka_unit_test_setup(mistakes_are_told, reset),
        cmocka_unit_test_setup(nearest_words_are_near, reset),
        cmocka_unit_test_setup(synopses_show_operands, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
