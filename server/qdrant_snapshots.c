/*
 * Snapshots: of all data a backup of the database, of a collection a database that holds it alone. They are files in a folder of the
 * server's own, DIR/full or DIR/c-<SHA-256 of the collection's name>; of what a request says, only names of letters, digits and -_. get
 * there.
 */
#include "server/qdrant_snapshots.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".snapshot"
#define PART ".part-"
#define NAME_MAX_BYTES 100u
#define NAME_PART_BYTES 40u /* of the collection's name in the file's */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/* ---- names and folders ---- */

bool crn_qd_is_snapshot_name(const char *name, size_t length)
{
    const size_t suffix = strlen(SUFFIX);

    if (length <= suffix || length > NAME_MAX_BYTES || name[0] == '.' ||
        memcmp(name + length - suffix, SUFFIX, suffix) != 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '\0' || strchr(letters, name[i]) == NULL) return false;
    }
    return true;
}

bool crn_qd_snapshot_folder(struct crn_qd_call *call, const char *collection, char out[QD_SNAPSHOT_PATH])
{
    const char *base = call->qdrant->snapshots;
    char hash[CRN_SHA256_TEXT];

    if (base == NULL)
        return crn_qd_fail(call, 501, "Not implemented: the server has no folder for snapshots");
    if (collection != NULL && !crn_sha256_text(collection, strlen(collection), hash)) {
        return crn_qd_fail(call, 500, "Service internal error: no SHA-256");
    }
    const int length = collection == NULL ? snprintf(out, QD_SNAPSHOT_PATH, "%s/full", base)
                                          : snprintf(out, QD_SNAPSHOT_PATH, "%s/c-%s", base, hash);
    if (length < 0 || length + (int)NAME_MAX_BYTES + 32 >= (int)QD_SNAPSHOT_PATH) {
        return crn_qd_fail(call, 500, "Service internal error: the folder's path is too long");
    }
    if ((mkdir(base, 0700) != 0 && errno != EEXIST) || (mkdir(out, 0700) != 0 && errno != EEXIST)) {
        return crn_qd_fail(call, 500, "Service internal error: the folder of snapshots: %s", strerror(errno));
    }
    return true;
}

void crn_qd_snapshot_part(const char *folder, char out[QD_SNAPSHOT_PATH])
{
    unsigned char random[16];

    crn_rng_entropy(random);
    snprintf(out, QD_SNAPSHOT_PATH, "%s/" PART "%02x%02x%02x%02x%02x%02x", folder, random[0], random[1],
             random[2], random[3], random[4], random[5]);
}

static void make_name(const char *collection, char *out, size_t size)
{
    const int64_t now_ms = crn_clock_ms();
    const time_t second = (time_t)(now_ms / 1000);
    char date[32] = "", part[NAME_PART_BYTES + 1] = "full-snapshot";
    struct tm parts;

    for (size_t i = 0; collection != NULL && i <= NAME_PART_BYTES; i++) {
        part[i] = i < NAME_PART_BYTES ? collection[i] : '\0';
        if (part[i] == '\0') break;
        if (strchr(letters, part[i]) == NULL || (i == 0 && part[i] == '.')) part[i] = '_';
    }
    if (gmtime_r(&second, &parts) != NULL) strftime(date, sizeof date, "%Y-%m-%d-%H-%M-%S", &parts);
    snprintf(out, size, "%s-%" PRId64 "-%s" SUFFIX, part, now_ms, date);
}

/* The collection's (NULL: the whole storage's) snapshot that the path's segment names. */
static bool path_of_segment(struct crn_qd_call *call, const char *collection, size_t segment,
                            char out[QD_SNAPSHOT_PATH])
{
    const struct crn_text name = call->request->segments[segment];
    char folder[QD_SNAPSHOT_PATH];

    if (!crn_qd_is_snapshot_name(name.data, name.length)) {
        return crn_qd_fail(call, 404, "Not found: Snapshot %.*s not found",
                           (int)(name.length > 200 ? 200 : name.length), name.data);
    }
    if (!crn_qd_snapshot_folder(call, collection, folder)) return false;
    snprintf(out, QD_SNAPSHOT_PATH, "%.*s/%.*s", (int)(QD_SNAPSHOT_PATH - NAME_MAX_BYTES - 2), folder,
             (int)name.length, name.data);
    return true;
}

/* ---- describing ---- */

static void write_description(struct crn_buf *out, const char *name, const struct stat *status)
{
    char time_text[40] = "";
    struct tm parts;

    if (gmtime_r(&status->st_mtime, &parts) != NULL)
        strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &parts);
    crn_buf_printf(out, "{\"name\":\"%s\",\"creation_time\":\"%s\",\"size\":%lld,\"checksum\":null}", name,
                   time_text, (long long)status->st_size);
}

static bool describe(struct crn_qd_call *call, const char *folder, const char *name)
{
    char path[QD_SNAPSHOT_PATH + NAME_MAX_BYTES];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &status) != 0)
        return crn_qd_fail(call, 500, "Service internal error: the snapshot is gone: %s", strerror(errno));
    write_description(call->out, name, &status);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list(struct crn_qd_call *call, const char *collection)
{
    char folder[QD_SNAPSHOT_PATH];
    char **names = NULL;
    size_t count = 0;
    struct dirent *entry;
    bool done = true;

    if (!crn_qd_snapshot_folder(call, collection, folder)) return false;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return crn_qd_fail(call, 500, "Service internal error: the folder of snapshots: %s", strerror(errno));
    while (done && (entry = readdir(directory)) != NULL) {
        if (!crn_qd_is_snapshot_name(entry->d_name, strlen(entry->d_name))) continue;
        char **more = crn_mem_realloc_array(names, count + 1, sizeof(char *));
        if (more != NULL) names = more;
        done = more != NULL &&
               (names[count] = crn_qd_take_text(call, entry->d_name, strlen(entry->d_name))) != NULL;
        count += done;
    }
    closedir(directory);
    if (count > 0) qsort(names, count, sizeof(char *), by_name);
    crn_buf_putc(call->out, '[');
    for (size_t i = 0; done && i < count; i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        done = describe(call, folder, names[i]);
    }
    crn_buf_putc(call->out, ']');
    crn_mem_free(names);
    return done || crn_qd_fail(call, 500, "Service internal error: no memory for the list");
}

/* ---- making ---- */

bool crn_qd_is_wanted(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    (void)phase;
    (void)done;
    (void)total;
    return crn_qd_go_on(ctx);
}

static void remove_database(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char one[QD_SNAPSHOT_PATH + 8];
    struct dirent *entry;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(one, sizeof one, "%s%s", path, suffixes[i]);
        (void)unlink(one);
    }
    snprintf(one, sizeof one, "%s.d", path);
    DIR *folder = opendir(one);
    if (folder == NULL) return;
    while ((entry = readdir(folder)) != NULL) (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    (void)rmdir(one);
}

static void remove_parts_of(const char *folder)
{
    char path[QD_SNAPSHOT_PATH + NAME_MAX_BYTES];
    DIR *directory = opendir(folder);

    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name; /* a backup's own parts end so */
        if (strstr(name, PART) == NULL || crn_qd_is_snapshot_name(name, strlen(name))) continue;
        const int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length > 0 && length < (int)QD_SNAPSHOT_PATH) remove_database(path);
    }
    closedir(directory);
}

void crn_qd_remove_parts(const char *snapshots)
{
    char folder[QD_SNAPSHOT_PATH];
    DIR *directory = opendir(snapshots);

    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        const int length = snprintf(folder, sizeof folder, "%s/%s", snapshots, entry->d_name);
        if (length > 0 && length < (int)sizeof folder) remove_parts_of(folder);
    }
    closedir(directory);
}

/* All of the database as it is now, then of that copy the collection alone: so the snapshot is of one moment. */
static cairn_status back_up_collection(struct crn_qd_call *call, const char *folder, const char *collection,
                                       const char *path, cairn_error *err)
{
    char all[QD_SNAPSHOT_PATH], alone[QD_SNAPSHOT_PATH];
    cairn_db *from = NULL, *to = NULL;

    crn_qd_snapshot_part(folder, all);
    crn_qd_snapshot_part(folder, alone);
    cairn_status status = cairn_backup(call->qdrant->db, all, crn_qd_is_wanted, call, err);
    if (status == CAIRN_OK)
        status = cairn_open(all, CAIRN_OPTIONS(cairn_open_options, .must_exist = true, .read_only = true),
                            &from, err);
    if (status == CAIRN_OK) {
        status = cairn_open(
            alone, CAIRN_OPTIONS(cairn_open_options, .no_background = true, .durability = CAIRN_LAZY), &to,
            err);
    }
    if (status == CAIRN_OK)
        status = crn_collection_copy(from, collection, to, collection, crn_qd_is_wanted, call, err);
    if (status == CAIRN_OK) status = cairn_backup(to, path, crn_qd_is_wanted, call, err);
    cairn_close(to);
    cairn_close(from);
    remove_database(alone);
    remove_database(all);
    return status;
}

static bool create(struct crn_qd_call *call, const char *collection)
{
    char folder[QD_SNAPSHOT_PATH], name[NAME_MAX_BYTES + 1], path[QD_SNAPSHOT_PATH + NAME_MAX_BYTES + 1];
    cairn_error err = {0};

    if (!crn_qd_snapshot_folder(call, collection, folder)) return false;
    make_name(collection, name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const cairn_status status = collection == NULL
                                    ? cairn_backup(call->qdrant->db, path, crn_qd_is_wanted, call, &err)
                                    : back_up_collection(call, folder, collection, path, &err);
    return crn_qd_ok(call, status, &err) && describe(call, folder, name);
}

/* ---- deleting, downloading ---- */

static bool delete_one(struct crn_qd_call *call, const char *collection, size_t segment)
{
    const struct crn_text name = call->request->segments[segment];
    char path[QD_SNAPSHOT_PATH];

    if (!path_of_segment(call, collection, segment, path)) return false;
    if (unlink(path) == 0) {
        crn_buf_puts(call->out, "true");
        return true;
    }
    if (errno == ENOENT)
        return crn_qd_fail(call, 404, "Not found: Snapshot %.*s not found", (int)name.length, name.data);
    return crn_qd_fail(call, 500, "Service internal error: the snapshot cannot be deleted: %s",
                       strerror(errno));
}

static bool download(struct crn_qd_call *call, const char *collection, size_t segment)
{
    const struct crn_text name = call->request->segments[segment];
    struct crn_answer *answer = call->answer;
    char path[QD_SNAPSHOT_PATH];
    struct stat status;

    if (!path_of_segment(call, collection, segment, path)) return false;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        if (file >= 0) close(file);
        return crn_qd_fail(call, 404, "Not found: Snapshot %.*s not found", (int)name.length, name.data);
    }
    answer->has_file = true;
    answer->file = file;
    answer->file_bytes = (uint64_t)status.st_size;
    answer->content_type = "application/octet-stream";
    return true;
}

/* ---- endpoints ---- */

/* A snapshot of everything is for keys of everything. */
static bool may_use_all(struct crn_qd_call *call)
{
    if (call->request->principal.collections == NULL) return true;
    return crn_qd_fail(call, 403, "Forbidden: Global access is required");
}

bool crn_qd_snapshots_list(struct crn_qd_call *call)
{
    const struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && list(call, collection->name);
}

bool crn_qd_snapshot_create(struct crn_qd_call *call)
{
    const struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && create(call, collection->name);
}

bool crn_qd_snapshot_delete(struct crn_qd_call *call)
{
    const struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && delete_one(call, collection->name, 3);
}

bool crn_qd_snapshot_get(struct crn_qd_call *call)
{
    const struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && download(call, collection->name, 3);
}

bool crn_qd_full_snapshots_list(struct crn_qd_call *call)
{
    return may_use_all(call) && list(call, NULL);
}

bool crn_qd_full_snapshot_create(struct crn_qd_call *call)
{
    return may_use_all(call) && create(call, NULL);
}

bool crn_qd_full_snapshot_delete(struct crn_qd_call *call)
{
    return may_use_all(call) && delete_one(call, NULL, 1);
}

bool crn_qd_full_snapshot_get(struct crn_qd_call *call)
{
    return may_use_all(call) && download(call, NULL, 1);
}
