/* Queries of the dialect: nearest, examples, fusion, groups, facets, the older endpoints, and each documented error. */
#include "tests/server/qdrant_fixture.h"

#define POINTS "/collections/a/points"

static void make(struct world *w)
{
    done(
        w, CRN_PUT, "/collections/a",
        "{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Dot\"},\"e\":{\"size\":2,\"distance\":\"Euclid\"},"
        "\"c\":{\"size\":2,\"distance\":\"Cosine\"},\"m\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},"
        "\"sparse_vectors\":{\"s\":{},\"idf\":{\"modifier\":\"idf\"}}}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":["
        "{\"id\":1,\"vector\":{\"d\":[1,0],\"e\":[0,0],\"c\":[2,0],\"m\":[[1,0],[0,1]],\"s\":{\"indices\":[1,2],\"values\":[1,1]},"
        "\"idf\":{\"indices\":[1],\"values\":[1]}},\"payload\":{\"g\":\"x\",\"n\":3}},"
        "{\"id\":2,\"vector\":{\"d\":[2,0],\"e\":[3,4],\"c\":[0,5],\"m\":[[1,1]],\"s\":{\"indices\":[2],\"values\":[3]},"
        "\"idf\":{\"indices\":[1,9],\"values\":[1,1]}},\"payload\":{\"g\":\"x\",\"n\":1}},"
        "{\"id\":3,\"vector\":{\"d\":[0,1],\"e\":[6,8],\"c\":[1,1],\"m\":[[0,2]]},\"payload\":{\"g\":[\"y\",\"x\"],\"n\":2}},"
        "{\"id\":4,\"vector\":{\"d\":[-1,-1]},\"payload\":{\"g\":\"z\"}}]}");
}

static void test_nearest_by_each_distance(void **state)
{
    struct world *w = *state;

    make(w);
    result_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"using\":\"d\",\"limit\":2}",
              "{\"points\":[{\"id\":2,\"version\":0,\"score\":2.0},{\"id\":1,\"version\":0,\"score\":1.0}]}");
    result_is(
        w, CRN_POST, POINTS "/query",
        "{\"query\":[0,0],\"using\":\"e\",\"with_payload\":[\"n\"],\"offset\":1}",
        "{\"points\":[{\"id\":2,\"version\":1,\"score\":5.0,\"payload\":{\"n\":1}},{\"id\":3,\"version\":1,\"score\":10.0,\"payload\":{\"n\":2}}]}");
    result_is(w, CRN_POST, POINTS "/query", "{\"query\":[0,0],\"using\":\"e\",\"score_threshold\":6}",
              "{\"points\":[{\"id\":1,\"version\":0,\"score\":0.0},{\"id\":2,\"version\":0,\"score\":5.0}]}");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[0,9],\"using\":\"c\",\"score_threshold\":0.5}", "2 3");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":[0,0],\"using\":\"c\",\"limit\":9}",
            "1 2 3"); /* zeros have no direction: all score 0 */
    result_is(w, CRN_POST, POINTS "/query",
              "{\"query\":{\"indices\":[2,5],\"values\":[1,1]},\"using\":\"s\"}",
              "{\"points\":[{\"id\":2,\"version\":0,\"score\":3.0},{\"id\":1,\"version\":0,\"score\":1.0}]}");
    result_is(w, CRN_POST, POINTS "/query", "{\"query\":[[1,0],[0,1]],\"using\":\"m\",\"limit\":1}",
              "{\"points\":[{\"id\":1,\"version\":0,\"score\":2.0}]}");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"query\":{\"indices\":[1,9],\"values\":[1,1]},\"using\":\"idf\"}", "2 1");
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":{\"nearest\":1},\"using\":\"d\",\"limit\":9}", "2 3 4");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"query\":1,\"using\":\"d\",\"filter\":{\"must\":{\"key\":\"g\",\"match\":{\"value\":\"x\"}}}}",
            "2 3");
    ids_are(w, CRN_POST, POINTS "/query", "{\"limit\":3}", "1 2 3");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":[1,0],\"using\":\"d\",\"params\":{\"hnsw_ef\":64,\"exact\":true},\"with_vector\":[\"d\"]}",
        "2 1 3 4");
}

static void test_idf_weighs_rare_indices_more(void **state)
{
    struct world *w = *state;

    make(w);
    /* Two points: index 9 is in one of them, index 1 in both: ln(1.5/1.5+1) and ln(0.5/2.5+1). */
    result_holds(w, CRN_POST, POINTS "/query",
                 "{\"query\":{\"indices\":[1],\"values\":[1]},\"using\":\"idf\",\"limit\":1}",
                 "\"score\":0.1823");
    result_holds(w, CRN_POST, POINTS "/query",
                 "{\"query\":{\"indices\":[9],\"values\":[1]},\"using\":\"idf\",\"limit\":1}",
                 "\"score\":0.6931");
}

static void test_examples(void **state)
{
    struct world *w = *state;

    make(w);
    ids_are(w, CRN_POST, POINTS "/query", "{\"query\":{\"recommend\":{\"positive\":[1]}},\"using\":\"d\"}",
            "2 3 4");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"query\":{\"recommend\":{\"positive\":[[0,1]],\"negative\":[2]}},\"using\":\"d\"}", "3 4 1");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":{\"recommend\":{\"positive\":[[0,1]],\"negative\":[[1,0]],\"strategy\":\"best_score\"}},\"using\":\"d\"}",
        "3 4 1 2");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":{\"recommend\":{\"positive\":[[0,1],[0,2]],\"negative\":[[1,0]],\"strategy\":\"sum_scores\"}},\"using\":\"d\"}",
        "3 1 2 4");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":{\"discover\":{\"target\":[1,0],\"context\":{\"positive\":[0,1],\"negative\":[1,0]}}},\"using\":\"d\"}",
        "3 4 2 1");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"query\":{\"context\":[{\"positive\":[0,1],\"negative\":[1,0]}]},\"using\":\"d\",\"limit\":1}",
            "3");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":{\"recommend\":{}},\"using\":\"d\"}", 400,
             "Bad request: At least one positive vector ID required");
    error_is(w, CRN_POST, POINTS "/query",
             "{\"query\":{\"recommend\":{\"strategy\":\"best_score\"}},\"using\":\"d\"}", 400,
             "Bad request: At least one positive or negative vector ID required");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":{\"recommend\":{\"positive\":[77]}},\"using\":\"d\"}",
             404, "Not found: No point with id 77 found");
}

static void test_lookup_from(void **state)
{
    struct world *w = *state;

    make(w);
    done(w, CRN_PUT, "/collections/b", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}");
    done(w, CRN_PUT, "/collections/b/points", "{\"points\":[{\"id\":2,\"vector\":[0,1]}]}");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":2,\"using\":\"d\",\"lookup_from\":{\"collection\":\"b\",\"vector\":\"\"},\"limit\":1}",
        "3");
    error_is(w, CRN_POST, POINTS "/query",
             "{\"query\":2,\"using\":\"d\",\"lookup_from\":{\"collection\":\"x\"}}", 404,
             "Not found: Collection `x` doesn't exist!");
}

static void test_prefetch_and_fusion(void **state)
{
    struct world *w = *state;

    make(w);
    /* Ranks: d: 2 1 3 4; e: 1 2 3. */
    result_is(
        w, CRN_POST, POINTS "/query",
        "{\"prefetch\":[{\"query\":[1,0],\"using\":\"d\"},{\"query\":[0,0],\"using\":\"e\"}],\"query\":{\"fusion\":\"rrf\"},\"limit\":3}",
        "{\"points\":[{\"id\":1,\"version\":0,\"score\":0.8333333},{\"id\":2,\"version\":0,\"score\":0.8333333},"
        "{\"id\":3,\"version\":0,\"score\":0.5}]}");
    result_holds(w, CRN_POST, POINTS "/query",
                 "{\"prefetch\":[{\"query\":[1,0],\"using\":\"d\"},{\"query\":[0,0],\"using\":\"e\"}],"
                 "\"query\":{\"rrf\":{\"k\":1,\"weights\":[0,1]}},\"limit\":1}",
                 "[{\"id\":1,\"version\":0,\"score\":1.0}]");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"prefetch\":[{\"query\":[1,0],\"using\":\"d\"},{\"query\":[0,0],\"using\":\"e\"}],\"query\":{\"fusion\":\"dbsf\"}}",
        "1 2 3 4");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"prefetch\":{\"query\":[1,0],\"using\":\"d\",\"limit\":2},\"query\":[6,8],\"using\":\"e\"}",
            "2 1");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"prefetch\":[{\"query\":[1,0],\"using\":\"d\"}],\"query\":{\"fusion\":\"rrf\"},\"filter\":{\"must\":{\"has_id\":[4,1]}}}",
        "1 4");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":{\"fusion\":\"rrf\"}}", 400,
             "Bad request: Fusion queries cannot be run without prefetches");
    error_is(
        w, CRN_POST, POINTS "/query", "{\"prefetch\":{\"limit\":2}}", 400,
        "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.");
}

#define FORMULA(text) \
    "{\"prefetch\":{\"query\":[1,0],\"using\":\"d\",\"limit\":3},\"query\":{\"formula\":" text "}}"

static void test_formulas(void **state)
{
    struct world *w = *state;

    make(w);
    /* d: 2 scores 2, 1 scores 1, 3 scores 0; n: 3, 1, 2. */
    result_is(w, CRN_POST, POINTS "/query", FORMULA("{\"sum\":[\"$score\",{\"mult\":[10,\"n\"]}]}"),
              "{\"points\":[{\"id\":1,\"version\":0,\"score\":31.0},{\"id\":3,\"version\":0,\"score\":20.0},"
              "{\"id\":2,\"version\":0,\"score\":12.0}]}");
    ids_are(w, CRN_POST, POINTS "/query",
            FORMULA("{\"sum\":[\"$score\",{\"mult\":[5,{\"key\":\"g\",\"match\":{\"value\":\"y\"}}]}]}"),
            "3 2 1");
    result_holds(w, CRN_POST, POINTS "/query",
                 FORMULA("{\"exp_decay\":{\"x\":\"n\",\"target\":1,\"scale\":2}}"),
                 "{\"id\":1,\"version\":0,\"score\":0.5}");
    result_holds(w, CRN_POST, POINTS "/query",
                 FORMULA("{\"div\":{\"left\":1,\"right\":\"$score\",\"by_zero_default\":9}}"),
                 "[{\"id\":3,\"version\":0,\"score\":9.0}");
    result_holds(w, CRN_POST, POINTS "/query", FORMULA("{\"pow\":{\"base\":{\"neg\":\"n\"},\"exponent\":2}}"),
                 "\"score\":9.0");
    result_holds(w, CRN_POST, POINTS "/query", FORMULA("\"other\",\"defaults\":{\"other\":0.5}"),
                 "\"score\":0.5");
    error_is(w, CRN_POST, POINTS "/query", FORMULA("\"other\""), 400,
             "Bad request: No value found for key `other`, and no default");
    error_is(w, CRN_POST, POINTS "/query", FORMULA("{\"ln\":0}"), 400,
             "Bad request: the expression has no finite value");
    error_is(w, CRN_POST, POINTS "/query", FORMULA("{\"div\":{\"left\":1,\"right\":0}}"), 400,
             "Bad request: the expression divides by zero, and there is no by_zero_default");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":{\"formula\":1}}", 400,
             "Bad request: Formula queries cannot be run without prefetches");
}

static void test_mmr_order_and_sample(void **state)
{
    struct world *w = *state;

    make(w);
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":{\"nearest\":[1,0.1],\"mmr\":{\"diversity\":1.0,\"candidates_limit\":4}},\"using\":\"d\",\"limit\":2}",
        "2 4");
    ids_are(
        w, CRN_POST, POINTS "/query",
        "{\"query\":{\"nearest\":[1,0.1],\"mmr\":{\"diversity\":0.0,\"candidates_limit\":4}},\"using\":\"d\",\"limit\":2}",
        "2 1");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    result_holds(w, CRN_POST, POINTS "/query", "{\"query\":{\"order_by\":\"n\"},\"limit\":1}",
                 "[{\"id\":2,\"version\":0,\"score\":1.0,\"order_value\":1}]");
    ids_are(w, CRN_POST, POINTS "/query",
            "{\"query\":{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\",\"start_from\":2}}}", "3 2");
    ask(w, CRN_POST, POINTS "/query", "{\"query\":{\"sample\":\"random\"},\"limit\":3}");
    assert_int_equal(strlen(ids_of(w->answer.body.data)), 5);
}

static void test_batch_groups_and_facets(void **state)
{
    struct world *w = *state;

    make(w);
    result_is(
        w, CRN_POST, POINTS "/query/batch",
        "{\"searches\":[{\"query\":[1,0],\"using\":\"d\",\"limit\":1},{\"limit\":1}]}",
        "[{\"points\":[{\"id\":2,\"version\":0,\"score\":2.0}]},{\"points\":[{\"id\":1,\"version\":0,\"score\":1.0}]}]");
    result_is(
        w, CRN_POST, POINTS "/query/groups",
        "{\"query\":[1,0],\"using\":\"d\",\"group_by\":\"g\",\"group_size\":2,\"limit\":2}",
        "{\"groups\":[{\"hits\":[{\"id\":2,\"version\":0,\"score\":2.0},{\"id\":1,\"version\":0,\"score\":1.0}],\"id\":\"x\"},"
        "{\"hits\":[{\"id\":3,\"version\":0,\"score\":0.0}],\"id\":\"y\"}]}");
    done(w, CRN_PUT, "/collections/b", "{}");
    done(w, CRN_PUT, "/collections/b/points",
         "{\"points\":[{\"id\":3,\"vector\":{},\"payload\":{\"name\":\"three\"}}]}");
    result_holds(
        w, CRN_POST, POINTS "/query/groups",
        "{\"query\":[1,0],\"using\":\"d\",\"group_by\":\"n\",\"group_size\":1,\"with_lookup\":\"b\"}",
        "\"id\":3,\"lookup\":{\"id\":3,\"payload\":{\"name\":\"three\"}}");
    error_is(
        w, CRN_POST, "/collections/a/facet", "{\"key\":\"g\"}", 400,
        "Bad request: No appropriate index for faceting: `g`. Please create one to facet on this field. Check "
        "https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Match conditions");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"g\",\"field_schema\":\"keyword\"}");
    result_is(w, CRN_POST, "/collections/a/facet", "{\"key\":\"g\",\"limit\":2}",
              "{\"hits\":[{\"value\":\"x\",\"count\":3},{\"value\":\"y\",\"count\":1}]}");
    result_is(w, CRN_POST, "/collections/a/facet", "{\"key\":\"g\",\"filter\":{\"must\":{\"has_id\":[4]}}}",
              "{\"hits\":[{\"value\":\"z\",\"count\":1}]}");
}

static void test_older_endpoints(void **state)
{
    struct world *w = *state;

    make(w);
    result_is(w, CRN_POST, POINTS "/search", "{\"vector\":{\"name\":\"d\",\"vector\":[1,0]},\"top\":1}",
              "[{\"id\":2,\"version\":0,\"score\":2.0}]");
    ids_are(w, CRN_POST, POINTS "/search",
            "{\"vector\":{\"name\":\"s\",\"vector\":{\"indices\":[2],\"values\":[1]}},\"limit\":5}", "2 1");
    result_is(w, CRN_POST, POINTS "/search/batch",
              "{\"searches\":[{\"vector\":{\"name\":\"d\",\"vector\":[1,0]},\"limit\":1}]}",
              "[[{\"id\":2,\"version\":0,\"score\":2.0}]]");
    result_is(
        w, CRN_POST, POINTS "/search/groups",
        "{\"vector\":{\"name\":\"d\",\"vector\":[1,0]},\"group_by\":\"g\",\"group_size\":1,\"limit\":1}",
        "{\"groups\":[{\"hits\":[{\"id\":2,\"version\":0,\"score\":2.0}],\"id\":\"x\"}]}");
    result_is(w, CRN_POST, POINTS "/recommend", "{\"positive\":[1],\"using\":\"d\",\"limit\":1}",
              "[{\"id\":2,\"version\":0,\"score\":2.0}]");
    result_is(w, CRN_POST, POINTS "/recommend/batch",
              "{\"searches\":[{\"positive\":[1],\"using\":\"d\",\"limit\":1}]}",
              "[[{\"id\":2,\"version\":0,\"score\":2.0}]]");
    ids_are(
        w, CRN_POST, POINTS "/discover",
        "{\"target\":[1,0],\"context\":[{\"positive\":[0,1],\"negative\":[1,0]}],\"using\":\"d\",\"limit\":2}",
        "3 4");
    error_is(w, CRN_POST, POINTS "/search", "{\"limit\":3}", 400,
             "Format error in JSON body: missing field `vector`");
    error_is(w, CRN_POST, POINTS "/search", "{\"vector\":[1,0],\"limit\":3}", 400,
             "Wrong input: Not existing vector name error: ");
    error_is(w, CRN_POST, POINTS "/search", "{\"vector\":{\"name\":\"d\",\"vector\":[1]},\"limit\":3}", 400,
             "Wrong input: Vector dimension error: expected dim: 2, got 1");
    error_is(w, CRN_POST, "/collections/x/points/search", "{\"vector\":[1,0],\"limit\":3}", 404,
             "Not found: Collection `x` doesn't exist!");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_nearest_by_each_distance),
        TEST(test_idf_weighs_rare_indices_more),
        TEST(test_examples),
        TEST(test_lookup_from),
        TEST(test_prefetch_and_fusion),
        TEST(test_mmr_order_and_sample),
        TEST(test_batch_groups_and_facets),
        TEST(test_older_endpoints),
        TEST(test_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
