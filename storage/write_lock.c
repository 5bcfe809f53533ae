/* The write lock of a database. */
#include "storage/write_lock.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum lock_byte { BYTE_LOCK = 0, BYTE_TURNSTILE = 1 };

/* Pauses between two tries: a fraction of the time waited already, so that short waits end soon and long ones
 * cost little. A commit takes 0.15 to 4 ms. */
#define PAUSE_NS_MIN 20000u
#define PAUSE_NS_MAX 2000000u

/* Opens the lock file, which is made when it is missing, its folder too. */
static cairn_status open_file(struct crn_write_lock *lock, cairn_error *err)
{
    struct stat info;

    if (mkdir(lock->folder, 0777) != 0 && errno != EEXIST) {
        return crn_error_errno(err, errno, "making the folder", lock->folder);
    }
    const int fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return crn_error_errno(err, errno, "opening", lock->path);
    if (fstat(fd, &info) != 0) {
        const int error_number = errno;
        close(fd);
        return crn_error_errno(err, error_number, "looking at", lock->path);
    }
    if (lock->fd >= 0) close(lock->fd);
    lock->fd = fd;
    lock->device = info.st_dev;
    lock->inode = info.st_ino;
    return CAIRN_OK;
}

cairn_status crn_write_lock_init(struct crn_write_lock *lock, const char *folder, const char *name,
                                 cairn_error *err)
{
    const size_t size = strlen(folder) + strlen(name) + sizeof "/";
    pthread_condattr_t attributes;

    memset(lock, 0, sizeof *lock);
    lock->fd = -1;
    lock->folder = folder;
    lock->path = crn_mem_alloc(size);
    if (lock->path == NULL) return crn_error_no_memory(err, size);
    snprintf(lock->path, size, "%s/%s", folder, name);
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->freed, &attributes);
    pthread_condattr_destroy(&attributes);
    lock->ready = true;
    return open_file(lock, err);
}

void crn_write_lock_release(struct crn_write_lock *lock)
{
    if (lock->ready) {
        pthread_cond_destroy(&lock->freed);
        pthread_mutex_destroy(&lock->mutex);
        if (lock->fd >= 0) close(lock->fd);
    }
    crn_mem_free(lock->path);
    memset(lock, 0, sizeof *lock);
}

/* ---- the process ---- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

static bool acquire_process(struct crn_write_lock *lock, uint64_t deadline_ns)
{
    const struct timespec deadline = timespec_of(deadline_ns);
    bool acquired;

    pthread_mutex_lock(&lock->mutex);
    while (lock->held && pthread_cond_timedwait(&lock->freed, &lock->mutex, &deadline) != ETIMEDOUT) continue;
    acquired = !lock->held;
    if (acquired) lock->held = true;
    pthread_mutex_unlock(&lock->mutex);
    return acquired;
}

static void drop_process(struct crn_write_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock->held = false;
    pthread_cond_signal(&lock->freed);
    pthread_mutex_unlock(&lock->mutex);
}

/* ---- all processes ---- */

static int set_byte(int fd, enum lock_byte byte, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &range);
}

/* There is no waiting for a lock with a time limit in the kernel, so it is asked again and again. */
static cairn_status acquire_byte(struct crn_write_lock *lock, enum lock_byte byte, uint64_t deadline_ns,
                                 cairn_error *err)
{
    const uint64_t began_ns = crn_clock_ns();

    while (set_byte(lock->fd, byte, F_WRLCK) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return crn_error_errno(err, errno, "locking", lock->path);
        const uint64_t now_ns = crn_clock_ns();
        if (now_ns >= deadline_ns) {
            return crn_error_set(err, CAIRN_BUSY, "another process is writing to the database (it holds %s)",
                                 lock->path);
        }
        uint64_t pause_ns = (now_ns - began_ns) / 4;
        if (pause_ns < PAUSE_NS_MIN) pause_ns = PAUSE_NS_MIN;
        if (pause_ns > PAUSE_NS_MAX) pause_ns = PAUSE_NS_MAX;
        if (pause_ns > deadline_ns - now_ns) pause_ns = deadline_ns - now_ns;
        const struct timespec pause = timespec_of(pause_ns);
        nanosleep(&pause, NULL);
    }
    return CAIRN_OK;
}

static cairn_status acquire_file(struct crn_write_lock *lock, uint64_t deadline_ns, cairn_error *err)
{
    CRN_TRY(acquire_byte(lock, BYTE_TURNSTILE, deadline_ns, err));
    cairn_status status = acquire_byte(lock, BYTE_LOCK, deadline_ns, err);
    set_byte(lock->fd, BYTE_TURNSTILE, F_UNLCK);
    return status;
}

/* Is the file that is locked still the one at the path? */
static bool file_is_current(const struct crn_write_lock *lock)
{
    struct stat info;

    return stat(lock->path, &info) == 0 && info.st_dev == lock->device && info.st_ino == lock->inode;
}

cairn_status crn_write_lock_acquire(struct crn_write_lock *lock, uint32_t timeout_ms, cairn_error *err)
{
    const uint64_t deadline_ns = crn_clock_ns() + (uint64_t)timeout_ms * 1000000u;

    if (!acquire_process(lock, deadline_ns)) {
        return crn_error_set(err, CAIRN_BUSY, "another thread is writing to the database");
    }
    cairn_status status = acquire_file(lock, deadline_ns, err);
    while (status == CAIRN_OK && !file_is_current(lock)) {
        status = open_file(lock, err); /* closing the old file lets its lock go */
        if (status == CAIRN_OK) status = acquire_file(lock, deadline_ns, err);
    }
    if (status != CAIRN_OK) crn_write_lock_drop(lock);
    return status;
}

void crn_write_lock_drop(struct crn_write_lock *lock)
{
    set_byte(lock->fd, BYTE_LOCK, F_UNLCK); /* does nothing where it was not held */
    drop_process(lock);
}
