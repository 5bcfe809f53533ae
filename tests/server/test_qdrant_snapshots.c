/* Snapshots: made, listed, downloaded, recovered from and deleted; and that no name leads out of their folder. */
#include "tests/server/qdrant_fixture.h"

#include "server/sha256.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define POINTS "/collections/a/points"

static char folder[400];
static atomic_bool stop;

static int snapshots_open(void **state)
{
    world_open(state);
    struct world *w = *state;
    crn_qdrant_close(w->qdrant);
    snprintf(folder, sizeof folder, "%.300s/snapshots", w->database.folder);
    ok(crn_qdrant_open(w->database.db, &(struct crn_qdrant_options){.snapshots = folder}, &w->qdrant, err));
    return 0;
}

static void fill(struct world *w)
{
    done(
        w, CRN_PUT, "/collections/a",
        "{\"vectors\":{\"x\":{\"size\":2,\"distance\":\"Cosine\"}},\"sparse_vectors\":{\"s\":{}},\"metadata\":{\"k\":1}}");
    done(w, CRN_PUT, "/collections/secret", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}");
    done(w, CRN_PUT, "/collections/secret/points",
         "{\"points\":[{\"id\":9,\"vector\":[1],\"payload\":{\"secret\":\"donottell\"}}]}");
    done(w, CRN_PUT, "/collections/a/index", "{\"field_name\":\"n\",\"field_schema\":\"integer\"}");
    done(
        w, CRN_PUT, POINTS,
        "{\"points\":[{\"id\":1,\"vector\":{\"x\":[3,4],\"s\":{\"indices\":[5],\"values\":[1]}},\"payload\":{\"n\":1}},"
        "{\"id\":\"00000000-0000-0000-0000-000000000002\",\"vector\":{\"x\":[0,1]},\"payload\":{\"n\":2}},{\"id\":3,\"vector\":{},\"payload\":{\"n\":3}}]}");
}

/* The name in a description. */
static const char *name_in(const char *answer)
{
    static char name[200];
    const char *at = strstr(answer, "\"name\":\"");

    assert_non_null(at);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 8, "\""), at + 8);
    return name;
}

/* Asks for a file and takes it out of the answer. */
static size_t fetch(struct world *w, const char *path, char *out, size_t room)
{
    ask(w, CRN_GET, path, NULL);
    assert_int_equal(w->answer.status, 200);
    assert_true(w->answer.has_file);
    assert_string_equal(w->answer.content_type, "application/octet-stream");
    w->answer.has_file = false;
    const ssize_t got = read(w->answer.file, out, room);
    assert_int_equal(got, w->answer.file_bytes);
    close(w->answer.file);
    return (size_t)got;
}

static size_t entries_of(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(directory);
    return count;
}

static void expect_a(struct world *w, const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "/collections/%s", name);
    result_holds(w, CRN_GET, path, NULL, "\"x\":{\"size\":2,\"distance\":\"Cosine\"}");
    result_holds(w, CRN_GET, path, NULL,
                 "\"payload_schema\":{\"n\":{\"data_type\":\"integer\",\"points\":3}}");
    result_holds(w, CRN_GET, path, NULL, "\"metadata\":{\"k\":1}");
    snprintf(path, sizeof path, "/collections/%s/points/scroll", name);
    result_holds(
        w, CRN_POST, path, "{\"with_vector\":true}",
        "{\"id\":1,\"payload\":{\"n\":1},\"vector\":{\"x\":[0.6,0.8],\"s\":{\"indices\":[5],\"values\":[1.0]}}}");
    snprintf(path, sizeof path, "/collections/%s/points/query", name);
    ids_are(w, CRN_POST, path, "{\"query\":[0,1],\"using\":\"x\"}",
            "\"00000000-0000-0000-0000-000000000002\" 1");
}

static void test_of_a_collection(void **state)
{
    struct world *w = *state;
    char path[300], body[600], *bytes = malloc(4u << 20);

    fill(w);
    result_is(w, CRN_GET, "/collections/a/snapshots", NULL, "[]");
    const char *answer = ask(w, CRN_POST, "/collections/a/snapshots", NULL);
    assert_int_equal(w->answer.status, 200);
    char *name = strdup(name_in(answer));
    assert_non_null(strstr(answer, "\"creation_time\":\"20"));
    result_holds(w, CRN_GET, "/collections/a/snapshots", NULL, name);
    result_is(w, CRN_GET, "/collections/secret/snapshots", NULL, "[]");
    snprintf(path, sizeof path, "/collections/a/snapshots/%s", name);
    const size_t size = fetch(w, path, bytes, 4u << 20);
    assert_true(size > 8192);
    assert_null(memmem(bytes, size, "donottell", 9)); /* nothing of other collections */

    done(w, CRN_POST, POINTS "/delete", "{\"points\":[1,3]}");
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":77,\"vector\":{}}]}");
    snprintf(body, sizeof body, "{\"location\":\"file:///%s\"}", name);
    result_is(w, CRN_PUT, "/collections/a/snapshots/recover", body, "true");
    expect_a(w, "a");
    result_holds(w, CRN_POST, POINTS "/count", "{}", "\"count\":3");
    /* Under another name, by the URL of this server. */
    snprintf(body, sizeof body, "{\"location\":\"http://here:1/collections/a/snapshots/%s\"}", name);
    error_is(
        w, CRN_PUT, "/collections/b/snapshots/recover", body, 400,
        "Wrong input: location: only snapshots that this server keeps are recovered, by their name or URL; others have to be uploaded");
    done(w, CRN_DELETE, "/collections/a", NULL);
    snprintf(body, sizeof body, "{\"location\":\"%s\"}", name);
    result_is(w, CRN_PUT, "/collections/a/snapshots/recover", body, "true");
    expect_a(w, "a");
    snprintf(body, sizeof body, "{\"location\":\"%s\",\"checksum\":\"12\"}", name);
    assert_non_null(strstr(ask(w, CRN_PUT, "/collections/a/snapshots/recover", body),
                           "Wrong input: Snapshot checksum mismatch: expected 12, got "));
    assert_int_equal(w->answer.status, 400);

    snprintf(path, sizeof path, "/collections/a/snapshots/%s", name);
    result_is(w, CRN_DELETE, path, NULL, "true");
    ask(w, CRN_DELETE, path, NULL);
    assert_int_equal(w->answer.status, 404);
    result_is(w, CRN_GET, "/collections/a/snapshots", NULL, "[]");
    assert_int_equal(entries_of(folder), 2); /* of a and, as it was asked for, of secret */
    free(name);
    free(bytes);
}

static void test_of_everything(void **state)
{
    struct world *w = *state;
    char path[300];
    const struct crn_request of_one = {.principal = {.role = CRN_ROLE_ADMIN,
                                                     .name = "k",
                                                     .collections = (const char *[]){"a"},
                                                     .collection_count = 1}};
    char *bytes = malloc(4u << 20);

    fill(w);
    result_is(w, CRN_GET, "/snapshots", NULL, "[]");
    char *name = strdup(name_in(ask(w, CRN_POST, "/snapshots", NULL)));
    assert_int_equal(w->answer.status, 200);
    result_holds(w, CRN_GET, "/snapshots", NULL, name);
    snprintf(path, sizeof path, "/snapshots/%s", name);
    const size_t size = fetch(w, path, bytes, 4u << 20);
    assert_non_null(memmem(bytes, size, "donottell", 9));
    static const char *const asked[] = {"/snapshots", NULL};
    for (size_t i = 0; i < 2; i++) {
        ask_like(w, &of_one, CRN_GET, asked[i] == NULL ? path : asked[i], NULL);
        assert_int_equal(w->answer.status, 403);
        ask_like(w, &of_one, i == 0 ? CRN_POST : CRN_DELETE, asked[i] == NULL ? path : asked[i], NULL);
        assert_int_equal(w->answer.status, 403);
    }
    ask_as(w, CRN_ROLE_WRITE, CRN_POST, "/snapshots", NULL);
    assert_int_equal(w->answer.status, 403);
    result_is(w, CRN_DELETE, path, NULL, "true");
    result_is(w, CRN_GET, "/snapshots", NULL, "[]");
    free(name);
    free(bytes);
}

static const char *upload(struct world *w, const char *type, const char *body, size_t length)
{
    struct crn_text segments[SEGMENTS_MAX];
    struct crn_request request = request_of(CRN_POST, "/collections/up/snapshots/upload", segments);
    const struct crn_field header = {{"content-type", 12}, {type, strlen(type)}};

    request.headers = &header;
    request.header_count = 1;
    request.body = (struct crn_text){body, length};
    crn_buf_clear(&w->answer.body);
    w->answer.status = 200;
    crn_qdrant_handle(w->qdrant, &request, &w->answer);
    return w->answer.body.data;
}

static void test_uploads(void **state)
{
    struct world *w = *state;
    char path[300], *bytes = malloc(4u << 20), *body = malloc((4u << 20) + 500);
    static const char type[] = "multipart/form-data; boundary=\"x y\"",
                      head[] = "--x y\r\nContent-Disposition: form-data; name=\"snapshot\"\r\n\r\n";
    static const char tail[] = "\r\n--x y--\r\n";

    fill(w);
    snprintf(path, sizeof path, "/collections/a/snapshots/%s",
             name_in(ask(w, CRN_POST, "/collections/a/snapshots", NULL)));
    const size_t size = fetch(w, path, bytes, 4u << 20), head_size = sizeof head - 1;
    memcpy(body, head, head_size);
    memcpy(body + head_size, bytes, size);
    memcpy(body + head_size + size, tail, sizeof tail - 1);
    const size_t whole = head_size + size + sizeof tail - 1;
    done(w, CRN_POST, "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"a\",\"alias_name\":\"up\"}}]}");
    assert_non_null(strstr(upload(w, type, body, whole), "Wrong input: Alias `up` already exists!"));
    assert_int_equal(w->answer.status, 409);
    done(w, CRN_POST, "/collections/aliases", "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"up\"}}]}");
    assert_non_null(strstr(upload(w, type, body, whole), "\"result\":true"));
    expect_a(w, "up");
    assert_non_null(strstr(upload(w, "application/json", body, whole), "multipart/form-data"));
    assert_int_equal(w->answer.status, 400);
    assert_non_null(strstr(upload(w, type, body, whole - sizeof tail + 1), "is not whole"));
    for (size_t at = size / 3; at < size; at += 64) body[head_size + at] ^= 0x55; /* damaged */
    upload(w, type, body, whole);
    assert_true(w->answer.status == 400 || w->answer.status == 500);
    memcpy(body + head_size, "no database at all, none at all", 31);
    upload(w, type, body, whole);
    assert_int_equal(w->answer.status, 400);
    expect_a(w, "up"); /* as it was: what is damaged replaces nothing */
    free(bytes);
    free(body);
}

/* A snapshot of a, which then is changed; the snapshot's name is returned. */
static char *make_older_snapshot(struct world *w)
{
    char *name = strdup(name_in(ask(w, CRN_POST, "/collections/a/snapshots", NULL)));

    assert_int_equal(w->answer.status, 200);
    done(w, CRN_PUT, POINTS, "{\"points\":[{\"id\":77,\"vector\":{}},{\"id\":78,\"vector\":{}}]}");
    return name;
}

static atomic_int patience; /* how often a client is still there when it is looked */

static bool has_left(void *ctx)
{
    (void)ctx;
    return atomic_fetch_sub(&patience, 1) <= 0;
}

/* Nobody sees what is half recovered, and what is there stays until all of the other is. */
static void test_recover_is_all_or_nothing(void **state)
{
    struct world *w = *state;
    const struct crn_request leaving = {.principal = {.role = CRN_ROLE_ADMIN, .name = ""},
                                        .cancelled = has_left};
    char body[300], **names;
    size_t count;
    int left = 0;

    fill(w);
    char *name = make_older_snapshot(w);
    snprintf(body, sizeof body, "{\"location\":\"%s\"}", name);
    for (;; left++) {
        atomic_store(&patience, left);
        ask_like(w, &leaving, CRN_PUT, "/collections/a/snapshots/recover", body);
        if (w->answer.status == 200) break;
        assert_int_equal(w->answer.status, 408);
        assert_true(left < 20);
        result_holds(w, CRN_POST, POINTS "/count", "{}", "\"count\":5");
        ok(cairn_collection_list(w->database.db, &names, &count, err));
        assert_int_equal(count, 2);
        cairn_free(names);
    }
    assert_true(left > 0);
    expect_a(w, "a");
    free(name);
}

/* What a crash leaves: a collection aside and half a snapshot. The next start removes both, the next recover the first. */
static void test_what_a_crash_left(void **state)
{
    struct world *w = *state;
    char aside[200], path[500], hash[CRN_SHA256_TEXT], **names;
    size_t count;

    fill(w);
    char *name = make_older_snapshot(w);
    assert_true(crn_sha256_text("a", 1, hash));
    snprintf(aside, sizeof aside, ".cairn-aside-%s", hash);
    for (int restart = 0; restart < 2; restart++) {
        ok(cairn_collection_create(w->database.db, aside, CAIRN_OPTIONS(cairn_collection_options, .dim = 7),
                                   err));
        result_is(w, CRN_GET, "/collections", NULL,
                  "{\"collections\":[{\"name\":\"a\"},{\"name\":\"secret\"}]}");
        snprintf(path, sizeof path, "/collections/%s", aside);
        ask(w, CRN_GET, path, NULL);
        assert_int_equal(w->answer.status, 403);
        ask(w, CRN_PUT, path, "{}");
        assert_int_equal(w->answer.status, 403);
        if (restart == 1) {
            assert_true(crn_sha256_text("a", 1, hash));
            snprintf(path, sizeof path, "%s/c-%s/.part-0123456789ab", folder, hash);
            FILE *part = fopen(path, "w");
            assert_non_null(part);
            fclose(part);
            crn_qdrant_close(w->qdrant);
            ok(crn_qdrant_open(w->database.db, &(struct crn_qdrant_options){.snapshots = folder}, &w->qdrant,
                               err));
            assert_int_not_equal(access(path, F_OK), 0);
        } else {
            snprintf(path, sizeof path, "{\"location\":\"%s\"}", name);
            result_is(w, CRN_PUT, "/collections/a/snapshots/recover", path, "true");
        }
        ok(cairn_collection_list(w->database.db, &names, &count, err));
        assert_int_equal(count, 2);
        cairn_free(names);
        expect_a(w, "a");
    }
    free(name);
}

/* A reader finds one or the other, always. */
static void *count_on(void *ctx)
{
    struct world own = {.qdrant = ((const struct world *)ctx)->qdrant};

    crn_buf_init(&own.answer.body, SIZE_MAX / 2);
    while (!atomic_load(&stop)) {
        const char *answer = ask(&own, CRN_POST, POINTS "/count", "{}");
        if (own.answer.status != 200) fail_msg("%s", answer);
        if (strstr(answer, "\"count\":3") == NULL && strstr(answer, "\"count\":5") == NULL)
            fail_msg("%s", answer);
    }
    crn_buf_release(&own.answer.body);
    return NULL;
}

static void test_recover_under_readers(void **state)
{
    struct world *w = *state;
    char older[300], newer[300];
    pthread_t threads[2];

    fill(w);
    char *name = make_older_snapshot(w);
    snprintf(older, sizeof older, "{\"location\":\"%s\"}", name);
    free(name);
    snprintf(newer, sizeof newer, "{\"location\":\"%s\"}",
             name_in(ask(w, CRN_POST, "/collections/a/snapshots", NULL)));
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_on, w), 0);
    for (int i = 0; i < 30; i++)
        result_is(w, CRN_PUT, "/collections/a/snapshots/recover", i % 2 == 0 ? older : newer, "true");
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void test_names_lead_nowhere(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"memory.cairn",     ".snapshot",      "..snapshot",
                                        ".part-1.snapshot", "a%2Fb.snapshot", "x.snapshot.",
                                        "nothing.snapshot"};
    static const char *const locations[] = {"../../memory.cairn",
                                            "/etc/passwd",
                                            "file:///etc/passwd",
                                            "file:///../x.snapshot",
                                            "http://host/collections/a/snapshots/x.snapshot",
                                            "x/../y.snapshot"};
    char path[300], body[300];

    fill(w);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "/collections/a/snapshots/%s", names[i]);
        ask(w, CRN_GET, path, NULL);
        assert_int_equal(w->answer.status, 404);
        ask(w, CRN_DELETE, path, NULL);
        assert_int_equal(w->answer.status, 404);
    }
    for (size_t i = 0; i < sizeof locations / sizeof locations[0]; i++) {
        snprintf(body, sizeof body, "{\"location\":\"%s\"}", locations[i]);
        ask(w, CRN_PUT, "/collections/a/snapshots/recover", body);
        assert_int_equal(w->answer.status, 400);
    }
    error_is(w, CRN_PUT, "/collections/a/snapshots/recover", "{\"location\":\"nothing.snapshot\"}", 404,
             "Not found: Snapshot nothing.snapshot not found");
    error_is(w, CRN_PUT, "/collections/a/snapshots/recover", "{}", 400,
             "Format error in JSON body: missing field `location`");
    error_is(w, CRN_POST, "/collections/z/snapshots", NULL, 404, "Not found: Collection `z` doesn't exist!");
    ask_as(w, CRN_ROLE_WRITE, CRN_PUT, "/collections/a/snapshots/recover",
           "{\"location\":\"nothing.snapshot\"}");
    assert_int_equal(w->answer.status, 403);
    ask_as(w, CRN_ROLE_READ, CRN_POST, "/collections/a/snapshots", NULL);
    assert_int_equal(w->answer.status, 403);
}

static void test_without_a_folder(void **state)
{
    struct world *w = *state;

    world_reopen(w);
    error_is(w, CRN_POST, "/snapshots", NULL, 501, "Not implemented: the server has no folder for snapshots");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, snapshots_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(test_of_a_collection),    TEST(test_of_everything),         TEST(test_uploads),
        TEST(test_names_lead_nowhere), TEST(test_without_a_folder),      TEST(test_recover_is_all_or_nothing),
        TEST(test_what_a_crash_left),  TEST(test_recover_under_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
