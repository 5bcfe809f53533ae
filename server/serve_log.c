/* Lines on their way to a descriptor. */
#include "server/serve_log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES_BYTES_MAX (1u << 20)
#define FLUSH_BYTES 32768u

void crn_serve_log_init(struct crn_serve_log *log, int fd)
{
    log->fd = fd;
    pthread_mutex_init(&log->lock, NULL);
    crn_buf_init(&log->lines, LINES_BYTES_MAX);
}

void crn_serve_log_release(struct crn_serve_log *log)
{
    crn_serve_log_flush(log);
    crn_buf_release(&log->lines);
    pthread_mutex_destroy(&log->lock);
}

static void flush_locked(struct crn_serve_log *log)
{
    size_t at = 0;

    while (at < log->lines.len) {
        const ssize_t wrote = write(log->fd, log->lines.data + at, log->lines.len - at);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) break; /* nobody to tell */
        at += (size_t)wrote;
    }
    crn_buf_clear(&log->lines);
}

void crn_serve_log_flush(struct crn_serve_log *log)
{
    pthread_mutex_lock(&log->lock);
    if (log->lines.len > 0) flush_locked(log);
    pthread_mutex_unlock(&log->lock);
}

static void put_time(struct crn_buf *out)
{
    const int64_t now_ms = crn_clock_ms();
    const time_t second = (time_t)(now_ms / 1000);
    struct tm parts;
    char text[40] = "";

    if (gmtime_r(&second, &parts) != NULL) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    crn_buf_printf(out, "{\"time\":\"%s.%03dZ\",", text, (int)(now_ms % 1000));
}

void crn_serve_log_line(void *ctx, cairn_log_level level, const char *message)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct crn_serve_log *log = ctx;

    pthread_mutex_lock(&log->lock);
    const size_t before = log->lines.len;
    put_time(&log->lines);
    crn_buf_printf(&log->lines, "\"level\":\"%s\",", levels[level]);
    if (strncmp(message, "{\"", 2) == 0) {
        crn_buf_puts(&log->lines, message + 1);
    } else {
        crn_buf_puts(&log->lines, "\"message\":");
        crn_buf_json_string(&log->lines, message, strlen(message));
        crn_buf_putc(&log->lines, '}');
    }
    crn_buf_putc(&log->lines, '\n');
    if (log->lines.failed != CAIRN_OK) log->lines.len = before; /* half a line is none */
    if (level <= CAIRN_LOG_WARN || log->lines.len > FLUSH_BYTES) flush_locked(log);
    pthread_mutex_unlock(&log->lock);
}
