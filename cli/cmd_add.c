/* cairn add: one pattern from the command line. */
#include "base/arena.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/fields.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path, *id;
static bool replace;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("id", "ID", id, "its id, a text (default: a new one)"),
    CRN_CLI_OPTION_FLAG("replace", replace, "replace the pattern that has the id"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status add(struct crn_cli_store *store, cairn_pattern *pattern, cairn_written *written,
                        cairn_error *err)
{
    bool exists;

    cairn_status status = crn_cli_store_open_db(store, db_path, CRN_CLI_CREATE, err);
    if (status == CAIRN_OK) status = crn_cli_store_collection(store, &exists, err);
    if (status == CAIRN_OK && !exists) status = crn_cli_store_create(store, NULL, pattern, err);
    if (status != CAIRN_OK) return status;
    pattern->id = id;
    return cairn_write(store->collection, replace ? CAIRN_UPSERT : CAIRN_INSERT, pattern, 1, written, err);
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_arena arena = {0};
    cairn_pattern pattern;
    cairn_written written;
    cairn_error err;

    cairn_status status = crn_cli_fields(&arena, &pattern, &err);
    if (status == CAIRN_OK) status = add(&store, &pattern, &written, &err);
    crn_cli_store_close(&store);
    crn_arena_release(&arena);
    if (status != CAIRN_OK) return crn_cli_fail(&err);
    printf("%s\n", id != NULL ? id : written.id);
    return CRN_CLI_EXIT_OK;
}

const struct crn_cli_command crn_cli_command_add = {
    .name = "add",
    .summary = "Stores one pattern and prints its id",
    .detail = "The database and the collection are created when absent, as by import. Many patterns go\n"
              "in faster with `cairn import`.",
    .examples = "cairn add memory.cairn --text \"use ccache for the second build\" --domain build\n"
                "cairn add memory.cairn --id p1 --vector '[0.1,0.2,0.3]' --payload '{\"size\":3}'",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_fields_group, &crn_cli_collection_group,
                             &crn_cli_settings_group, &crn_cli_embed_group),
    .run = run,
};
