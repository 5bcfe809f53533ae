/* The conditions of a scope from the command line. */
#include "cli/scope.h"

#include <stddef.h>

static cairn_scope scope = {.size = sizeof scope};

static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_TEXT("domain", "NAME", scope.domain, "only this domain"),
    CRN_CLI_OPTION_TEXT("agent", "NAME", scope.agent, "only this agent"),
    CRN_CLI_OPTION_TEXT("type", "NAME", scope.type, "only this type"),
    CRN_CLI_OPTION_TEXT("filter", "JSON", scope.filter,
                        "only payloads like this, as in '{\"size\":{\"$lt\":9}}'"),
    CRN_CLI_OPTION_NUMBER("min-confidence", "C", scope.min_confidence, "only with this confidence or more"),
    {0},
};
const struct crn_cli_group crn_cli_scope_group = {"Which patterns", options};

cairn_scope crn_cli_scope(void)
{
    return scope;
}

bool crn_cli_scope_given(void)
{
    return scope.domain != NULL || scope.agent != NULL || scope.type != NULL || scope.filter != NULL ||
           scope.min_confidence != 0;
}
