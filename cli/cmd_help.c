/* cairn help: of one command, or the whole manual in the forms that are installed. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/manual.h"

#include <stdio.h>

static struct crn_cli_list words;
static unsigned as;
static const struct crn_cli_operand operands[] = {{.name = "COMMAND", .optional = true, .list = &words}, {0}};
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_CHOICE("as", "man|markdown|bash|zsh", as,
                          "the whole manual as a page, or completions for a shell"),
    {0},
};
static const struct crn_cli_group group = {"Options", options};

static int run(void)
{
    static void (*const manuals[])(void) = {crn_cli_manual_man, crn_cli_manual_markdown, crn_cli_manual_bash,
                                            crn_cli_manual_zsh};
    int count;

    if (as > 0) {
        manuals[as - 1]();
        return CRN_CLI_EXIT_OK;
    }
    if (words.count == 0) {
        crn_cli_manual_overview();
        return CRN_CLI_EXIT_OK;
    }
    const struct crn_cli_command *command = crn_cli_command_find((int)words.count, words.items, &count);
    if (command == NULL || (size_t)count < words.count)
        return crn_cli_command_unknown((int)words.count, words.items);
    crn_cli_args_help(command);
    return CRN_CLI_EXIT_OK;
}

const struct crn_cli_command crn_cli_command_help = {
    .name = "help",
    .summary = "Explains a command, or lists them all",
    .examples = "cairn help search\n"
                "source <(cairn help --as bash)",
    .operands = operands,
    .groups = CRN_CLI_GROUPS(&group),
    .run = run,
};
