/*
 * Load on an HTTP server over loopback, for benchmarks: one thread, any number of connections with one request under way
 * each. The clients' CPU can be told from the server's by the thread's clock. Ends the program when anything goes wrong.
 */
#ifndef CRN_BENCH_HTTP_LOAD_H
#define CRN_BENCH_HTTP_LOAD_H

#include <stddef.h>
#include <stdint.h>

struct http_load_request {
    char *bytes; /* head and body */
    size_t length;
};

struct http_load {
    uint16_t port;
    unsigned connections;
    double seconds;
    uint64_t requests_max; /* 0: as many as fit into the time; else the load ends behind so many */
    const struct http_load_request *requests; /* taken in turn */
    size_t request_count;
};

struct http_load_result {
    uint64_t answers;
    double seconds;
    double p50_us, p99_us;
    double rest_cpu_us; /* CPU of the process but for the calling thread, for each answer */
};

/* All answers must be 2xx. */
struct http_load_result http_load_run(const struct http_load *load);
/* method and path, as in "POST /search"; `type` of the body, or NULL. Takes nothing. */
struct http_load_request http_load_request(const char *what, const char *type, const void *body,
                                           size_t body_length);
/* A connection to 127.0.0.1. The clients' addresses are 127.0.0.1 and on, one for 20,000 of them, since an address has
 * fewer than 65,536 ports. */
int http_load_dial(uint16_t port, unsigned number);
/* As many open files as the system allows; returns how many. */
unsigned long http_load_raise_files(void);

#endif
