/* Texts that are mostly numbers are read by another path (json.cpp): it must tell the same as the other one, of any text. Blanks before
 * a text make it one that is not mostly numbers, and mean nothing. */
#include "tests/base/json_support.h"

#include "base/rng.h"

#include <inttypes.h>

#define NUMBERS 1500
#define BLANKS 50000

static struct crn_json_parser *other;

/* [inner, 1.5, 1.5, …] behind so many blanks. */
static void wrap(struct crn_buf *out, const char *inner, size_t length, size_t blanks)
{
    crn_buf_clear(out);
    char *room = crn_buf_extend(out, blanks);
    if (room != NULL) memset(room, ' ', blanks);
    crn_buf_putc(out, '[');
    crn_buf_append(out, inner, length);
    for (unsigned i = 0; i < NUMBERS; i++) crn_buf_puts(out, i % 3 == 0 ? ", 1.5" : ",-0.25");
    crn_buf_putc(out, ']');
}

static void assert_same(const char *inner, size_t length)
{
    struct crn_buf heavy, light, as_heavy, as_light;
    struct crn_json one, two;
    cairn_error err_one = {0}, err_two = {0};

    crn_buf_init(&heavy, 1 << 20);
    crn_buf_init(&light, 1 << 20);
    crn_buf_init(&as_heavy, 1 << 20);
    crn_buf_init(&as_light, 1 << 20);
    wrap(&heavy, inner, length, 0);
    wrap(&light, inner, length, BLANKS);
    const cairn_status status = crn_json_parse(parser, heavy.data, heavy.len, &one, &err_one),
                       expected = crn_json_parse(other, light.data, light.len, &two, &err_two);
    if (status != expected)
        fail_msg("%.*s: %s, not %s", (int)length, inner, err_one.message, err_two.message);
    if (status == CAIRN_OK) {
        assert_int_equal(crn_json_size(one), crn_json_size(two));
        assert_int_equal(crn_json_write(one, &as_heavy), CAIRN_OK);
        assert_int_equal(crn_json_write(two, &as_light), CAIRN_OK);
        if (as_heavy.len != as_light.len || memcmp(as_heavy.data, as_light.data, as_light.len) != 0)
            fail_msg("%.*s: %.200s, not %.200s", (int)length, inner, as_heavy.data, as_light.data);
    } else if (status != CAIRN_INVALID_UTF8) { /* which counts the blanks */
        assert_string_equal(err_one.message, err_two.message);
    }
    crn_buf_release(&heavy);
    crn_buf_release(&light);
    crn_buf_release(&as_heavy);
    crn_buf_release(&as_light);
}

static void put_digits(struct crn_rng *rng, struct crn_buf *out, uint64_t most)
{
    for (uint64_t left = crn_rng_below(rng, most + 1); left > 0; left--)
        crn_buf_putc(out, (char)('0' + crn_rng_below(rng, 10)));
}

/* Anything that looks like a number, good or not. */
static void put_number(struct crn_rng *rng, struct crn_buf *out)
{
    if (crn_rng_below(rng, 2) == 0) crn_buf_putc(out, '-');
    if (crn_rng_below(rng, 3) > 0)
        crn_buf_putc(out, (char)('0' + crn_rng_below(rng, 2)));
    else
        put_digits(rng, out, 20);
    if (crn_rng_below(rng, 5) > 0) {
        crn_buf_putc(out, crn_rng_below(rng, 50) > 0 ? '.' : '/');
        put_digits(rng, out, 18);
        if (crn_rng_below(rng, 50) == 0) crn_buf_putc(out, 'x');
    }
    if (crn_rng_below(rng, 4) > 0) return;
    crn_buf_puts(out, crn_rng_below(rng, 2) == 0 ? "e" : "E-");
    put_digits(rng, out, 3);
}

static void put_value(struct crn_rng *rng, struct crn_buf *out, unsigned depth)
{
    static const char *const words[] = {
        "true", "false", "null", "\"\"",    "\"a\\u00e9\\\\\\n\"", "\"word\"", " 1 ", "\t-2.5e-3\r\n", "[]",
        "{ }",  "tru",   "nul",  "\"\\x\"", "\"\\ud800\"",         "[1,]"};
    const uint64_t kind = crn_rng_below(rng, depth > 4 ? 5 : 8);

    if (kind < 3) {
        put_number(rng, out);
    } else if (kind < 5) { /* bad ones seldom */
        crn_buf_puts(out, words[crn_rng_below(rng, crn_rng_below(rng, 30) > 0 ? 10 : COUNT_OF(words))]);
    } else {
        const bool object = kind == 7;
        crn_buf_putc(out, object ? '{' : '[');
        for (uint64_t i = 0, count = crn_rng_below(rng, 6); i < count; i++) {
            if (i > 0) crn_buf_putc(out, ',');
            if (object) crn_buf_printf(out, "\"k%" PRIu64 "\":", i % 4);
            put_value(rng, out, depth + 1);
        }
        crn_buf_putc(out, object ? '}' : ']');
    }
}

static void numbers_of_any_shape(void **state)
{
    static const char *const fixed[] = {"0",
                                        "-0",
                                        "0.0",
                                        "-0.0",
                                        "0.1",
                                        "-0.1",
                                        "9.9999999999999999",
                                        "0.9007199254740993",
                                        "9.007199254740992",
                                        "9.007199254740993",
                                        "1.",
                                        ".5",
                                        "00.5",
                                        "01",
                                        "-",
                                        "--1",
                                        "+1",
                                        "1e5",
                                        "1E+5",
                                        "1e",
                                        "1e400",
                                        "-1e400",
                                        "1e-400",
                                        "4.9e-324",
                                        "2.2250738585072011e-308",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "1.5 2",
                                        "1.5]",
                                        "0x10",
                                        "0.1234567890123456789",
                                        "0.12345678",
                                        "0.123456789",
                                        "0.1234567890123456",
                                        "0.12345678901234567",
                                        "1.2.3",
                                        "0.-1",
                                        "0.1-",
                                        "-.1",
                                        "/",
                                        "Infinity"};
    struct crn_rng rng = test_rng();
    struct crn_buf text;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixed); i++) assert_same(fixed[i], strlen(fixed[i]));
    crn_buf_init(&text, 1 << 16);
    for (int round = 0; round < 200; round++) {
        crn_buf_clear(&text);
        for (unsigned i = 0; i < 5; i++) {
            if (i > 0) crn_buf_putc(&text, ',');
            put_number(&rng, &text);
        }
        assert_same(text.data, text.len);
    }
    crn_buf_release(&text);
}

static void documents_of_any_shape(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_buf text;

    (void)state;
    crn_buf_init(&text, 1 << 16);
    for (int round = 0; round < 300; round++) {
        crn_buf_clear(&text);
        put_value(&rng, &text, 0);
        if (round % 3 == 0 && text.len > 0) /* one byte is another's */
            text.data[crn_rng_below(&rng, text.len)] = "[]{},:\"\\ 0a\x01\xC3-."[crn_rng_below(&rng, 15)];
        assert_same(text.data, text.len);
    }
    crn_buf_release(&text);
}

static void depth_is_limited_here_too(void **state)
{
    char text[200];

    (void)state;
    for (size_t depth = 60; depth < 68; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_same(text, 2 * depth);
    }
}

/* What is read are the nearest doubles, as strtod has them. */
static void values_are_the_nearest(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_buf text;
    double wanted[NUMBERS];

    (void)state;
    crn_buf_init(&text, 1 << 20);
    crn_buf_putc(&text, '[');
    for (unsigned i = 0; i < NUMBERS; i++) {
        char number[40];
        snprintf(number, sizeof number, "%s%u.%0*" PRIu64, i % 2 == 0 ? "-" : "",
                 (unsigned)crn_rng_below(&rng, 10), (int)(i % 16) + 1,
                 crn_rng_below(&rng, 10000000000000000u) % (uint64_t)1e15);
        wanted[i] = strtod(number, NULL);
        crn_buf_printf(&text, i > 0 ? ",%s" : "%s", number);
    }
    crn_buf_putc(&text, ']');
    struct crn_json_iter it;
    struct crn_json root, value;
    const char *key;
    size_t length, count = 0;
    assert_int_equal(crn_json_parse(parser, text.data, text.len, &root, NULL), CAIRN_OK);
    for (crn_json_iter_init(&it, root); crn_json_iter_next(&it, &value, &key, &length); count++) {
        const double got = crn_json_double(value);
        assert_memory_equal(&got, &wanted[count], sizeof got);
    }
    assert_int_equal(count, NUMBERS);
    crn_buf_release(&text);
}

static int create_both(void **state)
{
    other = crn_json_parser_create();
    return other == NULL ? -1 : create_parser(state);
}

static int free_both(void **state)
{
    crn_json_parser_free(other);
    return free_parser(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_any_shape),
        cmocka_unit_test(documents_of_any_shape),
        cmocka_unit_test(depth_is_limited_here_too),
        cmocka_unit_test(values_are_the_nearest),
    };
    return cmocka_run_group_tests(tests, create_both, free_both);
}
