/*
 * A file of records, in one of the formats of import. Reading goes record by record in bounded memory; a
 * place between two records is an offset and a count of lines, from which it can go on another time.
 */
#ifndef CRN_CLI_READER_H
#define CRN_CLI_READER_H

#include "base/arena.h"
#include "cli/input.h"
#include "cli/record.h"

#include <cairn/pattern.h>
#include <stdint.h>

/* The words of --format, each a suffix too; more suffixes are in reader.c. */
#define CRN_CLI_FORMAT_WORDS "jsonl|csv|fvecs|npy"

enum crn_cli_read {
    CRN_CLI_READ_RECORD,
    CRN_CLI_READ_BAD, /* this record is no good: err says why; reading can go on */
    CRN_CLI_READ_END,
    CRN_CLI_READ_FAILED, /* the input itself is: err says why */
};

struct crn_cli_reader;

/* What a format does; the tables are in read_<format>.c. */
struct crn_cli_format {
    const char *name;
    const char *unit; /* what `line` counts: "line" or "row" */
    cairn_status (*begin)(struct crn_cli_reader *reader,
                          cairn_error *err); /* reads what precedes the records */
    enum crn_cli_read (*next)(struct crn_cli_reader *reader, struct crn_arena *arena, cairn_pattern *out,
                              cairn_error *err);
    void (*end)(struct crn_cli_reader *reader); /* frees `state`; may be NULL */
};

extern const struct crn_cli_format crn_cli_format_jsonl;
extern const struct crn_cli_format crn_cli_format_csv;
extern const struct crn_cli_format crn_cli_format_fvecs;
extern const struct crn_cli_format crn_cli_format_npy;

struct crn_cli_reader {
    const struct crn_cli_format *format;
    struct crn_cli_input *input;
    struct crn_cli_records records;
    uint64_t line;         /* lines (or rows) that were read; the next place is input->offset and this */
    uint64_t record_line;  /* where the last record begins: lines count from 1, rows from 0 as ids do */
    const char *id_prefix; /* rows without ids: NULL = their numbers as u64, else prefix and number */
    char *schema;          /* of the first line of a JSONL file with one: the object's text; else NULL */
    void *state;           /* the format's own */
};

/* The format by its name (a choice, 0 = none given) or the file's suffix. INVALID_ARGUMENT when neither
 * tells. */
cairn_status crn_cli_reader_format(const char *path, unsigned choice,
                                   const struct crn_cli_format **out_format, cairn_error *err);

/* Begins to read; the input is borrowed until the end. Released by crn_cli_reader_end also when it fails. */
cairn_status crn_cli_reader_begin(struct crn_cli_reader *reader, const struct crn_cli_format *format,
                                  struct crn_cli_input *input, cairn_error *err);
/* Goes on from a place where the file was left. */
cairn_status crn_cli_reader_seek(struct crn_cli_reader *reader, uint64_t offset, uint64_t line,
                                 cairn_error *err);
enum crn_cli_read crn_cli_reader_next(struct crn_cli_reader *reader, struct crn_arena *arena,
                                      cairn_pattern *out, cairn_error *err);
void crn_cli_reader_end(struct crn_cli_reader *reader);

/* Little-endian f32 from a file to floats. */
void crn_cli_reader_f32(const void *bytes, size_t count, float *out);

/* For formats without ids: names row `row` (from 0). */
cairn_status crn_cli_reader_row_id(struct crn_cli_reader *reader, struct crn_arena *arena, uint64_t row,
                                   cairn_pattern *out, cairn_error *err);

#endif
