/* Backups of a live database, and restoring them. */
#include "storage/store_internal.h"
#include "tests/storage/store_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *in_folder(struct fixture *f, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", f->folder, name);
    return path;
}

/* Entries of the folder whose names begin so. */
static int count_files(struct fixture *f, const char *beginning)
{
    DIR *folder = opendir(f->folder);
    int count = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += strncmp(entry->d_name, beginning, strlen(beginning)) == 0;
    }
    closedir(folder);
    return count;
}

static cairn_status run_segments(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    const struct crn_segment_entry entry = {.file = "segment-1", .sequence = 1, .rows = 1};

    (void)ctx;
    return crn_txn_segments_set(txn, 1, &entry, 1, err);
}

static void put_rows(struct fixture *f, const char *name, int count)
{
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s%d", name, i);
        struct crn_record record = fixture_record(id);
        record.text = "some words to search for";
        record.payload = "{\"a\":[1,2,3]}";
        OK(fixture_put(f, &record, false, ERR));
    }
}

/* Opens another database of the folder with the same collection in it. */
static struct fixture open_beside(struct fixture *f, const char *name)
{
    struct fixture other = *f;

    in_folder(f, name, other.path);
    fixture_open(&other);
    return other;
}

/* ---- backups ---- */

static _Atomic bool stop_writing;

static void *write_on(void *ctx)
{
    for (int i = 0; !stop_writing; i++) {
        char name[32];
        snprintf(name, sizeof name, "during%d-", i);
        put_rows(ctx, name, 1);
    }
    return NULL;
}

struct telling {
    int calls, stop_at;
    uint64_t done, total;
};

static bool note_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    struct telling *telling = ctx;

    assert_non_null(phase);
    telling->done = done;
    telling->total = total;
    return ++telling->calls != telling->stop_at;
}

static void a_backup_is_one_moment_of_a_live_database(void **state)
{
    struct fixture *f = *state;
    struct telling telling = {0};
    char path[512];
    pthread_t thread;

    put_rows(f, "before", 2000);
    stop_writing = false;
    assert_int_equal(pthread_create(&thread, NULL, write_on, f), 0);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "copy%d", i);
        telling.calls = 0;
        const uint64_t before = fixture_count(f);
        OK(crn_store_backup(f->store, in_folder(f, name, path), note_progress, &telling, ERR));
        const uint64_t after = fixture_count(f);
        assert_true(telling.calls > 1);
        assert_true(telling.done == telling.total);
        assert_int_equal(count_files(f, name), 1);
        struct fixture copy = open_beside(f, name);
        const uint64_t rows = fixture_count(&copy);
        assert_true(rows >= before && rows <= after);
        fixture_verify_clean(copy.store);
        fixture_close(&copy);
    }
    stop_writing = true;
    pthread_join(thread, NULL);
    fixture_verify_clean(f->store);
}

static void a_backup_replaces_nothing(void **state)
{
    struct fixture *f = *state;
    char path[512];

    put_rows(f, "a", 10);
    assert_status(crn_store_backup(f->store, f->path, NULL, NULL, ERR), CAIRN_EXISTS);
    OK(crn_store_backup(f->store, in_folder(f, "copy", path), NULL, NULL, ERR));
    put_rows(f, "b", 10);
    assert_status(crn_store_backup(f->store, path, NULL, NULL, ERR), CAIRN_EXISTS);
    assert_status(crn_store_backup(f->store, in_folder(f, "no/folder", path), NULL, NULL, ERR),
                  CAIRN_NO_FILE);
    struct fixture copy = open_beside(f, "copy");
    assert_int_equal(fixture_count(&copy), 10);
    fixture_close(&copy);
}

static void a_cancelled_backup_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct telling telling = {.stop_at = 2};
    char path[512];

    put_rows(f, "a", 3000);
    assert_status(crn_store_backup(f->store, in_folder(f, "copy", path), note_progress, &telling, ERR),
                  CAIRN_CANCELLED);
    assert_int_equal(count_files(f, "copy"), 0);
    telling = (struct telling){.stop_at = 3};
    OK(crn_store_backup(f->store, path, NULL, NULL, ERR));
    assert_status(crn_store_restore(path, in_folder(f, "restored", path), note_progress, &telling, ERR),
                  CAIRN_NO_FILE);
    in_folder(f, "restored", path);
    char copy[512];
    assert_status(crn_store_restore(in_folder(f, "copy", copy), path, note_progress, &telling, ERR),
                  CAIRN_CANCELLED);
    assert_int_equal(count_files(f, "restored"), 0);
}

/* ---- restoring ---- */

static void a_restored_database_is_its_own(void **state)
{
    struct fixture *f = *state;
    char copy[512], path[512];
    unsigned char original_uuid[16], uuid[16];

    put_rows(f, "a", 50);
    OK(fixture_write(f->store, run_segments, NULL, ERR));
    crn_store_uuid(f->store, original_uuid);
    OK(crn_store_backup(f->store, in_folder(f, "copy", copy), NULL, NULL, ERR));
    put_rows(f, "b", 50);
    OK(crn_store_restore(copy, in_folder(f, "restored", path), NULL, NULL, ERR));
    assert_int_equal(count_files(f, "copy"), 1); /* nothing is left beside the backup */
    assert_int_equal(count_files(f, "restored"), 1);
    assert_status(crn_store_restore(copy, path, NULL, NULL, ERR), CAIRN_EXISTS);
    assert_status(crn_store_restore(copy, f->path, NULL, NULL, ERR), CAIRN_EXISTS);

    struct fixture restored = open_beside(f, "restored");
    assert_int_equal(fixture_count(&restored), 50);
    crn_store_uuid(restored.store, uuid);
    assert_memory_not_equal(uuid, original_uuid, 16);
    assert_int_equal(fixture_raw_number(path, "SELECT count(*) FROM segments"), 0);
    assert_int_equal(fixture_raw_number(f->path, "SELECT count(*) FROM segments"), 1);
    fixture_verify_clean(restored.store);
    put_rows(&restored, "c", 5);
    assert_int_equal(fixture_count(&restored), 55);
    assert_int_equal(fixture_count(f), 100);
    fixture_close(&restored);
}

static void a_backup_with_a_wal_is_read_with_it(void **state)
{
    struct fixture *f = *state;
    char path[512];

    put_rows(f, "a", 20); /* all of it in the WAL of the open database */
    OK(crn_store_restore(f->path, in_folder(f, "restored", path), NULL, NULL, ERR));
    struct fixture restored = open_beside(f, "restored");
    assert_int_equal(fixture_count(&restored), 20);
    fixture_close(&restored);
}

/* A file read as immutable, because nobody was writing it, until somebody is. */
static void a_file_without_a_wal_is_read_until_one_appears(void **state)
{
    struct fixture *f = *state;
    struct fixture quiet = *f;
    char wal[600];

    put_rows(f, "a", 5);
    fixture_close(f);
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(remove(wal), 0); /* empty */
    OK(crn_store_open_private(f->path, NULL, &quiet.store, ERR));
    assert_true(quiet.store->immutable);
    assert_int_equal(fixture_count(&quiet), 5);
    assert_int_equal(count_files(f, "memory.cairn-wal"), 0);
    fixture_open(f);
    put_rows(f, "b", 5);
    assert_int_equal(fixture_count(&quiet), 10);
    assert_false(quiet.store->immutable);
    fixture_close(&quiet);
}

static void flip_byte(const char *path, off_t offset)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseeko(file, offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseeko(file, offset, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 0x40, file), EOF);
    fclose(file);
}

/* The place of a byte string in a file. */
static off_t find_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    struct stat info;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    char *data = malloc((size_t)info.st_size);
    assert_int_equal(fread(data, 1, (size_t)info.st_size, file), info.st_size);
    fclose(file);
    const char *found = memmem(data, (size_t)info.st_size, bytes, size);
    assert_non_null(found);
    const off_t offset = found - data;
    free(data);
    return offset;
}

static void damaged_backups_are_refused(void **state)
{
    struct fixture *f = *state;
    char copy[512], path[512];
    static const char noise[5000] = "no database";

    put_rows(f, "a", 50);
    OK(crn_store_backup(f->store, in_folder(f, "copy", copy), NULL, NULL, ERR));
    in_folder(f, "restored", path);

    /* One bit of a vector, which no structure of SQLite notices. */
    const off_t vector = find_bytes(copy, fixture_floats, 16);
    flip_byte(copy, vector + 3);
    assert_status(crn_store_restore(copy, path, NULL, NULL, ERR), CAIRN_CORRUPT);
    assert_non_null(strstr(fixture_error.message, "vector"));
    flip_byte(copy, vector + 3);
    flip_byte(copy, 8192 * 3 + 5); /* a page's own structure */
    assert_status(crn_store_restore(copy, path, NULL, NULL, ERR), CAIRN_CORRUPT);
    flip_byte(copy, 8192 * 3 + 5);
    flip_byte(copy, 63); /* the version */
    assert_status(crn_store_restore(copy, path, NULL, NULL, ERR), CAIRN_NEWER_FORMAT);
    flip_byte(copy, 63);
    OK(crn_store_restore(copy, path, NULL, NULL, ERR));
    assert_int_equal(unlink(path), 0);

    FILE *file = fopen(in_folder(f, "noise", copy), "wb");
    assert_int_equal(fwrite(noise, 1, sizeof noise, file), sizeof noise);
    fclose(file);
    assert_status(crn_store_restore(copy, path, NULL, NULL, ERR), CAIRN_NOT_CAIRN);
    assert_status(crn_store_restore(in_folder(f, "nothing", copy), path, NULL, NULL, ERR), CAIRN_NO_FILE);
    assert_int_equal(count_files(f, "restored"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_one_moment_of_a_live_database),
        TEST(a_backup_replaces_nothing),
        TEST(a_cancelled_backup_leaves_nothing),
        TEST(a_restored_database_is_its_own),
        TEST(a_backup_with_a_wal_is_read_with_it),
        TEST(a_file_without_a_wal_is_read_until_one_appears),
        TEST(damaged_backups_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
