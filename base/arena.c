/* A list of blocks, filled one after another; a piece larger than a block gets one of its own. */
#include "base/arena.h"

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

struct crn_arena_block {
    struct crn_arena_block *next;
    size_t size, used;
    _Alignas(64) char data[];
};

static size_t block_bytes(const struct crn_arena *arena)
{
    return arena->block_bytes != 0 ? arena->block_bytes : (size_t)1 << 20;
}

void *crn_arena_alloc(struct crn_arena *arena, size_t size_bytes)
{
    struct crn_arena_block *block = arena->blocks;
    const size_t align = arena->align_bytes != 0 ? arena->align_bytes : 8;

    if (size_bytes > SIZE_MAX / 2) return NULL;
    size_bytes = (size_bytes + align - 1) & ~(align - 1);
    if (block == NULL || size_bytes > block->size - block->used) {
        const size_t size = size_bytes > block_bytes(arena) ? size_bytes : block_bytes(arena);
        block = crn_mem_aligned(sizeof *block + size);
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

char *crn_arena_text(struct crn_arena *arena, const char *text, size_t len)
{
    if (len == SIZE_MAX) return NULL;

    char *copy = crn_arena_alloc(arena, len + 1);
    if (copy == NULL) return NULL;
    if (len > 0) memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* Frees all blocks but `keep` of them. */
static void free_blocks(struct crn_arena *arena, size_t keep)
{
    struct crn_arena_block *kept = NULL;

    while (arena->blocks != NULL) {
        struct crn_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (keep > 0 && block->size == block_bytes(arena)) {
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

void crn_arena_clear(struct crn_arena *arena)
{
    free_blocks(arena, 1);
}

void crn_arena_release(struct crn_arena *arena)
{
    free_blocks(arena, 0);
}
