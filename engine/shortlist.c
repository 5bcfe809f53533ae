/* Fetching what a retrieval ranks. */
#include "engine/shortlist.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/patterns.h"

#include <stdlib.h>

static cairn_status search_nearest(const struct crn_shortlist_query *query, uint32_t wanted,
                                   struct crn_near *out_near, uint32_t *out_count, cairn_error *err)
{
    const cairn_retrieve_options *options = query->options;
    const cairn_query search = {
        .size = sizeof search,
        .vector = options->vector,
        .dim = options->dim,
        .text = options->vector == NULL ? options->text : NULL,
        .mode = CAIRN_SEARCH_VECTOR,
        .k = wanted,
        .domain = options->domain,
        .agent = options->agent,
        .filter = options->filter,
        .min_confidence = options->min_confidence,
    };
    cairn_results *results;

    CRN_TRY(cairn_search(query->collection, &search, &results, err));
    *out_count = (uint32_t)cairn_results_count(results);
    for (uint32_t i = 0; i < *out_count; i++) {
        out_near[i].local = crn_results_local(results, i);
        out_near[i].similarity = (double)cairn_results_at(results, i)->score;
    }
    cairn_results_free(results);
    return CAIRN_OK;
}

static cairn_status find_nearest(const struct crn_shortlist_query *query, uint32_t wanted,
                                 struct crn_near *out_near, uint32_t *out_count, cairn_error *err)
{
    const cairn_metric asked = query->options->metric;
    const cairn_metric own = crn_collection_now(query->collection)->spaces[0].metric;

    if (asked == CAIRN_METRIC_DEFAULT || asked == own)
        return search_nearest(query, wanted, out_near, out_count, err);
    return crn_shortlist_compare_all(query, wanted, out_near, out_count, err);
}

static cairn_status read_patterns(const struct crn_shortlist_query *query, const struct crn_near *near,
                                  uint32_t count, struct crn_shortlist *out, cairn_error *err)
{
    const struct crn_catalog *catalog;
    struct crn_reader *reader;
    cairn_status status = CAIRN_OK;

    out->rows = crn_mem_array(count, sizeof *out->rows);
    if (out->rows == NULL) return crn_error_no_memory(err, count * sizeof *out->rows);
    out->patterns = crn_patterns_create(count, err);
    if (out->patterns == NULL) return CAIRN_NO_MEMORY;
    CRN_TRY(crn_collection_read(query->collection, &reader, &catalog, err));
    for (uint32_t i = 0; status == CAIRN_OK && i < count; i++) {
        status = crn_patterns_add(out->patterns, reader, catalog, near[i].local, query->now_ms,
                                  query->with_vectors, err);
        const cairn_pattern *pattern = cairn_patterns_at(out->patterns, i);
        /* A row may have been deleted, or have lost its vector, since it was found. */
        if (status != CAIRN_OK || pattern->id == NULL) continue;
        if (query->with_vectors && pattern->vector == NULL) continue;
        out->rows[out->count++] = (struct crn_shortlist_row){
            .local = near[i].local,
            .pattern = pattern,
            .similarity = near[i].similarity,
        };
    }
    crn_store_read_end(reader);
    return status;
}

cairn_status crn_shortlist_fetch(const struct crn_shortlist_query *query, uint32_t wanted,
                                 struct crn_shortlist *out_shortlist, cairn_error *err)
{
    struct crn_near *near = crn_mem_array(wanted, sizeof *near);
    uint32_t count = 0;

    *out_shortlist = (struct crn_shortlist){0};
    if (near == NULL) return crn_error_no_memory(err, wanted * sizeof *near);
    cairn_status status = find_nearest(query, wanted, near, &count, err);
    if (status == CAIRN_OK) status = read_patterns(query, near, count, out_shortlist, err);
    out_shortlist->all = count < wanted;
    crn_mem_free(near);
    if (status != CAIRN_OK) crn_shortlist_release(out_shortlist);
    return status;
}

void crn_shortlist_release(struct crn_shortlist *shortlist)
{
    crn_mem_free(shortlist->rows);
    cairn_patterns_free(shortlist->patterns);
    *shortlist = (struct crn_shortlist){0};
}

static int order_rows(const void *left, const void *right)
{
    const struct crn_shortlist_row *a = left, *b = right;

    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->similarity != b->similarity) return a->similarity > b->similarity ? -1 : 1;
    return a->local < b->local ? -1 : a->local > b->local;
}

void crn_shortlist_sort(struct crn_shortlist *shortlist)
{
    qsort(shortlist->rows, shortlist->count, sizeof *shortlist->rows, order_rows);
}
