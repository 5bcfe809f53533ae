/* cairn version. */
#include "cli/command.h"
#include "cli/exit.h"

#include <stdio.h>

static int run(void)
{
    printf("cairn %s\n", cairn_version());
    return CRN_CLI_EXIT_OK;
}

const struct crn_cli_command crn_cli_command_version = {
    .name = "version",
    .summary = "Prints the version",
    .examples = "cairn version",
    .run = run,
};
