/*
 * Where an unfinished import stopped: a small file beside the database, DB.import-<hash of file and
 * collection>.json, written after each durable batch and removed when all is in.
 */
#ifndef CRN_CLI_IMPORT_STATE_H
#define CRN_CLI_IMPORT_STATE_H

#include "cli/input.h"

#include <cairn/status.h>
#include <stdbool.h>
#include <stdint.h>

struct crn_cli_import_state {
    char *path;      /* of the state file */
    uint64_t offset; /* where to go on in the file */
    uint64_t line;   /* lines (or rows) before it */
    uint64_t stored; /* records so far, all runs together */
    uint64_t bad;
};

/* Names the state file; nothing is read. Released by crn_cli_import_state_release. */
cairn_status crn_cli_import_state_init(struct crn_cli_import_state *state, const char *db,
                                       const char *collection, const char *file, cairn_error *err);
void crn_cli_import_state_release(struct crn_cli_import_state *state);

/* *out_found = false when there is no unfinished import of this file. CONFLICT when the file is another one
 * now (size or inode), INVALID_JSON when the state file is damaged. */
cairn_status crn_cli_import_state_load(struct crn_cli_import_state *state, const struct crn_cli_input *input,
                                       bool *out_found, cairn_error *err);

/* Replaces the state file in one step. It is not synced: after a power cut it may be an older one, and
 * what is then imported a second time replaces itself. */
cairn_status crn_cli_import_state_save(const struct crn_cli_import_state *state,
                                       const struct crn_cli_input *input, cairn_error *err);
void crn_cli_import_state_remove(const struct crn_cli_import_state *state);

#endif
