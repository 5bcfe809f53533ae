/* The operators on values that are more than comparisons, and what they refuse. */
#include "engine/filter.h"
#include "tests/engine/support.h"

static bool matches(const char *filter_text, const char *payload_text)
{
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_filter *filter;
    struct crn_json payload;
    cairn_error err;

    if (crn_filter_parse(filter_text, strlen(filter_text), &filter, &err) != CAIRN_OK)
        fail_msg("%s: %s", filter_text, err.message);
    assert_int_equal(crn_json_parse(parser, payload_text, strlen(payload_text), &payload, &err), CAIRN_OK);
    const bool result = crn_filter_match(filter, &payload);
    crn_filter_free(filter);
    crn_json_parser_free(parser);
    return result;
}

static const struct {
    const char *filter, *payload;
    bool matches;
} meanings[] = {
    {"{\"a\":{\"$range\":{\"gt\":1,\"lt\":3}}}", "{\"a\":[1,2]}", true},
    {"{\"a\":{\"$range\":{\"gt\":1,\"lt\":3}}}", "{\"a\":[1,3]}", false},
    {"{\"a\":{\"$range\":{\"gte\":18446744073709551615}}}", "{\"a\":18446744073709551614}", false},
    {"{\"a\":{\"$range\":{\"gte\":\"b\"}}}", "{\"a\":\"c\"}", true},
    {"{\"a\":{\"$range\":{\"gte\":\"b\"}}}", "{\"a\":7}", false},
    {"{\"a\":{\"$time\":{\"gte\":\"2024-01-01T00:00:00+01:00\"}}}", "{\"a\":\"2023-12-31T23:00:00Z\"}", true},
    {"{\"a\":{\"$time\":{\"gt\":\"2024-01-01T00:00:00+01:00\"}}}", "{\"a\":\"2023-12-31T23:00:00Z\"}", false},
    {"{\"a\":{\"$time\":{\"gt\":\"2024-01-01\"}}}", "{\"a\":\"soon\"}", false},
    {"{\"a\":{\"$count\":{\"gte\":2}}}", "{\"a\":[1,[2,3]]}", true},
    {"{\"a\":{\"$count\":{\"lte\":0}}}", "{}", true},
    {"{\"a\":{\"$count\":{\"lte\":0}}}", "{\"a\":null}", true},
    {"{\"a\":{\"$count\":{\"lte\":0}}}", "{\"a\":1}", false},
    {"{\"a\":{\"$empty\":true}}", "{\"a\":[]}", true},
    {"{\"a\":{\"$empty\":true}}", "{\"a\":\"\"}", false},
    {"{\"a\":{\"$empty\":false}}", "{\"a\":0}", true},
    {"{\"a\":{\"$other\":[1,2]}}", "{\"a\":[1,3]}", true},
    {"{\"a\":{\"$other\":[1,2]}}", "{\"a\":[1,null]}", false},
    {"{\"a\":{\"$other\":[1]}}", "{}", false},
    {"{\"a\":{\"$prefix\":\"\"}}", "{\"a\":\"\"}", true},
    {"{\"a\":{\"$prefix\":\"x\\u0000y\"}}", "{\"a\":\"x\\u0000yz\"}", true},
    {"{\"a\":{\"$substring\":\"bc\"}}", "{\"a\":[\"x\",\"abcd\"]}", true},
    {"{\"a\":{\"$words\":{\"query\":\"\\u00c4pfel UND\"}}}", "{\"a\":\"Birnen und \\u00e4pfel.\"}", true},
    {"{\"a\":{\"$words\":{\"query\":\"fox jumps\",\"match\":\"phrase\"}}}", "{\"a\":\"fox, jumps\"}", true},
    {"{\"a\":{\"$words\":{\"query\":\"jumps fox\",\"match\":\"phrase\"}}}", "{\"a\":\"fox, jumps\"}", false},
    {"{\"a\":{\"$words\":{\"query\":\"ju\",\"tokenizer\":\"prefix\"}}}", "{\"a\":\"fox jumps\"}", true},
    {"{\"a\":{\"$words\":{\"query\":\"b-c\",\"tokenizer\":\"whitespace\"}}}", "{\"a\":\"a b-c d\"}", true},
    {"{\"a\":{\"$words\":{\"query\":\"Fox\",\"lowercase\":false}}}", "{\"a\":\"fox\"}", false},
    {"{\"a\":{\"$words\":{\"query\":\"a fox\",\"min\":2}}}", "{\"a\":\"fox\"}", true},
    {"{\"a\":{\"$words\":{\"query\":\"...\"}}}", "{\"a\":\"...\"}", false},
    {"{\"a\":{\"$geo_box\":{\"top_left\":{\"lon\":170,\"lat\":10},\"bottom_right\":{\"lon\":-170,\"lat\":-10}}}}",
     "{\"a\":{\"lon\":-179,\"lat\":0}}", true},
    {"{\"a\":{\"$geo_box\":{\"top_left\":{\"lon\":170,\"lat\":10},\"bottom_right\":{\"lon\":-170,\"lat\":-10}}}}",
     "{\"a\":{\"lon\":0,\"lat\":0}}", false},
    {"{\"a\":{\"$geo_radius\":{\"center\":{\"lon\":0,\"lat\":0},\"radius\":112000}}}",
     "{\"a\":[{\"lon\":0,\"lat\":9},{\"lon\":0,\"lat\":1}]}", true},
    {"{\"a\":{\"$geo_radius\":{\"center\":{\"lon\":0,\"lat\":0},\"radius\":111000}}}",
     "{\"a\":{\"lon\":0,\"lat\":1}}", false},
    {"{\"a\":{\"$element\":{\"x\":1,\"y\":2}}}", "{\"a\":[{\"x\":1,\"y\":3},{\"x\":1,\"y\":2}]}", true},
    {"{\"a\":{\"$element\":{\"x\":1,\"y\":2}}}", "{\"a\":[{\"x\":1,\"y\":3},{\"x\":3,\"y\":2}]}", false},
    {"{\"$min\":{\"count\":2,\"of\":[{\"a\":1},{\"b\":1},{\"c\":1}]}}", "{\"a\":1,\"c\":1}", true},
    {"{\"$min\":{\"count\":2,\"of\":[{\"a\":1},{\"b\":1},{\"c\":1}]}}", "{\"a\":1}", false},
    {"{\"$ids\":[1]}", "{}", false},         /* a payload alone has no id */
    {"{\"$has_vector\":\"\"}", "{}", false}, /* and no vector */
};

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (matches(meanings[i].filter, meanings[i].payload) != meanings[i].matches) {
            fail_msg("%s of %s is not %d", meanings[i].filter, meanings[i].payload, meanings[i].matches);
        }
    }
}

static const char *const refused[] = {
    "{\"a\":{\"$range\":5}}",
    "{\"a\":{\"$range\":{\"above\":5}}}",
    "{\"a\":{\"$range\":{\"gt\":true}}}",
    "{\"a\":{\"$range\":{\"gt\":1,\"gte\":1,\"lt\":1,\"lte\":1,\"gt\":1}}}",
    "{\"a\":{\"$time\":{\"gt\":\"soon\"}}}",
    "{\"a\":{\"$count\":{\"gt\":-1}}}",
    "{\"a\":{\"$prefix\":1}}",
    "{\"a\":{\"$words\":{}}}",
    "{\"a\":{\"$words\":{\"query\":\"x\",\"match\":\"some\"}}}",
    "{\"a\":{\"$geo_radius\":{\"center\":{\"lon\":0,\"lat\":91},\"radius\":1}}}",
    "{\"a\":{\"$geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{\"lon\":1,\"lat\":0},{\"lon\":0,\"lat\":1}]}}}}",
    "{\"a\":{\"$element\":1}}",
    "{\"$min\":{\"count\":0,\"of\":[{\"a\":1}]}}",
    "{\"$min\":{\"count\":1,\"of\":[]}}",
    "{\"$ids\":[-1]}",
    "{\"$ids\":1}",
    "{\"$slice\":{\"total\":2,\"index\":2}}",
    "{\"$has_vector\":1}",
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct crn_filter *filter;
        cairn_error err;
        if (crn_filter_parse(refused[i], strlen(refused[i]), &filter, &err) == CAIRN_OK)
            fail_msg("%s was not refused", refused[i]);
        assert_null(filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_meanings), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
