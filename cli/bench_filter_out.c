/*
 * Filters of a run in files, so that other libraries can be asked the same (bench/peers): the rows in each of the two orders, and for
 * each kind and selectivity the range of places in it that each query's filter allows, and its true neighbors. All are .ivecs.
 */
#include "base/error.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "cli/bench_layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Writes rows of `columns` numbers. */
static cairn_status write_rows(const char *path, const uint32_t *numbers, uint64_t rows, uint32_t columns,
                               cairn_error *err)
{
    FILE *file = fopen(path, "wbe");
    bool written = file != NULL;

    for (uint64_t r = 0; written && r < rows; r++) {
        written = fwrite(&columns, sizeof columns, 1, file) == 1 &&
                  fwrite(numbers + r * columns, sizeof *numbers, columns, file) == columns;
    }
    if (file != NULL && fclose(file) != 0) written = false;
    return written ? CAIRN_OK : crn_error_errno(err, errno, "cannot write", path);
}

static cairn_status write_order(const struct crn_cli_bench *b, bool shuffled, cairn_error *err)
{
    char path[4200];

    snprintf(path, sizeof path, "%s.%s.ivecs", b->settings->filter_out, shuffled ? "shuffled" : "place");
    return write_rows(path, shuffled ? b->layout->shuffled : b->layout->order, 1, (uint32_t)b->data.rows.rows,
                      err);
}

cairn_status crn_cli_bench_filter_out(const struct crn_cli_bench *b, enum crn_cli_bench_filter_kind kind,
                                      double selectivity, uint64_t matching, const uint32_t *begins,
                                      const struct crn_cli_bench_truth *truth, cairn_error *err)
{
    const uint64_t queries = b->data.queries.rows;
    char path[4200];

    if (b->settings->filter_out == NULL) return CAIRN_OK;
    CRN_TRY(write_order(b, kind == CRN_CLI_BENCH_RANDOM, err));
    uint32_t *ranges = crn_mem_array((size_t)queries * 2, sizeof *ranges);
    if (ranges == NULL) return crn_error_no_memory(err, (size_t)queries * 2 * sizeof *ranges);
    for (uint64_t q = 0; q < queries; q++) {
        ranges[2 * q] = begins[q];
        ranges[2 * q + 1] = begins[q] + (uint32_t)matching;
    }
    const char *name = crn_cli_bench_filter_name(kind);
    snprintf(path, sizeof path, "%s.filter%g-%s.ranges.ivecs", b->settings->filter_out, 100 * selectivity,
             name);
    cairn_status status = write_rows(path, ranges, queries, 2, err);
    crn_mem_free(ranges);
    if (status != CAIRN_OK) return status;
    snprintf(path, sizeof path, "%s.filter%g-%s.gt.ivecs", b->settings->filter_out, 100 * selectivity, name);
    return write_rows(path, truth->ids, queries, truth->k, err);
}
