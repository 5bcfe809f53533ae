/* One table of settings, from which file, environment and command line are read alike. */
#include "server/config.h"

#include "base/error.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_COUNT, KIND_FLAG };

struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min, max;
    const char *standard; /* NULL: none */
};

#define AT(field) offsetof(struct crn_config, field)
static const struct setting settings[] = {
    {"data", KIND_TEXT, AT(data), 0, 0, NULL},
    {"host", KIND_TEXT, AT(host), 0, 0, "127.0.0.1"},
    {"port", KIND_COUNT, AT(port), 0, 65535, "6333"},
    {"tls_cert", KIND_TEXT, AT(tls_cert), 0, 0, NULL},
    {"tls_key", KIND_TEXT, AT(tls_key), 0, 0, NULL},
    {"tls_client_ca", KIND_TEXT, AT(tls_client_ca), 0, 0, NULL},
    {"keys", KIND_TEXT, AT(keys), 0, 0, NULL},
    {"insecure", KIND_FLAG, AT(insecure), 0, 0, "false"},
    {"cors", KIND_TEXT, AT(cors), 0, 0, NULL},
    {"audit_log", KIND_TEXT, AT(audit_log), 0, 0, NULL},
    {"access_log", KIND_FLAG, AT(access_log), 0, 0, "true"},
    {"workers", KIND_COUNT, AT(workers), 0, 1024, "0"},
    {"queue", KIND_COUNT, AT(queue), 1, 1000000, "1024"},
    {"connections", KIND_COUNT, AT(connections), 1, 1000000, "10000"},
    {"body_max_mb", KIND_COUNT, AT(body_max_mb), 1, 4096, "64"},
    {"embed_url", KIND_TEXT, AT(embed_url), 0, 0, NULL},
    {"embed_models", KIND_TEXT, AT(embed_models), 0, 0, NULL},
    {"slow_ms", KIND_COUNT, AT(slow_ms), 0, 3600000, "100"},
    {"head_timeout", KIND_COUNT, AT(head_timeout), 1, 86400, "10"},
    {"body_timeout", KIND_COUNT, AT(body_timeout), 1, 86400, "60"},
    {"idle_timeout", KIND_COUNT, AT(idle_timeout), 1, 86400, "75"},
    {"write_timeout", KIND_COUNT, AT(write_timeout), 1, 86400, "30"},
    {"request_timeout", KIND_COUNT, AT(request_timeout), 1, 86400, "60"},
    {"shutdown_timeout", KIND_COUNT, AT(shutdown_timeout), 1, 86400, "20"},
};
#undef AT
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static void *field(const struct crn_config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static cairn_status set_count(uint64_t *out, const struct setting *setting, const char *value,
                              const char *where, cairn_error *err)
{
    char *end;

    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || number < setting->min ||
        number > setting->max) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: %s wants a number from %llu to %llu, not '%s'",
                             where, setting->name, (unsigned long long)setting->min,
                             (unsigned long long)setting->max, value);
    }
    *out = number;
    return CAIRN_OK;
}

static cairn_status set_value(struct crn_config *config, const struct setting *setting, const char *value,
                              const char *where, cairn_error *err)
{
    void *to = field(config, setting);

    if (setting->kind == KIND_COUNT) return set_count(to, setting, value, where, err);
    if (setting->kind == KIND_FLAG) {
        const bool on = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        if (!on && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: %s wants true or false, not '%s'", where,
                                 setting->name, value);
        }
        *(bool *)to = on;
        return CAIRN_OK;
    }
    if (value[0] == '\0')
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: %s is empty", where, setting->name);
    char *copy = crn_mem_strdup(value);
    if (copy == NULL) return crn_error_no_memory(err, strlen(value));
    crn_mem_free(*(char **)to);
    *(char **)to = copy;
    return CAIRN_OK;
}

cairn_status crn_config_init(struct crn_config *config, cairn_error *err)
{
    *config = (struct crn_config){0};
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (settings[i].standard == NULL) continue;
        const cairn_status status = set_value(config, &settings[i], settings[i].standard, "default", err);
        if (status == CAIRN_OK) continue;
        crn_config_release(config);
        return status;
    }
    return CAIRN_OK;
}

void crn_config_release(struct crn_config *config)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (settings[i].kind == KIND_TEXT) crn_mem_free(*(char **)field(config, &settings[i]));
    }
    *config = (struct crn_config){0};
}

cairn_status crn_config_set(struct crn_config *config, const char *name, const char *value, const char *where,
                            cairn_error *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(settings[i].name, name) == 0) return set_value(config, &settings[i], value, where, err);
    }
    return crn_error_set(err, CAIRN_INVALID_OPTION, "%s: there is no setting '%s'", where, name);
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    for (size_t len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]);) text[--len] = '\0';
    return text;
}

static cairn_status read_line(struct crn_config *config, char *line, const char *where, cairn_error *err)
{
    char *name = trim(line), *equals = strchr(name, '=');

    if (name[0] == '\0' || name[0] == '#') return CAIRN_OK;
    if (equals == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: '%s' is not 'name = value'", where, name);
    *equals = '\0';
    return crn_config_set(config, trim(name), trim(equals + 1), where, err);
}

cairn_status crn_config_read_file(struct crn_config *config, const char *path, cairn_error *err)
{
    FILE *file = fopen(path, "re");
    char line[4096], where[512];
    cairn_status status = CAIRN_OK;

    if (file == NULL) return crn_error_errno(err, errno, "cannot open", path);
    for (unsigned number = 1; status == CAIRN_OK && fgets(line, sizeof line, file) != NULL; number++) {
        snprintf(where, sizeof where, "%s, line %u", path, number);
        if (strchr(line, '\n') == NULL && !feof(file))
            status = crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: the line is too long", where);
        else
            status = read_line(config, line, where, err);
    }
    if (status == CAIRN_OK && ferror(file)) status = crn_error_errno(err, errno, "cannot read", path);
    fclose(file);
    return status;
}

cairn_status crn_config_read_environment(struct crn_config *config, cairn_error *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "CAIRN_SERVE_%s", settings[i].name);
        for (char *c = name; *c != '\0'; c++) *c = (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (value != NULL) CRN_TRY(set_value(config, &settings[i], value, name, err));
    }
    return CAIRN_OK;
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (strcmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

cairn_status crn_config_check_host(const struct crn_config *config, const char *host, cairn_error *err)
{
    if (is_loopback(host) || config->keys != NULL || config->tls_client_ca != NULL || config->insecure)
        return CAIRN_OK;
    return crn_error_set(
        err, CAIRN_INVALID_ARGUMENT,
        "host %s can be reached by others, and no keys are asked for: give keys, or insecure", host);
}

cairn_status crn_config_check(const struct crn_config *config, cairn_error *err)
{
    if (config->data == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "no folder for the data is given (data)");
    if ((config->tls_cert == NULL) != (config->tls_key == NULL)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "TLS needs both tls_cert and tls_key");
    }
    if ((config->embed_url == NULL) != (config->embed_models == NULL)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "an embeddings endpoint needs both embed_url and embed_models");
    }
    if (config->tls_client_ca != NULL && config->tls_cert == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "tls_client_ca is of no use without tls_cert and tls_key");
    }
    for (const char *c = config->cors != NULL ? config->cors : ""; *c != '\0'; c++) {
        if (*c <= 0x20 || *c == 0x7F)
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "cors is not an origin: '%s'", config->cors);
    }
    return crn_config_check_host(config, config->host, err);
}
