/* What the files bench_serve*.c share. */
#ifndef CRN_BENCH_SERVE_H
#define CRN_BENCH_SERVE_H

#include "bench/http_load.h"
#include "server/serve.h"

#include <pthread.h>

struct bench_serve_settings {
    uint32_t rows, dim, k, connections, batch, idle, collections, repeat, seconds;
    const char *dir, *data, *form; /* form: only those whose name begins so */
    bool access_log;
};
extern struct bench_serve_settings bench_serve;

/* ---- bench_serve.c ---- */

/* A server in this process, on the database of the folder. */
struct serving {
    struct crn_config config;
    struct crn_serve *serve;
    pthread_t thread;
    uint16_t port;
};
void bench_serve_folder(void); /* makes an empty one in the place of the last */
void bench_serve_begin(struct serving *serving);
void bench_serve_end(struct serving *serving);
void bench_serve_free(struct http_load_request *requests, size_t count);

/* ---- bench_serve_forms.c ---- */

enum form { JSON, BASE64, BARE, QDRANT, FORMS };
extern const char *const bench_serve_forms[FORMS];
bool bench_serve_wants(enum form form);
struct http_load_request bench_serve_search(enum form form, const float *query);
/* bench_serve.batch rows with the ids from `first` on. */
struct http_load_request bench_serve_upsert(enum form form, const float *rows, uint32_t first);

/* ---- bench_serve_many.c ---- */

void bench_serve_idle(void);
void bench_serve_collections(void);

#endif
