/* Filters on single payloads: the meaning of each operator, what is refused, and random ones against
 * filter_model.h. */
#include "engine/filter.h"
#include "tests/engine/filter_model.h"
#include "tests/engine/support.h"

#include "base/mem.h"

static struct crn_json_parser *parser;

static int set_up(void **state)
{
    (void)state;
    parser = crn_json_parser_create();
    return parser != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    crn_json_parser_free(parser);
    return 0;
}

static bool matches(const char *filter_text, const char *payload_text)
{
    struct crn_filter *filter;
    struct crn_json payload;
    cairn_error err;

    cairn_status status = crn_filter_parse(filter_text, strlen(filter_text), &filter, &err);
    if (status != CAIRN_OK) fail_msg("%s: %s", filter_text, err.message);
    if (payload_text != NULL) {
        assert_int_equal(crn_json_parse(parser, payload_text, strlen(payload_text), &payload, &err),
                         CAIRN_OK);
    }
    const bool result = crn_filter_match(filter, payload_text != NULL ? &payload : NULL);
    crn_filter_free(filter);
    return result;
}

static const struct meaning {
    const char *filter;
    const char *payload;
    bool matches;
} meanings[] = {
    {"{}", NULL, true},
    {"[]", "{\"a\":1}", true},
    {" { } ", "{}", true},
    /* equality is of one kind */
    {"{\"a\":1}", "{\"a\":1}", true},
    {"{\"a\":1}", "{\"a\":1.0}", true},
    {"{\"a\":0}", "{\"a\":-0.0}", true},
    {"{\"a\":1}", "{\"a\":\"1\"}", false},
    {"{\"a\":1}", "{\"a\":true}", false},
    {"{\"a\":false}", "{\"a\":false}", true},
    {"{\"a\":false}", "{\"a\":null}", false},
    {"{\"a\":\"x\"}", "{\"a\":\"x\"}", true},
    {"{\"a\":\"x\"}", "{\"a\":\"xy\"}", false},
    {"{\"a\":\"\\u0000b\"}", "{\"a\":\"\\u0000c\"}", false},
    {"{\"a\":1}", "{\"a\":{\"b\":1}}", false},
    /* numbers are exact */
    {"{\"a\":9007199254740993}", "{\"a\":9007199254740992}", false},
    {"{\"a\":9007199254740993}", "{\"a\":9007199254740992.0}", false},
    {"{\"a\":9007199254740992}", "{\"a\":9007199254740992.0}", true},
    {"{\"a\":{\"$gt\":9007199254740992.0}}", "{\"a\":9007199254740993}", true},
    {"{\"a\":18446744073709551615}", "{\"a\":18446744073709551614}", false},
    {"{\"a\":{\"$lt\":18446744073709551615}}", "{\"a\":18446744073709551614}", true},
    {"{\"a\":{\"$gt\":9223372036854775807}}", "{\"a\":9223372036854775808}", true},
    {"{\"a\":9223372036854775808}", "{\"a\":9223372036854775808.0}", true},
    {"{\"a\":{\"$lt\":18446744073709551616.0}}", "{\"a\":18446744073709551615}", true},
    {"{\"a\":{\"$gt\":-1e300}}", "{\"a\":-9223372036854775808}", true},
    {"{\"a\":{\"$gt\":2}}", "{\"a\":2.5}", true},
    {"{\"a\":{\"$lt\":-2}}", "{\"a\":-2.5}", true},
    {"{\"a\":{\"$gte\":2,\"$lt\":3}}", "{\"a\":2}", true},
    {"{\"a\":{\"$gte\":2,\"$lt\":3}}", "{\"a\":3}", false},
    {"{\"a\":{\"$lte\":3}}", "{\"a\":\"2\"}", false},
    {"{\"a\":{\"$lte\":3}}", "{\"a\":true}", false},
    /* strings by bytes */
    {"{\"a\":{\"$gt\":\"a\"}}", "{\"a\":\"ab\"}", true},
    {"{\"a\":{\"$gt\":\"z\"}}", "{\"a\":\"\xc3\xa4\"}", true},
    {"{\"a\":{\"$gte\":\"2024-05-01T00:00:00Z\"}}", "{\"a\":\"2024-05-01T10:00:00Z\"}", true},
    {"{\"a\":{\"$lt\":\"2024-05-01T00:00:00Z\"}}", "{\"a\":\"2024-05-01T10:00:00Z\"}", false},
    /* what is missing */
    {"{\"a\":null}", "{\"a\":null}", true},
    {"{\"a\":null}", "{}", false},
    {"{\"a\":{\"$exists\":true}}", "{\"a\":null}", true},
    {"{\"a\":{\"$exists\":true}}", "{\"a\":[]}", true},
    {"{\"a\":{\"$exists\":true}}", "{\"a\":{}}", true},
    {"{\"a\":{\"$exists\":false}}", "{\"a\":null}", false},
    {"{\"a\":{\"$exists\":false}}", "{\"b\":null}", true},
    {"{\"a\":{\"$exists\":false}}", NULL, true},
    {"{\"a\":{\"$ne\":1}}", "{}", true},
    {"{\"a\":{\"$ne\":1}}", NULL, true},
    {"{\"a\":{\"$ne\":1}}", "{\"a\":\"1\"}", true},
    {"{\"a\":{\"$ne\":1}}", "{\"a\":1}", false},
    {"{\"a\":{\"$ne\":null}}", "{}", true},
    {"{\"a\":{\"$nin\":[1,2]}}", "{}", true},
    {"{\"a\":{\"$nin\":[1,2]}}", "{\"a\":2.0}", false},
    {"{\"a\":{\"$nin\":[]}}", "{\"a\":1}", true},
    {"{\"a\":{\"$in\":[]}}", "{\"a\":1}", false},
    {"{\"a\":{\"$in\":[\"x\",null,2,2,true]}}", "{\"a\":null}", true},
    {"{\"a\":{\"$in\":[\"x\",null,2,2,true]}}", "{\"a\":true}", true},
    {"{\"a\":{\"$in\":[\"x\",null,2,2,true]}}", "{\"a\":false}", false},
    {"{\"a\":{\"$in\":[1]}}", "{}", false},
    {"{\"a\":{\"$gt\":0}}", "{}", false},
    /* arrays */
    {"{\"a\":2}", "{\"a\":[1,2]}", true},
    {"{\"a\":2}", "{\"a\":[[2]]}", false},
    {"{\"a\":null}", "{\"a\":[]}", false},
    {"{\"a\":{\"$ne\":2}}", "{\"a\":[1,2]}", false},
    {"{\"a\":{\"$gt\":5,\"$lt\":3}}", "{\"a\":[1,9]}", true},
    {"{\"a\":{\"$in\":[7,9]}}", "{\"a\":[1,9]}", true},
    {"{\"a.b\":1}", "{\"a\":[{\"b\":2},{\"b\":1}]}", true},
    {"{\"a.b\":1}", "{\"a\":[[{\"b\":1}]]}", false},
    {"{\"a.b\":1}", "{\"a\":[{\"b\":[0,1]}]}", true},
    {"{\"a.b.c\":1}", "{\"a\":[{\"b\":[{\"c\":0},{\"c\":1}]}]}", true},
    {"{\"a.b\":{\"$exists\":true}}", "{\"a\":[1,{\"c\":1}]}", false},
    /* $contains */
    {"{\"a\":{\"$contains\":\"b\"}}", "{\"a\":[\"a\",\"b\"]}", true},
    {"{\"a\":{\"$contains\":\"b\"}}", "{\"a\":[\"abc\"]}", false},
    {"{\"a\":{\"$contains\":\"b\"}}", "{\"a\":\"abc\"}", true},
    {"{\"a\":{\"$contains\":\"\"}}", "{\"a\":\"\"}", true},
    {"{\"a\":{\"$contains\":\"bd\"}}", "{\"a\":\"abc\"}", false},
    {"{\"a\":{\"$contains\":1}}", "{\"a\":[0,1.0]}", true},
    {"{\"a\":{\"$contains\":1}}", "{\"a\":1}", false},
    {"{\"a\":{\"$contains\":null}}", "{\"a\":[null]}", true},
    {"{\"a.b\":{\"$contains\":\"x\"}}", "{\"a\":[{\"b\":\"y\"},{\"b\":\"xy\"}]}", true},
    {"{\"a\":{\"$contains\":\"x\"}}", "{\"a\":{\"x\":\"x\"}}", false},
    /* paths */
    {"{\"a.b\":1}", "{\"a\":{\"b\":1}}", true},
    {"{\"a.b\":1}", "{\"a.b\":1}", false},
    {"{\"a\\\\.b\":1}", "{\"a.b\":1}", true},
    {"{\"a\\\\.b\":1}", "{\"a\":{\"b\":1}}", false},
    {"{\"a\\\\\\\\b\":1}", "{\"a\\\\b\":1}", true},
    {"{\"\\\\$x\":1}", "{\"$x\":1}", true},
    {"{\"a\":1}", "{\"a\":2,\"a\":1}", false},
    {"{\"a.0\":1}", "{\"a\":[1]}", false},
    /* combinations */
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}", false},
    {"{\"a\":1,\"a\":2}", "{\"a\":[1,2]}", true},
    {"{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"b\":2}", true},
    {"{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2,\"b\":1}", false},
    {"{\"$and\":[{\"a\":1},{\"b\":2}]}", "{\"a\":1,\"b\":2}", true},
    {"{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2}", true},
    {"{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"b\":2}", false},
    {"{\"$not\":{\"a\":1,\"b\":2}}", "{\"a\":1,\"b\":3}", true},
    {"{\"$not\":{\"$not\":{\"a\":1}}}", "{\"a\":1}", true},
    {"{\"$not\":{\"a\":1}}", NULL, true},
    {"[{\"a\":1},{\"b\":2}]", "{\"a\":1,\"b\":2}", true},
    {"[{\"a\":1},{\"b\":2}]", "{\"a\":1}", false},
    {"[{\"field\":\"m.y\",\"operator\":\"$gte\",\"value\":2}]", "{\"m\":{\"y\":2}}", true},
    {"[{\"key\":\"y\",\"operator\":\"$nin\",\"value\":[2]},{\"y\":3}]", "{\"y\":3}", true},
    {"{\"$or\":[{\"key\":\"y\",\"operator\":\"$eq\",\"value\":2},{\"y\":3}]}", "{\"y\":2}", true},
    {"{\"field\":\"x\",\"operator\":\"y\"}", "{\"field\":\"x\",\"operator\":\"y\"}", true},
};

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        const struct meaning *m = &meanings[i];
        if (matches(m->filter, m->payload) != m->matches) {
            fail_msg("%s %s %s", m->filter, m->matches ? "should match" : "should not match",
                     m->payload != NULL ? m->payload : "(none)");
        }
    }
}

static const struct refusal {
    const char *filter;
    cairn_status status;
    const char *message; /* a part of it */
} refusals[] = {
    {"", CAIRN_INVALID_JSON, "filter"},
    {"{\"a\":}", CAIRN_INVALID_JSON, "filter"},
    {"{\"a\":\"\xff\"}", CAIRN_INVALID_UTF8, "filter"},
    {"1", CAIRN_INVALID_FILTER, "number"},
    {"null", CAIRN_INVALID_FILTER, "null"},
    {"\"a\"", CAIRN_INVALID_FILTER, "string"},
    {"{\"a\":{\"$like\":1}}", CAIRN_INVALID_FILTER, "$like under \"a\"; operators: $eq $ne"},
    {"{\"a\":{\"b\":1}}", CAIRN_INVALID_FILTER, "\"b\" under \"a\" is no operator"},
    {"{\"a\":{}}", CAIRN_INVALID_FILTER, "no operator under \"a\""},
    {"{\"a\":[1]}", CAIRN_INVALID_FILTER, "use $in"},
    {"{\"a\":{\"$eq\":[1]}}", CAIRN_INVALID_FILTER,
     "$eq of \"a\" takes a string, number, boolean or null, not an array"},
    {"{\"a\":{\"$ne\":{}}}", CAIRN_INVALID_FILTER, "not an object"},
    {"{\"a\":{\"$gt\":true}}", CAIRN_INVALID_FILTER,
     "$gt of \"a\" takes a number or a string, not a boolean"},
    {"{\"a\":{\"$lte\":null}}", CAIRN_INVALID_FILTER, "$lte"},
    {"{\"a\":{\"$in\":1}}", CAIRN_INVALID_FILTER, "$in of \"a\" takes an array, not a number"},
    {"{\"a\":{\"$nin\":[1,[2]]}}", CAIRN_INVALID_FILTER, "$nin"},
    {"{\"a\":{\"$contains\":[1]}}", CAIRN_INVALID_FILTER, "$contains"},
    {"{\"a\":{\"$exists\":1}}", CAIRN_INVALID_FILTER, "true or false"},
    {"{\"a\":{\"$not\":{\"$eq\":1}}}", CAIRN_INVALID_FILTER, "$not under \"a\""},
    {"{\"$xor\":[]}", CAIRN_INVALID_FILTER, "unknown operator $xor; there are $and $or $nor $not"},
    {"{\"$eq\":1}", CAIRN_INVALID_FILTER, "$eq"},
    {"{\"$or\":[]}", CAIRN_INVALID_FILTER, "$or takes an array of at least one"},
    {"{\"$and\":{}}", CAIRN_INVALID_FILTER, "$and takes an array"},
    {"{\"$nor\":[{}]}", CAIRN_INVALID_FILTER, "$nor"},
    {"{\"$not\":[]}", CAIRN_INVALID_FILTER, "$not takes an object"},
    {"{\"$not\":{}}", CAIRN_INVALID_FILTER, "$not takes an object"},
    {"[1]", CAIRN_INVALID_FILTER, "an element of the list"},
    {"[{}]", CAIRN_INVALID_FILTER, "an element of the list"},
    {"[{\"field\":\"a\",\"operator\":\"$eq\"}]", CAIRN_INVALID_FILTER, "a condition in a list"},
    {"[{\"field\":1,\"operator\":\"$eq\",\"value\":1}]", CAIRN_INVALID_FILTER, "a condition in a list"},
    {"[{\"key\":\"a\",\"operator\":\"=\",\"value\":1}]", CAIRN_INVALID_FILTER, "\"=\" under \"a\""},
    {"[{\"key\":\"a\",\"operator\":\"$eq\",\"value\":1,\"x\":1}]", CAIRN_INVALID_FILTER,
     "a condition in a list"},
    {"{\"\":1}", CAIRN_INVALID_FILTER, "empty part"},
    {"{\".a\":1}", CAIRN_INVALID_FILTER, "empty part"},
    {"{\"a..b\":1}", CAIRN_INVALID_FILTER, "\"a..b\" has an empty part"},
    {"{\"a.\":1}", CAIRN_INVALID_FILTER, "empty part"},
    {"{\"a\\\\b\":1}", CAIRN_INVALID_FILTER, "backslash"},
    {"{\"a\\\\\":1}", CAIRN_INVALID_FILTER, "backslash"},
    {"{\"a\\u0000\":1}", CAIRN_INVALID_FILTER, "NUL"},
    {"{\"a\":{\"$eq\\u0000\":1}}", CAIRN_INVALID_FILTER, "NUL"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct crn_filter *filter = NULL;
        cairn_error err;
        const char *text = refusals[i].filter;

        const cairn_status status = crn_filter_parse(text, strlen(text), &filter, &err);
        if (status != refusals[i].status || err.status != status) {
            fail_msg("%s: %s", text, status == CAIRN_OK ? "accepted" : err.message);
        }
        if (strstr(err.message, refusals[i].message) == NULL) fail_msg("%s: %s", text, err.message);
        assert_null(filter);
        assert_int_equal(crn_filter_parse(text, strlen(text), &filter, NULL), status);
    }
}

static void test_limits(void **state)
{
    struct crn_filter *filter;
    struct crn_buf text;
    cairn_error err;

    (void)state;
    crn_buf_init(&text, SIZE_MAX - 1);
    crn_buf_puts(&text, "{\"a\":\"");
    memset(crn_buf_extend(&text, 1u << 20), 'x', 1u << 20);
    crn_buf_puts(&text, "\"}");
    assert_int_equal(crn_filter_parse(text.data, text.len, &filter, &err), CAIRN_LIMIT);

    crn_buf_clear(&text);
    for (int i = 0; i < 70; i++) crn_buf_puts(&text, "{\"$not\":");
    crn_buf_puts(&text, "{\"a\":1}");
    for (int i = 0; i < 70; i++) crn_buf_putc(&text, '}');
    assert_int_equal(crn_filter_parse(text.data, text.len, &filter, &err), CAIRN_LIMIT);

    /* Long lists are searched and long paths followed, without a limit of their own. */
    crn_buf_clear(&text);
    crn_buf_puts(&text, "{\"a\":{\"$in\":[");
    for (int i = 0; i < 50000; i++) crn_buf_printf(&text, "%d,", (i * 7919) % 50000 * 2);
    crn_buf_puts(&text, "7]}}");
    assert_true(matches(text.data, "{\"a\":99998}"));
    assert_true(matches(text.data, "{\"a\":7.0}"));
    assert_false(matches(text.data, "{\"a\":9}"));
    crn_buf_release(&text);
}

/* Each allocation fails in turn: NO_MEMORY, and nothing is left behind (the address sanitizer tells). */
static void test_no_memory(void **state)
{
    static const char text[] = "{\"a\":{\"$in\":[1,\"x\"]},\"$or\":[{\"b.c\":\"y\"},{\"$not\":{\"d\":1}}]}";
    cairn_status status;
    uint64_t nth = 1;

    (void)state;
    do {
        struct crn_filter *filter;
        cairn_error err;
        crn_mem_fail_at(nth++, false);
        status = crn_filter_parse(text, sizeof text - 1, &filter, &err);
        crn_mem_fail_at(0, false);
        assert_true(status == CAIRN_OK || status == CAIRN_NO_MEMORY);
        crn_filter_free(filter);
    } while (status != CAIRN_OK);
    assert_true(nth > 4);
}

static void test_random(void **state)
{
    struct crn_rng rng = test_rng();
    struct crn_json_parser *filter_parser = crn_json_parser_create();
    struct crn_buf filter_text, payload_text;
    size_t matched = 0;

    (void)state;
    crn_buf_init(&filter_text, 1u << 16);
    crn_buf_init(&payload_text, 1u << 16);
    for (int round = 0; round < 20000; round++) {
        struct crn_json filter, payload;
        cairn_error err;

        crn_buf_clear(&filter_text);
        crn_buf_clear(&payload_text);
        model_put_filter(&rng, &filter_text);
        model_put_payload(&rng, &payload_text);
        assert_int_equal(filter_text.failed, CAIRN_OK);
        assert_int_equal(crn_json_parse(filter_parser, filter_text.data, filter_text.len, &filter, &err),
                         CAIRN_OK);
        const bool actual = matches(filter_text.data, payload_text.data);
        assert_int_equal(crn_json_parse(parser, payload_text.data, payload_text.len, &payload, &err),
                         CAIRN_OK);
        if (actual != model_matches(filter, &payload)) {
            fail_msg("%s on %s: %s", filter_text.data, payload_text.data,
                     actual ? "matches" : "does not match");
        }
        matched += actual;
    }
    assert_in_range(matched, 3000, 17000); /* else it compares nothing with nothing */
    crn_buf_release(&filter_text);
    crn_buf_release(&payload_text);
    crn_json_parser_free(filter_parser);
}

static void test_scope_check(void **state)
{
    char long_name[CAIRN_NAME_MAX + 2];
    cairn_error err;

    (void)state;
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(crn_scope_check(NULL, &err), CAIRN_OK);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .domain = "d", .filter = "{}"), &err),
                     CAIRN_OK);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .domain = long_name), &err),
                     CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .agent = "\xff"), &err), CAIRN_INVALID_UTF8);
    assert_int_equal(
        crn_scope_check(CAIRN_OPTIONS(cairn_scope, .type = long_name + 1, .min_confidence = 1), &err),
        CAIRN_OK);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .min_confidence = 1.5), &err),
                     CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .min_confidence = 0.0 / 0.0), &err),
                     CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_scope_check(CAIRN_OPTIONS(cairn_scope, .filter = "{\"a\":{\"$x\":1}}"), &err),
                     CAIRN_INVALID_FILTER);

    assert_false(crn_scope_is_limiting(NULL));
    assert_false(crn_scope_is_limiting(CAIRN_OPTIONS(cairn_scope, .filter = " [ ] ")));
    assert_true(crn_scope_is_limiting(CAIRN_OPTIONS(cairn_scope, .filter = "{\"a\":1}")));
    assert_true(crn_scope_is_limiting(CAIRN_OPTIONS(cairn_scope, .domain = "")));
    assert_true(crn_scope_is_limiting(CAIRN_OPTIONS(cairn_scope, .min_confidence = 0.1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),  cmocka_unit_test(test_refusals), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_random),   cmocka_unit_test(test_scope_check),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
