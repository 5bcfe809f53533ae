/* Named vectors added to a collection and dropped from it, and matrices of distances. */
#include "tests/server/qdrant_fixture.h"

#define POINTS "/collections/a/points"

static void test_a_vector_is_added_and_dropped(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":[1,0]}]}");
    result_is(w, CRN_PUT, "/collections/a/vectors/b?wait=true",
              "{\"dense\":{\"size\":3,\"distance\":\"Cosine\"}}",
              "{\"operation_id\":1,\"status\":\"completed\"}");
    result_holds(
        w, CRN_GET, "/collections/a", NULL,
        "\"vectors\":{\"\":{\"size\":2,\"distance\":\"Dot\"},\"b\":{\"size\":3,\"distance\":\"Cosine\"}}");
    done(w, CRN_PUT, "/collections/a/vectors/s", "{\"sparse\":{\"modifier\":\"idf\"}}");
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}}");
    done(w, CRN_PUT, "/collections/a/vectors/m",
         "{\"dense\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}}");
    done(w, CRN_PUT, POINTS "/vectors",
         "{\"points\":[{\"id\":1,\"vector\":{\"b\":[0,3,4],\"s\":{\"indices\":[7],\"values\":[2]}}}]}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":2,\"vector\":{\"\":[0,1],\"m\":[[1,0],[0,1]]}}]}");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[0,1,1],\"using\":\"b\"}", "1");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[0,1]}", "2 1");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[[1,1]],\"using\":\"m\"}", "2");
    result_holds(w, CRN_GET, POINTS "/1", NULL,
                 "\"vector\":{\"\":[1.0,0.0],\"b\":[0.0,0.6,0.8],\"s\":{\"indices\":[7],\"values\":[2.0]}}");
    world_reopen(w);
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":{\"indices\":[7],\"values\":[1]},\"using\":\"s\"}",
            "1");
    result_is(w, CRN_DELETE, "/collections/a/vectors/b?wait=true", NULL,
              "{\"operation_id\":0,\"status\":\"completed\"}");
    done(w, CRN_DELETE, "/collections/a/vectors/m", NULL);
    done(w, CRN_DELETE, "/collections/a/vectors/s", NULL);
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"vectors\":{\"size\":2,\"distance\":\"Dot\"}");
    result_holds(w, CRN_GET, POINTS "/1", NULL, "\"vector\":[1.0,0.0]");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[0,1,1],\"using\":\"b\"}", 400,
             "Wrong input: Not existing vector name error: b");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[0,1]}", "2 1");
}

static void test_the_last_vector_can_go(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"x\":{\"size\":2,\"distance\":\"Dot\"}}}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":{\"x\":[1,0]},\"payload\":{\"k\":1}}]}");
    done(w, CRN_DELETE, "/collections/a/vectors/x", NULL);
    result_holds(w, CRN_GET, "/collections/a", NULL, "\"vectors\":{}");
    result_holds(w, CRN_POST, POINTS "/scroll", "{}", "{\"id\":1,\"payload\":{\"k\":1}}");
    done(w, CRN_PUT, "/collections/a/vectors/x", "{\"dense\":{\"size\":1,\"distance\":\"Dot\"}}");
    done(w, CRN_PUT, POINTS "/vectors", "{\"points\":[{\"id\":1,\"vector\":{\"x\":[5]}}]}");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[1],\"using\":\"x\"}", "1");
}

static void test_refused_vectors(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"x\":{\"size\":2,\"distance\":\"Dot\"}}}");
    error_is(w, CRN_PUT, "/collections/a/vectors/x", "{\"dense\":{\"size\":2,\"distance\":\"Dot\"}}", 409,
             "Wrong input: Vector `x` already exists!");
    error_is(w, CRN_PUT, "/collections/a/vectors/y", "{\"dense\":{\"size\":0,\"distance\":\"Dot\"}}", 422,
             "Validation error in JSON body: [dense.size: value 0 invalid, must be from 1 to 65536]");
    error_is(w, CRN_PUT, "/collections/a/vectors/y", "{\"dense\":{\"size\":2}}", 400,
             "Format error in JSON body: missing field `distance`");
    error_is(w, CRN_PUT, "/collections/a/vectors/y", "{\"sparse\":{\"modifier\":\"x\"}}", 400,
             "Format error in JSON body: unknown variant `x`, expected `none` or `idf`");
    error_is(w, CRN_PUT, "/collections/a/vectors/y", "{\"size\":2}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum VectorNameConfig");
    error_is(w, CRN_PUT, "/collections/b/vectors/y", "{\"sparse\":{}}", 404,
             "Not found: Collection `b` doesn't exist!");
    error_is(w, CRN_DELETE, "/collections/a/vectors/y", NULL, 400,
             "Wrong input: Not existing vector name error: y");
    ask_as(w, CRN_ROLE_READ, CRN_PUT, "/collections/a/vectors/y", "{\"sparse\":{}}");
    assert_int_equal(w->answer.status, 403);
}

static void test_a_collection_of_another_program(void **state)
{
    struct world *w = *state;
    const cairn_space_options spaces[] = {
        {.size = sizeof *spaces, .name = "image", .dim = 2, .metric = CAIRN_METRIC_L2},
        {.size = sizeof *spaces, .name = "words", .kind = CAIRN_SPACE_SPARSE}};

    ok(cairn_collection_create(w->database.db, "a",
                               CAIRN_OPTIONS(cairn_collection_options, .spaces = spaces, .space_count = 2),
                               err));
    result_holds(
        w, CRN_GET, "/collections/a", NULL,
        "\"vectors\":{\"image\":{\"size\":2,\"distance\":\"Euclid\"}},\"sparse_vectors\":{\"words\":{}}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":{\"image\":[1,0]}}]}");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"using\":\"image\"}", "1");
}

/* ---- matrices ---- */

static void test_matrices(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"x\":{\"size\":1,\"distance\":\"Euclid\"}}}");
    result_is(w, CRN_POST, POINTS "/search/matrix/pairs", "{\"using\":\"x\"}", "{\"pairs\":[]}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":1,\"vector\":{\"x\":[1]},\"payload\":{\"g\":1}},{\"id\":2,\"vector\":{\"x\":[2]},\"payload\":{\"g\":1}},"
        "{\"id\":3,\"vector\":{\"x\":[5]},\"payload\":{\"g\":1}},{\"id\":4,\"vector\":{\"x\":[90]}},{\"id\":5,\"vector\":{}}]}");
    /* The sample is drawn in any order, so pairs are looked for one by one. */
    static const char body[] =
        "{\"using\":\"x\",\"limit\":1,\"filter\":{\"must\":[{\"key\":\"g\",\"match\":{\"value\":1}}]}}";
    const char *answer = ask(w, CRN_POST, POINTS "/search/matrix/pairs", body);
    static const char *const pairs[] = {"{\"a\":1,\"b\":2,\"score\":1.0}", "{\"a\":2,\"b\":1,\"score\":1.0}",
                                        "{\"a\":3,\"b\":2,\"score\":3.0}"};
    for (size_t i = 0; i < 3; i++) assert_non_null(strstr(answer, pairs[i]));
    assert_null(strstr(answer, "\"a\":4"));
    answer = ask(w, CRN_POST, POINTS "/search/matrix/offsets", "{\"using\":\"x\",\"limit\":9,\"sample\":50}");
    assert_int_equal(w->answer.status, 200);
    assert_non_null(strstr(answer, "\"offsets_row\":[0,0,0,1,1,1,2,2,2,3,3,3]"));
    const char *ids = strstr(answer, "\"ids\":[");
    assert_null(memchr(ids, '5', strcspn(ids, "]")));
    answer = ask(w, CRN_POST, POINTS "/search/matrix/pairs", "{\"using\":\"x\",\"limit\":1,\"sample\":2}");
    assert_int_equal(w->answer.status, 200);
    error_is(w, CRN_POST, POINTS "/search/matrix/pairs", "{}", 400,
             "Wrong input: Not existing vector name error: ");
    error_is(w, CRN_POST, POINTS "/search/matrix/offsets", "{\"using\":\"x\",\"sample\":1}", 422,
             "Validation error in JSON body: [sample: value 1 invalid, must be 2 or larger]");
    error_is(w, CRN_POST, POINTS "/search/matrix/offsets", "{\"using\":\"x\",\"limit\":0}", 422,
             "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]");
    error_is(w, CRN_POST, POINTS "/search/matrix/pairs", "{\"using\":\"x\",\"sample\":10001}", 400,
             "Wrong input: sample is at most 10000");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_a_vector_is_added_and_dropped),
        TEST(test_the_last_vector_can_go),
        TEST(test_refused_vectors),
        TEST(test_a_collection_of_another_program),
        TEST(test_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
