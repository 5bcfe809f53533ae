/* Whether a graph keeps to its invariants: what a checksum cannot tell, and tests of building want to
 * know. */
#ifndef CRN_ENGINE_GRAPH_CHECK_H
#define CRN_ENGINE_GRAPH_CHECK_H

#include "engine/graph.h"

/*
 * Looks at every row and entry of a graph that nobody changes meanwhile:
 *
 *   - the layout is that of its dims; codes are 1..255; scales are positive and finite, weights finite,
 *     factor scales powers of two; no row is locked
 *   - a row's slots in use come first; their ids are nodes, each named once, none the row's own; their
 *     factors are finite
 *   - empty slots have the id CRN_GRAPH_NO_NODE and an infinite a
 *   - 1..CRN_GRAPH_ENTRY_BLOCKS blocks of entries, all full but the last, which names a node; none without
 *     nodes
 *
 * CORRUPT with the first of these that does not hold. Signs may be anything, and whether searches find what
 * they should is not told.
 */
cairn_status crn_graph_check(const struct crn_graph *graph, cairn_error *err);

#endif
