/* /cairn/v1/: the root, collections, statistics, backup, verify, optimize; who may do what. */
#include "tests/server/v1_fixture.h"

static void root_and_unknown_paths(void **state)
{
    struct world *world = *state;

    holds(world, 200, ask(world, CRN_GET, "", NULL), "\"version\":\"");
    holds(world, 200, ask(world, CRN_HEAD, "", NULL), "/cairn/v1/openapi.json");
    fails(world, CRN_GET, "nothing", NULL, 404, "NOT_FOUND", "path");
    fails(world, CRN_PUT, "collections", "{}", 405, "UNSUPPORTED", "method");
    fails(world, CRN_GET, "collections/a/patterns/b/c", NULL, 404, "NOT_FOUND", "path");
}

static void collections_are_made_told_and_dropped(void **state)
{
    struct world *world = *state;

    answers(world, CRN_GET, "collections", NULL, "{\"collections\":[]}");
    holds(world, 201,
          ask(world, CRN_POST, "collections",
              "{\"name\":\"a\",\"dim\":2,\"metric\":\"l2\",\"metadata\":{\"x\":1}}"),
          "{\"name\":\"a\"}");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}", 409, "EXISTS", "a");
    holds(
        world, 200, ask(world, CRN_GET, "collections/a", NULL),
        "{\"name\":\"a\",\"patterns\":0,\"lexical\":false,\"spaces\":[{\"name\":\"\",\"kind\":\"dense\",\"dim\":2,\"metric\":\"l2\"");
    holds(world, 200, ask(world, CRN_GET, "collections/a", NULL), "\"metadata\":{\"x\":1}}");
    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"t\"}"), "t");
    holds(world, 200, ask(world, CRN_GET, "collections/t", NULL), "\"dim\":384,\"metric\":\"cosine\"");
    holds(world, 200, ask(world, CRN_GET, "collections/t", NULL), "\"model\":\"cairn-ngram-1\"");
    holds(
        world, 201,
        ask(world, CRN_POST, "collections",
            "{\"name\":\"n\",\"spaces\":[{\"dim\":2},{\"name\":\"s\",\"kind\":\"sparse\"},{\"name\":\"m\",\"kind\":\"multi\",\"dim\":3}]}"),
        "n");
    holds(world, 200, ask(world, CRN_GET, "collections/n", NULL), "\"kind\":\"sparse\"");
    answers(world, CRN_GET, "collections", NULL, "{\"collections\":[\"a\",\"n\",\"t\"]}");
    holds(world, 200, ask(world, CRN_GET, "collections/a/stats", NULL), "\"totalPatterns\":0");
    holds(world, 200, ask(world, CRN_GET, "stats", NULL), "\"collections\":[{");
    assert_null(
        strstr(world->answer.body.data, world->database.folder)); /* where it lies is nobody's business */
    answers(world, CRN_DELETE, "collections/a", NULL, "{\"deleted\":true}");
    fails(world, CRN_GET, "collections/a", NULL, 404, "NO_COLLECTION", "a");
    fails(world, CRN_DELETE, "collections/a", NULL, 404, "NO_COLLECTION", "a");
}

static void wrong_settings_are_named(void **state)
{
    struct world *world = *state;

    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dims\":2}", 400, "INVALID_ARGUMENT", "'dims'");
    fails(world, CRN_POST, "collections", "{\"dim\":2}", 400, "INVALID_ARGUMENT", "name is missing");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":0}", 400, "INVALID_ARGUMENT",
          "dim must be from 1");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":\"2\"}", 400, "INVALID_ARGUMENT",
          "not string");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2,\"metric\":\"near\"}", 400,
          "INVALID_ARGUMENT", "'near'");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"model\":\"other\"}", 400, "INVALID_ARGUMENT",
          "dim is missing");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2,\"spaces\":[{\"dim\":2}]}", 400,
          "INVALID_ARGUMENT", "dim belongs");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"spaces\":[]}", 400, "LIMIT", "0 entries");
    fails(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2,\"index\":\"best\"}", 400,
          "INVALID_OPTION", "best");
    fails(world, CRN_POST, "collections", "[]", 400, "INVALID_ARGUMENT", "object");
    fails(world, CRN_POST, "collections", "{\"name\":", 400, "INVALID_JSON", "");
    fails(world, CRN_POST, "collections", NULL, 400, "INVALID_JSON", "");
}

static void a_collection_made_anew_elsewhere_is_found(void **state)
{
    struct world *world = *state;

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    holds(world, 200, ask(world, CRN_PUT, "collections/a/patterns", "{\"id\":1,\"vector\":[1,2]}"),
          "\"created\":1");
    ok(cairn_collection_drop(world->database.db, "a", err));
    ok(cairn_collection_create(world->database.db, "a", CAIRN_OPTIONS(cairn_collection_options, .dim = 3),
                               err));
    answers(world, CRN_POST, "collections/a/patterns/count", NULL, "{\"count\":0}");
    holds(world, 200, ask(world, CRN_GET, "collections/a", NULL), "\"dim\":3");
    ok(cairn_collection_drop(world->database.db, "a", err));
    fails(world, CRN_POST, "collections/a/patterns/count", NULL, 404, "NO_COLLECTION", "");
}

static void backups_are_whole_and_stay_in_their_folder(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {"../x", "a/b", ".x", "", "..", "a b", "/tmp/x", "x\\\\y"};
    char path[400], body[64];
    cairn_db *copy = NULL;
    cairn_collection *collection = NULL;
    uint64_t count = 0;

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    holds(world, 200, ask(world, CRN_PUT, "collections/a/patterns", "{\"id\":\"x\",\"vector\":[1,2]}"),
          "\"created\":1");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(body, sizeof body, "{\"name\":\"%s\"}", bad[i]);
        fails(world, CRN_POST, "backup", body, 400, "INVALID_ARGUMENT", "no name of a backup");
    }
    fails(world, CRN_POST, "backup", "{\"path\":\"/tmp/x\"}", 400, "INVALID_ARGUMENT", "'path'");
    holds(world, 201, ask(world, CRN_POST, "backup", "{\"name\":\"monday-1.2\"}"),
          "{\"name\":\"monday-1.2\",\"bytes\":");
    fails(world, CRN_POST, "backup", "{\"name\":\"monday-1.2\"}", 409, "EXISTS", "'monday-1.2'");
    snprintf(path, sizeof path, "%s/monday-1.2.cairn", world->backups);
    ok(cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .must_exist = true), &copy, err));
    ok(cairn_collection_open(copy, "a", NULL, &collection, err));
    ok(cairn_count(collection, NULL, &count, err));
    assert_int_equal(count, 1);
    cairn_collection_close(collection);
    cairn_close(copy);
}

static bool has_left(void *ctx)
{
    (void)ctx;
    return true;
}

static void upkeep(void **state)
{
    struct world *world = *state;
    const struct crn_text segments[] = {{"cairn", 5}, {"v1", 2}, {"verify", 6}};
    const struct crn_request left = {.method = CRN_POST,
                                     .segments = segments,
                                     .segment_count = 3,
                                     .principal = {.role = CRN_ROLE_ADMIN},
                                     .cancelled = has_left};

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    holds(world, 200, ask(world, CRN_PUT, "collections/a/patterns", "{\"id\":\"x\",\"vector\":[1,2]}"),
          "\"created\":1");
    answers(world, CRN_POST, "verify", NULL, "{\"clean\":true,\"findings\":0,\"messages\":[]}");
    answers(world, CRN_POST, "collections/a/optimize", "{}", "{\"optimized\":true}");
    fails(world, CRN_POST, "collections/a/optimize", "{\"now\":1}", 400, "INVALID_ARGUMENT", "'now'");
    crn_buf_clear(&world->answer.body);
    world->answer.status = 200;
    crn_v1_handle(world->v1, &left, &world->answer);
    holds(world, 504, world->answer.body.data, "\"CANCELLED\"");
}

static void roles_and_collections_of_keys(void **state)
{
    struct world *world = *state;
    const char *const own[] = {"a"};
    const struct crn_principal reader = {.role = CRN_ROLE_READ, .name = "r"},
                               writer = {.role = CRN_ROLE_WRITE, .name = "w"},
                               narrow = {.role = CRN_ROLE_ADMIN,
                                         .name = "n",
                                         .collections = own,
                                         .collection_count = 1};

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"b\",\"dim\":2}"), "b");
    holds(world, 403, ask_as(world, reader, CRN_PUT, "collections/a/patterns", "{\"id\":1,\"vector\":[1,2]}"),
          "FORBIDDEN");
    holds(world, 200, ask_as(world, writer, CRN_PUT, "collections/a/patterns", "{\"id\":1,\"vector\":[1,2]}"),
          "\"created\":1");
    holds(world, 200, ask_as(world, reader, CRN_POST, "collections/a/search", "{\"vector\":[1,2]}"),
          "\"id\":1");
    holds(world, 200, ask_as(world, reader, CRN_POST, "collections/a/retrieve", "{\"vector\":[1,2]}"),
          "\"id\":1");
    holds(world, 200, ask_as(world, reader, CRN_POST, "collections/a/projection", NULL), "\"points\":1");
    holds(world, 200, ask_as(world, reader, CRN_POST, "collections/a/recall", NULL), "\"queries\":1");
    holds(world, 403, ask_as(world, narrow, CRN_POST, "collections/b/recall", NULL), "FORBIDDEN");
    holds(world, 403, ask_as(world, narrow, CRN_POST, "collections/b/projection", NULL), "FORBIDDEN");
    holds(world, 403,
          ask_as(world, reader, CRN_POST, "collections/a/retrieve",
                 "{\"vector\":[1,2],\"optimize_memory\":true}"),
          "FORBIDDEN");
    holds(world, 403,
          ask_as(world, reader, CRN_POST, "collections/a/retrieve", "{\"vector\":[1,2],\"touch\":true}"),
          "FORBIDDEN");
    holds(world, 403, ask_as(world, writer, CRN_DELETE, "collections/a", NULL), "FORBIDDEN");
    holds(world, 403, ask_as(world, writer, CRN_POST, "backup", "{\"name\":\"x\"}"), "FORBIDDEN");
    holds(world, 403, ask_as(world, narrow, CRN_GET, "collections/b", NULL), "FORBIDDEN");
    holds(world, 403, ask_as(world, narrow, CRN_POST, "collections", "{\"name\":\"c\",\"dim\":2}"),
          "FORBIDDEN");
    holds(world, 403, ask_as(world, narrow, CRN_GET, "stats", NULL), "FORBIDDEN");
    holds(world, 200, ask_as(world, narrow, CRN_GET, "", NULL),
          "\"key\":{\"name\":\"n\",\"role\":\"admin\",\"collections\":[\"a\"]}}");
    holds(world, 200, ask_as(world, reader, CRN_GET, "", NULL),
          "\"key\":{\"name\":\"r\",\"role\":\"read\",\"collections\":null}}");
    holds(world, 200, ask_as(world, narrow, CRN_GET, "collections", NULL), "{\"collections\":[\"a\"]}");
    holds(world, 200, ask(world, CRN_POST, "collections/b/search", "{\"vector\":[1,2]}"), "[]");
    assert_null(strstr(ask_as(world, narrow, CRN_GET, "slow", NULL), "\"b\""));
    assert_non_null(strstr(ask(world, CRN_GET, "slow", NULL), "\"b\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(root_and_unknown_paths, world_open, world_close),
        cmocka_unit_test_setup_teardown(collections_are_made_told_and_dropped, world_open, world_close),
        cmocka_unit_test_setup_teardown(wrong_settings_are_named, world_open, world_close),
        cmocka_unit_test_setup_teardown(a_collection_made_anew_elsewhere_is_found, world_open, world_close),
        cmocka_unit_test_setup_teardown(backups_are_whole_and_stay_in_their_folder, world_open, world_close),
        cmocka_unit_test_setup_teardown(upkeep, world_open, world_close),
        cmocka_unit_test_setup_teardown(roles_and_collections_of_keys, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
