/* Every condition of the dialect's filters, without payload indexes and with them. */
#include "tests/server/qdrant_fixture.h"

#define POINTS "/collections/a/points"

static void make(struct world *w)
{
    done(w, CRN_PUT, "/collections/a",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"sparse_vectors\":{\"s\":{}}}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":["
        "{\"id\":1,\"vector\":[1,1],\"payload\":{\"city\":\"Berlin\",\"n\":5,\"at\":\"2024-05-01T10:00:00Z\",\"tags\":[\"a\",\"b\"],"
        "\"geo\":{\"lon\":13.4,\"lat\":52.5},\"text\":\"The quick brown fox\",\"deep\":{\"x\":[{\"y\":1,\"z\":true},{\"y\":2,\"z\":false}]}}},"
        "{\"id\":2,\"vector\":{\"\":[1,1],\"s\":{\"indices\":[1],\"values\":[1]}},\"payload\":{\"city\":\"Ulm\",\"n\":[1,9],"
        "\"at\":\"2024-06-01\",\"tags\":[],\"geo\":{\"lon\":10.0,\"lat\":48.4},\"text\":\"quick thinking\",\"null\":null}},"
        "{\"id\":3,\"vector\":[1,1],\"payload\":{\"city\":\"Bern\",\"n\":7.5,\"flag\":true,\"tags\":\"a\",\"deep\":{\"x\":[{\"y\":2,\"z\":true}]}}},"
        "{\"id\":\"00000000-0000-0000-0000-000000000004\",\"vector\":[1,1]}]}");
}

#define LAST "\"00000000-0000-0000-0000-000000000004\""

static const struct {
    const char *filter, *ids;
} cases[] = {
    {"{}", "1 2 3 " LAST},
    {"{\"must\":[]}", "1 2 3 " LAST},
    {"{\"must\":{\"key\":\"city\",\"match\":{\"value\":\"Ulm\"}}}", "2"},
    {"{\"must\":[{\"key\":\"flag\",\"match\":{\"value\":true}}]}", "3"},
    {"{\"must\":[{\"key\":\"n\",\"match\":{\"value\":9}}]}", "2"},
    {"{\"must\":[{\"key\":\"city\",\"match\":{\"any\":[\"Ulm\",\"Bern\"]}}]}", "2 3"},
    {"{\"must\":[{\"key\":\"city\",\"match\":{\"any\":[]}}]}", ""},
    {"{\"must\":[{\"key\":\"city\",\"match\":{\"except\":[\"Ulm\",\"Bern\"]}}]}", "1"},
    {"{\"must\":[{\"key\":\"tags\",\"match\":{\"except\":[\"a\"]}}]}", "1"},
    {"{\"must\":[{\"key\":\"city\",\"match\":{\"prefix\":\"Ber\"}}]}", "1 3"},
    {"{\"must\":[{\"key\":\"text\",\"match\":{\"text\":\"ick\"}}]}", "1 2"},
    {"{\"must\":[{\"key\":\"text\",\"match\":{\"text_any\":\"fox think\"}}]}", "1 2"},
    {"{\"must\":[{\"key\":\"text\",\"match\":{\"phrase\":\"quick brown\"}}]}", "1"},
    {"{\"must\":[{\"key\":\"tags\",\"match\":{\"value\":\"a\"}}]}", "1 3"},
    {"{\"must\":[{\"key\":\"tags[]\",\"match\":{\"value\":\"b\"}}]}", "1"},
    {"{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":5,\"lt\":8}}]}", "1 3"},
    {"{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":1,\"lt\":9}}]}", "1 3"}, /* 1 and 9 are two values */
    {"{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":8,\"lt\":null}}]}", "2"},
    {"{\"must\":[{\"key\":\"at\",\"range\":{\"gte\":\"2024-05-01T12:00:00+02:00\",\"lt\":\"2024-05-02T00:00:00Z\"}}]}",
     "1"},
    {"{\"must\":[{\"key\":\"geo\",\"geo_radius\":{\"center\":{\"lon\":13.38,\"lat\":52.51},\"radius\":3000}}]}",
     "1"},
    {"{\"must\":[{\"key\":\"geo\",\"geo_radius\":{\"center\":{\"lon\":13.38,\"lat\":52.51},\"radius\":600000}}]}",
     "1 2"},
    {"{\"must\":[{\"key\":\"geo\",\"geo_bounding_box\":{\"top_left\":{\"lon\":9,\"lat\":49},\"bottom_right\":{\"lon\":11,\"lat\":48}}}]}",
     "2"},
    {"{\"must\":[{\"key\":\"geo\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":9,\"lat\":48},{\"lon\":11,\"lat\":48},"
     "{\"lon\":10,\"lat\":50},{\"lon\":9,\"lat\":48}]}}}]}",
     "2"},
    {"{\"must\":[{\"key\":\"tags\",\"values_count\":{\"gte\":2}}]}", "1"},
    {"{\"must\":[{\"key\":\"tags\",\"values_count\":{\"lt\":1}}]}", "2 " LAST},
    {"{\"must\":[{\"is_empty\":{\"key\":\"tags\"}}]}", "2 " LAST},
    {"{\"must\":[{\"is_empty\":{\"key\":\"null\"}}]}", "1 2 3 " LAST},
    {"{\"must\":[{\"is_null\":{\"key\":\"null\"}}]}", "2"},
    {"{\"must\":[{\"key\":\"null\",\"is_null\":false}]}", "1 3 " LAST},
    {"{\"must\":[{\"has_id\":[3,1,99," LAST "]}]}", "1 3 " LAST},
    {"{\"must_not\":[{\"has_id\":[3,1]}]}", "2 " LAST},
    {"{\"must\":[{\"has_id\":[]}]}", ""},
    {"{\"must\":[{\"has_vector\":\"s\"}]}", "2"},
    {"{\"must_not\":[{\"has_vector\":\"s\"}]}", "1 3 " LAST},
    {"{\"must\":[{\"has_vector\":\"\"},{\"key\":\"n\",\"match\":{\"value\":5}}]}", "1"},
    {"{\"must\":[{\"nested\":{\"key\":\"deep.x\",\"filter\":{\"must\":[{\"key\":\"y\",\"match\":{\"value\":2}},"
     "{\"key\":\"z\",\"match\":{\"value\":true}}]}}}]}",
     "3"},
    {"{\"must\":[{\"key\":\"deep.x[].y\",\"match\":{\"value\":2}},{\"key\":\"deep.x[].z\",\"match\":{\"value\":true}}]}",
     "1 3"},
    {"{\"should\":[{\"has_id\":[1]},{\"key\":\"city\",\"match\":{\"value\":\"Ulm\"}}]}", "1 2"},
    {"{\"min_should\":{\"min_count\":2,\"conditions\":[{\"has_id\":[1,2]},{\"has_id\":[2,3]},{\"has_id\":[3]}]}}",
     "2 3"},
    {"{\"must\":[{\"should\":[{\"has_id\":[1]},{\"must_not\":{\"is_empty\":{\"key\":\"flag\"}}}]}]}", "1 3"},
    {"{\"must\":[{\"must\":[]}],\"must_not\":[{\"has_id\":[1]}]}", "2 3 " LAST},
};

static void check_all(struct world *w)
{
    char body[2048];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(body, sizeof body, "{\"limit\":100,\"with_payload\":false,\"filter\":%s}", cases[i].filter);
        ids_are(w, CRN_POST, POINTS "/scroll", body, cases[i].ids);
        snprintf(body, sizeof body, "{\"limit\":100,\"query\":{\"sample\":\"random\"},\"filter\":%s}",
                 cases[i].filter);
        done(w, CRN_POST, POINTS "/query", body);
        assert_int_equal(strlen(ids_of(w->answer.body.data)), strlen(cases[i].ids));
    }
}

static void test_conditions_without_indexes(void **state)
{
    make(*state);
    check_all(*state);
}

static void test_conditions_with_indexes(void **state)
{
    static const char *const indexes[][2] = {
        {"city", "keyword"}, {"n", "float"},   {"at", "datetime"},       {"geo", "geo"},
        {"tags", "keyword"}, {"flag", "bool"}, {"deep.x[].y", "integer"}};
    struct world *w = *state;
    char body[200];

    make(w);
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        snprintf(body, sizeof body, "{\"field_name\":\"%s\",\"field_schema\":\"%s\"}", indexes[i][0],
                 indexes[i][1]);
        done(w, CRN_PUT, "/collections/a/index", body);
    }
    check_all(w);
}

static void test_slices_share_all_points(void **state)
{
    struct world *w = *state;
    uint64_t sum = 0;
    char body[200];

    make(w);
    for (int i = 0; i < 3; i++) {
        snprintf(body, sizeof body, "{\"filter\":{\"must\":[{\"slice\":{\"total\":3,\"index\":%d}}]}}", i);
        done(w, CRN_POST, POINTS "/count", body);
        sum += strtoull(strstr(w->answer.body.data, "\"count\":") + 8, NULL, 10);
    }
    assert_int_equal(sum, 4);
}

static void test_words_with_a_text_index(void **state)
{
    struct world *w = *state;

    make(w);
    done(
        w, CRN_PUT, "/collections/a/index",
        "{\"field_name\":\"text\",\"field_schema\":{\"type\":\"text\",\"tokenizer\":\"word\",\"lowercase\":true,\"stopwords\":\"english\"}}");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"QUICK\"}}}}", "1 2");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"ick\"}}}}", "");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"the fox quick\"}}}}", "1");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"the\"}}}}", "");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"text_any\":\"fox thinking\"}}}}", "1 2");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"phrase\":\"brown quick\"}}}}", "");
    ids_are(w, CRN_POST, POINTS "/scroll",
            "{\"filter\":{\"must\":{\"key\":\"text\",\"match\":{\"phrase\":\"Brown Fox\"}}}}", "1");
}

static void test_a_filter_follows_writes(void **state)
{
    struct world *w = *state;

    make(w);
    ids_are(w, CRN_POST, POINTS "/scroll", "{\"filter\":{\"must\":{\"has_vector\":\"s\"}}}", "2");
    done(w, CRN_PUT, POINTS "/vectors",
         "{\"points\":[{\"id\":3,\"vector\":{\"s\":{\"indices\":[4],\"values\":[2]}}}]}");
    done(w, CRN_POST, POINTS "/vectors/delete", "{\"points\":[2],\"vector\":[\"s\"]}");
    ids_are(w, CRN_POST, POINTS "/scroll", "{\"filter\":{\"must\":{\"has_vector\":\"s\"}}}", "3");
    done(w, CRN_POST, POINTS "/delete", "{\"filter\":{\"must\":{\"has_vector\":\"s\"}}}");
    ids_are(w, CRN_POST, POINTS "/scroll", "{}", "1 2 " LAST);
}

static void test_refused_filters(void **state)
{
    struct world *w = *state;

    make(w);
    error_is(
        w, CRN_POST, POINTS "/count", "{\"filter\":{\"must\":[{\"key\":\"a\"}]}}", 422,
        "Validation error in JSON body: [filter: At least one field condition must be specified for field condition]");
    error_is(w, CRN_POST, POINTS "/count", "{\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{}}]}}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum Match");
    error_is(w, CRN_POST, POINTS "/count",
             "{\"filter\":{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":1,\"lt\":\"x\"}}]}}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum RangeInterface");
    error_is(w, CRN_POST, POINTS "/count",
             "{\"filter\":{\"must\":[{\"key\":\"a..b\",\"match\":{\"value\":1}}]}}", 400,
             "Format error in JSON body: Invalid json path: 'a..b'");
    error_is(w, CRN_POST, POINTS "/count", "{\"filter\":{\"must\":[{\"nested\":{\"key\":\"a\"}}]}}", 400,
             "Format error in JSON body: missing field `filter`");
    ask(w, CRN_POST, POINTS "/count",
        "{\"filter\":{\"must\":[{\"key\":\"g\",\"geo_radius\":{\"center\":{\"lon\":400,\"lat\":0},\"radius\":1}}]}}");
    assert_int_equal(w->answer.status, 400);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_conditions_without_indexes), TEST(test_conditions_with_indexes),
        TEST(test_slices_share_all_points),    TEST(test_words_with_a_text_index),
        TEST(test_a_filter_follows_writes),    TEST(test_refused_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
