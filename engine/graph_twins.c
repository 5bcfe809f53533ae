/* Equal rows in a graph (graph_twins.h). */
#include "engine/graph_twins.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

#define NO_ROW UINT32_MAX

/* Rows by their hashes: open addressing, at most half full. */
struct table {
    struct {
        uint32_t hash, row; /* the hash's upper half: the lower one says where it is */
    } * slots;
    size_t mask;
};

static cairn_status table_init(struct table *table, uint32_t count, cairn_error *err)
{
    size_t size = 16;

    while (size < 2 * (size_t)count) size *= 2;
    table->mask = size - 1;
    table->slots = crn_mem_array(size, sizeof *table->slots);
    if (table->slots == NULL) return crn_error_no_memory(err, size * sizeof *table->slots);
    for (size_t i = 0; i < size; i++) table->slots[i].row = NO_ROW;
    return CAIRN_OK;
}

/* The first row equal to this one; itself, which is noted then, when there is none. */
static uint32_t find_first(struct table *table, const float *rows, size_t dim, uint32_t row)
{
    const size_t bytes = dim * sizeof *rows;
    const uint64_t hash = crn_hash64(rows + row * dim, bytes, 0);
    const uint32_t upper = (uint32_t)(hash >> 32);
    size_t at = hash & table->mask;

    for (; table->slots[at].row != NO_ROW; at = (at + 1) & table->mask) {
        const uint32_t other = table->slots[at].row;
        if (table->slots[at].hash == upper && memcmp(rows + row * dim, rows + other * dim, bytes) == 0)
            return other;
    }
    table->slots[at].hash = upper;
    table->slots[at].row = row;
    return row;
}

cairn_status crn_graph_twins_find(const float *rows, size_t dim, uint32_t count, uint32_t *out_first,
                                  cairn_error *err)
{
    struct table table;

    CRN_TRY(table_init(&table, count, err));
    for (uint32_t i = 0; i < count; i++) out_first[i] = find_first(&table, rows, dim, i);
    crn_mem_free(table.slots);
    return CAIRN_OK;
}

cairn_status crn_graph_twins_place(struct crn_graph_growing *growing, const uint32_t *first, uint32_t count,
                                   cairn_error *err)
{
    uint32_t *next = crn_mem_array(count, sizeof *next);

    if (next == NULL) return crn_error_no_memory(err, count * sizeof *next);
    for (uint32_t i = 0; i < count; i++) next[i] = i;
    for (uint32_t i = 0; i < count; i++) {
        if (first[i] == i) continue;
        next[i] = next[first[i]];
        next[first[i]] = i;
        crn_graph_copy_node(growing, i, first[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (next[i] != i) crn_graph_link_twin(growing, i, next[i]);
    }
    crn_mem_free(next);
    return CAIRN_OK;
}
