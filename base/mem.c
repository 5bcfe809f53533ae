/*
 * Allocation. Every block comes through `refused`, where tests make the Nth one fail; when that is off
 * it costs one relaxed load. The counters need no order: a test that counts exactly runs one thread.
 */
#include "base/mem.h"

#include <cairn/db.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64 /* a cache line, and the widest vector register */

static _Atomic uint64_t fail_nth; /* 0: off */
static _Atomic bool fail_forever;
static _Atomic uint64_t asked;

static bool injected(uint64_t nth)
{
    uint64_t number = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) + 1;

    return number == nth || (number > nth && atomic_load_explicit(&fail_forever, memory_order_relaxed));
}

/* True when the allocation must fail: by injection, or because no object may be larger than PTRDIFF_MAX. */
static bool refused(size_t size_bytes)
{
    uint64_t nth = atomic_load_explicit(&fail_nth, memory_order_relaxed);

    if (nth != 0 && injected(nth)) return true;
    return size_bytes > PTRDIFF_MAX;
}

void *crn_mem_alloc(size_t size_bytes)
{
    if (refused(size_bytes)) return NULL;
    return malloc(size_bytes > 0 ? size_bytes : 1);
}

void *crn_mem_calloc(size_t count, size_t size_bytes)
{
    size_t total;

    if (!crn_mem_mul(count, size_bytes, &total) || refused(total)) return NULL;
    return calloc(total > 0 ? total : 1, 1);
}

void *crn_mem_array(size_t count, size_t size_bytes)
{
    size_t total;

    return crn_mem_mul(count, size_bytes, &total) ? crn_mem_alloc(total) : NULL;
}

void *crn_mem_realloc_array(void *memory, size_t count, size_t size_bytes)
{
    size_t total;

    if (!crn_mem_mul(count, size_bytes, &total) || refused(total)) return NULL;
    return realloc(memory, total > 0 ? total : 1);
}

void *crn_mem_aligned(size_t size_bytes)
{
    if (refused(size_bytes) || size_bytes > PTRDIFF_MAX - ALIGNMENT) return NULL;

    size_t padded = (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, padded > 0 ? padded : ALIGNMENT);
}

char *crn_mem_strdup(const char *text)
{
    return text != NULL ? crn_mem_strndup(text, strlen(text)) : NULL;
}

char *crn_mem_strndup(const char *text, size_t len)
{
    char *copy = len < SIZE_MAX ? crn_mem_alloc(len + 1) : NULL;

    if (copy == NULL) return NULL;
    if (len > 0) memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void crn_mem_free(void *memory)
{
    free(memory);
}

void *crn_mem_reserve(size_t size_bytes)
{
    if (refused(size_bytes) || size_bytes == 0) return NULL;
    void *memory = mmap(NULL, size_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

bool crn_mem_commit(void *begin, size_t size_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)begin / page * page;

    if (refused(size_bytes)) return false;
    return mprotect((void *)first, (uintptr_t)begin + size_bytes - first, PROT_READ | PROT_WRITE) == 0;
}

void crn_mem_unreserve(void *memory, size_t size_bytes)
{
    if (memory != NULL) (void)munmap(memory, size_bytes);
}

void cairn_free(void *memory)
{
    crn_mem_free(memory);
}

bool crn_mem_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

void crn_mem_fail_at(uint64_t nth, bool forever)
{
    atomic_store_explicit(&asked, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_forever, forever, memory_order_relaxed);
    atomic_store_explicit(&fail_nth, nth, memory_order_relaxed);
}

uint64_t crn_mem_count(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}
