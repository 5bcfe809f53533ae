/* The doors of Cairn's own interface: opening, closing, and finding who answers a path. */
#include "server/access.h"
#include "server/v1_internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

/* ---- routes ---- */

/* What a body is: none, an object that may be left out, an object, or an object or vectors (as the endpoint reads them). */
enum body { NONE, MAYBE, OBJECT, ANY };

struct route {
    enum crn_method method;
    const char *path; /* {name} stands for any one piece */
    enum crn_role role;
    enum body body;
    crn_v1_endpoint answer;
};

/* `R` reads, `W` writes patterns, `A` changes collections or works on the whole database. */
#define R CRN_ROLE_READ
#define W CRN_ROLE_WRITE
#define A CRN_ROLE_ADMIN
#define V "/cairn/v1/"
#define C V "collections/{collection}"
static const struct route routes[] = {
    {CRN_GET, V, R, NONE, crn_v1_root},
    {CRN_GET, V "openapi.json", R, NONE, crn_v1_openapi},
    {CRN_GET, V "stats", R, NONE, crn_v1_stats},
    {CRN_GET, V "stats/live", R, NONE, crn_v1_stats_live},
    {CRN_GET, V "slow", R, NONE, crn_v1_slow},
    {CRN_POST, V "backup", A, OBJECT, crn_v1_backup},
    {CRN_POST, V "verify", A, MAYBE, crn_v1_verify},
    {CRN_GET, V "collections", R, NONE, crn_v1_collections_list},
    {CRN_POST, V "collections", A, OBJECT, crn_v1_collection_create},
    {CRN_GET, C, R, NONE, crn_v1_collection_get},
    {CRN_DELETE, C, A, NONE, crn_v1_collection_delete},
    {CRN_GET, C "/stats", R, NONE, crn_v1_collection_stats},
    {CRN_POST, C "/optimize", A, MAYBE, crn_v1_collection_optimize},
    {CRN_PUT, C "/patterns", W, ANY, crn_v1_patterns_put},
    {CRN_POST, C "/patterns/get", R, OBJECT, crn_v1_patterns_get},
    {CRN_POST, C "/patterns/delete", W, OBJECT, crn_v1_patterns_delete},
    {CRN_POST, C "/patterns/scroll", R, MAYBE, crn_v1_patterns_scroll},
    {CRN_POST, C "/patterns/count", R, MAYBE, crn_v1_patterns_count},
    {CRN_GET, C "/patterns/{id}", R, NONE, crn_v1_pattern_get},
    {CRN_PATCH, C "/patterns/{id}", W, OBJECT, crn_v1_pattern_patch},
    {CRN_DELETE, C "/patterns/{id}", W, NONE, crn_v1_pattern_delete},
    {CRN_POST, C "/search", R, ANY, crn_v1_search},
    {CRN_POST, C "/retrieve", R, OBJECT, crn_v1_retrieve},
    {CRN_POST, C "/recall", R, MAYBE, crn_v1_collection_recall},
    {CRN_POST, C "/projection", R, MAYBE, crn_v1_collection_projection},
};
#undef R
#undef W
#undef A
#undef V
#undef C
#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

size_t crn_v1_route_names(struct crn_v1_route_name *out, size_t max)
{
    for (size_t i = 0; i < ROUTE_COUNT && i < max; i++)
        out[i] = (struct crn_v1_route_name){routes[i].method, routes[i].path};
    return ROUTE_COUNT;
}

static bool path_matches(const char *pattern, const struct crn_request *request)
{
    for (size_t i = 0; i < request->segment_count; i++) {
        const struct crn_text *segment = &request->segments[i];
        pattern += *pattern == '/';
        const size_t length = strcspn(pattern, "/");
        if (length == 0) return false;
        if (*pattern != '{' && (segment->length != length || memcmp(segment->data, pattern, length) != 0))
            return false;
        pattern += length;
    }
    return pattern[strspn(pattern, "/")] == '\0';
}

/* *out_path_known tells that the path is known, though not with this method. */
static const struct route *find_route(const struct crn_request *request, bool *out_path_known)
{
    *out_path_known = false;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!path_matches(routes[i].path, request)) continue;
        *out_path_known = true;
        const bool head = request->method == CRN_HEAD && routes[i].method == CRN_GET;
        if (routes[i].method == request->method || head) return &routes[i];
    }
    return NULL;
}

bool crn_v1_owns(const struct crn_request *request)
{
    const struct crn_text *segments = request->segments;

    return request->segment_count >= V1_LEADING_SEGMENTS && segments[0].length == 5 &&
           memcmp(segments[0].data, "cairn", 5) == 0 && segments[1].length == 2 &&
           memcmp(segments[1].data, "v1", 2) == 0;
}

/* ---- one request ---- */

static bool check_access(struct crn_v1_call *call, const struct route *route)
{
    const struct crn_request *request = call->request;
    bool allowed = request->principal.role >= route->role;

    if (allowed && strstr(route->path, "{collection}") != NULL) {
        const struct crn_text *name = &request->segments[V1_LEADING_SEGMENTS + 1];
        allowed = crn_access_covers(&request->principal, name->data, name->length);
    }
    if (allowed) return true;
    return crn_v1_fail(call, 403, "FORBIDDEN", "the key does not allow this");
}

/* Patterns' endpoints and those that read binary bodies say themselves which parameters they take; the others take none. */
static bool check_parameters(struct crn_v1_call *call, const struct route *route)
{
    static const char *const none[] = {NULL};
    const bool by_itself = strstr(route->path, "{id}") != NULL || route->method == CRN_PUT ||
                           (route->body == ANY && crn_v1_body_is_binary(call->request));

    return by_itself || crn_v1_only_parameters(call, none);
}

static bool read_body(struct crn_v1_call *call, enum body body)
{
    const struct crn_text *text = &call->request->body;

    if (body == NONE || (body == ANY && crn_v1_body_is_binary(call->request))) return true;
    if (body == MAYBE && text->length == 0) return crn_v1_parse(call, "{}", 2);
    return crn_v1_parse(call, text->data, text->length);
}

static bool answer_request(struct crn_v1_call *call)
{
    bool path_known;

    const struct route *route = find_route(call->request, &path_known);
    if (route == NULL && path_known)
        return crn_v1_fail(call, 405, "UNSUPPORTED", "the path has no such method");
    if (route == NULL) return crn_v1_fail(call, 404, "NOT_FOUND", "there is no such path");
    return check_access(call, route) && check_parameters(call, route) && read_body(call, route->body) &&
           route->answer(call);
}

static void write_failure(struct crn_v1_call *call)
{
    struct crn_buf *out = call->out;

    crn_buf_clear(out);
    call->answer->content_type = NULL;
    call->answer->status = call->http;
    crn_buf_printf(out, "{\"error\":{\"status\":\"%s\",\"message\":", call->name);
    crn_v1_put_text(out, call->message);
    if (call->details.len > 0) crn_buf_append(out, call->details.data, call->details.len);
    crn_buf_puts(out, "}}");
}

static bool run(struct crn_v1_call *call)
{
    const bool done = answer_request(call);

    if (call->out->failed != CAIRN_OK)
        crn_v1_refuse(call, CAIRN_NO_MEMORY, "the answer is too long, or memory ran out");
    if (!done && call->http == 0) crn_v1_refuse(call, CAIRN_INTERNAL, "no answer was made");
    return call->http == 0;
}

/* A collection that was dropped and perhaps made again, by another interface or process: what is open leads nowhere. */
static bool is_worth_another_try(struct crn_v1_call *call)
{
    if (call->lease == NULL || call->http == 0 ||
        strcmp(call->name, cairn_status_name(CAIRN_NO_COLLECTION)) != 0)
        return false;
    crn_v1_forget(call->v1, call->lease->name);
    return call->lease_is_old;
}

static struct crn_v1_call begin(struct crn_v1 *v1, const struct crn_request *request,
                                struct crn_answer *answer)
{
    struct crn_v1_call call = {.v1 = v1,
                               .request = request,
                               .answer = answer,
                               .out = &answer->body,
                               .memory = {.block_bytes = 16u << 10, .align_bytes = 64}};

    crn_buf_init(&call.details, 4096);
    return call;
}

void crn_v1_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    struct crn_v1_call call = begin(ctx, request, answer);

    if (answer->status == 0) answer->status = 200;
    bool done = run(&call);
    if (!done && is_worth_another_try(&call)) {
        crn_v1_release(&call);
        crn_buf_clear(&answer->body);
        call = begin(ctx, request, answer);
        done = run(&call);
        if (!done) (void)is_worth_another_try(&call);
    }
    if (!done) write_failure(&call);
    crn_v1_release(&call);
}

/* ---- opening and closing ---- */

cairn_status crn_v1_open(struct cairn_db *db, const struct crn_v1_options *options, struct crn_v1 **out_v1,
                         cairn_error *err)
{
    struct crn_v1 *v1 = crn_mem_calloc(1, sizeof *v1);

    *out_v1 = NULL;
    if (v1 == NULL) return crn_error_no_memory(err, sizeof *v1);
    v1->db = db;
    v1->open_max = options->open_collections_max != 0 ? options->open_collections_max : 256;
    v1->slow_ms = options->slow_ms;
    v1->put_live = options->put_live;
    v1->put_live_ctx = options->put_live_ctx;
    pthread_mutex_init(&v1->opening, NULL);
    pthread_mutex_init(&v1->mutex, NULL);
    crn_parsers_init(&v1->parsers);
    v1->backups = crn_mem_strdup(options->backups);
    v1->embed_url = crn_mem_strdup(options->embed_url);
    v1->embed_models = crn_mem_strdup(options->embed_models);
    if ((options->backups != NULL && v1->backups == NULL) ||
        (options->embed_url != NULL && v1->embed_url == NULL) ||
        (options->embed_models != NULL && v1->embed_models == NULL)) {
        crn_v1_close(v1);
        return crn_error_no_memory(err, sizeof *v1);
    }
    *out_v1 = v1;
    return CAIRN_OK;
}

void crn_v1_close(struct crn_v1 *v1)
{
    if (v1 == NULL) return;
    crn_v1_close_all(v1);
    crn_parsers_release(&v1->parsers);
    pthread_mutex_destroy(&v1->mutex);
    pthread_mutex_destroy(&v1->opening);
    crn_mem_free(v1->backups);
    crn_mem_free(v1->embed_url);
    crn_mem_free(v1->embed_models);
    crn_mem_free(v1);
}
