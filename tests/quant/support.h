/* What every test of this room starts with: cmocka and a seed that can be repeated. */
#ifndef CRN_TESTS_QUANT_SUPPORT_H
#define CRN_TESTS_QUANT_SUPPORT_H

#include "base/rng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* CAIRN_TEST_SEED, or a new seed; it is printed, so that a failure can be repeated. */
static inline uint64_t test_seed(void)
{
    const char *given = getenv("CAIRN_TEST_SEED");
    unsigned char entropy[16];
    uint64_t seed;

    crn_rng_entropy(entropy);
    memcpy(&seed, entropy, sizeof seed);
    if (given != NULL) seed = strtoull(given, NULL, 0);
    print_message("CAIRN_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static inline struct crn_rng test_rng(void)
{
    struct crn_rng rng;

    crn_rng_init(&rng, test_seed());
    return rng;
}

#endif
