/* The program `cairn`: the table of commands, and finding the one that was asked for. */
#include "cli/command.h"
#include "cli/exit.h"
#include "cli/manual.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char **args = (const char **)argv + 1;
    bool help;
    int words;
    cairn_error err;

    crn_cli_signals_install();
    argc--;
    if (argc == 0) {
        crn_cli_manual_overview();
        return crn_cli_output_finish(CRN_CLI_EXIT_USAGE);
    }
    if (strcmp(args[0], "--help") == 0 || strcmp(args[0], "-h") == 0) args[0] = "help";
    if (strcmp(args[0], "--version") == 0) args[0] = "version";

    const struct crn_cli_command *command = crn_cli_command_find(argc, args, &words);
    if (command == NULL) return crn_cli_command_unknown(argc, args);
    crn_cli_exit_command(command->name);
    if (crn_cli_args_parse(command, argc - words, args + words, &help, &err) != CAIRN_OK) {
        return crn_cli_usage("%s", err.message);
    }
    if (help) crn_cli_args_help(command);
    return crn_cli_output_finish(help ? CRN_CLI_EXIT_OK : command->run());
}
