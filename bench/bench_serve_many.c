/* Thousands of connections and of collections. */
#include "bench/bench_serve.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static double resident_mib(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    malloc_trim(0);
    while (status != NULL && fgets(line, sizeof line, status) != NULL) sscanf(line, "RssAnon: %ld", &kib);
    if (status != NULL) fclose(status);
    return (double)kib / 1024;
}

static unsigned open_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    unsigned count = 0;

    while (files != NULL && readdir(files) != NULL) count++;
    if (files != NULL) closedir(files);
    return count - 3; /* . and .., and the folder's own */
}

static struct http_load_result ask_one(const struct serving *serving, struct http_load_request request)
{
    const struct http_load load = {
        .port = serving->port, .connections = 1, .requests_max = 1, .requests = &request, .request_count = 1};
    const struct http_load_result result = http_load_run(&load);

    free(request.bytes);
    return result;
}

/* Holds the clients' ends until `until` is closed: a process of its own, since files are counted by process. */
static pid_t hold_connections(uint16_t port, int ready, const int until[2])
{
    const pid_t child = fork();

    if (child != 0) return child;
    close(until[1]);
    for (unsigned i = 0; i < bench_serve.idle; i++) (void)http_load_dial(port, i);
    if (write(ready, "", 1) != 1) _exit(1);
    _exit((int)read(until[0], &(char){0}, 1));
}

void bench_serve_idle(void)
{
    struct serving serving;
    const unsigned long files = http_load_raise_files();
    int ready[2], until[2];

    if (bench_serve.idle + 100ul > files || pipe(ready) != 0 || pipe(until) != 0) {
        fprintf(stderr, "bench_serve: %lu files may be open, too few for %u connections\n", files,
                bench_serve.idle);
        exit(1);
    }
    bench_serve_folder();
    bench_serve_begin(&serving);
    (void)ask_one(&serving, http_load_request("GET /livez", NULL, NULL, 0));
    const double before = resident_mib();
    const pid_t holder = hold_connections(serving.port, ready[1], until);
    close(ready[1]);
    close(until[0]);
    if (holder < 0 || read(ready[0], &(char){0}, 1) != 1) exit(1);
    const double asked_us = ask_one(&serving, http_load_request("GET /livez", NULL, NULL, 0)).p50_us;
    const double after = resident_mib();
    printf(
        "%u idle connections: %.1f MiB before, %.1f MiB with them (%.0f bytes each), %u open files; another request takes %.0f us\n",
        bench_serve.idle, before, after, (after - before) * 1048576 / bench_serve.idle, open_files(),
        asked_us);
    close(until[1]);
    close(ready[0]);
    waitpid(holder, NULL, 0);
    bench_serve_end(&serving);
}

/* A request for each collection, in turn. */
static void for_all_collections(const struct serving *serving, const char *label, const char *format,
                                bool put, const char *body)
{
    struct http_load_request *requests = calloc(bench_serve.collections, sizeof *requests);
    char what[100], text[100];

    for (uint32_t i = 0; i < bench_serve.collections; i++) {
        snprintf(what, sizeof what, format, i);
        snprintf(text, sizeof text, body, i);
        requests[i] = http_load_request(what, "application/json", text, strlen(text));
    }
    const struct http_load load = {.port = serving->port,
                                   .connections = put ? bench_serve.connections : 1,
                                   .requests_max = bench_serve.collections,
                                   .requests = requests,
                                   .request_count = bench_serve.collections};
    const struct http_load_result result = http_load_run(&load);
    printf("%s: %.2f s, p50 %.0f us, p99 %.0f us, %.0f us of CPU each; %.1f MiB, %u open files\n", label,
           result.seconds, result.p50_us, result.p99_us, result.rest_cpu_us, resident_mib(), open_files());
    fflush(stdout);
    bench_serve_free(requests, bench_serve.collections);
}

static void ask_whole(const struct serving *serving, const char *what)
{
    printf("%s: %.1f ms\n", what, ask_one(serving, http_load_request(what, NULL, NULL, 0)).p50_us / 1000);
}

void bench_serve_collections(void)
{
    struct serving serving;

    bench_serve_folder();
    bench_serve_begin(&serving);
    printf("no collection: %.1f MiB, %u open files\n", resident_mib(), open_files());
    for_all_collections(&serving, "made", "POST /cairn/v1/collections", true, "{\"name\":\"c%u\",\"dim\":8}");
    for_all_collections(&serving, "a row in each", "PUT /cairn/v1/collections/c%u/patterns", true,
                        "{\"id\":1,\"vector\":[1,2,3,4,5,6,7,8]}");
    for_all_collections(&serving, "searched each", "POST /cairn/v1/collections/c%u/search", false,
                        "{\"vector\":[1,2,3,4,5,6,7,8]}");
    for_all_collections(&serving, "and again", "POST /cairn/v1/collections/c%u/search", false,
                        "{\"vector\":[1,2,3,4,5,6,7,8]}");
    for_all_collections(&serving, "by the Qdrant dialect", "POST /collections/c%u/points/query", false,
                        "{\"query\":[1,2,3,4,5,6,7,8]}");
    ask_whole(&serving, "GET /cairn/v1/collections");
    ask_whole(&serving, "GET /collections");
    ask_whole(&serving, "GET /cairn/v1/stats");
    ask_whole(&serving, "GET /metrics");
    printf("after these: %.1f MiB, %u open files\n", resident_mib(), open_files());
    bench_serve_end(&serving);
    bench_serve_begin(&serving);
    for_all_collections(&serving, "after a restart", "POST /cairn/v1/collections/c%u/search", false,
                        "{\"vector\":[1,2,3,4,5,6,7,8]}");
    bench_serve_end(&serving);
}
