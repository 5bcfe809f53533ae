/* /cairn/v1/collections/{c}/recall and /projection, and what statistics tell of an index's calibration. */
#include "server/v1_internal.h"
#include "tests/server/v1_fixture.h"

#include "base/mem.h"
#include "base/rng.h"

#define P "collections/a/projection"
#define R "collections/a/recall"
#define DIM 16u

static void create(struct world *world, const char *settings)
{
    char body[300];

    snprintf(body, sizeof body, "{\"name\":\"a\",%s}", settings);
    holds(world, 201, ask(world, CRN_POST, "collections", body), "\"a\"");
}

static void put(struct world *world, const char *patterns)
{
    holds(world, 200, ask(world, CRN_PUT, "collections/a/patterns", patterns), "\"count\"");
}

/* Rows around a few centres, with ids from 0 on. */
static void put_many(struct world *world, size_t count)
{
    float *rows = malloc(count * DIM * sizeof *rows);
    struct crn_rng rng;

    crn_rng_init(&rng, 11);
    for (size_t i = 0; i < count * DIM; i++)
        rows[i] = (float)(crn_rng_normal(&rng) + (double)((i / DIM) % 7) * (double)(i % 3));
    holds(world, 200,
          ask_binary(world, CRN_PUT, "collections/a/patterns?first_id=0", "application/octet-stream", rows,
                     count * DIM * sizeof *rows),
          "\"count\"");
    free(rows);
}

/* A number of the answer, by what stands before it. */
static double told(const struct world *world, const char *before)
{
    const char *at = strstr(world->answer.body.data, before);

    if (at == NULL) fail_msg("no %s in %s", before, world->answer.body.data);
    return strtod(at + strlen(before), NULL);
}

/* ---- projection ---- */

static void a_line_is_drawn_as_a_line(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":2,\"metric\":\"l2\"");
    answers(
        world, CRN_POST, P, NULL,
        "{\"space\":\"\",\"method\":\"pca\",\"matching\":0,\"points\":0,\"explained\":[0.0,0.0],\"ids\":[],\"x\":[],\"y\":[],\"label\":null,"
        "\"labels\":[]}");
    put(world,
        "{\"patterns\":[{\"id\":\"one\",\"vector\":[3,4]},{\"id\":2,\"vector\":[6,8]},"
        "{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"},\"vector\":[9,12]},{\"id\":\"none\",\"no_vector\":true}]}");
    answers(
        world, CRN_POST, P, "{}",
        "{\"space\":\"\",\"method\":\"pca\",\"matching\":4,\"points\":3,\"explained\":[1.0,0.0],\"ids\":[\"one\",2,"
        "{\"uuid\":\"0188d2a0-0000-7000-8000-000000000003\"}],\"x\":[-5.0,0.0,5.0],\"y\":[0.0,0.0,0.0],\"label\":null,\"labels\":[]}");
}

static void labels_are_columns_or_members_of_payloads(void **state)
{
    struct world *world = *state;
    char patterns[2000];
    char text[300] = {0};

    create(world, "\"dim\":2");
    memset(text, 'x', 201);
    snprintf(
        patterns, sizeof patterns,
        "{\"patterns\":[{\"id\":1,\"vector\":[1,0],\"domain\":\"d\",\"confidence\":0.25,\"payload\":{\"a\":{\"b\":\"<b>&\\\"\"},\"n\":3}},"
        "{\"id\":2,\"vector\":[0,1],\"agent\":\"g\",\"payload\":{\"a\":{\"b\":[7,8]},\"n\":null}},"
        "{\"id\":3,\"vector\":[1,1],\"type\":\"t\",\"payload\":{\"a\":{\"b\":{\"c\":1}},\"n\":[]}},"
        "{\"id\":4,\"vector\":[2,1],\"payload\":{\"a\":{\"b\":\"%s\"},\"n\":true}},{\"id\":5,\"vector\":[3,1]}]}",
        text);
    put(world, patterns);
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"payload.a.b\"}"),
          "\"labels\":[\"<b>&\\\"\",7,null,null,null]}");
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"payload.n\"}"),
          "\"labels\":[3,null,null,true,null]}");
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"domain\"}"),
          "\"label\":\"domain\",\"labels\":[\"d\",");
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"agent\"}"), "\"g\",");
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"type\"}"), ",\"t\",");
    holds(world, 200, ask(world, CRN_POST, P, "{\"label\":\"confidence\"}"), "\"labels\":[0.25,0.5,");
    holds(world, 200, ask(world, CRN_POST, P, "{\"domain\":\"d\"}"), "\"matching\":1,\"points\":1,");
    fails(world, CRN_POST, P, "{\"label\":\"payload.\"}", 400, "INVALID_ARGUMENT", "'payload.'");
    fails(world, CRN_POST, P, "{\"label\":\"text\"}", 400, "INVALID_ARGUMENT", "'text'");
    fails(world, CRN_POST, P, "{\"limit\":0}", 400, "INVALID_ARGUMENT", "limit");
    fails(world, CRN_POST, P, "{\"limit\":5001}", 400, "INVALID_ARGUMENT", "5000");
    fails(world, CRN_POST, P, "{\"dims\":3}", 400, "INVALID_ARGUMENT", "'dims'");
    fails(world, CRN_POST, P, "{\"space\":\"x\"}", 400, "INVALID_ARGUMENT", "'x'");
    fails(world, CRN_POST, P, "{\"filter\":{\"$no\":1}}", 400, "INVALID_FILTER", "$no");
    fails(world, CRN_POST, "collections/b/projection", "{}", 404, "NO_COLLECTION", "b");
    fails(world, CRN_GET, P, NULL, 405, "UNSUPPORTED", "method");
}

static void other_spaces(void **state)
{
    struct world *world = *state;

    create(
        world,
        "\"spaces\":[{\"name\":\"s\",\"kind\":\"sparse\"},{\"name\":\"m\",\"kind\":\"multi\",\"dim\":3},{\"name\":\"d\",\"dim\":2}]");
    put(world,
        "{\"patterns\":[{\"id\":1,\"vectors\":{\"d\":[1,0],\"m\":[[1,2,3]]}},{\"id\":2,\"vectors\":{\"s\":{\"indices\":[1],\"values\":[2]}}},"
        "{\"id\":3,\"vectors\":{\"d\":[0,1]}}]}");
    holds(world, 200, ask(world, CRN_POST, P, "{\"space\":\"d\"}"), "\"matching\":3,\"points\":2,");
    fails(world, CRN_POST, P, "{\"space\":\"s\"}", 400, "UNSUPPORTED", "sparse");
    fails(world, CRN_POST, R, "{\"space\":\"m\"}", 400, "UNSUPPORTED", "multi");
    fails(world, CRN_POST, R, "{}", 400, "INVALID_ARGUMENT", "''");
    holds(world, 200, ask(world, CRN_POST, R, "{\"space\":\"d\",\"k\":1}"), "\"queries\":2,");
}

/* Of many rows a part is taken from all over, the same each time; where most were deleted it is smaller. */
static void samples_are_spread(void **state)
{
    struct world *world = *state;
    char first[4000];
    long last = 0;

    create(world, "\"dim\":16");
    put_many(world, 3000);
    holds(world, 200, ask(world, CRN_POST, P, "{\"limit\":100}"), "\"matching\":3000,\"points\":100,");
    snprintf(first, sizeof first, "%s", world->answer.body.data);
    for (const char *at = strstr(first, "\"ids\":[") + 6; *at != ']'; at = strpbrk(at + 1, ",]")) {
        const long id = strtol(at + 1, NULL, 10);
        assert_true(at[-1] == ':' || id > last); /* none twice */
        last = id;
    }
    assert_true(last > 2700);
    holds(world, 200, ask(world, CRN_POST, P, "{\"limit\":100}"), "\"points\":100,");
    assert_memory_equal(first, world->answer.body.data, strlen(first));
    holds(world, 200,
          ask(world, CRN_POST, "collections/a/patterns/delete",
              "{\"filter\":{\"$slice\":{\"total\":2,\"index\":0}}}"),
          "deleted");
    holds(world, 200, ask(world, CRN_POST, P, "{\"limit\":100}"), "\"points\":100,");
    holds(world, 200,
          ask(world, CRN_POST, P, "{\"limit\":50,\"filter\":{\"$slice\":{\"total\":5,\"index\":1}}}"),
          "\"points\":50,");
}

/* ---- recall ---- */

static void scanning_finds_all(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":16,\"metric\":\"l2\"");
    holds(world, 200, ask(world, CRN_POST, R, NULL),
          "\"queries\":0,\"queries_from\":\"stored rows\",\"effort\":\"ef\"");
    holds(world, 200, world->answer.body.data, "\"points\":[],\"complete\":true");
    put_many(world, 300);
    holds(world, 200, ask(world, CRN_POST, R, "{\"queries\":20}"),
          "\"rows\":300,\"indexed_rows\":0,\"k\":10,\"queries\":20,");
    holds(world, 200, world->answer.body.data,
          "\"points\":[{\"effort\":null,\"recall\":1.0,\"calibrated\":null,\"mean_ms\":");
    assert_null(strstr(world->answer.body.data, "},{\"effort\"")); /* there is nothing to choose */
    fails(world, CRN_POST, R, "{\"k\":101}", 400, "INVALID_ARGUMENT", "100");
    fails(world, CRN_POST, R, "{\"queries\":501}", 400, "INVALID_ARGUMENT", "500");
    fails(world, CRN_POST, R, "{\"budget_ms\":0}", 400, "INVALID_ARGUMENT", "budget_ms");
    fails(world, CRN_POST, R, "{\"ef\":3}", 400, "INVALID_ARGUMENT", "'ef'");
}

/* Equal rows are as near as one another: which of them comes does not count against an index. */
static void equal_rows_are_not_misses(void **state)
{
    struct world *world = *state;
    float rows[60 * DIM];

    create(world, "\"dim\":16,\"metric\":\"dot\"");
    for (size_t i = 0; i < 60 * DIM; i++) rows[i] = (float)(i % DIM);
    holds(world, 200,
          ask_binary(world, CRN_PUT, "collections/a/patterns?first_id=1", "application/octet-stream", rows,
                     sizeof rows),
          "60");
    holds(world, 200, ask(world, CRN_POST, R, "{\"k\":3}"), "\"recall\":1.0,");
}

static void indexes_are_measured_at_the_efforts_of_their_calibration(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":16,\"metric\":\"l2\",\"index\":\"graph\"");
    put_many(world, 6000);
    holds(world, 200, ask(world, CRN_POST, "collections/a/optimize", NULL), "true");
    holds(world, 200, ask(world, CRN_POST, R, "{\"queries\":40,\"budget_ms\":30000}"),
          "\"indexed_rows\":6000,");
    assert_true(told(world, "{\"effort\":null,\"recall\":") > 0.9);
    assert_true(told(world, "{\"effort\":16,\"recall\":") > 0.5);
    assert_true(told(world, "{\"effort\":512,\"recall\":") > 0.99);
    assert_true(told(world, ",\"calibrated\":") == 0); /* null: of the default */
    assert_non_null(strstr(world->answer.body.data, "\"calibrated\":0.9"));
    holds(world, 200, ask(world, CRN_GET, "collections/a/stats", NULL),
          "\"calibration\":{\"rows\":6000,\"efforts\":[16,24,");
}

static void lists_are_measured_by_nprobe(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":16,\"metric\":\"l2\",\"index\":\"ivf:20\"");
    put_many(world, 5000);
    holds(world, 200, ask(world, CRN_POST, "collections/a/optimize", NULL), "true");
    holds(world, 200, ask(world, CRN_POST, R, "{\"queries\":30,\"budget_ms\":30000}"),
          "\"effort\":\"nprobe\"");
    assert_true(told(world, "{\"effort\":16,\"recall\":") > 0.9);
}

static void time_that_runs_out_leaves_points_out(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":16,\"index\":\"graph\"");
    put_many(world, 5000);
    holds(world, 200, ask(world, CRN_POST, "collections/a/optimize", NULL), "true");
    holds(world, 200, ask(world, CRN_POST, R, "{\"queries\":500,\"budget_ms\":1}"), "\"complete\":false");
    assert_true(told(world, "\"queries\":") >= 1);
}

static void one_measurement_at_a_time(void **state)
{
    struct world *world = *state;

    create(world, "\"dim\":16");
    put_many(world, 100);
    world->v1->measuring = true;
    fails(world, CRN_POST, R, "{}", 503, "BUSY", "another");
    world->v1->measuring = false;
    holds(world, 200, ask(world, CRN_POST, R, "{}"), "\"complete\":true");
    assert_false(world->v1->measuring);
    fails(world, CRN_POST, R, "{\"space\":\"x\"}", 400, "INVALID_ARGUMENT", "'x'");
    assert_false(world->v1->measuring);
}

static bool has_left(void *ctx)
{
    return --*(int *)ctx < 0;
}

/* Whoever leaves after any number of looks ends the work, and the next one finds nothing held. */
static void who_leaves_ends_the_work(void **state)
{
    struct world *world = *state;
    const char *const paths[] = {"recall", "projection"};

    create(world, "\"dim\":16");
    put_many(world, 400);
    for (size_t p = 0; p < COUNT_OF(paths); p++) {
        const struct crn_text segments[] = {
            {"cairn", 5}, {"v1", 2}, {"collections", 11}, {"a", 1}, {paths[p], strlen(paths[p])}};
        unsigned status = 504;
        for (int looks = 0; status == 504; looks += 1 + looks / 4) {
            int left = looks;
            const struct crn_request request = {.method = CRN_POST,
                                                .segments = segments,
                                                .segment_count = 5,
                                                .id = "test",
                                                .principal = {.role = CRN_ROLE_READ, .name = ""},
                                                .cancelled = has_left,
                                                .cancelled_ctx = &left};
            crn_buf_clear(&world->answer.body);
            world->answer.status = 200;
            crn_v1_handle(world->v1, &request, &world->answer);
            status = world->answer.status;
            if (status == 504) holds(world, 504, world->answer.body.data, "CANCELLED");
            assert_true(looks < 100000);
        }
        assert_int_equal(status, 200);
    }
}

/* Whichever of the server's allocations fails, the answer is a failure in words or what it should be, and
 * nothing stays held. */
static void without_memory(void **state)
{
    struct world *world = *state;
    const char *const paths[] = {P, R};

    create(world, "\"dim\":16");
    put_many(world, 40);
    for (size_t p = 0; p < COUNT_OF(paths); p++) {
        const char *body = p == 0 ? "{\"limit\":30}" : NULL;
        unsigned failures = 0;
        crn_mem_fail_at(UINT64_MAX, false); /* only counts */
        ask(world, CRN_POST, paths[p], body);
        const uint64_t asked = crn_mem_count();
        for (uint64_t nth = 1; nth <= asked; nth++) {
            crn_mem_fail_at(nth, false);
            ask(world, CRN_POST, paths[p], body);
            crn_mem_fail_at(0, false);
            failures += world->answer.status != 200;
            assert_false(world->v1->measuring);
        }
        assert_true(failures >= 2);
        holds(world, 200, ask(world, CRN_POST, paths[p], NULL), "\"points\"");
    }
}

/* ---- live ---- */

static void put_live(void *ctx, struct crn_buf *out)
{
    crn_buf_puts(out, ctx);
}

static void live_figures_are_the_hosts(void **state)
{
    struct world *world = *state;
    char text[] = "{\"window_s\":10}";

    fails(world, CRN_GET, "stats/live", NULL, 400, "UNSUPPORTED", "nobody");
    world->v1->put_live = put_live;
    world->v1->put_live_ctx = text;
    answers(world, CRN_GET, "stats/live", NULL, "{\"window_s\":10}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_drawn_as_a_line, world_open, world_close),
        cmocka_unit_test_setup_teardown(labels_are_columns_or_members_of_payloads, world_open, world_close),
        cmocka_unit_test_setup_teardown(other_spaces, world_open, world_close),
        cmocka_unit_test_setup_teardown(samples_are_spread, world_open, world_close),
        cmocka_unit_test_setup_teardown(scanning_finds_all, world_open, world_close),
        cmocka_unit_test_setup_teardown(equal_rows_are_not_misses, world_open, world_close),
        cmocka_unit_test_setup_teardown(indexes_are_measured_at_the_efforts_of_their_calibration, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(lists_are_measured_by_nprobe, world_open, world_close),
        cmocka_unit_test_setup_teardown(time_that_runs_out_leaves_points_out, world_open, world_close),
        cmocka_unit_test_setup_teardown(one_measurement_at_a_time, world_open, world_close),
        cmocka_unit_test_setup_teardown(who_leaves_ends_the_work, world_open, world_close),
        cmocka_unit_test_setup_teardown(without_memory, world_open, world_close),
        cmocka_unit_test_setup_teardown(live_figures_are_the_hosts, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
