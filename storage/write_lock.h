/*
 * The write lock of a database: one writer, or one checkpoint, at a time over all processes. A lock of the
 * process first, then OFD locks (fcntl F_OFD_SETLK) on the file `lock` in the database's folder, which the
 * kernel releases when their holder dies, and which exclude two stores of one process as well.
 *
 * Byte 0 of the file is the lock. Byte 1 is the turnstile before it: whoever waits for byte 0 stands in it,
 * and who lets go of byte 0 has to pass it to come back. So a busy writer cannot starve another process.
 */
#ifndef CRN_STORAGE_WRITE_LOCK_H
#define CRN_STORAGE_WRITE_LOCK_H

#include <cairn/status.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct crn_write_lock {
    pthread_mutex_t mutex; /* guards `held`, and nothing longer */
    pthread_cond_t freed;
    bool held;
    bool ready;         /* initialized */
    char *path;         /* of the lock file */
    const char *folder; /* borrowed */
    int fd;             /* the holder's */
    dev_t device;
    ino_t inode;
};

/* Makes the folder and the file of that name in it when they are missing. READ_ONLY, IO. */
cairn_status crn_write_lock_init(struct crn_write_lock *lock, const char *folder, const char *name,
                                 cairn_error *err);
void crn_write_lock_release(struct crn_write_lock *lock); /* one never initialized (zeros) is accepted */

/* BUSY when it was not to be had within the time; 0 tries once. Should the folder have been deleted
 * meanwhile, it is made anew, so that all who look at the path meet at one file. */
cairn_status crn_write_lock_acquire(struct crn_write_lock *lock, uint32_t timeout_ms, cairn_error *err);
void crn_write_lock_drop(struct crn_write_lock *lock);

#endif
