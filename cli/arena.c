/* A list of blocks, filled one after another; a piece larger than a block gets one of its own. */
#include "cli/arena.h"

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define ALIGN_BYTES ((size_t)8)

struct crn_cli_block {
    struct crn_cli_block *next;
    size_t size, used;
    _Alignas(8) char data[];
};

void *crn_cli_arena_alloc(struct crn_cli_arena *arena, size_t size_bytes)
{
    struct crn_cli_block *block = arena->blocks;

    if (size_bytes > SIZE_MAX / 2) return NULL;
    size_bytes = (size_bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
    if (block == NULL || size_bytes > block->size - block->used) {
        size_t size = size_bytes > BLOCK_BYTES ? size_bytes : BLOCK_BYTES;
        block = crn_mem_alloc(sizeof *block + size);
        if (block == NULL) return NULL;
        block->next = arena->blocks;
        block->size = size;
        block->used = 0;
        arena->blocks = block;
    }

    void *piece = block->data + block->used;
    block->used += size_bytes;
    arena->used_bytes += size_bytes;
    return piece;
}

char *crn_cli_arena_text(struct crn_cli_arena *arena, const char *text, size_t len)
{
    if (len == SIZE_MAX) return NULL;

    char *copy = crn_cli_arena_alloc(arena, len + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* Frees all blocks but `keep` of them. */
static void free_blocks(struct crn_cli_arena *arena, size_t keep)
{
    struct crn_cli_block *kept = NULL;

    while (arena->blocks != NULL) {
        struct crn_cli_block *block = arena->blocks;
        arena->blocks = block->next;
        if (keep > 0 && block->size == BLOCK_BYTES) {
            keep--;
            block->next = kept;
            block->used = 0;
            kept = block;
        } else {
            crn_mem_free(block);
        }
    }
    arena->blocks = kept;
    arena->used_bytes = 0;
}

void crn_cli_arena_clear(struct crn_cli_arena *arena)
{
    free_blocks(arena, 1);
}

void crn_cli_arena_release(struct crn_cli_arena *arena)
{
    free_blocks(arena, 0);
}
