/*
 * The page of memory all processes of a database share: the file `shared` in its folder, mapped. It tells one
 * thing, the last committed sequence number, so that a reader learns of others' commits by one load. It is no
 * truth: it is made anew from the database whenever it is missing or of another database, under the write
 * lock.
 *
 * Threads: shared, but for attach, which the opener and the holder of the write lock call.
 */
#ifndef CRN_STORAGE_SHARED_MEMORY_H
#define CRN_STORAGE_SHARED_MEMORY_H

#include <cairn/status.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct crn_shared_page; /* what is mapped */
struct crn_shared_mapping;

struct crn_shared {
    _Atomic(struct crn_shared_page *) page; /* the newest mapping's; NULL: none */
    _Atomic uint64_t floor;              /* what this process knows to be committed; never answered below */
    _Atomic uint64_t next_check_ns;      /* when to look again whether the file is still at the path */
    pthread_mutex_t mutex;               /* guards the mappings */
    struct crn_shared_mapping *mappings; /* all ever made: readers may still look at old ones */
    char *path;
    unsigned char uuid[16];
    bool writable;
    bool ready;
};

cairn_status crn_shared_init(struct crn_shared *shared, const char *folder, const unsigned char uuid[16],
                             bool writable, cairn_error *err);
void crn_shared_release(struct crn_shared *shared); /* one never initialized (zeros) is accepted */

/* Maps the file at the path unless it is mapped already. False when it is missing or not this database's. */
bool crn_shared_attach(struct crn_shared *shared);

/* Makes the file if need be, and tells `sequence`. Under the write lock. */
cairn_status crn_shared_create(struct crn_shared *shared, uint64_t sequence, cairn_error *err);

/* Of a commit that is in the WAL. Without leave to write, only this store gets to know it. */
void crn_shared_announce(struct crn_shared *shared, uint64_t sequence);

/* The last sequence number announced. False when there is no page: the caller has to ask the database. */
bool crn_shared_sequence(struct crn_shared *shared, uint64_t *out_sequence);

#endif
