/* POST .../search: by vector, by text, by both; the query as JSON, or one bare vector with its settings in the URL. */
#include "server/v1_internal.h"

#include <inttypes.h>

#define K_DEFAULT 10u

static const char *const fields[] = {
    "vector",         "vector_b64",   "text",         "space",   "model",  "k",      "mode",   "fusion",
    "lexical_weight", V1_SCOPE_NAMES, "min_score",    "exact",   "ef",     "nprobe", "recall", "oversampling",
    "timeout_ms",     "with_pattern", "with_vectors", "explain", "device", NULL};

/* ---- reading ---- */

/* A sparse query: {"indices", "values"} in the place of the vector. */
static bool read_query_vector(struct crn_v1_call *call, cairn_query *out)
{
    struct crn_json value;
    cairn_vector sparse = {0};

    if (!crn_v1_member(call->body, "vector", &value) || crn_json_type(value) != CRN_JSON_OBJECT) {
        return crn_v1_get_vector(call, call->body, &out->vector, &out->dim);
    }
    if (!crn_v1_read_vector(call, "vector", value, &sparse)) return false;
    out->vector = sparse.values;
    out->indices = sparse.indices;
    out->dim = sparse.indices != NULL ? sparse.count : sparse.dim;
    return true;
}

static bool read_where(struct crn_v1_call *call, cairn_query *out)
{
    cairn_scope scope;

    if (!crn_v1_get_scope(call, call->body, &scope)) return false;
    out->domain = scope.domain;
    out->agent = scope.agent;
    out->type = scope.type;
    out->filter = scope.filter;
    out->min_confidence = scope.min_confidence;
    return crn_v1_get_double(call, call->body, "min_score", &out->min_score, &out->has_min_score);
}

static bool read_how(struct crn_v1_call *call, cairn_query *out)
{
    static const char *const modes[] = {"auto", "vector", "lexical", "hybrid",
                                        NULL}; /* in the order of the enums */
    static const char *const fusions[] = {"rrf", "weighted", NULL};
    const struct crn_json body = call->body;
    static const char *const devices[] = {"default", "cpu", "gpu", NULL};
    unsigned mode = 0, fusion = 0, device = 0;

    if (!crn_v1_get_choice(call, body, "mode", modes, &mode) ||
        !crn_v1_get_choice(call, body, "fusion", fusions, &fusion) ||
        !crn_v1_get_choice(call, body, "device", devices, &device))
        return false;
    out->mode = (cairn_search_mode)mode;
    out->fusion = (cairn_fusion)fusion;
    out->device = (cairn_device)device;
    return crn_v1_get_u32(call, body, "k", 1, CAIRN_K_MAX, &out->k) &&
           crn_v1_get_double(call, body, "lexical_weight", &out->lexical_weight, NULL) &&
           crn_v1_get_bool(call, body, "exact", &out->exact) &&
           crn_v1_get_u32(call, body, "ef", 1, UINT32_MAX, &out->ef) &&
           crn_v1_get_u32(call, body, "nprobe", 1, UINT32_MAX, &out->nprobe) &&
           crn_v1_get_double(call, body, "recall", &out->recall, NULL) &&
           crn_v1_get_double(call, body, "oversampling", &out->oversampling, NULL) &&
           crn_v1_get_u32(call, body, "timeout_ms", 1, UINT32_MAX, &out->timeout_ms) &&
           crn_v1_get_bool(call, body, "with_pattern", &out->with_pattern) &&
           crn_v1_get_bool(call, body, "with_vectors", &out->with_vectors);
}

static bool read_query(struct crn_v1_call *call, cairn_query *out, bool *out_explain)
{
    *out = (cairn_query){.size = sizeof *out, .k = K_DEFAULT};
    return crn_v1_only(call, call->body, fields) && read_query_vector(call, out) &&
           crn_v1_get_text(call, call->body, "text", &out->text) &&
           crn_v1_get_text(call, call->body, "space", &out->space) &&
           crn_v1_get_text(call, call->body, "model", &out->model) && read_where(call, out) &&
           read_how(call, out) && crn_v1_get_bool(call, call->body, "explain", out_explain);
}

static bool read_binary_vector(struct crn_v1_call *call, cairn_query *out)
{
    size_t rows;

    if (out->vector != NULL) return crn_v1_refuse(call, CAIRN_INVALID_ARGUMENT, "the vector is given twice");
    const size_t numbers = call->request->body.length /
                           sizeof(float); /* all of them are the vector; the engine checks its dim */
    const bool npy = crn_v1_header_is(call->request, "content-type", "application/x-npy");
    const uint32_t dim = npy                       ? 0
                         : numbers > CAIRN_DIM_MAX ? CAIRN_DIM_MAX + 1
                         : numbers == 0            ? 1
                                                   : (uint32_t)numbers;
    if (!crn_v1_read_rows(call, dim, &out->vector, &rows, &out->dim)) return false;
    return rows == 1 ||
           crn_v1_refuse(call, CAIRN_DIM_MISMATCH, "the body has %zu vectors; a search takes one", rows);
}

/* ---- answering ---- */

static void put_hit(struct crn_buf *out, const cairn_hit *hit)
{
    crn_buf_puts(out, "{\"id\":");
    crn_v1_put_id(out, &hit->id);
    crn_buf_puts(out, ",\"score\":");
    crn_buf_json_float(out, hit->score);
    crn_buf_puts(out, ",\"distance\":");
    crn_buf_json_float(out, hit->distance);
    if (hit->pattern != NULL) {
        crn_buf_puts(out, ",\"pattern\":");
        crn_v1_put_pattern(out, hit->pattern, true); /* what was not asked for was not read */
    }
    crn_buf_putc(out, '}');
}

static void put_info(struct crn_buf *out, const cairn_search_info *info)
{
    crn_buf_printf(out,
                   ",\"info\":{\"plan\":\"%s\",\"rows\":%" PRIu64 ",\"rows_matched\":%" PRIu64
                   ",\"rows_scored\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"ms\":",
                   info->plan, info->rows, info->rows_matched, info->rows_scored, info->sequence);
    crn_buf_json_double(out, info->elapsed_ms);
    crn_buf_printf(out, ",\"device\":\"%s\"}", info->device);
}

bool crn_v1_search(struct crn_v1_call *call)
{
    cairn_collection *collection = crn_v1_lease(call);
    const bool binary = crn_v1_body_is_binary(call->request);
    cairn_results *results = NULL;
    cairn_search_info info = {.size = sizeof info};
    cairn_query query;
    bool explain = false;
    cairn_error err = {0};

    if (collection == NULL || (binary && !crn_v1_parameters_as_body(call)) ||
        !read_query(call, &query, &explain))
        return false;
    if (binary && !read_binary_vector(call, &query)) return false;
    if (!crn_v1_ok(call, cairn_search(collection, &query, &results, &err), &err)) return false;
    cairn_results_info(results, &info);
    crn_v1_note_slow(call, "search", info.plan, query.k, info.rows_scored, info.elapsed_ms);
    crn_buf_puts(call->out, "{\"hits\":[");
    for (size_t i = 0; i < cairn_results_count(results); i++) {
        if (i > 0) crn_buf_putc(call->out, ',');
        put_hit(call->out, cairn_results_at(results, i));
    }
    crn_buf_putc(call->out, ']');
    if (explain) put_info(call->out, &info);
    crn_buf_putc(call->out, '}');
    cairn_results_free(results);
    return true;
}
