/*
 * The folder of derived files: names, the table of system calls, and the removal of what is no longer wanted.
 */
#include "storage/derived_format.h"

#include "base/error.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long system_write(int fd, const void *data, size_t size)
{
    return write(fd, data, size);
}

static int system_open(const char *path, int flags, int mode)
{
    return open(path, flags, mode);
}

static void *system_map(size_t size, int fd)
{
    return mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
}

static const struct crn_derived_io system_calls = {
    .write = system_write,
    .fsync = fsync,
    .rename = rename,
    .open = system_open,
    .map = system_map,
};

struct crn_derived_io crn_derived_system = {
    .write = system_write,
    .fsync = fsync,
    .rename = rename,
    .open = system_open,
    .map = system_map,
};

void crn_derived_set_io(const struct crn_derived_io *io)
{
    crn_derived_system = io ? *io : system_calls;
}

bool crn_derived_name_valid(const char *name, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return len > 0 && len <= CRN_DERIVED_NAME_MAX && name[0] != '.' && strspn(name, allowed) >= len;
}

char *crn_derived_path(const char *folder, const char *name, const char *suffix)
{
    size_t size = strlen(folder) + strlen(name) + strlen(suffix) + 2;
    char *path = crn_mem_alloc(size);

    if (path) snprintf(path, size, "%s/%s%s", folder, name, suffix);
    return path;
}

bool crn_derived_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* The length of what stands before the suffix, 0 when `text` does not end with it. */
static size_t stem_len(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);

    if (len <= suffix_len || strcmp(text + len - suffix_len, suffix) != 0) return 0;
    return len - suffix_len;
}

/* An aside file goes when its writer is gone: while the lock is held here, no writer can take the file up. */
static int remove_dead_aside(int folder_fd, const char *file)
{
    int failed = 0;
    int fd = openat(folder_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) return errno == ENOENT ? 0 : errno;
    if (crn_derived_lock(fd, F_RDLCK) && unlinkat(folder_fd, file, 0) != 0 && errno != ENOENT) failed = errno;
    close(fd);
    return failed;
}

static int sweep_file(int folder_fd, const char *file, bool (*keep)(void *ctx, const char *name), void *ctx)
{
    char name[CRN_DERIVED_NAME_MAX + 1];
    size_t len = stem_len(file, CRN_DERIVED_SUFFIX);

    if (stem_len(file, CRN_DERIVED_ASIDE_SUFFIX)) return remove_dead_aside(folder_fd, file);
    if (!crn_derived_name_valid(file, len)) return 0;
    memcpy(name, file, len);
    name[len] = '\0';
    if (keep(ctx, name) || unlinkat(folder_fd, file, 0) == 0 || errno == ENOENT) return 0;
    return errno;
}

cairn_status crn_derived_sweep(const char *folder, bool (*keep)(void *ctx, const char *name), void *ctx,
                               cairn_error *err)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    int first_failure = 0;

    if (!stream) return crn_error_errno(err, errno, "open folder", folder);
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        int failed = sweep_file(dirfd(stream), entry->d_name, keep, ctx);
        if (failed && !first_failure) first_failure = failed;
    }
    if (errno && !first_failure) first_failure = errno;
    closedir(stream);
    return first_failure ? crn_error_errno(err, first_failure, "sweep folder", folder) : CAIRN_OK;
}
