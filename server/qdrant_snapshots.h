/* What making, and recovering from, snapshots share. */
#ifndef CRN_SERVER_QDRANT_SNAPSHOTS_H
#define CRN_SERVER_QDRANT_SNAPSHOTS_H

#include "server/collection_copy.h"
#include "server/qdrant_internal.h"

#define QD_SNAPSHOT_PATH 4096u

bool crn_qd_is_snapshot_name(const char *name, size_t length);
/* The folder of a collection's snapshots (NULL: of the whole storage's), made if need be. */
bool crn_qd_snapshot_folder(struct crn_qd_call *call, const char *collection, char out[QD_SNAPSHOT_PATH]);
/* A name in that folder for what is not whole yet: no snapshot's. */
void crn_qd_snapshot_part(const char *folder, char out[QD_SNAPSHOT_PATH]);

/* A cairn_progress_fn whose context is the call: whether its answer is still waited for. */
bool crn_qd_is_wanted(void *ctx, const char *phase, uint64_t done, uint64_t total);

/* When the server starts: what a crash has left of snapshots half made and of collections half recovered. Failing is no reason not to
 * start: nobody sees them, and the next start tries again. */
void crn_qd_drop_asides(struct crn_qdrant *qdrant);
void crn_qd_remove_parts(const char *snapshots);

#endif
