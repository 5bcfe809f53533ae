/*
 * Qdrant's REST dialect (1.19) over Cairn's public API: what docs/QDRANT.md lists. A collection is a Cairn collection, a point is
 * a pattern with a u64 or UUID id, a named vector is a space.
 *
 * crn_qdrant_handle is a crn_handler: shared, any number of threads at once. It answers every request; whoever gets a path that is
 * not the dialect's answers 404.
 */
#ifndef CRN_SERVER_QDRANT_H
#define CRN_SERVER_QDRANT_H

#include "server/exchange.h"

#include <cairn/cairn.h>

struct crn_qdrant;

struct crn_qdrant_options {
    size_t open_collections_max; /* collections kept open while nobody uses them; 0 = 256 */
    const char *snapshots;       /* folder, made when it is needed; NULL: none are made */
};

/* `db` stays the caller's and outlives it. `options` may be NULL. */
cairn_status crn_qdrant_open(struct cairn_db *db, const struct crn_qdrant_options *options,
                             struct crn_qdrant **out_qdrant, cairn_error *err);
void crn_qdrant_close(struct crn_qdrant *qdrant); /* NULL accepted; no request may be under way */

/* `ctx` is a struct crn_qdrant. */
void crn_qdrant_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer);

#endif
