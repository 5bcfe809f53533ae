/*
 * One client's connection: its states, timers and bytes. What http_server.c and http_connection.c share, and
 * nobody else reads. All of it belongs to the loop's thread.
 */
#ifndef CRN_SERVER_HTTP_CONNECTION_H
#define CRN_SERVER_HTTP_CONNECTION_H

#include "server/http_light.h"
#include "server/http_server.h"
#include "server/http_workers.h"

#include <netinet/in.h>

/*
 * What a connection waits for; each with the same time for all, so that the one that waits longest stands
 * first in its list and a tick looks at the heads of the lists only.
 */
enum crn_http_wait {
    CRN_HTTP_WAIT_REQUEST, /* nothing of one has come */
    CRN_HTTP_WAIT_HEAD,    /* the rest of a head, or of a TLS handshake; not prolonged by bytes */
    CRN_HTTP_WAIT_BODY,    /* the rest of a body; not prolonged by bytes */
    CRN_HTTP_WAIT_ANSWER,  /* of the handler */
    CRN_HTTP_WAIT_WRITE,   /* until the client has taken the answer; prolonged by what it takes */
    CRN_HTTP_WAIT_LEAVE,   /* all is said; until the client closes */
    CRN_HTTP_WAIT_COUNT,
};

struct crn_http_tls {
    struct crn_tls_session *session;
    struct crn_buf flying, waiting; /* records: being written, and to be written next */
    uv_write_t write;
};

struct crn_http_connection {
    uv_tcp_t tcp; /* first: libuv gives it back */
    struct crn_http_server *server;
    struct crn_http_connection *previous, *next; /* in the list of its wait */
    uint64_t wait_until_ms;
    struct crn_http_exchange *exchange; /* the request that is being read or answered */
    struct crn_http_parser parser;
    struct crn_buf pending;   /* came behind the request that is being answered */
    size_t pending_at;        /* what of it was used */
    size_t write_left;        /* when the write was looked at last */
    struct crn_http_tls *tls; /* NULL: plain */
    struct sockaddr_in6 peer;
    uint8_t wait;
    bool reading, half_closed, writing, last_request, closing, answering;
};

struct crn_http_wait_list {
    struct crn_http_connection *first, *last;
};

struct crn_http_server {
    struct crn_http_server_options options;
    uv_loop_t loop;
    uv_tcp_t listeners[CRN_HTTP_SOCKETS_MAX];
    size_t listener_count;
    uv_stream_t *unaccepted; /* has a connection that there was no memory for */
    uv_async_t answered;     /* workers have answered, or stop was asked for */
    uv_timer_t tick;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
    struct crn_http_workers *workers;
    struct crn_http_wait_list waits[CRN_HTTP_WAIT_COUNT];
    uint64_t wait_ms[CRN_HTTP_WAIT_COUNT];
    struct crn_http_exchange *pool;
    size_t pool_bytes;
    size_t at_workers; /* exchanges that workers have, those without a connection included */
    struct crn_http_light light;
    uint64_t next_id;
    uint64_t stop_at_ms; /* 0: not stopping */
    bool stopping, handles_closed;
    atomic_bool stop_asked;
    uint16_t port;
    int64_t date_second;
    char date[32];
    /* CRN_HTTP_READ_BYTES each: bytes of one read, which are used up or copied at once */
    char *read_buffer, *plain_buffer;
    /* Written by the loop, read by any thread as estimates: relaxed. */
    atomic_size_t connections, in_flight;
    _Atomic uint64_t accepted, refused_connections, refused_requests;
};

#define CRN_HTTP_READ_BYTES 65536u

void crn_http_connection_accept(struct crn_http_server *server, uv_stream_t *listener);
/* goes on with what waits in pending */
void crn_http_connection_resume(struct crn_http_connection *connection);
/* by a worker */
void crn_http_connection_answered(struct crn_http_server *server, struct crn_http_exchange *exchange);
void crn_http_connection_timeout(struct crn_http_connection *connection);
void crn_http_connection_stopping(struct crn_http_connection *connection, bool at_once);
void crn_http_connection_close(struct crn_http_connection *connection);
void crn_http_connection_wait(struct crn_http_connection *connection, enum crn_http_wait wait);

/* http_send.c: writes the exchange's answer; crn_http_connection_sent is called when all of it is with the
 * system, perhaps before this returns. */
void crn_http_send_answer(struct crn_http_connection *connection);
void crn_http_send_continue(struct crn_http_connection *connection);
/* TLS: what OpenSSL has to say goes out. */
void crn_http_send_records(struct crn_http_connection *connection);
void crn_http_connection_sent(struct crn_http_connection *connection);

/* http_server.c */
struct crn_http_exchange *crn_http_server_take_exchange(struct crn_http_server *server); /* NULL: no memory */
void crn_http_server_return_exchange(struct crn_http_server *server, struct crn_http_exchange *exchange);
const char *crn_http_server_date(struct crn_http_server *server);

#endif
