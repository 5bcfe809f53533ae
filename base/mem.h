/* Allocation: overflow-checked sizes, one seam where tests make the Nth allocation fail. */
#ifndef CRN_BASE_MEM_H
#define CRN_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All give NULL on failure, overflow included; size 0 gives a valid pointer. Freed by crn_mem_free. */
void *crn_mem_alloc(size_t size_bytes);                                     /* not cleared */
void *crn_mem_array(size_t count, size_t size_bytes);                       /* not cleared */
void *crn_mem_calloc(size_t count, size_t size_bytes);                      /* cleared */
void *crn_mem_realloc_array(void *memory, size_t count, size_t size_bytes); /* failing keeps the old block */
void *crn_mem_aligned(size_t size_bytes);            /* not cleared; 64-byte aligned, padded to 64 */
char *crn_mem_strdup(const char *text);              /* NULL in, NULL out */
char *crn_mem_strndup(const char *text, size_t len); /* copies len bytes and closes with a NUL */
void crn_mem_free(void *memory);                     /* NULL accepted */

/* Address space for what grows and must not move meanwhile: none of it may be touched before it is committed. NULL on
 * failure. Freed by crn_mem_unreserve, with the same size. */
void *crn_mem_reserve(size_t size_bytes);
/* Makes size_bytes of a reservation, from any address in it, memory: cleared where it was none. False: no memory, and what
 * was committed before stays as it is. */
bool crn_mem_commit(void *begin, size_t size_bytes);
void crn_mem_unreserve(void *memory, size_t size_bytes); /* NULL accepted */

/* a*b; false on overflow. */
bool crn_mem_mul(size_t a, size_t b, size_t *out);

/* Tests: the nth allocation from now (1 = the next) fails once, or with `forever` all from it on. 0 switches
 * off, the count included. crn_mem_count tells how many were asked for since the last crn_mem_fail_at; to
 * count without a failure, let number UINT64_MAX fail. */
void crn_mem_fail_at(uint64_t nth, bool forever);
uint64_t crn_mem_count(void);

#endif
