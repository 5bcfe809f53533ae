/*
 * Whole files of vectors, or of neighbors' row numbers, in memory: .fvecs, .ivecs, .npy, and the HDF5 layout
 * of ann-benchmarks (Aumueller, Bernhardsson, Faithfull 2020: datasets train, test, neighbors). For `cairn
 * bench`; import reads record by record (reader.h).
 */
#ifndef CRN_CLI_MATRIX_H
#define CRN_CLI_MATRIX_H

#include "cli/progress.h"

#include <cairn/db.h>
#include <stdbool.h>
#include <stdint.h>

/* [rows][columns]; `floats` or `ids` is set. Released by crn_cli_matrix_release; zeroed is empty. */
struct crn_cli_matrix {
    uint64_t rows;
    uint32_t columns;
    float *floats;
    uint32_t *ids;
};

bool crn_cli_matrix_is_hdf5(const char *path); /* by its name */

/* Reads vectors; of an HDF5 file the dataset. At most max_rows; progress
 * may be NULL. Errors name the file. NO_FILE, IO, UNSUPPORTED,
 * DIM_MISMATCH (rows of several lengths), INVALID_ARGUMENT (no rows, a name of no known format), LIMIT. */
cairn_status crn_cli_matrix_read_floats(const char *path, const char *dataset, uint64_t max_rows,
                                        struct crn_cli_progress *progress, struct crn_cli_matrix *out,
                                        cairn_error *err);
/* Reads numbers of rows: .ivecs, .npy of integers, HDF5. The ids are the bits of an int32: negative ones are
 * above INT32_MAX. */
cairn_status crn_cli_matrix_read_ids(const char *path, const char *dataset, uint64_t max_rows,
                                     struct crn_cli_matrix *out, cairn_error *err);
void crn_cli_matrix_release(struct crn_cli_matrix *matrix);

#endif
