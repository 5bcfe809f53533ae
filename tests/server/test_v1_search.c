/* /cairn/v1/collections/{c}/search and /retrieve, and the log of slow searches. */
#include "tests/server/v1_fixture.h"

#define S "collections/a/search"
#define R "collections/a/retrieve"

/* Three points on a line, with texts. */
static void fill(struct world *world)
{
    holds(
        world, 201,
        ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2,\"metric\":\"l2\",\"lexical\":true}"),
        "a");
    holds(
        world, 200,
        ask(world, CRN_PUT, "collections/a/patterns",
            "{\"patterns\":[{\"id\":\"one\",\"vector\":[1,0],\"text\":\"red apple\",\"payload\":{\"n\":1},\"domain\":\"d\"},"
            "{\"id\":2,\"vector\":[2,0],\"text\":\"green pear\",\"payload\":{\"n\":2}},"
            "{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"},\"vector\":[3,0],\"text\":\"red cherry\",\"payload\":{\"n\":3}}]}"),
        "\"count\":3");
}

static void by_vector(void **state)
{
    struct world *world = *state;
    const char *three =
        "{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"},\"score\":0.5,\"distance\":1.0}";
    char expected[300];

    fill(world);
    snprintf(
        expected, sizeof expected,
        "{\"hits\":[{\"id\":2,\"score\":1.0,\"distance\":0.0},{\"id\":\"one\",\"score\":0.5,\"distance\":1.0},%s]}",
        three);
    answers(world, CRN_POST, S, "{\"vector\":[2,0]}", expected);
    answers(world, CRN_POST, S, "{\"vector_b64\":\"AAAAQAAAAAA=\",\"k\":1}",
            "{\"hits\":[{\"id\":2,\"score\":1.0,\"distance\":0.0}]}");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"filter\":{\"n\":{\"$ne\":2}},\"k\":1}"),
          "{\"hits\":[{\"id\":\"one\"");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[9,0],\"domain\":\"d\"}"),
          "{\"hits\":[{\"id\":\"one\"");
    answers(world, CRN_POST, S, "{\"vector\":[2,0],\"min_score\":0.9}",
            "{\"hits\":[{\"id\":2,\"score\":1.0,\"distance\":0.0}]}");
    holds(world, 200,
          ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"with_pattern\":true,\"with_vectors\":true}"),
          "\"payload\":{\"n\":2}");
    holds(world, 200, world->answer.body.data, "\"vector\":[2.0,0.0]");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"explain\":true,\"exact\":true}"),
          "\"info\":{\"plan\":\"");
    holds(world, 200, world->answer.body.data, "\"rows\":3,\"rows_matched\":3,\"rows_scored\":3,");
    /* What of it there is: a machine without a GPU answers with its processor. */
    holds(world, 200,
          ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"explain\":true,\"device\":\"cpu\"}"),
          "\"device\":\"cpu\"");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"device\":\"gpu\"}"), "\"id\":2");
    holds(world, 400, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"device\":\"tpu\"}"), "device");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"ef\":64}"), "\"id\":2");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":1,\"recall\":0.9}"), "\"id\":2");
}

static void by_text_and_both(void **state)
{
    struct world *world = *state;

    fill(world);
    holds(world, 200, ask(world, CRN_POST, S, "{\"text\":\"pear\",\"mode\":\"lexical\"}"),
          "{\"hits\":[{\"id\":2,");
    assert_null(strstr(world->answer.body.data, "one"));
    holds(world, 200,
          ask(world, CRN_POST, S,
              "{\"text\":\"red\",\"vector\":[3,0],\"mode\":\"hybrid\",\"k\":1,\"explain\":true}"),
          "000000000003");
    holds(world, 200, world->answer.body.data, "\"plan\":\"hybrid\"");
    holds(world, 200,
          ask(world, CRN_POST, S,
              "{\"text\":\"red\",\"vector\":[3,0],\"fusion\":\"weighted\",\"lexical_weight\":0.3}"),
          "000000000003");
    fails(world, CRN_POST, S, "{\"text\":\"red\",\"mode\":\"vector\"}", 400, "INVALID_ARGUMENT", "embedder");
}

static void by_bytes(void **state)
{
    struct world *world = *state;
    const float query[] = {2, 0, 3, 0};
    const char *raw = "application/octet-stream";

    fill(world);
    holds(world, 200, ask_binary(world, CRN_POST, S "?k=1", raw, query, 8),
          "{\"hits\":[{\"id\":2,\"score\":1.0,\"distance\":0.0}]}");
    holds(world, 200,
          ask_binary(world, CRN_POST, S "?k=1&filter={\"n\":{\"$gt\":2}}&explain=true", raw, query, 8),
          "000000000003");
    holds(world, 200, world->answer.body.data, "\"info\":{");
    holds(world, 200, ask_binary(world, CRN_POST, S "?domain=d&recall=0.5", raw, query, 8),
          "{\"hits\":[{\"id\":\"one\"");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1", raw, query, 16), "DIM_MISMATCH");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1", raw, query, 4), "DIM_MISMATCH");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1", raw, query, 7), "7 bytes are no whole rows");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1", raw, query, 0), "0 bytes are no whole rows");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=0", raw, query, 8), "k must be from 1");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1e", raw, query, 8), "INVALID_JSON");
    holds(world, 400, ask_binary(world, CRN_POST, S "?top=1", raw, query, 8), "'top'");
    holds(world, 400, ask_binary(world, CRN_POST, S "?k=1,\"exact\":true", raw, query, 8),
          "k must be an integer");
}

static void sparse_spaces(void **state)
{
    struct world *world = *state;

    holds(world, 201,
          ask(world, CRN_POST, "collections",
              "{\"name\":\"a\",\"spaces\":[{\"dim\":2},{\"name\":\"s\",\"kind\":\"sparse\"}]}"),
          "a");
    holds(
        world, 200,
        ask(world, CRN_PUT, "collections/a/patterns",
            "{\"patterns\":[{\"id\":1,\"vector\":[1,0],\"vectors\":{\"s\":{\"indices\":[5],\"values\":[1]}}},"
            "{\"id\":2,\"vector\":[1,0],\"vectors\":{\"s\":{\"indices\":[5,9],\"values\":[1,2]}}}]}"),
        "2");
    holds(world, 200,
          ask(world, CRN_POST, S, "{\"space\":\"s\",\"vector\":{\"indices\":[9],\"values\":[3]},\"k\":1}"),
          "{\"hits\":[{\"id\":2,\"score\":6.0");
}

static void wrong_queries_are_named(void **state)
{
    struct world *world = *state;

    fill(world);
    fails(world, CRN_POST, S, "{\"vector\":[2,0],\"limit\":3}", 400, "INVALID_ARGUMENT", "'limit'");
    fails(world, CRN_POST, S "?k=3", "{\"vector\":[2,0]}", 400, "INVALID_ARGUMENT", "'k'");
    fails(world, CRN_POST, S, "{\"vector\":[2,0],\"k\":0}", 400, "INVALID_ARGUMENT", "k must be from 1");
    fails(world, CRN_POST, S, "{\"vector\":[2,0,0]}", 400, "DIM_MISMATCH", "3");
    fails(world, CRN_POST, S, "{\"vector\":[2,0],\"space\":\"x\"}", 400, "INVALID_ARGUMENT", "x");
    fails(world, CRN_POST, S, "{\"vector\":[2,0],\"recall\":2}", 400, "INVALID_ARGUMENT", "recall");
    fails(world, CRN_POST, S, "{\"vector\":[2,0],\"mode\":\"fast\"}", 400, "INVALID_ARGUMENT", "'fast'");
    fails(world, CRN_POST, S, "{}", 400, "INVALID_ARGUMENT", "");
    fails(world, CRN_POST, "collections/none/search", "{\"vector\":[2,0]}", 404, "NO_COLLECTION", "none");
}

static void memories_with_reasoning(void **state)
{
    struct world *world = *state;

    fill(world);
    holds(world, 200, ask(world, CRN_POST, R, "{\"vector\":[1,0],\"k\":2}"),
          "{\"memories\":[{\"similarity\":1.0,\"score\":");
    holds(world, 200, world->answer.body.data, "\"pattern\":{\"id\":\"one\",");
    assert_null(strstr(world->answer.body.data, "\"context\""));
    assert_null(strstr(world->answer.body.data, "\"vector\""));
    assert_null(strstr(world->answer.body.data, "000000000003"));
    holds(
        world, 200,
        ask(world, CRN_POST, R,
            "{\"vector\":[1,0],\"k\":3,\"use_mmr\":true,\"mmr_lambda\":0.3,\"synthesize_context\":true,\"touch\":false,\"with_vectors\":true}"),
        "\"context\":{");
    holds(world, 200, world->answer.body.data, "\"synthesizedContext\"");
    holds(world, 200, world->answer.body.data, "\"narrative\":\"");
    holds(world, 200, world->answer.body.data, "\"vector\":[1.0,0.0]");
    holds(world, 200, ask(world, CRN_POST, R, "{\"vector\":[1,0],\"k\":1,\"optimize_memory\":true}"),
          "\"optimizations\":{\"patterns_before\":3,");
    fails(world, CRN_POST, R, "{\"vector\":[1,0],\"mmr_lambda\":0.3}", 400, "INVALID_ARGUMENT", "use_mmr");
    fails(world, CRN_POST, R, "{\"vector\":[1,0],\"type\":\"x\"}", 400, "INVALID_ARGUMENT", "'type'");
    fails(world, CRN_POST, R, "{\"vector\":[1,0],\"useMMR\":true}", 400, "INVALID_ARGUMENT", "'useMMR'");
    fails(world, CRN_POST, R, "{\"text\":\"x\"}", 400, "INVALID_ARGUMENT", "embedder");
}

static void uses_are_counted(void **state)
{
    struct world *world = *state;
    const struct crn_principal reader = {.role = CRN_ROLE_READ, .name = "r"};

    fill(world);
    holds(world, 200, ask_as(world, reader, CRN_POST, R, "{\"vector\":[1,0],\"k\":1}"), "one");
    holds(world, 200, ask(world, CRN_POST, R, "{\"vector\":[1,0],\"k\":1,\"touch\":false}"), "one");
    holds(world, 200, ask(world, CRN_GET, "collections/a/patterns/one", NULL), "\"usage_count\":0");
    holds(world, 200, ask(world, CRN_POST, R, "{\"vector\":[1,0],\"k\":1}"), "one");
    crn_v1_close(world->v1);
    database_reopen(&world->database, NULL); /* uses are written at the latest when the database is closed */
    world_open_v1(world);
    holds(world, 200, ask(world, CRN_GET, "collections/a/patterns/one", NULL), "\"usage_count\":1");
}

static void slow_searches_are_kept(void **state)
{
    struct world *world = *state;
    size_t count = 0;

    fill(world);
    answers(world, CRN_GET, "slow", NULL, "{\"threshold_ms\":0.0,\"slow\":[]}");
    holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[1,0],\"k\":2,\"exact\":true}"), "one");
    holds(world, 200, ask(world, CRN_GET, "slow", NULL),
          "\"collection\":\"a\",\"operation\":\"search\",\"k\":2,\"plan\":\"");
    holds(world, 200, ask(world, CRN_POST, R, "{\"vector\":[1,0],\"k\":1}"), "one");
    holds(world, 200, ask(world, CRN_GET, "slow", NULL), "\"operation\":\"retrieve\",\"k\":1,\"plan\":null");
    assert_true(strstr(world->answer.body.data, "retrieve") <
                strstr(world->answer.body.data, "\"search\"")); /* newest first */
    for (int i = 0; i < 300; i++)
        holds(world, 200, ask(world, CRN_POST, S, "{\"vector\":[1,0],\"k\":3}"), "one");
    for (const char *at = ask(world, CRN_GET, "slow", NULL); (at = strstr(at, "{\"time\":")) != NULL; at++)
        count++;
    assert_int_equal(count, 128);
    assert_null(strstr(world->answer.body.data, "\"k\":2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_vector, world_open, world_close),
        cmocka_unit_test_setup_teardown(by_text_and_both, world_open, world_close),
        cmocka_unit_test_setup_teardown(by_bytes, world_open, world_close),
        cmocka_unit_test_setup_teardown(sparse_spaces, world_open, world_close),
        cmocka_unit_test_setup_teardown(wrong_queries_are_named, world_open, world_close),
        cmocka_unit_test_setup_teardown(memories_with_reasoning, world_open, world_close),
        cmocka_unit_test_setup_teardown(uses_are_counted, world_open, world_close),
        cmocka_unit_test_setup_teardown(slow_searches_are_kept, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
