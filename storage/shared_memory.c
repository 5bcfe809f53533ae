/* The page of memory all processes of a database share. */
#include "storage/shared_memory.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define FORMAT 1u
#define CHECK_NS 1000000000u /* a deleted folder is noticed within a second */

static const char magic[8] = "cairnshm";

/* Machine byte order: the file never leaves the machine it is mapped on. */
struct crn_shared_page {
    char magic[8];
    uint32_t format;
    uint32_t unused;
    unsigned char uuid[16];
    unsigned char padding[32];
    _Atomic uint64_t sequence; /* on a cache line of its own */
};
_Static_assert(sizeof(struct crn_shared_page) == 72, "the layout of the shared page");

struct crn_shared_mapping {
    struct crn_shared_mapping *next;
    struct crn_shared_page *page;
    dev_t device;
    ino_t inode;
};

cairn_status crn_shared_init(struct crn_shared *shared, const char *folder, const unsigned char uuid[16],
                             bool writable, cairn_error *err)
{
    const size_t size = strlen(folder) + sizeof "/shared";

    memset(shared, 0, sizeof *shared);
    shared->path = crn_mem_alloc(size);
    if (shared->path == NULL) return crn_error_no_memory(err, size);
    snprintf(shared->path, size, "%s/shared", folder);
    memcpy(shared->uuid, uuid, sizeof shared->uuid);
    shared->writable = writable;
    pthread_mutex_init(&shared->mutex, NULL);
    shared->ready = true;
    return CAIRN_OK;
}

void crn_shared_release(struct crn_shared *shared)
{
    while (shared->mappings != NULL) {
        struct crn_shared_mapping *mapping = shared->mappings;
        shared->mappings = mapping->next;
        munmap(mapping->page, PAGE_BYTES);
        crn_mem_free(mapping);
    }
    if (shared->ready) pthread_mutex_destroy(&shared->mutex);
    crn_mem_free(shared->path);
    memset(shared, 0, sizeof *shared);
}

static bool is_ours(const struct crn_shared *shared, const struct crn_shared_page *page)
{
    return memcmp(page->magic, magic, sizeof magic) == 0 && page->format == FORMAT &&
           memcmp(page->uuid, shared->uuid, sizeof page->uuid) == 0;
}

static struct crn_shared_page *map(const struct crn_shared *shared, int fd)
{
    const int access = PROT_READ | (shared->writable ? PROT_WRITE : 0);
    void *page = mmap(NULL, PAGE_BYTES, access, MAP_SHARED, fd, 0);

    return page != MAP_FAILED ? page : NULL;
}

/* Takes a mapping into use. The older ones stay until the store is closed. */
static cairn_status adopt(struct crn_shared *shared, struct crn_shared_page *page, const struct stat *info)
{
    struct crn_shared_mapping *mapping = crn_mem_alloc(sizeof *mapping);

    if (mapping == NULL) return CAIRN_NO_MEMORY;
    *mapping = (struct crn_shared_mapping){shared->mappings, page, info->st_dev, info->st_ino};
    shared->mappings = mapping;
    /* Release: who loads the pointer sees the mapping's fields. */
    atomic_store_explicit(&shared->page, page, memory_order_release);
    return CAIRN_OK;
}

static bool is_mapped(const struct crn_shared *shared, const struct stat *info)
{
    const struct crn_shared_mapping *newest = shared->mappings;

    return newest != NULL && newest->device == info->st_dev && newest->inode == info->st_ino;
}

/* NO_FILE when it is missing or not this database's. */
static cairn_status attach_locked(struct crn_shared *shared)
{
    cairn_status status = CAIRN_NO_FILE;
    struct crn_shared_page *page;
    struct stat info;

    if (stat(shared->path, &info) != 0) return CAIRN_NO_FILE;
    if (is_mapped(shared, &info)) return CAIRN_OK;
    const int fd = open(shared->path, (shared->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) return CAIRN_NO_FILE;
    page = fstat(fd, &info) == 0 && info.st_size >= (off_t)PAGE_BYTES ? map(shared, fd) : NULL;
    close(fd);
    if (page == NULL) return CAIRN_NO_FILE;
    if (is_ours(shared, page)) status = adopt(shared, page, &info);
    if (status != CAIRN_OK) munmap(page, PAGE_BYTES);
    return status;
}

bool crn_shared_attach(struct crn_shared *shared)
{
    pthread_mutex_lock(&shared->mutex);
    cairn_status status = attach_locked(shared);
    pthread_mutex_unlock(&shared->mutex);
    return status == CAIRN_OK;
}

/* Written rather than mapped first, so that a full disk is an error and not a SIGBUS; and under another name,
 * so that nobody maps half of it. */
static cairn_status write_file(struct crn_shared *shared, uint64_t sequence, cairn_error *err)
{
    unsigned char bytes[PAGE_BYTES] = {0};
    struct crn_shared_page page = {.format = FORMAT};
    char aside[4096];

    memcpy(page.magic, magic, sizeof magic);
    memcpy(page.uuid, shared->uuid, sizeof page.uuid);
    atomic_init(&page.sequence, sequence);
    memcpy(bytes, &page, sizeof page);
    snprintf(aside, sizeof aside, "%s.new", shared->path);
    const int fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return crn_error_errno(err, errno, "making", aside);
    const ssize_t written = write(fd, bytes, sizeof bytes);
    int error_number = written == (ssize_t)sizeof bytes ? 0 : written < 0 ? errno : ENOSPC;
    close(fd);
    if (error_number == 0 && rename(aside, shared->path) != 0) error_number = errno;
    if (error_number == 0) return CAIRN_OK;
    unlink(aside);
    return crn_error_errno(err, error_number, "writing", shared->path);
}

static cairn_status create_locked(struct crn_shared *shared, uint64_t sequence, cairn_error *err)
{
    cairn_status status = attach_locked(shared);

    if (status == CAIRN_NO_FILE) {
        CRN_TRY(write_file(shared, sequence, err));
        status = attach_locked(shared);
    }
    if (status == CAIRN_NO_MEMORY) return crn_error_no_memory(err, sizeof(struct crn_shared_mapping));
    if (status != CAIRN_OK) return crn_error_set(err, CAIRN_IO, "%s cannot be mapped", shared->path);
    return CAIRN_OK;
}

cairn_status crn_shared_create(struct crn_shared *shared, uint64_t sequence, cairn_error *err)
{
    pthread_mutex_lock(&shared->mutex);
    cairn_status status = create_locked(shared, sequence, err);
    pthread_mutex_unlock(&shared->mutex);
    if (status != CAIRN_OK) return status;
    /* The file may tell of commits that a power cut has undone: here, under the write lock, the database is right. */
    struct crn_shared_page *page = atomic_load_explicit(&shared->page, memory_order_acquire);
    if (page != NULL) atomic_store_explicit(&page->sequence, sequence, memory_order_release);
    atomic_store_explicit(&shared->floor, sequence, memory_order_release);
    return CAIRN_OK;
}

static void raise_to(_Atomic uint64_t *value, uint64_t least)
{
    uint64_t now = atomic_load_explicit(value, memory_order_relaxed);

    /* Release: the commit's pages are in the WAL and its index before the number is. */
    while (now < least && !atomic_compare_exchange_weak_explicit(value, &now, least, memory_order_release,
                                                                 memory_order_relaxed)) {
    }
}

void crn_shared_announce(struct crn_shared *shared, uint64_t sequence)
{
    struct crn_shared_page *page = atomic_load_explicit(&shared->page, memory_order_acquire);

    /* Who reads only has the page mapped for reading: he keeps what he has seen to himself. */
    if (page != NULL && shared->writable) raise_to(&page->sequence, sequence);
    raise_to(&shared->floor, sequence);
}

static uint64_t coarse_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool crn_shared_sequence(struct crn_shared *shared, uint64_t *out_sequence)
{
    const uint64_t now_ns = coarse_ns();

    if (now_ns >= atomic_load_explicit(&shared->next_check_ns, memory_order_relaxed)) {
        atomic_store_explicit(&shared->next_check_ns, now_ns + CHECK_NS, memory_order_relaxed);
        crn_shared_attach(shared);
    }
    const struct crn_shared_page *page = atomic_load_explicit(&shared->page, memory_order_acquire);
    const uint64_t floor = atomic_load_explicit(&shared->floor, memory_order_acquire);
    if (page == NULL) return false;
    const uint64_t announced = atomic_load_explicit(&page->sequence, memory_order_acquire);
    *out_sequence = announced > floor ? announced : floor;
    return true;
}
