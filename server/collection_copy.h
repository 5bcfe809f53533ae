/* One collection copied into a database: what snapshots of the dialect are made of and read from. */
#ifndef CRN_SERVER_COLLECTION_COPY_H
#define CRN_SERVER_COLLECTION_COPY_H

#include <cairn/cairn.h>

/* Makes a collection `to_name` in `to`, with the settings, payload indexes and patterns of the other one. Versions begin anew at 1, and
 * trajectories are left out. Memory is bounded. EXISTS when the name is taken; after another failure, or when `progress` (may be NULL)
 * says no (CANCELLED), there is no such collection. */
cairn_status crn_collection_copy(cairn_db *from, const char *from_name, cairn_db *to, const char *to_name,
                                 cairn_progress_fn progress, void *ctx, cairn_error *err);

#endif
