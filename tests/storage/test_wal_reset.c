/*
 * The WAL-reset race (docs/STORAGE.md): first SQLite alone is led into it, to know that the schedule is the
 * right one; then the store is led the same way and does not go.
 *
 * The schedule: the WAL is copied whole; a second checkpoint has read the WAL's header, and before it looks
 * how much has been copied a commit starts the WAL anew. It then notes as copied what was not. Between those
 * two steps SQLite calls xUnfetch of the database file if the header was new to it: there the test steps in.
 */
#include "storage/store_internal.h"
#include "tests/storage/store_fixture.h"

/* ---- stepping in ---- */

static sqlite3_io_methods stepping_methods;
static const sqlite3_io_methods *real_methods;
static void (*step_in)(void *ctx);
static void *step_ctx;

static int stepping_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    void (*step)(void *ctx) = step_in;

    step_in = NULL;
    if (step != NULL) step(step_ctx);
    return real_methods->xUnfetch(file, offset, page);
}

/* The connection's next checkpoint calls fn(ctx) in the middle. */
static void step_into(sqlite3 *db, void (*fn)(void *ctx), void *ctx)
{
    sqlite3_file *file;

    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    assert_true(file->pMethods->iVersion >= 3);
    if (file->pMethods != &stepping_methods) {
        real_methods = file->pMethods;
        stepping_methods = *real_methods;
        stepping_methods.xUnfetch = stepping_unfetch;
        file->pMethods = &stepping_methods;
    }
    step_in = fn;
    step_ctx = ctx;
}

/* ---- SQLite alone ---- */

static bool sqlite_has_the_fix(void)
{
    const int version = sqlite3_libversion_number();

    return version >= 3051003 || (version >= 3050007 && version < 3051000) ||
           (version >= 3044006 && version < 3045000);
}

static sqlite3 *open_bare(const char *path)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_autocheckpoint(db, 0);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", NULL, NULL, NULL),
                     SQLITE_OK);
    return db;
}

static void insert_bare(sqlite3 *db, int rows)
{
    char sql[200];

    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
             " INSERT INTO t(x) SELECT zeroblob(3000) FROM n",
             rows);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void commit_bare(void *ctx)
{
    insert_bare(ctx, 1);
}

static int count_not_ok(void *ctx, int columns, char **values, char **names)
{
    (void)columns;
    (void)names;
    if (strcmp(values[0], "ok") != 0) ++*(int *)ctx;
    return 0;
}

static void sqlite_alone_runs_into_the_race(void **state)
{
    struct fixture *f = *state;
    int damages = 0;

    sqlite3 *writer = open_bare(f->path);
    assert_int_equal(sqlite3_exec(writer, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3 *first = open_bare(f->path), *second = open_bare(f->path);
    assert_int_equal(sqlite3_exec(second, "SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
    insert_bare(writer, 200);
    assert_int_equal(sqlite3_wal_checkpoint_v2(first, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
                     SQLITE_OK);
    step_into(second, commit_bare, writer);
    sqlite3_wal_checkpoint_v2(second, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    assert_null(step_in); /* or the schedule was not followed */
    for (int i = 0; i < 300; i++) insert_bare(writer, 1);
    sqlite3_wal_checkpoint_v2(first, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    insert_bare(writer, 1); /* starts the WAL anew: what was not copied is gone */
    sqlite3_close(first);
    sqlite3_close(second);
    sqlite3_close(writer);

    sqlite3 *reader = open_bare(f->path);
    sqlite3_exec(reader, "PRAGMA integrity_check", count_not_ok, &damages, NULL);
    sqlite3_close(reader);
    print_message("SQLite %s: %d damages\n", sqlite3_libversion(), damages);
    assert_int_equal(damages > 0, !sqlite_has_the_fix());
}

/* ---- the store ---- */

static void put_rows(struct fixture *f, const char *name, int count)
{
    static char text[8000];

    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s%d", name, i);
        struct crn_record record = fixture_record(id);
        record.payload = text;
        OK(fixture_put(f, &record, false, ERR));
    }
}

/* A commit of another store, here where it would do the harm, does not get the lock. */
static void try_to_commit(void *ctx)
{
    struct fixture *f = ctx;
    struct crn_record record = fixture_record("in between");

    assert_status(fixture_put(f, &record, false, ERR), CAIRN_BUSY);
}

static void the_store_does_not(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    const struct crn_store_options options = {.lazy = true, .busy_timeout_ms = 20};

    fixture_open(f);
    fixture_create_notes(f, false);
    OK(crn_store_open(f->path, &options, &other.store, ERR));
    other.catalog = f->catalog;
    assert_int_equal(fixture_count(&other), 0);
    put_rows(&other, "first", 200);
    OK(crn_store_checkpoint(other.store, ERR)); /* the WAL is copied whole, and empty */
    put_rows(&other, "second", 100);
    step_into(f->store->writer.db, try_to_commit, &other);
    OK(crn_store_checkpoint(f->store, ERR));
    assert_null(step_in);
    put_rows(&other, "third", 300);
    step_into(f->store->writer.db, try_to_commit, &other);
    OK(crn_store_checkpoint(f->store, ERR));
    assert_null(step_in);
    put_rows(&other, "fourth", 10);
    OK(crn_store_checkpoint(other.store, ERR));
    put_rows(f, "fifth", 10);
    assert_int_equal(fixture_count(f), 620);
    fixture_verify_clean(f->store);
    fixture_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_bare, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(sqlite_alone_runs_into_the_race), TEST(the_store_does_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
