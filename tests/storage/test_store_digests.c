/* Damage past the store: each flipped byte is noticed by whoever reads it, named, and found by verify. */
#include "tests/storage/store_fixture.h"

static const float two_floats[2] = {0.5f, -2};

/* One row that has everything. */
static void put_full(struct fixture *f)
{
    const struct crn_vector_data vectors[] = {
        {.space = 1, .data = fixture_floats, .size = NOTES_DIM * sizeof(float)},
        {.space = 2, .data = two_floats, .size = sizeof two_floats},
    };
    struct crn_record record = fixture_record("p1");

    record.domain = "build";
    record.agent = "anna";
    record.text = "some text";
    record.payload = "{\"a\":1}";
    record.expires_at_ms = 77;
    record.vectors = vectors;
    record.vector_count = 2;
    OK(fixture_put(f, &record, false, ERR));
}

static cairn_status ignore_record(void *ctx, const struct crn_record *record)
{
    (void)ctx;
    (void)record;
    return CAIRN_OK;
}

static cairn_status ignore_vector(void *ctx, uint32_t local, const void *data, size_t size)
{
    (void)ctx;
    (void)local;
    (void)data;
    (void)size;
    return CAIRN_OK;
}

static cairn_status run_record(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;
    struct crn_record record;
    struct crn_buf memory;

    crn_buf_init(&memory, 1u << 20);
    cairn_status status = crn_txn_record(txn, &f->catalog, 1, true, &memory, &record, err);
    crn_buf_release(&memory);
    return status;
}

enum seen_by {
    BY_SCAN = 1,    /* heads alone */
    BY_BODY = 2,    /* scans with text or payload, and reading the row */
    BY_VECTORS = 4, /* reading the row with its vectors */
    BY_SPACE = 8,   /* scanning the space "" */
};

static void expect_corrupt(cairn_status status, bool wanted, const char *what)
{
    if (status != (wanted ? CAIRN_CORRUPT : CAIRN_OK))
        fail_msg("%s answers %s", what, cairn_status_name(status));
    if (!wanted) return;
    assert_non_null(strstr(fixture_error.message, "notes"));
    assert_non_null(strstr(fixture_error.message, "row 1"));
}

static void expect_seen(struct fixture *f, unsigned seen)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct crn_record record;
    struct crn_buf memory;
    size_t offset, size;

    crn_buf_init(&memory, 1u << 20);
    expect_corrupt(crn_read_scan(reader, &f->catalog, 1, CRN_WANT_ID, ignore_record, NULL, ERR),
                   seen & BY_SCAN, "a scan of heads");
    expect_corrupt(crn_read_scan(reader, &f->catalog, 1, CRN_WANT_TEXT, ignore_record, NULL, ERR),
                   seen & BY_BODY, "a scan");
    expect_corrupt(crn_read_record(reader, &f->catalog, 1, false, &memory, &record, ERR), seen & BY_BODY,
                   "reading a row");
    crn_buf_clear(&memory);
    expect_corrupt(crn_read_record(reader, &f->catalog, 1, true, &memory, &record, ERR), seen & BY_VECTORS,
                   "reading a row with vectors");
    crn_buf_clear(&memory);
    expect_corrupt(crn_read_vectors(reader, 1, 0, ignore_vector, NULL, ERR), seen & BY_SPACE,
                   "a scan of vectors");
    expect_corrupt(crn_read_vector(reader, 1, 1, &memory, &offset, &size, ERR), seen & BY_SPACE,
                   "reading a vector");
    crn_buf_release(&memory);
    crn_store_read_end(reader);
    expect_corrupt(fixture_write(f->store, run_record, f, ERR), seen & BY_VECTORS,
                   "reading in a transaction");
}

#define BY_ROW (BY_SCAN | BY_BODY | BY_VECTORS)

static void damage_is_seen_on_every_path(void **state)
{
    static const struct {
        const char *damage;
        unsigned seen;
        const char *restore;
    } cases[] = {
        {"UPDATE points SET id='p2'", BY_ROW, "UPDATE points SET id='p1'"},
        {"UPDATE points SET id=CAST('p1' AS BLOB)", BY_ROW, "UPDATE points SET id='p1'"},
        {"UPDATE points SET domain=agent", BY_ROW,
         "UPDATE points SET domain=(SELECT id FROM names WHERE name='build')"},
        {"UPDATE points SET agent=77", BY_ROW,
         "UPDATE points SET agent=(SELECT id FROM names WHERE name='anna')"},
        {"UPDATE points SET type=0", BY_ROW,
         "UPDATE points SET type=(SELECT id FROM names WHERE name='pattern')"},
        {"UPDATE points SET confidence=0.50000000000000011", BY_ROW, "UPDATE points SET confidence=0.5"},
        {"UPDATE points SET created_at=created_at+1", BY_ROW, "UPDATE points SET created_at=created_at-1"},
        {"UPDATE points SET expires_at=NULL", BY_ROW, "UPDATE points SET expires_at=77"},
        {"UPDATE points SET version=version+1", BY_ROW, "UPDATE points SET version=version-1"},
        {"UPDATE points SET digest=~digest", BY_ROW, "UPDATE points SET digest=~digest"},
        {"UPDATE points SET vectors=~vectors", BY_ROW, "UPDATE points SET vectors=~vectors"},
        {"UPDATE points SET body=~body", BY_ROW, "UPDATE points SET body=~body"},
        {"UPDATE points SET text='Some text'", BY_BODY | BY_VECTORS, "UPDATE points SET text='some text'"},
        {"UPDATE points SET text=NULL", BY_BODY | BY_VECTORS, "UPDATE points SET text='some text'"},
        {"UPDATE points SET payload='{\"a\":2}'", BY_BODY | BY_VECTORS,
         "UPDATE points SET payload='{\"a\":1}'"},
        {"UPDATE vecs SET data=x'000080bf0000004000004040000080c0' WHERE key=4294967297",
         BY_VECTORS | BY_SPACE,
         "UPDATE vecs SET data=x'0000803f00000040000040400000803f00000040' WHERE key=0"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture *f;
        char first[300];
        fixture_setup((void **)&f);
        put_full(f);
        fixture_raw(f, cases[i].damage);
        print_message("%s\n", cases[i].damage);
        expect_seen(f, cases[i].seen);
        assert_true(fixture_verify(f->store, first) > 0);
        if (i + 1 < COUNT_OF(cases)) { /* and the test itself has changed nothing else */
            fixture_raw(f, cases[i].restore);
            expect_seen(f, 0);
            fixture_verify_clean(f->store);
        }
        fixture_teardown((void **)&f);
    }
    (void)state;
}

static void every_byte_of_a_vector_counts(void **state)
{
    struct fixture *f = *state;
    char sql[200];

    put_full(f);
    for (int byte = 0; byte < 16; byte++) {
        snprintf(sql, sizeof sql,
                 "UPDATE vecs SET data=CAST(substr(data,1,%d)||x'ee'||substr(data,%d) AS BLOB)"
                 " WHERE key=4294967297",
                 byte, byte + 2);
        fixture_raw(f, "CREATE TABLE saved AS SELECT data FROM vecs WHERE key=4294967297");
        fixture_raw(f, sql);
        expect_seen(f, BY_VECTORS | BY_SPACE);
        fixture_raw(f, "UPDATE vecs SET data=(SELECT data FROM saved) WHERE key=4294967297");
        fixture_raw(f, "DROP TABLE saved");
        expect_seen(f, 0);
    }
}

/* A vector that is missing, swapped or of another row has bytes that are right in themselves. */
static void vectors_belong_to_their_row(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("p2");
    const struct crn_vector_data other = {
        .space = 1, .data = fixture_floats + 4, .size = NOTES_DIM * sizeof(float)};
    char first[300];

    put_full(f);
    record.vectors = &other;
    OK(fixture_put(f, &record, false, ERR));
    fixture_raw(f, "DELETE FROM vecs WHERE key=8589934593");
    expect_seen(f, BY_VECTORS);
    assert_true(fixture_verify(f->store, first) > 0);
    fixture_raw(f, "UPDATE vecs SET key=CASE key WHEN 4294967297 THEN -1 ELSE 4294967297 END");
    fixture_raw(f, "UPDATE vecs SET key=4294967298 WHERE key=-1");
    expect_seen(f, BY_VECTORS | BY_SPACE);
}

static cairn_status run_trajectory(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct fixture *f = ctx;
    const cairn_trajectory trajectory = {
        .id = "t", .states = fixture_floats, .steps = 2, .state_dim = 2, .actions = "[0,1]"};

    return crn_txn_trajectory_put(txn, f->catalog.id, &trajectory, err);
}

static cairn_status ignore_trajectory(void *ctx, const cairn_trajectory *trajectory)
{
    (void)ctx;
    (void)trajectory;
    return CAIRN_OK;
}

static void trajectories_are_checked(void **state)
{
    struct fixture *f = *state;
    char first[300];

    OK(fixture_write(f->store, run_trajectory, f, ERR));
    fixture_raw(f, "UPDATE trajectories SET actions='[0,2]'");
    struct crn_reader *reader = fixture_reader(f->store);
    assert_status(
        crn_read_trajectories(reader, f->catalog.id, "t", NULL, NULL, 1, ignore_trajectory, NULL, ERR),
        CAIRN_CORRUPT);
    crn_store_read_end(reader);
    assert_int_equal(fixture_verify(f->store, first), 1);
}

/* ---- what only verify looks at ---- */

static cairn_status run_index(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_payload_index_create(txn, ctx, "a", err);
}

static void verify_finds_what_does_not_agree(void **state)
{
    static const char *const damages[] = {
        "UPDATE oplog SET digest=~digest WHERE seq=(SELECT max(seq) FROM oplog)",
        "UPDATE oplog SET version=9 WHERE seq=(SELECT max(seq) FROM oplog)",
        "UPDATE oplog SET op=3 WHERE seq=(SELECT max(seq) FROM oplog)",
        "UPDATE oplog SET seq=seq+1 WHERE seq=(SELECT max(seq) FROM oplog)",
        "UPDATE collections SET rows=rows+1",
        "UPDATE collections SET next_local=1",
        "INSERT INTO usage VALUES(99,1,1,1)",
        "INSERT INTO vecs VALUES(4294967396,0,x'00')",
        "INSERT INTO vecs VALUES(999999999999999,0,x'00')",
        "INSERT INTO payload_values VALUES(1,'x',4294967297)",
        "UPDATE payload_values SET value=2",
        "DELETE FROM payload_values",
        "DELETE FROM fts_1_docsize",
        "INSERT INTO fts_1_docsize VALUES(44,x'01')",
        "UPDATE fts_1_data SET block=x'00000000' WHERE id>=137438953473",
        "UPDATE points SET collection=2",
        "DELETE FROM points",
        "DELETE FROM spaces WHERE id=2",
        "UPDATE collections SET settings_seq=99",
    };

    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        struct fixture *f;
        char first[300];
        fixture_setup((void **)&f);
        OK(fixture_write(f->store, run_index, &f->catalog, ERR));
        put_full(f);
        fixture_verify_clean(f->store);
        fixture_raw(f, damages[i]);
        if (fixture_verify(f->store, first) == 0) fail_msg("not found: %s", damages[i]);
        print_message("%s -> %s\n", damages[i], first);
        fixture_teardown((void **)&f);
    }
    (void)state;
}

static bool stop_at_once(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    (void)phase;
    (void)done;
    (void)total;
    return --*(int *)ctx >= 0;
}

static void verify_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    uint64_t findings;

    put_full(f);
    for (int allowed = 0;; allowed++) {
        int left = allowed;
        cairn_status status = crn_store_verify(f->store, NULL, stop_at_once, &left, &findings, ERR);
        assert_int_equal(findings, 0);
        if (status == CAIRN_OK) break;
        assert_int_equal(status, CAIRN_CANCELLED);
    }
    fixture_verify_clean(f->store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_seen_on_every_path),
        TEST(every_byte_of_a_vector_counts),
        TEST(vectors_belong_to_their_row),
        TEST(trajectories_are_checked),
        cmocka_unit_test(verify_finds_what_does_not_agree),
        TEST(verify_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
