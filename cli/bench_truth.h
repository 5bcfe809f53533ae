/*
 * The true neighbors that results are compared with: as a file has them, or computed by brute force, and then
 * kept in a folder for the next time.
 */
#ifndef CRN_CLI_BENCH_TRUTH_H
#define CRN_CLI_BENCH_TRUTH_H

#include "cli/bench_data.h"
#include "cli/knn.h"

/* Of each query the k nearest rows, nearest first; fewer when fewer rows match: then CRN_CLI_KNN_NONE and
 * infinity. Zeroed is empty. */
struct crn_cli_bench_truth {
    uint64_t queries;
    uint32_t k;
    uint32_t *ids;     /* [queries][k] */
    double *distances; /* [queries][k], in double precision from the data */
    uint64_t *scratch; /* [2 * k], of counting */
};

/* Takes the truth that the data came with, else that of the cache folder (NULL: none), else computes it
 * and writes it there. *out_cached tells of the second. A truth whose distances do not ascend is refused:
 * it is of other data or another metric. */
cairn_status crn_cli_bench_truth_make(struct crn_cli_bench_truth *truth,
                                      const struct crn_cli_bench_data *data, uint32_t k, const char *cache,
                                      struct crn_cli_progress *progress, bool *out_cached, cairn_error *err);

/* Empty places for the queries of the data. */
cairn_status crn_cli_bench_truth_init(struct crn_cli_bench_truth *truth, uint64_t queries, uint32_t k,
                                      cairn_error *err);
void crn_cli_bench_truth_release(struct crn_cli_bench_truth *truth);

/* How many of the results of query q are right: those among its k true neighbors, and others at the
 * distance of the last of these (to 1e-6 of it, for single precision), each counted once; at most k, as
 * found_count is. *out_of is how many there could be. One thread at a time. */
uint32_t crn_cli_bench_truth_count(const struct crn_cli_bench_truth *truth,
                                   const struct crn_cli_bench_data *data, uint64_t q, const uint64_t *found,
                                   uint32_t found_count, uint32_t *out_of);

#endif
