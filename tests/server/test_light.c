/* Which requests the loop answers by itself, and that all others go to workers. */
#include "server/serve_light.h"
#include "tests/server/world.h"

#include "server/http_light.h"

/* ---- requests that are light ---- */

static bool is_light(enum crn_method method, const char *path, const char *type, const char *body,
                     size_t length)
{
    struct crn_text segments[8];
    struct crn_field parameters[2], header = {{"content-type", 12}, {type, strlen(type)}};
    struct crn_request request = {.method = method,
                                  .segments = segments,
                                  .headers = &header,
                                  .header_count = 1,
                                  .parameters = parameters,
                                  .body = {body, length}};
    const char *query = strchr(path, '?');
    const char *end = query != NULL ? query : path + strlen(path);

    for (const char *at = path; at < end;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash != NULL ? slash : end;
        segments[request.segment_count++] = (struct crn_text){at, (size_t)(stop - at)};
        at = stop + 1;
    }
    if (query != NULL) {
        const char *equals = strchr(query, '=');
        parameters[request.parameter_count++] =
            (struct crn_field){{query + 1, (size_t)(equals - query - 1)}, {equals + 1, strlen(equals + 1)}};
    }
    return crn_serve_is_light(&request);
}

static void plain_searches_are_light(void **state)
{
    static const char *const light[] = {
        "{\"vector\":[1,2,3]}",
        "{\"vector\":[1,2,3],\"k\":10}",
        " { \"k\" : 100 ,\n\"vector\" : [ 1, 2 ] } ",
        "{\"vector_b64\":\"AACAPw==\",\"k\":1}",
        "{\"query\":[0.1],\"limit\":5}",
    };
    static const char *const others[] = {
        "",
        "{",
        "[]",
        "{\"vector\":[1,2],\"k\":101}",
        "{\"vector\":[1,2],\"k\":1e9}",
        "{\"vector\":[1,2],\"k\":99999999999}",
        "{\"vector\":[1,2],\"exact\":true}",
        "{\"vector\":[1,2],\"filter\":{\"must\":[]}}",
        "{\"vector\":[1,2],\"with_pattern\":true}",
        "{\"vector\":[1,2",
        "{\"vector_b64\":\"AACAPw==",
        "{\"text\":\"word\"}",
        "{\"query\":{\"recommend\":[]}}",
        "{\"query\":[1],\"prefetch\":[{\"query\":[1]}]}",
        "{\"vector\":[1,2],\"k\":}",
    };
    const float bare[] = {1, 2};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(light); i++) {
        if (!is_light(CRN_POST, "cairn/v1/collections/a/search", "application/json", light[i],
                      strlen(light[i])))
            fail_msg("%s", light[i]);
        assert_true(
            is_light(CRN_POST, "collections/a/points/query", "application/json", light[i], strlen(light[i])));
        assert_false(is_light(CRN_PUT, "cairn/v1/collections/a/patterns", "application/json", light[i],
                              strlen(light[i])));
        assert_false(is_light(CRN_POST, "collections/a/points/delete", "application/json", light[i],
                              strlen(light[i])));
        assert_false(
            is_light(CRN_GET, "collections/a/points/query", "application/json", light[i], strlen(light[i])));
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (is_light(CRN_POST, "cairn/v1/collections/a/search", "application/json", others[i],
                     strlen(others[i])))
            fail_msg("%s", others[i]);
    }
    const char *bytes = (const char *)bare;
    assert_true(
        is_light(CRN_POST, "cairn/v1/collections/a/search", "application/octet-stream", bytes, sizeof bare));
    assert_true(is_light(CRN_POST, "cairn/v1/collections/a/search?k=10", "application/octet-stream", bytes,
                         sizeof bare));
    assert_false(is_light(CRN_POST, "cairn/v1/collections/a/search?k=1000", "application/octet-stream", bytes,
                          sizeof bare));
    assert_false(is_light(CRN_POST, "cairn/v1/collections/a/search?exact=true", "application/octet-stream",
                          bytes, sizeof bare));
    char *large = malloc(100000);
    memset(large, ' ', 100000);
    memcpy(large, "{\"vector\":[1]}", 14);
    assert_false(is_light(CRN_POST, "cairn/v1/collections/a/search", "application/json", large, 100000));
    free(large);
}

/* ---- where they are answered ---- */

static struct world world;
static pthread_t answered_by;

static void answer_here(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    answered_by = pthread_self(); /* read when the answer has come */
    if (crn_http_text_is(request->segments[0], "slow")) rest_ms(5);
    world_handle(ctx, request, answer);
}

static bool any(const struct crn_request *request)
{
    return request->method == CRN_GET;
}

static void route_light(void *ctx, struct crn_http_message *message, struct crn_http_route *out,
                        struct crn_answer *answer)
{
    (void)message;
    (void)answer;
    *out = (struct crn_http_route){.handler = answer_here, .ctx = ctx, .is_light = any};
}

static bool asked_on_the_loop(int fd, const char *request)
{
    say(fd, request);
    assert_int_equal(hear(fd), 200);
    return pthread_equal(answered_by, world.thread);
}

/* Asks until the loop answers, as it must once enough requests in a row were short: a busy machine makes some long. */
static void ask_until_on_the_loop(int fd)
{
    const uint64_t until_ns = crn_clock_ns() + 60000000000u;

    while (!asked_on_the_loop(fd, GET("/short"))) {
        if (crn_clock_ns() > until_ns) skip(); /* a machine without 64 undisturbed answers in a minute */
    }
}

static void begin(void)
{
    world_prepare(&world);
    world.options.hooks.route = route_light;
    world_start(&world);
}

static void one_client_is_answered_on_the_loop_after_a_while(void **state)
{
    (void)state;
    begin();
    int fd = dial(&world), other = dial(&world);
    for (unsigned i = 0; i < CRN_HTTP_LIGHT_SHORT; i++) assert_false(asked_on_the_loop(fd, GET("/short")));
    ask_until_on_the_loop(fd);
    assert_false(asked_on_the_loop(
        fd, "POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")); /* is not light */
    assert_false(asked_on_the_loop(fd, GET("/other")));                        /* has to prove itself */
    assert_false(asked_on_the_loop(other, GET("/short"))); /* two clients: both go to workers */
    assert_false(asked_on_the_loop(fd, GET("/short")));
    close(fd);
    close(other);
    world_stop(&world);
}

static void a_path_that_takes_long_goes_to_workers(void **state)
{
    (void)state;
    begin();
    int fd = dial(&world);
    for (unsigned i = 0; i < 2 * CRN_HTTP_LIGHT_SHORT; i++) assert_false(asked_on_the_loop(fd, GET("/slow")));
    ask_until_on_the_loop(fd);
    close(fd);
    world_stop(&world);
}

/* While a worker has a request, the loop stays free. */
static void the_loop_answers_nothing_while_others_wait(void **state)
{
    (void)state;
    begin();
    int fd = dial(&world), waiting = dial(&world);
    ask_until_on_the_loop(fd);
    atomic_store(&world.hold, true);
    const int started = atomic_load(&world.started);
    say(waiting, GET("/wait"));
    WAIT_FOR(atomic_load(&world.started) > started);
    for (unsigned i = 0; i < 2 * CRN_HTTP_LIGHT_ALONE; i++)
        assert_false(asked_on_the_loop(fd, GET("/short")));
    atomic_store(&world.hold, false);
    assert_int_equal(hear(waiting), 200);
    close(fd);
    close(waiting);
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_searches_are_light),
        cmocka_unit_test(one_client_is_answered_on_the_loop_after_a_while),
        cmocka_unit_test(a_path_that_takes_long_goes_to_workers),
        cmocka_unit_test(the_loop_answers_nothing_while_others_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
