/*
 * Exact nearest rows in memory, by brute force in blocks and threads: the ground truth of `cairn bench`. The
 * candidates of a single-precision pass are measured again in double precision, so that distances are the
 * same whatever processor found them.
 */
#ifndef CRN_CLI_KNN_H
#define CRN_CLI_KNN_H

#include "cli/progress.h"

#include <cairn/db.h>
#include <stdbool.h>
#include <stdint.h>

#define CRN_CLI_KNN_NONE UINT32_MAX /* the id where there are fewer rows than k */

struct crn_cli_knn {
    const float *rows;       /* [..][dim] */
    const uint32_t *row_ids; /* [row_count] of them; NULL = the first row_count */
    uint64_t row_count;      /* below UINT32_MAX */
    const float *queries;
    const uint32_t *query_ids; /* [query_count] of them; NULL = the first query_count */
    uint64_t query_count;
    uint32_t dim;
    uint32_t k;
    cairn_metric metric;
    bool skip_same;   /* queries are rows: query id i never finds row i */
    unsigned threads; /* 0 = one a processor */
    const char *phase;
    struct crn_cli_progress *progress; /* NULL: none */
};

/* Fills ids and distances, each [query_count][k], nearest first, equals by id; where rows are fewer than k,
 * CRN_CLI_KNN_NONE and infinity. CANCELLED after Ctrl-C, NO_MEMORY. */
cairn_status crn_cli_knn_search(const struct crn_cli_knn *knn, uint32_t *ids, double *distances,
                                cairn_error *err);

/* The distance as cairn_metric has it, in double precision. DEFAULT is cosine. */
double crn_cli_knn_distance(cairn_metric metric, const float *a, const float *b, uint32_t dim);

#endif
