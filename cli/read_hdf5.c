/*
 * HDF5 by libhdf5's C API. Files come from strangers: sizes are checked before memory is asked for, and what
 * the library finds wrong becomes a status. Rows are read in pieces, so that Ctrl-C is heard.
 */
#include "cli/read_hdf5.h"

#include "base/error.h"

#ifdef CAIRN_HDF5

#include "base/mem.h"
#include "cli/signals.h"

#include <errno.h>
#include <hdf5.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES ((hsize_t)8 << 20)

static cairn_status open_file(const char *path, hid_t *out, cairn_error *err)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* it would print */
    if (access(path, R_OK) != 0) return crn_error_errno(err, errno, "cannot open", path);
    *out = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*out < 0) return crn_error_set(err, CAIRN_IO, "%s is no HDF5 file, or is damaged", path);
    return CAIRN_OK;
}

/* Reads all of the pieces from `set` into memory of native type `type`. */
static cairn_status read_rows(const char *path, hid_t set, hid_t space, hid_t type,
                              struct crn_cli_matrix *matrix, cairn_error *err)
{
    const size_t width = 4; /* of both types */
    char *to = matrix->floats != NULL ? (char *)matrix->floats : (char *)matrix->ids;
    hsize_t piece = PIECE_BYTES / (matrix->columns * width) + 1;

    for (hsize_t row = 0; row < matrix->rows; row += piece) {
        hsize_t count[2] = {matrix->rows - row < piece ? matrix->rows - row : piece, matrix->columns};
        hsize_t start[2] = {row, 0};
        hid_t memory = H5Screate_simple(2, count, NULL);
        herr_t done = memory < 0 ? -1 : H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        if (done >= 0)
            done = H5Dread(set, type, memory, space, H5P_DEFAULT, to + row * matrix->columns * width);
        if (memory >= 0) H5Sclose(memory);
        if (done < 0) {
            return crn_error_set(err, CAIRN_IO, "%s: cannot read rows from %llu on", path,
                                 (unsigned long long)row);
        }
        if (crn_cli_interrupted()) return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    return CAIRN_OK;
}

static cairn_status read_shape(const char *path, const char *dataset, hid_t space, uint64_t max_rows,
                               struct crn_cli_matrix *out, cairn_error *err)
{
    hsize_t dims[2];

    if (H5Sget_simple_extent_ndims(space) != 2 || H5Sget_simple_extent_dims(space, dims, NULL) != 2) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "%s: the dataset %s is not two-dimensional", path,
                             dataset);
    }
    if (dims[1] == 0 || dims[1] > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_LIMIT,
                             "%s: the rows of %s have %llu components; 1 to %u are possible", path, dataset,
                             (unsigned long long)dims[1], CAIRN_DIM_MAX);
    }
    out->rows = dims[0] < max_rows ? dims[0] : max_rows;
    out->columns = (uint32_t)dims[1];
    if (out->rows == 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: the dataset %s has no rows", path, dataset);
    }
    return CAIRN_OK;
}

static cairn_status read_dataset(const char *path, const char *dataset, bool ids, hid_t set, hid_t space,
                                 hid_t type, uint64_t max_rows, struct crn_cli_matrix *out, cairn_error *err)
{
    H5T_class_t class = H5Tget_class(type);

    if (class != H5T_INTEGER && (ids || class != H5T_FLOAT)) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "%s: the dataset %s holds no %s", path, dataset,
                             ids ? "integers" : "numbers");
    }
    CRN_TRY(read_shape(path, dataset, space, max_rows, out, err));
    size_t count;
    void *memory = crn_mem_mul((size_t)out->rows, out->columns, &count)
                       ? crn_mem_array(count, ids ? sizeof *out->ids : sizeof *out->floats)
                       : NULL;
    if (memory == NULL) return crn_error_no_memory(err, (size_t)out->rows * out->columns * 4);
    if (ids) out->ids = memory;
    if (!ids) out->floats = memory;
    /* Signed, so that a negative id stays what it is, which is refused as out of range. */
    return read_rows(path, set, space, ids ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT, out, err);
}

cairn_status crn_cli_hdf5_read(const char *path, const char *dataset, bool ids, uint64_t max_rows,
                               struct crn_cli_matrix *out, cairn_error *err)
{
    hid_t file;

    *out = (struct crn_cli_matrix){0};
    CRN_TRY(open_file(path, &file, err));
    cairn_status status = CAIRN_OK;
    hid_t set = H5Lexists(file, dataset, H5P_DEFAULT) > 0 ? H5Dopen2(file, dataset, H5P_DEFAULT) : -1;
    hid_t space = set >= 0 ? H5Dget_space(set) : -1;
    hid_t type = set >= 0 ? H5Dget_type(set) : -1;
    if (set < 0) {
        status = crn_error_set(err, CAIRN_NOT_FOUND, "%s has no dataset %s", path, dataset);
    } else if (space < 0 || type < 0) {
        status = crn_error_set(err, CAIRN_IO, "%s: the dataset %s is damaged", path, dataset);
    } else {
        status = read_dataset(path, dataset, ids, set, space, type, max_rows, out, err);
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    H5Fclose(file);
    if (status != CAIRN_OK) crn_cli_matrix_release(out);
    return status;
}

/* The text of a string attribute, of fixed or variable length. */
static void read_text(hid_t attribute, char out[64])
{
    hid_t type = H5Aget_type(attribute);
    hid_t space = H5Aget_space(attribute);

    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING &&
        H5Sget_simple_extent_npoints(space) == 1) {
        char *text = NULL;
        hid_t memory = H5Tcopy(type);
        if (H5Tis_variable_str(type) > 0) {
            if (H5Aread(attribute, memory, &text) >= 0 && text != NULL) strncpy(out, text, 63);
            if (text != NULL) H5free_memory(text);
        } else if (H5Tget_size(type) < 64) {
            if (H5Aread(attribute, memory, out) < 0) out[0] = '\0';
        }
        H5Tclose(memory);
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
}

cairn_status crn_cli_hdf5_distance(const char *path, char out[64], cairn_error *err)
{
    hid_t file;

    memset(out, 0, 64);
    CRN_TRY(open_file(path, &file, err));
    if (H5Aexists(file, "distance") > 0) {
        hid_t attribute = H5Aopen(file, "distance", H5P_DEFAULT);
        if (attribute >= 0) {
            read_text(attribute, out);
            H5Aclose(attribute);
        }
    }
    H5Fclose(file);
    return CAIRN_OK;
}

#else

static cairn_status unsupported(const char *path, cairn_error *err)
{
    return crn_error_set(
        err, CAIRN_UNSUPPORTED,
        "%s: this program was built without HDF5; install libhdf5-dev (./dev setup does) and "
        "build it again",
        path);
}

cairn_status crn_cli_hdf5_read(const char *path, const char *dataset, bool ids, uint64_t max_rows,
                               struct crn_cli_matrix *out, cairn_error *err)
{
    (void)dataset;
    (void)ids;
    (void)max_rows;
    *out = (struct crn_cli_matrix){0};
    return unsupported(path, err);
}

cairn_status crn_cli_hdf5_distance(const char *path, char out[64], cairn_error *err)
{
    out[0] = '\0';
    return unsupported(path, err);
}

#endif
