/* cairn index create and drop: payload indexes. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/store.h"

static const char *db_path, *json_path;
static const struct crn_cli_operand operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "PATH", .text = &json_path},
    {0},
};

static int change(cairn_status (*change_index)(cairn_collection *, const char *, cairn_error *))
{
    struct crn_cli_store store = {0};
    cairn_error err;

    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) {
        status = cairn_collection_open(store.db, crn_cli_collection_name(), NULL, &store.collection, &err);
    }
    if (status == CAIRN_OK) status = change_index(store.collection, json_path, &err);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

static int run_create(void)
{
    return change(cairn_payload_index_create);
}

static int run_drop(void)
{
    return change(cairn_payload_index_drop);
}

const struct crn_cli_command crn_cli_command_index_create = {
    .name = "index create",
    .summary = "Indexes the values at a path of the payloads, for filters",
    .examples = "cairn index create memory.cairn section\n"
                "cairn index create memory.cairn meta.size -c images",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_collection_group),
    .run = run_create,
};

const struct crn_cli_command crn_cli_command_index_drop = {
    .name = "index drop",
    .summary = "Removes a payload index",
    .examples = "cairn index drop memory.cairn section",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_collection_group),
    .run = run_drop,
};
