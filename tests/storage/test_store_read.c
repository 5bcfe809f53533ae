/* Finding rows: by words, by scope, by expiry; numbers about a collection; trajectories. */
#include "tests/storage/store_fixture.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

struct hits {
    uint32_t locals[400];
    double scores[400];
    size_t count;
};

static cairn_status note_scored(void *ctx, uint32_t local, double score)
{
    struct hits *hits = ctx;

    assert_true(hits->count < COUNT_OF(hits->locals));
    hits->scores[hits->count] = score;
    hits->locals[hits->count++] = local;
    return CAIRN_OK;
}

static cairn_status note_local(void *ctx, uint32_t local)
{
    return note_scored(ctx, local, 0);
}

static uint32_t put_text(struct fixture *f, const char *id, const char *text)
{
    struct crn_record record = fixture_record(id);

    record.local = fixture_find(f, id);
    record.text = text;
    OK(fixture_put(f, &record, record.local != 0, ERR));
    return record.local;
}

/* ---- words ---- */

static struct hits search(struct fixture *f, const char *query, size_t limit)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct hits hits = {.count = 0};

    OK(crn_read_lexical(reader, &f->catalog, query, limit, note_scored, &hits, ERR));
    crn_store_read_end(reader);
    for (size_t i = 1; i < hits.count; i++) assert_true(hits.scores[i] <= hits.scores[i - 1]);
    return hits;
}

static void expect_found(struct fixture *f, const char *query, uint32_t local)
{
    const struct hits hits = search(f, query, 10);

    for (size_t i = 0; i < hits.count; i++) {
        if (hits.locals[i] == local) return;
    }
    fail_msg("\"%s\" does not find row %u", query, local);
}

static void words_find_texts(void **state)
{
    struct fixture *f = *state;
    const uint32_t cache = put_text(f, "a", "Use ccache when compiling large C++ projects");
    const uint32_t cafe = put_text(f, "b",
                                   "Caf\xc3\xa9 au lait, na\xc3\xafve \xc3\x9c"
                                   "bung");
    const uint32_t odd = put_text(f, "c", "a \"quoted\" AND (odd) NEAR text: foo_bar-baz* ^col -x");
    const uint32_t greek = put_text(
        f, "d", "\xce\xba\xce\xb1\xce\xbb\xce\xb7\xce\xbc\xce\xad\xcf\x81\xce\xb1 \xd0\xbc\xd0\xb8\xd1\x80");
    put_text(f, "e", "nothing to see here");

    expect_found(f, "compile", cache); /* by the stem */
    expect_found(f, "COMPILES project", cache);
    expect_found(f, "cafe", cafe);
    expect_found(f, "ubung", cafe);
    expect_found(f, "naive", cafe);
    expect_found(f, "foo", odd);
    expect_found(f, "baz*", odd);
    expect_found(f, "\xd0\x9c\xd0\x98\xd0\xa0", greek);
    expect_found(f, "\xce\x9a\xce\xb1\xce\xbb\xce\xb7\xce\xbc\xce\xad\xcf\x81\xce\xb1!", greek);
    /* Nothing of a query is syntax. */
    static const char *const queries[] = {
        "\"",       "\"\"",  "'",        "(",           ")",         "AND",  "OR", "NOT x",
        "a AND",    "* ^ -", "text:foo", "{a b}:c",     "NEAR(a b)", "a\"b", "--", ";DROP TABLE points",
        "\xff\xfe", "",      "   ",      "\xe2\x80\x9c"};
    for (size_t i = 0; i < COUNT_OF(queries); i++) search(f, queries[i], 10);
    assert_int_equal(search(f, "", 10).count, 0);
    assert_int_equal(search(f, "unheard", 10).count, 0);
    assert_int_equal(search(f, "compile", 0).count, 0);
    fixture_verify_clean(f->store);
}

static void the_best_text_comes_first(void **state)
{
    struct fixture *f = *state;

    put_text(f, "a", "cache and many other words that have nothing to do with what is asked for at all");
    const uint32_t best = put_text(f, "b", "cache cache invalidation");
    for (int i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "x%d", i);
        put_text(f, id, "common words only");
    }
    const struct hits hits = search(f, "cache invalidation words", 30);
    assert_int_equal(hits.locals[0], best);
    assert_true(hits.scores[0] > hits.scores[1]);
    assert_int_equal(hits.count, 22);
    assert_int_equal(search(f, "cache words", 1).count, 1);
}

static void words_follow_their_rows(void **state)
{
    struct fixture *f = *state;
    struct crn_record record = fixture_record("a");

    put_text(f, "a", "alpha");
    assert_int_equal(search(f, "alpha", 9).count, 1);
    put_text(f, "a", "beta");
    assert_int_equal(search(f, "alpha", 9).count, 0);
    assert_int_equal(search(f, "beta", 9).count, 1);
    record.local = fixture_find(f, "a");
    OK(fixture_put(f, &record, true, ERR)); /* no text any more */
    assert_int_equal(search(f, "beta", 9).count, 0);
    put_text(f, "a", "gamma");
    OK(fixture_delete(f, record.local, ERR));
    assert_int_equal(search(f, "gamma", 9).count, 0);
    fixture_verify_clean(f->store);
}

static cairn_status run_create(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    return crn_txn_collection_create(txn, ctx, err);
}

static void a_collection_without_words_says_so(void **state)
{
    struct fixture *f = *state;
    struct crn_catalog catalog = {.name = "mute"};
    struct hits hits = {.count = 0};

    OK(fixture_write(f->store, run_create, &catalog, ERR));
    struct crn_reader *reader = fixture_reader(f->store);
    assert_status(crn_read_lexical(reader, &catalog, "x", 1, note_scored, &hits, ERR), CAIRN_UNSUPPORTED);
    crn_store_read_end(reader);
}

/* ---- scopes ---- */

static const char *const domains[] = {"", "build", "test", "never used"};
static const char *const agents[] = {"", "anna", "ben", "nobody"};
static const char *const types[] = {"pattern", "trajectory", "experience", "other"};

struct scope_row {
    size_t domain, agent, type;
    double confidence;
};

static void compare_scope(struct fixture *f, const struct scope_row *rows, uint32_t count, const char *domain,
                          const char *agent, const char *type, double min_confidence)
{
    struct crn_reader *reader = fixture_reader(f->store);
    struct hits hits = {.count = 0};
    size_t next = 0;

    OK(crn_read_scope(reader, f->catalog.id, domain, agent, type, min_confidence, note_local, &hits, ERR));
    crn_store_read_end(reader);
    for (uint32_t local = 1; local <= count; local++) {
        const struct scope_row *row = &rows[local - 1];
        if (domain != NULL && strcmp(domains[row->domain], domain) != 0) continue;
        if (agent != NULL && strcmp(agents[row->agent], agent) != 0) continue;
        if (type != NULL && strcmp(types[row->type], type) != 0) continue;
        if (row->confidence < min_confidence) continue;
        assert_true(next < hits.count);
        assert_int_equal(hits.locals[next++], local);
    }
    assert_int_equal(next, hits.count);
}

static void scopes_agree_with_a_scan(void **state)
{
    struct fixture *f = *state;
    struct crn_rng rng = test_rng();
    struct crn_catalog other = {.name = "other"};
    struct scope_row rows[300];

    /* Rows of another collection with the same names are none of this one's. */
    OK(fixture_write(f->store, run_create, &other, ERR));
    struct fixture beside = *f;
    beside.catalog = other;
    struct crn_record stranger = fixture_record("stranger");
    stranger.vector_count = 0;
    stranger.domain = "build";
    stranger.agent = "anna";
    OK(fixture_put(&beside, &stranger, false, ERR));

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char id[16];
        snprintf(id, sizeof id, "%zu", i);
        struct crn_record record = fixture_record(id);
        rows[i] = (struct scope_row){crn_rng_below(&rng, 3), crn_rng_below(&rng, 3), crn_rng_below(&rng, 3),
                                     (double)crn_rng_below(&rng, 5) / 4};
        record.domain = domains[rows[i].domain];
        record.agent = agents[rows[i].agent];
        record.type = types[rows[i].type];
        record.confidence = rows[i].confidence;
        OK(fixture_put(f, &record, false, ERR));
    }
    for (int d = -1; d < 4; d++) {
        for (int a = -1; a < 4; a++) {
            for (int t = -1; t < 4; t++) {
                for (int c = 0; c < 3; c++) {
                    compare_scope(f, rows, COUNT_OF(rows), d < 0 ? NULL : domains[d],
                                  a < 0 ? NULL : agents[a], t < 0 ? NULL : types[t], c / 2.0);
                }
            }
        }
    }
    fixture_verify_clean(f->store);
}

/* ---- expiry ---- */

static void expired_rows_are_told(void **state)
{
    struct fixture *f = *state;
    const int64_t expiries[] = {0, 100, 300, 200, 300};
    struct hits hits = {.count = 0};
    int64_t next;

    for (size_t i = 0; i < COUNT_OF(expiries); i++) {
        char id[8];
        snprintf(id, sizeof id, "%zu", i);
        struct crn_record record = fixture_record(id);
        record.expires_at_ms = expiries[i];
        OK(fixture_put(f, &record, false, ERR));
    }
    struct crn_reader *reader = fixture_reader(f->store);
    OK(crn_read_expired(reader, f->catalog.id, 99, note_local, &hits, &next, ERR));
    assert_int_equal(hits.count, 0);
    assert_int_equal(next, 100);
    OK(crn_read_expired(reader, f->catalog.id, 200, note_local, &hits, &next, ERR));
    assert_int_equal(hits.count, 2);
    assert_int_equal(next, 300);
    OK(crn_read_expired(reader, f->catalog.id, 1000, note_local, &hits, &next, ERR));
    assert_int_equal(hits.count, 6);
    assert_true(next == INT64_MAX);
    OK(crn_read_expired(reader, 55, 1000, note_local, &hits, &next, ERR));
    assert_int_equal(hits.count, 6);
    crn_store_read_end(reader);
}

/* ---- numbers ---- */

static void numbers_of_a_collection(void **state)
{
    struct fixture *f = *state;
    const char *row_domains[] = {"a", "b", "a", ""};
    uint64_t rows, trajectories;
    double average;
    struct crn_buf json;
    struct crn_store_stats stats;

    for (size_t i = 0; i < COUNT_OF(row_domains); i++) {
        char id[8];
        snprintf(id, sizeof id, "%zu", i);
        struct crn_record record = fixture_record(id);
        record.domain = row_domains[i];
        record.confidence = (double)i / 4;
        OK(fixture_put(f, &record, false, ERR));
    }
    struct crn_reader *reader = fixture_reader(f->store);
    crn_buf_init(&json, 4096);
    OK(crn_read_collection_stats(reader, f->catalog.id, &rows, &trajectories, &average, &json, ERR));
    assert_int_equal(rows, 4);
    assert_int_equal(trajectories, 0);
    assert_true(average == 0.375);
    assert_string_equal(json.data, "{\"\":1,\"a\":2,\"b\":1}");
    crn_buf_release(&json);
    crn_store_read_end(reader);

    OK(crn_store_get_stats(f->store, &stats, ERR));
    assert_int_equal(stats.log_first, 1);
    assert_int_equal(stats.log_last, 5);
    assert_int_equal(stats.log_entries, 5);
    assert_int_equal(stats.commits, 5);
    assert_int_equal(stats.groups, 5);
    assert_true(stats.file_bytes > 0 && stats.wal_bytes > 0 && stats.folder_bytes > 0);
    OK(crn_store_checkpoint(f->store, ERR));
    OK(crn_store_get_stats(f->store, &stats, ERR));
    assert_int_equal(stats.checkpoints, 1);
    assert_int_equal(stats.wal_bytes, 0);
}

/* ---- trajectories ---- */

struct trajectory_case {
    struct fixture *fixture;
    const cairn_trajectory *trajectory;
    const char *id;
    bool deleted;
};

static cairn_status run_trajectory(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct trajectory_case *test = ctx;

    return crn_txn_trajectory_put(txn, test->fixture->catalog.id, test->trajectory, err);
}

static cairn_status run_trajectory_delete(struct crn_txn *txn, void *ctx, cairn_error *err)
{
    struct trajectory_case *test = ctx;

    return crn_txn_trajectory_delete(txn, test->fixture->catalog.id, test->id, &test->deleted, err);
}

struct seen {
    const cairn_trajectory *wanted[4];
    size_t count;
};

static cairn_status note_trajectory(void *ctx, const cairn_trajectory *actual)
{
    struct seen *seen = ctx;
    const cairn_trajectory *wanted = seen->wanted[seen->count++];

    assert_non_null(wanted);
    assert_string_equal(actual->id, wanted->id);
    assert_string_equal(actual->domain, wanted->domain ? wanted->domain : "");
    assert_string_equal(actual->agent, wanted->agent ? wanted->agent : "");
    assert_int_equal(actual->steps, wanted->steps);
    assert_int_equal(actual->state_dim, wanted->state_dim);
    if (wanted->states)
        assert_memory_equal(actual->states, wanted->states,
                            wanted->steps * wanted->state_dim * sizeof(float));
    if (wanted->rewards)
        assert_memory_equal(actual->rewards, wanted->rewards, wanted->steps * sizeof(double));
    if (wanted->actions) assert_string_equal(actual->actions, wanted->actions);
    assert_int_equal(actual->metadata != NULL, wanted->metadata != NULL);
    assert_int_equal(actual->created_at_ms, wanted->created_at_ms);
    return CAIRN_OK;
}

static void expect_trajectories(struct fixture *f, const char *id, const char *domain, const char *agent,
                                size_t limit, struct seen seen)
{
    struct crn_reader *reader = fixture_reader(f->store);
    size_t wanted = 0;

    while (wanted < COUNT_OF(seen.wanted) && seen.wanted[wanted] != NULL) wanted++;
    OK(crn_read_trajectories(reader, f->catalog.id, id, domain, agent, limit, note_trajectory, &seen, ERR));
    crn_store_read_end(reader);
    assert_int_equal(seen.count, wanted);
}

static void trajectories_come_back(void **state)
{
    struct fixture *f = *state;
    const double rewards[] = {0, -1, NAN};
    const cairn_trajectory full = {.id = "t1",
                                   .domain = "d",
                                   .agent = "x",
                                   .states = fixture_floats,
                                   .steps = 3,
                                   .state_dim = 2,
                                   .actions = "[1,2,3]",
                                   .rewards = rewards,
                                   .metadata = "{}",
                                   .created_at_ms = 10};
    const cairn_trajectory bare = {.id = "t2", .created_at_ms = 30};
    const cairn_trajectory third = {.id = "t3", .domain = "d", .agent = "y", .created_at_ms = 20};
    const cairn_trajectory nameless = {.steps = 1};
    struct trajectory_case test = {.fixture = f, .trajectory = &full};

    OK(fixture_write(f->store, run_trajectory, &test, ERR));
    assert_status(fixture_write(f->store, run_trajectory, &test, ERR), CAIRN_EXISTS);
    test.trajectory = &bare;
    OK(fixture_write(f->store, run_trajectory, &test, ERR));
    test.trajectory = &third;
    OK(fixture_write(f->store, run_trajectory, &test, ERR));
    test.trajectory = &nameless;
    assert_status(fixture_write(f->store, run_trajectory, &test, ERR), CAIRN_INVALID_ID);
    expect_trajectories(f, "t1", NULL, NULL, 1, (struct seen){{&full}, 0});
    expect_trajectories(f, "none", NULL, NULL, 1, (struct seen){{NULL}, 0});
    expect_trajectories(f, NULL, NULL, NULL, 10, (struct seen){{&bare, &third, &full}, 0});
    expect_trajectories(f, NULL, NULL, NULL, 2, (struct seen){{&bare, &third}, 0});
    expect_trajectories(f, NULL, "d", NULL, 10, (struct seen){{&third, &full}, 0});
    expect_trajectories(f, NULL, "d", "x", 10, (struct seen){{&full}, 0});
    expect_trajectories(f, NULL, "unknown", NULL, 10, (struct seen){{NULL}, 0});
    fixture_verify_clean(f->store);
    test.id = "t1";
    OK(fixture_write(f->store, run_trajectory_delete, &test, ERR));
    assert_true(test.deleted);
    OK(fixture_write(f->store, run_trajectory_delete, &test, ERR));
    assert_false(test.deleted);
    expect_trajectories(f, NULL, NULL, NULL, 10, (struct seen){{&bare, &third}, 0});
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(words_find_texts),         TEST(the_best_text_comes_first),
        TEST(words_follow_their_rows),  TEST(a_collection_without_words_says_so),
        TEST(scopes_agree_with_a_scan), TEST(expired_rows_are_told),
        TEST(numbers_of_a_collection),  TEST(trajectories_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
