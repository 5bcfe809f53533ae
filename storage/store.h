/*
 * The SQLite store of one database: the truth. Rows, vectors and the operation log change in one transaction.
 * The only user of SQLite is this folder. It knows nothing of ranking, filters' grammar or index structures.
 *
 * Keys. A row's place in its collection is a `local` number, 1..2^32-2, given once and never reused. A point's rowid is
 * collection << 32 | local, a vector's rowid is space << 32 | local: collections and spaces are contiguous ranges.
 *
 * Locks, in this order: write queue mutex -> write lock (a mutex of the process, then an OFD lock on `lock` in the
 * database's folder) -> SQLite's own -> reader pool mutex. A commit and a checkpoint never overlap in any process: both
 * run under the write lock (see docs/STORAGE.md on SQLite's WAL-reset race).
 *
 * Threads: struct crn_store is shared; struct crn_txn and struct crn_reader are confined to a thread while held.
 */
#ifndef CRN_STORAGE_STORE_H
#define CRN_STORAGE_STORE_H

#include "base/buf.h"
#include "base/log.h"

#include <cairn/cairn.h>

#define CRN_LOCAL_MAX 0xfffffffeu
#define CRN_SCHEMA_VERSION 2

struct crn_store;
struct crn_txn;
struct crn_reader;

struct crn_store_options {
    bool must_exist;
    bool read_only;
    bool lazy; /* durability LAZY */
    uint32_t busy_timeout_ms;
    const char *vfs;
    struct crn_log log;
};

cairn_status crn_store_open(const char *path, const struct crn_store_options *options,
                            struct crn_store **out_store, cairn_error *err);
void crn_store_close(struct crn_store *store);
const char *crn_store_path(const struct crn_store *store);
const char *crn_store_folder(const struct crn_store *store); /* "<path>.d"; it exists unless read-only */
bool crn_store_read_only(const struct crn_store *store);
void crn_store_uuid(const struct crn_store *store,
                    unsigned char out_uuid[16]); /* of the database, made with it */

/* The last committed log sequence number that any process has announced: one atomic load from shared memory. (In a
 * read-only folder, a read of the database.) A committed write is announced before it is answered. */
uint64_t crn_store_sequence(struct crn_store *store);

/* Announces a commit that this process has seen or made, before it shows it to anybody: what one search has seen, every later
 * one in any process sees. Announcing twice, or less than is announced, does nothing;
 * a store that reads only tells nobody else. */
void crn_store_announce(struct crn_store *store, uint64_t sequence);

/* ---- catalog ---- */

struct crn_space {
    uint32_t id;
    char *name;
    cairn_space_kind kind;
    uint32_t dim;
    cairn_metric metric;
    cairn_quantization quantization;
    char *index; /* as given; "auto" by default */
    char *model; /* NULL while not stated */
};

struct crn_payload_index {
    uint32_t id;
    char *path;
};

struct crn_catalog { /* one collection's settings */
    uint32_t id;
    char *name;
    bool lexical;
    char *metadata;
    int64_t created_at_ms;
    struct crn_space *spaces;
    uint32_t space_count;
    struct crn_payload_index *indexes;
    uint32_t index_count;
};

void crn_catalog_release(struct crn_catalog *catalog);

/* ---- writing ---- */

/*
 * A write job. `run` is called inside the transaction, possibly on another thread and together with
 * other jobs' (group commit), each in a savepoint of its own: a job that fails leaves nothing behind and takes nobody
 * with it. It may be run again if the group has to be retried. `committed` (may be NULL) is called once after the commit is
 * durable and before the group is announced or any later one runs, in commit order, still under the write lock: the place to update
 * memory (and not to write: that would wait for itself). If the commit fails, every job of the group gets the failure and
 * no `committed`; after a failed sync a power cut may still find such a job in the file, as after a lost answer.
 */
struct crn_write_job {
    cairn_status (*run)(struct crn_txn *txn, void *ctx, cairn_error *err);
    void (*committed)(void *ctx, uint64_t sequence); /* the group's last sequence number */
    void *ctx;
};
/* Returns when the job is durable (or failed). BUSY after the busy timeout; NO_SPACE, IO, READ_ONLY. */
cairn_status crn_store_write(struct crn_store *store, const struct crn_write_job *job, cairn_error *err);

enum crn_log_op {
    CRN_LOG_PUT = 1,      /* a row was inserted or replaced, vectors included */
    CRN_LOG_SET = 2,      /* a row's fields changed, its vectors did not */
    CRN_LOG_DELETE = 3,   /* a row is gone */
    CRN_LOG_CATALOG = 4,  /* key = collection << 32: settings changed; op on a dropped collection too */
    CRN_LOG_SEGMENTS = 5, /* key = space << 32: the space's list of segments changed */
};

struct crn_vector_data {
    uint32_t space; /* id */
    const void *
        data; /* little-endian f32: dense [dim]; multi u32 rows, f32 [rows][dim]; sparse u32 count, u32 [count], f32 [count] */
    size_t size;
};

/* A row as it is stored. */
struct crn_record {
    uint32_t local;
    cairn_id_type id_type;
    const char *
        id; /* string id or canonical (hyphenated, lower-case) UUID text; for U64 ids decimal text when read */
    size_t id_len;
    uint64_t id_u64;
    const char *domain, *agent, *type; /* never NULL when stored */
    const char *text;                  /* NULL = none */
    const char *payload;               /* NULL = none; compact JSON object */
    double confidence;
    int64_t usage_count, success_count, last_used_ms; /* outside the digest */
    int64_t created_at_ms, expires_at_ms;
    uint64_t version;
    uint64_t
        digest; /* of all but the use counts, vectors' digests included; computed by the store when it writes */
    const struct crn_vector_data *vectors;
    uint32_t vector_count;
};

/* Locates a row by id. *out_local = 0 when there is none. */
cairn_status crn_txn_find(struct crn_txn *txn, const struct crn_catalog *catalog, cairn_id_type type,
                          const char *id, size_t id_len, uint64_t id_u64, uint32_t *out_local,
                          uint64_t *out_version, int64_t *out_expires_at_ms, cairn_error *err);

/*
 * Writes a whole row: inserts when record->local is 0 (sets it), else replaces the row of that local. Keeps id index,
 * vectors (all of the row's: those not given are removed), payload indexes, lexical index, use counts and log in step.
 * With `vectors_unchanged` the vectors are left alone and the log says SET. Sets record->digest. A job that is run again has
 * to set record->local itself again: the number it was given before is gone.
 * EXISTS (the id has a row already), NOT_FOUND (no row of that local and id), NO_COLLECTION, INVALID_ID, INVALID_JSON (a
 * payload index has to read the payload), LIMIT.
 */
cairn_status crn_txn_put(struct crn_txn *txn, const struct crn_catalog *catalog, struct crn_record *record,
                         bool vectors_unchanged, cairn_error *err);
cairn_status crn_txn_delete(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t local,
                            cairn_error *err);
/* Adds to use counts without touching version, digest or log. Unknown locals are passed over. */
cairn_status crn_txn_use(struct crn_txn *txn, uint32_t collection, uint32_t local, int64_t uses,
                         int64_t last_used_ms, cairn_error *err);
/* A row being changed, read inside the transaction (memory as in crn_read_record). */
cairn_status crn_txn_record(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t local,
                            bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                            cairn_error *err);

/* Fills catalog->id, spaces' ids and created_at from the rest. EXISTS. */
cairn_status crn_txn_collection_create(struct crn_txn *txn, struct crn_catalog *catalog, cairn_error *err);
cairn_status crn_txn_collection_drop(struct crn_txn *txn, const struct crn_catalog *catalog,
                                     cairn_error *err);
/* EXISTS when another collection has the name. */
cairn_status crn_txn_collection_rename(struct crn_txn *txn, const struct crn_catalog *catalog,
                                       const char *name, cairn_error *err);
cairn_status crn_txn_space_model(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t space,
                                 const char *model, cairn_error *err);
/* Adds a space, which no row has a vector in; fills space->id. EXISTS, LIMIT. */
cairn_status crn_txn_space_add(struct crn_txn *txn, const struct crn_catalog *catalog,
                               struct crn_space *space, cairn_error *err);
/* Drops a space with its vectors. Rows that had one get new digests and a SET in the log; their versions stay.
 * INVALID_ARGUMENT: it is gone; UNSUPPORTED: it is the last one. */
cairn_status crn_txn_space_drop(struct crn_txn *txn, const struct crn_catalog *catalog, uint32_t space,
                                cairn_error *err);
cairn_status crn_txn_payload_index_create(struct crn_txn *txn, const struct crn_catalog *catalog,
                                          const char *path, cairn_error *err); /* fills it from the rows */
cairn_status crn_txn_payload_index_drop(struct crn_txn *txn, const struct crn_catalog *catalog,
                                        const char *path, cairn_error *err);
/* Replaces a collection's metadata (NULL: none), or the database's own, which is a key of meta and in no log. */
cairn_status crn_txn_collection_metadata(struct crn_txn *txn, const struct crn_catalog *catalog,
                                         const char *metadata, cairn_error *err);
cairn_status crn_txn_metadata(struct crn_txn *txn, const char *metadata, cairn_error *err);
/* Is the collection still there under this id? NO_COLLECTION otherwise. */
cairn_status crn_txn_collection_check(struct crn_txn *txn, uint32_t collection, cairn_error *err);
/* The sequence of the newest CATALOG entry of a collection (kept with it, so that trimming the log does not lose it): whoever holds
 * its settings read at an older one reads them anew before using them. Cheap. NO_COLLECTION. */
cairn_status crn_txn_settings_sequence(struct crn_txn *txn, uint32_t collection, uint64_t *out_sequence,
                                       cairn_error *err);
/* A collection's settings as the transaction sees them. NO_COLLECTION. */
cairn_status crn_txn_collection(struct crn_txn *txn, uint32_t collection, struct crn_catalog *out_catalog,
                                cairn_error *err);

/* A space's immutable segments, oldest first; a switch replaces the whole list in one transaction. */
struct crn_segment_entry {
    char file[64];       /* name inside the folder */
    char index_file[64]; /* "" = none */
    uint64_t sequence;   /* the space's log is covered up to here by the list ending with this segment */
    uint64_t rows;
};
cairn_status crn_txn_segments_set(struct crn_txn *txn, uint32_t space,
                                  const struct crn_segment_entry *entries, uint32_t count, cairn_error *err);

/* Removes log entries no reader of the log needs: below every space's covered sequence (spaces without segments and
 * without rows count as covered). Always keeps the newest entry. */
cairn_status crn_txn_log_trim(struct crn_txn *txn, cairn_error *err);

/* EXISTS when the id is taken. Trajectories are in no log. */
cairn_status crn_txn_trajectory_put(struct crn_txn *txn, uint32_t collection,
                                    const cairn_trajectory *trajectory, cairn_error *err);
cairn_status crn_txn_trajectory_delete(struct crn_txn *txn, uint32_t collection, const char *id,
                                       bool *out_deleted, cairn_error *err);

uint64_t crn_txn_sequence(const struct crn_txn *txn); /* the last sequence number used so far */

/* ---- reading ---- */

/* A reader is a snapshot: it sees the database as of its first read until it ends. Pooled; never waits for writers. Callbacks of
 * a read may use the same reader for another kind of read, not for the same (INTERNAL). */
cairn_status crn_store_read_begin(struct crn_store *store, struct crn_reader **out_reader, cairn_error *err);
void crn_store_read_end(struct crn_reader *reader);
/* Keeps an object, of which it takes one reference even when it fails, until the reader ends or the transaction is over. */
cairn_status crn_reader_keep(struct crn_reader *reader, void *object, void (*release)(void *object),
                             cairn_error *err);
cairn_status crn_txn_keep(struct crn_txn *txn, void *object, void (*release)(void *object), cairn_error *err);

cairn_status crn_read_sequence(struct crn_reader *reader, uint64_t *out_sequence, cairn_error *err);
/* As crn_txn_settings_sequence. */
cairn_status crn_read_settings_sequence(struct crn_reader *reader, uint32_t collection,
                                        uint64_t *out_sequence, cairn_error *err);
cairn_status crn_read_collection(struct crn_reader *reader, const char *name, struct crn_catalog *out_catalog,
                                 cairn_error *err); /* NO_COLLECTION */
cairn_status crn_read_collection_by_id(struct crn_reader *reader, uint32_t id,
                                       struct crn_catalog *out_catalog, cairn_error *err);
cairn_status crn_read_collection_names(struct crn_reader *reader, char ***out_names, size_t *out_count,
                                       cairn_error *err); /* one block */

/* Callbacks return CAIRN_OK to go on; anything else ends the scan with it. Pointers live during the call only. */
struct crn_log_entry {
    uint64_t sequence;
    enum crn_log_op op;
    uint64_t key;
    uint64_t version;
    uint64_t digest;
};
typedef cairn_status (*crn_log_entry_fn)(void *ctx, const struct crn_log_entry *entry);
/* Entries after `after`, ascending. CONFLICT when the log no longer reaches back to `after` (it was trimmed: load anew). */
cairn_status crn_read_log(struct crn_reader *reader, uint64_t after, crn_log_entry_fn fn, void *ctx,
                          cairn_error *err);

typedef cairn_status (*crn_vector_fn)(void *ctx, uint32_t local, const void *data, size_t size);
/* Vectors of a space from `from` on, ascending by local; each checked against its digest (CORRUPT, naming the row). */
cairn_status crn_read_vectors(struct crn_reader *reader, uint32_t space, uint32_t from, crn_vector_fn fn,
                              void *ctx, cairn_error *err);
/* One vector; *out_size 0 when there is none. Appended to `memory`, 64-byte aligned is not promised. */
cairn_status crn_read_vector(struct crn_reader *reader, uint32_t space, uint32_t local,
                             struct crn_buf *memory, size_t *out_offset, size_t *out_size, cairn_error *err);

cairn_status crn_read_find(struct crn_reader *reader, const struct crn_catalog *catalog, cairn_id_type type,
                           const char *id, size_t id_len, uint64_t id_u64, uint32_t *out_local,
                           cairn_error *err);
/* Locals of a collection's rows in the order of their ids: u64 by number, strings by bytes, UUIDs; from `from` on (NULL: all). */
typedef cairn_status (*crn_local_fn)(void *ctx, uint32_t local);
cairn_status crn_read_by_id(struct crn_reader *reader, const struct crn_catalog *catalog,
                            const struct crn_record *from, crn_local_fn fn, void *ctx, cairn_error *err);
/* The database's own metadata, "" for none; appended to `out`. */
cairn_status crn_read_metadata(struct crn_reader *reader, struct crn_buf *out, cairn_error *err);
/* A row, checked against its digest as far as it is read. NOT_FOUND. All pointers of *out_record point into `memory`, which
 * must not be appended to while they are used: so one buffer a record, or offsets taken after. */
cairn_status crn_read_record(struct crn_reader *reader, const struct crn_catalog *catalog, uint32_t local,
                             bool with_vectors, struct crn_buf *memory, struct crn_record *out_record,
                             cairn_error *err);

enum crn_scan_want {
    CRN_WANT_ID = 1,
    CRN_WANT_TEXT = 2,
    CRN_WANT_PAYLOAD = 4
}; /* other fields always come */
typedef cairn_status (*crn_record_fn)(void *ctx, const struct crn_record *record);
/* Rows of a collection from local `from` on, ascending, without vectors. */
cairn_status crn_read_scan(struct crn_reader *reader, const struct crn_catalog *catalog, uint32_t from,
                           unsigned want, crn_record_fn fn, void *ctx, cairn_error *err);

/* Locals of the rows in a scope (NULL = any; min_confidence 0 = any), ascending, expired ones included. Uses the narrowest index. */
cairn_status crn_read_scope(struct crn_reader *reader, uint32_t collection, const char *domain,
                            const char *agent, const char *type, double min_confidence, crn_local_fn fn,
                            void *ctx, cairn_error *err);

/* Payload index lookups. A row whose path holds an array is found under each element. Numbers compare as numbers (exact for
 * integers), strings by bytes, true/false/null are values of their own. */
enum crn_value_type {
    CRN_VALUE_NULL,
    CRN_VALUE_BOOL,
    CRN_VALUE_I64,
    CRN_VALUE_U64,
    CRN_VALUE_DOUBLE,
    CRN_VALUE_STRING
};
struct crn_value {
    enum crn_value_type type;
    bool boolean;
    int64_t i64;
    uint64_t u64; /* above INT64_MAX */
    double number;
    const char *string;
    size_t string_len;
};
enum crn_compare {
    CRN_EQ,
    CRN_GT,
    CRN_GTE,
    CRN_LT,
    CRN_LTE,
    CRN_ANY /* any value at all: the path exists */
};
cairn_status crn_read_index(struct crn_reader *reader, uint32_t index, enum crn_compare compare,
                            const struct crn_value *value, crn_local_fn fn, void *ctx,
                            cairn_error *err); /* a local may come more than once */

/* BM25 over the collection's texts: words of `query` joined by OR, quoting handled inside (no FTS syntax from users). Best first,
 * up to `limit`; score larger = better. */
typedef cairn_status (*crn_scored_fn)(void *ctx, uint32_t local, double score);
cairn_status crn_read_lexical(struct crn_reader *reader, const struct crn_catalog *catalog, const char *query,
                              size_t limit, crn_scored_fn fn, void *ctx, cairn_error *err);

/* Rows expired at now_ms, and when the next one will (INT64_MAX: never). */
cairn_status crn_read_expired(struct crn_reader *reader, uint32_t collection, int64_t now_ms, crn_local_fn fn,
                              void *ctx, int64_t *out_next_ms, cairn_error *err);
cairn_status crn_read_count(struct crn_reader *reader, uint32_t collection, uint64_t *out_rows,
                            cairn_error *err); /* expired included */
cairn_status crn_read_segments(struct crn_reader *reader, uint32_t space,
                               struct crn_segment_entry **out_entries, uint32_t *out_count,
                               cairn_error *err); /* crn_mem_free */

/* The number of collections, and of their rows, expired included: without reading any. */
cairn_status crn_read_totals(struct crn_reader *reader, uint64_t *out_collections, uint64_t *out_rows,
                             cairn_error *err);

struct crn_store_stats {
    uint64_t file_bytes, wal_bytes, folder_bytes;
    uint64_t log_entries, log_first, log_last;
    uint64_t commits, groups, checkpoints; /* of this process */
};
cairn_status crn_store_get_stats(struct crn_store *store, struct crn_store_stats *out_stats,
                                 cairn_error *err);
/* For a collection: rows, trajectories, average confidence, and a JSON object {domain: rows}. */
cairn_status crn_read_collection_stats(struct crn_reader *reader, uint32_t collection, uint64_t *out_rows,
                                       uint64_t *out_trajectories, double *out_avg_confidence,
                                       struct crn_buf *domains_json, cairn_error *err);

cairn_status crn_read_trajectories(struct crn_reader *reader, uint32_t collection, const char *id,
                                   const char *domain, const char *agent, size_t limit,
                                   cairn_status (*fn)(void *ctx, const cairn_trajectory *trajectory),
                                   void *ctx, cairn_error *err);

/* ---- care ---- */

/* Locks between all processes and handles of a database, apart from the write lock: files in its folder, released by
 * the system when their holder dies. Not recursive. What they guard is the engine's matter (engine/compact.h). */
enum crn_lock { CRN_LOCK_BUILDER, CRN_LOCK_SEGMENTS };
/* With `wait` it waits up to the busy timeout (BUSY). Without, *out_got tells whether it was free. */
cairn_status crn_store_lock(struct crn_store *store, enum crn_lock lock, bool wait, bool *out_got,
                            cairn_error *err);
void crn_store_unlock(struct crn_store *store, enum crn_lock lock);

/* Copies the WAL into the file under the write lock. Called by the store itself when the WAL is long. */
cairn_status crn_store_checkpoint(struct crn_store *store, cairn_error *err);

/* SQLite's integrity check; every row, vector and trajectory against its digest; rows against the log, payload and lexical indexes.
 * Findings are told one by one. */
cairn_status crn_store_verify(struct crn_store *store, cairn_finding_fn finding, cairn_progress_fn progress,
                              void *ctx, uint64_t *out_findings, cairn_error *err);

cairn_status crn_store_backup(struct crn_store *store, const char *path, cairn_progress_fn progress,
                              void *ctx, cairn_error *err);
cairn_status crn_store_restore(const char *backup_path, const char *path, cairn_progress_fn progress,
                               void *ctx, cairn_error *err);

#endif
