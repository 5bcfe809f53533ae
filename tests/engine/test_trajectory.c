/* Trajectories: written, read back bit for bit, listed, deleted, refused. */
#include "tests/engine/database.h"

#include <math.h>

struct fixture {
    struct database database;
    cairn_collection *collection;
};

/* Nothing here cuts the power. */
static const cairn_open_options lazy = {.size = sizeof lazy, .durability = CAIRN_LAZY};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    database_create(&fixture->database, &lazy);
    ok(cairn_collection_open(fixture->database.db, "c", CAIRN_OPTIONS(cairn_collection_options, .dim = 4),
                             &fixture->collection, err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    cairn_collection_close(fixture->collection);
    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

static const float states[3][2] = {{1, -2.5f}, {0, 1e-30f}, {3.4e38f, 4}};
static const double rewards[3] = {0.1, -1, 1e300};

static const cairn_trajectory example = {
    .size = sizeof example,
    .id = "t1",
    .domain = "d",
    .agent = "a",
    .states = states[0],
    .steps = 3,
    .state_dim = 2,
    .actions = "[\"left\", {\"turn\": 1}, null]",
    .rewards = rewards,
    .metadata = "{\"goal\": \"home\"}",
    .created_at_ms = 1000,
};

static void test_round_trip(void **state)
{
    struct fixture *fixture = *state;
    cairn_trajectories *found;
    char id[40] = "x";

    ok(cairn_trajectory_insert(fixture->collection, &example, id, err));
    assert_string_equal(id, "");
    cairn_collection_close(fixture->collection);
    database_reopen(&fixture->database, &lazy);
    ok(cairn_collection_open(fixture->database.db, "c", NULL, &fixture->collection, err));
    ok(cairn_trajectory_get(fixture->collection, "t1", NULL, NULL, 0, &found, err));
    assert_int_equal(cairn_trajectories_count(found), 1);
    const cairn_trajectory *back = cairn_trajectories_at(found, 0);
    assert_string_equal(back->id, "t1");
    assert_string_equal(back->domain, "d");
    assert_string_equal(back->agent, "a");
    assert_int_equal(back->steps, 3);
    assert_int_equal(back->state_dim, 2);
    assert_memory_equal(back->states, states, sizeof states);
    assert_memory_equal(back->rewards, rewards, sizeof rewards);
    assert_string_equal(back->actions, example.actions);
    assert_string_equal(back->metadata, example.metadata);
    assert_int_equal(back->created_at_ms, 1000);
    assert_null(cairn_trajectories_at(found, 1));
    cairn_trajectories_free(found);
    cairn_trajectories_free(NULL);
    database_verify_clean(&fixture->database);
}

static void test_defaults(void **state)
{
    struct fixture *fixture = *state;
    cairn_trajectory plain = example;
    cairn_trajectories *found;
    char id[40] = "";

    plain.id = plain.domain = plain.agent = plain.metadata = NULL;
    plain.created_at_ms = 0;
    ok(cairn_trajectory_insert(fixture->collection, &plain, id, err));
    assert_int_equal(strlen(id), 36);
    ok(cairn_trajectory_get(fixture->collection, id, NULL, NULL, 0, &found, err));
    const cairn_trajectory *back = cairn_trajectories_at(found, 0);
    assert_string_equal(back->id, id);
    assert_string_equal(back->domain, "");
    assert_string_equal(back->agent, "");
    assert_null(back->metadata);
    assert_true(back->created_at_ms > 1700000000000);
    cairn_trajectories_free(found);
    ok(cairn_trajectory_insert(fixture->collection, &plain, NULL, err));
}

static size_t count(struct fixture *fixture, const char *id, const char *domain, const char *agent,
                    size_t limit)
{
    cairn_trajectories *found;

    ok(cairn_trajectory_get(fixture->collection, id, domain, agent, limit, &found, err));
    const size_t result = cairn_trajectories_count(found);
    for (size_t i = 1; i < result; i++) { /* the newest first */
        assert_true(cairn_trajectories_at(found, i)->created_at_ms <
                    cairn_trajectories_at(found, i - 1)->created_at_ms);
    }
    cairn_trajectories_free(found);
    return result;
}

static void test_list_and_delete(void **state)
{
    struct fixture *fixture = *state;
    bool deleted;

    for (int i = 0; i < 30; i++) {
        cairn_trajectory one = example;
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        one.id = id;
        one.domain = i % 2 ? "odd" : "even";
        one.agent = i % 3 ? "x" : "y";
        one.created_at_ms = 1000 + (i * 7) % 30;
        ok(cairn_trajectory_insert(fixture->collection, &one, NULL, err));
    }
    assert_int_equal(count(fixture, NULL, NULL, NULL, 100), 30);
    assert_int_equal(count(fixture, NULL, NULL, NULL, 7), 7);
    assert_int_equal(count(fixture, NULL, "odd", NULL, 100), 15);
    assert_int_equal(count(fixture, NULL, "odd", "y", 100), 5);
    assert_int_equal(count(fixture, NULL, NULL, "y", 100), 10);
    assert_int_equal(count(fixture, NULL, "nowhere", NULL, 100), 0);
    assert_int_equal(count(fixture, "t3", NULL, NULL, 100), 1);
    assert_int_equal(count(fixture, "none", NULL, NULL, 100), 0);

    cairn_trajectory same = example;
    same.id = "t3";
    refused(CAIRN_EXISTS, "t3", cairn_trajectory_insert(fixture->collection, &same, NULL, err));

    ok(cairn_trajectory_delete(fixture->collection, "t3", &deleted, err));
    assert_true(deleted);
    ok(cairn_trajectory_delete(fixture->collection, "t3", &deleted, err));
    assert_false(deleted);
    ok(cairn_trajectory_delete(fixture->collection, "t4", NULL, err));
    assert_int_equal(count(fixture, NULL, NULL, NULL, 100), 28);
    database_verify_clean(&fixture->database);
}

static void refuse(struct fixture *fixture, cairn_status status, const char *message,
                   cairn_trajectory trajectory)
{
    refused(status, message, cairn_trajectory_insert(fixture->collection, &trajectory, NULL, err));
}

#define WITH(...)                                                                          \
    (cairn_trajectory)                                                                     \
    {                                                                                      \
        .size = sizeof(cairn_trajectory), .states = states[0], .steps = 3, .state_dim = 2, \
        .actions = "[1,2,3]", .rewards = rewards, __VA_ARGS__                              \
    }

static void test_errors(void **state)
{
    struct fixture *fixture = *state;
    const float infinite[6] = {0, 0, INFINITY};
    const double nan_reward[3] = {0, NAN};
    cairn_trajectories *found;
    char long_id[CAIRN_ID_MAX + 2];

    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    ok(cairn_trajectory_insert(fixture->collection, &WITH(.id = long_id + 1), NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_trajectory_insert(NULL, &example, NULL, err));
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_trajectory_insert(fixture->collection, NULL, NULL, err));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    refuse(fixture, CAIRN_INVALID_OPTION, "size", WITH(.size = 0));
    refuse(fixture, CAIRN_INVALID_ID, "empty", WITH(.id = ""));
    refuse(fixture, CAIRN_INVALID_ID, "longer", WITH(.id = long_id));
    refuse(fixture, CAIRN_INVALID_UTF8, "id", WITH(.id = "\xff"));
    refuse(fixture, CAIRN_INVALID_UTF8, "domain", WITH(.domain = "\xff"));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "states", WITH(.states = NULL));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "states", WITH(.steps = 0));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "states", WITH(.state_dim = 0));
    refuse(fixture, CAIRN_LIMIT, "states", WITH(.steps = UINT32_MAX, .state_dim = UINT32_MAX));
    refuse(fixture, CAIRN_INVALID_VECTOR, "state", WITH(.states = infinite));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "actions", WITH(.actions = NULL));
    refuse(fixture, CAIRN_INVALID_JSON, "actions", WITH(.actions = "[1,"));
    refuse(fixture, CAIRN_INVALID_JSON, "actions", WITH(.actions = "{}"));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "2 actions for 3 steps", WITH(.actions = "[1,2]"));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "rewards", WITH(.rewards = NULL));
    refuse(fixture, CAIRN_INVALID_ARGUMENT, "reward 1", WITH(.rewards = nan_reward));
    refuse(fixture, CAIRN_INVALID_JSON, "metadata", WITH(.metadata = "[]"));
#pragma GCC diagnostic pop
    refused(CAIRN_INVALID_ARGUMENT, "limit 0",
            cairn_trajectory_get(fixture->collection, NULL, NULL, NULL, 0, &found, err));
    refused(CAIRN_INVALID_ID, "empty",
            cairn_trajectory_get(fixture->collection, "", NULL, NULL, 0, &found, err));
    refused(CAIRN_INVALID_ID, "missing", cairn_trajectory_delete(fixture->collection, NULL, NULL, err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_defaults),
        TEST(test_list_and_delete),
        TEST(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
