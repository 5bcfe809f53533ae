/* Trajectories as verify reads them: see store.h for the rest. */
#ifndef CRN_STORAGE_TRAJECTORIES_H
#define CRN_STORAGE_TRAJECTORIES_H

#include "storage/store_internal.h"

/* Calls fn for each trajectory of the collection, in the order of insertion, with what is wrong with it or
 * NULL. */
cairn_status crn_trajectories_check(struct crn_reader *reader, uint32_t collection,
                                    cairn_status (*fn)(void *ctx, const char *id, const char *damage),
                                    void *ctx, cairn_error *err);

#endif
