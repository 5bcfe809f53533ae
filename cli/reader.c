/* What the formats of import have in common. */
#include "cli/reader.h"

#include "base/error.h"
#include "base/mem.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct crn_cli_format *const formats[] = {
    /* in the order of CRN_CLI_FORMAT_WORDS */
    &crn_cli_format_jsonl,
    &crn_cli_format_csv,
    &crn_cli_format_fvecs,
    &crn_cli_format_npy,
};

static const struct {
    const char *suffix;
    const struct crn_cli_format *format;
} suffixes[] = {
    {".jsonl", &crn_cli_format_jsonl}, {".ndjson", &crn_cli_format_jsonl}, {".json", &crn_cli_format_jsonl},
    {".csv", &crn_cli_format_csv},     {".fvecs", &crn_cli_format_fvecs},  {".npy", &crn_cli_format_npy},
};

cairn_status crn_cli_reader_format(const char *path, unsigned choice,
                                   const struct crn_cli_format **out_format, cairn_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *suffix = strrchr(slash != NULL ? slash : path, '.');

    *out_format = &crn_cli_format_jsonl;
    if (choice > 0) {
        *out_format = formats[choice - 1];
        return CAIRN_OK;
    }
    if (suffix == NULL) return CAIRN_OK; /* standard input, /dev/fd/63 */
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (strcasecmp(suffix, suffixes[i].suffix) == 0) {
            *out_format = suffixes[i].format;
            return CAIRN_OK;
        }
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                         "the format of %s is not known by its name; give --format %s", path,
                         CRN_CLI_FORMAT_WORDS);
}

cairn_status crn_cli_reader_begin(struct crn_cli_reader *reader, const struct crn_cli_format *format,
                                  struct crn_cli_input *input, cairn_error *err)
{
    const char *id_prefix = reader->id_prefix;

    *reader = (struct crn_cli_reader){.format = format, .input = input, .id_prefix = id_prefix};
    CRN_TRY(crn_cli_records_init(&reader->records, err));
    return format->begin(reader, err);
}

cairn_status crn_cli_reader_seek(struct crn_cli_reader *reader, uint64_t offset, uint64_t line,
                                 cairn_error *err)
{
    CRN_TRY(crn_cli_input_seek(reader->input, offset, err));
    reader->line = line;
    return CAIRN_OK;
}

enum crn_cli_read crn_cli_reader_next(struct crn_cli_reader *reader, struct crn_arena *arena,
                                      cairn_pattern *out, cairn_error *err)
{
    *out = (cairn_pattern){.size = sizeof *out};
    return reader->format->next(reader, arena, out, err);
}

void crn_cli_reader_end(struct crn_cli_reader *reader)
{
    if (reader->format != NULL && reader->format->end != NULL) reader->format->end(reader);
    crn_cli_records_release(&reader->records);
    crn_mem_free(reader->schema);
    *reader = (struct crn_cli_reader){0};
}

void crn_cli_reader_f32(const void *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)bytes + i * sizeof bits, sizeof bits);
        bits = le32toh(bits);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

cairn_status crn_cli_reader_row_id(struct crn_cli_reader *reader, struct crn_arena *arena, uint64_t row,
                                   cairn_pattern *out, cairn_error *err)
{
    char number[24];

    if (reader->id_prefix == NULL) {
        out->id_type = CAIRN_ID_U64;
        out->id_u64 = row;
        return CAIRN_OK;
    }
    size_t len = strlen(reader->id_prefix);
    size_t digits = (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)row);
    char *id = crn_arena_alloc(arena, len + digits + 1);
    if (id == NULL) return crn_error_no_memory(err, len + digits + 1);
    memcpy(id, reader->id_prefix, len);
    memcpy(id + len, number, digits + 1);
    out->id = id;
    return CAIRN_OK;
}
