/*
 * Rows that are equal: texts that an agent met twice, vectors of nothing. As nodes they would take each other's places in all lists
 * near them, until most were in none and nothing else was. So one of them is a node like others (the first), and the rest, its twins,
 * are put beside it when the graph is done: each has a copy of its list, and they all form a ring, of which whoever comes by one
 * finds the next.
 */
#ifndef CRN_ENGINE_GRAPH_TWINS_H
#define CRN_ENGINE_GRAPH_TWINS_H

#include "engine/graph_insert.h"

/* out_first[i] = the first of the rows[count][dim] that equals row i, byte by byte: i itself for most. NO_MEMORY. */
cairn_status crn_graph_twins_find(const float *rows, size_t dim, uint32_t count, uint32_t *out_first,
                                  cairn_error *err);

/* Puts the nodes that are not their own first beside it; a first one may be any of its equals. NO_MEMORY, before anything is changed. */
cairn_status crn_graph_twins_place(struct crn_graph_growing *growing, const uint32_t *first, uint32_t count,
                                   cairn_error *err);

#endif
