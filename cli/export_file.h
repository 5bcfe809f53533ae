/* A file that appears whole or not at all: written aside as PATH.partial, synced, then renamed. */
#ifndef CRN_CLI_EXPORT_FILE_H
#define CRN_CLI_EXPORT_FILE_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stdio.h>

struct crn_cli_export_file {
    FILE *file;
    char *path;  /* where it will appear */
    char *aside; /* where it is */
};

/* `suffix` is put behind the path. EXISTS when the file is there, unless `replace`. */
cairn_status crn_cli_export_file_open(struct crn_cli_export_file *file, const char *path, const char *suffix,
                                      bool replace, cairn_error *err);
/* Puts the file in place. */
cairn_status crn_cli_export_file_finish(struct crn_cli_export_file *file, cairn_error *err);
/* Frees, and removes what was not put in place. */
void crn_cli_export_file_release(struct crn_cli_export_file *file);

#endif
