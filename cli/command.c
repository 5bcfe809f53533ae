/* The table of commands. */
#include "cli/command.h"

#include "cli/exit.h"

#include <string.h>

const struct crn_cli_command *const crn_cli_commands[] = {
    &crn_cli_command_init,
    &crn_cli_command_add,
    &crn_cli_command_import,
    &crn_cli_command_search,
    &crn_cli_command_retrieve,
    &crn_cli_command_get,
    &crn_cli_command_scroll,
    &crn_cli_command_update,
    &crn_cli_command_delete,
    &crn_cli_command_prune,
    &crn_cli_command_export,
    &crn_cli_command_collection_create,
    &crn_cli_command_collection_list,
    &crn_cli_command_collection_drop,
    &crn_cli_command_index_create,
    &crn_cli_command_index_drop,
    &crn_cli_command_stats,
    &crn_cli_command_optimize,
    &crn_cli_command_verify,
    &crn_cli_command_rebuild,
    &crn_cli_command_backup,
    &crn_cli_command_restore,
    &crn_cli_command_serve,
    &crn_cli_command_bench,
    &crn_cli_command_version,
    &crn_cli_command_help,
};
const size_t crn_cli_command_count = sizeof crn_cli_commands / sizeof crn_cli_commands[0];

const struct crn_cli_command *crn_cli_command_find(int argc, const char *const *argv, int *out_words)
{
    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        const char *gap = strchr(name, ' ');
        size_t len = gap != NULL ? (size_t)(gap - name) : strlen(name);
        *out_words = gap != NULL ? 2 : 1;
        if (argc < *out_words || strncmp(argv[0], name, len) != 0 || argv[0][len] != '\0') continue;
        if (gap == NULL || strcmp(argv[1], gap + 1) == 0) return crn_cli_commands[i];
    }
    return NULL;
}

/* Tells the second words that go with a first one, as in "collection". */
static bool tell_second_words(const char *first)
{
    char words[100] = "";
    size_t len = strlen(first);

    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        if (strncmp(name, first, len) != 0 || name[len] != ' ') continue;
        if (words[0] != '\0') strncat(words, ", ", sizeof words - strlen(words) - 1);
        strncat(words, name + len + 1, sizeof words - strlen(words) - 1);
    }
    if (words[0] == '\0') return false;
    crn_cli_usage("'%s' wants one of: %s", first, words);
    return true;
}

int crn_cli_command_unknown(int argc, const char *const *argv)
{
    const char *names[64];

    if (argc > 0 && tell_second_words(argv[0])) return CRN_CLI_EXIT_USAGE;
    for (size_t i = 0; i < crn_cli_command_count; i++) names[i] = crn_cli_commands[i]->name;
    const char *nearest = crn_cli_args_nearest(argv[0], names, crn_cli_command_count);
    if (nearest != NULL)
        return crn_cli_usage("there is no command '%s'; did you mean '%s'?", argv[0], nearest);
    return crn_cli_usage("there is no command '%s'", argv[0]);
}
