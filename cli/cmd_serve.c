/* cairn serve: the database over HTTP. The settings and their meaning are server/config.h's. */
#include "cli/command.h"
#include "cli/exit.h"
#include "server/auth.h"
#include "server/serve.h"

#include <stdio.h>
#include <string.h>

static const char *config_path, *new_key, *key_name = "key", *key_collections;
static bool insecure, no_access_log;

/* What the command line says of the settings that have a value; in the order of `options` below. */
static struct {
    const char *name;
    const char *value;
} given[] = {
    {"data", NULL},
    {"host", NULL},
    {"port", NULL},
    {"keys", NULL},
    {"cors", NULL},
    {"audit_log", NULL},
    {"tls_cert", NULL},
    {"tls_key", NULL},
    {"tls_client_ca", NULL},
    {"workers", NULL},
    {"queue", NULL},
    {"connections", NULL},
    {"body_max_mb", NULL},
    {"head_timeout", NULL},
    {"body_timeout", NULL},
    {"idle_timeout", NULL},
    {"write_timeout", NULL},
    {"request_timeout", NULL},
    {"shutdown_timeout", NULL},
    {"slow_ms", NULL},
    {"embed_url", NULL},
    {"embed_models", NULL},
};

static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("data", "DIR", given[0].value, "folder of the database; made when it is not there"),
    CRN_CLI_OPTION_TEXT("host", "ADDRESS", given[1].value, "address to listen on (default: 127.0.0.1)"),
    CRN_CLI_OPTION_TEXT("port", "N", given[2].value, "port; 0 for any that is free (default: 6333)"),
    CRN_CLI_OPTION_TEXT("config", "FILE", config_path,
                        "settings, a line name = value each; environment and options win"),
    CRN_CLI_OPTION_TEXT("slow-ms", "MS", given[19].value,
                        "searches that take as long are kept for /cairn/v1/slow (default: 100)"),
    CRN_CLI_OPTION_TEXT("embed-url", "URL", given[20].value,
                        "OpenAI-compatible embeddings endpoint; CAIRN_EMBED_KEY is its key"),
    CRN_CLI_OPTION_TEXT("embed-models", "LIST", given[21].value,
                        "models that it serves, with commas; for collections that name one"),
    CRN_CLI_OPTION_FLAG("no-access-log", no_access_log, "do not log each request; writes are logged still"),
    {0},
};
static const struct crn_cli_group serve_group = {"Server", options};

static const struct crn_cli_option security_options[] = {
    CRN_CLI_OPTION_TEXT("keys", "FILE", given[3].value, "API keys that are asked for; see --new-key"),
    CRN_CLI_OPTION_FLAG("insecure", insecure, "let others reach a server without keys"),
    CRN_CLI_OPTION_TEXT("cors", "ORIGIN", given[4].value, "web pages of this origin may ask (default: none)"),
    CRN_CLI_OPTION_TEXT("audit-log", "FILE", given[5].value,
                        "append a line for each write to FILE instead of the log"),
    CRN_CLI_OPTION_TEXT("tls-cert", "FILE", given[6].value, "certificate with its chain, PEM: serve TLS"),
    CRN_CLI_OPTION_TEXT("tls-key", "FILE", given[7].value, "key of the certificate, PEM"),
    CRN_CLI_OPTION_TEXT("tls-client-ca", "FILE", given[8].value,
                        "ask clients for a certificate of this authority"),
    {0},
};
static const struct crn_cli_group security_group = {"Security", security_options};

static const struct crn_cli_option key_options[] = {
    CRN_CLI_OPTION_TEXT("new-key", "ROLE", new_key,
                        "print a new key (read, write or admin) and its line for the file, and end"),
    CRN_CLI_OPTION_TEXT("key-name", "NAME", key_name, "its name in the logs (default: key)"),
    CRN_CLI_OPTION_TEXT("key-collections", "LIST", key_collections,
                        "collections it may use, with commas (default: all)"),
    {0},
};
static const struct crn_cli_group key_group = {"Keys", key_options};

static const struct crn_cli_option limit_options[] = {
    CRN_CLI_OPTION_TEXT("workers", "N", given[9].value,
                        "threads that answer (default: 2 a core, 4 at least)"),
    CRN_CLI_OPTION_TEXT("queue", "N", given[10].value,
                        "requests that may wait for one; more get 503 (default: 1024)"),
    CRN_CLI_OPTION_TEXT("connections", "N", given[11].value, "open at once; more get 503 (default: 10000)"),
    CRN_CLI_OPTION_TEXT("body-max-mb", "N", given[12].value, "MiB of a request's body (default: 64)"),
    CRN_CLI_OPTION_TEXT("head-timeout", "S", given[13].value, "seconds for a request's head (default: 10)"),
    CRN_CLI_OPTION_TEXT("body-timeout", "S", given[14].value, "seconds for its body (default: 60)"),
    CRN_CLI_OPTION_TEXT("idle-timeout", "S", given[15].value, "seconds between two requests (default: 75)"),
    CRN_CLI_OPTION_TEXT("write-timeout", "S", given[16].value,
                        "seconds in which a client takes nothing of an answer (default: 30)"),
    CRN_CLI_OPTION_TEXT("request-timeout", "S", given[17].value, "seconds for answering (default: 60)"),
    CRN_CLI_OPTION_TEXT("shutdown-timeout", "S", given[18].value,
                        "seconds for requests begun before the end (default: 20)"),
    {0},
};
static const struct crn_cli_group limit_group = {"Limits", limit_options};

static cairn_status apply_options(struct crn_config *config, cairn_error *err)
{
    cairn_status status = CAIRN_OK;

    for (size_t i = 0; status == CAIRN_OK && i < sizeof given / sizeof given[0]; i++) {
        if (given[i].value != NULL)
            status = crn_config_set(config, given[i].name, given[i].value, "command line", err);
    }
    if (status == CAIRN_OK && insecure)
        status = crn_config_set(config, "insecure", "true", "command line", err);
    if (status == CAIRN_OK && no_access_log)
        status = crn_config_set(config, "access_log", "false", "command line", err);
    return status;
}

static cairn_status serve(struct crn_config *config, cairn_error *err)
{
    struct crn_serve *server;
    cairn_status status = CAIRN_OK;

    if (config_path != NULL) status = crn_config_read_file(config, config_path, err);
    if (status == CAIRN_OK) status = crn_config_read_environment(config, err);
    if (status == CAIRN_OK) status = apply_options(config, err);
    if (status == CAIRN_OK) status = crn_serve_open(config, true, &server, err);
    if (status != CAIRN_OK) return status;
    crn_serve_run(server);
    crn_serve_close(server);
    return CAIRN_OK;
}

static int print_key(void)
{
    char key[CRN_AUTH_KEY_MAX], line[CRN_AUTH_LINE_MAX];
    cairn_error err;

    if (crn_auth_new_key(key_name, new_key, key_collections, key, line, &err) != CAIRN_OK)
        return crn_cli_fail(&err);
    printf("%s\n%s\n", key, line);
    return CRN_CLI_EXIT_OK;
}

static int run(void)
{
    struct crn_config config;
    cairn_error err;

    if (new_key != NULL) return print_key();
    cairn_status status = crn_config_init(&config, &err);
    if (status == CAIRN_OK) {
        status = serve(&config, &err);
        crn_config_release(&config);
    }
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_serve = {
    .name = "serve",
    .summary = "Serves a database over HTTP",
    .detail =
        "The database is DIR/memory.cairn. Every setting is also a line 'name = value' of the --config file and\n"
        "a variable CAIRN_SERVE_NAME, with _ for -. Logs go to standard error, a JSON object a line. Ctrl-C and\n"
        "SIGTERM let requests that were begun finish; a second one ends at once. See docs/SERVER.md.",
    .examples = "cairn serve --data memory --port 6333\n"
                "cairn serve --new-key write --key-name agent-7\n"
                "cairn serve --data memory --host 0.0.0.0 --keys keys --tls-cert cert.pem --tls-key key.pem",
    .groups = CRN_CLI_GROUPS(&serve_group, &security_group, &key_group, &limit_group),
    .run = run,
};
