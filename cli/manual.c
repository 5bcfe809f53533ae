/* The manual as an overview, a man page and Markdown. Completions are in completions.c. */
#include "cli/manual.h"

#include "cli/command.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

#define NAME_COLUMN 20

static const struct {
    int status;
    const char *text;
} exits[] = {
#define EXIT_ROW(name, status, text) {status, text},
    CRN_CLI_EXIT_MAP(EXIT_ROW)
#undef EXIT_ROW
};
#define EXIT_COUNT (sizeof exits / sizeof exits[0])

void crn_cli_manual_overview(void)
{
    printf("Usage: cairn COMMAND [ARGUMENTS]\n\nVector memory for agents, in one file.\n\nCommands:\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const struct crn_cli_command *command = crn_cli_commands[i];
        printf("  %s%-*s%s%s\n", crn_cli_style(CRN_CLI_BOLD), NAME_COLUMN, command->name,
               crn_cli_style(CRN_CLI_PLAIN), command->summary);
    }
    printf("\nA first try:\n"
           "  cairn add memory.cairn --text \"use ccache for the second build\"\n"
           "  cairn search memory.cairn --text \"faster build\"\n"
           "\n`cairn help COMMAND` tells more of each.\n");
}

/* Text for roff: a backslash is escaped, so are a hyphen, which would else become a typographic one, and a
 * line's first character when roff would take it as a request. */
static void put_roff(const char *text, size_t len)
{
    bool line_start = true;

    for (size_t i = 0; i < len; i++) {
        if (line_start && (text[i] == '.' || text[i] == '\'')) fputs("\\&", stdout);
        if (text[i] == '\\') {
            fputs("\\e", stdout);
        } else if (text[i] == '-') {
            fputs("\\-", stdout);
        } else if (text[i] == '\'') {
            fputs("\\(aq", stdout);
        } else {
            putchar(text[i]);
        }
        line_start = text[i] == '\n';
    }
}

static void put_roff_line(const char *text)
{
    put_roff(text, strlen(text));
    putchar('\n');
}

/* Paragraphs stand between empty lines. */
static void put_roff_paragraphs(const char *text)
{
    while (text != NULL) {
        const char *gap = strstr(text, "\n\n");
        printf(".PP\n");
        put_roff(text, gap != NULL ? (size_t)(gap - text) : strlen(text));
        putchar('\n');
        text = gap != NULL ? gap + 2 : NULL;
    }
}

static void man_command(const struct crn_cli_command *command)
{
    char text[200];

    crn_cli_args_synopsis(command, text, sizeof text);
    printf(".SS ");
    put_roff_line(text);
    printf("%s.\n", command->summary);
    if (command->detail != NULL) put_roff_paragraphs(command->detail);
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        printf(".PP\n.I ");
        put_roff_line(command->groups[g]->title);
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++) {
            crn_cli_args_option(o, text, sizeof text);
            printf(".TP\n.B ");
            put_roff_line(text);
            put_roff_line(o->help);
        }
    }
    if (command->examples != NULL) {
        printf(".PP\n.EX\n");
        put_roff_line(command->examples);
        printf(".EE\n");
    }
}

void crn_cli_manual_man(void)
{
    printf(
        ".\\\" Written by `cairn help --as man`.\n"
        ".TH CAIRN 1 \"\" \"Cairn\" \"User commands\"\n"
        ".SH NAME\ncairn \\- vector memory for agents, in one file\n"
        ".SH SYNOPSIS\n.B cairn\n.I COMMAND\n[\\,\\fIARGUMENTS\\fR]\n"
        ".SH DESCRIPTION\n"
        "A database is one file, created by the first command that stores something in it, with its index\n"
        "files in a folder beside it. It holds collections of patterns: vectors, texts, JSON payloads.\n"
        ".SH COMMANDS\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) man_command(crn_cli_commands[i]);
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < EXIT_COUNT; i++) {
        printf(".TP\n.B %d\n", exits[i].status);
        put_roff_line(exits[i].text);
    }
    printf(".SH ENVIRONMENT\n"
           ".TP\n.B NO_COLOR\nno colour on a terminal, when not empty\n"
           ".TP\n.B COLUMNS\nthe width of tables when standard output is no terminal\n"
           ".TP\n.B CAIRN_EMBED_KEY\nthe key that an openai: embedder sends\n");
}

static void markdown_command(const struct crn_cli_command *command)
{
    char text[200];

    crn_cli_args_synopsis(command, text, sizeof text);
    printf("\n### cairn %s\n\n```\n%s\n```\n\n%s.\n", command->name, text, command->summary);
    if (command->detail != NULL) printf("\n%s\n", command->detail);
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        printf("\n| %s | |\n|---|---|\n", command->groups[g]->title);
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++) {
            crn_cli_args_option(o, text, sizeof text);
            printf("| `");
            for (const char *c = text; *c != '\0'; c++) printf(*c == '|' ? "\\|" : "%c", *c);
            printf("` | %s |\n", o->help);
        }
    }
    if (command->examples != NULL) printf("\n```sh\n%s\n```\n", command->examples);
}

void crn_cli_manual_markdown(void)
{
    printf("## Exit statuses\n\n| status | |\n|---|---|\n");
    for (size_t i = 0; i < EXIT_COUNT; i++) printf("| %d | %s |\n", exits[i].status, exits[i].text);
    printf("\n## Commands\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) markdown_command(crn_cli_commands[i]);
}
