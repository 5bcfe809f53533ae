/* JSON Lines: a record a line; empty lines are read over. A first line {"schema": {...}} is kept aside. */
#include "cli/reader.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static cairn_status begin(struct crn_cli_reader *reader, cairn_error *err)
{
    (void)reader;
    (void)err;
    return CAIRN_OK;
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (line[i] != ' ' && line[i] != '\t') return false;
    }
    return true;
}

/* Keeps the text of a schema line. A record may have a member of that name too, beside others. */
static cairn_status take_schema(struct crn_cli_reader *reader, struct crn_json root, bool *out_taken,
                                cairn_error *err)
{
    struct crn_json schema;
    struct crn_buf text;

    *out_taken = reader->line == 1 && crn_json_size(root) == 1 && crn_json_get(root, "schema", &schema) &&
                 crn_json_type(schema) == CRN_JSON_OBJECT;
    if (!*out_taken) return CAIRN_OK;
    crn_buf_init(&text, CRN_CLI_INPUT_MAX);
    if (crn_json_write(schema, &text) == CAIRN_OK) reader->schema = crn_buf_take(&text);
    crn_buf_release(&text);
    return reader->schema != NULL ? CAIRN_OK
                                  : crn_error_set(err, CAIRN_NO_MEMORY, "no memory for the schema");
}

static cairn_status read_record(struct crn_cli_reader *reader, struct crn_arena *arena, const char *line,
                                size_t len, bool *out_taken, cairn_pattern *out, cairn_error *err)
{
    struct crn_json root;

    if (reader->line == 1 && len >= 3 && memcmp(line, BYTE_ORDER_MARK, 3) == 0) {
        line += 3;
        len -= 3;
    }
    *out_taken = is_blank(line, len);
    if (*out_taken) return CAIRN_OK;
    CRN_TRY(crn_json_parse(reader->records.parser, line, len, &root, err));
    CRN_TRY(take_schema(reader, root, out_taken, err));
    return *out_taken ? CAIRN_OK : crn_cli_record_read(&reader->records, arena, root, out, err);
}

static enum crn_cli_read next(struct crn_cli_reader *reader, struct crn_arena *arena, cairn_pattern *out,
                              cairn_error *err)
{
    const char *line;
    size_t len;
    bool end;
    bool taken;

    do {
        cairn_status status = crn_cli_input_line(reader->input, &line, &len, &end, err);
        if (status == CAIRN_CANCELLED) return CRN_CLI_READ_END;
        if (status != CAIRN_OK && status != CAIRN_LIMIT) return CRN_CLI_READ_FAILED;
        if (status == CAIRN_OK && end) return CRN_CLI_READ_END;
        reader->record_line = ++reader->line;
        if (status == CAIRN_OK) status = read_record(reader, arena, line, len, &taken, out, err);
        if (status == CAIRN_NO_MEMORY) return CRN_CLI_READ_FAILED;
        if (status != CAIRN_OK) return CRN_CLI_READ_BAD;
    } while (taken);
    return CRN_CLI_READ_RECORD;
}

const struct crn_cli_format crn_cli_format_jsonl = {
    .name = "jsonl", .unit = "line", .begin = begin, .next = next};
