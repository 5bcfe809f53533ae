/*
 * CSV as RFC 4180 has it: a header row of names, fields in quotes may hold commas, line breaks and doubled
 * quotes. Each row is written as the JSON record it stands for, and read as such: one set of rules.
 *
 * The `vector` column holds a JSON array, or numbers between spaces, semicolons or commas; `payload` and
 * `vectors` hold JSON objects. Other columns join the payload: numbers and true/false as such, the rest as
 * strings. An empty field is an absent one. Ids are strings.
 */
#include "cli/reader.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>

#define COLUMNS_MAX 1024

enum column { TEXT_COLUMN, VALUE_COLUMN, JSON_COLUMN, VECTOR_COLUMN };

struct csv {
    char *header; /* the names, each closed by a NUL */
    const char *names[COLUMNS_MAX];
    enum column kinds[COLUMNS_MAX];
    size_t columns;
    struct crn_buf field; /* of the row that is read, without its quotes */
    struct crn_buf json;
};

/* Where a scan of a row is: it is taken up again when more bytes are there. */
struct scan {
    size_t at;
    uint64_t line_breaks;
    enum { FIELD_START, BARE, QUOTED, QUOTE_IN_QUOTED } state;
};

static enum column kind_of(const char *name)
{
    static const char *const texts[] = {"id", "id_type", "domain", "agent", "type", "model", "text"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(name, texts[i]) == 0) return TEXT_COLUMN;
    }
    if (strcmp(name, "vector") == 0) return VECTOR_COLUMN;
    if (strcmp(name, "payload") == 0 || strcmp(name, "vectors") == 0 || strcmp(name, "pattern_data") == 0) {
        return JSON_COLUMN;
    }
    return VALUE_COLUMN;
}

/* Goes on until the line break that ends the row, which it stops behind. */
static bool scan_row(struct scan *scan, const char *text, size_t len)
{
    for (; scan->at < len; scan->at++) {
        char c = text[scan->at];
        if (c == '\n') scan->line_breaks++;
        switch (scan->state) {
        case QUOTED:
            if (c == '"') scan->state = QUOTE_IN_QUOTED;
            continue;
        case QUOTE_IN_QUOTED: /* doubled, or the end of the field's quotes */
        case FIELD_START:
            scan->state = c == '"' ? QUOTED : BARE;
            break;
        case BARE:
            break;
        }
        if (scan->state == QUOTED) continue;
        if (c == ',') scan->state = FIELD_START;
        if (c == '\n') {
            scan->at++;
            return true;
        }
    }
    return false;
}

/* Has a whole row there: bytes [0, scan->at) of the input. */
static cairn_status need_row(struct crn_cli_input *input, struct scan *scan, cairn_error *err)
{
    *scan = (struct scan){0};
    for (;;) {
        size_t available = crn_cli_input_available(input);
        if (scan_row(scan, crn_cli_input_at(input), available)) return CAIRN_OK;
        if (input->eof) break;
        CRN_TRY(crn_cli_input_need(input, available + 1, err));
    }
    if (scan->state == QUOTED)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a quoted field is not closed");
    return CAIRN_OK;
}

/* Copies the field at *at without its quotes and moves behind its comma. False when it was the last. */
static bool take_field(const char *row, size_t len, size_t *at, struct crn_buf *out)
{
    bool quoted = *at < len && row[*at] == '"';

    if (quoted) (*at)++;
    while (*at < len) {
        char c = row[(*at)++];
        if (c == ',' && !quoted) return true;
        if (c == '"' && quoted) {
            if (*at < len && row[*at] == '"') {
                (*at)++;
            } else {
                quoted = false;
                continue;
            }
        }
        crn_buf_putc(out, c);
    }
    return false;
}

/* Reads the header row. */
static cairn_status begin(struct crn_cli_reader *reader, cairn_error *err)
{
    struct scan scan;
    size_t at = 0;
    bool more = true;

    struct csv *csv = crn_mem_calloc(1, sizeof *csv);
    if (csv == NULL) return crn_error_no_memory(err, sizeof *csv);
    reader->state = csv;
    crn_buf_init(&csv->field, CRN_CLI_INPUT_MAX);
    crn_buf_init(&csv->json, 8 * CRN_CLI_INPUT_MAX);
    CRN_TRY(need_row(reader->input, &scan, err));

    const char *row = crn_cli_input_at(reader->input);
    size_t len = scan.at;
    while (len > 0 && (row[len - 1] == '\n' || row[len - 1] == '\r')) len--;
    if (len >= 3 && memcmp(row, "\xef\xbb\xbf", 3) == 0)
        at = 3; /* a byte order mark, as spreadsheets write */
    if (crn_utf8_valid(row, len) != len)
        return crn_error_set(err, CAIRN_INVALID_UTF8, "the header is no UTF-8 text");

    size_t starts[COLUMNS_MAX];
    while (more && at <= len && csv->columns < COLUMNS_MAX) {
        starts[csv->columns++] = csv->field.len;
        more = take_field(row, len, &at, &csv->field);
        crn_buf_putc(&csv->field, '\0');
    }
    if (more) return crn_error_set(err, CAIRN_LIMIT, "the header has more than %u columns", COLUMNS_MAX);
    if (csv->field.len <= 1)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the first line has no column names");
    csv->header = crn_buf_take(&csv->field);
    if (csv->header == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for the header");
    for (size_t c = 0; c < csv->columns; c++) {
        csv->names[c] = csv->header + starts[c];
        csv->kinds[c] = kind_of(csv->names[c]);
    }
    crn_cli_input_skip(reader->input, scan.at);
    reader->line = scan.line_breaks;
    return CAIRN_OK;
}

/* Whether the text is a JSON number, true or false, by JSON's own grammar: "007" is none. */
static bool is_json_value(const char *text)
{
    const char *at = text;

    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) return true;
    if (*at == '-') at++;
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || (digits > 1 && *at == '0')) return false;
    at += digits;
    if (*at == '.') {
        digits = strspn(++at, "0123456789");
        if (digits == 0) return false;
        at += digits;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') at++;
        digits = strspn(at, "0123456789");
        if (digits == 0) return false;
        at += digits;
    }
    return *at == '\0';
}

/* "0.5; 1 2" as [0.5,1,2]. What is no number is found by the JSON parser. */
static void put_list(struct crn_buf *json, const char *text)
{
    static const char gaps[] = " ;,\t\r\n";
    const char *before = "[";

    if (text[strspn(text, gaps)] == '\0') crn_buf_putc(json, '[');
    for (const char *at = text + strspn(text, gaps); *at != '\0'; before = ",") {
        size_t len = strcspn(at, gaps);
        crn_buf_puts(json, before);
        crn_buf_append(json, at, len);
        at += len;
        at += strspn(at, gaps);
    }
    crn_buf_putc(json, ']');
}

/* Appends a field that holds JSON. It is parsed, so that it cannot reach beyond its place. */
static cairn_status put_json(struct crn_cli_reader *reader, const char *name, cairn_error *err)
{
    struct csv *csv = reader->state;
    struct crn_json root;

    cairn_status status = crn_json_parse(reader->records.inner, csv->field.data, csv->field.len, &root, err);
    if (status != CAIRN_OK) return crn_error_context(err, status, "column %s", name);
    crn_buf_append(&csv->json, csv->field.data, csv->field.len);
    return CAIRN_OK;
}

static cairn_status put_member(struct crn_cli_reader *reader, size_t column, cairn_error *err)
{
    struct csv *csv = reader->state;
    const char *text = csv->field.data;
    const char *name = csv->names[column];
    enum column kind = csv->kinds[column];

    if (csv->json.len > 1) crn_buf_putc(&csv->json, ',');
    crn_buf_json_string(&csv->json, name, strlen(name));
    crn_buf_putc(&csv->json, ':');
    if (kind == JSON_COLUMN || (kind == VECTOR_COLUMN && text[strspn(text, " \t")] == '[')) {
        return put_json(reader, name, err);
    }
    if (kind == VECTOR_COLUMN) {
        put_list(&csv->json, text);
    } else if (kind == VALUE_COLUMN && is_json_value(text)) {
        crn_buf_puts(&csv->json, text);
    } else {
        crn_buf_json_string(&csv->json, text, csv->field.len);
    }
    return CAIRN_OK;
}

static cairn_status row_to_json(struct crn_cli_reader *reader, const char *row, size_t len, cairn_error *err)
{
    struct csv *csv = reader->state;
    size_t at = 0;
    size_t column = 0;
    bool more = true;

    if (crn_utf8_valid(row, len) != len || memchr(row, '\0', len) != NULL) {
        return crn_error_set(err, CAIRN_INVALID_UTF8, "the row is no UTF-8 text");
    }
    crn_buf_clear(&csv->json);
    crn_buf_putc(&csv->json, '{');
    for (; more; column++) {
        crn_buf_clear(&csv->field);
        more = take_field(row, len, &at, &csv->field);
        if (column < csv->columns && csv->field.len > 0) CRN_TRY(put_member(reader, column, err));
    }
    if (column != csv->columns) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the row has %zu fields, the header %zu", column,
                             csv->columns);
    }
    crn_buf_putc(&csv->json, '}');
    if (csv->field.failed != CAIRN_OK || csv->json.failed != CAIRN_OK) {
        return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a row of %zu bytes", len);
    }
    return CAIRN_OK;
}

/* A row that is too long or has no end: its first line is the bad one, reading goes on behind that. */
static enum crn_cli_read skip_row(struct crn_cli_reader *reader, cairn_status status)
{
    cairn_error ignored;

    if (status == CAIRN_CANCELLED) return CRN_CLI_READ_END;
    if (status != CAIRN_INVALID_ARGUMENT && status != CAIRN_LIMIT) return CRN_CLI_READ_FAILED;
    reader->record_line = ++reader->line;
    return crn_cli_input_skip_line(reader->input, &ignored) == CAIRN_OK ? CRN_CLI_READ_BAD
                                                                        : CRN_CLI_READ_FAILED;
}

static enum crn_cli_read next(struct crn_cli_reader *reader, struct crn_arena *arena, cairn_pattern *out,
                              cairn_error *err)
{
    struct csv *csv = reader->state;
    struct scan scan;
    size_t len;

    do { /* empty lines are read over */
        cairn_status status = need_row(reader->input, &scan, err);
        if (status != CAIRN_OK) return skip_row(reader, status);
        if (scan.at == 0) return CRN_CLI_READ_END;
        reader->record_line = reader->line + 1;
        reader->line += scan.line_breaks;
        const char *row = crn_cli_input_at(reader->input);
        len = scan.at;
        while (len > 0 && (row[len - 1] == '\n' || row[len - 1] == '\r')) len--;
        crn_cli_input_skip(reader->input, scan.at);
    } while (len == 0);

    const char *row = crn_cli_input_at(reader->input) - scan.at;
    cairn_status status = row_to_json(reader, row, len, err);
    if (status == CAIRN_OK) {
        status = crn_cli_record_parse(&reader->records, arena, csv->json.data, csv->json.len, out, err);
    }
    if (status == CAIRN_NO_MEMORY) return CRN_CLI_READ_FAILED;
    return status == CAIRN_OK ? CRN_CLI_READ_RECORD : CRN_CLI_READ_BAD;
}

static void end(struct crn_cli_reader *reader)
{
    struct csv *csv = reader->state;

    if (csv == NULL) return;
    crn_mem_free(csv->header);
    crn_buf_release(&csv->field);
    crn_buf_release(&csv->json);
    crn_mem_free(csv);
}

const struct crn_cli_format crn_cli_format_csv = {
    .name = "csv", .unit = "line", .begin = begin, .next = next, .end = end};
