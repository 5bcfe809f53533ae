/* Search by a dense vector: a view, a filter's rows, the view's nearest, and what to do about a damaged segment. */
#include "engine/search.h"
#include "engine/view_search.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <math.h>

void crn_score_from_raw(cairn_metric metric, float raw, float *out_score, float *out_distance)
{
    switch (metric) {
    case CAIRN_METRIC_DEFAULT:
    case CAIRN_METRIC_COSINE:
        *out_score = -raw;
        *out_distance = 1 + raw;
        return;
    case CAIRN_METRIC_DOT:
        *out_score = -raw;
        *out_distance = raw;
        return;
    case CAIRN_METRIC_L2:
        *out_distance = sqrtf(raw);
        break;
    case CAIRN_METRIC_MANHATTAN:
        *out_distance = raw;
        break;
    }
    *out_score = 1 / (1 + *out_distance);
}

/* The rows that the scope allows, as of now; NULL without a scope. */
static cairn_status scope_rows(struct crn_search *search, struct crn_rows **out_rows, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;

    *out_rows = NULL;
    if (!search->limited) return CAIRN_OK;
    CRN_TRY(crn_collection_read(search->collection, &reader, &catalog, err));
    const cairn_status status =
        crn_scope_rows(search->collection->scopes, reader, catalog, &search->scope, out_rows, err);
    crn_store_read_end(reader);
    return status;
}

static cairn_status collect(const struct crn_live_space *space, const struct crn_view *view,
                            const struct crn_view_answer *answer, struct crn_candidates *out,
                            cairn_error *err)
{
    out->list = crn_mem_array(answer->count, sizeof *out->list);
    if (out->list == NULL) return crn_error_no_memory(err, answer->count * sizeof *out->list);
    for (size_t i = 0; i < answer->count; i++) {
        struct crn_candidate *candidate = &out->list[i];
        CRN_TRY(crn_view_id(view, &answer->found[i], &candidate->id, err));
        candidate->local = answer->found[i].local;
        crn_score_from_raw(space->info->metric, answer->found[i].distance, &candidate->score,
                           &candidate->distance);
        out->count = i + 1;
    }
    return CAIRN_OK;
}

/* One try with one view, which the search keeps. The filter's rows are taken first: the view is then at least as new, and what was deleted since
 * is dead in it. */
static cairn_status search_once(struct crn_search *search, struct crn_live_space *space,
                                const float *prepared, size_t k, struct crn_candidates *out, cairn_error *err)
{
    struct crn_view_query query = {.vector = prepared,
                                   .exact = search->query->exact,
                                   .ef = search->query->ef,
                                   .nprobe = search->query->nprobe,
                                   .recall = search->query->recall,
                                   .oversampling = search->query->oversampling,
                                   .device = search->query->device,
                                   .deadline_ns = search->deadline_ns};
    struct crn_view_answer answer = {0};
    struct crn_view *view = NULL;
    struct crn_rows *rows = NULL;

    cairn_status status = scope_rows(search, &rows, err);
    if (status == CAIRN_OK) status = crn_live_space_view(space, &view, err);
    if (status == CAIRN_OK) {
        const uint64_t live = crn_view_rows(view);
        query.k = k < live ? k : (size_t)live;
        query.filter = rows == NULL ? NULL : rows->locals;
        query.parts = rows == NULL ? NULL : rows->parts;
        answer.found = crn_mem_array(query.k, sizeof *answer.found);
        if (answer.found == NULL) {
            status = crn_error_no_memory(err, query.k * sizeof *answer.found);
        } else if (query.k != 0) {
            status = crn_view_search(space, view, &query, &answer, err);
        }
        search->info.rows = live;
        search->info.sequence = view->sequence;
    }
    if (status == CAIRN_OK) status = collect(space, view, &answer, out, err);
    search->info.rows_matched = answer.rows_matched;
    search->info.rows_scored = answer.rows_scored;
    search->info.device = answer.used_card ? "gpu" : "cpu";
    search->info.plan = answer.used_index ? "index" : rows != NULL ? "filter-scan" : "flat";
    crn_mem_free(answer.found);
    crn_rows_release(rows);
    crn_view_release(search->view);
    search->view = view;
    return status;
}

static void forget(struct crn_candidates *out)
{
    crn_mem_free(out->list);
    *out = (struct crn_candidates){0};
}

cairn_status crn_search_dense(struct crn_search *search, struct crn_live_space *space, const float *vector,
                              size_t k, struct crn_candidates *out, cairn_error *err)
{
    float *prepared = crn_mem_aligned(space->info->dim * sizeof *prepared);
    cairn_error cause;
    cairn_status status = CAIRN_NO_MEMORY;

    *out = (struct crn_candidates){0};
    if (prepared == NULL) return crn_error_no_memory(err, space->info->dim * sizeof *prepared);
    if (!crn_live_space_prepare(space, vector, prepared)) {
        crn_mem_free(prepared);
        return crn_error_set(err, CAIRN_INVALID_VECTOR, "the query vector cannot be compared");
    }
    /* A damaged segment costs time, never an answer: rebuild it, or at last do without. */
    for (int attempt = 0; attempt < 3; attempt++) {
        status = search_once(search, space, prepared, k, out, &cause);
        if (status == CAIRN_OK) break;
        forget(out);
        if (status != CAIRN_CORRUPT || attempt == 2) break;
        crn_log(&search->collection->db->log, CAIRN_LOG_WARN, "rebuilding from the rows: %s", cause.message);
        cairn_error ignored; /* the next try will meet the same trouble and tell it */
        if (attempt == 1 || crn_space_rebuild(space, NULL, NULL, &ignored) != CAIRN_OK)
            crn_live_space_distrust(space);
    }
    crn_mem_free(prepared);
    return status == CAIRN_OK ? CAIRN_OK : crn_error_set(err, status, "%s", cause.message);
}
