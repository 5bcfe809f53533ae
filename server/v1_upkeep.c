/* Backups, verification, index generations. They end early when nobody waits for their answer any more. */
#include "server/v1_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BACKUP_NAME_MAX 100u
#define FINDINGS_TOLD_MAX 100u

/* ---- backup ---- */

/* Letters, digits and -_. with none of the last at the beginning: never a path, never a hidden file. */
static bool is_backup_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const size_t length = strlen(name);

    return length > 0 && length <= BACKUP_NAME_MAX && name[0] != '.' && strspn(name, letters) == length;
}

bool crn_v1_backup(struct crn_v1_call *call)
{
    static const char *const names[] = {"name", NULL};
    const char *name = NULL, *folder = call->v1->backups;
    char path[4096];
    struct stat status;
    cairn_error err = {0};

    if (!crn_v1_only(call, call->body, names) || !crn_v1_get_text(call, call->body, "name", &name))
        return false;
    if (name == NULL) return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "name is missing");
    if (!is_backup_name(name)) {
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT,
                             "'%.120s' is no name of a backup: 1 to %u letters, digits, - _ or ., no . first",
                             name, BACKUP_NAME_MAX);
    }
    if (folder == NULL) return crn_v1_refuse(call, CAIRN_UNSUPPORTED, "the server has no folder for backups");
    if ((size_t)snprintf(path, sizeof path, "%s/%s.cairn", folder, name) >= sizeof path) {
        return crn_v1_refuse(call, CAIRN_LIMIT, "the folder's path is too long");
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return crn_v1_refuse(call, CAIRN_IO, "the folder of backups: %s", strerror(errno));
    const cairn_status done = cairn_backup(call->v1->db, path, crn_v1_wanted, call, &err);
    if (done == CAIRN_EXISTS) return crn_v1_refuse(call, done, "there is a backup '%s' already", name);
    if (!crn_v1_ok(call, done, &err)) return false;
    const long long bytes = stat(path, &status) == 0 ? (long long)status.st_size : 0;
    call->answer->status = 201;
    crn_buf_printf(call->out, "{\"name\":\"%s\",\"bytes\":%lld}", name, bytes);
    return true;
}

/* ---- verify ---- */

struct findings {
    struct crn_buf text;
    size_t told;
};

static void add_finding(void *ctx, const char *message)
{
    struct findings *findings = ctx;

    if (findings->told == FINDINGS_TOLD_MAX) return;
    if (findings->told++ > 0) crn_buf_putc(&findings->text, ',');
    crn_v1_put_text(&findings->text, message);
}

bool crn_v1_verify(struct crn_v1_call *call)
{
    static const char *const names[] = {NULL};
    struct findings findings = {0};
    uint64_t count = 0;
    cairn_error err = {0};

    if (!crn_v1_only(call, call->body, names)) return false;
    crn_buf_init(&findings.text, 1u << 20);
    bool done =
        crn_v1_ok(call, cairn_verify(call->v1->db, add_finding, crn_v1_wanted, call, &count, &err), &err);
    if (findings.text.failed != CAIRN_OK)
        done = crn_v1_refuse(call, findings.text.failed, "no memory for the findings");
    if (done) {
        crn_buf_printf(call->out, "{\"clean\":%s,\"findings\":%" PRIu64 ",\"messages\":[",
                       count == 0 ? "true" : "false", count);
        if (findings.text.len > 0) crn_buf_append(call->out, findings.text.data, findings.text.len);
        crn_buf_puts(call->out, "]}");
    }
    crn_buf_release(&findings.text);
    return done;
}

/* ---- optimize ---- */

bool crn_v1_collection_optimize(struct crn_v1_call *call)
{
    static const char *const names[] = {NULL};
    cairn_collection *collection = crn_v1_lease(call);
    cairn_error err = {0};

    if (collection == NULL || !crn_v1_only(call, call->body, names) ||
        !crn_v1_ok(call, cairn_optimize(collection, crn_v1_wanted, call, &err), &err)) {
        return false;
    }
    crn_buf_puts(call->out, "{\"optimized\":true}");
    return true;
}
