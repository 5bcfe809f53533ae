#include "bench/http_load.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000u
#define CLIENTS_AN_ADDRESS 20000u

static void fail(const char *what)
{
    fprintf(stderr, "http load: %s: %s\n", what, strerror(errno));
    exit(1);
}

unsigned long http_load_raise_files(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return (unsigned long)files.rlim_cur;
}

int http_load_dial(uint16_t port, unsigned number)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / CLIENTS_AN_ADDRESS)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&from, sizeof from) != 0) fail("bind");
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

struct http_load_request http_load_request(const char *what, const char *type, const void *body,
                                           size_t body_length)
{
    const size_t room = strlen(what) + body_length + 300;
    struct http_load_request request = {.bytes = malloc(room)};

    if (request.bytes == NULL) fail("memory");
    const int head = snprintf(request.bytes, room,
                              "%s HTTP/1.1\r\nHost: localhost:6333\r\nAccept: */*\r\nUser-Agent: bench\r\n"
                              "%s%s%sContent-Length: %zu\r\n\r\n",
                              what, type != NULL ? "Content-Type: " : "", type != NULL ? type : "",
                              type != NULL ? "\r\n" : "", body_length);
    if (body_length > 0) memcpy(request.bytes + head, body, body_length);
    request.length = (size_t)head + body_length;
    return request;
}

struct client {
    int fd;
    size_t left; /* of an answer's body */
    uint64_t sent_ns;
};

struct run {
    const struct http_load *load;
    uint32_t *samples_ns;
    uint64_t answers, asked;
};

static void ask(struct run *run, struct client *client)
{
    const struct http_load_request *request = &run->load->requests[run->asked++ % run->load->request_count];

    client->left = 0;
    client->sent_ns = crn_clock_ns();
    for (size_t at = 0; at < request->length;) {
        const ssize_t wrote = send(client->fd, request->bytes + at, request->length - at, MSG_NOSIGNAL);
        if (wrote < 0) fail("send");
        at += (size_t)wrote;
    }
}

/* True: the whole answer is there. Its head comes in one piece, as this server sends it. */
static bool hear(struct client *client)
{
    static char bytes[1 << 20];
    const ssize_t got = recv(client->fd, bytes, sizeof bytes - 1, 0);

    if (got <= 0) fail("recv");
    if (client->left > 0) {
        if ((size_t)got > client->left) fail("more than was asked for");
        client->left -= (size_t)got;
        return client->left == 0;
    }
    bytes[got] = '\0';
    const char *end = strstr(bytes, "\r\n\r\n"), *length = strstr(bytes, "\r\ncontent-length: ");
    if (end == NULL || length == NULL || length > end || strncmp(bytes, "HTTP/1.1 2", 10) != 0) {
        fprintf(stderr, "http load: %s\n", bytes);
        exit(1);
    }
    const size_t whole = (size_t)(end + 4 - bytes) + strtoull(length + 18, NULL, 10);
    if ((size_t)got > whole) fail("more than was asked for");
    client->left = whole - (size_t)got;
    return client->left == 0;
}

static void drive(struct run *run, struct client *clients)
{
    const struct http_load *load = run->load;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    const uint64_t end_ns = crn_clock_ns() + (uint64_t)(load->seconds * 1e9);
    const uint64_t most = load->requests_max != 0 ? load->requests_max : UINT64_MAX;
    struct epoll_event events[256];
    uint64_t now_ns = 0;

    for (unsigned i = 0; i < load->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) != 0) fail("epoll_ctl");
        if (run->asked < most) ask(run, &clients[i]);
    }
    while (run->answers < run->asked) {
        const int ready = epoll_wait(epoll, events, 256, 1000);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!hear(client)) continue;
            now_ns = crn_clock_ns();
            if (run->answers < SAMPLES_MAX)
                run->samples_ns[run->answers] = (uint32_t)(now_ns - client->sent_ns);
            run->answers++;
            if (run->asked < most && (load->requests_max != 0 || now_ns < end_ns)) ask(run, client);
        }
    }
    close(epoll);
}

static double cpu_us(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

struct http_load_result http_load_run(const struct http_load *load)
{
    struct client *clients = calloc(load->connections, sizeof *clients);
    struct run run = {.load = load, .samples_ns = malloc(SAMPLES_MAX * sizeof *run.samples_ns)};
    struct http_load_result result = {0};

    if (clients == NULL || run.samples_ns == NULL) fail("memory");
    for (unsigned i = 0; i < load->connections; i++) clients[i].fd = http_load_dial(load->port, i);
    const double process_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID), client_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    const uint64_t begin_ns = crn_clock_ns();
    drive(&run, clients);
    result.seconds = (double)(crn_clock_ns() - begin_ns) / 1e9;
    result.answers = run.answers;
    result.rest_cpu_us =
        (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - process_us - (cpu_us(CLOCK_THREAD_CPUTIME_ID) - client_us)) /
        (double)run.answers;
    const size_t samples = run.answers < SAMPLES_MAX ? run.answers : SAMPLES_MAX;
    qsort(run.samples_ns, samples, sizeof *run.samples_ns, compare);
    result.p50_us = run.samples_ns[samples / 2] / 1e3;
    result.p99_us = run.samples_ns[samples - 1 - samples / 100] / 1e3;
    for (unsigned i = 0; i < load->connections; i++) close(clients[i].fd);
    free(clients);
    free(run.samples_ns);
    return result;
}
