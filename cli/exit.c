/* Exit statuses and messages on standard error. */
#include "cli/exit.h"

#include <stdarg.h>
#include <stdio.h>

static const char *command_name = "";

void crn_cli_exit_command(const char *name)
{
    command_name = name;
}

static void write_note(const char *format, va_list args)
{
    fflush(stdout); /* so that the two streams keep their order on a terminal */
    fprintf(stderr, "cairn%s%s: ", command_name[0] != '\0' ? " " : "", command_name);
    vfprintf(stderr, format, args);
}

void crn_cli_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_note(format, args);
    va_end(args);
    fputc('\n', stderr);
}

int crn_cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_note(format, args);
    va_end(args);
    fprintf(stderr, "\nSee: cairn help%s%s\n", command_name[0] != '\0' ? " " : "", command_name);
    return CRN_CLI_EXIT_USAGE;
}

int crn_cli_exit_of(cairn_status status)
{
    switch (status) {
    case CAIRN_OK:
        return CRN_CLI_EXIT_OK;
    case CAIRN_INVALID_ARGUMENT:
    case CAIRN_INVALID_OPTION:
    case CAIRN_INVALID_VECTOR:
    case CAIRN_INVALID_UTF8:
    case CAIRN_INVALID_JSON:
    case CAIRN_INVALID_FILTER:
    case CAIRN_INVALID_ID:
        return CRN_CLI_EXIT_USAGE;
    case CAIRN_NOT_FOUND:
    case CAIRN_NO_COLLECTION:
    case CAIRN_NO_FILE:
        return CRN_CLI_EXIT_NOT_FOUND;
    case CAIRN_CORRUPT:
        return CRN_CLI_EXIT_CORRUPT;
    case CAIRN_CANCELLED:
        return CRN_CLI_EXIT_INTERRUPTED;
    default:
        return CRN_CLI_EXIT_FAILED;
    }
}

int crn_cli_fail(const cairn_error *err)
{
    crn_cli_note("%s (%s)", err->message, cairn_status_name(err->status));
    return crn_cli_exit_of(err->status);
}
