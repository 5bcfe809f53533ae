/*
 * Answers on their way to the client: at once what the socket takes, the rest as it takes more. A file is read a chunk at a time, by a
 * thread of libuv's, the next one when the client has taken the last.
 */
#include "server/http_connection.h"

#include "base/mem.h"

#include <stddef.h>
#include <string.h>

#define CHUNK_BYTES 65536u

static bool is_head_only(const struct crn_http_exchange *exchange)
{
    const unsigned status = exchange->answer.status;

    return exchange->message.request.method == CRN_HEAD || status == 204 || status == 304;
}

static void part_sent(struct crn_http_connection *connection);

/* Without TLS the bytes are the exchange's, which a connection that closes therefore leaves to its write. */
static void on_written(uv_write_t *write, int status)
{
    struct crn_http_connection *connection = (struct crn_http_connection *)write->handle;
    struct crn_http_exchange *exchange = write->data;

    connection->writing = false;
    if (connection->closing) {
        if (exchange != NULL) crn_http_server_return_exchange(connection->server, exchange);
        return;
    }
    if (status < 0) {
        crn_http_connection_close(connection);
        return;
    }
    if (connection->tls != NULL)
        crn_http_send_records(connection);
    else
        part_sent(connection);
    crn_http_connection_resume(connection);
}

/* Drops the first `len` bytes of two pieces. */
static unsigned skip(uv_buf_t bufs[2], unsigned count, size_t len)
{
    unsigned first = 0;

    while (first < count && len >= bufs[first].len) len -= bufs[first++].len;
    if (first == count) return 0;
    bufs[first].base += len;
    bufs[first].len -= len;
    memmove(bufs, bufs + first, (count - first) * sizeof bufs[0]);
    return count - first;
}

/* True: all was written. Else it goes on, or the connection was closed. */
static bool write_some(struct crn_http_connection *connection, uv_buf_t bufs[2], unsigned count)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    uv_write_t *write = connection->tls != NULL ? &connection->tls->write : &connection->exchange->write;
    const int wrote = uv_try_write(stream, bufs, count);

    if (wrote < 0 && wrote != UV_EAGAIN) {
        crn_http_connection_close(connection);
        return false;
    }
    count = skip(bufs, count, wrote > 0 ? (size_t)wrote : 0);
    if (count == 0) return true;
    write->data = connection->tls != NULL ? NULL : connection->exchange;
    if (uv_write(write, stream, bufs, count, on_written) != 0) {
        crn_http_connection_close(connection);
        return false;
    }
    connection->writing = true;
    connection->write_left = uv_stream_get_write_queue_size(stream);
    return false;
}

void crn_http_send_records(struct crn_http_connection *connection)
{
    struct crn_http_tls *tls = connection->tls;

    if (connection->writing || connection->closing) return;
    if (!crn_tls_session_take(tls->session, &tls->waiting)) {
        crn_http_connection_close(connection);
        return;
    }
    if (tls->waiting.len > 0) {
        const struct crn_buf swap = tls->flying;
        tls->flying = tls->waiting;
        tls->waiting = swap;
        uv_buf_t bufs[2] = {uv_buf_init(tls->flying.data, (unsigned)tls->flying.len)};
        if (!write_some(connection, bufs, 1)) return;
    }
    crn_buf_release(&tls->flying); /* an idle session keeps none */
    crn_buf_release(&tls->waiting);
    if (connection->wait == CRN_HTTP_WAIT_WRITE) part_sent(connection);
}

/* ---- files ---- */

static void on_chunk(uv_fs_t *read)
{
    struct crn_http_exchange *exchange = read->data;
    struct crn_http_server *server =
        (struct crn_http_server *)((char *)read->loop - offsetof(struct crn_http_server, loop));
    struct crn_http_connection *connection = exchange->connection;
    const ssize_t got = read->result;

    uv_fs_req_cleanup(read);
    exchange->reading_file = false;
    if (connection == NULL) { /* the client has left */
        crn_http_server_return_exchange(server, exchange);
        return;
    }
    if (got <= 0) { /* less than was promised */
        crn_http_connection_close(connection);
        return;
    }
    exchange->file_sent += (uint64_t)got;
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_WRITE);
    if (connection->tls != NULL) {
        if (crn_tls_session_write(connection->tls->session, exchange->chunk, (size_t)got))
            crn_http_send_records(connection);
        else
            crn_http_connection_close(connection);
    } else {
        uv_buf_t bufs[2] = {uv_buf_init(exchange->chunk, (unsigned)got)};
        if (write_some(connection, bufs, 1)) part_sent(connection);
    }
    crn_http_connection_resume(connection);
}

static void read_chunk(struct crn_http_connection *connection)
{
    struct crn_http_exchange *exchange = connection->exchange;
    const uint64_t left = exchange->answer.file_bytes - exchange->file_sent;

    if (exchange->chunk == NULL) exchange->chunk = crn_mem_alloc(CHUNK_BYTES);
    const uv_buf_t buf = uv_buf_init(exchange->chunk, left < CHUNK_BYTES ? (unsigned)left : CHUNK_BYTES);
    exchange->connection = connection;
    exchange->read.data = exchange;
    exchange->reading_file = exchange->chunk != NULL &&
                             uv_fs_read(&connection->server->loop, &exchange->read, exchange->answer.file,
                                        &buf, 1, (int64_t)exchange->file_sent, on_chunk) == 0;
    if (!exchange->reading_file) crn_http_connection_close(connection);
}

static void part_sent(struct crn_http_connection *connection)
{
    const struct crn_http_exchange *exchange = connection->exchange;

    if (exchange->reading_file) return;
    if (!exchange->answer.has_file || is_head_only(exchange) ||
        exchange->file_sent == exchange->answer.file_bytes) {
        crn_http_connection_sent(connection);
    } else {
        read_chunk(connection);
    }
}

/* ---- answers ---- */

void crn_http_send_answer(struct crn_http_connection *connection)
{
    struct crn_http_exchange *exchange = connection->exchange;
    struct crn_answer *answer = &exchange->answer;

    crn_http_exchange_write_head(exchange, crn_http_server_date(connection->server),
                                 connection->server->options.answer_lines, !connection->last_request);
    const bool with_body = !is_head_only(exchange) && !answer->has_file && answer->body.len > 0;
    crn_http_connection_wait(connection, CRN_HTTP_WAIT_WRITE);
    if (connection->tls != NULL) {
        if (!crn_tls_session_write(connection->tls->session, exchange->head.data, exchange->head.len) ||
            (with_body &&
             !crn_tls_session_write(connection->tls->session, answer->body.data, answer->body.len))) {
            crn_http_connection_close(connection);
            return;
        }
        crn_http_send_records(connection);
        return;
    }
    uv_buf_t bufs[2] = {{.base = exchange->head.data, .len = exchange->head.len},
                        {.base = answer->body.data, .len = answer->body.len}};
    if (write_some(connection, bufs, with_body ? 2 : 1)) part_sent(connection);
}

void crn_http_send_continue(struct crn_http_connection *connection)
{
    static char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(line, sizeof line - 1);

    /* A socket that does not take 25 bytes now belongs to a client that reads nothing; it will not miss them.
     * */
    if (connection->tls == NULL) {
        (void)uv_try_write((uv_stream_t *)&connection->tcp, &buf, 1);
    } else if (crn_tls_session_write(connection->tls->session, line, sizeof line - 1)) {
        crn_http_send_records(connection);
    }
}
