/* Matrices of HDF5 files: the one user of libhdf5. Built without it each call answers UNSUPPORTED. */
#ifndef CRN_CLI_READ_HDF5_H
#define CRN_CLI_READ_HDF5_H

#include "cli/matrix.h"

/* Reads the first max_rows rows of a two-dimensional dataset as f32, or as ids; progress may be NULL.
 * NO_FILE, IO, UNSUPPORTED, LIMIT, NO_MEMORY, CANCELLED; NOT_FOUND when the file has no such dataset. */
cairn_status crn_cli_hdf5_read(const char *path, const char *dataset, bool ids, uint64_t max_rows,
                               struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                               cairn_error *err);

/* The file's attribute `distance` ("angular", "euclidean"); "" when it has none. */
cairn_status crn_cli_hdf5_distance(const char *path, char out[64], cairn_error *err);

#endif
