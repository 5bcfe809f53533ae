/* cairn optimize: brings the index up to date. */
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};

static cairn_status optimize(cairn_db *db, const char *name, cairn_error *err)
{
    struct crn_cli_progress progress;
    struct crn_cli_number number;
    cairn_collection *collection;
    uint64_t started_ns = crn_clock_ns();

    CRN_TRY(cairn_collection_open(db, name, NULL, &collection, err));
    crn_cli_progress_begin(&progress, "rows");
    cairn_status status = cairn_optimize(collection, crn_cli_progress_call, &progress, err);
    crn_cli_progress_end(&progress);
    cairn_collection_close(collection);
    if (status != CAIRN_OK) return status;
    double seconds = (double)(crn_clock_ns() - started_ns) / 1e9;
    printf("optimized %s in %s\n", name, crn_cli_duration(seconds, &number));
    return CAIRN_OK;
}

static cairn_status optimize_all(cairn_db *db, cairn_error *err)
{
    char **names = NULL;
    size_t count;

    cairn_status status = cairn_collection_list(db, &names, &count, err);
    for (size_t i = 0; status == CAIRN_OK && i < count; i++) status = optimize(db, names[i], err);
    cairn_free(names);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    cairn_error err;

    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) {
        status = crn_cli_collection_given() ? optimize(store.db, crn_cli_collection_name(), &err)
                                            : optimize_all(store.db, &err);
    }
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_optimize = {
    .name = "optimize",
    .summary = "Brings the index up to date, and drops what is deleted or expired",
    .detail = "Of all collections without --collection. Readers and writers go on meanwhile. Ctrl-C ends it\n"
              "with the old index in place.",
    .examples = "cairn optimize memory.cairn\n"
                "cairn optimize memory.cairn -c images --progress",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_collection_group, &crn_cli_progress_group),
    .run = run,
};
