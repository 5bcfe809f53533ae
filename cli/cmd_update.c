/* cairn update: changes the given fields of one pattern. */
#include "base/arena.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/fields.h"
#include "cli/lookup.h"
#include "cli/store.h"

static const char *db_path, *id;
static uint64_t if_version;
static const struct crn_cli_operand operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "ID", .text = &id},
    {0},
};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_COUNT("if-version", "N", 1, UINT64_MAX - 1, if_version,
                         "only when this is the pattern's version"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status update(struct crn_cli_store *store, struct crn_cli_lookup *lookup, cairn_pattern *pattern,
                           cairn_error *err)
{
    CRN_TRY(crn_cli_store_open(store, db_path, CRN_CLI_WRITE, err));
    CRN_TRY(crn_cli_lookup(lookup, store->collection, &(struct crn_cli_list){&id, 1}, false, err));
    if (lookup->missing > 0) return crn_error_set(err, CAIRN_NOT_FOUND, "no pattern with the id '%s'", id);
    pattern->id = lookup->found[0]->id;
    pattern->id_type = lookup->found[0]->id_type;
    pattern->id_u64 = lookup->found[0]->id_u64;
    pattern->if_version = if_version;
    return cairn_write(store->collection, CAIRN_UPDATE, pattern, 1, NULL, err);
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_arena arena = {0};
    struct crn_cli_lookup lookup = {0};
    cairn_pattern pattern;
    cairn_error err;

    cairn_status status = crn_cli_fields(&arena, &pattern, &err);
    if (status == CAIRN_OK) status = update(&store, &lookup, &pattern, &err);
    crn_cli_lookup_release(&lookup);
    crn_cli_store_close(&store);
    crn_arena_release(&arena);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_update = {
    .name = "update",
    .summary = "Changes the given fields of a pattern; the others stay",
    .detail = "A payload that is given replaces the whole old one. A new text gets a new vector when the\n"
              "collection has an embedder.",
    .examples = "cairn update memory.cairn p1 --confidence 0.9\n"
                "cairn update memory.cairn 42 --payload '{\"size\":4}' --if-version 3",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_fields_group, &crn_cli_collection_group, &crn_cli_embed_group),
    .run = run,
};
