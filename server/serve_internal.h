/* What serve.c and serve_routes.c share. */
#ifndef CRN_SERVER_SERVE_INTERNAL_H
#define CRN_SERVER_SERVE_INTERNAL_H

#include "server/auth.h"
#include "server/config.h"
#include "server/http_server.h"
#include "server/live.h"
#include "server/metrics.h"
#include "server/serve_log.h"
#include "server/tls.h"

#include <cairn/cairn.h>
#include <pthread.h>

struct crn_serve {
    const struct crn_config *config;
    struct crn_serve_log log;
    struct crn_log sink; /* to `log` */
    int audit_fd;        /* -1: writes are told in `log` */
    struct crn_serve_log audit;
    struct crn_auth *auth; /* NULL: everybody may do everything */
    struct crn_tls *tls;
    cairn_db *db;
    void *api;
    struct crn_http_server *http;
    struct crn_metrics metrics;
    struct crn_live live;
    char *cors_lines;
    pthread_mutex_t ready_lock; /* guards these: what the last look found */
    uint64_t ready_ns;          /* 0: never looked */
    char ready_reason[128];     /* "": ready */
};

/* Hooks of the HTTP server; ctx is the struct crn_serve. */
void crn_serve_route(void *ctx, struct crn_http_message *message, struct crn_http_route *out_route,
                     struct crn_answer *answer);
void crn_serve_finished(void *ctx, const struct crn_http_record *record);
void crn_serve_before_sleep(void *ctx);
/* The last seconds as JSON (live.h), on any thread. */
void crn_serve_put_live(void *ctx, struct crn_buf *out);
void crn_serve_hang_up(void *ctx);

#endif
