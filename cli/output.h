/*
 * Standard output: aligned tables with a little colour for people, lines of JSON for programs. Colour only
 * on a terminal and without NO_COLOR. What was stored by others is shown with its control characters
 * replaced, so that a text cannot drive the terminal.
 */
#ifndef CRN_CLI_OUTPUT_H
#define CRN_CLI_OUTPUT_H

#include "base/arena.h"
#include "base/buf.h"

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_CLI_LINE_MAX ((size_t)1 << 30) /* bytes of one line of output */

enum crn_cli_style { CRN_CLI_PLAIN, CRN_CLI_BOLD, CRN_CLI_FAINT, CRN_CLI_GREEN, CRN_CLI_YELLOW };

/* The escape sequence of a style, "" when there is no colour. PLAIN ends all others. */
const char *crn_cli_style(enum crn_cli_style style);

/* Writes the buffer's text and a newline, and clears it. False when the text could not be made or
 * written; crn_cli_output_finish tells why. */
bool crn_cli_output_line(struct crn_buf *buf);

/* Writes a text of others: its control characters, but for line breaks and tabs, as spaces. */
void crn_cli_output_text(const char *text);

/* Whether standard output has failed, so that going on is of no use. */
bool crn_cli_output_failed(void);

/* Last act of every command: flushes, and turns `exit_status` into a failure when writing failed. */
int crn_cli_output_finish(int exit_status);

#define CRN_CLI_TABLE_COLUMNS_MAX 9

struct crn_cli_column {
    const char *title;
    bool right;               /* numbers */
    bool grows;               /* takes what is left of the terminal's width, and is cut there */
    enum crn_cli_style style; /* of the cells */
};

struct crn_cli_table {
    const struct crn_cli_column *columns;
    size_t column_count;
    struct crn_arena arena;
    struct crn_cli_row *first, *last;
    size_t next; /* column of the next cell */
    bool failed; /* no memory */
};

void crn_cli_table_init(struct crn_cli_table *table, const struct crn_cli_column *columns,
                        size_t column_count);
/* Fills the cells of a row from the left; the one after the last begins the next row. */
void crn_cli_table_cell(struct crn_cli_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void crn_cli_table_text(struct crn_cli_table *table, const char *text); /* of any length; NULL is "" */
cairn_status crn_cli_table_print(const struct crn_cli_table *table,
                                 cairn_error *err); /* without rows: nothing */
void crn_cli_table_release(struct crn_cli_table *table);

/* Numbers for people, written into `out` and returned: "60,123", "1.5 MiB", "420 us". */
struct crn_cli_number {
    char text[32];
};
const char *crn_cli_count(uint64_t count, struct crn_cli_number *out);
const char *crn_cli_bytes(uint64_t size_bytes, struct crn_cli_number *out);
const char *crn_cli_duration(double seconds, struct crn_cli_number *out);

#endif
