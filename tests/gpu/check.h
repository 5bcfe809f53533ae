/* Checks for programs that run where no test library is: on a machine lent for its GPU. A failure ends the program. */
#ifndef CRN_TESTS_GPU_CHECK_H
#define CRN_TESTS_GPU_CHECK_H

#include <cairn/status.h>

#include <stdio.h>
#include <stdlib.h>

#define CHECK_SKIPPED 77 /* exit status that ctest takes for "skipped" */

#define CHECK(what, ...)                                               \
    do {                                                               \
        if (!(what)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #what); \
            fprintf(stderr, __VA_ARGS__);                              \
            fprintf(stderr, "\n");                                     \
            exit(1);                                                   \
        }                                                              \
    } while (0)

/* Gives the call an `err`, also where there is one already. */
#pragma GCC diagnostic ignored "-Wshadow"
#define CHECK_OK(call)                                                                              \
    do {                                                                                            \
        cairn_error check_err_ = {CAIRN_OK, ""};                                                    \
        cairn_error *const err = &check_err_;                                                       \
        const cairn_status check_status_ = (call);                                                  \
        CHECK(check_status_ == CAIRN_OK, "%s: %s", cairn_status_name(check_status_), err->message); \
    } while (0)

#endif
