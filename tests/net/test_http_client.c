/* The HTTP client against the stand-in server: answers, limits, errors, and what messages hide. */
#include "net/http_client.h"

#include "base/mem.h"
#include "tests/base/support.h"
#include "tests/embed/standin.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static struct standin server;
static struct crn_http_client *client;

static int start(void **state)
{
    (void)state;
    if (crn_http_client_create(&client, NULL) != CAIRN_OK) return -1;
    standin_start(&server, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    crn_http_client_free(client);
    standin_stop(&server);
    return 0;
}

#define NEEDS_SERVER \
    if (server.pid == 0) skip()

/* ---- requests ---- */

static struct crn_http_request get_request(const char *url)
{
    return (struct crn_http_request){
        .method = "GET", .url = url, .timeout_ms = 20000, .response_max_bytes = 4096};
}

static cairn_status get(const char *path, struct crn_http_response *response, cairn_error *err)
{
    char url[200];

    standin_url(&server, path, url, sizeof url);
    const struct crn_http_request request = get_request(url);
    return crn_http_send(client, &request, response, err);
}

static cairn_status post(const char *path, uint32_t timeout_ms, size_t max_bytes,
                         struct crn_http_response *response, cairn_error *err)
{
    static const char body[] = "{\"model\":\"m\",\"input\":[\"text\"],\"encoding_format\":\"float\"}";
    static const struct crn_http_header headers[] = {{"Content-Type", "application/json"}};
    char url[200];

    standin_url(&server, path, url, sizeof url);
    const struct crn_http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = 1,
        .body = body,
        .body_len = strlen(body),
        .timeout_ms = timeout_ms,
        .response_max_bytes = max_bytes,
    };
    return crn_http_send(client, &request, response, err);
}

/* A port of this machine where nobody listens. */
static int closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- tests ---- */

static void a_request_gets_its_answer(void **state)
{
    struct crn_http_response response;
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    assert_int_equal(get("echo/me?x=1", &response, &err), CAIRN_OK);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.retry_after_s, 0);
    assert_string_equal(response.body.data, "\"/echo/me?x=1\"");
    crn_http_response_release(&response);

    assert_int_equal(post("ok/http", 20000, 4096, &response, &err), CAIRN_OK);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.body.data, "\"embedding\": [4.0, 453.0,"));
    crn_http_response_release(&response);
}

static void every_http_status_is_an_answer(void **state)
{
    struct crn_http_response response;

    (void)state;
    NEEDS_SERVER;
    assert_int_equal(post("nowhere", 20000, 4096, &response, NULL), CAIRN_OK);
    assert_int_equal(response.status, 404);
    crn_http_response_release(&response);
    assert_int_equal(post("fails/http", 20000, 4096, &response, NULL), CAIRN_OK);
    assert_int_equal(response.status, 503);
    crn_http_response_release(&response);
}

static void redirects_are_not_followed(void **state)
{
    struct crn_http_response response;

    (void)state;
    NEEDS_SERVER;
    assert_int_equal(get("redirect", &response, NULL), CAIRN_OK);
    assert_int_equal(response.status, 302);
    assert_int_equal(response.body.len, 0);
    crn_http_response_release(&response);
}

static void retry_after_is_read_as_seconds_and_as_date(void **state)
{
    struct crn_http_response response;

    (void)state;
    NEEDS_SERVER;
    assert_int_equal(post("limited_long/http", 20000, 4096, &response, NULL), CAIRN_OK);
    assert_int_equal(response.status, 429);
    assert_int_equal(response.retry_after_s, 3600);
    crn_http_response_release(&response);

    assert_int_equal(post("limited_date/http", 20000, 4096, &response, NULL), CAIRN_OK);
    /* The server says: half an hour from then. Dates count whole seconds, and two clocks may cut them differently. */
    assert_in_range(response.retry_after_s, 1, 1801);
    crn_http_response_release(&response);
}

static void connections_are_used_again(void **state)
{
    struct crn_http_response response;
    char first[32] = "";

    (void)state;
    NEEDS_SERVER;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(get("connections", &response, NULL), CAIRN_OK);
        if (i == 0) snprintf(first, sizeof first, "%s", response.body.data);
        assert_string_equal(response.body.data, first);
        crn_http_response_release(&response);
    }
}

static void time_is_limited(void **state)
{
    static const char *const slow[] = {"hang/http", "drip/http"};
    struct crn_http_response response;
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        assert_int_equal(post(slow[i], 300, 4096, &response, &err), CAIRN_TIMEOUT);
        assert_non_null(strstr(err.message, slow[i]));
        assert_non_null(strstr(err.message, "timed out"));
        assert_null(response.body.data);
    }
}

static void size_is_limited(void **state)
{
    struct crn_http_response response;
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    assert_int_equal(post("huge/http", 20000, 1 << 20, &response, &err), CAIRN_LIMIT);
    assert_non_null(strstr(err.message, "/huge/http"));
    assert_non_null(strstr(err.message, "larger than 1048576 bytes"));
    assert_null(response.body.data);

    /* The answer to /count/nothing is "0": one byte may pass, none may not. */
    char url[200];
    standin_url(&server, "count/nothing", url, sizeof url);
    struct crn_http_request request = get_request(url);
    request.response_max_bytes = 1;
    assert_int_equal(crn_http_send(client, &request, &response, NULL), CAIRN_OK);
    assert_string_equal(response.body.data, "0");
    crn_http_response_release(&response);
    request.response_max_bytes = 0;
    assert_int_equal(crn_http_send(client, &request, &response, NULL), CAIRN_LIMIT);
}

static void broken_connections_are_io(void **state)
{
    struct crn_http_response response;
    cairn_error err;
    char url[200], port[16];

    (void)state;
    snprintf(port, sizeof port, "%d", closed_port());
    snprintf(url, sizeof url, "http://127.0.0.1:%s/x", port);
    const struct crn_http_request request = get_request(url);
    assert_int_equal(crn_http_send(client, &request, &response, &err), CAIRN_IO);
    assert_int_equal(err.status, CAIRN_IO);
    assert_non_null(strstr(err.message, url));
    assert_non_null(strstr(err.message, "connect"));
    assert_int_equal(crn_http_send(client, &request, &response, NULL), CAIRN_IO);

    NEEDS_SERVER;
    assert_int_equal(post("reset/http", 20000, 4096, &response, &err), CAIRN_IO);
}

static void credentials_stay_out_of_messages(void **state)
{
    const struct crn_http_header headers[] = {{"Authorization", "Bearer secret\r\nEvil: 1"}};
    struct crn_http_response response;
    cairn_error err;
    char url[200];

    (void)state;
    snprintf(url, sizeof url, "http://user:secret@127.0.0.1:%d/path?key=secret", closed_port());
    struct crn_http_request request = get_request(url);
    assert_int_equal(crn_http_send(client, &request, &response, &err), CAIRN_IO);
    assert_non_null(strstr(err.message, "http://***@127.0.0.1"));
    assert_non_null(strstr(err.message, "/path"));
    assert_null(strstr(err.message, "secret"));

    request.headers = headers;
    request.header_count = 1;
    assert_int_equal(crn_http_send(client, &request, &response, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "Authorization"));
    assert_null(strstr(err.message, "secret"));
}

static void urls_are_checked(void **state)
{
    static const char *const good[] = {"http://localhost", "https://example.org:8443/v1/embeddings?x=y",
                                       "http://[::1]:80/", "HTTP://user:pw@host/"};
    static const struct {
        const char *url, *named;
    } bad[] = {
        {"", "\"\""},
        {"nonsense", "nonsense"},
        {"/v1/embeddings", "/v1/embeddings"},
        {"http://", "http://"},
        {"http://host:99999/", "99999"},
        {"http://ho st/", "ho st"},
        {"http://host\n/", "host"},
        {"file:///etc/passwd", "file:///etc/passwd"},
        {"ftp://host/x", "ftp://host/x"},
        {"localhost:8080/v1", "localhost:8080/v1"},
    };
    struct crn_http_response response;
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(crn_http_url_check(good[i], &err), CAIRN_OK);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(crn_http_url_check(bad[i].url, &err), CAIRN_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, bad[i].named));
        const struct crn_http_request request = get_request(bad[i].url);
        assert_int_equal(crn_http_send(client, &request, &response, NULL), CAIRN_INVALID_ARGUMENT);
    }
}

static void urls_are_shown_without_secrets(void **state)
{
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"http://host/path", "http://host/path"},
        {"http://user:pw@host:1/path?key=1#x", "http://***@host:1/path"},
        {"http://a@b@host/p@th", "http://***@host/p@th"},
        {"user:pw@host/x", "***@host/x"},
        {"user:pw@host?u=http://x", "***@host"},
        {"", ""},
        {"?a@b", ""},
    };
    char shown[64], cut[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        crn_http_url_print(rows[i].url, shown, sizeof shown);
        assert_string_equal(shown, rows[i].shown);
    }
    crn_http_url_print("http://user:pw@host/", cut, sizeof cut);
    assert_string_equal(cut, "http://");
}

static void every_failing_allocation_is_no_memory(void **state)
{
    struct crn_http_response response;
    cairn_error err;
    cairn_status status = CAIRN_NO_MEMORY;

    (void)state;
    NEEDS_SERVER;
    for (uint64_t nth = 1; status != CAIRN_OK; nth++) {
        assert_in_range(nth, 1, 100);
        crn_mem_fail_at(nth, false);
        status = post("ok/memory", 20000, 4096, &response, &err);
        crn_mem_fail_at(0, false);
        if (status != CAIRN_OK) assert_int_equal(status, CAIRN_NO_MEMORY);
        if (status == CAIRN_OK) assert_true(nth > 1);
    }
    crn_http_response_release(&response);

    struct crn_http_client *none;
    crn_mem_fail_at(1, false);
    assert_int_equal(crn_http_client_create(&none, &err), CAIRN_NO_MEMORY);
    crn_mem_fail_at(0, false);
    assert_null(none);
    crn_http_client_free(none);
}

/* Makes a certificate nobody vouches for, with its key, as <folder>/cert.pem. */
static bool make_certificate(const char *folder, char *out, size_t size)
{
    char command[800];

    snprintf(out, size, "%s/cert.pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             out, out);
    return system(command) == 0;
}

static void unknown_certificates_are_refused(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char folder[200], certificate[256], url[64];
    struct crn_http_response response;
    struct standin tls = {0};
    cairn_error err;

    (void)state;
    NEEDS_SERVER;
    snprintf(folder, sizeof folder, "%s/cairn-http-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    bool made = make_certificate(folder, certificate, sizeof certificate);
    bool started = made && standin_start(&tls, certificate);
    cairn_status status = CAIRN_OK;
    if (started) {
        snprintf(url, sizeof url, "https://127.0.0.1:%d/connections", tls.port);
        const struct crn_http_request request = get_request(url);
        status = crn_http_send(client, &request, &response, &err);
        standin_stop(&tls);
    }
    unlink(certificate);
    rmdir(folder);
    if (!started) {
        print_message("skipped: no TLS server, is openssl installed?\n");
        skip();
    }
    assert_int_equal(status, CAIRN_IO);
    assert_non_null(strstr(err.message, "certificate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gets_its_answer),
        cmocka_unit_test(every_http_status_is_an_answer),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(retry_after_is_read_as_seconds_and_as_date),
        cmocka_unit_test(connections_are_used_again),
        cmocka_unit_test(time_is_limited),
        cmocka_unit_test(size_is_limited),
        cmocka_unit_test(broken_connections_are_io),
        cmocka_unit_test(credentials_stay_out_of_messages),
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(urls_are_shown_without_secrets),
        cmocka_unit_test(every_failing_allocation_is_no_memory),
        cmocka_unit_test(unknown_certificates_are_refused),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
