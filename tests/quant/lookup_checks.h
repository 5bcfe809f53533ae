/* The checks that every table of lookup kernels must pass; without a test framework, as kernel_checks.h. */
#ifndef CRN_TESTS_QUANT_LOOKUP_CHECKS_H
#define CRN_TESTS_QUANT_LOOKUP_CHECKS_H

#include "quant/lookup.h"

#include <stdint.h>

/* Returns the number of failures on data from `seed`. */
unsigned check_lookup(const struct crn_lookup_kernels *kernels, uint64_t seed);

#endif
