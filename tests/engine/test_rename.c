/* Collections that get another name, or take another's place: handles go on, and who reads meanwhile sees one or the other. */
#include "tests/engine/database.h"

#include <pthread.h>
#include <stdatomic.h>

static void make(struct database *d, const char *name, unsigned rows, const char *domain)
{
    cairn_collection *c;
    char id[20];

    ok(cairn_collection_open(d->db, name, CAIRN_OPTIONS(cairn_collection_options, .dim = 2, .lexical = true),
                             &c, err));
    ok(cairn_payload_index_create(c, "n", err));
    for (unsigned i = 0; i < rows; i++) {
        const float values[] = {1, (float)i};
        snprintf(id, sizeof id, "p%u", i);
        ok(cairn_insert(c,
                        CAIRN_OPTIONS(cairn_pattern, .id = id, .vector = values, .dim = 2, .domain = domain,
                                      .text = "some words", .payload = "{\"n\":1}"),
                        1, err));
    }
    cairn_collection_close(c);
}

static uint64_t rows_of(struct database *d, const char *name)
{
    cairn_collection *c;
    uint64_t count;

    ok(cairn_collection_open(d->db, name, NULL, &c, err));
    ok(cairn_count(c, NULL, &count, err));
    assert_string_equal(cairn_collection_name(c), name);
    cairn_collection_close(c);
    return count;
}

static void expect_names(struct database *d, const char *expected)
{
    char **names, all[200] = "";
    size_t count, used = 0;

    ok(cairn_collection_list(d->db, &names, &count, err));
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s ", names[i]);
    cairn_free(names);
    assert_string_equal(all, expected);
}

static void expect_clean(struct database *d)
{
    uint64_t findings;

    ok(cairn_verify(d->db, NULL, NULL, NULL, &findings, err));
    assert_int_equal(findings, 0);
}

static void test_of_a_name(void **state)
{
    struct database d, other;
    cairn_collection *open, *far;
    uint64_t count;

    (void)state;
    database_create(&d, NULL);
    make(&d, "a", 3, "x");
    make(&d, "b", 5, "y");
    ok(cairn_collection_open(d.db, "a", NULL, &open, err));
    memcpy(other.path, d.path, sizeof d.path);
    other.log[0] = '\0';
    database_open(&other, NULL); /* as another process would see it */
    ok(cairn_collection_open(other.db, "a", NULL, &far, err));
    const char *first = cairn_collection_name(open);

    refused(CAIRN_EXISTS, "\"b\"", cairn_collection_rename(d.db, "a", "b", false, err));
    expect_names(&d, "a b ");
    ok(cairn_collection_rename(d.db, "a", "c", false, err));
    expect_names(&d, "b c ");
    assert_int_equal(rows_of(&d, "c"), 3);
    assert_string_equal(cairn_collection_name(open), "c");
    assert_string_equal(first, "a"); /* what was handed out stays */
    ok(cairn_count(far, NULL, &count, err));
    assert_int_equal(count, 3);
    assert_string_equal(cairn_collection_name(far), "c");
    refused(CAIRN_NO_COLLECTION, "\"a\"", cairn_collection_rename(d.db, "a", "d", false, err));

    ok(cairn_collection_rename(d.db, "c", "b", true, err)); /* b as it was is dropped */
    expect_names(&d, "b ");
    uint64_t collections, patterns;
    ok(cairn_totals(d.db, &collections, &patterns, err));
    assert_int_equal(collections, 1);
    assert_int_equal(patterns, 3);
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_totals(d.db, NULL, &patterns, err));
    assert_int_equal(rows_of(&d, "b"), 3);
    ok(cairn_count(open, NULL, &count, err));
    assert_int_equal(count, 3);
    const cairn_scope gone = {.size = sizeof gone, .domain = "y"};
    ok(cairn_count(open, &gone, &count, err));
    assert_int_equal(count, 0);
    ok(cairn_collection_rename(d.db, "b", "b", true, err)); /* its own name */
    ok(cairn_collection_rename(d.db, "b", "new", true, err));
    expect_names(&d, "new ");
    expect_clean(&d);
    cairn_collection_close(far);
    cairn_close(other.db);
    cairn_collection_close(open);
    database_remove(&d);
}

static void test_bad_names(void **state)
{
    struct database d;

    (void)state;
    database_create(&d, NULL);
    make(&d, "a", 1, "x");
    refused(CAIRN_INVALID_ARGUMENT, "empty", cairn_collection_rename(d.db, "a", "", false, err));
    refused(CAIRN_INVALID_ARGUMENT, "empty", cairn_collection_rename(d.db, "a", NULL, true, err));
    refused(CAIRN_INVALID_ARGUMENT, "empty", cairn_collection_rename(d.db, NULL, "a", true, err));
    refused(CAIRN_INVALID_ARGUMENT, "control", cairn_collection_rename(d.db, "a", "x\ny", false, err));
    refused(CAIRN_INVALID_ARGUMENT, "NULL", cairn_collection_rename(NULL, "a", "b", false, err));
    expect_names(&d, "a ");
    cairn_close(d.db);
    database_open(&d, CAIRN_OPTIONS(cairn_open_options, .read_only = true));
    refused(CAIRN_READ_ONLY, "read-only", cairn_collection_rename(d.db, "a", "b", false, err));
    database_remove(&d);
}

struct reader {
    struct database *d;
    atomic_bool stop;
    unsigned long reads;
};

/* 10 rows or 20, never another number, and the name is never without a collection. */
static void *read_on(void *ctx)
{
    struct reader *reader = ctx;

    while (!atomic_load(&reader->stop)) {
        cairn_collection *c;
        uint64_t count;
        ok(cairn_collection_open(reader->d->db, "a", NULL, &c, err));
        const cairn_status status = cairn_count(c, NULL, &count, NULL);
        if (status !=
            CAIRN_NO_COLLECTION) { /* it was replaced behind the opening: the next opening finds the other */
            assert_int_equal(status, CAIRN_OK);
            assert_true(count == 10 || count == 20);
        }
        cairn_collection_close(c);
        reader->reads++;
    }
    return NULL;
}

static void test_under_readers(void **state)
{
    struct database d;
    pthread_t thread;

    (void)state;
    database_create(&d, NULL);
    make(&d, "a", 10, "x");
    struct reader reader = {.d = &d};
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (unsigned i = 0; i < 20; i++) {
        make(&d, "aside", i % 2 == 0 ? 20 : 10, "x");
        ok(cairn_collection_rename(d.db, "aside", "a", true, err));
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    expect_names(&d, "a ");
    expect_clean(&d);
    database_remove(&d);
}

static cairn_status saved; /* NO_COLLECTION: it was replaced first */

static void *save(void *ctx)
{
    saved = cairn_collection_rename(((const struct database *)ctx)->db, "k", "saved", false, NULL);
    return NULL;
}

/* Who takes a name while what had it gets another: that is not dropped for it. */
static void test_renamed_while_replaced(void **state)
{
    struct database d;
    pthread_t thread;

    (void)state;
    database_create(&d, NULL);
    for (unsigned i = 0; i < 50; i++) {
        make(&d, "k", 1, "x");
        make(&d, "fresh", 2, "x");
        assert_int_equal(pthread_create(&thread, NULL, save, &d), 0);
        ok(cairn_collection_rename(d.db, "fresh", "k", true, err));
        pthread_join(thread, NULL);
        assert_true(saved == CAIRN_OK || saved == CAIRN_NO_COLLECTION);
        if (saved == CAIRN_OK) {
            assert_true(rows_of(&d, "saved") > 0);
            ok(cairn_collection_drop(d.db, "saved", err));
        }
        const cairn_status status = cairn_collection_drop(d.db, "k", NULL);
        assert_true(status == CAIRN_OK || status == CAIRN_NO_COLLECTION);
    }
    expect_names(&d, "");
    expect_clean(&d);
    database_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_a_name),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_under_readers),
        cmocka_unit_test(test_renamed_while_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
