/* cairn bench: measures building, searching, recall and memory on data of one's own or on made-up ones. The
 * stages are in bench_*.c; this is the command line. */
#include "base/error.h"
#include "cli/bench.h"
#include "cli/bench_layout.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/store.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUERIES_DEFAULT 200 /* of made-up data, or held back from a file */
#define DIM_DEFAULT 128

static const char *data, *queries, *truth, *cache, *folder, *reuse, *plot, *compare;
static const char *ef, *nprobe, *selectivities, *filter_out;
static uint64_t rows, k = 10, lid = 24, seed = 1, threads = 1, repeat, churn;
static unsigned generate, filter_kind;
static double oversampling, mixed;
static double seconds = 0.4;
static bool json, keep, copied;

static const struct crn_cli_option data_options[] = {
    CRN_CLI_OPTION_TEXT("data", "FILE", data, "vectors to store: .fvecs, .npy or ann-benchmarks' .hdf5"),
    CRN_CLI_OPTION_TEXT("queries", "N|FILE", queries,
                        "searches: of a file, or N made-up or held-back vectors (default: 200)"),
    CRN_CLI_OPTION_TEXT("truth", "FILE", truth,
                        "their true neighbors: .ivecs, .npy or .hdf5 (default: computed)"),
    CRN_CLI_OPTION_TEXT("cache", "FOLDER", cache, "keep computed neighbors there for the next time"),
    CRN_CLI_OPTION_CHOICE("generate", CRN_CLI_BENCH_GENERATE_WORDS, generate,
                          "made-up vectors, when there is no --data (default: clustered)"),
    CRN_CLI_OPTION_COUNT("rows", "N", 1, 1000000000, rows,
                         "vectors (default: 20000 made-up ones, all of a file)"),
    CRN_CLI_OPTION_COUNT("lid", "N", 1, 1024, lid, "dimensions that made-up clusters lie on (default: 24)"),
    CRN_CLI_OPTION_COUNT("seed", "N", 0, UINT64_MAX, seed, "of all that is random (default: 1)"),
    {0},
};
static const struct crn_cli_option search_options[] = {
    CRN_CLI_OPTION_COUNT("k", "N", 1, 10000, k, "results of a search (default: 10)", .letter = 'k'),
    CRN_CLI_OPTION_TEXT("ef", "N,N,...", ef, "candidates a graph index keeps (default: doubling from 16)"),
    CRN_CLI_OPTION_TEXT("nprobe", "N,N,...", nprobe, "lists an inverted-file index visits (default: from 1)"),
    CRN_CLI_OPTION_FLAG("copied", copied, "copy the graph index into memory, instead of mapping its file"),
    CRN_CLI_OPTION_NUMBER("oversampling", "X", oversampling,
                          "candidates rescored for each of k, with quantization"),
    CRN_CLI_OPTION_COUNT("threads", "N", 1, 1024, threads, "that search at once (default: 1)"),
    CRN_CLI_OPTION_COUNT("repeat", "N", 1, 1000000, repeat,
                         "passes over the queries at least; the one in the middle counts (default: 3)"),
    CRN_CLI_OPTION_NUMBER("seconds", "S", seconds, "of passes at least (default: 0.4)"),
    {0},
};
static const struct crn_cli_option workload_options[] = {
    CRN_CLI_OPTION_TEXT("filter-selectivity", "S,S,...", selectivities,
                        "filtered searches: shares of the rows that match, as in 0.5,0.01"),
    CRN_CLI_OPTION_CHOICE("filter-kind", "random|correlated|anticorrelated|all", filter_kind,
                          "which rows match: any, near the query, far from it (default: random)"),
    CRN_CLI_OPTION_TEXT("filter-out", "PREFIX", filter_out,
                        "write these filters and their true neighbors to files that begin so"),
    CRN_CLI_OPTION_NUMBER("mixed", "SECONDS", mixed, "search for so long, then again while a thread inserts"),
    CRN_CLI_OPTION_COUNT("churn", "ROUNDS", 1, 1000, churn,
                         "delete half of the rows and insert them again, so many times"),
    {0},
};
static const struct crn_cli_option output_options[] = {
    CRN_CLI_OPTION_FLAG("json", json, "print JSON lines (docs/BENCH_TOOL.md)"),
    CRN_CLI_OPTION_TEXT("plot", "FILE", plot, "draw recall, speed and latency into an .svg or .html file"),
    CRN_CLI_OPTION_TEXT("compare", "FILE", compare,
                        "compare with JSON lines of other runs or libraries, and draw them too"),
    CRN_CLI_OPTION_TEXT("dir", "FOLDER", folder,
                        "where the database lies meanwhile (default: TMPDIR, or /tmp)"),
    CRN_CLI_OPTION_FLAG("keep", keep, "leave the database there"),
    CRN_CLI_OPTION_TEXT("reuse", "FOLDER", reuse,
                        "search what --keep left in this folder, of the same data and filters, and leave it"),
    {0},
};
static const struct crn_cli_group data_group = {"Data", data_options};
static const struct crn_cli_group search_group = {"Searches", search_options};
static const struct crn_cli_group workload_group = {"Workloads", workload_options};
static const struct crn_cli_group output_group = {"Output", output_options};

static cairn_status bad_list(const char *option, const char *text, const char *wanted, cairn_error *err)
{
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--%s wants %s, separated by commas, not '%s'", option,
                         wanted, text);
}

static cairn_status read_efforts(const char *option, const char *text, struct crn_cli_bench_settings *out,
                                 cairn_error *err)
{
    const char *wanted = "up to 64 integers from 1 on";
    const char *at = text;

    for (;;) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(at, &end, 10);
        if (at[0] < '0' || at[0] > '9' || errno != 0 || value == 0 || value > UINT32_MAX ||
            (*end != ',' && *end != '\0') || out->effort_count == CRN_CLI_BENCH_LIST_MAX) {
            return bad_list(option, text, wanted, err);
        }
        out->efforts[out->effort_count++] = (uint32_t)value;
        if (*end == '\0') return CAIRN_OK;
        at = end + 1;
    }
}

static cairn_status read_selectivities(struct crn_cli_bench_settings *out, cairn_error *err)
{
    const char *wanted = "up to 64 numbers above 0 and up to 1";
    const char *at = selectivities;

    for (;;) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || !(value > 0 && value <= 1) || (*end != ',' && *end != '\0') ||
            out->selectivity_count == CRN_CLI_BENCH_LIST_MAX) {
            return bad_list("filter-selectivity", selectivities, wanted, err);
        }
        out->selectivities[out->selectivity_count++] = value;
        if (*end == '\0') return CAIRN_OK;
        at = end + 1;
    }
}

/* --queries is a number, or a file. */
static cairn_status read_source(struct crn_cli_bench_source *out, cairn_error *err)
{
    cairn_collection_options collection = crn_cli_settings();
    bool number = queries != NULL && queries[0] != '\0' && queries[strspn(queries, "0123456789")] == '\0';
    bool own = data != NULL && crn_cli_matrix_is_hdf5(data); /* it has queries of its own */

    *out = (struct crn_cli_bench_source){.data = data,
                                         .queries = number ? NULL : queries,
                                         .truth = truth,
                                         .max_rows = rows,
                                         .metric = collection.metric};
    if (number) out->query_count = strtoull(queries, NULL, 10);
    if (number && (out->query_count == 0 || out->query_count > 10000000)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "--queries wants a number from 1 to 10000000, or a file, not '%s'", queries);
    }
    if (queries == NULL && !own) out->query_count = QUERIES_DEFAULT;
    if (data != NULL && (generate > 0 || collection.dim > 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--data tells what the vectors are; leave out --%s",
                             generate > 0 ? "generate" : "dim");
    }
    if (truth != NULL && out->queries == NULL && !own) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "--truth is of the queries in a file; name it by --queries FILE");
    }
    out->generate = (struct crn_cli_bench_generate){.kind = generate > 0 ? (enum crn_cli_bench_kind)generate
                                                                         : CRN_CLI_BENCH_CLUSTERED,
                                                    .rows = rows > 0 ? rows : 20000,
                                                    .dim = collection.dim > 0 ? collection.dim : DIM_DEFAULT,
                                                    .lid = (uint32_t)lid,
                                                    .seed = seed};
    return CAIRN_OK;
}

/* Whether efforts are nprobe: as given, else by the kind of index. */
static bool is_inverted(const char *index)
{
    if (ef != NULL || nprobe != NULL) return nprobe != NULL;
    return index != NULL && strcasestr(index, "ivf") != NULL;
}

static cairn_status read_settings(struct crn_cli_bench_settings *out, cairn_error *err)
{
    const char *temporary = getenv("TMPDIR");
    unsigned kinds = filter_kind == 4 ? 7 : filter_kind > 0 ? 1u << (filter_kind - 1) : 1;

    if (folder == NULL) folder = temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp";
    *out = (struct crn_cli_bench_settings){.folder = folder,
                                           .cache = cache,
                                           .keep = keep || reuse != NULL,
                                           .reuse = reuse,
                                           .k = (uint32_t)k,
                                           .threads = (unsigned)threads,
                                           .repeat = repeat,
                                           .seconds = seconds,
                                           .oversampling = oversampling,
                                           .filter_kinds = kinds,
                                           .filter_out = filter_out,
                                           .copied = copied,
                                           .mixed_seconds = mixed,
                                           .churn_rounds = churn,
                                           .seed = seed,
                                           .collection = crn_cli_settings()};
    out->nprobe = is_inverted(out->collection.index);
    if (ef != NULL && nprobe != NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "give --ef or --nprobe, not both");
    }
    if (ef != NULL) CRN_TRY(read_efforts("ef", ef, out, err));
    if (nprobe != NULL) CRN_TRY(read_efforts("nprobe", nprobe, out, err));
    if (selectivities != NULL) CRN_TRY(read_selectivities(out, err));
    if ((filter_kind > 0 || filter_out != NULL) && selectivities == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--%s goes with --filter-selectivity S,S,...",
                             filter_kind > 0 ? "filter-kind" : "filter-out");
    }
    if (reuse != NULL && (mixed > 0 || churn > 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "--reuse is for searches: leave out --mixed and --churn");
    }
    if (mixed < 0 || mixed > 86400) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--mixed wants seconds, not %g", mixed);
    }
    if (seconds < 0 || seconds > 86400) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--seconds wants seconds, not %g", seconds);
    }
    if (plot != NULL && !crn_cli_bench_plot_named(plot)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--plot wants a file named .svg or .html, not '%s'",
                             plot);
    }
    return CAIRN_OK;
}

static cairn_status measure(struct crn_cli_bench *b, const struct crn_cli_bench_source *source,
                            cairn_error *err)
{
    CRN_TRY(crn_cli_bench_data_load(&b->data, source, (uint32_t)k, &b->progress, err));
    CRN_TRY(crn_cli_bench_data_lid(&b->data, &b->progress, &b->lid, err));
    CRN_TRY(crn_cli_bench_truth_make(&b->truth, &b->data, (uint32_t)k, cache, &b->progress, &b->truth_cached,
                                     err));
    if (selectivities != NULL)
        CRN_TRY(crn_cli_bench_layout_make(&b->data.rows, seed, &b->progress, &b->layout, err));
    CRN_TRY(crn_cli_bench_create(b, err));
    CRN_TRY(crn_cli_bench_fill(b, err));
    CRN_TRY(crn_cli_bench_sweep(b, err));
    CRN_TRY(crn_cli_bench_filter_run(b, err));
    CRN_TRY(crn_cli_bench_churn_run(b, err));
    return crn_cli_bench_mixed_run(b, err);
}

static cairn_status report(const struct crn_cli_bench *b, struct crn_cli_bench_set *set, cairn_error *err)
{
    CRN_TRY(crn_cli_bench_set_add_run(set, b, err));
    crn_cli_bench_set_sort(set);
    CRN_TRY(json ? crn_cli_bench_print_json(b, err) : crn_cli_bench_print_table(b, err));
    if (compare != NULL) {
        CRN_TRY(json ? crn_cli_bench_compare_json(set, err) : crn_cli_bench_compare_table(set, err));
    }
    if (b->exact.recall < 0.999) {
        crn_cli_note(
            "exact searches agree with the truth%s%s to %.4f only: is it of these data and this metric?",
            b->data.truth_path != NULL ? " of " : "", b->data.truth_path != NULL ? b->data.truth_path : "",
            b->exact.recall);
    }
    return plot != NULL ? crn_cli_bench_plot(b, set, plot, err) : CAIRN_OK;
}

static int run(void)
{
    struct crn_cli_bench_settings settings;
    struct crn_cli_bench_source source;
    struct crn_cli_bench b = {.settings = &settings};
    struct crn_cli_bench_set set = {0};
    cairn_error err;

    cairn_status status = read_settings(&settings, &err);
    if (status == CAIRN_OK) status = read_source(&source, &err);
    if (status != CAIRN_OK) return crn_cli_usage("%s", err.message);
    if (compare != NULL) status = crn_cli_bench_set_add_file(&set, compare, &err); /* before hours of work */
    crn_cli_progress_begin(&b.progress, "rows");
    if (status == CAIRN_OK) status = measure(&b, &source, &err);
    crn_cli_progress_end(&b.progress);
    if (status == CAIRN_OK) status = report(&b, &set, &err);
    crn_cli_bench_close(&b);
    crn_cli_bench_set_release(&set);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_bench = {
    .name = "bench",
    .summary = "Measures building, searching, recall and memory, on your data or made-up ones",
    .detail =
        "Fills a temporary database, builds its index, and searches it with more and more effort: recall\n"
        "against exact neighbors, searches a second, latency. Made-up vectors are clusters of an intrinsic\n"
        "dimension like that of embeddings, which is measured and told. Results at the distance of the\n"
        "k-th true neighbor count as right. How all is measured: docs/BENCH_TOOL.md.",
    .examples = "cairn bench --rows 100000 --dim 384 --plot curve.html\n"
                "cairn bench --data sift-128-euclidean.hdf5 --cache /tmp --ef 16,32,64,128 --json\n"
                "cairn bench --data base.fvecs --queries query.fvecs --truth truth.ivecs --metric l2\n"
                "cairn bench --filter-selectivity 0.1,0.01 --filter-kind all --mixed 10 --churn 2",
    .groups = CRN_CLI_GROUPS(&data_group, &crn_cli_settings_group, &search_group, &workload_group,
                             &output_group, &crn_cli_progress_group),
    .run = run,
};
