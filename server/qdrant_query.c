/* Queries run: by the engine where it has an index, point by point elsewhere, over the points of prefetches where there are any. */
#include "server/qdrant_query.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_HITS 256u /* read at once, so that few are held in memory */

static bool keep_id(struct crn_qd_call *call, const cairn_id *id, cairn_id *out)
{
    *out = *id;
    if (id->type == CAIRN_ID_U64) return true;
    out->text = crn_qd_take_text(call, id->text, strlen(id->text));
    return out->text != NULL;
}

static uint64_t wanted(const struct crn_qd_query *query)
{
    const uint64_t k = query->limit + query->offset;

    return query->mmr && query->candidates > k ? query->candidates : k;
}

/* ---- by the engine ---- */

static bool search(struct crn_qd_call *call, struct crn_qd_collection *collection,
                   const struct crn_qd_query *query, const char *filter, bool exact, struct crn_qd_hits *out)
{
    const struct crn_qd_vector *using = query->using;
    struct crn_qd_query_vector target = query->target;
    const bool sparse = using->kind == CAIRN_SPACE_SPARSE;
    cairn_results *results;
    cairn_error err;

    *out = (struct crn_qd_hits){0};
    if (sparse && target.count == 0) return true;
    if (sparse && using->idf && !crn_qd_weigh_by_idf(call, collection, using, &target)) return false;
    uint64_t k = wanted(query);
    if (k > CAIRN_K_MAX) k = CAIRN_K_MAX;
    const cairn_query asked = {.size = sizeof asked,
                               .vector = target.values,
                               .dim = sparse ? target.count : target.dim,
                               .indices = sparse ? target.indices : NULL,
                               .space = using->name,
                               .k = (uint32_t)k,
                               .mode = CAIRN_SEARCH_VECTOR,
                               .filter = filter,
                               .exact = exact,
                               .ef = query->ef > UINT32_MAX ? UINT32_MAX : (uint32_t)query->ef,
                               .oversampling = query->oversampling,
                               .timeout_ms = crn_qd_left_ms(call)};
    if (!crn_qd_ok(call, cairn_search(collection->handle, &asked, &results, &err), &err)) return false;
    const size_t count = cairn_results_count(results);
    out->list = crn_qd_take(call, count + 1, sizeof *out->list);
    bool done = out->list != NULL;
    for (size_t i = 0; done && i < count; i++) {
        const cairn_hit *hit = cairn_results_at(results, i);
        if (hit->id.type == CAIRN_ID_STRING) continue;
        struct crn_qd_hit *to = &out->list[out->count++];
        to->score = (double)(using->distance >= QD_EUCLID && !sparse ? hit->distance : hit->score);
        done = keep_id(call, &hit->id, &to->id);
    }
    cairn_results_free(results);
    return done;
}

static bool take_point(struct crn_qd_call *call, void *ctx, const cairn_pattern *point)
{
    struct crn_qd_hits *hits = ctx;
    const cairn_id id = crn_qd_id_of(point);
    struct crn_qd_hit *to = &hits->list[hits->count++];

    to->score = 1;
    return keep_id(call, &id, &to->id);
}

static bool all_points(struct crn_qd_call *call, struct crn_qd_collection *collection,
                       const struct crn_qd_query *query, struct crn_qd_hits *out)
{
    uint64_t k = wanted(query), points = 0;
    cairn_error err;

    if (!crn_qd_ok(call, cairn_count(collection->handle, NULL, &points, &err), &err)) return false;
    if (k > points) k = points;
    *out = (struct crn_qd_hits){.list = crn_qd_take(call, k + 1, sizeof *out->list)};
    return out->list != NULL && (k == 0 || crn_qd_each_by_id(call, collection, query->filter, NULL, k, false,
                                                             take_point, out, NULL));
}

static bool ordered_points(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           const struct crn_qd_query *query, const char *filter, struct crn_qd_hits *out)
{
    struct crn_qd_ordered *ordered;
    size_t count;

    if (!crn_qd_order_points(call, collection, filter, &query->order, wanted(query), &ordered, &count))
        return false;
    *out = (struct crn_qd_hits){.list = crn_qd_take(call, count + 1, sizeof *out->list), .count = count};
    if (out->list == NULL) return false;
    for (size_t i = 0; i < count; i++)
        out->list[i] = (struct crn_qd_hit){.id = ordered[i].id, .score = 1, .ordered = &ordered[i]};
    return true;
}

/* ---- one query ---- */

/* Its answer is made of its prefetches' scores. */
static bool merges(const struct crn_qd_query *query)
{
    return query->kind == QD_QUERY_RRF || query->kind == QD_QUERY_DBSF || query->kind == QD_QUERY_FORMULA;
}

/* The points that the prefetches found, as a filter. */
static bool filter_of_sources(struct crn_qd_call *call, const struct crn_qd_query *query,
                              const struct crn_qd_hits *sources, const char **out)
{
    struct crn_qd_hits all;
    const char *found;

    if (!crn_qd_union(call, sources, query->prefetch_count, &all)) return false;
    cairn_id *ids = crn_qd_take(call, all.count + 1, sizeof *ids);
    if (ids == NULL) return false;
    for (size_t i = 0; i < all.count; i++) ids[i] = all.list[i].id;
    return crn_qd_filter_of_ids(call, ids, all.count, false, &found) &&
           crn_qd_both_filters(call, found, query->filter, out);
}

static bool run_kind(struct crn_qd_call *call, struct crn_qd_collection *collection,
                     const struct crn_qd_query *query, const struct crn_qd_hits *sources,
                     struct crn_qd_hits *out)
{
    const char *filter = query->filter;
    const bool fuses = merges(query);
    const bool over_sources = query->prefetch_count > 0 && !fuses;

    if (over_sources && !filter_of_sources(call, query, sources, &filter)) return false;
    switch (query->kind) {
    case QD_QUERY_ALL:
        return all_points(call, collection, query, out);
    case QD_QUERY_NEAREST:
        if (query->using->kind == CAIRN_SPACE_MULTI)
            return crn_qd_scan(call, collection, query, filter, wanted(query), out);
        return search(call, collection, query, filter, query->exact || over_sources, out);
    case QD_QUERY_ORDER:
        return ordered_points(call, collection, query, filter, out);
    case QD_QUERY_SAMPLE:
        return crn_qd_sample(call, collection, filter, wanted(query), out);
    case QD_QUERY_RRF:
    case QD_QUERY_DBSF:
        return crn_qd_fuse(call, query, sources, out);
    case QD_QUERY_FORMULA:
        return crn_qd_apply_formula(call, collection, query, sources, out);
    default:
        return crn_qd_scan(call, collection, query, filter, wanted(query), out);
    }
}

/* Distances have to be at most the threshold, scores at least. */
static void apply_threshold(const struct crn_qd_query *query, struct crn_qd_hits *hits)
{
    const bool distances = query->kind == QD_QUERY_NEAREST && query->using->kind != CAIRN_SPACE_SPARSE &&
                           query->using->distance >= QD_EUCLID;
    size_t kept = 0;

    if (!query->has_threshold) return;
    for (size_t i = 0; i < hits->count; i++) {
        const double score = hits->list[i].score;
        if (distances ? score <= query->threshold : score >= query->threshold)
            hits->list[kept++] = hits->list[i];
    }
    hits->count = kept;
}

/* A fused query may have a filter of its own, though its lists are made already. */
static bool apply_filter(struct crn_qd_call *call, struct crn_qd_collection *collection,
                         const struct crn_qd_query *query, struct crn_qd_hits *hits)
{
    const bool fuses = merges(query);
    cairn_scope scope = {.size = sizeof scope};
    cairn_patterns *passing;
    const char *by_id;
    cairn_error err;
    size_t kept = 0;

    if (!fuses || query->filter == NULL || hits->count == 0) return true;
    cairn_id *ids = crn_qd_take(call, hits->count, sizeof *ids);
    if (ids == NULL) return false;
    for (size_t i = 0; i < hits->count; i++) ids[i] = hits->list[i].id;
    if (!crn_qd_filter_of_ids(call, ids, hits->count, false, &by_id) ||
        !crn_qd_both_filters(call, by_id, query->filter, &scope.filter))
        return false;
    if (!crn_qd_ok(call,
                   cairn_scroll_by_id(collection->handle, &scope, NULL, hits->count, false, &passing, &err),
                   &err))
        return false;
    for (size_t i = 0; i < hits->count; i++) {
        if (crn_qd_find_point(passing, &ids[i]) != NULL) hits->list[kept++] = hits->list[i];
    }
    hits->count = kept;
    cairn_patterns_free(passing);
    return true;
}

bool crn_qd_run_query(struct crn_qd_call *call, struct crn_qd_collection *collection,
                      const struct crn_qd_query *query, struct crn_qd_hits *out)
{
    struct crn_qd_hits *sources = crn_qd_take(call, query->prefetch_count + 1, sizeof *sources);

    if (sources == NULL || !crn_qd_go_on(call)) return false;
    for (size_t i = 0; i < query->prefetch_count; i++) {
        if (!crn_qd_run_query(call, collection, &query->prefetch[i], &sources[i])) return false;
    }
    if (!run_kind(call, collection, query, sources, out) || !apply_filter(call, collection, query, out))
        return false;
    apply_threshold(query, out);
    if (query->mmr && !crn_qd_diversify(call, collection, query, out)) return false;
    const size_t skipped = query->offset < out->count ? query->offset : out->count;
    out->list += skipped;
    out->count -= skipped;
    if (out->count > query->limit) out->count = query->limit;
    return true;
}

/* ---- hits written ---- */

static bool write_hit(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                      const struct crn_qd_hit *hit, const cairn_pattern *point,
                      const struct crn_qd_show *show)
{
    crn_buf_puts(call->out, "{\"id\":");
    crn_qd_write_id(call->out, &hit->id);
    crn_buf_printf(call->out, ",\"version\":%" PRIu64 ",\"score\":", point == NULL ? 0 : point->version);
    crn_buf_json_float(call->out, (float)hit->score + 0.0f); /* never "-0.0" */
    if (point != NULL && !crn_qd_write_point_rest(call, collection, point, show)) return false;
    if (hit->ordered != NULL) {
        crn_buf_puts(call->out, ",\"order_value\":");
        crn_qd_write_order_value(call->out, hit->ordered);
    }
    crn_buf_putc(call->out, '}');
    return true;
}

static bool write_page(struct crn_qd_call *call, struct crn_qd_collection *collection,
                       const struct crn_qd_hits *page, const struct crn_qd_show *show, bool *first)
{
    cairn_id ids[PAGE_HITS];
    cairn_patterns *points = NULL;
    cairn_error err;
    bool done = true;

    if (show->payload.any || show->vectors.any) {
        for (size_t i = 0; i < page->count; i++) ids[i] = page->list[i].id;
        const cairn_status status =
            cairn_get(collection->handle, ids, page->count, show->vectors.any, &points, &err);
        if (!crn_qd_ok(call, status, &err)) return false;
    }
    for (size_t i = 0; done && i < page->count; i++) {
        const cairn_pattern *point = points == NULL ? NULL : cairn_patterns_at(points, i);
        if (point != NULL && point->id == NULL) continue; /* deleted since it was found */
        if (!*first) crn_buf_putc(call->out, ',');
        *first = false;
        done = write_hit(call, collection, &page->list[i], point, show);
    }
    cairn_patterns_free(points);
    return done;
}

bool crn_qd_write_hits(struct crn_qd_call *call, struct crn_qd_collection *collection,
                       const struct crn_qd_hits *hits, const struct crn_qd_show *show)
{
    bool first = true;

    crn_buf_putc(call->out, '[');
    for (size_t i = 0; i < hits->count; i += PAGE_HITS) {
        const size_t left = hits->count - i;
        const struct crn_qd_hits page = {hits->list + i, left < PAGE_HITS ? left : PAGE_HITS};
        if (!write_page(call, collection, &page, show, &first)) return false;
        if (left > PAGE_HITS && !crn_qd_go_on(call)) return false;
    }
    crn_buf_putc(call->out, ']');
    return true;
}

bool crn_qd_read_hits_show(struct crn_qd_call *call, struct crn_json body, struct crn_qd_show *out)
{
    return crn_qd_read_with_payload(call, body, false, &out->payload) &&
           crn_qd_read_with_vectors(call, body, false, &out->vectors);
}

/* ---- endpoints ---- */

static bool answer_one(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body,
                       enum crn_qd_style style)
{
    struct crn_qd_query query;
    struct crn_qd_hits hits;
    struct crn_qd_show show;
    const bool wrapped = style == QD_STYLE_QUERY;

    if (!crn_qd_read_query(call, collection, body, style, 0, &query) ||
        !crn_qd_read_hits_show(call, body, &show))
        return false;
    if (!crn_qd_run_query(call, collection, &query, &hits)) return false;
    if (wrapped) crn_buf_puts(call->out, "{\"points\":");
    if (!crn_qd_write_hits(call, collection, &hits, &show)) return false;
    if (wrapped) crn_buf_putc(call->out, '}');
    return true;
}

static bool answer_single(struct crn_qd_call *call, enum crn_qd_style style)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && answer_one(call, collection, call->body, style);
}

static bool answer_batch(struct crn_qd_call *call, enum crn_qd_style style)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);
    struct crn_json searches, one;
    struct crn_json_iter it;
    const char *key;
    size_t length, count = 0;

    if (collection == NULL) return false;
    if (!crn_qd_member(call->body, "searches", &searches)) return crn_qd_missing(call, "searches");
    if (crn_json_type(searches) != CRN_JSON_ARRAY)
        return crn_qd_wrong_type(call, "searches", "a sequence", searches);
    const uint64_t asked = crn_json_size(searches);
    if (!crn_qd_strict_limit(call, asked, collection->strict.search_batch, "search limit")) return false;
    if (!crn_qd_strict_batch(call, collection, asked > 0 ? asked - 1 : 0)) return false;
    crn_buf_putc(call->out, '[');
    for (crn_json_iter_init(&it, searches); crn_json_iter_next(&it, &one, &key, &length);) {
        if (count++ > 0) crn_buf_putc(call->out, ',');
        if (!answer_one(call, collection, one, style)) return false;
    }
    crn_buf_putc(call->out, ']');
    return true;
}

bool crn_qd_query(struct crn_qd_call *call)
{
    return answer_single(call, QD_STYLE_QUERY);
}

bool crn_qd_query_batch(struct crn_qd_call *call)
{
    return answer_batch(call, QD_STYLE_QUERY);
}

bool crn_qd_search(struct crn_qd_call *call)
{
    return answer_single(call, QD_STYLE_SEARCH);
}

bool crn_qd_search_batch(struct crn_qd_call *call)
{
    return answer_batch(call, QD_STYLE_SEARCH);
}

bool crn_qd_recommend(struct crn_qd_call *call)
{
    return answer_single(call, QD_STYLE_RECOMMEND);
}

bool crn_qd_recommend_batch(struct crn_qd_call *call)
{
    return answer_batch(call, QD_STYLE_RECOMMEND);
}

bool crn_qd_discover(struct crn_qd_call *call)
{
    return answer_single(call, QD_STYLE_DISCOVER);
}

bool crn_qd_discover_batch(struct crn_qd_call *call)
{
    return answer_batch(call, QD_STYLE_DISCOVER);
}
