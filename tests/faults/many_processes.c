/*
 * Sixteen processes on one file. Each makes or finds the database by itself and inserts its rows one by one;
 * after each insert it finds that row at once, and whatever the others had acknowledged before it looked.
 * Some optimize, some close and open again meanwhile. CAIRN_TEST_SEEDS = inserts of each process.
 */
#include "tests/base/support.h"
#include "tests/faults/model.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 16u

struct shared {
    _Atomic uint32_t acknowledged[PROCESSES];
    _Atomic uint64_t sequence; /* the highest that any search has told */
    _Atomic bool failed;
    char message[MODEL_MESSAGE];
};

struct worker {
    unsigned index;
    struct crn_rng rng;
    cairn_db *db;
    cairn_collection *collection;
};

static struct shared *shared;
static char path[600];
static uint32_t inserts;

static _Noreturn void give_up(const struct worker *worker, const char *what, const cairn_error *err)
{
    if (!atomic_exchange(&shared->failed, true))
        snprintf(shared->message, sizeof shared->message, "process %u, row %u: %s: %s %s", worker->index,
                 shared->acknowledged[worker->index], what, err ? cairn_status_name(err->status) : "",
                 err ? err->message : "");
    _exit(1);
}

static void expect_ok(const struct worker *worker, const char *call, cairn_status status,
                      const cairn_error *err)
{
    if (status != CAIRN_OK) give_up(worker, call, err);
}

static void row_of(struct model_row *row, unsigned process, uint32_t i)
{
    uint32_t number = process * inserts + i;

    model_row(row, 0, number, number + 1);
}

static void open_database(struct worker *worker)
{
    cairn_open_options options = {
        .size = sizeof options, .tail_rows_max = 64, .threads = 1, .no_background = worker->index % 2};
    cairn_error err;

    expect_ok(worker, "cairn_open", cairn_open(path, &options, &worker->db, &err), &err);
    expect_ok(worker, "cairn_collection_open",
              cairn_collection_open(worker->db, "c0", model_options(0), &worker->collection, &err), &err);
}

static void close_database(struct worker *worker)
{
    cairn_collection_close(worker->collection);
    cairn_close(worker->db);
}

/* A row acknowledged before is the nearest to its own vector; the log's end never goes back, for anybody. */
static void find_row(struct worker *worker, const struct model_row *row, const char *whose)
{
    cairn_query query = {.size = sizeof query, .vector = row->vector, .k = 1};
    cairn_search_info info = {.size = sizeof info};
    uint64_t known = atomic_load(&shared->sequence);
    cairn_results *results;
    cairn_error err;
    char what[200];

    expect_ok(worker, "cairn_search", cairn_search(worker->collection, &query, &results, &err), &err);
    cairn_results_info(results, &info);
    const cairn_hit *hit = cairn_results_at(results, 0);
    if (!hit || strcmp(hit->id.text, row->id) != 0) {
        snprintf(what, sizeof what, "%s %s is not found: %s is", whose, row->id,
                 hit ? hit->id.text : "nothing");
        give_up(worker, what, NULL);
    }
    if (info.sequence < known) {
        snprintf(what, sizeof what, "a search saw %" PRIu64 " after another had seen %" PRIu64, info.sequence,
                 known);
        give_up(worker, what, NULL);
    }
    while (known < info.sequence && !atomic_compare_exchange_weak(&shared->sequence, &known, info.sequence))
        continue;
    cairn_results_free(results);
}

static void look_at_the_others(struct worker *worker)
{
    uint64_t acknowledged = 0, counted;
    unsigned other = (unsigned)crn_rng_below(&worker->rng, PROCESSES);
    uint32_t of_other = atomic_load(&shared->acknowledged[other]);
    struct model_row row;
    cairn_error err;
    char what[100];

    for (unsigned i = 0; i < PROCESSES; i++) acknowledged += atomic_load(&shared->acknowledged[i]);
    expect_ok(worker, "cairn_count", cairn_count(worker->collection, NULL, &counted, &err), &err);
    if (counted < acknowledged) {
        snprintf(what, sizeof what, "%" PRIu64 " rows of %" PRIu64 " are seen", counted, acknowledged);
        give_up(worker, what, NULL);
    }
    if (of_other == 0) return;
    row_of(&row, other, of_other - 1);
    find_row(worker, &row, "another's row");
}

static _Noreturn void work(unsigned index, uint64_t seed)
{
    struct worker worker = {.index = index};
    cairn_error err;

    crn_rng_init(&worker.rng, seed);
    open_database(&worker);
    for (uint32_t i = 0; i < inserts && !shared->failed; i++) {
        struct model_row row;
        cairn_pattern pattern;

        row_of(&row, index, i);
        pattern = model_pattern(&row);
        expect_ok(&worker, "cairn_insert", cairn_insert(worker.collection, &pattern, 1, &err), &err);
        atomic_store(&shared->acknowledged[index], i + 1);
        find_row(&worker, &row, "its own row");
        if (i % 8 == 0) look_at_the_others(&worker);
        if (index % 4 == 0 && i % 50 == 49)
            expect_ok(&worker, "cairn_optimize", cairn_optimize(worker.collection, NULL, NULL, &err), &err);
        if (index % 5 == 1 && i % 40 == 39) {
            close_database(&worker);
            open_database(&worker);
        }
    }
    close_database(&worker);
    _exit(0);
}

static void check_row(struct worker *worker, const struct model_row *row)
{
    const cairn_id id = {.text = row->id};
    cairn_patterns *patterns;
    cairn_error err;

    expect_ok(worker, "cairn_get", cairn_get(worker->collection, &id, 1, true, &patterns, &err), &err);
    const cairn_pattern *pattern = cairn_patterns_at(patterns, 0);
    if (!pattern || !pattern->id || strcmp(pattern->payload, row->payload) != 0 ||
        strcmp(pattern->text, row->text) != 0 ||
        memcmp(pattern->vector, row->vector, sizeof row->vector) != 0)
        give_up(worker, "a row is not as it was written", NULL);
    cairn_patterns_free(patterns);
}

static void print_finding(void *ctx, const char *message)
{
    (void)ctx;
    print_error("finding: %s\n", message);
}

static _Noreturn void check_all(void)
{
    struct worker worker = {.index = PROCESSES - 1};
    uint64_t counted, findings;
    cairn_error err;

    open_database(&worker);
    expect_ok(&worker, "cairn_count", cairn_count(worker.collection, NULL, &counted, &err), &err);
    if (counted != (uint64_t)PROCESSES * inserts) give_up(&worker, "rows are missing at the end", NULL);
    expect_ok(&worker, "cairn_verify", cairn_verify(worker.db, print_finding, NULL, NULL, &findings, &err),
              &err);
    if (findings != 0) give_up(&worker, "cairn_verify has findings", NULL);
    for (unsigned process = 0; process < PROCESSES; process++) {
        for (uint32_t i = 0; i < inserts; i++) {
            struct model_row row;
            row_of(&row, process, i);
            check_row(&worker, &row);
            if (i % 16 == process % 16) find_row(&worker, &row, "at the end");
        }
    }
    close_database(&worker);
    _exit(0);
}

static bool all_end_well(const pid_t *pids, unsigned count)
{
    bool well = true;

    for (unsigned i = 0; i < count; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (status != 0) well = false;
        if (WIFSIGNALED(status)) print_error("process %u died of signal %d\n", i, WTERMSIG(status));
    }
    return well;
}

static void all_see_what_each_has_written(void **state)
{
    uint64_t seed = model_first_seed();
    char *folder = model_folder();
    pid_t pids[PROCESSES];

    (void)state;
    assert_non_null(folder);
    inserts = model_seed_count(100);
    snprintf(path, sizeof path, "%s/memory.cairn", folder);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (unsigned i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) work(i, seed + i);
        assert_true(pids[i] > 0);
    }
    if (!all_end_well(pids, PROCESSES)) fail_msg("CAIRN_TEST_SEED=%" PRIu64 ": %s", seed, shared->message);
    pids[0] = fork();
    if (pids[0] == 0) check_all();
    if (!all_end_well(pids, 1)) fail_msg("CAIRN_TEST_SEED=%" PRIu64 ": %s", seed, shared->message);
    model_folder_remove(folder);
    munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_see_what_each_has_written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
