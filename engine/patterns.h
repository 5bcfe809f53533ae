/* Sets of patterns read from the store, as the public cairn_patterns. Internal to engine/. */
#ifndef CRN_ENGINE_PATTERNS_H
#define CRN_ENGINE_PATTERNS_H

#include "engine/collection.h"

/* An empty set with room for `capacity` patterns; NULL: no memory. Freed by cairn_patterns_free. */
struct cairn_patterns *crn_patterns_create(size_t capacity, cairn_error *err);

/* Reads the row of a local into the next place; a row that is not there (local 0 too) or has expired leaves a pattern without
 * an id there. To be called at most `capacity` times. */
cairn_status crn_patterns_add(struct cairn_patterns *set, struct crn_reader *reader,
                              const struct crn_catalog *catalog, uint32_t local, int64_t now_ms,
                              bool with_vectors, cairn_error *err);

/* Takes back what crn_patterns_add has added. */
void crn_patterns_drop_last(struct cairn_patterns *set);

#endif
