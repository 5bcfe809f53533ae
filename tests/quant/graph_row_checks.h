/*
 * The checks that every form of graph rows must pass. They use no test framework, so that they also run
 * cross-compiled under an emulator (neon_main.c); test_graph_row.c runs them with cmocka.
 */
#ifndef CRN_TESTS_QUANT_GRAPH_ROW_CHECKS_H
#define CRN_TESTS_QUANT_GRAPH_ROW_CHECKS_H

#include "tests/quant/graph_row_form.h"

/* Runs them all on data from `seed`. Returns the number of failures; unless `quiet`, the first ones are told
 * on stderr. */
unsigned check_graph_rows(const struct graph_row_form *form, uint64_t seed, bool quiet);

#endif
