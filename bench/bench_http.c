/*
 * What the server itself costs: requests over loopback to a handler that does next to nothing, by clients
 * that keep their connections and have one request under way each. CPU is that of the whole process but for
 * the clients' threads.
 *
 *   bench_http [--connections 1] [--seconds 3] [--body 0] [--answer 64] [--workers 2] [--on-loop]
 *
 * Prints requests a second, p50 and p99, CPU microseconds a request, and what an idle connection holds in
 * memory.
 */
#include "base/clock.h"
#include "server/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000u

static struct {
    unsigned connections, seconds, body, answer, workers, idle;
    bool on_loop;
} settings = {.connections = 1, .seconds = 3, .answer = 64, .workers = 2, .idle = 2000};

static void fail(const char *what)
{
    fprintf(stderr, "bench_http: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    (void)ctx;
    (void)request;
    char *room = crn_buf_extend(&answer->body, settings.answer);
    if (room != NULL) memset(room, 'x', settings.answer);
}

static void route(void *ctx, struct crn_http_message *message, struct crn_http_route *out,
                  struct crn_answer *answer)
{
    (void)ctx;
    (void)message;
    (void)answer;
    *out = (struct crn_http_route){.handler = handle, .on_loop = settings.on_loop};
}

static void finished(void *ctx, const struct crn_http_record *record)
{
    (void)ctx;
    (void)record;
}

static void *serve(void *server)
{
    crn_http_server_run(server);
    return NULL;
}

static int dial(uint16_t port)
{
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

struct client {
    int fd;
    size_t got, wanted; /* of the answer */
    uint64_t sent_ns;
};

static char *request_bytes;
static size_t request_len;
static uint32_t *samples_ns;
static size_t sample_count;

static void ask(struct client *client)
{
    client->got = client->wanted = 0;
    client->sent_ns = crn_clock_ns();
    for (size_t at = 0; at < request_len;) {
        const ssize_t wrote = send(client->fd, request_bytes + at, request_len - at, MSG_NOSIGNAL);
        if (wrote < 0) fail("send");
        at += (size_t)wrote;
    }
}

/* True: the whole answer is there. All answers have the same length, which the first one's head tells. */
static bool hear(struct client *client)
{
    static char bytes[1 << 20];
    static size_t length;
    const ssize_t got = recv(client->fd, bytes, sizeof bytes - 1, 0);

    if (got <= 0) fail("recv");
    if (length == 0) {
        bytes[got] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        if (end == NULL || strncmp(bytes, "HTTP/1.1 200", 12) != 0) fail("the answer is not 200");
        length = (size_t)(end + 4 - bytes) + settings.answer;
    }
    client->got += (size_t)got;
    if (client->got > length) fail("an answer has another length than the first");
    return client->got == length;
}

static void drive(struct client *clients)
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    const uint64_t end_ns = crn_clock_ns() + settings.seconds * 1000000000ull;

    for (unsigned i = 0; i < settings.connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) != 0) fail("epoll_ctl");
        ask(&clients[i]);
    }
    for (uint64_t now_ns = 0; now_ns < end_ns;) {
        const int ready = epoll_wait(epoll, events, 256, 1000);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!hear(client)) continue;
            now_ns = crn_clock_ns();
            if (sample_count < SAMPLES_MAX) samples_ns[sample_count++] = (uint32_t)(now_ns - client->sent_ns);
            ask(client);
        }
        if (ready == 0) now_ns = crn_clock_ns();
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

static void make_request(void)
{
    char head[200];
    const int len = snprintf(head, sizeof head,
                             "POST /collections/notes/points/search HTTP/1.1\r\nHost: localhost:6333\r\nAccept: */*\r\n"
                             "User-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: %u\r\n\r\n",
                             settings.body);

    request_len = (size_t)len + settings.body;
    request_bytes = malloc(request_len);
    samples_ns = malloc(SAMPLES_MAX * sizeof *samples_ns);
    if (request_bytes == NULL || samples_ns == NULL) fail("memory");
    memcpy(request_bytes, head, (size_t)len);
    memset(request_bytes + len, 'b', settings.body);
}

static void measure_idle(const struct crn_http_server *server, uint16_t port)
{
    int *fds = malloc(settings.idle * sizeof *fds);
    const size_t before = mallinfo2().uordblks, others = crn_http_server_gauges(server).connections;

    for (unsigned i = 0; i < settings.idle; i++) fds[i] = dial(port);
    while (crn_http_server_gauges(server).connections < others + settings.idle) poll(NULL, 0, 1);
    const size_t after = mallinfo2().uordblks;
    printf("an idle connection: %.0f bytes\n", (double)(after - before) / settings.idle);
    for (unsigned i = 0; i < settings.idle; i++) close(fds[i]);
    free(fds);
}

static void read_arguments(int argc, char **argv)
{
    const struct {
        const char *name;
        unsigned *value;
    } numbers[] = {{"--connections", &settings.connections}, {"--seconds", &settings.seconds},
                   {"--body", &settings.body},
                   {"--answer", &settings.answer},           {"--workers", &settings.workers}, {"--idle",
                           &settings.idle}};

    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--on-loop") == 0;
        if (known) settings.on_loop = true;
        for (size_t n = 0; !known && i + 1 < argc && n < sizeof numbers / sizeof numbers[0]; n++) {
            if (strcmp(argv[i], numbers[n].name) != 0) continue;
            *numbers[n].value = (unsigned)strtoul(argv[++i], NULL, 10);
            known = true;
        }
        if (known) continue;
        fprintf(stderr, "bench_http: unknown argument '%s'\n", argv[i]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct crn_http_server_options options = crn_http_server_defaults();
    struct crn_http_server *server;
    struct rlimit files;
    pthread_t thread;
    cairn_error err;

    read_arguments(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_request();
    options.workers = settings.workers;
    options.connections_max = 100000;
    options.queue_max = 100000;
    options.hooks = (struct crn_http_hooks){.route = route, .finished = finished};
    if (crn_http_server_open(&options, &server, &err) != CAIRN_OK ||
        pthread_create(&thread, NULL, serve, server) != 0) {
        fail("the server does not start");
    }
    const uint16_t port = crn_http_server_port(server);
    measure_idle(server, port);
    struct client *clients = calloc(settings.connections, sizeof *clients);
    if (clients == NULL) fail("memory");
    for (unsigned i = 0; i < settings.connections; i++) clients[i].fd = dial(port);

    const double process_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID), client_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    const uint64_t begin_ns = crn_clock_ns();
    drive(clients);
    const double seconds = (double)(crn_clock_ns() - begin_ns) / 1e9;
    const double server_us =
        cpu_us(CLOCK_PROCESS_CPUTIME_ID) - process_us - (cpu_us(CLOCK_THREAD_CPUTIME_ID) - client_us);
    if (sample_count == 0) fail("nothing was answered");
    qsort(samples_ns, sample_count, sizeof *samples_ns, compare);
    printf("connections %u, body %u, answer %u bytes, %s: %.0f requests/s, p50 %.1f us, p99 %.1f us, server CPU %.2f us a request\n",
           settings.connections, settings.body, settings.answer, settings.on_loop ? "on the loop"
               : "by workers",
           (double)sample_count / seconds, samples_ns[sample_count / 2] / 1e3, samples_ns[sample_count / 100 * 99] / 1e3,
           server_us / (double)sample_count);
    for (unsigned i = 0; i < settings.connections; i++) close(clients[i].fd);
    crn_http_server_stop(server);
    pthread_join(thread, NULL);
    crn_http_server_close(server);
    free(clients);
    free(samples_ns);
    free(request_bytes);
    return 0;
}
