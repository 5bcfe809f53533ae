/* Orders of the rows for filters. */
#include "cli/bench_layout.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/signals.h"

#include <stdio.h>
#include <stdlib.h>

#define LEAF 32 /* rows that are not divided any more */

struct projected {
    float at;
    uint32_t row;
};

static int compare_projected(const void *a, const void *b)
{
    const struct projected *x = a;
    const struct projected *y = b;

    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Sorts order[0..count) along the line between two of its rows. */
static void sort_along(const struct crn_cli_matrix *rows, struct crn_rng *rng, uint32_t *order,
                       uint64_t count, struct projected *scratch)
{
    const uint32_t dim = rows->columns;
    const float *a = rows->floats + (uint64_t)order[crn_rng_below(rng, count)] * dim;
    const float *b = rows->floats + (uint64_t)order[crn_rng_below(rng, count)] * dim;

    for (uint64_t i = 0; i < count; i++) {
        const float *row = rows->floats + (uint64_t)order[i] * dim;
        float at = 0;
        for (uint32_t d = 0; d < dim; d++) at += (a[d] - b[d]) * row[d];
        scratch[i] = (struct projected){at, order[i]};
    }
    qsort(scratch, (size_t)count, sizeof *scratch, compare_projected);
    for (uint64_t i = 0; i < count; i++) order[i] = scratch[i].row;
}

/* Level by level: pieces of count, count/2, ... rows. False after Ctrl-C. */
static bool divide(const struct crn_cli_matrix *rows, struct crn_rng *rng, uint32_t *order,
                   struct projected *scratch, struct crn_cli_progress *progress)
{
    unsigned levels = 0;

    while (rows->rows >> levels > LEAF) levels++;
    for (unsigned level = 0; level < levels; level++) {
        uint64_t pieces = (uint64_t)1 << level;
        for (uint64_t piece = 0; piece < pieces; piece++) {
            uint64_t begin = rows->rows * piece / pieces;
            uint64_t end = rows->rows * (piece + 1) / pieces;
            sort_along(rows, rng, order + begin, end - begin, scratch);
            crn_cli_progress_show(progress, "lay out filters", 0, level * rows->rows + end,
                                  levels * rows->rows);
            if (crn_cli_interrupted()) return false;
        }
    }
    return true;
}

cairn_status crn_cli_bench_layout_make(const struct crn_cli_matrix *rows, uint64_t seed,
                                       struct crn_cli_progress *progress, struct crn_cli_bench_layout **out,
                                       cairn_error *err)
{
    const size_t count = (size_t)rows->rows;
    struct crn_rng rng;

    struct crn_cli_bench_layout *layout = crn_mem_calloc(1, sizeof *layout);
    *out = layout;
    if (layout == NULL) return crn_error_no_memory(err, sizeof *layout);
    layout->rows = rows->rows;
    layout->order = crn_mem_array(count, sizeof *layout->order);
    layout->place = crn_mem_array(count, sizeof *layout->place);
    layout->shuffled = crn_mem_array(count, sizeof *layout->shuffled);
    layout->shuffled_place = crn_mem_array(count, sizeof *layout->shuffled_place);
    struct projected *scratch = crn_mem_array(count, sizeof *scratch);
    if (layout->order == NULL || layout->place == NULL || layout->shuffled == NULL ||
        layout->shuffled_place == NULL || scratch == NULL) {
        crn_mem_free(scratch);
        return crn_error_no_memory(err, count * sizeof *scratch);
    }

    crn_rng_init(&rng, seed + 1);
    for (uint32_t i = 0; i < count; i++) layout->order[i] = i;
    for (uint32_t i = 0; i < count; i++) { /* Fisher and Yates, from the inside out */
        uint64_t j = crn_rng_below(&rng, (uint64_t)i + 1);
        layout->shuffled[i] = layout->shuffled[j];
        layout->shuffled[j] = i;
    }
    bool whole = divide(rows, &rng, layout->order, scratch, progress);
    for (uint32_t i = 0; i < count; i++) {
        layout->place[layout->order[i]] = i;
        layout->shuffled_place[layout->shuffled[i]] = i;
    }
    crn_mem_free(scratch);
    return whole ? CAIRN_OK : crn_error_set(err, CAIRN_CANCELLED, "interrupted");
}

void crn_cli_bench_layout_free(struct crn_cli_bench_layout *layout)
{
    if (layout == NULL) return;
    crn_mem_free(layout->order);
    crn_mem_free(layout->place);
    crn_mem_free(layout->shuffled);
    crn_mem_free(layout->shuffled_place);
    crn_mem_free(layout);
}

void crn_cli_bench_layout_payload(const struct crn_cli_bench_layout *layout, uint64_t row, char *out,
                                  size_t size)
{
    snprintf(out, size, "{\"shuffled\":%u,\"place\":%u}", layout->shuffled_place[row], layout->place[row]);
}
