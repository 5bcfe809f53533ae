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
#include "bench/http_load.h"
#include "server/http_server.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void measure_idle(const struct crn_http_server *server, uint16_t port)
{
    int *fds = malloc(settings.idle * sizeof *fds);
    const size_t before = mallinfo2().uordblks, others = crn_http_server_gauges(server).connections;

    for (unsigned i = 0; i < settings.idle; i++) fds[i] = http_load_dial(port, i);
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
    } numbers[] = {{"--connections", &settings.connections},
                   {"--seconds", &settings.seconds},
                   {"--body", &settings.body},
                   {"--answer", &settings.answer},
                   {"--workers", &settings.workers},
                   {"--idle", &settings.idle}};

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
    pthread_t thread;
    cairn_error err;

    read_arguments(argc, argv);
    http_load_raise_files();
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
    char *body = malloc(settings.body + 1);
    if (body == NULL) fail("memory");
    memset(body, 'b', settings.body);
    struct http_load_request request =
        http_load_request("POST /collections/notes/points/search", "application/json", body, settings.body);
    const struct http_load load = {.port = port,
                                   .connections = settings.connections,
                                   .seconds = settings.seconds,
                                   .requests = &request,
                                   .request_count = 1};
    const struct http_load_result result = http_load_run(&load);
    printf(
        "connections %u, body %u, answer %u bytes, %s: %.0f requests/s, p50 %.1f us, p99 %.1f us, server CPU %.2f us a request\n",
        settings.connections, settings.body, settings.answer, settings.on_loop ? "on the loop" : "by workers",
        (double)result.answers / result.seconds, result.p50_us, result.p99_us, result.rest_cpu_us);
    crn_http_server_stop(server);
    pthread_join(thread, NULL);
    crn_http_server_close(server);
    free(request.bytes);
    free(body);
    return 0;
}
