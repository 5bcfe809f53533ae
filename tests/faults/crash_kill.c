/*
 * kill -9. A child works on a database and notes in shared memory what was acknowledged; it is killed at a
 * random moment, while opening, writing, building or closing; another child opens the database and compares.
 * The parent only forks, so that no child inherits a thread.
 */
#include "tests/base/support.h"
#include "tests/faults/model.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    struct model model;
    char message[MODEL_MESSAGE]; /* of a child that found something wrong */
};

static struct shared *shared;
static char path[600];

static _Noreturn void give_up(const char *what, const char *message)
{
    snprintf(shared->message, sizeof shared->message, "%s: %s", what, message);
    _exit(1);
}

static cairn_open_options random_options(struct crn_rng *rng)
{
    static const uint32_t tails[] = {0, 16, 100};

    return (cairn_open_options){.size = sizeof(cairn_open_options),
                                .durability = crn_rng_below(rng, 2) ? CAIRN_LAZY : CAIRN_DURABLE,
                                .no_background = crn_rng_below(rng, 2),
                                .tail_rows_max = tails[crn_rng_below(rng, COUNT_OF(tails))],
                                .threads = 1};
}

static _Noreturn void work(uint64_t seed)
{
    struct crn_rng rng;

    crn_rng_init(&rng, seed);
    for (;;) {
        struct model_session session;
        cairn_open_options options = random_options(&rng);
        cairn_error err = {0};

        if (model_open(&session, &shared->model, path, &options, &err) != CAIRN_OK)
            give_up("cairn_open", err.message);
        if (model_run(&session, &rng, (unsigned)crn_rng_below(&rng, 60), crn_rng_below(&rng, 3) == 0, &err) !=
            CAIRN_OK)
            give_up("a call", err.message);
        model_close(&session);
    }
}

static _Noreturn void check(uint64_t seed)
{
    struct model_session session;
    struct crn_rng rng;
    cairn_open_options options;
    char message[MODEL_MESSAGE] = "";
    cairn_error err = {0};

    crn_rng_init(&rng, seed);
    options = random_options(&rng);
    if (model_open(&session, &shared->model, path, &options, &err) != CAIRN_OK)
        give_up("cairn_open again", err.message);
    if (!model_check(&session, &rng, true, message)) give_up("after the kill", message);
    model_close(&session);
    _exit(0);
}

static pid_t start(void (*child)(uint64_t seed), uint64_t seed)
{
    pid_t pid = fork();

    if (pid == 0) child(seed);
    assert_true(pid > 0);
    return pid;
}

static void one_round(uint64_t seed, struct crn_rng *rng)
{
    useconds_t delay_us = (useconds_t)crn_rng_below(rng, 100000);
    pid_t pid = start(work, crn_rng_u64(rng));
    int status = 0;

    usleep(delay_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("CAIRN_TEST_SEED=%" PRIu64 ": the worker ended with 0x%x: %s", seed, status,
                 shared->message);
    pid = start(check, crn_rng_u64(rng));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("CAIRN_TEST_SEED=%" PRIu64 ": the check ended with 0x%x: %s", seed, status, shared->message);
}

static void no_kill_loses_what_was_answered(void **state)
{
    uint64_t seed = model_first_seed(), acknowledged = 0;
    unsigned count = model_seed_count(50);
    struct crn_rng rng;
    char *folder = NULL;

    (void)state;
    crn_rng_init(&rng, seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (unsigned i = 0; i < count; i++) {
        if (i % 10 == 0) { /* a new database now and then, so that being made is interrupted as well */
            model_folder_remove(folder);
            folder = model_folder();
            assert_non_null(folder);
            snprintf(path, sizeof path, "%s/memory.cairn", folder);
            memset(&shared->model, 0, sizeof shared->model);
        }
        one_round(seed, &rng);
        for (unsigned j = 0; i % 10 == 9 && j < MODEL_COLLECTIONS; j++)
            acknowledged += shared->model.collections[j].acknowledged;
    }
    print_message("%u rounds, %" PRIu64 " acknowledged calls\n", count, acknowledged);
    if (count >= 50) assert_true(acknowledged > count);
    model_folder_remove(folder);
    munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_kill_loses_what_was_answered)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
