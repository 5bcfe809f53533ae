/*
 * The checks that every table of kernels must pass. They use no test framework, so that they also run
 * cross-compiled under an emulator (neon_main.c); test_kernels.c runs them with cmocka.
 */
#ifndef CRN_TESTS_QUANT_KERNEL_CHECKS_H
#define CRN_TESTS_QUANT_KERNEL_CHECKS_H

#include "quant/kernels.h"

#include <stdbool.h>
#include <stdint.h>

/* Runs them all on data from `seed`. Returns the number of failures; unless `quiet`, the first ones are told
 * on stderr. */
unsigned check_kernels(const struct crn_kernels *kernels, uint64_t seed, bool quiet);

#endif
