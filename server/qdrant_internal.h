/*
 * What the files qdrant_*.c share: one call (a request being answered), the collections kept open, and the pieces that several
 * endpoints have in common. Functions that can fail return false after crn_qd_fail has noted the answer.
 */
#ifndef CRN_SERVER_QDRANT_INTERNAL_H
#define CRN_SERVER_QDRANT_INTERNAL_H

#include "server/qdrant.h"

#include "base/arena.h"
#include "server/parsers.h"

#include <pthread.h>
#include <stdatomic.h>

#define QD_POINTS_MAX CAIRN_K_MAX

enum crn_qd_distance { QD_COSINE, QD_DOT, QD_EUCLID, QD_MANHATTAN };

/* A named vector of a collection; "" is the default one. */
struct crn_qd_vector {
    const char *name;
    cairn_space_kind kind;
    uint32_t dim;
    enum crn_qd_distance distance;
    bool idf;      /* sparse: query values are weighted by how rare their index is */
    uint64_t most; /* strict mode: rows of a multi-vector or values of a sparse one that is written; 0: any */
};

/* Strict mode, as far as it is enforced; UINT64_MAX: no limit. docs/QDRANT.md tells what each limits. */
struct crn_qd_strict {
    uint64_t query_limit, timeout, hnsw_ef, upsert_batch, search_batch, vector_bytes, payload_bytes, points,
        conditions, condition_size, payload_indexes, reads, writes; /* the last two a minute */
    double oversampling;                                            /* INFINITY: no limit */
    bool exact, unindexed_reads, unindexed_writes;
};

/* What strict mode counts of one collection. */
struct crn_qd_meter {
    pthread_mutex_t mutex;
    double reads, writes; /* that are left for now */
    uint64_t refilled_ns; /* 0: never */
    uint64_t payload_bytes,
        measured_ns; /* of all payloads when they were last added up, and what came since */
};

/* An open collection with its settings, immutable; a change of settings makes another one. */
struct crn_qd_collection {
    struct crn_qd_collection *next;
    uint32_t references; /* guarded by crn_qdrant.mutex; the registry's own counts too */
    uint64_t used;       /* when it was last leased, for eviction */
    char *name;
    cairn_collection *handle;
    struct crn_json_parser *parser; /* holds what the two below point into */
    struct crn_json config;         /* as GET /collections/{name} answers it */
    struct crn_json payload_schema; /* field -> {data_type, params} */
    struct crn_qd_vector *vectors;
    size_t vector_count;
    struct crn_qd_strict strict;
    struct crn_qd_meter meter; /* changes; by its mutex */
};

#define QD_CHANGES 16

struct crn_qdrant {
    cairn_db *db;
    char *snapshots; /* the folder; NULL: none */
    size_t open_max;
    pthread_mutex_t mutex;    /* guards all below but the other locks */
    pthread_mutex_t settings; /* held while settings, collections and aliases change; taken before mutex */
    pthread_mutex_t changes
        [QD_CHANGES]; /* by a collection's name: one long change of its settings at a time; taken before settings */
    struct crn_qd_collection *collections;
    size_t open_count;
    uint64_t clock;
    char *aliases; /* a JSON object {alias: collection} */
    struct crn_parsers parsers;
    _Atomic uint64_t operations;
    uint64_t begin_ns;
};

#define QD_LEASES_MAX 16
#define QD_CALL_PARSERS 16

struct crn_qd_call {
    struct crn_qdrant *qdrant;
    const struct crn_request *request;
    struct crn_answer *answer;
    struct crn_buf *out; /* the answer's body */
    struct crn_json body;
    unsigned status; /* of a failure; 0 while there is none */
    char error[1200];
    struct crn_arena memory;
    uint64_t deadline_ns; /* after which the client does not wait; 0: none */
    uint64_t timeout_s;   /* that it asked for; 0: none */
    bool writes, limited; /* changes points; is held to strict mode */
    bool gone;            /* a leased collection was dropped, or another took its place */
    struct crn_qd_collection *leases[QD_LEASES_MAX];
    const char *lease_names[QD_LEASES_MAX]; /* by which they were asked for; NULL: by none */
    size_t lease_count;
    struct crn_json_parser *parsers[QD_CALL_PARSERS];
    size_t parser_count;
    struct crn_json_parser *scratch;
};

/* ---- qdrant_call.c ---- */

/* Notes a failure's status and message. Returns false. */
bool crn_qd_fail(struct crn_qd_call *call, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* True for OK; else notes the engine's failure in the dialect's words. */
bool crn_qd_ok(struct crn_qd_call *call, cairn_status status, const cairn_error *err);
/* Memory that lives as long as the call, cleared; NULL after noting the failure. */
void *crn_qd_take(struct crn_qd_call *call, size_t count, size_t size_bytes);
char *crn_qd_take_text(struct crn_qd_call *call, const char *text, size_t length);
void crn_qd_release(struct crn_qd_call *call); /* memory, leases, parsers */
/* Long work asks now and then whether its answer is still waited for, and has room; else that is noted. */
bool crn_qd_go_on(struct crn_qd_call *call);
uint32_t crn_qd_left_ms(const struct crn_qd_call *call); /* 0: there is no deadline */
/* Whether the request's key covers a collection or alias of that name; else that is noted. */
bool crn_qd_may_use(struct crn_qd_call *call, const char *name, size_t length);
/* Parses a text; the values live as long as the call. */
bool crn_qd_parse(struct crn_qd_call *call, const char *text, size_t length, struct crn_json *out);
/* The same, whose values live until the next of these: for what is parsed point by point. */
bool crn_qd_parse_scratch(struct crn_qd_call *call, const char *text, size_t length, struct crn_json *out);
/* A buffer's text, moved into the call's memory; NULL after noting the failure. Releases the buffer. */
char *crn_qd_keep(struct crn_qd_call *call, struct crn_buf *text);

/* ---- qdrant_json.c: members of a body ---- */

/* A member that is there and not null; of no value at all, {0}, none is. */
bool crn_qd_member(struct crn_json object, const char *name, struct crn_json *out);
/* Absent or null: *out stays. Another type, or out of the range: noted. */
bool crn_qd_get_u64(struct crn_qd_call *call, struct crn_json object, const char *name, uint64_t min,
                    uint64_t *out);
bool crn_qd_get_bool(struct crn_qd_call *call, struct crn_json object, const char *name, bool *out);
bool crn_qd_get_double(struct crn_qd_call *call, struct crn_json object, const char *name, double *out,
                       bool *out_given);
bool crn_qd_get_text(struct crn_qd_call *call, struct crn_json object, const char *name, const char **out);
bool crn_qd_missing(struct crn_qd_call *call,
                    const char *name); /* notes that a required member is not there */
bool crn_qd_wrong_type(struct crn_qd_call *call, const char *name, const char *expected, struct crn_json got);
/* The value as JSON without members that are null. */
void crn_qd_write_set(struct crn_buf *out, struct crn_json value);
/* Both objects as one; where both have a member the patch's counts, and if both are objects and `deep`, both. `deep` passes over
 * nulls of the patch. */
void crn_qd_write_merged(struct crn_buf *out, struct crn_json base, struct crn_json patch, bool deep);
void crn_qd_write_member(struct crn_buf *out, const char *name, bool *first); /* `,"name":` */

/* ---- ids ---- */

bool crn_qd_read_id(struct crn_qd_call *call, struct crn_json value, cairn_id *out);
bool crn_qd_read_ids(struct crn_qd_call *call, struct crn_json array, cairn_id **out, size_t *out_count);
bool crn_qd_text_to_id(struct crn_qd_call *call, const char *text, size_t length,
                       cairn_id *out); /* false without a note */
void crn_qd_write_id(struct crn_buf *out, const cairn_id *id);
cairn_id crn_qd_id_of(const cairn_pattern *pattern);
bool crn_qd_same_id(const cairn_id *a, const cairn_id *b);
/* The one of that id among patterns in the order of their ids, as cairn_scroll_by_id gives them; NULL: none. */
const cairn_pattern *crn_qd_find_point(const cairn_patterns *points, const cairn_id *id);

/* ---- qdrant_catalog.c: collections kept open, aliases ---- */

/* The collection of that name or alias, until the call ends, as the name has to live, too. The key must cover the name and the
 * collection behind it. NULL after noting the failure. */
struct crn_qd_collection *crn_qd_lease(struct crn_qd_call *call, const char *name);
struct crn_qd_collection *crn_qd_lease_of_path(struct crn_qd_call *call);
const char *crn_qd_path_name(
    struct crn_qd_call *call); /* the path's collection, checked; NULL after noting the failure */
/* Makes the registry forget a collection: the next lease opens it anew. */
void crn_qd_forget(struct crn_qdrant *qdrant, const char *name);
/* Changes the settings of the path's collection. `work` (may be NULL) is what takes long: other collections go on meanwhile, other
 * changes of this one wait. Then `change` gets the newest settings, under the settings lock. */
typedef bool (*crn_qd_change_fn)(struct crn_qd_call *call, struct crn_qd_collection *collection);
bool crn_qd_change_settings(struct crn_qd_call *call, crn_qd_change_fn work, crn_qd_change_fn change);
/* Replaces a collection's settings; `config` and `schema` are JSON objects. Under the settings lock. */
bool crn_qd_store_settings(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *config,
                           const char *schema);
const struct crn_qd_vector *crn_qd_find_vector(const struct crn_qd_collection *collection, const char *name);
/* The same, noting that there is none. */
const struct crn_qd_vector *crn_qd_need_vector(struct crn_qd_call *call,
                                               const struct crn_qd_collection *collection, const char *name);
/* The collection behind an alias, in the call's memory, or NULL. */
const char *crn_qd_resolve_alias(struct crn_qd_call *call, const char *alias);
void crn_qd_close_all(struct crn_qdrant *qdrant);
struct crn_json crn_qd_aliases(struct crn_qd_call *call);
bool crn_qd_drop_aliases_of(struct crn_qd_call *call, const char *collection); /* under the settings lock */
void crn_qd_return_leases(struct crn_qd_call *call);

/* ---- qdrant_config.c: settings ---- */

/* A create body as cairn options (in the call's memory) and as the config that is answered. */
bool crn_qd_read_config(struct crn_qd_call *call, struct crn_json body, cairn_collection_options *out_options,
                        struct crn_buf *out_config);
/* One vector's settings, as a space of that name in a collection of these settings. */
bool crn_qd_read_space(struct crn_qd_call *call, struct crn_json config, const char *name,
                       struct crn_json params, bool sparse, cairn_space_options *out);
/* The settings after a PATCH. */
bool crn_qd_patch_config(struct crn_qd_call *call, struct crn_json config, struct crn_json patch,
                         struct crn_buf *out_config);
/* The config of a collection that another program has made. */
void crn_qd_foreign_config(const cairn_collection_options *options, struct crn_buf *out_config);
cairn_metric crn_qd_metric(enum crn_qd_distance distance);
bool crn_qd_distance_of(const char *name, enum crn_qd_distance *out);

/* ---- qdrant_strict.c ---- */

bool crn_qd_strict_check(struct crn_qd_call *call,
                         struct crn_json config); /* that its numbers are in their ranges */
void crn_qd_strict_read(struct crn_json config, struct crn_qd_collection *collection);
/* A request begins that reads or writes points: its timeout, and its share of the rates. */
bool crn_qd_strict_begin(struct crn_qd_call *call, struct crn_qd_collection *collection);
/* `more` operations of one request. */
bool crn_qd_strict_batch(struct crn_qd_call *call, struct crn_qd_collection *collection, uint64_t more);
bool crn_qd_strict_limit(struct crn_qd_call *call, uint64_t value, uint64_t most, const char *name);
bool crn_qd_strict_exact(struct crn_qd_call *call, const struct crn_qd_collection *collection, bool exact);
bool crn_qd_strict_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                          struct crn_json filter);
/* Payloads of that many bytes are to be written; or points with them. */
bool crn_qd_strict_payloads(struct crn_qd_call *call, struct crn_qd_collection *collection, uint64_t bytes);
bool crn_qd_strict_growth(struct crn_qd_call *call, struct crn_qd_collection *collection,
                          uint64_t payload_bytes);

/* ---- qdrant_vectors.c ---- */

struct crn_qd_query_vector { /* a vector to compare with */
    cairn_space_kind kind;
    float *values; /* dense [dim], multi [rows][dim], sparse [count] */
    uint32_t dim, rows;
    uint32_t *indices; /* sparse: [count], ascending */
    uint32_t count;
};
/* Reads a vector of that kind; cosine ones are normalised. */
bool crn_qd_read_vector(struct crn_qd_call *call, const struct crn_qd_vector *vector, struct crn_json value,
                        struct crn_qd_query_vector *out);
/* Reads a point's vectors: a bare array, or an object by names. */
bool crn_qd_read_vectors(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                         struct crn_json value, cairn_vector **out, uint32_t *out_count);
struct crn_qd_select_vectors {
    bool any, all;
    struct crn_json names; /* array of strings, when not all */
};
bool crn_qd_read_with_vectors(struct crn_qd_call *call, struct crn_json body, bool by_default,
                              struct crn_qd_select_vectors *out);
/* A point's vectors as the dialect shows them; writes nothing and answers false when there is nothing to show. */
bool crn_qd_write_vectors(struct crn_buf *out, const struct crn_qd_collection *collection,
                          const cairn_pattern *pattern, const struct crn_qd_select_vectors *select);
const cairn_vector *crn_qd_vector_of(const cairn_pattern *pattern, const char *name); /* NULL: it has none */
bool crn_qd_vector_as_query(struct crn_qd_call *call, const struct crn_qd_vector *vector,
                            const cairn_vector *stored,
                            struct crn_qd_query_vector *out); /* a copy in the call's memory */

/* ---- qdrant_payload.c ---- */

struct crn_qd_select_payload {
    bool any, all;
    struct crn_json include, exclude; /* arrays of paths */
    bool has_include, has_exclude;
};
bool crn_qd_read_with_payload(struct crn_qd_call *call, struct crn_json body, bool by_default,
                              struct crn_qd_select_payload *out);
bool crn_qd_write_payload(struct crn_qd_call *call, const char *payload,
                          const struct crn_qd_select_payload *select);

/* A path of the dialect, as in a.b[].c, in pieces. */
struct crn_qd_path_step {
    const char *key; /* NULL: elements of an array */
    size_t key_length;
    bool one; /* only the element at `index` */
    uint64_t index;
};
struct crn_qd_path {
    struct crn_qd_path_step *steps;
    size_t count;
};
bool crn_qd_read_path(struct crn_qd_call *call, const char *text, struct crn_qd_path *out);
/* Calls for each value at the path, elements of an array at its end one by one; false from `fn` ends it. */
typedef bool (*crn_qd_value_fn)(void *ctx, struct crn_json value);
bool crn_qd_each_value(const struct crn_qd_path *path, struct crn_json payload, crn_qd_value_fn fn,
                       void *ctx);

/* ---- qdrant_filter.c ---- */

/* The filter as Cairn's own (docs/FILTERS.md), in the call's memory; NULL in *out for one that every point passes. */
bool crn_qd_read_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                        struct crn_json filter, const char **out);
/* One condition instead of a filter. */
bool crn_qd_read_condition(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                           struct crn_json condition, const char **out);
/* The member of that name; absent: NULL. */
bool crn_qd_get_filter(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                       struct crn_json body, const char *name, const char **out);
/* A filter that is both; either may be NULL. */
bool crn_qd_both_filters(struct crn_qd_call *call, const char *a, const char *b, const char **out);
/* Asks whether a payload path can be written in Cairn's filters, and writes it as a JSON string. */
bool crn_qd_write_path(struct crn_qd_call *call, struct crn_buf *out, const char *text);
bool crn_qd_filter_of_ids(struct crn_qd_call *call, const cairn_id *ids, size_t count, bool negated,
                          const char **out);

/* ---- qdrant_order.c ---- */

struct crn_qd_order {
    struct crn_qd_path path;
    bool descending, times, has_start;
    double start;
};
struct crn_qd_ordered { /* one value of one point */
    cairn_id id;
    double value;
    int64_t integer;
    bool is_integer;
};
bool crn_qd_read_order(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                       struct crn_json value, struct crn_qd_order *out);
/* Points that have a value there, in that order, in the call's memory. */
bool crn_qd_order_points(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                         const struct crn_qd_order *order, size_t limit, struct crn_qd_ordered **out,
                         size_t *out_count);
void crn_qd_write_order_value(struct crn_buf *out, const struct crn_qd_ordered *ordered);

/* ---- points ---- */

struct crn_qd_show { /* what of a point is shown */
    struct crn_qd_select_payload payload;
    struct crn_qd_select_vectors vectors;
};
/* `,"payload":…,"vector":…` */
bool crn_qd_write_point_rest(struct crn_qd_call *call, const struct crn_qd_collection *collection,
                             const cairn_pattern *pattern, const struct crn_qd_show *show);
bool crn_qd_write_update_result(struct crn_qd_call *call);
/* The points a body names by `points` or `filter`, in the order of their ids. */
bool crn_qd_read_selection(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body, bool with_vectors, cairn_patterns **out, size_t *out_count);
/* Calls for each point that passes the filter (NULL: all), page by page; false from `fn` ends it with a failure noted. */
typedef bool (*crn_qd_point_fn)(struct crn_qd_call *call, void *ctx, const cairn_pattern *point);
bool crn_qd_each_point(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                       bool with_vectors, crn_qd_point_fn fn, void *ctx);
/* The same in the order of their ids, from `from` on (NULL: from the first), for `limit` points at most. *out_next (may be NULL) is
 * the point after them, of type CAIRN_ID_STRING when there is none. */
bool crn_qd_each_by_id(struct crn_qd_call *call, struct crn_qd_collection *collection, const char *filter,
                       const cairn_id *from, uint64_t limit, bool with_vectors, crn_qd_point_fn fn, void *ctx,
                       cairn_id *out_next);
/* Operations of the batch endpoint; each writes nothing. */
bool crn_qd_upsert(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body);
bool crn_qd_delete(struct crn_qd_call *call, struct crn_qd_collection *collection, struct crn_json body);
bool crn_qd_update_vectors(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body);
bool crn_qd_delete_vectors(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body);
enum crn_qd_payload_change { QD_PAYLOAD_SET, QD_PAYLOAD_OVERWRITE, QD_PAYLOAD_DELETE, QD_PAYLOAD_CLEAR };
bool crn_qd_change_payload(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body, enum crn_qd_payload_change change);

/* ---- endpoints: each writes the result ---- */

typedef bool (*crn_qd_endpoint)(struct crn_qd_call *call);
#define QD_ENDPOINTS(X)                                                                                      \
    X(collections_list)                                                                                      \
    X(collection_create)                                                                                     \
    X(collection_get) X(collection_delete) X(collection_patch) X(collection_exists) X(index_create)          \
        X(index_delete) X(aliases_update) X(aliases_list) X(collection_aliases) X(points_upsert)             \
            X(points_retrieve) X(point_get) X(points_delete) X(points_count) X(points_scroll) X(payload_set) \
                X(payload_overwrite) X(payload_delete) X(payload_clear) X(vectors_update) X(vectors_delete)  \
                    X(points_batch) X(query) X(query_batch) X(query_groups) X(search) X(search_batch)        \
                        X(search_groups) X(recommend) X(recommend_batch) X(recommend_groups) X(discover)     \
                            X(discover_batch) X(facet) X(telemetry) X(vector_create) X(vector_delete)        \
                                X(matrix_pairs) X(matrix_offsets) X(snapshots_list) X(snapshot_create)       \
                                    X(snapshot_get) X(snapshot_delete) X(snapshot_recover)                   \
                                        X(snapshot_upload) X(full_snapshots_list) X(full_snapshot_create)    \
                                            X(full_snapshot_get) X(full_snapshot_delete)
#define QD_DECLARE(name) bool crn_qd_##name(struct crn_qd_call *call);
QD_ENDPOINTS(QD_DECLARE)
#undef QD_DECLARE

#endif
