/*
 * Every call of SQLite's to the system and every allocation fails once, in turn: a fixed workload is run
 * until the Nth of a kind fails; the answer must be a status that names the cause, and when the fault is
 * lifted the same handles go on, with everything that was acknowledged. CAIRN_TEST_SEEDS = how many N of each
 * kind, spread evenly over the workload.
 */
#include "tests/base/support.h"
#include "tests/faults/fault_vfs.h"
#include "tests/faults/model.h"

#include "base/mem.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define STEPS 40

/* ---- SQLite's allocator ---- */

static sqlite3_mem_methods real_methods;
static _Atomic uint64_t sqlite_nth, sqlite_asked; /* nth 0: off */

static bool sqlite_refuses(void)
{
    uint64_t nth = atomic_load(&sqlite_nth);

    return nth != 0 && atomic_fetch_add(&sqlite_asked, 1) + 1 == nth;
}

static void *faulty_malloc(int size)
{
    return sqlite_refuses() ? NULL : real_methods.xMalloc(size);
}

static void *faulty_realloc(void *memory, int size)
{
    return sqlite_refuses() ? NULL : real_methods.xRealloc(memory, size);
}

static int replace_allocator(void)
{
    sqlite3_mem_methods methods;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_methods) != SQLITE_OK) return SQLITE_ERROR;
    methods = real_methods;
    methods.xMalloc = faulty_malloc;
    methods.xRealloc = faulty_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* ---- kinds of faults ---- */

enum source { FROM_VFS, FROM_CAIRN_MEMORY, FROM_SQLITE_MEMORY };

struct kind {
    const char *name;
    enum source source;
    struct fault_plan plan;
    cairn_status status; /* what a call may answer */
};

static const struct kind kinds[] = {
    {"open", FROM_VFS, {.op = FAULT_OPEN}, CAIRN_IO},
    {"read", FROM_VFS, {.op = FAULT_READ}, CAIRN_IO},
    {"write", FROM_VFS, {.op = FAULT_WRITE}, CAIRN_IO},
    {"short write to the WAL",
     FROM_VFS,
     {.op = FAULT_WRITE, .target = FAULT_WAL, .short_write = true},
     CAIRN_IO},
    {"full", FROM_VFS, {.op = FAULT_WRITE, .code = SQLITE_FULL, .short_write = true}, CAIRN_NO_SPACE},
    {"full from then on",
     FROM_VFS,
     {.op = FAULT_WRITE, .code = SQLITE_FULL, .forever = true},
     CAIRN_NO_SPACE},
    {"sync", FROM_VFS, {.op = FAULT_SYNC}, CAIRN_IO},
    {"sync from then on", FROM_VFS, {.op = FAULT_SYNC, .forever = true}, CAIRN_IO},
    {"truncate", FROM_VFS, {.op = FAULT_TRUNCATE}, CAIRN_IO},
    {"delete", FROM_VFS, {.op = FAULT_DELETE}, CAIRN_IO},
    {"size", FROM_VFS, {.op = FAULT_SIZE}, CAIRN_IO},
    {"access", FROM_VFS, {.op = FAULT_ACCESS}, CAIRN_IO},
    {"lock", FROM_VFS, {.op = FAULT_LOCK}, CAIRN_IO},
    {"map of the WAL index", FROM_VFS, {.op = FAULT_SHM}, CAIRN_IO},
    {"allocation", FROM_CAIRN_MEMORY, {0}, CAIRN_NO_MEMORY},
    {"allocation by SQLite", FROM_SQLITE_MEMORY, {0}, CAIRN_NO_MEMORY},
};

static void arm(const struct kind *kind, uint64_t nth)
{
    struct fault_plan plan = kind->plan;

    plan.nth = nth;
    if (kind->source == FROM_VFS) fault_vfs_fail(&plan);
    if (kind->source == FROM_CAIRN_MEMORY) crn_mem_fail_at(nth, false);
    atomic_store(&sqlite_asked, 0);
    if (kind->source == FROM_SQLITE_MEMORY) atomic_store(&sqlite_nth, nth);
}

/* How many calls of the kind there were since arm(); no fault comes after this. */
static uint64_t disarm(const struct kind *kind)
{
    uint64_t asked = kind->source == FROM_VFS            ? fault_vfs_matched()
                     : kind->source == FROM_CAIRN_MEMORY ? crn_mem_count()
                                                         : atomic_load(&sqlite_asked);

    fault_vfs_fail(NULL);
    crn_mem_fail_at(0, false);
    atomic_store(&sqlite_nth, 0);
    return asked;
}

/* ---- a run ---- */

static const struct kind *kind_now; /* for messages */
static uint64_t seed, nth_now;

static void fail_run(const char *what, const char *message)
{
    fail_msg("CAIRN_TEST_SEED=%" PRIu64 ": %s %" PRIu64 ": %s: %s", seed, kind_now->name, nth_now, what,
             message);
}

static void expect(const char *what, cairn_status status, const cairn_error *err)
{
    char message[600];

    if (status == CAIRN_OK || status == kind_now->status) return;
    snprintf(message, sizeof message, "%s instead of %s: %s", cairn_status_name(status),
             cairn_status_name(kind_now->status), err->message);
    fail_run(what, message);
}

/* Searches while the fault may still come: the right answer, or the right status. */
static void search_under_fault(struct model_session *session, struct crn_rng *rng)
{
    char message[MODEL_MESSAGE], status_text[40];

    snprintf(status_text, sizeof status_text, ": %s: ", cairn_status_name(kind_now->status));
    for (unsigned i = 0; i < MODEL_COLLECTIONS; i++) {
        if (!session->collections[i] || session->model->collections[i].call.under_way) continue;
        if (!model_check_search(session, i, rng, message) && !strstr(message, status_text))
            fail_run("a search under the fault", message);
    }
}

static void check(struct model_session *session, struct crn_rng *rng, const char *when)
{
    char message[MODEL_MESSAGE] = "";

    if (!model_check(session, rng, true, message)) fail_run(when, message);
}

/* Runs the workload with the nth call of the kind failing; returns how many of them there were. */
static uint64_t run(uint64_t nth)
{
    cairn_open_options options = {.size = sizeof options,
                                  .vfs = FAULT_VFS_NAME,
                                  .no_background = true,
                                  .tail_rows_max = 16,
                                  .threads = 1};
    static struct model model;
    struct model_session session;
    struct crn_rng rng;
    char *folder = model_folder(), path[600];
    cairn_error err = {0};
    cairn_status status;

    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    memset(&model, 0, sizeof model);
    crn_rng_init(&rng, seed);
    nth_now = nth;
    arm(kind_now, nth);
    status = model_open(&session, &model, path, &options, &err);
    expect("cairn_open", status, &err);
    if (status == CAIRN_OK) {
        status = model_run(&session, &rng, STEPS, false, &err);
        expect("a call", status, &err);
        search_under_fault(&session, &rng);
    }
    uint64_t asked = disarm(kind_now);
    if (!session.db && model_open(&session, &model, path, &options, &err) != CAIRN_OK)
        fail_run("cairn_open without the fault", err.message);
    if (model_refresh(&session, &err) != CAIRN_OK) fail_run("opening the collections", err.message);
    check(&session, &rng, "with the same handle");
    if (model_run(&session, &rng, 5, false, &err) != CAIRN_OK)
        fail_run("a call without the fault", err.message);
    model_close(&session);
    if (model_open(&session, &model, path, &options, &err) != CAIRN_OK)
        fail_run("cairn_open again", err.message);
    check(&session, &rng, "opened again");
    model_close(&session);
    model_folder_remove(folder);
    return asked;
}

static void each_fault_is_named_and_harms_nothing(void **state)
{
    unsigned samples = model_seed_count(12);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        kind_now = &kinds[i];
        uint64_t total = run(UINT64_MAX); /* none fails; all are counted */
        uint64_t count = samples < total ? samples : total;

        print_message("%s: %" PRIu64 " of %" PRIu64 "\n", kind_now->name, count, total);
        for (uint64_t j = 0; j < count; j++) run(1 + (j * total + (seed + j) % total) / count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_fault_is_named_and_harms_nothing)};

    if (replace_allocator() != SQLITE_OK || fault_vfs_register() != SQLITE_OK) return 1;
    seed = model_first_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
