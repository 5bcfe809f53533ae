/* The OpenAI-compatible embedder against the stand-in server: batches, tries, refusals and their messages. */
#include "base/mem.h"
#include "tests/base/support.h"
#include "tests/embed/standin.h"

#include <cairn/embed.h>

#define DIM 8 /* the server's */

static struct standin server;

static int start(void **state)
{
    (void)state;
    standin_start(&server, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    standin_stop(&server);
    return 0;
}

#define NEEDS_SERVER \
    if (server.pid == 0) skip()

/* ---- helpers ---- */

static char url[200]; /* of the last options_for */

static cairn_openai_options options_for(const char *path)
{
    standin_url(&server, path, url, sizeof url);
    return (cairn_openai_options){
        .size = sizeof(cairn_openai_options), .url = url, .model = "test-model", .dim = DIM, .retries = 1};
}

static cairn_embedder *make(const cairn_openai_options *options)
{
    cairn_embedder *embedder = NULL;
    cairn_error err;

    if (cairn_embedder_openai(options, &embedder, &err) != CAIRN_OK) fail_msg("%s", err.message);
    return embedder;
}

/* As embedding() of standin_server.py. */
static void assert_embeds(const char *text, const float *vector)
{
    unsigned sum = 0;

    for (const char *at = text; *at != '\0'; at++) sum += (unsigned char)*at;
    assert_true(vector[0] == (float)strlen(text));
    assert_true(vector[1] == (float)(sum % 997));
    for (size_t j = 2; j < DIM; j++) assert_true(vector[j] == (float)j / 8);
}

static const char *const texts[] = {"one", "two texts", "", "\"quoted\"\n\\", "\xC3\xA4\xF0\x9F\x98\x80",
                                    "six", "seven"};

static cairn_status embed(const cairn_openai_options *options, float vectors[][DIM], cairn_error *err)
{
    cairn_embedder *embedder = make(options);
    cairn_status status = embedder->embed(embedder->ctx, texts, COUNT_OF(texts), vectors[0], err);

    cairn_embedder_free(embedder);
    return status;
}

static void assert_requests(const char *path, long expected)
{
    char what[200];

    snprintf(what, sizeof what, "count/%s", path);
    assert_int_equal(standin_ask(&server, what), expected);
}

static void assert_all_embedded(const cairn_openai_options *options)
{
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    if (embed(options, vectors, &err) != CAIRN_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < COUNT_OF(texts); i++) assert_embeds(texts[i], vectors[i]);
}

/* ---- what works ---- */

static void texts_become_vectors_in_their_order(void **state)
{
    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("ok/order");
    assert_all_embedded(&options);
    assert_requests("ok/order", 1);
    options = options_for("shuffled/order");
    assert_all_embedded(&options);
}

static void texts_go_in_batches(void **state)
{
    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("ok/batches");
    options.batch = 3;
    assert_all_embedded(&options);
    assert_requests("ok/batches", 3); /* 3 + 3 + 1 */
    assert_int_equal(standin_ask(&server, "largest/ok/batches"), 3);
}

static void large_texts_close_a_batch_early(void **state)
{
    const size_t size = 3 << 20;
    char *text = crn_mem_alloc(size + 1);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', size);
    text[size] = '\0';
    if (server.pid != 0) {
        const char *const large[] = {text, text, text, text, text};
        cairn_openai_options options = options_for("ok/large");
        cairn_embedder *embedder = make(&options);
        float vectors[COUNT_OF(large)][DIM];
        cairn_error err = {.message = ""};
        cairn_status status = embedder->embed(embedder->ctx, large, COUNT_OF(large), vectors[0], &err);
        cairn_embedder_free(embedder);
        assert_string_equal(err.message, "");
        assert_int_equal(status, CAIRN_OK);
        for (size_t i = 0; i < COUNT_OF(large); i++) assert_embeds(text, vectors[i]);
        assert_requests("ok/large", 2);
        assert_int_equal(standin_ask(&server, "largest/ok/large"), 3);
    }
    crn_mem_free(text);
    NEEDS_SERVER;
}

static void no_texts_ask_for_nothing(void **state)
{
    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("ok/none");
    cairn_embedder *embedder = make(&options);
    assert_int_equal(embedder->embed(embedder->ctx, NULL, 0, NULL, NULL), CAIRN_OK);
    cairn_embedder_free(embedder);
    assert_requests("ok/none", 0);
}

static void the_dim_is_asked_once_when_not_told(void **state)
{
    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("ok/dim");
    options.dim = 0;
    cairn_embedder *embedder = make(&options);
    assert_int_equal(embedder->dim, DIM);
    assert_string_equal(embedder->model, "test-model");
    assert_int_equal(embedder->size, sizeof *embedder);
    assert_requests("ok/dim", 1);
    cairn_embedder_free(embedder);

    cairn_error err;
    options = options_for("broken_json/dim");
    options.dim = 0;
    assert_int_equal(cairn_embedder_openai(&options, &embedder, &err), CAIRN_EMBEDDER);
    assert_null(embedder);
    assert_non_null(strstr(err.message, "test-model"));
    assert_non_null(strstr(err.message, "not JSON"));
}

static void the_key_is_sent_and_never_shown(void **state)
{
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("key/right");
    options.api_key = "sk-secret-1";
    assert_all_embedded(&options);

    options = options_for("key/wrong"); /* the server's message quotes it */
    options.api_key = "sk-secret-2";
    assert_int_equal(embed(&options, vectors, &err), CAIRN_EMBEDDER);
    assert_non_null(strstr(err.message, "HTTP 401"));
    assert_non_null(strstr(err.message, "Incorrect API key provided: Bearer ***********."));
    assert_null(strstr(err.message, "secret"));
    assert_requests("key/wrong", 1);

    options = options_for("key/none");
    assert_int_equal(embed(&options, vectors, &err), CAIRN_EMBEDDER);
    assert_non_null(strstr(err.message, "Incorrect API key provided: none."));
}

/* ---- tries ---- */

static void passing_failures_are_tried_again(void **state)
{
    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("fails_thrice/a");
    options.retries = 0; /* the default, 4 */
    assert_all_embedded(&options);
    assert_requests("fails_thrice/a", 4);

    options = options_for("reset_once/a");
    assert_all_embedded(&options);
    assert_requests("reset_once/a", 2);

    options = options_for("limited/a"); /* the server refuses who does not wait as told */
    assert_all_embedded(&options);
    assert_requests("limited/a", 2);
}

static void failures_that_stay_are_the_embedders(void **state)
{
    static const struct {
        const char *path;
        uint32_t retries;
        long requests;
        const char *named[3];
    } rows[] = {
        {"fails/a", 1, 2, {"HTTP 503", "tries: 2", "overloaded"}},
        {"fails_thrice/b", 2, 3, {"HTTP 500", "tries: 3", "<h1>oops</h1> <p>later</p>"}},
        {"reset/a", 1, 2, {"/reset/a", "tries: 2", "POST"}},
        {"limited_long/a", 3, 1, {"HTTP 429", "pause of 3600 s", "out of quota"}},
        {"limited_date/a", 3, 1, {"HTTP 429", "pause of 1", "no words with it"}},
        {"nowhere/a", 3, 1, {"HTTP 404", "tries: 1", "no such path"}},
        {"moved/a", 3, 1, {"HTTP 307", "tries: 1", "/moved/a"}},
    };
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cairn_openai_options options = options_for(rows[i].path);
        options.retries = rows[i].retries;
        assert_int_equal(embed(&options, vectors, &err), CAIRN_EMBEDDER);
        assert_int_equal(err.status, CAIRN_EMBEDDER);
        for (size_t n = 0; n < COUNT_OF(rows[i].named); n++) {
            if (strstr(err.message, rows[i].named[n]) == NULL) fail_msg("%s", err.message);
        }
        assert_requests(rows[i].path, rows[i].requests);
    }
    const cairn_openai_options options = options_for("nowhere/b");
    assert_int_equal(embed(&options, vectors, NULL), CAIRN_EMBEDDER);
}

static void time_runs_out_once(void **state)
{
    static const char *const paths[] = {"hang/a", "drip/a"};
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        cairn_openai_options options = options_for(paths[i]);
        options.timeout_ms = 300;
        assert_int_equal(embed(&options, vectors, &err), CAIRN_EMBEDDER);
        assert_non_null(strstr(err.message, "timed out"));
        assert_non_null(strstr(err.message, paths[i]));
        assert_requests(paths[i], 1);
    }
}

/* ---- answers that are none ---- */

static void wrong_answers_are_refused(void **state)
{
    static const struct {
        const char *path, *named;
    } rows[] = {
        {"too_few/a", "6 embeddings, expected 7"},
        {"too_many/a", "8 embeddings, expected 7"},
        {"twice/a", "embedding 0 twice"},
        {"wrong_dim/a", "embedding 6 of the answer has dim 9, expected 8"},
        {"nan/a", "not JSON"},
        {"broken_json/a", "not JSON"},
        {"huge/a", "the answer is larger than"},
    };
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cairn_openai_options options = options_for(rows[i].path);
        assert_int_equal(embed(&options, vectors, &err), CAIRN_EMBEDDER);
        if (strstr(err.message, rows[i].named) == NULL) fail_msg("%s", err.message);
        assert_requests(rows[i].path, 1);
    }
}

/* ---- bad arguments ---- */

static void bad_options_are_refused(void **state)
{
    static char long_name[CAIRN_NAME_MAX + 2];
    const size_t size = sizeof(cairn_openai_options);
    const char *good = "http://127.0.0.1:1/v1/embeddings";

    memset(long_name, 'm', sizeof long_name - 1);
    const struct {
        cairn_openai_options options;
        cairn_status status;
        const char *named;
    } rows[] = {
        {{.size = 0, .url = good, .model = "m"}, CAIRN_INVALID_OPTION, "size is 0"},
        {{.size = size + 8, .url = good, .model = "m"}, CAIRN_INVALID_OPTION, "size is"},
        {{.size = size, .model = "m"}, CAIRN_INVALID_ARGUMENT, "url is missing"},
        {{.size = size, .url = "localhost/v1", .model = "m"}, CAIRN_INVALID_ARGUMENT, "\"localhost/v1\""},
        {{.size = size, .url = "file:///etc/passwd", .model = "m"},
         CAIRN_INVALID_ARGUMENT,
         "file:///etc/passwd"},
        {{.size = size, .url = good}, CAIRN_INVALID_ARGUMENT, "model's name is missing"},
        {{.size = size, .url = good, .model = ""}, CAIRN_INVALID_ARGUMENT, "model's name is missing"},
        {{.size = size, .url = good, .model = "a\nb"}, CAIRN_INVALID_ARGUMENT, "\"a b\""},
        {{.size = size, .url = good, .model = long_name}, CAIRN_INVALID_ARGUMENT, "255 bytes"},
        {{.size = size, .url = good, .model = "\xFF"}, CAIRN_INVALID_UTF8, "not valid UTF-8"},
        {{.size = size, .url = good, .model = "m", .api_key = ""},
         CAIRN_INVALID_ARGUMENT,
         "API key is empty"},
        {{.size = size, .url = good, .model = "m", .api_key = "k\r\nEvil: 1"},
         CAIRN_INVALID_ARGUMENT,
         "API key"},
        {{.size = size, .url = good, .model = "m", .dim = 65537}, CAIRN_INVALID_ARGUMENT, "dim is 65537"},
        {{.size = size, .url = good, .model = "m", .batch = 4097}, CAIRN_INVALID_ARGUMENT, "batch is 4097"},
        {{.size = size, .url = good, .model = "m", .retries = 101}, CAIRN_INVALID_ARGUMENT, "retries is 101"},
    };
    cairn_embedder *embedder;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(cairn_embedder_openai(&rows[i].options, &embedder, &err), rows[i].status);
        if (strstr(err.message, rows[i].named) == NULL) fail_msg("%s", err.message);
        assert_null(strstr(err.message, "Evil"));
        assert_null(embedder);
    }
    assert_int_equal(cairn_embedder_openai(NULL, &embedder, &err), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(cairn_embedder_openai(&rows[0].options, NULL, &err), CAIRN_INVALID_ARGUMENT);
}

static void bad_texts_are_refused_before_anything_is_sent(void **state)
{
    const char *const bad_utf8[] = {"good", "\xFF"}, *const missing[] = {"good", NULL};
    cairn_openai_options options = {
        .size = sizeof options, .url = "http://127.0.0.1:1/", .model = "m", .dim = DIM, .retries = 1};
    cairn_embedder *embedder = make(&options);
    float vectors[2][DIM];
    cairn_error err;

    (void)state;
    assert_int_equal(embedder->embed(embedder->ctx, bad_utf8, 2, vectors[0], &err), CAIRN_INVALID_UTF8);
    assert_non_null(strstr(err.message, "text 1"));
    assert_int_equal(embedder->embed(embedder->ctx, missing, 2, vectors[0], &err), CAIRN_INVALID_ARGUMENT);
    cairn_embedder_free(embedder);
}

static void failing_allocations_are_no_memory(void **state)
{
    cairn_embedder *embedder;
    cairn_status status = CAIRN_NO_MEMORY;
    float vectors[COUNT_OF(texts)][DIM];
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    cairn_openai_options options = options_for("ok/memory");
    options.api_key = "key";
    options.dim = 0;
    for (uint64_t nth = 1; status != CAIRN_OK; nth++) {
        assert_in_range(nth, 1, 200);
        crn_mem_fail_at(nth, false);
        status = cairn_embedder_openai(&options, &embedder, &err);
        crn_mem_fail_at(0, false);
        if (status != CAIRN_OK) assert_int_equal(status, CAIRN_NO_MEMORY);
    }
    status = CAIRN_NO_MEMORY;
    for (uint64_t nth = 1; status != CAIRN_OK; nth++) {
        assert_in_range(nth, 1, 200);
        crn_mem_fail_at(nth, false);
        status = embedder->embed(embedder->ctx, texts, COUNT_OF(texts), vectors[0], &err);
        crn_mem_fail_at(0, false);
        if (status != CAIRN_OK) assert_int_equal(status, CAIRN_NO_MEMORY);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) assert_embeds(texts[i], vectors[i]);
    cairn_embedder_free(embedder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_vectors_in_their_order),
        cmocka_unit_test(texts_go_in_batches),
        cmocka_unit_test(large_texts_close_a_batch_early),
        cmocka_unit_test(no_texts_ask_for_nothing),
        cmocka_unit_test(the_dim_is_asked_once_when_not_told),
        cmocka_unit_test(the_key_is_sent_and_never_shown),
        cmocka_unit_test(passing_failures_are_tried_again),
        cmocka_unit_test(failures_that_stay_are_the_embedders),
        cmocka_unit_test(time_runs_out_once),
        cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_texts_are_refused_before_anything_is_sent),
        cmocka_unit_test(failing_allocations_are_no_memory),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
