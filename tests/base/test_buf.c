/* The growable buffer: growth, the maximum, failures that stick, and JSON text. */
#include "base/buf.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "tests/base/support.h"

#include <math.h>
#include <wchar.h>

static void assert_holds(const struct crn_buf *buf, const char *text)
{
    assert_int_equal(buf->failed, CAIRN_OK);
    assert_int_equal(buf->len, strlen(text));
    assert_string_equal(buf->data, text);
}

static void appends_stay_terminated(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 1000);
    assert_null(buf.data);
    assert_int_equal(crn_buf_append(&buf, "abc", 2), CAIRN_OK);
    assert_holds(&buf, "ab");
    assert_int_equal(crn_buf_puts(&buf, "cd"), CAIRN_OK);
    assert_int_equal(crn_buf_putc(&buf, 'e'), CAIRN_OK);
    assert_int_equal(crn_buf_printf(&buf, "-%d-%s", 42, "x"), CAIRN_OK);
    assert_int_equal(crn_buf_append(&buf, NULL, 0), CAIRN_OK);
    assert_int_equal(crn_buf_puts(&buf, ""), CAIRN_OK);
    assert_int_equal(crn_buf_printf(&buf, "%s", ""), CAIRN_OK);
    assert_holds(&buf, "abcde-42-x");
    memcpy(crn_buf_extend(&buf, 3), "fgh", 3);
    assert_holds(&buf, "abcde-42-xfgh");
    crn_buf_release(&buf);
    assert_null(buf.data);
    crn_buf_release(&buf);
}

/* No wide character has this value, so the C library refuses to print it. */
static void a_refused_conversion_is_told(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 100);
    crn_buf_puts(&buf, "kept");
    assert_int_equal(crn_buf_printf(&buf, "%lc", (wint_t)0x7FFFFFFF), CAIRN_INTERNAL);
    assert_string_equal(buf.data, "kept");
    crn_buf_release(&buf);
}

static void an_empty_printf_gives_an_empty_text(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 0);
    assert_int_equal(crn_buf_printf(&buf, "%s", ""), CAIRN_OK);
    assert_holds(&buf, "");
    crn_buf_release(&buf);
}

/* The same random appends to the buffer and to a plain array. */
static void random_appends_equal_a_model(void **state)
{
    struct crn_rng rng = test_rng();
    static char model[1 << 16];

    (void)state;
    for (int round = 0; round < 100; round++) {
        struct crn_buf buf;
        size_t len = 0;
        crn_buf_init(&buf, sizeof model);
        while (len < 40000) {
            char piece[200];
            size_t size = crn_rng_below(&rng, sizeof piece);
            for (size_t i = 0; i < size; i++) piece[i] = (char)('a' + crn_rng_below(&rng, 26));
            if (crn_rng_below(&rng, 2) == 0) {
                crn_buf_append(&buf, piece, size);
            } else {
                crn_buf_printf(&buf, "%.*s", (int)size, piece);
            }
            memcpy(model + len, piece, size);
            len += size;
        }
        model[len] = '\0';
        assert_holds(&buf, model);
        assert_true(buf.cap <= 2 * len + 2);
        crn_buf_release(&buf);
    }
}

/* Fills up to each maximum exactly, then one byte more, in each of the ways to append. */
static void the_maximum_is_exact(void **state)
{
    static const char text[] = "0123456789";

    (void)state;
    for (size_t max = 0; max <= 200; max++) {
        for (int way = 0; way < 4; way++) {
            struct crn_buf buf;
            crn_buf_init(&buf, max);
            for (size_t i = 0; i < max; i++) assert_int_equal(crn_buf_putc(&buf, text[i % 10]), CAIRN_OK);
            assert_int_equal(buf.len, max);
            assert_true(buf.cap <= max + 1);
            if (way == 0) assert_int_equal(crn_buf_putc(&buf, 'x'), CAIRN_LIMIT);
            if (way == 1) assert_int_equal(crn_buf_printf(&buf, "%d", 7), CAIRN_LIMIT);
            if (way == 2) assert_null(crn_buf_extend(&buf, 1));
            if (way == 3) assert_int_equal(crn_buf_append(&buf, text, SIZE_MAX), CAIRN_LIMIT);
            assert_int_equal(buf.failed, CAIRN_LIMIT);
            assert_int_equal(buf.len, max);
            for (size_t i = 0; i < max; i++) assert_int_equal(buf.data[i], text[i % 10]);
            if (max > 0) assert_int_equal(buf.data[max], '\0');
            crn_buf_release(&buf);
        }
    }
}

static void a_piece_too_long_changes_nothing(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 10);
    crn_buf_puts(&buf, "12345");
    assert_int_equal(crn_buf_printf(&buf, "%s", "abcdef"), CAIRN_LIMIT);
    assert_string_equal(buf.data, "12345");
    assert_int_equal(buf.len, 5);
    crn_buf_release(&buf);
}

static void a_failure_sticks_until_cleared(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 4);
    crn_buf_puts(&buf, "12345");
    assert_int_equal(crn_buf_puts(&buf, "1"), CAIRN_LIMIT);
    assert_int_equal(crn_buf_putc(&buf, '1'), CAIRN_LIMIT);
    assert_int_equal(crn_buf_printf(&buf, "1"), CAIRN_LIMIT);
    assert_int_equal(crn_buf_append(&buf, "1", 1), CAIRN_LIMIT);
    assert_int_equal(crn_buf_json_string(&buf, "1", 1), CAIRN_LIMIT);
    assert_int_equal(crn_buf_json_float(&buf, 1), CAIRN_LIMIT);
    assert_null(crn_buf_extend(&buf, 0));
    assert_null(crn_buf_take(&buf));
    assert_int_equal(buf.len, 0);
    crn_buf_clear(&buf);
    assert_int_equal(crn_buf_puts(&buf, "1234"), CAIRN_OK);
    assert_holds(&buf, "1234");
    crn_buf_clear(&buf);
    assert_holds(&buf, "");
    crn_buf_release(&buf);
}

static void take_transfers(void **state)
{
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 10);
    char *empty = crn_buf_take(&buf);
    assert_string_equal(empty, "");
    crn_buf_puts(&buf, "stone");
    char *text = crn_buf_take(&buf);
    assert_string_equal(text, "stone");
    assert_null(buf.data);
    assert_int_equal(buf.max, 10);
    assert_int_equal(crn_buf_puts(&buf, "0123456789"), CAIRN_OK);
    assert_int_equal(crn_buf_putc(&buf, 'x'), CAIRN_LIMIT);
    crn_mem_free(empty);
    crn_mem_free(text);
    crn_buf_release(&buf);
}

static char *build(struct crn_buf *buf)
{
    for (int i = 0; i < 300; i++) {
        crn_buf_printf(buf, "{\"n\":%d,\"s\":", i);
        crn_buf_json_string(buf, "a\"\n\x01z", 5);
        crn_buf_puts(buf, ",\"f\":");
        crn_buf_json_float(buf, (float)i / 3);
        crn_buf_putc(buf, '}');
    }
    return crn_buf_take(buf);
}

/* Each allocation in turn fails: nothing is lost or leaked, and the failure is told. */
static void every_allocation_may_fail(void **state)
{
    uint64_t nth = 1;

    (void)state;
    for (bool failed = true; failed; nth++) {
        struct crn_buf buf;
        crn_buf_init(&buf, SIZE_MAX);
        crn_mem_fail_at(nth, false);
        char *text = build(&buf);
        failed = crn_mem_count() >= nth;
        crn_mem_fail_at(0, false);
        assert_int_equal(text == NULL, failed);
        assert_int_equal(buf.failed, failed ? CAIRN_NO_MEMORY : CAIRN_OK);
        if (failed && buf.data != NULL) assert_int_equal(buf.data[buf.len], '\0');
        crn_mem_free(text);
        crn_buf_release(&buf);
    }
    assert_true(nth > 5); /* growth needed several */

    struct crn_buf buf;
    crn_buf_init(&buf, 100);
    crn_mem_fail_at(1, false);
    assert_null(crn_buf_take(&buf));
    assert_int_equal(buf.failed, CAIRN_NO_MEMORY);
    crn_mem_fail_at(0, false);
}

static void strings_are_escaped(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } rows[] = {
        {"", 0, "\"\""},
        {"plain / text", 12, "\"plain / text\""},
        {"\"\\", 2, "\"\\\"\\\\\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"a\0b\x1F\x7F", 5, "\"a\\u0000b\\u001f\x7F\""},
        {"é€😀", 9, "\"é€😀\""},
        {"x\xFFy", 3, "\"x\xEF\xBF\xBDy\""},
        {"\xC3", 1, "\"\xEF\xBF\xBD\""},
        {"\xE2\x82", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\n\xFF\n", 3, "\"\\n\xEF\xBF\xBD\\n\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_buf buf;
        crn_buf_init(&buf, 100);
        assert_int_equal(crn_buf_json_string(&buf, rows[i].text, rows[i].len), CAIRN_OK);
        assert_holds(&buf, rows[i].json);
        crn_buf_release(&buf);
    }
}

static void numbers_look_as_expected(void **state)
{
    static const struct {
        double value;
        const char *as_double, *as_float;
    } rows[] = {
        {0, "0.0", "0.0"},
        {-0.0, "-0.0", "-0.0"},
        {1, "1.0", "1.0"},
        {-1.5, "-1.5", "-1.5"},
        {100000, "100000.0", "100000.0"},
        {99999999, "99999999.0", "1e+08"},
        {9007199254740992, "9007199254740992.0", "9.007199e+15"},
        {1e16, "1e+16", "1e+16"},
        {0.0001, "0.0001", "0.0001"},
        {0.00009, "9e-05", "9e-05"},
        {0.5, "0.5", "0.5"},
        {INFINITY, "null", "null"},
        {-INFINITY, "null", "null"},
        {NAN, "null", "null"},
        {5e-324, "5e-324", "0.0"},
        {-1.7976931348623157e308, "-1.7976931348623157e+308", "null"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308", "-0.0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_buf buf;
        crn_buf_init(&buf, 100);
        crn_buf_json_double(&buf, rows[i].value);
        assert_holds(&buf, rows[i].as_double);
        crn_buf_clear(&buf);
        crn_buf_json_float(&buf, (float)rows[i].value);
        assert_holds(&buf, rows[i].as_float);
        crn_buf_release(&buf);
    }
}

/* Has a point or an exponent, and only characters of a JSON number. */
static void assert_json_float(const char *text)
{
    assert_non_null(strpbrk(text, ".e"));
    assert_int_equal(strspn(text, "0123456789+-.e"), strlen(text));
    assert_true(text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9');
}

static void floats_read_back(uint32_t bits)
{
    struct crn_buf buf;
    float value, again;

    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) return;
    crn_buf_init(&buf, 100);
    crn_buf_json_float(&buf, value);
    assert_json_float(buf.data);
    again = strtof(buf.data, NULL);
    assert_memory_equal(&again, &value, sizeof value);
    again = (float)strtod(buf.data, NULL); /* as most readers do */
    assert_memory_equal(&again, &value, sizeof value);
    crn_buf_release(&buf);
}

static void random_floats_read_back(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (int i = 0; i < 100000; i++) floats_read_back((uint32_t)crn_rng_u64(&rng));
    floats_read_back(0x15AE43FD); /* 7.038531e-26, which rounding by way of a double would change */
    floats_read_back(0x95AE43FD);
    floats_read_back(0x00000001);
    floats_read_back(0x7F7FFFFF);
}

static void random_doubles_read_back(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, 100);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = crn_rng_u64(&rng);
        double value, again;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        crn_buf_clear(&buf);
        crn_buf_json_double(&buf, value);
        assert_json_float(buf.data);
        again = strtod(buf.data, NULL);
        assert_memory_equal(&again, &value, sizeof value);
    }
    crn_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_stay_terminated),
        cmocka_unit_test(a_refused_conversion_is_told),
        cmocka_unit_test(an_empty_printf_gives_an_empty_text),
        cmocka_unit_test(random_appends_equal_a_model),
        cmocka_unit_test(the_maximum_is_exact),
        cmocka_unit_test(a_piece_too_long_changes_nothing),
        cmocka_unit_test(a_failure_sticks_until_cleared),
        cmocka_unit_test(take_transfers),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(numbers_look_as_expected),
        cmocka_unit_test(random_floats_read_back),
        cmocka_unit_test(random_doubles_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
