/* Ranking what a retrieval found: by likeness, age and confidence, or by weights the caller gives. */
#ifndef CRN_ENGINE_RANK_H
#define CRN_ENGINE_RANK_H

#include "engine/shortlist.h"

/* Sets each candidate's score as the options ask and puts the best first. */
cairn_status crn_rank(struct crn_shortlist *shortlist, const cairn_retrieve_options *options, int64_t now_ms,
                      cairn_error *err);

#endif
