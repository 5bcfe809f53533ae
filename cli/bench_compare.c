/* Series of points, read from JSON lines, and compared at equal recall. */
#include "cli/bench_report.h"

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/input.h"
#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_MAX 64
#define DOTS_MAX 100000

static const double recalls[] = {0.90, 0.95, 0.99};
#define RECALL_COUNT (sizeof recalls / sizeof recalls[0])

static cairn_status find_series(struct crn_cli_bench_set *set, const char *name,
                                struct crn_cli_bench_series **out, cairn_error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        *out = &set->series[i];
        if (strcmp(set->series[i].name, name) == 0) return CAIRN_OK;
    }
    if (set->count == SERIES_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "more than %d libraries and configurations", SERIES_MAX);
    }
    if (set->count == set->cap) {
        size_t cap = set->cap * 2 + 8;
        struct crn_cli_bench_series *series = crn_mem_realloc_array(set->series, cap, sizeof *series);
        if (series == NULL) return crn_error_no_memory(err, cap * sizeof *series);
        set->series = series;
        set->cap = cap;
    }
    char *copy = crn_arena_text(&set->arena, name, strlen(name));
    if (copy == NULL) return crn_error_no_memory(err, strlen(name));
    *out = &set->series[set->count++];
    **out = (struct crn_cli_bench_series){.name = copy};
    return CAIRN_OK;
}

static cairn_status add_dot(struct crn_cli_bench_series *series, struct crn_cli_bench_dot dot,
                            cairn_error *err)
{
    if (series->dot_count == DOTS_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "more than %d points of %s", DOTS_MAX, series->name);
    }
    if (series->dot_count == series->dot_cap) {
        size_t cap = series->dot_cap * 2 + 16;
        struct crn_cli_bench_dot *dots = crn_mem_realloc_array(series->dots, cap, sizeof *dots);
        if (dots == NULL) return crn_error_no_memory(err, cap * sizeof *dots);
        series->dots = dots;
        series->dot_cap = cap;
    }
    series->dots[series->dot_count++] = dot;
    return CAIRN_OK;
}

cairn_status crn_cli_bench_set_add_run(struct crn_cli_bench_set *set, const struct crn_cli_bench *b,
                                       cairn_error *err)
{
    struct crn_cli_bench_series *series;
    char name[400] = "cairn ";

    crn_cli_bench_name(b, name + strlen(name), sizeof name - strlen(name));
    strncat(name, " (this run)", sizeof name - strlen(name) - 1);
    CRN_TRY(find_series(set, name, &series, err));
    series->build_seconds = b->build.insert_seconds + b->build.optimize_seconds;
    series->bytes_per_vector = crn_cli_bench_bytes_per_vector(b);
    for (size_t i = 0; i < b->point_count; i++) {
        const struct crn_cli_bench_point *p = &b->points[i];
        CRN_TRY(add_dot(
            series,
            (struct crn_cli_bench_dot){
                .recall = p->recall, .qps = p->qps, .p50 = p->p50, .p99 = p->p99, .effort = p->effort},
            err));
    }
    struct crn_cli_bench_series ours = *series; /* to the front */
    memmove(set->series + 1, set->series, (size_t)(series - set->series) * sizeof *series);
    set->series[0] = ours;
    return CAIRN_OK;
}

/* A number of a line; `absent` when it is not there or null. */
static cairn_status read_number(struct crn_json line, const char *key, double absent, double *out,
                                cairn_error *err)
{
    struct crn_json value;

    *out = absent;
    if (!crn_json_get(line, key, &value) || crn_json_type(value) == CRN_JSON_NULL) return CAIRN_OK;
    if (!crn_json_is_number(value)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "\"%s\" is %s, not a number", key,
                             crn_json_type_name(value));
    }
    *out = crn_json_double(value);
    return CAIRN_OK;
}

static cairn_status read_line(struct crn_cli_bench_set *set, struct crn_json line, cairn_error *err)
{
    struct crn_json value;
    struct crn_cli_bench_series *series;
    struct crn_cli_bench_dot dot;
    double effort, build, bytes;
    char name[400];
    size_t len;

    if (!crn_json_get(line, "lib", &value) || crn_json_type(value) != CRN_JSON_STRING) return CAIRN_OK;
    const char *lib = crn_json_string(value, &len);
    const char *cfg = crn_json_get(line, "cfg", &value) ? crn_json_string(value, &len) : "";
    CRN_TRY(read_number(line, "recall", NAN, &dot.recall, err));
    CRN_TRY(read_number(line, "qps", NAN, &dot.qps, err));
    CRN_TRY(read_number(line, "p50_ms", 0, &dot.p50, err));
    CRN_TRY(read_number(line, "p99_ms", 0, &dot.p99, err));
    CRN_TRY(read_number(line, "ef", 0, &effort, err));
    CRN_TRY(read_number(line, "build_s", 0, &build, err));
    CRN_TRY(read_number(line, "bytes_per_vector", 0, &bytes, err));
    if (isnan(dot.recall) || isnan(dot.qps)) return CAIRN_OK;
    if (!(dot.recall >= 0 && dot.recall <= 1) || !(dot.qps > 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "recall %g is not in 0..1, or qps %g not above 0",
                             dot.recall, dot.qps);
    }
    dot.p50 /= 1e3;
    dot.p99 /= 1e3;
    dot.effort = effort > 0 && effort <= UINT32_MAX ? (uint32_t)effort : 0;
    snprintf(name, sizeof name, "%s%s%s", lib, cfg[0] != '\0' ? " " : "", cfg);
    CRN_TRY(find_series(set, name, &series, err));
    series->build_seconds = build;
    series->bytes_per_vector = bytes;
    return add_dot(series, dot, err);
}

static cairn_status read_lines(struct crn_cli_bench_set *set, struct crn_cli_input *input,
                               struct crn_json_parser *parser, cairn_error *err)
{
    unsigned long long number = 1;

    for (;; number++) {
        const char *text;
        struct crn_json line;
        size_t len;
        bool end;
        CRN_TRY(crn_cli_input_line(input, &text, &len, &end, err));
        if (end) break;
        if (len == 0) continue;
        cairn_status status = crn_json_parse(parser, text, len, &line, err);
        if (status == CAIRN_OK) status = read_line(set, line, err);
        if (status != CAIRN_OK) return crn_error_context(err, status, "line %llu", number);
    }
    if (set->count > 0) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                         "no line has \"lib\", \"recall\" and \"qps\"; see docs/BENCH_TOOL.md");
}

cairn_status crn_cli_bench_set_add_file(struct crn_cli_bench_set *set, const char *path, cairn_error *err)
{
    struct crn_cli_input input;

    struct crn_json_parser *parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a JSON parser");
    cairn_status status = crn_cli_input_open(&input, path, err);
    if (status == CAIRN_OK) {
        status = read_lines(set, &input, parser, err);
        crn_cli_input_close(&input);
        if (status != CAIRN_OK) {
            cairn_error why = *err;
            status = crn_error_set(err, status, "%s: %s", path, why.message);
        }
    }
    crn_json_parser_free(parser);
    return status;
}

static int compare_dots(const void *a, const void *b)
{
    const struct crn_cli_bench_dot *x = a;
    const struct crn_cli_bench_dot *y = b;

    if (x->recall != y->recall) return x->recall < y->recall ? -1 : 1;
    return (x->qps > y->qps) - (x->qps < y->qps);
}

void crn_cli_bench_set_sort(struct crn_cli_bench_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->series[i].dot_count > 1)
            qsort(set->series[i].dots, set->series[i].dot_count, sizeof *set->series[i].dots, compare_dots);
    }
}

void crn_cli_bench_set_release(struct crn_cli_bench_set *set)
{
    for (size_t i = 0; i < set->count; i++) crn_mem_free(set->series[i].dots);
    crn_mem_free(set->series);
    crn_arena_release(&set->arena);
    *set = (struct crn_cli_bench_set){0};
}

double crn_cli_bench_qps_at(const struct crn_cli_bench_series *series, double recall, bool *out_beyond)
{
    const struct crn_cli_bench_dot *below = NULL; /* the last of the upper edge with less recall */
    const struct crn_cli_bench_dot *best = NULL;  /* the fastest with as much */

    for (size_t i = 0; i < series->dot_count; i++) {
        const struct crn_cli_bench_dot *dot = &series->dots[i];
        if (dot->recall >= recall && (best == NULL || dot->qps > best->qps)) best = dot;
    }
    *out_beyond = false;
    if (best == NULL) return 0;
    /* Of points with less recall only one that is faster can be on the edge before `best`: the nearest. */
    for (size_t i = 0; i < series->dot_count; i++) {
        const struct crn_cli_bench_dot *dot = &series->dots[i];
        if (dot->recall < recall && dot->qps > best->qps) below = dot;
    }
    *out_beyond = below == NULL && best->recall > recall;
    if (below == NULL) return best->qps;
    double share = (recall - below->recall) / (best->recall - below->recall);
    return exp(log(below->qps) + share * (log(best->qps) - log(below->qps)));
}

static void put_speed(struct crn_cli_table *table, const struct crn_cli_bench_series *ours,
                      const struct crn_cli_bench_series *series, double recall)
{
    struct crn_cli_number number;
    bool beyond, our_beyond;
    double qps = crn_cli_bench_qps_at(series, recall, &beyond);
    double our_qps = crn_cli_bench_qps_at(ours, recall, &our_beyond);

    if (qps <= 0) {
        crn_cli_table_text(table, "-");
    } else if (series == ours || our_qps <= 0) {
        crn_cli_table_cell(table, "%s%s", beyond ? ">= " : "",
                           crn_cli_count((uint64_t)llround(qps), &number));
    } else {
        crn_cli_table_cell(table, "%s%s (%.2f x)", beyond ? ">= " : "",
                           crn_cli_count((uint64_t)llround(qps), &number), our_qps / qps);
    }
}

cairn_status crn_cli_bench_compare_table(const struct crn_cli_bench_set *set, cairn_error *err)
{
    static const struct crn_cli_column columns[] = {
        {.title = "compared at recall", .grows = true},
        {.title = ".90", .right = true},
        {.title = ".95", .right = true},
        {.title = ".99", .right = true},
        {.title = "build", .right = true},
        {.title = "bytes/vector", .right = true},
    };
    struct crn_cli_table table;
    struct crn_cli_number number;

    printf("\n%ssearches/s at equal recall, and in brackets this run's as a multiple of them%s\n",
           crn_cli_style(CRN_CLI_FAINT), crn_cli_style(CRN_CLI_PLAIN));
    crn_cli_table_init(&table, columns, 6);
    for (size_t i = 0; i < set->count; i++) {
        const struct crn_cli_bench_series *series = &set->series[i];
        crn_cli_table_text(&table, series->name);
        for (size_t r = 0; r < RECALL_COUNT; r++) put_speed(&table, &set->series[0], series, recalls[r]);
        crn_cli_table_text(
            &table, series->build_seconds > 0 ? crn_cli_duration(series->build_seconds, &number) : "-");
        crn_cli_table_text(&table, series->bytes_per_vector > 0
                                       ? crn_cli_count((uint64_t)llround(series->bytes_per_vector), &number)
                                       : "-");
    }
    cairn_status status = crn_cli_table_print(&table, err);
    crn_cli_table_release(&table);
    return status;
}

cairn_status crn_cli_bench_compare_json(const struct crn_cli_bench_set *set, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, CRN_CLI_LINE_MAX);
    for (size_t i = 1; i < set->count; i++) {
        crn_buf_puts(&buf, "{\"kind\":\"compare\",\"with\":");
        crn_buf_json_string(&buf, set->series[i].name, strlen(set->series[i].name));
        for (size_t r = 0; r < RECALL_COUNT; r++) {
            bool beyond, our_beyond;
            double qps = crn_cli_bench_qps_at(&set->series[i], recalls[r], &beyond);
            double ours = crn_cli_bench_qps_at(&set->series[0], recalls[r], &our_beyond);
            crn_buf_printf(&buf, ",\"qps_%.2f\":", recalls[r]);
            crn_buf_json_double(&buf, qps > 0 ? qps : NAN);
            crn_buf_printf(&buf, ",\"ratio_%.2f\":", recalls[r]);
            crn_buf_json_double(&buf, qps > 0 && ours > 0 ? ours / qps : NAN);
            crn_buf_printf(&buf, ",\"bound_%.2f\":%s", recalls[r], beyond || our_beyond ? "true" : "false");
        }
        if (crn_buf_putc(&buf, '}') != CAIRN_OK || !crn_cli_output_line(&buf)) break;
    }
    cairn_status failed = buf.failed;
    crn_buf_release(&buf);
    return failed == CAIRN_OK ? CAIRN_OK : crn_error_set(err, failed, "no memory for a line");
}
