/*
 * Patterns by the ids of a command line, which are text: "42" is looked for as the string first, then as the
 * number, then (when it looks like one) as a UUID.
 */
#ifndef CRN_CLI_LOOKUP_H
#define CRN_CLI_LOOKUP_H

#include "cli/args.h"

#include <cairn/pattern.h>
#include <stdbool.h>

struct crn_cli_lookup {
    cairn_patterns *patterns;
    const cairn_pattern **found; /* [count of the list], NULL where there is none */
    size_t missing;
};

/* Reads the patterns. Released by crn_cli_lookup_release, whatever comes of it. */
cairn_status crn_cli_lookup(struct crn_cli_lookup *lookup, cairn_collection *collection,
                            const struct crn_cli_list *ids, bool with_vectors, cairn_error *err);
void crn_cli_lookup_release(struct crn_cli_lookup *lookup);

cairn_id crn_cli_lookup_id(const cairn_pattern *pattern);

/* Tells which ids are not there; gives CRN_CLI_EXIT_NOT_FOUND, or OK when all are. */
int crn_cli_lookup_tell_missing(const struct crn_cli_lookup *lookup, const struct crn_cli_list *ids);

#endif
