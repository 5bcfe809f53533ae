/* Who may ask for what, and when long work stops: roles, keys of single collections, deadlines, answers without room. */
#include "server/access.h"
#include "tests/server/qdrant_fixture.h"

#define DENSE "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}"
#define A "/collections/a"
#define POINTS A "/points"

static void make(struct world *w)
{
    done(w, CRN_PUT, "/collections/a", DENSE);
    done(w, CRN_PUT, "/collections/b", DENSE);
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"n\":1}},{\"id\":2,\"vector\":[0,1],\"payload\":{\"n\":2}}]}");
    done(w, CRN_PUT, "/collections/b/points",
         "{\"points\":[{\"id\":1,\"vector\":[0,1],\"payload\":{\"secret\":7}}]}");
    done(w, CRN_POST, "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"a\",\"alias_name\":\"live\"}},"
         "{\"create_alias\":{\"collection_name\":\"b\",\"alias_name\":\"other\"}}]}");
}

/* ---- roles ---- */

#define R CRN_ROLE_READ
#define W CRN_ROLE_WRITE
#define M CRN_ROLE_ADMIN
static const struct {
    enum crn_method method;
    const char *path;
    enum crn_role role;
} endpoints[] = {
    {CRN_GET, "/collections", R},
    {CRN_GET, "/aliases", R},
    {CRN_GET, "/telemetry", R},
    {CRN_POST, "/collections/aliases", M},
    {CRN_PUT, A, M},
    {CRN_GET, A, R},
    {CRN_HEAD, A, R},
    {CRN_DELETE, "/collections/gone", M},
    {CRN_PATCH, A, M},
    {CRN_GET, A "/exists", R},
    {CRN_GET, A "/aliases", R},
    {CRN_PUT, A "/index", W},
    {CRN_DELETE, A "/index/n", W},
    {CRN_PUT, A "/vectors/more", W},
    {CRN_DELETE, A "/vectors/more", W},
    {CRN_GET, A "/snapshots", R},
    {CRN_POST, A "/snapshots", W},
    {CRN_PUT, A "/snapshots/recover", M},
    {CRN_POST, A "/snapshots/upload", M},
    {CRN_GET, A "/snapshots/x", R},
    {CRN_DELETE, A "/snapshots/x", W},
    {CRN_GET, "/snapshots", R},
    {CRN_POST, "/snapshots", M},
    {CRN_GET, "/snapshots/x", R},
    {CRN_DELETE, "/snapshots/x", M},
    {CRN_PUT, POINTS, W},
    {CRN_POST, POINTS, R},
    {CRN_GET, POINTS "/1", R},
    {CRN_POST, POINTS "/delete", W},
    {CRN_POST, POINTS "/count", R},
    {CRN_POST, POINTS "/scroll", R},
    {CRN_POST, POINTS "/payload", W},
    {CRN_PUT, POINTS "/payload", W},
    {CRN_POST, POINTS "/payload/delete", W},
    {CRN_POST, POINTS "/payload/clear", W},
    {CRN_PUT, POINTS "/vectors", W},
    {CRN_POST, POINTS "/vectors/delete", W},
    {CRN_POST, POINTS "/batch", W},
    {CRN_POST, POINTS "/query", R},
    {CRN_POST, POINTS "/query/batch", R},
    {CRN_POST, POINTS "/query/groups", R},
    {CRN_POST, POINTS "/search", R},
    {CRN_POST, POINTS "/search/batch", R},
    {CRN_POST, POINTS "/search/groups", R},
    {CRN_POST, POINTS "/search/matrix/pairs", R},
    {CRN_POST, POINTS "/search/matrix/offsets", R},
    {CRN_POST, POINTS "/recommend", R},
    {CRN_POST, POINTS "/recommend/batch", R},
    {CRN_POST, POINTS "/recommend/groups", R},
    {CRN_POST, POINTS "/discover", R},
    {CRN_POST, POINTS "/discover/batch", R},
    {CRN_POST, A "/facet", R},
};
#undef R
#undef W
#undef M

static void test_each_endpoint_needs_its_role(void **state)
{
    struct world *w = *state;
    struct crn_text segments[SEGMENTS_MAX];

    make(w);
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        const struct crn_request request = request_of(endpoints[i].method, endpoints[i].path, segments);
        if (crn_access_needs(&request) != endpoints[i].role)
            fail_msg("%s: the server wants role %d", endpoints[i].path, crn_access_needs(&request));
        ask_as(w, endpoints[i].role - 1, endpoints[i].method, endpoints[i].path, "{}");
        if (w->answer.status != 403)
            fail_msg("%s: %u with the role below", endpoints[i].path, w->answer.status);
        ask_as(w, endpoints[i].role, endpoints[i].method, endpoints[i].path, "{}");
        if (w->answer.status == 403 || w->answer.status == 405 || w->answer.content_type != NULL) {
            fail_msg("%s: %u %s", endpoints[i].path, w->answer.status, w->answer.body.data);
        }
    }
}

/* ---- keys of single collections ---- */

static const char *const covered[] = {"a", "other", "new"};
static const struct crn_request key = {.principal = {CRN_ROLE_ADMIN, "key", covered, 3}};

static void forbidden(struct world *w, enum crn_method method, const char *path, const char *body)
{
    const char *answer = ask_like(w, &key, method, path, body);

    if (w->answer.status != 403 || w->answer.content_type == NULL)
        fail_msg("%s %s: %u %s", path, body, w->answer.status, answer);
}

static void test_a_key_reads_its_collections_alone(void **state)
{
    struct world *w = *state;

    make(w);
    ask_like(w, &key, CRN_POST, POINTS "/query", "{\"query\":1}");
    assert_int_equal(w->answer.status, 200);
    forbidden(w, CRN_POST, "/collections/b/points/count", "{}");
    forbidden(w, CRN_POST, "/collections/live/points/count", "{}");  /* the alias is not its own */
    forbidden(w, CRN_POST, "/collections/other/points/count", "{}"); /* what is behind it is not */
    forbidden(w, CRN_GET, "/collections/other/exists", NULL);
    forbidden(w, CRN_POST, POINTS "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"b\"}}");
    forbidden(w, CRN_POST, POINTS "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"other\"}}");
    forbidden(w, CRN_POST, POINTS "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"nowhere\"}}");
    forbidden(
        w, CRN_POST, POINTS "/query",
        "{\"prefetch\":{\"prefetch\":[{\"query\":1,\"lookup_from\":{\"collection\":\"b\"}}],\"query\":[1,0]},\"query\":[1,0]}");
    forbidden(w, CRN_POST, POINTS "/query/batch",
              "{\"searches\":[{\"query\":1},{\"query\":1,\"lookup_from\":{\"collection\":\"b\"}}]}");
    forbidden(w, CRN_POST, POINTS "/recommend", "{\"positive\":[1],\"lookup_from\":{\"collection\":\"b\"}}");
    forbidden(w, CRN_POST, POINTS "/query/groups",
              "{\"query\":[1,0],\"group_by\":\"n\",\"with_lookup\":\"b\"}");
    forbidden(w, CRN_POST, POINTS "/query/groups",
              "{\"query\":[1,0],\"group_by\":\"n\",\"with_lookup\":{\"collection\":\"other\"}}");
}

static void test_a_key_sees_and_changes_its_aliases_alone(void **state)
{
    struct world *w = *state;
    struct crn_text segments[SEGMENTS_MAX];
    struct crn_request request = request_of(CRN_POST, "/collections/aliases", segments);

    make(w);
    request.principal = key.principal;
    assert_true(crn_access_allowed(&request)); /* the body names the collections */
    request.method = CRN_GET;
    assert_false(crn_access_allowed(&request)); /* a collection of that name */
    assert_non_null(strstr(ask_like(w, &key, CRN_GET, "/aliases", NULL), "\"aliases\":[]"));
    assert_non_null(strstr(ask_like(w, &key, CRN_GET, A "/aliases", NULL), "\"aliases\":[]"));
    assert_non_null(strstr(ask_like(w, &key, CRN_GET, "/collections", NULL), "[{\"name\":\"a\"}]"));
    assert_non_null(strstr(ask_like(w, &key, CRN_GET, "/telemetry", NULL), "\"number_of_collections\":1}"));
#define CREATE(collection, alias) \
    "{\"actions\":[{\"create_alias\":{\"collection_name\":\"" collection "\",\"alias_name\":\"" alias "\"}}]}"
#define RENAME(old, new) \
    "{\"actions\":[{\"rename_alias\":{\"old_alias_name\":\"" old "\",\"new_alias_name\":\"" new "\"}}]}"
    forbidden(w, CRN_POST, "/collections/aliases", CREATE("b", "new"));
    forbidden(w, CRN_POST, "/collections/aliases", CREATE("a", "mine"));
    forbidden(w, CRN_POST, "/collections/aliases", CREATE("a", "other")); /* it is b's */
    forbidden(w, CRN_POST, "/collections/aliases",
              "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"other\"}}]}");
    forbidden(w, CRN_POST, "/collections/aliases",
              "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"live\"}}]}");
    forbidden(w, CRN_POST, "/collections/aliases", RENAME("live", "new"));
    ask_like(w, &key, CRN_POST, "/collections/aliases", CREATE("a", "new"));
    assert_int_equal(w->answer.status, 200);
    assert_non_null(
        strstr(ask_like(w, &key, CRN_POST, "/collections/new/points/count", "{}"), "\"count\":2"));
    forbidden(w, CRN_POST, "/collections/aliases", RENAME("new", "mine"));
}

static void test_a_batch_names_a_collection_often(void **state)
{
    struct world *w = *state;
    struct crn_buf body;

    make(w);
    crn_buf_init(&body, 1u << 16);
    crn_buf_puts(&body, "{\"searches\":[");
    for (int i = 0; i < 40; i++)
        crn_buf_printf(&body, "%s{\"query\":1,\"lookup_from\":{\"collection\":\"other\"}}", i > 0 ? "," : "");
    crn_buf_puts(&body, "]}");
    done(w, CRN_POST, POINTS "/query/batch", body.data);
    crn_buf_release(&body);
}

static void test_a_405_tells_the_methods(void **state)
{
    struct world *w = *state;

    ask(w, CRN_PUT, POINTS "/count", "{}");
    assert_int_equal(w->answer.status, 405);
    assert_int_equal(w->answer.header_count, 1);
    assert_string_equal(w->answer.headers[0].name, "allow");
    assert_string_equal(w->answer.headers[0].value, "POST, GET, HEAD"); /* GET reads a point */
    ask(w, CRN_POST, A, "{}");
    assert_string_equal(w->answer.headers[0].value, "PUT, GET, HEAD, DELETE, PATCH");
}

/* ---- the end of long work ---- */

static bool gone(void *ctx)
{
    (void)ctx;
    return true;
}

static void test_work_that_nobody_waits_for_stops(void **state)
{
    static const struct {
        const char *path, *body;
    } asked[] = {
        {POINTS "/scroll", "{}"},
        {POINTS "/scroll", "{\"order_by\":\"n\"}"},
        {A "/facet", "{\"key\":\"n\"}"},
        {POINTS "/query", "{}"},
        {POINTS "/query", "{\"query\":[1,0]}"},
        {POINTS "/query", "{\"query\":{\"sample\":\"random\"}}"},
        {POINTS "/query", "{\"query\":{\"recommend\":{\"positive\":[1],\"strategy\":\"best_score\"}}}"},
        {POINTS "/query/batch", "{\"searches\":[{\"query\":[1,0]}]}"},
        {POINTS "/query/groups", "{\"query\":[1,0],\"group_by\":\"n\"}"},
        {POINTS "/search", "{\"vector\":[1,0],\"limit\":1}"},
    };
    const struct crn_request left = {.principal = key.principal, .cancelled = gone};
    const struct crn_request late = {.principal = key.principal, .deadline_ns = 1};
    struct world *w = *state;

    make(w);
    done(w, CRN_PUT, A "/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        done(w, CRN_POST, asked[i].path, asked[i].body);
        ask_like(w, &left, CRN_POST, asked[i].path, asked[i].body);
        if (w->answer.status != 408)
            fail_msg("%s %s: %u though the client has left", asked[i].path, asked[i].body, w->answer.status);
        ask_like(w, &late, CRN_POST, asked[i].path, asked[i].body);
        if (w->answer.status != 408)
            fail_msg("%s %s: %u after the deadline", asked[i].path, asked[i].body, w->answer.status);
    }
    done(w, CRN_POST, POINTS "/query?timeout=60", "{\"query\":[1,0]}");
    error_is(w, CRN_POST, POINTS "/query?timeout=0", "{}", 400,
             "Wrong input: timeout wants a number of seconds from 1 to 1000000");
    error_is(w, CRN_POST, POINTS "/query?timeout=-1", "{}", 400,
             "Wrong input: timeout wants a number of seconds from 1 to 1000000");
}

static void put_many(struct world *w, uint64_t count)
{
    struct crn_buf body;

    crn_buf_init(&body, 1u << 24);
    crn_buf_puts(&body, "{\"points\":[");
    for (uint64_t i = 0; i < count; i++) {
        crn_buf_printf(&body, "%s{\"id\":%llu,\"vector\":[1,%llu],\"payload\":{\"n\":%llu}}",
                       i > 0 ? "," : "", (unsigned long long)(i * 7919 % count), (unsigned long long)i,
                       (unsigned long long)i);
    }
    crn_buf_puts(&body, "]}");
    done(w, CRN_PUT, POINTS, body.data);
    crn_buf_release(&body);
}

static void test_an_answer_without_room_is_an_error(void **state)
{
    struct world *w = *state;

    make(w);
    put_many(w, 2500);
    crn_buf_release(&w->answer.body);
    crn_buf_init(&w->answer.body, 20000);
    error_is(w, CRN_POST, POINTS "/scroll", "{\"limit\":2500}", 500,
             "Service internal error: the answer is too long or memory ran out");
    error_is(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":2500}", 500,
             "Service internal error: the answer is too long or memory ran out");
    crn_buf_release(&w->answer.body);
    crn_buf_init(&w->answer.body, SIZE_MAX / 2);
}

/* ---- many points ---- */

static size_t count_text(const char *text, const char *piece)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, piece)) != NULL; at++) count++;
    return count;
}

static void test_scrolls_and_groups_larger_than_a_page(void **state)
{
    struct world *w = *state;

    make(w);
    put_many(w, 2500);
    const char *answer =
        ask(w, CRN_POST, POINTS "/scroll", "{\"limit\":2200,\"offset\":100,\"with_payload\":false}");
    assert_int_equal(count_text(answer, "{\"id\":"), 2200);
    assert_non_null(strstr(answer, "{\"points\":[{\"id\":100},{\"id\":101},"));
    assert_non_null(strstr(answer, "{\"id\":1124},{\"id\":1125},{\"id\":1126}"));
    assert_non_null(strstr(answer, "{\"id\":2299}],\"next_page_offset\":2300}"));
    answer = ask(w, CRN_POST, POINTS "/scroll", "{\"limit\":18446744073709551615,\"with_payload\":false}");
    assert_int_equal(count_text(answer, "{\"id\":"), 2500);
    assert_non_null(strstr(answer, "{\"id\":2499}],\"next_page_offset\":null}"));
    answer = ask(w, CRN_POST, POINTS "/query", "{\"query\":[1,0],\"limit\":2000,\"with_payload\":true}");
    assert_int_equal(count_text(answer, "\"payload\":{\"n\":"), 2000);
    /* As many groups of as many hits as may be asked for: memory is taken for those there are. */
    answer = ask(w, CRN_POST, POINTS "/query/groups",
                 "{\"query\":[1,0],\"group_by\":\"n\",\"limit\":100000,\"group_size\":100000}");
    assert_int_equal(w->answer.status, 200);
    assert_int_equal(count_text(answer, "\"hits\":["), 2500);
}

static void test_rows_with_text_ids_are_no_points(void **state)
{
    struct world *w = *state;
    const float vector[] = {1, 1};
    cairn_collection *collection;
    cairn_patterns *read;

    make(w);
    ok(cairn_collection_open(w->database.db, "a", NULL, &collection, err));
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "text%d", i);
        ok(cairn_upsert(collection,
                        CAIRN_OPTIONS(cairn_pattern, .id = id, .vector = vector, .payload = "{\"n\":9}"), 1,
                        err));
    }
    done(w, CRN_PUT, POINTS,
         "{\"points\":[{\"id\":\"00000000-0000-0000-0000-000000000007\",\"vector\":[1,0]}]}");
    result_is(
        w, CRN_POST, POINTS "/scroll", "{\"limit\":2,\"with_payload\":false}",
        "{\"points\":[{\"id\":1},{\"id\":2}],\"next_page_offset\":\"00000000-0000-0000-0000-000000000007\"}");
    result_is(
        w, CRN_POST, POINTS "/scroll", "{\"limit\":3,\"with_payload\":false}",
        "{\"points\":[{\"id\":1},{\"id\":2},{\"id\":\"00000000-0000-0000-0000-000000000007\"}],\"next_page_offset\":null}");
    ids_are(w, CRN_POST, POINTS "/query", "{\"limit\":9}", "1 2 \"00000000-0000-0000-0000-000000000007\"");
    done(w, CRN_POST, POINTS "/payload",
         "{\"payload\":{\"n\":3},\"filter\":{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":1}}]}}");
    ok(cairn_get(collection, &(cairn_id){.type = CAIRN_ID_STRING, .text = "text0"}, 1, false, &read, err));
    assert_string_equal(cairn_patterns_at(read, 0)->payload, "{\"n\":9}");
    cairn_patterns_free(read);
    cairn_collection_close(collection);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_each_endpoint_needs_its_role),
        TEST(test_a_key_reads_its_collections_alone),
        TEST(test_a_key_sees_and_changes_its_aliases_alone),
        TEST(test_a_batch_names_a_collection_often),
        TEST(test_a_405_tells_the_methods),
        TEST(test_work_that_nobody_waits_for_stops),
        TEST(test_an_answer_without_room_is_an_error),
        TEST(test_scrolls_and_groups_larger_than_a_page),
        TEST(test_rows_with_text_ids_are_no_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
