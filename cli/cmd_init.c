/* cairn init: an empty database, with a collection when its settings are given. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/store.h"

#include <stdio.h>
#include <unistd.h>

static const char *db_path;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};

static cairn_status init(struct crn_cli_store *store, cairn_error *err)
{
    if (access(db_path, F_OK) == 0) return crn_error_set(err, CAIRN_EXISTS, "%s is there already", db_path);
    CRN_TRY(crn_cli_store_open_db(store, db_path, CRN_CLI_CREATE, err));
    if (!crn_cli_settings_given() && !crn_cli_embed_given() && !crn_cli_collection_given()) return CAIRN_OK;
    return crn_cli_store_create(store, NULL, NULL, err);
}

static int run(void)
{
    struct crn_cli_store store = {0};
    cairn_error err;

    cairn_status status = init(&store, &err);
    if (status == CAIRN_OK && store.collection != NULL) {
        printf("created %s with the collection %s\n", db_path, cairn_collection_name(store.collection));
    } else if (status == CAIRN_OK) {
        printf("created %s\n", db_path);
    }
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_init = {
    .name = "init",
    .summary = "Creates an empty database",
    .detail = "With any of the options the collection is created too. import and add need no init.",
    .examples = "cairn init memory.cairn\n"
                "cairn init memory.cairn --embed ngram --lexical\n"
                "cairn init memory.cairn -c images --dim 768 --metric dot",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&crn_cli_collection_group, &crn_cli_settings_group, &crn_cli_embed_group),
    .run = run,
};
