/* What the inline forms of graph rows that lack AVX-512's masks have in common. Formulas: graph_row.h. */
#ifndef CRN_QUANT_GRAPH_ROW_COMMON_H
#define CRN_QUANT_GRAPH_ROW_COMMON_H

#include "quant/graph_row.h"

/* Fetches a row into the second-level cache: a whole row does not fit beside the one being worked on in the
 * first. */
static inline void crn_row_prefetch(const struct crn_graph_layout *layout, const uint8_t *row)
{
    for (uint32_t j = 0; j < layout->row_bytes; j += 64) __builtin_prefetch(row + j, 0, 2);
}

/* Fetches what crn_row_distance reads. */
static inline void crn_row_prefetch_code(const struct crn_graph_layout *layout, const uint8_t *row)
{
    for (uint32_t j = 0; j < layout->dims; j += 64) __builtin_prefetch(row + j, 0, 3);
    __builtin_prefetch(row + layout->head, 0, 3);
}

/* Puts the signs of a group of four dimensions into a slot: byte slot % 16 of the group's line, half slot /
 * 16. */
static inline void crn_row_put_group(uint8_t *line, uint32_t slot, uint32_t bits)
{
    const uint32_t shift = slot / 16 * 4;
    uint8_t *at = line + slot % 16;

    *at = (uint8_t)((*at & ~(15u << shift)) | (bits & 15) << shift);
}

/* Those of 16 dimensions. */
static inline void crn_row_put_signs(uint8_t *signs, uint32_t slot, uint32_t bits)
{
    for (uint32_t s = 0; s < 4; s++) crn_row_put_group(signs + s * 16, slot, bits >> (4 * s));
}

/* Moves keys[at..end) up by one: each form's own. */
static inline void crn_pool_shift(uint64_t *keys, uint32_t at, uint32_t end);

/* Inserts into keys[0..*count), of at most `most`; the place, or `most` when the key is too large. */
static inline uint32_t crn_pool_insert(uint64_t *keys, uint32_t *count, uint32_t most, uint64_t key)
{
    const uint32_t at = crn_pool_rank(keys, *count, key);

    if (at >= most) return most;
    crn_pool_shift(keys, at, *count < most ? *count : most - 1);
    keys[at] = key;
    *count += *count < most;
    return at;
}

/* Enters ids[n] (up to CRN_GRAPH_DEGREE) with their distances; the lowest place that changed. */
static inline uint32_t crn_pool_merge(struct crn_pool *pool, const float *distances, const uint32_t *ids,
                                      uint32_t n)
{
    uint32_t lowest = pool->most;

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at =
            crn_pool_insert(pool->keys, &pool->count, pool->most, crn_pool_key(distances[i], ids[i]));
        lowest = at < lowest ? at : lowest;
    }
    return lowest;
}

/* Keeps of ids[count] and their distances those below `nodes` whose bit in `seen` is not set. */
static inline unsigned crn_row_unseen(const uint64_t *seen, uint32_t nodes, float *distances, uint32_t *ids,
                                      unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t id = ids[i];
        ids[kept] = id;
        distances[kept] = distances[i];
        kept += id < nodes && (seen[id / 64] >> (id % 64) & 1) == 0;
    }
    return kept;
}

#endif
