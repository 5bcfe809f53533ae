/*
 * One request on its way through the server: read on the loop, answered by a worker, sent on the loop. It
 * belongs to its connection, and while a worker answers to the worker; when the client leaves meanwhile the
 * connection lets go of it.
 */
#ifndef CRN_SERVER_HTTP_EXCHANGE_H
#define CRN_SERVER_HTTP_EXCHANGE_H

#include "server/http_server.h"

#include <uv.h>
#include <stdatomic.h>

#define CRN_HTTP_ID_MAX 64u

struct crn_http_connection;

struct crn_http_exchange {
    struct crn_http_message message;
    struct crn_answer answer;
    struct crn_buf head; /* of the answer */
    struct crn_http_route route;
    struct crn_http_connection *connection; /* loop only; NULL once the client has left */
    /* Set on the loop, read by the worker. Relaxed: it orders nothing, it only tells to stop. */
    atomic_bool cancelled;
    bool routed;                   /* the host has seen its head */
    uint64_t read_ns, duration_ns; /* when all of it was read, and from then until it was answered */
    char id[CRN_HTTP_ID_MAX + 1];
    uv_write_t write;
    uv_fs_t read; /* of the answer's file, a chunk at a time */
    char *chunk;
    uint64_t file_sent;
    bool reading_file;
    struct crn_http_exchange *next; /* in a queue, or in the pool */
};

struct crn_http_exchange *crn_http_exchange_create(const struct crn_http_limits *limits,
                                                   size_t answer_bytes_max);
void crn_http_exchange_free(struct crn_http_exchange *exchange);
/* Ready for another request; keeps its buffers if they hold no more than keep_bytes each. */
void crn_http_exchange_clear(struct crn_http_exchange *exchange, size_t keep_bytes);
/* Bytes that its buffers hold. */
size_t crn_http_exchange_bytes(const struct crn_http_exchange *exchange);

/* Takes the client's x-request-id where it is 1 to 64 visible letters of the usual kinds, else makes one. */
void crn_http_exchange_identify(struct crn_http_exchange *exchange, uint64_t number);

/* An answer of the server itself: {"status":{"error":"..."}}. Forgets what there was. */
void crn_http_answer_error(struct crn_answer *answer, unsigned status, const char *reason);
void crn_http_answer_header(struct crn_answer *answer, const char *name, const char *value);

/* Writes the head of the answer into exchange->head: status line, Date, type, length, id, the answer's own
 * headers and `extra`, which holds whole lines. An answer whose body failed becomes a 500 first. */
void crn_http_exchange_write_head(struct crn_http_exchange *exchange, const char *date, const char *extra,
                                  bool keep_alive);

#endif
