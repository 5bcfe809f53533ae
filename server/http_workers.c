/*
 * A queue under one lock on the way in, a stack without one on the way out. A worker without work sleeps on a
 * semaphore of its own, and the one that fell asleep last is woken first: its caches are the warmest. (A
 * condition variable costs a third system call a request.)
 */
#include "server/http_workers.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

struct worker {
    struct crn_http_workers *all;
    pthread_t thread;
    sem_t wake;
    struct worker *next; /* that sleeps */
};

struct crn_http_workers {
    void (*done)(void *ctx);
    void *ctx;
    size_t queue_max;
    unsigned thread_count;
    struct worker *threads;

    struct crn_http_exchange *staged, *staged_last; /* loop only: offered since the last wake */
    size_t staged_count;

    pthread_mutex_t lock; /* guards these */
    struct crn_http_exchange *first, *last;
    struct worker *sleeping;
    bool stop;

    atomic_size_t queued; /* in first..last; written under the lock. Relaxed: read as an estimate */
    /* Answered, newest first. Release by the worker, acquire by the loop: the answer is written before it is
     * seen. */
    _Atomic(struct crn_http_exchange *) answered;
};

static void sleep_until_woken(struct worker *worker)
{
    while (sem_wait(&worker->wake) != 0 && errno == EINTR) {
    }
}

static struct crn_http_exchange *next_job(struct worker *worker)
{
    struct crn_http_workers *workers = worker->all;

    pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->stop) {
        worker->next = workers->sleeping;
        workers->sleeping = worker;
        pthread_mutex_unlock(&workers->lock);
        sleep_until_woken(worker);
        pthread_mutex_lock(&workers->lock);
    }
    struct crn_http_exchange *exchange = workers->first;
    if (exchange != NULL) {
        workers->first = exchange->next;
        atomic_fetch_sub_explicit(&workers->queued, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&workers->lock);
    return exchange;
}

/* Takes up to `count` workers off the list of those that sleep; with the lock. */
static struct worker *take_sleepers(struct crn_http_workers *workers, size_t count)
{
    struct worker *first = workers->sleeping, **end = &workers->sleeping;

    for (; count > 0 && *end != NULL; count--) end = &(*end)->next;
    struct worker *rest = *end;
    *end = NULL;
    if (end == &workers->sleeping) first = NULL;
    workers->sleeping = rest;
    return first;
}

/* Without the lock. A worker that was woken may sleep again at once, and then has another `next`. */
static void wake_sleepers(struct worker *worker)
{
    while (worker != NULL) {
        struct worker *next = worker->next;
        sem_post(&worker->wake);
        worker = next;
    }
}

static void give_back(struct crn_http_workers *workers, struct crn_http_exchange *exchange)
{
    struct crn_http_exchange *newest = atomic_load_explicit(&workers->answered, memory_order_relaxed);

    do exchange->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&workers->answered, &newest, exchange, memory_order_release,
                                                  memory_order_relaxed));
    if (newest == NULL) workers->done(workers->ctx);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct crn_http_exchange *exchange;

    while ((exchange = next_job(worker)) != NULL) {
        exchange->route.handler(exchange->route.ctx, &exchange->message.request, &exchange->answer);
        give_back(worker->all, exchange);
    }
    return NULL;
}

/* Signals stay with the thread of the loop. */
static unsigned start_threads(struct crn_http_workers *workers, unsigned count)
{
    sigset_t all, before;
    unsigned started = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; started < count; started++) {
        struct worker *worker = &workers->threads[started];
        worker->all = workers;
        sem_init(&worker->wake, 0, 0);
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            sem_destroy(&worker->wake);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

cairn_status crn_http_workers_start(unsigned count, size_t queue_max, void (*done)(void *ctx), void *ctx,
                                    struct crn_http_workers **out, cairn_error *err)
{
    struct crn_http_workers *workers = crn_mem_calloc(1, sizeof *workers);

    *out = NULL;
    if (workers == NULL) return crn_error_no_memory(err, sizeof *workers);
    workers->done = done;
    workers->ctx = ctx;
    workers->queue_max = queue_max;
    workers->threads = crn_mem_array(count, sizeof *workers->threads);
    pthread_mutex_init(&workers->lock, NULL);
    if (workers->threads != NULL) workers->thread_count = start_threads(workers, count);
    if (workers->thread_count == 0) {
        crn_http_workers_stop(workers);
        return crn_error_set(err, CAIRN_NO_MEMORY, "no thread can be started for the server");
    }
    *out = workers;
    return CAIRN_OK;
}

void crn_http_workers_stop(struct crn_http_workers *workers)
{
    if (workers == NULL) return;
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    struct worker *sleepers = take_sleepers(workers, SIZE_MAX);
    pthread_mutex_unlock(&workers->lock);
    wake_sleepers(sleepers);
    for (unsigned i = 0; i < workers->thread_count; i++) {
        pthread_join(workers->threads[i].thread, NULL);
        sem_destroy(&workers->threads[i].wake);
    }
    pthread_mutex_destroy(&workers->lock);
    crn_mem_free(workers->threads);
    crn_mem_free(workers);
}

bool crn_http_workers_offer(struct crn_http_workers *workers, struct crn_http_exchange *exchange)
{
    if (workers->staged_count + crn_http_workers_waiting(workers) >= workers->queue_max) return false;
    exchange->next = NULL;
    if (workers->staged == NULL)
        workers->staged = exchange;
    else
        workers->staged_last->next = exchange;
    workers->staged_last = exchange;
    workers->staged_count++;
    return true;
}

void crn_http_workers_wake(struct crn_http_workers *workers)
{
    if (workers->staged == NULL) return;
    pthread_mutex_lock(&workers->lock);
    if (workers->first == NULL)
        workers->first = workers->staged;
    else
        workers->last->next = workers->staged;
    workers->last = workers->staged_last;
    atomic_fetch_add_explicit(&workers->queued, workers->staged_count, memory_order_relaxed);
    struct worker *sleepers = take_sleepers(workers, workers->staged_count);
    pthread_mutex_unlock(&workers->lock);
    wake_sleepers(sleepers);
    workers->staged = workers->staged_last = NULL;
    workers->staged_count = 0;
}

struct crn_http_exchange *crn_http_workers_answered(struct crn_http_workers *workers)
{
    struct crn_http_exchange *newest =
        atomic_exchange_explicit(&workers->answered, NULL, memory_order_acquire);
    struct crn_http_exchange *oldest = NULL;

    while (newest != NULL) {
        struct crn_http_exchange *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

size_t crn_http_workers_waiting(const struct crn_http_workers *workers)
{
    return atomic_load_explicit(&workers->queued, memory_order_relaxed);
}
