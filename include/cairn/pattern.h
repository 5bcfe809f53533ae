/*
 * cairn/pattern.h: patterns, the records of a collection: writing, reading, counting.
 *
 * A write is one transaction: all of a call's patterns go in, or none, and when the call answers OK
 * they are on disk (see cairn_durability) and every later search of any process finds them.
 * Functions here may be called from any threads at once.
 */
#ifndef CAIRN_PATTERN_H
#define CAIRN_PATTERN_H

#include <cairn/db.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cairn_id_type {
    CAIRN_ID_STRING = 0, /* 1..CAIRN_ID_MAX bytes of UTF-8 without NUL */
    CAIRN_ID_U64 = 1,
    CAIRN_ID_UUID = 2, /* text with or without hyphens going in, hyphenated lower case coming out */
} cairn_id_type;

/* An id. "42" the string and 42 the number are two ids. */
typedef struct cairn_id {
    cairn_id_type type;
    const char *text; /* string and UUID ids; in answers the text form of every kind */
    uint64_t u64;     /* U64 ids */
} cairn_id;

/* A vector of one space. */
typedef struct cairn_vector {
    const char *space;       /* NULL or "" = the default space */
    const float *values;     /* dense: [dim]; multi: [rows][dim], row-major; sparse: [count] */
    uint32_t dim;            /* dense and multi; 0 = the space's */
    uint32_t rows;           /* multi: 1.. ; else ignored */
    const uint32_t *indices; /* sparse: [count], strictly ascending */
    uint32_t count;          /* sparse */
} cairn_vector;

/* Numbers below count when they are not zero; name one here to store (or set to) an exact zero. */
typedef enum cairn_field {
    CAIRN_FIELD_CONFIDENCE = 1,
    CAIRN_FIELD_USAGE = 2,
    CAIRN_FIELD_SUCCESS = 4,
    CAIRN_FIELD_LAST_USED = 8,
    CAIRN_FIELD_EXPIRES = 16,
    CAIRN_FIELD_NO_VECTOR =
        32, /* the pattern has no vector on purpose: it is found by its id and by filters */
} cairn_field;

#define CAIRN_VERSION_ANY 0u          /* if_version: no condition */
#define CAIRN_VERSION_NONE UINT64_MAX /* if_version: the id must not exist yet */
#define CAIRN_CONFIDENCE_DEFAULT 0.5

/* One pattern, going in or coming out. */
typedef struct cairn_pattern {
    size_t size;
    const char *id;        /* string or UUID text; NULL with id_type STRING = generate a UUIDv7 text */
    cairn_id_type id_type; /* U64: the id is id_u64 */
    uint64_t id_u64;
    const char *domain; /* NULL = "" */
    const char *agent;
    const char *type;            /* any string; "pattern" when NULL */
    const float *vector;         /* of the default space, [dim] */
    uint32_t dim;                /* 0 = the space's */
    const cairn_vector *vectors; /* of named spaces (or the default one), [vector_count] */
    uint32_t vector_count;
    const char *model;   /* what made the vectors; NULL = not stated; checked against the space's */
    const char *text;    /* what it says; lexical index and embedder read it */
    const char *payload; /* one JSON object; NULL = none */
    double confidence;   /* 0..1 */
    int64_t usage_count;
    int64_t success_count;
    int64_t created_at_ms; /* since 1970; 0 = now */
    int64_t last_used_ms;  /* 0 = never */
    int64_t expires_at_ms; /* 0 = never */
    uint32_t fields;       /* cairn_field bits */
    uint64_t version;      /* out: 1 at first, one more at each change */
    uint64_t if_version;   /* in: CONFLICT unless this is the stored version */
} cairn_pattern;

typedef enum cairn_write_mode {
    CAIRN_UPSERT = 0, /* insert, or replace the whole pattern; created_at and use counts survive */
    CAIRN_INSERT = 1, /* EXISTS when the id is taken */
    CAIRN_UPDATE =
        2, /* NOT_FOUND when absent; NULL fields and zeros stay as they are; payload replaced when given */
} cairn_write_mode;

/* What became of one pattern of a write. */
typedef struct cairn_written {
    char id[40];      /* the generated id's text; "" when the caller gave one */
    uint64_t version; /* after the write */
    bool created;
} cairn_written;

/*
 * Writes patterns[0..count) in one transaction. `out_written` is [count] or NULL. All patterns of one
 * call have the size field of the first. Two patterns of one call may name the same id: the later wins.
 * INVALID_*, ZERO_VECTOR, DIM_MISMATCH, MODEL_MISMATCH, EXISTS, NOT_FOUND, CONFLICT, LIMIT, NO_SPACE, IO,
 * BUSY, READ_ONLY, EMBEDDER; the message names the pattern, and nothing of the call is stored.
 * A pattern without any vector is allowed when the collection has a lexical index or CAIRN_FIELD_NO_VECTOR is set; when an
 * embedder is attached (cairn/embed.h) it makes the default space's vector from `text`.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_write(cairn_collection *collection, cairn_write_mode mode,
                                                  const cairn_pattern *patterns, size_t count,
                                                  cairn_written *out_written, cairn_error *err);

/* cairn_write with CAIRN_UPSERT and no answers. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_upsert(cairn_collection *collection,
                                                   const cairn_pattern *patterns, size_t count,
                                                   cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_insert(cairn_collection *collection,
                                                   const cairn_pattern *patterns, size_t count,
                                                   cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_update(cairn_collection *collection,
                                                   const cairn_pattern *patterns, size_t count,
                                                   cairn_error *err);

/* Deletes ids that are there, in one transaction; *out_deleted (may be NULL) counts them. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_delete(cairn_collection *collection, const cairn_id *ids,
                                                   size_t count, uint64_t *out_deleted, cairn_error *err);

/* Which patterns: all of the conditions that are set. */
typedef struct cairn_scope {
    size_t size;
    const char *domain;
    const char *agent;
    const char *type;
    const char *filter;    /* JSON, docs/FILTERS.md */
    double min_confidence; /* 0 = any */
} cairn_scope;

/* Deletes what matches, in one transaction. A scope without any condition is INVALID_ARGUMENT:
 * dropping all is cairn_collection_drop. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_delete_where(cairn_collection *collection,
                                                         const cairn_scope *scope, uint64_t *out_deleted,
                                                         cairn_error *err);

/* Patterns read. They and all they point to live until cairn_patterns_free. */
typedef struct cairn_patterns cairn_patterns;
CAIRN_API size_t cairn_patterns_count(const cairn_patterns *patterns);
CAIRN_API const cairn_pattern *cairn_patterns_at(const cairn_patterns *patterns,
                                                 size_t i); /* NULL past the end */
CAIRN_API void cairn_patterns_free(cairn_patterns *patterns);

/* Reads ids in their order; one that is not there (or expired) leaves out its place: entry i is
 * then a pattern whose `id` is NULL. Vectors are read when asked for. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_get(cairn_collection *collection, const cairn_id *ids,
                                                size_t count, bool with_vectors,
                                                cairn_patterns **out_patterns, cairn_error *err);

/*
 * Reads patterns in the order they were first inserted. `scope` may be NULL. *cursor starts at 0, is
 * moved behind what was read, and is 0 again when there is no more. Rows inserted while scrolling may
 * or may not be seen; the others are seen once. Cursors grow in that order, up to UINT32_MAX: a scroll
 * may begin at any, and reads what is there and behind.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_scroll(cairn_collection *collection, const cairn_scope *scope,
                                                   uint64_t *cursor, size_t limit, bool with_vectors,
                                                   cairn_patterns **out_patterns, cairn_error *err);

/*
 * Reads up to `limit` patterns in the order of their ids, from `from` on, or from the first (NULL): numbers by value, then strings
 * by bytes, then UUIDs. `from` need not exist. `scope` may be NULL.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_scroll_by_id(cairn_collection *collection,
                                                         const cairn_scope *scope, const cairn_id *from,
                                                         size_t limit, bool with_vectors,
                                                         cairn_patterns **out_patterns, cairn_error *err);

/* Counts what matches; `scope` NULL counts all. Exact. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_count(cairn_collection *collection, const cairn_scope *scope,
                                                  uint64_t *out_count, cairn_error *err);

#ifdef __cplusplus
}
#endif
#endif
