/*
 * The state and its rules come first, then the VFS's methods, each: enter (count, fail, cut), the real call,
 * and leave (tell the disk, cut) when it changes a file. The mutex is not held during real calls, so that
 * threads meet in SQLite as they would without us; whatever goes on after the cut reaches the real files
 * only, and these are overwritten when the disk comes back.
 */
#include "tests/faults/fault_vfs.h"

#include "tests/faults/fault_disk.h"

#include <sqlite3.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct fault_file {
    sqlite3_file base;
    enum fault_target target;     /* FAULT_ALL_FILES: neither main file nor WAL */
    struct fault_disk_file *disk; /* NULL: not on the simulated disk */
    bool new_journal;             /* its first sync is one of the folder, too: so does SQLite's unix VFS */
    sqlite3_file *real;           /* behind this struct */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and the disk */
static struct fault_plan plan;                            /* nth 0: none */
static uint64_t plan_matched;
static struct fault_counts counts;
static bool disk_on, frozen;
static int open_files;
static struct {
    enum fault_op op;
    uint64_t nth; /* counts down; 0 = no cut is due */
    bool after;
    uint64_t seed;
} cut;

static _Atomic unsigned sync_delay_ms;
static sqlite3_vfs *real_vfs;

static const struct {
    const char *name;
    int code;
} ops[FAULT_OP_COUNT + 1] = {
    [FAULT_OPEN] = {"open", SQLITE_CANTOPEN},
    [FAULT_READ] = {"read", SQLITE_IOERR_READ},
    [FAULT_WRITE] = {"write", SQLITE_IOERR_WRITE},
    [FAULT_SYNC] = {"sync", SQLITE_IOERR_FSYNC},
    [FAULT_TRUNCATE] = {"truncate", SQLITE_IOERR_TRUNCATE},
    [FAULT_DELETE] = {"delete", SQLITE_IOERR_DELETE},
    [FAULT_SIZE] = {"size", SQLITE_IOERR_FSTAT},
    [FAULT_ACCESS] = {"access", SQLITE_IOERR_ACCESS},
    [FAULT_LOCK] = {"lock", SQLITE_IOERR_LOCK},
    [FAULT_SHM] = {"shm", SQLITE_IOERR_SHMMAP},
    [FAULT_ANY] = {"any", SQLITE_IOERR},
};

const char *fault_op_name(enum fault_op op)
{
    return ops[op].name;
}

/* The calls that end in leave(). */
static bool changes_files(enum fault_op op)
{
    return op == FAULT_WRITE || op == FAULT_TRUNCATE || op == FAULT_SYNC || op == FAULT_DELETE;
}

static void cut_now(void)
{
    if (disk_on && !frozen) fault_disk_cut(cut.seed);
    frozen = true;
    cut.nth = 0;
}

/* True when the call is the one to cut at. */
static bool cut_is_due(enum fault_op op)
{
    if (cut.nth == 0 || (cut.op != FAULT_ANY && cut.op != op)) return false;
    if (cut.nth > 1) {
        cut.nth--;
        return false;
    }
    return true;
}

static bool plan_strikes(enum fault_op op, enum fault_target target)
{
    if (plan.nth == 0 || (plan.op != FAULT_ANY && plan.op != op)) return false;
    if (plan.target != FAULT_ALL_FILES && plan.target != target) return false;
    plan_matched++;
    return plan_matched == plan.nth || (plan.forever && plan_matched > plan.nth);
}

/* One call: what is asked, and what enter() decided. */
struct call {
    enum fault_op op;
    enum fault_target target;
    struct fault_disk_file *disk; /* what leave() tells of the call; NULL: nobody */
    const void *data;             /* of a write */
    size_t size;
    uint64_t offset; /* of a write; the size of a truncation */
    bool folder;     /* a sync of the folder as well */
    bool half;       /* it fails, but the first half is to be written */
    bool cut_after;
};

/* What every call does first: SQLITE_OK, or how it fails. */
static int enter(struct call *call)
{
    int status = SQLITE_OK;

    pthread_mutex_lock(&mutex);
    counts.calls[call->op]++;
    if (!frozen && cut_is_due(call->op)) {
        if (cut.after && changes_files(call->op))
            call->cut_after = true;
        else
            cut_now();
    }
    if (frozen) {
        status = ops[call->op].code;
    } else if (plan_strikes(call->op, call->target)) {
        status = plan.code ? plan.code : ops[call->op].code;
        call->half = plan.short_write;
    }
    pthread_mutex_unlock(&mutex);
    if (status != SQLITE_OK)
        errno = status == SQLITE_FULL ? ENOSPC : EIO; /* SQLite keeps it beside the code */
    return status;
}

static void tell_disk(const struct call *call)
{
    if (call->op == FAULT_WRITE) fault_disk_written(call->disk, call->data, call->size, call->offset);
    if (call->op == FAULT_TRUNCATE) fault_disk_truncated(call->disk, call->offset);
    if (call->op == FAULT_DELETE) fault_disk_deleted(call->disk);
    if (call->op == FAULT_SYNC) fault_disk_synced(call->disk);
    if (call->folder) fault_disk_folder_synced();
}

/* What a call that changes a file does last, with the real call's answer: tells the disk, and cuts the power
 * when it is time. */
static int leave(const struct call *call, int status)
{
    pthread_mutex_lock(&mutex);
    if (status == SQLITE_OK) {
        if (call->op == FAULT_WRITE) counts.bytes_written += call->size;
        if (call->disk && !frozen) tell_disk(call);
    }
    if (call->cut_after) cut_now();
    if (frozen && status == SQLITE_OK) status = ops[call->op].code;
    pthread_mutex_unlock(&mutex);
    return status;
}

static sqlite3_file *real_file(sqlite3_file *base)
{
    return ((struct fault_file *)base)->real;
}

/* ---- files ---- */

static int file_close(sqlite3_file *base)
{
    pthread_mutex_lock(&mutex);
    open_files--;
    pthread_mutex_unlock(&mutex);
    return real_file(base)->pMethods->xClose(real_file(base));
}

static struct call call_of(sqlite3_file *base, enum fault_op op)
{
    struct fault_file *file = (struct fault_file *)base;

    return (struct call){.op = op, .target = file->target, .disk = file->disk};
}

static int file_read(sqlite3_file *base, void *data, int size, sqlite3_int64 offset)
{
    struct call call = call_of(base, FAULT_READ);
    int status = enter(&call);

    if (status != SQLITE_OK) return status;
    return real_file(base)->pMethods->xRead(real_file(base), data, size, offset);
}

static int file_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct call call = call_of(base, FAULT_WRITE);
    int failed = enter(&call), status;

    if (failed && !call.half) return failed;
    if (failed) size /= 2;
    call.data = data;
    call.size = (size_t)size;
    call.offset = (uint64_t)offset;
    status = leave(&call, real_file(base)->pMethods->xWrite(real_file(base), data, size, offset));
    return failed ? failed : status;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct call call = call_of(base, FAULT_TRUNCATE);
    int status = enter(&call);

    if (status != SQLITE_OK) return status;
    call.offset = (uint64_t)size;
    return leave(&call, real_file(base)->pMethods->xTruncate(real_file(base), size));
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct fault_file *file = (struct fault_file *)base;
    struct call call = call_of(base, FAULT_SYNC);
    unsigned delay_ms = atomic_load(&sync_delay_ms);
    int status = enter(&call);

    if (status != SQLITE_OK) return status;
    if (delay_ms > 0) usleep(delay_ms * 1000);
    /* On the simulated disk the real device need not be waited for. */
    if (!call.disk) status = real_file(base)->pMethods->xSync(real_file(base), flags);
    if (status == SQLITE_OK && file->new_journal) {
        call.folder = true;
        file->new_journal = false;
    }
    return leave(&call, status);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out_size)
{
    struct call call = call_of(base, FAULT_SIZE);
    int status = enter(&call);

    if (status != SQLITE_OK) return status;
    return real_file(base)->pMethods->xFileSize(real_file(base), out_size);
}

static int file_lock(sqlite3_file *base, int lock)
{
    struct call call = call_of(base, FAULT_LOCK);
    int status = enter(&call);

    return status != SQLITE_OK ? status : real_file(base)->pMethods->xLock(real_file(base), lock);
}

static int file_unlock(sqlite3_file *base, int lock)
{
    return real_file(base)->pMethods->xUnlock(real_file(base), lock);
}

static int file_check_reserved(sqlite3_file *base, int *out_reserved)
{
    return real_file(base)->pMethods->xCheckReservedLock(real_file(base), out_reserved);
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    return real_file(base)->pMethods->xFileControl(real_file(base), op, arg);
}

static int file_sector_size(sqlite3_file *base)
{
    return real_file(base)->pMethods->xSectorSize(real_file(base));
}

static int file_characteristics(sqlite3_file *base)
{
    return real_file(base)->pMethods->xDeviceCharacteristics(real_file(base));
}

static int file_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out_memory)
{
    struct call call = call_of(base, FAULT_SHM);
    int status = enter(&call);

    if (status != SQLITE_OK) {
        *out_memory = NULL;
        return status;
    }
    return real_file(base)->pMethods->xShmMap(real_file(base), region, size, extend, out_memory);
}

static int file_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    return real_file(base)->pMethods->xShmLock(real_file(base), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *base)
{
    real_file(base)->pMethods->xShmBarrier(real_file(base));
}

static int file_shm_unmap(sqlite3_file *base, int delete)
{
    return real_file(base)->pMethods->xShmUnmap(real_file(base), delete);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2, /* 3 would add memory mapping, which is not used */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---- */

static enum fault_target target_of(int flags)
{
    if (flags & SQLITE_OPEN_MAIN_DB) return FAULT_MAIN;
    return flags & SQLITE_OPEN_WAL ? FAULT_WAL : FAULT_ALL_FILES;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
    struct fault_file *file = (struct fault_file *)base;
    struct call call = {.op = FAULT_OPEN, .target = target_of(flags)};
    int status = enter(&call);

    (void)vfs;
    memset(file, 0, sizeof(*file));
    if (status != SQLITE_OK) return status;
    file->target = call.target;
    file->new_journal = flags & SQLITE_OPEN_CREATE &&
                        flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    file->real = (sqlite3_file *)(file + 1);
    pthread_mutex_lock(&mutex);
    if (path && disk_on) file->disk = fault_disk_find(path); /* before xOpen makes it */
    pthread_mutex_unlock(&mutex);
    status = real_vfs->xOpen(real_vfs, path, file->real, flags, out_flags);
    pthread_mutex_lock(&mutex);
    if (status == SQLITE_OK) {
        if (file->disk && flags & SQLITE_OPEN_CREATE && !frozen) fault_disk_created(file->disk);
        file->base.pMethods = &file_methods;
        open_files++;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    struct call call = {.op = FAULT_DELETE, .folder = sync_folder != 0};
    int status = enter(&call);

    (void)vfs;
    if (status != SQLITE_OK) return status;
    pthread_mutex_lock(&mutex);
    if (disk_on) call.disk = fault_disk_find(path); /* before xDelete takes it away */
    pthread_mutex_unlock(&mutex);
    return leave(&call, real_vfs->xDelete(real_vfs, path, sync_folder));
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out_result)
{
    struct call call = {.op = FAULT_ACCESS};
    int status = enter(&call);

    (void)vfs;
    return status != SQLITE_OK ? status : real_vfs->xAccess(real_vfs, path, flags, out_result);
}

int fault_vfs_register(void)
{
    static sqlite3_vfs fault;

    if (sqlite3_vfs_find(FAULT_VFS_NAME)) return SQLITE_OK;
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs) return SQLITE_ERROR;
    fault = *real_vfs; /* time, randomness and names are the real one's, which look at no file */
    fault.zName = FAULT_VFS_NAME;
    fault.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault.pNext = NULL;
    fault.xOpen = vfs_open;
    fault.xDelete = vfs_delete;
    fault.xAccess = vfs_access;
    return sqlite3_vfs_register(&fault, 0);
}

/* ---- orders ---- */

void fault_vfs_fail(const struct fault_plan *new_plan)
{
    pthread_mutex_lock(&mutex);
    plan = new_plan ? *new_plan : (struct fault_plan){0};
    plan_matched = 0;
    pthread_mutex_unlock(&mutex);
}

uint64_t fault_vfs_matched(void)
{
    pthread_mutex_lock(&mutex);
    uint64_t matched = plan_matched;
    pthread_mutex_unlock(&mutex);
    return matched;
}

void fault_vfs_sync_delay_ms(unsigned delay_ms)
{
    atomic_store(&sync_delay_ms, delay_ms);
}

void fault_vfs_counts(struct fault_counts *out_counts)
{
    pthread_mutex_lock(&mutex);
    *out_counts = counts;
    pthread_mutex_unlock(&mutex);
}

void fault_vfs_reset(void)
{
    fault_vfs_fail(NULL);
    fault_vfs_sync_delay_ms(0);
    pthread_mutex_lock(&mutex);
    memset(&counts, 0, sizeof(counts));
    memset(&cut, 0, sizeof(cut));
    disk_on = frozen = false;
    fault_disk_clear();
    pthread_mutex_unlock(&mutex);
}

void fault_vfs_disk(void)
{
    pthread_mutex_lock(&mutex);
    disk_on = true;
    pthread_mutex_unlock(&mutex);
}

void fault_vfs_power_cut(uint64_t seed)
{
    pthread_mutex_lock(&mutex);
    cut.seed = seed;
    cut_now();
    pthread_mutex_unlock(&mutex);
}

void fault_vfs_power_cut_at(enum fault_op op, uint64_t nth, bool after, uint64_t seed)
{
    pthread_mutex_lock(&mutex);
    cut.op = op;
    cut.nth = nth;
    cut.after = after;
    cut.seed = seed;
    pthread_mutex_unlock(&mutex);
}

bool fault_vfs_is_cut(void)
{
    pthread_mutex_lock(&mutex);
    bool is_cut = frozen;
    pthread_mutex_unlock(&mutex);
    return is_cut;
}

int fault_vfs_reopen(void)
{
    pthread_mutex_lock(&mutex);
    int still_open = open_files;
    if (still_open == 0) {
        if (frozen) fault_disk_put_back();
        fault_disk_clear();
        frozen = false;
        cut.nth = 0;
    }
    pthread_mutex_unlock(&mutex);
    return still_open;
}
