/* A queue under one lock on the way in, a stack without one on the way out. */
#include "server/http_workers.h"

#include "base/error.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>

struct crn_http_workers {
    void (*done)(void *ctx);
    void *ctx;
    size_t queue_max;
    unsigned thread_count;
    pthread_t *threads;

    struct crn_http_exchange *staged, *staged_last; /* loop only: offered since the last wake */
    size_t staged_count;

    pthread_mutex_t lock; /* guards these */
    pthread_cond_t work;
    struct crn_http_exchange *first, *last;
    unsigned sleeping;
    bool stop;

    atomic_size_t queued; /* in first..last; written under the lock. Relaxed: read as an estimate */
    /* Answered, newest first. Release by the worker, acquire by the loop: the answer is written before it is seen. */
    _Atomic(struct crn_http_exchange *) answered;
};

static struct crn_http_exchange *next_job(struct crn_http_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->stop) {
        workers->sleeping++;
        pthread_cond_wait(&workers->work, &workers->lock);
        workers->sleeping--;
    }
    struct crn_http_exchange *exchange = workers->first;
    if (exchange != NULL) {
        workers->first = exchange->next;
        atomic_fetch_sub_explicit(&workers->queued, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&workers->lock);
    return exchange;
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
    struct crn_http_workers *workers = argument;
    struct crn_http_exchange *exchange;

    while ((exchange = next_job(workers)) != NULL) {
        exchange->route.handler(exchange->route.ctx, &exchange->message.request, &exchange->answer);
        give_back(workers, exchange);
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
    while (started < count && pthread_create(&workers->threads[started], NULL, worker_main, workers) == 0) started++;
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
    pthread_cond_init(&workers->work, NULL);
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
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++) pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    crn_mem_free(workers->threads);
    crn_mem_free(workers);
}

bool crn_http_workers_offer(struct crn_http_workers *workers, struct crn_http_exchange *exchange)
{
    if (workers->staged_count + crn_http_workers_waiting(workers) >= workers->queue_max) return false;
    exchange->next = NULL;
    if (workers->staged == NULL) workers->staged = exchange;
    else workers->staged_last->next = exchange;
    workers->staged_last = exchange;
    workers->staged_count++;
    return true;
}

void crn_http_workers_wake(struct crn_http_workers *workers)
{
    if (workers->staged == NULL) return;
    pthread_mutex_lock(&workers->lock);
    if (workers->first == NULL) workers->first = workers->staged;
    else workers->last->next = workers->staged;
    workers->last = workers->staged_last;
    atomic_fetch_add_explicit(&workers->queued, workers->staged_count, memory_order_relaxed);
    size_t wake = workers->staged_count < workers->sleeping ? workers->staged_count : workers->sleeping;
    pthread_mutex_unlock(&workers->lock);
    for (; wake > 0; wake--) pthread_cond_signal(&workers->work);
    workers->staged = workers->staged_last = NULL;
    workers->staged_count = 0;
}

struct crn_http_exchange *crn_http_workers_answered(struct crn_http_workers *workers)
{
    struct crn_http_exchange *newest = atomic_exchange_explicit(&workers->answered, NULL, memory_order_acquire);
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
