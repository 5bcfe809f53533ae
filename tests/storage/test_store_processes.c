/* Several processes on one file: all rows arrive, a killed writer frees the lock, a busy one lets others
 * in. */
#include "tests/storage/store_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 5
#define ROWS_EACH 200

static char *program;

/* ---- what children do ---- */

static void open_notes(struct fixture *f, const char *path)
{
    snprintf(f->path, sizeof f->path, "%s", path);
    fixture_open(f);
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_collection(reader, "notes", &f->catalog, ERR));
    crn_store_read_end(reader);
}

static void put_rows(struct fixture *f, const char *name, int count)
{
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s-%d", name, i);
        struct crn_record record = fixture_record(id);
        record.domain = name;
        record.text = "some words";
        OK(fixture_put(f, &record, false, ERR));
        assert_true(fixture_find(f, id) > 0); /* its own writes are there at once */
        if (i % 50 == 7) OK(crn_store_checkpoint(f->store, ERR));
    }
}

static cairn_status run_hang(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;
    struct crn_record record = fixture_record("never");

    CRN_TRY(crn_txn_put(txn, &f->catalog, &record, false, err));
    if (write(STDOUT_FILENO, "!", 1) != 1) _exit(9);
    for (;;) pause();
}

static int child(const char *what, const char *path)
{
    struct fixture f = {.vfs = NULL};

    open_notes(&f, path);
    if (strcmp(what, "hang") == 0) {
        fixture_write(f.store, run_hang, &f, NULL);
    } else if (strcmp(what, "hog") == 0) {
        for (int i = 0;; i++) {
            char name[32];
            snprintf(name, sizeof name, "hog%d", i);
            put_rows(&f, name, 1);
            if (i == 0 && write(STDOUT_FILENO, "!", 1) != 1) return 9;
        }
    } else {
        put_rows(&f, what, ROWS_EACH);
    }
    crn_catalog_release(&f.catalog);
    fixture_close(&f);
    return 0;
}

/* ---- what the parent does ---- */

static pid_t start(const char *what, const char *path, int output)
{
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) return pid;
    if (output >= 0) dup2(output, STDOUT_FILENO);
    execl(program, program, what, path, (char *)NULL);
    _exit(127);
}

static void expect_exit(pid_t pid)
{
    int result;

    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

static cairn_status expect_next(void *ctx, const struct crn_log_entry *entry)
{
    uint64_t *last = ctx;

    assert_true(entry->sequence == *last + 1);
    *last = entry->sequence;
    return CAIRN_OK;
}

static void all_rows_arrive(void **state)
{
    struct fixture *f = *state;
    pid_t pids[PROCESSES];
    uint64_t last = 0;

    for (int p = 0; p < PROCESSES; p++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", p);
        pids[p] = start(name, f->path, -1);
    }
    put_rows(f, "parent", ROWS_EACH);
    for (int p = 0; p < PROCESSES; p++) expect_exit(pids[p]);
    assert_int_equal(fixture_count(f), (PROCESSES + 1) * ROWS_EACH);
    for (int p = 0; p < PROCESSES; p++) {
        for (int i = 0; i < ROWS_EACH; i++) {
            char id[32];
            snprintf(id, sizeof id, "p%d-%d", p, i);
            assert_true(fixture_find(f, id) > 0);
        }
    }
    assert_int_equal(crn_store_sequence(f->store), 1 + (PROCESSES + 1) * ROWS_EACH);
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_log(reader, 0, expect_next, &last, ERR));
    crn_store_read_end(reader);
    assert_int_equal(last, 1 + (PROCESSES + 1) * ROWS_EACH);
    fixture_verify_clean(f->store);
}

/* Starts a child, waits until it says that it is at work. */
static pid_t start_and_wait(const char *what, const char *path)
{
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    const pid_t pid = start(what, path, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void kill_child(pid_t pid)
{
    int result;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_true(WIFSIGNALED(result));
}

static void a_killed_writer_frees_the_lock(void **state)
{
    struct fixture *f = *state;
    struct fixture impatient = *f;
    const struct crn_store_options options = {.lazy = true, .busy_timeout_ms = 30};
    struct crn_record record = fixture_record("mine");

    const pid_t pid = start_and_wait("hang", f->path);
    OK(crn_store_open(f->path, &options, &impatient.store, ERR)); /* opening does not wait for writers */
    assert_status(fixture_put(&impatient, &record, false, ERR), CAIRN_BUSY);
    fixture_close(&impatient);
    kill_child(pid);
    record.local = 0;
    OK(fixture_put(f, &record, false, ERR));
    assert_int_equal(fixture_find(f, "never"), 0);
    assert_int_equal(fixture_count(f), 1);
    fixture_verify_clean(f->store);
}

static void a_busy_writer_lets_others_in(void **state)
{
    struct fixture *f = *state;

    const pid_t pid = start_and_wait("hog", f->path);
    put_rows(f, "parent", 30);
    kill_child(pid);
    put_rows(f, "alone", 1);
    fixture_verify_clean(f->store);
    fixture_reopen(f);
    fixture_verify_clean(f->store);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_rows_arrive),
        TEST(a_killed_writer_frees_the_lock),
        TEST(a_busy_writer_lets_others_in),
    };

    program = argv[0];
    if (argc == 3) return child(argv[1], argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
