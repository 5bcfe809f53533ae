/*
 * The inside of a store: what the files behind store.h share. Nobody outside storage/ includes it, but for
 * its tests.
 *
 * Who guards what: `writer` and `txn` belong to the holder of the write lock. The queue has a mutex of its
 * own, the pool too. Everything else is set when the store is opened, or atomic.
 */
#ifndef CRN_STORAGE_STORE_INTERNAL_H
#define CRN_STORAGE_STORE_INTERNAL_H

#include "storage/connection.h"
#include "storage/kept.h"
#include "storage/payload_values.h"
#include "storage/row.h"
#include "storage/shared_memory.h"
#include "storage/store.h"
#include "storage/write_lock.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- transactions ---- */

/* A collection as the running transaction knows it: read once, kept while no other connection has
 * committed. */
struct crn_txn_collection {
    uint32_t id;
    bool lexical;
    bool changed; /* next_local or rows, to be written when the job ends */
    uint64_t settings_sequence;
    uint64_t next_local;
    uint64_t rows;
    uint32_t spaces[CAIRN_SPACES_MAX]; /* ids, ascending */
    uint32_t space_count;
    struct crn_payload_index *indexes;
    uint32_t index_count;
};

#define CRN_TXN_COLLECTIONS 32u

/* There is one, the writer's; it lives as long as the store and is reset for each group. */
struct crn_txn {
    struct crn_store *store;
    struct crn_conn *conn;
    uint64_t sequence; /* the last one used */
    int64_t epoch;
    uint64_t bytes;       /* written by the group's jobs, about */
    int64_t data_version; /* of SQLite, when `collections` was last found true */
    struct crn_txn_collection collections[CRN_TXN_COLLECTIONS];
    uint32_t collection_count;
    struct crn_json_parser *parser; /* made when a payload has to be read */
    struct crn_payload_values values;
    struct crn_kept kept; /* until it is committed or rolled back */
};

/* Begins and reads where the log stands; finishes a job; ends. A rollback forgets all that was only
 * remembered. */
cairn_status crn_txn_begin(struct crn_txn *txn, cairn_error *err);
cairn_status crn_txn_finish_job(struct crn_txn *txn, cairn_error *err);
cairn_status crn_txn_commit(struct crn_txn *txn, cairn_error *err);
void crn_txn_rollback(struct crn_txn *txn);
void crn_txn_forget(struct crn_txn *txn);
void crn_txn_release(struct crn_txn *txn);

/* NO_COLLECTION. Borrowed until the transaction's next call of this. */
cairn_status crn_txn_collection_get(struct crn_txn *txn, uint32_t collection, struct crn_txn_collection **out,
                                    cairn_error *err);
cairn_status crn_txn_log(struct crn_txn *txn, enum crn_log_op op, int64_t key, uint64_t version,
                         uint64_t digest, cairn_error *err);

/* Settings changed: what is remembered of the collection is forgotten, and the log tells. */
cairn_status crn_txn_log_catalog(struct crn_txn *txn, uint32_t collection, cairn_error *err);
/* Runs statements of one number, in order. */
cairn_status crn_txn_run_all(struct crn_txn *txn, const char *const *sql, size_t count, uint32_t number,
                             cairn_error *err);

#define CRN_OWNERS_MAX 0x7fffffff /* collections and spaces: a key's upper half, of a signed number */
/* A space's row, whose id is filled in; its row, vectors and segments; whether it is there (INVALID_ARGUMENT). */
cairn_status crn_txn_space_insert(struct crn_txn *txn, uint32_t collection, struct crn_space *space,
                                  cairn_error *err);
cairn_status crn_txn_space_remove(struct crn_txn *txn, uint32_t space, cairn_error *err);
cairn_status crn_txn_space_check(struct crn_txn *txn, uint32_t space, cairn_error *err);

/* Takes the payload's values into or out of all indexes of the collection, or of one. */
cairn_status crn_txn_values_change(struct crn_txn *txn, const struct crn_payload_index *indexes,
                                   uint32_t index_count, int64_t key, const char *payload, bool add,
                                   cairn_error *err);
cairn_status crn_txn_lexical_change(struct crn_txn *txn, uint32_t collection, uint32_t local,
                                    const char *text, bool add, cairn_error *err);

/* ---- reading ---- */

struct crn_reader {
    struct crn_store *store;
    struct crn_conn conn;
    struct crn_reader *next; /* in the pool */
    struct crn_kept kept;    /* until it ends */
};

struct crn_reader_pool {
    pthread_mutex_t mutex;
    struct crn_reader *idle;
    uint32_t idle_count;
};

void crn_pool_drain(struct crn_reader_pool *pool);

/* Calls fn with the local of each key that the bound statement gives. */
cairn_status crn_reader_locals(struct crn_reader *reader, sqlite3_stmt *stmt, crn_local_fn fn, void *ctx,
                               cairn_error *err);

/* A collection's settings, by any connection inside a transaction. `name` NULL: by id. */
cairn_status crn_catalog_read(struct crn_conn *conn, const char *name, uint32_t id,
                              struct crn_catalog *out_catalog, cairn_error *err);
cairn_status crn_meta_number(struct crn_conn *conn, const char *key, uint64_t *out_value, cairn_error *err);
cairn_status crn_log_last(struct crn_conn *conn, uint64_t *out_sequence, cairn_error *err);

/* ---- writing ---- */

struct crn_write_slot;

struct crn_write_queue {
    pthread_mutex_t mutex; /* guards all but the leader's fields */
    pthread_cond_t arrived;
    struct crn_write_slot *first, *last;
    size_t count;
    size_t wait_for; /* the leader sleeps until so many wait; SIZE_MAX: it does not sleep */
    bool led;
    /* The leader's: */
    size_t expected;    /* jobs that will likely come soon, from the last group */
    uint64_t commit_ns; /* a smoothed commit's time */
};

struct crn_checkpoint {
    _Atomic uint32_t wal_frames; /* in the WAL after the last commit of this process */
    uint32_t done_frames;        /* wal_frames when it was last copied */
};

struct crn_store {
    char *path;
    char *folder;
    char *wal_path;
    char *vfs;
    struct crn_log log;
    bool read_only;
    bool lazy;
    _Atomic bool immutable; /* read-only, in a folder without WAL where none can be made */
    uint32_t busy_timeout_ms;
    unsigned char uuid[16];
    struct crn_write_lock lock;
    struct crn_write_lock maintenance[2]; /* by enum crn_lock */
    struct crn_shared shared;
    struct crn_write_queue queue;
    struct crn_conn writer;
    bool writer_distrusted; /* a sync failed: reopen and checkpoint before the next write */
    struct crn_txn txn;
    struct crn_checkpoint checkpoint;
    struct crn_reader_pool pool;
    _Atomic uint64_t commits, groups, checkpoints;
};

void crn_queue_init(struct crn_write_queue *queue);
void crn_queue_release(struct crn_write_queue *queue);

/* Under the write lock. */
cairn_status crn_writer_open(struct crn_store *store, cairn_error *err);
cairn_status crn_writer_ready(struct crn_store *store,
                              cairn_error *err); /* reopens it when it is distrusted */
void crn_checkpoint_if_due(struct crn_store *store);
cairn_status crn_checkpoint_run(struct crn_store *store, int mode, uint32_t timeout_ms, cairn_error *err);

/* Opens a file for reading alone, whatever stands beside it: a backup. NULL folder, no lock. */
cairn_status crn_store_open_private(const char *path, const char *vfs, struct crn_store **out_store,
                                    cairn_error *err);

#endif
