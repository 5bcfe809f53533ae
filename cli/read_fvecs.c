/*
 * .fvecs, the form of the TEXMEX data sets (http://corpus-texmex.irisa.fr): for each vector its dim as a
 * little-endian int32, then as many little-endian f32.
 */
#include "cli/reader.h"

#include "base/error.h"

#include <endian.h>
#include <string.h>

static cairn_status begin(struct crn_cli_reader *reader, cairn_error *err)
{
    (void)reader;
    (void)err;
    return CAIRN_OK;
}

/* Reads the dim of the next row and has all the row there. */
static cairn_status need_row(struct crn_cli_reader *reader, uint32_t *out_dim, bool *out_end,
                             cairn_error *err)
{
    uint32_t dim;

    CRN_TRY(crn_cli_input_need(reader->input, sizeof dim, err));
    size_t available = crn_cli_input_available(reader->input);
    *out_end = available == 0;
    if (*out_end) return CAIRN_OK;

    unsigned long long row = (unsigned long long)reader->line;
    if (available < sizeof dim) return crn_error_set(err, CAIRN_IO, "the file ends inside row %llu", row);
    memcpy(&dim, crn_cli_input_at(reader->input), sizeof dim);
    dim = le32toh(dim);
    if (dim == 0 || dim > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_IO, "row %llu claims %lld components; is this an .fvecs file?", row,
                             (long long)(int32_t)dim);
    }
    size_t size = sizeof dim + dim * sizeof(float);
    CRN_TRY(crn_cli_input_need(reader->input, size, err));
    if (crn_cli_input_available(reader->input) < size) {
        return crn_error_set(err, CAIRN_IO, "the file ends inside row %llu", row);
    }
    *out_dim = dim;
    return CAIRN_OK;
}

static enum crn_cli_read next(struct crn_cli_reader *reader, struct crn_arena *arena, cairn_pattern *out,
                              cairn_error *err)
{
    uint32_t dim = 0;
    bool end;

    cairn_status status = need_row(reader, &dim, &end, err);
    if (status != CAIRN_OK) return status == CAIRN_CANCELLED ? CRN_CLI_READ_END : CRN_CLI_READ_FAILED;
    if (end) return CRN_CLI_READ_END;

    float *vector = crn_arena_alloc(arena, dim * sizeof *vector);
    if (vector == NULL || crn_cli_reader_row_id(reader, arena, reader->line, out, err) != CAIRN_OK) {
        crn_error_no_memory(err, dim * sizeof *vector);
        return CRN_CLI_READ_FAILED;
    }
    crn_cli_reader_f32(crn_cli_input_at(reader->input) + sizeof dim, dim, vector);
    out->vector = vector;
    out->dim = dim;
    crn_cli_input_skip(reader->input, sizeof dim + dim * sizeof *vector);
    reader->record_line = reader->line++;
    return CRN_CLI_READ_RECORD;
}

const struct crn_cli_format crn_cli_format_fvecs = {
    .name = "fvecs", .unit = "row", .begin = begin, .next = next};
