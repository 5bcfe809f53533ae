/*
 * bench_insert: what a durable insert costs through the store, beside what SQLite itself takes for the same
 * bytes.
 *
 * Batches: 100 rows of 384 dimensions (1.5 KB) a transaction, synchronous=FULL. "bare" is one table, id TEXT
 * PRIMARY KEY and a blob, on 8 KiB pages in WAL mode with SQLite's own checkpoints; "store" is everything
 * Cairn keeps of such a row: the row, its vector, the log, digests. The two take turns, a few batches each,
 * so that a device that slows down does so for both; rates are over all turns. The device's sync, of a
 * written page, is measured in between.
 *
 * Threads: single rows, one thread and many, with each sync taking a given time longer (a VFS that sleeps),
 * so that what group commit gains does not depend on the device. It measures nothing of indexes and search.
 *
 *   bench_insert [--json] [--rows N] [--threads N] [--delay MS] [--folder PATH]
 */
#include "base/clock.h"
#include "base/rng.h"
#include "storage/store.h"
#include "tests/faults/fault_vfs.h"

#include <sqlite3.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIM 384
#define BATCH 100
#define TURN_BATCHES 10
#define SYNCS_A_TURN 5
#define THREADS_MAX 256

struct options {
    bool json;
    size_t rows;
    size_t threads;
    unsigned delay_ms;
    const char *folder;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_insert: %s: %s\n", what, why);
    exit(1);
}

static void must(cairn_status status, const char *what, const cairn_error *err)
{
    if (status != CAIRN_OK) die(what, err->message);
}

static void must_sqlite(sqlite3 *db, int code, const char *what)
{
    if (code != SQLITE_OK && code != SQLITE_DONE) die(what, sqlite3_errmsg(db));
}

static void make_path(const struct options *options, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", options->folder, name);
}

static void make_row(struct crn_rng *rng, float vector[DIM], char id[24], size_t number)
{
    for (size_t i = 0; i < DIM; i++) vector[i] = (float)crn_rng_normal(rng);
    snprintf(id, 24, "row-%012zu", number);
}

/* ---- the device ---- */

/* Seconds of one write of a page and its sync, appended to a file as a WAL is. */
static double sync_seconds(const struct options *options)
{
    static const char page[8192];
    char path[600];
    double seconds = 0;

    make_path(options, "sync", path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0) die("open", path);
    for (int i = 0; i < SYNCS_A_TURN; i++) {
        const uint64_t began_ns = crn_clock_ns();
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0) die("sync", path);
        seconds += (double)(crn_clock_ns() - began_ns) / 1e9;
    }
    close(fd);
    return seconds / SYNCS_A_TURN;
}

/* ---- bare SQLite ---- */

struct bare {
    sqlite3 *db;
    sqlite3_stmt *insert;
};

static void bare_exec(struct bare *bare, const char *sql)
{
    must_sqlite(bare->db, sqlite3_exec(bare->db, sql, NULL, NULL, NULL), sql);
}

static void bare_open(struct bare *bare, const struct options *options)
{
    char path[600];

    make_path(options, "bare.db", path);
    must_sqlite(bare->db, sqlite3_open(path, &bare->db), path);
    bare_exec(bare, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                    "CREATE TABLE rows(id TEXT PRIMARY KEY, vector BLOB)");
    must_sqlite(bare->db,
                sqlite3_prepare_v2(bare->db, "INSERT INTO rows VALUES(?1,?2)", -1, &bare->insert, NULL),
                "prepare");
}

static void bare_batch(struct bare *bare, struct crn_rng *rng, size_t first)
{
    float vector[DIM];
    char id[24];

    bare_exec(bare, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < BATCH; i++) {
        make_row(rng, vector, id, first + i);
        sqlite3_bind_text(bare->insert, 1, id, -1, SQLITE_STATIC);
        sqlite3_bind_blob(bare->insert, 2, vector, sizeof vector, SQLITE_STATIC);
        must_sqlite(bare->db, sqlite3_step(bare->insert), "insert");
        sqlite3_reset(bare->insert);
    }
    bare_exec(bare, "COMMIT");
}

static void bare_close(struct bare *bare)
{
    sqlite3_finalize(bare->insert);
    sqlite3_close(bare->db);
}

/* ---- the store ---- */

struct batch {
    const struct crn_catalog *catalog;
    struct crn_rng *rng;
    size_t first, count;
};

static cairn_status run_batch(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct batch *batch = ctx;
    float vector[DIM];
    char id[24];

    for (size_t i = 0; i < batch->count; i++) {
        make_row(batch->rng, vector, id, batch->first + i);
        const struct crn_vector_data data = {
            .space = batch->catalog->spaces[0].id, .data = vector, .size = sizeof vector};
        struct crn_record record = {.id = id,
                                    .id_len = strlen(id),
                                    .domain = "",
                                    .agent = "",
                                    .type = "pattern",
                                    .confidence = 0.5,
                                    .created_at_ms = 1,
                                    .version = 1,
                                    .vectors = &data,
                                    .vector_count = 1};
        cairn_status status = crn_txn_put(txn, batch->catalog, &record, false, err);
        if (status != CAIRN_OK) return status;
    }
    return CAIRN_OK;
}

static void store_batch(struct crn_store *store, struct batch *batch)
{
    const struct crn_write_job job = {.run = run_batch, .ctx = batch};
    cairn_error err;

    must(crn_store_write(store, &job, &err), "write", &err);
}

static cairn_status run_create(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

static struct crn_store *store_open(const struct options *options, const char *name, const char *vfs,
                                    struct crn_catalog *out_catalog)
{
    struct crn_space space = {.name = "", .dim = DIM, .index = "auto"};
    struct crn_catalog catalog = {.name = "rows", .spaces = &space, .space_count = 1};
    const struct crn_write_job job = {.run = run_create, .ctx = &catalog};
    const struct crn_store_options store_options = {.vfs = vfs};
    struct crn_store *store;
    struct crn_reader *reader;
    char path[600];
    cairn_error err;

    make_path(options, name, path);
    must(crn_store_open(path, &store_options, &store, &err), path, &err);
    must(crn_store_write(store, &job, &err), "create", &err);
    must(crn_store_read_begin(store, &reader, &err), "read", &err);
    must(crn_read_collection(reader, "rows", out_catalog, &err), "read", &err);
    crn_store_read_end(reader);
    return store;
}

/* ---- batches: the two in turn ---- */

static void measure_batches(const struct options *options)
{
    struct crn_catalog catalog;
    struct crn_store *store = store_open(options, "batches.cairn", NULL, &catalog);
    struct bare bare = {NULL, NULL};
    struct crn_rng bare_rng, store_rng;
    double bare_s = 0, store_s = 0, sync_s = 0;
    size_t rows = 0, turns = 0;

    bare_open(&bare, options);
    crn_rng_init(&bare_rng, 1);
    crn_rng_init(&store_rng, 1);
    for (; rows < options->rows; turns++) {
        sync_s += sync_seconds(options);
        const uint64_t t0 = crn_clock_ns();
        for (size_t b = 0; b < TURN_BATCHES; b++) bare_batch(&bare, &bare_rng, rows + b * BATCH);
        const uint64_t t1 = crn_clock_ns();
        for (size_t b = 0; b < TURN_BATCHES; b++) {
            struct batch batch = {&catalog, &store_rng, rows + b * BATCH, BATCH};
            store_batch(store, &batch);
        }
        const uint64_t t2 = crn_clock_ns();
        bare_s += (double)(t1 - t0) / 1e9;
        store_s += (double)(t2 - t1) / 1e9;
        rows += TURN_BATCHES * BATCH;
    }
    const double bare_rate = (double)rows / bare_s, store_rate = (double)rows / store_s,
                 sync_ms = sync_s / (double)turns * 1e3;
    if (options->json) {
        printf("{\"bench\":\"insert-batches\",\"rows\":%zu,\"dim\":%d,\"batch\":%d,\"sync_ms\":%.3f,"
               "\"bare_rows_s\":%.0f,"
               "\"store_rows_s\":%.0f,\"ratio\":%.3f}\n",
               rows, DIM, BATCH, sync_ms, bare_rate, store_rate, store_rate / bare_rate);
    } else {
        printf("%zu rows of dim %d in batches of %d, durable; a sync takes %.2f ms\n"
               "  bare SQLite %8.0f rows/s\n  store       %8.0f rows/s   %.0f %%\n",
               rows, DIM, BATCH, sync_ms, bare_rate, store_rate, store_rate / bare_rate * 100);
    }
    bare_close(&bare);
    crn_catalog_release(&catalog);
    crn_store_close(store);
}

/* ---- threads: single rows ---- */

struct inserter {
    struct crn_store *store;
    const struct crn_catalog *catalog;
    pthread_t thread;
    size_t number, rows;
};

static void *insert_rows(void *ctx)
{
    const struct inserter *inserter = ctx;
    struct crn_rng rng;

    crn_rng_init(&rng, inserter->number);
    for (size_t i = 0; i < inserter->rows; i++) {
        struct batch batch = {inserter->catalog, &rng, (inserter->number + 1) * 1000000 + i, 1};
        store_batch(inserter->store, &batch);
    }
    return NULL;
}

static double insert_rate(const struct options *options, size_t threads, size_t rows_each, double *out_group)
{
    struct crn_store_stats stats;
    cairn_error err;
    struct inserter inserters[THREADS_MAX];
    struct crn_catalog catalog;
    char name[40];

    snprintf(name, sizeof name, "threads-%zu.cairn", threads);
    struct crn_store *store = store_open(options, name, FAULT_VFS_NAME, &catalog);
    fault_vfs_sync_delay_ms(options->delay_ms);
    const uint64_t began_ns = crn_clock_ns();
    for (size_t i = 0; i < threads; i++) {
        inserters[i] = (struct inserter){.store = store, .catalog = &catalog, .number = i, .rows = rows_each};
        if (pthread_create(&inserters[i].thread, NULL, insert_rows, &inserters[i]) != 0)
            die("pthread_create", "failed");
    }
    for (size_t i = 0; i < threads; i++) pthread_join(inserters[i].thread, NULL);
    const double seconds = (double)(crn_clock_ns() - began_ns) / 1e9;
    fault_vfs_sync_delay_ms(0);
    must(crn_store_get_stats(store, &stats, &err), "stats", &err);
    *out_group = (double)stats.commits / (double)stats.groups;
    crn_catalog_release(&catalog);
    crn_store_close(store);
    return (double)(threads * rows_each) / seconds;
}

static void measure_threads(const struct options *options)
{
    const size_t rows = options->rows / 100 > 100 ? options->rows / 100 : 100;

    if (fault_vfs_register() != SQLITE_OK) die("the delaying VFS", "cannot be registered");
    double group;
    const double one = insert_rate(options, 1, rows, &group),
                 many = insert_rate(options, options->threads, rows, &group);
    if (options->json) {
        printf("{\"bench\":\"insert-threads\",\"delay_ms\":%u,\"threads\":%zu,\"one_rows_s\":%.0f,"
               "\"many_rows_s\":%.0f,"
               "\"ratio\":%.2f,\"rows_a_commit\":%.1f}\n",
               options->delay_ms, options->threads, one, many, many / one, group);
    } else {
        printf("single rows, a sync takes %u ms longer\n  1 thread   %8.0f rows/s\n"
               "  %zu threads %8.0f rows/s   %.1f times, %.1f rows a commit\n",
               options->delay_ms, one, options->threads, many, many / one, group);
    }
}

/* ---- the program ---- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static struct options read_options(int argc, char **argv)
{
    struct options options = {.rows = 20000, .threads = 16, .delay_ms = 4, .folder = "."};

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            options.json = true;
            continue;
        }
        if (value == NULL) die(argv[i], "a value is missing, or it is no option");
        if (strcmp(argv[i], "--rows") == 0) {
            options.rows = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--threads") == 0) {
            options.threads = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--delay") == 0) {
            options.delay_ms = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--folder") == 0) {
            options.folder = value;
        } else {
            die(argv[i], "no option");
        }
        i++;
    }
    if (options.threads < 1 || options.threads > THREADS_MAX) die("--threads", "1 to 256");
    return options;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    char folder[500];

    snprintf(folder, sizeof folder, "%s/bench-insert-XXXXXX", options.folder);
    if (mkdtemp(folder) == NULL) die("mkdtemp", folder);
    options.folder = folder;
    measure_batches(&options);
    measure_threads(&options);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
