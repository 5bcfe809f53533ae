/* cairn prune: merges near-duplicates and removes what nobody uses. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/memory_report.h"
#include "cli/output.h"
#include "cli/store.h"

static const char *db_path, *domain;
static double merge_similarity, min_confidence, max_age_days;
static uint64_t min_usage;
static bool dry_run, no_merge, no_prune, json;

static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("dry-run", dry_run, "only count"),
    CRN_CLI_OPTION_TEXT("domain", "NAME", domain, "only this domain"),
    CRN_CLI_OPTION_NUMBER("merge-similarity", "S", merge_similarity,
                          "merge from this cosine on (default: 0.95)"),
    CRN_CLI_OPTION_NUMBER("min-confidence", "C", min_confidence,
                          "prune below this confidence ... (default: 0.3)"),
    CRN_CLI_OPTION_COUNT("min-usage", "N", 1, INT64_MAX, min_usage,
                         "... and with fewer uses ... (default: 2)"),
    CRN_CLI_OPTION_NUMBER("max-age-days", "D", max_age_days, "... and older than this (default: 30)"),
    CRN_CLI_OPTION_FLAG("no-merge", no_merge, "only prune"),
    CRN_CLI_OPTION_FLAG("no-prune", no_prune, "only merge"),
    CRN_CLI_OPTION_FLAG("json", json, "print the report as a JSON object"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status print_json(const cairn_memory_report *report, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    cairn_status status = crn_cli_memory_report_write(&buf, report);
    if (status == CAIRN_OK) crn_cli_output_line(&buf);
    crn_buf_release(&buf);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "no memory to print the report");
}

static int run(void)
{
    struct crn_cli_store store = {0};
    cairn_memory_report report = {0};
    cairn_error err;
    cairn_memory_options how = {.size = sizeof how,
                                .domain = domain,
                                .merge_similarity = no_merge ? 2 : merge_similarity, /* above 1: no merging */
                                .min_confidence = min_confidence,
                                .min_usage = (int64_t)min_usage,
                                .max_age_days = max_age_days,
                                .no_prune = no_prune,
                                .dry_run = dry_run};

    cairn_status status = crn_cli_store_open(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) status = cairn_memory_optimize(store.collection, &how, &report, &err);
    if (status == CAIRN_OK && json) status = print_json(&report, &err);
    if (status == CAIRN_OK && !json) crn_cli_memory_report_print(&report, dry_run);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_prune = {
    .name = "prune",
    .summary = "Merges near-duplicates and removes what nobody uses",
    .detail = "Patterns of one domain, agent and type merge; the survivor (the highest confidence, then the\n"
              "most used) gets the counts of all. Pruned is what is below the confidence, below the usage\n"
              "and older than the age, all three.",
    .examples = "cairn prune memory.cairn --dry-run\n"
                "cairn prune memory.cairn --domain build --max-age-days 90 --no-merge",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_collection_group),
    .run = run,
};
