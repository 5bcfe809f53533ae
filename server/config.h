/*
 * The server's settings. Each has one name: a line `name = value` of a file, CAIRN_SERVE_NAME in the
 * environment and `--name VALUE` (with - for _) on the command line mean the same; of several the later of
 * these three wins.
 */
#ifndef CRN_SERVER_CONFIG_H
#define CRN_SERVER_CONFIG_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crn_config {
    char *data; /* the folder */
    char *host;
    uint64_t port;
    char *tls_cert, *tls_key, *tls_client_ca;
    char *keys;
    bool insecure;
    char *cors;
    char *audit_log;
    bool access_log;
    uint64_t workers; /* 0: by the number of cores */
    uint64_t queue, connections;
    uint64_t body_max_mb;
    char *embed_url, *embed_models; /* an embeddings endpoint, and the models it is asked for */
    uint64_t slow_ms;               /* searches that take as long are kept in a log */
    /* seconds */
    uint64_t head_timeout, body_timeout, idle_timeout, write_timeout, request_timeout, shutdown_timeout;
};

cairn_status crn_config_init(struct crn_config *config, cairn_error *err); /* the defaults */
void crn_config_release(struct crn_config *config);

/* `where` comes before the message: "--port", "server.conf, line 3". INVALID_OPTION for a name that there is
 * not. */
cairn_status crn_config_set(struct crn_config *config, const char *name, const char *value, const char *where,
                            cairn_error *err);
cairn_status crn_config_read_file(struct crn_config *config, const char *path, cairn_error *err);
cairn_status crn_config_read_environment(struct crn_config *config, cairn_error *err);

/* What settings must be together: TLS needs both files, an address for all needs keys. */
cairn_status crn_config_check(const struct crn_config *config, cairn_error *err);
/* Whether others may reach that address: INVALID_ARGUMENT for one beyond this machine without keys and
 * without insecure. */
cairn_status crn_config_check_host(const struct crn_config *config, const char *host, cairn_error *err);

#endif
