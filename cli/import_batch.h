/*
 * Records on their way into a collection, a batch a transaction. When the library refuses a batch for one of
 * its records, the batch is halved until the bad record stands alone: all others go in, in their order.
 */
#ifndef CRN_CLI_IMPORT_BATCH_H
#define CRN_CLI_IMPORT_BATCH_H

#include "base/arena.h"

#include <cairn/pattern.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRN_CLI_BATCH_BYTES ((size_t)8 << 20) /* a batch is full with these, or with `max` records */

struct crn_cli_batch {
    cairn_pattern *patterns;
    uint64_t *lines;
    cairn_written *written;
    size_t count, max;
    struct crn_arena arena; /* what the patterns point to */
};

/* What becomes of the records. */
struct crn_cli_sink {
    cairn_collection *collection;
    const char *unit;   /* "line" or "row" */
    bool acks;          /* print the id of each record once it is durable */
    bool stop_at_first; /* bad record */
    bool stopped;
    uint64_t stored, bad;
};

cairn_status crn_cli_batch_init(struct crn_cli_batch *batch, size_t max, cairn_error *err);
void crn_cli_batch_release(struct crn_cli_batch *batch);

/* Takes patterns[count], which the caller has filled from the arena. */
void crn_cli_batch_take(struct crn_cli_batch *batch, uint64_t line);
bool crn_cli_batch_is_full(const struct crn_cli_batch *batch);

/* Writes the batch and empties it. Bad records are told on standard error and counted; any other failure
 * is returned, and what was stored until then is counted. */
cairn_status crn_cli_batch_write(struct crn_cli_batch *batch, struct crn_cli_sink *sink, cairn_error *err);

/* Tells of a bad record. */
void crn_cli_sink_bad(struct crn_cli_sink *sink, uint64_t line, const cairn_error *err);

#endif
