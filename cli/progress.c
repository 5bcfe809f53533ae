/* Progress on standard error. */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_NS 1000000000u   /* shorter work shows nothing */
#define TERMINAL_NS 100000000u /* between two showings */
#define PLAIN_NS 2000000000u

static bool wanted;
static const struct crn_cli_option options[] = {
    CRN_CLI_OPTION_FLAG("progress", wanted, "show progress on standard error, terminal or not"),
    {0},
};
const struct crn_cli_group crn_cli_progress_group = {"Progress", options};

void crn_cli_progress_begin(struct crn_cli_progress *progress, const char *what)
{
    *progress = (struct crn_cli_progress){
        .what = what, .started_ns = crn_clock_ns(), .terminal = isatty(STDERR_FILENO) != 0};
}

static bool is_due(const struct crn_cli_progress *progress, uint64_t now)
{
    if (!progress->terminal && !wanted) return false;
    if (progress->shown_ns == 0) return now - progress->started_ns >= FIRST_NS;
    return now - progress->shown_ns >= (progress->terminal ? TERMINAL_NS : PLAIN_NS);
}

void crn_cli_progress_show(struct crn_cli_progress *progress, const char *phase, uint64_t count,
                           uint64_t parts, uint64_t total)
{
    uint64_t now = crn_clock_ns();

    if (strncmp(phase, progress->phase, sizeof progress->phase - 1) != 0) { /* the rate is a phase's own */
        snprintf(progress->phase, sizeof progress->phase, "%s", phase);
        progress->started_ns = now;
        progress->first = count;
        progress->first_parts = parts;
    }
    if (!is_due(progress, now)) return;
    progress->shown_ns = now;

    struct crn_cli_number text;
    double seconds = (double)(now - progress->started_ns) / 1e9;
    double rate = seconds > 0 ? (double)(count - progress->first) / seconds : 0;

    if (progress->terminal) fputs("\r\033[K", stderr);
    if (count == 0 && total == 0) { /* a phase that counts nothing */
        fprintf(stderr, "%s: %s", phase, crn_cli_duration(seconds, &text));
    } else {
        fprintf(stderr, "%s: %s %s", phase, crn_cli_count(count, &text), progress->what);
    }
    if (rate >= 1) fprintf(stderr, ", %s/s", crn_cli_count((uint64_t)rate, &text));
    if (total > 0 && parts <= total) {
        fprintf(stderr, ", %.0f%%", 100.0 * (double)parts / (double)total);
        if (parts > progress->first_parts) {
            double left = seconds * (double)(total - parts) / (double)(parts - progress->first_parts);
            fprintf(stderr, ", %s left", crn_cli_duration(left, &text));
        }
    }
    if (!progress->terminal) fputc('\n', stderr);
    fflush(stderr);
}

void crn_cli_progress_end(struct crn_cli_progress *progress)
{
    if (progress->terminal && progress->shown_ns != 0) fputs("\r\033[K", stderr);
    progress->shown_ns = 0;
}

bool crn_cli_progress_call(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    crn_cli_progress_show(ctx, phase, done, done, total);
    return !crn_cli_interrupted();
}
