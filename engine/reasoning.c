/*
 * retrieveWithReasoning: a shortlist of nearest patterns, ranked, thinned out by MMR, counted as used, and
 * explained. The parts are in shortlist.c, rank.c, mmr.c and context.c; this file puts them together and
 * keeps the answer.
 */
#include "engine/context.h"
#include "engine/mmr.h"
#include "engine/prepare.h"
#include "engine/rank.h"
#include "engine/unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

#define K_DEFAULT 10u
#define SHORTLIST_SHARE 4u /* rows ranked for each one returned */
#define SHORTLIST_MIN 64u
#define CONTEXT_BYTES_MAX (64u << 20)

struct cairn_reasoning {
    struct crn_shortlist shortlist; /* what the memories' patterns live in */
    cairn_memory *memories;
    size_t count;
    char *context, *narrative;
    cairn_memory_report report;
    bool has_report;
};

/* ---- options ---- */

static cairn_status check_weight(const char *name, double weight, cairn_error *err)
{
    if (weight >= 0 && weight <= 1e6) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s %g is not between 0 and 1000000", name, weight);
}

static cairn_status check_k(const cairn_retrieve_options *options, cairn_error *err)
{
    if (options->k > CAIRN_K_MAX) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "k is %u, it must be between 1 and %u", options->k,
                             CAIRN_K_MAX);
    }
    if (!options->use_mmr) return CAIRN_OK;
    if (options->k > CAIRN_MMR_K_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "k is %u, with use_mmr at most %u are chosen", options->k,
                             CAIRN_MMR_K_MAX);
    }
    if (!(options->mmr_lambda >= 0 && options->mmr_lambda <= 1)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "mmr_lambda %g is not between 0 and 1",
                             options->mmr_lambda);
    }
    return CAIRN_OK;
}

static cairn_status check_options(const cairn_collection *collection, const cairn_retrieve_options *options,
                                  cairn_error *err)
{
    const struct crn_space *space = &crn_collection_now(collection)->spaces[0];
    const cairn_scope scope = {
        .size = sizeof scope,
        .domain = options->domain,
        .agent = options->agent,
        .filter = options->filter,
        .min_confidence = options->min_confidence,
    };

    CRN_TRY(check_k(options, err));
    CRN_TRY(check_weight("vector_weight", options->vector_weight, err));
    CRN_TRY(check_weight("metadata_weight", options->metadata_weight, err));
    if ((unsigned)options->metric > CAIRN_METRIC_MANHATTAN) {
        return crn_error_set(err, CAIRN_INVALID_OPTION, "%d is not a metric", (int)options->metric);
    }
    if (space->kind != CAIRN_SPACE_DENSE) {
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "the space '%s' is not dense: search it with cairn_search", space->name);
    }
    if (options->vector == NULL && (options->text == NULL || options->text[0] == '\0')) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "there is neither a vector nor a text to retrieve by");
    }
    if (options->vector != NULL) CRN_TRY(crn_check_vector(space, options->vector, options->dim, err));
    return crn_scope_check(&scope, err);
}

/* ---- choosing ---- */

/* As many candidates as it takes, so that k are left when some have expired by now_ms, which the search did
 * not know. */
static cairn_status fetch_shortlist(const struct crn_shortlist_query *query, struct crn_shortlist *out,
                                    cairn_error *err)
{
    const uint32_t k = query->options->k;
    uint32_t wanted = k > CAIRN_K_MAX / SHORTLIST_SHARE ? CAIRN_K_MAX : k * SHORTLIST_SHARE;

    if (wanted < SHORTLIST_MIN) wanted = SHORTLIST_MIN;
    for (;;) {
        CRN_TRY(crn_shortlist_fetch(query, wanted, out, err));
        if (out->count >= k || out->all || wanted == CAIRN_K_MAX) return CAIRN_OK;
        crn_shortlist_release(out);
        wanted = wanted > CAIRN_K_MAX / SHORTLIST_SHARE ? CAIRN_K_MAX : wanted * SHORTLIST_SHARE;
    }
}

/* The positions of `count` ranked rows, chosen by MMR. */
static cairn_status pick_diverse(const struct crn_shortlist *shortlist, double lambda, size_t count,
                                 size_t *out_picked, cairn_error *err)
{
    const uint32_t dim = shortlist->rows[0].pattern->dim;
    double *relevance = crn_mem_array(shortlist->count, sizeof *relevance);
    float *vectors = NULL;
    size_t values;
    cairn_status status;

    if (crn_mem_mul(shortlist->count, dim, &values)) vectors = crn_mem_array(values, sizeof *vectors);
    if (relevance == NULL || vectors == NULL) {
        status = crn_error_no_memory(err, shortlist->count * dim * sizeof *vectors);
        goto done;
    }
    for (size_t i = 0; i < shortlist->count; i++) {
        relevance[i] = shortlist->rows[i].score;
        crn_unit_vector(shortlist->rows[i].pattern->vector, dim, vectors + i * dim);
    }
    const struct crn_mmr mmr = {
        .relevance = relevance,
        .vectors = vectors,
        .count = shortlist->count,
        .dim = dim,
        .lambda = lambda,
    };
    status = crn_mmr_pick(&mmr, count, out_picked, err);

done:
    crn_mem_free(relevance);
    crn_mem_free(vectors);
    return status;
}

static void touch(cairn_collection *collection, const struct crn_shortlist *shortlist, const size_t *picked,
                  size_t count, int64_t now_ms)
{
    uint32_t *locals = crn_mem_array(count, sizeof *locals);

    if (locals == NULL) return; /* uses that are not counted are no reason to withhold an answer */
    for (size_t i = 0; i < count; i++) locals[i] = shortlist->rows[picked[i]].local;
    crn_collection_touch(collection, locals, count, now_ms);
    crn_mem_free(locals);
}

static cairn_status choose(const struct crn_shortlist_query *query, struct cairn_reasoning *reasoning,
                           cairn_error *err)
{
    const cairn_retrieve_options *options = query->options;
    const struct crn_shortlist *shortlist = &reasoning->shortlist;
    const size_t count = shortlist->count < options->k ? shortlist->count : options->k;
    size_t *picked = crn_mem_array(count, sizeof *picked);
    cairn_status status = CAIRN_OK;

    reasoning->memories = crn_mem_array(count, sizeof *reasoning->memories);
    if (picked == NULL || reasoning->memories == NULL) {
        status = crn_error_no_memory(err, count * sizeof *reasoning->memories);
        goto done;
    }
    for (size_t i = 0; i < count; i++) picked[i] = i;
    if (options->use_mmr && count > 0)
        status = pick_diverse(shortlist, options->mmr_lambda, count, picked, err);
    if (status != CAIRN_OK) goto done;
    for (size_t i = 0; i < count; i++) {
        const struct crn_shortlist_row *row = &shortlist->rows[picked[i]];
        reasoning->memories[i] = (cairn_memory){
            .pattern = row->pattern,
            .similarity = row->similarity,
            .score = row->score,
        };
    }
    reasoning->count = count;
    if (!options->no_touch) touch(query->collection, shortlist, picked, count, query->now_ms);

done:
    crn_mem_free(picked);
    return status;
}

static cairn_status explain(struct cairn_reasoning *reasoning, const cairn_retrieve_options *options,
                            cairn_error *err)
{
    struct crn_context context;
    struct crn_buf text;

    CRN_TRY(crn_context_init(&context, options, reasoning->memories, reasoning->count, err));
    crn_buf_init(&text, CONTEXT_BYTES_MAX);
    cairn_status status = crn_context_write(&context, &text);
    if (status == CAIRN_OK) {
        reasoning->context = crn_buf_take(&text);
        status = crn_context_narrate(&context, &text);
    }
    if (status == CAIRN_OK) reasoning->narrative = crn_buf_take(&text);
    if (status == CAIRN_OK && (reasoning->context == NULL || reasoning->narrative == NULL))
        status = CAIRN_NO_MEMORY;
    if (status != CAIRN_OK)
        crn_error_set(err, status, "the context could not be written: %s", cairn_status_text(status));
    crn_buf_release(&text);
    crn_context_release(&context);
    return status;
}

static cairn_status retrieve(cairn_collection *collection, const cairn_retrieve_options *options,
                             struct cairn_reasoning *reasoning, cairn_error *err)
{
    const struct crn_shortlist_query query = {
        .collection = collection,
        .options = options,
        .now_ms = options->now_ms,
        .with_vectors = options->use_mmr || options->synthesize_context,
    };

    if (options->optimize_memory) {
        const cairn_memory_options defaults = {.size = sizeof defaults, .now_ms = options->now_ms};
        CRN_TRY(cairn_memory_optimize(collection, &defaults, &reasoning->report, err));
        reasoning->has_report = true;
    }
    CRN_TRY(fetch_shortlist(&query, &reasoning->shortlist, err));
    CRN_TRY(crn_rank(&reasoning->shortlist, options, options->now_ms, err));
    CRN_TRY(choose(&query, reasoning, err));
    return options->synthesize_context ? explain(reasoning, options, err) : CAIRN_OK;
}

cairn_status cairn_retrieve(cairn_collection *collection, const cairn_retrieve_options *options,
                            cairn_reasoning **out_reasoning, cairn_error *err)
{
    if (collection == NULL || options == NULL || out_reasoning == NULL) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "an argument is NULL");
    }
    *out_reasoning = NULL;
    CRN_TRY(crn_check_size("cairn_retrieve_options", options->size, sizeof *options, err));
    CRN_TRY(check_options(collection, options, err));

    cairn_retrieve_options filled = *options;
    if (filled.k == 0) filled.k = K_DEFAULT;
    if (filled.now_ms == 0) filled.now_ms = crn_clock_ms();
    struct cairn_reasoning *reasoning = crn_mem_calloc(1, sizeof *reasoning);
    if (reasoning == NULL) return crn_error_no_memory(err, sizeof *reasoning);
    const cairn_status status = retrieve(collection, &filled, reasoning, err);
    if (status != CAIRN_OK) {
        cairn_reasoning_free(reasoning);
        return status;
    }
    *out_reasoning = reasoning;
    return CAIRN_OK;
}

/* ---- the answer ---- */

size_t cairn_reasoning_count(const cairn_reasoning *reasoning)
{
    return reasoning == NULL ? 0 : reasoning->count;
}

const cairn_memory *cairn_reasoning_at(const cairn_reasoning *reasoning, size_t i)
{
    return reasoning == NULL || i >= reasoning->count ? NULL : &reasoning->memories[i];
}

const char *cairn_reasoning_context(const cairn_reasoning *reasoning)
{
    return reasoning == NULL ? NULL : reasoning->context;
}

const char *cairn_reasoning_narrative(const cairn_reasoning *reasoning)
{
    return reasoning == NULL ? NULL : reasoning->narrative;
}

const cairn_memory_report *cairn_reasoning_report(const cairn_reasoning *reasoning)
{
    return reasoning == NULL || !reasoning->has_report ? NULL : &reasoning->report;
}

void cairn_reasoning_free(cairn_reasoning *reasoning)
{
    if (reasoning == NULL) return;
    crn_shortlist_release(&reasoning->shortlist);
    crn_mem_free(reasoning->memories);
    crn_mem_free(reasoning->context);
    crn_mem_free(reasoning->narrative);
    crn_mem_free(reasoning);
}
