/* The numbers of a run for people. */
#include "cli/bench_report.h"

#include "cli/output.h"

#include <math.h>
#include <stdio.h>

static void put_text(struct crn_cli_table *table, const char *name, const char *text)
{
    crn_cli_table_text(table, name);
    crn_cli_table_text(table, text);
}

static void put_rate(struct crn_cli_table *table, const char *name, double rate, const char *unit)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, name);
    crn_cli_table_cell(table, "%s %s", crn_cli_count((uint64_t)llround(rate), &number), unit);
}

static void put_bytes(struct crn_cli_table *table, const char *name, uint64_t bytes)
{
    struct crn_cli_number number;

    put_text(table, name, crn_cli_bytes(bytes, &number));
}

static void put_duration(struct crn_cli_table *table, double seconds)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, crn_cli_duration(seconds, &number));
}

static void put_count(struct crn_cli_table *table, double count)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, crn_cli_count((uint64_t)llround(count), &number));
}

static cairn_status finish(struct crn_cli_table *table, cairn_error *err)
{
    cairn_status status = crn_cli_table_print(table, err);

    crn_cli_table_release(table);
    return status;
}

static cairn_status print_build(const struct crn_cli_bench *b, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {{.title = "", .style = CRN_CLI_FAINT},
                                                    {.title = "", .right = true}};
    const struct crn_cli_bench_build *build = &b->build;
    struct crn_cli_table table;
    struct crn_cli_number number;

    crn_cli_table_init(&table, columns, 2);
    put_rate(&table, "insert, durable, 1000 a transaction", (double)b->data.rows.rows / build->insert_seconds,
             "rows/s");
    put_text(&table, "inserting all", crn_cli_duration(build->insert_seconds, &number));
    put_text(&table, "building the index", crn_cli_duration(build->optimize_seconds, &number));
    put_bytes(&table, "memory while searching, its own", build->searching.anonymous_bytes);
    put_bytes(&table, "memory while searching, mapped files", build->searching.file_bytes);
    put_bytes(&table, "memory of the opened index", build->index_memory_bytes);
    put_bytes(&table, "segments and indexes on disk", build->disk_bytes);
    put_rate(&table, "exact search", b->exact.qps, "/s");
    crn_cli_table_text(&table, "recall of exact search");
    crn_cli_table_cell(&table, "%.4f", b->exact.recall);
    return finish(&table, err);
}

static cairn_status print_points(const struct crn_cli_bench *b, cairn_error *err)
{
    char recall[40];
    struct crn_cli_column columns[] = {
        {.title = b->settings->nprobe ? "nprobe" : "ef", .right = true},
        {.title = recall, .right = true, .style = CRN_CLI_GREEN},
        {.title = "searches/s", .right = true, .style = CRN_CLI_BOLD},
        {.title = "p50", .right = true},
        {.title = "p90", .right = true},
        {.title = "p99", .right = true},
        {.title = "p99.9", .right = true},
        {.title = "plan"},
    };
    struct crn_cli_table table;

    snprintf(recall, sizeof recall, "recall@%u", b->settings->k);
    printf("\n%sunfiltered searches, %u thread%s%s\n", crn_cli_style(CRN_CLI_FAINT), b->settings->threads,
           b->settings->threads == 1 ? "" : "s", crn_cli_style(CRN_CLI_PLAIN));
    crn_cli_table_init(&table, columns, 8);
    for (size_t i = 0; i < b->point_count; i++) {
        const struct crn_cli_bench_point *p = &b->points[i];
        if (p->effort > 0) crn_cli_table_cell(&table, "%u", p->effort);
        if (p->effort == 0) crn_cli_table_text(&table, "default");
        crn_cli_table_cell(&table, "%.4f", p->recall);
        put_count(&table, p->qps);
        put_duration(&table, p->p50);
        put_duration(&table, p->p90);
        put_duration(&table, p->p99);
        put_duration(&table, p->p999);
        crn_cli_table_text(&table, p->plan);
    }
    return finish(&table, err);
}

static cairn_status print_filtered(const struct crn_cli_bench *b, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {
        {.title = "filter"},
        {.title = "matching", .right = true},
        {.title = "recall", .right = true, .style = CRN_CLI_GREEN},
        {.title = "searches/s", .right = true, .style = CRN_CLI_BOLD},
        {.title = "p50", .right = true},
        {.title = "p99", .right = true},
        {.title = "of exact scan", .right = true},
        {.title = "of unfiltered", .right = true},
        {.title = "first", .right = true},
    };
    struct crn_cli_table table;

    if (b->filtered_count == 0) return CAIRN_OK;
    printf("\n%sfiltered searches; speed as a multiple of the exact scan of the matching rows, and of no "
           "filter; the first search with a filter%s\n",
           crn_cli_style(CRN_CLI_FAINT), crn_cli_style(CRN_CLI_PLAIN));
    crn_cli_table_init(&table, columns, 9);
    for (size_t i = 0; i < b->filtered_count; i++) {
        const struct crn_cli_bench_filtered *f = &b->filtered[i];
        crn_cli_table_cell(&table, "%s %g", crn_cli_bench_filter_name(f->kind), f->selectivity);
        put_count(&table, (double)f->matching);
        crn_cli_table_cell(&table, "%.4f", f->point.recall);
        put_count(&table, f->point.qps);
        put_duration(&table, f->point.p50);
        put_duration(&table, f->point.p99);
        crn_cli_table_cell(&table, "%.2f x", f->point.qps / f->exact.qps);
        crn_cli_table_cell(&table, "%.2f x", f->point.qps / b->points[0].qps);
        put_duration(&table, f->point.first_seconds);
    }
    return finish(&table, err);
}

static cairn_status print_mixed(const struct crn_cli_bench *b, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {
        {.title = ""},
        {.title = "searches/s", .right = true, .style = CRN_CLI_BOLD},
        {.title = "p50", .right = true},
        {.title = "p99", .right = true},
        {.title = "p99.9", .right = true},
        {.title = "inserts/s", .right = true},
    };
    const struct crn_cli_bench_mixed *m = &b->mixed;
    const struct crn_cli_bench_point *points[] = {&m->alone, &m->together};
    struct crn_cli_table table;

    if (m->seconds <= 0) return CAIRN_OK;
    printf("\n%sreading and writing, %g s each%s\n", crn_cli_style(CRN_CLI_FAINT), m->seconds,
           crn_cli_style(CRN_CLI_PLAIN));
    crn_cli_table_init(&table, columns, 6);
    for (size_t i = 0; i < 2; i++) {
        crn_cli_table_text(&table, i == 0 ? "searches alone" : "while a thread inserts");
        put_count(&table, points[i]->qps);
        put_duration(&table, points[i]->p50);
        put_duration(&table, points[i]->p99);
        put_duration(&table, points[i]->p999);
        if (i == 0) crn_cli_table_text(&table, "");
        if (i == 1) put_count(&table, (double)m->inserted / m->insert_seconds);
    }
    return finish(&table, err);
}

static void put_churn_row(struct crn_cli_table *table, const char *when,
                          const struct crn_cli_bench_point *point, double seconds,
                          const struct crn_cli_bench_memory *memory, uint64_t disk_bytes)
{
    struct crn_cli_number number;

    crn_cli_table_text(table, when);
    crn_cli_table_cell(table, "%.4f", point->recall);
    put_count(table, point->qps);
    put_duration(table, point->p99);
    put_duration(table, seconds);
    crn_cli_table_text(table, memory != NULL ? crn_cli_bytes(memory->anonymous_bytes, &number) : "");
    crn_cli_table_text(table, memory != NULL ? crn_cli_bytes(memory->file_bytes, &number) : "");
    crn_cli_table_text(table, disk_bytes > 0 ? crn_cli_bytes(disk_bytes, &number) : "");
}

static cairn_status print_churned(const struct crn_cli_bench *b, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {
        {.title = "churn"},
        {.title = "recall", .right = true, .style = CRN_CLI_GREEN},
        {.title = "searches/s", .right = true, .style = CRN_CLI_BOLD},
        {.title = "p99", .right = true},
        {.title = "took", .right = true},
        {.title = "own memory", .right = true},
        {.title = "mapped", .right = true},
        {.title = "on disk", .right = true},
    };
    struct crn_cli_table table;
    char when[60];

    if (b->churned_count == 0) return CAIRN_OK;
    printf("\n%seach round deletes half of the rows and inserts them again%s\n", crn_cli_style(CRN_CLI_FAINT),
           crn_cli_style(CRN_CLI_PLAIN));
    crn_cli_table_init(&table, columns, 8);
    put_churn_row(&table, "fresh", &b->points[0], b->build.insert_seconds + b->build.optimize_seconds,
                  &b->build.searching, b->build.disk_bytes);
    for (size_t i = 0; i < b->churned_count; i++) {
        const struct crn_cli_bench_churned *c = &b->churned[i];
        snprintf(when, sizeof when, "round %llu, written", (unsigned long long)c->round);
        put_churn_row(&table, when, &c->before, c->write_seconds, NULL, 0);
        snprintf(when, sizeof when, "round %llu, optimized", (unsigned long long)c->round);
        put_churn_row(&table, when, &c->after, c->optimize_seconds, &c->memory, c->disk_bytes);
    }
    return finish(&table, err);
}

cairn_status crn_cli_bench_print_table(const struct crn_cli_bench *b, cairn_error *err)
{
    struct crn_cli_number number;
    char name[300];

    crn_cli_bench_name(b, name, sizeof name);
    printf("%s vectors of ", crn_cli_count(b->data.rows.rows, &number));
    printf("%u components by %s, ", b->data.rows.columns, crn_cli_bench_metric_name(b->data.metric));
    printf("%s queries, index %s\n", crn_cli_count(b->data.queries.rows, &number), name);
    if (isfinite(b->lid)) printf("local intrinsic dimension %.1f (MLE over 100 neighbors)\n", b->lid);
    cairn_status status = print_build(b, err);
    if (status == CAIRN_OK) status = print_points(b, err);
    if (status == CAIRN_OK) status = print_filtered(b, err);
    if (status == CAIRN_OK) status = print_mixed(b, err);
    if (status == CAIRN_OK) status = print_churned(b, err);
    return status;
}
