/* The commands, one in each cmd_*.c; main.c has their table. */
#ifndef CRN_CLI_COMMAND_H
#define CRN_CLI_COMMAND_H

#include "cli/args.h"

#include <stddef.h>

extern const struct crn_cli_command crn_cli_command_init;
extern const struct crn_cli_command crn_cli_command_collection_create;
extern const struct crn_cli_command crn_cli_command_collection_list;
extern const struct crn_cli_command crn_cli_command_collection_drop;
extern const struct crn_cli_command crn_cli_command_index_create;
extern const struct crn_cli_command crn_cli_command_index_drop;
extern const struct crn_cli_command crn_cli_command_add;
extern const struct crn_cli_command crn_cli_command_import;
extern const struct crn_cli_command crn_cli_command_export;
extern const struct crn_cli_command crn_cli_command_update;
extern const struct crn_cli_command crn_cli_command_get;
extern const struct crn_cli_command crn_cli_command_scroll;
extern const struct crn_cli_command crn_cli_command_delete;
extern const struct crn_cli_command crn_cli_command_search;
extern const struct crn_cli_command crn_cli_command_retrieve;
extern const struct crn_cli_command crn_cli_command_prune;
extern const struct crn_cli_command crn_cli_command_stats;
extern const struct crn_cli_command crn_cli_command_optimize;
extern const struct crn_cli_command crn_cli_command_verify;
extern const struct crn_cli_command crn_cli_command_rebuild;
extern const struct crn_cli_command crn_cli_command_backup;
extern const struct crn_cli_command crn_cli_command_restore;
extern const struct crn_cli_command crn_cli_command_serve;
extern const struct crn_cli_command crn_cli_command_bench;
extern const struct crn_cli_command crn_cli_command_version;
extern const struct crn_cli_command crn_cli_command_help;

/* All of them, in the order of the manual. */
extern const struct crn_cli_command *const crn_cli_commands[];
extern const size_t crn_cli_command_count;

/* The command that argv begins with, and how many of its words name it; NULL when none does. */
const struct crn_cli_command *crn_cli_command_find(int argc, const char *const *argv, int *out_words);

/* Tells of an unknown command, with the nearest known one; gives the exit status. */
int crn_cli_command_unknown(int argc, const char *const *argv);

#endif
