/*
 * A thread of a database that looks after its open collections, one after the other: whenever it is woken, and once a second.
 * maintain.c has two of them. Internal to engine/.
 */
#ifndef CRN_ENGINE_BACKGROUND_H
#define CRN_ENGINE_BACKGROUND_H

#include "engine/collection.h"

struct crn_background {
    cairn_db *db;
    void (*look_after)(struct crn_background *background, cairn_collection *collection);
    int niceness; /* above the process's */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards wanted */
    pthread_cond_t wake;
    bool wanted;
    _Atomic bool stop;
    _Atomic uint32_t pauses; /* who wants what a collection's work holds: it is left off while there is one */
};

/* db, look_after and niceness are set. NO_MEMORY. */
cairn_status crn_background_start(struct crn_background *background, cairn_error *err);

/* Waits until it has ended: what takes long asks crn_background_shall_yield. */
void crn_background_stop(struct crn_background *background);

void crn_background_wake(struct crn_background *background);

static inline bool crn_background_is_stopped(const struct crn_background *background)
{
    return atomic_load_explicit(&background->stop, memory_order_relaxed); /* guards nothing */
}

/* Whether what takes long and can be done later is to be left off now. */
static inline bool crn_background_shall_yield(const struct crn_background *background)
{
    return crn_background_is_stopped(background) ||
           atomic_load_explicit(&background->pauses, memory_order_relaxed) != 0;
}

#endif
