/*
 * Where rows stand in two orders, as their payloads tell filters: {"shuffled": n, "place": n}. The first is
 * random. In the second near rows stand near each other, so that a range of places is a region: the leaves of
 * a tree that halves the rows, again and again, at the median of their projections on the line between two of
 * them (Dasgupta and Freund, STOC 2008, in the variant of two rows).
 */
#ifndef CRN_CLI_BENCH_LAYOUT_H
#define CRN_CLI_BENCH_LAYOUT_H

#include "cli/matrix.h"
#include "cli/progress.h"

#include <stddef.h>

struct crn_cli_bench_layout {
    uint64_t rows;
    uint32_t *order, *place;             /* order[place[row]] = row */
    uint32_t *shuffled, *shuffled_place; /* the same at random */
};

/* NO_MEMORY, CANCELLED. Freed by crn_cli_bench_layout_free. */
cairn_status crn_cli_bench_layout_make(const struct crn_cli_matrix *rows, uint64_t seed,
                                       struct crn_cli_progress *progress, struct crn_cli_bench_layout **out,
                                       cairn_error *err);
void crn_cli_bench_layout_free(struct crn_cli_bench_layout *layout);
void crn_cli_bench_layout_payload(const struct crn_cli_bench_layout *layout, uint64_t row, char *out,
                                  size_t size);

#endif
