/* Settings, keys and who may do what: no socket. */
#include "tests/base/support.h"

#include "server/access.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/http_parser.h"

#include <unistd.h>

static char path[256];

static int make_path(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(path, sizeof path, "%s/cairn-settings-XXXXXX", tmp != NULL ? tmp : "/tmp");
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void later_sources_win(void **state)
{
    struct crn_config config;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_config_init(&config, &err), CAIRN_OK);
    assert_int_equal(config.port, 6333);
    assert_string_equal(config.host, "127.0.0.1");
    assert_true(config.access_log);
    write_file(
        "# a comment\n\n  port = 7000 \nhost=::1\r\nqueue = 5\naccess_log = false\ndata = /a b/c = d\n");
    assert_int_equal(crn_config_read_file(&config, path, &err), CAIRN_OK);
    assert_string_equal(config.data, "/a b/c = d");
    setenv("CAIRN_SERVE_PORT", "7001", 1);
    setenv("CAIRN_SERVE_QUEUE", "6", 1);
    assert_int_equal(crn_config_read_environment(&config, &err), CAIRN_OK);
    unsetenv("CAIRN_SERVE_QUEUE");
    assert_int_equal(crn_config_set(&config, "port", "7002", "--port", &err), CAIRN_OK);
    assert_int_equal(config.port, 7002);
    assert_int_equal(config.queue, 6);
    assert_string_equal(config.host, "::1");
    assert_false(config.access_log);
    setenv("CAIRN_SERVE_PORT", "many", 1);
    assert_int_equal(crn_config_read_environment(&config, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "CAIRN_SERVE_PORT"));
    unsetenv("CAIRN_SERVE_PORT");
    crn_config_release(&config);
}

static void bad_settings_are_named(void **state)
{
    static const struct {
        const char *text, *said;
        cairn_status status;
    } cases[] = {
        {"port = 65536\n", "65536", CAIRN_INVALID_ARGUMENT},
        {"port = -1\n", "-1", CAIRN_INVALID_ARGUMENT},
        {"port = 1x\n", "1x", CAIRN_INVALID_ARGUMENT},
        {"port =\n", "port", CAIRN_INVALID_ARGUMENT},
        {"insecure = yes\n", "yes", CAIRN_INVALID_ARGUMENT},
        {"a\nb\n", "line 1", CAIRN_INVALID_ARGUMENT},
        {"\nprot = 1\n", "prot", CAIRN_INVALID_OPTION},
        {"\nprot = 1\n", "line 2", CAIRN_INVALID_OPTION},
        {"data =\n", "data", CAIRN_INVALID_ARGUMENT},
        {"workers = 99999999999999999999\n", "9999", CAIRN_INVALID_ARGUMENT},
    };
    struct crn_config config;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_config_init(&config, &err), CAIRN_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_file(cases[i].text);
        assert_int_equal(crn_config_read_file(&config, path, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].said));
    }
    assert_int_equal(crn_config_read_file(&config, "/nowhere/x", &err), CAIRN_NO_FILE);
    assert_non_null(strstr(err.message, "/nowhere/x"));
    crn_config_release(&config);
}

static cairn_status check_with(const char *const *pairs, size_t count)
{
    struct crn_config config;
    cairn_error err;

    assert_int_equal(crn_config_init(&config, &err), CAIRN_OK);
    for (size_t i = 0; i < count; i += 2)
        assert_int_equal(crn_config_set(&config, pairs[i], pairs[i + 1], "test", &err), CAIRN_OK);
    const cairn_status status = crn_config_check(&config, &err);
    crn_config_release(&config);
    return status;
}

#define CHECK(...)                                 \
    check_with((const char *const[]){__VA_ARGS__}, \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void settings_must_fit_together(void **state)
{
    (void)state;
    assert_int_equal(CHECK("port", "1"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "host", "localhost"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "host", "127.8.8.8"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "host", "::1"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "host", "0.0.0.0"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d", "host", "::"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d", "host", "10.0.0.1"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d", "host", "::", "insecure", "true"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "host", "::", "keys", "k"), CAIRN_OK);
    assert_int_equal(CHECK("data", "d", "tls_cert", "c"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d", "tls_client_ca", "c"), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(CHECK("data", "d", "cors", "a\r\nx: y"), CAIRN_INVALID_ARGUMENT);
}

/* A request with up to one header, of a path of segments. */
static struct crn_request make_request(const char *path_text, struct crn_text segments[8],
                                       struct crn_field *header)
{
    struct crn_request request = {
        .segments = segments, .headers = header, .header_count = header != NULL ? 1 : 0};

    while (*path_text != '\0') {
        const size_t len = strcspn(path_text, "/");
        segments[request.segment_count++] = (struct crn_text){path_text, len};
        path_text += len + (path_text[len] == '/');
    }
    return request;
}

static bool find(const struct crn_auth *auth, const char *name, const char *value, struct crn_principal *out)
{
    struct crn_field header = {{name, strlen(name)}, {value, strlen(value)}};
    const struct crn_request request = {.headers = &header, .header_count = 1};

    return crn_auth_find(auth, &request, out);
}

static void keys_are_found_by_their_hash(void **state)
{
    char keys[3][CRN_AUTH_KEY_MAX], line[CRN_AUTH_LINE_MAX], text[3 * CRN_AUTH_LINE_MAX + 50] = "# keys\n\n",
                                                                                          value[400];
    static const char *const roles[] = {"read", "write", "admin"};
    struct crn_principal who;
    struct crn_auth *auth;
    cairn_error err;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            crn_auth_new_key(roles[i], roles[i], i == 1 ? "notes,facts" : NULL, keys[i], line, &err),
            CAIRN_OK);
        assert_null(strstr(line, keys[i])); /* the key itself is not kept */
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\n", line);
    }
    write_file(text);
    assert_int_equal(crn_auth_open(path, &auth, &err), CAIRN_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(find(auth, "api-key", keys[i], &who));
        assert_int_equal(who.role, CRN_ROLE_READ + i);
        assert_string_equal(who.name, roles[i]);
        assert_int_equal(who.collection_count, i == 1 ? 2 : 0);
        snprintf(value, sizeof value, "bearer %s", keys[i]);
        assert_true(find(auth, "authorization", value, &who));
        snprintf(value, sizeof value, "Basic %s", keys[i]);
        assert_false(find(auth, "authorization", value, &who));
        keys[i][20] ^= 1;
        assert_false(find(auth, "api-key", keys[i], &who));
    }
    assert_true(find(auth, "api-key", (keys[1][20] ^= 1, keys[1]), &who));
    assert_string_equal(who.collections[1], "facts");
    assert_false(find(auth, "api-key", "", &who));
    assert_false(find(auth, "x-key", keys[1], &who));
    crn_auth_close(auth);
}

static void changed_keys_are_read_again(void **state)
{
    char keys[3][CRN_AUTH_KEY_MAX], lines[3][CRN_AUTH_LINE_MAX], text[3 * CRN_AUTH_LINE_MAX];
    struct crn_principal old, who;
    struct crn_auth *auth;
    const struct crn_log silent = {0};
    cairn_error err;

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *name = i == 0 ? "a" : i == 1 ? "b" : "c";
        assert_int_equal(crn_auth_new_key(name, "write", "notes", keys[i], lines[i], &err), CAIRN_OK);
    }
    snprintf(text, sizeof text, "%s\n%s\n", lines[0], lines[1]);
    write_file(text);
    assert_int_equal(crn_auth_open(path, &auth, &err), CAIRN_OK);
    assert_true(find(auth, "api-key", keys[0], &old));
    snprintf(text, sizeof text, "%s\n%s\n", lines[2], lines[1]);
    write_file(text);
    crn_auth_refresh(auth, true, &silent);
    assert_false(find(auth, "api-key", keys[0], &who));
    assert_true(find(auth, "api-key", keys[1], &who));
    assert_true(find(auth, "api-key", keys[2], &who));
    assert_string_equal(who.name, "c");
    assert_string_equal(old.name, "a"); /* for a request under way */
    assert_string_equal(old.collections[0], "notes");
    write_file("broken\n");
    crn_auth_refresh(auth, true, &silent);
    assert_true(find(auth, "api-key", keys[2], &who));
    unlink(path);
    crn_auth_refresh(auth, true, &silent);
    assert_true(find(auth, "api-key", keys[2], &who));
    crn_auth_refresh(auth, false, &silent);
    crn_auth_close(auth);
}

static void bad_key_files_are_named(void **state)
{
#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    static const char *const bad[] = {
        "\nname\n",         "\nname owner " HASH "\n",    "\nname read 12\n",     "\nname read " HASH "0\n",
        "\nn/a read " HASH, "\nname read " HASH " a b\n", "\nname read " HASH "x"};
    char key[CRN_AUTH_KEY_MAX], line[CRN_AUTH_LINE_MAX];
    struct crn_auth *auth;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        write_file(bad[i]);
        assert_int_equal(crn_auth_open(path, &auth, &err), CAIRN_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "line 2"));
    }
    write_file("# none\n");
    assert_int_equal(crn_auth_open(path, &auth, &err), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_auth_open("/nowhere/keys", &auth, &err), CAIRN_NO_FILE);
    assert_null(auth);
    assert_int_equal(crn_auth_new_key("a b", "read", NULL, key, line, &err), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_auth_new_key("a", "owner", NULL, key, line, &err), CAIRN_INVALID_ARGUMENT);
    assert_int_equal(crn_auth_new_key("a", "read", "x y", key, line, &err), CAIRN_INVALID_ARGUMENT);
}

static void requests_need_roles(void **state)
{
    static const struct {
        enum crn_method method;
        const char *path;
        enum crn_role role;
    } cases[] = {
        {CRN_GET, "collections", CRN_ROLE_READ},
        {CRN_HEAD, "anything/at/all", CRN_ROLE_READ},
        {CRN_POST, "collections/a/points", CRN_ROLE_READ},
        {CRN_POST, "collections/a/points/search", CRN_ROLE_READ},
        {CRN_POST, "collections/a/points/query/batch", CRN_ROLE_READ},
        {CRN_POST, "collections/a/facet", CRN_ROLE_READ},
        {CRN_PUT, "collections/a/points/search", CRN_ROLE_WRITE},
        {CRN_PUT, "collections/a/points", CRN_ROLE_WRITE},
        {CRN_POST, "collections/a/points/delete", CRN_ROLE_WRITE},
        {CRN_POST, "collections/a/other/search", CRN_ROLE_WRITE},
        {CRN_DELETE, "collections/a/index/x", CRN_ROLE_WRITE},
        {CRN_PUT, "collections/a", CRN_ROLE_ADMIN},
        {CRN_DELETE, "collections/a", CRN_ROLE_ADMIN},
        {CRN_POST, "collections/aliases", CRN_ROLE_ADMIN},
        {CRN_POST, "", CRN_ROLE_ADMIN},
        {CRN_POST, "search", CRN_ROLE_ADMIN},
        {CRN_GET, "cairn/v1/slow", CRN_ROLE_READ},
        {CRN_POST, "cairn/v1/backup", CRN_ROLE_ADMIN},
        {CRN_POST, "cairn/v1/collections", CRN_ROLE_ADMIN},
        {CRN_DELETE, "cairn/v1/collections/a", CRN_ROLE_ADMIN},
        {CRN_POST, "cairn/v1/collections/a/optimize", CRN_ROLE_ADMIN},
        {CRN_PUT, "cairn/v1/collections/a/patterns", CRN_ROLE_WRITE},
        {CRN_POST, "cairn/v1/collections/a/patterns/delete", CRN_ROLE_WRITE},
        {CRN_POST, "cairn/v1/collections/a/patterns/scroll", CRN_ROLE_READ},
        {CRN_POST, "cairn/v1/collections/a/search", CRN_ROLE_READ},
        {CRN_POST, "cairn/v1/collections/a/retrieve", CRN_ROLE_READ},
        {CRN_PUT, "cairn/v1/collections/a/search", CRN_ROLE_WRITE},
    };
    const char *const own[] = {"a"};
    struct crn_text segments[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct crn_request request = make_request(cases[i].path, segments, NULL);
        request.method = cases[i].method;
        assert_int_equal(crn_access_needs(&request), cases[i].role);
        for (int role = CRN_ROLE_NONE; role <= CRN_ROLE_ADMIN; role++) {
            request.principal = (struct crn_principal){.role = (enum crn_role)role};
            assert_int_equal(crn_access_allowed(&request), role >= (int)cases[i].role);
        }
    }
    struct crn_request request = make_request("collections/a/points", segments, NULL);
    request.principal =
        (struct crn_principal){.role = CRN_ROLE_ADMIN, .collections = own, .collection_count = 1};
    assert_true(crn_access_allowed(&request));
    request = make_request("collections/ab/points", segments, NULL);
    request.principal =
        (struct crn_principal){.role = CRN_ROLE_ADMIN, .collections = own, .collection_count = 1};
    assert_false(crn_access_allowed(&request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_sources_win),           cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(settings_must_fit_together),  cmocka_unit_test(keys_are_found_by_their_hash),
        cmocka_unit_test(changed_keys_are_read_again), cmocka_unit_test(bad_key_files_are_named),
        cmocka_unit_test(requests_need_roles),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
