/* What the gpu backend does beside what every index does. */
#ifndef CRN_ENGINE_INDEX_GPU_H
#define CRN_ENGINE_INDEX_GPU_H

#include "engine/index.h"

/*
 * A segment's rows on the card as they are, without an index file: for searches that are to run there whatever index the segment
 * has. Searched and closed by crn_index_gpu's functions. Where the card cannot have the rows the reason is logged, and searches find nothing.
 * NULL: no memory.
 */
struct crn_index *crn_index_gpu_of_rows(const struct crn_index_rows *rows);

#endif
