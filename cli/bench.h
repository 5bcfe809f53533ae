/*
 * A run of `cairn bench`: a database in a temporary folder, filled with the data, and what was measured on
 * it. cmd_bench.c reads the command line and calls the stages; each stage has a file:
 *
 *   bench_data.c, bench_truth.c   what is measured on (with bench_generate.c, matrix.c, knn.c)
 *   bench_build.c                 insertion, the index, memory
 *   bench_search.c                passes of queries; the sweep over efforts
 *   bench_filter.c, bench_mixed.c, bench_churn.c    the workloads
 *   bench_table.c, bench_json.c, bench_plot.c, bench_compare.c    what comes out
 */
#ifndef CRN_CLI_BENCH_H
#define CRN_CLI_BENCH_H

#include "cli/bench_data.h"
#include "cli/bench_truth.h"
#include "cli/store.h"

#define CRN_CLI_BENCH_LIST_MAX 64 /* values of --ef, --nprobe, --filter-selectivity */

struct crn_cli_bench_settings {
    const char *folder; /* the temporary folder is made in it */
    const char *cache;  /* of truths, or NULL */
    bool keep;
    const char *reuse; /* the folder that an earlier run kept, or NULL */
    uint32_t k;
    unsigned threads; /* of searches */
    uint64_t repeat;  /* passes at least; 0 = 3 */
    double seconds;   /* of passes at least */
    double oversampling;
    uint32_t efforts[CRN_CLI_BENCH_LIST_MAX]; /* as given; none: the default sweep */
    size_t effort_count;
    bool copied; /* the index is copied into memory */
    bool nprobe; /* efforts are nprobe, not ef */
    double selectivities[CRN_CLI_BENCH_LIST_MAX];
    size_t selectivity_count;
    unsigned filter_kinds;  /* bits 1 << enum crn_cli_bench_filter_kind */
    const char *filter_out; /* files that filters are written to begin with it; NULL: none */
    double mixed_seconds;   /* 0 = none */
    uint64_t churn_rounds;
    uint64_t seed;
    cairn_collection_options collection;
};

/* Bytes of this process in memory: of its own, and of mapped files. */
struct crn_cli_bench_memory {
    uint64_t anonymous_bytes, file_bytes;
};

struct crn_cli_bench_build {
    double insert_seconds, optimize_seconds;
    struct crn_cli_bench_memory searching; /* what opening and searching the database took */
    uint64_t index_memory_bytes, disk_bytes, scanned_bytes_per_vector, indexed_rows;
    char index[200], quantization[32];
};

/* One way of searching, measured. */
struct crn_cli_bench_point {
    uint32_t effort; /* ef or nprobe; 0 = the index's default */
    double recall, qps, mean_seconds;
    double p50, p90, p99, p999; /* seconds of a search, over all passes */
    double first_seconds;       /* of those that were the first to ask with their filter, on average */
    uint64_t passes, searches;
    const char *plan; /* of the last search */
};

enum crn_cli_bench_filter_kind {
    CRN_CLI_BENCH_RANDOM,
    CRN_CLI_BENCH_CORRELATED,
    CRN_CLI_BENCH_ANTICORRELATED
};

struct crn_cli_bench_filtered {
    enum crn_cli_bench_filter_kind kind;
    double selectivity;
    uint64_t matching; /* rows of each filter */
    struct crn_cli_bench_point point, exact;
};

struct crn_cli_bench_mixed {
    double seconds; /* of each half */
    uint32_t batch; /* rows of a transaction */
    struct crn_cli_bench_point alone, together;
    uint64_t inserted;
    double insert_seconds;
};

struct crn_cli_bench_churned {
    uint64_t round, rows; /* deleted and inserted again */
    double write_seconds, optimize_seconds;
    struct crn_cli_bench_point before, after; /* cairn_optimize */
    struct crn_cli_bench_memory memory;       /* after */
    uint64_t disk_bytes;
};

struct crn_cli_bench {
    const struct crn_cli_bench_settings *settings;
    struct crn_cli_bench_data data;
    struct crn_cli_bench_truth truth;
    bool truth_cached;
    double lid;
    struct crn_cli_progress progress;
    struct crn_cli_store store;
    char *home;                          /* the temporary folder */
    struct crn_cli_bench_layout *layout; /* bench_layout.h: of the payloads; NULL without filters */
    struct crn_cli_bench_memory before;  /* the database was opened */

    uint64_t *found;       /* [queries][k] ids of the last pass */
    uint32_t *found_count; /* [queries] */

    struct crn_cli_bench_build build;
    struct crn_cli_bench_point exact;
    struct crn_cli_bench_point *points; /* [point_count]; the first is the headline */
    size_t point_count;
    struct crn_cli_bench_filtered *filtered;
    size_t filtered_count;
    struct crn_cli_bench_mixed mixed; /* seconds 0 = none */
    struct crn_cli_bench_churned *churned;
    size_t churned_count;
};

/* ---- bench_build.c ---- */

/* Makes the folder and the empty collection. */
cairn_status crn_cli_bench_create(struct crn_cli_bench *b, cairn_error *err);
/* Inserts all rows, builds the index, opens the database anew and warms it. */
cairn_status crn_cli_bench_fill(struct crn_cli_bench *b, cairn_error *err);
/* Opens the database anew, with or without its maintenance thread, and searches until its index is in use. */
cairn_status crn_cli_bench_reopen(struct crn_cli_bench *b, bool background, cairn_error *err);
/* Writes rows ids[0..count) (NULL: first, first + 1, ...), a thousand a transaction. */
cairn_status crn_cli_bench_insert(struct crn_cli_bench *b, const uint32_t *ids, uint64_t first,
                                  uint64_t count, const char *phase, cairn_error *err);
/* Memory since b->before, and what the statistics tell; the times stay as they are. */
cairn_status crn_cli_bench_measure(struct crn_cli_bench *b, struct crn_cli_bench_build *out,
                                   cairn_error *err);
/* Removes the folder, unless it is kept, and all else. */
void crn_cli_bench_close(struct crn_cli_bench *b);

/* ---- bench_search.c ---- */

struct crn_cli_bench_pass {
    const char *phase;
    uint32_t effort;
    bool exact;
    const char *const *filters;              /* [queries], or NULL */
    const bool *firsts;                      /* [queries] asks first with its filter; or NULL */
    const struct crn_cli_bench_truth *truth; /* for recall; NULL = none is counted */
    double max_seconds;                      /* of one pass, which then does fewer queries; 0 = all of them */
    double seconds;                          /* passes go on for so long; 0 = by the rule of bench_search.c */
};

/* One warm pass, then passes until there are settings->repeat and settings->seconds of them. QPS is of
 * the pass in the middle, percentiles are over all of them, recall is of the last one. */
cairn_status crn_cli_bench_search(struct crn_cli_bench *b, const struct crn_cli_bench_pass *pass,
                                  struct crn_cli_bench_point *out, cairn_error *err);
/* Exact searches, and the sweep, into b->exact and b->points. */
cairn_status crn_cli_bench_sweep(struct crn_cli_bench *b, cairn_error *err);

/* ---- the workloads ---- */

cairn_status crn_cli_bench_filter_run(struct crn_cli_bench *b, cairn_error *err);
/* Writes one kind at one selectivity, if the settings ask for it (bench_filter_out.c). begins: [queries]. */
cairn_status crn_cli_bench_filter_out(const struct crn_cli_bench *b, enum crn_cli_bench_filter_kind kind,
                                      double selectivity, uint64_t matching, const uint32_t *begins,
                                      const struct crn_cli_bench_truth *truth, cairn_error *err);
const char *crn_cli_bench_filter_name(enum crn_cli_bench_filter_kind kind);

cairn_status crn_cli_bench_mixed_run(struct crn_cli_bench *b, cairn_error *err);
cairn_status crn_cli_bench_churn_run(struct crn_cli_bench *b, cairn_error *err);

/* ---- what comes out ---- */

/* "auto cosine none k=10": the settings in a few words. */
void crn_cli_bench_name(const struct crn_cli_bench *b, char *out, size_t size);
double crn_cli_bench_bytes_per_vector(const struct crn_cli_bench *b);

#endif
