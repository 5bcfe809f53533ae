/*
 * What `cairn bench` measures on: rows, queries, and the true neighbors, from files or made up; and how hard
 * the rows are to search.
 */
#ifndef CRN_CLI_BENCH_DATA_H
#define CRN_CLI_BENCH_DATA_H

#include "cli/bench_generate.h"
#include "cli/matrix.h"
#include "cli/progress.h"

/* What was asked for. */
struct crn_cli_bench_source {
    const char *data; /* file; NULL = generated */
    const char
        *queries; /* file; NULL = of an HDF5 `data`, else the last query_count rows, which are not stored */
    const char *truth;    /* file; NULL = of an HDF5 `data`, else computed */
    uint64_t max_rows;    /* of `data`; 0 = all */
    uint64_t query_count; /* held back or generated; of a file: at most so many, 0 = all */
    struct crn_cli_bench_generate generate;
    cairn_metric metric; /* DEFAULT: what the HDF5 file says, else cosine */
};

struct crn_cli_bench_data {
    struct crn_cli_matrix rows, queries;
    cairn_metric metric; /* never DEFAULT */

    struct crn_cli_matrix truth; /* [queries][k or more] ids; no rows while there is none */
    const char *truth_path;      /* where it comes from; NULL = computed */
};

/* Reads or makes all, and checks it: dims agree, values are finite, no zero vector for cosine, ids name rows.
 * Released by crn_cli_bench_data_release also when it fails. */
cairn_status crn_cli_bench_data_load(struct crn_cli_bench_data *data,
                                     const struct crn_cli_bench_source *source, uint32_t k,
                                     struct crn_cli_progress *progress, cairn_error *err);
void crn_cli_bench_data_release(struct crn_cli_bench_data *data);

const char *crn_cli_bench_metric_name(cairn_metric metric);

/* The mean local intrinsic dimension of the rows: the maximum-likelihood estimate over each sampled row's 100
 * nearest (Amsaleg et al., KDD 2015, section 4); for cosine of the vectors at length 1, for dot by L2. NAN
 * where there are not more than 100 rows. */
cairn_status crn_cli_bench_data_lid(const struct crn_cli_bench_data *data, struct crn_cli_progress *progress,
                                    double *out_lid, cairn_error *err);

#endif
