/* A vector on the command line: its JSON, "@FILE" with JSON in it, or "-" for JSON on standard input. */
#ifndef CRN_CLI_VECTOR_ARGUMENT_H
#define CRN_CLI_VECTOR_ARGUMENT_H

#include "base/arena.h"

#include <cairn/pattern.h>

/* What *out points to lives in the arena. */
cairn_status crn_cli_vector_argument(const char *argument, struct crn_arena *arena, cairn_vector *out,
                                     cairn_error *err);

#endif
