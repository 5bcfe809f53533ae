/* Who answers what, who may ask for it, and what is written down about it. */
#include "server/serve_internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "server/access.h"
#include "server/dashboard.h"
#include "server/http_exchange.h"
#include "server/serve_api.h"
#include "server/serve_light.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READY_FOR_NS 1000000000u
#define LOG_PATH_BYTES 250u /* of a path in a log line, which has at most 1,023 bytes */

/* ---- health and metrics ---- */

static void alive(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    (void)ctx;
    (void)request;
    answer->content_type = "text/plain";
    crn_buf_puts(&answer->body, "healthz check passed");
}

/* Whether a file can be made beside the database. */
static bool folder_is_writable(const char *folder)
{
    char path[4096];

    if ((size_t)snprintf(path, sizeof path, "%s/.ready-%d", folder, (int)getpid()) >= sizeof path)
        return false;
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    const bool wrote = write(fd, "ready\n", 6) == 6;
    close(fd);
    return unlink(path) == 0 && wrote;
}

/* Ready: the database answers a question, and its folder takes a file. */
static void look_whether_ready(struct crn_serve *serve)
{
    char **names = NULL;
    size_t count, room = sizeof serve->ready_reason;
    cairn_error err;

    serve->ready_reason[0] = '\0';
    if (cairn_collection_list(serve->db, &names, &count, &err) != CAIRN_OK) {
        snprintf(serve->ready_reason, room, "not ready: the database: %s", cairn_status_name(err.status));
    } else if (!folder_is_writable(serve->config->data)) {
        snprintf(serve->ready_reason, room, "not ready: the data folder cannot be written");
    }
    cairn_free(names);
    serve->ready_ns = crn_clock_ns();
}

/* Anybody may ask, so it is found out once a second at most. */
static void ready(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    struct crn_serve *serve = ctx;

    (void)request;
    answer->content_type = "text/plain";
    pthread_mutex_lock(&serve->ready_lock);
    if (serve->ready_ns == 0 || crn_clock_ns() - serve->ready_ns >= READY_FOR_NS) look_whether_ready(serve);
    if (serve->ready_reason[0] != '\0') answer->status = 503;
    crn_buf_puts(&answer->body,
                 serve->ready_reason[0] != '\0' ? serve->ready_reason : "all shards are ready");
    pthread_mutex_unlock(&serve->ready_lock);
}

static void tell_metrics(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    struct crn_serve *serve = ctx;
    const struct crn_http_gauges gauges = crn_http_server_gauges(serve->http);
    struct crn_metrics_data data = {0};

    (void)request;
    (void)!cairn_totals(serve->db, &data.collections, &data.rows, NULL);
    answer->content_type = "text/plain; version=0.0.4";
    crn_metrics_write(&serve->metrics, &gauges, &data, &answer->body);
}

/* Searches and the like come by POST, other reads by GET. */
static enum crn_live_class live_class(enum crn_metrics_kind kind, enum crn_method method)
{
    if (kind == CRN_METRICS_WRITE) return CRN_LIVE_WRITE;
    if (kind == CRN_METRICS_ADMIN) return CRN_LIVE_ADMIN;
    return method == CRN_POST ? CRN_LIVE_QUERY : CRN_LIVE_READ;
}

void crn_serve_put_live(void *ctx, struct crn_buf *out)
{
    struct crn_serve *serve = ctx;
    const struct crn_http_gauges gauges = crn_http_server_gauges(serve->http);

    crn_buf_printf(out, "{\"connections\":%zu,\"in_flight\":%zu,\"waiting\":%zu,", gauges.connections,
                   gauges.in_flight, gauges.waiting);
    crn_live_write(&serve->live, crn_clock_ns() / 1000000000u, out);
    crn_buf_putc(out, '}');
}

/* ---- CORS: what a browser asks before it asks; the origin itself stands in every answer ---- */

static void preflight(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    (void)ctx;
    (void)request;
    answer->status = 204;
    crn_http_answer_header(answer, "access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    crn_http_answer_header(answer, "access-control-allow-headers",
                           "api-key, authorization, content-type, x-request-id, traceparent");
    crn_http_answer_header(answer, "access-control-max-age", "86400");
}

/* ---- routes ---- */

static const struct {
    const char *path; /* one segment, or "" for the root */
    struct crn_http_route route;
    bool open;  /* no key is asked for */
    bool below; /* and all paths below it */
} routes[] = {
    {.path = "", .route = {.handler = crn_serve_api_handle, .kind = CRN_METRICS_HEALTH}, .open = true},
    {.path = "healthz",
     .route = {.handler = alive, .on_loop = true, .kind = CRN_METRICS_HEALTH},
     .open = true},
    {.path = "livez", .route = {.handler = alive, .on_loop = true, .kind = CRN_METRICS_HEALTH}, .open = true},
    {.path = "readyz", .route = {.handler = ready, .kind = CRN_METRICS_HEALTH}, .open = true},
    {.path = "metrics", .route = {.handler = tell_metrics, .kind = CRN_METRICS_METRICS}},
    {.path = "dashboard",
     .route = {.handler = crn_dashboard_handle, .on_loop = true, .kind = CRN_METRICS_HEALTH},
     .open = true,
     .below = true},
};

static bool segment_is(const struct crn_request *request, size_t i, const char *word)
{
    const struct crn_text *segment = &request->segments[i];

    return segment->length == strlen(word) && memcmp(segment->data, word, segment->length) == 0;
}

static bool route_is(const struct crn_request *request, size_t i)
{
    const char *path = routes[i].path;

    if (request->segment_count == 0 || path[0] == '\0') return request->segment_count == 0 && path[0] == '\0';
    return (request->segment_count == 1 || routes[i].below) && segment_is(request, 0, path);
}

/* What tells of the server and its collections, not of patterns, is counted with /metrics: else a dashboard that looks on would be most of
 * what it shows. Below /cairn/v1: stats, stats/live, slow, collections/NAME/{stats,recall,projection}. */
static bool is_statistics(const struct crn_request *request)
{
    const size_t count = request->segment_count;

    if (count < 3 || !segment_is(request, 0, "cairn") || !segment_is(request, 1, "v1")) return false;
    if (count == 3) return segment_is(request, 2, "stats") || segment_is(request, 2, "slow");
    if (count == 4) return segment_is(request, 2, "stats") && segment_is(request, 3, "live");
    return count == 5 && segment_is(request, 2, "collections") &&
           (segment_is(request, 4, "stats") || segment_is(request, 4, "recall") ||
            segment_is(request, 4, "projection"));
}

static bool reads(const struct crn_request *request)
{
    return request->method == CRN_GET || request->method == CRN_HEAD;
}

/* A path of the server's own, which is only read. */
static bool is_own_path(const struct crn_request *request)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (route_is(request, i)) return true;
    }
    return false;
}

static struct crn_http_route find_route(struct crn_serve *serve, const struct crn_request *request,
                                        bool *out_open)
{
    *out_open = true;
    if (request->method == CRN_OPTIONS && serve->cors_lines != NULL) {
        return (struct crn_http_route){.handler = preflight, .on_loop = true, .kind = CRN_METRICS_HEALTH};
    }
    for (size_t i = 0; reads(request) && i < sizeof routes / sizeof routes[0]; i++) {
        if (!route_is(request, i)) continue;
        struct crn_http_route route = routes[i].route;
        route.ctx = route.handler == crn_serve_api_handle ? serve->api : serve;
        *out_open = routes[i].open;
        return route;
    }
    static const unsigned kinds[] = {[CRN_ROLE_READ] = CRN_METRICS_READ,
                                     [CRN_ROLE_WRITE] = CRN_METRICS_WRITE,
                                     [CRN_ROLE_ADMIN] = CRN_METRICS_ADMIN};
    *out_open = false;
    const enum crn_role needs = crn_access_needs(request);
    const bool statistics = needs == CRN_ROLE_READ && is_statistics(request);
    return (struct crn_http_route){.handler = crn_serve_api_handle,
                                   .ctx = serve->api,
                                   .kind = statistics ? CRN_METRICS_METRICS : kinds[needs],
                                   .is_light = crn_serve_is_light};
}

static void refuse(struct crn_http_route *route, struct crn_answer *answer, unsigned status, const char *text)
{
    route->handler = NULL;
    answer->status = status;
    answer->content_type = "text/plain";
    crn_buf_puts(&answer->body, text);
}

void crn_serve_route(void *ctx, struct crn_http_message *message, struct crn_http_route *out_route,
                     struct crn_answer *answer)
{
    struct crn_serve *serve = ctx;
    struct crn_request *request = &message->request;
    bool open;

    request->principal = (struct crn_principal){.role = CRN_ROLE_ADMIN, .name = ""};
    *out_route = find_route(serve, request, &open);
    if (!open && is_own_path(request) && !reads(request)) {
        refuse(out_route, answer, 405, "Method not allowed");
        crn_http_answer_header(answer, "allow", "GET, HEAD");
        return;
    }
    if (serve->auth == NULL || open) return;
    crn_auth_refresh(serve->auth, false, &serve->sink);
    if (!crn_auth_find(serve->auth, request, &request->principal)) {
        request->principal = (struct crn_principal){.role = CRN_ROLE_NONE, .name = ""};
        refuse(out_route, answer, 401, "Must provide an API key or an Authorization bearer token");
    } else if (!crn_access_allowed(request)) {
        refuse(out_route, answer, 403, "Forbidden: the key does not allow this");
    }
}

/* ---- logs ---- */

static void put_member(struct crn_buf *out, const char *name, const char *text, size_t len)
{
    crn_buf_printf(out, ",\"%s\":", name);
    crn_buf_json_string(out, text, len);
}

/* 00-<32 hexadecimal>-<16>-<2>, as W3C Trace Context has it; what is not is not passed on. */
static bool is_traceparent(struct crn_text text)
{
    if (text.length != 55) return false;
    for (size_t i = 0; i < text.length; i++) {
        const bool dash = i == 2 || i == 35 || i == 52;
        if (dash ? text.data[i] != '-' : memchr("0123456789abcdef", text.data[i], 16) == NULL) return false;
    }
    return true;
}

static void log_request(struct crn_serve *serve, const struct crn_http_record *record, bool writes)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    const struct crn_http_message *message = record->message;
    const struct crn_text *trace = crn_http_header(&message->request, "traceparent");
    const size_t path_len = message->path.length < LOG_PATH_BYTES ? message->path.length : LOG_PATH_BYTES;
    char room[1024];
    struct crn_buf line = {.data = room, .cap = sizeof room, .max = sizeof room - 1}; /* never grows */

    crn_buf_printf(&line, "{\"event\":\"%s\"", writes ? "write" : "request");
    put_member(&line, "id", record->id, strlen(record->id));
    if (record->routed)
        put_member(&line, "method", methods[message->request.method],
                   strlen(methods[message->request.method]));
    put_member(&line, "path", message->path.data, path_len);
    crn_buf_printf(&line, ",\"status\":%u,\"duration_us\":%llu,\"bytes\":%zu", record->status,
                   (unsigned long long)(record->duration_ns / 1000), record->answer_bytes);
    put_member(&line, "key", message->request.principal.name, strlen(message->request.principal.name));
    put_member(&line, "peer", record->peer, strlen(record->peer));
    if (trace != NULL && is_traceparent(*trace)) put_member(&line, "traceparent", trace->data, trace->length);
    crn_buf_putc(&line, '}');
    if (line.failed != CAIRN_OK) return; /* no path of that length gets here */
    if (writes && serve->audit_fd >= 0) crn_serve_log_line(&serve->audit, CAIRN_LOG_INFO, line.data);
    if (serve->config->access_log || (writes && serve->audit_fd < 0))
        crn_log(&serve->sink, CAIRN_LOG_INFO, "%s", line.data);
}

void crn_serve_finished(void *ctx, const struct crn_http_record *record)
{
    struct crn_serve *serve = ctx;
    const enum crn_metrics_kind kind =
        record->routed ? (enum crn_metrics_kind)record->kind : CRN_METRICS_REFUSED;
    const bool writes = kind == CRN_METRICS_WRITE || kind == CRN_METRICS_ADMIN;

    crn_metrics_count(&serve->metrics, kind, record->status, record->duration_ns);
    if (kind == CRN_METRICS_READ || writes) {
        crn_live_count(&serve->live, crn_clock_ns() / 1000000000u,
                       live_class(kind, record->message->request.method), record->status,
                       record->duration_ns);
    }
    if (writes || serve->config->access_log) log_request(serve, record, writes);
}

void crn_serve_before_sleep(void *ctx)
{
    struct crn_serve *serve = ctx;

    crn_serve_log_flush(&serve->log);
    if (serve->audit_fd >= 0) crn_serve_log_flush(&serve->audit);
}

void crn_serve_hang_up(void *ctx)
{
    struct crn_serve *serve = ctx;

    if (serve->auth != NULL) crn_auth_refresh(serve->auth, true, &serve->sink);
}
