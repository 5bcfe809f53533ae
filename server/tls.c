/* OpenSSL with memory BIOs on both sides. */
#include "server/tls.h"

#include "base/error.h"
#include "base/mem.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct crn_tls {
    SSL_CTX *ctx;
};

struct crn_tls_session {
    SSL *ssl; /* owns both BIOs */
    BIO *from_wire, *to_wire;
};

/* What OpenSSL says about a file; NO_FILE when it is not there or not readable. */
static cairn_status bad_file(cairn_error *err, const char *what, const char *path)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    if (access(path, R_OK) != 0)
        return crn_error_set(err, CAIRN_NO_FILE, "%s '%s' cannot be read", what, path);
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s '%s' is not usable: %s", what, path,
                         reason != NULL ? reason : "not what was expected");
}

/* HTTP/1.1 is the only protocol here; a client that offers others only goes on without an agreement. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *ctx)
{
    static const unsigned char known[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_len, known, sizeof known - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static cairn_status load(SSL_CTX *ctx, const char *certificate, const char *key, const char *client_ca,
                         cairn_error *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return bad_file(err, "the certificate", certificate);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) return bad_file(err, "the key", key);
    if (SSL_CTX_check_private_key(ctx) != 1) return bad_file(err, "the key", key);
    if (client_ca == NULL) return CAIRN_OK;
    if (SSL_CTX_load_verify_locations(ctx, client_ca, NULL) != 1)
        return bad_file(err, "the client authority", client_ca);
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(client_ca));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return CAIRN_OK;
}

cairn_status crn_tls_open(const char *certificate, const char *key, const char *client_ca,
                          struct crn_tls **out, cairn_error *err)
{
    struct crn_tls *tls = crn_mem_calloc(1, sizeof *tls);

    *out = NULL;
    if (tls == NULL) return crn_error_no_memory(err, sizeof *tls);
    tls->ctx = SSL_CTX_new(TLS_server_method());
    if (tls->ctx == NULL) {
        crn_tls_close(tls);
        return crn_error_set(err, CAIRN_NO_MEMORY, "OpenSSL gives no context");
    }
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle session keeps no record buffers */
    SSL_CTX_set_session_id_context(tls->ctx, (const unsigned char *)"cairn", 5);
    SSL_CTX_set_alpn_select_cb(tls->ctx, choose_protocol, NULL);
    const cairn_status status = load(tls->ctx, certificate, key, client_ca, err);
    if (status != CAIRN_OK) {
        crn_tls_close(tls);
        return status;
    }
    *out = tls;
    return CAIRN_OK;
}

void crn_tls_close(struct crn_tls *tls)
{
    if (tls == NULL) return;
    SSL_CTX_free(tls->ctx);
    crn_mem_free(tls);
}

struct crn_tls_session *crn_tls_session_open(struct crn_tls *tls)
{
    struct crn_tls_session *session = crn_mem_calloc(1, sizeof *session);

    if (session == NULL) return NULL;
    session->ssl = SSL_new(tls->ctx);
    session->from_wire = BIO_new(BIO_s_mem());
    session->to_wire = BIO_new(BIO_s_mem());
    if (session->ssl == NULL || session->from_wire == NULL || session->to_wire == NULL) {
        BIO_free(session->from_wire);
        BIO_free(session->to_wire);
        SSL_free(session->ssl);
        crn_mem_free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->from_wire, session->to_wire);
    SSL_set_accept_state(session->ssl);
    return session;
}

void crn_tls_session_close(struct crn_tls_session *session)
{
    if (session == NULL) return;
    SSL_free(session->ssl);
    crn_mem_free(session);
}

bool crn_tls_session_receive(struct crn_tls_session *session, const char *data, size_t len)
{
    return len <= INT_MAX && BIO_write(session->from_wire, data, (int)len) == (int)len;
}

size_t crn_tls_session_read(struct crn_tls_session *session, char *out, size_t size,
                            enum crn_tls_state *out_state)
{
    ERR_clear_error();
    const int got = SSL_read(session->ssl, out, size < INT_MAX ? (int)size : INT_MAX);

    *out_state = CRN_TLS_OPEN;
    if (got > 0) return (size_t)got;
    switch (SSL_get_error(session->ssl, got)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        break;
    case SSL_ERROR_ZERO_RETURN:
        *out_state = CRN_TLS_ENDED;
        break;
    default:
        *out_state = CRN_TLS_FAILED;
    }
    ERR_clear_error();
    return 0;
}

bool crn_tls_session_write(struct crn_tls_session *session, const char *data, size_t len)
{
    ERR_clear_error();
    while (len > 0) {
        const int wrote = SSL_write(session->ssl, data, len < INT_MAX ? (int)len : INT_MAX);
        if (wrote <= 0) {
            ERR_clear_error();
            return false;
        }
        data += wrote;
        len -= (size_t)wrote;
    }
    return true;
}

void crn_tls_session_end(struct crn_tls_session *session)
{
    if (SSL_is_init_finished(session->ssl)) (void)SSL_shutdown(session->ssl);
    ERR_clear_error();
}

bool crn_tls_session_take(struct crn_tls_session *session, struct crn_buf *out)
{
    const size_t len = BIO_ctrl_pending(session->to_wire);

    if (len == 0) return true;
    char *room = crn_buf_extend(out, len);
    return room != NULL && BIO_read(session->to_wire, room, (int)len) == (int)len;
}
