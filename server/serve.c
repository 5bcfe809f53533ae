/* Opening and closing what a server consists of, in order. */
#include "server/serve.h"

#include "base/error.h"
#include "base/mem.h"
#include "server/serve_api.h"
#include "server/serve_internal.h"
#include "server/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static cairn_status open_database(struct crn_serve *serve, cairn_error *err)
{
    const char *folder = serve->config->data;
    char path[4096];

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return crn_error_errno(err, errno, "cannot make", folder);
    if ((size_t)snprintf(path, sizeof path, "%s/memory.cairn", folder) >= sizeof path) {
        return crn_error_set(err, CAIRN_LIMIT, "the path '%s' is too long", folder);
    }
    CRN_TRY(cairn_open(path,
                       CAIRN_OPTIONS(cairn_open_options, .log = crn_serve_log_line, .log_ctx = &serve->log),
                       &serve->db, err));
    return crn_serve_api_open(serve->db, serve->config, crn_serve_put_live, serve, &serve->api, err);
}

static cairn_status open_audit(struct crn_serve *serve, cairn_error *err)
{
    const char *path = serve->config->audit_log;

    if (path == NULL) return CAIRN_OK;
    serve->audit_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (serve->audit_fd < 0) return crn_error_errno(err, errno, "cannot open", path);
    crn_serve_log_init(&serve->audit, serve->audit_fd);
    return CAIRN_OK;
}

static cairn_status open_security(struct crn_serve *serve, cairn_error *err)
{
    const struct crn_config *config = serve->config;
    struct crn_buf lines;

    if (config->keys != NULL) CRN_TRY(crn_auth_open(config->keys, &serve->auth, err));
    if (config->tls_cert != NULL) {
        CRN_TRY(crn_tls_open(config->tls_cert, config->tls_key, config->tls_client_ca, &serve->tls, err));
    }
    if (config->cors == NULL) return CAIRN_OK;
    crn_buf_init(&lines, 4096);
    crn_buf_printf(&lines, "access-control-allow-origin: %s\r\nvary: origin\r\n", config->cors);
    serve->cors_lines = lines.failed == CAIRN_OK ? crn_buf_take(&lines) : NULL;
    crn_buf_release(&lines);
    return serve->cors_lines != NULL
               ? CAIRN_OK
               : crn_error_set(err, CAIRN_INVALID_ARGUMENT, "cors is too long an origin");
}

/* Connections and files need descriptors; many systems give a process only 1,024 until it asks. */
static void raise_file_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static unsigned worker_count(const struct crn_config *config)
{
    if (config->workers > 0) return (unsigned)config->workers;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    /* writes wait for the disk together, so more than the cores */
    return cores > 2 ? 2 * (unsigned)cores : 4;
}

static cairn_status open_http(struct crn_serve *serve, bool signals, cairn_error *err)
{
    const struct crn_config *config = serve->config;
    struct crn_http_server_options options = crn_http_server_defaults();

    options.host = config->host;
    options.port = (uint16_t)config->port;
    options.limits.body_bytes = (size_t)config->body_max_mb << 20;
    options.connections_max = config->connections;
    options.workers = worker_count(config);
    options.queue_max = config->queue;
    options.head_timeout_ms = config->head_timeout * 1000;
    options.body_timeout_ms = config->body_timeout * 1000;
    options.idle_timeout_ms = config->idle_timeout * 1000;
    options.write_timeout_ms = config->write_timeout * 1000;
    options.request_timeout_ms = config->request_timeout * 1000;
    options.shutdown_timeout_ms = config->shutdown_timeout * 1000;
    options.tls = serve->tls;
    options.answer_lines = serve->cors_lines;
    options.signals = signals;
    options.hooks = (struct crn_http_hooks){serve, crn_serve_route, crn_serve_finished,
                                            crn_serve_before_sleep, crn_serve_hang_up};
    options.log = serve->sink;
    CRN_TRY(crn_systemd_sockets(options.sockets, CRN_HTTP_SOCKETS_MAX, &options.socket_count, err));
    for (size_t i = 0; i < options.socket_count; i++) {
        char host[64];
        crn_systemd_socket_host(options.sockets[i], host, sizeof host);
        CRN_TRY(crn_config_check_host(config, host, err));
    }
    return crn_http_server_open(&options, &serve->http, err);
}

static cairn_status open_all(struct crn_serve *serve, bool signals, cairn_error *err)
{
    CRN_TRY(crn_config_check(serve->config, err));
    raise_file_limit();
    CRN_TRY(open_audit(serve, err));
    CRN_TRY(open_security(serve, err));
    CRN_TRY(open_database(serve, err));
    return open_http(serve, signals, err);
}

cairn_status crn_serve_open(const struct crn_config *config, bool signals, struct crn_serve **out,
                            cairn_error *err)
{
    struct crn_serve *serve = crn_mem_calloc(1, sizeof *serve);

    *out = NULL;
    if (serve == NULL) return crn_error_no_memory(err, sizeof *serve);
    serve->config = config;
    serve->audit_fd = -1;
    pthread_mutex_init(&serve->ready_lock, NULL);
    crn_serve_log_init(&serve->log, STDERR_FILENO);
    serve->sink = (struct crn_log){crn_serve_log_line, &serve->log};
    const cairn_status status = open_all(serve, signals, err);
    if (status != CAIRN_OK) {
        crn_serve_close(serve);
        return status;
    }
    *out = serve;
    return CAIRN_OK;
}

uint16_t crn_serve_port(const struct crn_serve *serve)
{
    return crn_http_server_port(serve->http);
}

void crn_serve_run(struct crn_serve *serve)
{
    crn_log(&serve->sink, CAIRN_LOG_INFO, "{\"event\":\"ready\",\"port\":%u,\"tls\":%s,\"keys\":%s}",
            crn_serve_port(serve), serve->tls != NULL ? "true" : "false",
            serve->auth != NULL ? "true" : "false");
    crn_systemd_notify("READY=1");
    crn_http_server_run(serve->http);
    crn_systemd_notify("STOPPING=1");
    crn_log(&serve->sink, CAIRN_LOG_INFO, "{\"event\":\"stopped\"}");
}

void crn_serve_stop(struct crn_serve *serve)
{
    crn_http_server_stop(serve->http);
}

void crn_serve_close(struct crn_serve *serve)
{
    if (serve == NULL) return;
    crn_http_server_close(serve->http);
    crn_serve_api_close(serve->api);
    cairn_close(serve->db);
    crn_tls_close(serve->tls);
    crn_auth_close(serve->auth);
    crn_mem_free(serve->cors_lines);
    if (serve->audit_fd >= 0) {
        crn_serve_log_release(&serve->audit);
        close(serve->audit_fd);
    }
    crn_serve_log_release(&serve->log);
    pthread_mutex_destroy(&serve->ready_lock);
    crn_mem_free(serve);
}
