/* Whole files into memory, through the readers of import where these know the format. */
#include "cli/matrix.h"

#include "base/error.h"
#include "base/mem.h"
#include "cli/npy.h"
#include "cli/read_hdf5.h"
#include "cli/reader.h"
#include "cli/signals.h"

#include <endian.h>
#include <string.h>
#include <strings.h>

#define SHOW_ROWS 256   /* between two looks at the progress */
#define FIRST_ROWS 1024 /* memory for the first rows; then it doubles */

static const char *suffix_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');

    return dot != NULL ? dot : "";
}

bool crn_cli_matrix_is_hdf5(const char *path)
{
    const char *suffix = suffix_of(path);

    return strcasecmp(suffix, ".hdf5") == 0 || strcasecmp(suffix, ".h5") == 0;
}

void crn_cli_matrix_release(struct crn_cli_matrix *matrix)
{
    crn_mem_free(matrix->floats);
    crn_mem_free(matrix->ids);
    *matrix = (struct crn_cli_matrix){0};
}

static cairn_status append(struct crn_cli_matrix *matrix, uint64_t *cap, const float *row, uint32_t columns,
                           cairn_error *err)
{
    if (matrix->rows == 0) matrix->columns = columns;
    if (columns != matrix->columns) {
        return crn_error_set(err, CAIRN_DIM_MISMATCH, "row %llu has %u components, the rows before it %u",
                             (unsigned long long)matrix->rows, columns, matrix->columns);
    }
    if (matrix->rows == *cap) {
        uint64_t more = *cap == 0 ? FIRST_ROWS : *cap * 2;
        size_t count;
        float *floats = crn_mem_mul((size_t)more, columns, &count)
                            ? crn_mem_realloc_array(matrix->floats, count, sizeof *floats)
                            : NULL;
        if (floats == NULL) return crn_error_no_memory(err, (size_t)more * columns * sizeof *floats);
        matrix->floats = floats;
        *cap = more;
    }
    memcpy(matrix->floats + matrix->rows * columns, row, columns * sizeof *row);
    matrix->rows++;
    return CAIRN_OK;
}

/* All rows by one of import's readers. */
static cairn_status read_rows(const struct crn_cli_format *format, struct crn_cli_input *input,
                              uint64_t max_rows, struct crn_cli_progress *progress,
                              struct crn_cli_matrix *out, cairn_error *err)
{
    struct crn_cli_reader reader = {0};
    struct crn_arena arena = {0};
    cairn_pattern row;
    uint64_t cap = 0;

    cairn_status status = crn_cli_reader_begin(&reader, format, input, err);
    while (status == CAIRN_OK && out->rows < max_rows) {
        cairn_error why = {.status = CAIRN_IO};
        crn_arena_clear(&arena);
        enum crn_cli_read got = crn_cli_reader_next(&reader, &arena, &row, &why);
        if (got == CRN_CLI_READ_END) break;
        if (got != CRN_CLI_READ_RECORD) {
            status = crn_error_set(err, why.status, "%s", why.message);
        } else {
            status = append(out, &cap, row.vector, row.dim, err);
        }
        if (progress != NULL && out->rows % SHOW_ROWS == 0)
            crn_cli_progress_show(progress, "read", out->rows, input->offset, input->size);
        if (crn_cli_interrupted()) status = crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    crn_cli_reader_end(&reader);
    crn_arena_release(&arena);
    return status;
}

static cairn_status read_npy_ids(struct crn_cli_input *input, uint64_t max_rows, struct crn_cli_matrix *out,
                                 cairn_error *err)
{
    struct crn_cli_npy npy = {0};
    size_t count;

    CRN_TRY(crn_cli_npy_begin(input, "iu", &npy, err));
    if (npy.rows > max_rows) npy.rows = max_rows;
    size_t row_bytes = (size_t)npy.dim * npy.width;
    if (input->is_file && npy.rows > input->size / row_bytes) { /* before memory is asked for */
        return crn_error_set(err, CAIRN_IO, "the header tells of %llu rows, more than the file holds",
                             (unsigned long long)npy.rows);
    }
    if (crn_mem_mul((size_t)npy.rows, npy.dim, &count)) out->ids = crn_mem_array(count, sizeof *out->ids);
    if (out->ids == NULL) return crn_error_no_memory(err, (size_t)npy.rows * npy.dim * sizeof *out->ids);
    out->columns = npy.dim;
    for (uint32_t *to = out->ids; out->rows < npy.rows; out->rows++) {
        CRN_TRY(crn_cli_input_need(input, row_bytes, err));
        if (crn_cli_input_available(input) < row_bytes) {
            return crn_error_set(err, CAIRN_IO,
                                 "the file ends at row %llu of the %llu that its header tells of",
                                 (unsigned long long)out->rows, (unsigned long long)npy.rows);
        }
        for (uint32_t i = 0; i < npy.dim; i++) {
            uint64_t value = 0;
            memcpy(&value, crn_cli_input_at(input) + (size_t)i * npy.width, npy.width);
            value = le64toh(value);
            if (npy.width == 8 && (int64_t)value != (int32_t)value) {
                return crn_error_set(err, CAIRN_LIMIT, "row %llu names the neighbor %lld",
                                     (unsigned long long)out->rows, (long long)value);
            }
            *to++ = (uint32_t)value;
        }
        crn_cli_input_skip(input, row_bytes);
    }
    return CAIRN_OK;
}

/* .ivecs is .fvecs with int32 for f32: the bits are taken for what they are. */
static cairn_status read_ivecs(struct crn_cli_input *input, uint64_t max_rows, struct crn_cli_matrix *out,
                               cairn_error *err)
{
    CRN_TRY(read_rows(&crn_cli_format_fvecs, input, max_rows, NULL, out, err));
    size_t count = (size_t)out->rows * out->columns;
    out->ids = crn_mem_array(count, sizeof *out->ids);
    if (out->ids == NULL) return crn_error_no_memory(err, count * sizeof *out->ids);
    if (count > 0) memcpy(out->ids, out->floats, count * sizeof *out->ids);
    crn_mem_free(out->floats);
    out->floats = NULL;
    return CAIRN_OK;
}

static cairn_status read_stream(const char *path, bool ids, uint64_t max_rows,
                                struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                cairn_error *err)
{
    struct crn_cli_input input;
    const char *suffix = suffix_of(path);
    bool npy = strcasecmp(suffix, ".npy") == 0;

    if (!npy && strcasecmp(suffix, ids ? ".ivecs" : ".fvecs") != 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: its name ends in none of .%s, .npy, .hdf5",
                             path, ids ? "ivecs" : "fvecs");
    }
    CRN_TRY(crn_cli_input_open(&input, path, err));
    cairn_status status;
    if (ids) {
        status = npy ? read_npy_ids(&input, max_rows, out, err) : read_ivecs(&input, max_rows, out, err);
    } else {
        status = read_rows(npy ? &crn_cli_format_npy : &crn_cli_format_fvecs, &input, max_rows, progress, out,
                           err);
    }
    crn_cli_input_close(&input);
    if (status == CAIRN_OK && out->rows == 0)
        status = crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the file has no rows");
    return status == CAIRN_OK ? status : crn_error_context(err, status, "%s", path);
}

static cairn_status read_matrix(const char *path, const char *dataset, bool ids, uint64_t max_rows,
                                struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                cairn_error *err)
{
    *out = (struct crn_cli_matrix){0};
    if (crn_cli_matrix_is_hdf5(path))
        return crn_cli_hdf5_read(path, dataset, ids, max_rows, progress, out, err);
    cairn_status status = read_stream(path, ids, max_rows, progress, out, err);
    if (status != CAIRN_OK) crn_cli_matrix_release(out);
    return status;
}

cairn_status crn_cli_matrix_read_floats(const char *path, const char *dataset, uint64_t max_rows,
                                        struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                        cairn_error *err)
{
    return read_matrix(path, dataset, false, max_rows, progress, out, err);
}

cairn_status crn_cli_matrix_read_ids(const char *path, const char *dataset, uint64_t max_rows,
                                     struct crn_cli_matrix *out, cairn_error *err)
{
    return read_matrix(path, dataset, true, max_rows, NULL, out, err);
}
