/* JSON in: types, exact numbers, limits, hostile texts. */
#include "tests/base/json_support.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

static struct crn_json member(struct crn_json object, const char *key)
{
    struct crn_json value;

    assert_true(crn_json_get(object, key, &value));
    return value;
}

static void every_type_is_told(void **state)
{
    static const struct {
        const char *text;
        enum crn_json_type type;
        const char *name;
    } rows[] = {
        {"null", CRN_JSON_NULL, "null"},
        {"true", CRN_JSON_BOOL, "boolean"},
        {"false", CRN_JSON_BOOL, "boolean"},
        {"-1", CRN_JSON_I64, "number"},
        {"9223372036854775808", CRN_JSON_U64, "number"},
        {"1.0", CRN_JSON_DOUBLE, "number"},
        {"1e0", CRN_JSON_DOUBLE, "number"},
        {"\"x\"", CRN_JSON_STRING, "string"},
        {"[1]", CRN_JSON_ARRAY, "array"},
        {"{\"a\":1}", CRN_JSON_OBJECT, "object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_json value = parse(rows[i].text);
        assert_int_equal(crn_json_type(value), rows[i].type);
        assert_string_equal(crn_json_type_name(value), rows[i].name);
        assert_int_equal(crn_json_is_number(value), strcmp(rows[i].name, "number") == 0);
    }
    assert_true(crn_json_bool(parse("true")));
    assert_false(crn_json_bool(parse("false")));
}

static void integers_are_exact(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } signed_rows[] = {
        {"0", 0},
        {"-0", 0},
        {"9007199254740993", 9007199254740993},
        {"-9007199254740993", -9007199254740993},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9223372036854775807", INT64_MIN + 1},
    };
    static const struct {
        const char *text;
        uint64_t value;
    } unsigned_rows[] = {
        {"9223372036854775808", (uint64_t)INT64_MAX + 1},
        {"9223372036854775809", (uint64_t)INT64_MAX + 2},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551614", UINT64_MAX - 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(signed_rows); i++) {
        struct crn_json value = parse(signed_rows[i].text);
        assert_int_equal(crn_json_type(value), CRN_JSON_I64);
        assert_true(crn_json_i64(value) == signed_rows[i].value);
        if (signed_rows[i].value >= 0) assert_true(crn_json_u64(value) == (uint64_t)signed_rows[i].value);
        assert_true(crn_json_double(value) == (double)signed_rows[i].value);
    }
    for (size_t i = 0; i < COUNT_OF(unsigned_rows); i++) {
        struct crn_json value = parse(unsigned_rows[i].text);
        assert_int_equal(crn_json_type(value), CRN_JSON_U64);
        assert_true(crn_json_u64(value) == unsigned_rows[i].value);
        assert_true(crn_json_double(value) == (double)unsigned_rows[i].value);
        assert_written(value, unsigned_rows[i].text);
    }
}

/* simdjson refuses integers that 64 bits do not hold; with a point or an exponent they are doubles. */
static void integers_past_64_bits_are_refused(void **state)
{
    static const char *const texts[] = {
        "18446744073709551616",  "-9223372036854775809",     "99999999999999999999",
        "-18446744073709551616", "100000000000000000000000", "[1,18446744073709551616]",
    };
    struct crn_json root;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(crn_json_parse(parser, texts[i], strlen(texts[i]), &root, &err), CAIRN_INVALID_JSON);
    }
    assert_true(crn_json_double(parse("18446744073709551616.0")) == 18446744073709551616.0);
    assert_true(crn_json_double(parse("1e300")) == 1e300);
}

static void a_wrong_type_reads_as_nothing(void **state)
{
    static const char *const texts[] = {"null", "true", "\"7\"", "[7]", "{\"a\":7}"};
    size_t len;
    struct crn_json out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct crn_json value = parse(texts[i]);
        assert_int_equal(crn_json_i64(value), 0);
        assert_int_equal(crn_json_u64(value), 0);
        assert_true(crn_json_double(value) == 0);
        assert_false(crn_json_get(value, "b", &out));
    }
    assert_string_equal(crn_json_string(parse("7"), &len), "");
    assert_int_equal(len, 0);
    assert_false(crn_json_bool(parse("1")));
    assert_false(crn_json_get(parse("[\"a\",1]"), "a", &out));
    assert_false(crn_json_get(parse("\"a\""), "a", &out));
}

static void strings_are_unescaped(void **state)
{
    static const struct {
        const char *text, *wanted;
        size_t len;
    } rows[] = {
        {"\"\"", "", 0},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\u00e9\\u20AC\"", "é€", 5},
        {"\"\\ud83d\\ude00\"", "😀", 4},
        {"\"é€😀\"", "é€😀", 9},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len;
        const char *string = crn_json_string(parse(rows[i].text), &len);
        assert_int_equal(len, rows[i].len);
        assert_memory_equal(string, rows[i].wanted, len + 1);
    }
}

static void members_are_found(void **state)
{
    struct crn_json root = parse("{\"a\":1,\"b\":{\"a\":2,\"c\":[3,{\"a\":4}]},"
                                 "\"a\":5,\"\":6,\"a\\u0000b\":7,\"ab\":8}");
    struct crn_json value;

    (void)state;
    assert_int_equal(crn_json_i64(member(root, "a")), 1); /* the first of its name */
    assert_int_equal(crn_json_i64(member(member(root, "b"), "a")), 2);
    assert_int_equal(crn_json_i64(member(root, "")), 6);
    assert_int_equal(crn_json_i64(member(root, "ab")), 8);
    assert_true(crn_json_get_n(root, "a\0b", 3, &value));
    assert_int_equal(crn_json_i64(value), 7);
    assert_true(crn_json_get_n(root, "abc", 2, &value));
    assert_int_equal(crn_json_i64(value), 8);
    assert_false(crn_json_get(root, "c", &value));
    assert_false(crn_json_get(root, "A", &value));
    assert_false(crn_json_get(parse("{}"), "a", &value));
}

static void iteration_meets_each_once(void **state)
{
    static const char *const texts[] = {"[1,[2,[]],{\"x\":{}},1.5,\"s\",null,true,18446744073709551615]",
                                        "{\"k0\":1,\"k1\":[2,[]],\"k2\":{\"x\":{}},\"k3\":1.5,\"k4\":\"s\","
                                        "\"k5\":null,\"k6\":true,\"k7\":18446744073709551615}"};
    static const enum crn_json_type types[] = {CRN_JSON_I64,    CRN_JSON_ARRAY,  CRN_JSON_OBJECT,
                                               CRN_JSON_DOUBLE, CRN_JSON_STRING, CRN_JSON_NULL,
                                               CRN_JSON_BOOL,   CRN_JSON_U64};

    (void)state;
    for (int object = 0; object < 2; object++) {
        struct crn_json root = parse(texts[object]), value;
        struct crn_json_iter it;
        const char *key;
        size_t key_len, count = 0;
        for (crn_json_iter_init(&it, root); crn_json_iter_next(&it, &value, &key, &key_len); count++) {
            char wanted[8];
            snprintf(wanted, sizeof wanted, "k%zu", count);
            assert_int_equal(crn_json_type(value), types[count]);
            if (object) {
                assert_int_equal(key_len, 2);
                assert_string_equal(key, wanted);
            } else {
                assert_null(key);
                assert_int_equal(key_len, 0);
            }
        }
        assert_int_equal(count, COUNT_OF(types));
        assert_int_equal(crn_json_size(root), count);
        assert_false(crn_json_iter_next(&it, &value, &key, &key_len));
    }
}

static void scalars_have_no_members(void **state)
{
    static const char *const texts[] = {"1",  "1.5", "18446744073709551615", "\"s\"", "null", "true",
                                        "[]", "{}"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct crn_json value = parse(texts[i]), out;
        struct crn_json_iter it;
        const char *key;
        size_t key_len;
        crn_json_iter_init(&it, value);
        assert_false(crn_json_iter_next(&it, &out, &key, &key_len));
        assert_int_equal(crn_json_size(value), 0);
    }
}

static void floats_are_read(void **state)
{
    float out[4] = {9, 9, 9, 9};
    size_t count;

    (void)state;
    assert_true(crn_json_floats(parse("[1,-2.5,18446744073709551615]"), out, 4, &count));
    assert_int_equal(count, 3);
    assert_true(out[0] == 1 && out[1] == -2.5f && out[2] == 18446744073709551616.0f && out[3] == 9);

    assert_true(crn_json_floats(parse("[7,8,9]"), out, 2, &count)); /* counts three, keeps two */
    assert_int_equal(count, 3);
    assert_true(out[0] == 7 && out[1] == 8 && out[2] == 18446744073709551616.0f);

    assert_true(crn_json_floats(parse("[1e300,-1e300]"), out, 4, &count));
    assert_true(isinf(out[0]) && out[0] > 0 && isinf(out[1]) && out[1] < 0);
    assert_true(crn_json_floats(parse("[]"), out, 4, &count));
    assert_int_equal(count, 0);
    assert_true(crn_json_floats(parse("[1]"), NULL, 0, &count));
    assert_int_equal(count, 1);
}

static void what_is_no_float_is_refused(void **state)
{
    static const char *const texts[] = {"[1,2,\"3\"]", "[1,2,null,4]", "[1,2,[3]]", "[1,2,{}]", "[1,2,true]"};
    float out[2];
    size_t count;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) { /* past max, too; *out_count tells which */
        assert_false(crn_json_floats(parse(texts[i]), out, 2, &count));
        assert_int_equal(count, 2);
    }
    assert_false(crn_json_floats(parse("1"), out, 2, &count));
    assert_false(crn_json_floats(parse("{\"a\":1}"), out, 2, &count));
    assert_int_equal(count, 0);
}

static void assert_refused(const char *text, size_t len)
{
    struct crn_json root = {NULL, 77};
    cairn_error err;
    cairn_status status = crn_json_parse(parser, text, len, &root, &err);

    if (status != CAIRN_INVALID_JSON) fail_msg("'%s' gave %s", text, cairn_status_name(status));
    assert_int_equal(err.status, status);
    assert_true(strlen(err.message) > strlen("not valid JSON: "));
    assert_int_equal(root.index, 77);
    assert_int_equal(crn_json_parse(parser, text, len, &root, NULL), status);
}

static void bad_texts_are_refused(void **state)
{
    /* clang-format off */
    static const char *const texts[] = {
        "", " ", "\n\t", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{1:2}", "{\"a\":1 \"b\":2}", "[1}", "{\"a\":1]", "1 2",
        "[] []", "{}x", "nul", "nulll", "True", "tru", "falsey", "NaN", "Infinity", "-", "+1", "01", "-01",
        "1.", ".5", "1e", "1e+", "1.e5", "0x10", "1e400", "-1e400", "--1", "1..2", "\"", "\"abc", "\"\\\"",
        "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"a\nb\"", "\"\t\"", "'a'", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\\ud800x\"", "// comment\n1", "[1] // c", "\xEF\xBB\xBF{}",
        "{\"a\":1,\"b\":[1,2,{\"c\":nope}]}",
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) assert_refused(texts[i], strlen(texts[i]));
    assert_refused("[1]\0", 4);
    assert_refused("\0", 1);
    assert_refused("\"a\0b\"", 5);
}

static void invalid_utf8_is_placed(void **state)
{
    static const struct {
        const char *text;
        const char *byte;
    } rows[] = {
        {"\"caf\xE9\"", "byte 4"},
        {"{\"\xC0\x80\":1}", "byte 2"},
        {"\xFF", "byte 0"},
        {"[\"\xED\xA0\x80\"]", "byte 2"},
        {"[\"\xF4\x90\x80\x80\"]", "byte 2"},
        {"[1,2] \x80", "byte 6"},
        {"\"\xE2\x82\"", "byte 1"},
        {"[1,\"\xC3", "byte 4"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_json root;
        cairn_error err;
        cairn_status status = crn_json_parse(parser, rows[i].text, strlen(rows[i].text), &root, &err);
        assert_int_equal(status, CAIRN_INVALID_UTF8);
        if (strstr(err.message, rows[i].byte) == NULL) fail_msg("'%s' lacks '%s'", err.message, rows[i].byte);
    }
}

/* Arrays and objects in turn, `depth` of them around a number. */
static cairn_status parse_nested(size_t depth, bool objects, cairn_error *err)
{
    struct crn_buf buf;
    struct crn_json root;

    crn_buf_init(&buf, 1 << 24);
    for (size_t i = 0; i < depth; i++) crn_buf_puts(&buf, objects && i % 2 == 1 ? "{\"a\":" : "[");
    crn_buf_putc(&buf, '1');
    for (size_t i = depth; i-- > 0;) crn_buf_putc(&buf, objects && i % 2 == 1 ? '}' : ']');
    assert_int_equal(buf.failed, CAIRN_OK);
    cairn_status status = crn_json_parse(parser, buf.data, buf.len, &root, err);
    if (status == CAIRN_OK) assert_written(root, buf.data);
    crn_buf_release(&buf);
    return status;
}

static void depth_is_limited(void **state)
{
    cairn_error err;

    (void)state;
    for (int objects = 0; objects < 2; objects++) {
        for (size_t depth = 0; depth <= CRN_JSON_DEPTH_MAX; depth++) {
            assert_int_equal(parse_nested(depth, objects, &err), CAIRN_OK);
        }
        assert_int_equal(parse_nested(CRN_JSON_DEPTH_MAX + 1, objects, &err), CAIRN_LIMIT);
        assert_non_null(strstr(err.message, "64"));
        assert_int_equal(parse_nested(1000000, objects, &err), CAIRN_LIMIT);
    }
    assert_int_equal(parse_nested(CRN_JSON_DEPTH_MAX, true, &err), CAIRN_OK);
}

static void a_text_of_4_gib_is_refused(void **state)
{
    struct crn_json root;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_json_parse(parser, "1", (size_t)1 << 32, &root, &err), CAIRN_LIMIT);
    assert_non_null(strstr(err.message, "4294967296"));
}

/* The text ends where readable memory ends, at all lengths of a last block, and goes away after. */
static void the_text_needs_no_padding(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    for (size_t inside = 0; inside < 200; inside++) {
        char *text = pages + page - inside - 2;
        struct crn_json root;
        size_t len;
        memset(text, 'x', inside + 2);
        text[0] = text[inside + 1] = '"';
        assert_int_equal(crn_json_parse(parser, text, inside + 2, &root, NULL), CAIRN_OK);
        memset(text, '?', inside + 2);
        const char *string = crn_json_string(root, &len);
        assert_int_equal(len, inside);
        assert_int_equal(strspn(string, "x"), inside);
    }
    for (size_t digits = 1; digits < 19; digits++) {
        char *text = pages + page - digits;
        struct crn_json root;
        memset(text, '1', digits);
        assert_int_equal(crn_json_parse(parser, text, digits, &root, NULL), CAIRN_OK);
        assert_written(root, (char[20]){"1111111111111111111"} + 19 - digits);
    }
    munmap(pages, 2 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_told),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(integers_past_64_bits_are_refused),
        cmocka_unit_test(a_wrong_type_reads_as_nothing),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(iteration_meets_each_once),
        cmocka_unit_test(scalars_have_no_members),
        cmocka_unit_test(floats_are_read),
        cmocka_unit_test(what_is_no_float_is_refused),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(invalid_utf8_is_placed),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(a_text_of_4_gib_is_refused),
        cmocka_unit_test(the_text_needs_no_padding),
    };
    return cmocka_run_group_tests(tests, create_parser, free_parser);
}
