/*
 * Group commit. Threads put their jobs into a queue; the first becomes the leader, runs all that wait in one
 * transaction, commits once for all, and hands the lead to the next that came meanwhile.
 *
 * Before it begins, a leader may wait a moment for those that wrote with the last group: they have just been
 * answered and are likely about to come again. It waits at most for a quarter of what a commit takes, and not
 * at all when the last job was alone, so a single thread is never slowed down.
 */
#include "storage/store_internal.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define GROUP_JOBS_MAX 1024u
#define GROUP_BYTES_MAX 16777216u /* further jobs go to the next group */
#define WAIT_NS_MIN 30000u        /* waking up takes longer than this is worth */
#define WAIT_NS_MAX 2000000u

struct crn_write_slot {
    const struct crn_write_job *job;
    cairn_status status;
    cairn_error error;
    bool ran;  /* successfully, in the transaction that is being tried */
    bool done; /* answered; guarded by the queue's mutex, as is `lead` */
    bool lead;
    pthread_cond_t wake;
    struct crn_write_slot *next;
};

/* The slots a leader has taken out of the queue, in order. */
struct group {
    struct crn_write_slot *first;
    size_t count;
};

void crn_queue_init(struct crn_write_queue *queue)
{
    pthread_condattr_t attributes;

    memset(queue, 0, sizeof *queue);
    queue->wait_for = SIZE_MAX;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
}

void crn_queue_release(struct crn_write_queue *queue)
{
    pthread_cond_destroy(&queue->arrived);
    pthread_mutex_destroy(&queue->mutex);
}

/* ---- the queue; its mutex is held ---- */

static void push(struct crn_write_queue *queue, struct crn_write_slot *slot)
{
    if (queue->last != NULL) {
        queue->last->next = slot;
    } else {
        queue->first = slot;
    }
    queue->last = slot;
    if (++queue->count >= queue->wait_for) pthread_cond_signal(&queue->arrived);
}

static struct group take_group(struct crn_write_queue *queue)
{
    struct group group = {.first = queue->first};
    struct crn_write_slot *last = NULL;

    while (queue->first != NULL && group.count < GROUP_JOBS_MAX) {
        last = queue->first;
        queue->first = last->next;
        group.count++;
    }
    if (last != NULL) last->next = NULL;
    if (queue->first == NULL) queue->last = NULL;
    queue->count -= group.count;
    return group;
}

/* Puts slots that were taken back to the front. */
static void put_back(struct crn_write_queue *queue, struct crn_write_slot *first)
{
    struct crn_write_slot *last = first;

    for (queue->count++; last->next != NULL; last = last->next) queue->count++;
    last->next = queue->first;
    queue->first = first;
    if (queue->last == NULL) queue->last = last;
}

static void await_company(struct crn_write_queue *queue)
{
    uint64_t wait_ns = queue->commit_ns / 4;

    if (wait_ns > WAIT_NS_MAX) wait_ns = WAIT_NS_MAX;
    if (queue->expected < 2 || queue->count >= queue->expected || wait_ns < WAIT_NS_MIN) return;
    const uint64_t deadline_ns = crn_clock_ns() + wait_ns;
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                      .tv_nsec = (long)(deadline_ns % 1000000000u)};
    queue->wait_for = queue->expected;
    while (queue->count < queue->expected &&
           pthread_cond_timedwait(&queue->arrived, &queue->mutex, &deadline) != ETIMEDOUT) {
        continue;
    }
    queue->wait_for = SIZE_MAX;
}

/* ---- running a group; the write lock is held ---- */

static void fail_slot(struct crn_write_slot *slot, cairn_status status, const cairn_error *error)
{
    slot->status = status;
    slot->error = *error;
}

static void fail_group(struct group *group, cairn_status status, const cairn_error *error)
{
    for (struct crn_write_slot *slot = group->first; slot != NULL; slot = slot->next) {
        if (slot->status == CAIRN_OK) fail_slot(slot, status, error);
    }
}

static cairn_status run_job(struct crn_txn *txn, struct crn_write_slot *slot)
{
    CRN_TRY(slot->job->run(txn, slot->job->ctx, &slot->error));
    return crn_txn_finish_job(txn, &slot->error);
}

static bool is_open(const struct crn_store *store)
{
    return !sqlite3_get_autocommit(store->writer.db);
}

/* Runs a job in a savepoint. A job that fails is taken back; false when that ended the whole transaction. */
static bool run_in_savepoint(struct crn_store *store, struct crn_write_slot *slot)
{
    const uint64_t sequence = store->txn.sequence;

    slot->status = crn_conn_exec(&store->writer, "SAVEPOINT job", &slot->error);
    if (slot->status == CAIRN_OK) {
        slot->status = run_job(&store->txn, slot);
        if (slot->status == CAIRN_OK)
            slot->status = crn_conn_exec(&store->writer, "RELEASE job", &slot->error);
    }
    slot->ran = slot->status == CAIRN_OK;
    if (slot->ran) return true;
    crn_txn_forget(&store->txn);
    store->txn.sequence = sequence;
    return is_open(store) && crn_conn_exec(&store->writer, "ROLLBACK TO job; RELEASE job", NULL) == CAIRN_OK;
}

static bool run_alone(struct crn_store *store, struct crn_write_slot *slot)
{
    slot->status = run_job(&store->txn, slot);
    slot->ran = slot->status == CAIRN_OK;
    return slot->ran;
}

/*
 * Runs the group's jobs in the transaction that is open. False when the transaction was lost to a failure;
 * the job that failed knows why, and the others are to be run again. Jobs beyond the limit of bytes go back
 * to the queue.
 */
static bool run_jobs(struct crn_store *store, struct group *group)
{
    const bool alone = group->count == 1;

    for (struct crn_write_slot *slot = group->first; slot != NULL; slot = slot->next) {
        if (slot->status != CAIRN_OK) continue; /* failed in an earlier try */
        if (!(alone ? run_alone(store, slot) : run_in_savepoint(store, slot))) return false;
        if (store->txn.bytes >= GROUP_BYTES_MAX && slot->next != NULL) {
            pthread_mutex_lock(&store->queue.mutex);
            put_back(&store->queue, slot->next);
            pthread_mutex_unlock(&store->queue.mutex);
            slot->next = NULL;
        }
    }
    return true;
}

static size_t count_ran(const struct group *group)
{
    size_t ran = 0;

    for (const struct crn_write_slot *slot = group->first; slot != NULL; slot = slot->next) ran += slot->ran;
    return ran;
}

static cairn_status commit(struct crn_store *store, cairn_error *err)
{
    struct crn_write_queue *queue = &store->queue;
    const uint64_t began_ns = crn_clock_ns();
    cairn_status status = crn_txn_commit(&store->txn, err);

    if (status != CAIRN_OK) return status;
    const uint64_t took_ns = crn_clock_ns() - began_ns;
    queue->commit_ns = queue->commit_ns == 0 ? took_ns : (queue->commit_ns * 3 + took_ns) / 4;
    atomic_fetch_add(&store->groups, 1);
    return CAIRN_OK;
}

static cairn_status begin(struct crn_store *store, cairn_error *err)
{
    CRN_TRY(crn_writer_ready(store, err));
    CRN_TRY(crn_txn_begin(&store->txn, err));
    if (crn_shared_attach(&store->shared)) return CAIRN_OK;
    cairn_status status =
        crn_shared_create(&store->shared, store->txn.sequence, err); /* its folder was deleted */
    if (status != CAIRN_OK) crn_txn_rollback(&store->txn);
    return status;
}

static void run_group(struct crn_store *store, struct group *group)
{
    cairn_error error = {0};
    cairn_status status;

    do {
        for (struct crn_write_slot *slot = group->first; slot != NULL; slot = slot->next) slot->ran = false;
        status = begin(store, &error);
        if (status != CAIRN_OK) {
            fail_group(group, status, &error);
            return;
        }
        if (run_jobs(store, group)) break;
        crn_txn_rollback(&store->txn);
    } while (group->count > 1);

    const size_t ran = count_ran(group);
    if (ran == 0) {
        crn_txn_rollback(&store->txn);
        return;
    }
    status = commit(store, &error);
    if (status != CAIRN_OK) {
        fail_group(group, status, &error);
        return;
    }
    atomic_fetch_add(&store->commits, ran);
    for (struct crn_write_slot *slot = group->first; slot != NULL; slot = slot->next) {
        if (slot->ran && slot->job->committed != NULL)
            slot->job->committed(slot->job->ctx, store->txn.sequence);
    }
    /* Last: whoever hears of the commit finds this process's memory up to date. */
    crn_shared_announce(&store->shared, store->txn.sequence);
}

/* ---- leading ---- */

/* Wakes all of the group; the leader's own slot is among them. Slots may vanish as soon as they are done. */
static void answer(struct crn_write_queue *queue, struct group *group)
{
    size_t answered = 0;

    pthread_mutex_lock(&queue->mutex);
    for (struct crn_write_slot *slot = group->first, *next; slot != NULL; slot = next) {
        next = slot->next;
        slot->done = true;
        pthread_cond_signal(&slot->wake);
        answered++;
    }
    queue->expected = answered + queue->count;
    pthread_mutex_unlock(&queue->mutex);
}

static void lead(struct crn_store *store)
{
    struct crn_write_queue *queue = &store->queue;
    cairn_error error;

    pthread_mutex_lock(&queue->mutex);
    await_company(queue);
    pthread_mutex_unlock(&queue->mutex);

    cairn_status status = crn_write_lock_acquire(&store->lock, store->busy_timeout_ms, &error);
    pthread_mutex_lock(&queue->mutex);
    struct group group = take_group(queue); /* after the lock: others have come while it was waited for */
    pthread_mutex_unlock(&queue->mutex);
    if (status != CAIRN_OK) {
        fail_group(&group, status, &error);
        answer(queue, &group);
        return;
    }
    run_group(store, &group);
    answer(queue, &group);
    crn_checkpoint_if_due(store);
    crn_write_lock_drop(&store->lock);
}

static void hand_over(struct crn_write_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    if (queue->first != NULL) {
        queue->first->lead = true;
        pthread_cond_signal(&queue->first->wake);
    } else {
        queue->led = false;
    }
    pthread_mutex_unlock(&queue->mutex);
}

cairn_status crn_store_write(struct crn_store *store, const struct crn_write_job *job, cairn_error *err)
{
    struct crn_write_queue *queue = &store->queue;
    struct crn_write_slot slot = {.job = job};

    if (store->read_only) return crn_error_set(err, CAIRN_READ_ONLY, "%s was opened read-only", store->path);
    pthread_cond_init(&slot.wake, NULL);
    pthread_mutex_lock(&queue->mutex);
    push(queue, &slot);
    while (queue->led && !slot.done && !slot.lead) pthread_cond_wait(&slot.wake, &queue->mutex);
    const bool leads = !slot.done;
    if (leads) queue->led = true;
    pthread_mutex_unlock(&queue->mutex);
    if (leads) {
        lead(store);
        hand_over(queue);
    }
    pthread_cond_destroy(&slot.wake);
    if (slot.status != CAIRN_OK && err != NULL) *err = slot.error;
    return slot.status;
}
