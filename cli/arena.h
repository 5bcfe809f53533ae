/*
 * Memory for a batch of records: many small pieces, all given up at once. Pieces never move. Exclusive.
 */
#ifndef CRN_CLI_ARENA_H
#define CRN_CLI_ARENA_H

#include <stddef.h>

struct crn_cli_arena {
    struct crn_cli_block *blocks; /* the newest first */
    size_t used_bytes;            /* of all pieces since the last clear */
};

/* Zero-initialized is empty. */
void *crn_cli_arena_alloc(struct crn_cli_arena *arena,
                          size_t size_bytes); /* 8-byte aligned; NULL: no memory */
char *crn_cli_arena_text(struct crn_cli_arena *arena, const char *text,
                         size_t len);                  /* a copy, closed by a NUL */
void crn_cli_arena_clear(struct crn_cli_arena *arena); /* keeps one block for the next batch */
void crn_cli_arena_release(struct crn_cli_arena *arena);

#endif
