/* A server in a thread of the test, with handlers that tests steer by the path; and a client of bare sockets.
 * */
#ifndef CRN_TESTS_SERVER_WORLD_H
#define CRN_TESTS_SERVER_WORLD_H

#include "tests/base/support.h"

#include "base/clock.h"
#include "server/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct crn_http_server_options options;
    struct crn_http_server *server;
    pthread_t thread;
    atomic_int started, cancelled, released, finished, last_status, handled;
    atomic_bool hold; /* handlers of /wait stay until this is false or their client has left */
};

static inline void rest_ms(int ms)
{
    poll(NULL, 0, ms);
}

static inline unsigned char byte_of_file(size_t at)
{
    return (unsigned char)((at * 31) ^ (at >> 16));
}

/* /file/N: N bytes of byte_of_file. */
static inline void world_answer_file(struct crn_answer *answer, size_t size)
{
    FILE *file = tmpfile();
    unsigned char bytes[4096];

    for (size_t at = 0; at < size; at += sizeof bytes) {
        const size_t count = size - at < sizeof bytes ? size - at : sizeof bytes;
        for (size_t i = 0; i < count; i++) bytes[i] = byte_of_file(at + i);
        if (fwrite(bytes, 1, count, file) != count) abort();
    }
    fflush(file);
    answer->has_file = true;
    answer->file = dup(fileno(file));
    answer->file_bytes = size;
    fclose(file);
}

/* /wait, /size/N, /file/N, /slow/MS, anything else: echoes method and body. */
static inline void world_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    struct world *world = ctx;
    const struct crn_text first =
        request->segment_count > 0 ? request->segments[0] : (struct crn_text){"", 0};

    atomic_fetch_add(&world->started, 1);
    if (crn_http_text_is(first, "wait")) {
        while (atomic_load(&world->hold) && !request->cancelled(request->cancelled_ctx)) rest_ms(1);
        if (request->cancelled(request->cancelled_ctx)) atomic_fetch_add(&world->cancelled, 1);
    } else if (crn_http_text_is(first, "stubborn")) {
        while (atomic_load(&world->hold)) rest_ms(1);
    } else if (crn_http_text_is(first, "size")) {
        const size_t size = strtoull(request->segments[1].data, NULL, 10);
        char *room = crn_buf_extend(&answer->body, size);
        if (room != NULL) memset(room, 'x', size);
    } else if (crn_http_text_is(first, "file")) {
        size_t size = 0; /* the text has no end of its own */
        for (size_t i = 0; i < request->segments[1].length; i++)
            size = size * 10 + (size_t)(request->segments[1].data[i] - '0');
        world_answer_file(answer, size);
        if (request->segment_count == 3) answer->file_bytes++; /* more than there is */
    }
    if (answer->body.len == 0) {
        crn_buf_printf(&answer->body, "%d ", (int)request->method);
        crn_buf_append(&answer->body, request->body.data, request->body.length);
    }
    atomic_fetch_add(&world->handled, 1);
}

static inline void world_route(void *ctx, struct crn_http_message *message, struct crn_http_route *out,
                               struct crn_answer *answer)
{
    const struct crn_request *request = &message->request;

    *out = (struct crn_http_route){.handler = world_handle, .ctx = ctx};
    if (request->segment_count == 0) return;
    if (crn_http_text_is(request->segments[0], "loop")) out->on_loop = true;
    if (crn_http_text_is(request->segments[0], "forbidden")) {
        out->handler = NULL;
        answer->status = 403;
        crn_buf_puts(&answer->body, "no");
    }
}

static inline void world_finished(void *ctx, const struct crn_http_record *record)
{
    struct world *world = ctx;

    atomic_store(&world->last_status, (int)record->status);
    atomic_fetch_add(&world->finished, 1);
}

static inline void *world_run(void *ctx)
{
    crn_http_server_run(((struct world *)ctx)->server);
    return NULL;
}

static inline void world_prepare(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->options = crn_http_server_defaults();
    world->options.workers = 2;
    world->options.hooks.ctx = world;
    world->options.hooks.route = world_route;
    world->options.hooks.finished = world_finished;
}

static inline void world_start(struct world *world)
{
    cairn_error err = {0};

    if (crn_http_server_open(&world->options, &world->server, &err) != CAIRN_OK) fail_msg("%s", err.message);
    assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
}

static inline void world_join(struct world *world)
{
    pthread_join(world->thread, NULL);
    crn_http_server_close(world->server);
}

static inline void world_stop(struct world *world)
{
    crn_http_server_stop(world->server);
    world_join(world);
}

/* Waits, generously, for what must come. */
#define WAIT_FOR(condition)                                                             \
    do {                                                                                \
        const uint64_t until_ns_ = crn_clock_ns() + 60000000000u;                       \
        while (!(condition)) {                                                          \
            if (crn_clock_ns() > until_ns_) fail_msg("waited in vain: %s", #condition); \
            rest_ms(1);                                                                 \
        }                                                                               \
    } while (0)

static inline int dial(const struct world *world)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(crn_http_server_port(world->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline void say_n(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t wrote = send(fd, data, len, MSG_NOSIGNAL);
        if (wrote <= 0) return; /* the server has closed; what it said is what counts */
        data += wrote;
        len -= (size_t)wrote;
    }
}

static inline void say(int fd, const char *text)
{
    say_n(fd, text, strlen(text));
}

/* The head of an answer; the status, 0 when the connection ended before one. What is behind it stays. */
static inline int hear_head(int fd, struct crn_buf *out)
{
    char c;

    crn_buf_clear(out);
    while (out->len < 4 || memcmp(out->data + out->len - 4, "\r\n\r\n", 4) != 0) {
        if (recv(fd, &c, 1, 0) != 1 || crn_buf_putc(out, c) != CAIRN_OK) return 0;
    }
    return (int)strtol(out->data + 9, NULL, 10);
}

/* One answer, with its body unless `head_only`; its status, or 0. */
static inline int hear_answer(int fd, bool head_only, struct crn_buf *out_body)
{
    struct crn_buf head;

    crn_buf_init(&head, 16384);
    if (out_body != NULL) crn_buf_clear(out_body);
    int status = hear_head(fd, &head);
    const char *length = head.data != NULL ? strstr(head.data, "content-length: ") : NULL;
    size_t left = length != NULL && !head_only ? strtoull(length + 16, NULL, 10) : 0;
    while (status != 0 && left > 0) {
        char bytes[65536];
        const ssize_t got = recv(fd, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
        if (got <= 0)
            status = 0;
        else if (out_body != NULL)
            crn_buf_append(out_body, bytes, (size_t)got);
        left -= got > 0 ? (size_t)got : 0;
    }
    crn_buf_release(&head);
    return status;
}

static inline int hear(int fd)
{
    return hear_answer(fd, false, NULL);
}

/* Whether the server ends the connection, after anything it may still say. */
static inline bool hear_end(int fd)
{
    char bytes[4096];
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
