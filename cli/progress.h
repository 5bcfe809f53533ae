/*
 * Progress on standard error: one line, rewritten, with the rate and the time left. Shown from the second
 * second on, when standard error is a terminal; with --progress always, as plain lines when it is none.
 */
#ifndef CRN_CLI_PROGRESS_H
#define CRN_CLI_PROGRESS_H

#include "cli/args.h"

#include <stdbool.h>
#include <stdint.h>

extern const struct crn_cli_group crn_cli_progress_group; /* --progress */

struct crn_cli_progress {
    const char *what;            /* counted things, as in "records" */
    uint64_t started_ns;         /* of this phase */
    uint64_t shown_ns;           /* last time; 0: never */
    uint64_t first, first_parts; /* what was done when the phase began: not of its rate */
    char phase[48];
    bool terminal;
};

/* Begins the first phase. `what` is borrowed until the end. */
void crn_cli_progress_begin(struct crn_cli_progress *progress, const char *what);

/* `count` things are done; parts/total of the work, in any unit (total 0: unknown). */
void crn_cli_progress_show(struct crn_cli_progress *progress, const char *phase, uint64_t count,
                           uint64_t parts, uint64_t total);

/* Removes the line from a terminal, so that other output may follow. */
void crn_cli_progress_end(struct crn_cli_progress *progress);

/* A cairn_progress_fn whose ctx is a struct crn_cli_progress; false when the user has asked to stop. */
bool crn_cli_progress_call(void *ctx, const char *phase, uint64_t done, uint64_t total);

#endif
