/* What reaches the host's log sink. */
#include "base/log.h"

#include "base/utf8.h"
#include "tests/base/support.h"

struct sink {
    int calls;
    cairn_log_level level;
    char line[4096];
};

static void keep(void *ctx, cairn_log_level level, const char *message)
{
    struct sink *sink = ctx;

    sink->calls++;
    sink->level = level;
    snprintf(sink->line, sizeof sink->line, "%s", message);
}

static void lines_reach_the_sink(void **state)
{
    struct sink sink = {0};
    struct crn_log log = {keep, &sink};

    (void)state;
    crn_log(&log, CAIRN_LOG_WARN, "merged %d segments of '%s'", 3, "notes");
    assert_int_equal(sink.calls, 1);
    assert_int_equal(sink.level, CAIRN_LOG_WARN);
    assert_string_equal(sink.line, "merged 3 segments of 'notes'");
}

static void without_a_sink_there_is_silence(void **state)
{
    struct crn_log log = {NULL, NULL};

    (void)state;
    crn_log(&log, CAIRN_LOG_ERROR, "%d", 1);
    crn_log(NULL, CAIRN_LOG_ERROR, "%d", 1);
}

static void a_name_cannot_forge_a_line(void **state)
{
    struct sink sink = {0};
    struct crn_log log = {keep, &sink};

    (void)state;
    crn_log(&log, CAIRN_LOG_INFO, "name '%s'", "a\nERROR forged\x1B[0m\xFF");
    assert_string_equal(sink.line, "name 'a ERROR forged [0m?'");
}

static void a_long_line_is_cut_at_a_border(void **state)
{
    struct sink sink = {0};
    struct crn_log log = {keep, &sink};
    char text[3001] = "";

    (void)state;
    for (int i = 0; i < 1000; i++) memcpy(text + 3 * i, "€", 4);
    crn_log(&log, CAIRN_LOG_DEBUG, "%s", text);
    assert_int_equal(strlen(sink.line), 1023);
    assert_int_equal(crn_utf8_valid(sink.line, 1023), 1023);
    crn_log(&log, CAIRN_LOG_DEBUG, "x%s", text);
    assert_int_equal(strlen(sink.line), 1021);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_reach_the_sink),
        cmocka_unit_test(without_a_sink_there_is_silence),
        cmocka_unit_test(a_name_cannot_forge_a_line),
        cmocka_unit_test(a_long_line_is_cut_at_a_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
