/* The clocks, and the parser of RFC 3339 against a table and against timegm. */
#include "base/clock.h"

#include "tests/base/support.h"

#include <time.h>

static void good_texts_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00z", 0},
        {"1970-01-01t00:00:00Z", 0},
        {"1970-01-01 00:00:00Z", 0},
        {"2024-05-01", 1714521600000},
        {"2024-05-01T10:00:00Z", 1714557600000},
        {"2024-05-01T10:00:00.1Z", 1714557600100},
        {"2024-05-01T10:00:00.12Z", 1714557600120},
        {"2024-05-01T10:00:00.123Z", 1714557600123},
        {"2024-05-01T10:00:00.1239999999999999999999999Z", 1714557600123},
        {"2024-05-01T10:00:00.000Z", 1714557600000},
        {"2024-05-01T12:00:00+02:00", 1714557600000},
        {"2024-05-01T04:30:00-05:30", 1714557600000},
        {"2024-05-01T10:00:00-00:00", 1714557600000},
        {"2024-05-01T10:00:00+00:00", 1714557600000},
        {"2024-02-29", 1709164800000},
        {"2000-02-29", 951782400000},
        {"1969-12-31T23:59:59.999Z", -1},
        {"1969-12-31T23:59:59Z", -1000},
        {"0000-01-01", -62167219200000},
        {"0000-02-29T00:00:00Z", -62162121600000},
        {"0001-01-01T00:00:00Z", -62135596800000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"1990-12-31T23:59:60Z", 662688000000},
        {"1990-12-31T15:59:60-08:00", 662688000000},
        {"1990-12-31T23:59:60.5Z", 662688000500},
        {"0000-01-01T00:00:00+23:59", -62167305540000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t ms = -7;
        if (!crn_clock_parse(rows[i].text, strlen(rows[i].text), &ms) || ms != rows[i].ms) {
            fail_msg("'%s' gave %" PRId64 ", not %" PRId64, rows[i].text, ms, rows[i].ms);
        }
    }
}

static void bad_texts_do_not(void **state)
{
    /* clang-format off */
    static const char *const texts[] = {
        "", "2", "2024", "2024-05", "2024-05-", "2024-5-01", "24-05-01", "02024-05-01", "2024/05/01",
        "2024-00-01", "2024-13-01", "2024-05-00", "2024-05-32", "2024-04-31", "2023-02-29", "1900-02-29",
        "2100-02-29", "-024-05-01", "+2024-05-01", " 2024-05-01", "2024-05-01 ", "2024-05-01T",
        "2024-05-01Z", "2024-05-01T10", "2024-05-01T10:00", "2024-05-01T10:00Z", "2024-05-01T10:00:00",
        "2024-05-01T10:00:00X", "2024-05-01X10:00:00Z", "2024-05-01  10:00:00Z", "2024-05-01T24:00:00Z",
        "2024-05-01T10:60:00Z", "2024-05-01T10:00:61Z", "2024-05-01T10:00:60Z", "2024-05-01T23:59:60+01:00",
        "2024-05-01T10:00:00.Z", "2024-05-01T10:00:00,5Z", "2024-05-01T10:00:00+0200",
        "2024-05-01T10:00:00+02", "2024-05-01T10:00:00+24:00", "2024-05-01T10:00:00+02:60",
        "2024-05-01T10:00:00Z ", "2024-05-01T10:00:00ZZ", "2024-05-01T10:00:00+02:00Z",
        "2024-05-01T1:00:00Z", "2024-05-01T10:00:00+-2:00", "now", "1714557600000", "2024-05-0١",
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int64_t ms = -7;
        if (crn_clock_parse(texts[i], strlen(texts[i]), &ms)) fail_msg("'%s' gave %" PRId64, texts[i], ms);
        assert_int_equal(ms, -7);
    }
}

/* Each prefix in memory of its own size: the address sanitizer sees a byte read too many. */
static void no_byte_behind_the_end_is_read(void **state)
{
    static const char text[] = "1985-04-12T23:20:50.52+01:30";

    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        char *exact = malloc(len > 0 ? len : 1);
        int64_t ms;
        memcpy(exact, text, len);
        assert_int_equal(crn_clock_parse(exact, len, &ms), len == 10 || len == strlen(text));
        free(exact);
    }
    int64_t ms;
    assert_false(crn_clock_parse("1970-01-01\0", 11, &ms));
}

static void every_day_equals_timegm(void **state)
{
    const time_t first = -62167219200, last = 253402300799;

    (void)state;
    for (time_t day = first; day <= last; day += 86400) {
        struct tm tm;
        char text[80];
        int64_t ms;
        gmtime_r(&day, &tm);
        if (tm.tm_mday > 2 && tm.tm_mday < 28 && tm.tm_year % 100 != 0)
            continue; /* borders are what counts */
        int len = snprintf(text, sizeof text, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        assert_true(crn_clock_parse(text, (size_t)len, &ms));
        assert_int_equal(ms, day * 1000);
    }
}

static void random_times_equal_timegm(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct tm tm;
        char text[120];
        int64_t ms;
        time_t when = (time_t)crn_rng_below(&rng, 315000000000) - 62000000000;
        int fraction = (int)crn_rng_below(&rng, 1000), offset = (int)crn_rng_below(&rng, 2880) - 1440;
        if (offset == -1440) offset = 0;
        time_t local = when + offset * 60;
        gmtime_r(&local, &tm);
        int len = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03d%c%02d:%02d",
                           tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                           fraction, offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
        assert_true(crn_clock_parse(text, (size_t)len, &ms));
        assert_int_equal(ms, (int64_t)when * 1000 + fraction);
    }
}

static void the_clocks_go(void **state)
{
    int64_t wall = crn_clock_ms();
    uint64_t last = crn_clock_ns();

    (void)state;
    assert_true(llabs((long long)wall / 1000 - (long long)time(NULL)) <= 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = crn_clock_ns();
        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_parse),
        cmocka_unit_test(bad_texts_do_not),
        cmocka_unit_test(no_byte_behind_the_end_is_read),
        cmocka_unit_test(every_day_equals_timegm),
        cmocka_unit_test(random_times_equal_timegm),
        cmocka_unit_test(the_clocks_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
