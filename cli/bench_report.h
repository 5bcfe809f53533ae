/* What a run of `cairn bench` prints: tables for people, lines of JSON for programs (docs/BENCH_TOOL.md), a
 * drawing, and a comparison with the lines of others. */
#ifndef CRN_CLI_BENCH_REPORT_H
#define CRN_CLI_BENCH_REPORT_H

#include "base/arena.h"
#include "cli/bench.h"

/* The points of one library in one configuration, in the order of recall. */
struct crn_cli_bench_series {
    const char *name; /* "faiss HNSW32" */
    struct crn_cli_bench_dot {
        double recall, qps;
        double p50, p99; /* seconds; 0 = not known */
        uint32_t effort;
    } * dots;
    size_t dot_count, dot_cap;
    double build_seconds, bytes_per_vector; /* 0 = not known */
};

/* Ours first, then those of a comparison. Released by releasing the arena. */
struct crn_cli_bench_set {
    struct crn_arena arena;
    struct crn_cli_bench_series *series;
    size_t count, cap;
};

/* Adds this run's points. */
cairn_status crn_cli_bench_set_add_run(struct crn_cli_bench_set *set, const struct crn_cli_bench *b,
                                       cairn_error *err);
/* Adds the lines of a file that have "lib", "recall" and "qps"; other lines are passed over. INVALID_JSON and
 * INVALID_ARGUMENT name the line; a file without any such line is refused. */
cairn_status crn_cli_bench_set_add_file(struct crn_cli_bench_set *set, const char *path, cairn_error *err);
/* Sorts all by recall. */
void crn_cli_bench_set_sort(struct crn_cli_bench_set *set);
void crn_cli_bench_set_release(struct crn_cli_bench_set *set);

/* The speed of a series at a recall: the fastest of its points with as much recall, and of the points on
 * the line between two neighbors of its upper edge, with the logarithm of QPS linear in recall. 0 where
 * it does not get so far. *out_beyond: even the fastest of its edge has more recall, so that this is a
 * lower bound. */
double crn_cli_bench_qps_at(const struct crn_cli_bench_series *series, double recall, bool *out_beyond);

cairn_status crn_cli_bench_print_table(const struct crn_cli_bench *b, cairn_error *err);
cairn_status crn_cli_bench_print_json(const struct crn_cli_bench *b, cairn_error *err);

/* Prints each series' speed at recalls .90, .95 and .99 and our multiple of it. */
cairn_status crn_cli_bench_compare_table(const struct crn_cli_bench_set *set, cairn_error *err);
cairn_status crn_cli_bench_compare_json(const struct crn_cli_bench_set *set, cairn_error *err);

/* Draws recall against speed and latency into a file that needs no other, SVG or HTML by its name. */
cairn_status crn_cli_bench_plot(const struct crn_cli_bench *b, const struct crn_cli_bench_set *set,
                                const char *path, cairn_error *err);
bool crn_cli_bench_plot_named(const char *path); /* ends in .svg or .html */

#endif
