/* Reading patterns: get, scroll, count; and the rows of a scope. */
#include "engine/collection.h"
#include "engine/id.h"
#include "engine/patterns.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* ---- get ---- */

static cairn_status get_all(struct crn_reader *reader, const struct crn_catalog *catalog, const cairn_id *ids,
                            size_t count, bool with_vectors, struct cairn_patterns *set, cairn_error *err)
{
    const int64_t now_ms = crn_clock_ms();

    for (size_t i = 0; i < count; i++) {
        struct crn_id id;
        uint32_t local;
        CRN_TRY(crn_id_check(ids[i].type, ids[i].text, ids[i].u64, &id, err));
        CRN_TRY(crn_read_find(reader, catalog, id.type, id.text, id.len, id.u64, &local, err));
        CRN_TRY(crn_patterns_add(set, reader, catalog, local, now_ms, with_vectors, err));
    }
    return CAIRN_OK;
}

cairn_status cairn_get(cairn_collection *collection, const cairn_id *ids, size_t count, bool with_vectors,
                       cairn_patterns **out_patterns, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    if (collection == NULL || out_patterns == NULL || (ids == NULL && count != 0)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    }
    *out_patterns = NULL;
    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    struct cairn_patterns *set = crn_patterns_create(count, err);
    cairn_status status =
        set == NULL ? CAIRN_NO_MEMORY : get_all(reader, catalog, ids, count, with_vectors, set, err);
    crn_store_read_end(reader);
    if (status != CAIRN_OK) {
        cairn_patterns_free(set);
        return status;
    }
    *out_patterns = set;
    return CAIRN_OK;
}

/* ---- scopes ---- */

static cairn_status remove_local(void *ctx, uint32_t local)
{
    roaring_bitmap_remove(ctx, local);
    return CAIRN_OK;
}

cairn_status crn_collection_scope(cairn_collection *collection, struct crn_reader *reader,
                                  const struct crn_catalog *catalog, const cairn_scope *scope,
                                  struct crn_rows **out_rows, cairn_error *err)
{
    struct crn_rows *rows;
    int64_t next_ms;

    *out_rows = NULL;
    CRN_TRY(crn_scope_rows(collection->scopes, reader, catalog, scope, &rows, err));
    /* Cached sets are shared and hold expired rows too: work on a copy, which is cheap next to reading rows. */
    struct crn_rows *live = crn_mem_calloc(1, sizeof *live);
    if (live != NULL) live->locals = roaring_bitmap_copy(rows->locals);
    if (live == NULL || live->locals == NULL) {
        crn_mem_free(live);
        crn_rows_release(rows);
        return crn_error_no_memory(err, sizeof *live);
    }
    live->sequence = rows->sequence;
    atomic_init(&live->references, 1);
    crn_rows_release(rows);
    const cairn_status status =
        crn_read_expired(reader, collection->id, crn_clock_ms(), remove_local, live->locals, &next_ms, err);
    if (status != CAIRN_OK) {
        crn_rows_release(live);
        return status;
    }
    *out_rows = live;
    return CAIRN_OK;
}

static cairn_status check_scope(const cairn_scope *scope, cairn_error *err)
{
    if (scope == NULL) return CAIRN_OK;
    CRN_TRY(crn_check_size("cairn_scope", scope->size, sizeof *scope, err));
    return crn_scope_check(scope, err);
}

/* ---- scroll ---- */

struct scroll {
    uint32_t *locals;
    size_t count, limit;
    int64_t now_ms;
};

/* TIMEOUT only ends the scan here; it is no failure. */
static cairn_status collect_local(void *ctx, const struct crn_record *record)
{
    struct scroll *scroll = ctx;

    if (record->expires_at_ms != 0 && record->expires_at_ms <= scroll->now_ms) return CAIRN_OK;
    if (scroll->count == scroll->limit) return CAIRN_TIMEOUT;
    scroll->locals[scroll->count++] = record->local;
    return CAIRN_OK;
}

static cairn_status scroll_scope(cairn_collection *collection, struct crn_reader *reader,
                                 const struct crn_catalog *catalog, const cairn_scope *scope, uint32_t from,
                                 struct scroll *scroll, cairn_error *err)
{
    roaring_uint32_iterator_t it;
    struct crn_rows *rows;

    CRN_TRY(crn_collection_scope(collection, reader, catalog, scope, &rows, err));
    roaring_init_iterator(rows->locals, &it);
    for (roaring_move_uint32_iterator_equalorlarger(&it, from); it.has_value && scroll->count < scroll->limit;
         roaring_advance_uint32_iterator(&it)) {
        scroll->locals[scroll->count++] = it.current_value;
    }
    crn_rows_release(rows);
    return CAIRN_OK;
}

static cairn_status read_page(cairn_collection *collection, struct crn_reader *reader,
                              const struct crn_catalog *catalog, const cairn_scope *scope, uint64_t *cursor,
                              struct scroll *scroll, bool with_vectors, struct cairn_patterns **out_set,
                              cairn_error *err)
{
    const uint32_t from = *cursor == 0 ? 1 : (uint32_t)*cursor;
    cairn_status status;

    if (crn_scope_is_limiting(scope)) {
        status = scroll_scope(collection, reader, catalog, scope, from, scroll, err);
    } else {
        status = crn_read_scan(reader, catalog, from, 0, collect_local, scroll, err);
        if (status == CAIRN_TIMEOUT) status = CAIRN_OK;
    }
    if (status != CAIRN_OK) return status;
    /* One row more than the page was asked for tells whether there is another page, and where it begins. */
    const size_t count = scroll->count < scroll->limit ? scroll->count : scroll->limit - 1;
    *out_set = crn_patterns_create(count, err);
    if (*out_set == NULL) return CAIRN_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        CRN_TRY(crn_patterns_add(*out_set, reader, catalog, scroll->locals[i], scroll->now_ms, with_vectors,
                                 err));
    }
    *cursor = scroll->count == scroll->limit ? scroll->locals[count] : 0;
    return CAIRN_OK;
}

cairn_status cairn_scroll(cairn_collection *collection, const cairn_scope *scope, uint64_t *cursor,
                          size_t limit, bool with_vectors, cairn_patterns **out_patterns, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    struct cairn_patterns *set = NULL;

    if (collection == NULL || cursor == NULL || out_patterns == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_patterns = NULL;
    if (limit == 0 || limit > CAIRN_K_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "limit %zu is not between 1 and %u", limit,
                             CAIRN_K_MAX);
    }
    if (*cursor > UINT32_MAX)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "cursor %llu was not returned by a scroll",
                             (unsigned long long)*cursor);
    CRN_TRY(check_scope(scope, err));
    struct scroll scroll = {.limit = limit + 1, .now_ms = crn_clock_ms()};
    scroll.locals = crn_mem_array(scroll.limit, sizeof *scroll.locals);
    if (scroll.locals == NULL) return crn_error_no_memory(err, scroll.limit * sizeof *scroll.locals);
    cairn_status status = crn_collection_read(collection, &reader, &catalog, err);
    if (status == CAIRN_OK) {
        status = read_page(collection, reader, catalog, scope, cursor, &scroll, with_vectors, &set, err);
        crn_store_read_end(reader);
    }
    crn_mem_free(scroll.locals);
    if (status != CAIRN_OK) {
        cairn_patterns_free(set);
        return status;
    }
    *out_patterns = set;
    return CAIRN_OK;
}

/* ---- in the order of ids ---- */

struct walk_by_id {
    const roaring_bitmap_t *allowed; /* NULL: all */
    struct crn_reader *reader;
    const struct crn_catalog *catalog;
    struct cairn_patterns *set;
    size_t limit;
    int64_t now_ms;
    bool with_vectors;
    cairn_error *err;
};

/* TIMEOUT only ends the walk here; it is no failure. */
static cairn_status take_by_id(void *ctx, uint32_t local)
{
    struct walk_by_id *walk = ctx;

    if (walk->allowed != NULL && !roaring_bitmap_contains(walk->allowed, local)) return CAIRN_OK;
    CRN_TRY(crn_patterns_add(walk->set, walk->reader, walk->catalog, local, walk->now_ms, walk->with_vectors,
                             walk->err));
    if (cairn_patterns_at(walk->set, cairn_patterns_count(walk->set) - 1)->id == NULL)
        crn_patterns_drop_last(walk->set);
    return cairn_patterns_count(walk->set) == walk->limit ? CAIRN_TIMEOUT : CAIRN_OK;
}

static cairn_status walk_by_id(cairn_collection *collection, const cairn_scope *scope,
                               const struct crn_record *from, struct walk_by_id *walk, cairn_error *err)
{
    struct crn_rows *rows = NULL;
    cairn_status status = CAIRN_OK;

    if (crn_scope_is_limiting(scope)) {
        status = crn_collection_scope(collection, walk->reader, walk->catalog, scope, &rows, err);
        if (status == CAIRN_OK) walk->allowed = rows->locals;
    }
    if (status == CAIRN_OK) status = crn_read_by_id(walk->reader, walk->catalog, from, take_by_id, walk, err);
    crn_rows_release(rows);
    return status == CAIRN_TIMEOUT ? CAIRN_OK : status;
}

cairn_status cairn_scroll_by_id(cairn_collection *collection, const cairn_scope *scope, const cairn_id *from,
                                size_t limit, bool with_vectors, cairn_patterns **out_patterns,
                                cairn_error *err)
{
    struct walk_by_id walk = {
        .limit = limit, .now_ms = crn_clock_ms(), .with_vectors = with_vectors, .err = err};
    struct crn_id id;
    struct crn_record first = {0};

    if (collection == NULL || out_patterns == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_patterns = NULL;
    if (limit == 0 || limit > CAIRN_K_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "limit %zu is not between 1 and %u", limit,
                             CAIRN_K_MAX);
    }
    CRN_TRY(check_scope(scope, err));
    if (from != NULL) {
        CRN_TRY(crn_id_check(from->type, from->text, from->u64, &id, err));
        first = (struct crn_record){.id_type = id.type, .id = id.text, .id_len = id.len, .id_u64 = id.u64};
    }
    CRN_TRY(crn_collection_read(collection, &walk.reader, &walk.catalog, err));
    walk.set = crn_patterns_create(limit, err);
    cairn_status status = walk.set == NULL
                              ? CAIRN_NO_MEMORY
                              : walk_by_id(collection, scope, from == NULL ? NULL : &first, &walk, err);
    crn_store_read_end(walk.reader);
    if (status != CAIRN_OK) {
        cairn_patterns_free(walk.set);
        return status;
    }
    *out_patterns = walk.set;
    return CAIRN_OK;
}

/* ---- count ---- */

static cairn_status count_one(void *ctx, uint32_t local)
{
    (void)local;
    ++*(uint64_t *)ctx;
    return CAIRN_OK;
}

static cairn_status count_rows(cairn_collection *collection, struct crn_reader *reader,
                               const struct crn_catalog *catalog, const cairn_scope *scope,
                               uint64_t *out_count, cairn_error *err)
{
    struct crn_rows *rows;
    uint64_t all = 0, expired = 0;
    int64_t next_ms;

    if (crn_scope_is_limiting(scope)) {
        CRN_TRY(crn_collection_scope(collection, reader, catalog, scope, &rows, err));
        *out_count = roaring_bitmap_get_cardinality(rows->locals);
        crn_rows_release(rows);
        return CAIRN_OK;
    }
    CRN_TRY(crn_read_count(reader, collection->id, &all, err));
    CRN_TRY(crn_read_expired(reader, collection->id, crn_clock_ms(), count_one, &expired, &next_ms, err));
    *out_count = all - expired;
    return CAIRN_OK;
}

cairn_status cairn_count(cairn_collection *collection, const cairn_scope *scope, uint64_t *out_count,
                         cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    if (collection == NULL || out_count == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    CRN_TRY(check_scope(scope, err));
    CRN_TRY(crn_collection_read(collection, &reader, &catalog, err));
    const cairn_status status = count_rows(collection, reader, catalog, scope, out_count, err);
    crn_store_read_end(reader);
    return status;
}
