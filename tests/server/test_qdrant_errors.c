/* Each endpoint of the dialect over points: answered when all is well, and with the documented error when the collection is missing, the
 * body is cut, or is of another kind. What single fields do wrong is tested beside what they do (test_qdrant_*.c). */
#include "tests/server/qdrant_fixture.h"

static const struct {
    enum crn_method method;
    const char *path, *body;
} endpoints[] = {
    {CRN_GET, "", NULL},
    {CRN_GET, "/aliases", NULL},
    {CRN_PATCH, "", "{\"optimizers_config\":{\"indexing_threshold\":100}}"},
    {CRN_DELETE, "/index/n", NULL},
    {CRN_PUT, "/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}"},
    {CRN_PUT, "/vectors/more", "{\"dense\":{\"size\":2,\"distance\":\"Dot\"}}"},
    {CRN_DELETE, "/vectors/more", NULL},
    {CRN_PUT, "/points", "{\"points\":[{\"id\":9,\"vector\":[1,0],\"payload\":{\"n\":1}}]}"},
    {CRN_POST, "/points", "{\"ids\":[1,9]}"},
    {CRN_GET, "/points/9", NULL},
    {CRN_POST, "/points/count", "{\"exact\":true}"},
    {CRN_POST, "/points/scroll", "{\"limit\":2}"},
    {CRN_POST, "/points/payload", "{\"payload\":{\"m\":1},\"points\":[9]}"},
    {CRN_PUT, "/points/payload", "{\"payload\":{\"n\":1},\"points\":[9]}"},
    {CRN_POST, "/points/payload/delete", "{\"keys\":[\"m\"],\"points\":[9]}"},
    {CRN_POST, "/points/payload/clear", "{\"points\":[9]}"},
    {CRN_PUT, "/points/vectors", "{\"points\":[{\"id\":9,\"vector\":[0,1]}]}"},
    {CRN_POST, "/points/vectors/delete", "{\"points\":[9],\"vector\":[\"\"]}"},
    {CRN_POST, "/points/batch", "{\"operations\":[{\"delete\":{\"points\":[8]}}]}"},
    {CRN_POST, "/points/delete", "{\"points\":[9]}"},
    {CRN_POST, "/points/query", "{\"query\":[1,0]}"},
    {CRN_POST, "/points/query/batch", "{\"searches\":[{\"query\":[1,0]}]}"},
    {CRN_POST, "/points/query/groups", "{\"query\":[1,0],\"group_by\":\"n\"}"},
    {CRN_POST, "/points/search", "{\"vector\":[1,0],\"limit\":1}"},
    {CRN_POST, "/points/search/batch", "{\"searches\":[{\"vector\":[1,0],\"limit\":1}]}"},
    {CRN_POST, "/points/search/groups", "{\"vector\":[1,0],\"limit\":1,\"group_by\":\"n\",\"group_size\":1}"},
    {CRN_POST, "/points/search/matrix/pairs", "{\"sample\":2,\"limit\":1}"},
    {CRN_POST, "/points/search/matrix/offsets", "{\"sample\":2,\"limit\":1}"},
    {CRN_POST, "/points/recommend", "{\"positive\":[1],\"limit\":1}"},
    {CRN_POST, "/points/recommend/batch", "{\"searches\":[{\"positive\":[1],\"limit\":1}]}"},
    {CRN_POST, "/points/recommend/groups",
     "{\"positive\":[1],\"limit\":1,\"group_by\":\"n\",\"group_size\":1}"},
    {CRN_POST, "/points/discover", "{\"target\":[1,0],\"limit\":1}"},
    {CRN_POST, "/points/discover/batch", "{\"searches\":[{\"target\":[1,0],\"limit\":1}]}"},
    {CRN_POST, "/facet", "{\"key\":\"n\"}"},
};
#define ENDPOINTS (sizeof endpoints / sizeof endpoints[0])

static const char *path_of(const char *collection, size_t i)
{
    static char path[200];

    snprintf(path, sizeof path, "/collections/%s%s", collection, endpoints[i].path);
    return path;
}

static int open_filled(void **state)
{
    world_open(state);
    struct world *w = *state;

    done(w, CRN_PUT, "/collections/here", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}");
    done(
        w, CRN_PUT, "/collections/here/points",
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"n\":1}},{\"id\":2,\"vector\":[0,1],\"payload\":{\"n\":2}}]}");
    done(w, CRN_PUT, "/collections/here/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    return 0;
}

static void expect(struct world *w, size_t i, const char *path, const char *body, unsigned status,
                   const char *text)
{
    const char *answer = ask(w, endpoints[i].method, path, body);

    if (w->answer.status != status || strstr(answer, text) == NULL)
        fail_msg("%s %s: %u %s\n expected %u %s", path, body, w->answer.status, answer, status, text);
}

static void test_each_is_answered(void **state)
{
    for (size_t i = 0; i < ENDPOINTS; i++)
        expect(*state, i, path_of("here", i), endpoints[i].body, 200, "\"status\":\"ok\"");
}

static void test_a_collection_is_missing(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < ENDPOINTS; i++) {
        expect(w, i, path_of("gone", i), endpoints[i].body, 404,
               "{\"status\":{\"error\":\"Not found: Collection `gone` doesn't exist!\"}");
    }
    error_is(w, CRN_PUT, "/collections/here", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 409,
             "Wrong input: Collection `here` already exists!");
}

static void test_a_body_is_cut(void **state)
{
    char body[400];

    for (size_t i = 0; i < ENDPOINTS; i++) {
        if (endpoints[i].body == NULL) continue;
        const size_t length = strlen(endpoints[i].body);
        for (size_t cut = 1; cut < length; cut++) {
            snprintf(body, sizeof body, "%.*s", (int)cut, endpoints[i].body);
            expect(*state, i, path_of("here", i), body, 400, "Format error in JSON body: ");
        }
    }
}

static void test_a_body_is_of_another_kind(void **state)
{
    static const char *const others[] = {"[]", "7", "null", "\"text\"", "true"};
    struct world *w = *state;

    for (size_t i = 0; i < ENDPOINTS; i++) {
        if (endpoints[i].body == NULL) continue;
        for (size_t o = 0; o < sizeof others / sizeof others[0]; o++) {
            const char *path = path_of("here", i), *answer = ask(w, endpoints[i].method, path, others[o]);
            if (w->answer.status != 400 || strstr(answer, "{\"status\":{\"error\":\"") != answer)
                fail_msg("%s %s: %u %s", path, others[o], w->answer.status, answer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_is_answered, open_filled, world_close),
        cmocka_unit_test_setup_teardown(test_a_collection_is_missing, open_filled, world_close),
        cmocka_unit_test_setup_teardown(test_a_body_is_cut, open_filled, world_close),
        cmocka_unit_test_setup_teardown(test_a_body_is_of_another_kind, open_filled, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
