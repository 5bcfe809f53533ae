/* cairn delete: patterns by their ids, or by a scope. */
#include "base/error.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/lookup.h"
#include "cli/output.h"
#include "cli/scope.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path;
static struct crn_cli_list ids;
static bool dry_run;
static const struct crn_cli_operand operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "ID", .optional = true, .list = &ids},
    {0},
};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("dry-run", dry_run, "only count"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status delete_found(cairn_collection *collection, const struct crn_cli_lookup *lookup,
                                 uint64_t *out_count, cairn_error *err)
{
    size_t count = 0;

    cairn_id *found = crn_mem_array(ids.count, sizeof *found);
    if (found == NULL) return crn_error_no_memory(err, ids.count * sizeof *found);
    for (size_t i = 0; i < ids.count; i++) {
        if (lookup->found[i] != NULL) found[count++] = crn_cli_lookup_id(lookup->found[i]);
    }
    *out_count = count;
    cairn_status status =
        dry_run || count == 0 ? CAIRN_OK : cairn_delete(collection, found, count, out_count, err);
    crn_mem_free(found);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_cli_lookup lookup = {0};
    struct crn_cli_number number;
    cairn_scope scope = crn_cli_scope();
    uint64_t count = 0;
    cairn_error err;

    if ((ids.count > 0) == crn_cli_scope_given())
        return crn_cli_usage("give ids, or say which patterns, as in --domain NAME");

    cairn_status status = crn_cli_store_open(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK && ids.count > 0) {
        status = crn_cli_lookup(&lookup, store.collection, &ids, false, &err);
        if (status == CAIRN_OK) status = delete_found(store.collection, &lookup, &count, &err);
    } else if (status == CAIRN_OK) {
        status = dry_run ? cairn_count(store.collection, &scope, &count, &err)
                         : cairn_delete_where(store.collection, &scope, &count, &err);
    }

    int exit_status = CRN_CLI_EXIT_OK;
    if (status == CAIRN_OK) {
        printf("%s %s\n", dry_run ? "would delete" : "deleted", crn_cli_count(count, &number));
        if (ids.count > 0) exit_status = crn_cli_lookup_tell_missing(&lookup, &ids);
    } else {
        exit_status = crn_cli_fail(&err);
    }
    crn_cli_lookup_release(&lookup);
    crn_cli_store_close(&store);
    return exit_status;
}

const struct crn_cli_command crn_cli_command_delete = {
    .name = "delete",
    .summary = "Deletes patterns by their ids, or all that match",
    .detail = "All go in one transaction. The exit status is 3 when one of the ids is not there; the\n"
              "others are deleted all the same.",
    .examples = "cairn delete memory.cairn p1 p2\n"
                "cairn delete memory.cairn --domain build --dry-run",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_scope_group, &crn_cli_collection_group),
    .run = run,
};
