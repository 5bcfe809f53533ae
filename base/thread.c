/* A loop shared by threads that live as long as the loop: nothing to configure, nothing left behind. */
#include "base/thread.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct loop {
    size_t count, grain, pieces;
    void (*fn)(void *ctx, size_t begin, size_t end, unsigned worker);
    void *ctx;
    /* The next piece nobody took. Relaxed: pieces do not depend on each other, and starting and joining the
     * threads orders all else. */
    atomic_size_t next_piece;
};

struct worker {
    struct loop *loop;
    unsigned number;
    pthread_t thread;
};

static void take_pieces(struct loop *loop, unsigned worker)
{
    size_t piece;

    while ((piece = atomic_fetch_add_explicit(&loop->next_piece, 1, memory_order_relaxed)) < loop->pieces) {
        size_t begin = piece * loop->grain;
        size_t left = loop->count - begin;
        loop->fn(loop->ctx, begin, begin + (left < loop->grain ? left : loop->grain), worker);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;

    take_pieces(worker->loop, worker->number);
    return NULL;
}

/* Starts up to `count` workers, numbered from 1; returns how many there are. Signals stay with the host's
 * threads. */
static unsigned start_workers(struct worker *workers, unsigned count, struct loop *loop)
{
    unsigned started = 0;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < count) {
        struct worker *worker = &workers[started];
        *worker = (struct worker){.loop = loop, .number = started + 1};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) break;
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void crn_parallel_for(unsigned threads, size_t count, size_t grain,
                      void (*fn)(void *ctx, size_t begin, size_t end, unsigned worker), void *ctx)
{
    if (grain == 0) grain = 1;
    struct loop loop = {
        .count = count,
        .grain = grain,
        .pieces = count / grain + (count % grain != 0),
        .fn = fn,
        .ctx = ctx,
    };
    unsigned helpers = threads > 1 ? threads - 1 : 0;
    if (helpers >= loop.pieces) helpers = loop.pieces > 0 ? (unsigned)(loop.pieces - 1) : 0;

    struct worker *workers = helpers > 0 ? crn_mem_array(helpers, sizeof *workers) : NULL;
    unsigned started = workers != NULL ? start_workers(workers, helpers, &loop) : 0;
    take_pieces(&loop, 0);
    for (unsigned i = 0; i < started; i++) pthread_join(workers[i].thread, NULL);
    crn_mem_free(workers);
}
