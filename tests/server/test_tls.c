/* TLS: sessions of our server against OpenSSL's client, whole and cut off; files that are no certificate. */
#include "tests/server/world.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static char folder[200], certificate[256], key[256], other[256];

/* Makes a certificate that vouches for itself. */
static bool make_certificate(const char *certificate_path, const char *key_path, const char *name)
{
    char command[1200];

    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s "
             "-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             name, key_path, certificate_path);
    return system(command) == 0;
}

static int make_files(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/cairn-tls-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(other, sizeof other, "%s/other.pem", folder);
    if (make_certificate(certificate, key, "server") && make_certificate(other, other, "client")) return 0;
    print_message("the program openssl makes no certificate\n");
    return -1;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(certificate);
    unlink(key);
    unlink(other);
    return rmdir(folder);
}

static struct world world;
static struct crn_tls *tls;

static void start(const char *client_ca)
{
    cairn_error err;

    if (crn_tls_open(certificate, key, client_ca, &tls, &err) != CAIRN_OK) fail_msg("%s", err.message);
    world_prepare(&world);
    world.options.tls = tls;
}

static void stop(void)
{
    world_stop(&world);
    crn_tls_close(tls);
}

/* A client's session on a socket; NULL when the handshake fails. */
static SSL *shake_hands(int fd, int version, const char *client_certificate)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_load_verify_locations(ctx, certificate, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (client_certificate != NULL) {
        SSL_CTX_use_certificate_chain_file(ctx, client_certificate);
        SSL_CTX_use_PrivateKey_file(ctx, client_certificate, SSL_FILETYPE_PEM);
    }
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) return ssl;
    ERR_clear_error();
    SSL_free(ssl);
    return NULL;
}

/* Reads an answer of a known body length; the status, or 0. */
static int ask(SSL *ssl, const char *text, size_t body_len)
{
    size_t cap = body_len + 4096, len = 0;
    char *bytes = malloc(cap);
    int status = 0;

    if (SSL_write(ssl, text, (int)strlen(text)) > 0) {
        for (;;) {
            const int got = SSL_read(ssl, bytes + len, (int)(cap - len - 1));
            if (got <= 0) break;
            len += (size_t)got;
            bytes[len] = '\0';
            const char *end = strstr(bytes, "\r\n\r\n");
            if (end == NULL || len - (size_t)(end + 4 - bytes) < body_len) continue;
            status = (int)strtol(bytes + 9, NULL, 10);
            break;
        }
    }
    ERR_clear_error();
    free(bytes);
    return status;
}

static void both_versions_carry_requests(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    start(NULL);
    world_start(&world);
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        int fd = dial(&world);
        SSL *ssl = shake_hands(fd, versions[i], NULL);
        assert_non_null(ssl);
        for (int j = 0; j < 3; j++) assert_int_equal(ask(ssl, GET("/x"), 2), 200);
        assert_int_equal(ask(ssl, GET("/size/20000000"), 20000000), 200);
        assert_int_equal(ask(ssl, GET("/file/20000000"), 20000000), 200);
        assert_int_equal(
            ask(ssl, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0),
            100);
        assert_int_equal(ask(ssl, "hi", 4), 200);
        SSL_shutdown(ssl);
        assert_true(hear_end(fd));
        SSL_free(ssl);
        close(fd);
    }
    int fd = dial(&world);
    assert_null(shake_hands(fd, TLS1_1_VERSION, NULL));
    close(fd);
    stop();
}

static void truncated_sessions_end(void **state)
{
    (void)state;
    start(NULL);
    world.options.head_timeout_ms = 100;
    world_start(&world);
    int fd = dial(&world); /* a handshake that never goes on */
    say_n(fd, "\x16\x03\x01\x02\x00\x01", 6);
    assert_true(hear_end(fd));
    close(fd);
    fd = dial(&world); /* no TLS at all */
    say(fd, GET("/x"));
    assert_true(hear_end(fd));
    close(fd);
    fd = dial(&world); /* cut in a request, without a word */
    SSL *ssl = shake_hands(fd, TLS1_3_VERSION, NULL);
    assert_non_null(ssl);
    SSL_write(ssl, "GET /", 5);
    shutdown(fd, SHUT_RDWR);
    SSL_free(ssl);
    close(fd);
    fd = dial(&world); /* bytes that are no record, behind a good request */
    ssl = shake_hands(fd, TLS1_3_VERSION, NULL);
    assert_non_null(ssl);
    assert_int_equal(ask(ssl, GET("/x"), 2), 200);
    say_n(fd, "nonsense nonsense nonsense", 26);
    assert_true(hear_end(fd));
    SSL_free(ssl);
    close(fd);
    WAIT_FOR(crn_http_server_gauges(world.server).connections == 0);
    stop();
}

static void client_certificates_are_asked_for(void **state)
{
    (void)state;
    start(other);
    world_start(&world);
    int fd = dial(&world);
    SSL *ssl = shake_hands(fd, TLS1_3_VERSION, other);
    assert_non_null(ssl);
    assert_int_equal(ask(ssl, GET("/x"), 2), 200);
    SSL_free(ssl);
    close(fd);
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNT_OF(versions); i++) { /* TLS 1.3 tells a client only after its handshake */
        fd = dial(&world);
        ssl = shake_hands(fd, versions[i], NULL);
        assert_true(ssl == NULL || ask(ssl, GET("/x"), 2) == 0);
        SSL_free(ssl);
        close(fd);
    }
    stop();
    assert_int_equal(atomic_load(&world.started), 1);
}

static void bad_files_are_named(void **state)
{
    struct crn_tls *none;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_tls_open("/nowhere/cert.pem", key, NULL, &none, &err), CAIRN_NO_FILE);
    assert_non_null(strstr(err.message, "/nowhere/cert.pem"));
    assert_int_equal(crn_tls_open(certificate, "/nowhere/key.pem", NULL, &none, &err), CAIRN_NO_FILE);
    assert_non_null(strstr(err.message, "/nowhere/key.pem"));
    /* another's key */
    assert_int_equal(crn_tls_open(certificate, other, NULL, &none, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, other));
    assert_int_equal(crn_tls_open(key, key, NULL, &none, &err), CAIRN_INVALID_ARGUMENT); /* no certificate */
    assert_non_null(strstr(err.message, key));
    assert_int_equal(crn_tls_open(certificate, key, key, &none, &err), CAIRN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "authority"));
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_carry_requests),
        cmocka_unit_test(truncated_sessions_end),
        cmocka_unit_test(client_certificates_are_asked_for),
        cmocka_unit_test(bad_files_are_named),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
