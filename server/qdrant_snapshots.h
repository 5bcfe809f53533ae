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

#endif
