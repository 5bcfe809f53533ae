/* /cairn/v1/collections/{c}/patterns: writing, reading, changing, deleting; versions, expiry, ids, vectors of every kind. */
#include "tests/server/v1_fixture.h"

#define P "collections/a/patterns"

static void make(struct world *world, const char *body)
{
    holds(world, 201, ask(world, CRN_POST, "collections", body), "name");
}

static void one_and_many(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\",\"dim\":2}");
    answers(
        world, CRN_PUT, P,
        "{\"id\":\"x\",\"vector\":[1,2],\"domain\":\"d\",\"agent\":\"g\",\"type\":\"t\",\"payload\":{\"n\":[1,null]},"
        "\"confidence\":0.25,\"created_at\":5,\"usage_count\":3}",
        "{\"count\":1,\"created\":1,\"written\":[{\"id\":\"x\",\"version\":1,\"created\":true}]}");
    answers(
        world, CRN_GET, P "/x", NULL,
        "{\"id\":\"x\",\"version\":1,\"domain\":\"d\",\"agent\":\"g\",\"type\":\"t\",\"payload\":{\"n\":[1,null]},\"confidence\":0.25,"
        "\"usage_count\":3,\"success_count\":0,\"created_at\":5,\"vector\":[1.0,2.0]}");
    answers(
        world, CRN_PUT, P, "{\"patterns\":[{\"id\":\"x\",\"vector\":[1,2]},{\"id\":42,\"vector\":[1,2]}]}",
        "{\"count\":2,\"created\":1,\"written\":[{\"id\":\"x\",\"version\":2,\"created\":false},{\"id\":42,\"version\":1,\"created\":true}]}");
    answers(world, CRN_PUT, P, "{\"patterns\":[]}", "{\"count\":0,\"created\":0,\"written\":[]}");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"vector\":[1,2]}"),
          "\"created\":true}]}"); /* its id is generated */
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":3}");
    fails(world, CRN_PUT, P "?mode=insert", "{\"id\":\"x\",\"vector\":[1,2]}", 409, "EXISTS", "x");
    fails(world, CRN_PUT, P "?mode=update", "{\"id\":\"none\",\"confidence\":1}", 404, "NOT_FOUND", "none");
    fails(world, CRN_PUT, P "?mode=other", "{\"id\":\"x\",\"vector\":[1,2]}", 400, "INVALID_ARGUMENT",
          "'other'");
    fails(world, CRN_PUT, P "?wait=true", "{\"id\":\"x\",\"vector\":[1,2]}", 400, "INVALID_ARGUMENT",
          "'wait'");
}

static void ids_of_three_kinds(void **state)
{
    struct world *world = *state;
    const char *uuid = "{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-00000000ABCD\"},\"vector\":[3,4]}";

    make(world, "{\"name\":\"a\",\"dim\":2}");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":\"42\",\"vector\":[1,2]}"), "\"id\":\"42\"");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":42,\"vector\":[1,2]}"), "\"id\":42");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":18446744073709551615,\"vector\":[1,2]}"),
          "\"created\":true");
    holds(world, 200, ask(world, CRN_PUT, P, uuid), "\"created\":true");
    holds(world, 200, ask(world, CRN_GET, P "/42", NULL), "{\"id\":\"42\",");
    holds(world, 200, ask(world, CRN_GET, P "/42?id_type=u64", NULL), "{\"id\":42,");
    holds(world, 200, ask(world, CRN_GET, P "/18446744073709551615?id_type=u64", NULL),
          "{\"id\":18446744073709551615,");
    holds(world, 200, ask(world, CRN_GET, P "/0188d2a0-0000-7000-8000-00000000abcd?id_type=uuid", NULL),
          "{\"id\":{\"uuid\":\"0188d2a0-0000-7000-8000-00000000abcd\"},");
    fails(world, CRN_GET, P "/x?id_type=u64", NULL, 400, "INVALID_ID", "'x'");
    fails(world, CRN_GET, P "/x?id_type=uuid", NULL, 400, "INVALID_ID", "x");
    fails(world, CRN_GET, P "/x?id_type=int", NULL, 400, "INVALID_ARGUMENT", "'int'");
    fails(world, CRN_GET, P "/x", NULL, 404, "NOT_FOUND", "'x'");
    fails(world, CRN_PUT, P, "{\"id\":-1,\"vector\":[1,2]}", 400, "INVALID_ID", "number");
    fails(world, CRN_PUT, P, "{\"id\":{\"uid\":\"x\"},\"vector\":[1,2]}", 400, "INVALID_ARGUMENT", "'uid'");
    fails(world, CRN_PUT, P, "{\"id\":\"\",\"vector\":[1,2]}", 400, "INVALID_ID", "");
    fails(world, CRN_PUT, P, "{\"id\":\"a\\u0000b\",\"vector\":[1,2]}", 400, "INVALID_ARGUMENT", "NUL");
    holds(world, 200, ask(world, CRN_POST, P "/get", "{\"ids\":[42,\"nobody\",\"42\"]}"),
          "{\"patterns\":[{\"id\":42,");
    answers(world, CRN_DELETE, P "/42?id_type=u64", NULL, "{\"deleted\":1}");
    fails(world, CRN_DELETE, P "/42?id_type=u64", NULL, 404, "NOT_FOUND", "42");
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":3}");
}

static void compare_and_set(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\",\"dim\":2}");
    answers(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"if_version\":0}",
            "{\"count\":1,\"created\":1,\"written\":[{\"id\":\"x\",\"version\":1,\"created\":true}]}");
    holds(world, 409, ask(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"if_version\":0}"),
          "\"id\":\"x\",\"version\":1}}");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,3],\"if_version\":1}"),
          "\"version\":2");
    holds(
        world, 409,
        ask(world, CRN_PUT, P,
            "{\"patterns\":[{\"id\":\"y\",\"vector\":[1,2]},{\"id\":\"x\",\"vector\":[1,4],\"if_version\":1}]}"),
        "\"status\":\"CONFLICT\"");
    holds(world, 409, ask(world, CRN_PATCH, P "/x", "{\"confidence\":1,\"if_version\":7}"),
          "\"id\":\"x\",\"version\":2}}");
    holds(world, 409, ask(world, CRN_PUT, P, "{\"id\":\"z\",\"vector\":[1,2],\"if_version\":3}"),
          "\"id\":\"z\",\"version\":0}}");
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":1}"); /* nothing of a refused call is stored */
    holds(world, 200, ask(world, CRN_GET, P "/x", NULL), "\"vector\":[1.0,3.0]");
}

static void patch_changes_what_is_given(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\",\"dim\":2}");
    holds(world, 200,
          ask(world, CRN_PUT, P,
              "{\"id\":\"x\",\"vector\":[1,2],\"payload\":{\"a\":1},\"confidence\":0.9,\"domain\":\"d\"}"),
          "x");
    answers(world, CRN_PATCH, P "/x", "{\"payload\":{\"b\":2},\"confidence\":0}",
            "{\"id\":\"x\",\"version\":2,\"created\":false}");
    holds(world, 200, ask(world, CRN_GET, P "/x?with_vectors=false", NULL),
          "\"domain\":\"d\",\"type\":\"pattern\",\"payload\":{\"b\":2},\"confidence\":0.0,");
    assert_null(strstr(world->answer.body.data, "vector"));
    fails(world, CRN_PATCH, P "/x", "{\"id\":\"y\"}", 400, "INVALID_ARGUMENT", "path alone");
    fails(world, CRN_PATCH, P "/x", "{\"confidnce\":1}", 400, "INVALID_ARGUMENT", "'confidnce'");
    fails(world, CRN_PATCH, P "/y", "{\"confidence\":1}", 404, "NOT_FOUND", "y");
}

static void expiry(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\",\"dim\":2}");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":\"gone\",\"vector\":[1,2],\"expires_at\":1}"), "gone");
    fails(world, CRN_GET, P "/gone", NULL, 404, "NOT_FOUND", "gone");
    holds(world, 200, ask(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"ttl\":3600}"), "x");
    holds(world, 200, ask(world, CRN_GET, P "/x", NULL), "\"expires_at\":");
    holds(world, 200, ask(world, CRN_PATCH, P "/x", "{\"expires_at\":0}"), "x");
    assert_null(strstr(ask(world, CRN_GET, P "/x", NULL), "expires_at"));
    fails(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"ttl\":0}", 400, "INVALID_ARGUMENT", "ttl");
    fails(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"ttl\":1e300}", 400, "INVALID_ARGUMENT", "ttl");
    fails(world, CRN_PUT, P, "{\"id\":\"x\",\"vector\":[1,2],\"ttl\":1,\"expires_at\":1}", 400,
          "INVALID_ARGUMENT", "both");
}

static void texts_are_embedded(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\"}");
    holds(
        world, 200,
        ask(world, CRN_PUT, P,
            "{\"patterns\":[{\"id\":\"cat\",\"text\":\"the cat sleeps\"},{\"id\":\"tax\",\"text\":\"file the tax form\"}]}"),
        "cat");
    holds(world, 200, ask(world, CRN_POST, "collections/a/search", "{\"text\":\"a sleeping cat\",\"k\":1}"),
          "\"id\":\"cat\"");
    holds(world, 200, ask(world, CRN_POST, "collections/a/search", "{\"text\":\"tax forms\",\"k\":1}"),
          "\"id\":\"tax\"");
    fails(world, CRN_PUT, P, "{\"id\":\"x\"}", 400, "INVALID_ARGUMENT", "no vector");
}

static void vectors_of_every_kind(void **state)
{
    struct world *world = *state;

    make(
        world,
        "{\"name\":\"a\",\"spaces\":[{\"dim\":2},{\"name\":\"s\",\"kind\":\"sparse\"},{\"name\":\"m\",\"kind\":\"multi\",\"dim\":2},{\"name\":\"d\",\"dim\":1,\"metric\":\"l2\"}]}");
    holds(
        world, 200,
        ask(world, CRN_PUT, P,
            "{\"id\":1,\"vector_b64\":\"AACAPwAAAEA=\",\"vectors\":{\"s\":{\"indices\":[1,4294967295],\"values\":[0.5,2]},"
            "\"m\":[[1,2],[3,4],[5,6]],\"d\":{\"b64\":\"AACAPw==\"}}}"),
        "1");
    holds(world, 200, ask(world, CRN_GET, P "/1?id_type=u64", NULL), "\"vector\":[1.0,2.0],\"vectors\":{");
    assert_non_null(
        strstr(world->answer.body.data, "\"s\":{\"indices\":[1,4294967295],\"values\":[0.5,2.0]}"));
    assert_non_null(strstr(world->answer.body.data, "\"m\":[[1.0,2.0],[3.0,4.0],[5.0,6.0]]"));
    assert_non_null(strstr(world->answer.body.data, "\"d\":[1.0]"));
    static const struct {
        const char *members, *name, *text;
    } bad[] = {
        {"\"vector\":[]", "INVALID_VECTOR", "0 numbers"},
        {"\"vector\":[1]", "DIM_MISMATCH", ""},
        {"\"vector\":[1,\"2\"]", "INVALID_VECTOR", "vector[1]"},
        {"\"vector\":[1,1e300]", "INVALID_VECTOR", ""},
        {"\"vector\":[0,0]", "ZERO_VECTOR", ""},
        {"\"vector\":[1,2],\"vector_b64\":\"AACAPwAAAEA=\"", "INVALID_ARGUMENT", "both"},
        {"\"vector_b64\":\"AACAPwAAAEA\"", "INVALID_ARGUMENT", "base64"},
        {"\"vector_b64\":\"AAC=PwAAAEA=\"", "INVALID_ARGUMENT", "base64"},
        {"\"vector_b64\":\"AACA\"", "INVALID_VECTOR", "3 bytes"},
        {"\"vector_b64\":\"\"", "INVALID_VECTOR", "0 bytes"},
        {"\"vectors\":{\"nobody\":[1,2]}", "INVALID_ARGUMENT", "nobody"},
        {"\"vectors\":{\"s\":{\"indices\":[1],\"values\":[]}}", "INVALID_VECTOR", ""},
        {"\"vectors\":{\"s\":{\"indices\":[1],\"values\":[1,2]}}", "INVALID_VECTOR",
         "1 indices and 2 values"},
        {"\"vectors\":{\"s\":{\"indices\":[-1],\"values\":[1]}}", "INVALID_VECTOR", "indices[0]"},
        {"\"vectors\":{\"s\":{\"indices\":[4294967296],\"values\":[1]}}", "INVALID_VECTOR", "indices[0]"},
        {"\"vectors\":{\"m\":[[1,2],[3]]}", "DIM_MISMATCH", "m[1]"},
        {"\"vectors\":{\"m\":[[1,2],3]}", "INVALID_ARGUMENT", "array"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char body[300], expected[64];
        snprintf(body, sizeof body, "{\"id\":2,%s}", bad[i].members);
        snprintf(expected, sizeof expected, "\"status\":\"%s\"", bad[i].name);
        holds(world, 400, ask(world, CRN_PUT, P, body), expected);
        holds(world, 400, world->answer.body.data, bad[i].text);
    }
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":1}");
}

static void binary_rows(void **state)
{
    struct world *world = *state;
    const char *raw = "application/octet-stream", *npy = "application/x-npy";
    const float rows[] = {1, 2, 3, 4, 5, 6};
    char file[200] =
        "\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }          \n";
    const size_t header = 10 + 70;

    make(world, "{\"name\":\"a\",\"dim\":2,\"metric\":\"l2\"}");
    holds(world, 200, ask_binary(world, CRN_PUT, P "?first_id=7&domain=d", raw, rows, sizeof rows),
          "{\"count\":3,\"created\":3}");
    holds(world, 200, ask(world, CRN_GET, P "/9?id_type=u64", NULL), "\"domain\":\"d\"");
    holds(world, 200, world->answer.body.data, "\"vector\":[5.0,6.0]");
    holds(world, 200, ask_binary(world, CRN_PUT, P "?ids=x,y,z", raw, rows, sizeof rows),
          "{\"count\":3,\"created\":3}");
    holds(world, 200, ask(world, CRN_GET, P "/y", NULL), "\"vector\":[3.0,4.0]");
    memcpy(file + header, rows, sizeof rows);
    holds(world, 200, ask_binary(world, CRN_PUT, P "?ids=1,2,3&id_type=u64", npy, file, header + sizeof rows),
          "{\"count\":3,\"created\":3}");
    holds(world, 200, ask(world, CRN_GET, P "/2?id_type=u64", NULL), "\"vector\":[3.0,4.0]");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?ids=x,y", raw, rows, sizeof rows),
          "ids names 2 patterns, the body has 3");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?ids=x,y,z,w", raw, rows, sizeof rows),
          "ids names 4 patterns");
    holds(world, 400, ask_binary(world, CRN_PUT, P, raw, rows, sizeof rows), "one of first_id and ids");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=x", raw, rows, sizeof rows),
          "first_id must be");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=18446744073709551615", raw, rows, sizeof rows),
          "first_id must be");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1&k=1", raw, rows, sizeof rows), "'k'");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1&space=s", raw, rows, sizeof rows),
          "dim is missing");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1&space=s&dim=2", raw, rows, sizeof rows),
          "'s'");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1&dim=3", raw, rows, sizeof rows),
          "DIM_MISMATCH");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1", raw, rows, 7), "7 bytes are no whole rows");
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1", raw, rows, 0), "0 bytes are no whole rows");
    for (size_t size = 0; size < header + sizeof rows; size++) {
        holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1", npy, file, size), "error");
    }
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1", npy, rows, sizeof rows), "UNSUPPORTED");
    *strchr(file + 10, '4') = '8';
    holds(world, 400, ask_binary(world, CRN_PUT, P "?first_id=1", npy, file, header + sizeof rows),
          "UNSUPPORTED");
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":9}");
}

static void scopes(void **state)
{
    struct world *world = *state;

    make(world, "{\"name\":\"a\",\"dim\":1,\"metric\":\"l2\"}");
    holds(
        world, 200,
        ask(world, CRN_PUT, P,
            "{\"patterns\":[{\"id\":1,\"vector\":[1],\"payload\":{\"n\":1}},{\"id\":2,\"vector\":[2],\"payload\":{\"n\":2},"
            "\"domain\":\"d\"},{\"id\":3,\"vector\":[3],\"payload\":{\"n\":3},\"confidence\":0.9}]}"),
        "\"count\":3");
    answers(world, CRN_POST, P "/count", "{\"filter\":{\"n\":{\"$gt\":1}}}", "{\"count\":2}");
    answers(world, CRN_POST, P "/count", "{\"filter\":\"{\\\"n\\\":1}\"}", "{\"count\":1}");
    answers(world, CRN_POST, P "/count", "{\"domain\":\"d\"}", "{\"count\":1}");
    fails(world, CRN_POST, P "/count", "{\"filter\":{\"n\":{\"$near\":1}}}", 400, "INVALID_FILTER", "$near");
    fails(world, CRN_POST, P "/count", "{\"filter\":7}", 400, "INVALID_ARGUMENT", "filter");
    holds(world, 200, ask(world, CRN_POST, P "/scroll", "{\"limit\":2}"), "{\"patterns\":[{\"id\":1,");
    char *cursor = strstr(world->answer.body.data, "\"cursor\":");
    assert_non_null(cursor);
    char body[100];
    snprintf(body, sizeof body, "{\"limit\":2,%s", cursor);
    holds(world, 200, ask(world, CRN_POST, P "/scroll", body), "{\"patterns\":[{\"id\":3,");
    holds(world, 200, world->answer.body.data, "\"cursor\":null}");
    fails(world, CRN_POST, P "/delete", "{}", 400, "INVALID_ARGUMENT", "");
    fails(world, CRN_POST, P "/delete", "{\"ids\":[1],\"domain\":\"d\"}", 400, "INVALID_ARGUMENT",
          "'domain'");
    answers(world, CRN_POST, P "/delete", "{\"ids\":[1,99]}", "{\"deleted\":1}");
    answers(world, CRN_POST, P "/delete", "{\"filter\":{\"n\":2}}", "{\"deleted\":1}");
    answers(world, CRN_POST, P "/count", NULL, "{\"count\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_and_many, world_open, world_close),
        cmocka_unit_test_setup_teardown(ids_of_three_kinds, world_open, world_close),
        cmocka_unit_test_setup_teardown(compare_and_set, world_open, world_close),
        cmocka_unit_test_setup_teardown(patch_changes_what_is_given, world_open, world_close),
        cmocka_unit_test_setup_teardown(expiry, world_open, world_close),
        cmocka_unit_test_setup_teardown(texts_are_embedded, world_open, world_close),
        cmocka_unit_test_setup_teardown(vectors_of_every_kind, world_open, world_close),
        cmocka_unit_test_setup_teardown(binary_rows, world_open, world_close),
        cmocka_unit_test_setup_teardown(scopes, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
