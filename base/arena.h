/*
 * Memory for many small pieces, all given up at once: a batch of records, what one request needs. Pieces never move. Exclusive.
 */
#ifndef CRN_BASE_ARENA_H
#define CRN_BASE_ARENA_H

#include <stddef.h>

struct crn_arena_block;

struct crn_arena {                  /* zero-initialized is empty */
    struct crn_arena_block *blocks; /* the newest first */
    size_t used_bytes;              /* of all pieces since the last clear */
    size_t block_bytes;             /* 0 = 1 MiB; a larger piece gets a block of its own */
    size_t align_bytes;             /* of each piece: a power of two up to 64; 0 = 8 */
};

void *crn_arena_alloc(struct crn_arena *arena, size_t size_bytes); /* not cleared; NULL: no memory */
char *crn_arena_text(struct crn_arena *arena, const char *text, size_t len); /* a copy, closed by a NUL */
void crn_arena_clear(struct crn_arena *arena);   /* keeps one block for the next batch */
void crn_arena_release(struct crn_arena *arena); /* keeps its settings */

#endif
