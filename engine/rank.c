#include "engine/rank.h"

#include "base/error.h"
#include "engine/filter.h"

#include <math.h>
#include <string.h>

#define SIMILARITY_WEIGHT 0.65
#define RECENCY_WEIGHT 0.15
#define CONFIDENCE_WEIGHT 0.20
#define RECENCY_DAYS 45.0
#define DAY_MS 86400000.0

/* 1 for what was made now (or later), less with each day: e^-1 after RECENCY_DAYS. */
static double recency(const cairn_pattern *pattern, int64_t now_ms)
{
    const double age_ms = (double)now_ms - (double)pattern->created_at_ms;

    return age_ms > 0 ? exp(-age_ms / DAY_MS / RECENCY_DAYS) : 1;
}

static void rank_classic(struct crn_shortlist *shortlist, int64_t now_ms)
{
    for (size_t i = 0; i < shortlist->count; i++) {
        struct crn_shortlist_row *row = &shortlist->rows[i];
        row->score = SIMILARITY_WEIGHT * row->similarity + RECENCY_WEIGHT * recency(row->pattern, now_ms) +
                     CONFIDENCE_WEIGHT * row->pattern->confidence;
    }
}

/* The filter's conditions that the pattern fulfils, its recency and its confidence, each one part of the
 * whole. */
static cairn_status metadata_score(const struct crn_filter *filter, struct crn_json_parser *parser,
                                   const cairn_pattern *pattern, int64_t now_ms, double *out_score,
                                   cairn_error *err)
{
    struct crn_json payload;
    size_t fulfilled = 0, conditions = 0;

    if (filter != NULL) {
        const char *text = pattern->payload;
        if (text != NULL) CRN_TRY(crn_json_parse(parser, text, strlen(text), &payload, err));
        fulfilled = crn_filter_count(filter, text != NULL ? &payload : NULL, &conditions);
    }
    *out_score =
        ((double)fulfilled + recency(pattern, now_ms) + pattern->confidence) / ((double)conditions + 2);
    return CAIRN_OK;
}

static cairn_status rank_weighted(struct crn_shortlist *shortlist, const cairn_retrieve_options *options,
                                  int64_t now_ms, cairn_error *err)
{
    struct crn_filter *filter = NULL;
    struct crn_json_parser *parser = crn_json_parser_create();
    cairn_status status = parser != NULL ? CAIRN_OK : crn_error_no_memory(err, 1);

    if (status == CAIRN_OK && options->filter != NULL) {
        status = crn_filter_parse(options->filter, strlen(options->filter), &filter, err);
    }
    for (size_t i = 0; status == CAIRN_OK && i < shortlist->count; i++) {
        struct crn_shortlist_row *row = &shortlist->rows[i];
        double metadata;
        status = metadata_score(filter, parser, row->pattern, now_ms, &metadata, err);
        if (status == CAIRN_OK) {
            row->score = options->vector_weight * row->similarity + options->metadata_weight * metadata;
        }
    }
    crn_filter_free(filter);
    crn_json_parser_free(parser);
    return status;
}

cairn_status crn_rank(struct crn_shortlist *shortlist, const cairn_retrieve_options *options, int64_t now_ms,
                      cairn_error *err)
{
    if (options->vector_weight == 0 && options->metadata_weight == 0) {
        rank_classic(shortlist, now_ms);
    } else {
        CRN_TRY(rank_weighted(shortlist, options, now_ms, err));
    }
    crn_shortlist_sort(shortlist);
    return CAIRN_OK;
}
