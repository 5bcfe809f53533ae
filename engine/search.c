/* cairn_search: checks the query, chooses how to answer it, and fills the results. */
#include "engine/search.h"
#include "engine/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* ---- the query ---- */

static cairn_status check_ranges(const cairn_query *query, cairn_error *err)
{
    if (query->k == 0 || query->k > CAIRN_K_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "k is %u, it must be between 1 and %u", query->k,
                             CAIRN_K_MAX);
    }
    if ((unsigned)query->mode > CAIRN_SEARCH_HYBRID)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a search mode", (int)query->mode);
    if ((unsigned)query->fusion > CAIRN_FUSION_WEIGHTED)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a fusion", (int)query->fusion);
    if ((unsigned)query->device > CAIRN_DEVICE_GPU)
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a device", (int)query->device);
    if (!(query->lexical_weight >= 0 && query->lexical_weight <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "lexical_weight %g is not between 0 and 1",
                             query->lexical_weight);
    }
    if (!(query->recall >= 0 && query->recall <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "recall %g is not between 0 and 1", query->recall);
    }
    if (!(query->oversampling >= 0 && query->oversampling <= 1e6)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "oversampling %g is not between 0 and 1000000",
                             query->oversampling);
    }
    if (query->has_min_score && isnan(query->min_score))
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "min_score is NaN");
    if (query->text != NULL) {
        const size_t len = strnlen(query->text, (size_t)CAIRN_TEXT_MAX + 1);
        if (len > CAIRN_TEXT_MAX)
            return crn_error_set(err, CAIRN_LIMIT, "the query's text is longer than %u bytes",
                                 CAIRN_TEXT_MAX);
        const size_t valid = crn_utf8_valid(query->text, len);
        if (valid != len)
            return crn_error_set(err, CAIRN_INVALID_UTF8, "the query's text is not valid UTF-8 at byte %zu",
                                 valid);
    }
    return CAIRN_OK;
}

static cairn_status search_init(struct crn_search *search, cairn_collection *collection,
                                const cairn_query *query, cairn_error *err)
{
    CRN_TRY(crn_check_size("cairn_query", query->size, sizeof *query, err));
    CRN_TRY(check_ranges(query, err));
    *search = (struct crn_search){.collection = collection, .query = query, .k = query->k};
    search->scope = (cairn_scope){.size = sizeof search->scope,
                                  .domain = query->domain,
                                  .agent = query->agent,
                                  .type = query->type,
                                  .filter = query->filter,
                                  .min_confidence = query->min_confidence};
    CRN_TRY(crn_scope_check(&search->scope, err));
    search->limited = crn_scope_is_limiting(&search->scope);
    search->info.plan = "flat";
    search->info.device = "cpu";
    if (query->timeout_ms != 0) search->deadline_ns = crn_clock_ns() + (uint64_t)query->timeout_ms * 1000000;
    return CAIRN_OK;
}

static bool has_text(const cairn_query *query)
{
    return query->text != NULL && query->text[0] != '\0';
}

static cairn_status choose_mode(const struct crn_search *search, bool has_embedder,
                                cairn_search_mode *out_mode, cairn_error *err)
{
    const cairn_query *query = search->query;
    const bool lexical = search->collection->first_catalog->catalog.lexical;
    cairn_search_mode mode = query->mode;

    if (mode == CAIRN_SEARCH_AUTO) {
        if (query->vector != NULL) {
            mode = has_text(query) && lexical ? CAIRN_SEARCH_HYBRID : CAIRN_SEARCH_VECTOR;
        } else {
            mode = has_embedder ? CAIRN_SEARCH_VECTOR : CAIRN_SEARCH_LEXICAL;
        }
    }
    const bool needs_text =
        mode == CAIRN_SEARCH_LEXICAL || mode == CAIRN_SEARCH_HYBRID || query->vector == NULL;
    if (needs_text && !has_text(query))
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the query has neither a vector nor a text");
    if (mode != CAIRN_SEARCH_VECTOR && !lexical) {
        return crn_error_set(
            err, CAIRN_UNSUPPORTED,
            "collection '%s' has no lexical index: create it with .lexical = true, or give a vector",
            cairn_collection_name(search->collection));
    }
    if (mode != CAIRN_SEARCH_LEXICAL && query->vector == NULL && !has_embedder) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the query has a text but no vector, and no embedder is attached");
    }
    *out_mode = mode;
    return CAIRN_OK;
}

/* ---- by vector ---- */

static cairn_status check_sparse_query(const cairn_query *query, cairn_error *err)
{
    if (query->indices == NULL || query->vector == NULL || query->dim == 0) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a sparse query needs indices, values and their number in dim");
    }
    for (uint32_t i = 0; i < query->dim; i++) {
        if (!isfinite(query->vector[i]))
            return crn_error_set(err, CAIRN_INVALID_VECTOR, "value %u of the sparse query is %g", i,
                                 (double)query->vector[i]);
        if (i != 0 && query->indices[i - 1] >= query->indices[i]) {
            return crn_error_set(err, CAIRN_INVALID_VECTOR,
                                 "indices of a sparse query must ascend: %u is followed by %u",
                                 query->indices[i - 1], query->indices[i]);
        }
    }
    return CAIRN_OK;
}

static cairn_status embed_query(const cairn_embedder *embedder, const struct crn_space *space,
                                const char *text, float **out_vector, cairn_error *err)
{
    *out_vector = crn_mem_array(embedder->dim, sizeof **out_vector);
    if (*out_vector == NULL) return crn_error_no_memory(err, embedder->dim * sizeof **out_vector);
    return crn_embed_query(embedder, space, text, *out_vector, err);
}

static cairn_status search_vector(struct crn_search *search, const cairn_embedder *embedder, size_t k,
                                  struct crn_candidates *out, cairn_error *err)
{
    const cairn_query *query = search->query;
    struct crn_live_space *live;
    const struct crn_space *space;
    float *embedded = NULL;

    *out = (struct crn_candidates){0};
    CRN_TRY(crn_collection_space(search->collection, query->space, &live, &space, err));
    CRN_TRY(crn_check_name("model", query->model, err));
    CRN_TRY(crn_check_model(space, query->model, err));
    if (space->kind == CAIRN_SPACE_MULTI)
        return crn_error_set(err, CAIRN_UNSUPPORTED, "the multi-vector space '%s' cannot be searched yet",
                             space->name);
    if (space->kind == CAIRN_SPACE_SPARSE) {
        CRN_TRY(check_sparse_query(query, err));
        return crn_search_sparse(search, live, k, out, err);
    }
    if (query->indices != NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the query has indices, but the space '%s' is dense", space->name);
    if (query->vector != NULL) {
        CRN_TRY(crn_check_vector(space, query->vector, query->dim, err));
        return crn_search_dense(search, live, query->vector, k, out, err);
    }
    cairn_status status =
        live != crn_collection_now(search->collection)->live[0]
            ? crn_error_set(err, CAIRN_UNSUPPORTED, "an embedder serves the default space only, not '%s'",
                            space->name)
            : embed_query(embedder, space, query->text, &embedded, err);
    if (status == CAIRN_OK) status = crn_search_dense(search, live, embedded, k, out, err);
    crn_mem_free(embedded);
    return status;
}

static cairn_status search_hybrid(struct crn_search *search, const cairn_embedder *embedder,
                                  struct crn_candidates *out, cairn_error *err)
{
    /* Ranks far down the lists still move the fused order a little; four times k leaves it unchanged in practice. */
    const size_t wide = search->k < CAIRN_K_MAX / 4 ? search->k * 4 + 32 : search->k;
    struct crn_candidates by_vector = {0}, by_text = {0};

    cairn_status status = search_vector(search, embedder, wide, &by_vector, err);
    const uint64_t scored = search->info.rows_scored;
    if (status == CAIRN_OK) status = crn_search_lexical(search, wide, &by_text, err);
    if (status == CAIRN_OK) status = crn_search_fuse(search, &by_vector, &by_text, search->k, out, err);
    search->info.rows_scored += scored;
    search->info.plan = "hybrid";
    crn_mem_free(by_vector.list);
    crn_mem_free(by_text.list);
    return status;
}

/* ---- results ---- */

static void apply_min_score(const struct crn_search *search, struct crn_candidates *found)
{
    if (!search->query->has_min_score) return;
    size_t kept = 0;
    while (kept < found->count && found->list[kept].score >= (float)search->query->min_score) kept++;
    found->count = kept;
}

/* Reads the candidates' rows. *out_lost counts those that were deleted since they were found. */
static cairn_status read_patterns(struct crn_search *search, const struct crn_candidates *found,
                                  struct cairn_patterns **out_patterns, size_t *out_lost, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    const int64_t now_ms = crn_clock_ms();

    CRN_TRY(crn_collection_read(search->collection, &reader, &catalog, err));
    struct cairn_patterns *patterns = crn_patterns_create(found->count, err);
    cairn_status status = patterns == NULL ? CAIRN_NO_MEMORY : CAIRN_OK;
    *out_lost = 0;
    for (size_t i = 0; status == CAIRN_OK && i < found->count; i++) {
        status = crn_patterns_add(patterns, reader, catalog, found->list[i].local, now_ms,
                                  search->query->with_vectors, err);
        if (status == CAIRN_OK && cairn_patterns_at(patterns, i)->id == NULL) ++*out_lost;
    }
    crn_store_read_end(reader);
    if (status != CAIRN_OK) {
        cairn_patterns_free(patterns);
        return status;
    }
    *out_patterns = patterns;
    return CAIRN_OK;
}

static cairn_status make_results(const struct crn_search *search, const struct crn_candidates *found,
                                 struct cairn_patterns *patterns, cairn_results **out_results,
                                 cairn_error *err)
{
    struct crn_results_hit *hits = crn_mem_array(found->count, sizeof *hits);

    if (hits == NULL) return crn_error_no_memory(err, found->count * sizeof *hits);
    for (size_t i = 0; i < found->count; i++) {
        const struct crn_candidate *candidate = &found->list[i];
        hits[i] = (struct crn_results_hit){.local = candidate->local,
                                           .score = candidate->score,
                                           .distance = candidate->distance,
                                           .id = candidate->id,
                                           .pattern = cairn_patterns_at(patterns, i)};
    }
    cairn_results *results = crn_results_create(hits, found->count, err);
    crn_mem_free(hits);
    if (results == NULL) return CAIRN_NO_MEMORY;
    results->info = search->info;
    if (search->query->with_pattern) {
        results->patterns = patterns;
        for (size_t i = 0; i < results->count; i++) results->hits[i].pattern = cairn_patterns_at(patterns, i);
    }
    *out_results = results;
    return CAIRN_OK;
}

static bool needs_rows(const struct crn_search *search, const struct crn_candidates *found)
{
    if (search->query->with_pattern) return true;
    for (size_t i = 0; i < found->count; i++) {
        if (found->list[i].id == NULL) return true;
    }
    return false;
}

/* One whole search. *out_lost: hits whose rows were deleted before they could be read, so that the answer is short. */
static cairn_status search_once(struct crn_search *search, const cairn_embedder *embedder,
                                cairn_search_mode mode, cairn_results **out_results, size_t *out_lost,
                                cairn_error *err)
{
    struct crn_candidates found = {0};
    struct cairn_patterns *patterns = NULL;
    cairn_status status;

    *out_lost = 0;
    switch (mode) {
    case CAIRN_SEARCH_LEXICAL:
        status = crn_search_lexical(search, search->k, &found, err);
        break;
    case CAIRN_SEARCH_HYBRID:
        status = search_hybrid(search, embedder, &found, err);
        break;
    case CAIRN_SEARCH_AUTO:
    case CAIRN_SEARCH_VECTOR:
    default:
        status = search_vector(search, embedder, search->k, &found, err);
        break;
    }
    if (status == CAIRN_OK) apply_min_score(search, &found);
    if (status == CAIRN_OK && needs_rows(search, &found))
        status = read_patterns(search, &found, &patterns, out_lost, err);
    if (status == CAIRN_OK && *out_lost == 0)
        status = make_results(search, &found, patterns, out_results, err);
    if (status != CAIRN_OK || *out_lost != 0 || !search->query->with_pattern) cairn_patterns_free(patterns);
    crn_mem_free(found.list);
    crn_view_release(search->view);
    search->view = NULL;
    return status;
}

/* Announces what is committed: a writer may be kept from doing so just after its commit, and without that a search made again
 * would find the rows that are gone once more. */
static cairn_status hear_of_commits(cairn_collection *collection, cairn_error *err)
{
    struct crn_reader *reader;
    uint64_t sequence;

    CRN_TRY(crn_store_read_begin(collection->db->store, &reader, err));
    const cairn_status status = crn_read_sequence(reader, &sequence, err);
    crn_store_read_end(reader);
    if (status == CAIRN_OK) crn_store_announce(collection->db->store, sequence);
    return status;
}

cairn_status cairn_search(cairn_collection *collection, const cairn_query *query, cairn_results **out_results,
                          cairn_error *err)
{
    const uint64_t begin_ns = crn_clock_ns();
    struct crn_search search;
    cairn_search_mode mode = CAIRN_SEARCH_AUTO;
    cairn_status status;
    size_t lost;

    if (collection == NULL || query == NULL || out_results == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    *out_results = NULL;
    CRN_TRY(search_init(&search, collection, query, err));
    pthread_mutex_lock(&collection->mutex);
    const cairn_embedder *embedder = collection->embedder;
    pthread_mutex_unlock(&collection->mutex);
    CRN_TRY(choose_mode(&search, embedder != NULL, &mode, err));
    /* A row may be deleted between being found and being read. Then the search is made again, so that k come when k match;
     * whoever deletes that fast for that long has made the answer BUSY. */
    for (int attempt = 0; attempt < 20; attempt++) {
        status = search_once(&search, embedder, mode, out_results, &lost, err);
        if (status != CAIRN_OK) return status;
        if (lost == 0) {
            (*out_results)->info.elapsed_ms = (double)(crn_clock_ns() - begin_ns) / 1e6;
            return CAIRN_OK;
        }
        CRN_TRY(hear_of_commits(collection, err));
    }
    return crn_error_set(err, CAIRN_BUSY,
                         "rows were deleted faster than they could be read, 20 times in a row");
}
