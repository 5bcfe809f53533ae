/* The parallel loop: each index exactly once, whatever threads there are. For the thread sanitizer, too. */
#include "base/thread.h"

#include "base/mem.h"
#include "tests/base/support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define COUNT_MAX 5000
#define THREADS_MAX 9

/* Linked with --wrap=pthread_create: after `creations_left` threads there are no more. */
static atomic_int creations_left;
static atomic_int created;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *ctx);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *ctx);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *ctx)
{
    if (atomic_fetch_sub(&creations_left, 1) <= 0) return EAGAIN;
    atomic_fetch_add(&created, 1);
    return __real_pthread_create(thread, attr, start, ctx);
}
/* NOLINTEND(bugprone-reserved-identifier) */

struct record {
    unsigned threads;
    size_t count, grain;
    pthread_t caller;
    atomic_int visits[COUNT_MAX];
    atomic_int wrong;           /* pieces or worker numbers out of their range */
    size_t pieces[THREADS_MAX]; /* plain: each worker has its own, or the sanitizer speaks up */
};

static void visit(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct record *record = ctx;
    size_t grain = record->grain > 0 ? record->grain : 1;

    if (begin >= end || end > record->count || end - begin > grain || worker >= THREADS_MAX ||
        worker >= (record->threads > 0 ? record->threads : 1)) {
        atomic_fetch_add(&record->wrong, 1);
        return;
    }
    bool on_caller = pthread_equal(pthread_self(), record->caller) != 0;
    if ((worker == 0) != on_caller) atomic_fetch_add(&record->wrong, 1);
    record->pieces[worker]++;
    for (size_t i = begin; i < end; i++) atomic_fetch_add(&record->visits[i], 1);
}

static void check_loop(unsigned threads, size_t count, size_t grain)
{
    static struct record record;
    size_t pieces = 0;

    memset(&record, 0, sizeof record);
    record.threads = threads;
    record.count = count;
    record.grain = grain;
    record.caller = pthread_self();
    crn_parallel_for(threads, count, grain, visit, &record);

    assert_int_equal(record.wrong, 0);
    for (size_t i = 0; i < COUNT_MAX; i++) assert_int_equal(record.visits[i], i < count);
    for (size_t i = 0; i < THREADS_MAX; i++) pieces += record.pieces[i];
    if (grain == 0) grain = 1;
    assert_int_equal(pieces, count / grain + (count % grain != 0));
}

static void check_loops(int creations)
{
    static const size_t counts[] = {0, 1, 2, 7, 64, 1000, COUNT_MAX};
    static const size_t grains[] = {0, 1, 2, 7, 64, 999, COUNT_MAX, SIZE_MAX};

    for (unsigned threads = 0; threads <= THREADS_MAX; threads += 3) {
        for (size_t c = 0; c < COUNT_OF(counts); c++) {
            for (size_t g = 0; g < COUNT_OF(grains); g++) {
                creations_left = creations;
                check_loop(threads, counts[c], grains[g]);
            }
        }
    }
}

static void each_index_once(void **state)
{
    (void)state;
    check_loops(1000);
}

static void without_any_thread(void **state)
{
    (void)state;
    check_loops(0);
}

static void with_fewer_threads_than_asked(void **state)
{
    (void)state;
    check_loops(2);
}

static void without_memory(void **state)
{
    (void)state;
    crn_mem_fail_at(1, true);
    check_loops(1000);
    crn_mem_fail_at(0, false);
}

static void no_more_threads_than_pieces(void **state)
{
    (void)state;
    creations_left = 1000;
    created = 0;
    check_loop(9, 300, 100);
    assert_int_equal(created, 2); /* and the caller */
    check_loop(9, 1, 100);
    check_loop(9, 0, 100);
    check_loop(1, 300, 1);
    assert_int_equal(created, 2);
}

static void count_begins(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    atomic_fetch_add((atomic_size_t *)ctx, end - begin + (begin == 0));
}

static void the_largest_count_does_not_wrap(void **state)
{
    atomic_size_t sum = 0;

    (void)state;
    creations_left = 1000;
    crn_parallel_for(3, SIZE_MAX, SIZE_MAX / 2, count_begins, &sum);
    assert_true(sum == 0); /* SIZE_MAX + 1 */
}

static void look_at_mask(void *ctx, size_t begin, size_t end, unsigned worker)
{
    sigset_t mask;

    (void)begin;
    (void)end;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    bool blocked = sigismember(&mask, SIGTERM) == 1;
    if (blocked != (worker != 0)) atomic_fetch_add((atomic_int *)ctx, 1);
}

static void signals_stay_with_the_host(void **state)
{
    atomic_int wrong = 0;
    sigset_t mask;

    (void)state;
    creations_left = 1000;
    crn_parallel_for(4, 1000, 1, look_at_mask, &wrong);
    assert_int_equal(wrong, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void inner(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    atomic_fetch_add((atomic_int *)ctx, (int)(end - begin));
}

static void outer(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    for (size_t i = begin; i < end; i++) crn_parallel_for(2, 10, 3, inner, ctx);
}

static void loops_nest(void **state)
{
    atomic_int visits = 0;

    (void)state;
    creations_left = 1000;
    crn_parallel_for(3, 20, 2, outer, &visits);
    assert_int_equal(visits, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_once),
        cmocka_unit_test(without_any_thread),
        cmocka_unit_test(with_fewer_threads_than_asked),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(no_more_threads_than_pieces),
        cmocka_unit_test(the_largest_count_does_not_wrap),
        cmocka_unit_test(signals_stay_with_the_host),
        cmocka_unit_test(loops_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
