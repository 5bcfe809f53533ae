/* POST .../retrieve: retrieveWithReasoning. */
#include "server/v1_internal.h"

#include "base/clock.h"

static bool read_ranking(struct crn_v1_call *call, cairn_retrieve_options *out)
{
    static const char *const metrics[] = {"default", "cosine",    "l2",
                                          "dot",     "manhattan", NULL}; /* in the order of the enum */
    unsigned metric = 0;
    bool has_lambda;

    if (!crn_v1_get_choice(call, call->body, "metric", metrics, &metric) ||
        !crn_v1_get_double(call, call->body, "vector_weight", &out->vector_weight, NULL) ||
        !crn_v1_get_double(call, call->body, "metadata_weight", &out->metadata_weight, NULL) ||
        !crn_v1_get_bool(call, call->body, "use_mmr", &out->use_mmr) ||
        !crn_v1_get_double(call, call->body, "mmr_lambda", &out->mmr_lambda, &has_lambda)) {
        return false;
    }
    out->metric = (cairn_metric)metric;
    if (has_lambda && !out->use_mmr)
        return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "mmr_lambda counts only with use_mmr");
    if (!has_lambda) out->mmr_lambda = 0.5;
    return true;
}

/* A key that may only read counts no use, and changes nothing. */
static bool read_effects(struct crn_v1_call *call, cairn_retrieve_options *out)
{
    const bool reader = call->request->principal.role < CRN_ROLE_WRITE;
    bool touch = !reader;

    if (!crn_v1_get_bool(call, call->body, "touch", &touch) ||
        !crn_v1_get_bool(call, call->body, "synthesize_context", &out->synthesize_context) ||
        !crn_v1_get_bool(call, call->body, "optimize_memory", &out->optimize_memory)) {
        return false;
    }
    out->no_touch = !touch;
    if (!reader || (!touch && !out->optimize_memory)) return true;
    return crn_v1_fail(call, 403, "FORBIDDEN", "the key may not write, and touch and optimize_memory do");
}

static bool read_options(struct crn_v1_call *call, cairn_retrieve_options *out, bool *out_with_vectors)
{
    static const char *const names[] = {"vector",
                                        "vector_b64",
                                        "text",
                                        "k",
                                        "domain",
                                        "agent",
                                        "filter",
                                        "min_confidence",
                                        "metric",
                                        "vector_weight",
                                        "metadata_weight",
                                        "use_mmr",
                                        "mmr_lambda",
                                        "synthesize_context",
                                        "optimize_memory",
                                        "touch",
                                        "with_vectors",
                                        NULL};
    cairn_scope scope;

    *out = (cairn_retrieve_options){.size = sizeof *out};
    if (!crn_v1_only(call, call->body, names) ||
        !crn_v1_get_vector(call, call->body, &out->vector, &out->dim) ||
        !crn_v1_get_text(call, call->body, "text", &out->text) ||
        !crn_v1_get_u32(call, call->body, "k", 1, CAIRN_K_MAX, &out->k) ||
        !crn_v1_get_bool(call, call->body, "with_vectors", out_with_vectors) ||
        !crn_v1_get_scope(call, call->body, &scope)) {
        return false;
    }
    out->domain = scope.domain;
    out->agent = scope.agent;
    out->filter = scope.filter;
    out->min_confidence = scope.min_confidence;
    return read_ranking(call, out) && read_effects(call, out);
}

static void put_memory(struct crn_buf *out, const cairn_memory *memory, bool with_vectors)
{
    crn_buf_puts(out, "{\"similarity\":");
    crn_buf_json_double(out, memory->similarity);
    crn_buf_puts(out, ",\"score\":");
    crn_buf_json_double(out, memory->score);
    crn_buf_puts(out, ",\"pattern\":");
    crn_v1_put_pattern(out, memory->pattern, with_vectors);
    crn_buf_putc(out, '}');
}

bool crn_v1_retrieve(struct crn_v1_call *call)
{
    cairn_collection *collection = crn_v1_lease(call);
    cairn_retrieve_options options;
    cairn_reasoning *reasoning = NULL;
    bool with_vectors = false;
    cairn_error err = {0};

    if (collection == NULL || !read_options(call, &options, &with_vectors)) return false;
    const uint64_t begin_ns = crn_clock_ns();
    if (!crn_v1_ok(call, cairn_retrieve(collection, &options, &reasoning, &err), &err)) return false;
    crn_v1_note_slow(call, "retrieve", NULL, options.k != 0 ? options.k : 10, 0,
                     (double)(crn_clock_ns() - begin_ns) / 1e6);
    crn_buf_puts(call->out, "{\"memories\":[");
    for (size_t i = 0; i < cairn_reasoning_count(reasoning); i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        put_memory(call->out, cairn_reasoning_at(reasoning, i), with_vectors);
    }
    crn_buf_putc(call->out, ']');
    if (cairn_reasoning_context(reasoning) != NULL) {
        crn_buf_puts(call->out, ",\"context\":");
        crn_buf_puts(call->out, cairn_reasoning_context(reasoning));
        crn_buf_puts(call->out, ",\"narrative\":");
        crn_v1_put_text(call->out, cairn_reasoning_narrative(reasoning));
    }
    if (cairn_reasoning_report(reasoning) != NULL) {
        crn_buf_puts(call->out, ",\"optimizations\":");
        crn_v1_put_report(call->out, cairn_reasoning_report(reasoning));
    }
    crn_buf_putc(call->out, '}');
    cairn_reasoning_free(reasoning);
    return true;
}
