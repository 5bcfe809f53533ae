/*
 * cairn/db.h: databases and collections.
 *
 * A database is one SQLite file (`memory.cairn`) with its derived index files beside it
 * (`memory.cairn.d/`). The SQLite file is the truth; everything in the folder can be rebuilt from it.
 * Several processes and any number of threads may use one database at once.
 *
 * Options structs: the first field is the struct's own size, so that options can grow without
 * breaking programs. CAIRN_OPTIONS fills it in C; in C++ write `cairn_open_options o{}; o.size =
 * sizeof o;`. In every field zero (or NULL) means the default.
 *
 * Strings given in are UTF-8, borrowed until the call returns. A handle is *shared*: any number of
 * threads may use it at once. Closing is the exception: nobody else may be using the handle.
 */
#ifndef CAIRN_DB_H
#define CAIRN_DB_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pointer to an options struct with its size field filled: CAIRN_OPTIONS(cairn_query, .k = 5). */
#define CAIRN_OPTIONS(type, ...) (&(type){.size = sizeof(type), __VA_ARGS__})

#define CAIRN_DIM_MAX 65536u        /* components of a dense vector */
#define CAIRN_ID_MAX 512u           /* bytes of a string id, without NUL */
#define CAIRN_NAME_MAX 255u         /* bytes of a collection, space, domain, agent, type or model name */
#define CAIRN_TEXT_MAX 67108864u    /* bytes of a text */
#define CAIRN_PAYLOAD_MAX 67108864u /* bytes of a payload */
#define CAIRN_K_MAX 1000000u        /* results of one search */
#define CAIRN_SPACES_MAX 64u        /* vector spaces of one collection */

typedef struct cairn_db cairn_db;
typedef struct cairn_collection cairn_collection;

typedef enum cairn_durability {
    CAIRN_DURABLE = 0, /* an answered write is on disk (fsync): the default */
    CAIRN_LAZY = 1,    /* an answered write survives the process, not a power cut; the file stays whole */
} cairn_durability;

typedef enum cairn_log_level {
    CAIRN_LOG_ERROR,
    CAIRN_LOG_WARN,
    CAIRN_LOG_INFO,
    CAIRN_LOG_DEBUG
} cairn_log_level;

/* Receives what Cairn has to tell its host: one line, no newline, never a vector, a payload or a
 * credential. May be called from any thread, several at once. */
typedef void (*cairn_log_fn)(void *ctx, cairn_log_level level, const char *message);

typedef enum cairn_index_memory {
    CAIRN_INDEX_MAPPED =
        0, /* searched where their files are mapped: opened at once, memory shared between processes: the default */
    CAIRN_INDEX_COPIED =
        1, /* graph indexes are copied into large pages when they are opened: searches are 1.1 to 1.3 times as fast */
} cairn_index_memory;

typedef struct cairn_open_options {
    size_t size;
    bool must_exist;             /* fail with NO_FILE instead of creating */
    bool read_only;              /* never write, not even the folder beside the file */
    cairn_durability durability; /* what an answered write means */
    bool no_background;          /* no maintenance thread: generations are built only by cairn_optimize */
    uint32_t threads;            /* for building indexes; 0 = one a core */
    uint32_t tail_rows_max;      /* rows kept in memory before they are written to a segment; 0 = 16384 */
    uint32_t busy_timeout_ms;    /* how long a write waits for another process; 0 = 30000 */
    cairn_log_fn log;
    void *log_ctx;
    cairn_index_memory index_memory;
    const char *vfs; /* name of a registered SQLite VFS, for fault tests; NULL = the default one */
    bool
        bulk_load; /* many rows are to be written, and cairn_optimize called behind them: no index is made or grown before that */
} cairn_open_options;

/*
 * Opens the database at `path`, creating it unless told otherwise. `options` may be NULL.
 * *out_db is released by cairn_close.
 * NO_FILE, NOT_CAIRN, NEWER_FORMAT, READ_ONLY, NETWORK_FS, CORRUPT, BUSY, IO, NO_MEMORY.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_open(const char *path, const cairn_open_options *options,
                                                 cairn_db **out_db, cairn_error *err);

/* Closes the database; its collections must be closed before. NULL is accepted. Use counts still in
 * memory are written first. */
CAIRN_API void cairn_close(cairn_db *db);

typedef enum cairn_metric {
    CAIRN_METRIC_DEFAULT = 0,   /* cosine */
    CAIRN_METRIC_COSINE = 1,    /* score = cos(a,b), distance = 1 - cos(a,b); zero vectors are refused */
    CAIRN_METRIC_L2 = 2,        /* distance = |a-b|, score = 1/(1+distance) */
    CAIRN_METRIC_DOT = 3,       /* score = a.b, distance = -a.b */
    CAIRN_METRIC_MANHATTAN = 4, /* distance = sum |a_i-b_i|, score = 1/(1+distance) */
} cairn_metric;

typedef enum cairn_quantization {
    CAIRN_QUANTIZATION_DEFAULT = 0, /* none */
    CAIRN_QUANTIZATION_NONE = 1,    /* scan f32 */
    CAIRN_QUANTIZATION_SCALAR = 2,  /* scan int8 codes, rescore on f32 */
    CAIRN_QUANTIZATION_F16 = 3,     /* scan half floats, rescore on f32 */
    CAIRN_QUANTIZATION_BINARY = 4,  /* scan 1 bit a dimension, rescore on f32; not for Manhattan distances */
    CAIRN_QUANTIZATION_PRODUCT = 5, /* scan 2 bits a dimension, rescore on f32 */
    CAIRN_QUANTIZATION_SCALAR4 = 6, /* scan 4 bits a dimension, rescore on f32 */
} cairn_quantization;

typedef enum cairn_space_kind {
    CAIRN_SPACE_DENSE = 0,
    CAIRN_SPACE_SPARSE = 1, /* stored and read back; searched by exact dot product */
    CAIRN_SPACE_MULTI = 2,  /* several dense vectors a pattern; stored and read back, not searched yet */
} cairn_space_kind;

/* One vector space of a collection. */
typedef struct cairn_space_options {
    size_t size;
    const char *name; /* "" or NULL = the default space */
    cairn_space_kind kind;
    uint32_t dim; /* 1..CAIRN_DIM_MAX; 0 for sparse */
    cairn_metric metric;
    cairn_quantization quantization;
    const char *
        index; /* "auto" (NULL): graph, from 4,096 rows on; "flat", "graph", "ivf[:<lists>]", "gpu[:<codes>]", "faiss:<factory>" */
    const char *model; /* identity of the embedding model, kept with the space; NULL = not stated */
} cairn_space_options;

typedef struct cairn_collection_options {
    size_t size;
    uint32_t dim; /* the default space, when `spaces` is NULL */
    cairn_metric metric;
    cairn_quantization quantization;
    const char *index;
    const char *model;
    const cairn_space_options *spaces; /* [space_count], instead of the five above */
    uint32_t space_count;
    bool lexical;         /* keep a full-text index over the patterns' texts */
    const char *metadata; /* JSON object kept with the collection, or NULL */
} cairn_collection_options;

/*
 * Creates a collection. Name: 1..CAIRN_NAME_MAX bytes of UTF-8 without control characters.
 * EXISTS when the name is taken, INVALID_ARGUMENT, INVALID_OPTION, INVALID_JSON, LIMIT, READ_ONLY, ...
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_create(cairn_db *db, const char *name,
                                                              const cairn_collection_options *options,
                                                              cairn_error *err);

/*
 * Opens a collection. With `options` it is created when absent, and when present each option that is
 * not zero must agree with it (DIM_MISMATCH, MODEL_MISMATCH, INVALID_OPTION otherwise). Without, it
 * must exist (NO_COLLECTION). Opening reads what is newer than the index: milliseconds.
 * *out_collection is released by cairn_collection_close, before cairn_close.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_open(cairn_db *db, const char *name,
                                                            const cairn_collection_options *options,
                                                            cairn_collection **out_collection,
                                                            cairn_error *err);
CAIRN_API void cairn_collection_close(cairn_collection *collection);

/* Removes a collection and all it holds, in one transaction. Handles to it then answer NO_COLLECTION. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_drop(cairn_db *db, const char *name, cairn_error *err);

/*
 * Gives a collection another name, in one transaction. Handles to it go on, in other processes too. When `new_name` is taken: EXISTS, or
 * with `replace` what has it is dropped in the same transaction, so that whoever asks for the name finds one or the other, whole.
 * INVALID_ARGUMENT, NO_COLLECTION, READ_ONLY, ...
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_rename(cairn_db *db, const char *name,
                                                              const char *new_name, bool replace,
                                                              cairn_error *err);

/* Names, NUL-terminated, sorted by bytes. *out_names is one block, released by cairn_free. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_list(cairn_db *db, char ***out_names,
                                                            size_t *out_count, cairn_error *err);

/*
 * Adds a vector space; no pattern has a vector in it yet. It needs a name; EXISTS when that is taken, LIMIT above CAIRN_SPACES_MAX,
 * and what cairn_collection_create answers for settings. Handles that are open, in other processes too, know it at once.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_add_space(cairn_collection *collection,
                                                                 const cairn_space_options *options,
                                                                 cairn_error *err);

/*
 * Drops a vector space and all vectors in it, in one transaction that rewrites the digests of the patterns that had one: writers wait
 * meanwhile. The patterns stay, with their versions. INVALID_ARGUMENT when there is none of that name, UNSUPPORTED for the last one.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_drop_space(cairn_collection *collection,
                                                                  const char *name, cairn_error *err);

/* The collection's settings, as far as this handle knows them: `spaces` tells all, the five fields before it the default one; its
 * metadata as it was when the collection was opened (cairn_collection_get_metadata tells the newest). Pointers live until the
 * collection is closed. */
CAIRN_API void cairn_collection_get_options(const cairn_collection *collection,
                                            cairn_collection_options *out_options);
/* Its name, as far as this handle knows it. Lives until the collection is closed. */
CAIRN_API const char *cairn_collection_name(const cairn_collection *collection);

/*
 * The collection's metadata may be replaced; get reads what is stored now. A JSON object, or NULL for none. *out_json is released by
 * cairn_free. INVALID_JSON, NO_COLLECTION, READ_ONLY, ...
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_set_metadata(cairn_collection *collection,
                                                                    const char *json, cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_get_metadata(cairn_collection *collection,
                                                                    char **out_json, cairn_error *err);

/* The same for the whole database. It is part of backups. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_set_metadata(cairn_db *db, const char *json, cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_get_metadata(cairn_db *db, char **out_json, cairn_error *err);

/*
 * Keeps values at a JSON path ("section", "meta.size", "tags") in an index, so that filters on it
 * need no scan. Fills it from the rows there are. Creating one twice is not an error.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_payload_index_create(cairn_collection *collection,
                                                                 const char *path, cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_payload_index_drop(cairn_collection *collection, const char *path,
                                                               cairn_error *err);

/*
 * Statistics as one JSON object (documented in docs/STATS.md): of the whole database, or of one
 * collection. *out_json is released by cairn_free.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_stats(cairn_db *db, char **out_json, cairn_error *err);
CAIRN_API CAIRN_MUST_USE cairn_status cairn_collection_stats(cairn_collection *collection, char **out_json,
                                                             cairn_error *err);

/* The two figures of it that cost nothing, however many rows there are: the number of collections, and of their patterns, those that have
 * expired but are not removed yet included. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_totals(cairn_db *db, uint64_t *out_collections,
                                                   uint64_t *out_patterns, cairn_error *err);

/* Tells how a long call goes on; returning false cancels it (CANCELLED, with nothing half done).
 * `total` is 0 while unknown. Called from the calling thread. */
typedef bool (*cairn_progress_fn)(void *ctx, const char *phase, uint64_t done, uint64_t total);

/*
 * Brings index generations up to date: writes the tail to a segment, merges segments, builds the
 * index, drops what is deleted or expired. `collection` is changed for readers in one step. Waits for others that merge
 * or build, of this process or another, however long they take: `progress` is called meanwhile and can cancel.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_optimize(cairn_collection *collection, cairn_progress_fn progress,
                                                     void *ctx, cairn_error *err);

/* Throws every derived file of the database away and builds it anew from the rows. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_rebuild(cairn_db *db, cairn_progress_fn progress, void *ctx,
                                                    cairn_error *err);

/* One finding of cairn_verify. */
typedef void (*cairn_finding_fn)(void *ctx, const char *message);

/*
 * Reads everything: SQLite's own integrity check, every row against its digest, rows against the log,
 * index files against their checksums and the rows. OK with *out_findings = 0 when clean; findings
 * are told to `finding` (may be NULL). The database may be in use meanwhile.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_verify(cairn_db *db, cairn_finding_fn finding,
                                                   cairn_progress_fn progress, void *ctx,
                                                   uint64_t *out_findings, cairn_error *err);

/*
 * Writes a consistent copy of the live database to `path` (which must not exist), fsynced, while
 * readers and writers go on. Only the truth is copied: index files are rebuilt on use.
 */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_backup(cairn_db *db, const char *path, cairn_progress_fn progress,
                                                   void *ctx, cairn_error *err);

/* Puts a backup in place as a new database at `path`, which must not exist. Verified before it appears. */
CAIRN_API CAIRN_MUST_USE cairn_status cairn_restore(const char *backup_path, const char *path,
                                                    cairn_progress_fn progress, void *ctx, cairn_error *err);

/* Frees memory that a Cairn call returned for the caller to free. NULL is accepted. */
CAIRN_API void cairn_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
