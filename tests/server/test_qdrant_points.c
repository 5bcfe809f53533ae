/* Points of the dialect: writing, reading, payloads, vectors, and each documented error. */
#include "tests/server/qdrant_fixture.h"

#define U "\"550e8400-e29b-41d4-a716-446655440000\""
#define POINTS "/collections/a/points"

static void make(struct world *w)
{
    done(w, CRN_PUT, "/collections/a",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"sparse_vectors\":{\"s\":{}}}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"n\":1,\"none\":null,\"list\":[]}},"
        "{\"id\":18446744073709551615,\"vector\":[3,4],\"payload\":{\"big\":18446744073709551615,\"small\":-9223372036854775808,\"f\":1.0}},"
        "{\"id\":\"550e8400e29b41d4a716446655440000\",\"vector\":{\"\":[5,6],\"s\":{\"indices\":[7,3],\"values\":[0.5,1]}}}]}");
}

static void test_upsert_and_get(void **state)
{
    struct world *w = *state;

    make(w);
    result_is(w, CRN_GET, POINTS "/1", NULL,
              "{\"id\":1,\"payload\":{\"n\":1,\"none\":null,\"list\":[]},\"vector\":[1.0,2.0]}");
    result_is(
        w, CRN_GET, POINTS "/18446744073709551615", NULL,
        "{\"id\":18446744073709551615,\"payload\":{\"big\":18446744073709551615,\"small\":-9223372036854775808,\"f\":1.0},"
        "\"vector\":[3.0,4.0]}");
    result_is(w, CRN_GET, POINTS "/550e8400-e29b-41d4-a716-446655440000", NULL,
              "{\"id\":" U
              ",\"payload\":{},\"vector\":{\"\":[5.0,6.0],\"s\":{\"indices\":[3,7],\"values\":[1.0,0.5]}}}");
    error_is(w, CRN_GET, POINTS "/9", NULL, 404, "Not found: Point with id 9 does not exists!");
    error_is(w, CRN_GET, POINTS "/x", NULL, 400, "Wrong input: Can not recognize \\\"x\\\" as point id");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[9,1],\"with_payload\":false}", "[{\"id\":1}]");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1],\"with_payload\":[\"n\"],\"with_vector\":true}",
              "[{\"id\":1,\"payload\":{\"n\":1},\"vector\":[1.0,2.0]}]");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1],\"with_payload\":{\"exclude\":[\"n\",\"list\"]}}",
              "[{\"id\":1,\"payload\":{\"none\":null}}]");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[" U "],\"with_payload\":false,\"with_vector\":[\"s\"]}",
              "[{\"id\":" U ",\"vector\":{\"s\":{\"indices\":[3,7],\"values\":[1.0,0.5]}}}]");
}

static void test_columns_and_modes(void **state)
{
    struct world *w = *state;

    make(w);
    result_is(w, CRN_PUT, POINTS "?wait=true",
              "{\"batch\":{\"ids\":[5,6],\"vectors\":[[1,1],[2,2]],\"payloads\":[{\"a\":1},null]}}",
              "{\"operation_id\":1,\"status\":\"completed\"}");
    done(w, CRN_PUT, POINTS,
         "{\"batch\":{\"ids\":[7],\"vectors\":{\"s\":[{\"indices\":[1],\"values\":[1.5]}]}}}");
    result_is(w, CRN_GET, POINTS "/5", NULL, "{\"id\":5,\"payload\":{\"a\":1},\"vector\":[1.0,1.0]}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":5,\"vector\":[9,9]},{\"id\":8,\"vector\":[8,8]}],\"update_mode\":\"insert_only\"}");
    result_is(w, CRN_GET, POINTS "/5", NULL, "{\"id\":5,\"payload\":{\"a\":1},\"vector\":[1.0,1.0]}");
    result_is(w, CRN_GET, POINTS "/8", NULL, "{\"id\":8,\"payload\":{},\"vector\":[8.0,8.0]}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":5,\"vector\":[9,9]},{\"id\":10,\"vector\":[8,8]}],\"update_mode\":\"update_only\"}");
    result_is(w, CRN_GET, POINTS "/5", NULL, "{\"id\":5,\"payload\":{},\"vector\":[9.0,9.0]}");
    error_is(w, CRN_GET, POINTS "/10", NULL, 404, "Not found: Point with id 10 does not exists!");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":1,\"vector\":[7,7]},{\"id\":8,\"vector\":[7,7]}],\"update_filter\":{\"must\":{\"key\":\"n\",\"match\":{\"value\":1}}}}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1,8],\"with_payload\":false,\"with_vector\":true}",
              "[{\"id\":1,\"vector\":[7.0,7.0]},{\"id\":8,\"vector\":[8.0,8.0]}]");
}

static void test_refused_points(void **state)
{
    struct world *w = *state;

    make(w);
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", 400,
             "Wrong input: Vector dimension error: expected dim: 2, got 3");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":{\"x\":[1,2]}}]}", 400,
             "Wrong input: Not existing vector name error: x");
    error_is(
        w, CRN_PUT, POINTS, "{\"points\":[{\"id\":\"one\",\"vector\":[1,2]}]}", 400,
        "Format error in JSON body: value one is not a valid point ID, valid values are either an unsigned integer or a UUID");
    error_is(
        w, CRN_PUT, POINTS, "{\"points\":[{\"id\":-1,\"vector\":[1,2]}]}", 400,
        "Format error in JSON body: value -1 is not a valid point ID, valid values are either an unsigned integer or a UUID");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"vector\":[1,2]}]}", 400,
             "Format error in JSON body: missing field `id`");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1}]}", 400,
             "Format error in JSON body: missing field `vector`");
    error_is(w, CRN_PUT, POINTS, "{\"points\":[]}", 400, "Bad request: Empty update request");
    error_is(
        w, CRN_PUT, POINTS, "{}", 400,
        "Format error in JSON body: data did not match any variant of untagged enum PointInsertOperations");
    error_is(w, CRN_PUT, "/collections/b/points", "{\"points\":[{\"id\":1,\"vector\":[1,2]}]}", 404,
             "Not found: Collection `b` doesn't exist!");
    error_is(w, CRN_PUT, POINTS,
             "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1,1],\"values\":[1,2]}}}]}", 422,
             "Validation error in JSON body: [vector.indices: must be unique]");
    error_is(w, CRN_POST, POINTS "/scroll", "{\"limit\":0}", 422,
             "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]");
    error_is(
        w, CRN_POST, POINTS "/count", "{\"filter\":{\"most\":[]}}", 400,
        "Format error in JSON body: unknown field `most`, expected one of `should`, `min_should`, `must`, `must_not`");
}

static void test_cosine_normalises(void **state)
{
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/a", "{\"vectors\":{\"size\":2,\"distance\":\"Cosine\"}}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":1,\"vector\":[3,4]},{\"id\":2,\"vector\":[0,0]}]}");
    result_is(w, CRN_GET, POINTS "/1", NULL, "{\"id\":1,\"payload\":{},\"vector\":[0.6,0.8]}");
    result_is(w, CRN_GET, POINTS "/2", NULL, "{\"id\":2,\"payload\":{},\"vector\":[0.0,0.0]}");
}

static void test_delete_count_scroll(void **state)
{
    struct world *w = *state;

    make(w);
    done(w, CRN_PUT, POINTS,
         "{\"batch\":{\"ids\":[3,2],\"vectors\":[[1,1],[2,2]],\"payloads\":[{\"n\":1},{\"n\":7}]}}");
    result_is(w, CRN_POST, POINTS "/count", "{}", "{\"count\":5}");
    result_is(w, CRN_POST, POINTS "/count",
              "{\"exact\":true,\"filter\":{\"must\":[{\"key\":\"n\",\"match\":{\"value\":1}}]}}",
              "{\"count\":2}");
    result_is(w, CRN_POST, POINTS "/scroll", "{\"limit\":2,\"with_payload\":false}",
              "{\"points\":[{\"id\":1},{\"id\":2}],\"next_page_offset\":3}");
    result_is(w, CRN_POST, POINTS "/scroll", "{\"limit\":2,\"offset\":3,\"with_payload\":false}",
              "{\"points\":[{\"id\":3},{\"id\":18446744073709551615}],\"next_page_offset\":" U "}");
    result_is(w, CRN_POST, POINTS "/scroll", "{\"offset\":" U ",\"with_payload\":false}",
              "{\"points\":[{\"id\":" U "}],\"next_page_offset\":null}");
    error_is(
        w, CRN_POST, POINTS "/scroll", "{\"order_by\":\"n\"}", 400,
        "Bad request: No range index for `order_by` key: `n`. Please create one to use `order_by`. Check "
        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    result_is(
        w, CRN_POST, POINTS "/scroll",
        "{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\"},\"with_payload\":false,\"limit\":2}",
        "{\"points\":[{\"id\":2,\"order_value\":7},{\"id\":3,\"order_value\":1}],\"next_page_offset\":null}");
    done(w, CRN_POST, POINTS "/delete", "{\"points\":[2,99]}");
    done(w, CRN_POST, POINTS "/delete", "{\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"value\":1}}}}");
    result_is(w, CRN_POST, POINTS "/count", "{}", "{\"count\":2}");
    done(w, CRN_POST, POINTS "/delete", "{\"filter\":{}}");
    result_is(w, CRN_POST, POINTS "/count", "{}", "{\"count\":0}");
}

static void test_payload_changes(void **state)
{
    struct world *w = *state;

    make(w);
    done(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"x\":{\"y\":1},\"n\":null},\"points\":[1]}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1]}",
              "[{\"id\":1,\"payload\":{\"n\":null,\"none\":null,\"list\":[],\"x\":{\"y\":1}}}]");
    done(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"z\":2},\"points\":[1],\"key\":\"x.deep\"}");
    done(w, CRN_POST, POINTS "/payload", "{\"payload\":{\"z\":3},\"points\":[1],\"key\":\"x\"}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1],\"with_payload\":[\"x\"]}",
              "[{\"id\":1,\"payload\":{\"x\":{\"y\":1,\"deep\":{\"z\":2},\"z\":3}}}]");
    done(w, CRN_POST, POINTS "/payload/delete", "{\"keys\":[\"x.deep\",\"list\",\"absent\"],\"points\":[1]}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1]}",
              "[{\"id\":1,\"payload\":{\"n\":null,\"none\":null,\"x\":{\"y\":1,\"z\":3}}}]");
    done(w, CRN_PUT, POINTS "/payload",
         "{\"payload\":{\"new\":true},\"filter\":{\"must\":{\"key\":\"x.z\",\"match\":{\"value\":3}}}}");
    result_is(w, CRN_GET, POINTS "/1", NULL, "{\"id\":1,\"payload\":{\"new\":true},\"vector\":[1.0,2.0]}");
    done(w, CRN_POST, POINTS "/payload/clear", "{\"points\":[1]}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1]}", "[{\"id\":1,\"payload\":{}}]");
    error_is(w, CRN_POST, POINTS "/payload", "{\"payload\":{},\"points\":[77]}", 404,
             "Not found: No point with id 77 found");
    error_is(w, CRN_POST, POINTS "/payload", "{\"points\":[1]}", 400,
             "Format error in JSON body: missing field `payload`");
    error_is(w, CRN_POST, POINTS "/payload", "{\"payload\":{}}", 422,
             "Validation error in JSON body: [points: Either list of ids or filter must be provided]");
}

static void test_vector_changes_and_batches(void **state)
{
    struct world *w = *state;

    make(w);
    done(w, CRN_PUT, POINTS "/vectors",
         "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[4],\"values\":[2]}}}]}");
    result_is(
        w, CRN_POST, POINTS, "{\"ids\":[1],\"with_payload\":[\"n\"],\"with_vector\":true}",
        "[{\"id\":1,\"payload\":{\"n\":1},\"vector\":{\"\":[1.0,2.0],\"s\":{\"indices\":[4],\"values\":[2.0]}}}]");
    done(w, CRN_POST, POINTS "/vectors/delete", "{\"points\":[1],\"vector\":[\"s\"]}");
    result_is(w, CRN_POST, POINTS, "{\"ids\":[1],\"with_payload\":[\"n\"],\"with_vector\":true}",
              "[{\"id\":1,\"payload\":{\"n\":1},\"vector\":[1.0,2.0]}]");
    error_is(w, CRN_PUT, POINTS "/vectors", "{\"points\":[{\"id\":5,\"vector\":[1,2]}]}", 404,
             "Not found: No point with id 5 found");
    error_is(w, CRN_POST, POINTS "/vectors/delete", "{\"points\":[1],\"vector\":[\"x\"]}", 400,
             "Wrong input: Not existing vector name error: x");
    ask(w, CRN_POST, POINTS "/batch?wait=true",
        "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":5,\"vector\":[1,2]}]}},{\"set_payload\":{\"payload\":{\"k\":1},\"points\":[5]}},"
        "{\"overwrite_payload\":{\"payload\":{\"l\":1},\"points\":[5]}},{\"delete_payload\":{\"keys\":[\"l\"],\"points\":[5]}},"
        "{\"clear_payload\":{\"points\":[5]}},{\"update_vectors\":{\"points\":[{\"id\":5,\"vector\":[6,6]}]}},"
        "{\"delete_vectors\":{\"points\":[5],\"vector\":[\"s\"]}},{\"delete\":{\"points\":[1]}}]}");
    assert_int_equal(w->answer.status, 200);
    result_is(w, CRN_GET, POINTS "/5", NULL, "{\"id\":5,\"payload\":{},\"vector\":[6.0,6.0]}");
    error_is(w, CRN_GET, POINTS "/1", NULL, 404, "Not found: Point with id 1 does not exists!");
    error_is(w, CRN_POST, POINTS "/batch", "{\"operations\":[{\"jump\":{}}]}", 400,
             "Format error in JSON body: data did not match any variant of untagged enum UpdateOperation");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_upsert_and_get),
        TEST(test_columns_and_modes),
        TEST(test_refused_points),
        TEST(test_cosine_normalises),
        TEST(test_delete_count_scroll),
        TEST(test_payload_changes),
        TEST(test_vector_changes_and_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
