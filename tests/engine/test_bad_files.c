/* What is refused because of the file: foreign, newer, cut, damaged, in the wrong place, not to be written. */
#include "tests/engine/rows.h"

#include "storage/path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define USER_VERSION_AT 60 /* in the header of a SQLite file: https://www.sqlite.org/fileformat.html, 1.3 */
#define APPLICATION_ID_AT 68
#define SKIPPED 77

static const float fine[2] = {1, 2};

/* A database with one row, and one.cairn, a copy in a single file. */
struct fixture {
    struct database database;
    char copy[400];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    cairn_collection *collection;

    quiet_database_create(&fixture->database);
    ok(cairn_collection_open(fixture->database.db, "notes",
                             CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .metric = CAIRN_METRIC_L2),
                             &collection, err));
    ok(cairn_insert(collection, CAIRN_OPTIONS(cairn_pattern, .id = "a", .vector = fine), 1, err));
    cairn_collection_close(collection);
    snprintf(fixture->copy, sizeof fixture->copy, "%s/one.cairn", fixture->database.folder);
    ok(cairn_backup(fixture->database.db, fixture->copy, NULL, NULL, err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    database_remove(&fixture->database);
    free(fixture);
    return 0;
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void patch_file(const char *path, long at, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static char *read_file(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    char *bytes = malloc(1u << 20);
    *out_size = fread(bytes, 1, 1u << 20, file);
    fclose(file);
    return bytes;
}

/* A file that is refused is left as it was, byte by byte, and nothing is made beside it. */
static void refuse_file(const char *path, cairn_status status, const char *text)
{
    size_t before_size, after_size;
    char *before = read_file(path, &before_size);
    cairn_db *db;

    refused(status, text, cairn_open(path, NULL, &db, err));
    assert_null(db);
    refused(status, text, cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .read_only = true), &db, err));
    char *after = read_file(path, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(before);
    free(after);
}

static void expect_row(cairn_db *db)
{
    cairn_collection *collection;

    ok(cairn_collection_open(db, "notes", NULL, &collection, err));
    expect_search(collection, CAIRN_OPTIONS(cairn_query, .vector = fine, .k = 2), "a");
    cairn_collection_close(collection);
}

static void foreign_files_are_left_alone(void **state)
{
    struct fixture *fixture = *state;
    char *longer = malloc(5000);

    memset(longer, 'x', 5000);
    write_file(fixture->copy, "hello", 5);
    refuse_file(fixture->copy, CAIRN_NOT_CAIRN, "one.cairn");
    write_file(fixture->copy, longer, 5000);
    refuse_file(fixture->copy, CAIRN_NOT_CAIRN, "one.cairn");
    free(longer);
}

static void another_programs_database_is_left_alone(void **state)
{
    struct fixture *fixture = *state;

    patch_file(fixture->copy, APPLICATION_ID_AT, "\x0f\x05\x51\x12", 4);
    refuse_file(fixture->copy, CAIRN_NOT_CAIRN, "0xf055112");
    patch_file(fixture->copy, APPLICATION_ID_AT, "\0\0\0\0", 4);
    refuse_file(fixture->copy, CAIRN_NOT_CAIRN, "one.cairn");
}

static void newer_files_are_left_alone(void **state)
{
    struct fixture *fixture = *state;

    patch_file(fixture->copy, USER_VERSION_AT, "\0\0\x03\xe8", 4);
    refuse_file(fixture->copy, CAIRN_NEWER_FORMAT, "schema version 1000");
    patch_file(fixture->copy, USER_VERSION_AT, "\xff\xff\xff\xff", 4);
    refuse_file(fixture->copy, CAIRN_NEWER_FORMAT, "schema version 4294967295");
}

/* However short: refused by one of two names, or (the empty file) made anew. Never a crash, never a wrong answer. */
static void cut_files_are_refused(void **state)
{
    static const off_t sizes[] = {1, 15, 16, 50, 67, 99, 100, 101, 511, 4095, 8191, 8192, 8193, 20000};
    struct fixture *fixture = *state;
    size_t whole_size;
    char *whole = read_file(fixture->copy, &whole_size);
    cairn_collection *collection;
    cairn_db *db;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        cairn_error error = {0};
        assert_true((size_t)sizes[i] < whole_size);
        write_file(fixture->copy, whole, (size_t)sizes[i]);
        cairn_status status = cairn_open(fixture->copy, NULL, &db, &error);
        if (status == CAIRN_OK) { /* what is missing may lie deeper */
            status = cairn_collection_open(db, "notes", NULL, &collection, &error);
            if (status == CAIRN_OK) {
                cairn_results *results;
                status = cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = fine, .k = 1),
                                      &results, &error);
                cairn_collection_close(collection);
            }
            cairn_close(db);
        }
        if (status != CAIRN_NOT_CAIRN && status != CAIRN_CORRUPT) {
            fail_msg("cut to %ld bytes: %s: %s", (long)sizes[i], cairn_status_name(status), error.message);
        }
        assert_int_not_equal(error.message[0], 0);
    }
    free(whole);
}

static void what_is_no_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[600];
    cairn_db *db;

    refused(CAIRN_NOT_CAIRN, fixture->database.folder, cairn_open(fixture->database.folder, NULL, &db, err));
    snprintf(path, sizeof path, "%s/nowhere/memory.cairn", fixture->database.folder);
    refused(CAIRN_NO_FILE, path, cairn_open(path, NULL, &db, err));
    snprintf(path, sizeof path, "%s/absent.cairn", fixture->database.folder);
    refused(CAIRN_NO_FILE, path,
            cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .must_exist = true), &db, err));
    refused(CAIRN_NO_FILE, path,
            cairn_open(path, CAIRN_OPTIONS(cairn_open_options, .read_only = true), &db, err));
    assert_int_not_equal(access(path, F_OK), 0);
}

static void long_paths_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[1024];
    size_t len = (size_t)snprintf(path, sizeof path, "%s", fixture->database.folder);
    cairn_db *db;

    while (len < 500) {
        len += (size_t)snprintf(path + len, sizeof path - len, "/%0200d", 0);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    snprintf(path + len, sizeof path - len, "/memory.cairn");
    refused(CAIRN_LIMIT, "500 bytes", cairn_open(path, NULL, &db, err));
    refused(CAIRN_LIMIT, "500 bytes", cairn_backup(fixture->database.db, path, NULL, NULL, err));
}

/* ---- backup and restore ---- */

static void backups_replace_nothing(void **state)
{
    struct fixture *fixture = *state;
    char absent[600], there[600];
    cairn_db *db;

    snprintf(absent, sizeof absent, "%s/absent", fixture->database.folder);
    snprintf(there, sizeof there, "%s/restored.cairn", fixture->database.folder);
    refused(CAIRN_EXISTS, "one.cairn", cairn_backup(fixture->database.db, fixture->copy, NULL, NULL, err));
    refused(CAIRN_NO_FILE, absent, cairn_restore(absent, there, NULL, NULL, err));
    refused(CAIRN_EXISTS, "one.cairn", cairn_restore(fixture->copy, fixture->copy, NULL, NULL, err));
    refused(CAIRN_EXISTS, "memory.cairn",
            cairn_restore(fixture->copy, fixture->database.path, NULL, NULL, err));
    ok(cairn_restore(fixture->copy, there, NULL, NULL, err));
    ok(cairn_open(there, NULL, &db, err));
    expect_row(db);
    cairn_close(db);
    expect_row(fixture->database.db);
}

static void damaged_backups_are_not_restored(void **state)
{
    struct fixture *fixture = *state;
    char path[600];
    size_t size;
    char *whole = read_file(fixture->copy, &size);

    snprintf(path, sizeof path, "%s/restored.cairn", fixture->database.folder);
    write_file(fixture->copy, whole, size / 2);
    refused(CAIRN_CORRUPT, "", cairn_restore(fixture->copy, path, NULL, NULL, err));
    assert_int_not_equal(access(path, F_OK), 0);
    write_file(fixture->copy, "hello", 5);
    refused(CAIRN_NOT_CAIRN, "one.cairn", cairn_restore(fixture->copy, path, NULL, NULL, err));
    assert_int_not_equal(access(path, F_OK), 0);
    free(whole);
}

/* ---- where the file is ---- */

static unsigned filesystem;

static int fake_statfs(const char *path, struct statfs *out)
{
    const int answer = statfs(path, out);
    out->f_type = (__typeof__(out->f_type))filesystem;
    return answer;
}

static void network_file_systems_are_refused(void **state)
{
    struct fixture *fixture = *state;
    cairn_db *db;

    crn_path_set_statfs(fake_statfs);
    filesystem = NFS_SUPER_MAGIC;
    refuse_file(fixture->copy, CAIRN_NETWORK_FS, "NFS");
    filesystem = 0xff534d42; /* CIFS */
    refuse_file(fixture->copy, CAIRN_NETWORK_FS, "one.cairn");
    filesystem = 0x65735546; /* FUSE: it may be one */
    fixture->database.log[0] = '\0';
    ok(cairn_open(fixture->copy,
                  CAIRN_OPTIONS(cairn_open_options, .log = database_log, .log_ctx = &fixture->database), &db,
                  err));
    cairn_close(db);
    crn_path_set_statfs(NULL);
    assert_non_null(strstr(fixture->database.log, "FUSE"));
}

/* ---- what may not be written ---- */

#define expect_that(condition)                                                      \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                               \
        }                                                                           \
    } while (0)

static int refuses_writes(cairn_db *db, cairn_collection *collection, const char *backup)
{
    const cairn_pattern row = {.size = sizeof row, .id = "a", .vector = fine};
    const cairn_id id = string_id("a");
    const cairn_scope scope = {.size = sizeof scope, .type = "pattern"};
    const cairn_trajectory trajectory = {.size = sizeof trajectory,
                                         .states = fine,
                                         .steps = 1,
                                         .state_dim = 2,
                                         .actions = "[1]",
                                         .rewards = (double[]){1}};
    const cairn_collection_options options = {.size = sizeof options, .dim = 2};
    cairn_error err;

    expect_that(cairn_upsert(collection, &row, 1, &err) == CAIRN_READ_ONLY);
    expect_that(strstr(err.message, "memory.cairn") != NULL);
    expect_that(cairn_delete(collection, &id, 1, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_delete_where(collection, &scope, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_collection_create(db, "new", &options, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_collection_drop(db, "notes", &err) == CAIRN_READ_ONLY);
    expect_that(cairn_payload_index_create(collection, "size", &err) == CAIRN_READ_ONLY);
    expect_that(cairn_payload_index_drop(collection, "size", &err) == CAIRN_READ_ONLY);
    expect_that(cairn_optimize(collection, NULL, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_rebuild(db, NULL, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_memory_optimize(collection, NULL, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_trajectory_insert(collection, &trajectory, NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_trajectory_delete(collection, "x", NULL, &err) == CAIRN_READ_ONLY);
    expect_that(cairn_backup(db, backup, NULL, NULL, &err) != CAIRN_OK); /* there is no room for it here */
    return 0;
}

static int answers_reads(cairn_db *db, cairn_collection *collection)
{
    const cairn_id id = string_id("a");
    cairn_patterns *patterns;
    cairn_results *results;
    uint64_t count = 0, findings = 1, cursor = 0;
    cairn_error err;
    char *json;

    expect_that(cairn_search(collection, CAIRN_OPTIONS(cairn_query, .vector = fine, .k = 2), &results,
                             &err) == CAIRN_OK);
    expect_that(cairn_results_count(results) == 1);
    cairn_results_free(results);
    expect_that(cairn_get(collection, &id, 1, true, &patterns, &err) == CAIRN_OK);
    expect_that(cairn_patterns_at(patterns, 0)->vector[1] == 2);
    cairn_patterns_free(patterns);
    expect_that(cairn_scroll(collection, NULL, &cursor, 5, false, &patterns, &err) == CAIRN_OK);
    expect_that(cairn_patterns_count(patterns) == 1 && cursor == 0);
    cairn_patterns_free(patterns);
    expect_that(cairn_count(collection, NULL, &count, &err) == CAIRN_OK && count == 1);
    expect_that(cairn_verify(db, NULL, NULL, NULL, &findings, &err) == CAIRN_OK && findings == 0);
    expect_that(cairn_stats(db, &json, &err) == CAIRN_OK);
    cairn_free(json);
    return 0;
}

static int open_read_only(const char *path, const char *backup)
{
    const cairn_open_options options = {.size = sizeof options, .read_only = true};
    cairn_collection *collection;
    cairn_error err;
    cairn_db *db;

    const cairn_status status = cairn_open(path, &options, &db, &err);
    if (status != CAIRN_OK) fprintf(stderr, "%s\n", err.message);
    expect_that(status == CAIRN_OK);
    expect_that(cairn_collection_open(db, "notes", NULL, &collection, &err) == CAIRN_OK);
    int failed = refuses_writes(db, collection, backup);
    if (failed == 0) failed = answers_reads(db, collection);
    cairn_collection_close(collection);
    cairn_close(db);
    return failed;
}

/* In a process of its own, as a user whom the system does not let write there. */
static int in_read_only_folder(const struct fixture *fixture)
{
    char backup[600];
    cairn_error err;
    cairn_db *db;

    if (geteuid() == 0 && setuid(65534) != 0) return SKIPPED;
    if (access(fixture->database.path, R_OK) != 0) return SKIPPED; /* a folder further up keeps us out */
    snprintf(backup, sizeof backup, "%s/backup", fixture->database.folder);
    expect_that(access(fixture->database.path, W_OK) != 0);
    expect_that(cairn_open(fixture->database.path, NULL, &db, &err) == CAIRN_READ_ONLY);
    expect_that(strstr(err.message, "memory.cairn") != NULL);
    return open_read_only(fixture->database.path, backup);
}

static int forbid_writing(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    return chmod(path, S_ISDIR(status->st_mode) ? 0555 : 0444);
}

static int allow_writing(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    return chmod(path, S_ISDIR(status->st_mode) ? 0755 : 0644);
}

static void read_only_folders_can_be_read(void **state)
{
    struct fixture *fixture = *state;
    const char *folder = fixture->database.folder;
    int answer = -1;

    cairn_close(fixture->database.db);
    fixture->database.db = NULL;
    assert_int_equal(nftw(folder, forbid_writing, 16, FTW_PHYS | FTW_DEPTH), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(in_read_only_folder(fixture));
    assert_int_equal(waitpid(child, &answer, 0), child);
    assert_int_equal(nftw(folder, allow_writing, 16, FTW_PHYS), 0);
    assert_true(WIFEXITED(answer));
    if (WEXITSTATUS(answer) == SKIPPED) {
        print_message("skipped: the folder %s cannot be reached by another user\n", folder);
        skip();
    }
    assert_int_equal(WEXITSTATUS(answer), 0);
}

static void opened_read_only_nothing_is_written(void **state)
{
    struct fixture *fixture = *state;
    char backup[600];

    snprintf(backup, sizeof backup, "%s/nowhere/backup", fixture->database.folder);
    assert_int_equal(open_read_only(fixture->database.path, backup), 0);
    expect_row(fixture->database.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(foreign_files_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_programs_database_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(newer_files_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_paths_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(backups_replace_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_backups_are_not_restored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(network_file_systems_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_only_folders_can_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(opened_read_only_nothing_is_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
