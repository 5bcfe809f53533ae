/* Several lists as one: reciprocal ranks, distribution-based scores; and picking diverse hits (MMR). */
#include "server/qdrant_query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_id(const cairn_id *a, const cairn_id *b)
{
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    if (a->type == CAIRN_ID_U64) return (a->u64 > b->u64) - (a->u64 < b->u64);
    return strcmp(a->text, b->text);
}

static int hits_by_id(const void *a, const void *b)
{
    return by_id(&((const struct crn_qd_hit *)a)->id, &((const struct crn_qd_hit *)b)->id);
}

/* Equal scores stand in the order of ids, so that a query answered twice answers the same. */
static int best_first(const void *a, const void *b)
{
    const struct crn_qd_hit *x = a, *y = b;

    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return by_id(&x->id, &y->id);
}

static int least_first(const void *a, const void *b)
{
    const struct crn_qd_hit *x = a, *y = b;

    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return by_id(&x->id, &y->id);
}

void crn_qd_sort_hits(struct crn_qd_hits *hits, bool ascending)
{
    if (hits->count > 1)
        qsort(hits->list, hits->count, sizeof *hits->list, ascending ? least_first : best_first);
}

/* Adds up the scores of hits of the same id. */
static void merge_same(struct crn_qd_hits *hits)
{
    size_t kept = 0;

    if (hits->count == 0) return;
    qsort(hits->list, hits->count, sizeof *hits->list, hits_by_id);
    for (size_t i = 1; i < hits->count; i++) {
        if (by_id(&hits->list[i].id, &hits->list[kept].id) == 0) {
            hits->list[kept].score += hits->list[i].score;
        } else {
            hits->list[++kept] = hits->list[i];
        }
    }
    hits->count = kept + 1;
}

static bool gather(struct crn_qd_call *call, const struct crn_qd_hits *sources, size_t count,
                   struct crn_qd_hits *out)
{
    size_t all = 0;

    for (size_t i = 0; i < count; i++) all += sources[i].count;
    *out = (struct crn_qd_hits){.list = crn_qd_take(call, all + 1, sizeof *out->list)};
    if (out->list == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        if (sources[i].count > 0)
            memcpy(out->list + out->count, sources[i].list, sources[i].count * sizeof *out->list);
        out->count += sources[i].count;
    }
    return true;
}

bool crn_qd_union(struct crn_qd_call *call, const struct crn_qd_hits *sources, size_t count,
                  struct crn_qd_hits *out)
{
    if (!gather(call, sources, count, out)) return false;
    merge_same(out);
    return true;
}

/* Scores so that three deviations around the mean become 0 to 1. */
static void normalise(struct crn_qd_hit *list, size_t count)
{
    double mean = 0, variance = 0;

    for (size_t i = 0; i < count; i++) mean += list[i].score / (double)count;
    for (size_t i = 0; i < count; i++) variance += (list[i].score - mean) * (list[i].score - mean);
    const double deviation = count > 1 ? sqrt(variance / (double)(count - 1)) : 0;
    for (size_t i = 0; i < count; i++) {
        list[i].score = deviation == 0 ? 0.5 : (list[i].score - (mean - 3 * deviation)) / (6 * deviation);
    }
}

/* Distances are turned round first, so that more is better in every list. */
static bool ranks_ascending(const struct crn_qd_query *query)
{
    return query->kind == QD_QUERY_NEAREST && query->using->kind != CAIRN_SPACE_SPARSE &&
           query->using->distance >= QD_EUCLID;
}

bool crn_qd_fuse(struct crn_qd_call *call, const struct crn_qd_query *query,
                 const struct crn_qd_hits *sources, struct crn_qd_hits *out)
{
    size_t begin = 0;

    if (!gather(call, sources, query->prefetch_count, out)) return false;
    for (size_t s = 0; s < query->prefetch_count; s++) {
        struct crn_qd_hit *list = out->list + begin;
        const double weight = query->weights != NULL ? query->weights[s] : 1;
        for (size_t i = 0; i < sources[s].count; i++) {
            if (query->kind == QD_QUERY_RRF)
                list[i].score = weight / ((double)i + query->rrf_k);
            else if (ranks_ascending(&query->prefetch[s]))
                list[i].score = -list[i].score;
        }
        if (query->kind == QD_QUERY_DBSF) normalise(list, sources[s].count);
        begin += sources[s].count;
    }
    merge_same(out);
    crn_qd_sort_hits(out, false);
    return true;
}

/* ---- maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998 ---- */

static bool read_candidates(struct crn_qd_call *call, struct crn_qd_collection *collection,
                            const struct crn_qd_query *query, const struct crn_qd_hits *hits,
                            struct crn_qd_query_vector *out)
{
    cairn_id *ids = crn_qd_take(call, hits->count + 1, sizeof *ids);
    cairn_patterns *points;
    cairn_error err;
    bool done = true;

    if (ids == NULL) return false;
    for (size_t i = 0; i < hits->count; i++) ids[i] = hits->list[i].id;
    if (!crn_qd_ok(call, cairn_get(collection->handle, ids, hits->count, true, &points, &err), &err))
        return false;
    for (size_t i = 0; done && i < hits->count; i++) {
        const cairn_pattern *point = cairn_patterns_at(points, i);
        const cairn_vector *stored = point->id == NULL ? NULL : crn_qd_vector_of(point, query->using->name);
        if (stored != NULL) done = crn_qd_vector_as_query(call, query->using, stored, &out[i]);
    }
    cairn_patterns_free(points);
    return done;
}

bool crn_qd_diversify(struct crn_qd_call *call, struct crn_qd_collection *collection,
                      const struct crn_qd_query *query, struct crn_qd_hits *hits)
{
    struct crn_qd_query_vector *vectors = crn_qd_take(call, hits->count + 1, sizeof *vectors);
    double *nearest = crn_qd_take(call, hits->count + 1, sizeof *nearest); /* to one that is picked */
    struct crn_qd_hit *picked = crn_qd_take(call, hits->count + 1, sizeof *picked);
    bool *taken = crn_qd_take(call, hits->count + 1, sizeof *taken);
    const size_t wanted =
        query->limit + query->offset < hits->count ? query->limit + query->offset : hits->count;
    size_t count = 0;

    if (vectors == NULL || nearest == NULL || picked == NULL || taken == NULL) return false;
    if (!read_candidates(call, collection, query, hits, vectors)) return false;
    for (size_t i = 0; i < hits->count; i++) taken[i] = vectors[i].values == NULL; /* deleted meanwhile */
    while (count < wanted) {
        if (!crn_qd_go_on(call)) return false;
        size_t best = SIZE_MAX;
        double best_value = -INFINITY;
        for (size_t i = 0; i < hits->count; i++) {
            if (taken[i]) continue;
            const double relevance = crn_qd_similarity(query->using, &query->target, &vectors[i]);
            const double value =
                (1 - query->diversity) * relevance - (count == 0 ? 0 : query->diversity * nearest[i]);
            if (value > best_value) best = i;
            if (value > best_value) best_value = value;
        }
        if (best == SIZE_MAX) break;
        taken[best] = true;
        for (size_t i = 0; i < hits->count; i++) {
            if (taken[i]) continue;
            const double similar = crn_qd_similarity(query->using, &vectors[best], &vectors[i]);
            if (count == 0 || similar > nearest[i]) nearest[i] = similar;
        }
        picked[count++] = hits->list[best];
    }
    *hits = (struct crn_qd_hits){picked, count};
    return true;
}
