/*
 * A collection read back from a snapshot: one that this server keeps, or one that is sent along. The snapshot is verified first, then
 * copied into a collection aside, which nobody sees (access.h). That takes the old one's place in one transaction: whoever reads finds
 * one or the other, whole, and so does the next start after a crash. What a crash left aside is dropped then.
 */
#include "server/access.h"
#include "server/qdrant_snapshots.h"

#include "base/hash.h"
#include "server/sha256.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- from a file ---- */

static void remove_beside(const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm"};
    char one[QD_SNAPSHOT_PATH + 8];

    for (size_t i = 0; i < 2; i++) {
        snprintf(one, sizeof one, "%s%s", path, suffixes[i]);
        (void)unlink(one);
    }
}

/* Of several collections the one of that name. */
static bool choose(struct crn_qd_call *call, cairn_db *snapshot, const char *name, const char **out)
{
    char **names;
    size_t count;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_collection_list(snapshot, &names, &count, &err), &err)) return false;
    *out = count == 1 ? crn_qd_take_text(call, names[0], strlen(names[0])) : NULL;
    for (size_t i = 0; i < count && *out == NULL; i++) {
        if (strcmp(names[i], name) == 0) *out = name;
    }
    cairn_free(names);
    return *out != NULL || crn_qd_fail(call, 400, "Wrong input: the snapshot holds no collection `%s`", name);
}

/* An alias would hide a collection of its name. */
static bool is_no_alias(struct crn_qd_call *call, const char *name)
{
    if (crn_qd_resolve_alias(call, name) != NULL)
        return crn_qd_fail(call, 409, "Wrong input: Alias `%s` already exists!", name);
    return call->status == 0;
}

static cairn_status drop_aside(struct crn_qdrant *qdrant, const char *aside, cairn_error *err)
{
    const cairn_status status = cairn_collection_drop(qdrant->db, aside, err);

    return status == CAIRN_NO_COLLECTION ? CAIRN_OK : status;
}

/* By now it is whole. */
static bool put_in_place(struct crn_qd_call *call, const char *aside, const char *name)
{
    struct crn_qdrant *qdrant = call->qdrant;
    cairn_error err = {0};

    pthread_mutex_lock(&qdrant->settings);
    bool done = is_no_alias(call, name);
    if (done) done = crn_qd_ok(call, cairn_collection_rename(qdrant->db, aside, name, true, &err), &err);
    crn_qd_forget(qdrant, name);
    pthread_mutex_unlock(&qdrant->settings);
    if (!done) (void)!drop_aside(qdrant, aside, NULL);
    return done;
}

/* The name aside is the collection's own, so that what a crash left is dropped by the next try as well. */
static bool replace(struct crn_qd_call *call, cairn_db *snapshot, const char *from, const char *name)
{
    struct crn_qdrant *qdrant = call->qdrant;
    pthread_mutex_t *turn = &qdrant->changes[crn_hash64(name, strlen(name), 0) % QD_CHANGES];
    char hash[CRN_SHA256_TEXT], aside[sizeof CRN_ACCESS_ASIDE + CRN_SHA256_TEXT];
    cairn_error err = {0};

    if (!is_no_alias(call, name)) return false;
    if (!crn_sha256_text(name, strlen(name), hash))
        return crn_qd_fail(call, 500, "Service internal error: no SHA-256");
    snprintf(aside, sizeof aside, CRN_ACCESS_ASIDE "%s", hash);
    pthread_mutex_lock(turn);
    cairn_status status = drop_aside(qdrant, aside, &err);
    if (status == CAIRN_OK)
        status = crn_collection_copy(snapshot, from, qdrant->db, aside, crn_qd_is_wanted, call, &err);
    const bool done = crn_qd_ok(call, status, &err) && put_in_place(call, aside, name);
    pthread_mutex_unlock(turn);
    return done;
}

void crn_qd_drop_asides(struct crn_qdrant *qdrant)
{
    char **names;
    size_t count;

    if (cairn_collection_list(qdrant->db, &names, &count, NULL) != CAIRN_OK) return;
    for (size_t i = 0; i < count; i++) {
        if (crn_access_is_aside(names[i], strlen(names[i]))) (void)!drop_aside(qdrant, names[i], NULL);
    }
    cairn_free(names);
}

static bool recover_file(struct crn_qd_call *call, const char *path, const char *name)
{
    cairn_db *snapshot = NULL;
    const char *from;
    uint64_t findings = 0;
    cairn_error err = {0};

    cairn_status status = cairn_open(
        path, CAIRN_OPTIONS(cairn_open_options, .must_exist = true, .read_only = true), &snapshot, &err);
    if (status == CAIRN_OK) status = cairn_verify(snapshot, NULL, NULL, NULL, &findings, &err);
    bool done = status == CAIRN_OK;
    if (!done && (status == CAIRN_NOT_CAIRN || status == CAIRN_CORRUPT || status == CAIRN_NEWER_FORMAT)) {
        crn_qd_fail(call, 400, "Wrong input: the snapshot cannot be read: %s",
                    strstr(err.message, path) != NULL ? cairn_status_text(status) : err.message);
    } else if (!done) {
        (void)crn_qd_ok(call, status, &err);
    }
    if (done && findings > 0) done = crn_qd_fail(call, 400, "Wrong input: the snapshot is damaged");
    done = done && choose(call, snapshot, name, &from) && replace(call, snapshot, from, name);
    cairn_close(snapshot);
    remove_beside(path);
    if (done) crn_buf_puts(call->out, "true");
    return done;
}

static bool check_sum(struct crn_qd_call *call, const char *path, const char *expected)
{
    char hash[CRN_SHA256_TEXT];

    if (expected == NULL) return true;
    if (!crn_sha256_file(path, hash)) return crn_qd_fail(call, 404, "Not found: the snapshot is not there");
    return strcasecmp(hash, expected) == 0 ||
           crn_qd_fail(call, 400, "Wrong input: Snapshot checksum mismatch: expected %.80s, got %s", expected,
                       hash);
}

/* ---- PUT …/snapshots/recover ---- */

static const char *header_text(struct crn_qd_call *call, const char *name)
{
    const struct crn_request *request = call->request;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct crn_field *header = &request->headers[i];
        if (header->name.length != strlen(name) || memcmp(header->name.data, name, strlen(name)) != 0)
            continue;
        return crn_qd_take_text(call, header->value.data, header->value.length);
    }
    return "";
}

/* NAME, file:///NAME, or http(s)://this server/collections/C/snapshots/NAME: never another place. */
static bool find_location(struct crn_qd_call *call, const char *location, const char *name,
                          const char **out_collection, const char **out_file)
{
    const char *rest = strstr(location, "://"), *slash;

    *out_collection = name;
    *out_file = rest == NULL ? location : strncmp(location, "file:///", 8) == 0 ? location + 8 : NULL;
    if (*out_file == NULL) {
        const char *host = header_text(call, "host");
        const size_t length = strlen(host);
        rest += 3;
        if (length > 0 && strncmp(rest, host, length) == 0 &&
            strncmp(rest + length, "/collections/", 13) == 0) {
            rest += length + 13;
            slash = strchr(rest, '/');
            if (slash != NULL && strncmp(slash, "/snapshots/", 11) == 0) {
                *out_collection = crn_qd_take_text(call, rest, (size_t)(slash - rest));
                *out_file = slash + 11;
            }
        }
    }
    if (*out_collection == NULL) return false;
    if (*out_file != NULL && crn_qd_is_snapshot_name(*out_file, strlen(*out_file))) {
        return crn_qd_may_use(call, *out_collection, strlen(*out_collection));
    }
    return crn_qd_fail(
        call, 400,
        "Wrong input: location: only snapshots that this server keeps are recovered, by their name or URL; others have to be uploaded");
}

bool crn_qd_snapshot_recover(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call), *location = NULL, *checksum = NULL, *collection, *file;
    char folder[QD_SNAPSHOT_PATH], path[QD_SNAPSHOT_PATH + 128];

    if (name == NULL || !crn_qd_get_text(call, call->body, "location", &location)) return false;
    if (location == NULL) return crn_qd_missing(call, "location");
    if (!crn_qd_get_text(call, call->body, "checksum", &checksum)) return false;
    if (!find_location(call, location, name, &collection, &file) ||
        !crn_qd_snapshot_folder(call, collection, folder))
        return false;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (access(path, R_OK) != 0) return crn_qd_fail(call, 404, "Not found: Snapshot %s not found", file);
    return check_sum(call, path, checksum) && recover_file(call, path, name);
}

/* ---- POST …/snapshots/upload ---- */

static const char *find_bytes(const char *data, size_t length, const char *needle, size_t needle_length)
{
    return needle_length == 0 || length < needle_length ? NULL : memmem(data, length, needle, needle_length);
}

/* The first part of a multipart/form-data body (RFC 7578). */
static bool first_part(struct crn_qd_call *call, struct crn_text *out)
{
    const char *type = header_text(call, "content-type"),
               *boundary = type == NULL ? NULL : strstr(type, "boundary=");
    const struct crn_text body = call->request->body;
    char line[80];

    if (boundary == NULL || strncasecmp(type, "multipart/form-data", 19) != 0) {
        return crn_qd_fail(call, 400, "Wrong input: multipart/form-data with a part `snapshot` is expected");
    }
    boundary += 9;
    const bool quoted = *boundary == '"';
    boundary += quoted;
    const size_t length = strcspn(boundary, quoted ? "\"" : "; \t");
    if (length == 0 || length > 70)
        return crn_qd_fail(call, 400, "Wrong input: the boundary has 1 to 70 characters");
    const int line_length = snprintf(line, sizeof line, "\r\n--%.*s", (int)length, boundary);
    const char *end = body.data + body.length,
               *at = find_bytes(body.data, body.length, line + 2, (size_t)line_length - 2);
    at = at == NULL ? NULL : find_bytes(at, (size_t)(end - at), "\r\n\r\n", 4);
    const char *close =
        at == NULL ? NULL : find_bytes(at + 4, (size_t)(end - at - 4), line, (size_t)line_length);
    if (close == NULL) return crn_qd_fail(call, 400, "Wrong input: the multipart body is not whole");
    *out = (struct crn_text){at + 4, (size_t)(close - at - 4)};
    return true;
}

static bool write_part(struct crn_qd_call *call, const char *path, struct crn_text part)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool done = file >= 0;

    for (size_t at = 0; done && at < part.length;) {
        const ssize_t wrote = write(file, part.data + at, part.length - at);
        done = wrote > 0;
        at += done ? (size_t)wrote : 0;
    }
    if (file >= 0) close(file);
    return done || crn_qd_fail(call, 507, "Service internal error: the snapshot cannot be stored");
}

static const char *parameter(struct crn_qd_call *call, const char *name)
{
    const struct crn_request *request = call->request;

    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct crn_field *field = &request->parameters[i];
        if (field->name.length != strlen(name) || memcmp(field->name.data, name, strlen(name)) != 0) continue;
        return crn_qd_take_text(call, field->value.data, field->value.length);
    }
    return NULL;
}

bool crn_qd_snapshot_upload(struct crn_qd_call *call)
{
    const char *name = crn_qd_path_name(call);
    char folder[QD_SNAPSHOT_PATH], path[QD_SNAPSHOT_PATH];
    struct crn_text part = {0};

    if (name == NULL || !first_part(call, &part) || !crn_qd_snapshot_folder(call, name, folder)) return false;
    crn_qd_snapshot_part(folder, path);
    const bool done = write_part(call, path, part) && check_sum(call, path, parameter(call, "checksum")) &&
                      recover_file(call, path, name);
    (void)unlink(path);
    return done;
}
