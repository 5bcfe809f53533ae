/*
 * Filters: the grammar (docs/FILTERS.md), matching one row, and the set of a collection's rows that match a
 * scope. The only user of CRoaring is this folder.
 */
#ifndef CRN_ENGINE_FILTER_H
#define CRN_ENGINE_FILTER_H

#include "base/json.h"
#include "storage/store.h"

#include <roaring/roaring.h>

struct crn_filter_parts;
struct crn_filter; /* a parsed filter: immutable, shared */

/* INVALID_FILTER with the offending part, INVALID_JSON, INVALID_UTF8, LIMIT (depth, size). */
cairn_status crn_filter_parse(const char *json, size_t len, struct crn_filter **out_filter, cairn_error *err);
void crn_filter_free(struct crn_filter *filter);

/* Does a payload match? `payload` is an object, or NULL for a row without one. */
bool crn_filter_match(const struct crn_filter *filter, const struct crn_json *payload);

/* The same of a whole row: conditions on ids and vectors, which a payload alone never fulfils, are looked up in it. */
struct crn_filter_row {
    const struct crn_json *payload;    /* or NULL */
    const struct crn_record *record;   /* with vectors if crn_filter_asks_vectors; or NULL */
    const struct crn_catalog *catalog; /* names the record's spaces; or NULL */
};
bool crn_filter_match_row(const struct crn_filter *filter, const struct crn_filter_row *row);
bool crn_filter_asks_vectors(const struct crn_filter *filter);

/* How many of its conditions, each counted alone, does a payload fulfil? A condition under an odd number of
 * negations is fulfilled when it does not hold. *out_conditions counts all of them. */
size_t crn_filter_count(const struct crn_filter *filter, const struct crn_json *payload,
                        size_t *out_conditions);

/* A set of locals: immutable, reference-counted, shared. */
struct crn_rows {
    roaring_bitmap_t *locals;
    uint64_t sequence;              /* holds as of this log sequence */
    struct crn_filter_parts *parts; /* filter_parts.h; NULL: nothing is kept */
    _Atomic uint32_t references;
};
void crn_rows_release(struct crn_rows *rows); /* NULL accepted */

/* Recent scopes' sets, kept in step with the log; bounded in number and bytes. One a collection. Shared. */
struct crn_scope_cache;
struct crn_scope_cache *crn_scope_cache_create(size_t max_bytes);
void crn_scope_cache_free(struct crn_scope_cache *cache);
void crn_scope_cache_clear(
    struct crn_scope_cache *cache); /* after a change of payload indexes, or when unsure */

/* True when the scope asks for anything at all (NULL: false). */
bool crn_scope_is_limiting(const cairn_scope *scope);

/* Validates a scope's strings and filter without running it. */
cairn_status crn_scope_check(const cairn_scope *scope, cairn_error *err);

/* A scope made ready to be asked about single rows; *scope stays the caller's. Confined. */
struct crn_scope_test {
    const cairn_scope *scope;
    struct crn_filter *filter; /* NULL: none */
    struct crn_json_parser *parser;
    const struct crn_catalog *catalog; /* set by those whose filter may ask about vectors */
    bool with_vectors;                 /* records asked about have to bring their vectors */
};
cairn_status crn_scope_test_init(struct crn_scope_test *test, const cairn_scope *scope, cairn_error *err);
void crn_scope_test_release(struct crn_scope_test *test);

/* Is the row in the scope? CORRUPT when its payload cannot be read. */
cairn_status crn_scope_test_record(const struct crn_scope_test *test, const struct crn_record *record,
                                   bool *out_matches, cairn_error *err);

/*
 * The rows of the collection in the scope, as the reader's snapshot has them; expired rows included. From the
 * cache when there; a cached set that is older is brought up to date by evaluating only the rows that the log
 * says have changed. *out_rows is released by crn_rows_release. `cache` may be
 * NULL, and so may `scope`: all rows.
 */
cairn_status crn_scope_rows(struct crn_scope_cache *cache, struct crn_reader *reader,
                            const struct crn_catalog *catalog, const cairn_scope *scope,
                            struct crn_rows **out_rows, cairn_error *err);

#endif
