/* cairn get: patterns by their ids. */
#include "base/error.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/lookup.h"
#include "cli/output.h"
#include "cli/record.h"
#include "cli/show.h"
#include "cli/store.h"

#include <stdio.h>

static const char *db_path;
static struct crn_cli_list ids;
static bool json, with_vectors;
static const struct crn_cli_operand operands[] = {
    {.name = "DB", .text = &db_path},
    {.name = "ID", .list = &ids},
    {0},
};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("vectors", with_vectors, "show vectors as well"),
    CRN_CLI_OPTION_FLAG("json", json, "print a JSON object a pattern"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static cairn_status print_json(const cairn_pattern *pattern, struct crn_buf *buf, cairn_error *err)
{
    cairn_status status = crn_cli_record_write(buf, pattern, true);

    if (status != CAIRN_OK) return crn_error_set(err, status, "no memory to print a pattern");
    crn_cli_output_line(buf);
    return CAIRN_OK;
}

static cairn_status print_all(const struct crn_cli_lookup *lookup, size_t count, cairn_error *err)
{
    struct crn_buf buf;
    cairn_status status = CAIRN_OK;
    bool first = true;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    for (size_t i = 0; i < count && status == CAIRN_OK; i++) {
        if (lookup->found[i] == NULL) continue;
        if (!first && !json) putchar('\n');
        status = json ? print_json(lookup->found[i], &buf, err) : crn_cli_show(lookup->found[i], err);
        first = false;
    }
    crn_buf_release(&buf);
    return status;
}

static int run(void)
{
    struct crn_cli_store store = {0};
    struct crn_cli_lookup lookup = {0};
    cairn_error err;

    cairn_status status = crn_cli_store_open(&store, db_path, CRN_CLI_READ, &err);
    if (status == CAIRN_OK) status = crn_cli_lookup(&lookup, store.collection, &ids, with_vectors, &err);
    if (status == CAIRN_OK) status = print_all(&lookup, ids.count, &err);
    int exit_status = status == CAIRN_OK ? crn_cli_lookup_tell_missing(&lookup, &ids) : crn_cli_fail(&err);
    crn_cli_lookup_release(&lookup);
    crn_cli_store_close(&store);
    return exit_status;
}

const struct crn_cli_command crn_cli_command_get = {
    .name = "get",
    .summary = "Prints patterns by their ids",
    .detail = "An id like 42 is looked for as the text first, then as the number, then as a UUID. The exit\n"
              "status is 3 when one of them is not there.",
    .examples = "cairn get memory.cairn p1\n"
                "cairn get memory.cairn 42 43 --json --vectors",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group, &crn_cli_collection_group),
    .run = run,
};
