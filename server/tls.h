/*
 * TLS 1.2 and 1.3, as a change of bytes: what came from the wire goes in, what the peer said comes out, and
 * the other way round. No socket here. The only user of OpenSSL in the server beside auth.c.
 */
#ifndef CRN_SERVER_TLS_H
#define CRN_SERVER_TLS_H

#include "base/buf.h"

struct crn_tls;         /* certificate and settings; shared by all sessions */
struct crn_tls_session; /* one connection; confined to a thread */

/* PEM files: the certificate with its chain, its key, and with client_ca the authorities that a client's
 * certificate must come from (NULL: none is asked for). INVALID_ARGUMENT or NO_FILE names the file and what
 * is wrong with it. */
cairn_status crn_tls_open(const char *certificate, const char *key, const char *client_ca,
                          struct crn_tls **out, cairn_error *err);
void crn_tls_close(struct crn_tls *tls);

struct crn_tls_session *crn_tls_session_open(struct crn_tls *tls); /* NULL: no memory */
void crn_tls_session_close(struct crn_tls_session *session);

enum crn_tls_state { CRN_TLS_OPEN, CRN_TLS_ENDED, CRN_TLS_FAILED };

/* Takes bytes from the wire; false: no memory. */
bool crn_tls_session_receive(struct crn_tls_session *session, const char *data, size_t len);
/* What the peer said, up to `size` bytes; 0 when there is no more for now. ENDED: it said that it ends. */
size_t crn_tls_session_read(struct crn_tls_session *session, char *out, size_t size,
                            enum crn_tls_state *out_state);
bool crn_tls_session_write(struct crn_tls_session *session, const char *data, size_t len);
void crn_tls_session_end(struct crn_tls_session *session); /* says that nothing more comes */
/* Appends what has to go on the wire; false: no memory. To be asked after each call above. */
bool crn_tls_session_take(struct crn_tls_session *session, struct crn_buf *out);

#endif
