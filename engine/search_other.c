/* Search by sparse vector, by words, and the fusion of two lists. */
#include "engine/search.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RRF_K 60.0

static void set_candidate(struct crn_candidate *candidate, uint32_t local, float score)
{
    candidate->local = local;
    candidate->score = score;
    candidate->distance = -score;
    candidate->id = NULL;
}

/* The snapshot a search reads in, and the rows that count: those of the scope that have not expired. */
struct snapshot {
    struct crn_reader *reader;
    const struct crn_catalog *catalog;
    struct crn_rows *rows; /* NULL only on failure */
};

static cairn_status snapshot_begin(struct crn_search *search, struct snapshot *snapshot, cairn_error *err)
{
    CRN_TRY(crn_collection_read(search->collection, &snapshot->reader, &snapshot->catalog, err));
    cairn_status status = crn_collection_scope(search->collection, snapshot->reader, snapshot->catalog,
                                               &search->scope, &snapshot->rows, err);
    if (status == CAIRN_OK) status = crn_read_sequence(snapshot->reader, &search->info.sequence, err);
    if (status == CAIRN_OK) {
        search->info.rows_matched = roaring_bitmap_get_cardinality(snapshot->rows->locals);
        status = crn_read_count(snapshot->reader, search->collection->id, &search->info.rows, err);
    }
    if (status != CAIRN_OK) {
        crn_rows_release(snapshot->rows);
        crn_store_read_end(snapshot->reader);
    }
    return status;
}

static void snapshot_end(struct snapshot *snapshot)
{
    crn_rows_release(snapshot->rows);
    crn_store_read_end(snapshot->reader);
}

/* ---- sparse ---- */

struct sparse_walk {
    const struct crn_search *search;
    const roaring_bitmap_t *rows;
    struct crn_topk top;
    uint64_t scored;
    cairn_error *err;
};

/* Both index lists ascend. */
static float sparse_dot(const cairn_query *query, const char *data, uint32_t count)
{
    double sum = 0;
    uint32_t q = 0, index;
    float value;

    for (uint32_t i = 0; i < count && q < query->dim; i++) {
        memcpy(&index, data + i * sizeof index, sizeof index);
        while (q < query->dim && query->indices[q] < index) q++;
        if (q == query->dim || query->indices[q] != index) continue;
        memcpy(&value, data + ((size_t)count + i) * sizeof value, sizeof value);
        sum += (double)query->vector[q] * value;
    }
    return (float)sum;
}

static cairn_status score_sparse(void *ctx, uint32_t local, const void *data, size_t size)
{
    struct sparse_walk *walk = ctx;
    uint32_t count;

    if (!roaring_bitmap_contains(walk->rows, local)) return CAIRN_OK;
    if (size < sizeof count)
        return crn_error_set(walk->err, CAIRN_CORRUPT, "row %u holds a sparse vector of %zu bytes", local,
                             size);
    memcpy(&count, data, sizeof count);
    if (size != sizeof count + (size_t)count * 8) {
        return crn_error_set(walk->err, CAIRN_CORRUPT,
                             "row %u holds a sparse vector of %zu bytes for %u entries", local, size, count);
    }
    if (walk->search->deadline_ns != 0 && walk->scored % 1024 == 0 &&
        crn_clock_ns() >= walk->search->deadline_ns) {
        return crn_error_set(walk->err, CAIRN_TIMEOUT, "the search did not end within its time");
    }
    walk->scored++;
    const float dot = sparse_dot(walk->search->query, (const char *)data + sizeof count, count);
    /* A row that shares no index with the query is no match. */
    if (dot != 0) crn_topk_push(&walk->top, -dot, local);
    return CAIRN_OK;
}

cairn_status crn_search_sparse(struct crn_search *search, struct crn_live_space *space, size_t k,
                               struct crn_candidates *out, cairn_error *err)
{
    struct sparse_walk walk = {.search = search, .err = err};
    struct snapshot snapshot = {0};
    struct crn_hit *hits = crn_mem_array(k, sizeof *hits);

    *out = (struct crn_candidates){0};
    search->info.plan = "flat";
    if (hits == NULL) return crn_error_no_memory(err, k * sizeof *hits);
    crn_topk_init(&walk.top, hits, k);
    cairn_status status = snapshot_begin(search, &snapshot, err);
    if (status == CAIRN_OK) {
        walk.rows = snapshot.rows->locals;
        status = crn_read_vectors(snapshot.reader, space->info->id, 1, score_sparse, &walk, err);
        snapshot_end(&snapshot);
    }
    if (status == CAIRN_OK) {
        crn_topk_sort(&walk.top);
        search->info.rows_scored = walk.scored;
        out->list = crn_mem_array(walk.top.count, sizeof *out->list);
        if (out->list == NULL) status = crn_error_no_memory(err, walk.top.count * sizeof *out->list);
    }
    for (size_t i = 0; status == CAIRN_OK && i < walk.top.count; i++) {
        set_candidate(&out->list[out->count++], (uint32_t)hits[i].label, -hits[i].distance);
    }
    crn_mem_free(hits);
    return status;
}

/* ---- lexical ---- */

struct lexical_walk {
    const roaring_bitmap_t *rows;
    struct crn_candidates *out;
    size_t k;
    size_t seen;
};

static cairn_status take_lexical(void *ctx, uint32_t local, double score)
{
    struct lexical_walk *walk = ctx;

    walk->seen++;
    if (walk->out->count < walk->k && roaring_bitmap_contains(walk->rows, local)) {
        set_candidate(&walk->out->list[walk->out->count++], local, (float)score);
    }
    return CAIRN_OK;
}

/* The lexical index knows no filter, so it is asked for more until k rows of the scope came or it has no more. */
static cairn_status walk_lexical(struct crn_search *search, const struct snapshot *snapshot, size_t k,
                                 struct crn_candidates *out, cairn_error *err)
{
    struct lexical_walk walk = {.rows = snapshot->rows->locals, .out = out, .k = k};

    for (size_t limit = search->limited ? 4 * k + 64 : k + 16;; limit *= 4) {
        out->count = walk.seen = 0;
        CRN_TRY(crn_read_lexical(snapshot->reader, snapshot->catalog, search->query->text, limit,
                                 take_lexical, &walk, err));
        search->info.rows_scored = walk.seen;
        if (out->count == k || walk.seen < limit) return CAIRN_OK;
        if (search->deadline_ns != 0 && crn_clock_ns() >= search->deadline_ns) {
            return crn_error_set(err, CAIRN_TIMEOUT, "the search did not end within its time");
        }
    }
}

cairn_status crn_search_lexical(struct crn_search *search, size_t k, struct crn_candidates *out,
                                cairn_error *err)
{
    struct snapshot snapshot = {0};

    *out = (struct crn_candidates){0};
    search->info.plan = "lexical";
    CRN_TRY(snapshot_begin(search, &snapshot, err));
    const size_t most = k < search->info.rows ? k : (size_t)search->info.rows;
    cairn_status status = CAIRN_OK;
    out->list = crn_mem_array(most, sizeof *out->list);
    if (out->list == NULL) {
        status = crn_error_no_memory(err, most * sizeof *out->list);
    } else if (most != 0) {
        status = walk_lexical(search, &snapshot, most, out, err);
    }
    snapshot_end(&snapshot);
    return status;
}

/* ---- fusion ---- */

static int by_local(const void *a, const void *b)
{
    const struct crn_candidate *x = a, *y = b;
    return x->local < y->local ? -1 : x->local > y->local;
}

static int by_score(const void *a, const void *b)
{
    const struct crn_candidate *x = a, *y = b;

    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return by_local(a, b);
}

/* What candidate i adds to its row's fused score. */
static float share(const struct crn_search *search, const struct crn_candidates *list, size_t i,
                   double weight)
{
    const float best = list->list[0].score, worst = list->list[list->count - 1].score;

    if (search->query->fusion == CAIRN_FUSION_RRF) return (float)(1 / (RRF_K + 1 + (double)i));
    if (best == worst) return (float)weight;
    return (float)(weight * (list->list[i].score - worst) / (best - worst));
}

static void add_list(const struct crn_search *search, const struct crn_candidates *list, double weight,
                     struct crn_candidates *out)
{
    for (size_t i = 0; i < list->count; i++) {
        struct crn_candidate *candidate = &out->list[out->count++];
        *candidate = list->list[i];
        candidate->score = share(search, list, i, weight);
    }
}

/* Rows found twice stand side by side after sorting by local: their shares add up. */
static void merge_pairs(struct crn_candidates *out)
{
    size_t kept = 0;

    qsort(out->list, out->count, sizeof *out->list, by_local);
    for (size_t i = 0; i < out->count; i++) {
        if (kept != 0 && out->list[kept - 1].local == out->list[i].local) {
            out->list[kept - 1].score += out->list[i].score;
            if (out->list[kept - 1].id == NULL) out->list[kept - 1].id = out->list[i].id;
        } else {
            out->list[kept++] = out->list[i];
        }
    }
    out->count = kept;
}

cairn_status crn_search_fuse(const struct crn_search *search, const struct crn_candidates *by_vector,
                             const struct crn_candidates *by_text, size_t k, struct crn_candidates *out,
                             cairn_error *err)
{
    const double lexical_weight = search->query->lexical_weight > 0 ? search->query->lexical_weight : 0.5;
    const size_t most = by_vector->count + by_text->count;

    *out = (struct crn_candidates){0};
    out->list = crn_mem_array(most, sizeof *out->list);
    if (out->list == NULL) return crn_error_no_memory(err, most * sizeof *out->list);
    add_list(search, by_vector, 1 - lexical_weight, out);
    add_list(search, by_text, lexical_weight, out);
    merge_pairs(out);
    qsort(out->list, out->count, sizeof *out->list, by_score);
    if (out->count > k) out->count = k;
    for (size_t i = 0; i < out->count; i++) {
        out->list[i].distance = -out->list[i].score;
    }
    return CAIRN_OK;
}
