/* Patterns for people. */
#include "cli/show.h"

#include "cli/output.h"

#include <stdio.h>
#include <time.h>

const char *crn_cli_show_id(const cairn_pattern *pattern, char out[24])
{
    if (pattern->id_type != CAIRN_ID_U64) return pattern->id;
    snprintf(out, 24, "%llu", (unsigned long long)pattern->id_u64);
    return out;
}

const char *crn_cli_show_text(const cairn_pattern *pattern)
{
    if (pattern->text != NULL && pattern->text[0] != '\0') return pattern->text;
    return pattern->payload != NULL ? pattern->payload : "";
}

static void put_text(struct crn_cli_table *table, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0') return;
    crn_cli_table_text(table, name);
    crn_cli_table_text(table, value);
}

static void put_integer(struct crn_cli_table *table, const char *name, int64_t value)
{
    crn_cli_table_text(table, name);
    crn_cli_table_cell(table, "%lld", (long long)value);
}

static void put_time(struct crn_cli_table *table, const char *name, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[40];
    struct tm parts;

    if (ms == 0 || gmtime_r(&seconds, &parts) == NULL) return;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    put_text(table, name, text);
}

static void put_vector(struct crn_cli_table *table, const char *space, const cairn_vector *vector)
{
    crn_cli_table_cell(table, "%s%s", space[0] != '\0' ? "vector " : "vector", space);
    if (vector->indices != NULL) {
        crn_cli_table_cell(table, "sparse, %u components", vector->count);
    } else if (vector->rows > 0) {
        crn_cli_table_cell(table, "%u rows of %u components", vector->rows, vector->dim);
    } else {
        crn_cli_table_cell(table, "%u components: %g, %g%s", vector->dim, vector->values[0],
                           vector->values[vector->dim > 1], vector->dim > 2 ? ", ..." : "");
    }
}

static void put_vectors(struct crn_cli_table *table, const cairn_pattern *pattern)
{
    if (pattern->vector != NULL && pattern->dim > 0) {
        put_vector(table, "", &(cairn_vector){.values = pattern->vector, .dim = pattern->dim});
    }
    for (uint32_t i = 0; i < pattern->vector_count; i++) {
        const char *space = pattern->vectors[i].space != NULL ? pattern->vectors[i].space : "";
        if (space[0] != '\0' || pattern->vector == NULL) put_vector(table, space, &pattern->vectors[i]);
    }
}

/* A text in its full length below the fields. */
static void print_block(const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    putchar('\n');
    crn_cli_output_text(text);
    putchar('\n');
}

cairn_status crn_cli_show(const cairn_pattern *pattern, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "", .style = CRN_CLI_FAINT},
                                                    {.title = "", .grows = false}};
    struct crn_cli_table table;
    char number[24];

    crn_cli_table_init(&table, columns, 2);
    put_text(&table, "id", crn_cli_show_id(pattern, number));
    put_text(&table, "domain", pattern->domain);
    put_text(&table, "agent", pattern->agent);
    put_text(&table, "type", pattern->type);
    crn_cli_table_text(&table, "confidence");
    crn_cli_table_cell(&table, "%g", pattern->confidence);
    put_integer(&table, "usage count", pattern->usage_count);
    put_integer(&table, "success count", pattern->success_count);
    put_time(&table, "created at", pattern->created_at_ms);
    put_time(&table, "last used", pattern->last_used_ms);
    put_time(&table, "expires at", pattern->expires_at_ms);
    put_integer(&table, "version", (int64_t)pattern->version);
    put_vectors(&table, pattern);

    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    print_block(pattern->payload);
    print_block(pattern->text);
    return status;
}
