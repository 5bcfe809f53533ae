/* Memory between two pages that must not be touched: an array placed against either of them turns reading
 * one element too many, before or behind, into a crash. */
#ifndef CRN_TESTS_QUANT_GUARDED_H
#define CRN_TESTS_QUANT_GUARDED_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    char *begin; /* of the usable bytes, at a page's border */
    char *end;   /* at a page's border as well */
};

static inline struct guarded guarded_map(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t usable = (bytes + page - 1) / page * page;
    char *memory = mmap(NULL, usable + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory + page, usable, PROT_READ | PROT_WRITE) != 0) {
        perror("guarded_map");
        abort();
    }
    return (struct guarded){.begin = memory + page, .end = memory + page + usable};
}

static inline void guarded_unmap(struct guarded *guarded)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    munmap(guarded->begin - page, (size_t)(guarded->end - guarded->begin) + 2 * page);
}

#endif
