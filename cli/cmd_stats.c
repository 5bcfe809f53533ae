/* cairn stats: what the library counts and measures. */
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/store.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 200
#define DEPTH_MAX 8

static const char *db_path;
static bool json;
static const struct crn_cli_operand operands[] = {{.name = "DB", .text = &db_path}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("json", json, "print the JSON object (docs/STATS.md)"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static void put_value(struct crn_cli_table *table, const char *name, struct crn_json value,
                      struct crn_buf *buf)
{
    struct crn_cli_number number;
    size_t len;

    crn_cli_table_text(table, name);
    if (crn_json_type(value) == CRN_JSON_STRING) {
        crn_cli_table_text(table, crn_json_string(value, &len));
    } else if (crn_json_type(value) == CRN_JSON_I64 && crn_json_i64(value) >= 0) {
        crn_cli_table_text(table, crn_cli_count(crn_json_u64(value), &number));
    } else {
        crn_buf_clear(buf);
        crn_json_write(value, buf);
        crn_cli_table_text(table, buf->data);
    }
}

/* Rows "a.b.c  value" for what lies in objects and in arrays of objects, by depth first. */
static void put_members(struct crn_cli_table *table, const char *prefix, struct crn_json object,
                        struct crn_buf *buf, int depth)
{
    struct crn_json value;
    struct crn_json_iter it;
    const char *key;
    size_t key_len;
    unsigned place = 0;

    for (crn_json_iter_init(&it, object); crn_json_iter_next(&it, &value, &key, &key_len); place++) {
        struct crn_json_iter inner;
        struct crn_json first;
        const char *inner_key;
        size_t inner_len;
        char name[NAME_MAX_BYTES];
        if (key != NULL) {
            snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        } else {
            snprintf(name, sizeof name, "%s[%u]", prefix, place);
        }
        crn_json_iter_init(&inner, value);
        bool has_parts = crn_json_iter_next(&inner, &first, &inner_key, &inner_len) &&
                         (inner_key != NULL || crn_json_type(first) == CRN_JSON_OBJECT);
        if (has_parts && depth < DEPTH_MAX) {
            put_members(table, name, value, buf, depth + 1);
        } else {
            put_value(table, name, value, buf);
        }
    }
}

static cairn_status print_table(const char *text, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "", .style = CRN_CLI_FAINT}, {.title = ""}};
    struct crn_cli_table table;
    struct crn_json root;
    struct crn_buf buf;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    crn_cli_table_init(&table, columns, 2);
    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    cairn_status status = crn_json_parse(parser, text, strlen(text), &root, err);
    if (status == CAIRN_OK) {
        put_members(&table, "", root, &buf, 0);
        status = crn_cli_table_print(&table, err);
    }
    crn_buf_release(&buf);
    crn_cli_table_release(&table);
    crn_json_parser_free(parser);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    char *text = NULL;
    cairn_error err;

    cairn_status status = crn_cli_store_open_db(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK && !crn_cli_collection_given()) {
        status = cairn_stats(store.db, &text, &err);
    } else if (status == CAIRN_OK) {
        status = cairn_collection_open(store.db, crn_cli_collection_name(), NULL, &store.collection, &err);
        if (status == CAIRN_OK) status = cairn_collection_stats(store.collection, &text, &err);
    }
    if (status == CAIRN_OK && json) printf("%s\n", text);
    if (status == CAIRN_OK && !json) status = print_table(text, &err);
    cairn_free(text);
    crn_cli_store_close(&store);
    return status == CAIRN_OK ? CRN_CLI_EXIT_OK : crn_cli_fail(&err);
}

const struct crn_cli_command crn_cli_command_stats = {
    .name = "stats",
    .summary = "Prints statistics of the database, or of one collection",
    .detail = "Of the whole database without --collection.",
    .examples = "cairn stats memory.cairn\n"
                "cairn stats memory.cairn -c default --json",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_collection_group),
    .run = run,
};
