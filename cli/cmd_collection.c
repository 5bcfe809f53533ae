/* cairn collection create, list and drop. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/schema.h"
#include "cli/store.h"

#include <stdio.h>
#include <string.h>

static const char *db_path, *name, *metadata;
static bool json;

static const struct crn_cli_operand db_and_name[] = {
    {.name = "DB", .text = &db_path},
    {.name = "NAME", .text = &name},
    {0},
};
static const struct crn_cli_operand db_alone[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option create_options[] = {
    CRN_CLI_OPTION_TEXT("metadata", "JSON", metadata, "a JSON object kept with the collection"),
    {0},
};
static const struct crn_cli_option list_options[] = {
    CRN_CLI_OPTION_FLAG("json", json, "print a JSON object a collection"),
    {0},
};
static const struct crn_cli_group create_group = {"Options", create_options};
static const struct crn_cli_group list_group = {"Options", list_options};

static int run_create(void)
{
    struct crn_cli_store store = {0};
    cairn_error err;
    cairn_collection_options options = crn_cli_settings();

    options.metadata = metadata;
    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_CREATE, &err);
    if (status == CAIRN_OK) status = crn_cli_store_complete(&store, &options, &err);
    if (status == CAIRN_OK) status = cairn_collection_create(store.db, name, &options, &err);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

static int run_drop(void)
{
    struct crn_cli_store store = {0};
    cairn_error err;

    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_WRITE, &err);
    if (status == CAIRN_OK) status = cairn_collection_drop(store.db, name, &err);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

static cairn_status print_json(cairn_collection *collection, uint64_t patterns, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    crn_buf_printf(&buf, "{\"patterns\":%llu,\"schema\":", (unsigned long long)patterns);
    cairn_status status = crn_cli_schema_write(&buf, collection, err);
    crn_buf_putc(&buf, '}');
    if (status == CAIRN_OK) crn_cli_output_line(&buf);
    crn_buf_release(&buf);
    return status;
}

static void put_row(struct crn_cli_table *table, cairn_collection *collection, uint64_t patterns)
{
    static const char *const metrics[] = {"cosine", "cosine", "l2", "dot", "manhattan"};
    cairn_collection_options options = {.size = sizeof options};
    cairn_space_options scratch;
    struct crn_cli_number number;

    cairn_collection_get_options(collection, &options);
    const cairn_space_options *space = crn_cli_store_space(&options, &scratch);
    crn_cli_table_text(table, cairn_collection_name(collection));
    crn_cli_table_text(table, crn_cli_count(patterns, &number));
    crn_cli_table_cell(table, "%u", space != NULL ? space->dim : 0);
    crn_cli_table_text(table, space != NULL ? metrics[space->metric] : "");
    crn_cli_table_text(table, space != NULL ? space->model : "");
    crn_cli_table_text(table, options.lexical ? "yes" : "no");
}

static cairn_status list(cairn_db *db, char **names, size_t count, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "collection"},
                                                    {.title = "patterns", .right = true},
                                                    {.title = "dim", .right = true},
                                                    {.title = "metric"},
                                                    {.title = "model"},
                                                    {.title = "lexical"}};
    struct crn_cli_table table;
    cairn_status status = CAIRN_OK;

    crn_cli_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < count && status == CAIRN_OK; i++) {
        cairn_collection *collection;
        uint64_t patterns;
        status = cairn_collection_open(db, names[i], NULL, &collection, err);
        if (status == CAIRN_NO_COLLECTION) { /* dropped by someone else meanwhile */
            status = CAIRN_OK;
            continue;
        }
        if (status != CAIRN_OK) break;
        status = cairn_count(collection, NULL, &patterns, err);
        if (status == CAIRN_OK && json) status = print_json(collection, patterns, err);
        if (status == CAIRN_OK && !json) put_row(&table, collection, patterns);
        cairn_collection_close(collection);
    }
    if (status == CAIRN_OK) status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    return status;
}

static int run_list(void)
{
    struct crn_cli_store store = {0};
    cairn_error err;
    char **names = NULL;
    size_t count;

    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK) status = cairn_collection_list(store.db, &names, &count, &err);
    if (status == CAIRN_OK) status = list(store.db, names, count, &err);
    cairn_free(names);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_collection_create = {
    .name = "collection create",
    .summary = "Creates a collection",
    .detail = "Needs --dim, or --embed, which knows it. The database is created when absent.",
    .examples = "cairn collection create memory.cairn images --dim 768\n"
                "cairn collection create memory.cairn notes --embed ngram --lexical",
    .operands = db_and_name,
    .groups = CRN_CLI_GROUPS(&create_group, &crn_cli_settings_group, &crn_cli_embed_group),
    .run = run_create,
};

const struct crn_cli_command crn_cli_command_collection_list = {
    .name = "collection list",
    .summary = "Lists the collections with their settings and counts",
    .examples = "cairn collection list memory.cairn",
    .operands = db_alone,
    .groups = CRN_CLI_GROUPS(&list_group),
    .run = run_list,
};

const struct crn_cli_command crn_cli_command_collection_drop = {
    .name = "collection drop",
    .summary = "Removes a collection and all it holds",
    .examples = "cairn collection drop memory.cairn images",
    .operands = db_and_name,
    .run = run_drop,
};
