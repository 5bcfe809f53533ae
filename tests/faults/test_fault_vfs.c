/*
 * The fault VFS itself, under plain SQLite: what it promises to break, it breaks; and a database that syncs
 * loses nothing by a power cut, while one that does not sync loses something. Without the latter, tests of
 * power cuts prove nothing.
 */
#include "tests/faults/fault_vfs.h"

#include "base/clock.h"
#include "tests/base/support.h"
#include "tests/faults/fault_disk.h"

#include <sqlite3.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct crn_rng rng;
static char folder[512], path[600];

static int setup(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/cairn-vfs-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/db", folder);
    fault_vfs_reset();
    return 0;
}

static void unlink_all(void)
{
    static const char *const names[] = {"db", "db-wal", "db-shm", "db-journal"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char file[700];
        snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        unlink(file);
    }
}

static int teardown(void **state)
{
    (void)state;
    fault_vfs_reset();
    unlink_all();
    return rmdir(folder);
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? SQLITE_OK : sqlite3_extended_errcode(db);
}

static int try_open_db(const char *synchronous, sqlite3 **out_db)
{
    char sql[100];
    int status = sqlite3_open_v2(path, out_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, FAULT_VFS_NAME);

    if (status != SQLITE_OK) return status;
    snprintf(sql, sizeof sql, "PRAGMA synchronous=%s; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=5",
             synchronous);
    return run(*out_db, sql);
}

static sqlite3 *open_db(const char *synchronous)
{
    sqlite3 *db;

    assert_int_equal(try_open_db(synchronous, &db), SQLITE_OK);
    return db;
}

static int one_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    int value = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void calls_are_counted_and_delayed(void **state)
{
    struct fault_counts before, after;
    sqlite3 *db = open_db("FULL");

    (void)state;
    assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
    fault_vfs_counts(&before);
    fault_vfs_sync_delay_ms(20);
    uint64_t start = crn_clock_ns();
    assert_int_equal(run(db, "INSERT INTO t VALUES(zeroblob(3000))"), SQLITE_OK);
    uint64_t elapsed = crn_clock_ns() - start;
    fault_vfs_counts(&after);
    assert_int_equal(after.calls[FAULT_SYNC] - before.calls[FAULT_SYNC], 1);
    assert_true(after.calls[FAULT_WRITE] > before.calls[FAULT_WRITE]);
    assert_true(after.bytes_written - before.bytes_written >= 3000);
    assert_true(elapsed >= 20000000u);
    sqlite3_close(db);
}

static void each_plan_strikes(void **state)
{
    static const struct {
        struct fault_plan plan;
        int status;
    } cases[] = {
        {{.op = FAULT_WRITE, .nth = 1}, SQLITE_IOERR_WRITE},
        {{.op = FAULT_WRITE, .nth = 2, .code = SQLITE_FULL}, SQLITE_FULL},
        {{.op = FAULT_WRITE, .target = FAULT_WAL, .nth = 1, .short_write = true}, SQLITE_IOERR_WRITE},
        {{.op = FAULT_SYNC, .target = FAULT_WAL, .nth = 1}, SQLITE_IOERR_FSYNC},
        {{.op = FAULT_LOCK, .nth = 1, .code = SQLITE_BUSY},
         SQLITE_OK}, /* nobody locks the file once more in WAL mode */
        {{.op = FAULT_WRITE, .target = FAULT_MAIN, .nth = 1}, SQLITE_OK},
        {{.op = FAULT_ANY, .nth = 1}, SQLITE_IOERR_WRITE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        sqlite3 *db = open_db("FULL");

        assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
        fault_vfs_fail(&cases[i].plan);
        assert_int_equal(run(db, "INSERT INTO t VALUES(zeroblob(3000))"), cases[i].status);
        assert_int_equal(fault_vfs_matched() > 0, cases[i].status != SQLITE_OK);
        fault_vfs_fail(NULL);
        assert_int_equal(run(db, "INSERT INTO t VALUES(1)"), SQLITE_OK); /* it was for once */
        assert_int_equal(one_int(db, "SELECT count(*) FROM t"), cases[i].status == SQLITE_OK ? 2 : 1);
        sqlite3_close(db);
        unlink_all();
    }
}

static void forever_is_until_lifted(void **state)
{
    sqlite3 *db = open_db("FULL");

    (void)state;
    assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
    fault_vfs_fail(&(struct fault_plan){.op = FAULT_SYNC, .nth = 2, .forever = true});
    assert_int_equal(run(db, "INSERT INTO t VALUES(1)"), SQLITE_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(run(db, "INSERT INTO t VALUES(2)"), SQLITE_IOERR_FSYNC);
    assert_int_equal(fault_vfs_matched(), 4);
    fault_vfs_fail(NULL);
    assert_int_equal(run(db, "INSERT INTO t VALUES(3)"), SQLITE_OK);
    sqlite3_close(db);
    fault_vfs_fail(&(struct fault_plan){.op = FAULT_OPEN, .target = FAULT_MAIN, .nth = 1});
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, FAULT_VFS_NAME), SQLITE_CANTOPEN);
    sqlite3_close(db);
}

/* Inserts until the power goes; opens what is left. Returns the rows that are missing or too many, -1 for a
 * damaged file; one row more than acknowledged is right: its commit may have reached the disk. */
static int lose_power(const char *synchronous, bool after, uint64_t nth, uint64_t seed)
{
    sqlite3 *db = open_db(synchronous);
    int acknowledged = 0, left, wrong;

    assert_int_equal(run(db, "CREATE TABLE IF NOT EXISTS t(x)"), SQLITE_OK);
    assert_int_equal(run(db, "DELETE FROM t"), SQLITE_OK);
    fault_vfs_power_cut_at(FAULT_ANY, nth, after, seed);
    while (run(db, "INSERT INTO t VALUES(randomblob(5000))") == SQLITE_OK) acknowledged++;
    assert_true(fault_vfs_is_cut());
    assert_int_not_equal(one_int(db, "SELECT count(*) FROM t WHERE length(x) > 1"), acknowledged + 2);
    sqlite3_close(db);
    assert_int_equal(fault_vfs_reopen(), 0);

    if (try_open_db(synchronous, &db) != SQLITE_OK) {
        sqlite3_close(db);
        return -1;
    }
    left = one_int(db, "SELECT count(*) FROM t WHERE length(x) = 5000");
    wrong = left < acknowledged ? acknowledged - left : left - acknowledged - 1;
    if (wrong < 0) wrong = 0;
    if (one_int(db, "SELECT integrity_check <> 'ok' FROM pragma_integrity_check") != 0) wrong = -1;
    sqlite3_close(db);
    return wrong;
}

static void what_was_synced_survives(void **state)
{
    (void)state;
    fault_vfs_disk();
    for (int i = 0; i < 150; i++) {
        uint64_t seed = crn_rng_u64(&rng), nth = 1 + crn_rng_below(&rng, 150);

        if (lose_power("FULL", i % 2, nth, seed) != 0) fail_msg("seed %" PRIu64 ", call %" PRIu64, seed, nth);
    }
}

static void what_was_not_synced_is_lost_now_and_then(void **state)
{
    int lost = 0;

    (void)state;
    fault_vfs_disk();
    for (int i = 0; i < 40 && lost == 0; i++) { /* each loses with a probability of one half at least */
        sqlite3 *db = open_db("FULL");
        assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
        sqlite3_close(db);
        lost = lose_power("OFF", false, 1 + crn_rng_below(&rng, 100), crn_rng_u64(&rng));
        unlink_all();
        fault_vfs_reopen();
    }
    assert_int_not_equal(lost, 0);
}

static void nothing_works_without_power(void **state)
{
    sqlite3 *db, *other;

    (void)state;
    fault_vfs_disk();
    db = open_db("FULL");
    assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
    fault_vfs_power_cut(1);
    assert_int_not_equal(run(db, "INSERT INTO t VALUES(1)"), SQLITE_OK);
    assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, FAULT_VFS_NAME), SQLITE_CANTOPEN);
    sqlite3_close(other);
    assert_true(fault_vfs_reopen() > 0); /* not while a file is open */
    sqlite3_close(db);
    assert_int_equal(fault_vfs_reopen(), 0);
    db = open_db("FULL");
    assert_int_equal(one_int(db, "SELECT count(*) FROM t"), 0); /* the table was synced */
    sqlite3_close(db);
}

/* The disk by itself: a file of a synced and an unsynced part. Both ends of what may happen do happen. */
static void each_fate_comes(void **state)
{
    static const char old[] = "old", new[] = "newer";
    int seen_old = 0, seen_new = 0, seen_none = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        char bytes[16] = {0};
        struct fault_disk_file *file;
        bool synced = seed % 2;

        unlink_all();
        file = fault_disk_find(path);
        close(open(path, O_WRONLY | O_CREAT, 0644)); /* the real file, as the VFS would have made it */
        fault_disk_created(file);
        fault_disk_written(file, old, 3, 0);
        if (synced) fault_disk_synced(file);
        fault_disk_written(file, new, 5, 0);
        fault_disk_cut(seed);
        fault_disk_put_back();
        fault_disk_clear();
        int fd = open(path, O_RDONLY);
        if (fd < 0) {
            assert_false(synced);
            seen_none++;
            continue;
        }
        ssize_t size = read(fd, bytes, sizeof bytes);
        close(fd);
        if (size == 3 && memcmp(bytes, old, 3) == 0)
            seen_old++;
        else if (size == 5 && memcmp(bytes, new, 5) == 0)
            seen_new++;
        else
            assert_false(synced); /* an empty file at most */
    }
    assert_true(seen_old > 10 && seen_new > 10 && seen_none > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_are_counted_and_delayed, setup, teardown),
        cmocka_unit_test_setup_teardown(each_plan_strikes, setup, teardown),
        cmocka_unit_test_setup_teardown(forever_is_until_lifted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_synced_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_synced_is_lost_now_and_then, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_works_without_power, setup, teardown),
        cmocka_unit_test_setup_teardown(each_fate_comes, setup, teardown),
    };

    rng = test_rng();
    if (fault_vfs_register() != SQLITE_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
