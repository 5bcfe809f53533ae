/*
 * The life of a connection: accepted; then for each request its first byte, head, body, answer; then the next
 * one, or the end. A connection that is `closing` has let go of everything but its memory, which libuv gives
 * back.
 */
#include "server/http_connection.h"

#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PENDING_BYTES_MAX \
    65536u /* with more, nothing is read until the answer is sent; one read may come on top */
#define TLS_BYTES_MAX ((size_t)1 << 40) /* the answer's own limit counts; records add a little */

void crn_http_connection_wait(struct crn_http_connection *connection, enum crn_http_wait wait)
{
    struct crn_http_server *server = connection->server;
    struct crn_http_wait_list *list = &server->waits[connection->wait];

    if (connection->wait_until_ms != 0) {
        if (connection->previous != NULL)
            connection->previous->next = connection->next;
        else
            list->first = connection->next;
        if (connection->next != NULL)
            connection->next->previous = connection->previous;
        else
            list->last = connection->previous;
    }
    connection->previous = connection->next = NULL;
    connection->wait_until_ms = 0;
    if (wait == CRN_HTTP_WAIT_COUNT) return; /* none */
    list = &server->waits[wait];
    connection->wait = (uint8_t)wait;
    connection->wait_until_ms = uv_now(&server->loop) + server->wait_ms[wait] + 1;
    connection->previous = list->last;
    if (list->last != NULL)
        list->last->next = connection;
    else
        list->first = connection;
    list->last = connection;
}

/* ---- telling the host ---- */

static void print_peer(const struct crn_http_connection *connection, char *out, size_t size)
{
    const struct sockaddr *address = (const struct sockaddr *)&connection->peer;
    const void *from = address->sa_family == AF_INET
                           ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                           : (const void *)&connection->peer.sin6_addr;

    if (inet_ntop(address->sa_family, from, out, (socklen_t)size) == NULL) snprintf(out, size, "-");
}

static void tell(struct crn_http_server *server, struct crn_http_exchange *exchange,
                 const struct crn_http_connection *connection, unsigned status)
{
    char peer[INET6_ADDRSTRLEN] = "-";

    if (connection != NULL) print_peer(connection, peer, sizeof peer);
    const struct crn_http_record record = {
        .message = &exchange->message,
        .id = exchange->id,
        .status = status,
        .kind = exchange->route.kind,
        .routed = exchange->routed,
        .answer_bytes = exchange->answer.has_file ? exchange->file_sent : exchange->answer.body.len,
        .duration_ns = exchange->duration_ns != 0 ? exchange->duration_ns
                       : exchange->read_ns != 0   ? crn_clock_ns() - exchange->read_ns
                                                  : 0,
        .peer = peer,
    };
    server->options.hooks.finished(server->options.hooks.ctx, &record);
}

/* ---- the end ---- */

static void on_close(uv_handle_t *handle)
{
    struct crn_http_connection *connection = (struct crn_http_connection *)handle;

    if (connection->tls != NULL) {
        crn_tls_session_close(connection->tls->session);
        crn_buf_release(&connection->tls->flying);
        crn_buf_release(&connection->tls->waiting);
        crn_mem_free(connection->tls);
    }
    crn_buf_release(&connection->pending);
    atomic_fetch_sub_explicit(&connection->server->connections, 1, memory_order_relaxed);
    crn_mem_free(connection);
}

void crn_http_connection_close(struct crn_http_connection *connection)
{
    struct crn_http_exchange *exchange = connection->exchange;

    if (connection->closing) return;
    connection->closing = true;
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_COUNT);
    connection->exchange = NULL;
    if (exchange != NULL && connection->answering) {
        atomic_store_explicit(&exchange->cancelled, true, memory_order_relaxed);
        exchange->connection = NULL;
    } else if (exchange != NULL) {
        if (exchange->routed) tell(connection->server, exchange, connection, 499);
        if (exchange->reading_file)
            exchange->connection = NULL; /* who reads gives it back */
        else if (!connection->writing || connection->tls != NULL)
            crn_http_server_return_exchange(connection->server, exchange);
    }
    uv_close((uv_handle_t *)&connection->tcp, on_close);
}

static void stop_reading(struct crn_http_connection *connection)
{
    if (connection->reading) uv_read_stop((uv_stream_t *)&connection->tcp);
    connection->reading = false;
}

static void start_reading(struct crn_http_connection *connection);

/* Nothing more is said. What the client still sends is read and dropped for a while: closing over unread
 * bytes would reset the connection, and with it the answer on its way. */
static void leave(struct crn_http_connection *connection)
{
    uv_os_fd_t fd;

    crn_buf_release(&connection->pending);
    connection->pending_at = 0;
    if (connection->half_closed) {
        crn_http_connection_close(connection);
        return;
    }
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_LEAVE);
    if (connection->tls != NULL) {
        crn_tls_session_end(connection->tls->session);
        crn_http_send_records(connection);
    }
    if (connection->closing) return;
    if (!connection->writing && uv_fileno((uv_handle_t *)&connection->tcp, &fd) == 0)
        (void)shutdown(fd, SHUT_WR);
    start_reading(connection);
}

/* ---- answering ---- */

void crn_http_connection_sent(struct crn_http_connection *connection)
{
    struct crn_http_server *server = connection->server;
    struct crn_http_exchange *exchange = connection->exchange;

    tell(server, exchange, connection, exchange->answer.status);
    connection->exchange = NULL;
    crn_http_server_return_exchange(server, exchange);
    if (connection->last_request || server->stopping)
        leave(connection);
    else
        crn_http_connection_wait(connection, CRN_HTTP_WAIT_REQUEST);
}

static void answer(struct crn_http_connection *connection)
{
    struct crn_http_exchange *exchange = connection->exchange;

    if (connection->server->stopping) connection->last_request = true;
    if (exchange->read_ns != 0) {
        exchange->duration_ns = crn_clock_ns() - exchange->read_ns;
        crn_http_light_answered(connection->server, exchange);
    }
    crn_http_send_answer(connection);
}

/* An answer of the server itself, and the last one: what follows on the wire cannot be told from this
 * request. */
static void refuse(struct crn_http_connection *connection, unsigned status, const char *reason)
{
    struct crn_http_exchange *exchange = connection->exchange;

    atomic_fetch_add_explicit(&connection->server->refused_requests, 1, memory_order_relaxed);
    if (exchange->id[0] == '\0') crn_http_exchange_identify(exchange, connection->server->next_id++);
    crn_http_answer_error(&exchange->answer, status, reason);
    connection->last_request = true;
    answer(connection);
}

void crn_http_connection_answered(struct crn_http_server *server, struct crn_http_exchange *exchange)
{
    struct crn_http_connection *connection = exchange->connection;

    server->at_workers--;
    atomic_fetch_sub_explicit(&server->in_flight, 1, memory_order_relaxed);
    if (connection == NULL) { /* who asked has left */
        tell(server, exchange, NULL, 499);
        crn_http_server_return_exchange(server, exchange);
        return;
    }
    connection->answering = false;
    answer(connection);
    crn_http_connection_resume(connection);
}

/* ---- a request's phases ---- */

/* While it is answered, or after the last one, bytes are not for the parser. */
static bool busy(const struct crn_http_connection *connection)
{
    return connection->closing || connection->wait >= CRN_HTTP_WAIT_ANSWER;
}

static bool begin_request(struct crn_http_connection *connection)
{
    struct crn_http_exchange *exchange = crn_http_server_take_exchange(connection->server);

    if (exchange == NULL) {
        crn_http_connection_close(connection);
        return false;
    }
    exchange->connection = connection;
    connection->exchange = exchange;
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_HEAD);
    return true;
}

static void head_read(struct crn_http_connection *connection)
{
    struct crn_http_server *server = connection->server;
    struct crn_http_exchange *exchange = connection->exchange;
    struct crn_http_message *message = &exchange->message;
    const bool has_body = connection->parser.chunked || connection->parser.body_left > 0;

    crn_http_exchange_identify(exchange, server->next_id++);
    exchange->routed = true;
    if (!message->keep_alive) connection->last_request = true;
    server->options.hooks.route(server->options.hooks.ctx, message, &exchange->route, &exchange->answer);
    if (exchange->route.handler == NULL) {
        if (has_body) connection->last_request = true;
        crn_http_parser_init(&connection->parser, &server->options.limits);
        answer(connection);
        return;
    }
    if (!has_body) return;
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_BODY);
    if (message->expects_continue) crn_http_send_continue(connection);
}

static void request_read(struct crn_http_connection *connection)
{
    struct crn_http_server *server = connection->server;
    struct crn_http_exchange *exchange = connection->exchange;

    exchange->read_ns = crn_clock_ns();
    exchange->message.request.deadline_ns = exchange->read_ns + server->options.request_timeout_ms * 1000000u;
    if (exchange->route.on_loop || crn_http_light_stays(server, connection, exchange)) {
        exchange->route.handler(exchange->route.ctx, &exchange->message.request, &exchange->answer);
        answer(connection);
        return;
    }
    if (!crn_http_workers_offer(server->workers, exchange)) {
        atomic_fetch_add_explicit(&server->refused_requests, 1, memory_order_relaxed);
        crn_http_answer_error(&exchange->answer, 503, "too many requests are waiting");
        crn_http_answer_header(&exchange->answer, "retry-after", "1");
        answer(connection);
        return;
    }
    if (connection->half_closed) atomic_store_explicit(&exchange->cancelled, true, memory_order_relaxed);
    connection->answering = true;
    server->at_workers++;
    atomic_fetch_add_explicit(&server->in_flight, 1, memory_order_relaxed);
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_ANSWER);
}

/* Gives bytes to the parser until a request is being answered; returns how many it used. */
static size_t consume(struct crn_http_connection *connection, const char *data, size_t len)
{
    size_t at = 0, used;

    while (!busy(connection)) {
        if (connection->exchange == NULL && (at == len || !begin_request(connection))) return at;
        struct crn_http_message *message = &connection->exchange->message;
        const enum crn_http_event event =
            crn_http_parser_feed(&connection->parser, message, data + at, len - at, &used);
        at += used;
        switch (event) {
        case CRN_HTTP_HEAD_READ:
            head_read(connection);
            break;
        case CRN_HTTP_REQUEST_READ:
            request_read(connection);
            break;
        case CRN_HTTP_REFUSED:
            refuse(connection, connection->parser.status, connection->parser.reason);
            return len;
        case CRN_HTTP_MORE:
            if (crn_http_parser_idle(&connection->parser, message)) { /* an empty line, so far */
                crn_http_server_return_exchange(connection->server, connection->exchange);
                connection->exchange = NULL;
                crn_http_connection_wait(connection, CRN_HTTP_WAIT_REQUEST);
            }
            return at;
        }
    }
    return at;
}

void crn_http_connection_resume(struct crn_http_connection *connection)
{
    struct crn_buf *pending = &connection->pending;

    while (!busy(connection) && connection->pending_at < pending->len) {
        connection->pending_at += consume(connection, pending->data + connection->pending_at,
                                          pending->len - connection->pending_at);
    }
    if (connection->closing) return;
    if (connection->pending_at >= pending->len) {
        crn_buf_release(pending);
        connection->pending_at = 0;
    }
    if (busy(connection)) return;
    if (connection->half_closed)
        crn_http_connection_close(connection); /* no more requests can come */
    else
        start_reading(connection);
}

/* ---- bytes from the wire ---- */

static void take(struct crn_http_connection *connection, const char *data, size_t len)
{
    const size_t used = busy(connection) ? 0 : consume(connection, data, len);

    if (connection->closing || connection->wait == CRN_HTTP_WAIT_LEAVE || used == len) return;
    if (connection->pending_at > 0) {
        memmove(connection->pending.data, connection->pending.data + connection->pending_at,
                connection->pending.len - connection->pending_at);
        connection->pending.len -= connection->pending_at;
        connection->pending_at = 0;
    }
    if (crn_buf_append(&connection->pending, data + used, len - used) != CAIRN_OK)
        crn_http_connection_close(connection);
    else if (connection->pending.len >= PENDING_BYTES_MAX)
        stop_reading(connection);
}

/* The client says no more. Who waits for an answer still gets it. */
static void half_closed(struct crn_http_connection *connection)
{
    stop_reading(connection);
    connection->half_closed = true;
    if (connection->wait != CRN_HTTP_WAIT_ANSWER && connection->wait != CRN_HTTP_WAIT_WRITE) {
        crn_http_connection_close(connection);
    } else if (connection->answering) {
        atomic_store_explicit(&connection->exchange->cancelled, true, memory_order_relaxed);
    }
}

static void take_records(struct crn_http_connection *connection, const char *data, size_t len)
{
    struct crn_http_server *server = connection->server;
    struct crn_tls_session *session = connection->tls->session;
    enum crn_tls_state state = CRN_TLS_OPEN;
    size_t got;

    if (!crn_tls_session_receive(session, data, len)) {
        crn_http_connection_close(connection);
        return;
    }
    while (!connection->closing &&
           (got = crn_tls_session_read(session, server->plain_buffer, CRN_HTTP_READ_BYTES, &state)) > 0) {
        if (connection->wait != CRN_HTTP_WAIT_LEAVE) take(connection, server->plain_buffer, got);
    }
    if (connection->closing) return;
    crn_http_send_records(connection);
    if (connection->closing || state == CRN_TLS_OPEN) return;
    if (state == CRN_TLS_FAILED)
        crn_http_connection_close(connection);
    else
        half_closed(connection);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct crn_http_connection *connection = (struct crn_http_connection *)stream;

    if (got == 0) return;
    if (got == UV_EOF)
        half_closed(connection);
    else if (got < 0)
        crn_http_connection_close(connection);
    else if (connection->tls != NULL)
        take_records(connection, buf->base, (size_t)got);
    else if (connection->wait != CRN_HTTP_WAIT_LEAVE)
        take(connection, buf->base, (size_t)got);
}

static void on_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    const struct crn_http_connection *connection = (struct crn_http_connection *)handle;

    (void)wanted;
    *out = uv_buf_init(connection->server->read_buffer, CRN_HTTP_READ_BYTES);
}

static void start_reading(struct crn_http_connection *connection)
{
    if (connection->reading || connection->half_closed) return;
    connection->reading = uv_read_start((uv_stream_t *)&connection->tcp, on_buffer, on_read) == 0;
    if (!connection->reading) crn_http_connection_close(connection);
}

/* ---- the beginning ---- */

static bool open_tls(struct crn_http_connection *connection, struct crn_tls *tls)
{
    connection->tls = crn_mem_calloc(1, sizeof *connection->tls);
    if (connection->tls == NULL) return false;
    crn_buf_init(&connection->tls->flying, TLS_BYTES_MAX);
    crn_buf_init(&connection->tls->waiting, TLS_BYTES_MAX);
    connection->tls->session = crn_tls_session_open(tls);
    return connection->tls->session != NULL;
}

static void turn_away(struct crn_http_connection *connection)
{
    static char words[] =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    uv_buf_t buf = uv_buf_init(words, sizeof words - 1);

    atomic_fetch_add_explicit(&connection->server->refused_connections, 1, memory_order_relaxed);
    if (connection->server->options.tls == NULL) (void)uv_try_write((uv_stream_t *)&connection->tcp, &buf, 1);
    crn_http_connection_close(connection);
}

void crn_http_connection_accept(struct crn_http_server *server, uv_stream_t *listener)
{
    struct crn_http_connection *connection = crn_mem_calloc(1, sizeof *connection);
    int size = sizeof connection->peer;

    server->unaccepted = connection == NULL ? listener : NULL;
    if (connection == NULL) return; /* without memory; a tick tries again, for libuv does not */
    connection->server = server;
    crn_buf_init(&connection->pending, PENDING_BYTES_MAX + 2 * CRN_HTTP_READ_BYTES);
    crn_http_parser_init(&connection->parser, &server->options.limits);
    uv_tcp_init(&server->loop, &connection->tcp);
    const size_t others = atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0) {
        crn_http_connection_close(connection);
        return;
    }
    atomic_fetch_add_explicit(&server->accepted, 1, memory_order_relaxed);
    if (others >= server->options.connections_max) {
        turn_away(connection);
        return;
    }
    (void)uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&connection->peer, &size);
    (void)uv_tcp_nodelay(&connection->tcp, 1);
    crn_http_connection_wait(connection,
                             server->options.tls != NULL ? CRN_HTTP_WAIT_HEAD : CRN_HTTP_WAIT_REQUEST);
    if (server->options.tls != NULL && !open_tls(connection, server->options.tls))
        crn_http_connection_close(connection);
    else
        start_reading(connection);
}

/* ---- time ---- */

/* The handler is late, beyond the grace after its deadline: the client is told, and the handler's answer
 * dropped. */
static void give_up(struct crn_http_connection *connection)
{
    struct crn_http_exchange *late = connection->exchange;

    atomic_store_explicit(&late->cancelled, true, memory_order_relaxed);
    late->connection = NULL;
    connection->answering = false;
    connection->exchange = NULL;
    if (!begin_request(connection)) return;
    memcpy(connection->exchange->id, late->id, sizeof late->id);
    refuse(connection, 504, "the request took too long");
}

void crn_http_connection_timeout(struct crn_http_connection *connection)
{
    const size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp);

    switch (connection->wait) {
    case CRN_HTTP_WAIT_HEAD:
    case CRN_HTTP_WAIT_BODY:
        if (connection->exchange != NULL)
            refuse(connection, 408, "the request did not come in time");
        else
            crn_http_connection_close(connection);
        break;
    case CRN_HTTP_WAIT_ANSWER:
        give_up(connection);
        break;
    case CRN_HTTP_WAIT_WRITE:
        if (left >= connection->write_left) {
            crn_http_connection_close(connection);
        } else {
            connection->write_left = left;
            crn_http_connection_wait(connection, CRN_HTTP_WAIT_WRITE);
        }
        break;
    default:
        crn_http_connection_close(connection);
    }
}

void crn_http_connection_stopping(struct crn_http_connection *connection, bool at_once)
{
    if (at_once || (connection->wait == CRN_HTTP_WAIT_REQUEST && connection->pending.len == 0))
        crn_http_connection_close(connection);
}
