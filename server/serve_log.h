/*
 * The server's log: one JSON object a line, {"time":...,"level":...,...}. A crn_log message that is itself a
 * JSON object gives its members to the line; any other text becomes "message". Lines below a warning are
 * collected and written together, by crn_serve_log_flush. Shared.
 */
#ifndef CRN_SERVER_SERVE_LOG_H
#define CRN_SERVER_SERVE_LOG_H

#include "base/buf.h"
#include "base/log.h"

#include <pthread.h>

struct crn_serve_log {
    int fd;
    pthread_mutex_t lock; /* guards `lines` */
    struct crn_buf lines;
};

void crn_serve_log_init(struct crn_serve_log *log, int fd); /* the descriptor stays the caller's */
void crn_serve_log_release(struct crn_serve_log *log);      /* flushes */
void crn_serve_log_flush(struct crn_serve_log *log);

/* A cairn_log_fn; ctx is the struct crn_serve_log. */
void crn_serve_log_line(void *ctx, cairn_log_level level, const char *message);

#endif
