/*
 * NumPy's .npy: a header, then one array. Read here are two-dimensional arrays in C order of little-endian
 * f2, f4 and f8. Format: numpy.lib.format, versions 1.0 to 3.0.
 *
 * The header's dictionary is written by NumPy with repr(); it is read by looking for its three keys, in
 * any order, and for nothing else.
 */
#include "cli/npy.h"

#include "base/error.h"
#include "base/mem.h"
#include "cli/reader.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX ((size_t)1 << 16)

static cairn_status not_npy(cairn_error *err, const char *what)
{
    return crn_error_set(err, CAIRN_UNSUPPORTED,
                         "%s; a .npy file of vectors is a 2-dimensional C-order array of <f2, <f4 or "
                         "<f8, one of row numbers of <i4, <u4, <i8 or <u8",
                         what);
}

/* What stands behind 'key': in the dictionary; NULL when there is none. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);

    if (at == NULL) return NULL;
    at += strlen(key);
    at += strspn(at, " :");
    return at;
}

static cairn_status read_shape(const char *text, struct crn_cli_npy *npy, cairn_error *err)
{
    char *end;

    if (text == NULL || text[0] != '(' || text[1] < '0' || text[1] > '9')
        return not_npy(err, "the shape is not (rows, dim)");
    unsigned long long rows = strtoull(text + 1, &end, 10);
    end += strspn(end, ", ");
    if (*end < '0' || *end > '9') return not_npy(err, "the array is not 2-dimensional");
    unsigned long long dim = strtoull(end, &end, 10);
    end += strspn(end, ", ");
    if (*end != ')') return not_npy(err, "the array is not 2-dimensional");
    if (dim == 0 || dim > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "the rows have %llu components; 1 to %u are possible", dim,
                             CAIRN_DIM_MAX);
    }
    npy->rows = rows;
    npy->dim = (uint32_t)dim;
    return CAIRN_OK;
}

static cairn_status read_header(const char *header, const char *kinds, struct crn_cli_npy *npy,
                                cairn_error *err)
{
    const char *descr = value_of(header, "'descr'");
    const char *order = value_of(header, "'fortran_order'");

    if (descr == NULL || order == NULL) return not_npy(err, "the header lacks 'descr' or 'fortran_order'");
    if (strncmp(order, "False", 5) != 0) return not_npy(err, "the array is in Fortran order");
    if (strncmp(descr, "'<", 2) != 0 || descr[2] == '\0' || strchr(kinds, descr[2]) == NULL ||
        strspn(descr + 3, descr[2] == 'f' ? "248" : "48") != 1 || descr[4] != '\'') {
        return not_npy(err, "the components are of another type");
    }
    npy->kind = descr[2];
    npy->width = (unsigned)(descr[3] - '0');
    return read_shape(value_of(header, "'shape'"), npy, err);
}

cairn_status crn_cli_npy_begin(struct crn_cli_input *input, const char *kinds, struct crn_cli_npy *out,
                               cairn_error *err)
{
    unsigned char head[12] = {0};

    CRN_TRY(crn_cli_input_need(input, sizeof head, err));
    size_t available = crn_cli_input_available(input);
    if (available > 0)
        memcpy(head, crn_cli_input_at(input), available < sizeof head ? available : sizeof head);
    if (memcmp(head, "\x93NUMPY", 6) != 0) return not_npy(err, "the file does not begin as a .npy file does");

    bool wide = head[6] >= 2; /* version 2 has a 4-byte length */
    size_t prefix = wide ? 12 : 10;
    size_t len =
        head[8] | (size_t)head[9] << 8 | (wide ? (size_t)head[10] << 16 | (size_t)head[11] << 24 : 0);
    if (len > HEADER_MAX) return not_npy(err, "the header is too long");
    CRN_TRY(crn_cli_input_need(input, prefix + len, err));
    if (crn_cli_input_available(input) < prefix + len) return not_npy(err, "the file ends inside the header");

    char *header = crn_mem_strndup(crn_cli_input_at(input) + prefix, len);
    cairn_status status =
        header != NULL ? read_header(header, kinds, out, err) : crn_error_no_memory(err, len);
    crn_mem_free(header);
    crn_cli_input_skip(input, prefix + len);
    return status;
}

static cairn_status begin(struct crn_cli_reader *reader, cairn_error *err)
{
    struct crn_cli_npy *npy = crn_mem_calloc(1, sizeof *npy);

    reader->state = npy;
    return npy != NULL ? crn_cli_npy_begin(reader->input, "f", npy, err)
                       : crn_error_no_memory(err, sizeof *npy);
}

/* IEEE 754 binary16 to binary32. */
static float half_to_float(uint16_t half)
{
    unsigned exponent = half >> 10 & 0x1f;
    float mantissa = (float)(half & 0x3ff);
    float value;

    if (exponent == 0x1f) {
        value = mantissa != 0 ? NAN : INFINITY;
    } else if (exponent == 0) {
        value = ldexpf(mantissa, -24);
    } else {
        value = ldexpf(mantissa + 1024, (int)exponent - 25);
    }
    return half & 0x8000 ? -value : value;
}

static void convert(const char *from, const struct crn_cli_npy *npy, float *out)
{
    if (npy->width == 4) crn_cli_reader_f32(from, npy->dim, out);
    for (uint32_t i = 0; npy->width == 2 && i < npy->dim; i++) {
        uint16_t half;
        memcpy(&half, from + i * sizeof half, sizeof half);
        out[i] = half_to_float(le16toh(half));
    }
    for (uint32_t i = 0; npy->width == 8 && i < npy->dim; i++) {
        uint64_t bits;
        double value;
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        bits = le64toh(bits);
        memcpy(&value, &bits, sizeof value);
        out[i] = (float)value;
    }
}

static enum crn_cli_read next(struct crn_cli_reader *reader, struct crn_arena *arena, cairn_pattern *out,
                              cairn_error *err)
{
    const struct crn_cli_npy *npy = reader->state;
    size_t size = (size_t)npy->dim * npy->width;

    if (reader->line >= npy->rows) return CRN_CLI_READ_END;
    cairn_status status = crn_cli_input_need(reader->input, size, err);
    if (status != CAIRN_OK) return status == CAIRN_CANCELLED ? CRN_CLI_READ_END : CRN_CLI_READ_FAILED;
    if (crn_cli_input_available(reader->input) < size) {
        crn_error_set(err, CAIRN_IO, "the file ends at row %llu of the %llu that its header tells of",
                      (unsigned long long)reader->line, (unsigned long long)npy->rows);
        return CRN_CLI_READ_FAILED;
    }

    float *vector = crn_arena_alloc(arena, npy->dim * sizeof *vector);
    if (vector == NULL || crn_cli_reader_row_id(reader, arena, reader->line, out, err) != CAIRN_OK) {
        crn_error_no_memory(err, npy->dim * sizeof *vector);
        return CRN_CLI_READ_FAILED;
    }
    convert(crn_cli_input_at(reader->input), npy, vector);
    out->vector = vector;
    out->dim = npy->dim;
    crn_cli_input_skip(reader->input, size);
    reader->record_line = reader->line++;
    return CRN_CLI_READ_RECORD;
}

static void end(struct crn_cli_reader *reader)
{
    crn_mem_free(reader->state);
}

const struct crn_cli_format crn_cli_format_npy = {
    .name = "npy", .unit = "row", .begin = begin, .next = next, .end = end};
