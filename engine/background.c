/* A thread that looks after open collections (background.h). */
#include "engine/background.h"

#include "base/error.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

/* The n-th open collection, held. NULL past the end. Collections may come and go in between: then one is seen twice or later. */
static cairn_collection *hold_collection(cairn_db *db, size_t n)
{
    pthread_mutex_lock(&db->mutex);
    cairn_collection *collection = db->collections;
    while (collection != NULL && n-- != 0) collection = collection->next;
    if (collection != NULL) crn_collection_retain_locked(collection);
    pthread_mutex_unlock(&db->mutex);
    return collection;
}

/* True: woken or a second has passed. */
static void wait_for_work(struct crn_background *background)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&background->mutex);
    while (!background->wanted && !crn_background_is_stopped(background)) {
        if (pthread_cond_timedwait(&background->wake, &background->mutex, &until) == ETIMEDOUT) break;
    }
    background->wanted = false;
    pthread_mutex_unlock(&background->mutex);
}

/* On Linux a thread has a priority of its own, and those it starts to build an index inherit it. Elsewhere it would be the host's
 * whole process. */
static void step_back(int niceness)
{
#ifdef __linux__
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + niceness); /* at most 19 are given */
#else
    (void)niceness;
#endif
}

static void *run(void *arg)
{
    struct crn_background *background = arg;
    cairn_collection *collection;

    step_back(background->niceness);
    while (!crn_background_is_stopped(background)) {
        wait_for_work(background);
        for (size_t i = 0; !crn_background_is_stopped(background) &&
                           (collection = hold_collection(background->db, i)) != NULL;
             i++) {
            background->look_after(background, collection);
            cairn_collection_close(collection);
        }
    }
    return NULL;
}

cairn_status crn_background_start(struct crn_background *background, cairn_error *err)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&background->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&background->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&background->thread, NULL, run, background) == 0) return CAIRN_OK;
    pthread_cond_destroy(&background->wake);
    pthread_mutex_destroy(&background->mutex);
    return crn_error_set(err, CAIRN_NO_MEMORY, "no thread for maintenance could be started");
}

void crn_background_stop(struct crn_background *background)
{
    pthread_mutex_lock(&background->mutex);
    atomic_store_explicit(&background->stop, true, memory_order_relaxed);
    pthread_cond_signal(&background->wake);
    pthread_mutex_unlock(&background->mutex);
    pthread_join(background->thread, NULL);
    pthread_cond_destroy(&background->wake);
    pthread_mutex_destroy(&background->mutex);
}

void crn_background_wake(struct crn_background *background)
{
    pthread_mutex_lock(&background->mutex);
    background->wanted = true;
    pthread_cond_signal(&background->wake);
    pthread_mutex_unlock(&background->mutex);
}
