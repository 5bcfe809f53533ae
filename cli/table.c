/* Aligned tables. Widths are counted in code points, which is exact for the alphabets of Europe. */
#include "cli/output.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP 2          /* spaces between columns */
#define GROWS_MIN 20   /* columns that a growing column is never cut below */
#define WIDTH_MAX 1000 /* columns of a "terminal" that is a file */
#define CELL_MAX 4096  /* bytes of a text that are looked at */
#define ELLIPSIS "\xe2\x80\xa6"

struct crn_cli_row {
    struct crn_cli_row *next;
    const char *cells[CRN_CLI_TABLE_COLUMNS_MAX];
};

void crn_cli_table_init(struct crn_cli_table *table, const struct crn_cli_column *columns,
                        size_t column_count)
{
    *table = (struct crn_cli_table){.columns = columns, .column_count = column_count};
}

void crn_cli_table_release(struct crn_cli_table *table)
{
    crn_arena_release(&table->arena);
}

/* Appends the code points of text[0..len), control characters as spaces, runs of spaces as one. */
static char *clean_copy(struct crn_arena *arena, const char *text, size_t len)
{
    char *copy = crn_arena_alloc(arena, len + 1);
    char *to = copy;

    if (copy == NULL) return NULL;
    for (size_t at = 0; at < len;) {
        size_t from = at;
        uint32_t code = crn_utf8_next(text, len, &at);
        if (code <= 0x20 || (code >= 0x7f && code <= 0x9f)) {
            if (to != copy && to[-1] != ' ') *to++ = ' ';
        } else {
            memcpy(to, text + from, at - from);
            to += at - from;
        }
    }
    *to = '\0';
    return copy;
}

void crn_cli_table_text(struct crn_cli_table *table, const char *text)
{
    struct crn_cli_row *row = table->last;

    if (table->failed) return;
    if (table->next == 0) {
        row = crn_arena_alloc(&table->arena, sizeof *row);
        if (row == NULL) {
            table->failed = true;
            return;
        }
        memset(row, 0, sizeof *row);
        if (table->last != NULL) table->last->next = row;
        if (table->first == NULL) table->first = row;
        table->last = row;
    }

    size_t max = table->columns[table->next].grows ? CELL_MAX : SIZE_MAX;
    size_t len = text != NULL ? crn_utf8_valid(text, strnlen(text, max)) : 0;
    row->cells[table->next] = clean_copy(&table->arena, text, len);
    table->failed = row->cells[table->next] == NULL;
    table->next = (table->next + 1) % table->column_count;
}

void crn_cli_table_cell(struct crn_cli_table *table, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    crn_cli_table_text(table, text);
}

/* Code points of a text, at most `max`; *out_bytes is what these take. */
static size_t width_of(const char *text, size_t max, size_t *out_bytes)
{
    size_t len = strlen(text);
    size_t at = 0;
    size_t width = 0;

    for (; at < len && width < max; width++) crn_utf8_next(text, len, &at);
    *out_bytes = at;
    return width;
}

static size_t terminal_width(void)
{
    struct winsize size;

    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    const char *columns = getenv("COLUMNS");
    long width = columns != NULL ? strtol(columns, NULL, 10) : 0;
    return width > 0 && width < WIDTH_MAX ? (size_t)width : 120;
}

static void measure(const struct crn_cli_table *table, size_t widths[])
{
    size_t total = 0;
    size_t bytes;

    for (size_t c = 0; c < table->column_count; c++) {
        widths[c] = width_of(table->columns[c].title, SIZE_MAX, &bytes);
        for (const struct crn_cli_row *row = table->first; row != NULL; row = row->next) {
            size_t width = row->cells[c] != NULL ? width_of(row->cells[c], SIZE_MAX, &bytes) : 0;
            if (width > widths[c]) widths[c] = width;
        }
        total += widths[c] + (c > 0 ? GAP : 0);
    }

    size_t limit = terminal_width();
    for (size_t c = 0; c < table->column_count && total > limit; c++) {
        size_t excess = total - limit;
        if (!table->columns[c].grows || widths[c] <= GROWS_MIN) continue;
        size_t width = widths[c] > excess + GROWS_MIN ? widths[c] - excess : GROWS_MIN;
        total -= widths[c] - width;
        widths[c] = width;
    }
}

static void print_cell(const struct crn_cli_column *column, const char *text, size_t width,
                       enum crn_cli_style style, bool last)
{
    size_t bytes;
    size_t len = width_of(text, SIZE_MAX, &bytes);
    bool cut = len > width;

    if (cut) {
        width_of(text, width - 1, &bytes);
        len = width;
    }
    int pad = (int)(width - len);
    const char *on = style != CRN_CLI_PLAIN ? crn_cli_style(style) : "";
    const char *off = style != CRN_CLI_PLAIN ? crn_cli_style(CRN_CLI_PLAIN) : "";

    if (column->right) printf("%*s", pad, "");
    printf("%s%.*s%s%s", on, (int)bytes, text, cut ? ELLIPSIS : "", off);
    if (!column->right && !last) printf("%*s", pad, "");
}

static void print_row(const struct crn_cli_table *table, const char *const cells[], const size_t widths[],
                      bool title)
{
    for (size_t c = 0; c < table->column_count; c++) {
        const struct crn_cli_column *column = &table->columns[c];
        if (c > 0) printf("%*s", GAP, "");
        print_cell(column, cells[c] != NULL ? cells[c] : "", widths[c], title ? CRN_CLI_FAINT : column->style,
                   c + 1 == table->column_count);
    }
    putchar('\n');
}

cairn_status crn_cli_table_print(const struct crn_cli_table *table, cairn_error *err)
{
    size_t widths[CRN_CLI_TABLE_COLUMNS_MAX];
    const char *titles[CRN_CLI_TABLE_COLUMNS_MAX];
    bool titled = false;

    if (table->failed) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for the table");
    if (table->first == NULL) return CAIRN_OK;

    measure(table, widths);
    for (size_t c = 0; c < table->column_count; c++) {
        titles[c] = table->columns[c].title;
        titled = titled || titles[c][0] != '\0';
    }
    if (titled) print_row(table, titles, widths, true);
    for (const struct crn_cli_row *row = table->first; row != NULL; row = row->next) {
        print_row(table, row->cells, widths, false);
    }
    return CAIRN_OK;
}
