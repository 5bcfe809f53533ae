/*
 * A scope's rows, evaluated without the cache, in the two ways there are: as a set through the store's
 * indexes, and row by row. Only the files filter_*.c use it.
 */
#ifndef CRN_ENGINE_FILTER_ROWS_H
#define CRN_ENGINE_FILTER_ROWS_H

#include "engine/filter_tree.h"

/* A snapshot to evaluate in. */
struct crn_filter_source {
    struct crn_scope_cache *cache; /* may be NULL */
    struct crn_reader *reader;
    const struct crn_catalog *catalog;
};

/* The rows that a part of a filter may match, as far as payload indexes tell. */
struct crn_filter_narrowed {
    roaring_bitmap_t *locals; /* a superset of the matches; NULL: indexes tell nothing, any row may match */
    bool exact;               /* and these are the matches */
};

/* Narrows a filter's root down by the collection's payload indexes. `scope` without its filter gives the rows
 * that negations are taken from. out_narrowed->locals is released by roaring_bitmap_free. */
cairn_status crn_filter_narrow(const struct crn_filter_source *source, const cairn_scope *scope,
                               const struct crn_filter *filter, struct crn_filter_narrowed *out_narrowed,
                               cairn_error *err);

/* All rows of the scope in the source's snapshot; released by roaring_bitmap_free. */
cairn_status crn_scope_evaluate(const struct crn_filter_source *source, const cairn_scope *scope,
                                roaring_bitmap_t **out_locals, cairn_error *err);

/* Asks anew about the locals in `changed`: adds to and removes from `locals`. */
cairn_status crn_scope_update(const struct crn_filter_source *source, const cairn_scope *scope,
                              const roaring_bitmap_t *changed, roaring_bitmap_t *locals, cairn_error *err);

#endif
