/* The loop and what surrounds the connections: sockets, timers, the pool of exchanges, the orderly end. */
#include "server/http_server.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/http_connection.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define POOL_BYTES_MAX ((size_t)64 << 20) /* kept for requests to come */
#define KEEP_BYTES ((size_t)4 << 20)      /* by one buffer of them */
#define BACKLOG 1024
#define LEAVE_MS 2000u /* for what a client still sends after the last answer */
#define GRACE_MS 2000u /* for a handler to answer by itself after its deadline */

struct crn_http_server_options crn_http_server_defaults(void)
{
    return (struct crn_http_server_options){
        .host = "127.0.0.1",
        .limits = crn_http_limits_default,
        .answer_bytes_max = (size_t)1 << 30,
        .connections_max = 10000,
        .workers = 8,
        .queue_max = 1024,
        .head_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 75000,
        .write_timeout_ms = 30000,
        .request_timeout_ms = 60000,
        .shutdown_timeout_ms = 20000,
    };
}

/* ---- exchanges ---- */

struct crn_http_exchange *crn_http_server_take_exchange(struct crn_http_server *server)
{
    struct crn_http_exchange *exchange = server->pool;

    if (exchange == NULL)
        return crn_http_exchange_create(&server->options.limits, server->options.answer_bytes_max);
    server->pool = exchange->next;
    server->pool_bytes -= crn_http_exchange_bytes(exchange);
    exchange->next = NULL;
    return exchange;
}

void crn_http_server_return_exchange(struct crn_http_server *server, struct crn_http_exchange *exchange)
{
    crn_http_exchange_clear(exchange, KEEP_BYTES);
    const size_t bytes = crn_http_exchange_bytes(exchange);
    if (server->pool_bytes + bytes > POOL_BYTES_MAX) {
        crn_http_exchange_free(exchange);
        return;
    }
    exchange->next = server->pool;
    server->pool = exchange;
    server->pool_bytes += bytes;
}

const char *crn_http_server_date(struct crn_http_server *server)
{
    const int64_t second = crn_clock_ms() / 1000;
    const time_t now = (time_t)second;
    struct tm parts;

    if (second == server->date_second || gmtime_r(&now, &parts) == NULL) return server->date;
    strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    server->date_second = second;
    return server->date;
}

/* ---- the loop's turns ---- */

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void for_each_connection(struct crn_http_server *server,
                                void (*fn)(struct crn_http_connection *, bool), bool flag)
{
    for (int wait = 0; wait < CRN_HTTP_WAIT_COUNT; wait++) {
        struct crn_http_connection *connection = server->waits[wait].first, *next;
        for (; connection != NULL; connection = next) {
            next = connection->next;
            fn(connection, flag);
        }
    }
}

static void begin_stop(struct crn_http_server *server)
{
    server->stopping = true;
    server->stop_at_ms = uv_now(&server->loop) + server->options.shutdown_timeout_ms;
    for (size_t i = 0; i < server->listener_count; i++) close_handle(&server->listeners[i]);
    for_each_connection(server, crn_http_connection_stopping, false);
}

static void on_tick(uv_timer_t *timer)
{
    struct crn_http_server *server = timer->data;
    const uint64_t now_ms = uv_now(&server->loop);

    for (int wait = 0; wait < CRN_HTTP_WAIT_COUNT; wait++) {
        struct crn_http_wait_list *list = &server->waits[wait];
        while (list->first != NULL && list->first->wait_until_ms <= now_ms)
            crn_http_connection_timeout(list->first);
    }
    if (server->unaccepted != NULL && !server->stopping)
        crn_http_connection_accept(server, server->unaccepted);
    if (server->stopping && now_ms >= server->stop_at_ms)
        for_each_connection(server, crn_http_connection_stopping, true);
}

static void on_answered(uv_async_t *async)
{
    struct crn_http_server *server = async->data;
    struct crn_http_exchange *exchange = crn_http_workers_answered(server->workers), *next;

    for (; exchange != NULL; exchange = next) {
        next = exchange->next;
        crn_http_connection_answered(server, exchange);
    }
    if (atomic_load_explicit(&server->stop_asked, memory_order_relaxed) && !server->stopping)
        begin_stop(server);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct crn_http_server *server = signal->data;
    const struct crn_http_hooks *hooks = &server->options.hooks;

    if (number == SIGHUP) {
        if (hooks->hang_up != NULL) hooks->hang_up(hooks->ctx);
        return;
    }
    if (server->stopping)
        server->stop_at_ms = 0; /* the second one: at once */
    else
        crn_log(&server->options.log, CAIRN_LOG_INFO, "stopping: signal %d", number);
    if (!server->stopping) begin_stop(server);
}

/* Without handles but those that close, uv_run comes back. */
static void close_handles(struct crn_http_server *server)
{
    if (server->handles_closed) return;
    server->handles_closed = true;
    for (size_t i = 0; i < server->listener_count; i++) close_handle(&server->listeners[i]);
    for (int i = 0; server->options.signals && i < 3; i++) close_handle(&server->signals[i]);
    close_handle(&server->answered);
    close_handle(&server->tick);
    close_handle(&server->prepare);
    close_handle(&server->check);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct crn_http_server *server = prepare->data;

    crn_http_workers_wake(server->workers);
    if (server->options.hooks.before_sleep != NULL)
        server->options.hooks.before_sleep(server->options.hooks.ctx);
    if (server->stopping && server->at_workers == 0 &&
        atomic_load_explicit(&server->connections, memory_order_relaxed) == 0) {
        close_handles(server);
    }
}

static void on_check(uv_check_t *check)
{
    crn_http_workers_wake(((struct crn_http_server *)check->data)->workers);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0) crn_http_connection_accept(listener->data, listener);
}

static void on_work_done(void *ctx)
{
    struct crn_http_server *server = ctx;

    uv_async_send(&server->answered);
}

/* ---- opening ---- */

static cairn_status uv_error(cairn_error *err, int code, const char *what, const char *host, unsigned port)
{
    return crn_error_set(err, CAIRN_IO, "%s %s port %u: %s", what, host, port, uv_strerror(code));
}

static int bind_address(struct crn_http_server *server, uv_tcp_t *listener)
{
    const char *host = strcmp(server->options.host, "localhost") == 0 ? "127.0.0.1" : server->options.host;
    struct sockaddr_storage address;

    if (uv_ip4_addr(host, server->options.port, (struct sockaddr_in *)&address) != 0) {
        const int code = uv_ip6_addr(host, server->options.port, (struct sockaddr_in6 *)&address);
        if (code != 0) return code;
    }
    return uv_tcp_bind(listener, (struct sockaddr *)&address, 0);
}

static int open_listener(struct crn_http_server *server, size_t number)
{
    uv_tcp_t *listener = &server->listeners[number];
    struct sockaddr_storage address;
    int size = sizeof address;

    int code = uv_tcp_init(&server->loop, listener);
    if (code != 0) return code;
    server->listener_count++;
    listener->data = server;
    code = server->options.socket_count > 0 ? uv_tcp_open(listener, server->options.sockets[number])
                                            : bind_address(server, listener);
    if (code == 0) code = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    if (code == 0) code = uv_tcp_getsockname(listener, (struct sockaddr *)&address, &size);
    /* at the same place in both families */
    if (code == 0 && number == 0) server->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return code;
}

static uint64_t shortest_ms(const struct crn_http_server *server)
{
    uint64_t shortest = server->options.shutdown_timeout_ms;

    for (int wait = 0; wait < CRN_HTTP_WAIT_COUNT; wait++) {
        if (server->wait_ms[wait] < shortest) shortest = server->wait_ms[wait];
    }
    return shortest;
}

static void set_waits(struct crn_http_server *server)
{
    const struct crn_http_server_options *options = &server->options;
    const uint64_t grace_ms =
        options->request_timeout_ms / 4 < GRACE_MS ? options->request_timeout_ms / 4 : GRACE_MS;

    server->wait_ms[CRN_HTTP_WAIT_REQUEST] = options->idle_timeout_ms;
    server->wait_ms[CRN_HTTP_WAIT_HEAD] = options->head_timeout_ms;
    server->wait_ms[CRN_HTTP_WAIT_BODY] = options->body_timeout_ms;
    server->wait_ms[CRN_HTTP_WAIT_ANSWER] = options->request_timeout_ms + grace_ms;
    server->wait_ms[CRN_HTTP_WAIT_WRITE] = options->write_timeout_ms;
    server->wait_ms[CRN_HTTP_WAIT_LEAVE] = LEAVE_MS;
}

/* Handles that cannot fail but for what uv_loop_init already had. */
static void start_handles(struct crn_http_server *server)
{
    uint64_t tick_ms = shortest_ms(server) / 4;

    if (tick_ms < 5) tick_ms = 5;
    if (tick_ms > 500) tick_ms = 500;
    uv_timer_init(&server->loop, &server->tick);
    uv_prepare_init(&server->loop, &server->prepare);
    uv_check_init(&server->loop, &server->check);
    server->tick.data = server->prepare.data = server->check.data = server->answered.data = server;
    uv_timer_start(&server->tick, on_tick, tick_ms, tick_ms);
    uv_prepare_start(&server->prepare, on_prepare);
    uv_check_start(&server->check, on_check);
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; server->options.signals && i < 3; i++) {
        uv_signal_init(&server->loop, &server->signals[i]);
        server->signals[i].data = server;
        uv_signal_start(&server->signals[i], on_signal, numbers[i]);
    }
}

static cairn_status open_sockets(struct crn_http_server *server, cairn_error *err)
{
    const size_t count = server->options.socket_count > 0 ? server->options.socket_count : 1;

    for (size_t i = 0; i < count; i++) {
        const int code = open_listener(server, i);
        if (code == 0) continue;
        if (server->options.socket_count == 0)
            return uv_error(err, code, "cannot listen on", server->options.host, server->options.port);
        return uv_error(err, code, "cannot listen on a given socket,", "number", (unsigned)i);
    }
    return CAIRN_OK;
}

static cairn_status start(struct crn_http_server *server, cairn_error *err)
{
    unsigned char entropy[16];

    crn_rng_entropy(entropy);
    memcpy(&server->next_id, entropy, sizeof server->next_id);
    server->read_buffer = crn_mem_alloc(CRN_HTTP_READ_BYTES);
    server->plain_buffer = crn_mem_alloc(CRN_HTTP_READ_BYTES);
    if (server->read_buffer == NULL || server->plain_buffer == NULL)
        return crn_error_no_memory(err, CRN_HTTP_READ_BYTES);
    const int code = uv_async_init(&server->loop, &server->answered, on_answered);
    if (code != 0)
        return uv_error(err, code, "cannot start the loop for", server->options.host, server->options.port);
    set_waits(server);
    start_handles(server);
    CRN_TRY(open_sockets(server, err));
    return crn_http_workers_start(server->options.workers, server->options.queue_max, on_work_done, server,
                                  &server->workers, err);
}

cairn_status crn_http_server_open(const struct crn_http_server_options *options, struct crn_http_server **out,
                                  cairn_error *err)
{
    struct crn_http_server *server = crn_mem_calloc(1, sizeof *server);

    *out = NULL;
    if (server == NULL) return crn_error_no_memory(err, sizeof *server);
    server->options = *options;
    if (uv_loop_init(&server->loop) != 0) {
        crn_mem_free(server);
        return crn_error_set(err, CAIRN_IO, "the event loop cannot be made: %s", strerror(errno));
    }
    const cairn_status status = start(server, err);
    if (status != CAIRN_OK) {
        crn_http_server_close(server);
        return status;
    }
    *out = server;
    return CAIRN_OK;
}

uint16_t crn_http_server_port(const struct crn_http_server *server)
{
    return server->port;
}

void crn_http_server_run(struct crn_http_server *server)
{
    signal(SIGPIPE, SIG_IGN); /* a client that has gone is an error of writing */
    uv_run(&server->loop, UV_RUN_DEFAULT);
}

void crn_http_server_stop(struct crn_http_server *server)
{
    atomic_store_explicit(&server->stop_asked, true, memory_order_relaxed); /* ordered by the send */
    uv_async_send(&server->answered);
}

static void close_any(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    close_handle(handle);
}

void crn_http_server_close(struct crn_http_server *server)
{
    if (server == NULL) return;
    crn_http_workers_stop(server->workers);
    /* it never ran, or never got that far */
    if (!server->handles_closed) uv_walk(&server->loop, close_any, NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
    while (server->pool != NULL) {
        struct crn_http_exchange *next = server->pool->next;
        crn_http_exchange_free(server->pool);
        server->pool = next;
    }
    crn_mem_free(server->read_buffer);
    crn_mem_free(server->plain_buffer);
    crn_mem_free(server);
}

struct crn_http_gauges crn_http_server_gauges(const struct crn_http_server *server)
{
    return (struct crn_http_gauges){
        .connections = atomic_load_explicit(&server->connections, memory_order_relaxed),
        .in_flight = atomic_load_explicit(&server->in_flight, memory_order_relaxed),
        .waiting = crn_http_workers_waiting(server->workers),
        .accepted = atomic_load_explicit(&server->accepted, memory_order_relaxed),
        .refused_connections = atomic_load_explicit(&server->refused_connections, memory_order_relaxed),
        .refused_requests = atomic_load_explicit(&server->refused_requests, memory_order_relaxed),
    };
}
