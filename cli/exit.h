/*
 * How the program ends: the one table of exit statuses, which the manual pages print too, and the two
 * ways to fail. Both write one line to standard error that begins with the command's name.
 */
#ifndef CRN_CLI_EXIT_H
#define CRN_CLI_EXIT_H

#include <cairn/status.h>

/* X(NAME, status, text) */
#define CRN_CLI_EXIT_MAP(X)                                                     \
    X(OK, 0, "done")                                                            \
    X(FAILED, 1, "it failed; the message says why")                             \
    X(USAGE, 2, "the command line is wrong, or a value on it is not allowed")   \
    X(NOT_FOUND, 3, "no such file, collection or pattern")                      \
    X(SOME_BAD, 4, "import: some records were bad; all others are stored")      \
    X(CORRUPT, 5, "stored bytes are damaged, or verify has findings")           \
    X(INTERRUPTED, 130, "stopped by a signal (Ctrl-C), with nothing half done") \
    X(PIPE, 141, "the reader of standard output went away")

enum crn_cli_exit {
#define CRN_CLI_EXIT_ENUM(name, status, text) CRN_CLI_EXIT_##name = (status),
    CRN_CLI_EXIT_MAP(CRN_CLI_EXIT_ENUM)
#undef CRN_CLI_EXIT_ENUM
};

/* "cairn search": set once by main, put before every message. */
void crn_cli_exit_command(const char *name);

/* A note for people on standard error, with the command's name before it. */
void crn_cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells the library's message and gives the exit status for it. */
int crn_cli_fail(const cairn_error *err);

/* Tells what is wrong with the command line and where to read on; gives CRN_CLI_EXIT_USAGE. */
int crn_cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

int crn_cli_exit_of(cairn_status status);

#endif
