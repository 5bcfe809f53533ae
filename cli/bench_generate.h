/*
 * Vectors made up for `cairn bench`, the same from one seed on every machine and for any number of threads.
 */
#ifndef CRN_CLI_BENCH_GENERATE_H
#define CRN_CLI_BENCH_GENERATE_H

#include "cli/matrix.h"
#include "cli/progress.h"

/* The words of --generate, in the order of the enum. */
#define CRN_CLI_BENCH_GENERATE_WORDS "clustered|gaussian"

enum crn_cli_bench_kind {
    /* As embeddings are: clusters of different sizes and widths in a latent space of `lid` dimensions, mapped
     * to `dim` by a random network with one hidden layer (tanh), and a little noise of full dimension whose
     * strength decays from component to component. */
    CRN_CLI_BENCH_CLUSTERED = 1,
    /* Independent normal components: no structure to be found, far harder to search than real data. */
    CRN_CLI_BENCH_GAUSSIAN = 2,
};

struct crn_cli_bench_generate {
    enum crn_cli_bench_kind kind;
    uint64_t rows;
    uint32_t dim, lid;
    uint64_t seed;
};

/* Fills *out with [rows][dim]. NO_MEMORY, CANCELLED. */
cairn_status crn_cli_bench_generate(const struct crn_cli_bench_generate *what,
                                    struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                    cairn_error *err);

#endif
