/*
 * The drawing: two panels with one axis of recall, speed on the left and latency on the right, both on
 * logarithmic scales. SVG alone or inside a page; nothing is loaded from anywhere. Colours follow the
 * reader's light or dark scheme, and every series has its own marker as well.
 */
#include "cli/bench_report.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "cli/export_file.h"
#include "cli/output.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define WIDTH 1040
#define PANEL_WIDTH 410
#define PANEL_HEIGHT 320
#define LEFT 76    /* of the first panel */
#define SECOND 588 /* of the second */
#define LEGEND_TOP 62
#define LEGEND_LINE 20
#define COLORS 8
#define LABEL_GAP 26 /* between two labels of effort */

/* Paper, ink, faint ink, grid; then the series. */
static const char light_style[] =
    ".paper{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d9dee3}.axis{stroke:#8c959f}"
    ".s0{stroke:#0a58ca;fill:#0a58ca}.s1{stroke:#c2410c;fill:#c2410c}.s2{stroke:#0f766e;fill:#0f766e}"
    ".s3{stroke:#7c3aed;fill:#7c3aed}.s4{stroke:#8a6100;fill:#8a6100}.s5{stroke:#be185d;fill:#be185d}"
    ".s6{stroke:#475569;fill:#475569}.s7{stroke:#15803d;fill:#15803d}";
static const char dark_style[] =
    ".paper{fill:#0d1117}.ink{fill:#e6edf3}.faint{fill:#9da7b3}.grid{stroke:#30363d}.axis{stroke:#6e7681}"
    ".s0{stroke:#6cb0ff;fill:#6cb0ff}.s1{stroke:#ff9b6a;fill:#ff9b6a}.s2{stroke:#4fd1c5;fill:#4fd1c5}"
    ".s3{stroke:#b794f6;fill:#b794f6}.s4{stroke:#e0b034;fill:#e0b034}.s5{stroke:#f472b6;fill:#f472b6}"
    ".s6{stroke:#a3b1c6;fill:#a3b1c6}.s7{stroke:#4ade80;fill:#4ade80}";
static const char common_style[] =
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "font-size:12px}.title{font-size:17px;font-weight:600}"
    ".head{font-size:14px;font-weight:600}.small{font-size:10.5px}"
    ".grid,.axis{stroke-width:1;fill:none}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.dash{stroke-dasharray:6 4}";

struct scale {
    double min, max; /* of values, as they are bent */
    double (*bend)(double value);
    double from, to; /* of the drawing */
};

enum value { SPEED, MEDIAN_MS, P99_MS };

struct plot {
    struct crn_buf buf;
    const struct crn_cli_bench *bench;
    const struct crn_cli_bench_set *set;
    double top; /* of the panels */
};

bool crn_cli_bench_plot_named(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot != NULL && (strcasecmp(dot, ".svg") == 0 || strcasecmp(dot, ".html") == 0);
}

/* By nines, so that .99 and .999 are as far apart as 0 and .9 are; but 1 is not infinitely far. */
static double bend_recall(double recall)
{
    return -log10(1 - recall + 0.0005);
}

static double place(const struct scale *scale, double value)
{
    return scale->from +
           (scale->bend(value) - scale->min) / (scale->max - scale->min) * (scale->to - scale->from);
}

static void put_escaped(struct crn_buf *buf, const char *text)
{
    size_t len = crn_utf8_valid(text, strlen(text));

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '<') {
            crn_buf_puts(buf, "&lt;");
        } else if (c == '&') {
            crn_buf_puts(buf, "&amp;");
        } else if (c == '"') {
            crn_buf_puts(buf, "&quot;");
        } else {
            crn_buf_putc(buf, c < 0x20 || c == 0x7f ? ' ' : (char)c);
        }
    }
}

static void put_text(struct plot *p, double x, double y, const char *class, const char *anchor,
                     const char *text)
{
    crn_buf_printf(&p->buf, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class,
                   anchor);
    put_escaped(&p->buf, text);
    crn_buf_puts(&p->buf, "</text>\n");
}

static double value_of(const struct crn_cli_bench_dot *dot, enum value value)
{
    if (value == SPEED) return dot->qps;
    return (value == MEDIAN_MS ? dot->p50 : dot->p99) * 1e3;
}

/* "50,000", "20", "0.05" */
static const char *axis_number(double value, struct crn_cli_number *out)
{
    if (value >= 1) return crn_cli_count((uint64_t)llround(value), out);
    snprintf(out->text, sizeof out->text, "%.6g", value);
    return out->text;
}

/* From a fifth, half or whole power of ten below to one above. */
static void fit_log(struct scale *scale, double min, double max)
{
    static const double steps[] = {1, 2, 5, 10};
    double low = pow(10, floor(log10(min)));
    double high = pow(10, floor(log10(max)));
    double from = low, to = high * 10;

    for (size_t i = 0; i < 4; i++) {
        if (low * steps[i] <= min * 1.0001) from = low * steps[i];
        if (high * steps[3 - i] >= max * 0.9999) to = high * steps[3 - i];
    }
    if (to <= from) to = from * 10;
    scale->bend = log10;
    scale->min = log10(from);
    scale->max = log10(to);
}

/* The least and greatest of what is drawn; false when there is nothing. */
static bool extent(const struct plot *p, enum value low, enum value high, double *min, double *max)
{
    *min = INFINITY;
    *max = 0;
    for (size_t s = 0; s < p->set->count; s++) {
        for (size_t i = 0; i < p->set->series[s].dot_count; i++) {
            const struct crn_cli_bench_dot *dot = &p->set->series[s].dots[i];
            if (value_of(dot, low) > 0) *min = fmin(*min, value_of(dot, low));
            *max = fmax(*max, value_of(dot, high));
        }
    }
    return *max > 0 && isfinite(*min);
}

static const double recall_ticks[] = {0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1};
#define RECALL_TICKS (sizeof recall_ticks / sizeof recall_ticks[0])

/* Recall from the tick below the least one to 1. */
static struct scale recall_scale(const struct plot *p, double left)
{
    double least = 0.95;
    double from = 0;

    for (size_t i = 0; i < p->set->count; i++) {
        if (p->set->series[i].dot_count > 0) least = fmin(least, p->set->series[i].dots[0].recall);
    }
    for (size_t i = 0; i < RECALL_TICKS && recall_ticks[i] < least; i++) from = recall_ticks[i];
    return (struct scale){.bend = bend_recall,
                          .min = bend_recall(from),
                          .max = bend_recall(1),
                          .from = left,
                          .to = left + PANEL_WIDTH};
}

static void put_x_axis(struct plot *p, const struct scale *x)
{
    char label[64];
    double bottom = p->top + PANEL_HEIGHT;

    for (size_t i = 0; i < RECALL_TICKS; i++) {
        double where = place(x, recall_ticks[i]);
        if (where < x->from - 0.1) continue;
        crn_buf_printf(&p->buf, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", where, p->top, bottom);
        snprintf(label, sizeof label, "%g", recall_ticks[i]);
        put_text(p, where, bottom + 18, "faint", "middle", label);
    }
    snprintf(label, sizeof label, "recall@%u, stretched towards 1", p->bench->settings->k);
    put_text(p, (x->from + x->to) / 2, bottom + 40, "ink", "middle", label);
}

static void put_y_axis(struct plot *p, const struct scale *x, const struct scale *y)
{
    static const double steps[] = {1, 2, 5};
    struct crn_cli_number number;
    bool labels_between = y->max - y->min < 3;

    for (double power = floor(y->min); power <= y->max + 1e-9; power++) {
        for (size_t i = 0; i < 3; i++) {
            double value = pow(10, power) * steps[i];
            if (log10(value) < y->min - 1e-9 || log10(value) > y->max + 1e-9) continue;
            double where = place(y, value);
            crn_buf_printf(&p->buf, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", x->from, where, x->to);
            if (i == 0 || labels_between)
                put_text(p, x->from - 8, where + 4, "faint", "end", axis_number(value, &number));
        }
    }
    crn_buf_printf(&p->buf, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", x->from, p->top,
                   p->top + PANEL_HEIGHT, x->to);
}

/* Circle, square, diamond, triangle; with a title that a browser shows under the pointer. */
static void put_marker(struct plot *p, size_t series, double x, double y, const char *title)
{
    static const char *const shapes[] = {
        "<path class=\"s%zu\" d=\"M%.1f %.1fm-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z\">",
        "<path class=\"s%zu\" d=\"M%.1f %.1fm-3.6 -3.6h7.2v7.2h-7.2z\">",
        "<path class=\"s%zu\" d=\"M%.1f %.1fm0 -5l5 5l-5 5l-5 -5z\">",
        "<path class=\"s%zu\" d=\"M%.1f %.1fm0 -5l4.8 8.4h-9.6z\">",
    };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    crn_buf_printf(&p->buf, shapes[series % 4], series % COLORS, x, y);
#pragma GCC diagnostic pop
    crn_buf_puts(&p->buf, "<title>");
    put_escaped(&p->buf, title);
    crn_buf_puts(&p->buf, "</title></path>\n");
}

/* Whether no other point has as much recall and is better. */
static bool on_edge(const struct crn_cli_bench_series *series, const struct crn_cli_bench_dot *dot)
{
    for (size_t i = 0; i < series->dot_count; i++) {
        const struct crn_cli_bench_dot *other = &series->dots[i];
        if (other->recall >= dot->recall && other->qps > dot->qps) return false;
    }
    return true;
}

static void put_series(struct plot *p, size_t s, enum value value, const struct scale *x,
                       const struct scale *y)
{
    const struct crn_cli_bench_series *series = &p->set->series[s];
    const char *what = value == SPEED ? "" : value == MEDIAN_MS ? "p50 " : "p99 ";
    struct crn_cli_number number;
    double labelled = -LABEL_GAP;
    char title[600];

    crn_buf_printf(&p->buf, "<path class=\"line s%zu%s\" style=\"fill:none\" d=\"", s % COLORS,
                   value == P99_MS ? " dash" : "");
    for (size_t i = 0, drawn = 0; i < series->dot_count; i++) {
        const struct crn_cli_bench_dot *dot = &series->dots[i];
        if (value_of(dot, value) <= 0 || !on_edge(series, dot)) continue;
        crn_buf_printf(&p->buf, "%c%.1f %.1f", drawn++ == 0 ? 'M' : 'L', place(x, dot->recall),
                       place(y, value_of(dot, value)));
    }
    crn_buf_puts(&p->buf, "\"/>\n");
    for (size_t i = 0; i < series->dot_count; i++) {
        const struct crn_cli_bench_dot *dot = &series->dots[i];
        if (value_of(dot, value) <= 0) continue;
        double at_x = place(x, dot->recall);
        double at_y = place(y, value_of(dot, value));
        snprintf(title, sizeof title, "%s\nrecall %.4f, %s%s %s%s%.0u", series->name, dot->recall, what,
                 axis_number(value_of(dot, value), &number), value == SPEED ? "searches/s" : "ms",
                 dot->effort > 0 ? ", effort " : "", dot->effort);
        put_marker(p, s, at_x, at_y, title);
        if (s > 0 || value == P99_MS || fabs(at_x - labelled) < LABEL_GAP) continue;
        snprintf(title, sizeof title, "%u", dot->effort);
        bool falling = value == SPEED; /* labels stand where the curve is not */
        put_text(p, at_x + (falling ? 7 : -7), at_y - 5, "faint small", falling ? "start" : "end",
                 dot->effort > 0 ? title : "default");
        labelled = at_x;
    }
}

static void put_panel(struct plot *p, double left, enum value low, enum value high, const char *head)
{
    double min, max;
    struct scale x = recall_scale(p, left);
    struct scale y = {.from = p->top + PANEL_HEIGHT, .to = p->top};

    put_text(p, left, p->top - 14, "head ink", "start", head);
    if (!extent(p, low, high, &min, &max)) {
        put_text(p, left + PANEL_WIDTH / 2.0, p->top + PANEL_HEIGHT / 2.0, "faint", "middle",
                 "nothing known");
        return;
    }
    fit_log(&y, min, max);
    put_x_axis(p, &x);
    put_y_axis(p, &x, &y);
    for (size_t s = p->set->count; s-- > 0;) { /* this run last, above the others */
        put_series(p, s, low, &x, &y);
        if (high != low) put_series(p, s, high, &x, &y);
    }
}

static void put_svg(struct plot *p, bool alone)
{
    const struct crn_cli_bench *b = p->bench;
    struct crn_cli_number number;
    double height = p->top + PANEL_HEIGHT + 84;
    char text[400];

    crn_buf_printf(&p->buf,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" %s role=\"img\" "
                   "aria-label=\"recall against speed and latency\">\n<style>%s%s@media "
                   "(prefers-color-scheme:dark){%s}</style>\n<rect class=\"paper\" width=\"100%%\" "
                   "height=\"100%%\"/>\n",
                   WIDTH, height, alone ? "width=\"1040\"" : "width=\"100%\"", light_style, common_style,
                   dark_style);
    snprintf(text, sizeof text, "%s vectors of %u components, %s", crn_cli_count(b->data.rows.rows, &number),
             b->data.rows.columns, crn_cli_bench_metric_name(b->data.metric));
    put_text(p, LEFT, 32, "title ink", "start", text);
    snprintf(text, sizeof text, "%llu queries, k = %u, %u thread%s of search; points are %s%s",
             (unsigned long long)b->data.queries.rows, b->settings->k, b->settings->threads,
             b->settings->threads == 1 ? "" : "s", b->settings->nprobe ? "nprobe" : "ef",
             isfinite(b->lid) ? "" : ".");
    size_t len = strlen(text);
    if (isfinite(b->lid))
        snprintf(text + len, sizeof text - len, "; local intrinsic dimension %.1f.", b->lid);
    put_text(p, LEFT, 52, "faint", "start", text);
    for (size_t s = 0; s < p->set->count; s++) {
        double x = LEFT + 6 + (double)(s % 2) * (SECOND - LEFT);
        double y = LEGEND_TOP + 14 + (double)(s / 2) * LEGEND_LINE;
        put_marker(p, s, x, y - 4, p->set->series[s].name);
        snprintf(text, sizeof text, "%.70s", p->set->series[s].name);
        put_text(p, x + 12, y, "ink", "start", text);
    }
    put_panel(p, LEFT, SPEED, SPEED, "Searches per second (up and right is better)");
    put_panel(p, SECOND, MEDIAN_MS, P99_MS, "Latency in ms: p50 solid, p99 dashed (down is better)");
    put_text(p, WIDTH - 20, height - 12, "faint small", "end", "cairn bench");
    crn_buf_puts(&p->buf, "</svg>\n");
}

/* The numbers below the drawing, for readers who cannot see it. */
static void put_html_table(struct plot *p)
{
    crn_buf_puts(&p->buf, "<table><thead><tr><th>series<th>effort<th>recall<th>searches/s<th>p50 ms<th>p99 "
                          "ms</thead>\n<tbody>\n");
    for (size_t s = 0; s < p->set->count; s++) {
        for (size_t i = 0; i < p->set->series[s].dot_count; i++) {
            const struct crn_cli_bench_dot *dot = &p->set->series[s].dots[i];
            crn_buf_puts(&p->buf, "<tr><td>");
            put_escaped(&p->buf, p->set->series[s].name);
            if (dot->effort > 0) crn_buf_printf(&p->buf, "<td>%u", dot->effort);
            if (dot->effort == 0) crn_buf_puts(&p->buf, "<td>default");
            crn_buf_printf(&p->buf, "<td>%.4f<td>%.0f", dot->recall, dot->qps);
            if (dot->p50 > 0) crn_buf_printf(&p->buf, "<td>%.3f<td>%.3f\n", dot->p50 * 1e3, dot->p99 * 1e3);
            if (dot->p50 <= 0) crn_buf_puts(&p->buf, "<td>-<td>-\n");
        }
    }
    crn_buf_puts(&p->buf, "</tbody></table>\n");
}

static cairn_status write_file(const char *path, const struct crn_buf *buf, cairn_error *err)
{
    struct crn_cli_export_file file;

    cairn_status status = crn_cli_export_file_open(&file, path, "", true, err);
    if (status == CAIRN_OK && fwrite(buf->data, 1, buf->len, file.file) != buf->len) {
        status = crn_error_errno(err, errno, "cannot write", path);
    }
    if (status == CAIRN_OK) status = crn_cli_export_file_finish(&file, err);
    crn_cli_export_file_release(&file);
    return status;
}

cairn_status crn_cli_bench_plot(const struct crn_cli_bench *b, const struct crn_cli_bench_set *set,
                                const char *path, cairn_error *err)
{
    bool html = strcasecmp(strrchr(path, '.'), ".html") == 0;
    struct plot p = {.bench = b, .set = set};

    p.top = LEGEND_TOP + 50 + (double)((set->count - 1) / 2) * LEGEND_LINE;
    crn_buf_init(&p.buf, FILE_BYTES_MAX);
    if (html) {
        crn_buf_puts(
            &p.buf,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>cairn bench</title>\n"
            "<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" "
            "content=\"light dark\">\n<style>body{margin:0 auto;max-width:1120px;padding:12px;"
            "background:#fff;"
            "color:#1f2328;font:14px system-ui,sans-serif}table{border-collapse:collapse;margin:16px 0 "
            "40px 64px}th,td{padding:3px 14px;text-align:right;border-bottom:1px solid #d9dee3}"
            "th:first-child,td:first-child{text-align:left}@media (prefers-color-scheme:dark){"
            "body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}}</style></head>\n<body>\n");
    }
    put_svg(&p, !html);
    if (html) put_html_table(&p);
    if (html) crn_buf_puts(&p.buf, "</body></html>\n");
    cairn_status status = p.buf.failed == CAIRN_OK
                              ? write_file(path, &p.buf, err)
                              : crn_error_set(err, p.buf.failed, "no memory for the drawing");
    crn_buf_release(&p.buf);
    return status;
}
