/* The path of a database. What the file holds is judged in schema.c. */
#include "storage/path.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest name SQLite's unix layer takes is 512 bytes, "-journal" included. */
#define PATH_BYTES_MAX 500u

static int (*_Atomic statfs_seam)(const char *path, struct statfs *out);

void crn_path_set_statfs(int (*fn)(const char *path, struct statfs *out))
{
    atomic_store(&statfs_seam, fn);
}

/* The folder part of a path: up to its last slash, "." when it has none. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) return crn_mem_strdup(".");
    return crn_mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static char *join(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = crn_mem_alloc(size);

    if (path != NULL) snprintf(path, size, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", name);
    return path;
}

/* A file that is not there yet: its folder is resolved instead. */
static cairn_status resolve_new(const char *path, char *resolved, char **out_path, cairn_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct stat info;

    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        return crn_error_set(err, CAIRN_NO_FILE, "%s is a symbolic link to a file that does not exist", path);
    }
    if (name[0] == '\0')
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the path %s names a folder", path);
    char *folder = parent_of(path);
    if (folder == NULL) return crn_error_no_memory(err, strlen(path));
    const char *found = realpath(folder, resolved);
    const int error_number = errno;
    crn_mem_free(folder);
    if (found == NULL) return crn_error_errno(err, error_number, "finding the folder of", path);
    *out_path = join(resolved, name);
    return *out_path != NULL ? CAIRN_OK : crn_error_no_memory(err, strlen(path));
}

cairn_status crn_path_resolve(const char *path, char **out_path, cairn_error *err)
{
    char resolved[PATH_MAX];

    *out_path = NULL;
    if (path == NULL || path[0] == '\0')
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the path is empty");
    if (realpath(path, resolved) != NULL) {
        *out_path = crn_mem_strdup(resolved);
        if (*out_path == NULL) return crn_error_no_memory(err, strlen(resolved));
    } else if (errno == ENOENT) {
        CRN_TRY(resolve_new(path, resolved, out_path, err));
    } else {
        return crn_error_errno(err, errno, "finding", path);
    }
    if (strlen(*out_path) <= PATH_BYTES_MAX) return CAIRN_OK;
    crn_mem_free(*out_path);
    *out_path = NULL;
    return crn_error_set(err, CAIRN_LIMIT, "a path of more than %u bytes: %.200s...", PATH_BYTES_MAX, path);
}

/* -1 with errno. */
static int open_parent(const char *path)
{
    char *folder = parent_of(path);

    if (folder == NULL) {
        errno = ENOMEM;
        return -1;
    }
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int error_number = errno;
    crn_mem_free(folder);
    errno = error_number;
    return fd;
}

/* ---- file systems ---- */

struct filesystem {
    unsigned magic; /* statfs f_type, as in statfs(2) and linux/magic.h */
    const char *name;
    bool refused; /* else: cannot be judged from its type, so it is only told */
};

/* Shared memory of one machine is not the other's, and locks are often only advisory to one of them. */
static const struct filesystem filesystems[] = {
    {0x6969, "NFS", true},      {0x517b, "SMB", true},        {0xff534d42, "CIFS", true},
    {0xfe534d42, "SMB2", true}, {0x564c, "NCP", true},        {0x5346414f, "AFS", true},
    {0x6b414653, "kAFS", true}, {0x73757245, "Coda", true},   {0x00c36400, "Ceph", true},
    {0x01161970, "GFS2", true}, {0x7461636f, "OCFS2", true},  {0x0bd00bd0, "Lustre", true},
    {0x47504653, "GPFS", true}, {0x19830326, "BeeGFS", true}, {0x20030528, "OrangeFS", true},
    {0x01021997, "9p", false},  {0x65735546, "FUSE", false},  {0x786f4256, "VirtualBox shared folder", false},
};

cairn_status crn_path_check_filesystem(const char *path, const struct crn_log *log, cairn_error *err)
{
    int (*ask)(const char *, struct statfs *) = atomic_load(&statfs_seam);
    struct statfs info;
    char *folder = parent_of(path);

    if (folder == NULL) return crn_error_no_memory(err, strlen(path));
    const int answer = (ask != NULL ? ask : statfs)(folder, &info);
    const int error_number = errno;
    crn_mem_free(folder);
    if (answer != 0) return crn_error_errno(err, error_number, "asking for the file system of", path);
    for (size_t i = 0; i < sizeof filesystems / sizeof filesystems[0]; i++) {
        const struct filesystem *known = &filesystems[i];
        if ((unsigned)info.f_type != known->magic) continue;
        if (known->refused) {
            return crn_error_set(err, CAIRN_NETWORK_FS,
                                 "%s is on %s, a network file system, where processes of two "
                                 "machines would not see each other's locks: keep it on a local disk",
                                 path, known->name);
        }
        crn_log(log, CAIRN_LOG_WARN,
                "%s is on %s, which may be a network file system: open it from one machine alone", path,
                known->name);
    }
    return CAIRN_OK;
}

/* ---- files that appear whole ---- */

/* Where the file system knows no renaming without replacing: an empty file of our own takes the name
 * first. */
static int rename_over_placeholder(const char *from, const char *to)
{
    const int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0) return -1;
    close(fd);
    if (rename(from, to) == 0) return 0;
    const int error_number = errno;
    unlink(to);
    errno = error_number;
    return -1;
}

static cairn_status rename_new(const char *from, const char *to, cairn_error *err)
{
    int answer = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

    if (answer != 0 && (errno == EINVAL || errno == ENOSYS)) answer = rename_over_placeholder(from, to);
    if (answer == 0) return CAIRN_OK;
    if (errno == EEXIST) return crn_error_set(err, CAIRN_EXISTS, "%s exists already", to);
    return crn_error_errno(err, errno, "renaming to", to);
}

cairn_status crn_path_appear(const char *from, const char *to, bool replace, cairn_error *err)
{
    const int folder = open_parent(to); /* before, so that little is left to fail once the file is there */
    cairn_status status = CAIRN_OK;

    if (folder < 0) return crn_error_errno(err, errno, "opening the folder of", to);
    if (!replace) {
        status = rename_new(from, to, err);
    } else if (rename(from, to) != 0) {
        status = crn_error_errno(err, errno, "renaming to", to);
    }
    if (status == CAIRN_OK && fsync(folder) != 0)
        status = crn_error_errno(err, errno, "syncing the folder of", to);
    close(folder);
    return status;
}

cairn_status crn_path_sync(const char *path, cairn_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    cairn_status status = CAIRN_OK;

    if (fd < 0) return crn_error_errno(err, errno, "opening to sync", path);
    if (fsync(fd) != 0) status = crn_error_errno(err, errno, "syncing", path);
    close(fd);
    return status;
}

void crn_path_remove_database(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}
