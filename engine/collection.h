/*
 * An open collection, shared by all who open it in one process. Internal to engine/.
 *
 * Locks, in order: db->mutex (list of collections), then collection->mutex (embedder, use counts, list of catalogs),
 * then a space's (space.h), then the store's. No lock is held while calling the host (embedder, progress, log
 * excepted).
 */
#ifndef CRN_ENGINE_COLLECTION_H
#define CRN_ENGINE_COLLECTION_H

#include "engine/filter.h"
#include "engine/space.h"

struct crn_maintenance;

struct cairn_db {
    struct crn_store *store;
    cairn_open_options options;
    struct crn_log log;
    pthread_mutex_t mutex; /* guards collections and their reference counts */
    struct cairn_collection *collections;
    struct crn_maintenance *maintenance; /* NULL with no_background or read_only */
};

/* Spaces as they were once: some come and go, of one nothing changes but its model, and that once. So there are few lists; each is kept
 * until the collection is closed, because patterns that were handed out and searches borrow from it. */
struct crn_space_list {
    struct crn_space *spaces;     /* [count] */
    struct crn_live_space **live; /* [count], the collection's */
    cairn_space_options *options; /* [count], for who asks for the collection's settings */
    uint32_t count;
    struct crn_space_list *older;
};

/* Settings as a collection's log entry `sequence` left them. Counted: the collection holds the first and the newest one, and
 * each reader or transaction the one that it sees. */
struct crn_catalog_version {
    struct crn_catalog catalog;
    const struct crn_space_list *list; /* that its spaces are borrowed from; NULL: they are its own */
    uint64_t sequence;
    atomic_uint references;
};

/* A name is kept until the collection is closed, because it was handed out. */
struct crn_collection_name {
    struct crn_collection_name *older;
    char text[];
};

struct crn_use_counts; /* use.h */

struct cairn_collection {
    cairn_db *db;
    struct cairn_collection *next; /* in the db's list */
    uint32_t references;           /* guarded by db->mutex */
    uint32_t id;
    pthread_mutex_t mutex; /* guards embedder, uses, newest_catalog, name, spaces and space_lists */
    struct crn_catalog_version *newest_catalog;
    struct crn_catalog_version *first_catalog;  /* `lexical` never changes */
    _Atomic(struct crn_collection_name *) name; /* the newest known */
    struct crn_space_list *space_lists;
    _Atomic(const struct crn_space_list *) newest_spaces;
    _Atomic uint64_t
        unflushed; /* changes written since the tail was last written out, as far as this process knows */
    _Atomic uint64_t
        flushed_ns; /* when maintenance of this process last wrote a tail out (crn_clock_ns); 0: never */
    _Atomic bool merges_wanted; /* tails were written out since segments were looked at for merging */
    const cairn_embedder *embedder;
    struct crn_use_counts *uses;
    struct crn_scope_cache *scopes;
    struct crn_live_space
        *spaces; /* all that it has had since it was opened; those that are not dense are never loaded */
};

/* The newest spaces known. Alive until the collection is closed. */
static inline const struct crn_space_list *crn_collection_now(const cairn_collection *collection)
{
    /* Acquire: pairs with the release that published them. */
    return atomic_load_explicit(&((cairn_collection *)collection)->newest_spaces, memory_order_acquire);
}

struct crn_store *crn_collection_store(cairn_collection *collection);

/* The settings that the snapshot or transaction sees, borrowed from it; their spaces outlive a snapshot. NO_COLLECTION when
 * the collection was dropped. */
cairn_status crn_collection_follow_reader(cairn_collection *collection, struct crn_reader *reader,
                                          const struct crn_catalog **out_catalog, cairn_error *err);
cairn_status crn_collection_follow_txn(cairn_collection *collection, struct crn_txn *txn,
                                       const struct crn_catalog **out_catalog, cairn_error *err);

/* A snapshot with the settings that belong to it. */
cairn_status crn_collection_read(cairn_collection *collection, struct crn_reader **out_reader,
                                 const struct crn_catalog **out_catalog, cairn_error *err);

/* ---- collection_name.c ---- */

/* Is it one that a collection may have? */
cairn_status crn_collection_check_name(const cairn_db *db, const char *name, cairn_error *err);
/* A collection's settings, and the log entry that left them, as they are now. NO_COLLECTION. */
cairn_status crn_collection_read_settings(cairn_db *db, const char *name, struct crn_catalog *out_catalog,
                                          uint64_t *out_sequence, cairn_error *err);
/* Inside a transaction: what was read of a name a moment ago may have another by now. NO_COLLECTION then, and when it is gone. */
cairn_status crn_collection_still_named(struct crn_txn *txn, const struct crn_catalog *catalog,
                                        cairn_error *err);
/* Notes the name that the collection has by now; without memory it keeps the older one. collection->mutex held, or nobody else knows
 * the collection. */
cairn_status crn_collection_note_name(cairn_collection *collection, const char *name, cairn_error *err);
void crn_collection_free_names(cairn_collection *collection);

/* ---- collection_spaces.c ---- */

/* A space by name (NULL or "": the default one), with its newest settings (out_info may be NULL). INVALID_ARGUMENT when there is
 * none. */
cairn_status crn_collection_space(cairn_collection *collection, const char *name,
                                  struct crn_live_space **out_space, const struct crn_space **out_info,
                                  cairn_error *err);
/* Lets settings borrow their spaces from the collection: of a list that it has already or, with `make`, a new one, whose live spaces are
 * those that it has already or new ones. collection->mutex held, or nobody else knows the collection. */
cairn_status crn_collection_share_spaces(cairn_collection *collection, struct crn_catalog_version *version,
                                         bool make, cairn_error *err);
void crn_collection_free_spaces(struct crn_space *spaces, uint32_t count);
void crn_collection_free_space_lists(cairn_collection *collection);
/* One space of a create call's options, checked. */
cairn_status crn_space_set(struct crn_space *space, const cairn_space_options *options, cairn_error *err);

/* For `committed` of a write whose changes cannot be handed over: brings the views in use up to it, so that no search has to. */
void crn_collection_catch_up(cairn_collection *collection, uint64_t sequence);

/* Keeps a reference while maintenance works on it. */
void crn_collection_retain_locked(cairn_collection *collection); /* db->mutex held */

/* Counts uses in memory; they are folded into the next write or after a second. */
void crn_collection_touch(cairn_collection *collection, const uint32_t *locals, size_t count, int64_t now_ms);

/* ---- use.c ---- */
struct crn_use_counts *crn_use_counts_create(void);
void crn_use_counts_free(struct crn_use_counts *uses);
/* Writes what has gathered, in a transaction of its own; nothing gathered: no transaction. */
cairn_status crn_collection_flush_uses(cairn_collection *collection, cairn_error *err);
/* Inside a write that happens anyway. What was taken is put back when the write fails (`crn_uses_put_back`). */
struct crn_use_batch;
struct crn_use_batch *crn_uses_take(cairn_collection *collection); /* NULL when there are none */
cairn_status crn_uses_write(struct crn_txn *txn, cairn_collection *collection,
                            const struct crn_use_batch *batch, cairn_error *err);
void crn_uses_settle(cairn_collection *collection, struct crn_use_batch *batch, bool written); /* frees it */

/* ---- maintain.c ---- */
cairn_status crn_maintenance_start(cairn_db *db, cairn_error *err);
void crn_maintenance_stop(cairn_db *db);
/* Tells that a collection has changed: the background puts rows into the graphs of tails and writes those out; where there is none or it
 * does not keep up, the caller does. */
void crn_maintenance_notice(cairn_collection *collection, uint64_t changes);

/* Writes out a tail that is longer than others may find, before the collection is closed. */
void crn_maintenance_end_bulk(cairn_collection *collection);
/* Throws a space's segments away and writes new ones from the rows. */
cairn_status crn_space_rebuild(struct crn_live_space *space, cairn_progress_fn progress, void *ctx,
                               cairn_error *err);

/* ---- results.c, search.c ---- */
uint32_t crn_results_local(const cairn_results *results, size_t i);

/* The rows in a scope that have not expired, as of the reader's snapshot. */
cairn_status crn_collection_scope(cairn_collection *collection, struct crn_reader *reader,
                                  const struct crn_catalog *catalog, const cairn_scope *scope,
                                  struct crn_rows **out_rows, cairn_error *err);

#endif
