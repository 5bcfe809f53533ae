/*
 * The HTTP server: one thread with libuv's loop reads and writes, workers answer. It knows no path and no
 * key: its host says who answers a request (route) and hears what became of it (finished).
 *
 * A connection carries one request at a time; what is sent behind it waits, 64 KiB of it in memory and the
 * rest with the client. A client that goes, or a deadline that passes, sets request.cancelled; half of a
 * close counts as leaving, though what the handler then answers is still sent.
 */
#ifndef CRN_SERVER_HTTP_SERVER_H
#define CRN_SERVER_HTTP_SERVER_H

#include "base/log.h"
#include "server/http_parser.h"
#include "server/tls.h"

#define CRN_HTTP_SOCKETS_MAX 8u

/* Who answers a request. */
struct crn_http_route {
    crn_handler handler;
    void *ctx;
    bool on_loop; /* it never waits: called on the loop's thread, without the queue */
    /* Whether a request that was read may be answered on the loop's thread if its like have taken no time worth
     * mentioning (http_light.h); on the loop. NULL: none. */
    bool (*is_light)(const struct crn_request *request);
    unsigned kind; /* free for the host, which gets it back with the record */
};

/* What became of a request. */
struct crn_http_record {
    const struct crn_http_message *message; /* its head may be empty when it was refused early */
    const char *id;
    unsigned status; /* 499: the client left before the answer */
    unsigned kind;   /* of its route */
    bool routed;     /* false: refused by the server itself, before the host saw it */
    size_t answer_bytes;
    uint64_t duration_ns; /* from the last byte read to the answer handed to the socket */
    const char *peer;     /* address, for logs */
};

struct crn_http_hooks {
    void *ctx;
    /* On the loop, when a head was read: fills in the route, and the request's principal. With a handler of
     * NULL the request is refused with the answer that the hook wrote, and its body is not read. */
    void (*route)(void *ctx, struct crn_http_message *message, struct crn_http_route *out_route,
                  struct crn_answer *answer);
    void (*finished)(void *ctx, const struct crn_http_record *record); /* on the loop */
    /* on the loop, once a turn; may be NULL */
    void (*before_sleep)(void *ctx);
    /* on the loop, at SIGHUP, with `signals`; may be NULL */
    void (*hang_up)(void *ctx);
};

struct crn_http_server_options {
    const char *host;                  /* an address of either family, or "localhost" */
    uint16_t port;                     /* 0: any that is free */
    int sockets[CRN_HTTP_SOCKETS_MAX]; /* bound and listening already, instead of host and port; taken */
    size_t socket_count;
    struct crn_http_limits limits;
    size_t answer_bytes_max;
    size_t connections_max; /* more are told 503 and closed */
    unsigned workers;
    size_t queue_max; /* requests that wait for a worker; more are told 503 with Retry-After */
    uint64_t head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms, request_timeout_ms,
        shutdown_timeout_ms;
    struct crn_tls *tls;      /* NULL: none */
    const char *answer_lines; /* header lines of every answer, each with its CR LF; or NULL */
    bool signals;             /* stop at SIGTERM and SIGINT, tell the host of SIGHUP */
    struct crn_http_hooks hooks;
    struct crn_log log;
};

/* The numbers that are not given by hand: limits, timeouts, connections. */
struct crn_http_server_options crn_http_server_defaults(void);

struct crn_http_server;

/* Binds and listens. Texts, tls and hooks are kept until it is closed. IO names the address. */
cairn_status crn_http_server_open(const struct crn_http_server_options *options, struct crn_http_server **out,
                                  cairn_error *err);
uint16_t crn_http_server_port(const struct crn_http_server *server);
/* Serves until it is stopped: accepts no more, answers what was begun, for shutdown_timeout_ms at most. */
void crn_http_server_run(struct crn_http_server *server);
void crn_http_server_stop(struct crn_http_server *server); /* any thread */
/* Waits for handlers that still run. After run, or without it. NULL accepted. */
void crn_http_server_close(struct crn_http_server *server);

/* Estimates, from any thread. */
struct crn_http_gauges {
    size_t connections, in_flight, waiting;
    uint64_t accepted, refused_connections, refused_requests;
};
struct crn_http_gauges crn_http_server_gauges(const struct crn_http_server *server);

#endif
