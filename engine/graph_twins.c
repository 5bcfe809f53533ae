/* Equal rows in a graph (graph_twins.h). */
#include "engine/graph_twins.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>

struct mark {
    uint64_t hash;
    uint32_t row;
};

static int by_hash(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;

    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

cairn_status crn_graph_twins_find(const float *rows, size_t dim, uint32_t count, uint32_t *out_first,
                                  cairn_error *err)
{
    const size_t bytes = dim * sizeof *rows;
    struct mark *marks = crn_mem_array(count, sizeof *marks);

    if (marks == NULL) return crn_error_no_memory(err, count * sizeof *marks);
    for (uint32_t i = 0; i < count; i++) marks[i] = (struct mark){crn_hash64(rows + i * dim, bytes, 0), i};
    qsort(marks, count, sizeof *marks, by_hash);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = marks[i].row;
        out_first[row] = row;
        /* Rows of one hash are equal but for an accident, so the first of them is the one. */
        for (uint32_t j = i; j-- > 0 && marks[j].hash == marks[i].hash;) {
            const uint32_t other = out_first[marks[j].row];
            if (memcmp(rows + row * dim, rows + other * dim, bytes) != 0) continue;
            out_first[row] = other;
            break;
        }
    }
    crn_mem_free(marks);
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
