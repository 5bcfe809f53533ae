/* The OpenAPI document: it parses, lists exactly the routes there are, and its references lead somewhere. */
#include "tests/server/v1_fixture.h"

#include "base/json.h"

static const char *const methods[] = {
    [CRN_GET] = "get",     [CRN_HEAD] = "head",     [CRN_POST] = "post",      [CRN_PUT] = "put",
    [CRN_PATCH] = "patch", [CRN_DELETE] = "delete", [CRN_OPTIONS] = "options"};

static struct crn_json parse(struct world *world, struct crn_json_parser *parser)
{
    struct crn_json root;
    const char *text = ask(world, CRN_GET, "openapi.json", NULL);

    assert_int_equal(world->answer.status, 200);
    ok(crn_json_parse(parser, text, world->answer.body.len, &root, err));
    return root;
}

static struct crn_json member(struct crn_json object, const char *name)
{
    struct crn_json value;

    if (!crn_json_get(object, name, &value)) fail_msg("no member '%s'", name);
    return value;
}

static void routes_and_document_agree(void **state)
{
    struct world *world = *state;
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_v1_route_name routes[64];
    struct crn_json_iter path_at, method_at;
    struct crn_json path, operation;
    const char *path_name, *method_name;
    size_t path_length, method_length, documented = 0;

    const struct crn_json root = parse(world, parser), paths = member(root, "paths");
    const size_t count = crn_v1_route_names(routes, COUNT_OF(routes));
    assert_true(count <= COUNT_OF(routes));
    for (size_t i = 0; i < count; i++) {
        operation = member(member(paths, routes[i].path), methods[routes[i].method]);
        assert_true(crn_json_size(member(operation, "responses")) == 2);
    }
    for (crn_json_iter_init(&path_at, paths);
         crn_json_iter_next(&path_at, &path, &path_name, &path_length);) {
        for (crn_json_iter_init(&method_at, path);
             crn_json_iter_next(&method_at, &operation, &method_name, &method_length);) {
            bool routed = false;
            for (size_t i = 0; i < count; i++) {
                routed |= strcmp(routes[i].path, path_name) == 0 &&
                          strcmp(methods[routes[i].method], method_name) == 0;
            }
            if (!routed) fail_msg("%s %s is in the document, but no route", method_name, path_name);
            documented++;
        }
    }
    assert_int_equal(documented, count);
    crn_json_parser_free(parser);
}

/* Every "$ref" names something that is in the document. */
static void check_references(struct crn_json root, struct crn_json value)
{
    struct crn_json_iter it;
    struct crn_json inner;
    const char *key;
    size_t length;

    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &inner, &key, &length);) {
        if (key == NULL || strcmp(key, "$ref") != 0) {
            check_references(root, inner);
            continue;
        }
        const char *at = crn_json_string(inner, &length);
        struct crn_json target = root;
        assert_true(strncmp(at, "#/", 2) == 0);
        for (at += 2; *at != '\0';) {
            const size_t part = strcspn(at, "/");
            if (!crn_json_get_n(target, at, part, &target))
                fail_msg("%s leads nowhere", crn_json_string(inner, &length));
            at += part + (at[part] == '/');
        }
    }
}

static void references_lead_somewhere(void **state)
{
    struct world *world = *state;
    struct crn_json_parser *parser = crn_json_parser_create();

    const struct crn_json root = parse(world, parser);
    size_t length;
    assert_string_equal(crn_json_string(member(root, "openapi"), &length), "3.1.0");
    check_references(root, root);
    crn_json_parser_free(parser);
}

/* The document's fields of a body are those that the endpoint takes: each alone must not be called unknown. */
static void fields_are_known(void **state)
{
    static const struct {
        const char *schema;
        enum crn_method method;
        const char *path;
    } bodies[] = {
        {"NewCollection", CRN_POST, "collections"},
        {"NewPattern", CRN_PUT, "collections/a/patterns"},
        {"Change", CRN_PATCH, "collections/a/patterns/x"},
        {"Query", CRN_POST, "collections/a/search"},
        {"Retrieve", CRN_POST, "collections/a/retrieve"},
        {"Scope", CRN_POST, "collections/a/patterns/count"},
        {"Measure", CRN_POST, "collections/a/recall"},
        {"Project", CRN_POST, "collections/a/projection"},
    };
    struct world *world = *state;
    struct crn_json_parser *parser = crn_json_parser_create();
    struct crn_json_iter it;
    struct crn_json value;
    const char *key;
    size_t length;

    holds(world, 201, ask(world, CRN_POST, "collections", "{\"name\":\"a\",\"dim\":2}"), "a");
    const struct crn_json schemas = member(member(parse(world, parser), "components"), "schemas");
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        const struct crn_json properties = member(member(schemas, bodies[i].schema), "properties");
        for (crn_json_iter_init(&it, properties); crn_json_iter_next(&it, &value, &key, &length);) {
            char body[200];
            snprintf(body, sizeof body, "{\"%s\":null}", key);
            if (strstr(ask(world, bodies[i].method, bodies[i].path, body), "unknown field") != NULL) {
                fail_msg("%s: %s", bodies[i].schema, world->answer.body.data);
            }
        }
    }
    crn_json_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_and_document_agree, world_open, world_close),
        cmocka_unit_test_setup_teardown(references_lead_somewhere, world_open, world_close),
        cmocka_unit_test_setup_teardown(fields_are_known, world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
