/* The header of a .npy file, for those who read its array themselves. */
#ifndef CRN_CLI_NPY_H
#define CRN_CLI_NPY_H

#include "cli/input.h"

struct crn_cli_npy {
    uint64_t rows;
    uint32_t dim;
    char kind;      /* 'f', 'i', 'u' */
    unsigned width; /* bytes of a component: 2, 4 or 8 */
};

/* Reads the header of a two-dimensional little-endian array and stops before its first row. `kinds` are the
 * allowed ones, as "f" or "iu". UNSUPPORTED for all else. */
cairn_status crn_cli_npy_begin(struct crn_cli_input *input, const char *kinds, struct crn_cli_npy *out,
                               cairn_error *err);

#endif
