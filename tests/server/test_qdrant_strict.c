/* Strict mode: each limit, just below and just above, and that none holds while it is off. */
#include "tests/server/qdrant_fixture.h"

#define POINTS "/collections/a/points"
#define EXCEEDED(value, most, name)                                                                     \
    "Bad request: Limit exceeded " value " > " most " for \\\"" name "\\\". Help: Reduce the \\\"" name \
    "\\\" parameter to or below " most "."
#define UNINDEXED(key, types)                                                                              \
    "Bad request: Index required but not found for \\\"" key "\\\" of one of the following types: [" types \
    "]. Help: Create an index for this key or use a different filter."

static void make(struct world *w, const char *limits)
{
    char body[512];

    snprintf(
        body, sizeof body,
        "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"sparse_vectors\":{\"s\":{}},\"strict_mode_config\":{\"enabled\":true,%s}}",
        limits);
    done(w, CRN_PUT, "/collections/a", body);
    done(w, CRN_PUT, POINTS,
         "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"n\":1,\"word\":\"x\"}}]}");
}

static void test_limits_of_queries(void **state)
{
    struct world *w = *state;

    make(
        w,
        "\"max_query_limit\":4,\"search_max_hnsw_ef\":10,\"search_allow_exact\":false,\"search_max_oversampling\":2,"
        "\"search_max_batchsize\":2,\"max_timeout\":3");
    done(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":4}");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":5}", 400, EXCEEDED("5", "4", "limit"));
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0]}", 400, EXCEEDED("10", "4", "limit"));
    error_is(w, CRN_POST, POINTS "/query",
             "{\"prefetch\":{\"query\":[1,0],\"limit\":9},\"query\":[1,0],\"limit\":1}", 400,
             EXCEEDED("9", "4", "limit"));
    error_is(w, CRN_POST, POINTS "/scroll", "{\"limit\":5}", 400, EXCEEDED("5", "4", "limit"));
    error_is(w, CRN_POST, POINTS "/query/groups",
             "{\"query\":[1,0],\"limit\":2,\"group_size\":3,\"group_by\":\"n\"}", 400,
             EXCEEDED("6", "4", "limit"));
    error_is(w, CRN_POST, POINTS "/search/matrix/pairs", "{\"sample\":3,\"limit\":2}", 400,
             EXCEEDED("6", "4", "limit"));
    done(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":1,\"params\":{\"hnsw_ef\":10}}");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":1,\"params\":{\"hnsw_ef\":11}}", 400,
             EXCEEDED("11", "10", "hnsw_ef"));
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":1,\"params\":{\"exact\":true}}", 400,
             "Bad request: Exact search disabled!. Help: Set exact=false.");
    error_is(w, CRN_POST, POINTS "/count", "{}", 400,
             "Bad request: Exact search disabled!. Help: Set exact=false.");
    done(w, CRN_POST, POINTS "/count", "{\"exact\":false}");
    error_is(w, CRN_POST, POINTS "/query",
             "{\"query\":[1,0],\"limit\":1,\"params\":{\"quantization\":{\"oversampling\":2.5}}}", 400,
             EXCEEDED("2.5", "2", "oversampling"));
    error_is(w, CRN_POST, POINTS "/query/batch", "{\"searches\":[{\"limit\":1},{\"limit\":1},{\"limit\":1}]}",
             400, EXCEEDED("3", "2", "search limit"));
    done(w, CRN_POST, POINTS "/query?timeout=3", "{\"limit\":1}");
    error_is(w, CRN_POST, POINTS "/query?timeout=4", "{\"limit\":1}", 400, EXCEEDED("4", "3", "timeout"));
    done(w, CRN_GET, "/collections/a?timeout=4", NULL);
    done(w, CRN_PATCH, "/collections/a", "{\"strict_mode_config\":{\"enabled\":false}}");
    done(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":5}");
}

static void test_filters_want_indexes(void **state)
{
    struct world *w = *state;

    make(
        w,
        "\"unindexed_filtering_retrieve\":false,\"unindexed_filtering_update\":false,\"max_payload_index_count\":3");
    static const char by_word[] = "{\"filter\":{\"must\":[{\"key\":\"word\",\"match\":{\"value\":\"x\"}}]}}";
    error_is(w, CRN_POST, POINTS "/scroll", by_word, 400, UNINDEXED("word", "keyword"));
    error_is(w, CRN_POST, POINTS "/delete", by_word, 400, UNINDEXED("word", "keyword"));
    error_is(w, CRN_POST, POINTS "/payload",
             "{\"payload\":{\"y\":1},\"filter\":{\"must_not\":[{\"key\":\"n\",\"range\":{\"gt\":1}}]}}", 400,
             UNINDEXED("n", "integer, float"));
    error_is(w, CRN_POST, POINTS "/scroll", "{\"filter\":{\"should\":[{\"is_empty\":{\"key\":\"q\"}}]}}", 400,
             UNINDEXED("q", "keyword, integer, float, geo, text, bool, datetime, uuid"));
    error_is(
        w, CRN_POST, POINTS "/scroll",
        "{\"filter\":{\"must\":{\"nested\":{\"key\":\"o\",\"filter\":{\"must\":{\"key\":\"p\",\"match\":{\"text\":\"z\"}}}}}}}",
        400, UNINDEXED("o[].p", "text"));
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"word\",\"field_schema\":\"integer\"}");
    error_is(w, CRN_POST, POINTS "/scroll", by_word, 400, UNINDEXED("word", "keyword"));
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"word\",\"field_schema\":\"keyword\"}");
    ids_are(w, CRN_POST, POINTS "/scroll", by_word, "1");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"m\",\"field_schema\":\"integer\"}");
    error_is(
        w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"k\",\"field_schema\":\"integer\"}", 400,
        "Bad request: Collection already has the maximum number of payload indices (3). Help: Please delete an existing index before "
        "creating a new one.");
    done(w, CRN_POST, POINTS "/scroll", "{\"filter\":{\"must\":[{\"has_id\":[1]}]}}");
}

static void test_size_of_filters(void **state)
{
    struct world *w = *state;

    make(w, "\"filter_max_conditions\":2,\"condition_max_size\":2");
    done(
        w, CRN_POST, POINTS "/scroll",
        "{\"filter\":{\"must\":[{\"has_id\":[1,2]},{\"should\":[{\"key\":\"n\",\"match\":{\"any\":[1,2]}}]}]}}");
    error_is(
        w, CRN_POST, POINTS "/scroll",
        "{\"filter\":{\"must\":[{\"has_id\":[1]},{\"should\":[{\"has_id\":[1]},{\"has_id\":[1]}]}]}}", 400,
        "Bad request: Filter condition limit reached (3 > 2). Help: Reduce the amount of conditions of your filter.");
    error_is(w, CRN_POST, POINTS "/scroll", "{\"filter\":{\"must\":[{\"has_id\":[1,2,3]}]}}", 400,
             "Bad request: Condition size limit reached (3 > 2). Help: Reduce the size of your condition.");
    error_is(w, CRN_POST, POINTS "/scroll",
             "{\"filter\":{\"must\":[{\"key\":\"n\",\"match\":{\"except\":[1,2,3]}}]}}", 400,
             "Bad request: Condition size limit reached (3 > 2). Help: Reduce the size of your condition.");
}

static void test_limits_of_writes(void **state)
{
    struct world *w = *state;

    make(w, "\"upsert_max_batchsize\":2,\"sparse_config\":{\"s\":{\"max_length\":1}},\"max_points_count\":3");
    error_is(w, CRN_PUT, POINTS, "{\"batch\":{\"ids\":[2,3,4],\"vectors\":[[1,1],[1,1],[1,1]]}}", 400,
             EXCEEDED("3", "2", "upsert limit"));
    error_is(
        w, CRN_PUT, POINTS "/vectors",
        "{\"points\":[{\"id\":1,\"vector\":[1,1]},{\"id\":1,\"vector\":[1,1]},{\"id\":1,\"vector\":[1,1]}]}",
        400, EXCEEDED("3", "2", "update limit"));
    error_is(w, CRN_PUT, POINTS,
             "{\"points\":[{\"id\":2,\"vector\":{\"s\":{\"indices\":[1,2],\"values\":[1,1]}}}]}", 400,
             "Bad request: Sparse vector 's' has a limit of 1 indices, but 2 were provided");
    done(w, CRN_POST, POINTS "/query", "{\"query\":{\"indices\":[1,2],\"values\":[1,1]},\"using\":\"s\"}");
    done(w, CRN_PUT, POINTS, "{\"batch\":{\"ids\":[2,3],\"vectors\":[[1,1],[1,1]]}}");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":4,\"vector\":[1,1]}]}", 400,
             "Bad request: Max points count limit of 3 reached!");
    done(w, CRN_POST, POINTS "/delete", "{\"points\":[3]}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":4,\"vector\":[1,1]}]}");
}

static void test_sizes_of_a_collection(void **state)
{
    struct world *w = *state;

    make(w, "\"max_collection_vector_size_bytes\":16");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":2,\"vector\":[1,1]}]}");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":3,\"vector\":[1,1]}]}", 400,
             "Bad request: Max vector storage size limit of 1.52588e-05MB reached!");
    done(
        w, CRN_PATCH, "/collections/a",
        "{\"strict_mode_config\":{\"max_collection_vector_size_bytes\":1000,\"max_collection_payload_size_bytes\":40}}");
    done(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"long\":\"0123456789\"},\"points\":[1]}");
    error_is(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"more\":1},\"points\":[2]}", 400,
             "Bad request: Max payload storage size limit of 3.8147e-05MB reached!");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":3,\"vector\":[1,1],\"payload\":{}}]}", 400,
             "Bad request: Max payload storage size limit of 3.8147e-05MB reached!");
    done(w, CRN_POST, POINTS "/payload/clear", "{\"points\":[1]}");
}

static const char *retry_after(const struct world *w)
{
    for (size_t i = 0; i < w->answer.header_count; i++) {
        if (strcmp(w->answer.headers[i].name, "retry-after") == 0) return w->answer.headers[i].value;
    }
    return "";
}

static void test_rates(void **state)
{
    struct world *w = *state;

    make(w, "\"read_rate_limit\":3,\"write_rate_limit\":3");
    for (int i = 0; i < 3; i++) done(w, CRN_POST, POINTS "/count", "{}");
    assert_non_null(strstr(ask(w, CRN_POST, POINTS "/count", "{}"),
                           "Rate limiting exceeded: Read rate limit exceeded: Operation requires 1 tokens"));
    assert_int_equal(w->answer.status, 429);
    const long seconds = strtol(retry_after(w), NULL, 10);
    assert_true(seconds >= 1 && seconds <= 20);
    for (int i = 0; i < 2; i++)
        done(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"a\":1},\"points\":[1]}");
    assert_non_null(strstr(ask(w, CRN_POST, POINTS "/delete", "{\"points\":[1]}"),
                           "Rate limiting exceeded: Write rate limit exceeded"));
    assert_int_equal(w->answer.status, 429);
    error_is(
        w, CRN_POST, POINTS "/batch",
        "{\"operations\":[{\"clear_payload\":{\"points\":[1]}},{\"clear_payload\":{\"points\":[1]}},{\"clear_payload\":{\"points\":[1]}},"
        "{\"clear_payload\":{\"points\":[1]}},{\"clear_payload\":{\"points\":[1]}}]}",
        429,
        "Rate limiting exceeded: Write rate limit exceeded: Operation requires 1 tokens but only 0.0 were available. Retry after 20s");
    done(w, CRN_PATCH, "/collections/a", "{\"strict_mode_config\":{\"enabled\":false}}");
    done(w, CRN_POST, POINTS "/count", "{}");
}

static void test_wrong_settings(void **state)
{
    struct world *w = *state;

    error_is(
        w, CRN_PUT, "/collections/b", "{\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":0}}",
        422,
        "Validation error in JSON body: [strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]");
    error_is(w, CRN_PUT, "/collections/b", "{\"strict_mode_config\":{\"enabled\":1}}", 400,
             "Format error in JSON body: enabled: invalid type: number, expected a boolean");
    error_is(
        w, CRN_PUT, "/collections/b", "{\"strict_mode_config\":{\"read_rate_limit\":\"x\"}}", 400,
        "Format error in JSON body: read_rate_limit: invalid type: string, expected an unsigned integer");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_limits_of_queries), TEST(test_filters_want_indexes),  TEST(test_size_of_filters),
        TEST(test_limits_of_writes),  TEST(test_sizes_of_a_collection), TEST(test_rates),
        TEST(test_wrong_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
