/* Looking at a retrieval's patterns. How it is told is in context_write.c. */
#include "engine/context.h"

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/unit.h"
#include "quant/kernels.h"

#include <math.h>
#include <string.h>

#define EDGE_COSINE_MIN 0.7
#define RECOMMENDED_SUCCESS_MIN 0.5
#define RECOMMENDED_CONFIDENCE_MIN 0.5

/* ---- labels ---- */

/* As much of the first line as fits, cut between characters. */
static void set_label(char label[CRN_CONTEXT_LABEL_BYTES], const char *text, size_t len)
{
    const char *newline = memchr(text, '\n', len);

    if (newline != NULL) len = (size_t)(newline - text);
    if (len >= CRN_CONTEXT_LABEL_BYTES) len = crn_utf8_valid(text, CRN_CONTEXT_LABEL_BYTES - 1);
    memcpy(label, text, len);
    label[len] = '\0';
}

/* The text, or the payload's member "pattern", or the first string in the payload. "" when there is nothing
 * to say. */
static cairn_status label_pattern(struct crn_json_parser *parser, const cairn_pattern *pattern,
                                  char label[CRN_CONTEXT_LABEL_BYTES], cairn_error *err)
{
    struct crn_json payload, said;
    struct crn_json_iter it;
    const char *key;
    size_t len;

    label[0] = '\0';
    if (pattern->text != NULL && pattern->text[0] != '\0') {
        set_label(label, pattern->text, strlen(pattern->text));
        return CAIRN_OK;
    }
    if (pattern->payload == NULL) return CAIRN_OK;
    CRN_TRY(crn_json_parse(parser, pattern->payload, strlen(pattern->payload), &payload, err));
    bool found = crn_json_get(payload, "pattern", &said) && crn_json_type(said) == CRN_JSON_STRING;
    for (crn_json_iter_init(&it, payload); !found && crn_json_iter_next(&it, &said, &key, &len);) {
        found = crn_json_type(said) == CRN_JSON_STRING;
    }
    if (!found) return CAIRN_OK;
    const char *text = crn_json_string(said, &len);
    set_label(label, text, len);
    return CAIRN_OK;
}

static cairn_status label_all(struct crn_context *context, cairn_error *err)
{
    struct crn_json_parser *parser;
    cairn_status status = CAIRN_OK;

    context->labels = crn_mem_array(context->count, sizeof *context->labels);
    if (context->labels == NULL) return crn_error_no_memory(err, context->count * sizeof *context->labels);
    parser = crn_json_parser_create();
    if (parser == NULL) return crn_error_no_memory(err, 1);
    for (size_t i = 0; status == CAIRN_OK && i < context->count; i++) {
        status = label_pattern(parser, context->memories[i].pattern, context->labels[i], err);
    }
    crn_json_parser_free(parser);
    return status;
}

/* ---- the graph ---- */

static void join_near(struct crn_context *context, const float *vectors, uint32_t dim)
{
    float negated[CRN_CONTEXT_PATTERNS_MAX];

    for (size_t from = 0; from < context->count; from++) {
        const size_t others = context->count - from - 1;
        const float *next = vectors + (from + 1) * dim;
        crn_kernels_get()->f32_block[CRN_OP_DOT](vectors + from * dim, next, dim, others, negated);
        for (size_t i = 0; i < others; i++) {
            if (-(double)negated[i] < EDGE_COSINE_MIN) continue;
            context->edges[context->edge_count++] = (struct crn_context_edge){
                .from = from,
                .to = from + 1 + i,
                .cosine = fmin(-(double)negated[i], 1),
            };
        }
    }
}

static cairn_status find_edges(struct crn_context *context, cairn_error *err)
{
    size_t size;

    if (context->count < 2) return CAIRN_OK;
    const uint32_t dim = context->memories[0].pattern->dim;
    const size_t pairs = context->count * (context->count - 1) / 2;
    float *vectors = crn_mem_mul(context->count, dim, &size) ? crn_mem_array(size, sizeof *vectors) : NULL;
    context->edges = crn_mem_array(pairs, sizeof *context->edges);
    if (vectors == NULL || context->edges == NULL) {
        crn_mem_free(vectors);
        return crn_error_no_memory(err, context->count * dim * sizeof *vectors);
    }
    for (size_t i = 0; i < context->count; i++) {
        crn_unit_vector(context->memories[i].pattern->vector, dim, vectors + i * dim);
    }
    join_near(context, vectors, dim);
    crn_mem_free(vectors);
    return CAIRN_OK;
}

/* ---- trust ---- */

/* The patterns' confidence, each weighed by its score. */
static double mean_confidence(const struct crn_context *context)
{
    double weights = 0, weighed = 0, sum = 0;

    for (size_t i = 0; i < context->count; i++) {
        const double weight = fmax(context->memories[i].score, 0);
        weights += weight;
        weighed += weight * context->memories[i].pattern->confidence;
        sum += context->memories[i].pattern->confidence;
    }
    if (weights > 0) return weighed / weights;
    return context->count > 0 ? sum / (double)context->count : 0;
}

double crn_context_success_rate(const cairn_pattern *pattern)
{
    return pattern->usage_count > 0 ? (double)pattern->success_count / (double)pattern->usage_count : 0;
}

/* How well a pattern did, cautious about few uses (Laplace's rule of succession), and how far it is
 * trusted. */
static double merit(const cairn_pattern *pattern)
{
    return ((double)pattern->success_count + 1) / ((double)pattern->usage_count + 2) * pattern->confidence;
}

static void recommend(struct crn_context *context)
{
    size_t *best = context->recommended;

    for (size_t i = 0; i < context->count; i++) {
        const cairn_pattern *pattern = context->memories[i].pattern;
        size_t place = context->recommended_count;

        if (pattern->confidence < RECOMMENDED_CONFIDENCE_MIN) continue;
        if (crn_context_success_rate(pattern) < RECOMMENDED_SUCCESS_MIN) continue;
        while (place > 0 && merit(pattern) > merit(context->memories[best[place - 1]].pattern)) place--;
        if (place == CRN_CONTEXT_RECOMMENDED_MAX) continue;
        if (context->recommended_count < CRN_CONTEXT_RECOMMENDED_MAX) context->recommended_count++;
        memmove(best + place + 1, best + place, (context->recommended_count - 1 - place) * sizeof *best);
        best[place] = i;
    }
}

/* ---- all of it ---- */

cairn_status crn_context_init(struct crn_context *context, const cairn_retrieve_options *options,
                              const cairn_memory *memories, size_t count, cairn_error *err)
{
    *context = (struct crn_context){
        .options = options,
        .memories = memories,
        .count = count < CRN_CONTEXT_PATTERNS_MAX ? count : CRN_CONTEXT_PATTERNS_MAX,
    };
    cairn_status status = label_all(context, err);
    if (status == CAIRN_OK) status = crn_themes_find(memories, context->count, &context->themes, err);
    if (status == CAIRN_OK) status = find_edges(context, err);
    if (status != CAIRN_OK) {
        crn_context_release(context);
        return status;
    }
    context->confidence = mean_confidence(context);
    recommend(context);
    return CAIRN_OK;
}

void crn_context_release(struct crn_context *context)
{
    crn_mem_free(context->labels);
    crn_mem_free(context->edges);
    *context = (struct crn_context){0};
}
