/* A map from locals to tail positions: open addressing, linear probing, no removal. Local 0 marks a free slot. */
#ifndef CRN_ENGINE_LOCAL_MAP_H
#define CRN_ENGINE_LOCAL_MAP_H

#include "base/mem.h"

#include <string.h>

struct crn_local_map {
    struct crn_local_slot {
        uint32_t local;
        uint32_t position;
    } * slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

static inline size_t crn_local_map_slot(const struct crn_local_map *map, uint32_t local)
{
    /* Fibonacci hashing: locals come in runs. */
    size_t i = (size_t)((local * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (map->capacity - 1);

    while (map->slots[i].local != 0 && map->slots[i].local != local) i = (i + 1) & (map->capacity - 1);
    return i;
}

static inline bool crn_local_map_get(const struct crn_local_map *map, uint32_t local, uint32_t *out_position)
{
    if (map->capacity == 0) return false;
    const size_t i = crn_local_map_slot(map, local);
    *out_position = map->slots[i].position;
    return map->slots[i].local == local;
}

static inline bool crn_local_map_grow(struct crn_local_map *map)
{
    struct crn_local_map bigger = {.capacity = map->capacity == 0 ? 64 : map->capacity * 2,
                                   .count = map->count};

    bigger.slots = crn_mem_calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) return false;
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].local != 0)
            bigger.slots[crn_local_map_slot(&bigger, map->slots[i].local)] = map->slots[i];
    }
    crn_mem_free(map->slots);
    *map = bigger;
    return true;
}

/* False: no memory. */
static inline bool crn_local_map_set(struct crn_local_map *map, uint32_t local, uint32_t position)
{
    if ((map->count + 1) * 2 > map->capacity && !crn_local_map_grow(map)) return false;
    const size_t i = crn_local_map_slot(map, local);
    if (map->slots[i].local == 0) map->count++;
    map->slots[i].local = local;
    map->slots[i].position = position;
    return true;
}

static inline void crn_local_map_clear(struct crn_local_map *map)
{
    crn_mem_free(map->slots);
    memset(map, 0, sizeof *map);
}

#endif
