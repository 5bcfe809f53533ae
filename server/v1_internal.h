/*
 * What the files v1_*.c share: one call (a request being answered) and the pieces that several endpoints have in common. Functions
 * that can fail return false after crn_v1_fail or crn_v1_ok has noted the answer.
 */
#ifndef CRN_SERVER_V1_INTERNAL_H
#define CRN_SERVER_V1_INTERNAL_H

#include "server/v1.h"

#include "base/arena.h"
#include "server/parsers.h"

#include <pthread.h>

#define V1_LEADING_SEGMENTS 2u /* cairn, v1 */
#define V1_SLOW_MAX 128u

/* An open collection. */
struct crn_v1_collection {
    struct crn_v1_collection *next;
    uint32_t references; /* guarded by crn_v1.mutex; the registry's own counts too */
    uint64_t used;       /* when it was last leased, for eviction */
    char *name;
    cairn_collection *handle;
};

/* A search that took long. Nothing of what was asked for is kept: no vector, text or filter. */
struct crn_v1_slow {
    int64_t time_ms;
    char collection[CAIRN_NAME_MAX + 1];
    const char *operation; /* static */
    const char *plan;      /* static; NULL: not known */
    uint32_t k;
    uint64_t rows_scored;
    double elapsed_ms;
};

struct crn_v1_embedder {
    struct crn_v1_embedder *next;
    cairn_embedder *embedder;
};

struct crn_v1 {
    cairn_db *db;
    char *backups;
    char *embed_url, *embed_models; /* NULL: there is no embedder but the built-in one */
    size_t open_max;
    double slow_ms;
    void (*put_live)(void *ctx, struct crn_buf *out);
    void *put_live_ctx;
    pthread_mutex_t opening; /* held while a collection is opened; taken before mutex */
    pthread_mutex_t mutex;   /* guards all below but embedders, which `opening` does */
    struct crn_v1_collection *collections;
    size_t open_count;
    uint64_t clock;
    bool measuring; /* a recall is being measured: another would disturb it */
    struct crn_parsers parsers;
    struct crn_v1_slow slow[V1_SLOW_MAX]; /* a ring */
    uint64_t slow_count;                  /* of all that ever were */
    struct crn_v1_embedder *embedders;    /* kept to the end: collections that others hold borrow them */
};

struct crn_v1_call {
    struct crn_v1 *v1;
    const struct crn_request *request;
    struct crn_answer *answer;
    struct crn_buf *out;  /* the answer's body */
    struct crn_json body; /* an object; {0} when the endpoint takes none */
    unsigned http;        /* of a failure; 0 while there is none */
    const char *name;     /* of its status; static */
    char message[CAIRN_MESSAGE_MAX];
    struct crn_buf details; /* more members of the error object, each led by a comma */
    struct crn_arena memory;
    struct crn_v1_collection *lease;
    bool lease_is_old; /* it was open before this call, so it may have been dropped and made again since */
    struct crn_json_parser *parser;
};

/* ---- v1_call.c ---- */

/* Notes a failure. Returns false. */
bool crn_v1_fail(struct crn_v1_call *call, unsigned http, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A failure of the caller's making, with that status of the engine. */
bool crn_v1_refuse(struct crn_v1_call *call, cairn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* True for OK; else notes the engine's failure. */
bool crn_v1_ok(struct crn_v1_call *call, cairn_status status, const cairn_error *err);
/* Memory that lives as long as the call, cleared and aligned to 64; NULL after noting the failure. */
void *crn_v1_take(struct crn_v1_call *call, size_t count, size_t size_bytes);
char *crn_v1_take_text(struct crn_v1_call *call, const char *text, size_t length);
void crn_v1_release(struct crn_v1_call *call);
bool crn_v1_parse(struct crn_v1_call *call, const char *text, size_t length); /* the body; once a call */
/* Goes on while somebody waits for the answer: a cairn_progress_fn whose ctx is the call. */
bool crn_v1_wanted(void *ctx, const char *phase, uint64_t done, uint64_t total);

/* ---- v1_read.c: members of a body, parameters of a query, parts of a path ---- */

/* Refuses members that are not in `names`, a list ended by NULL. */
bool crn_v1_only(struct crn_v1_call *call, struct crn_json object, const char *const *names);
/* A member that is there and not null. */
bool crn_v1_member(struct crn_json object, const char *name, struct crn_json *out);
/* Absent or null: *out stays. Another type, or out of the range: noted. */
bool crn_v1_get_u64(struct crn_v1_call *call, struct crn_json object, const char *name, uint64_t min,
                    uint64_t max, uint64_t *out);
bool crn_v1_get_u32(struct crn_v1_call *call, struct crn_json object, const char *name, uint32_t min,
                    uint32_t max, uint32_t *out);
bool crn_v1_get_bool(struct crn_v1_call *call, struct crn_json object, const char *name, bool *out);
bool crn_v1_get_double(struct crn_v1_call *call, struct crn_json object, const char *name, double *out,
                       bool *out_given);
bool crn_v1_get_text(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out);
/* One of the names (ended by NULL), by its place in the list. */
bool crn_v1_get_choice(struct crn_v1_call *call, struct crn_json object, const char *name,
                       const char *const *names, unsigned *out);
/* An object or array as JSON text in the call's memory; a string is taken for such a text. */
bool crn_v1_get_json(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out);
/* The same for an object and nothing else. */
bool crn_v1_get_object(struct crn_v1_call *call, struct crn_json object, const char *name, const char **out);
bool crn_v1_wrong(struct crn_v1_call *call, const char *name, const char *expected, struct crn_json got);
/* domain, agent, type, filter and min_confidence. */
#define V1_SCOPE_NAMES "domain", "agent", "type", "filter", "min_confidence"
bool crn_v1_get_scope(struct crn_v1_call *call, struct crn_json object, cairn_scope *out);
/* An id: a number, a string, or {"uuid": string}. */
bool crn_v1_read_id(struct crn_v1_call *call, struct crn_json value, cairn_id *out);
bool crn_v1_read_ids(struct crn_v1_call *call, struct crn_json array, cairn_id **out, size_t *out_count);
/* The query parameter, or NULL. */
const struct crn_text *crn_v1_parameter(const struct crn_request *request, const char *name);
/* Refuses parameters that are not in the list. */
bool crn_v1_only_parameters(struct crn_v1_call *call, const char *const *names);
/* The parameters as the body: numbers, true and false as such, unless they are of a member that takes a text. */
bool crn_v1_parameters_as_body(struct crn_v1_call *call);
/* A text as an id of the kind that the parameter id_type names: string (default), u64, uuid. */
bool crn_v1_text_to_id(struct crn_v1_call *call, const char *text, size_t length, cairn_id *out);
bool crn_v1_header_is(const struct crn_request *request, const char *name, const char *value);

/* ---- v1_vectors.c ---- */

bool crn_v1_read_floats(struct crn_v1_call *call, const char *name, struct crn_json array, float **out,
                        uint32_t *out_count);
/* One dense vector: member `vector`, an array, or `vector_b64`, little-endian f32. NULL when neither is there. */
bool crn_v1_get_vector(struct crn_v1_call *call, struct crn_json object, const float **out,
                       uint32_t *out_dim);
/* Any kind of vector: an array of numbers, of such arrays, {"indices", "values"} or {"b64"}. */
bool crn_v1_read_vector(struct crn_v1_call *call, const char *name, struct crn_json value, cairn_vector *out);
/* Rows of a binary body: bare f32 of `dim` a row, or a .npy file when its content type says so; dim 0 is not known. */
bool crn_v1_read_rows(struct crn_v1_call *call, uint32_t dim, const float **out, size_t *out_rows,
                      uint32_t *out_dim);
bool crn_v1_body_is_binary(const struct crn_request *request);

/* ---- v1_show.c ---- */

void crn_v1_put_text(struct crn_buf *out, const char *text);
void crn_v1_put_id(struct crn_buf *out, const cairn_id *id);
cairn_id crn_v1_id_of(const cairn_pattern *pattern);
void crn_v1_put_pattern(struct crn_buf *out, const cairn_pattern *pattern, bool with_vectors);
void crn_v1_put_report(struct crn_buf *out, const cairn_memory_report *report);

/* ---- v1_catalog.c: collections kept open ---- */

/* The path's collection until the call ends. NULL after noting the failure. */
cairn_collection *crn_v1_lease(struct crn_v1_call *call);
const char *crn_v1_path_text(struct crn_v1_call *call, size_t segment); /* of the segments behind cairn/v1 */
void crn_v1_forget(struct crn_v1 *v1, const char *name);
void crn_v1_return_lease(struct crn_v1_call *call);
void crn_v1_close_all(struct crn_v1 *v1);

/* ---- v1_sample.c ---- */

/* The settings and figures (docs/STATS.md) of a dense space, in the parser's document. */
bool crn_v1_find_space(struct crn_v1_call *call, cairn_collection *collection, const char *name,
                       struct crn_json_parser *parser, struct crn_json *out);
uint64_t crn_v1_space_u64(struct crn_json space, const char *member);
const char *crn_v1_space_text(struct crn_json space, const char *member); /* "" when it is null */
/* The pattern's dense vector of that space, [dim]; NULL: it has none. */
const float *crn_v1_vector_of(const cairn_pattern *pattern, const char *space, uint32_t dim);
/* Visits `wanted` of the patterns of the scope (NULL: all), with their vectors, spread over the order of insertion, the same ones each time; all
 * of them when there are no more (*out_matching). Fewer where many were deleted. A visit that returns false has noted why. */
typedef bool (*crn_v1_visit)(void *ctx, const cairn_pattern *pattern);
bool crn_v1_sample(struct crn_v1_call *call, cairn_collection *collection, const cairn_scope *scope,
                   size_t wanted, crn_v1_visit visit, void *ctx, uint64_t *out_matching);

/* ---- v1_embed.c ---- */

/* The embedder of that model and dim, made if need be; NULL when the server has none. `opening` held. */
cairn_status crn_v1_embedder_find(struct crn_v1 *v1, const char *model, uint32_t dim,
                                  const cairn_embedder **out, cairn_error *err);
/* Asks the endpoint for a model's dim; 0: it is none of its models. */
cairn_status crn_v1_embedder_dim(struct crn_v1 *v1, const char *model, uint32_t *out_dim, cairn_error *err);
void crn_v1_embedders_free(struct crn_v1 *v1);

/* ---- v1_slow.c ---- */

void crn_v1_note_slow(struct crn_v1_call *call, const char *operation, const char *plan, uint32_t k,
                      uint64_t rows_scored, double elapsed_ms);

/* ---- endpoints ---- */

typedef bool (*crn_v1_endpoint)(struct crn_v1_call *call);
/* clang-format off */
#define V1_ENDPOINTS(X)                                                                                   \
    X(root) X(openapi) X(stats) X(stats_live) X(slow) X(backup) X(verify)                                 \
    X(collections_list) X(collection_create) X(collection_get) X(collection_delete) X(collection_stats)   \
    X(collection_optimize) X(collection_recall) X(collection_projection)                                  \
    X(patterns_put) X(pattern_get) X(pattern_patch) X(pattern_delete) X(patterns_get) X(patterns_delete)  \
    X(patterns_scroll) X(patterns_count) X(search) X(retrieve)
/* clang-format on */
#define V1_DECLARE(name) bool crn_v1_##name(struct crn_v1_call *call);
V1_ENDPOINTS(V1_DECLARE)
#undef V1_DECLARE

#endif
