/*
 * The rows of a scope. Domain, agent, type and confidence come from the store's own index; a filter is
 * narrowed down by payload indexes, and what they do not settle is settled by looking at the rows: never an
 * approximate set.
 */
#include "engine/filter_rows.h"

#include "base/error.h"
#include "engine/prepare.h"

#include <string.h>

/* Reading one row by its key costs as much as passing so many in a scan: 2.0 to 2.7, measured with payloads
 * of 100 to 1000 bytes. */
#define POINT_READ_ROWS 2u
#define RECORD_BYTES_MAX SIZE_MAX

static bool limits_rows(const cairn_scope *scope)
{
    return scope->domain != NULL || scope->agent != NULL || scope->type != NULL || scope->min_confidence > 0;
}

bool crn_scope_is_limiting(const cairn_scope *scope)
{
    /* A filter without any name in it ("{}", "[]") asks for nothing. */
    return scope != NULL &&
           (limits_rows(scope) || (scope->filter != NULL && strchr(scope->filter, '"') != NULL));
}

static cairn_status check_fields(const cairn_scope *scope, cairn_error *err)
{
    CRN_TRY(crn_check_name("domain", scope->domain, err));
    CRN_TRY(crn_check_name("agent", scope->agent, err));
    CRN_TRY(crn_check_name("type", scope->type, err));
    if (!(scope->min_confidence >= 0 && scope->min_confidence <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "min_confidence %g is not between 0 and 1",
                             scope->min_confidence);
    }
    return CAIRN_OK;
}

cairn_status crn_scope_check(const cairn_scope *scope, cairn_error *err)
{
    struct crn_filter *filter = NULL;

    if (scope == NULL) return CAIRN_OK;
    CRN_TRY(check_fields(scope, err));
    if (scope->filter == NULL) return CAIRN_OK;
    cairn_status status = crn_filter_parse(scope->filter, strlen(scope->filter), &filter, err);
    crn_filter_free(filter);
    return status;
}

/* ---- single rows ---- */

cairn_status crn_scope_test_init(struct crn_scope_test *test, const cairn_scope *scope, cairn_error *err)
{
    *test = (struct crn_scope_test){.scope = scope};
    if (scope->filter == NULL) return CAIRN_OK;

    CRN_TRY(crn_filter_parse(scope->filter, strlen(scope->filter), &test->filter, err));
    test->with_vectors = crn_filter_asks_vectors(test->filter);
    test->parser = crn_json_parser_create();
    if (test->parser != NULL) return CAIRN_OK;
    crn_scope_test_release(test);
    crn_error_no_memory(err, 1);
    return CAIRN_NO_MEMORY;
}

void crn_scope_test_release(struct crn_scope_test *test)
{
    crn_json_parser_free(test->parser);
    crn_filter_free(test->filter);
    *test = (struct crn_scope_test){0};
}

static bool is_or_any(const char *wanted, const char *value)
{
    return wanted == NULL || strcmp(wanted, value) == 0;
}

cairn_status crn_scope_test_record(const struct crn_scope_test *test, const struct crn_record *record,
                                   bool *out_matches, cairn_error *err)
{
    const cairn_scope *scope = test->scope;
    struct crn_json payload;

    *out_matches = is_or_any(scope->domain, record->domain) && is_or_any(scope->agent, record->agent) &&
                   is_or_any(scope->type, record->type) &&
                   (scope->min_confidence == 0 || record->confidence >= scope->min_confidence);
    if (!*out_matches || test->filter == NULL) return CAIRN_OK;
    struct crn_filter_row row = {.record = record, .catalog = test->catalog};
    if (record->payload == NULL) {
        *out_matches = crn_filter_match_row(test->filter, &row);
        return CAIRN_OK;
    }
    cairn_error cause;
    cairn_status status =
        crn_json_parse(test->parser, record->payload, strlen(record->payload), &payload, &cause);
    if (status == CAIRN_NO_MEMORY) return crn_error_set(err, status, "%s", cause.message);
    if (status != CAIRN_OK) {
        return crn_error_set(err, CAIRN_CORRUPT, "payload of row %u: %s", record->local, cause.message);
    }
    row.payload = &payload;
    *out_matches = crn_filter_match_row(test->filter, &row);
    return CAIRN_OK;
}

/* ---- sets of rows ---- */

static cairn_status add_local(void *ctx, uint32_t local)
{
    roaring_bitmap_add(ctx, local);
    return CAIRN_OK;
}

static cairn_status read_unfiltered(const struct crn_filter_source *source, const cairn_scope *scope,
                                    roaring_bitmap_t **out_locals, cairn_error *err)
{
    *out_locals = roaring_bitmap_create();
    if (*out_locals == NULL) return crn_error_no_memory(err, sizeof **out_locals);
    cairn_status status = crn_read_scope(source->reader, source->catalog->id, scope->domain, scope->agent,
                                         scope->type, scope->min_confidence, add_local, *out_locals, err);
    if (status == CAIRN_OK) return CAIRN_OK;
    roaring_bitmap_free(*out_locals);
    *out_locals = NULL;
    return status;
}

/* Intersects *locals (NULL: all rows) with the rows of the scope without its filter. */
static cairn_status intersect_unfiltered(const struct crn_filter_source *source, const cairn_scope *scope,
                                         roaring_bitmap_t **locals, cairn_error *err)
{
    struct crn_rows *rows;
    cairn_scope unfiltered = *scope;

    unfiltered.filter = NULL;
    CRN_TRY(crn_scope_rows(source->cache, source->reader, source->catalog, &unfiltered, &rows, err));
    if (*locals != NULL) {
        roaring_bitmap_and_inplace(*locals, rows->locals);
    } else {
        *locals = roaring_bitmap_copy(rows->locals);
    }
    crn_rows_release(rows);
    return *locals != NULL ? CAIRN_OK : crn_error_no_memory(err, sizeof **locals);
}

struct scan {
    const struct crn_scope_test *test;
    const roaring_bitmap_t *candidates; /* NULL: all */
    uint32_t last;                      /* candidate */
    bool ended;                         /* on purpose */
    roaring_bitmap_t *matches;
    cairn_error *err;
};

static cairn_status scan_record(void *ctx, const struct crn_record *record)
{
    struct scan *scan = ctx;
    bool matches = false;

    if (record->local > scan->last) {
        scan->ended = true;
        return CAIRN_CANCELLED;
    }
    if (scan->candidates != NULL && !roaring_bitmap_contains(scan->candidates, record->local))
        return CAIRN_OK;
    CRN_TRY(crn_scope_test_record(scan->test, record, &matches, scan->err));
    if (matches) roaring_bitmap_add(scan->matches, record->local);
    return CAIRN_OK;
}

static cairn_status match_by_scan(const struct crn_filter_source *source, const struct crn_scope_test *test,
                                  const roaring_bitmap_t *candidates, roaring_bitmap_t *matches,
                                  cairn_error *err)
{
    const uint32_t first = candidates != NULL ? roaring_bitmap_minimum(candidates) : 0;
    struct scan scan = {
        .test = test,
        .candidates = candidates,
        .last = candidates != NULL ? roaring_bitmap_maximum(candidates) : CRN_LOCAL_MAX,
        .matches = matches,
        .err = err,
    };
    cairn_status status = crn_read_scan(source->reader, source->catalog, first,
                                        CRN_WANT_ID | CRN_WANT_PAYLOAD, scan_record, &scan, err);

    return scan.ended ? CAIRN_OK : status;
}

/* Adds to `matches`, or takes out of it, each local of `asked`, as its row says. */
static cairn_status match_by_point(const struct crn_filter_source *source, const struct crn_scope_test *test,
                                   const roaring_bitmap_t *asked, roaring_bitmap_t *matches, cairn_error *err)
{
    cairn_status status = CAIRN_OK;
    struct crn_buf memory;
    roaring_uint32_iterator_t it;

    crn_buf_init(&memory, RECORD_BYTES_MAX);
    for (roaring_init_iterator(asked, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct crn_record record;
        bool is_match = false;

        crn_buf_clear(&memory);
        status = crn_read_record(source->reader, source->catalog, it.current_value, test->with_vectors,
                                 &memory, &record, err);
        if (status == CAIRN_OK) status = crn_scope_test_record(test, &record, &is_match, err);
        if (status != CAIRN_OK && status != CAIRN_NOT_FOUND) goto done;
        status = CAIRN_OK;
        if (is_match) {
            roaring_bitmap_add(matches, it.current_value);
        } else {
            roaring_bitmap_remove(matches, it.current_value);
        }
    }

done:
    crn_buf_release(&memory);
    return status;
}

/* Replaces the candidates (NULL: all rows) by those that match. */
static cairn_status match_rows(const struct crn_filter_source *source, const struct crn_scope_test *test,
                               roaring_bitmap_t **locals, cairn_error *err)
{
    uint64_t total;
    roaring_bitmap_t *matches;
    cairn_status status;

    CRN_TRY(crn_read_count(source->reader, source->catalog->id, &total, err));
    const uint64_t asked = *locals != NULL ? roaring_bitmap_get_cardinality(*locals) : total;
    if (asked == 0 && *locals != NULL) return CAIRN_OK;
    matches = roaring_bitmap_create();
    if (matches == NULL) return crn_error_no_memory(err, sizeof *matches);
    if (!test->with_vectors && (*locals == NULL || asked * POINT_READ_ROWS >= total)) {
        status = match_by_scan(source, test, *locals, matches, err);
    } else {
        status = match_by_point(source, test, *locals, matches, err);
    }
    if (*locals != NULL) roaring_bitmap_free(*locals);
    *locals = matches;
    return status;
}

static cairn_status evaluate_filter(const struct crn_filter_source *source, const struct crn_scope_test *test,
                                    roaring_bitmap_t **locals, cairn_error *err)
{
    struct crn_filter_narrowed narrowed;

    CRN_TRY(crn_filter_narrow(source, test->scope, test->filter, &narrowed, err));
    *locals = narrowed.locals;
    if (limits_rows(test->scope) || (test->with_vectors && *locals == NULL) ||
        (narrowed.exact && *locals == NULL)) {
        CRN_TRY(intersect_unfiltered(source, test->scope, locals, err));
    }
    return narrowed.exact ? CAIRN_OK : match_rows(source, test, locals, err);
}

cairn_status crn_scope_evaluate(const struct crn_filter_source *source, const cairn_scope *scope,
                                roaring_bitmap_t **out_locals, cairn_error *err)
{
    struct crn_scope_test test;

    *out_locals = NULL;
    if (scope->filter == NULL) return read_unfiltered(source, scope, out_locals, err);
    CRN_TRY(crn_scope_test_init(&test, scope, err));
    test.catalog = source->catalog;
    cairn_status status = evaluate_filter(source, &test, out_locals, err);
    crn_scope_test_release(&test);
    if (status != CAIRN_OK && *out_locals != NULL) {
        roaring_bitmap_free(*out_locals);
        *out_locals = NULL;
    }
    return status;
}

cairn_status crn_scope_update(const struct crn_filter_source *source, const cairn_scope *scope,
                              const roaring_bitmap_t *changed, roaring_bitmap_t *locals, cairn_error *err)
{
    struct crn_scope_test test;

    CRN_TRY(crn_scope_test_init(&test, scope, err));
    test.catalog = source->catalog;
    cairn_status status = match_by_point(source, &test, changed, locals, err);
    crn_scope_test_release(&test);
    return status;
}
