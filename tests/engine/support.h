/* What every test of this room starts with: cmocka and a seed that can be repeated. */
#ifndef CRN_TESTS_ENGINE_SUPPORT_H
#define CRN_TESTS_ENGINE_SUPPORT_H

#include "base/rng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A generator seeded from CAIRN_TEST_SEED, or anew; the seed is printed, so that a failure can be
 * repeated. */
static inline struct crn_rng test_rng(void)
{
    const char *given = getenv("CAIRN_TEST_SEED");
    struct crn_rng rng;
    uint64_t words[2];

    if (given != NULL) {
        words[0] = strtoull(given, NULL, 0);
    } else {
        unsigned char entropy[16];
        crn_rng_entropy(entropy);
        memcpy(words, entropy, sizeof words);
    }
    print_message("CAIRN_TEST_SEED=%" PRIu64 "\n", words[0]);
    crn_rng_init(&rng, words[0]);
    return rng;
}

#endif
