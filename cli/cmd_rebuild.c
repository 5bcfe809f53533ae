/* cairn rebuild: all derived files anew. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/progress.h"
#include "cli/store.h"

static const char *db_path;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_cli_progress progress;
    cairn_error err;

    crn_cli_progress_begin(&progress, "rows");
    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) status = cairn_rebuild(store.db, crn_cli_progress_call, &progress, &err);
    crn_cli_progress_end(&progress);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_rebuild = {
    .name = "rebuild",
    .summary = "Throws all index files away and builds them anew from the rows",
    .examples = "cairn rebuild memory.cairn --progress",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_progress_group),
    .run = run,
};
