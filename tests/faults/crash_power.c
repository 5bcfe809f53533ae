/*
 * Power cuts. For each seed: a random workload on a simulated disk, a power cut at a random call of SQLite's,
 * and a look at what is left: every acknowledged call and nothing of the rest, but for the one under way,
 * which is there as a whole or not at all. Then the same goes on with what was left.
 *
 * With CAIRN_LAZY acknowledged calls may be lost; then only the rows that are there must be whole, and the
 * file must be.
 *
 * Derived files are not on that disk (they do not pass through SQLite): they outlive the cut, newer than the
 * database may be, or are thrown away with their folder.
 */
#include "tests/base/support.h"
#include "tests/faults/fault_vfs.h"
#include "tests/faults/model.h"

#include <pthread.h>

struct run {
    uint64_t seed;
    struct crn_rng rng;
    bool lazy;
    char *folder;
    char path[600];
    struct model model;
    struct model_session session;
};

/* The library's log lines of the last opening, shown when a seed fails. */
static char log_lines[8192];
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void take_log(void *ctx, cairn_log_level level, const char *message)
{
    (void)ctx;
    pthread_mutex_lock(&log_mutex);
    size_t used = strlen(log_lines);
    snprintf(log_lines + used, sizeof log_lines - used, "  log %d: %s\n", (int)level, message);
    pthread_mutex_unlock(&log_mutex);
}

static cairn_open_options random_options(struct run *run)
{
    static const uint32_t tails[] = {0, 16, 100};

    log_lines[0] = '\0';
    return (cairn_open_options){.size = sizeof(cairn_open_options),
                                .vfs = FAULT_VFS_NAME,
                                .durability = run->lazy ? CAIRN_LAZY : CAIRN_DURABLE,
                                .no_background = crn_rng_below(&run->rng, 2),
                                .tail_rows_max = tails[crn_rng_below(&run->rng, COUNT_OF(tails))],
                                .threads = 1,
                                .log = take_log};
}

static void fail_seed(const struct run *run, const char *what, const char *message)
{
    fail_msg("CAIRN_TEST_SEED=%" PRIu64 " CAIRN_TEST_SEEDS=1: %s: %s\n%s", run->seed, what, message,
             log_lines);
}

/* An error is right once the power is gone, and it is one of input and output. */
static void expect_cut(const struct run *run, const char *what, cairn_status status, const cairn_error *err)
{
    char message[600];

    if (status == CAIRN_OK || (fault_vfs_is_cut() && status == CAIRN_IO)) return;
    snprintf(message, sizeof message, "%s%s: %s", cairn_status_name(status),
             fault_vfs_is_cut() ? " after the power cut" : " while nothing was wrong", err->message);
    fail_seed(run, what, message);
}

static void arm(struct run *run)
{
    uint64_t dice = crn_rng_below(&run->rng, 10), seed = crn_rng_u64(&run->rng);
    bool after = crn_rng_below(&run->rng, 2);

    if (dice < 7)
        fault_vfs_power_cut_at(FAULT_SYNC, 1 + crn_rng_below(&run->rng, 60), after, seed);
    else if (dice < 9)
        fault_vfs_power_cut_at(FAULT_WRITE, 1 + crn_rng_below(&run->rng, 400), after, seed);
    else
        fault_vfs_power_cut_at(FAULT_ANY, 1 + crn_rng_below(&run->rng, 800), after, seed);
}

static void work_until_the_cut(struct run *run)
{
    cairn_open_options options = random_options(run);
    cairn_error err = {0};
    cairn_status status;

    arm(run);
    status = model_open(&run->session, &run->model, run->path, &options, &err);
    expect_cut(run, "cairn_open", status, &err);
    if (status == CAIRN_OK) {
        status = model_run(&run->session, &run->rng, (unsigned)crn_rng_below(&run->rng, 60),
                           crn_rng_below(&run->rng, 4) == 0, &err);
        expect_cut(run, "a call", status, &err);
        if (!fault_vfs_is_cut()) fault_vfs_power_cut(crn_rng_u64(&run->rng));
        status = model_run(&run->session, &run->rng, 2, false,
                           &err); /* nothing may be acknowledged that is lost */
        expect_cut(run, "a call in the dark", status, &err);
        model_close(&run->session);
    }
    if (fault_vfs_reopen() != 0) fail_seed(run, "cairn_close", "files are still open");
}

static void lose_folder(struct run *run)
{
    char folder[700];

    snprintf(folder, sizeof folder, "%s.d", run->path);
    if (crn_rng_below(&run->rng, 4) == 0) model_folder_remove(strdup(folder));
}

static void check(struct run *run)
{
    cairn_open_options options = random_options(run);
    char message[MODEL_MESSAGE] = "";
    cairn_error err = {0};
    cairn_status status = model_open(&run->session, &run->model, run->path, &options, &err);

    if (status != CAIRN_OK) fail_seed(run, "cairn_open after the power cut", err.message);
    if (run->lazy && !model_adopt(&run->session, message)) fail_seed(run, "after the power cut", message);
    if (!model_check(&run->session, &run->rng, true, message)) fail_seed(run, "after the power cut", message);
    model_close(&run->session);
}

static uint64_t run_seed(uint64_t seed)
{
    static struct run run;
    uint64_t acknowledged = 0;

    memset(&run, 0, sizeof run);
    run.seed = seed;
    crn_rng_init(&run.rng, seed);
    run.lazy = crn_rng_below(&run.rng, 8) == 0;
    run.folder = model_folder();
    assert_non_null(run.folder);
    snprintf(run.path, sizeof run.path, "%s/memory.cairn", run.folder);
    fault_vfs_reset();
    fault_vfs_disk();
    for (uint64_t rounds = 1 + crn_rng_below(&run.rng, 3); rounds > 0; rounds--) {
        work_until_the_cut(&run);
        lose_folder(&run);
        check(&run);
    }
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) acknowledged += run.model.collections[i].acknowledged;
    fault_vfs_reset();
    model_folder_remove(run.folder);
    return acknowledged;
}

static void no_power_cut_loses_what_was_answered(void **state)
{
    uint64_t seed = model_first_seed(), acknowledged = 0;
    unsigned count = model_seed_count(200);

    (void)state;
    assert_int_equal(fault_vfs_register(), 0);
    for (unsigned i = 0; i < count; i++) acknowledged += run_seed(seed + i);
    print_message("%u seeds, %" PRIu64 " acknowledged calls\n", count, acknowledged);
    if (count >= 50) assert_true(acknowledged > count * 5u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_power_cut_loses_what_was_answered)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
