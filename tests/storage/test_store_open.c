/* Opening: new, foreign, damaged, newer, read-only and moved files; what is not ours is never touched. */
#include "storage/path.h"
#include "storage/schema.h"
#include "tests/storage/store_fixture.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- files as bytes ---- */

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes read_file(const char *path)
{
    struct bytes bytes = {NULL, 0};
    struct stat info;
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    bytes.size = (size_t)info.st_size;
    bytes.data = malloc(bytes.size + 1);
    assert_int_equal(fread(bytes.data, 1, bytes.size, file), bytes.size);
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool has_folder(const struct fixture *f)
{
    char folder[600];

    snprintf(folder, sizeof folder, "%s.d", f->path);
    return exists(folder);
}

static cairn_status try_open(struct fixture *f, bool read_only, cairn_error *err)
{
    const struct crn_store_options options = {.read_only = read_only, .lazy = true, .busy_timeout_ms = 2000};

    return crn_store_open(f->path, &options, &f->store, err);
}

/* Opening is refused and leaves every byte as it was, and no folder beside it. */
static void expect_refused(struct fixture *f, cairn_status wanted)
{
    const struct bytes before = read_file(f->path);
    const bool had_folder = has_folder(f);

    for (int read_only = 0; read_only < 2; read_only++) {
        assert_status(try_open(f, read_only, ERR), wanted);
        assert_null(f->store);
        assert_non_null(strstr(fixture_error.message, f->path));
    }
    const struct bytes after = read_file(f->path);
    assert_int_equal(after.size, before.size);
    assert_memory_equal(after.data, before.data, before.size);
    if (!had_folder) assert_false(has_folder(f));
    free(before.data);
    free(after.data);
}

/* ---- what is not ours ---- */

static void foreign_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    unsigned char noise[20000];
    struct crn_rng rng = test_rng();
    static const size_t sizes[] = {1, 15, 16, 99, 100, 4096, sizeof noise};

    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)crn_rng_u64(&rng);
    noise[0] = 'X';
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        write_file(f->path, noise, sizes[i]);
        expect_refused(f, CAIRN_NOT_CAIRN);
    }
    memcpy(noise, "SQLite format 3", 16); /* the magic alone, with nothing of it behind */
    write_file(f->path, noise, sizeof noise);
    expect_refused(f, CAIRN_NOT_CAIRN);
    assert_int_equal(unlink(f->path), 0);
    fixture_raw(f, "CREATE TABLE theirs(x)");
    expect_refused(f, CAIRN_NOT_CAIRN);
    fixture_raw(f, "PRAGMA journal_mode=WAL");
    fixture_raw(f, "CREATE TABLE more(x)"); /* with a WAL that is not merged */
    expect_refused(f, CAIRN_NOT_CAIRN);
}

static void what_is_no_file_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(f->path, 0777), 0);
    assert_status(try_open(f, false, ERR), CAIRN_NOT_CAIRN);
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0666), 0);
    assert_status(try_open(f, false, ERR), CAIRN_NOT_CAIRN); /* and does not wait for a writer of the pipe */
    assert_false(has_folder(f));
}

static void put_row(struct fixture *f, const char *id)
{
    struct crn_record record = fixture_record(id);

    OK(fixture_put(f, &record, false, ERR));
}

static void damaged_files_are_not_replaced(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_create_notes(f, false);
    put_row(f, "a");
    fixture_close(f);
    const struct bytes whole = read_file(f->path);
    unsigned char *torn = malloc(whole.size);

    memcpy(torn, whole.data, whole.size); /* the header is gone */
    memset(torn, 0, 100);
    write_file(f->path, torn, whole.size);
    expect_refused(f, CAIRN_NOT_CAIRN);
    memcpy(torn, whole.data, whole.size); /* the schema's page is torn */
    memset(torn + 100, 0xee, 8092);
    write_file(f->path, torn, whole.size);
    expect_refused(f, CAIRN_CORRUPT);
    write_file(f->path, whole.data, 8192); /* all but the first page is gone */
    assert_status(try_open(f, false, ERR), CAIRN_CORRUPT);
    const struct bytes first_page = read_file(f->path);
    assert_int_equal(first_page.size, 8192);
    free(first_page.data);
    write_file(f->path, whole.data, 50);
    expect_refused(f, CAIRN_NOT_CAIRN);
    write_file(f->path, whole.data, whole.size);
    fixture_open(f);
    assert_int_equal(fixture_find(f, "a"), 1);
    free(torn);
    free(whole.data);
}

/* ---- new files ---- */

static void an_empty_file_becomes_a_database(void **state)
{
    struct fixture *f = *state;

    write_file(f->path, "", 0);
    assert_status(try_open(f, true, ERR), CAIRN_NOT_CAIRN);
    fixture_open(f);
    fixture_create_notes(f, true);
    put_row(f, "a");
    fixture_reopen(f);
    assert_int_equal(fixture_find(f, "a"), 1);
}

static void missing_files_are_made_only_when_wanted(void **state)
{
    struct fixture *f = *state;
    struct crn_store_options options = {.must_exist = true};
    struct crn_store *store;
    char path[1200], name[252];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/%s/%s", f->folder, name, name);
    assert_status(crn_store_open(path, NULL, &store, ERR), CAIRN_LIMIT); /* too long for SQLite */

    assert_status(crn_store_open(f->path, &options, &store, ERR), CAIRN_NO_FILE);
    options = (struct crn_store_options){.read_only = true};
    assert_status(crn_store_open(f->path, &options, &store, ERR), CAIRN_NO_FILE);
    assert_false(exists(f->path));
    assert_false(has_folder(f));
    snprintf(path, sizeof path, "%s/no/such/folder", f->folder);
    assert_status(crn_store_open(path, NULL, &store, ERR), CAIRN_NO_FILE);
    assert_status(crn_store_open("", NULL, &store, ERR), CAIRN_INVALID_ARGUMENT);
    assert_status(crn_store_open(NULL, NULL, &store, ERR), CAIRN_INVALID_ARGUMENT);
    snprintf(path, sizeof path, "%s/", f->folder);
    assert_status(crn_store_open(path, NULL, &store, ERR), CAIRN_NOT_CAIRN);
    fixture_open(f);
    assert_string_equal(crn_store_path(f->store), f->path);
    assert_true(has_folder(f));
    char aside[600];
    snprintf(aside, sizeof aside, "%s.d/new", f->path);
    assert_false(exists(aside));
}

/* Somebody died while making the database; what he left is no obstacle. */
static void a_half_made_database_is_made_anew(void **state)
{
    struct fixture *f = *state;
    char path[600];

    snprintf(path, sizeof path, "%s.d", f->path);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s.d/new", f->path);
    write_file(path, "half", 4);
    snprintf(path, sizeof path, "%s.d/new-wal", f->path);
    write_file(path, "half", 4);
    snprintf(path, sizeof path, "%s.d/shared", f->path);
    write_file(path, "short", 5);
    fixture_open(f);
    fixture_create_notes(f, true);
    put_row(f, "a");
    assert_int_equal(crn_store_sequence(f->store), 2);
    fixture_verify_clean(f->store);
}

static void links_lead_to_one_database(void **state)
{
    struct fixture *f = *state;
    struct crn_store *store;
    char link[600], other[600];

    snprintf(link, sizeof link, "%s/link", f->folder);
    assert_int_equal(symlink(f->path, link), 0);
    assert_status(crn_store_open(link, NULL, &store, ERR), CAIRN_NO_FILE); /* it leads nowhere yet */
    fixture_open(f);
    OK(crn_store_open(link, NULL, &store, ERR));
    assert_string_equal(crn_store_path(store), f->path);
    assert_string_equal(crn_store_folder(store), crn_store_folder(f->store));
    crn_store_close(store);
    snprintf(other, sizeof other, "%s.d/../memory.cairn", f->path);
    OK(crn_store_open(other, NULL, &store, ERR));
    assert_string_equal(crn_store_path(store), f->path);
    crn_store_close(store);
}

static void *open_from_thread(void *ctx)
{
    struct fixture *f = ctx;

    fixture_open(f);
    return NULL;
}

static void opening_at_once_makes_one_database(void **state)
{
    struct fixture *f = *state;
    struct fixture openers[8];
    pthread_t threads[8];
    unsigned char first[16], uuid[16];

    for (size_t i = 0; i < 8; i++) {
        openers[i] = *f;
        assert_int_equal(pthread_create(&threads[i], NULL, open_from_thread, &openers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    crn_store_uuid(openers[0].store, first);
    for (size_t i = 0; i < 8; i++) {
        crn_store_uuid(openers[i].store, uuid);
        assert_memory_equal(uuid, first, 16);
        fixture_close(&openers[i]);
    }
}

/* ---- versions ---- */

static void newer_files_are_refused(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_close(f);
    fixture_raw(f, "PRAGMA user_version=3"); /* in the WAL */
    assert_status(try_open(f, false, ERR), CAIRN_NEWER_FORMAT);
    assert_status(try_open(f, true, ERR), CAIRN_NEWER_FORMAT);
    fixture_raw(f, "PRAGMA wal_checkpoint(TRUNCATE)");
    expect_refused(f, CAIRN_NEWER_FORMAT);
    fixture_raw(f, "PRAGMA user_version=2");
    fixture_raw(f, "PRAGMA wal_checkpoint(TRUNCATE)");
    fixture_open(f);
}

static void migrations_happen_as_a_whole(void **state)
{
    static const struct crn_schema_step good[] = {{3, "CREATE TABLE second(x)"},
                                                  {4, "INSERT INTO second VALUES(3)"}};
    static const struct crn_schema_step bad[] = {{5, "CREATE TABLE fourth(x)"},
                                                 {6, "INSERT INTO nowhere VALUES(3)"}};
    struct fixture *f = *state;
    struct crn_conn conn;

    fixture_open(f);
    fixture_close(f);
    const struct crn_conn_options options = {.path = f->path, .busy_timeout_ms = 1000, .cache_kib = 100};
    OK(crn_conn_open(&conn, &options, ERR));
    OK(crn_schema_migrate_steps(&conn, good, COUNT_OF(good), ERR));
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA user_version"), 4);
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM second"), 1);
    OK(crn_schema_migrate_steps(&conn, good, COUNT_OF(good), ERR)); /* nothing left to do */
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM second"), 1);
    assert_status(crn_schema_migrate_steps(&conn, bad, COUNT_OF(bad), ERR), CAIRN_CORRUPT);
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA user_version"), 4);
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM sqlite_schema WHERE name='fourth'"),
                     0);
    assert_status(crn_schema_migrate_steps(&conn, good, 1, ERR), CAIRN_NEWER_FORMAT);
    crn_conn_close(&conn);
}

static void an_older_file_is_brought_up_to_date(void **state)
{
    struct fixture *f = *state;

    /* Version 0 is a file with nothing but its application id: what the first step starts from. */
    fixture_raw(f, "PRAGMA application_id=0x4361726e");
    assert_status(try_open(f, true, ERR), CAIRN_READ_ONLY);
    assert_status(try_open(f, false, ERR),
                  CAIRN_CORRUPT); /* no identity: nobody but a test makes such a file */
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA user_version"), CRN_SCHEMA_VERSION);
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM points"), 0);
}

static void collections_of_version_1_tell_when_they_changed(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_close(f);
    fixture_raw(f, "ALTER TABLE collections DROP COLUMN settings_seq");
    fixture_raw(f, "INSERT INTO meta VALUES('catalog_sequence', 1)");
    fixture_raw(f, "PRAGMA user_version=1");
    assert_status(try_open(f, true, ERR), CAIRN_READ_ONLY);
    fixture_open(f);
    assert_int_equal(fixture_raw_number(f->path, "PRAGMA user_version"), CRN_SCHEMA_VERSION);
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM meta WHERE key='catalog_sequence'"),
                     0);
    if (fixture_raw_number(f->path, "SELECT count(*) FROM collections") > 0)
        assert_int_equal(fixture_raw_number(f->path, "SELECT settings_seq FROM collections"), 1);
    fixture_verify_clean(f->store);
}

/* ---- file systems ---- */

static long answered_type;

static int answer_statfs(const char *path, struct statfs *out)
{
    if (statfs(path, out) != 0) return -1;
    out->f_type = answered_type;
    return 0;
}

static int refuse_statfs(const char *path, struct statfs *out)
{
    (void)path;
    (void)out;
    errno = EIO;
    return -1;
}

static void count_warnings(void *ctx, cairn_log_level level, const char *message)
{
    assert_non_null(strstr(message, "memory.cairn"));
    if (level == CAIRN_LOG_WARN) ++*(int *)ctx;
}

static void network_file_systems_are_refused(void **state)
{
    static const long refused[] = {0x6969,           0x517b,     (long)0xff534d42,
                                   (long)0xfe534d42, 0x00c36400, 0x0bd00bd0};
    static const long unknown[] = {0x01021997, 0x65735546};
    struct fixture *f = *state;
    int warnings = 0;
    const struct crn_store_options options = {.log = {.fn = count_warnings, .ctx = &warnings}};

    crn_path_set_statfs(answer_statfs);
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        answered_type = refused[i];
        assert_status(crn_store_open(f->path, &options, &f->store, ERR), CAIRN_NETWORK_FS);
        assert_false(exists(f->path));
        assert_false(has_folder(f));
    }
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        answered_type = unknown[i];
        OK(crn_store_open(f->path, &options, &f->store, ERR));
        fixture_close(f);
        assert_int_equal(warnings, i + 1);
    }
    crn_path_set_statfs(refuse_statfs);
    assert_status(crn_store_open(f->path, &options, &f->store, ERR), CAIRN_IO);
    crn_path_set_statfs(NULL);
}

/* ---- reading alone ---- */

/* It may see a commit before the writer has announced it: then it knows so, and no page is written. */
static void a_read_only_store_announces_to_itself(void **state)
{
    struct fixture *f = *state;
    const struct crn_store_options options = {.read_only = true};
    struct fixture reader = *f;

    fixture_open(f);
    fixture_create_notes(f, true);
    const uint64_t sequence = crn_store_sequence(f->store);
    OK(crn_store_open(f->path, &options, &reader.store, ERR));
    crn_store_announce(reader.store, sequence + 1);
    assert_int_equal(crn_store_sequence(reader.store), sequence + 1);
    assert_int_equal(crn_store_sequence(f->store), sequence);
    fixture_close(&reader);
    fixture_close(f);
}

static void a_read_only_store_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct fixture reader = *f;
    struct crn_record record = fixture_record("b");

    fixture_open(f);
    fixture_create_notes(f, true);
    put_row(f, "a");
    const struct crn_store_options options = {.read_only = true};
    OK(crn_store_open(f->path, &options, &reader.store, ERR));
    reader.catalog = f->catalog;
    assert_true(crn_store_read_only(reader.store));
    assert_int_equal(fixture_find(&reader, "a"), 1);
    assert_status(fixture_put(&reader, &record, false, ERR), CAIRN_READ_ONLY);
    assert_status(crn_store_checkpoint(reader.store, ERR), CAIRN_READ_ONLY);
    put_row(f, "c"); /* and sees what others write */
    assert_int_equal(fixture_find(&reader, "c"), 2);
    assert_int_equal(crn_store_sequence(reader.store), 3);
    fixture_verify_clean(reader.store);
    fixture_close(&reader);
    fixture_close(f);
    char folder[600];
    snprintf(folder, sizeof folder, "%s.d", f->path);
    fixture_remove_folder(folder);
    OK(crn_store_open(f->path, &options, &reader.store, ERR));
    assert_int_equal(crn_store_sequence(reader.store), 3);
    assert_false(has_folder(f));
    fixture_close(&reader);
}

static int as_nobody(struct fixture *f)
{
    struct crn_record record = fixture_record("b");

    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 10;
    if (try_open(f, false, ERR) != CAIRN_READ_ONLY) return 1;
    if (try_open(f, true, ERR) != CAIRN_OK) {
        print_error("%s\n", fixture_error.message);
        return 2;
    }
    if (fixture_find(f, "a") != 1) return 3;
    if (crn_store_sequence(f->store) != 2) return 4;
    if (fixture_put(f, &record, false, NULL) != CAIRN_READ_ONLY) return 5;
    fixture_close(f);
    return 0;
}

static void a_read_only_folder_can_be_read(void **state)
{
    struct fixture *f = *state;
    char folder[600], wal[600], shm[600];
    int result;

    fixture_open(f);
    fixture_create_notes(f, true);
    put_row(f, "a");
    fixture_close(f);
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    snprintf(shm, sizeof shm, "%s-shm", f->path);
    snprintf(folder, sizeof folder, "%s.d", f->path);
    for (int round = 0; round < 3; round++) {
        if (round == 1) { /* as copied from elsewhere: the file alone */
            unlink(wal);
            unlink(shm);
        }
        if (round == 2) fixture_remove_folder(folder);
        assert_int_equal(chmod(f->path, 0444), 0);
        assert_int_equal(chmod(f->folder, 0555), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) _exit(as_nobody(f));
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_int_equal(chmod(f->folder, 0755), 0);
        assert_int_equal(chmod(f->path, 0644), 0);
        assert_true(WIFEXITED(result));
        assert_int_equal(WEXITSTATUS(result), 0);
    }
}

/* ---- while it is open ---- */

static void a_deleted_folder_is_made_again(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    char folder[600];
    uint64_t sequence = 0;

    fixture_open(f);
    fixture_create_notes(f, true);
    fixture_open(&other);
    other.catalog = f->catalog;
    snprintf(folder, sizeof folder, "%s.d", f->path);
    fixture_remove_folder(folder);
    put_row(f, "a");
    assert_true(has_folder(f));
    put_row(&other, "b");
    put_row(f, "c");
    assert_int_equal(fixture_count(&other), 3);
    assert_int_equal(crn_store_sequence(other.store), 4);

    /* One that only reads notices within a second or so. */
    fixture_remove_folder(folder);
    put_row(f, "d");
    for (int i = 0; i < 500 && sequence != 5; i++) {
        sequence = crn_store_sequence(other.store);
        usleep(10000);
    }
    assert_int_equal(sequence, 5);
    fixture_verify_clean(f->store);
    fixture_close(&other);
}

static void a_file_moved_away_is_not_written(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("b");
    char moved[600];

    fixture_open(f);
    fixture_create_notes(f, true);
    put_row(f, "a");
    snprintf(moved, sizeof moved, "%s.moved", f->path);
    assert_int_equal(rename(f->path, moved), 0);
    assert_status(fixture_put(f, &record, false, ERR), CAIRN_IO);
    assert_non_null(strstr(fixture_error.message, "moved"));
    assert_int_equal(rename(moved, f->path), 0);
    record.local = 0;
    OK(fixture_put(f, &record, false, ERR));
    fixture_verify_clean(f->store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_bare, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(foreign_files_are_left_alone),
        TEST(what_is_no_file_is_refused),
        TEST(damaged_files_are_not_replaced),
        TEST(an_empty_file_becomes_a_database),
        TEST(missing_files_are_made_only_when_wanted),
        TEST(a_half_made_database_is_made_anew),
        TEST(links_lead_to_one_database),
        TEST(opening_at_once_makes_one_database),
        TEST(newer_files_are_refused),
        TEST(migrations_happen_as_a_whole),
        TEST(an_older_file_is_brought_up_to_date),
        TEST(collections_of_version_1_tell_when_they_changed),
        TEST(network_file_systems_are_refused),
        TEST(a_read_only_store_announces_to_itself),
        TEST(a_read_only_store_writes_nothing),
        TEST(a_read_only_folder_can_be_read),
        TEST(a_deleted_folder_is_made_again),
        TEST(a_file_moved_away_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
