/* cairn verify: reads everything and tells what is wrong. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/store.h"

#include <stdio.h>
#include <string.h>

static const char *db_path;
static bool json;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("json", json,
                        "print each finding as {\"finding\":..}, and {\"findings\":N} at the end"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

/* ctx is the progress, as for the other callback of cairn_verify. */
static void print_finding(void *ctx, const char *message)
{
    struct crn_buf buf;

    crn_cli_progress_end(ctx);
    if (!json) {
        printf("%s\n", message);
        return;
    }
    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    crn_buf_puts(&buf, "{\"finding\":");
    crn_buf_json_string(&buf, message, strlen(message));
    crn_buf_putc(&buf, '}');
    crn_cli_output_line(&buf);
    crn_buf_release(&buf);
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_cli_progress progress;
    uint64_t findings = 0;
    cairn_error err;

    crn_cli_progress_begin(&progress, "rows");
    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK) {
        status = cairn_verify(store.db, print_finding, crn_cli_progress_call, &progress, &findings, &err);
    }
    crn_cli_progress_end(&progress);
    crn_cli_store_close(&store);
    if (status != CAIRN_OK) return crn_cli_fail(&err);
    if (json) printf("{\"findings\":%llu}\n", (unsigned long long)findings);
    if (findings == 0) {
        if (!json) crn_cli_note("%s is clean", db_path);
        return CRN_CLI_EXIT_OK;
    }
    crn_cli_note("%llu finding%s; damaged index files are mended by `cairn rebuild`",
                 (unsigned long long)findings, findings == 1 ? "" : "s");
    return CRN_CLI_EXIT_CORRUPT;
}

const struct crn_cli_command crn_cli_command_verify = {
    .name = "verify",
    .summary = "Checks every row and every index file; prints findings, one a line",
    .detail = "The exit status is 0 only when there are none. The database may be in use meanwhile.",
    .examples = "cairn verify memory.cairn && cairn backup memory.cairn /backup/memory.cairn",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_progress_group),
    .run = run,
};
