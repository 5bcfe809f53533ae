/* The numbers of a run for programs: JSON lines, each with its "kind" (docs/BENCH_TOOL.md). */
#include "cli/bench_report.h"

#include "base/error.h"
#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES_MAX ((size_t)1 << 20)

static void put_key(struct crn_buf *buf, const char *key)
{
    crn_buf_printf(buf, "%s\"%s\":", buf->data[buf->len - 1] == '{' ? "" : ",", key);
}

static void put_number(struct crn_buf *buf, const char *key, double value)
{
    put_key(buf, key);
    if (isfinite(value)) crn_buf_printf(buf, "%.9g", value);
    if (!isfinite(value)) crn_buf_puts(buf, "null");
}

static void put_integer(struct crn_buf *buf, const char *key, uint64_t value)
{
    put_key(buf, key);
    crn_buf_printf(buf, "%llu", (unsigned long long)value);
}

static void put_string(struct crn_buf *buf, const char *key, const char *text)
{
    put_key(buf, key);
    crn_buf_json_string(buf, text, strlen(text));
}

static void begin(struct crn_buf *buf, const char *kind)
{
    crn_buf_puts(buf, "{");
    put_string(buf, "kind", kind);
}

static cairn_status end(struct crn_buf *buf, cairn_error *err)
{
    if (crn_buf_putc(buf, '}') != CAIRN_OK) return crn_error_set(err, buf->failed, "no memory for a line");
    crn_cli_output_line(buf); /* crn_cli_output_finish tells of a failure */
    return CAIRN_OK;
}

/* A point's members; with a prefix for the second one of a line. */
static void put_point(struct crn_buf *buf, const char *prefix, const struct crn_cli_bench_point *p,
                      bool recall)
{
    const struct {
        const char *key;
        double value;
    } members[] = {{"qps", p->qps},          {"mean_ms", p->mean_seconds * 1e3}, {"p50_ms", p->p50 * 1e3},
                   {"p90_ms", p->p90 * 1e3}, {"p99_ms", p->p99 * 1e3},           {"p999_ms", p->p999 * 1e3},
                   {"recall", p->recall}};
    char key[64];

    for (size_t i = 0; i < sizeof members / sizeof members[0] - (recall ? 0 : 1); i++) {
        snprintf(key, sizeof key, "%s%s", prefix, members[i].key);
        put_number(buf, key, members[i].value);
    }
    snprintf(key, sizeof key, "%ssearches", prefix);
    put_integer(buf, key, p->searches);
    snprintf(key, sizeof key, "%splan", prefix);
    put_string(buf, key, p->plan);
}

static void put_memory(struct crn_buf *buf, const struct crn_cli_bench_memory *memory, uint64_t disk_bytes)
{
    put_integer(buf, "anonymous_bytes", memory->anonymous_bytes);
    put_integer(buf, "mapped_bytes", memory->file_bytes);
    put_integer(buf, "disk_bytes", disk_bytes);
}

static cairn_status print_run(struct crn_buf *buf, const struct crn_cli_bench *b, cairn_error *err)
{
    const struct crn_cli_bench_build *build = &b->build;
    const struct crn_cli_bench_point *headline = &b->points[0];

    begin(buf, "run");
    put_string(buf, "version", cairn_version());
    put_integer(buf, "rows", b->data.rows.rows);
    put_integer(buf, "dim", b->data.rows.columns);
    put_integer(buf, "queries", b->data.queries.rows);
    put_integer(buf, "k", b->settings->k);
    put_integer(buf, "seed", b->settings->seed);
    put_integer(buf, "threads", b->settings->threads);
    put_string(buf, "metric", crn_cli_bench_metric_name(b->data.metric));
    put_string(buf, "index", build->index);
    put_string(buf, "quantization", build->quantization);
    put_number(buf, "lid", b->lid);
    put_string(buf, "truth", b->data.truth_path != NULL ? "file" : b->truth_cached ? "cache" : "computed");
    put_number(buf, "insert_seconds", build->insert_seconds);
    put_number(buf, "insert_rate", (double)b->data.rows.rows / build->insert_seconds);
    put_number(buf, "optimize_seconds", build->optimize_seconds);
    put_number(buf, "search_qps", headline->qps);
    put_number(buf, "search_p50_ms", headline->p50 * 1e3);
    put_number(buf, "search_p99_ms", headline->p99 * 1e3);
    put_number(buf, "recall", headline->recall);
    put_number(buf, "exact_qps", b->exact.qps);
    put_number(buf, "exact_recall", b->exact.recall);
    put_memory(buf, &build->searching, build->disk_bytes);
    put_integer(buf, "index_memory_bytes", build->index_memory_bytes);
    put_integer(buf, "scanned_bytes_per_vector", build->scanned_bytes_per_vector);
    put_integer(buf, "indexed_rows", build->indexed_rows);
    return end(buf, err);
}

static cairn_status print_points(struct crn_buf *buf, const struct crn_cli_bench *b, cairn_error *err)
{
    char name[300];

    crn_cli_bench_name(b, name, sizeof name);
    for (size_t i = 0; i < b->point_count; i++) {
        begin(buf, "point");
        put_string(buf, "lib", "cairn");
        put_string(buf, "cfg", name);
        put_number(buf, "build_s", b->build.insert_seconds + b->build.optimize_seconds);
        put_number(buf, "bytes_per_vector", crn_cli_bench_bytes_per_vector(b));
        put_integer(buf, b->settings->nprobe ? "nprobe" : "ef", b->points[i].effort);
        put_point(buf, "", &b->points[i], true);
        CRN_TRY(end(buf, err));
    }
    return CAIRN_OK;
}

static cairn_status print_filtered(struct crn_buf *buf, const struct crn_cli_bench *b, cairn_error *err)
{
    for (size_t i = 0; i < b->filtered_count; i++) {
        const struct crn_cli_bench_filtered *f = &b->filtered[i];
        begin(buf, "filter");
        put_string(buf, "filter_kind", crn_cli_bench_filter_name(f->kind));
        put_number(buf, "selectivity", f->selectivity);
        put_integer(buf, "matching", f->matching);
        put_integer(buf, b->settings->nprobe ? "nprobe" : "ef", f->point.effort);
        put_point(buf, "", &f->point, true);
        put_point(buf, "exact_", &f->exact, true);
        put_number(buf, "of_exact", f->point.qps / f->exact.qps);
        put_number(buf, "of_unfiltered", f->point.qps / b->points[0].qps);
        put_number(buf, "first_ms", 1e3 * f->point.first_seconds);
        CRN_TRY(end(buf, err));
    }
    return CAIRN_OK;
}

static cairn_status print_mixed(struct crn_buf *buf, const struct crn_cli_bench *b, cairn_error *err)
{
    const struct crn_cli_bench_mixed *m = &b->mixed;

    if (m->seconds <= 0) return CAIRN_OK;
    begin(buf, "mixed");
    put_number(buf, "seconds", m->seconds);
    put_integer(buf, "batch", m->batch);
    put_integer(buf, "inserted", m->inserted);
    put_number(buf, "insert_rate", (double)m->inserted / m->insert_seconds);
    put_point(buf, "alone_", &m->alone, false);
    put_point(buf, "together_", &m->together, false);
    return end(buf, err);
}

static cairn_status print_churned(struct crn_buf *buf, const struct crn_cli_bench *b, cairn_error *err)
{
    for (size_t i = 0; i < b->churned_count; i++) {
        const struct crn_cli_bench_churned *c = &b->churned[i];
        begin(buf, "churn");
        put_integer(buf, "round", c->round);
        put_integer(buf, "rows", c->rows);
        put_number(buf, "write_seconds", c->write_seconds);
        put_number(buf, "optimize_seconds", c->optimize_seconds);
        put_point(buf, "written_", &c->before, true);
        put_point(buf, "", &c->after, true);
        put_memory(buf, &c->memory, c->disk_bytes);
        put_number(buf, "fresh_recall", b->points[0].recall);
        put_integer(buf, "fresh_anonymous_bytes", b->build.searching.anonymous_bytes);
        put_integer(buf, "fresh_mapped_bytes", b->build.searching.file_bytes);
        CRN_TRY(end(buf, err));
    }
    return CAIRN_OK;
}

cairn_status crn_cli_bench_print_json(const struct crn_cli_bench *b, cairn_error *err)
{
    struct crn_buf buf;

    crn_buf_init(&buf, LINE_BYTES_MAX);
    cairn_status status = print_run(&buf, b, err);
    if (status == CAIRN_OK) status = print_points(&buf, b, err);
    if (status == CAIRN_OK) status = print_filtered(&buf, b, err);
    if (status == CAIRN_OK) status = print_mixed(&buf, b, err);
    if (status == CAIRN_OK) status = print_churned(&buf, b, err);
    crn_buf_release(&buf);
    return status;
}
