/* What add and update set: the option group --text, --payload, --vector and so on. */
#ifndef CRN_CLI_FIELDS_H
#define CRN_CLI_FIELDS_H

#include "base/arena.h"
#include "cli/args.h"

#include <cairn/pattern.h>

extern const struct crn_cli_group crn_cli_fields_group;

/* A pattern with the fields that were given; its memory is the arena's and the command line's. */
cairn_status crn_cli_fields(struct crn_arena *arena, cairn_pattern *out, cairn_error *err);

#endif
