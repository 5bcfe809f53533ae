/* A command's help, for a terminal. The manual pages are in manual.c. */
#include "cli/args.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 26 /* where the help of an option begins */

void crn_cli_args_synopsis(const struct crn_cli_command *command, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "cairn %s", command->name);

    for (const struct crn_cli_operand *o = command->operands; o != NULL && o->name != NULL; o++) {
        if (at >= size) return;
        at += (size_t)snprintf(out + at, size - at, o->optional ? " [%s%s]" : " %s%s", o->name,
                               o->list != NULL ? "..." : "");
    }
    if (command->groups != NULL && at < size) snprintf(out + at, size - at, " [OPTIONS]");
}

void crn_cli_args_option(const struct crn_cli_option *option, char *out, size_t size)
{
    const char *value = option->value != NULL ? option->value : "";
    const char *gap = option->value != NULL ? " " : "";

    if (option->letter != 0) {
        snprintf(out, size, "-%c, --%s%s%s", option->letter, option->name, gap, value);
    } else {
        snprintf(out, size, "--%s%s%s", option->name, gap, value);
    }
}

static void print_group(const struct crn_cli_group *group)
{
    printf("\n%s:\n", group->title);
    for (const struct crn_cli_option *o = group->options; o->name != NULL; o++) {
        char text[100];
        crn_cli_args_option(o, text, sizeof text);
        if (strlen(text) > OPTION_COLUMN - 4) {
            printf("  %s\n%*s%s\n", text, OPTION_COLUMN, "", o->help);
        } else {
            printf("  %-*s%s\n", OPTION_COLUMN - 2, text, o->help);
        }
    }
}

/* Prints lines, each moved right by two columns. */
static void print_indented(const char *text)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, "\n");
        printf("%s%.*s\n", len > 0 ? "  " : "", len, text);
        text += len;
        if (*text == '\n') text++;
    }
}

void crn_cli_args_help(const struct crn_cli_command *command)
{
    char synopsis[200];

    crn_cli_args_synopsis(command, synopsis, sizeof synopsis);
    printf("%s\n\n%s.\n", synopsis, command->summary);
    if (command->detail != NULL) printf("\n%s\n", command->detail);
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        print_group(command->groups[g]);
    }
    if (command->examples != NULL) {
        printf("\nExamples:\n");
        print_indented(command->examples);
    }
}
