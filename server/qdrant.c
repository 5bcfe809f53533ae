/* The dialect's doors: opening, closing, and finding who answers a path. */
#include "server/qdrant_snapshots.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define VERSION_ANSWERED "1.19.0" /* clients compare it with their own */
#define TIMEOUT_MAX_S 1000000u

/* ---- routes ---- */

static bool write_version(struct crn_qd_call *call)
{
    crn_buf_puts(call->out, "{\"title\":\"cairn - vector memory for agents\",\"version\":\"" VERSION_ANSWERED
                            "\",\"commit\":null}");
    return true;
}

struct route {
    enum crn_method method;
    const char *path; /* pieces between slashes; * stands for any one */
    enum crn_role role;
    crn_qd_endpoint answer;
};

/* `R` reads, `W` writes points, `A` changes collections. */
#define R CRN_ROLE_READ
#define W CRN_ROLE_WRITE
#define A CRN_ROLE_ADMIN
#define C "collections/*"
#define P "collections/*/points"
static const struct route routes[] = {
    {CRN_GET, "collections", R, crn_qd_collections_list},
    {CRN_GET, "aliases", R, crn_qd_aliases_list},
    {CRN_GET, "telemetry", R, crn_qd_telemetry},
    {CRN_POST, "collections/aliases", A, crn_qd_aliases_update},
    {CRN_PUT, C, A, crn_qd_collection_create},
    {CRN_GET, C, R, crn_qd_collection_get},
    {CRN_DELETE, C, A, crn_qd_collection_delete},
    {CRN_PATCH, C, A, crn_qd_collection_patch},
    {CRN_GET, C "/exists", R, crn_qd_collection_exists},
    {CRN_GET, C "/aliases", R, crn_qd_collection_aliases},
    {CRN_PUT, C "/index", W, crn_qd_index_create},
    {CRN_DELETE, C "/index/*", W, crn_qd_index_delete},
    {CRN_PUT, C "/vectors/*", W, crn_qd_vector_create},
    {CRN_DELETE, C "/vectors/*", W, crn_qd_vector_delete},
    {CRN_GET, C "/snapshots", R, crn_qd_snapshots_list},
    {CRN_POST, C "/snapshots", W, crn_qd_snapshot_create},
    {CRN_PUT, C "/snapshots/recover", A, crn_qd_snapshot_recover},
    {CRN_POST, C "/snapshots/upload", A, crn_qd_snapshot_upload},
    {CRN_GET, C "/snapshots/*", R, crn_qd_snapshot_get},
    {CRN_DELETE, C "/snapshots/*", W, crn_qd_snapshot_delete},
    {CRN_GET, "snapshots", R, crn_qd_full_snapshots_list},
    {CRN_POST, "snapshots", A, crn_qd_full_snapshot_create},
    {CRN_GET, "snapshots/*", R, crn_qd_full_snapshot_get},
    {CRN_DELETE, "snapshots/*", A, crn_qd_full_snapshot_delete},
    {CRN_PUT, P, W, crn_qd_points_upsert},
    {CRN_POST, P, R, crn_qd_points_retrieve},
    {CRN_POST, P "/delete", W, crn_qd_points_delete},
    {CRN_POST, P "/count", R, crn_qd_points_count},
    {CRN_POST, P "/scroll", R, crn_qd_points_scroll},
    {CRN_POST, P "/payload", W, crn_qd_payload_set},
    {CRN_PUT, P "/payload", W, crn_qd_payload_overwrite},
    {CRN_POST, P "/payload/delete", W, crn_qd_payload_delete},
    {CRN_POST, P "/payload/clear", W, crn_qd_payload_clear},
    {CRN_PUT, P "/vectors", W, crn_qd_vectors_update},
    {CRN_POST, P "/vectors/delete", W, crn_qd_vectors_delete},
    {CRN_POST, P "/batch", W, crn_qd_points_batch},
    {CRN_POST, P "/query", R, crn_qd_query},
    {CRN_POST, P "/query/batch", R, crn_qd_query_batch},
    {CRN_POST, P "/query/groups", R, crn_qd_query_groups},
    {CRN_POST, P "/search", R, crn_qd_search},
    {CRN_POST, P "/search/batch", R, crn_qd_search_batch},
    {CRN_POST, P "/search/groups", R, crn_qd_search_groups},
    {CRN_POST, P "/search/matrix/pairs", R, crn_qd_matrix_pairs},
    {CRN_POST, P "/search/matrix/offsets", R, crn_qd_matrix_offsets},
    {CRN_POST, P "/recommend", R, crn_qd_recommend},
    {CRN_POST, P "/recommend/batch", R, crn_qd_recommend_batch},
    {CRN_POST, P "/recommend/groups", R, crn_qd_recommend_groups},
    {CRN_POST, P "/discover", R, crn_qd_discover},
    {CRN_POST, P "/discover/batch", R, crn_qd_discover_batch},
    {CRN_GET, P "/*", R, crn_qd_point_get},
    {CRN_POST, C "/facet", R, crn_qd_facet},
};
#undef R
#undef W
#undef A
#undef C
#undef P

static bool path_matches(const char *pattern, const struct crn_request *request)
{
    for (size_t i = 0; i < request->segment_count; i++) {
        const struct crn_text *segment = &request->segments[i];
        const size_t length = strcspn(pattern, "/");
        const bool any = length == 1 && pattern[0] == '*';
        if (length == 0) return false;
        if (!any && (segment->length != length || memcmp(segment->data, pattern, length) != 0)) return false;
        pattern += length;
        if (*pattern == '/') pattern++;
    }
    return *pattern == '\0';
}

/* *out_path_known tells that the path is the dialect's, though not with this method. */
static const struct route *find_route(const struct crn_request *request, bool *out_path_known)
{
    *out_path_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!path_matches(routes[i].path, request)) continue;
        *out_path_known = true;
        const bool head = request->method == CRN_HEAD && routes[i].method == CRN_GET;
        if (routes[i].method == request->method || head) return &routes[i];
    }
    return NULL;
}

/* ---- one request ---- */

/* Wants a role for the endpoint and, where the path names one, the collection. What a body names, and what an alias leads to, is
 * checked where it is leased. */
static bool check_access(struct crn_qd_call *call, const struct route *route)
{
    const struct crn_request *request = call->request;
    const bool of_collection = request->segment_count >= 2 && strstr(route->path, "collections/*") != NULL;

    if (request->principal.role < route->role)
        return crn_qd_fail(call, 403, "Forbidden: the key does not allow this");
    return !of_collection || crn_qd_may_use(call, request->segments[1].data, request->segments[1].length);
}

/* RFC 9110, 15.5.6: a 405 tells the methods that there are. */
static void tell_methods(struct crn_qd_call *call)
{
    static const char *const names[] = {[CRN_GET] = "GET, HEAD",
                                        [CRN_POST] = "POST",
                                        [CRN_PUT] = "PUT",
                                        [CRN_PATCH] = "PATCH",
                                        [CRN_DELETE] = "DELETE"};
    size_t used = 0;

    if (call->answer->header_count == CRN_ANSWER_HEADERS_MAX) return;
    struct crn_answer_header *header = &call->answer->headers[call->answer->header_count++];
    *header = (struct crn_answer_header){.name = "allow"};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!path_matches(routes[i].path, call->request)) continue;
        used += (size_t)snprintf(header->value + used, sizeof header->value - used, "%s%s",
                                 used > 0 ? ", " : "", names[routes[i].method]);
    }
}

/* The client may want to wait for a shorter time than the server would. */
static bool read_timeout(struct crn_qd_call *call, uint64_t begin_ns)
{
    const struct crn_request *request = call->request;
    uint64_t seconds = 0;

    call->deadline_ns = request->deadline_ns;
    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct crn_text name = request->parameters[i].name, value = request->parameters[i].value;
        if (name.length != 7 || memcmp(name.data, "timeout", 7) != 0) continue;
        seconds = 0;
        for (size_t d = 0; d < value.length && seconds <= TIMEOUT_MAX_S; d++) {
            if (value.data[d] < '0' || value.data[d] > '9') seconds = TIMEOUT_MAX_S;
            seconds = seconds * 10 + (uint64_t)(value.data[d] - '0');
        }
        if (seconds == 0 || seconds > TIMEOUT_MAX_S) {
            return crn_qd_fail(call, 400, "Wrong input: timeout wants a number of seconds from 1 to %u",
                               TIMEOUT_MAX_S);
        }
        call->timeout_s = seconds;
        const uint64_t until_ns = begin_ns + seconds * 1000000000u;
        if (call->deadline_ns == 0 || until_ns < call->deadline_ns) call->deadline_ns = until_ns;
    }
    return true;
}

static bool has_body(const struct crn_request *request)
{
    return request->method == CRN_POST || request->method == CRN_PUT || request->method == CRN_PATCH;
}

/* Snapshots are made without a body, and uploaded as one of another kind. */
static bool takes_object(const struct route *route)
{
    return route->answer != crn_qd_snapshot_create && route->answer != crn_qd_full_snapshot_create &&
           route->answer != crn_qd_snapshot_upload;
}

static bool read_body(struct crn_qd_call *call)
{
    const struct crn_text *text = &call->request->body;

    if (!has_body(call->request)) return true;
    if (text->length == 0)
        return crn_qd_fail(call, 400,
                           "Format error in JSON body: EOF while parsing a value at line 1 column 0");
    if (!crn_qd_parse(call, text->data, text->length, &call->body)) return false;
    if (crn_json_type(call->body) == CRN_JSON_OBJECT) return true;
    return crn_qd_wrong_type(call, "body", "a map", call->body);
}

static bool answer_request(struct crn_qd_call *call)
{
    bool path_known;

    if (call->request->segment_count == 0 &&
        (call->request->method == CRN_GET || call->request->method == CRN_HEAD)) {
        return write_version(call);
    }
    const struct route *route = find_route(call->request, &path_known);
    if (route == NULL && path_known) {
        tell_methods(call);
        return crn_qd_fail(call, 405, "Method not allowed");
    }
    if (route == NULL) return crn_qd_fail(call, 404, "Not found");
    call->writes = route->role != CRN_ROLE_READ;
    call->limited = strstr(route->path, "/points") != NULL || route->answer == crn_qd_facet;
    if (!check_access(call, route) || (takes_object(route) && !read_body(call))) return false;
    return route->answer(call);
}

static void write_time(struct crn_buf *out, uint64_t begin_ns)
{
    crn_buf_puts(out, "\"time\":");
    crn_buf_json_double(out, (double)(crn_clock_ns() - begin_ns) / 1e9);
    crn_buf_putc(out, '}');
}

static void finish(struct crn_qd_call *call, bool done, uint64_t begin_ns)
{
    struct crn_buf *out = call->out;

    if (done && call->answer->has_file) {
        crn_buf_clear(out);
        return;
    }
    if (done && out->failed == CAIRN_OK) {
        if (call->request->segment_count == 0) return; /* the version stands alone */
        crn_buf_puts(out, ",\"status\":\"ok\",");
        write_time(out, begin_ns);
        if (out->failed == CAIRN_OK) return;
    }
    if (out->failed != CAIRN_OK)
        crn_qd_fail(call, 500, "Service internal error: the answer is too long or memory ran out");
    if (call->status == 0) crn_qd_fail(call, 500, "Service internal error: no answer was made");
    crn_buf_clear(out);
    call->answer->status = call->status;
    if (call->status == 403 || (call->status == 404 && strcmp(call->error, "Not found") == 0) ||
        call->status == 405) {
        call->answer->content_type = "text/plain";
        crn_buf_puts(out, call->error);
        return;
    }
    crn_buf_puts(out, "{\"status\":{\"error\":");
    crn_buf_json_string(out, call->error, strlen(call->error));
    crn_buf_puts(out, "},");
    write_time(out, begin_ns);
}

static struct crn_qd_call begin(struct crn_qdrant *qdrant, const struct crn_request *request,
                                struct crn_answer *answer)
{
    return (struct crn_qd_call){.qdrant = qdrant,
                                .request = request,
                                .answer = answer,
                                .out = &answer->body,
                                .memory = {.block_bytes = 64u << 10, .align_bytes = 64}};
}

static bool run(struct crn_qd_call *call, uint64_t begin_ns)
{
    if (call->request->segment_count != 0) crn_buf_puts(call->out, "{\"result\":");
    return read_timeout(call, begin_ns) && answer_request(call);
}

static void end(struct crn_qd_call *call)
{
    crn_qd_return_leases(call);
    crn_qd_release(call);
}

/* A collection that was made anew, or recovered, since it was leased is looked for once more. */
void crn_qdrant_handle(void *ctx, const struct crn_request *request, struct crn_answer *answer)
{
    const uint64_t begin_ns = crn_clock_ns();

    if (answer->status == 0) answer->status = 200;
    struct crn_qd_call call = begin(ctx, request, answer);
    bool done = run(&call, begin_ns);
    if (!done && call.gone) {
        end(&call);
        crn_buf_clear(&answer->body);
        call = begin(ctx, request, answer);
        done = run(&call, begin_ns);
    }
    finish(&call, done, begin_ns);
    end(&call);
}

/* ---- opening and closing ---- */

static cairn_status load_aliases(struct crn_qdrant *qdrant, cairn_error *err)
{
    char *metadata = NULL;
    struct crn_json root, aliases;
    struct crn_buf text;

    cairn_status status = cairn_get_metadata(qdrant->db, &metadata, err);
    struct crn_json_parser *parser = crn_json_parser_create();
    if (status == CAIRN_OK && parser == NULL) status = crn_error_no_memory(err, 0);
    crn_buf_init(&text, SIZE_MAX / 2);
    if (status == CAIRN_OK && metadata != NULL) {
        status = crn_json_parse(parser, metadata, strlen(metadata), &root, err);
        if (status == CAIRN_OK && crn_json_get(root, "qdrant_aliases", &aliases))
            crn_json_write(aliases, &text);
    }
    if (status == CAIRN_OK && text.len == 0) crn_buf_puts(&text, "{}");
    if (status == CAIRN_OK) qdrant->aliases = crn_buf_take(&text);
    if (status == CAIRN_OK && qdrant->aliases == NULL) status = crn_error_no_memory(err, text.len);
    crn_buf_release(&text);
    crn_json_parser_free(parser);
    cairn_free(metadata);
    return status;
}

cairn_status crn_qdrant_open(struct cairn_db *db, const struct crn_qdrant_options *options,
                             struct crn_qdrant **out_qdrant, cairn_error *err)
{
    struct crn_qdrant *qdrant = crn_mem_calloc(1, sizeof *qdrant);

    *out_qdrant = NULL;
    if (qdrant == NULL) return crn_error_no_memory(err, sizeof *qdrant);
    qdrant->db = db;
    qdrant->open_max =
        options != NULL && options->open_collections_max != 0 ? options->open_collections_max : 256;
    qdrant->begin_ns = crn_clock_ns();
    crn_parsers_init(&qdrant->parsers);
    pthread_mutex_init(&qdrant->mutex, NULL);
    pthread_mutex_init(&qdrant->settings, NULL);
    for (size_t i = 0; i < QD_CHANGES; i++) pthread_mutex_init(&qdrant->changes[i], NULL);
    const char *snapshots = options != NULL ? options->snapshots : NULL;
    qdrant->snapshots = crn_mem_strdup(snapshots);
    cairn_status status = load_aliases(qdrant, err);
    if (status == CAIRN_OK && qdrant->snapshots == NULL && snapshots != NULL)
        status = crn_error_no_memory(err, strlen(snapshots));
    if (status != CAIRN_OK) {
        crn_qdrant_close(qdrant);
        return status;
    }
    crn_qd_drop_asides(qdrant);
    if (snapshots != NULL) crn_qd_remove_parts(snapshots);
    *out_qdrant = qdrant;
    return CAIRN_OK;
}

void crn_qdrant_close(struct crn_qdrant *qdrant)
{
    if (qdrant == NULL) return;
    crn_qd_close_all(qdrant);
    crn_parsers_release(&qdrant->parsers);
    for (size_t i = 0; i < QD_CHANGES; i++) pthread_mutex_destroy(&qdrant->changes[i]);
    pthread_mutex_destroy(&qdrant->settings);
    pthread_mutex_destroy(&qdrant->mutex);
    crn_mem_free(qdrant->aliases);
    crn_mem_free(qdrant->snapshots);
    crn_mem_free(qdrant);
}
