/* cairn scroll: patterns in the order they were inserted, page by page. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/record.h"
#include "cli/scope.h"
#include "cli/show.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path;
static uint64_t limit = 20;
static uint64_t cursor;
static bool json, info, with_vectors;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_COUNT("limit", "N", 1, 100000, limit, "patterns of a page (default: 20)"),
    CRN_CLI_OPTION_COUNT("cursor", "N", 0, UINT64_MAX, cursor, "go on behind the page that ended with it"),
    CRN_CLI_OPTION_FLAG("vectors", with_vectors, "with --json: vectors as well"),
    CRN_CLI_OPTION_FLAG("json", json, "print a JSON object a pattern"),
    CRN_CLI_OPTION_FLAG("info", info, "with --json: a last object {\"cursor\":N}, 0 at the end"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status print_json(const cairn_patterns *patterns, cairn_error *err)
{
    struct crn_buf buf;
    cairn_status status = CAIRN_OK;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    for (size_t i = 0; i < cairn_patterns_count(patterns) && status == CAIRN_OK; i++) {
        status = crn_cli_record_write(&buf, cairn_patterns_at(patterns, i), true);
        if (status == CAIRN_OK && !crn_cli_output_line(&buf)) break;
    }
    crn_buf_release(&buf);
    if (info) printf("{\"cursor\":%llu}\n", (unsigned long long)cursor);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "no memory to print a pattern");
}

static cairn_status print_table(const cairn_patterns *patterns, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "id", .style = CRN_CLI_BOLD},
                                                    {.title = "domain"},
                                                    {.title = "confidence", .right = true},
                                                    {.title = "used", .right = true},
                                                    {.title = "text", .grows = true}};
    struct crn_cli_table table;
    char number[24];

    crn_cli_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < cairn_patterns_count(patterns); i++) {
        const cairn_pattern *pattern = cairn_patterns_at(patterns, i);
        crn_cli_table_text(&table, crn_cli_show_id(pattern, number));
        crn_cli_table_text(&table, pattern->domain);
        crn_cli_table_cell(&table, "%.2f", pattern->confidence);
        crn_cli_table_cell(&table, "%lld", (long long)pattern->usage_count);
        crn_cli_table_text(&table, crn_cli_show_text(pattern));
    }
    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    if (cursor != 0) printf("more: --cursor %llu\n", (unsigned long long)cursor);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    cairn_patterns *patterns = NULL;
    cairn_scope scope = crn_cli_scope();
    cairn_error err;

    cairn_status status = crn_cli_store_open(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK) {
        status = cairn_scroll(store.collection, &scope, &cursor, (size_t)limit, json && with_vectors,
                              &patterns, &err);
    }
    if (status == CAIRN_OK) status = json ? print_json(patterns, &err) : print_table(patterns, &err);
    cairn_patterns_free(patterns);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_scroll = {
    .name = "scroll",
    .summary = "Prints patterns in the order they were inserted, page by page",
    .examples = "cairn scroll memory.cairn --domain build\n"
                "cairn scroll memory.cairn --limit 1000 --cursor 1000 --json --info",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_scope_group, &crn_cli_collection_group),
    .run = run,
};
