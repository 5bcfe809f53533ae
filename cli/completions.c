/* Completions for bash and zsh: commands, options, the words of choices, and file names for the rest. */
#include "cli/manual.h"

#include "cli/command.h"

#include <stdio.h>
#include <string.h>

static void put_words(const char *choices)
{
    for (; *choices != '\0'; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

/* The second words that go with a first one, as in "collection", with `gap` between them. */
static void put_second_words(const char *first, size_t len, const char *gap)
{
    const char *before = "";

    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        if (strncmp(name, first, len) != 0 || name[len] != ' ') continue;
        printf("%s%s", before, name + len + 1);
        before = gap;
    }
}

/* Whether command i is the first one of those that begin with its first word. */
static bool is_first_of_word(size_t i, size_t *out_len)
{
    const char *name = crn_cli_commands[i]->name;

    *out_len = strcspn(name, " ");
    if (i == 0 || name[*out_len] == '\0') return true;
    return strncmp(crn_cli_commands[i - 1]->name, name, *out_len + 1) != 0;
}

static void bash_command(const struct crn_cli_command *command)
{
    printf("        \"%s\")\n            options=\"--help", command->name);
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++)
            printf(" --%s", o->name);
    }
    printf("\"\n            case \"$before\" in\n");
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++) {
            if (o->kind != CRN_CLI_CHOICE) continue;
            printf("                --%s) words=\"", o->name);
            put_words(o->value);
            printf("\" ;;\n");
        }
    }
    printf("            esac\n            ;;\n");
}

void crn_cli_manual_bash(void)
{
    size_t len;

    printf("# Completion of cairn for bash. Written by `cairn help --as bash`.\n"
           "_cairn() {\n"
           "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
           "    local command=\"${COMP_WORDS[1]}\" options=\"\" words=\"\"\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        words=\"");
    for (size_t i = 0; i < crn_cli_command_count; i++) {
        if (is_first_of_word(i, &len))
            printf("%s%.*s", i > 0 ? " " : "", (int)len, crn_cli_commands[i]->name);
    }
    printf("\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n        return\n    fi\n"
           "    case \"$command\" in\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        if (!is_first_of_word(i, &len) || name[len] == '\0') continue;
        printf("        %.*s) words=\"", (int)len, name);
        put_second_words(name, len, " ");
        printf("\" ;;\n");
    }
    printf("    esac\n"
           "    if [ -n \"$words\" ]; then\n"
           "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
           "            COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "            return\n        fi\n"
           "        command=\"$command ${COMP_WORDS[2]}\"\n        words=\"\"\n    fi\n"
           "    case \"$command\" in\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) bash_command(crn_cli_commands[i]);
    printf("    esac\n"
           "    if [ -n \"$words\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    elif [ \"${word#-}\" != \"$word\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "    else\n"
           "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _cairn cairn\n");
}

/* Text inside single quotes and brackets of _arguments. */
static void put_zsh(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);
        } else {
            if (strchr("[]:\\", *text) != NULL) putchar('\\');
            putchar(*text);
        }
    }
}

static void zsh_option(const struct crn_cli_option *option)
{
    printf("        '--%s%s[", option->name, option->kind == CRN_CLI_FLAG ? "" : "=");
    put_zsh(option->help);
    putchar(']');
    if (option->kind == CRN_CLI_CHOICE) {
        printf(":%s:(", option->name);
        put_words(option->value);
        putchar(')');
    } else if (option->kind != CRN_CLI_FLAG) {
        putchar(':');
        put_zsh(option->value);
        putchar(':');
    }
    printf("' \\\n");
}

static void zsh_command(const struct crn_cli_command *command)
{
    printf("_cairn_");
    for (const char *c = command->name; *c != '\0'; c++) putchar(*c == ' ' ? '_' : *c);
    printf("() {\n    _arguments -S \\\n        '--help[explain the command]' \\\n");
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++)
            zsh_option(o);
    }
    printf("        '*:file:_files'\n}\n");
}

/* 'search:Finds the nearest ..' for each first word; the second words for "collection". */
static void zsh_summaries(void)
{
    size_t len;

    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        if (!is_first_of_word(i, &len)) continue;
        printf("        '%.*s:", (int)len, name);
        if (name[len] == '\0') {
            put_zsh(crn_cli_commands[i]->summary);
        } else {
            put_second_words(name, len, ", ");
        }
        printf("'\n");
    }
}

void crn_cli_manual_zsh(void)
{
    size_t len;

    printf("#compdef cairn\n# Completion of cairn for zsh. Written by `cairn help --as zsh`.\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) zsh_command(crn_cli_commands[i]);
    printf("_cairn() {\n    local -a commands=(\n");
    zsh_summaries();
    printf("    )\n    local -A second=(\n");
    for (size_t i = 0; i < crn_cli_command_count; i++) {
        const char *name = crn_cli_commands[i]->name;
        if (!is_first_of_word(i, &len) || name[len] == '\0') continue;
        printf("        %.*s '", (int)len, name);
        put_second_words(name, len, " ");
        printf("'\n");
    }
    printf("    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local name=$words[2]\n"
           "    if [[ -n $second[$name] ]]; then\n"
           "        if (( CURRENT == 3 )); then\n"
           "            compadd ${=second[$name]}\n"
           "            return\n"
           "        fi\n"
           "        name=${name}_$words[3]\n"
           "        shift words\n        (( CURRENT-- ))\n"
           "    fi\n"
           "    shift words\n    (( CURRENT-- ))\n"
           "    (( $+functions[_cairn_$name] )) && _cairn_$name\n"
           "}\n"
           "_cairn \"$@\"\n");
}
