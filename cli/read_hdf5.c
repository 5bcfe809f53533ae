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

/* A dataset that is being read. */
struct dataset {
    const char *path, *name;
    bool ids;
    uint64_t max_rows;
    struct crn_cli_progress *progress;
    hid_t set, space, type; /* -1: not open */
};

/* Reads all pieces. Ids are read as signed, so that a negative one stays what it is, and is refused later. */
static cairn_status read_rows(const struct dataset *d, struct crn_cli_matrix *matrix, cairn_error *err)
{
    const size_t width = 4; /* of both types */
    const hid_t type = d->ids ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT;
    char *to = d->ids ? (char *)matrix->ids : (char *)matrix->floats;
    hsize_t piece = PIECE_BYTES / (matrix->columns * width) + 1;

    for (hsize_t row = 0; row < matrix->rows; row += piece) {
        hsize_t count[2] = {matrix->rows - row < piece ? matrix->rows - row : piece, matrix->columns};
        hsize_t start[2] = {row, 0};
        hid_t memory = H5Screate_simple(2, count, NULL);
        herr_t done =
            memory < 0 ? -1 : H5Sselect_hyperslab(d->space, H5S_SELECT_SET, start, NULL, count, NULL);
        if (done >= 0)
            done = H5Dread(d->set, type, memory, d->space, H5P_DEFAULT, to + row * matrix->columns * width);
        if (memory >= 0) H5Sclose(memory);
        if (done < 0) {
            return crn_error_set(err, CAIRN_IO, "%s: cannot read rows of %s from %llu on", d->path, d->name,
                                 (unsigned long long)row);
        }
        if (d->progress != NULL)
            crn_cli_progress_show(d->progress, "read", row + count[0], row + count[0], matrix->rows);
        if (crn_cli_interrupted()) return crn_error_set(err, CAIRN_CANCELLED, "interrupted");
    }
    return CAIRN_OK;
}

static cairn_status read_shape(const struct dataset *d, struct crn_cli_matrix *out, cairn_error *err)
{
    hsize_t dims[2];

    if (H5Sget_simple_extent_ndims(d->space) != 2 || H5Sget_simple_extent_dims(d->space, dims, NULL) != 2) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "%s: the dataset %s is not two-dimensional", d->path,
                             d->name);
    }
    if (dims[1] == 0 || dims[1] > CAIRN_DIM_MAX) {
        return crn_error_set(err, CAIRN_LIMIT,
                             "%s: the rows of %s have %llu components; 1 to %u are possible", d->path,
                             d->name, (unsigned long long)dims[1], CAIRN_DIM_MAX);
    }
    out->rows = dims[0] < d->max_rows ? dims[0] : d->max_rows;
    out->columns = (uint32_t)dims[1];
    if (out->rows > 0) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s: the dataset %s has no rows", d->path, d->name);
}

static cairn_status read_dataset(const struct dataset *d, struct crn_cli_matrix *out, cairn_error *err)
{
    if (d->set < 0) return crn_error_set(err, CAIRN_NOT_FOUND, "%s has no dataset %s", d->path, d->name);
    if (d->space < 0 || d->type < 0) {
        return crn_error_set(err, CAIRN_IO, "%s: the dataset %s is damaged", d->path, d->name);
    }
    H5T_class_t class = H5Tget_class(d->type);
    if (class != H5T_INTEGER && (d->ids || class != H5T_FLOAT)) {
        return crn_error_set(err, CAIRN_UNSUPPORTED, "%s: the dataset %s holds no %s", d->path, d->name,
                             d->ids ? "integers" : "numbers");
    }
    CRN_TRY(read_shape(d, out, err));
    size_t count;
    void *memory = crn_mem_mul((size_t)out->rows, out->columns, &count)
                       ? crn_mem_array(count, d->ids ? sizeof *out->ids : sizeof *out->floats)
                       : NULL;
    if (memory == NULL) return crn_error_no_memory(err, (size_t)out->rows * out->columns * 4);
    if (d->ids) out->ids = memory;
    if (!d->ids) out->floats = memory;
    return read_rows(d, out, err);
}

cairn_status crn_cli_hdf5_read(const char *path, const char *dataset, bool ids, uint64_t max_rows,
                               struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                               cairn_error *err)
{
    struct dataset d = {
        .path = path, .name = dataset, .ids = ids, .max_rows = max_rows, .progress = progress};
    hid_t file;

    *out = (struct crn_cli_matrix){0};
    CRN_TRY(open_file(path, &file, err));
    d.set = H5Lexists(file, dataset, H5P_DEFAULT) > 0 ? H5Dopen2(file, dataset, H5P_DEFAULT) : -1;
    d.space = d.set >= 0 ? H5Dget_space(d.set) : -1;
    d.type = d.set >= 0 ? H5Dget_type(d.set) : -1;
    cairn_status status = read_dataset(&d, out, err);
    if (d.type >= 0) H5Tclose(d.type);
    if (d.space >= 0) H5Sclose(d.space);
    if (d.set >= 0) H5Dclose(d.set);
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
                               struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                               cairn_error *err)
{
    (void)dataset;
    (void)ids;
    (void)max_rows;
    (void)progress;
    *out = (struct crn_cli_matrix){0};
    return unsupported(path, err);
}

cairn_status crn_cli_hdf5_distance(const char *path, char out[64], cairn_error *err)
{
    out[0] = '\0';
    return unsupported(path, err);
}

#endif
