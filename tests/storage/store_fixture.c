#include "tests/storage/store_fixture.h"

#include "base/mem.h"

#include <ftw.h>
#include <unistd.h>

_Thread_local cairn_error fixture_error;
const float fixture_floats[8] = {1, 2, 3, 4, 5, 6, 7, 8};

void fixture_expect(cairn_status status, cairn_status wanted, const cairn_error *err, const char *call,
                    const char *file, int line)
{
    if (status == wanted) return;
    print_error("%s answers %s, not %s: %s\n", call, cairn_status_name(status), cairn_status_name(wanted),
                err->message);
    _fail(file, line);
}

/* ---- folders and stores ---- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void fixture_remove_folder(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int fixture_setup_bare(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *parent = getenv("TMPDIR");

    snprintf(fixture->folder, sizeof fixture->folder, "%s/cairn-store-XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(fixture->folder) == NULL) return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/memory.cairn", fixture->folder);
    *state = fixture;
    return 0;
}

void fixture_open(struct fixture *fixture)
{
    const struct crn_store_options options = {
        .vfs = fixture->vfs, .lazy = !fixture->durable, .busy_timeout_ms = 20000};

    OK(crn_store_open(fixture->path, &options, &fixture->store, ERR));
}

void fixture_close(struct fixture *fixture)
{
    crn_store_close(fixture->store);
    fixture->store = NULL;
}

void fixture_reopen(struct fixture *fixture)
{
    fixture_close(fixture);
    fixture_open(fixture);
}

static cairn_status run_create(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

void fixture_create_notes(struct fixture *fixture, bool lexical)
{
    struct crn_space spaces[2] = {
        {.name = "",
         .dim = NOTES_DIM,
         .metric = CAIRN_METRIC_COSINE,
         .quantization = CAIRN_QUANTIZATION_NONE,
         .index = "auto"},
        {.name = "small",
         .dim = SMALL_DIM,
         .metric = CAIRN_METRIC_L2,
         .quantization = CAIRN_QUANTIZATION_SCALAR,
         .index = "flat",
         .model = "m1"},
    };
    struct crn_catalog catalog = {
        .name = "notes", .lexical = lexical, .metadata = "{\"a\":1}", .spaces = spaces, .space_count = 2};

    OK(fixture_write(fixture->store, run_create, &catalog, ERR));
    struct crn_reader *reader = fixture_reader(fixture->store);
    OK(crn_read_collection(reader, "notes", &fixture->catalog, ERR));
    crn_store_read_end(reader);
}

int fixture_setup(void **state)
{
    if (fixture_setup_bare(state) != 0) return -1;
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_create_notes(fixture, true);
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture_close(fixture);
    crn_catalog_release(&fixture->catalog);
    fixture_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

/* ---- writing ---- */

cairn_status fixture_write(struct crn_store *store, fixture_run run, void *ctx, cairn_error *err)
{
    const struct crn_write_job job = {.run = run, .ctx = ctx};

    return crn_store_write(store, &job, err);
}

struct put {
    struct fixture *fixture;
    struct crn_record *record;
    bool vectors_unchanged;
    uint32_t local;
};

static cairn_status run_put(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct put *put = ctx;

    put->record->local = put->local; /* a job may be run again */
    return crn_txn_put(txn, &put->fixture->catalog, put->record, put->vectors_unchanged, err);
}

cairn_status fixture_put(struct fixture *fixture, struct crn_record *record, bool vectors_unchanged,
                         cairn_error *err)
{
    struct put put = {fixture, record, vectors_unchanged, record->local};

    return fixture_write(fixture->store, run_put, &put, err);
}

static cairn_status run_delete(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct put *put = ctx;

    return crn_txn_delete(txn, &put->fixture->catalog, put->local, err);
}

cairn_status fixture_delete(struct fixture *fixture, uint32_t local, cairn_error *err)
{
    struct put put = {.fixture = fixture, .local = local};

    return fixture_write(fixture->store, run_delete, &put, err);
}

/* The vector points into static memory; tests know the id of the default space to be the first, 1. */
struct crn_record fixture_record(const char *id)
{
    static const struct crn_vector_data vector = {
        .space = 1, .data = fixture_floats, .size = NOTES_DIM * sizeof(float)};

    return (struct crn_record){.id = id,
                               .id_len = strlen(id),
                               .domain = "",
                               .agent = "",
                               .type = "pattern",
                               .confidence = 0.5,
                               .created_at_ms = 1000,
                               .version = 1,
                               .vectors = &vector,
                               .vector_count = 1};
}

/* ---- reading ---- */

struct crn_reader *fixture_reader(struct crn_store *store)
{
    struct crn_reader *reader = NULL;

    OK(crn_store_read_begin(store, &reader, ERR));
    return reader;
}

uint32_t fixture_find(struct fixture *fixture, const char *id)
{
    struct crn_reader *reader = fixture_reader(fixture->store);
    uint32_t local;

    OK(crn_read_find(reader, &fixture->catalog, CAIRN_ID_STRING, id, strlen(id), 0, &local, ERR));
    crn_store_read_end(reader);
    return local;
}

uint64_t fixture_count(struct fixture *fixture)
{
    struct crn_reader *reader = fixture_reader(fixture->store);
    uint64_t rows;

    OK(crn_read_count(reader, fixture->catalog.id, &rows, ERR));
    crn_store_read_end(reader);
    return rows;
}

uint64_t fixture_log_last(struct fixture *fixture)
{
    struct crn_reader *reader = fixture_reader(fixture->store);
    uint64_t sequence;

    OK(crn_read_sequence(reader, &sequence, ERR));
    crn_store_read_end(reader);
    return sequence;
}

/* ---- past the store ---- */

void fixture_raw(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
    assert_true(sqlite3_total_changes(db) > 0 || strncmp(sql, "PRAGMA", 6) == 0 ||
                strncmp(sql, "DROP", 4) == 0 || strncmp(sql, "CREATE", 6) == 0 ||
                strncmp(sql, "ALTER", 5) == 0);
    sqlite3_close(db);
}

int64_t fixture_raw_number(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static void keep_first(void *ctx, const char *message)
{
    char *first = ctx;

    assert_null(strchr(message, '\n'));
    if (first[0] == '\0') snprintf(first, 300, "%s", message);
}

uint64_t fixture_verify(struct crn_store *store, char first[300])
{
    uint64_t findings;

    first[0] = '\0';
    OK(crn_store_verify(store, keep_first, NULL, first, &findings, ERR));
    return findings;
}

void fixture_verify_clean(struct crn_store *store)
{
    char first[300];

    if (fixture_verify(store, first) != 0) fail_msg("%s", first);
}
