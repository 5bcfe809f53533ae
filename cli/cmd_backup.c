/* cairn backup and cairn restore. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/progress.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path, *backup_path;
static const struct crn_cli_operand backup_operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "BACKUP", .text = &backup_path},
    {0},
};
static const struct crn_cli_operand restore_operands[] = {
    {.name = "BACKUP", .text = &backup_path},
    {.name = "DB", .text = &db_path},
    {0},
};

static int run_backup(void)
{
    struct crn_cli_store store = {0};
    struct crn_cli_progress progress;
    cairn_error err;

    crn_cli_progress_begin(&progress, "pages");
    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK)
        status = cairn_backup(store.db, backup_path, crn_cli_progress_call, &progress, &err);
    crn_cli_progress_end(&progress);
    crn_cli_store_close(&store);
    if (status != CAIRN_OK) return crn_cli_fail(&err);
    printf("backed %s up to %s\n", db_path, backup_path);
    return CRN_CLI_EXIT_OK;
}

static int run_restore(void)
{
    struct crn_cli_progress progress;
    cairn_error err;

    crn_cli_progress_begin(&progress, "pages");
    cairn_status status = cairn_restore(backup_path, db_path, crn_cli_progress_call, &progress, &err);
    crn_cli_progress_end(&progress);
    if (status != CAIRN_OK) return crn_cli_fail(&err);
    printf("restored %s from %s\n", db_path, backup_path);
    return CRN_CLI_EXIT_OK;
}

const struct crn_cli_command crn_cli_command_backup = {
    .name = "backup",
    .summary = "Writes a consistent copy of the database, while it is in use",
    .detail = "BACKUP must not exist. Index files are not copied: they are built anew on use.",
    .examples = "cairn backup memory.cairn /backup/memory-2024-05-01.cairn",
    .operands = backup_operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_progress_group),
    .run = run_backup,
};

const struct crn_cli_command crn_cli_command_restore = {
    .name = "restore",
    .summary = "Puts a backup in place as a new database, verified before it appears",
    .detail = "DB must not exist: a restore never replaces anything.",
    .examples = "cairn restore /backup/memory-2024-05-01.cairn memory.cairn",
    .operands = restore_operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_progress_group),
    .run = run_restore,
};
