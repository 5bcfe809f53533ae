/* Which patterns: the option group --domain, --agent, --type, --filter, --min-confidence. */
#ifndef CRN_CLI_SCOPE_H
#define CRN_CLI_SCOPE_H

#include "cli/args.h"

#include <cairn/pattern.h>
#include <stdbool.h>

extern const struct crn_cli_group crn_cli_scope_group;
cairn_scope crn_cli_scope(void);
bool crn_cli_scope_given(void);

#endif
